"""Bodies are let go of when they are old: in small steps, so that webhooks go on at their pace."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from paymux.errors import JournalUnavailable
from paymux.journal.audit import Act
from paymux.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from paymux.journal import Journal
    from paymux.journal.history import History, Retained

SWEEP_SECONDS: Final = 3600.0
NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
STEP: Final = 200  # rows of a commit
PAUSE_SECONDS: Final = 0.05


class Retention:
    """What the journal let go of stays known by key, digest, time and outcome. A `keep` of nothing keeps all."""

    def __init__(
        self, journal: Journal, keep: timedelta, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._journal = journal
        self._keep = keep
        self._now = now

    async def run(self) -> None:
        """Until cancelled."""
        while self._keep:
            try:
                rows = await self.sweep()
            except JournalUnavailable as error:
                logger().warning("retention_postponed", detail=error.detail)
            else:
                if rows:
                    logger().info("retention", rows=rows, days=self._keep.days)
            await asyncio.sleep(SWEEP_SECONDS)

    @property
    def days(self) -> int:
        return self._keep.days

    async def kept(self, history: History) -> Retained:
        """As of now. Raises JournalUnavailable."""
        return await history.retained(self._now() - self._keep if self._keep else NEVER)

    async def sweep_for(self, who: str) -> int:
        """Now, since somebody wants it; how many rows that were. Raises JournalUnavailable."""
        rows = await self.sweep() if self._keep else 0
        act = Act(who=who, action="retention.sweep", target=f"{self.days} days", detail={"rows": rows})
        await self._journal.change(lambda unit: unit.audit(act))
        return rows

    async def sweep(self) -> int:
        """Everything that is old by now; how many rows that were. Raises JournalUnavailable."""
        before, rows = self._now() - self._keep, 0
        while step := await self._journal.expire(before, STEP):
            rows += step
            await asyncio.sleep(PAUSE_SECONDS)
        return rows
