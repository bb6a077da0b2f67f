"""The archive of a journal in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from paymux.journal.archive import Kept, Rows, Story, Told
from paymux.journal.history import StoredRecord
from paymux.journal.memory_history import MemoryHistory, fits
from paymux.records import REPLAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from paymux.journal.changes import Filed
    from paymux.journal.history import Sought
    from paymux.journal.memory import MemoryJournal
    from paymux.lifecycle import Known


class MemoryArchive:
    """The Archive protocol: everything is looked through."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._store = journal.store
        self._history = MemoryHistory(journal)

    async def bounds(self, sought: Sought) -> tuple[int, int]:
        await asyncio.sleep(0)
        times = {row: kept.delivery.received_at for row, kept in self._store.deliveries.items()}
        last = max(times, default=0)
        after = [row for row, at in times.items() if sought.since is None or at >= sought.since]
        beyond = [row for row, at in times.items() if sought.until is not None and at >= sought.until]
        return (min(after, default=last + 1), min(beyond, default=last + 1)) if times else (0, 0)

    async def rows(self, sought: Sought, *, after: int, end: int, limit: int) -> Rows:
        await asyncio.sleep(0)
        found = [each.row for each in reversed(self._history.all()) if after < each.row < end and fits(each, sought)]
        rows = tuple(found[:limit])
        return Rows(rows=rows, reached=rows[-1] if len(rows) == limit else max(end - 1, after))

    async def fitting(self, sought: Sought, rows: Sequence[int]) -> frozenset[int]:
        await asyncio.sleep(0)
        wanted = replace(sought, since=None, until=None)
        return frozenset(each.row for each in self._history.all() if each.row in rows and fits(each, wanted))

    async def kept(self, rows: Sequence[int]) -> Mapping[int, Kept]:
        await asyncio.sleep(0)
        return {
            row: Kept(row=row, delivery=kept.delivery, proof=kept.proof, secret=kept.secret)
            for row in rows
            if (kept := self._store.deliveries.get(row)) is not None and row not in self._store.emptied
        }

    async def filed(self, rows: Sequence[int]) -> Mapping[int, Sequence[Filed]]:
        await asyncio.sleep(0)
        return {row: self._store.filed(row) for row in rows}

    async def known(self, keys: Iterable[str]) -> Mapping[str, Known]:
        await asyncio.sleep(0)
        return {key: known for key in keys if (known := self._store.known(key)) is not None}

    async def stories(self, deliveries: Sequence[int]) -> Sequence[Story]:
        await asyncio.sleep(0)
        spoken = [item.payment_keys for item in self._store.items if item.delivery in deliveries]
        payments = {self._payment_of(key) for keys in spoken for key in keys}
        return [self._story(payment) for payment in sorted(payments)]

    async def records(self, sought: Sought, *, topic: str, after: int, end: int, limit: int) -> Sequence[StoredRecord]:
        await asyncio.sleep(0)
        wanted = {each.row for each in self._history.all() if fits(each, sought)}
        found = [
            record
            for record in self._outbox()
            if after < record.seq < end
            and record.delivery in wanted
            and record.record.topic == topic
            and REPLAY not in dict(record.record.headers)
        ]
        return found[:limit]

    async def end(self) -> int:
        await asyncio.sleep(0)
        return max((seq for _, seq in self._store.outbox), default=0) + 1

    async def close(self) -> None:
        """Nothing is held."""

    # ---

    def _payment_of(self, key: str) -> str:
        for (scope, alias), keys in self._store.orphaned.items():
            if key in keys and (payment := self._store.links.get((scope, alias))) is not None:
                return f"{scope[0]}/{scope[1]}/{payment}"
        return key

    def _story(self, payment: str) -> Story:
        orphans = {key for keys in self._store.orphaned.values() for key in keys}
        keys = frozenset({payment, *(key for key in orphans if self._payment_of(key) == payment)})
        heard, rows = [], set()
        for row, kept in self._store.item_rows.items():
            if kept.outcome == "events" and not keys.isdisjoint(kept.payment_keys):
                places = [filed.row for filed in self._store.filed(kept.delivery)]
                heard.append(Told(delivery=kept.delivery, index=places.index(row)))
                rows.add(kept.delivery)
        records = [
            record for record in self._outbox() if record.delivery in rows and record.record.key.decode() in keys
        ]
        return Story(key=payment, keys=keys, heard=tuple(heard), records=tuple(records))

    def _outbox(self) -> list[StoredRecord]:
        return [
            StoredRecord(
                seq=row.seq, delivery=row.delivery, created_at=row.created_at, record=row.record, is_published=False
            )
            for _, row in sorted(self._store.outbox.items())
        ]
