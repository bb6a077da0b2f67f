"""What the seed may let happen, each for as long as the seed says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from faults.simulation.machine import Machine


async def the_broker_is_away(machine: Machine) -> None:
    machine.around.broker.up = False
    await asyncio.sleep(machine.between(0.5, 40.0))
    machine.around.broker.up = True


async def the_broker_is_slow(machine: Machine) -> None:
    machine.around.broker.slow = machine.between(0.1, 8.0)
    await asyncio.sleep(machine.between(1.0, 30.0))
    machine.around.broker.slow = 0.0


async def the_disk_is_full(machine: Machine) -> None:
    machine.around.disk.full = True
    await asyncio.sleep(machine.between(0.1, 15.0))
    machine.around.disk.full = False


async def the_disk_is_slow(machine: Machine) -> None:
    machine.around.disk.slow = machine.between(0.05, 4.0)
    await asyncio.sleep(machine.between(1.0, 20.0))
    machine.around.disk.slow = 0.0


async def the_apis_are_down(machine: Machine) -> None:
    machine.around.apis.down = True
    await asyncio.sleep(machine.between(1.0, 30.0))
    machine.around.apis.down = False


async def the_clock_jumps(machine: Machine) -> None:
    machine.around.clock.skew = machine.between(-400.0, 400.0)
    await asyncio.sleep(machine.between(0.1, 20.0))
    machine.around.clock.skew = 0.0


async def the_gateway_is_killed(machine: Machine) -> None:
    await machine.kill_gateway()


async def the_gateway_is_restarted(machine: Machine) -> None:
    await machine.restart_gateway()


async def the_gateway_is_frozen(machine: Machine) -> None:
    await machine.freeze_gateway()


async def the_relay_is_killed(machine: Machine) -> None:
    await machine.kill_relay()


async def the_relay_is_frozen_and_replaced(machine: Machine) -> None:
    await machine.freeze_relay()


Fate = Callable[["Machine"], Awaitable[None]]
FATES: Final[tuple[Fate, ...]] = (
    the_broker_is_away,
    the_broker_is_slow,
    the_disk_is_full,
    the_disk_is_slow,
    the_apis_are_down,
    the_clock_jumps,
    the_gateway_is_killed,
    the_gateway_is_killed,
    the_gateway_is_restarted,
    the_gateway_is_frozen,
    the_relay_is_killed,
    the_relay_is_killed,
    the_relay_is_frozen_and_replaced,
    the_relay_is_frozen_and_replaced,
)
