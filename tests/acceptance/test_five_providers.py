"""Webhooks of all five providers go in over HTTP, signed by their SDKs; what comes out of Kafka is held, field by field,
against what was posted.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import jsonschema
import pytest
from faults.gateways import ACCOUNT, MODES, furnish, say, serving
from faults.readers import read
from faults.senders import Sender, Webhook, at_once

from paymux.sandbox import samples
from paymux.sandbox.fresh import Fresh
from paymux.sandbox.stories import STORIES, Held, told
from tests.acceptance import payloads
from tests.acceptance.readers import (
    assert_exactly_once_and_in_order,
    assert_headers_repeat_the_envelope,
    assert_placed_as_java_would,
    by_key,
)

if TYPE_CHECKING:
    from faults.readers import Read

    from paymux.sandbox.apis import Sandbox
    from paymux.sandbox.stories import Story
    from tests.acceptance.payloads import Told

pytestmark = pytest.mark.kafka

SCHEMAS = Path(__file__).parents[2] / "schemas"
SCHEMA = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "payment-event.schema.json").read_text()))
READERS = {"stripe": payloads.stripe, "flowlix": payloads.flowlix, "flexprice": payloads.flexprice}
ANSWERS = {"flowglad": payloads.flowglad_payment, "flexportal": payloads.flexportal_payment}
SEED = 20261121
COPIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A webhook, and what it must become: None where it is to be ignored."""

    label: str
    webhook: Webhook
    told: Told | None
    via: str = "webhook"
    proof: str = "signature"


def signed_cases() -> list[Case]:
    """Every sample whose webhook carries the object: each about a payment of its own."""
    cases = []
    for provider, reader in READERS.items():
        for sample in samples.webhooks(provider):
            body = Fresh().body(sample.body, datetime.now(UTC))
            if provider == "stripe" and sample.name.startswith("v1."):
                continue
            webhook = Webhook(provider=provider, body=body)
            cases.append(Case(label=f"{provider} {sample.label}", webhook=webhook, told=reader(body)))
    return cases


def thin_cases(sandbox: Sandbox) -> list[Case]:
    """Every payment that the APIs of Flowglad and FlexPortal can answer with, named by a webhook."""
    cases = []
    for provider, reader in ANSWERS.items():
        for sample in samples.answers(provider):
            if sample.name == "payment":
                answer = Fresh().body(sample.body, datetime.now(UTC))
                named = sandbox.put(provider, answer)
                webhook = Webhook(provider=provider, body=naming(provider, named))
                label = f"{provider} {sample.label}"
                cases.append(Case(label=label, webhook=webhook, told=reader(answer), via="lookup", proof="api"))
    return [*cases, *(stripe_thin(sandbox, kind) for kind in ("payment_intent", "refund", "payout"))]


def naming(provider: str, payment: str) -> bytes:
    """Their real webhooks say no more than this."""
    if provider == "flowglad":
        return json.dumps({"id": payment, "object": "payment", "customer": {"id": "cust_1"}}).encode()
    said = {"event": "payment.succeeded", "timestamp": "2026-11-21T10:00:00Z", "data": {"paymentId": payment}}
    return json.dumps(said).encode()


def stripe_thin(sandbox: Sandbox, kind: str) -> Case:
    """A v2 event, and the object in the API's answer."""
    answer = Fresh().body(samples_of("stripe", kind), datetime.now(UTC))
    name = {"payment_intent": "v1.payment_intent.succeeded", "refund": "v1.refund.updated", "payout": "v1.payout.paid"}
    event = json.loads(Fresh().renamed(samples.webhook("stripe", name[kind]).body))
    event["related_object"] |= {"id": sandbox.put("stripe", answer), "type": kind}
    return Case(
        label=f"stripe thin {kind}",
        webhook=Webhook(provider="stripe", body=json.dumps(event).encode()),
        told=payloads.stripe_object(payloads.parsed(answer)),
        via="lookup",
        proof="api",
    )


def samples_of(provider: str, label: str) -> bytes:
    return next(sample.body for sample in samples.answers(provider) if sample.label == label)


def ignored_cases() -> list[Case]:
    """What says nothing of payments: acknowledged and kept, and nothing comes out."""
    cases = []
    for provider in ANSWERS:
        for sample in samples.webhooks(provider):
            if not sample.name.startswith("payment"):
                webhook = Webhook(provider=provider, body=sample.body)
                cases.append(Case(label=f"{provider} {sample.label}", webhook=webhook, told=None))
    return cases


