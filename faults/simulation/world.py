"""One run: a machine, the traffic, whatever the seed lets happen to them, and the verdict."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from faults import checker
from faults.facts import Facts, digest
from faults.simulation import loop as loops
from faults.simulation.accounts import setups
from faults.simulation.broker import CHECKPOINTS
from faults.simulation.collected import published, stored
from faults.simulation.fates import FATES
from faults.simulation.loop import Loop, Stuck
from faults.simulation.machine import Machine
from faults.simulation.nature import Chance, Clock, of_the_seed
from faults.simulation.operator import Operator, amiss, unfinished
from faults.simulation.orders import differing
from faults.simulation.outside import Providers, stories
from faults.simulation.surroundings import Ports, Surroundings, surroundings
from paymux.relay import Phase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from faults.simulation.fates import Fate

EVENTS: Final = 50
FAULTS: Final = 5
TRAFFIC_SECONDS: Final = 30.0
QUIET_SECONDS: Final = 900.0  # after the last fault everything must be done by then
AFTERMATH_SECONDS: Final = 60.0  # for what may come late
ORDERS: Final = (Operator.replay, Operator.replay, Operator.erase)
PLANNED: Final = 60  # events of the stories; some may turn out not to be one


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a seed: two runs of one seed are equal. `log` is the digest of all that a consumer reads, `seconds`
    are virtual, `told` is what happened beside the usual.
    """

    seed: int
    events: int
    faults: dict[str, int]
    told: dict[str, int]
    steps: int
    seconds: float
    log: str
    violations: tuple[str, ...]

    def __str__(self) -> str:
        verdict = "ok" if not self.violations else "; ".join(self.violations[:5])
        return (
            f"seed {self.seed}: {self.events} events, {sum(self.faults.values())} faults, {self.steps} steps, "
            f"{self.seconds:.3f} s, log {self.log}: {verdict}"
        )


def simulate(seed: int, ports: Ports | None = None) -> Outcome:
    """The whole run of one seed."""
    dice = random.Random(seed)
    order = dice.choice((loops.fifo, loops.shuffled(dice), loops.mostly_fifo(dice)))
    loop = Loop(order)  # type: ignore[abstract]  # without I/O, threads or signals
    chance = Chance(dice)
    with of_the_seed(loop, chance):
        world = World(surroundings(loop, chance, ports or Ports()))
        try:
            loop.run(world.run())
        except Stuck as stuck:
            world.around.wrong.append(f"stuck: {stuck}")
        outcome = world.outcome(seed)
        loop.afterlife()
    return outcome


class World:
    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.machine = Machine(around)
        self.operator = Operator(machine=self.machine)
        self.providers = Providers(
            chance=around.chance,
            clock=Clock(around.loop),
            time=around.loop.time,
            apis=around.apis,
            post=self.machine.post,
            after_ack=self.machine.look,
        )

    async def run(self) -> None:
        self.machine.start()
        dice = self.around.chance.dice
        traffic = [
            asyncio.create_task(self.providers.tell(story, dice.uniform(0, TRAFFIC_SECONDS), dice.uniform(0.01, 2.0)))
            for story in stories(self.around.chance, PLANNED)
        ]
        plan = [dice.choice(FATES) for _ in range(dice.randint(FAULTS, 12))]
        fates = [asyncio.create_task(self._meet(fate, dice.uniform(0, TRAFFIC_SECONDS * 1.2))) for fate in plan]
        orders = [
            asyncio.create_task(self._order(dice.choice(ORDERS), dice.uniform(1.0, TRAFFIC_SECONDS * 1.5)))
            for _ in range(dice.randint(0, 3))
        ]
        await asyncio.gather(*fates, *orders)
        self.around.chance.calm = True
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await asyncio.gather(*traffic)
                await self._drained()
        except TimeoutError:
            self.around.wrong.append(f"not done {QUIET_SECONDS:g} s after the last fault: {self._unfinished()}")
        await asyncio.sleep(AFTERMATH_SECONDS)
        accounts = {name: setup.account for name, setup in setups().items()}
        self.around.wrong.extend(await differing(self.around.disk.tables, accounts, dice))

    async def _meet(self, fate: Fate, after: float) -> None:
        await asyncio.sleep(after)
        self.around.chance.note(fate.__name__.replace("_", " "))
        await fate(self.machine)

    async def _order(self, order: Callable[[Operator], Awaitable[None]], after: float) -> None:
        await asyncio.sleep(after)
        await order(self.operator)

    async def _drained(self) -> None:
        while self._unfinished():
            await asyncio.sleep(0.5)

    def _unfinished(self) -> str:
        tables, broker = self.around.disk.tables, self.around.broker
        checkpoint = broker.newest_checkpoint(len(broker.logs[CHECKPOINTS]))
        facts = {
            "webhooks": self.providers.unanswered,
            "jobs": unfinished(tables.jobs),
            "lookups": sum(not row.rounds for row in tables.lookups.values()),
            "rows": tables.counters().outbox.get(0, 0) - (checkpoint.seq if checkpoint else 0),
        }
        return ", ".join(f"{count} {name}" for name, count in facts.items() if count)

    # --- the end

    def outcome(self, seed: int) -> Outcome:
        facts, around = self._facts(), self.around
        wrong = [str(violation) for violation in checker.check(facts)]
        wrong += around.apis.unheard(
            (delivery.sha256 for delivery in facts.disk.deliveries),
            [key.split("/", 2)[2] for key in self.operator.forgotten],
        )
        wrong += amiss(around.disk.tables.jobs.values())
        for relay in self.machine.relays:
            state = relay.relay.state
            if state.phase is Phase.STOPPED:
                wrong.append(f"a relay stopped: {state.reason}: {state.detail}")
        wrong += [
            f"complaint: {complaint['message']}: {complaint.get('exception')!r}" for complaint in around.loop.complaints
        ]
        if len(facts.disk.outbox) < EVENTS:
            wrong.append(f"only {len(facts.disk.outbox)} events")
        if sum(around.chance.broken.values()) < FAULTS:
            wrong.append("too few faults")
        return Outcome(
            seed=seed,
            events=len(facts.disk.outbox),
            faults=dict(sorted(around.chance.broken.items())),
            told=self._told(facts),
            steps=around.loop.steps,
            seconds=round(around.loop.time(), 6),
            log=digest(repr(facts.consumer).encode())[:16],
            violations=(*around.wrong, *wrong),
        )

    def _told(self, facts: Facts) -> dict[str, int]:
        items = Counter(item.row for item in facts.disk.items)
        return {
            "deliveries of several items": sum(count > 1 for count in items.values()),
            "deliveries erased": sum(delivery.erased for delivery in facts.disk.deliveries),
            "events published again": sum(record.replay is not None for record in facts.consumer),
            "jobs done": len(self.around.disk.tables.jobs),
            **Counter(f"events of {record.key.split('/')[0]}" for record in facts.consumer if "/" in record.key),
        }

    def _facts(self) -> Facts:
        return Facts(
            client=[*self.providers.client, *self.around.apis.answered],
            disk=stored(self.around.disk),
            consumer=published(self.around.broker),
            looks=self.machine.looks,
            quiesced=True,
        )
