"""What is to be reconciled, as a job keeps it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from paymux.errors import JobRefused

if TYPE_CHECKING:
    from paymux.journal.jobs import Job

KIND: Final = "reconcile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The payments of an account between two times. `fixes`: what differs goes down the line. `rate`: payments a
    second. `only_open`: of ours that no list has, those that may still move are asked for, not all. `start` is the
    place in a list, without a filter for time, before which all is older; `whole_at` is when a schedule last looked at
    everything.
    """

    provider: str
    account: str
    since: datetime
    until: datetime
    fixes: bool = False
    rate: float | None = None
    only_open: bool = False
    start: dict[str, str] | None = None
    whole_at: datetime | None = None

    @property
    def name(self) -> tuple[str, str]:
        return (self.provider, self.account)

    def spec(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "provider": self.provider,
            "account": self.account,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "fixes": self.fixes,
            "only_open": self.only_open,
            "start": self.start,
            "whole_at": self.whole_at.isoformat() if self.whole_at else None,
        }


def checked(order: Order, now: datetime) -> Order:
    """Raises JobRefused(job_impossible)."""
    if order.since >= order.until:
        raise JobRefused("until should be later than since", reason="job_impossible")
    if order.since >= now:
        raise JobRefused("since should be in the past", reason="job_impossible")
    if order.rate is not None and not 0 < order.rate < math.inf:
        raise JobRefused("rate should be a number above 0", reason="job_impossible")
    return order


def order_of(job: Job) -> Order:
    spec = job.spec
    return Order(
        provider=spec["provider"],
        account=spec["account"],
        since=datetime.fromisoformat(spec["since"]),
        until=datetime.fromisoformat(spec["until"]),
        fixes=spec["fixes"],
        rate=job.rate,
        only_open=spec["only_open"],
        start=spec["start"],
        whole_at=datetime.fromisoformat(spec["whole_at"]) if spec["whole_at"] else None,
    )
