"""What is known of a payment, and what one more statement changes. Pure.

Statements arrive in any order. Each has an order of its own (the provider's time, then the status's rank, then the
event key; for some providers rank alone), and everything here is a maximum over orders, so that every order of arrival
ends in the same state. Only the transitions and the sequence tell in which order things were heard.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from paymux.canonical import (
    FACT_TYPES,
    STATUSES,
    DisputeStatus,
    Entity,
    Lifecycle,
    Payment,
    PaymentStatus,
    RefundStatus,
    State,
    Transition,
)
from paymux.money import Money
from paymux.provider import FINAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paymux.canonical import Block, RefundState
    from paymux.provider import Transitions
    from paymux.statement import Fact, Statement

# (microseconds since 1970, rank, event key); -1 where the provider gives no time, 0 where rank alone orders.
Order = tuple[int, int, str]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NO_TIME: Final = -1
_ENTERS: Final = frozenset(
    {
        Transition.FIRST,
        Transition.ADVANCED,
        Transition.RETRIED,
        Transition.REVERSED,
        Transition.UNEXPECTED,
    }
)
# Made once: an enum is slow to format.
_STATUS_TYPES: Final[Mapping[tuple[Entity, str], str]] = {
    (entity, status.value): f"{entity}.{status}" for entity in Entity for status in STATUSES[entity]
}
_UPDATED: Final = {entity: (("status", f"{entity}.updated"),) for entity in Entity}
_PREFIXES: Final = {entity: f"{entity}/" for entity in Entity}
_UNDISPUTED: Final = frozenset({DisputeStatus.WON, DisputeStatus.CANCELED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The latest status of one payment, refund, dispute or payout, and the newest amount that a refund gave."""

    status: str
    order: Order
    amount: tuple[Order, Money] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known under one key: a payment with its refunds and disputes, or an entity without a payment.

    `standings` by "entity/id"; `said` by "speaker/fact": how much that object said before. The money fields pair a
    value with the order of the statement that gave it; `captures` has the parts of what was captured, by their ids.
    """

    sequence: int = 0
    standings: Mapping[str, Standing] = field(default_factory=dict)
    said: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    amount: tuple[tuple[int, Order], Money] | None = None
    captured: tuple[int, Money] | None = None
    captures: Mapping[str, tuple[Order, Money]] = field(default_factory=dict)
    refunded: tuple[int, Money] | None = None
    refund_state: tuple[Order, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One event to publish. `slot` is "status" or the fact's name; it makes the event's id."""

    slot: str
    type: str
    lifecycle: Lifecycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How to hear a statement: the rules of its provider, the key of its event, and whether it is a snapshot of
    the provider's API, which publishes only what changes what is known.
    """

    transitions: Transitions
    event_key: str
    snapshot: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A statement held against what its key knew: its place in the order, how it moved its entity's status, and the
    events that it makes, as (slot, type).
    """

    order: Order
    transition: Transition | None
    previous_status: str | None
    events: tuple[tuple[str, str], ...]


def read(known: Known, statement: Statement, heard: Heard) -> Reading:
    """What a statement adds to what is known."""
    block = statement.block
    standing = known.standings.get(standing_name(block))
    order = _order(statement, heard)
    transition = _transition(standing, statement, order, heard)
    return Reading(
        order=order,
        transition=transition,
        previous_status=standing.status if standing else None,
        events=_events(known, statement, heard, transition),
    )


def is_update(statement: Statement, reading: Reading) -> bool:
    """Whether it makes no event but that something was said."""
    return reading.events == _UPDATED[statement.block.entity]


def slots(statement: Statement) -> tuple[str, ...]:
    """Of all events that it might make, with whatever facts."""
    return ("status", *FACT_TYPES[statement.block.entity])


def join(known: Known, statement: Statement, reading: Reading, *, announced: int) -> Known:
    """What is known after a statement of which `announced` events are published under this key."""
    order, block = reading.order, statement.block
    payment = block if isinstance(block, Payment) else None
    return Known(
        sequence=known.sequence + announced,
        standings=known.standings if block.status is None else _standings(known, block, order),
        said=_said(known, statement) if statement.facts else known.said,
        amount=_amount(known, statement, order) if payment else known.amount,
        captured=_cumulative(known, statement, order),
        captures=_captures(known, statement, order),
        refunded=_largest(known.refunded, payment.amount_refunded, order) if payment else known.refunded,
        refund_state=_stated_refund(known, statement, order),
    )


def announcements(before: Known, reading: Reading, state: State | None) -> tuple[Announcement, ...]:
    """The events of a statement, numbered on from what was known before."""
    return tuple(
        Announcement(
            slot=slot,
            type=event_type,
            lifecycle=Lifecycle(
                sequence=sequence,
                transition=reading.transition,
                previous_status=reading.previous_status,
                state=state,
            ),
        )
        for sequence, (slot, event_type) in enumerate(reading.events, start=before.sequence + 1)
    )


