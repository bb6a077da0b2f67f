"""Every reason has its heading in docs/reasons.md."""

from __future__ import annotations

import pytest

from paymux.explain.rejections import HINTS
from tests.docs.pages import coded, headings, read
from tests.docs.slugs import SOURCE, in_source, said

# Defaults of classes that nothing is raised with.
BASES = {"journal", "publish", "relay_stopped"}


def listed() -> list[str]:
    return [word for level, title in headings(read("docs/reasons.md")) if level == 3 for word in coded(title)]


@pytest.mark.parametrize("slug", sorted(said().keys() - BASES))
def test_a_reason_of_the_source(slug):
    """It is told what to do."""
    assert slug in listed(), said()[slug]


def test_the_command_rejections_hints_at_reasons_that_exist():
    """And docs/reasons.md says more of each."""
    assert set(HINTS) <= set(listed())


def test_reasons_that_nothing_says():
    """No heading is left over from a reason that is gone, and none stands twice."""
    assert sorted(listed()) == sorted(set(listed()))
    assert set(listed()) <= said().keys()


def test_the_list_is_that_of_the_errors():
    """What the docstrings of errors.py promise is found in the source: the collector misses none of it."""
    found = said()
    promised_reasons = (
        "signature_missing signature_malformed signature_mismatch signature_duplicated too_old too_new "
        "static_secret_missing static_secret_mismatch path_token_mismatch hint_malformed "
        "certificate_url certificate_untrusted certificate_unavailable signature_reused "
        "journal_restored journal_swapped checkpoint_missing partitions_changed record_refused not_authorized "
        "checkpoint_unreadable rows_missing broker_unavailable fenced topic_missing topic_unfit "
        "not_found denied rate_limited unavailable shape"
    )
    for promised in promised_reasons.split():
        assert promised in found
        assert promised in (SOURCE / "errors.py").read_text("utf-8")


@pytest.mark.parametrize(
    "source",
    [
        'raise Rejected("x", reason="found_it")',
        'def f(*, missing: str = "found_it"): ...',
        'class Lost(PaymuxError):\n    reason = "found_it"',
        'reason = "found_it" if x else "other"',
        '_UNREAD: Final = {BAD_REQUEST: "found_it"}',
        'INSTRUCTIONS = {"found_it": "do this"}',
        'self._reports.counted(name, "found_it")',
        'return {"verified": False, "reason": "found_it"}',
    ],
)
def test_the_collector_sees_a_slug(source):
    """In each of the forms that the source uses."""
    assert "found_it" in in_source(source)
