"""A journal with the jobs over it, of either kind."""

from __future__ import annotations

import itertools
import json
import tempfile
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from paymux.journal.history import Sought
from paymux.journal.memory import MemoryJournal
from paymux.journal.memory.archive import MemoryArchive
from paymux.journal.memory.history import MemoryHistory
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.archive import SqliteArchive
from paymux.journal.sqlite.history import SqliteHistory
from paymux.money import Money
from paymux.provider import Account
from paymux.replay import Replays
from paymux.replay.orders import Order
from paymux.replay.steps import Means
from tests.journal.tiny import ACCOUNT, NOON, TINY, payment, says

TOPIC = "payments.events.v1"


def doubled(body, head):
    """The mapping with a bug: every amount twice."""
    (right,) = payment(body, head)
    amount = right.block.amount
    wrong = Money(amount.minor * 2, amount.currency, amount.exponent) if amount else None
    return (replace(right, block=replace(right.block, amount=wrong)),)


def account(mapping, **events):
    provider = replace(TINY, mapping=mapping, events={**TINY.events, **events})
    return Account(provider=provider, name="acme", checks=ACCOUNT.checks)


WRONG = account(1, payment=doubled)
RIGHT = account(2)


class House:
    """A journal, what reads it, and the jobs over it; `account` is what today's mapping is."""

    def __init__(self, journal, archive, history):
        self.journal, self.archive, self.history = journal, archive, history
        self.account = ACCOUNT
        ids = itertools.count(1)
        means = Means(journal=journal, archive=archive, topic=TOPIC, accounts=lambda: {("tiny", "acme"): self.account})
        self.waiting = 0
        self.replays = Replays(
            means,
            history,
            clock=lambda: NOON,
            new_id=lambda: f"job-{next(ids)}",
            backlog=self.backlog,
        )

    async def backlog(self):
        return self.waiting

    async def do(self, kind, sought=None, **more):
        """Make a job and work on it."""
        job = await self.replays.create(Order(kind=kind, sought=sought or Sought(), **more), "ops")
        return await self.replays.work(job)

    async def accept(self, job):
        return await self.replays.work(await self.replays.steer(job.id, "accept", "ops"))

    async def events(self, after=0):
        rows = await self.journal.read(0, after, 1000)
        return [json.loads(row.record.value) for row in rows if row.record.topic == TOPIC]

    async def rows(self, after=0):
        return await self.journal.read(0, after, 1000)


@asynccontextmanager
async def opened(kind):
    """A house over an empty journal, "memory" or "sqlite"."""
    if kind == "memory":
        journal = MemoryJournal()
        yield House(journal, MemoryArchive(journal), MemoryHistory(journal))
        return
    with tempfile.TemporaryDirectory() as home:
        path = Path(home, "paymux.db")
        journal = await SqliteJournal.open(path)
        made = House(journal, SqliteArchive(path), SqliteHistory(path))
        try:
            yield made
        finally:
            await made.archive.close()
            await made.history.close()
            await journal.close()


def paid(key, object_id="p1", **fields):
    return says("payment", key, object_id, **{"status": "succeeded", "amount": 4999, **fields})


def life(event):
    return event["data"]["lifecycle"]
