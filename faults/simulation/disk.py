"""The journal's disk: what is committed survives, what is under way may or may not; and the journal over it.

MemoryJournal decides as every journal does, through GroupCommit; the store under it commits as late, as badly and as
uncertainly as the seed says.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from faults.simulation.loop import Process, current, this_loop
from paymux.errors import JournalUnavailable
from paymux.journal.changes import Changes, Rules
from paymux.journal.group_commit import GroupCommit
from paymux.journal.memory import MemoryJournal, MemoryStore
from paymux.records import Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from faults.simulation.nature import Chance
    from paymux.journal import LookupRow, OutboxRow
    from paymux.journal.changes import Counters, Needs, View

USUAL_COMMIT: Final = 0.002
LAZY_MARK: Final = 1.0
TOPICS: Final = Topics()


@dataclass(eq=False, slots=True, kw_only=True)
class Commit:
    """Under way: its writes may have reached the disk when whoever asked for it dies."""

    changes: Changes
    marks: dict[int, int]
    owner: Process
    done: asyncio.Future[None]
    fails: bool
    lost: bool


@dataclass(eq=False, slots=True, kw_only=True)
class Disk:
    """`tables` and `marks` are what is durable. `full` and `slow` (seconds) are moods that the world sets."""

    identity: str
    chance: Chance
    tables: MemoryStore = field(default_factory=MemoryStore)
    marks: dict[int, int] = field(default_factory=dict)
    under_way: list[Commit] = field(default_factory=list)
    full: bool = False
    slow: float = 0.0
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    async def pause(self) -> None:
        await asyncio.sleep(self.chance.delay(USUAL_COMMIT / 10))

    async def looked(self) -> None:
        """One read. Raises JournalUnavailable."""
        await self.pause()
        if self.chance.breaks("a read of the journal fails", 0.002):
            raise JournalUnavailable("the journal cannot be read: disk I/O error")

    async def commit(self, changes: Changes, marks: dict[int, int]) -> None:
        """Raises JournalUnavailable, which says nothing about what is durable."""
        lost = self.full or self.chance.breaks("a commit fails", 0.01)
        fails = lost or self.chance.breaks("a commit fails after it was durable", 0.01)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        commit = Commit(changes=changes, marks=marks, owner=current(), done=done, fails=fails, lost=lost)
        self.under_way.append(commit)
        delay = self.slow + self.chance.delay(USUAL_COMMIT)
        if self.chance.breaks("a commit hangs", 0.003):
            delay += self.chance.dice.uniform(1.0, 15.0)
        this_loop().outside(delay, self._end, commit)
        if self.chance.breaks("a commit fails while it is under way", 0.005):
            done.set_exception(JournalUnavailable("the journal's writer ended before it said that it had committed"))
        await done

    async def settled(self) -> None:
        """Nothing is under way any more."""
        while self.under_way:
            await asyncio.sleep(0.001)

    def crashed(self, owner: Process) -> None:
        """Of what a dead process had under way, either all becomes durable or nothing."""
        for commit in self.under_way:
            if commit.owner is owner and self.chance.dice.random() < 0.5:
                commit.lost = True

    async def growth(self) -> None:
        """Return at the next commit that adds to the outbox."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _end(self, commit: Commit) -> None:
        self.under_way.remove(commit)
        if not commit.lost:
            self.apply(commit.changes, commit.marks)
        if commit.done.done():
            return
        if commit.fails:
            commit.done.set_exception(JournalUnavailable("the journal cannot commit: disk I/O error"))
        else:
            commit.done.set_result(None)

    def apply(self, changes: Changes, marks: dict[int, int]) -> None:
        self.tables.apply(changes)
        for shard, seq in marks.items():
            self.marks[shard] = max(seq, self.marks.get(shard, 0))
        if changes.outbox:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)


class Store:
    """group_commit.Store over a Disk."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.marks: dict[int, int] = {}

    @property
    def view(self) -> View:
        return self.disk.tables

    def counters(self) -> Counters:
        return self.disk.tables.counters()

    def foresee(self, needs: Needs) -> None:
        """Tables in memory are read one by one."""

    async def commit(self, changes: Changes) -> None:
        """What goes along is forgotten only when it is durable for sure."""
        await self.disk.pause()
        if self.disk.chance.breaks("a transaction cannot begin", 0.005):
            raise JournalUnavailable("the journal cannot be written: database is locked")
        if self.disk.full:
            raise JournalUnavailable("the journal cannot be written: database or disk is full")
        along = dict(self.marks)
        await self.disk.commit(changes, along)
        self.marks = {shard: seq for shard, seq in self.marks.items() if along.get(shard) != seq}

    async def rollback(self) -> None:
        await self.disk.settled()


class DiskJournal(MemoryJournal):
    """A process's journal over the disk that all share. The relay's process opens one to read."""

    def __init__(
        self,
        disk: Disk,
        *,
        now: Callable[[], datetime],
        store: Callable[[Disk], Store] = Store,
        wish: Callable[[dict[int, int]], None] | None = None,
    ) -> None:
        """`wish` tells whoever writes that these marks may be stored; None: it is this journal that writes."""
        rules = replace(Rules(topics=TOPICS), shards=1)
        super().__init__(rules=rules, now=now)
        self.identity = disk.identity
        self.store = disk.tables
        self.marks_here: dict[int, int] = {}
        self._disk = disk
        self._under = store(disk)
        self._wish = wish or self.remember
        self._lazy: asyncio.TimerHandle | None = None
        self._commits = GroupCommit(self._under, rules, now=now, committed=self._wake)

    def remember(self, marks: dict[int, int]) -> None:
        """To be stored with the next commit, which comes within a second."""
        self._under.marks |= marks
        if self._lazy is None:
            self._lazy = asyncio.get_running_loop().call_later(LAZY_MARK, self._flush)

    async def mark(self, shard: int) -> int:
        await self._disk.looked()
        return max(self._disk.marks.get(shard, 0), self.marks_here.get(shard, 0))

    async def advance(self, shard: int, seq: int) -> None:
        self.marks_here[shard] = max(seq, self.marks_here.get(shard, 0))
        self._wish({shard: self.marks_here[shard]})

    async def read(self, shard: int, after: int, limit: int) -> Sequence[OutboxRow]:
        await self._disk.looked()
        return await super().read(shard, after, limit)

    async def chain(self, shard: int, seq: int) -> str | None:
        await self._disk.looked()
        return await super().chain(shard, seq)

    async def wait(self, shard: int, after: int, timeout: float) -> None:  # a poll
        if await self.end(shard) > after:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._disk.growth()

    async def due_lookups(self, now: datetime, limit: int) -> Sequence[LookupRow]:
        await self._disk.looked()
        return await super().due_lookups(now, limit)

    async def next_lookup_at(self) -> datetime | None:
        await self._disk.looked()
        return await super().next_lookup_at()

    def _flush(self) -> None:
        self._lazy = None
        self._flushing = asyncio.get_running_loop().create_task(self._flush_marks())

    async def _flush_marks(self) -> None:
        with suppress(JournalUnavailable):
            await self._commits.run(lambda _: None)
