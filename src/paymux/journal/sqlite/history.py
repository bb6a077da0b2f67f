"""The History protocol over a journal's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from paymux import lifecycle
from paymux.errors import JournalUnavailable
from paymux.journal.history import (
    Page,
    QuarantineGroup,
    Retained,
    Sought,
    StoredDelivery,
    StoredItem,
    StoredPayment,
    StoredRecord,
    StoredRequest,
)
from paymux.journal.jobs import EVERY, ChangeGroup
from paymux.journal.sqlite.reading import Reader, conditions
from paymux.journal.sqlite.retained import AGED_BODIES, ALL_OLD_BODIES, BODIES, COUNT_OLD_RECORDS
from paymux.journal.sqlite.rows import (
    header_pairs,
    micro,
    moment,
    outbox_row,
    stored_audit,
    stored_change,
    stored_job,
    stored_rejection,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from paymux.journal import Rejection
    from paymux.journal.audit import Audited
    from paymux.journal.changes import Scope
    from paymux.journal.jobs import Change, Job, JobState

STEP: Final = 4096  # deliveries that a search passes over at once
MOST_NAMED: Final = 10_000  # of one kind of id; a beginning that more have in common finds some of them
SAMPLES: Final = 100
SAMPLE: Final = 200  # deliveries
MOST_STEPS: Final = 32  # of a page: what is rarer is found on the following ones

_DELIVERY: Final = (
    "row, id, provider, account, received_at, attempts, via, proof, secret, hex(sha256), "
    "CASE WHEN body IS NULL THEN NULL ELSE length(body) END, erased_at IS NOT NULL"
)
_ITEM: Final = (
    "delivery, position, event_key, event_type, occurred_at, livemode, result, outcome, reason, path, detail, "
    "payment_keys"
)
RECORD_COLUMNS: Final = "delivery, seq, chain, event_id, created_at, topic, key, headers, value"
# Deliveries by the beginning of one of their ids; each account's keys have an index of their own.
_NAMED: Final = (
    "SELECT row FROM deliveries WHERE id >= :text AND id < :end",
    "SELECT delivery FROM outbox WHERE event_id >= :text AND event_id < :end AND delivery IS NOT NULL",
)
_NAMED_IN_ACCOUNT: Final = (
    """
    SELECT delivery FROM items
    WHERE provider = :provider AND account = :account AND dedupe_key >= :text AND dedupe_key < :end
    """,
    "SELECT delivery FROM touched WHERE key >= :key AND key < :key_end",
    """
    SELECT t.delivery FROM links AS l JOIN touched AS t ON t.key = l.provider || '/' || l.account || '/' || l.payment_id
    WHERE l.provider = :provider AND l.account = :account AND l.alias >= :text AND l.alias < :end
    """,
)
# From one account to the next by the index, never through all keys of one.
_ACCOUNTS: Final = """
    WITH RECURSIVE accounts (provider, account) AS (
        SELECT provider, account FROM (
            SELECT provider, account FROM items WHERE dedupe_key IS NOT NULL
            ORDER BY provider, account, dedupe_key LIMIT 1
        )
        UNION ALL
        SELECT i.provider, i.account FROM accounts JOIN items AS i ON i.row = coalesce(
            (
                SELECT row FROM items
                WHERE dedupe_key IS NOT NULL AND provider = accounts.provider AND account > accounts.account
                ORDER BY account, dedupe_key LIMIT 1
            ),
            (
                SELECT row FROM items WHERE dedupe_key IS NOT NULL AND provider > accounts.provider
                ORDER BY provider, account, dedupe_key LIMIT 1
            )
        )
    )
    SELECT provider, account FROM accounts
"""
_QUARANTINE: Final = """
    SELECT g.provider, g.account, g.event_type, g.reason, g.path, g.count, first.received_at, last.received_at, last.id
    FROM (
        SELECT provider, account, event_type, reason, path, count(*) AS count, min(delivery) AS first,
            max(delivery) AS last
        FROM items INDEXED BY items_quarantined WHERE outcome = 'quarantined'
        GROUP BY provider, account, event_type, reason, path
    ) AS g JOIN deliveries AS first ON first.row = g.first JOIN deliveries AS last ON last.row = g.last
    ORDER BY g.count DESC, g.last DESC
