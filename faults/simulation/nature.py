"""What paymux asks the machine for, given by the seed: clocks, ids and chance."""

from __future__ import annotations

import random
import secrets
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar
from unittest.mock import patch
from uuid import UUID

from structlog.testing import capture_logs

from paymux.http import webhooks
from paymux.sandbox import samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from faults.simulation.loop import Loop

T = TypeVar("T")

# Not chance, but a file each time.
_webhooks: Final = cache(samples.webhooks)
_answers: Final = cache(samples.answers)

START: Final = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@dataclass(slots=True)
class Chance:
    """The seed's dice, and how often they let something break. `calm`: nothing breaks any more."""

    dice: random.Random
    calm: bool = False
    broken: dict[str, int] = field(default_factory=dict)

    def breaks(self, what: str, probability: float) -> bool:
        """Whether this breaks now; asks the dice also in calm times, so that both run alike."""
        hit = self.dice.random() < probability and not self.calm
        if hit:
            self.note(what)
        return hit

    def note(self, what: str) -> None:
        self.broken[what] = self.broken.get(what, 0) + 1

    def delay(self, usual: float) -> float:
        """Around `usual` seconds, now and then much longer."""
        return self.dice.expovariate(1 / usual) + (usual * 50 if self.dice.random() < 0.01 else 0.0)

    def uuid(self) -> UUID:
        return UUID(int=self.dice.getrandbits(128), version=4)

    def choice(self, among: Sequence[T]) -> T:
        return self.dice.choice(among)


@dataclass(slots=True)
class Clock:
    """The wall clock, which may be wrong by `skew` seconds; the other one never is."""

    loop: Loop
    skew: float = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.loop.time() + self.skew)


@contextmanager
def of_the_seed(loop: Loop, chance: Chance) -> Iterator[None]:
    """For as long as the simulation runs, nothing in this process reads a real clock or throws real dice."""
    state = random.getstate()
    given: tuple[tuple[object, str, Callable[..., object]], ...] = (
        (time, "monotonic", loop.time),
        (time, "perf_counter", loop.time),
        (secrets, "choice", chance.choice),
        (secrets, "token_bytes", lambda count=16: chance.dice.randbytes(count)),
        (webhooks, "uuid7", chance.uuid),
        (samples, "webhooks", _webhooks),
        (samples, "answers", _answers),
    )
    with ExitStack() as stack:
        stack.enter_context(capture_logs())
        for module, name, replacement in given:
            stack.enter_context(patch.object(module, name, replacement))
        random.seed(chance.dice.getrandbits(64))
        try:
            yield
        finally:
            random.setstate(state)
