"""What the SQLite journal makes of values, and how much of it it holds or reads at a time."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest

from paymux.delivery import ObjectRef
from paymux.errors import JournalUnavailable
from paymux.journal import Rejection
from paymux.journal.sqlite import SqliteJournal, is_held, outbox
from paymux.journal.sqlite.outbox import SqliteOutbox
from paymux.journal.sqlite.rows import _dump_pairs, header_pairs
from paymux.journal.sqlite.store import RING
from paymux.signatures import confirmed
from tests.journal.stored import query
from tests.journal.test_contract import faulty, no_room
from tests.journal.tiny import NOON, answered, append, put, says


@pytest.fixture
async def journal(tmp_path):
    made = await SqliteJournal.open(tmp_path / "paymux.db")
    yield made
    await made.close()


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [(b"Accept", b"*/*")],
        [(b"User-Agent", b"Some Thing/1.0 (a; b)"), (b"Host", b"pay.example:8080"), (b"X-Empty", b"")],
        [(b"X-Tab", b"a\tb"), (b"x-tab", b"\xff\x00")],
    ],
    ids=["none", "one", "blanks and colons", "other bytes"],
)
def test_headers_come_back_as_they_were(pairs):
    """Blanks, colons and bytes that are no text, in order and in their own case."""
    assert header_pairs(_dump_pairs(pairs)) == pairs


async def test_a_reader_takes_no_more_than_fits_into_a_transaction(journal, monkeypatch):
    """Rows until their values together are as large as one may be, at least one, in order."""
    await put(journal, *(says("payment", f"e{n}", f"p{n}", status="succeeded") for n in range(6)))
    every = await journal.read(0, 0, 10)
    assert len(every) == 6
    sizes = [len(row.record.value) for row in every]
    for room, count in ((sum(sizes[:3]), 3), (sum(sizes[:3]) + 1, 4), (1, 1)):
        monkeypatch.setattr(outbox, "READ_BYTES", room)
        assert [row.seq for row in await journal.read(0, 0, 10)] == list(range(1, count + 1))


async def test_rejections_that_no_commit_took_along_are_bounded(journal):
    """A stranger who is rejected again and again fills no memory: the newest thousand wait, and all are shown."""
    for number in range(RING + 300):
        journal.reject(
            Rejection(
                at=NOON + timedelta(milliseconds=number),
                provider="tiny",
                account="acme",
                reason="signature_mismatch",
                address="192.0.2.1",
                size=number,
                sha256="00" * 32,
            )
        )
    assert len(journal._store.rejections) == RING
    assert [kept.size for kept in await journal.rejections(5000)] == list(range(RING + 299, 299, -1))


async def test_names_that_nobody_foresaw_are_read_by_themselves(journal):
    """What a commit did not ask for beforehand is found all the same, and each account has its own."""
    await put(journal, says("payment", "e1", "p1", status="succeeded", aliases=["c1", "c2"]))
    await put(journal, says("refund", "e2", "r1", status="succeeded", by="c9"))
    await put(journal, says("refund", "e3", "r2", status="succeeded", by="c9"))
    await put(journal, says("payment", "e4", "p4", status="succeeded"))  # a commit that foresaw none of these names
    view, scope = journal._store.view, ("tiny", "acme")
    assert [view.link(scope, alias) for alias in ("c1", "c2", "c9")] == ["p1", "p1", None]
    assert sorted(view.orphans(scope, "c9")) == ["tiny/acme/r1", "tiny/acme/r2"]
    assert list(view.orphans(scope, "c1")) == []
    assert view.link(("tiny", "other"), "c1") is None
    assert list(view.orphans(("tiny", "other"), "c9")) == []
    known, seen = view.known("tiny/acme/p1"), view.seen(scope, "e1")
    assert (known.sequence, seen.delivery) == (1, 1)
    assert (view.known("tiny/acme/nobody"), view.seen(scope, "e9"), view.seen(("tiny", "other"), "e1")) == (None,) * 3
    assert (view.row_of("nobody"), view.job("nobody"), view.lookup(scope, ObjectRef(object="payment", id="x"))) == (
        None,
    ) * 3


async def test_a_connection_that_saw_an_error_is_closed(journal):
    """The next decision reads over another one: nothing of the old one's transaction is left."""
    await put(journal, says("payment", "e1", status="succeeded"))
    before = journal._store.connection
    with pytest.raises(JournalUnavailable, match="KeyError"):
        await journal.change(lambda _: {}["a bug"])
    await journal._store.rollback()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        before.execute("SELECT 1")
    await journal._store.rollback()  # nothing is open
    assert (await put(journal, says("payment", "e1", status="succeeded")))[0].result == "duplicate"


