"""V-60: a replay sends no more than was asked for, however it is asked, and nothing while live traffic waits."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

import pytest

from paymux.errors import JobRefused
from paymux.jobs import BACKLOG
from paymux.journal.history import Sought
from paymux.journal.jobs import JobState
from paymux.replay.orders import Order
from tests.journal.tiny import put, says
from tests.replay.houses import TOPIC, opened


@pytest.fixture(params=["memory", "sqlite"])
async def house(request):
    async with opened(request.param) as made:
        yield made


async def hear(house, first, count):
    for number in range(first, first + count):
        await put(house.journal, says("payment", f"e{number}", f"p{number}", status="succeeded", amount=4999))


async def order(house, **more):
    return await house.replays.create(Order(kind="republish", sought=Sought(), **more), "ops")


async def test_overlapping_replays_do_not_feed_each_other(house):
    """V-60: each sends what was there when it was made, once, with the id that it had and the mark of its job; neither
    what another replay sent nor what came later.
    """
    await hear(house, 0, 20)
    jobs = [await order(house) for _ in range(3)]
    await hear(house, 20, 5)
    late = await order(house)
    counted = await house.replays.preview(Order(kind="republish", sought=Sought()))
    for job in (late, *jobs):
        ended = await house.replays.work(job)
        assert ended.counts == {"events": 25 if job is late else 20}
    assert counted.counts == {"events": 25}
    rows = [row.record for row in await house.rows() if row.record.topic == TOPIC]
    live = [record for record in rows if "paymux_replay" not in dict(record.headers)]
    again = Counter((dict(record.headers)["paymux_replay"].decode(), record.event_id) for record in rows[25:])
    assert again == Counter(
        (job.id, record.event_id)
        for job, events in [*((job, live[:20]) for job in jobs), (late, live)]
        for record in events
    )
    assert {json.loads(record.value)["data"]["origin"]["replay_id"] for record in live} == {None}


async def test_nothing_is_sent_while_live_events_wait(house):
    """V-60: a replay keeps still until Kafka has what came from providers."""
    await hear(house, 0, 5)
    house.waiting = BACKLOG + 1
    job = await order(house)
    working = asyncio.create_task(house.replays.work(job))
    await asyncio.sleep(0.3)
    assert len(await house.rows()) == 5
    house.waiting = BACKLOG
    assert (await working).counts == {"events": 5}


async def test_a_replay_keeps_to_its_rate(house):
    """V-60: so many a second, and no burst at its beginning that a consumer would have to bear."""
    await hear(house, 0, 30)
    job, began = await order(house, rate=100.0), time.monotonic()
    assert (await house.replays.work(job)).counts == {"events": 30}
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
async def test_a_rate_that_is_none(house, rate):
    """V-60: refused, instead of being taken for as fast as possible."""
    with pytest.raises(JobRefused, match="rate"):
        await order(house, rate=rate)


async def test_a_replay_can_be_stopped(house):
    """V-60: canceled while it waits, it sends nothing more, and nothing lets it go on."""
    await hear(house, 0, 5)
    house.waiting = BACKLOG + 1
    job = await order(house)
    working = asyncio.create_task(house.replays.work(job))
    await asyncio.sleep(0.1)
    await house.replays.steer(job.id, "cancel", "ops")
    house.waiting = 0
    ended = await working
    assert (ended.state, len(await house.rows())) == (JobState.CANCELED, 5)
    with pytest.raises(JobRefused):
        await house.replays.steer(job.id, "resume", "ops")
