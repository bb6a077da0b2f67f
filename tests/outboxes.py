"""An outbox whose rows are a list: what the relay's tests need, with a mark that may lag as a real one's does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID, uuid5

from paymux.journal import OutboxRow, chained
from paymux.records import Record

JOURNAL = "0199c0de-0000-7000-8000-000000000001"
STARTED = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def event(number: int, *, topic: str = "payments.events.v1", journal: str = JOURNAL, payments: int = 7) -> Record:
    """Event `number` of a journal; its payment's numbers rise, so that order can be checked from the values."""
    event_id = str(uuid5(UUID(journal), str(number)))
    return Record(
        event_id=event_id,
        topic=topic,
        key=b"stripe/acme/pi_%d" % (number % payments),
        value=b'{"id":"%s","number":%d}' % (event_id.encode(), number),
        headers=(("ce_id", event_id.encode()), ("content-type", b"application/cloudevents+json")),
    )


def rows(count: int, *, first: int = 1, topic: str = "payments.events.v1", journal: str = JOURNAL) -> list[OutboxRow]:
    """Numbers `first` and up, as a journal has them that has all the ones before as well."""
    made, chain = [], ""
    for n in range(1, first + count):
        record = event(n, topic=topic, journal=journal)
        chain = chained(chain, record.event_id)
        made.append(OutboxRow(shard=0, seq=n, record=record, created_at=STARTED, chain=chain))
    return made[first - 1 :]


class ListOutbox:
    """`lazy` keeps the mark where it is: as if every crash came before the journal wrote it."""

    def __init__(self, content: list[OutboxRow], *, identity: str = JOURNAL, mark: int = 0, lazy: bool = False) -> None:
        self.identity = identity
        self.rows = {row.seq: row for row in content}
        self.marked = mark
        self.lazy = lazy
        self._appended = asyncio.Event()

    def append(self, content: list[OutboxRow]) -> None:
        self.rows.update({row.seq: row for row in content})
        self._appended.set()

    async def mark(self, shard: int) -> int:  # noqa: ARG002  # one shard
        return self.marked

    async def advance(self, shard: int, seq: int) -> None:  # noqa: ARG002  # one shard
        if not self.lazy:
            self.marked = seq

    async def end(self, shard: int) -> int:  # noqa: ARG002  # one shard
        return max(self.rows, default=0)

    async def read(self, shard: int, after: int, limit: int) -> list[OutboxRow]:  # noqa: ARG002  # one shard
        return [self.rows[seq] for seq in sorted(self.rows) if seq > after][:limit]

    async def chain(self, shard: int, seq: int) -> str | None:  # noqa: ARG002  # one shard
        row = self.rows.get(seq)
        return row.chain if row else None

    async def wait(self, shard: int, after: int, timeout: float) -> None:
        self._appended.clear()
        if await self.end(shard) <= after:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._appended.wait()
