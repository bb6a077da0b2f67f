"""The journal in one SQLite file: WAL, synchronous FULL, one writing connection, group commit.

Batches are decided on the event loop and written elsewhere, by a thread or a process: the next batch gathers meanwhile.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import orjson

from paymux.delivery import Proof
from paymux.errors import JournalUnavailable, JournalUnusable
from paymux.journal import RING
from paymux.journal.changes import Rules
from paymux.journal.group_commit import GroupCommit
from paymux.journal.history import Sought
from paymux.journal.lookups import MOST_HINTS, Hints, give_up
from paymux.journal.sqlite.outbox import SqliteOutbox
from paymux.journal.sqlite.reading import bounds
from paymux.journal.sqlite.retained import OLD_BODIES, OLD_RECORDS
from paymux.journal.sqlite.rows import LOOKUP_COLUMNS, lookup_row, micro, moment, stored_rejection
from paymux.journal.sqlite.store import SqliteStore, prepare
from paymux.journal.sqlite.writing import WriterThread
from paymux.records import Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from paymux.delivery import ObjectRef
    from paymux.journal import Entry, LookupRow, Receipt, Rejection
    from paymux.journal.changes import Changes, Scope
    from paymux.journal.decide import Unit
    from paymux.journal.sqlite.writing import Writing

T = TypeVar("T")

CHECKPOINT_EVERY: Final = 500  # deliveries: some 4 MB of WAL
USUAL_DELIVERY: Final = 8192  # bytes of WAL
RECORDS: Final = 3  # of the outbox, that weigh as much
LAZY_MARK: Final = 1.0  # seconds
HOLD_PATIENCE: Final = 5.0  # seconds

# From one account to the next by the index, and of each the first rows by the other one: however many wait, no more
# is read than is asked for.
_DUE_LOOKUPS: Final = f"""
    WITH RECURSIVE accounts (provider, account) AS (
        SELECT provider, account FROM (SELECT provider, account FROM lookups ORDER BY provider, account LIMIT 1)
        UNION ALL
        SELECT following.provider, following.account FROM accounts JOIN lookups AS following ON following.id = coalesce(
            (SELECT id FROM lookups WHERE provider = accounts.provider AND account > accounts.account
             ORDER BY account LIMIT 1),
            (SELECT id FROM lookups WHERE provider > accounts.provider ORDER BY provider, account LIMIT 1)
        )
    )
    SELECT {LOOKUP_COLUMNS} FROM lookups WHERE id IN (
        SELECT due.id FROM accounts JOIN lookups AS due ON due.id IN (
            SELECT id FROM lookups
            WHERE provider = accounts.provider AND account = accounts.account AND due_at <= ?
            ORDER BY due_at, id LIMIT ?
        )
    ) ORDER BY due_at, id
