"""The Archive protocol over a journal's file: few questions for many rows."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import orjson

from paymux import lifecycle
from paymux.journal.archive import Rows, Story, Told, word
from paymux.journal.sqlite.history import RECORD_COLUMNS, stored_record
from paymux.journal.sqlite.reading import Reader, conditions
from paymux.journal.sqlite.rows import DELIVERY_COLUMNS, FILED_COLUMNS, filed, stored_delivery
from paymux.records import REPLAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from paymux.journal.archive import Kept
    from paymux.journal.changes import Filed, Scope
    from paymux.journal.history import Sought, StoredRecord
    from paymux.lifecycle import Known

STEP: Final = 4096  # deliveries that a search passes over at once

# From keys to the payments that they belong to: an entity that was published before its payment was known keeps its
# own key.
_PAYMENTS: Final = """
    SELECT o.key, o.provider || '/' || o.account || '/' || l.payment_id FROM orphans AS o
    JOIN links AS l ON l.provider = o.provider AND l.account = o.account AND l.alias = o.alias
    WHERE o.key IN (SELECT value FROM json_each(?))
"""
# And back: the keys of what joined these payments later.
_ORPHANS: Final = """
    SELECT p.value, o.key FROM json_each(?) AS p
    JOIN links AS l ON l.provider = json_extract(p.value, '$[0]') AND l.account = json_extract(p.value, '$[1]')
    AND l.payment_id = json_extract(p.value, '$[2]')
    JOIN orphans AS o ON o.provider = l.provider AND o.account = l.account AND o.alias = l.alias
