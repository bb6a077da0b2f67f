"""Payment stories as tests tell them: bodies, an account for each provider, and a line without HTTP or Kafka."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from paymux.delivery import Asked, Delivery, ObjectRef, Proof, Verified, Via
from paymux.journal import Entry
from paymux.provider import Account
from paymux.providers import BY_NAME
from paymux.translate import translate

if TYPE_CHECKING:
    from paymux.journal import Journal, Receipt

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def account(provider: str) -> Account:
    return Account(provider=BY_NAME[provider], name="acme")


def webhook(provider: str, body: dict[str, Any], *, key: str | None = None, proof: Proof = Proof.SIGNATURE) -> Verified:
    """A delivery as its provider would send it; `key` is the message id of a Svix delivery."""
    number = next(_numbers)
    headers = ((b"svix-id", key.encode()),) if key else ()
    delivery = Delivery(
        id=f"00000000-0000-7000-8000-{number:012d}",
        provider=provider,
        account="acme",
        received_at=START + timedelta(seconds=number),
        headers=headers,
        body=json.dumps(body).encode(),
        path=f"/webhooks/{provider}/acme",
    )
    return Verified(delivery, proof)


def answer(
    provider: str, kind: str, object_id: str, body: dict[str, Any], *, occurred_at: datetime | None = None
) -> Verified:
    """The provider's API answering for one object."""
    asked = Asked(ref=ObjectRef(object=kind, id=object_id), occurred_at=occurred_at)
    found = webhook(provider, body).delivery
    return Verified(replace(found, via=Via.LOOKUP, method="GET", asked=asked), Proof.API)


def listed(provider: str, body: dict[str, Any]) -> Verified:
    """A page of the provider's list of payments."""
    asked = Asked(ref=ObjectRef(object="payments", id=""))
    found = webhook(provider, body).delivery
    return Verified(replace(found, via=Via.RECONCILE, method="GET", asked=asked), Proof.API)


@dataclass(frozen=True)
class Told:
    """One published event, as far as a story is about it."""

    type: str
    sequence: int
    transition: str | None
    key: str
    event: dict[str, Any]


async def append(journal: Journal, verified: Verified) -> tuple[Receipt, ...]:
    of = account(verified.delivery.provider)
    return await journal.append(Entry(account=of, verified=verified, items=translate(of, verified)))


async def told(journal: Journal, topic: str = "payments.events.v1") -> list[Told]:
    """Everything published so far, in order."""
    rows = await journal.read(0, 0, 10_000)
    return [_told(row.record.key, json.loads(row.record.value)) for row in rows if row.record.topic == topic]


def _told(key: bytes, event: dict[str, Any]) -> Told:
    life = event["data"].get("lifecycle") or {"sequence": 0, "transition": None}
    return Told(event["type"], life["sequence"], life["transition"], key.decode(), event)


async def tell(journal: Journal, deliveries: list[Verified]) -> list[Told]:
    for verified in deliveries:
        await append(journal, verified)
    return await told(journal)
