"""Reconciling on real Kafka: a day of webhooks that never came, and what providers never tell by webhook."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from faults.gateways import ACCOUNT, furnish, say, serving, until
from faults.readers import read
from faults.senders import Sender, Webhook, at_once

from paymux.sandbox import samples
from paymux.sandbox.fresh import Fresh
from tests.acceptance.readers import assert_exactly_once_and_in_order, by_key
from tests.acceptance.test_five_providers import naming
from tests.acceptance.test_replays import get, post

if TYPE_CHECKING:
    from pathlib import Path

    from faults.gateways import Gateway


pytestmark = pytest.mark.kafka

MISSED = 260
HEARD = 40
RATE = 80  # payments a second: slow enough to be killed between two pages


def a_payment(provider: str, label: str, *, hours: float = 1.0) -> dict[str, Any]:
    """As the provider's API has it."""
    body = next(sample.body for sample in samples.answers(provider) if sample.label == label)
    answer = json.loads(Fresh().body(body, datetime.now(UTC) - timedelta(hours=hours)))
    found: dict[str, Any] = answer.get("payment", answer)
    return found


def key_of(provider: str, payment: str) -> str:
    return f"{provider}/{ACCOUNT}/{payment}"


async def test_a_day_of_webhooks_comes_back_through_kills(tmp_path: Path, kafka, sandbox, session):
    """Some payments were heard of, most were not; killed again and again, a reconcile brings back each of them once."""
    heard = [sandbox.put("flowglad", a_payment("flowglad", "payment")) for _ in range(HEARD)]
    missed = [sandbox.put("flowglad", a_payment("flowglad", "payment")) for _ in range(MISSED)]
    async with serving(furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode="process")) as gateway:
        work = [[Webhook(provider="flowglad", body=naming("flowglad", payment))] for payment in heard]
        await at_once(8, work, Sender(gateway=gateway, session=session))
        await gateway.published()
        since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        told = {"provider": "flowglad", "account": ACCOUNT, "since": since, "rate": RATE}

        dry = (await post(gateway, "reconciles", {**told, "rate": None}))["id"]
        await rested(gateway, dry)
        assert (await get(gateway, f"jobs/{dry}"))["counts"] == {"payments": HEARD + MISSED, "missed": MISSED}
        assert len(await read(gateway.servers, gateway.events_topic)) == HEARD

        job = (await post(gateway, "reconciles", told | {"fix": True}))["id"]
        for done in (100, 200):
            await killed_at(gateway, job, done)
        await rested(gateway, job)
        fixed = await get(gateway, f"jobs/{job}")
        assert fixed["counts"] == {"payments": HEARD + MISSED, "missed": MISSED, "events": MISSED}
        groups = (await get(gateway, f"jobs/{job}/changes/groups"))["groups"]
        assert [(group["kind"], group["count"]) for group in groups] == [("missed", MISSED)]
        await gateway.published()
        assert await gateway.stop() == 0
    records = await read(gateway.servers, gateway.events_topic)
    assert_exactly_once_and_in_order(records)
    assert sorted(record.key for record in records) == sorted(key_of("flowglad", each) for each in heard + missed)
    via = [record.event["data"]["origin"]["via"] for record in records]
    assert (via.count("lookup"), via.count("reconcile")) == (HEARD, MISSED)
    say(f"{MISSED} of {HEARD + MISSED} payments brought back through two kills")


async def test_what_no_webhook_tells_is_healed_by_schedule(tmp_path: Path, kafka, sandbox, session):
    """FlexPortal announces no cancellation and Flowglad no decline: `reconcile_every` does."""
    waiting = a_payment("flexportal", "payment--failed")
    cancelled = sandbox.put("flexportal", waiting)
    gateway = furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode="inline")
    async with serving(gateway):
        hint = Webhook(provider="flexportal", body=naming("flexportal", cancelled))
        await Sender(gateway=gateway, session=session).deliver(hint)
        await gateway.until_said("lookup_answered", provider="flexportal")
        assert await gateway.stop() == 0

        sandbox.put("flexportal", {**waiting, "status": "cancelled", "updatedAt": datetime.now(UTC).isoformat()})
        declined = sandbox.put("flowglad", a_payment("flowglad", "payment--failed"))
        by_schedule(gateway.room / "paymux.toml", "flexportal", "flowglad")
        await gateway.start()
        for provider in ("flexportal", "flowglad"):
            await rested(gateway, f"scheduled:{provider}:{ACCOUNT}")
        await gateway.published()
        _, metrics = await gateway.page("/metrics")
        assert await gateway.stop() == 0
    records = await read(gateway.servers, gateway.events_topic)
    assert_exactly_once_and_in_order(records)
    told = {key: [record.event["type"] for record in found] for key, found in by_key(records).items()}
    assert told == {
        key_of("flexportal", cancelled): ["payment.failed", "payment.canceled"],
        key_of("flowglad", declined): ["payment.failed"],
    }
    assert f'paymux_reconciled_total{{account="{ACCOUNT}",kind="missed",provider="flowglad"}} 1.0'.encode() in metrics


def by_schedule(file: Path, *providers: str) -> None:
    """As an operator writes it into the settings."""
    text = file.read_text()
    for provider in providers:
        account = f'provider = "{provider}"\n'
        assert account in text
        text = text.replace(account, f'{account}reconcile_every = "15m"\n')
    file.write_text(text)


async def killed_at(gateway: Gateway, job: str, done: int) -> None:
    """After so many payments, and before the last ones."""
    rows = f"SELECT done, state FROM jobs WHERE id = '{job}'"  # of this test
    await until(lambda: gateway.rows(rows)[0][0] >= done, lambda: str(gateway.rows(rows)))
    await gateway.kill()
    assert gateway.rows(rows) == [(done, "running")]
    await gateway.start()


async def rested(gateway: Gateway, job: str) -> None:
    rows = f"SELECT state FROM jobs WHERE id = '{job}'"  # of this test
    await until(lambda: gateway.rows(rows) == [("done",)], lambda: str(gateway.rows("SELECT * FROM jobs")))
