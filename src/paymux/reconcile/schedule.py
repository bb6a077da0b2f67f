"""When an account is reconciled by itself, and what is asked then. Pure.

Each account has one standing job that begins anew, so that what the last run reached is as durable as any job.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from paymux.journal.jobs import JobState
from paymux.reconcile.orders import Order, order_of

if TYPE_CHECKING:
    from datetime import datetime

    from paymux.journal.jobs import Job

# Each run begins before the last one's end: a payment moves for some hours, and lists may lag behind.
OVERLAP: Final = timedelta(hours=12)
# Once a day all is looked at that may still move: late retries, cancellations, refunds.
WHOLE_EVERY: Final = timedelta(days=1)
REACH: Final = timedelta(days=30)
JITTER: Final = 0.1  # of the time between two runs, to both sides


def standing_id(name: tuple[str, str]) -> str:
    """Neither provider nor account has a colon."""
    return f"scheduled:{name[0]}:{name[1]}"


def due_at(before: Job, every: timedelta) -> datetime:
    """The same for a job whoever asks, and another one after each run."""
    digest = hashlib.sha256(f"{before.id} {before.created_at.isoformat()}".encode()).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    return before.created_at + every * (1 - JITTER + 2 * JITTER * share)


def following(before: Job | None, name: tuple[str, str], now: datetime) -> Order:
    """What the next run asks for. One that did not end well is asked again, from where it began."""
    if before is None:
        return _order(name, since=now - REACH, until=now, whole_at=now)
    last = order_of(before)
    if before.state is not JobState.DONE:
        return _order(name, since=last.since, until=now, whole_at=last.whole_at or now)
    if last.whole_at is None or now - last.whole_at >= WHOLE_EVERY:
        return _order(name, since=min(now - REACH, last.until), until=now, whole_at=now)
    start = before.cursor.get("kept")
    return _order(name, since=last.until - OVERLAP, until=now, whole_at=last.whole_at, start=start)


def told_since(order: Order) -> datetime | None:
    """A run that looks at everything finds again what still differs: of what was found before, only what was put right
    since then is still told. None: all of it.
    """
    return order.until - REACH if order.whole_at == order.until else None


def _order(
    name: tuple[str, str],
    *,
    since: datetime,
    until: datetime,
    whole_at: datetime,
    start: dict[str, str] | None = None,
) -> Order:
    provider, account = name
    return Order(
        provider=provider,
        account=account,
        since=since,
        until=until,
        fixes=True,
        only_open=True,
        start=start,
        whole_at=whole_at,
    )
