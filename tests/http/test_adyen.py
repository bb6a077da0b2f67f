"""Adyen's webhooks over the wire: its acknowledgement, its batches, its Basic credentials."""

from __future__ import annotations

import base64
import json

from Adyen.util import generate_notification_sig, generate_payload_sig

from paymux.sandbox.samples import webhook
from tests.http.world import running

KEY, LOGIN = "0f" * 32, "paymux:a-long-password"
PATH = "/webhooks/adyen/acme"
ACME = {"provider": "adyen", "name": "acme", "secrets": [KEY], "livemode": False}
TRANSFER = webhook("adyen", "balancePlatform.transfer.updated").body


def notification(*items: dict, key: str = KEY) -> bytes:
    """Each item signed by Adyen's SDK."""
    for item in items:
        item["additionalData"] = {"hmacSignature": generate_notification_sig(item, key).decode()}
    return json.dumps(
        {"live": "false", "notificationItems": [{"NotificationRequestItem": one} for one in items]}
    ).encode()


def item(code: str, **changes: str) -> dict:
    return json.loads(webhook("adyen", code).body)["notificationItems"][0]["NotificationRequestItem"] | changes


async def test_adyens_own_acknowledgement():
    """202 with `[accepted]` as text: once stored, also for what is not understood, since a refusal holds up the queue."""
    async with running(ACME) as world:
        for body in (notification(item("CAPTURE")), notification(item("CAPTURE", eventCode="TELEPORTED"))):
            got = await world.post(body, PATH)
            assert (got.status, got.body, got.headers["content-type"]) == (202, b"[accepted]", "text/plain")
        assert world.kept == 2


async def test_a_batch_with_a_forged_item():
    """Nothing of it is kept; without that item all of it is."""
    good, forged = item("CAPTURE"), item("REFUND")
    async with running(ACME) as world:
        body = json.loads(notification(good, forged))
        body["notificationItems"][1]["NotificationRequestItem"]["success"] = "false"
        assert (await world.post(json.dumps(body).encode(), PATH)).status == 401
        assert world.kept == 0
        assert (await world.post(notification(good, forged), PATH)).status == 202
        assert len(world.journal.store.items) == 2


async def test_both_kinds_of_webhooks_on_one_account():
    """A transfer is proven by its header; the header proves no standard notification."""
    unsigned = webhook("adyen", "CAPTURE").body
    async with running(ACME) as world:
        for body, status in ((TRANSFER, 202), (unsigned, 401)):
            assert (
                await world.post(body, PATH, hmacsignature=generate_payload_sig(body, KEY).decode())
            ).status == status


async def test_basic_credentials_over_the_wire():
    """Both are needed, and the journal holds neither the credentials nor the key."""
    both = ACME | {"secrets": [KEY, LOGIN], "options": {"authentication": "hmac-and-basic"}}
    login = f"Basic {base64.b64encode(LOGIN.encode()).decode()}"
    async with running(both) as world:
        assert (await world.post(notification(item("CAPTURE")), PATH)).status == 401
        assert (await world.post(webhook("adyen", "CAPTURE").body, PATH, authorization=login)).status == 401
        assert (await world.post(notification(item("CAPTURE")), PATH, authorization=login)).status == 202
        kept = world.journal.store.deliveries[1].delivery
    assert kept.header(b"authorization") == [b"[redacted]"]
