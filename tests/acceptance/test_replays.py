"""Jobs on real Kafka, and kill -9 in the middle of them: nothing is doubled, nothing is left out, order holds."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from faults.gateways import ADMIN_TOKEN, PATIENCE, POLL, furnish, say, serving
from faults.payments import payments
from faults.readers import read
from faults.senders import Sender, at_once

if TYPE_CHECKING:
    from pathlib import Path

    from faults.gateways import Gateway
    from faults.readers import Read

pytestmark = pytest.mark.kafka

PAYMENTS = 120
KILLS = 4
RATE = 400  # a second: slow enough to be killed in the middle
RESTING = {"done", "failed", "canceled", "ready"}


async def test_republishing_and_correcting_through_kills(tmp_path: Path, kafka, sandbox, session):
    """P3, P4, P9: every event once more, marked; then every wrong amount corrected once, numbered on without a gap;
    and webhooks go on meanwhile.
    """
    work = payments(PAYMENTS)
    async with serving(furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode="process")) as gateway:
        sender = Sender(gateway=gateway, session=session)
        await at_once(8, work[: PAYMENTS // 2], sender)
        await gateway.published()
        before = await read(gateway.servers, gateway.events_topic)

        again = await order(gateway, kind="republish", rate=RATE)
        async with asyncio.TaskGroup() as group:
            group.create_task(at_once(4, work[PAYMENTS // 2 :], sender))
            await killed_until_it_rests(gateway, again)
        await gateway.published()
        live, marked = parted(await read(gateway.servers, gateway.events_topic))
        assert Counter(record.event["id"] for record in marked) == Counter(record.event["id"] for record in before)
        assert len({record.event["id"] for record in live}) == len(live) == len(sender.acked)

        assert await gateway.stop() == 0
        wrong = spoiled(gateway)
        await gateway.start()
        diff = await order(gateway, kind="diff")
        found = await killed_until_it_rests(gateway, diff)
        assert (found["state"], found["counts"]["changed"]) == ("ready", len(wrong))
        assert len(await read(gateway.servers, gateway.events_topic)) == len(live) + len(marked)

        await post(gateway, f"jobs/{diff}/accept")
        assert (await killed_until_it_rests(gateway, diff))["state"] == "done"
        await gateway.published()
        await assert_shown(gateway, wrong[0])
        assert await gateway.stop() == 0
    live, _ = parted(await read(gateway.servers, gateway.events_topic))
    corrections = [record.event["data"] for record in live if record.event["data"]["origin"]["corrects"]]
    assert Counter(data["origin"]["corrects"] for data in corrections) == Counter(wrong)
    assert {data["lifecycle"]["transition"] for data in corrections} == {"corrected"}
    numbers: dict[str, list[int]] = {}
    for record in live:
        numbers.setdefault(record.key, []).append(record.event["data"]["lifecycle"]["sequence"])
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())
    say(f"{len(marked)} republished, {len(wrong)} corrected, through {KILLS} kills each")


async def assert_shown(gateway: Gateway, event_id: str) -> None:
    """`paymux payments show --kafka` tells where the event is: as it was published, and published again."""
    ((key,),) = gateway.rows(f"SELECT key FROM outbox WHERE event_id = '{event_id}' AND delivery IS NOT NULL LIMIT 1")
    command = (sys.executable, "-m", "paymux", "payments", "show", key.decode(), "--kafka", "--json")
    process = await asyncio.create_subprocess_exec(*command, cwd=gateway.room, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    places = {
        (record.partition, record.offset)
        for record in await read(gateway.servers, gateway.events_topic)
        if record.event["id"] == event_id
    }
    told = orjson.loads(out)["places"][event_id]
    assert {(place["partition"], place["offset"]) for place in told} == places
    assert [place["replay"] is None for place in told] == [True, False][: len(places)]


def parted(records: list[Read]) -> tuple[list[Read], list[Read]]:
    """What was published once, and what was published again."""
    marked = [record for record in records if "paymux_replay" in dict(record.headers)]
    return [record for record in records if record not in marked], marked


def spoiled(gateway: Gateway) -> list[str]:
    """As if an old mapping had published wrong amounts for every third payment event: their ids."""
    with closing(sqlite3.connect(gateway.file, isolation_level=None)) as connection:
        rows = connection.execute(
            "SELECT seq, event_id, value FROM outbox WHERE topic = ? AND instr(headers, 'paymux_replay') = 0",
            (gateway.events_topic,),
        ).fetchall()
        wrong = []
        for seq, event_id, value in rows:
            event = orjson.loads(value)
            amount = (event["data"]["payment"] or {}).get("amount")
            if amount is None or seq % 3:
                continue
            amount["minor"] += 1
            connection.execute("UPDATE outbox SET value = ? WHERE seq = ?", (orjson.dumps(event), seq))
            wrong.append(event_id)
    assert len(wrong) > KILLS
    return wrong


async def killed_until_it_rests(gateway: Gateway, job: str) -> dict[str, Any]:
    """Kill it a few times at moments spread over its work, and let it end then."""
    for number in range(KILLS):
        await asyncio.sleep(0.1 + number * 0.15)
        await gateway.kill()
        await gateway.start()
    async with asyncio.timeout(PATIENCE):
        while (facts := await get(gateway, f"jobs/{job}"))["state"] not in RESTING:
            await asyncio.sleep(POLL)
    assert facts["state"] != "failed", facts
    return facts


async def order(gateway: Gateway, **told: Any) -> str:
    return (await post(gateway, "jobs", told))["id"]


async def post(gateway: Gateway, path: str, told: dict[str, Any] | None = None) -> dict[str, Any]:
    return await _ask(gateway, "POST", path, told)


async def get(gateway: Gateway, path: str) -> dict[str, Any]:
    return await _ask(gateway, "GET", path, None)


async def _ask(gateway: Gateway, method: str, path: str, told: dict[str, Any] | None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"{gateway.private}/api/v1/{path}", json=told) as answer,
    ):
        content = await answer.read()
        assert answer.status < 300, content
        found: dict[str, Any] = orjson.loads(content)
        return found