"""
_SECRETS: Final = """
    SELECT provider, account, secret, count(*) FROM deliveries
    WHERE row >= ? AND row < ? AND via = 'webhook' AND secret IS NOT NULL GROUP BY provider, account, secret
"""
_QUARANTINED_AT: Final = f"""
    SELECT d.received_at FROM items AS i INDEXED BY items_quarantined JOIN deliveries AS d ON d.row = i.delivery
    WHERE i.outcome = 'quarantined' AND i.delivery >= ? ORDER BY i.delivery DESC LIMIT {MOST_NAMED}
"""

# One of each group stands for it.
_CHANGE_GROUPS: Final = """
    SELECT count(*), min(c.event_id), c.* FROM changes AS c WHERE c.job = ?
    GROUP BY c.kind, c.type, c.provider, c.account, c.paths ORDER BY 1 DESC
"""


class SqliteHistory:
    """The History protocol."""

    def __init__(self, path: Path) -> None:
        self._reader = Reader(path)
        self._query, self._ask = self._reader.query, self._reader.ask

    async def deliveries(self, sought: Sought, *, limit: int, before: int | None = None) -> Page:
        return await self._ask(lambda: self._page(sought, limit, before))

    async def named(self, text: str, *, limit: int) -> Sequence[StoredDelivery]:
        return await self._ask(lambda: self._named(text, limit))

    async def delivery(self, delivery_id: str) -> StoredDelivery | None:
        found = await self._ask(lambda: self._deliveries("id = ?", (delivery_id,)))
        return found[0] if found else None

    async def request(self, delivery_id: str) -> StoredRequest | None:
        sql = "SELECT method, path, query, url, headers, body FROM deliveries WHERE id = ? AND body IS NOT NULL"
        rows = await self._ask(lambda: self._query(sql, (delivery_id,)))
        if not rows:
            return None
        method, path, query, url, headers, body = rows[0]
        return StoredRequest(
            method=method, path=path, query=query, url=url, headers=tuple(header_pairs(headers)), body=body
        )

    async def records(self, deliveries: Sequence[int]) -> Sequence[StoredRecord]:
        return await self._ask(lambda: self._records(deliveries))

    async def payment(self, key: str) -> StoredPayment | None:
        return await self._ask(lambda: self._payment(key))

    async def payments(self, prefix: str, *, limit: int) -> Sequence[str]:
        return await self._ask(lambda: self._payments(prefix, limit))

    async def quarantine(self) -> Sequence[QuarantineGroup]:
        return [_group(row) for row in await self._ask(lambda: self._query(_QUARANTINE))]

    async def rejections(self, limit: int) -> Sequence[Rejection]:
        sql = "SELECT * FROM rejections ORDER BY at DESC LIMIT ?"
        return [stored_rejection(row[1:]) for row in await self._ask(lambda: self._query(sql, (limit,)))]

    async def quarantined_at(self, since: datetime) -> Sequence[datetime]:
        def question() -> list[datetime]:
            first, _ = self._reader.bounds(Sought(since=since))
            return [_at(at) for (at,) in self._query(_QUARANTINED_AT, (first,))]

        return await self._ask(question)

    async def secrets_used(self, since: datetime) -> Mapping[Scope, Mapping[int, int]]:
        return await self._ask(lambda: self._secrets_used(since))

    async def heard(self, account: Scope, since: datetime) -> Mapping[int, int]:
        sql = "SELECT hour, minutes FROM heard WHERE provider = ? AND account = ? AND hour >= ? ORDER BY hour"
        first = int(since.timestamp()) // 3600
        return dict(await self._ask(lambda: self._query(sql, (*account, first))))

    async def jobs(self, *, limit: int, states: Collection[JobState] = EVERY) -> Sequence[Job]:
        sql = """
            SELECT * FROM jobs WHERE state IN (SELECT value FROM json_each(?)) ORDER BY created_at DESC, id DESC LIMIT ?
        """
        return [stored_job(row) for row in await self._ask(lambda: self._query(sql, (_list(states), limit)))]

    async def job(self, job_id: str) -> Job | None:
        rows = await self._ask(lambda: self._query("SELECT * FROM jobs WHERE id = ?", (job_id,)))
        return stored_job(rows[0]) if rows else None

    async def change_groups(self, job_id: str) -> Sequence[ChangeGroup]:
        return [_change_group(row) for row in await self._ask(lambda: self._query(_CHANGE_GROUPS, (job_id,)))]

    async def changes(self, job_id: str, *, after: str, limit: int) -> Sequence[Change]:
        sql = "SELECT * FROM changes WHERE job = ? AND event_id > ? ORDER BY event_id LIMIT ?"
        return [stored_change(row) for row in await self._ask(lambda: self._query(sql, (job_id, after, limit)))]

    async def retained(self, before: datetime) -> Retained:
        return await self._ask(lambda: self._retained(before))

    async def audit(self, *, after: int, limit: int) -> Sequence[Audited]:
        sql = "SELECT * FROM audit WHERE row > ? ORDER BY row LIMIT ?"
        return [stored_audit(row) for row in await self._ask(lambda: self._query(sql, (after, limit)))]

    async def close(self) -> None:
        await self._reader.close()

    # --- in the thread

    def _retained(self, at: datetime) -> Retained:
        before, (_, first) = micro(at), self._reader.bounds(Sought(until=at))
        ((mark,),) = self._query("SELECT coalesce(max(seq), 0) FROM marks WHERE shard = 0")
        going = [row for (row,) in self._query(ALL_OLD_BODIES, (before, first, mark))]
        ((bodies, oldest),), ((aged, _),) = self._query(BODIES), self._query(AGED_BODIES, (before, first))
        ((records,),) = self._query("SELECT count(*) FROM outbox")
        ((old_records,),) = self._query(COUNT_OLD_RECORDS, (mark, before, _list(going)))
        return Retained(
            bodies=bodies,
            oldest=moment(oldest),
            records=records,
            old_bodies=len(going),
            old_records=old_records,
            held=aged - len(going),
        )

    def _secrets_used(self, since: datetime) -> dict[Scope, dict[int, int]]:
        first, end = self._reader.bounds(Sought(since=since))
        step = max((end - first) // SAMPLES, SAMPLE)
        found: dict[Scope, dict[int, int]] = {}
        for start in range(first, end, step):
            for provider, account, secret, count in self._query(_SECRETS, (start, min(start + SAMPLE, end))):
                counts = found.setdefault((provider, account), {})
                counts[secret] = counts.get(secret, 0) + count
        return found

    def _page(self, sought: Sought, limit: int, before: int | None) -> Page:
        first, end = self._reader.bounds(sought)
        end = end if before is None else min(end, before)
        rows: list[int] = []
        for _ in range(MOST_STEPS):
            if end <= first or len(rows) > limit:
                break
            start = max(first, end - STEP) if sought.payment is None else first
            rows += self._within(sought, start, end, limit + 1 - len(rows))
            end = start
        shown, more = rows[:limit], rows[limit:]
        following = shown[-1] if more else end if end > first else None
        return Page(deliveries=tuple(self._by_rows(shown)), next=following)

    def _within(self, sought: Sought, start: int, end: int, limit: int) -> list[int]:
        """Rows from `start` up to `end`, newest first."""
        given, arguments = conditions(sought)
        where = " AND ".join(["delivery >= ? AND delivery < ?", *given])
        sql = f"SELECT DISTINCT delivery FROM items WHERE {where} ORDER BY delivery DESC LIMIT ?"
        return [row for (row,) in self._query(sql, (start, end, *arguments, limit))]

    def _named(self, text: str, limit: int) -> list[StoredDelivery]:
        rows: set[int] = set()
        for sql, names in self._ways(text, limit):
            newest = f"SELECT * FROM ({sql} LIMIT {MOST_NAMED}) ORDER BY 1 DESC LIMIT :limit"
            rows.update(row for (row,) in self._query(newest, names))
        return self._by_rows(sorted(rows, reverse=True)[:limit])

    def _ways(self, text: str, limit: int) -> Iterator[tuple[str, dict[str, Any]]]:
        names = {"text": text, "end": _after(text), "limit": limit}
        for sql in _NAMED:
            yield sql, names
        for provider, account in self._query(_ACCOUNTS):
            prefix = f"{provider}/{account}/"
            key = text if text.startswith(prefix) else prefix + text
            for sql in _NAMED_IN_ACCOUNT:
                yield sql, names | {"provider": provider, "account": account, "key": key, "key_end": _after(key)}

    def _by_rows(self, rows: Sequence[int]) -> list[StoredDelivery]:
        """In the order of `rows`."""
        found = {each.row: each for each in self._deliveries("row IN (SELECT value FROM json_each(?))", (_list(rows),))}
        return [found[row] for row in rows]

    def _deliveries(self, condition: str, arguments: tuple[Any, ...]) -> list[StoredDelivery]:
        rows = self._query(f"SELECT {_DELIVERY} FROM deliveries WHERE {condition}", arguments)
        items: dict[int, list[StoredItem]] = {row[0]: [] for row in rows}
        sql = f"SELECT {_ITEM} FROM items WHERE delivery IN (SELECT value FROM json_each(?)) ORDER BY row"
        for item in self._query(sql, (_list(list(items)),)):
            items[item[0]].append(_item(item))
        return [_delivery(row, tuple(items[row[0]])) for row in rows]

    def _records(self, deliveries: Sequence[int]) -> list[StoredRecord]:
        marks = self._query("SELECT seq FROM marks WHERE shard = 0")
        mark = marks[0][0] if marks else 0
        sql = f"SELECT {RECORD_COLUMNS} FROM outbox WHERE delivery IN (SELECT value FROM json_each(?)) ORDER BY seq"
        return [stored_record(row, mark) for row in self._query(sql, (_list(deliveries),))]

    def _payment(self, key: str) -> StoredPayment | None:
        provider, account, name = [*key.split("/", 2), "", ""][:3]
        links = "SELECT payment_id FROM links WHERE provider = ? AND account = ? AND alias = ?"
        names = [name, *(row[0] for row in self._query(links, (provider, account, name)))]
        for each in names:
            rows = self._query("SELECT known FROM payments WHERE key = ?", (f"{provider}/{account}/{each}",))
            if rows:
                aliases = "SELECT alias FROM links WHERE provider = ? AND account = ? AND payment_id = ? ORDER BY alias"
                return StoredPayment(
                    key=f"{provider}/{account}/{each}",
                    known=lifecycle.load(rows[0][0]),
                    links=tuple(row[0] for row in self._query(aliases, (provider, account, each))),
                )
        return None

    def _payments(self, prefix: str, limit: int) -> list[str]:
        whole = [prefix, *(f"{provider}/{account}/{prefix}" for provider, account in self._query(_ACCOUNTS))]
        sql = "SELECT key FROM payments WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
        found = [row[0] for each in whole for row in self._query(sql, (each, _after(each), limit))]
        return found[:limit]


def _after(text: str) -> str:
    """What follows everything that begins with `text`."""
    return text + "\U0010ffff"


def _list(values: Collection[int | str]) -> str:
    return orjson.dumps(list(values)).decode()


def _at(value: int) -> datetime:
    found = moment(value)
    if found is None:  # Defensive: the column is not null
        raise JournalUnavailable("a time is missing")
    return found


def _delivery(row: Any, items: tuple[StoredItem, ...]) -> StoredDelivery:
    return StoredDelivery(
        row=row[0],
        id=row[1],
        provider=row[2],
        account=row[3],
        received_at=_at(row[4]),
        attempts=row[5],
        via=row[6],
        proof=row[7],
        secret=row[8],
        sha256=row[9].lower(),
        size=row[10],
        erased=bool(row[11]),
        items=items,
    )


def _item(row: Any) -> StoredItem:
    return StoredItem(
        position=row[1],
        event_key=row[2],
        event_type=row[3],
        occurred_at=moment(row[4]),
        livemode=None if row[5] is None else bool(row[5]),
        result=row[6],
        outcome=row[7],
        reason=row[8],
        path=row[9],
        detail=row[10],
        payments=tuple(row[11].split("\n")) if row[11] else (),
    )


def stored_record(row: Any, mark: int) -> StoredRecord:
    delivery, *rest = row
    found = outbox_row(0, rest)
    return StoredRecord(
        seq=found.seq,
        delivery=delivery,
        created_at=found.created_at,
        record=found.record,
        is_published=found.seq <= mark,
    )


def _change_group(row: Any) -> ChangeGroup:
    count, _, *rest = row
    example = stored_change(rest)
    return ChangeGroup(
        kind=example.kind,
        type=example.type,
        provider=example.provider,
        account=example.account,
        paths=example.paths,
        count=count,
        example=example,
    )


def _group(row: Any) -> QuarantineGroup:
    return QuarantineGroup(
        provider=row[0],
        account=row[1],
        event_type=row[2],
        reason=row[3],
        path=row[4],
        count=row[5],
        first=_at(row[6]),
        last=_at(row[7]),
        delivery=row[8],
    )
