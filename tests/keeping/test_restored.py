"""A copy on its way to be the journal: what it says of itself, and what it is told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from paymux import lifecycle
from paymux.errors import JournalUnusable
from paymux.journal.audit import Act, chained
from paymux.journal.jobs import Job, JobState
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.restored import Name, RestoredFile, Waiting
from paymux.records import REPLAY
from tests.journal.tiny import NOON, put, says

EVENTS, QUARANTINE = "payments.events.v1", "payments.quarantine.v1"
P1 = "tiny/acme/p1"


def told(number, payment="p1", **fields):
    return says("payment", f"e{number}", payment, after=number, **{"status": "processing", "amount": 1, **fields})


class Clock:
    now = NOON

    def __call__(self):
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture
async def path(tmp_path):
    """A journal of two payments' events, a quarantined one and one that was sent again, published up to the second."""
    journal = await SqliteJournal.open(tmp_path / "copy.db", now=Clock())
    await put(journal, told(1))
    await put(journal, told(2))
    await put(journal, told(3, "p2"))
    await put(journal, says("odd", "e4"))
    first = (await journal.read(0, 0, 1))[0].record
    again = replace(first, headers=(*first.headers, (REPLAY, b"job-1")))
    await journal.advance(0, 2)
    await journal.change(lambda unit: unit.publish(P1, again, 1))
    await journal.close()
    return tmp_path / "copy.db"


@pytest.fixture
async def copy(path):
    with closing(RestoredFile(path)) as opened:
        yield opened


def asked(path, sql):
    with closing(sqlite3.connect(path)) as opened:
        return opened.execute(sql).fetchall()


def changed(path, sql):
    with closing(sqlite3.connect(path)) as opened:
        opened.execute(sql)
        opened.commit()


async def outbox(path):
    journal = await SqliteJournal.open(path)
    found = list(await journal.read(0, 0, 99))
    await journal.close()
    return found


async def test_what_a_copy_says_of_itself(path):
    """Who it is, how far it goes and is published, and each row's place; what is not kept is nobody's."""
    journal = await SqliteJournal.open(path)
    identity, rows = journal.identity, list(await journal.read(0, 0, 99))
    await journal.close()
    with closing(RestoredFile(path)) as copy:
        assert (copy.identity, copy.mark, copy.end) == (identity, 2, 5)
        assert [copy.place(row.seq) for row in rows] == [(row.record.event_id, row.chain) for row in rows]
        assert (copy.place(0), copy.place(6)) == (("", ""), ("", ""))


async def test_what_may_not_be_published(path):
    """Every row after the mark, by its name on Kafka and the number of its payment's event; a quarantined item has no
    number, and what was sent again is another record than the first one.
    """
    rows = await outbox(path)
    with closing(RestoredFile(path)) as copy:
        found = list(copy.waiting())
        since = copy.unknown_since()
    names = [
        Name(topic=row.record.topic, event_id=row.record.event_id, replay=b"job-1" if row.seq == 5 else None)
        for row in rows
    ]
    keys = [row.record.key.decode() for row in rows]
    assert found == [
        Waiting(seq=3, name=names[2], key="tiny/acme/p2", sequence=1),
        Waiting(seq=4, name=names[3], key=keys[3], sequence=None),
        Waiting(seq=5, name=names[4], key=P1, sequence=1),
    ]
    assert [name.topic for name in names] == [EVENTS, EVENTS, EVENTS, QUARANTINE, EVENTS]
    assert since == rows[2].created_at


async def test_a_copy_that_is_published_whole(path):
    """Nothing waits; unknown is what came after its last row."""
    rows = await outbox(path)
    changed(path, "UPDATE marks SET seq = 5")
    with closing(RestoredFile(path)) as copy:
        assert list(copy.waiting()) == []
        assert copy.unknown_since() == rows[4].created_at


async def test_a_copy_of_nothing(tmp_path):
    """It ends where it begins."""
    await (await SqliteJournal.open(tmp_path / "empty.db")).close()
    with closing(RestoredFile(tmp_path / "empty.db")) as copy:
        assert (copy.mark, copy.end, copy.unknown_since(), list(copy.waiting())) == (0, 0, None, [])


