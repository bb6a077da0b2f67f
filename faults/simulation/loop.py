"""An event loop without I/O: time passes only when nobody is ready, and a seed chooses who runs next.

Each callback belongs to a process. A process may be frozen or killed between any two of its steps, that is at any
`await`: what it would have run is then kept back, and for the dead run only in the `afterlife`, when all is judged.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

STEP_SECONDS: Final = 0.00002  # what a step costs
MOST_STEPS: Final = 300_000
_ROUNDS: Final = 50


@dataclass(eq=False, slots=True, kw_only=True)
class Process:
    """`fate` is called instead of its step number `fated`."""

    name: str
    steps: int = 0
    fated: int | None = None
    fate: Callable[[], None] = lambda: None
    frozen: bool = False
    held: list[asyncio.Handle] = field(default_factory=list)


WORLD: Final = "world"
_process: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


class Stuck(Exception):
    """Nothing will ever happen again, or too much does."""


class Loop(asyncio.AbstractEventLoop):
    """`choose` picks one of so many that are ready."""

    def __init__(self, choose: Callable[[int], int]) -> None:
        self.steps = 0
        self.complaints: list[dict[str, Any]] = []
        self._choose = choose
        self._now = 1000.0
        self._numbers = itertools.count()
        self._ready: list[tuple[Process, asyncio.Handle]] = []
        self._timers: list[tuple[float, int, Process, asyncio.TimerHandle]] = []
        self._processes: list[Process] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._outside = self.process(WORLD)
        self._is_over = False

    # --- processes

    def process(self, name: str) -> contextvars.Context:
        """A new process: what is started in this context belongs to it."""
        process = Process(name=name)
        self._processes.append(process)
        context = contextvars.copy_context()
        context.run(_process.set, process)
        return context

    def freeze(self, process: Process) -> None:
        """Who is never thawed is dead."""
        process.frozen = True

    def thaw(self, process: Process) -> None:
        process.frozen = False
        self._ready += [(process, handle) for handle in process.held]
        process.held.clear()

    def outside(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        """In the world's name, whoever dies meanwhile."""
        self.call_later(delay, callback, *args, context=self._outside)

    # --- running

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Raises Stuck."""
        asyncio._set_running_loop(self)  # noqa: SLF001  # for implementers of loops
        try:
            task: asyncio.Task[T] = self.create_task(main, context=self._outside)
            while not task.done():
                self._step()
            return task.result()
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001  # as above

    def afterlife(self) -> None:
        """Everything that still waits is cancelled, so that nothing is left to be collected."""
        asyncio._set_running_loop(self)  # noqa: SLF001  # as above
        self._is_over = True
        try:
            for process in self._processes:
                self.thaw(process)
            for _ in range(_ROUNDS):
                self._tasks = [task for task in self._tasks if not task.done()]
                for task in self._tasks:
                    task.cancel()
                self._exhaust()
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001  # as above

    def _exhaust(self) -> None:
        for _ in range(10_000):
            if not self._ready:
                return
            _, handle = self._ready.pop(0)
            if not handle.cancelled():
                handle._run()  # noqa: SLF001  # as above

    def _step(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise Stuck(f"{self.steps} steps, and no end")
        self._advance()
        process, handle = self._ready.pop(self._choose(len(self._ready)))
        if handle.cancelled():
            return
        if process.frozen:
            process.held.append(handle)
            return
        process.steps += 1
        if process.steps == process.fated:
            process.held.append(handle)
            process.fate()
            return
        handle._run()  # noqa: SLF001  # as above

    def _advance(self) -> None:
        self._now += STEP_SECONDS
        while self._timers and (self._timers[0][0] <= self._now or not self._ready):
            when, _, process, timer = heapq.heappop(self._timers)
            if not timer.cancelled():
                self._now = max(self._now, when)
                self._ready.append((process, timer))
        if not self._ready:
            raise Stuck("everybody waits for somebody else")

    # --- what asyncio asks of a loop

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        context = contextvars.copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append((context.get(_process, self._processes[0]), handle))
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        context = contextvars.copy_context() if context is None else context
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), context.get(_process, self._processes[0]), timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._is_over:
            self.complaints.append(context)


def current() -> Process:
    """The process that runs."""
    return _process.get()


def this_loop() -> Loop:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, Loop):
        raise TypeError("this runs in a simulation only")
    return loop


def fifo(_count: int) -> int:
    """As asyncio itself."""
    return 0


def shuffled(dice: random.Random) -> Callable[[int], int]:
    return lambda count: dice.randrange(count) if count > 1 else 0


def mostly_fifo(dice: random.Random) -> Callable[[int], int]:
    return lambda count: dice.randrange(count) if count > 1 and dice.random() < 0.1 else 0
