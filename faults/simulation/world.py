"""One run: a gateway, a relay, the traffic, whatever the seed lets happen to them, and the verdict."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from faults import checker
from faults.facts import Facts, Look, digest
from faults.simulation import loop as loops
from faults.simulation.broker import CHECKPOINTS, Broker, SimulatedPublisher
from faults.simulation.collected import published, stored
from faults.simulation.disk import Disk, DiskJournal, Store
from faults.simulation.fates import FATES
from faults.simulation.loop import Loop, Process, Stuck
from faults.simulation.nature import Chance, Clock, of_the_seed
from faults.simulation.orders import differing
from faults.simulation.outside import Providers, stories, unheard
from faults.simulation.processes import Gateway, RelayRun, setups
from paymux.relay import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.web import BaseRequest

    from faults.simulation.fates import Fate

EVENTS: Final = 50
FAULTS: Final = 5
TRAFFIC_SECONDS: Final = 30.0
QUIET_SECONDS: Final = 900.0  # after the last fault everything must be done by then
AFTERMATH_SECONDS: Final = 60.0  # for what may come late
STOP_SECONDS: Final = 30.0  # then it is killed
PLANNED: Final = 60  # events of the stories; some may turn out not to be one
RELAY: Final = "relay"
GATEWAY: Final = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What stands behind paymux; a broken one shows that the simulation would see it."""

    store: Callable[[Disk], Store] = Store
    publisher: Callable[..., SimulatedPublisher] = SimulatedPublisher
    fences: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a seed: two runs of one seed are equal. `log` is the digest of all that a consumer reads, `seconds`
    are virtual.
    """

    seed: int
    events: int
    faults: dict[str, int]
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
        world = World(loop, chance, ports or Ports())
        try:
            loop.run(world.run())
        except Stuck as stuck:
            world.wrong.append(f"stuck: {stuck}")
        outcome = world.outcome(seed)
        loop.afterlife()
    return outcome


class World:
    def __init__(self, loop: Loop, chance: Chance, ports: Ports) -> None:
        self.loop = loop
        self.chance = chance
        self.ports = ports
        self.clock = Clock(loop)  # paymux's; the providers' is right
        self.disk = Disk(identity=str(chance.uuid()), chance=chance)
        self.broker = Broker(chance=chance, fences=ports.fences)
        self.looks: list[Look] = []
        self.wrong: list[str] = []
        self.providers = Providers(
            chance=chance, clock=Clock(loop), time=loop.time, post=self._post, after_ack=self._look
        )
        self.relays_inside = chance.dice.random() < 0.3
        self.gateway: Gateway | None = None
        self.relays: list[RelayRun] = []

    async def run(self) -> None:
        self._start_gateway()
        if not self.relays_inside:
            self._start_relay()
        chosen = stories(self.chance, PLANNED)
        dice = self.chance.dice
        traffic = [
            asyncio.create_task(self.providers.tell(story, dice.uniform(0, TRAFFIC_SECONDS), dice.uniform(0.01, 2.0)))
            for story in chosen
        ]
        plan = [dice.choice(FATES) for _ in range(dice.randint(FAULTS, 12))]
        fates = [asyncio.create_task(self._meet(fate, dice.uniform(0, TRAFFIC_SECONDS * 1.2))) for fate in plan]
        await asyncio.gather(*fates)
        self.chance.calm = True
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await asyncio.gather(*traffic)
                await self._drained()
        except TimeoutError:
            self.wrong.append(f"not done {QUIET_SECONDS:g} s after the last fault: {self._unfinished()}")
        await asyncio.sleep(AFTERMATH_SECONDS)
        accounts = {name: setup.account for name, setup in setups().items()}
        self.wrong += await differing(self.disk.tables, accounts, self.chance.dice)

    async def _meet(self, fate: Fate, after: float) -> None:
        await asyncio.sleep(after)
        self.chance.note(fate.__name__.replace("_", " "))
        await fate(self)

    async def _drained(self) -> None:
        while self._unfinished():
            await asyncio.sleep(0.5)

    def _unfinished(self) -> str:
        end = self.disk.tables.counters().outbox.get(0, 0)
        checkpoint = self.broker.newest_checkpoint(len(self.broker.logs[CHECKPOINTS]))
        open_lookups = [row for row in self.disk.tables.lookups.values() if not row.rounds]
        facts = {
            "webhooks": self.providers.unanswered,
            "lookups": len(open_lookups),
            "rows": end - (checkpoint.seq if checkpoint else 0),
        }
        return ", ".join(f"{count} {name}" for name, count in facts.items() if count)

    # --- processes

    def _start_gateway(self) -> None:
        context = self.loop.process(GATEWAY)
        self.gateway = context.run(Gateway, self, context)
        if self.relays_inside:
            self.relays.append(context.run(RelayRun, self, self.gateway.journal))

    def _start_relay(self) -> None:
        context = self.loop.process(RELAY)
        journal = DiskJournal(self.disk, now=self.clock.now, wish=self._tell)
        self.relays.append(context.run(RelayRun, self, journal))

    def between(self, shortest: float, longest: float) -> float:
        return self.chance.dice.uniform(shortest, longest)

    async def kill_gateway(self) -> None:
        """At one of its next steps, whatever that is; its connections end, and it is started again."""
        gateway = self.gateway
        if gateway is None:
            return
        await self._fated(gateway.process)
        if self.gateway is not gateway:
            return
        self.gateway = None
        await self._buried(gateway)

    async def _buried(self, gateway: Gateway) -> None:
        """Nothing of it goes on; the next one waits for what the disk is doing yet."""
        self.loop.freeze(gateway.process)
        self.disk.crashed(gateway.process)
        gateway.hang_up()
        await asyncio.sleep(self.between(0.1, 3.0))
        await self.disk.settled()
        self._start_gateway()

    async def restart_gateway(self) -> None:
        """As SIGTERM does it."""
        gateway = self.gateway
        if gateway is None or gateway.process.frozen:
            return
        self.gateway = None
        stopping = self.loop.create_task(gateway.stop(), context=gateway.context)
        await asyncio.wait({stopping}, timeout=STOP_SECONDS)
        await self._buried(gateway)

    async def freeze_gateway(self) -> None:
        gateway = self.gateway
        if gateway is None or gateway.process.frozen:
            return
        self.loop.freeze(gateway.process)
        await asyncio.sleep(self.between(0.1, 20.0))
        if self.gateway is gateway:
            self.loop.thaw(gateway.process)

    async def kill_relay(self) -> None:
        if self.relays_inside:
            await self.kill_gateway()
            return
        relay = self.relays[-1]
        await self._fated(relay.process)
        await asyncio.sleep(self.between(0.0, 3.0))
        if self.relays[-1] is relay:
            self._start_relay()

    async def freeze_relay(self) -> None:
        """Long enough for a second owner to take over; then both run for a while, and the older one is ended."""
        if self.relays_inside:
            await self.freeze_gateway()
            return
        zombie = self.relays[-1]
        await self._fated(zombie.process)
        await asyncio.sleep(self.between(0.0, 5.0))
        if self.relays[-1] is zombie:
            self._start_relay()
        await asyncio.sleep(self.between(0.0, 40.0))
        self.loop.thaw(zombie.process)
        await asyncio.sleep(self.between(1.0, 20.0))
        self.loop.freeze(zombie.process)

    async def _fated(self, process: Process) -> None:
        """Return when it was frozen at a step of its own."""
        frozen = self.loop.create_future()

        def fate() -> None:
            self.loop.freeze(process)
            if not frozen.done():
                frozen.set_result(None)

        process.fate = fate
        process.fated = process.steps + self.chance.dice.randint(1, 300)
        if process.frozen:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                await frozen
        process.fated = None
        self.loop.freeze(process)

    def _tell(self, marks: dict[int, int]) -> None:
        """A relay's process to the gateway that lives when it is told: marks are the gateway's to store."""
        self.loop.outside(self.chance.delay(0.001), self._told, marks)

    def _told(self, marks: dict[int, int]) -> None:
        if self.gateway is not None and not self.gateway.process.frozen:
            self.gateway.remember(marks)

    # --- the network in front

    async def _post(self, request: BaseRequest) -> int:
        await asyncio.sleep(self.chance.delay(0.001))
        gateway = self.gateway
        if gateway is None:
            raise ConnectionRefusedError
        status = await gateway.take(request)
        await asyncio.sleep(self.chance.delay(0.001))
        if self.chance.breaks("an acknowledgement is lost", 0.02):
            raise ConnectionResetError
        return status

    def _look(self) -> None:
        """Somebody reads the journal's file after an acknowledgement."""
        self.loop.outside(0.0, self._looked)

    def _looked(self) -> None:
        self.looks.append(Look(began=self.loop.time(), row=max(self.disk.tables.deliveries, default=0)))

    # --- the end

    def outcome(self, seed: int) -> Outcome:
        facts = self._facts()
        wrong = [str(violation) for violation in checker.check(facts)]
        wrong += unheard(self.providers, (delivery.sha256 for delivery in facts.disk.deliveries))
        for relay in self.relays:
            state = relay.relay.state
            if state.phase is Phase.STOPPED:
                wrong.append(f"a relay stopped: {state.reason}: {state.detail}")
        wrong += [
            f"complaint: {complaint['message']}: {complaint.get('exception')!r}" for complaint in self.loop.complaints
        ]
        if len(facts.disk.outbox) < EVENTS:
            wrong.append(f"only {len(facts.disk.outbox)} events")
        if sum(self.chance.broken.values()) < FAULTS:
            wrong.append("too few faults")
        return Outcome(
            seed=seed,
            events=len(facts.disk.outbox),
            faults=dict(sorted(self.chance.broken.items())),
            steps=self.loop.steps,
            seconds=round(self.loop.time(), 6),
            log=digest(repr(facts.consumer).encode())[:16],
            violations=(*self.wrong, *wrong),
        )

    def _facts(self) -> Facts:
        return Facts(
            client=self.providers.client,
            disk=stored(self.disk),
            consumer=published(self.broker),
            looks=self.looks,
            quiesced=True,
        )
