"""The journal in one SQLite file: WAL, synchronous FULL, one writing connection, group commit.

Rows are written on the event loop and only COMMIT runs in a thread: it lets go of the GIL while it syncs, and the next
batch gathers meanwhile. Writing the rows in the thread as well costs half of the throughput (docs/performance.md).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from paymux.errors import JournalUnavailable, JournalUnusable
from paymux.journal.changes import Rules
from paymux.journal.group_commit import LONGEST_BATCH, GroupCommit
from paymux.journal.sqlite.outbox import SqliteOutbox
from paymux.journal.sqlite.rows import LOOKUP_COLUMNS, lookup_row, micro, moment, stored_rejection
from paymux.journal.sqlite.store import RING, SqliteStore, prepare
from paymux.records import Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from paymux.journal import Entry, LookupRow, Receipt, Rejection
    from paymux.journal.changes import Changes
    from paymux.journal.decide import Unit

T = TypeVar("T")

CHECKPOINT_EVERY: Final = 500  # deliveries: some 4 MB of WAL
USUAL_DELIVERY: Final = 8192  # bytes of WAL
LAZY_MARK: Final = 1.0  # seconds


class SqliteJournal(SqliteOutbox):
    """The Journal protocol over one SQLite file; `open` makes one."""

    shards: Final = 1

    def __init__(self, store: SqliteStore, lock: int, rules: Rules, now: Callable[[], datetime]) -> None:
        super().__init__(store.path)
        self._store = store
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
        cls, path: Path, *, rules: Rules | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> Self:
        """Open or create the file, migrate it, and hold it until `close`.

        Raises JournalUnusable with what to do: held by another process, newer schema, damaged, no such folder.
        """
        lock = _hold(path)
        store = SqliteStore(path)
        try:
            prepare(path)
            return cls(store, lock, rules or Rules(topics=Topics()), now)
        except BaseException as error:
            await store.close()
            os.close(lock)
            # SQLite quotes a damaged schema in its message, which then need not be text.
            if isinstance(error, sqlite3.Error | UnicodeDecodeError | JournalUnavailable):
                raise JournalUnusable(_unusable(path, error)) from error
            raise

    async def append(self, entry: Entry) -> tuple[Receipt, ...]:
        return await self._run(lambda unit: unit.append(entry), entry)

    async def postpone(self, lookup: LookupRow, until: datetime) -> None:
        await self._run(lambda unit: unit.postpone(lookup, until))

    async def give_up(self, lookup: LookupRow, *, reason: str, detail: str) -> None:
        await self._run(lambda unit: unit.give_up(lookup, reason=reason, detail=detail))

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
            async with asyncio.timeout(timeout):  # wait_for may lose a cancellation on Python 3.11
                await self._appended.wait()

    async def due_lookups(self, now: datetime, limit: int) -> Sequence[LookupRow]:
        rows = await self._read(
            f"SELECT {LOOKUP_COLUMNS} FROM lookups WHERE due_at <= ? ORDER BY due_at, id LIMIT ?", (micro(now), limit)
        )
        return [lookup_row(row) for row in rows]

    async def next_lookup_at(self) -> datetime | None:
        rows = await self._read("SELECT min(due_at) FROM lookups")
        return moment(rows[0][0])

    async def lookups_waiting(self) -> int:
        rows = await self._read("SELECT count(*) FROM lookups")
        return int(rows[0][0])

    def reject(self, rejection: Rejection) -> None:
        self._rejected += 1
        self._store.rejections.append((self._rejected, rejection))

    async def rejections(self, limit: int) -> Sequence[Rejection]:
        fresh = {slot % RING: rejection for slot, rejection in self._store.rejections}
        stored = await self._read("SELECT slot, at, provider, account, reason, address, size, sha256 FROM rejections")
        found = {row[0]: stored_rejection(row[1:]) for row in stored} | fresh
        return sorted(found.values(), key=lambda rejection: rejection.at, reverse=True)[:limit]

    async def healthy(self) -> None:
        """A journal that failed is tried again with an empty commit."""
        self._commits.check()
        if self._failing:
            try:
                async with asyncio.timeout(LONGEST_BATCH):
                    await self._run(_nothing)
            except TimeoutError:
                raise JournalUnavailable("an empty commit does not end") from None

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

    async def _run(self, decide: Callable[[Unit], T], entry: Entry | None = None) -> T:
        try:
            result = await self._commits.run(decide, entry)
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


def _hold(path: Path) -> int:
    """Keep other paymux processes from writing to the file."""
    path = path.resolve()  # one lock, by whatever links it is named
    lock_path = path.with_name(path.name + ".lock")
    try:
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalUnusable(f"the journal's lock file {lock_path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise JournalUnusable(f"another paymux holds the journal {path}; stop it first") from None
    return lock


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
    return 1 + len(changes.deliveries) + len(changes.attempts) + len(changes.lookups) + bodies // USUAL_DELIVERY
