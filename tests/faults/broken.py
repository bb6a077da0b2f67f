"""Gateways that break one promise each: the real ones, but for one port that lies."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

from paymux.delivery import Proof, Verified
from paymux.errors import BrokerUnavailable, Rejected
from paymux.journal import Receipt, Result
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.store import SqliteStore
from paymux.publish.kafka import KafkaPublisher
from paymux.publish.memory import MemoryPublisher
from paymux.publish.partitions import partition
from paymux.signatures import verify

LATE = 0.1  # seconds
NEW = (Receipt(result=Result.NEW, outcome="events"),)


# --- stores and journals


class SkipsDedupe(SqliteStore):
    """What came before is not recognized, and stored once more."""

    def __init__(self, *how):
        super().__init__(*how)
        self.view.seen = lambda _scope, _key: None

    async def commit(self, changes):
        changes.items = [replace(item, dedupe_key=None) for item in changes.items]
        await super().commit(changes)


class DropsRow(SqliteStore):
    """Of a delivery that is stored, the record is not."""

    async def commit(self, changes):
        if changes.outbox:
            changes.outbox.pop()
        await super().commit(changes)


class Rewrites(SqliteStore):
    """Keeps what the body means, not the body."""

    async def commit(self, changes):
        changes.deliveries = [replace(kept, delivery=_respelled(kept.delivery)) for kept in changes.deliveries]
        await super().commit(changes)


def _respelled(delivery):
    return replace(delivery, body=json.dumps(json.loads(delivery.body), indent=1).encode())


class AcksBeforeCommit(SqliteJournal):
    """Says yes, and commits a moment later."""

    async def append(self, entry):
        self.late = [*getattr(self, "late", ()), asyncio.create_task(self._append(entry))]
        return NEW

    async def _append(self, entry):
        await asyncio.sleep(LATE)
        await super().append(entry)


class AcksAndForgets(SqliteJournal):
    """Says yes to everything and stores every other delivery."""

    remembers = True

    async def append(self, entry):
        self.remembers = not self.remembers
        return await super().append(entry) if self.remembers else NEW


def believes_everyone(delivery, checks):
    """In place of `verify`: a wrong signature is as good as a right one."""
    try:
        return verify(delivery, checks)
    except Rejected:
        return Verified(delivery, Proof.SIGNATURE)


# --- publishers


class DropsRecord(MemoryPublisher):
    """The checkpoint says that it was published, and it was not."""

    async def publish(self, records, checkpoint):
        await super().publish(records[:-1] or records, checkpoint)


class Reorders(MemoryPublisher):
    async def publish(self, records, checkpoint):
        await asyncio.sleep(LATE)  # so that batches grow
        await super().publish(list(reversed(records)), checkpoint)


class Interrupted(KafkaPublisher):
    """The real one. Its connection breaks once, after the first batch was sent and before it is committed."""

    batches = 0  # of all publishers of one gateway

    async def _send(self, producer, records, checkpoint, counts):
        futures = await super()._send(producer, records, checkpoint, counts)
        await asyncio.gather(*futures)
        self.break_once()
        return futures

    def break_once(self):
        type(self).batches += 1
        if type(self).batches == 1:
            raise BrokerUnavailable("as the test wants it")


class TwoSteps(Interrupted):
    """Records first, their checkpoint afterwards: what lies between them is where it breaks."""

    async def publish(self, records, checkpoint):
        producer = self._started()
        counts = await self._counts(producer, records)
        async with self._step(producer):
            await asyncio.gather(*await self._records(producer, records, counts))
        self.break_once()
        async with self._step(producer):
            await asyncio.gather(*await KafkaPublisher._send(self, producer, [], checkpoint, counts))

    async def _records(self, producer, records, counts):
        return [
            await producer.send(
                record.topic,
                record.value,
                key=record.key,
                headers=list(record.headers),
                partition=partition(record.key, counts[record.topic]),
            )
            for record in records
        ]


class CheckpointOutside(TwoSteps):
    """Each of both in a transaction of its own."""

    batches = 0

    def _step(self, producer):
        return producer.transaction()


class NoTransaction(TwoSteps):
    """Both in none."""

    batches = 0

    def __init__(self, settings, **more):
        super().__init__(settings, **more)
        self._transactional_id = None

    @asynccontextmanager
    async def _step(self, _producer):
        yield
