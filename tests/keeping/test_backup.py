"""A copy beside a journal that is written to: whole, of one moment, and under its name only when it is."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest

from paymux.errors import CopyRefused
from paymux.journal.audit import Act
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.copies import examined
from paymux.journal.sqlite.writing import WriterProcess
from paymux.keeping.backup import back_up
from tests.journal.tiny import put, says


@pytest.fixture
async def journal(tmp_path):
    opened = await SqliteJournal.open(tmp_path / "paymux.db", writing=WriterProcess)
    for number in range(30):
        await put(opened, told(number))
    await opened.change(lambda unit: unit.audit(Act(who="ops", action="test", target="x")))
    yield opened
    await opened.close()


def told(number):
    return says("payment", f"e{number}", f"payment-{number}", status="succeeded", amount=1, note="n" * 5000)


def silent(_done, _total): ...


async def test_a_copy(journal, tmp_path):
    """Everything is in it, one file for this user alone, and what it holds is told."""
    os.umask(os.umask(0o022))
    found = await asyncio.to_thread(back_up, journal.path, tmp_path / "copy.db", silent)
    assert (found.identity, found.deliveries, found.payments, found.end, found.acts) == (
        journal.identity,
        30,
        30,
        30,
        1,
    )
    assert found.bytes == (tmp_path / "copy.db").stat().st_size
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("copy")] == ["copy.db"]
    assert rows(tmp_path / "copy.db") == rows(journal.path)


def rows(path, tables=("deliveries", "items", "outbox", "payments", "audit", "touched")):
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as opened:
        return [opened.execute(f"SELECT * FROM {table}").fetchall() for table in tables]


async def test_commits_while_it_copies(journal, tmp_path, monkeypatch):
    """They do not wait for it, and are not in it: the copy is of the moment when it began."""
    monkeypatch.setattr("paymux.journal.sqlite.copies.PAGES", 4)
    loop, steps, waited = asyncio.get_running_loop(), [], []

    def slowly(done, total):
        steps.append((done, total))
        if len(steps) <= 20:
            began = loop.time()
            asyncio.run_coroutine_threadsafe(put(journal, told(100 + len(steps))), loop).result(10)
            waited.append(loop.time() - began)

    found = await asyncio.to_thread(back_up, journal.path, tmp_path / "copy.db", slowly)

    assert len(steps) > 20
    assert steps[-1][0] == steps[-1][1]
    assert (found.deliveries, found.end) == (30, 30)
    assert await journal.end(0) == 50
    assert max(waited) < 1.0


async def test_a_file_that_is_there(journal, tmp_path):
    """Is not written over, also where it appears meanwhile; nothing half written stays."""
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(CopyRefused, match="is there already"):
        back_up(journal.path, tmp_path / "copy.db", silent)
    (tmp_path / "copy.db").rename(tmp_path / "kept")
    with pytest.raises(CopyRefused, match="is there already"):
        back_up(journal.path, tmp_path / "copy.db", lambda *_: (tmp_path / "copy.db").touch())
    assert sorted(file.name for file in tmp_path.iterdir() if "copy" in file.name) == ["copy.db"]
    with pytest.raises(CopyRefused, match="no folder"):
        back_up(journal.path, tmp_path / "nowhere" / "copy.db", silent)


async def test_a_copy_that_is_interrupted(journal, tmp_path):
    """By Ctrl-C: nothing stays."""

    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(journal.path, tmp_path / "copy.db", interrupted)
    assert [file.name for file in tmp_path.iterdir() if "copy" in file.name] == []


async def test_what_is_left_of_a_copy_is_no_copy(journal, tmp_path):
    """A copy begins with an empty file, whatever was left under its name, beside it too."""
    for name in ("copy.db.partial", "copy.db.partial-wal", "copy.db.partial-journal"):
        (tmp_path / name).write_bytes(b"torn " * 2000)
    found = back_up(journal.path, tmp_path / "copy.db", silent)
    assert found.bytes == (tmp_path / "copy.db").stat().st_size
    assert sorted(file.name for file in tmp_path.iterdir() if "copy" in file.name) == ["copy.db"]


KILLED = """
import os, pathlib, signal, sys
from paymux.keeping.backup import back_up
back_up(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""


async def test_a_copy_that_is_killed(journal, tmp_path):
    """What it left has another name, and the next copy takes its place."""
    script = (sys.executable, "-c", KILLED, str(journal.path), str(tmp_path / "copy.db"))
    done = await asyncio.to_thread(subprocess.run, script, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "copy.db").exists()
    assert (tmp_path / "copy.db.partial").exists()
    assert back_up(journal.path, tmp_path / "copy.db", silent).deliveries == 30
    assert sorted(file.name for file in tmp_path.iterdir() if "copy" in file.name) == ["copy.db"]


async def test_two_copies_under_one_name(journal, tmp_path):
    """The second one is refused while the first is written."""

    def second(*_):
        if not refused:
            with pytest.raises(CopyRefused, match="another paymux is writing") as error:
                back_up(journal.path, tmp_path / "copy.db", silent)
            refused.append(error)

    refused = []
    assert back_up(journal.path, tmp_path / "copy.db", second).deliveries == 30
    assert refused


DAMAGES = {
    "the body of delivery 3": "UPDATE deliveries SET body = zeroblob(length(body)) WHERE row = 3",
    "row 7 of the outbox": "UPDATE outbox SET event_id = 'another' WHERE seq = 7",
    "row 1 of the audit trail": "UPDATE audit SET who = 'nobody'",
}


@pytest.mark.parametrize("wrong", DAMAGES)
async def test_a_journal_that_is_not_what_was_written(journal, tmp_path, wrong):
    """Is told with the first thing that is wrong, and makes no copy that somebody would rely on."""
    await journal.close()
    with closing(sqlite3.connect(journal.path)) as opened:
        opened.execute(DAMAGES[wrong])
        opened.commit()
    with pytest.raises(CopyRefused, match=wrong) as refused:
        back_up(journal.path, tmp_path / "copy.db", silent)
    assert refused.value.reason == "copy_damaged"
    assert not (tmp_path / "copy.db").exists()


def test_no_journal(tmp_path):
    """Neither any file, nor another program's database."""
    (tmp_path / "text").write_text("not a database at all" * 100)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE x (y)")
    with pytest.raises(CopyRefused, match="damaged or no SQLite file"):
        examined(tmp_path / "text")
    with pytest.raises(CopyRefused, match="no paymux journal"):
        examined(tmp_path / "other.db")
