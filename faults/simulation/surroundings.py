"""What a world is made of, before anything runs in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from faults.simulation.apis import Apis
from faults.simulation.broker import Broker, SimulatedPublisher
from faults.simulation.disk import Disk, Store
from faults.simulation.nature import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.simulation.loop import Loop
    from faults.simulation.nature import Chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What stands behind paymux; a broken one shows that the simulation would see it."""

    store: Callable[[Disk], Store] = Store
    publisher: Callable[..., SimulatedPublisher] = SimulatedPublisher
    fences: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """`clock` is paymux's, which may be wrong; the providers' is right. `wrong` is what nobody foresaw."""

    loop: Loop
    chance: Chance
    ports: Ports
    clock: Clock
    disk: Disk
    broker: Broker
    apis: Apis
    wrong: list[str] = field(default_factory=list)


def surroundings(loop: Loop, chance: Chance, ports: Ports) -> Surroundings:
    return Surroundings(
        loop=loop,
        chance=chance,
        ports=ports,
        clock=Clock(loop),
        disk=Disk(identity=str(chance.uuid()), chance=chance),
        broker=Broker(chance=chance, fences=ports.fences),
        apis=Apis(chance=chance, time=loop.time),
    )
