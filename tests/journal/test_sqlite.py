"""The journal in one file: what disks, processes and power do to it."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from paymux.delivery import Verified
from paymux.errors import JournalUnavailable, JournalUnusable, Unwritable
from paymux.journal import Rejection, Result
from paymux.journal.sqlite import SqliteJournal, store, writer
from paymux.journal.sqlite.outbox import SqliteOutbox
from paymux.journal.sqlite.schema import MIGRATIONS
from paymux.journal.sqlite.writing import WriterProcess, WriterThread
from tests.journal.stored import deliveries, items
from tests.journal.test_contract import quarantined
from tests.journal.tiny import NOON, append, batch, put, says
from tests.stories import told

ROOT = Path(__file__).parents[2]
APPENDER = ("-m", "tests.journal.appender")
NOBODY = 65534


def paid(key="e1", object_id="p1", **fields):
    return says("payment", key, object_id, **{"status": "succeeded", "amount": 4999, **fields})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "paymux.db"


@pytest.fixture(params=[WriterThread, WriterProcess])
async def journal(path, request):
    """Written by a thread, and by a process."""
    made = await SqliteJournal.open(path, writing=request.param)
    yield made
    await made.close()


@pytest.fixture
async def by_thread(path):
    """Its writer is at hand."""
    made = await SqliteJournal.open(path)
    yield made
    await made.close()


def check(path, acked=()):
    """The file is whole, nothing acknowledged is missing, and seq has no gap."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stored = {key for (key,) in connection.execute("SELECT event_key FROM items")}
        seqs = [seq for (seq,) in connection.execute("SELECT seq FROM outbox ORDER BY seq")]
    finally:
        connection.close()
    assert set(acked) <= stored
    assert seqs == list(range(1, len(seqs) + 1))
    return stored


