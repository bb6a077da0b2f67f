"""Group commit: what concurrent callers ask for in the meantime is committed together, and answered after."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from paymux.errors import JournalUnavailable, Unwritable
from paymux.journal.decide import Unit
from paymux.journal.speech import needs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from paymux.journal import Entry
    from paymux.journal.changes import Changes, Counters, Needs, Rules, View

T = TypeVar("T")

LARGEST_BATCH: Final = 128
LARGEST_BODIES: Final = 4_194_304  # bytes of a batch, but for the one that goes beyond
LONGEST_BATCH: Final = 5.0  # seconds; whatever runs longer may never end


class Store(Protocol):
    """The storage under a journal."""

    @property
    def view(self) -> View: ...

    def counters(self) -> Counters:
        """The last numbers that are stored, a copy of its own. Raises JournalUnavailable."""
        ...

    def foresee(self, needs: Needs) -> None:
        """Read what a batch will ask the view for in one go, where that is cheaper. Raises JournalUnavailable."""
        ...

    async def commit(self, changes: Changes) -> None:
        """Durable when it returns. Raises JournalUnavailable: it is not known whether anything was committed; any other
        error blames these changes, and nothing of them was.
        """
        ...

    async def rollback(self) -> None:
        """After a commit that failed or was cancelled: what is stored can be read and committed to again."""
        ...


class _Wish(NamedTuple):
    decide: Callable[[Unit], Any]
    answer: asyncio.Future[Any]
    entries: Sequence[Entry]

    @property
    def size(self) -> int:
        return sum(len(entry.verified.delivery.body) for entry in self.entries)


class GroupCommit:
    """One batch at a time: while one commits, the next gathers.

    `counters` are as of the last commit; None where they must be read from the store: at first, and after a failed
    commit, which may have reached the disk nonetheless.
    """

    def __init__(
        self,
        store: Store,
        rules: Rules,
        *,
        now: Callable[[], datetime],
        committed: Callable[[Changes], None],
    ) -> None:
        """`committed` is told of every batch's changes, once they are durable."""
        self.counters: Counters | None = None
        self._store = store
        self._rules = rules
        self._now = now
        self._committed = committed
        self._wishes: deque[_Wish] = deque()
        self._suspects: deque[_Wish] = deque()  # of a batch that could not be written: each is tried alone
        self._running: asyncio.Task[None] | None = None
        self._began: float | None = None  # the batch that runs
        self._overdue: asyncio.TimerHandle | None = None
        self._closed = False

    async def run(self, decide: Callable[[Unit], T], entries: Sequence[Entry] = ()) -> T:
        """Let `decide` change something in the next commit; returns its result when that is durable. `entries` are the
        deliveries that it will hear, if any.

        Raises JournalUnavailable, also while a commit hangs: what it commits at last is kept nonetheless. A caller
        that is canceled does not take its wish back.
        """
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        self.check()  # or what nobody waits for any more would pile up behind it
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._wishes.append(_Wish(decide, answer, entries))
        if self._running is None:
            self._running = asyncio.create_task(self._drain())
        return await answer

    def check(self) -> None:
        """Raises JournalUnavailable while a commit hangs, e.g. on a disk that does not answer."""
        seconds = 0.0 if self._began is None else asyncio.get_running_loop().time() - self._began
        if seconds > LONGEST_BATCH:
            raise JournalUnavailable(f"a commit has been running for {seconds:.0f} s")

    async def close(self) -> None:
        """Refuse what comes from now on, and wait until nothing is under way."""
        self._closed = True
        while self._running is not None:
            await asyncio.wait({self._running})

    async def _drain(self) -> None:
        batch: list[_Wish] = []
        try:
            while batch := self._next():
                self._watch(batch)
                await self._serve(batch)
        except BaseException as error:
            self._refuse_all(batch, "the journal was interrupted", error)
            raise
        finally:
            self._running = self._began = None
            if self._overdue is not None:
                self._overdue.cancel()

    def _watch(self, batch: list[_Wish]) -> None:
        """Nobody waits for a commit that hangs, nor behind one."""
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        if self._overdue is not None:
            self._overdue.cancel()
        self._overdue = loop.call_later(LONGEST_BATCH, self._give_up, batch)

    def _give_up(self, batch: list[_Wish]) -> None:
        late = f"a commit has been running for {LONGEST_BATCH:g} s"
        self._refuse_all(batch, late, JournalUnavailable(late))

    def _next(self) -> list[_Wish]:
        if self._suspects:
            return [self._suspects.popleft()]
        batch: list[_Wish] = []
        size = 0
        while self._wishes and len(batch) < LARGEST_BATCH and size < LARGEST_BODIES:
            batch.append(self._wishes.popleft())
            size += batch[-1].size
        return batch

    async def _serve(self, batch: list[_Wish]) -> None:
        try:
            changes, results = await self._commit(batch)
        except JournalUnavailable as error:
            # Who waits meanwhile would only wait as long for the same answer.
            self._refuse_all(batch, error.detail, error)
        except Exception as error:  # noqa: BLE001  # one wish that cannot be written must not take the others along
            if len(batch) == 1:
                _refuse(batch, f"it could not be written: {type(error).__name__}", error, Unwritable)
            else:
                self._suspects.extend(batch)
        else:
            for wish, result in zip(batch, results, strict=True):
                if not wish.answer.done():
                    wish.answer.set_result(result)
            self._tell(changes)

    async def _commit(self, batch: list[_Wish]) -> tuple[Changes, list[Any]]:
        try:
            counters = self.counters.copy() if self.counters else self._store.counters()
            self._store.foresee(needs(entry for wish in batch for entry in wish.entries))
            unit = Unit(self._store.view, counters, self._rules, self._now())
            results = [wish.decide(unit) for wish in batch]
            await self._store.commit(unit.changes)
        except BaseException:
            self.counters = None
            await self._store.rollback()
            raise
        self.counters = counters
        return unit.changes, results

    def _tell(self, changes: Changes) -> None:
        """What is durable was answered: an error of the listener changes nothing about that."""
        try:
            self._committed(changes)
        except Exception as error:  # noqa: BLE001  # as above
            asyncio.get_running_loop().call_exception_handler({"message": "after a commit", "exception": error})

    def _refuse_all(self, batch: list[_Wish], why: str, error: BaseException) -> None:
        _refuse([*batch, *self._suspects, *self._wishes], why, error)
        self._suspects.clear()
        self._wishes.clear()


def _refuse(
    wishes: list[_Wish], why: str, error: BaseException, kind: type[JournalUnavailable] = JournalUnavailable
) -> None:
    """An exception for each: one that several raise would collect all of their frames."""
    for wish in wishes:
        if not wish.answer.done():
            refusal = kind(why)
            refusal.__cause__ = error
            wish.answer.set_exception(refusal)
