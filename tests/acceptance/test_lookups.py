"""Webhooks that only name a payment: the provider's API is asked, and what it answers, or refuses, comes out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from faults.gateways import ACCOUNT, furnish, say, serving, until
from faults.readers import read
from faults.senders import Sender, Webhook, at_once

from paymux.sandbox import samples
from paymux.sandbox.apis import KEYS
from paymux.sandbox.fresh import Fresh
from tests.acceptance.payloads import comparable, flexportal_payment, flowglad_payment
from tests.acceptance.readers import assert_exactly_once_and_in_order, by_key
from tests.acceptance.test_five_providers import naming

if TYPE_CHECKING:
    from pathlib import Path

    from paymux.sandbox.apis import Sandbox

pytestmark = pytest.mark.kafka

READERS = {"flowglad": flowglad_payment, "flexportal": flexportal_payment}


def put(sandbox: Sandbox, provider: str, label: str = "payment", fresh: Fresh | None = None) -> tuple[Webhook, bytes]:
    """A payment that the API now has, and a webhook that names it."""
    body = next(sample.body for sample in samples.answers(provider) if sample.label == label)
    answer = (fresh or Fresh()).body(body, datetime.now(UTC))
    return Webhook(provider=provider, body=naming(provider, sandbox.put(provider, answer))), answer


def missing(provider: str) -> Webhook:
    """About a payment that nobody has."""
    return Webhook(provider=provider, body=naming(provider, "pay_doesnotexist00000"))


async def test_what_the_api_says_comes_out_whatever_goes_wrong_first(tmp_path: Path, kafka, sandbox, session):
    """429 with Retry-After, 500, junk: asked again, and the answer comes out once. 404: quarantine, or a rejection."""
    cases = {provider: put(sandbox, provider) for provider in READERS}
    sandbox.fail("flowglad", 429, headers={"Retry-After": "2"})
    sandbox.fail("flexportal", 500)
    async with serving(furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode="inline")) as gateway:
        sender = Sender(gateway=gateway, session=session)
        began = datetime.now(UTC)
        await at_once(2, [[webhook, webhook] for webhook, _ in cases.values()], sender)
        await gateway.until_said("lookup_postponed", provider="flowglad", outcome="rate_limited")
        await gateway.published()
        assert (datetime.now(UTC) - began).total_seconds() >= 2, "Retry-After was not honoured"
        await at_once(2, [[missing(provider)] for provider in READERS], sender)
        for provider in READERS:
            await gateway.until_said("lookup_given_up", provider=provider, outcome="lookup_not_found")
        _, metrics = await gateway.page("/metrics")
        _, rejections = await gateway.page("/api/v1/rejections")
        await gateway.published()
        assert await gateway.stop() == 0
    records = await read(gateway.servers, gateway.events_topic)
    assert_exactly_once_and_in_order(records)
    assert len(records) == len(cases)
    for record in records:
        data = record.event["data"]
        _, answer = cases[data["provider"]]
        assert comparable(data["payment"]) == READERS[data["provider"]](answer).block
        assert (data["origin"]["via"], data["origin"]["proof"]) == ("lookup", "api")
    (quarantined,) = await read(gateway.servers, gateway.quarantine_topic)
    assert quarantined.event["data"]["reason"] == "lookup_not_found"
    assert quarantined.event["data"]["provider"] == "flowglad"
    (rejected,) = json.loads(rejections)["newest"]
    assert (rejected["provider"], rejected["account"]) == ("flexportal", ACCOUNT)
    assert rejected["reason"] == "lookup_not_found"
    assert b'outcome="lookup_not_found",provider="flowglad"' in metrics


async def test_a_wrong_api_key_is_said_by_name(tmp_path: Path, kafka, sandbox, session):
    """401: quarantined as lookup_denied; with the right key from a reload the next webhook's answer comes out."""
    first, _ = put(sandbox, "flowglad")
    second, answer = put(sandbox, "flowglad")
    gateway = furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode="inline")
    (tmp_path / "flowglad.key").write_text("sk_test_not_the_right_one")
    async with serving(gateway):
        sender = Sender(gateway=gateway, session=session)
        await sender.deliver(first)
        await gateway.until_said("lookup_given_up", outcome="lookup_denied")
        (tmp_path / "flowglad.key").write_text(KEYS["flowglad"])
        gateway.hang_up()
        await gateway.until_said("reloaded")
        await sender.deliver(second)
        await gateway.published()
        assert await gateway.stop() == 0
    (event,) = [record.event for record in await read(gateway.servers, gateway.events_topic)]
    assert comparable(event["data"]["payment"]) == flowglad_payment(answer).block
    (quarantined,) = await read(gateway.servers, gateway.quarantine_topic)
    assert quarantined.event["data"]["reason"] == "lookup_denied"


