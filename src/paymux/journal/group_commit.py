"""Group commit: what concurrent callers ask for in the meantime is committed together, and answered after."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from paymux.errors import JournalUnavailable
from paymux.journal.decide import Unit

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from paymux.journal.changes import Changes, Counters, Rules, View

T = TypeVar("T")

LARGEST_BATCH: Final = 128


class Store(Protocol):
    """The storage under a journal. `write` and `rollback` are called on the event loop, `commit` may suspend."""

    @property
    def view(self) -> View: ...

    async def begin(self) -> None:
        """Raises JournalUnavailable."""
        ...

    def write(self, changes: Changes) -> None:
        """Raises JournalUnavailable where no delivery can be written now; any other error blames these changes."""
        ...

    async def commit(self) -> None:
        """Durable when it returns. Raises JournalUnavailable: nothing was committed."""
        ...

    async def rollback(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Wish:
    decide: Callable[[Unit], Any]
    answer: asyncio.Future[Any]


class GroupCommit:
    """One batch at a time: while one commits, the next gathers."""

    def __init__(
        self,
        store: Store,
        counters: Counters,
        rules: Rules,
        *,
        now: Callable[[], datetime],
        committed: Callable[[Changes], None],
    ) -> None:
        """`committed` is told of every batch's changes, once they are durable."""
        self.counters = counters
        self._store = store
        self._rules = rules
        self._now = now
        self._committed = committed
        self._wishes: deque[_Wish] = deque()
        self._running: asyncio.Task[None] | None = None

    async def run(self, decide: Callable[[Unit], T]) -> T:
        """Let `decide` change something in the next commit; returns its result when that is durable.

        Raises JournalUnavailable. A caller that is canceled does not take its wish back.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._wishes.append(_Wish(decide, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._drain())
        return await answer

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._running is not None:
            await asyncio.wait({self._running})

    async def _drain(self) -> None:
        try:
            while self._wishes:
                batch = [self._wishes.popleft() for _ in range(min(len(self._wishes), LARGEST_BATCH))]
                await self._serve(batch)
        finally:
            self._running = None

    async def _serve(self, batch: list[_Wish]) -> None:
        try:
            await self._commit(batch)
        except JournalUnavailable as error:
            _refuse(batch, error)
        except Exception as error:  # noqa: BLE001  # one wish that cannot be written must not take the others along
            if len(batch) == 1:
                _refuse(batch, JournalUnavailable(f"it could not be written: {type(error).__name__}"))
                return
            for wish in batch:
                await self._serve([wish])

    async def _commit(self, batch: list[_Wish]) -> None:
        counters = self.counters.copy()
        unit = Unit(self._store.view, counters, self._rules, self._now())
        await self._store.begin()
        try:
            results = [wish.decide(unit) for wish in batch]
            self._store.write(unit.changes)
            await self._store.commit()
        except BaseException:
            await self._store.rollback()
            raise
        self.counters = counters
        self._committed(unit.changes)
        for wish, result in zip(batch, results, strict=True):
            if not wish.answer.done():
                wish.answer.set_result(result)


def _refuse(batch: list[_Wish], error: JournalUnavailable) -> None:
    for wish in batch:
        if not wish.answer.done():
            wish.answer.set_exception(error)