"""


class SqliteArchive:
    """Its reader is its own: a replay never waits for somebody's search."""

    def __init__(self, path: Path) -> None:
        self._reader = Reader(path)
        self._query, self._ask = self._reader.query, self._reader.ask

    async def bounds(self, sought: Sought) -> tuple[int, int]:
        return await self._ask(lambda: self._reader.bounds(sought))

    async def rows(self, sought: Sought, *, after: int, end: int, limit: int) -> Rows:
        return await self._ask(lambda: self._rows(sought, after, end, limit))

    async def fitting(self, sought: Sought, rows: Sequence[int]) -> frozenset[int]:
        given, arguments = conditions(sought)
        where = " AND ".join(["delivery IN (SELECT value FROM json_each(?))", *given])
        sql = f"SELECT DISTINCT delivery FROM items WHERE {where}"
        return frozenset(row for (row,) in await self._ask(lambda: self._query(sql, (_list(rows), *arguments))))

    async def kept(self, rows: Sequence[int]) -> Mapping[int, Kept]:
        sql = (
            f"SELECT {DELIVERY_COLUMNS} FROM deliveries "
            "WHERE row IN (SELECT value FROM json_each(?)) AND body IS NOT NULL"
        )
        found = await self._ask(lambda: [stored_delivery(row) for row in self._query(sql, (_list(rows),))])
        return {kept.row: kept for kept in found}

    async def filed(self, rows: Sequence[int]) -> Mapping[int, Sequence[Filed]]:
        sql = (
            f"SELECT {FILED_COLUMNS} FROM items WHERE delivery IN (SELECT value FROM json_each(?)) "
            "ORDER BY delivery, position, row"
        )
        found: dict[int, list[Filed]] = {row: [] for row in rows}
        for each in await self._ask(lambda: [filed(row) for row in self._query(sql, (_list(rows),))]):
            found[each.delivery].append(each)
        return found

    async def known(self, keys: Iterable[str]) -> Mapping[str, Known]:
        sql = "SELECT key, known FROM payments WHERE key IN (SELECT value FROM json_each(?))"
        return {key: lifecycle.load(known) for key, known in await self._ask(lambda: self._query(sql, (_list(keys),)))}

    async def spoke(self, keys: Iterable[str]) -> Sequence[int]:
        sql = """
            SELECT DISTINCT row FROM deliveries WHERE erased_at IS NULL
            AND row IN (SELECT delivery FROM touched WHERE key IN (SELECT value FROM json_each(?))) ORDER BY row
        """
        return [row for (row,) in await self._ask(lambda: self._query(sql, (_list(keys),)))]

    async def naming(self, scope: Scope, names: Sequence[str], *, after: int, end: int) -> Rows:
        return await self._ask(lambda: self._naming(scope, names, after, end))

    async def spoken(self, rows: Sequence[int]) -> frozenset[str]:
        sql = "SELECT payment_keys FROM items WHERE delivery IN (SELECT value FROM json_each(?)) AND payment_keys != ''"
        found = await self._ask(lambda: self._query(sql, (_list(rows),)))
        return frozenset(key for (keys,) in found for key in keys.split("\n"))

    async def listed(self, job_id: str, keys: Sequence[str]) -> frozenset[str]:
        sql = "SELECT key FROM listed WHERE job = ? AND key IN (SELECT value FROM json_each(?))"
        return frozenset(key for (key,) in await self._ask(lambda: self._query(sql, (job_id, _list(keys)))))

    async def stories(self, deliveries: Sequence[int]) -> Sequence[Story]:
        return await self.about(await self.spoken(deliveries))

    async def about(self, keys: Iterable[str]) -> Sequence[Story]:
        return await self._ask(lambda: self._about(set(keys)))

    async def published(self, event_ids: Sequence[str]) -> frozenset[str]:
        sql = """
            SELECT given.value FROM json_each(?) AS given
            WHERE EXISTS (SELECT 1 FROM outbox WHERE event_id = given.value)
            OR EXISTS (SELECT 1 FROM taken WHERE event_id = given.value)
        """
        return frozenset(each for (each,) in await self._ask(lambda: self._query(sql, (_list(event_ids),))))

    async def records(self, sought: Sought, *, topic: str, after: int, end: int, limit: int) -> Sequence[StoredRecord]:
        return await self._ask(lambda: self._records(sought, topic, after, end, limit))

    async def end(self) -> int:
        rows = await self._ask(lambda: self._query("SELECT max(seq) FROM outbox"))
        return (rows[0][0] or 0) + 1

    async def close(self) -> None:
        await self._reader.close()

    # --- in the thread

    def _rows(self, sought: Sought, after: int, end: int, limit: int) -> Rows:
        given, arguments = conditions(sought)
        last = end - 1 if sought.payment is not None else min(end - 1, after + STEP)
        where = " AND ".join(["delivery > ? AND delivery <= ?", *given])
        sql = f"SELECT DISTINCT delivery FROM items WHERE {where} ORDER BY delivery LIMIT ?"
        rows = tuple(row for (row,) in self._query(sql, (after, last, *arguments, limit)))
        erased = "SELECT row FROM deliveries WHERE row IN (SELECT value FROM json_each(?)) AND erased_at IS NOT NULL"
        return Rows(
            rows=rows,
            reached=rows[-1] if len(rows) == limit else max(last, after),
            erased=frozenset(row for (row,) in self._query(erased, (_list(rows),))),
        )

    def _naming(self, scope: Scope, names: Sequence[str], after: int, end: int) -> Rows:
        last, sought = min(end - 1, after + STEP), word(names)
        # SQLite looks for the bytes; what it finds is looked at once more, for it may be a part of a longer id.
        sql = """
            SELECT row, body, query FROM deliveries WHERE row > ? AND row <= ? AND provider = ? AND account = ?
            AND EXISTS (
                SELECT 1 FROM json_each(?) WHERE instr(body, CAST(value AS BLOB)) > 0 OR instr(query, value) > 0
            ) ORDER BY row
        """
        found = self._query(sql, (after, last, *scope, _list(names)))
        rows = tuple(row for row, body, query in found if sought.search(body or b"") or sought.search(query.encode()))
        return Rows(rows=rows, reached=max(last, after))

    def _about(self, given: set[str]) -> list[Story]:
        groups = self._groups(given)
        touched = self._touched({key for keys in groups.values() for key in keys})
        rows = {row for found in touched.values() for row in found}
        items, records = self._items(rows), self._records_of(rows)
        return [_story(payment, keys, touched, items, records) for payment, keys in groups.items()]

    def _groups(self, keys: set[str]) -> dict[str, frozenset[str]]:
        """Payments, each with all keys that belong to it."""
        payment_of = dict(self._query(_PAYMENTS, (_list(keys),)))
        payments = {payment_of.get(key, key) for key in keys}
        groups = {payment: {payment} for payment in payments}
        names = {orjson.dumps(payment.split("/", 2)).decode(): payment for payment in payments}
        for name, orphan in self._query(_ORPHANS, (_list([payment.split("/", 2) for payment in payments]),)):
            groups[names[name]].add(orphan)
        return {payment: frozenset(found) for payment, found in groups.items()}

    def _touched(self, keys: set[str]) -> dict[str, set[int]]:
        found: dict[str, set[int]] = defaultdict(set)
        sql = "SELECT key, delivery FROM touched WHERE key IN (SELECT value FROM json_each(?))"
        for key, delivery in self._query(sql, (_list(keys),)):
            found[key].add(delivery)
        return found

    def _items(self, rows: set[int]) -> dict[int, list[Told]]:
        """By delivery: what was understood."""
        sql = """
            SELECT row, delivery, outcome, payment_keys FROM items
            WHERE delivery IN (SELECT value FROM json_each(?)) ORDER BY delivery, position, row
        """
        found: dict[int, list[Told]] = defaultdict(list)
        counted: dict[int, int] = defaultdict(int)
        for row, delivery, outcome, keys in self._query(sql, (_list(rows),)):
            if outcome == "events" and keys:
                spoken = frozenset(keys.split("\n"))
                found[delivery].append(Told(delivery=delivery, index=counted[delivery], place=row, keys=spoken))
            counted[delivery] += 1
        return found

    def _records_of(self, rows: set[int]) -> dict[int, list[StoredRecord]]:
        sql = f"SELECT {RECORD_COLUMNS} FROM outbox WHERE delivery IN (SELECT value FROM json_each(?)) ORDER BY seq"
        found: dict[int, list[StoredRecord]] = defaultdict(list)
        for row in self._query(sql, (_list(rows),)):
            record = stored_record(row, 0)
            if record.delivery is not None:
                found[record.delivery].append(record)
        return found

    def _records(self, sought: Sought, topic: str, after: int, end: int, limit: int) -> list[StoredRecord]:
        given, arguments = conditions(sought)
        first, last = self._reader.bounds(sought)
        where = " AND ".join(["delivery = outbox.delivery", *given])
        sql = f"""
            SELECT {RECORD_COLUMNS} FROM outbox WHERE seq > ? AND seq < ? AND topic = ? AND instr(headers, ?) = 0
            AND delivery >= ? AND delivery < ? AND EXISTS (SELECT 1 FROM items WHERE {where}) ORDER BY seq LIMIT ?
        """
        mark = f"\n{REPLAY}:".encode()
        rows = self._query(sql, (after, end, topic, mark, first, last, *arguments, limit))
        return [stored_record(row, 0) for row in rows]


def _story(
    payment: str,
    keys: frozenset[str],
    touched: Mapping[str, set[int]],
    items: Mapping[int, list[Told]],
    records: Mapping[int, list[StoredRecord]],
) -> Story:
    rows = {row for key in keys for row in touched.get(key, ())}
    heard = [told for row in rows for told in items.get(row, ()) if not keys.isdisjoint(told.keys)]
    published = [record for row in rows for record in records.get(row, ()) if record.record.key.decode() in keys]
    return Story(
        key=payment,
        keys=keys,
        heard=tuple(sorted(heard, key=lambda told: told.place)),
        records=tuple(sorted(published, key=lambda record: record.seq)),
    )


def _list(values: Iterable[Any]) -> str:
    return orjson.dumps(list(values)).decode()
