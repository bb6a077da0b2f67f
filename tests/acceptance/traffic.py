"""Traffic whose outcome is known before it is sent: payments that go through all their statuses, each event once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from paymux.sandbox import samples
from paymux.sandbox.fresh import Fresh
from tests.acceptance.gateways import ACCOUNT
from tests.acceptance.readers import assert_exactly_once_and_in_order, by_key, read
from tests.acceptance.senders import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.acceptance.gateways import Gateway

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
    bodies = {sample.label: sample.body for sample in samples.webhooks(provider)}
    start = now - timedelta(seconds=len(story))
    return [
        Webhook(provider=provider, body=fresh.body(bodies[label], start + timedelta(seconds=index)))
        for index, (label, _) in enumerate(story)
    ]


async def assert_all_came_out(gateway: Gateway, work: list[list[Webhook]]) -> int:
    """Every webhook of `work` made its one event, in its payment's order, and nothing else came; how many.

    A payment's webhooks may end anywhere in its story.
    """
    records = await read(gateway.servers, gateway.events_topic)
    assert_exactly_once_and_in_order(records)
    found = by_key(records)
    told = {
        tuple(record.event["data"]["origin"]["event_key"] for record in records): [
            record.event["type"] for record in records
        ]
        for records in found.values()
    }
    wanted = {
        tuple(webhook.event_key for webhook in payment): [
            event for _, event in STORIES[payment[0].provider][: len(payment)]
        ]
        for payment in work
    }
    missing = [keys for keys in wanted if keys not in told]
    assert missing == [], f"{len(missing)} of {len(wanted)} payments did not come out whole"
    assert told == wanted
    assert await read(gateway.servers, gateway.quarantine_topic) == []
    for key in found:
        assert key.split("/")[:2] in [[provider, ACCOUNT] for provider in STORIES]
    return len(records)


def assert_all_is_stored(gateway: Gateway, acked: Iterable[Webhook]) -> None:
    """P1: by its event key and by the very bytes that were acknowledged."""
    keys = {(provider, key) for provider, key in gateway.rows("SELECT provider, event_key FROM items")}
    bodies = Counter(body for (body,) in gateway.rows("SELECT body FROM deliveries"))
    for webhook in acked:
        assert (webhook.provider, webhook.event_key) in keys, webhook
        assert bodies[webhook.body] == 1, f"{bodies[webhook.body]} times: {webhook}"
