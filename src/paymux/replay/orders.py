"""What an operator asks for, as a job keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from paymux.errors import JobRefused
from paymux.journal.history import Sought

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paymux.journal.changes import Filed
    from paymux.journal.jobs import Job
    from paymux.provider import Account

Kind = Literal["republish", "retranslate", "diff", "retry"]

KINDS: Final[tuple[str, ...]] = get_args(Kind)
_TIMES: Final = ("since", "until")


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
    possible(sought)
    if order.rate is not None and not order.rate > 0:
        raise JobRefused("rate should be more than 0", reason="job_impossible")
    if order.kind == "retry" and sought.outcome not in (None, "quarantined"):
        raise JobRefused("only what is quarantined is retried", reason="job_impossible")
    return replace(order, sought=replace(sought, outcome="quarantined")) if order.kind == "retry" else order


def possible(sought: Sought) -> None:
    """Raises JobRefused(job_impossible) where nothing could ever fit."""
    if sought.since is not None and sought.until is not None and sought.since >= sought.until:
        raise JobRefused("until should be later than since", reason="job_impossible")
    if sought.reason is not None and sought.outcome not in (None, "quarantined"):
        raise JobRefused(f"what became {sought.outcome} has no reason", reason="job_impossible")
    provider, account, *rest = [*(sought.payment or "").split("/", 2), "", ""]
    if sought.payment is not None and not (provider and account and rest[0]):
        raise JobRefused("a payment is named PROVIDER/ACCOUNT/ID", reason="job_impossible")
    if sought.payment is not None and not (sought.provider in (None, provider) and sought.account in (None, account)):
        raise JobRefused("the payment is of another provider or account", reason="job_impossible")


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
