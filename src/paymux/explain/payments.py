"""A payment's whole story: each delivery that spoke of it, what was published, how it stands, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from paymux import lifecycle
from paymux.canonical import State
from paymux.errors import NotStored
from paymux.explain.deliveries import DeliveryFacts, RecordFacts, facts, record_facts
from paymux.journal.history import History, Sought, StoredPayment
from paymux.money import Money
from paymux.provider import Provider

MOST: Final = 500  # deliveries of a story
NEAREST: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A refund, a dispute, or the payment itself, as it was heard of last."""

    entity: str
    id: str
    status: str
    amount: Money | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentStory:
    """`links` are other names of the payment. `deliveries` and `events` are in order; of a payment that more than 500
    deliveries spoke of they are the newest, and `complete` is false. `gaps` say what must have been and was not heard.
    """

    key: str
    links: tuple[str, ...]
    state: State | None
    standings: tuple[Standing, ...]
    gaps: tuple[str, ...]
    deliveries: tuple[DeliveryFacts, ...]
    events: tuple[RecordFacts, ...]
    complete: bool


async def story(history: History, key: str, providers: Mapping[str, Provider]) -> PaymentStory:
    """By provider/account/id, where the id may be another name. Raises NotStored, naming the nearest;
    JournalUnavailable.
    """
    payment = await history.payment(key)
    if payment is None:
        raise NotStored(await _nothing(history, key))
    page = await history.deliveries(Sought(payment=payment.key), limit=MOST)
    found = page.deliveries[::-1]
    records = await history.records([each.row for each in found])
    own = [record for record in records if record.record.key == payment.key.encode()]
    deliveries = tuple(map(facts, found))
    return PaymentStory(
        key=payment.key,
        links=payment.links,
        state=lifecycle.state_of(payment.known, payment.key.split("/", 2)[2]),
        standings=tuple(_standings(payment)),
        gaps=tuple(_gaps(payment, deliveries)),
        deliveries=deliveries,
        events=record_facts(own, found, providers),
        complete=page.next is None,
    )


async def _nothing(history: History, key: str) -> str:
    """Also without its account, and with less of the id."""
    told, name = key[:200], key.rpartition("/")[2]
    for beginning in (key, name, name[: max(len(name) // 2, 3)]):
        near = await history.payments(beginning, limit=NEAREST) if beginning else ()
        if near:
            return f"nothing is known of {told}; the nearest are {', '.join(near)}"
    return f"nothing is known of {told}"


def _standings(payment: StoredPayment) -> Iterator[Standing]:
    for name, standing in payment.known.standings.items():
        entity, _, own_id = name.partition("/")
        amount = standing.amount[1] if standing.amount else None
        yield Standing(entity=entity, id=own_id, status=standing.status, amount=amount)


def _gaps(payment: StoredPayment, deliveries: Sequence[DeliveryFacts]) -> Iterator[str]:
    """What was heard of without what must have been before it."""
    known = payment.known
    kinds = {name.partition("/")[0] for name in known.standings}
    if "payment" not in kinds and kinds:
        yield f"{' and '.join(sorted(kinds))} known, the payment itself was never heard of"
    if "refund" in kinds and known.captured is None:
        yield "refund known, no capture seen"
    if any(each.outcome == "quarantined" for each in deliveries):
        yield "one of its deliveries is quarantined"
