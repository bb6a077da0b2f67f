"""docs/coverage.md: what published payloads become. They lie beside the repository, not in it."""

from __future__ import annotations

import json
import sys

import pytest

from paymux.providers import ALL
from paymux.sandbox import samples
from tests.docs.pages import DOCS, coded, read, rows, section

sys.path.insert(0, str(DOCS / "tools"))
import payload_outcomes

published = pytest.mark.skipif(
    not payload_outcomes.PUBLISHED.is_dir(), reason="no published payloads in ../shared/samples"
)
OUTCOMES = {"events", "lookup", "ignored", "quarantined"}


@published
def test_the_page_is_what_the_code_says():
    """Run docs/tools/payload_outcomes.py."""
    assert read("docs/coverage.md") == payload_outcomes.page()


@published
def test_no_payload_is_a_bug_of_ours():
    """Whatever else they become."""
    assert "internal_error" not in payload_outcomes.page()


def test_every_provider_is_in_the_overview():
    """With counts that are those of its table."""
    page = read("docs/coverage.md")
    told = {
        row[0].strip("[").partition("]")[0]: [int(cell) for cell in row[1:]] for row in rows(page.split("\n## ")[0])
    }
    assert set(told) == {provider.name for provider in ALL}
    for name, (count, *outcomes) in told.items():
        assert sum(outcomes) == count
        table = rows(section(page, name)) if count else []
        assert len(table) == count
        assert {row[1].split(" (")[0] for row in table} <= OUTCOMES
        assert all(coded(row[2]) for row in table if row[1] == "quarantined")


def test_a_folder_of_its_own(tmp_path):
    """Each file in its provider's folder, as a webhook or as the API's answer that it is, with the reason where it is neither."""
    folder = tmp_path / "flowlix"
    folder.mkdir()
    (folder / "a.json").write_bytes(samples.webhook("flowlix", "payment.succeeded").body)
    (folder / "b.json").write_bytes(next(one.body for one in samples.answers("flowlix") if one.label == "payment"))
    odd = json.loads(samples.webhook("flowlix", "payment.failed").body)
    odd["data"]["payment"]["status"] = "LOST|FOUND"
    (folder / "c.json").write_text(json.dumps(odd))
    page = payload_outcomes.page(tmp_path)
    assert "| a.json | events | `payment.succeeded` |\n" in page
    assert "| b.json | events (payment) | `payment." in page
    assert "| c.json | quarantined | `unknown_status` at `/data/payment/status`: 'LOST\\|FOUND' is no" in page
    assert "| [flowlix](#flowlix) | 3 | 2 | 0 | 0 | 1 |\n" in page
    assert "| stripe | 0 | 0 | 0 | 0 | 0 |\n" in page
