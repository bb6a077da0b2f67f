"""What one delivery states, before anything that was known earlier is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from paymux.canonical import Block
    from paymux.delivery import ObjectRef
    from paymux.money import Money

FactName = Literal["attempt_failed", "overpaid", "refunded", "settled", "funds_withdrawn", "funds_reinstated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something beside the status.

    `says` is None where the event's name states the fact: it goes out for each event key. A fact that is read
    from the object says how much, as a tuple that only grows: it goes out when that is more than before.
    For `refunded` that is (in full?, minor units).
    """

    name: FactName
    says: tuple[int, ...] | None = None


def refunded(amount: Money | None, *, full: bool) -> tuple[Fact, ...]:
    """The fact that a payment says it was refunded, for its cumulative amount; none for nothing refunded."""
    if not full and (amount is None or amount.minor <= 0):
        return ()
    return (Fact(name="refunded", says=(int(full), amount.minor if amount else 0)),)


def in_full(amount: Money, returned: Money | None) -> bool:
    """All of it was refunded: no less, and not nothing of nothing."""
    return returned is not None and 0 < amount.minor <= returned.minor


def purpose(amount: Money) -> Literal["payment", "verification"]:
    """For providers that check a method by a payment of nothing."""
    return "payment" if amount.minor else "verification"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one object says of a payment, refund, dispute or payout.

    `at` is the object's or the event's own time: it alone orders statements. None never supersedes.
    `payment_id` is None where the payment isn't known by that id; `payment_alias` is then the other name
    that the object gives for it (a charge). `aliases` are further names of the payment, to be kept as links.
    `speaker` is the id of the object that speaks, where that is not the one with authority over the
    payment's status (Stripe's charge beside its PaymentIntent); the block's status is then None.
    `capture` is one of several captures of the payment, where the provider tells of each by an id of its own: what it
    took, nothing once it failed. `refund_state` is what a refunded status says, where the provider has one.
    """

    block: Block
    at: datetime | None = None
    payment_id: str | None = None
    payment_alias: str | None = None
    aliases: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    speaker: str | None = None
    capture: tuple[str, Money] | None = None
    refund_state: Literal["partial", "full"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the envelope says. `event_key` is None for a delivery that carries only an id and proves nothing else:
    the same bytes come each time. `event_type` is None for an API answer.
    """

    event_key: str | None
    event_type: str | None
    occurred_at: datetime | None = None
    livemode: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """The delivery only names objects; their state comes from the provider's API.

    `settles`: the canonical statuses that the delivery may have promised; an answer with another status is asked for
    again. Empty: any answer will do.
    """

    objects: tuple[ObjectRef, ...]
    settles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Known, and deliberately not translated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    reason: str
    path: str | None = None
    detail: str | None = None


Outcome = Stated | Lookup | Ignored | Quarantined

# From the best to the worst: a delivery is called by its worst item.
OUTCOMES: Final[Mapping[type[Outcome], str]] = {
    Ignored: "ignored",
    Stated: "events",
    Lookup: "lookup",
    Quarantined: "quarantined",
}
_RANKS: Final = tuple(OUTCOMES.values())


def worst(words: Iterable[str]) -> str:
    """Of the items of one delivery; without any it is `ignored`."""
    return max(words, key=_RANKS.index, default="ignored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a delivery and what became of it.

    `fingerprint` is what must not differ when the same event key comes again: if it does, that is a conflict.
    """

    position: int | None
    event_key: str | None
    event_type: str | None
    occurred_at: datetime | None
    livemode: bool | None
    outcome: Outcome
    fingerprint: str