@pytest.mark.parametrize("mode", MODES)
async def test_every_sample_of_every_provider(mode, tmp_path: Path, kafka, sandbox, session):
    """Posted twice each, in any order: every event once, with every field as it was posted, where Java would put it."""
    cases = [*signed_cases(), *thin_cases(sandbox), *ignored_cases()]
    work = [[case.webhook, case.webhook] for case in cases]
    random.Random(SEED).shuffle(work)
    say(f"seed {SEED}")
    async with serving(furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode=mode)) as gateway:
        sender = Sender(gateway=gateway, session=session)
        await at_once(8, work, sender)
        await gateway.published()
        assert await gateway.stop() == 0
    records = await read(gateway.servers, gateway.events_topic)
    assert await read(gateway.servers, gateway.quarantine_topic) == []
    assert_exactly_once_and_in_order(records)
    assert_placed_as_java_would(records)
    found = by_key(records)
    for case in cases:
        if case.told is not None:
            key = f"{case.webhook.provider}/{ACCOUNT}/{case.told.key}"
            compare(case, found.pop(key, []), key)
    assert found == {}, "events of nothing that was posted"
    say(f"{mode}: {len(sender.acked)} deliveries, {len(records)} events")


def compare(case: Case, records: list[Read], key: str) -> None:
    """All of a case's events: nothing else was said of that payment."""
    told = case.told
    assert told is not None
    assert tuple(record.event["type"] for record in records) == told.types, case.label
    for record in records:
        assert_headers_repeat_the_envelope(record)
        event, data = record.event, record.event["data"]
        SCHEMA.validate(event)
        assert record.key == key, case.label
        assert (event["subject"], event["source"]) == (told.block["id"], f"/paymux/{case.webhook.provider}/{ACCOUNT}")
        blocks = {name: data[name] for name in payloads.KEYS}
        assert payloads.comparable(blocks.pop(told.entity)) == told.block, case.label
        assert set(blocks.values()) == {None}
        assert (data["entity"], data["payment_id"], data["livemode"]) == (told.entity, told.payment_id, False)
        assert_lifecycle(case, told, data["lifecycle"])
        assert_origin(case, told, event)


def assert_lifecycle(case: Case, told: Told, lifecycle: dict[str, Any]) -> None:
    """The first that is heard of it."""
    assert lifecycle["previous_status"] is None
    assert lifecycle["transition"] == (None if told.block["status"] is None else "first"), case.label
    if told.entity == "payment":
        state = lifecycle["state"]
        assert (state["status"], state["disputed"]) == (told.block["status"], False), case.label
        assert state["amount"] == told.block["amount"], case.label
        assert state["captured"] == told.block["amount_captured"], case.label
        assert state["refunded"] == told.block["amount_refunded"], case.label


def assert_origin(case: Case, told: Told, event: dict[str, Any]) -> None:
    origin, received = event["data"]["origin"], datetime.fromisoformat(event["data"]["origin"]["received_at"])
    time = datetime.fromisoformat(event["time"])
    assert UUID(origin["delivery_id"]).version == 7
    assert (origin["via"], origin["proof"]) == (case.via, case.proof), case.label
    assert origin["mapping"].startswith(f"{case.webhook.provider}/")
    assert (origin["replay_id"], origin["corrects"]) == (None, None)
    if case.via == "webhook":
        posted = json.loads(case.webhook.body)
        assert origin["event_key"] == case.webhook.event_key
        assert origin["event_type"] == (posted.get("type") or posted.get("event_type"))
    if told.time is not None or case.via == "webhook":
        assert time == (told.time or received), case.label
    assert abs((datetime.now(UTC) - received).total_seconds()) < 120


async def test_whole_stories_at_once(tmp_path: Path, kafka, sandbox, session):
    """Several of each, mixed: each payment's events come in the story's order, with what is known after each."""
    async with serving(furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode="inline")) as gateway:
        sender = Sender(gateway=gateway, session=session)
        plain = [story for story in STORIES if story.provider in READERS and "rejected" not in story.tells[0]]
        now = datetime.now(UTC)
        scripts = [(story, [*_webhooks(story, now)]) for story in plain for _ in range(COPIES)]
        await at_once(8, [script for _, script in scripts], sender)
        await gateway.published()
        assert await gateway.stop() == 0
    records = await read(gateway.servers, gateway.events_topic)
    quarantined = await read(gateway.servers, gateway.quarantine_topic)
    assert_exactly_once_and_in_order(records)
    told_types = [tuple(record.event["type"] for record in found) for found in by_key(records).values()]
    wanted = [story.tells for story, _ in scripts if not story.tells[0].startswith("quarantined")]
    assert Counter(told_types) == Counter(wanted)
    reasons = [record.event["data"]["reason"] for record in quarantined]
    assert reasons == ["unknown_event_type"] * COPIES
    for record in quarantined:
        assert record.key == record.event["subject"] == record.event["data"]["delivery_id"]
    say(f"{len(sender.acked)} deliveries, {len(records)} events, {len(quarantined)} quarantined")


def _webhooks(story: Story, now: datetime) -> list[Webhook]:
    return [
        Webhook(provider=story.provider, body=step.body, message=step.message)
        for step in told(story, now)
        if not isinstance(step, Held)
    ]