def offline(statement: Statement) -> list[tuple[str, str]]:
    """(slot, type) of the events of a statement where nothing is known: a status event carries its status."""
    entity, status = statement.block.entity, statement.block.status
    entered = [("status", _STATUS_TYPES[entity, status])] if status is not None else []
    return entered + _facts(statement.facts, entity) or list(_UPDATED[entity])


def state_of(known: Known, payment_id: str | None) -> State | None:
    """The payment's state; None where no payment is known to speak of."""
    if payment_id is None:
        return None
    standing = known.standings.get(f"payment/{payment_id}")
    refunded = _refunded(known)
    return State(
        status=PaymentStatus(standing.status) if standing else None,
        amount=known.amount[1] if known.amount else None,
        captured=_captured(known),
        refunded=refunded,
        refund_state=_refund_state(known, refunded),
        disputed=any(
            standing.status not in _UNDISPUTED
            for name, standing in known.standings.items()
            if name.startswith("dispute/")
        ),
    )


def standing_name(block: Block) -> str:
    return _PREFIXES[block.entity] + block.id


# --- status


def _order(statement: Statement, heard: Heard) -> Order:
    block = statement.block
    status = block.status
    rank = -1 if status is None else heard.transitions.ranks[block.entity][status]
    return (_microseconds(statement.at, heard), rank, heard.event_key)


def _microseconds(at: datetime | None, heard: Heard) -> int:
    if heard.transitions.orders_by == "rank":
        return 0
    return _NO_TIME if at is None else (at - _EPOCH) // _MICROSECOND


def _transition(standing: Standing | None, statement: Statement, order: Order, heard: Heard) -> Transition | None:
    block = statement.block
    if block.status is None:
        return None
    if standing is None:
        return Transition.FIRST
    return _move(standing, block.entity, block.status, order, heard)


def _move(standing: Standing, entity: Entity, status: str, order: Order, heard: Heard) -> Transition:
    old = standing.status
    if status == old:
        return Transition.STALE if order[0] < standing.order[0] else Transition.REPEATED
    if order < standing.order:
        return Transition.STALE
    if old not in FINAL[entity]:
        return Transition.ADVANCED
    if not heard.transitions.allows(entity, old, status):
        return Transition.UNEXPECTED
    return Transition.RETRIED if old == "failed" else Transition.REVERSED


def _standings(known: Known, block: Block, order: Order) -> Mapping[str, Standing]:
    name = standing_name(block)
    old = known.standings.get(name)
    amount = _refund_amount(old, block, order)
    if old is not None and order < old.order:
        new = Standing(status=old.status, order=old.order, amount=amount)
    else:
        new = Standing(status=block.status or "", order=order, amount=amount)
    return {**known.standings, name: new}


def _refund_amount(old: Standing | None, block: Block, order: Order) -> tuple[Order, Money] | None:
    kept = old.amount if old else None
    if block.entity is not Entity.REFUND or block.amount is None or (kept is not None and order < kept[0]):
        return kept
    return (order, block.amount)


# --- types


def _events(
    known: Known, statement: Statement, heard: Heard, transition: Transition | None
) -> tuple[tuple[str, str], ...]:
    block = statement.block
    entity = block.entity
    entered = [("status", _STATUS_TYPES[entity, block.status or ""])] if transition in _ENTERS else []
    news = tuple(fact for fact in statement.facts if _is_news(known, statement, fact))
    if news:
        return (*entered, *_facts(news, entity))
    if entered or heard.snapshot:
        return tuple(entered)
    return _UPDATED[entity]


def _facts(facts: tuple[Fact, ...], entity: Entity) -> list[tuple[str, str]]:
    named = {_fact_type(fact): fact.name for fact in facts}
    return [(named[name], f"{entity}.{name}") for name in FACT_TYPES[entity] if name in named]


def _fact_type(fact: Fact) -> str:
    if fact.name != "refunded":
        return fact.name
    return "refunded" if fact.says and fact.says[0] else "partially_refunded"


def _is_news(known: Known, statement: Statement, fact: Fact) -> bool:
    return fact.says is None or fact.says > known.said.get(_said_name(statement, fact), ())


def _said_name(statement: Statement, fact: Fact) -> str:
    return f"{statement.speaker or standing_name(statement.block)}/{fact.name}"


def _said(known: Known, statement: Statement) -> Mapping[str, tuple[int, ...]]:
    said = {
        _said_name(statement, fact): fact.says
        for fact in statement.facts
        if fact.says is not None and _is_news(known, statement, fact)
    }
    return {**known.said, **said} if said else known.said


# --- money


