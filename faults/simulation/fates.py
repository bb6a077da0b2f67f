"""What the seed may let happen to a world, each for as long as the seed says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from faults.simulation.world import World


async def the_broker_is_away(world: World) -> None:
    world.broker.up = False
    await asyncio.sleep(world.between(0.5, 40.0))
    world.broker.up = True


async def the_broker_is_slow(world: World) -> None:
    world.broker.slow = world.between(0.1, 8.0)
    await asyncio.sleep(world.between(1.0, 30.0))
    world.broker.slow = 0.0


async def the_disk_is_full(world: World) -> None:
    world.disk.full = True
    await asyncio.sleep(world.between(0.1, 15.0))
    world.disk.full = False


async def the_disk_is_slow(world: World) -> None:
    world.disk.slow = world.between(0.05, 4.0)
    await asyncio.sleep(world.between(1.0, 20.0))
    world.disk.slow = 0.0


async def the_apis_are_down(world: World) -> None:
    world.providers.down = True
    await asyncio.sleep(world.between(1.0, 30.0))
    world.providers.down = False


async def the_clock_jumps(world: World) -> None:
    world.clock.skew = world.between(-400.0, 400.0)
    await asyncio.sleep(world.between(0.1, 20.0))
    world.clock.skew = 0.0


async def the_gateway_is_killed(world: World) -> None:
    await world.kill_gateway()


async def the_gateway_is_restarted(world: World) -> None:
    await world.restart_gateway()


async def the_gateway_is_frozen(world: World) -> None:
    await world.freeze_gateway()


async def the_relay_is_killed(world: World) -> None:
    await world.kill_relay()


async def the_relay_is_frozen_and_replaced(world: World) -> None:
    await world.freeze_relay()


Fate = Callable[["World"], Awaitable[None]]
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
