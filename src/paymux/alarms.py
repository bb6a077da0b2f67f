"""What somebody should look at, watched from inside: accounts that fell silent, rejections and quarantine that grow,
events that wait for Kafka.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from paymux.errors import JournalUnavailable
from paymux.journal import RING
from paymux.rhythm import LEARNED, rising, silence
from paymux.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from datetime import datetime

    from paymux.journal import Journal, Rejection
    from paymux.journal.history import History
    from paymux.rhythm import Silence
    from paymux.telemetry import Metrics

    Name = tuple[str, str]  # provider, account

EVERY_SECONDS: Final = 60.0
LEAST_REJECTIONS: Final = 20
LEAST_QUARANTINED: Final = 10
LONGEST_LAG: Final = 300.0  # seconds

_DAY: Final = timedelta(days=1)


async def silent(history: History, accounts: Iterable[Name], now: datetime) -> dict[Name, Silence | None]:
    """Raises JournalUnavailable."""
    since = now - LEARNED - _DAY
    return {name: silence(await history.heard(name, since), now) for name in accounts}


async def grown(history: History, rejected: Iterable[Rejection], now: datetime) -> dict[str, bool]:
    """What is more than usual. Raises JournalUnavailable."""
    rejections = [each.at for each in rejected]
    quarantined = await history.quarantined_at(now - _DAY)
    return {
        "rejections_rising": rising(rejections, now, least=LEAST_REJECTIONS),
        "quarantine_growing": rising(quarantined, now, least=LEAST_QUARANTINED),
    }


class Watch:
    """Looks every minute; each alarm is a metric, and a line when it begins and ends. `lag` in seconds."""

    def __init__(
        self,
        journal: Journal,
        history: History,
        metrics: Metrics,
        *,
        accounts: Callable[[], Iterable[Name]],
        lag: Callable[[], Awaitable[float]],
        clock: Callable[[], datetime],
        every: float = EVERY_SECONDS,
    ) -> None:
        self._journal = journal
        self._history = history
        self._metrics = metrics
        self._accounts = accounts
        self._lag = lag
        self._clock = clock
        self._every = every
        self._on: set[tuple[str, ...]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except JournalUnavailable as error:
                logger().warning("watch_postponed", detail=error.detail)
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Raises JournalUnavailable."""
        now = self._clock()
        found = await silent(self._history, self._accounts(), now)
        self._metrics.gauges["paymux_account_silent"] = {name: float(told is not None) for name, told in found.items()}
        for name, told in found.items():
            facts = {"provider": name[0], "account": name[1]}
            if told is not None:
                facts |= {"since": told.since.isoformat(), "expected": f"{told.expected:.0f}"}
            self._tell(("account_silent", *name), facts, is_on=told is not None)
        for alarm, is_on in (await self._others(now)).items():
            self._metrics.set("paymux_alarm", float(is_on), alarm)
            self._tell((alarm,), {}, is_on=is_on)

    async def _others(self, now: datetime) -> dict[str, bool]:
        rejected = await self._journal.rejections(RING)
        return {**await grown(self._history, rejected, now), "lag": await self._lag() > LONGEST_LAG}

    def _tell(self, alarm: tuple[str, ...], facts: Mapping[str, str], *, is_on: bool) -> None:
        if is_on and alarm not in self._on:
            self._on.add(alarm)
            logger().warning(alarm[0], **facts)
        elif not is_on and alarm in self._on:
            self._on.discard(alarm)
            logger().info(f"{alarm[0]}_over", **facts)
