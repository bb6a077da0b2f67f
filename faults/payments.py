"""What is sent: payments whose outcome is known beforehand, and traffic of every kind without end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from faults.senders import Webhook
from paymux.sandbox import samples
from paymux.sandbox.fresh import Fresh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from random import Random

    from paymux.sandbox.apis import Sandbox

# Provider -> (sample, what it becomes), in the order of the story.
STORIES = {
    "stripe": (
        ("payment_intent.created", "payment.pending"),
        ("charge.succeeded", "payment.updated"),
        ("payment_intent.succeeded", "payment.succeeded"),
        ("charge.refunded", "payment.partially_refunded"),
        ("refund.updated", "refund.succeeded"),
        ("charge.dispute.created", "dispute.needs_response"),
    ),
    "flowlix": (
        ("payment.succeeded", "payment.succeeded"),
        ("refund.succeeded", "refund.succeeded"),
        ("refund.failed", "refund.failed"),
    ),
    "flexprice": (
        ("payment.pending", "payment.pending"),
        ("payment.updated--processing", "payment.processing"),
        ("payment.updated", "payment.succeeded"),
        ("refund.created", "refund.pending"),
        ("refund.failed", "refund.failed"),
        ("payment.updated--refunded", "payment.refunded"),
    ),
}


def payments(count: int, providers: Iterable[str] = tuple(STORIES)) -> list[list[Webhook]]:
    """For each payment its webhooks, in order; providers take turns."""
    names = list(providers)
    return [_payment(names[index % len(names)]) for index in range(count)]


def _payment(provider: str) -> list[Webhook]:
    fresh, story, now = Fresh(), STORIES[provider], datetime.now(UTC)
    start = now - timedelta(seconds=len(story))
    return [
        Webhook(provider=provider, body=fresh.body(_bodies(provider)[label], start + timedelta(seconds=index)))
        for index, (label, _) in enumerate(story)
    ]


@cache
def _bodies(provider: str) -> dict[str, bytes]:
    return {sample.label: sample.body for sample in samples.webhooks(provider)}


# --- without end, and of every kind


def traffic(chance: Random, sandbox: Sandbox) -> Iterator[list[Webhook]]:
    """Payments of all five providers, their webhooks in order; some come twice, some are of a type that is unknown."""
    kinds = (*STORIES, *STORIES, *NAMED, "unknown")
    while True:
        kind = chance.choice(kinds)
        if kind in STORIES:
            yield [webhook for webhook in _payment(kind) for _ in range(1 + (chance.random() < TWICE))]
        else:
            yield [_named(kind, sandbox) if kind in NAMED else _unknown()]


def _named(provider: str, sandbox: Sandbox) -> Webhook:
    """A payment that the API now has, and a webhook that says no more than which."""
    answer = next(sample.body for sample in samples.answers(provider) if sample.label == "payment")
    return Webhook(
        provider=provider, body=NAMED[provider](sandbox.put(provider, Fresh().body(answer, datetime.now(UTC))))
    )


def _unknown() -> Webhook:
    body = json.loads(Fresh().body(_bodies("stripe")["payment_intent.succeeded"], datetime.now(UTC)))
    return Webhook(provider="stripe", body=json.dumps({**body, "type": "payment_intent.never_heard_of"}).encode())


def _flowglad(payment: str) -> bytes:
    return json.dumps({"id": payment, "object": "payment", "customer": {"id": "cust_1"}}).encode()


def _flexportal(payment: str) -> bytes:
    said = {"event": "payment.succeeded", "timestamp": "2026-11-21T10:00:00Z", "data": {"paymentId": payment}}
    return json.dumps(said).encode()


# Providers whose webhooks name a payment and say nothing else.
NAMED: Mapping[str, Callable[[str], bytes]] = {"flowglad": _flowglad, "flexportal": _flexportal}
TWICE = 0.1
