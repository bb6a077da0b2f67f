"""What was proven and not understood, grouped: ten thousand of the same unknown status are one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from paymux.journal.history import History, QuarantineGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineFacts:
    """Items that are alike. `first` and `last` are times of receipt, `delivery` is the id of the newest."""

    provider: str
    account: str
    event_type: str | None
    reason: str | None
    path: str | None
    count: int
    first: datetime
    last: datetime
    delivery: str


async def quarantined(history: History) -> Sequence[QuarantineFacts]:
    """The largest group first. Raises JournalUnavailable."""
    return [_facts(group) for group in await history.quarantine()]


def _facts(group: QuarantineGroup) -> QuarantineFacts:
    return QuarantineFacts(**{name: getattr(group, name) for name in QuarantineFacts.__slots__})
