"""Whole copies of a file: what one holds, and what is wrong with one that is damaged."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import timedelta

import pytest

from paymux.delivery import Proof
from paymux.errors import CopyRefused
from paymux.journal.audit import Act
from paymux.journal.sqlite import SqliteJournal, copies
from paymux.journal.sqlite.copies import Copy, copy, examined
from tests.journal.tiny import NOON, put, says


def silent(_done, _total): ...


def paid(number):
    return says("payment", f"e{number}", f"p{number % 2}", after=number, status="succeeded", note="n" * 500)


@pytest.fixture
async def path(tmp_path):
    """A closed journal of five deliveries and one hint, four published records, three acts."""
    journal = await SqliteJournal.open(tmp_path / "paymux.db")
    for number in range(5):
        await put(journal, paid(number))
    await put(journal, says("ask", None, "-", ids=["p9"]), proof=Proof.HINT)
    for number in range(3):
        await journal.change(lambda unit, n=number: unit.audit(Act(who="ops", action="test", target=f"x{n}")))
    await journal.advance(0, 4)
    await journal.close()
    return tmp_path / "paymux.db"


def changed(path, *statements):
    with closing(sqlite3.connect(path)) as opened:
        for sql in statements:
            opened.execute(sql)
        opened.commit()


async def test_what_a_copy_holds(path, tmp_path):
    """Counted once more in the copy itself, which is one whole file."""
    steps = []
    copy(path, tmp_path / "copy.db", lambda done, total: steps.append((done, total)))
    journal = await SqliteJournal.open(path)
    assert examined(tmp_path / "copy.db") == Copy(
        identity=journal.identity,
        schema=1,
        deliveries=6,
        payments=2,
        end=5,
        mark=4,
        acts=3,
        bytes=(tmp_path / "copy.db").stat().st_size,
    )
    await journal.close()
    assert steps[-1][0] == steps[-1][1] > 10
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("copy")] == ["copy.db"]
    with closing(sqlite3.connect(tmp_path / "copy.db")) as opened:
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("delete",)


async def test_a_copy_of_nothing(tmp_path):
    """It holds nothing, and is whole."""
    await (await SqliteJournal.open(tmp_path / "empty.db")).close()
    found = examined(tmp_path / "empty.db")
    assert (found.deliveries, found.payments, found.end, found.mark, found.acts) == (0, 0, 0, 0, 0)


def test_page_by_page(path, tmp_path, monkeypatch):
    """Whoever watches hears of every few pages."""
    monkeypatch.setattr(copies, "PAGES", 5)
    steps = []
    copy(path, tmp_path / "copy.db", lambda done, _: steps.append(done))
    assert steps[:3] == [5, 10, 15]


def test_a_commit_between_two_steps(path, tmp_path, monkeypatch):
    """The copy is of the moment when it began, and is not begun anew."""
    monkeypatch.setattr(copies, "PAGES", 5)
    steps = []

    def watch(done, _total):
        steps.append(done)
        if len(steps) < 4:
            writer = threading.Thread(target=changed, args=(path, f"INSERT INTO meta VALUES ('x{len(steps)}', '')"))
            writer.start()
            writer.join()

    copy(path, tmp_path / "copy.db", watch)
    assert steps == sorted(set(steps))
    with closing(sqlite3.connect(tmp_path / "copy.db")) as opened:
        assert opened.execute("SELECT count(*) FROM meta WHERE name LIKE 'x%'").fetchone() == (0,)


def test_what_cannot_be_copied(path, tmp_path):
    """Said of both files, with what SQLite says of it."""
    with pytest.raises(CopyRefused) as caught:
        copy(tmp_path / "nowhere.db", tmp_path / "copy.db", silent)
    assert f"{tmp_path / 'nowhere.db'} cannot be copied to {tmp_path / 'copy.db'}: unable to open" in str(caught.value)
    with pytest.raises(CopyRefused, match="cannot be copied to"):
        copy(path, tmp_path / "no folder" / "copy.db", silent)


DAMAGES = {
    "the body of delivery 2 is not what came": "UPDATE deliveries SET body = x'00' WHERE row = 2",
    "row 1 of the outbox does not follow": "UPDATE outbox SET event_id = 'x' WHERE seq = 1",
    "row 3 of the outbox does not follow": "UPDATE outbox SET chain = 'x' WHERE seq = 3",
    "row 5 of the outbox does not follow": "UPDATE outbox SET event_id = 'x' WHERE seq = 5",
    "row 1 of the audit trail is not what": "UPDATE audit SET who = 'x' WHERE row = 1",
    "row 2 of the audit trail is not what": "DELETE FROM audit WHERE row = 2",
    "row 3 of the audit trail is not what": "UPDATE audit SET at = at + 1 WHERE row = 3",
}


@pytest.mark.parametrize("wrong", DAMAGES)
def test_the_first_thing_that_is_wrong(path, monkeypatch, wrong):
    """Named, however many rows are read at once."""
    examined(path)
    changed(path, DAMAGES[wrong])
    for rows in (1, 2, 1000):
        monkeypatch.setattr(copies, "ROWS", rows)
        with pytest.raises(CopyRefused) as caught:
            examined(path)
        assert f"{path} is damaged: {wrong}" in str(caught.value)
        assert caught.value.reason == "copy_damaged"


async def test_what_was_let_go_of_is_not_missed(path):
    """Old bodies, and the outbox's first rows."""
    journal = await SqliteJournal.open(path)
    await journal.expire(NOON + timedelta(days=9999), 99)
    await journal.close()
    found = examined(path)
    assert (found.end, found.mark) == (5, 4)


def test_damaged_pages(path):
    """SQLite's own word for it; a file of something else is told as such."""
    whole = bytearray(path.read_bytes())
    whole[4096 * 3 : 4096 * 3 + 64] = b"\xff" * 64
    path.write_bytes(whole)
    with pytest.raises(CopyRefused, match="is damaged") as caught:
        examined(path)
    assert caught.value.reason == "copy_damaged"
    path.write_text("no database" * 1000)
    with pytest.raises(CopyRefused, match=r"is damaged or no SQLite file: file is not a database") as caught:
        examined(path)
    assert caught.value.reason == "copy_damaged"


def test_a_file_that_is_not_ours(path):
    """Another program's, or one of a newer paymux: neither is called damaged."""
    changed(path, "PRAGMA user_version = 2")
    with pytest.raises(
        CopyRefused, match=r"paymux\.db was written by a newer paymux \(schema 2\); use that version"
    ) as caught:
        examined(path)
    assert caught.value.reason == "copy_refused"
    changed(path, "PRAGMA application_id = 7")
    with pytest.raises(CopyRefused, match=r"paymux\.db is no paymux journal") as caught:
        examined(path)
    assert caught.value.reason == "copy_refused"
