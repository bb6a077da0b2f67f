"""What an operator asks for, as a job keeps it."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from paymux.errors import JobRefused
from paymux.journal.history import Sought, impossible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paymux.journal.changes import Filed
    from paymux.journal.jobs import Job
    from paymux.provider import Account

Kind = Literal["republish", "retranslate", "diff", "retry"]

KINDS: Final[tuple[str, ...]] = get_args(Kind)
_TIMES: Final = ("since", "until")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`topic`: where republished events go, None for the events topic. `rate`: deliveries or records a second."""

    kind: Kind
    sought: Sought
    topic: str | None = None
    rate: float | None = None

    def spec(self) -> dict[str, Any]:
        """As JSON holds it."""
        sought = {name: value for name, value in asdict(self.sought).items() if value is not None}
        for name in _TIMES:
            if name in sought:
                sought[name] = sought[name].isoformat()
        return {"sought": sought, "topic": self.topic}


def checked(order: Order) -> Order:
    """What is meant; a retry is about what is quarantined. Raises JobRefused(job_impossible) with what is wrong."""
    sought = order.sought
    if order.kind not in KINDS:
        raise JobRefused(f"{order.kind!r} is none of {', '.join(KINDS)}", reason="job_impossible")
    if order.topic is not None and order.kind != "republish":
        raise JobRefused("only what is republished goes to another topic", reason="job_impossible")
    if order.topic is not None and not _TOPIC.fullmatch(order.topic):
        raise JobRefused(f"{order.topic[:100]!r} is no name of a topic", reason="job_impossible")
    possible(sought)
    if order.rate is not None and not 0 < order.rate < math.inf:
        raise JobRefused("rate should be a number above 0", reason="job_impossible")
    return replace(order, sought=in_quarantine(sought)) if order.kind == "retry" else order


def possible(sought: Sought) -> None:
    """Raises JobRefused(job_impossible) where nothing could ever fit."""
    if (why := impossible(sought)) is not None:
        raise JobRefused(why, reason="job_impossible")


def in_quarantine(sought: Sought) -> Sought:
    """Of what is quarantined, whether that is said or not. Raises JobRefused(job_impossible) where it cannot be."""
    possible(sought)
    if sought.outcome not in (None, "quarantined"):
        raise JobRefused(f"what became {sought.outcome} is not quarantined", reason="job_impossible")
    return replace(sought, outcome="quarantined")


def mappings(accounts: Mapping[tuple[str, str], Account]) -> dict[str, str]:
    """What today's mappings are, by account."""
    return {"/".join(name): account.mapping for name, account in accounts.items()}


def same_mappings(job: Job, accounts: Mapping[tuple[str, str], Account]) -> None:
    """What was compared with one mapping is not to be corrected with another. Raises JobRefused(job_impossible)."""
    now = mappings(accounts)
    changed = {name: old for name, old in job.spec.get("mappings", {}).items() if now.get(name, old) != old}
    if changed:
        told = ", ".join(f"{name} from {old} to {now[name]}" for name, old in sorted(changed.items()))
        raise JobRefused(f"the mapping changed since this diff began ({told}): make another", reason="job_impossible")


def is_quarantined(sought: Sought, filed: Filed) -> bool:
    """Whether an item of a delivery that fits is what is meant, not merely what came with it."""
    fits = sought.reason in (None, filed.reason) and sought.event_type in (None, filed.event_type)
    return fits and filed.outcome == "quarantined"


def sought_of(job: Job) -> Sought:
    told: Mapping[str, Any] = job.spec["sought"]
    return Sought(**{name: _value(name, value) for name, value in told.items()})


def _value(name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if name in _TIMES else value
