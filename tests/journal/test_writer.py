"""What the writer's process does with the orders that it reads: told over a socket, and obeyed in this one."""

from __future__ import annotations

import marshal
import socket
import sqlite3
from contextlib import closing

import pytest

from paymux.journal.sqlite import SqliteJournal, writer
from paymux.journal.sqlite.writer import ANSWER, CHECKPOINT, COMMIT, END, ORDER, SCRUB, SHRINK, Writer, serve

NOTE = "INSERT INTO meta VALUES (?, ?)"


@pytest.fixture
async def path(tmp_path):
    """A journal that nobody has open."""
    await (await SqliteJournal.open(tmp_path / "paymux.db")).close()
    return tmp_path / "paymux.db"


def order(what, rows=b""):
    return ORDER.pack(what, len(rows)) + rows


def commit(*batch):
    return order(COMMIT, marshal.dumps([(sql, list(rows)) for sql, rows in batch]))


def obeyed(path, *orders):
    """The answers, until there are no more orders."""
    ours, theirs = socket.socketpair()
    ours.sendall(b"".join(orders))
    ours.shutdown(socket.SHUT_WR)
    obedient = Writer(path)
    with theirs, theirs.makefile("rwb") as stream:
        serve(obedient, stream)
    answers = []
    with ours, ours.makefile("rb") as stream:
        while head := stream.read(ANSWER.size):
            answers.append(stream.read(ANSWER.unpack(head)[0]).decode())
    left = obedient._connection
    if left is not None:
        left.close()
    return answers, left is None


def notes(path):
    with closing(sqlite3.connect(path)) as opened:
        return opened.execute("SELECT name, value FROM meta WHERE name LIKE 'x%' ORDER BY name").fetchall()


def test_batches(path):
    """Each is answered by nothing once it is durable; what asks for no answer gets none; the end closes the file."""
    orders = [
        commit((NOTE, [("x1", "a"), ("x2", "b")])),
        order(CHECKPOINT),
        order(SHRINK),
        commit((NOTE, [("x3", "c")])),
        order(SCRUB),
        order(END),
        commit((NOTE, [("x4", "after the end")])),
    ]
    assert obeyed(path, *orders) == (["", "", ""], True)
    assert notes(path) == [("x1", "a"), ("x2", "b"), ("x3", "c")]
    assert not path.with_name("paymux.db-wal").exists()


def test_a_batch_with_a_mistake(path):
    """It is answered by the error's name and words, nothing of it is stored, and the next one is."""
    twice = [("x1", "a"), ("x1", "b")]
    answers, _ = obeyed(
        path, commit((NOTE, twice)), commit(("INSERT INTO nowhere VALUES (1)", [()])), commit((NOTE, [("x2", "b")]))
    )
    assert answers == [
        "IntegrityError:UNIQUE constraint failed: meta.name",
        "JournalUnavailable:the journal cannot be written: no such table: nowhere",
        "",
    ]
    assert notes(path) == [("x2", "b")]


@pytest.mark.parametrize("more", [-3, 0, 7])
def test_a_parent_that_is_gone_in_the_middle_of_an_order(path, more):
    """What it had begun to say is not done, and the file stays as it is."""
    whole = commit((NOTE, [("x2", "b")]))
    assert obeyed(path, commit((NOTE, [("x1", "a")])), whole[: ORDER.size + more]) == ([""], False)
    assert notes(path) == [("x1", "a")]


def test_old_pages_while_somebody_reads(path, monkeypatch):
    """That is the answer; they are emptied when nobody does."""
    monkeypatch.setattr(writer, "LOCK_PATIENCE", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM meta").fetchall()
        answers, _ = obeyed(path, commit((NOTE, [("x1", "a")])), order(SCRUB))
        said = "JournalUnavailable:the journal's WAL cannot be emptied while another program reads the journal"
        assert answers == ["", said]
        reader.execute("COMMIT")
        assert obeyed(path, order(SCRUB))[0] == [""]
        assert path.with_name("paymux.db-wal").stat().st_size == 0


def test_a_checkpoint(path):
    """What the WAL holds is in the file from then on."""
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("SELECT 1 FROM meta").fetchall()  # or the last one to close would be the one that checkpoints
        before = path.read_bytes()
        obeyed(path, commit((NOTE, [("x1", "checkpointed-word")])))
        assert path.read_bytes() == before
        obeyed(path, commit((NOTE, [("x2", "b")])), order(CHECKPOINT))
        assert b"checkpointed-word" in path.read_bytes()


def test_a_file_that_is_no_database(tmp_path):
    """Said in the answer to who asks."""
    (tmp_path / "text").write_text("no database" * 1000)
    answers, _ = obeyed(tmp_path / "text", order(SCRUB))
    assert answers == ["JournalUnavailable:the journal's WAL cannot be emptied: file is not a database"]
