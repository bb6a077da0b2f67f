"""The machine that paymux runs on: its processes are started, killed, frozen, overtaken, and started again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from faults.facts import Look
from faults.simulation.disk import DiskJournal
from faults.simulation.processes import Gateway, RelayRun

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest

    from faults.simulation.loop import Process
    from faults.simulation.surroundings import Surroundings

STOP_SECONDS: Final = 30.0  # then it is killed
RELAY: Final = "relay"
GATEWAY: Final = "gateway"


class Machine:
    """`relays` are all lives of it, the newest last; `looks` are what others read in the journal's file."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.gateway: Gateway | None = None
        self.relays: list[RelayRun] = []
        self.looks: list[Look] = []
        self._relays_inside = around.chance.dice.random() < 0.3

    def start(self) -> None:
        self._start_gateway()
        if not self._relays_inside:
            self._start_relay()

    def _start_gateway(self) -> None:
        context = self.around.loop.process(GATEWAY)
        self.gateway = context.run(Gateway, self.around, context, relays=self._relays_inside)
        if self.gateway.relay:
            self.relays.append(self.gateway.relay)

    def _start_relay(self) -> None:
        context = self.around.loop.process(RELAY)
        journal = DiskJournal(self.around.disk, now=self.around.clock.now, wish=self._tell)
        self.relays.append(context.run(RelayRun, self.around, journal))

    # --- what may happen to them

    def between(self, shortest: float, longest: float) -> float:
        return self.around.chance.dice.uniform(shortest, longest)

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
        self.around.loop.freeze(gateway.process)
        self.around.disk.crashed(gateway.process)
        gateway.hang_up()
        await asyncio.sleep(self.between(0.1, 3.0))
        await self.around.disk.settled()
        self._start_gateway()

    async def restart_gateway(self) -> None:
        """As SIGTERM does it."""
        gateway = self.gateway
        if gateway is None or gateway.process.frozen:
            return
        self.gateway = None
        stopping = self.around.loop.create_task(gateway.stop(), context=gateway.context)
        await asyncio.wait({stopping}, timeout=STOP_SECONDS)
        await self._buried(gateway)

    async def freeze_gateway(self) -> None:
        gateway = self.gateway
        if gateway is None or gateway.process.frozen:
            return
        self.around.loop.freeze(gateway.process)
        await asyncio.sleep(self.between(0.1, 20.0))
        if self.gateway is gateway:
            self.around.loop.thaw(gateway.process)

    async def kill_relay(self) -> None:
        if self._relays_inside:
            await self.kill_gateway()
            return
        relay = self.relays[-1]
        await self._fated(relay.process)
        await asyncio.sleep(self.between(0.0, 3.0))
        if self.relays[-1] is relay:
            self._start_relay()

    async def freeze_relay(self) -> None:
        """Long enough for a second owner to take over; then both run for a while, and the older one is ended."""
        if self._relays_inside:
            await self.freeze_gateway()
            return
        zombie = self.relays[-1]
        await self._fated(zombie.process)
        await asyncio.sleep(self.between(0.0, 5.0))
        if self.relays[-1] is zombie:
            self._start_relay()
        await asyncio.sleep(self.between(0.0, 40.0))
        self.around.loop.thaw(zombie.process)
        await asyncio.sleep(self.between(1.0, 20.0))
        self.around.loop.freeze(zombie.process)

    async def _fated(self, process: Process) -> None:
        """Return when it was frozen at a step of its own."""
        frozen = self.around.loop.create_future()

        def fate() -> None:
            self.around.loop.freeze(process)
            if not frozen.done():
                frozen.set_result(None)

        process.fate = fate
        process.fated = process.steps + self.around.chance.dice.randint(1, 300)
        if process.frozen:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                await frozen
        process.fated = None
        self.around.loop.freeze(process)

    def _tell(self, marks: dict[int, int]) -> None:
        """A relay's process to the gateway that lives when it is told: marks are the gateway's to store."""
        self.around.loop.outside(self.around.chance.delay(0.001), self._told, marks)

    def _told(self, marks: dict[int, int]) -> None:
        if self.gateway is not None and not self.gateway.process.frozen:
            self.gateway.remember(marks)

    # --- the network in front

    async def post(self, request: BaseRequest) -> int:
        await asyncio.sleep(self.around.chance.delay(0.001))
        gateway = self.gateway
        if gateway is None:
            raise ConnectionRefusedError
        status = await gateway.take(request)
        await asyncio.sleep(self.around.chance.delay(0.001))
        if self.around.chance.breaks("an acknowledgement is lost", 0.02):
            raise ConnectionResetError
        return status

    def look(self) -> None:
        """Somebody reads the journal's file after an acknowledgement."""
        self.around.loop.outside(0.0, self._looked)

    def _looked(self) -> None:
        self.looks.append(Look(began=self.around.loop.time(), row=max(self.around.disk.tables.deliveries, default=0)))
