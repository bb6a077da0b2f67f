"""A provider of a few lines whose deliveries are batches: what a journal's tests say, they say through it."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from paymux.canonical import (
    Dispute,
    DisputeStatus,
    Entity,
    Payment,
    PaymentStatus,
    Payout,
    PayoutStatus,
    Refund,
    RefundStatus,
)
from paymux.delivery import Asked, Delivery, ObjectRef, Proof, Verified, Via
from paymux.journal import Entry
from paymux.money import Money
from paymux.provider import Account, Api, Endpoint, Provider, Transitions
from paymux.signatures.static_secret import StaticHeader
from paymux.statement import Fact, Head, Lookup, Statement, refunded
from paymux.translate import translate

if TYPE_CHECKING:
    from paymux.journal import Journal, Receipt
    from paymux.wild import Wild

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


class Unwritable:
    """A value that no event can hold: what a bug in a mapping may leave behind."""


def eur(minor: int | None) -> Money | None:
    return None if minor is None else Money(minor, "EUR", 2)


def head(verified: Verified, body: Wild) -> Head:
    return Head(
        event_key=body.maybe_id("key"),
        event_type=body.text("type"),
        occurred_at=body.maybe_seconds("at"),
        livemode=body.maybe_flag("livemode"),
    )


def payment(body: Wild, head: Head) -> tuple[Statement, ...]:
    amount, back = eur(body.maybe_integer("amount")), eur(body.maybe_integer("refunded"))
    word = body.maybe_text("status")
    broken = {"metadata": {"bug": Unwritable()}} if body.maybe_flag("broken") else {}
    block = Payment(
        id=body.id("id"),
        status=PaymentStatus(word) if word else None,
        provider_status=word,
        amount=amount,
        amount_refunded=back,
        description=body.maybe_text("note"),
        **broken,
    )
    full = back is not None and back == amount
    return (
        Statement(
            block=block,
            at=head.occurred_at,
            aliases=tuple(body.value.get("aliases", ())),
            facts=refunded(back, full=full),
        ),
    )


def refund(body: Wild, head: Head) -> tuple[Statement, ...]:
    payment_id = body.maybe_id("payment")
    block = Refund(
        id=body.id("id"),
        payment_id=payment_id,
        status=RefundStatus(body.text("status")),
        provider_status=body.text("status"),
        amount=eur(body.maybe_integer("amount")),
    )
    return (_belonging(body, head, block, payment_id),)


def dispute(body: Wild, head: Head) -> tuple[Statement, ...]:
    payment_id = body.maybe_id("payment")
    block = Dispute(id=body.id("id"), payment_id=payment_id, status=DisputeStatus(body.text("status")))
    fact = body.maybe_text("fact")
    statement = _belonging(body, head, block, payment_id)
    return (replace(statement, facts=(Fact(name=fact),)) if fact else statement,)


def _belonging(body: Wild, head: Head, block: Refund | Dispute, payment_id: str | None) -> Statement:
    return Statement(
        block=block,
        at=head.occurred_at,
        payment_id=payment_id,
        payment_alias=body.maybe_id("by") if payment_id is None else None,
        aliases=tuple(body.value.get("aliases", ())),
    )


def payout(body: Wild, head: Head) -> tuple[Statement, ...]:
    block = Payout(id=body.id("id"), status=PayoutStatus(body.text("status")))
    return (Statement(block=block, at=head.occurred_at),)


def ask(body: Wild, head: Head) -> Lookup:
    refs = tuple(ObjectRef(object="payment", id=name) for name in body.value["ids"])
    return Lookup(objects=refs, settles=frozenset(body.value.get("settles", ())))


def state(body: Wild, asked: Asked) -> tuple[Statement, ...]:
    at = body.maybe_seconds("at") or asked.occurred_at
    return payment(body, Head(event_key=None, event_type=None, occurred_at=at))


TINY = Provider(
    name="tiny",
    docs="",
    signature=StaticHeader(header=b"x-tiny-secret"),
    head=head,
    events={"payment": payment, "refund": refund, "dispute": dispute, "payout": payout, "ask": ask},
    statuses={},
    ignored=frozenset({"ping"}),
    split=lambda body: body.children("items"),
    transitions=Transitions(moves={Entity.PAYMENT: {"failed": frozenset({"processing"})}}),
    api=Api(
        url="http://127.0.0.1",
        headers=lambda _key, _options: {},
        objects={"payment": Endpoint(path="/{id}", state=state)},
    ),
)
CURRENT = replace(TINY, name="current", resends_current=lambda _: True)
SECRET = b"a-secret-that-nobody-guesses"
ACCOUNT = Account(provider=TINY, name="acme", checks=((TINY.signature, (SECRET,)),))


def says(
    kind: str, key: str | None, object_id: str = "p1", *, after: float | None = 0, **fields: Any
) -> dict[str, Any]:
    """One item of a batch, `after` so many seconds past noon; None: it gives no time."""
    at = {} if after is None else {"at": int((NOON + timedelta(seconds=after)).timestamp())}
    return {"type": kind, "key": key, "id": object_id, **at, **fields}


def batch(*items: dict[str, Any], proof: Proof = Proof.SIGNATURE, **more: Any) -> Verified:
    """A delivery of these items."""
    return delivered({"items": items}, proof=proof, **more)


def delivered(body: Any, *, proof: Proof = Proof.SIGNATURE, **more: Any) -> Verified:
    number = next(_numbers)
    delivery = Delivery(
        id=f"00000000-0000-7000-8000-{number:012d}",
        provider="tiny",
        account="acme",
        received_at=NOON + timedelta(seconds=number),
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        path="/webhooks/tiny/acme",
    )
    return Verified(replace(delivery, **more), proof, 0)


def answered(body: dict[str, Any], *, occurred_at: datetime | None = None) -> Verified:
    """The API answering for one payment."""
    asked = Asked(ref=ObjectRef(object="payment", id=body["id"]), occurred_at=occurred_at)
    return delivered(body, proof=Proof.API, via=Via.LOOKUP, method="GET", asked=asked)


def entry(verified: Verified, account: Account = ACCOUNT, **more: Any) -> Entry:
    return Entry(account=account, verified=verified, items=translate(account, verified), **more)


async def append(journal: Journal, verified: Verified, account: Account = ACCOUNT, **more: Any) -> tuple[Receipt, ...]:
    return await journal.append(entry(verified, account, **more))


async def put(journal: Journal, *items: dict[str, Any], **more: Any) -> tuple[Receipt, ...]:
    return await append(journal, batch(*items, **more))
