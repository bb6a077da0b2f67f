"""What must have become of payments whose outcome was known before they were sent."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from faults.gateways import ACCOUNT
from faults.payments import STORIES
from faults.readers import read

from tests.acceptance.readers import assert_exactly_once_and_in_order, by_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from faults.gateways import Gateway
    from faults.senders import Webhook


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
