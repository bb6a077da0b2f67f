"""A journal's worth of deliveries: a payment's story, two of a type that nobody knows, rejections."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from paymux.delivery import Delivery, Proof, Verified
from paymux.journal import Entry, Rejection
from paymux.provider import Account
from paymux.providers import BY_NAME
from paymux.sandbox import samples
from paymux.translate import translate

if TYPE_CHECKING:
    from paymux.journal import Journal

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
STORY = ("payment_intent.created", "payment_intent.succeeded", "charge.refunded")
UNKNOWN = (3, 4)


def delivery_id(number: int) -> str:
    return f"01936f0e-0000-7000-8000-{number:012d}"


def payment() -> str:
    found: str = json.loads(samples.webhook("stripe", STORY[0]).body)["data"]["object"]["id"]
    return found


async def take(
    journal: Journal, number: int, body: bytes, provider: str = "stripe", proof: Proof = Proof.SIGNATURE
) -> None:
    account = Account(provider=BY_NAME[provider], name="acme")
    delivery = Delivery(
        id=delivery_id(number),
        provider=provider,
        account="acme",
        received_at=NOON + timedelta(minutes=number),
        body=body,
        path=f"/webhooks/{provider}/acme",
        headers=((b"Content-Type", b"application/json"), (b"Authorization", b"a-canary-of-a-secret")),
    )
    verified = Verified(delivery, proof, 0)
    await journal.append(Entry(account=account, verified=verified, items=translate(account, verified)))


async def fill(journal: Journal) -> None:
    for number, name in enumerate(STORY):
        await take(journal, number, samples.webhook("stripe", name).body)
    for number in UNKNOWN:
        unknown = json.loads(samples.webhook("stripe", STORY[0]).body) | {"type": "payment_intent.teleported"}
        await take(journal, number, json.dumps(unknown | {"id": f"evt_{number}"}).encode())
    for number, reason in enumerate(["too_old"] * 3 + ["body_timeout"]):
        at = NOON + timedelta(seconds=number)
        journal.reject(
            Rejection(
                at=at,
                provider="stripe",
                account="acme",
                reason=reason,
                address=f"192.0.2.{number}",
                size=3,
                sha256="00",
            )
        )
