"""What an operator orders in the middle of all that: events published again, stored bodies heard again, data erased."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, get_args

from paymux.errors import EraseRefused, JournalUnavailable, NotStored
from paymux.journal.history import Sought
from paymux.journal.jobs import ENDED, JobState
from paymux.keeping.erasing import person
from paymux.replay.orders import Kind, Order

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from faults.simulation.machine import Machine
    from faults.simulation.processes import Gateway
    from paymux.journal.jobs import Job

PATIENCE: Final = 20.0
TRIES: Final = 6
AGAIN: Final = 4.0  # seconds
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_REFUSED: Final = (JournalUnavailable, EraseRefused, NotStored)  # then it is not done


@dataclass(slots=True, kw_only=True)
class Operator:
    """`forgotten` are the keys of payments that were to be erased."""

    machine: Machine
    forgotten: list[str] = field(default_factory=list)

    async def replay(self) -> None:
        order = Order(kind=self.machine.around.chance.choice(KINDS), sought=Sought())
        await self._until_done(lambda gateway: gateway.replays.create(order, "operator"))

    async def erase(self) -> None:
        payments = sorted(self.machine.around.disk.tables.payments)
        if payments:
            whose = person("payment", self.machine.around.chance.choice(payments))
            self.forgotten.append(whose.key)
            await self._until_done(lambda gateway: gateway.erasing.erase(whose, "they asked", "operator"))

    async def _until_done(self, order: Callable[[Gateway], Awaitable[object]]) -> None:
        """In the name of whichever gateway is there. What was not answered may be done all the same."""
        for _ in range(TRIES):
            gateway = self.machine.gateway
            if gateway is not None and not gateway.process.frozen:
                task = self.machine.around.loop.create_task(_is_done(order, gateway), context=gateway.context)
                done, _waiting = await asyncio.wait({task}, timeout=PATIENCE)
                if done and task.result():
                    return
            await asyncio.sleep(AGAIN)


async def _is_done(order: Callable[[Gateway], Awaitable[object]], gateway: Gateway) -> bool:
    try:
        await order(gateway)
    except _REFUSED:
        return False
    return True


def unfinished(jobs: Mapping[str, Job]) -> int:
    return sum(job.state in (JobState.QUEUED, JobState.RUNNING) for job in jobs.values())


def amiss(jobs: Iterable[Job]) -> list[str]:
    """The mapping is the same throughout: there is nothing that a replay could find to correct."""
    return [
        f"job {job.kind} is {job.state.value}: {job.error or dict(job.counts)}"
        for job in jobs
        if job.state not in ENDED or job.error
    ]