def _amount(known: Known, statement: Statement, order: Order) -> tuple[tuple[int, Order], Money] | None:
    """By the newest statement that gives one, an object with authority before any other."""
    amount = statement.block.amount
    rank = (int(statement.speaker is None), order)
    if amount is None or (known.amount is not None and rank < known.amount[0]):
        return known.amount
    return (rank, amount)


def _largest(old: tuple[int, Money] | None, said: Money | None, order: Order) -> tuple[int, Money] | None:
    """Cumulative amounts: by the newest time, then the largest."""
    if said is None or (old is not None and (order[0], said.minor) <= (old[0], old[1].minor)):
        return old
    return (order[0], said)


def _cumulative(known: Known, statement: Statement, order: Order) -> tuple[int, Money] | None:
    """What the payment itself says was captured of it in all; a part says nothing of the others."""
    block = statement.block
    if not isinstance(block, Payment) or statement.capture is not None:
        return known.captured
    return _largest(known.captured, block.amount_captured, order)


def _captures(known: Known, statement: Statement, order: Order) -> Mapping[str, tuple[Order, Money]]:
    """Each part by its id, as it was heard of last."""
    if statement.capture is None:
        return known.captures
    name, amount = statement.capture
    old = known.captures.get(name)
    return known.captures if old is not None and order < old[0] else {**known.captures, name: (order, amount)}


def _captured(known: Known) -> Money | None:
    """The larger of what the payment says and the sum of its parts."""
    own = known.captured[1] if known.captured else None
    parts = [amount for _, amount in known.captures.values()]
    if not parts or len({amount.currency for amount in parts}) > 1:
        return own
    total = Money(sum(amount.minor for amount in parts), parts[0].currency, parts[0].exponent)
    return own if own and own.minor >= total.minor else total


def _stated_refund(known: Known, statement: Statement, order: Order) -> tuple[Order, str] | None:
    if statement.refund_state is None:
        return known.refund_state
    candidate = _refund_order(order, statement.refund_state)
    return candidate if known.refund_state is None else max(known.refund_state, candidate)


def _refund_order(order: Order, said: str) -> tuple[Order, str]:
    """A later rank for "full", so that it wins where nothing else orders the two."""
    return ((order[0], order[1] + (said == "full"), order[2]), said)


def _refunded(known: Known) -> Money | None:
    """The larger of what the payment says and the sum of its succeeded refunds; None while one has no amount."""
    own = known.refunded[1] if known.refunded else None
    succeeded = _succeeded_refunds(known)
    if not succeeded:
        return own
    amounts = [standing.amount[1] for standing in succeeded if standing.amount is not None]
    currencies = {amount.currency for amount in amounts} | ({own.currency} if own else set())
    if len(amounts) < len(succeeded) or len(currencies) > 1:
        return None
    total = Money(sum(amount.minor for amount in amounts), amounts[0].currency, amounts[0].exponent)
    return own if own and own.minor >= total.minor else total


def _succeeded_refunds(known: Known) -> list[Standing]:
    return [
        standing
        for name, standing in known.standings.items()
        if name.startswith("refund/") and standing.status == RefundStatus.SUCCEEDED
    ]


def _refund_state(known: Known, refunded: Money | None) -> RefundState:
    if known.refund_state is not None:
        return "full" if known.refund_state[1] == "full" else "partial"
    if refunded is None:
        return "unknown" if _succeeded_refunds(known) else "none"
    if refunded.minor <= 0:
        return "none"
    base = _captured(known) or (known.amount[1] if known.amount else None)
    if base is None or base.currency != refunded.currency:
        return "unknown"
    return "full" if refunded.minor >= base.minor else "partial"


# --- storage


def dump(known: Known) -> bytes:
    return orjson.dumps(known)


def load(stored: bytes) -> Known:
    """The inverse of `dump`."""
    value = orjson.loads(stored)
    return Known(
        sequence=value["sequence"],
        standings={
            name: Standing(status=old["status"], order=_order_of(old["order"]), amount=_pair(old["amount"], _order_of))
            for name, old in value["standings"].items()
        },
        said={name: tuple(said) for name, said in value["said"].items()},
        amount=_pair(value["amount"], lambda rank: (rank[0], _order_of(rank[1]))),
        captured=_pair(value["captured"], int),
        captures={name: _pair(each, _order_of) for name, each in value["captures"].items()},
        refunded=_pair(value["refunded"], int),
        refund_state=(_order_of(value["refund_state"][0]), value["refund_state"][1]) if value["refund_state"] else None,
    )


def _order_of(value: Any) -> Order:
    return (value[0], value[1], value[2])


def _money(value: Any) -> Money | None:
    return Money(value["minor"], value["currency"], value["exponent"]) if value else None


def _pair(value: Any, order: Any) -> Any:
    return (order(value[0]), _money(value[1])) if value else None
