"""Comparing in processes of their own: the same as here, and a killed one only costs time."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from paymux.delivery import Delivery, Proof
from paymux.errors import JobRefused, JournalUnavailable
from paymux.journal import Entry
from paymux.journal.history import Sought
from paymux.journal.jobs import Job, JobState
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.archive import SqliteArchive
from paymux.provider import Account
from paymux.providers.flowlix import FLOWLIX
from paymux.replay.comparing import Compared, compare
from paymux.replay.pool import Pool
from paymux.replay.steps import settled
from paymux.sandbox import samples
from paymux.signatures import remembered
from paymux.translate import translate
from tests.journal.tiny import NOON

TOPIC = "payments.events.v1"
ACCOUNTS = {("flowlix", "acme"): Account(provider=FLOWLIX, name="acme")}
JOB = Job(
    id="job-1",
    kind="diff",
    state=JobState.RUNNING,
    created_at=NOON,
    created_by="ops",
    updated_at=NOON,
    spec={"sought": {}, "topic": None, "first": 1, "end": 3},
)


@pytest.fixture
async def house(tmp_path):
    """A journal with two payments, of which one was published with a wrong amount; its path, archive and pool."""
    path = tmp_path / "paymux.db"
    journal = await SqliteJournal.open(path)
    body = samples.webhook("flowlix", "payment.succeeded").body
    for number in (1, 2):
        own = body.replace(b'"evt_', b'"evt_%d' % number).replace(b'"pay_w', b'"pay_%d' % number)
        old = own.replace(b"8990", b"9990") if number == 1 else own
        delivery = Delivery(
            id=f"d{number}", provider="flowlix", account="acme", received_at=datetime.now(UTC), body=old
        )
        verified = remembered(delivery, Proof.SIGNATURE, 0)
        items = translate(ACCOUNTS["flowlix", "acme"], verified)
        kept = remembered(Delivery(**{**_fields(delivery), "body": own}), Proof.SIGNATURE, 0)
        await journal.append(Entry(account=ACCOUNTS["flowlix", "acme"], verified=kept, items=items))
    archive, pool = SqliteArchive(path), Pool(path, 1)
    yield archive, pool
    pool.close()
    await archive.close()
    await journal.close()


def _fields(delivery):
    return {name: getattr(delivery, name) for name in Delivery.__slots__}


async def test_elsewhere_as_here(house):
    """The same changes and counts."""
    archive, pool = house
    rows = await archive.rows(Sought(), after=0, end=3, limit=10)
    here = await compare(archive, lambda: ACCOUNTS, TOPIC, JOB, rows)
    there = await pool.run(compare, JOB, rows, ACCOUNTS, TOPIC)
    assert there == here
    assert here.counts["changed"] == 1


async def test_what_is_settled_elsewhere_as_here(house):
    """The same deliveries, by what they might say."""
    archive, pool = house
    rows = await archive.rows(Sought(), after=0, end=3, limit=10)
    here = await settled(archive, lambda: ACCOUNTS, TOPIC, JOB, rows)
    assert await pool.run(settled, JOB, rows, ACCOUNTS, TOPIC) == here == {1: 1, 2: 1}


async def test_another_version_that_was_installed_meanwhile(house):
    """What its mapping says is not taken for what this process would say."""
    archive, pool = house
    rows = await archive.rows(Sought(), after=0, end=3, limit=10)
    old = Account(provider=replace(FLOWLIX, mapping=FLOWLIX.mapping + 1), name="acme")
    with pytest.raises(JobRefused, match="restart"):
        await pool.run(settled, JOB, rows, {("flowlix", "acme"): old}, TOPIC)


async def test_a_process_that_is_killed(house):
    """It is told as something that may work later, and the next one does."""
    archive, pool = house
    rows = await archive.rows(Sought(), after=0, end=3, limit=10)
    await pool.run(compare, JOB, rows, ACCOUNTS, TOPIC)
    (process,) = pool._processes._processes.values()
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(JournalUnavailable, match="killed"):
        await pool.run(compare, JOB, rows, ACCOUNTS, TOPIC)
    assert (await pool.run(compare, JOB, rows, ACCOUNTS, TOPIC)).counts["changed"] == 1


async def test_a_pool_that_is_closed_under_a_comparison(house):
    """What waited is compared all the same or comes again; nobody takes it for the end of the task."""
    archive, pool = house
    rows = await archive.rows(Sought(), after=0, end=3, limit=10)
    under_way = [asyncio.create_task(pool.run(compare, JOB, rows, ACCOUNTS, TOPIC)) for _ in range(20)]
    await asyncio.sleep(0.01)
    pool.close()
    found = await asyncio.gather(*under_way, return_exceptions=True)
    assert {type(each) for each in found} <= {Compared, JournalUnavailable}
