"""The archive of a journal in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from paymux.journal.archive import Kept, Rows, Story, Told, word
from paymux.journal.history import StoredRecord, came_at
from paymux.journal.memory.history import MemoryHistory, fits
from paymux.records import REPLAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from paymux.journal.changes import Filed, Scope
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
        found = {row: kept.delivery for row, kept in self._store.deliveries.items()}
        times = {row: came_at(each.id, each.via, each.received_at) for row, each in found.items()}
        last = max(times, default=0)
        after = [row for row, at in times.items() if sought.since is None or at >= sought.since]
        beyond = [row for row, at in times.items() if sought.until is not None and at >= sought.until]
        return (min(after, default=last + 1), min(beyond, default=last + 1)) if times else (0, 0)

    async def rows(self, sought: Sought, *, after: int, end: int, limit: int) -> Rows:
        await asyncio.sleep(0)
        found = [each.row for each in reversed(self._history.all()) if after < each.row < end and fits(each, sought)]
        rows = tuple(found[:limit])
        reached = rows[-1] if len(rows) == limit else max(end - 1, after)
        return Rows(rows=rows, reached=reached, erased=frozenset(rows) & self._store.erased_rows)

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

    async def spoke(self, keys: Iterable[str]) -> Sequence[int]:
        await asyncio.sleep(0)
        wanted = set(keys)
        found = {item.delivery for item in self._store.items if not wanted.isdisjoint(item.payment_keys)}
        return sorted(found - self._store.erased_rows)

    async def naming(self, scope: Scope, names: Sequence[str], *, after: int, end: int) -> Rows:
        await asyncio.sleep(0)
        sought = word(names)
        rows = tuple(
            row
            for row, kept in sorted(self._store.deliveries.items())
            if after < row < end
            and (kept.delivery.provider, kept.delivery.account) == scope
            and (sought.search(kept.delivery.body) or sought.search(kept.delivery.query.encode()))
        )
        return Rows(rows=rows, reached=max(end - 1, after))

    async def spoken(self, rows: Sequence[int]) -> frozenset[str]:
        await asyncio.sleep(0)
        return frozenset(key for item in self._store.items if item.delivery in rows for key in item.payment_keys)

    async def listed(self, job_id: str, keys: Sequence[str]) -> frozenset[str]:
        await asyncio.sleep(0)
        return frozenset(key for key in keys if (job_id, key) in self._store.listed)

    async def stories(self, deliveries: Sequence[int]) -> Sequence[Story]:
        return await self.about(await self.spoken(deliveries))

    async def about(self, keys: Iterable[str]) -> Sequence[Story]:
        await asyncio.sleep(0)
        outbox = self._outbox()
        return [self._story(payment, outbox) for payment in sorted({self._payment_of(key) for key in keys})]

    async def published(self, event_ids: Sequence[str]) -> frozenset[str]:
        await asyncio.sleep(0)
        return frozenset(each for each in event_ids if self._store.is_published(each))

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

    def _story(self, payment: str, outbox: Sequence[StoredRecord]) -> Story:
        orphans = {key for keys in self._store.orphaned.values() for key in keys}
        keys = frozenset({payment, *(key for key in orphans if self._payment_of(key) == payment)})
        heard = []
        for row, kept in self._store.item_rows.items():
            if kept.outcome == "events" and not keys.isdisjoint(kept.payment_keys):
                index = [filed.row for filed in self._store.filed(kept.delivery)].index(row)
                spoken = frozenset(kept.payment_keys)
                heard.append(Told(delivery=kept.delivery, index=index, place=row, keys=spoken))
        rows = {item.delivery for item in self._store.items if not keys.isdisjoint(item.payment_keys)}
        records = [record for record in outbox if record.delivery in rows and record.record.key.decode() in keys]
        return Story(key=payment, keys=keys, heard=tuple(heard), records=tuple(records))

    def _outbox(self) -> list[StoredRecord]:
        return [
            StoredRecord(
                seq=row.seq, delivery=row.delivery, created_at=row.created_at, record=row.record, is_published=False
            )
            for _, row in sorted(self._store.outbox.items())
        ]