"""


class SqliteJournal(SqliteOutbox):
    """The Journal protocol over one SQLite file; `open` makes one."""

    shards: Final = 1

    def __init__(
        self, store: SqliteStore, lock: int, rules: Rules, now: Callable[[], datetime], *, max_hints: int = MOST_HINTS
    ) -> None:
        super().__init__(store.path)
        self.path = store.path
        self._store = store
        self._hints = Hints(self, max_hints)
        self._lock = lock
        self._appended = asyncio.Event()
        self._since_checkpoint = 0
        self._rejected = store.view.last_rejection()
        self._failing = False
        self._closed = False
        self._commits = GroupCommit(store, rules, now=now, committed=self._committed)
        self._lazy: asyncio.TimerHandle | None = None
        self._chores: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        rules: Rules | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        writing: Callable[[Path, int], Writing] = WriterThread,
        max_hints: int = MOST_HINTS,
    ) -> Self:
        """Open or create the file, migrate it, and hold it until `close`. `writing`: where it is written, given the
        file and the lock that is held. `max_hints`: how many objects of an account hints may have left to look up.

        Raises JournalUnusable with what to do: held by another process, newer schema, damaged, a folder or in none.
        """
        lock = await hold(path)
        store = SqliteStore(path, writing(path, lock))
        try:
            prepare(path)
            return cls(store, lock, rules or Rules(topics=Topics()), now, max_hints=max_hints)
        except BaseException as error:
            await store.close()
            os.close(lock)
            # SQLite quotes a damaged schema in its message, which then need not be text.
            if isinstance(error, sqlite3.Error | UnicodeDecodeError | JournalUnavailable):
                raise JournalUnusable(_unusable(path, error)) from error
            raise

    async def append(self, entry: Entry) -> tuple[Receipt, ...]:
        await self._hints.let_in(entry)
        return await self._run(lambda unit: unit.append(entry), (entry,))

    async def change(self, decide: Callable[[Unit], T], entries: Sequence[Entry] = ()) -> T:
        return await self._run(decide, entries)

    async def postpone(self, lookup: LookupRow, until: datetime) -> None:
        await self._run(lambda unit: unit.postpone(lookup, until))

    async def give_up(self, lookup: LookupRow, *, reason: str, detail: str) -> bool:
        return await self._run(partial(give_up, lookup, reason, detail))

    async def advance(self, shard: int, seq: int) -> None:
        await super().advance(shard, seq)
        self._store.marks[shard] = self._marked[shard]
        if self._lazy is None:
            self._lazy = asyncio.get_running_loop().call_later(LAZY_MARK, self._flush_soon)

    async def end(self, shard: int) -> int:
        counters = self._commits.counters
        return counters.outbox.get(shard, 0) if counters else await super().end(shard)

    async def wait(self, shard: int, after: int, timeout: float) -> None:  # noqa: ASYNC109  # a poll
        if await self.end(shard) > after:
            return
        self._appended.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._appended.wait()

    async def due_lookups(self, now: datetime, limit: int) -> Sequence[LookupRow]:
        rows = await self._read(_DUE_LOOKUPS, (micro(now), limit))
        return [lookup_row(row) for row in rows]

    async def next_lookup_at(self) -> datetime | None:
        rows = await self._read("SELECT min(due_at) FROM lookups")
        return moment(rows[0][0])

    async def lookups_waiting(self) -> int:
        rows = await self._read("SELECT count(*) FROM lookups")
        return int(rows[0][0])

    async def hinted(self, scope: Scope) -> int:
        rows = await self._read(
            "SELECT count(*) FROM lookups WHERE provider = ? AND account = ? AND proof = ?", (*scope, Proof.HINT.value)
        )
        return int(rows[0][0])

    async def is_asked(self, scope: Scope, ref: ObjectRef) -> bool:
        rows = await self._read(
            "SELECT 1 FROM lookups WHERE provider = ? AND account = ? AND object = ? AND object_id = ?",
            (*scope, ref.object, ref.id),
        )
        return bool(rows)

    async def expire(self, before: datetime, limit: int) -> int:
        mark, first = await self.mark(0), await self._first_since(before)
        rows = [row for (row,) in await self._read(OLD_BODIES, (micro(before), first, mark, limit))]
        going = orjson.dumps(rows).decode()
        records = [(0, seq) for (seq,) in await self._read(OLD_RECORDS, (mark, micro(before), going, limit))]
        if rows or records:
            await self._run(lambda unit: unit.expire(rows, records))
            self._store.shrink_soon()
            self._store.checkpoint_soon()  # a step writes more pages than many deliveries
        return len(rows) + len(records)

    async def _first_since(self, at: datetime) -> int:
        """The first row that came at that time or later."""
        found = partial(bounds, self._query, Sought(until=at))
        return (await asyncio.get_running_loop().run_in_executor(self._thread, found))[1]

    async def scrub(self) -> None:
        await self._store.scrub()

    def reject(self, rejection: Rejection) -> None:
        self._rejected += 1
        self._store.rejections.append((self._rejected, rejection))

    async def rejections(self, limit: int) -> Sequence[Rejection]:
        fresh = {slot % RING: rejection for slot, rejection in self._store.rejections}
        stored = await self._read("SELECT * FROM rejections")
        found = {row[0]: stored_rejection(row[1:]) for row in stored} | fresh
        return sorted(found.values(), key=lambda rejection: rejection.at, reverse=True)[:limit]

    async def healthy(self) -> None:
        """A journal that failed is tried again with an empty commit."""
        self._commits.check()
        if self._failing:
            await self._run(_nothing)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._lazy is not None:
            self._lazy.cancel()
        with suppress(JournalUnavailable):
            await self._run(_nothing)
        await self._commits.close()
        await super().close()
        await self._store.close()
        os.close(self._lock)

    async def _run(self, decide: Callable[[Unit], T], entries: Sequence[Entry] = ()) -> T:
        try:
            result = await self._commits.run(decide, entries)
        except JournalUnavailable:
            self._failing = True
            raise
        self._failing = False
        return result

    def _committed(self, changes: Changes) -> None:
        if changes.outbox:
            self._appended.set()
        self._since_checkpoint += _weight(changes)
        if self._since_checkpoint >= CHECKPOINT_EVERY:
            self._since_checkpoint = 0
            self._store.checkpoint_soon()

    def _flush_soon(self) -> None:
        self._lazy = None
        self._soon(self._flush())

    async def _flush(self) -> None:
        with suppress(JournalUnavailable):
            await self._run(_nothing)

    def _soon(self, chore: Any) -> None:
        task = asyncio.get_running_loop().create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)


def _nothing(unit: Unit) -> None:
    """An empty commit: for what goes along with one, and to see whether one works."""


def is_held(path: Path) -> bool:
    """Whether a paymux has the journal open to write."""
    lock = _lock_file(path)
    try:
        return not _locked(lock)
    finally:
        os.close(lock)


async def hold(path: Path) -> int:
    """Keep other paymux processes from writing to the file. A process that was killed may leave a writer behind, which
    ends after its last batch.
    """
    lock = _lock_file(path)
    deadline = time.monotonic() + HOLD_PATIENCE
    while not _locked(lock):
        if time.monotonic() > deadline:
            os.close(lock)
            raise JournalUnusable(f"another paymux holds the journal {path}; stop it first")
        await asyncio.sleep(0.05)
    return lock


def _lock_file(path: Path) -> int:
    path = path.resolve()  # one lock, by whatever links it is named
    lock_path = path.with_name(path.name + ".lock")
    try:
        if path.is_dir():
            raise JournalUnusable(f"{path} is a folder; name a file in it in [journal] url, like {path / 'paymux.db'}")
        return os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalUnusable(f"the journal {path} cannot be opened: {error.strerror}") from error


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _unusable(path: Path, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError) or "malformed" in str(error) or "not a database" in str(error):
        return (
            f"{path} is damaged or no SQLite file ({error}); keep it, and recover what it holds with "
            f"`sqlite3 {path.name} .recover` into a new file, or restore a copy"
        )
    return f"the journal {path} cannot be opened: {error}"


def _weight(changes: Changes) -> int:
    """How much WAL a commit made, in deliveries of usual size."""
    bodies = sum(len(kept.delivery.body) for kept in changes.deliveries)
    again = max(len(changes.outbox) - len(changes.deliveries), 0)  # what a job publishes comes without a delivery
    rows = len(changes.deliveries) + len(changes.attempts) + len(changes.lookups) + again // RECORDS
    return 1 + rows + bodies // USUAL_DELIVERY