async def test_kill_9_between_the_webhook_and_its_lookup(tmp_path: Path, kafka, sandbox, session):
    """Acknowledged while the API is away, then killed: after the restart every payment is asked for and comes out once."""
    cases = {provider: [put(sandbox, provider) for _ in range(20)] for provider in READERS}
    for provider in READERS:
        sandbox.fail(provider, 503, times=2)
    work = [[webhook] for found in cases.values() for webhook, _ in found]
    async with serving(furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode="process")) as gateway:
        sender = Sender(gateway=gateway, session=session)
        await at_once(len(work), work, sender)
        await gateway.kill()
        left = len(gateway.rows("SELECT id FROM lookups"))
        await gateway.start()
        await gateway.published()
        assert await gateway.stop() == 0
    records = await read(gateway.servers, gateway.events_topic)
    assert_exactly_once_and_in_order(records)
    blocks = {
        key: [comparable(record.event["data"]["payment"]) for record in found] for key, found in by_key(records).items()
    }
    wanted = [READERS[provider](answer).block for provider, found in cases.items() for _, answer in found]
    assert sorted(map(str, (block for found in blocks.values() for block in found))) == sorted(map(str, wanted))
    assert await read(gateway.servers, gateway.quarantine_topic) == []
    assert left > 0, "it was to be killed with lookups open"
    say(f"{len(work)} webhooks, killed with {left} lookups open, {len(records)} events")


async def test_hints_prove_nothing(tmp_path: Path, kafka, sandbox, session):
    """P2: what a stranger writes into a hint is published nowhere; what the API says of the payment is."""
    fresh = Fresh()
    webhook, _ = put(sandbox, "flexportal", "payment--failed", fresh)
    payment = json.loads(webhook.body)["data"]["paymentId"]
    lie = {"paymentId": payment, "status": "paid", "total": 1_000_000, "currency": "USD", "note": "a-strangers-words"}
    hint = json.dumps({"event": "payment.succeeded", "timestamp": "2026-11-21T10:00:00Z", "data": lie}).encode()
    async with serving(furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode="inline")) as gateway:
        sender = Sender(gateway=gateway, session=session)
        await sender.deliver(Webhook(provider="flexportal", body=hint))
        await until(lambda: bool(gateway.rows("SELECT seq FROM outbox")), lambda: str(gateway.lines()))
        put(sandbox, "flexportal", "payment", fresh)
        await sender.deliver(Webhook(provider="flexportal", body=hint))
        await until(lambda: len(gateway.rows("SELECT seq FROM outbox")) == 2, lambda: str(gateway.lines()))
        await gateway.published()
        assert await gateway.stop() == 0
    records = await read(gateway.servers, gateway.events_topic)
    assert_exactly_once_and_in_order(records)
    told = [(record.event["type"], record.event["data"]["lifecycle"]["transition"]) for record in records]
    assert told == [("payment.failed", "first"), ("payment.succeeded", "retried")]
    assert not any(b"a-strangers-words" in record.raw or b"USD" in record.raw for record in records)