async def test_a_mark_that_could_not_be_stored(journal, monkeypatch):
    """Nobody is told of it: the next commit takes it along."""
    heard = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: heard.append(context))
    monkeypatch.setattr("paymux.journal.sqlite.LAZY_MARK", 0.01)
    with faulty(journal, no_room):
        await journal.advance(0, 7)
        await asyncio.sleep(0.1)
    gc.collect()
    assert heard == []
    assert query(journal, "SELECT seq FROM marks") == []
    await put(journal, says("payment", "e1", status="succeeded"))
    assert query(journal, "SELECT seq FROM marks") == [(7,)]


async def test_whether_a_journal_is_in_use(journal, tmp_path):
    """While it is open, and not any more; asking holds nothing, whether there is a journal or not."""
    assert is_held(tmp_path / "paymux.db")
    await journal.close()
    assert not is_held(tmp_path / "paymux.db")
    assert not is_held(tmp_path / "nowhere.db")
    await (await SqliteJournal.open(tmp_path / "paymux.db")).close()


async def test_a_row_has_the_time_of_its_commit(tmp_path):
    """To the microsecond: the lag is counted from it."""
    moment = NOON + timedelta(microseconds=123_457)
    journal = await SqliteJournal.open(tmp_path / "timed.db", now=lambda: moment)
    await put(journal, says("payment", "e1", status="succeeded"))
    assert [row.created_at for row in await journal.read(0, 0, 10)] == [moment]
    await journal.close()


async def test_a_reader_waits_for_a_row_and_no_longer(journal, tmp_path):
    """Over a connection of its own: until there is a row after the one it knows, or until its time is up."""
    reader = SqliteOutbox(tmp_path / "paymux.db", poll=0.01)
    clock = asyncio.get_running_loop().time
    began = clock()
    await reader.wait(0, 0, 0.1)
    assert 0.1 <= clock() - began < 5
    waiting = asyncio.create_task(reader.wait(0, 0, 60))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await put(journal, says("payment", "e1", status="succeeded"))
    await asyncio.wait_for(waiting, 5)
    await asyncio.wait_for(reader.wait(0, 0, 60), 5)
    began = clock()
    await reader.wait(0, 1, 0.05)
    assert clock() - began >= 0.05
    await reader.close()


async def test_a_reader_looks_as_often_as_it_was_told(journal, tmp_path, monkeypatch):
    """And never sleeps longer than it may wait."""
    slept = []
    reader = SqliteOutbox(tmp_path / "paymux.db", poll=0.02)

    async def sleep(seconds, really=asyncio.sleep):
        slept.append(seconds)
        await really(seconds)

    monkeypatch.setattr(outbox.asyncio, "sleep", sleep)
    await reader.wait(0, 0, 0.05)
    assert set(slept) == {0.02}
    assert len(slept) <= 3
    slept.clear()
    await reader.wait(0, 0, 0.01)
    assert slept == [0.01]
    await reader.close()


async def test_an_answer_is_stored_with_its_question(journal):
    """The address that was asked and what was asked for; a webhook has neither."""
    question = answered({"id": "p1", "status": "succeeded"})
    url = "https://api.example/p1?q=\udcff"
    await append(journal, confirmed(replace(question.delivery, url=url)))
    await put(journal, says("payment", "e1", status="succeeded"))
    (was_asked, asked), webhook = query(journal, "SELECT url, asked FROM deliveries ORDER BY row")
    assert was_asked == "https://api.example/p1?q=\\udcff"
    assert json.loads(asked) == {"ref": {"object": "payment", "id": "p1"}, "occurred_at": None}
    assert webhook == (None, None)


async def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """With what SQLite says of it."""
    path = tmp_path / "nowhere.db"
    reader = SqliteOutbox(path)
    with pytest.raises(JournalUnavailable) as caught:
        await reader.end(0)
    assert caught.value.detail == f"the journal {path} cannot be read: unable to open database file"
    await reader.close()


async def test_the_chain_goes_on_after_a_restart(tmp_path):
    """The first row of the new life stands for all the rows of the old one."""
    for number in range(3):
        journal = await SqliteJournal.open(tmp_path / "again.db")
        await put(journal, says("payment", f"e{number}", f"p{number}", status="succeeded"))
        found = await journal.read(0, 0, 10)
        await journal.close()
    chain = ""
    for row in found:
        chain = hashlib.sha256(f"{chain}\n{row.record.event_id}".encode()).hexdigest()
        assert row.chain == chain
    assert len(found) == 3
