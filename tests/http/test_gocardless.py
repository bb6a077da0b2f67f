"""GoCardless over HTTP: a batch, and the answer that it asks for where the signature is bad."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from paymux.sandbox.samples import webhook
from tests.http.world import SECRET, running

PATH = "/webhooks/gocardless/acme"
ACCOUNT = {"provider": "gocardless", "name": "acme", "secrets": [SECRET], "api_key": "sandbox_0123456789abcdef"}
BATCH = webhook("gocardless", "payments.confirmed", "batch").body


def signature(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


async def test_a_batch_is_kept_and_asked_about():
    """One delivery, 204, and a lookup for each of its three payments."""
    async with running(ACCOUNT) as world:
        answer = await world.post(BATCH, PATH, webhook_signature=signature(BATCH))
        assert (answer.status, answer.body) == (204, b"")
        assert world.kept == 1
        named = [event["links"]["payment"] for event in json.loads(BATCH)["events"]]
        assert sorted(row.ref.id for row in world.journal.store.lookups.values()) == sorted(named)


async def test_an_event_that_nobody_knows_is_answered_with_204():
    """No Content, as GoCardless asks for; it is kept and quarantined."""
    unknown = BATCH.replace(b'"confirmed"', b'"teleported"')
    async with running(ACCOUNT) as world:
        answer = await world.post(unknown, PATH, webhook_signature=signature(unknown))
        assert (answer.status, answer.body, world.kept) == (204, b"", 1)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook_signature": "0" * 64},
        {"webhook_signature": signature(BATCH, "of somebody else")},
        {"webhook_signature": signature(BATCH + b" ")},
    ],
    ids=["none", "zeros", "another secret", "another body"],
)
async def test_a_bad_signature_is_answered_with_498(headers):
    """Token Invalid, one body for every reason, and nothing is kept."""
    async with running(ACCOUNT) as world:
        answer = await world.post(BATCH, PATH, **headers)
        assert (answer.status, answer.body) == (498, b'{"error":"unauthorized"}')
        assert world.kept == 0
        assert len(await world.reasons()) == 1