def test_a_file_that_is_no_journal(tmp_path):
    """Refused before anything is written to it."""
    changed(tmp_path / "other.db", "CREATE TABLE theirs (x)")
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(JournalUnusable, match="not a paymux journal"):
        RestoredFile(tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == before


def test_events_that_are_out(copy, path):
    """They are taken over once each; what the copy has itself is not, and how many are is told."""
    own, _ = copy.place(1)
    copy.take(["one", "two"])
    copy.take(["two", own])
    assert copy.forget_own() == 2
    copy.keep()
    assert sorted(asked(path, "SELECT event_id FROM taken")) == [("one",), ("two",)]


async def test_numbers_that_consumers_saw(copy, path):
    """A payment goes on from the larger number, and is otherwise known as before; one that is not known begins there."""
    assert copy.count_on({P1: 2, "tiny/acme/p2": 7, "tiny/acme/p3": 4}) == 2
    copy.keep()
    known = {key: lifecycle.load(value) for key, value in asked(path, "SELECT key, known FROM payments")}
    assert {key: each.sequence for key, each in known.items()} == {P1: 2, "tiny/acme/p2": 7, "tiny/acme/p3": 4}
    assert known["tiny/acme/p2"].standings["payment/p2"].status == "processing"
    journal = await SqliteJournal.open(path)
    await put(journal, told(9, "p2"), told(10, "p3"), told(11))
    rows = await journal.read(0, 5, 9)
    assert [dict(row.record.headers)["paymux_sequence"] for row in rows] == [b"8", b"5", b"3"]
    await journal.close()


async def test_another_name(path):
    """It is the child of the one that was copied; its mark is what it was told, and only jobs that were to run rest."""
    journal = await SqliteJournal.open(path)
    parent = journal.identity

    def decide(unit):
        for state in JobState:
            unit.keep_job(Job(id=state, kind="diff", state=state, created_at=NOON, created_by="ops", updated_at=NOON))

    await journal.change(decide)
    await journal.close()
    with closing(RestoredFile(path)) as copy:
        copy.rename("the-new-one", 4)
        assert (copy.identity, copy.mark) == ("the-new-one", 4)
        copy.keep()
    meta = dict(asked(path, "SELECT name, value FROM meta"))
    assert (meta["identity"], meta["parent"]) == ("the-new-one", parent)
    assert asked(path, "SELECT shard, seq FROM marks") == [(0, 4)]
    states = dict(asked(path, "SELECT id, state FROM jobs"))
    assert states == {state: "paused" if state in ("queued", "running") else state for state in JobState}


def test_an_act_follows_the_trail(copy, path):
    """The first one begins it; the next one is chained to it. Its time is kept to the microsecond, and in the
    chain as it is stored, wherever it was told."""
    first, second = Act(who="ops", action="journal.restore", target="x"), Act(who="b", action="c", target="d")
    at = NOON + timedelta(microseconds=7)
    copy.audit(first, at.astimezone(timezone(timedelta(hours=2))))
    copy.audit(second, at)
    copy.keep()
    chain = chained("", 1, at, first)
    trail = asked(path, "SELECT row, at, who, action, target, result, chain FROM audit ORDER BY row")
    micros = int(at.timestamp()) * 1_000_000 + 7
    assert trail == [
        (1, micros, "ops", "journal.restore", "x", "done", chain),
        (2, micros, "b", "c", "d", "done", chained(chain, 2, at, second)),
    ]


def test_one_file_when_it_is_kept(copy, path):
    """Everything is in it, and nothing lies beside it."""
    copy.rename("kept", 1)
    copy.keep()
    assert [each.name for each in path.parent.iterdir() if not each.name.endswith(".lock")] == ["copy.db"]
    assert asked(path, "SELECT value FROM meta WHERE name = 'identity'") == [("kept",)]


def test_nothing_of_it_when_it_is_not_kept(copy, path):
    """The copy is what it was."""
    before = asked(path, "SELECT value FROM meta WHERE name = 'identity'")
    copy.rename("not kept", 1)
    copy.close()
    assert asked(path, "SELECT value FROM meta WHERE name = 'identity'") == before


def test_while_it_is_looked_at_nobody_writes(copy, path):
    """It is one transaction, from the first question on."""
    with closing(sqlite3.connect(path, timeout=0)) as other, pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("UPDATE marks SET seq = 9")
