"""The commands that keep and let go: backup, restore, erase, retention, audit."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from paymux.cli import main
from paymux.cli.restore import _told
from paymux.journal.audit import Act
from paymux.journal.sqlite import SqliteJournal
from paymux.keeping.restoring import Restored
from tests.journal.tiny import put, says

CONFIG = """
[kafka]
bootstrap_servers = "127.0.0.1:1"
request_timeout = 1
[journal]
url = "sqlite:///{path}"
retention_days = 30
[[accounts]]
provider = "flowlix"
name = "acme"
secrets = ["file:{secret}"]
"""


def paymux(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def here(tmp_path):
    """A configuration, and its journal: five payments, all published, four of them old, and three acts."""
    (tmp_path / "secret").write_text("whsec_for-the-tests-of-keeping")
    (tmp_path / "paymux.toml").write_text(CONFIG.format(path=tmp_path / "paymux.db", secret=tmp_path / "secret"))
    asyncio.run(fill(tmp_path / "paymux.db"))
    return tmp_path


async def fill(path):
    now = datetime.now(UTC)
    times = [now - timedelta(days=100)] * 4 + [now]
    journal = await SqliteJournal.open(path, now=lambda: times[0])
    for number in range(5):
        item = says("payment", f"e{number}", f"payment-{number}", status="succeeded", amount=1, note="a-canary")
        await put(journal, item, received_at=times.pop(0) if len(times) > 1 else now)
    await journal.advance(0, 5)
    for number in range(3):
        await journal.change(lambda unit, n=number: unit.audit(Act(who="ops", action=f"test.{n}", target="x")))
    await journal.close()


def test_a_backup_and_back_again(here):
    """A copy by command takes the lost journal's place; without Kafka only if that is said."""
    config = ("--config", here / "paymux.toml")
    done = paymux("backup", here / "copy.db", *config, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["file"], told["deliveries"], told["end"], told["mark"], told["acts"]) == (
        f"{here}/copy.db",
        5,
        5,
        5,
        3,
    )
    again = paymux("backup", here / "copy.db", *config)
    assert (again.exit_code, "is there already" in again.stderr) == (1, True)
    (here / "paymux.db").unlink()
    refused = paymux("restore", here / "copy.db", *config)
    assert refused.exit_code == 1
    assert "--without-kafka" in refused.stderr
    assert not (here / "paymux.db").exists()
    done = paymux("restore", here / "copy.db", *config, "--without-kafka", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["parent"] == told["identity"]
    taken = paymux("restore", here / "copy.db", *config, "--without-kafka")
    assert (taken.exit_code, "--force" in taken.stderr) == (1, True)
    forced = paymux("restore", here / "copy.db", *config, "--without-kafka", "--force")
    assert forced.exit_code == 0
    assert "what was there is" in forced.stdout
    assert "Kafka was not asked" in forced.stdout


def test_what_is_told_of_a_copy_that_is_back():
    """How far Kafka was, and what of it the copy does not have; where it was not asked, nothing of the kind."""
    facts = {"deliveries": 5, "end": 9, "position": 7, "taken": 1234, "ahead": 3, "aside": None}
    done = Restored(identity="new", parent="old", **facts)
    lines = _told(done, Path("paymux.db"), asked=True)
    assert [re.findall(r"[\d,]+", line.replace(",", "")) for line in lines] == [["5"], ["7", "9"], [], ["1234"], ["3"]]
    unasked = _told(done, Path("paymux.db"), asked=False)
    assert (unasked[:2], "1,234" in "".join(unasked)) == (lines[:2], False)


@pytest.mark.parametrize("more", [("--accept-doubles",), ("--instead-of", "another")])
def test_an_answer_to_what_is_not_asked(here, more):
    """Whoever says both means something else: nothing is done."""
    config = ("--config", here / "paymux.toml")
    assert paymux("backup", here / "copy.db", *config).exit_code == 0
    before = (here / "paymux.db").read_bytes()
    refused = paymux("restore", here / "copy.db", *config, "--force", "--without-kafka", *more)
    assert (refused.exit_code, "is not asked" in refused.stderr) == (2, True)
    assert (here / "paymux.db").read_bytes() == before


def test_erasing_by_command(here):
    """Here, where no paymux runs: counted first, then done, then in the trail."""
    config = ("--config", here / "paymux.toml", "--why", "asked")
    counted = paymux("erase", "--payment", "tiny/acme/payment-1", *config, "--dry-run")
    assert "1 deliveries and 1 records would be erased" in counted.stdout
    done = paymux("erase", "--payment", "tiny/acme/payment-1", *config, "--json")
    assert json.loads(done.stdout) == {"deliveries": 1, "records": 1, "payments": ["tiny/acme/payment-1"]}
    listed = paymux("audit", "list", "--config", here / "paymux.toml", "--action", "erase", "--json")
    assert [json.loads(line)["target"] for line in listed.stdout.splitlines()] == ["tiny/acme/payment-1"]
    shown = paymux("payments", "show", "tiny/acme/payment-1", "--journal", here / "paymux.db")
    assert (shown.exit_code, "payment.succeeded" in shown.stdout) == (0, True)
    nobody = paymux("erase", "--customer", "tiny/acme/nobody-at-all", *config)
    assert (nobody.exit_code, "nothing is kept that names" in nobody.stderr) == (1, True)
    both = paymux("erase", "--customer", "a/b/c", "--payment", "a/b/c", *config)
    assert both.exit_code == 2


def test_retention_by_command(here):
    """What is kept and what would go; --now lets go of it."""
    config = ("--config", here / "paymux.toml", "--json")
    told = json.loads(paymux("retention", *config).stdout)
    counts = {name: told[name] for name in ("days", "bodies", "records", "old_bodies", "old_records", "held")}
    assert counts == {"days": 30, "bodies": 5, "records": 5, "old_bodies": 4, "old_records": 3, "held": 0}
    assert json.loads(paymux("retention", *config, "--now", "--dry-run").stdout) == told
    assert json.loads(paymux("retention", *config, "--now").stdout) == {"rows": 7}
    told = json.loads(paymux("retention", *config).stdout)
    assert (told["bodies"], told["old_bodies"], told["records"]) == (1, 0, 2)
    assert "1 bodies" in paymux("retention", "--config", here / "paymux.toml").stdout


def test_the_audit_trail_by_command(here):
    """In order, whole or from a row on; and it is what was written."""
    journal = ("--journal", here / "paymux.db")
    listed = paymux("audit", "list", *journal)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["1", "2", "3"]
    later = paymux("audit", "list", *journal, "--after", 2, "--json")
    assert [json.loads(line)["action"] for line in later.stdout.splitlines()] == ["test.2"]
    verdict = paymux("audit", "verify", *journal, "--json")
    assert (verdict.exit_code, json.loads(verdict.stdout)["rows"]) == (0, 3)
    assert "3 rows, all of them whole" in paymux("audit", "verify", *journal).stdout


@pytest.mark.parametrize(
    ("tampering", "row"),
    [
        ("UPDATE audit SET who = 'nobody' WHERE row = 2", 2),
        ("UPDATE audit SET detail = '{\"n\":1}' WHERE row = 3", 3),
        ("DELETE FROM audit WHERE row = 1", 1),
        ("UPDATE audit SET row = row + 10 WHERE row = 3", 3),
    ],
)
def test_a_trail_that_was_tampered_with(here, tampering, row):
    """The first row that is not what was written is named; exit 1."""
    with closing(sqlite3.connect(here / "paymux.db")) as opened:
        opened.execute(tampering)
        opened.commit()
    verdict = paymux("audit", "verify", "--journal", here / "paymux.db")
    assert (verdict.exit_code, verdict.stdout) == (1, f"row {row} is not what was written, or is missing\n")