def python(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def script(text, *arguments):
    """A script in a process of its own, and what it printed."""
    child = python("-c", textwrap.dedent(text), *arguments)
    out, _ = child.communicate(timeout=60)
    return child.returncode, out


# --- death


@pytest.mark.parametrize("where", ["thread", "process"])
def test_killed_at_random_moments(path, where):
    """Eight times in a row: every acknowledged delivery is there, once, and the file is whole."""
    moments = random.Random(20_261_101)
    acked = []
    for cycle in range(8):
        child = python("-m", "tests.journal.appender", where, path, f"run{cycle}")
        assert child.stdout.readline() == "open\n"
        killer = time.monotonic() + moments.uniform(0.02, 0.4)
        while time.monotonic() < killer:
            acked.append(child.stdout.readline())
        child.kill()
        acked += child.communicate()[0].splitlines(keepends=True)
    keys = [line.split()[1] for line in acked if line.startswith("acked") and line.endswith("\n")]
    assert len(keys) > 100
    stored = check(path, keys)
    assert len(stored) >= len(keys)


@pytest.mark.parametrize("where", ["thread", "process"])
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_killed_at_a_named_call(path, call, where):
    """At the n-th sync, or the n-th write to the file: the same; a journal whose writer alone was killed goes on."""
    keys = []
    for cycle, when in enumerate((110, 140, 180) if call == "pwrite64" else (12, 15, 40)):
        inject = f"inject={call}:signal=SIGKILL:when={when}"
        out, code = strace(inject, "-m", "tests.journal.appender", where, path, f"run{cycle}", "400")
        went_on = where == "process" and "refused" in out and code == 0
        assert went_on or code in (-signal.SIGKILL, 128 + signal.SIGKILL), out
        keys += [line.split()[1] for line in out.splitlines() if line.startswith("acked")]
        check(path, keys)


def strace(inject, *arguments, trace="fdatasync,pwrite64"):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: errors of the disk cannot be injected")
    done = subprocess.run(
        [
            *("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={trace}", "-e", inject),
            *(sys.executable, *map(str, arguments)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip("this system lets nobody trace a process: errors of the disk cannot be injected")
    return done.stdout, done.returncode


@pytest.mark.parametrize(
    "inject",
    [
        "fdatasync:error=EIO:when=15..300+7",
        "pwrite64:error=EIO:when=150+150",
        "pwrite64:error=ENOSPC:when=150+150",
        "pwrite64:error=EROFS:when=150+150",
    ],
)
@pytest.mark.parametrize("where", ["thread", "process"])
def test_a_disk_with_errors(path, inject, where):
    """Callers are refused, the connection is opened anew, their retries succeed, and no number is given twice."""
    out, code = strace(f"inject={inject}", "-m", "tests.journal.appender", where, path, "run", "400")
    lines = [line.split() for line in out.splitlines()]
    acked = [line[1] for line in lines if line[0] == "acked"]
    assert code == 0, out
    assert sum(line[0] == "refused" for line in lines) >= 5
    assert len(acked) == len(set(acked)) == 400
    assert check(path, acked) == set(acked)


@pytest.mark.parametrize("where", ["thread", "process"])
def test_a_slow_disk(path, where):
    """Everything is acknowledged, late: one sync in three takes 100 ms."""
    out, code = strace("inject=fdatasync:delay_enter=100000:when=15..300+3", *APPENDER, where, path, "run", "200")
    lines = [line.split() for line in out.splitlines()]
    assert code == 0, out
    assert not any(line[0] == "refused" for line in lines)
    assert check(path, [line[1] for line in lines if line[0] == "acked"]) == {f"run-{n}" for n in range(200)}


async def test_reopened(path):
    """Identity, numbers, states, lookups, marks and rejections are those from before."""
    journal = await SqliteJournal.open(path)
    identity = journal.identity
    await put(journal, paid("e1", status="processing"), says("ask", "e2", "-", ids=["p9"]))
    await journal.postpone((await journal.due_lookups(NOON + timedelta(days=10_000), 9))[0], NOON)
    await journal.advance(0, 1)
    journal.reject(rejection(7))
    before = await journal.due_lookups(NOON, 9)
    await journal.close()

    journal = await SqliteJournal.open(path)
    assert journal.identity == identity
    assert await journal.mark(0) == 1
    assert await journal.end(0) == 1
    assert await journal.rejections(9) == [rejection(7)]
    assert await journal.due_lookups(NOON, 9) == before
    assert (await put(journal, paid("e1", status="processing"), says("ask", "e2", "-", ids=["p9"])))[0].result is (
        Result.DUPLICATE
    )
    await put(journal, paid("e3", after=9), says("ask", "e4", "-", ids=["p8"]))
    last = (await told(journal))[-1]
    assert (last.sequence, last.transition) == (2, "advanced")
    assert [row.seq for row in await journal.read(0, 0, 9)] == [1, 2]
    assert len({row.id for row in await journal.due_lookups(NOON + timedelta(days=10_000), 9)}) == 2
    await journal.close()
    assert not path.with_name("paymux.db-wal").exists()


def rejection(number):
    return Rejection(
        at=NOON + timedelta(seconds=number),
        provider="tiny",
        account="acme",
        reason="too_old",
        address="192.0.2.1",
        size=number,
        sha256="",
    )


async def test_what_went_along_with_a_commit(journal):
    """It is not written again with the next one; what came meanwhile is."""
    journal.reject(rejection(1))
    await journal.advance(0, 1)
    writing = journal._store._writing
    commit = writing.commit

    async def later(batch):
        journal.reject(rejection(2))
        await journal.advance(0, 2)
        await commit(batch)

    writing.commit = later
    await put(journal, paid())
    writing.commit = commit
    assert [kept for _, kept in journal._store.rejections] == [rejection(2)]
    assert journal._store.marks == {0: 2}
    await put(journal, paid("e2", after=1))
    assert (len(journal._store.rejections), journal._store.marks) == (0, {})
    assert await journal.rejections(9) == [rejection(2), rejection(1)]


async def test_the_ring_of_rejections_goes_on_after_a_restart(path):
    """The oldest are overwritten, not those that happen to stand first."""
    for start in (0, 900, 1800):
        journal = await SqliteJournal.open(path)
        for number in range(start, start + 900):
            journal.reject(rejection(number))
        await journal.close()
    journal = await SqliteJournal.open(path)
    found = [kept.size for kept in await journal.rejections(5000)]
    assert found == list(range(2699, 1699, -1))
    await journal.close()


async def test_restored_from_an_older_copy(path, tmp_path):
    """What is sent again gets the same event ids and numbers as it had."""
    journal = await SqliteJournal.open(path)
    await put(journal, paid("e1"))
    await journal.close()
    shutil.copy(path, tmp_path / "copy.db")
    found = []
    for file in (path, tmp_path / "copy.db"):
        journal = await SqliteJournal.open(file)
        await put(journal, paid("e2", after=5))
        found.append([(row.seq, row.record.event_id) for row in await journal.read(0, 0, 9)])
        await journal.close()
    assert found[0] == found[1]


# --- durability


async def test_the_writing_connection(by_thread):
    """WAL, synchronous FULL, and no checkpoint but those that the journal asks for; after an error too."""
    work = by_thread._store._writing._writer
    for number in range(2):
        await put(by_thread, paid(f"e{number}", after=number))
        values = [
            work._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "mmap_size")
        ]
        assert values == ["wal", 2, 0, 0]
        with pytest.raises(sqlite3.IntegrityError):
            work.commit([("INSERT INTO meta VALUES (?, ?)", [("identity", "another")])])


async def test_a_row_is_read_only_after_its_commit(journal, path):
    """Another connection sees nothing of a batch that is written and not committed."""
    outbox, unit = SqliteOutbox(path), asyncio.Event()
    commit = journal._store.commit

    async def later(changes):
        unit.set()
        await asyncio.sleep(0.2)
        await commit(changes)

    journal._store.commit = later
    task = asyncio.create_task(put(journal, paid()))
    await unit.wait()
    assert (await outbox.end(0), await journal.end(0)) == (0, 0)
    assert list(await journal.read(0, 0, 9)) == []
    assert deliveries(journal) == []
    await task
    assert (await outbox.end(0), await journal.end(0)) == (1, 1)
    await outbox.close()


async def test_the_wal_stays_small_under_load(journal, path):
    """Small deliveries and large ones, with a reader beside: a few checkpoints' worth."""
    wal = path.with_name("paymux.db-wal")
    reader, stop = SqliteOutbox(path), asyncio.Event()

    async def read():
        seen = 0
        while not stop.is_set():
            seen += len(await reader.read(0, seen, 500))
            await asyncio.sleep(0.005)

    task = asyncio.create_task(read())
    largest = []
    for number in range(40):
        await asyncio.gather(*(put(journal, paid(f"e{number}-{n}", f"p{number}-{n}", after=n)) for n in range(64)))
        largest.append(wal.stat().st_size)
    for number in range(60):
        await put(journal, paid(f"big-{number}", "big", after=number, other="x" * 500_000))
        largest.append(wal.stat().st_size)
    stop.set()
    await task
    await reader.close()
    assert max(largest) < 15_000_000
    assert path.stat().st_size > 25_000_000


async def test_duplicates_alone_are_checkpointed(journal, path, monkeypatch):
    """They write too: a retrying sender does not make the WAL grow."""
    monkeypatch.setattr("paymux.journal.sqlite.CHECKPOINT_EVERY", 50)
    await put(journal, paid())
    for _ in range(400):
        await put(journal, paid())
    assert path.with_name("paymux.db-wal").stat().st_size < 800_000
    assert deliveries(journal)[0].attempts == 401


async def test_a_checkpoint_that_fails(by_thread):
    """The journal goes on with another connection."""
    work = by_thread._store._writing._writer
    await put(by_thread, paid("e1"))
    before = work._connection
    before.execute("BEGIN IMMEDIATE")  # a checkpoint in its own transaction: SQLite refuses
    work.checkpoint()
    await put(by_thread, paid("e2", after=1))
    assert work._connection is not before
    assert [row.seq for row in await by_thread.read(0, 0, 9)] == [1, 2]


async def test_an_interrupted_commit(journal):
    """What became of it is not known, and the next batch is decided on what it left: once, without a gap."""
    await put(journal, paid("e1"))
    for number in range(2, 30):
        waiting = asyncio.create_task(put(journal, paid(f"e{number}", after=number)))
        await asyncio.sleep(0.0002 * number)
        if journal._commits._running is not None:
            journal._commits._running.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await put(journal, paid(f"e{number}", after=number))
    assert len(deliveries(journal)) == 29
    assert [row.seq for row in await journal.read(0, 0, 99)] == list(range(1, 30))


# --- the writer's process


async def test_its_process_is_killed(path):
    """What was under way is refused, the next batch starts another, and nothing acknowledged is missing."""
    journal = await SqliteJournal.open(path, writing=WriterProcess)
    await put(journal, paid("e0"))
    acked, moments = ["e0"], random.Random(7)
    for cycle in range(6):
        tasks = {
            f"e{cycle}-{n}": asyncio.create_task(put(journal, paid(f"e{cycle}-{n}", f"p{n}", after=cycle)))
            for n in range(200)
        }
        await asyncio.sleep(moments.uniform(0, 0.03))
        journal._store._writing._child._process.kill()
        found = await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert {type(answer) for answer in found} <= {tuple, JournalUnavailable}
        acked += [key for key, answer in zip(tasks, found, strict=True) if isinstance(answer, tuple)]
        await put(journal, paid(f"after-{cycle}", after=cycle))
        acked.append(f"after-{cycle}")
    await journal.close()
    check(path, acked)


async def test_its_process_hangs_at_the_end(path, monkeypatch):
    """The journal closes nonetheless, and its file is free."""
    monkeypatch.setattr("paymux.journal.sqlite.writing.END_SECONDS", 0.2)
    journal = await SqliteJournal.open(path, writing=WriterProcess)
    await put(journal, paid("e0"))
    os.kill(journal._store._writing._child._process.pid, signal.SIGSTOP)
    journal._commits._closed = True  # or its last, empty commit would hang as well
    await journal.close()
    check(path, ["e0"])
    await (await SqliteJournal.open(path)).close()


async def test_its_parent_is_killed(path):
    """The process ends by itself, and the next owner need not wait long."""
    child = python("-m", "tests.journal.appender", "process", path, "run")
    acked = [child.stdout.readline() for _ in range(100)]
    child.kill()
    journal = await SqliteJournal.open(path, writing=WriterProcess)
    acked += child.communicate()[0].splitlines(keepends=True)
    await put(journal, paid("after"))
    await journal.close()
    check(path, [line.split()[1] for line in acked if line.startswith("acked") and line.endswith("\n")])


async def test_no_process_can_be_started(path, monkeypatch):
    """Refused with the reason, until one can."""
    journal = await SqliteJournal.open(path, writing=WriterProcess)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(JournalUnavailable, match=r"writer cannot be started: .*No such file"):
            await put(journal, paid("e1"))
    assert (await put(journal, paid("e1")))[0].result is Result.NEW
    await journal.close()


# --- errors


async def test_a_row_that_cannot_be_written(journal):
    """It alone is refused, and its neighbours of the same batch are committed without a gap."""
    poison = batch(paid("bad", "p9"))
    poison = Verified(replace(poison.delivery, method=object()), poison.proof, poison.secret)
    tasks = [asyncio.create_task(put(journal, paid(f"e{n}", f"p{n}"))) for n in range(5)]
    bad = asyncio.create_task(append(journal, poison))
    tasks += [asyncio.create_task(put(journal, paid(f"e{n}", f"p{n}"))) for n in range(5, 9)]
    with pytest.raises(JournalUnavailable, match="could not be written"):
        await bad
    assert [receipt.result for (receipt,) in await asyncio.gather(*tasks)] == [Result.NEW] * 9
    assert [row.seq for row in await journal.read(0, 0, 99)] == list(range(1, 10))


async def test_a_read_that_fails_is_not_the_deliverys_fault(journal, path):
    """It is refused, not quarantined: a sender's retry must find nothing of it."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("ALTER TABLE payments RENAME TO hidden")
    with pytest.raises(JournalUnavailable):
        await put(journal, paid())
    other.execute("ALTER TABLE hidden RENAME TO payments")
    other.close()
    assert items(journal) == []
    (receipt,) = await put(journal, paid())
    assert (receipt.result, receipt.outcome) == (Result.NEW, "events")
    assert await quarantined(journal) == []


async def test_a_transaction_that_sqlite_ended_itself(journal, path):
    """Nothing of the batch is committed row by row: what ended it is refused, the others are committed after all."""
    await put(journal, paid("e0", "p0"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(
        "CREATE TRIGGER ends BEFORE INSERT ON items WHEN NEW.event_key = 'bad' "
        "BEGIN SELECT RAISE(ROLLBACK, 'ended here'); END"
    )
    other.close()
    tasks = [asyncio.create_task(put(journal, paid(key, key, after=1))) for key in ("e1", "bad", "e2")]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in found] == [tuple, Unwritable, tuple]
    assert len(deliveries(journal)) == 3
    assert [row.seq for row in await journal.read(0, 0, 99)] == [1, 2, 3]


async def fill(journal):
    """The keys of what was acknowledged before the first refusal."""
    acked = []
    for number in range(1000):
        try:
            await put(journal, paid(f"e{number}", f"p{number}", other="x" * 20_000))
        except JournalUnavailable:
            return acked
        acked.append(f"e{number}")
    raise AssertionError("it was never refused")


async def test_a_full_disk(tmp_path):
    """Callers are refused, what was acknowledged is there, reads go on, and room is enough to go on without restart."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        path = folder / "paymux.db"
        (folder / "filler").write_bytes(bytes(1_500_000))
        journal = await SqliteJournal.open(path)
        acked = await fill(journal)
        assert len(acked) > 10
        with pytest.raises(JournalUnavailable):
            await put(journal, paid("more", other="x" * 200_000))
        with pytest.raises(JournalUnavailable):
            await put(journal, paid("still more", other="x" * 200_000))
        assert [row.seq for row in await journal.read(0, 0, 999)] == list(range(1, len(acked) + 1))
        (folder / "filler").unlink()
        await journal.healthy()
        assert (await put(journal, paid("after", "p1", after=9)))[0].result is Result.NEW
        assert (await put(journal, paid("e0", "p0", other="x" * 20_000)))[0].result is Result.DUPLICATE
        await journal.close()
        check(path, [*acked, "after"])
    finally:
        subprocess.run(["umount", folder], check=True)


HOLDER = """
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    print("held", flush=True)
    sys.stdin.read()
    connection.execute("ROLLBACK")
"""


def holding(path):
    """A process that holds the file until its stdin is closed."""
    holder = python("-c", textwrap.dedent(HOLDER), path, stdin=subprocess.PIPE)
    assert holder.stdout.readline() == "held\n"
    return holder


async def lag_of(task):
    """The longest that the event loop waited for something in one turn while a task ran, and the longest that it
    worked: on a busy machine the two together say nothing.
    """
    waited = worked = 0.0
    while not task.done():
        began, own = time.monotonic(), time.thread_time()
        await asyncio.sleep(0.005)
        turn, work = time.monotonic() - began, time.thread_time() - own
        waited, worked = max(waited, turn - work - 0.005), max(worked, work)
    return waited, worked


async def test_locked_by_another_process_for_long(journal, path):
    """All who ask are refused after the patience, once, the loop never stands still, and it works again afterwards."""
    await put(journal, paid("e0", "p0"))
    holder = holding(path)
    began = time.monotonic()
    tasks = asyncio.gather(*(put(journal, paid(f"e{n}", f"p{n}")) for n in range(1, 300)), return_exceptions=True)
    stood_still = await lag_of(tasks)
    waited = time.monotonic() - began
    assert {type(error) for error in await tasks} == {JournalUnavailable}
    assert writer.LOCK_PATIENCE <= waited < writer.LOCK_PATIENCE + 1
    assert max(stood_still) < 0.25
    holder.communicate()
    assert (await put(journal, paid("e1", "p1")))[0].result is Result.NEW
    assert [row.seq for row in await journal.read(0, 0, 9)] == [1, 2]


async def test_locked_by_another_process_for_a_moment(journal, path):
    """The append waits and succeeds."""
    holder = holding(path)
    waiting = asyncio.create_task(put(journal, paid()))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    holder.communicate()
    assert (await waiting)[0].result is Result.NEW


# --- opening


async def refused(path):
    with pytest.raises(JournalUnusable) as caught:
        await SqliteJournal.open(path)
    return str(caught.value)


async def test_held_by_another_process(journal, path, tmp_path, monkeypatch):
    """Refused in a sentence, also under another name of the same file; free again after it was closed."""
    monkeypatch.setattr("paymux.journal.sqlite.HOLD_PATIENCE", 0.2)
    code, out = script(
        """
        import asyncio, pathlib, sys
        from paymux.journal import sqlite
        sqlite.HOLD_PATIENCE = 0.2
        try:
            asyncio.run(sqlite.SqliteJournal.open(pathlib.Path(sys.argv[1])))
        except Exception as error:
            print(type(error).__name__, error)
        """,
        path,
    )
    assert (code, out) == (0, f"JournalUnusable another paymux holds the journal {path}; stop it first\n")
    (tmp_path / "link.db").symlink_to(path)
    assert "another paymux holds" in await refused(tmp_path / "link.db")
    await journal.close()
    again = await SqliteJournal.open(tmp_path / "link.db")
    await again.close()


async def test_a_newer_schema(path):
    """Refused, with both versions; nothing is changed and nothing stays locked."""
    journal = await SqliteJournal.open(path)
    await journal.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    assert "newer paymux (schema 99, this one knows 1)" in await refused(path)
    assert "newer paymux" in await refused(path)
    assert path.read_bytes() == before


async def test_another_programs_sqlite_file(path):
    """Refused, and not a byte of it is changed: not even its journal mode."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.execute("INSERT INTO theirs VALUES (1)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    assert "not a paymux journal; name another file" in await refused(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir() if file.suffix != ".lock"] == ["paymux.db"]


async def test_a_file_that_is_no_database(path):
    """Refused with instructions, and left as it is."""
    path.write_bytes(b"certainly no database, but long enough to be taken for one" * 100)
    before = path.read_bytes()
    message = await refused(path)
    assert "damaged or no SQLite file" in message
    assert ".recover" in message
    assert path.read_bytes() == before


@pytest.mark.parametrize("keep", [100, 4096, 0.5, -4096])
async def test_a_file_cut_off(path, keep):
    """Refused with instructions, the file left as it is; or opened and refusing. Never another kind of error."""
    journal = await SqliteJournal.open(path)
    for number in range(50):
        await put(journal, paid(f"e{number}", f"p{number}"))
    await journal.close()
    whole = path.read_bytes()
    cut = whole[: int(len(whole) * keep) if isinstance(keep, float) else keep]
    path.write_bytes(cut)
    try:
        journal = await SqliteJournal.open(path)
    except JournalUnusable as error:
        message = str(error)
    else:
        message = await refusals(journal)
        await journal.close()
    assert "damaged" in message or "could not be written" in message or "malformed" in message
    if "damaged" in message:
        assert path.read_bytes() == cut


async def refusals(journal):
    """What a journal says to fifty deliveries, as far as it refuses them."""
    found = await asyncio.gather(*(put(journal, paid(f"e{n}", f"p{n}")) for n in range(50)), return_exceptions=True)
    assert {type(answer) for answer in found} <= {tuple, JournalUnavailable}
    return " ".join(str(answer) for answer in found if isinstance(answer, JournalUnavailable))


async def test_bytes_flipped_at_random(path):
    """Opened or refused, appended or refused, and never anything else."""
    journal = await SqliteJournal.open(path)
    for number in range(60):
        await put(journal, paid(f"e{number}", f"p{number % 7}", after=number))
    await journal.close()
    whole, places, seen = path.read_bytes(), random.Random(3), set()
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[places.randrange(len(whole))] ^= 1 << places.randrange(8)
        path.write_bytes(damaged)
        try:
            journal = await SqliteJournal.open(path)
        except JournalUnusable:
            seen.add("unusable")
            continue
        sent = (put(journal, paid(f"e{number}", f"p{number % 7}", after=number)) for number in range(55, 65))
        seen |= {type(answer) for answer in await asyncio.gather(*sent, return_exceptions=True)}
        await journal.close()
    assert tuple in seen
    assert seen <= {"unusable", tuple, JournalUnavailable}


async def test_a_folder_that_is_not_there(tmp_path):
    """Refused in a sentence that names it."""
    message = await refused(tmp_path / "nowhere" / "paymux.db")
    assert f"{tmp_path}/nowhere/paymux.db" in message
    assert "No such file or directory" in message


async def test_a_folder_in_place_of_the_file(tmp_path):
    """Refused in a sentence, with what would do."""
    (tmp_path / "paymux.db").mkdir()
    message = await refused(tmp_path / "paymux.db")
    assert "paymux.db is a folder; name a file in it" in message


@pytest.mark.parametrize("what", ["folder", "file"])
def test_no_right_to_write(tmp_path, what):
    """Refused in a sentence, as a user who may only read."""
    if os.getuid() != 0:
        pytest.skip("another user's rights can only be tried by root")
    folder = tmp_path / "theirs"
    folder.mkdir()
    path = folder / "paymux.db"
    code, out = script(
        """
        import asyncio, os, pathlib, sys
        from paymux.journal.sqlite import SqliteJournal
        path, what = pathlib.Path(sys.argv[1]), sys.argv[2]
        async def first():
            await (await SqliteJournal.open(path)).close()
        asyncio.run(first())
        path.with_name("paymux.db.lock").chmod(0o666)
        path.chmod(0o444)
        path.parent.chmod(0o777 if what == "file" else 0o555)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fchdir(folder)
        os.setgid(65534)
        os.setuid(65534)
        try:
            asyncio.run(SqliteJournal.open(pathlib.Path("paymux.db") if what == "file" else pathlib.Path("new.db")))
        except Exception as error:
            print(type(error).__name__, error)
        """,
        path,
        what,
    )
    assert code == 0, out
    assert out.startswith("JournalUnusable the journal"), out
    assert "cannot be opened: " in out


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_its_files_are_for_this_user_alone(path, umask):
    """Raw bodies are in them: 0600, however much the umask would let others have."""
    before = os.umask(umask)
    try:
        journal = await SqliteJournal.open(path)
        await append(journal, batch(paid()))
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()}
        await journal.close()
    finally:
        os.umask(before)
    names = ("paymux.db", "paymux.db-wal", "paymux.db-shm", "paymux.db.lock")
    assert modes == dict.fromkeys(names, oct(0o600))


# --- readers in other processes


async def test_a_reader_in_another_process(journal, path):
    """It sees every row once, in order, while they are written, and cannot write."""
    reader = python(
        "-c",
        textwrap.dedent(
            """
            import asyncio, pathlib, sys
            from paymux.journal.sqlite.outbox import SqliteOutbox
            async def main():
                outbox = SqliteOutbox(pathlib.Path(sys.argv[1]))
                print(outbox.identity, await outbox.end(0), await outbox.mark(0), flush=True)
                seen = 0
                while seen < 500:
                    await outbox.wait(0, seen, 5)
                    rows = await outbox.read(0, seen, 64)
                    assert [row.seq for row in rows] == list(range(seen + 1, seen + 1 + len(rows)))
                    seen += len(rows)
                await outbox.advance(0, seen)
                print(seen, await outbox.chain(0, seen), await outbox.mark(0), flush=True)
                try:
                    outbox._query("DELETE FROM outbox")
                except Exception as error:
                    print(type(error).__name__, "readonly" in str(error), flush=True)
                await outbox.close()
            asyncio.run(main())
            """
        ),
        path,
    )
    first = await asyncio.to_thread(reader.stdout.readline)
    assert first.split() == [journal.identity, "0", "0"]
    for number in range(10):
        await asyncio.gather(*(put(journal, paid(f"e{number}-{n}", f"p{n}", after=number)) for n in range(50)))
    out, _ = await asyncio.to_thread(reader.communicate)
    assert out.split("\n")[:2] == [f"500 {await journal.chain(0, 500)} 500", "JournalUnavailable True"], out
    assert await journal.mark(0) == 0


async def test_a_reader_of_a_file_that_is_not_there_yet(path):
    """Unavailable until it is there, and then it reads."""
    outbox = SqliteOutbox(path)
    with pytest.raises(JournalUnavailable):
        await outbox.end(0)
    with pytest.raises(JournalUnavailable):
        _ = outbox.identity
    journal = await SqliteJournal.open(path)
    await put(journal, paid())
    assert await outbox.end(0) == 1
    assert outbox.identity == journal.identity
    await outbox.close()
    await outbox.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        await outbox.end(0)
    await journal.close()


async def test_a_mark_is_stored_before_long(path, monkeypatch):
    """Lazily, with a commit of its own if none comes along; and never moved back."""
    monkeypatch.setattr("paymux.journal.sqlite.LAZY_MARK", 0.05)
    journal, outbox = await SqliteJournal.open(path), SqliteOutbox(path)
    await journal.advance(0, 5)
    assert (await journal.mark(0), await outbox.mark(0)) == (5, 0)
    await asyncio.sleep(0.3)
    assert await outbox.mark(0) == 5
    await journal.advance(0, 3)
    await asyncio.sleep(0.3)
    assert (await journal.mark(0), await outbox.mark(0)) == (5, 5)
    await outbox.close()
    await journal.close()


# --- migrations

MIGRATION = """
    import asyncio, os, pathlib, signal, sys
    from paymux.journal.sqlite import SqliteJournal, store

    class Deadly(tuple):
        def __iter__(self):
            for number, statement in enumerate(tuple.__iter__(self)):
                if number == deadly:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield statement

    NEXT = ("ALTER TABLE deliveries ADD COLUMN extra TEXT", "CREATE TABLE more (x)", "INSERT INTO more VALUES (1)")
    released, steps = store.MIGRATIONS, int(sys.argv[2])
    store.MIGRATIONS = (*released[:steps], Deadly(released[steps] if steps < len(released) else NEXT))
    async def main():
        await (await SqliteJournal.open(pathlib.Path(sys.argv[1]))).close()
    for line in sys.stdin:
        deadly, child = int(line), os.fork()
        if child == 0:
            asyncio.run(main())
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@contextmanager
def migrating(path, released):
    """Opens the file in a process of its own that is killed before a statement of the next schema: how that ended."""
    parent = python("-c", textwrap.dedent(MIGRATION), path, released, stdin=subprocess.PIPE)

    def killed_before(statement):
        parent.stdin.write(f"{statement}\n")
        parent.stdin.flush()
        return parent.stdout.readline().strip()

    yield killed_before
    assert parent.communicate() == ("", None)


KILLED = str(-signal.SIGKILL)


def test_killed_when_its_first_pages_are_written(path):
    """Before SQLite lets go of its rollback journal: the next start undoes it, and makes the file."""
    opening = "import asyncio, pathlib, sys; from paymux.journal.sqlite import SqliteJournal; "
    opening += "asyncio.run(SqliteJournal.open(pathlib.Path(sys.argv[1])))"
    strace("inject=unlink:signal=SIGKILL:when=1", "-c", opening, path, trace="unlink")
    assert path.with_name("paymux.db-journal").exists()
    assert script(f"{opening}; print('opened')", path) == (0, "opened\n")


async def test_killed_while_the_file_is_made(path):
    """Before every statement of the first schema: the next start makes it whole."""
    with migrating(path, 0) as killed_before:
        assert {killed_before(statement) for statement in range(len(MIGRATIONS[0]))} == {KILLED}
    journal = await SqliteJournal.open(path)
    assert (await put(journal, paid()))[0].result is Result.NEW
    await journal.close()
    check(path, ["e1"])


@pytest.mark.parametrize("released", range(1, len(MIGRATIONS) + 1))
async def test_killed_while_it_migrates(path, released):
    """From every released version, between every two statements: the old version stays, whole; then it migrates."""
    connection = writer.connect(path)
    connection.execute("BEGIN")
    for statements in MIGRATIONS[:released]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {store.APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {released}")
    connection.execute("INSERT INTO meta VALUES ('identity', 'the-old-one')")
    connection.execute("COMMIT")
    connection.close()
    journal = await SqliteJournal.open(path)
    await put(journal, paid("e1", status="processing"))
    await journal.close()
    with migrating(path, len(MIGRATIONS)) as killed_before:
        for statement in range(3):
            assert killed_before(statement) == KILLED
            journal = await SqliteJournal.open(path)
            assert journal.identity == "the-old-one"
            assert (await put(journal, paid("e1", status="processing")))[0].result is Result.DUPLICATE
            await journal.close()
        assert killed_before(99) == "0"
    check(path, ["e1"])
    assert f"schema {len(MIGRATIONS) + 1}" in await refused(path)


async def test_a_migration_with_a_mistake(path, monkeypatch):
    """Refused in a sentence; the old version stays as it was."""
    journal = await SqliteJournal.open(path)
    await put(journal, paid())
    await journal.close()
    with monkeypatch.context() as patched:
        patched.setattr(store, "MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE new (x)", "CREATE TABLE outbox (x)")))
        assert "cannot be opened: table outbox already exists" in await refused(path)
    journal = await SqliteJournal.open(path)
    assert [row.seq for row in await journal.read(0, 0, 9)] == [1]
    await journal.close()
