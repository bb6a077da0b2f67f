"""A journal in memory, for tests and trials: everything a real one does, but durable only while it lives."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from paymux.delivery import Proof
from paymux.journal import RING
from paymux.journal.changes import DISCARDED, Changes, Counters, Filed, Rules
from paymux.journal.group_commit import GroupCommit
from paymux.journal.history import came_at
from paymux.journal.lookups import MOST_HINTS, Hints, give_up
from paymux.records import Topics, is_erased
from paymux.statement import Ignored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from paymux.delivery import ObjectRef
    from paymux.journal import Entry, LookupRow, OutboxRow, Receipt, Rejection
    from paymux.journal.audit import Audited
    from paymux.journal.changes import KeptDelivery, KeptItem, Needs, Scope, Seen
    from paymux.journal.decide import Unit
    from paymux.journal.jobs import Change, Job
    from paymux.lifecycle import Known


T = TypeVar("T")


@dataclass(slots=True)
class MemoryStore:
    """Tables as dictionaries; also the View over them."""

    deliveries: dict[int, KeptDelivery] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    item_rows: dict[int, KeptItem] = field(default_factory=dict)
    seen_keys: dict[tuple[Scope, str], Seen] = field(default_factory=dict)
    payments: dict[str, Known] = field(default_factory=dict)
    links: dict[tuple[Scope, str], str] = field(default_factory=dict)
    orphaned: dict[tuple[Scope, str], list[str]] = field(default_factory=dict)
    lookups: dict[tuple[Scope, ObjectRef], LookupRow] = field(default_factory=dict)
    outbox: dict[tuple[int, int], OutboxRow] = field(default_factory=dict)
    emptied: set[int] = field(default_factory=set)
    jobs: dict[str, Job] = field(default_factory=dict)
    found: dict[tuple[str, str], Change] = field(default_factory=dict)
    listed: set[tuple[str, str]] = field(default_factory=set)
    heard: dict[tuple[Scope, int], int] = field(default_factory=dict)
    audit: list[Audited] = field(default_factory=list)
    erased_rows: frozenset[int] = frozenset()
    taken: set[str] = field(default_factory=set)
    _last_item: int = 0

    @property
    def view(self) -> MemoryStore:
        return self

    @property
    def items(self) -> list[KeptItem]:
        """In the order in which they were heard."""
        return list(self.item_rows.values())

    def seen(self, scope: Scope, dedupe_key: str) -> Seen | None:
        return self.seen_keys.get((scope, dedupe_key))

    def known(self, key: str) -> Known | None:
        return self.payments.get(key)

    def link(self, scope: Scope, alias: str) -> str | None:
        return self.links.get((scope, alias))

    def orphans(self, scope: Scope, alias: str) -> Iterable[str]:
        return self.orphaned.get((scope, alias), ())

    def lookup(self, scope: Scope, ref: ObjectRef) -> LookupRow | None:
        return self.lookups.get((scope, ref))

    def row_of(self, delivery_id: str) -> int | None:
        return next((row for row, kept in self.deliveries.items() if kept.delivery.id == delivery_id), None)

    def filed(self, delivery: int) -> Sequence[Filed]:
        """In the order of the delivery's items, as they were filed first."""
        found = [(row, kept) for row, kept in self.item_rows.items() if kept.delivery == delivery]
        ordered = sorted(found, key=lambda each: (each[1].item.position or 0, each[0]))
        return [
            Filed(
                row=row,
                delivery=delivery,
                dedupe_key=kept.dedupe_key,
                result=kept.result.value,
                outcome=kept.outcome,
                reason=kept.reason,
                path=kept.path,
                attempt=kept.attempt,
                event_type=kept.item.event_type,
            )
            for row, kept in ordered
        ]

    def is_published(self, event_id: str) -> bool:
        return event_id in self.taken or any(row.record.event_id == event_id for row in self.outbox.values())

    @property
    def is_taken(self) -> Callable[[str], bool] | None:
        return self.taken.__contains__ if self.taken else None

    def job(self, job_id: str) -> Job | None:
        return self.jobs.get(job_id)

    def erased(self, deliveries: Sequence[int]) -> frozenset[int]:
        return self.erased_rows.intersection(deliveries)

    def reworded(self, outbox: Sequence[int]) -> frozenset[int]:
        return frozenset(seq for seq in outbox if (row := self.outbox.get((0, seq))) and is_erased(row.record))

    def counters(self) -> Counters:
        newest: dict[int, OutboxRow] = {row.shard: row for _, row in sorted(self.outbox.items())}
        return Counters(
            delivery=len(self.deliveries),
            lookup=max((row.id for row in self.lookups.values()), default=0),
            acts=len(self.audit),
            acts_chain=self.audit[-1].chain if self.audit else "",
            outbox={shard: row.seq for shard, row in newest.items()},
            chains={shard: row.chain for shard, row in newest.items()},
        )

    def foresee(self, needs: Needs) -> None:
        """A dictionary is read as fast one by one."""

    async def commit(self, changes: Changes) -> None:
        await asyncio.sleep(0)
        self.apply(changes)

    async def rollback(self) -> None:
        await asyncio.sleep(0)

    def apply(self, changes: Changes) -> None:
        """All or nothing: no step below can fail."""
        for kept in changes.deliveries:
            self.deliveries[kept.row] = kept
            self.attempts[kept.row] = 1
        for row, more in changes.attempts.items():
            self.attempts[row] += more
        self.jobs |= changes.jobs
        for job, before in changes.unfound.items():
            self.found = {name: each for name, each in self.found.items() if each.job != job or each.delivery >= before}
        self.found |= {(change.job, change.event_id): change for change in changes.found}
        self.listed.update(changes.listed)
        self.listed -= {entry for entry in self.listed if entry[0] in changes.unlisted}
        for hour, minutes in changes.heard.items():
            self.heard[hour] = self.heard.get(hour, 0) | minutes
        self.audit += changes.audit
        self.seen_keys |= changes.seen
        self.payments |= changes.known
        self.links |= changes.links
        for name, keys in changes.orphans.items():
            self.orphaned.setdefault(name, []).extend(keys)
        self.lookups |= {asked: lookup for asked, lookup in changes.lookups.items() if lookup is not None}
        for asked in [asked for asked, lookup in changes.lookups.items() if lookup is None]:
            self.lookups.pop(asked, None)
        self._file(changes)
        self.outbox |= {(row.shard, row.seq): row for row in changes.outbox}
        for given_up in changes.given_up:
            self._give_up(*given_up)
        for row in changes.expired:
            self.deliveries[row] = replace(self.deliveries[row], delivery=self.deliveries[row].delivery.unproven())
        self.emptied |= set(changes.expired)
        for place in changes.forgotten:
            del self.outbox[place]
        self._erase(changes)

    def _file(self, changes: Changes) -> None:
        for row in changes.refiled:
            del self.item_rows[row]
        for item in changes.items:
            self._last_item += item.place is None
            self.item_rows[item.place or self._last_item] = item
        if any(item.place for item in changes.items):
            self.item_rows = dict(sorted(self.item_rows.items()))
        for row, (_, keys) in changes.respoken.items():
            self.item_rows[row] = replace(self.item_rows[row], payment_keys=keys)
        for row, why in changes.discarded:
            self.item_rows[row] = replace(self.item_rows[row], outcome="ignored", reason=DISCARDED, detail=why)

    def _erase(self, changes: Changes) -> None:
        rows = set(changes.erased)
        for row in rows:
            self.deliveries[row] = replace(self.deliveries[row], delivery=self.deliveries[row].delivery.unproven())
        self.emptied |= rows
        self.erased_rows |= rows
        for row, item in self.item_rows.items():
            if item.delivery in rows:
                self.item_rows[row] = replace(item, detail=None, item=replace(item.item, outcome=Ignored()))
        batches = Counter(item.delivery for item in self.item_rows.values())
        gone = {self.deliveries[row].delivery.id: batches[row] > 1 for row in rows}
        self.lookups = {
            asked: each
            for asked, each in self.lookups.items()
            if each.delivery_id not in gone or (gone[each.delivery_id] and each.ref.id not in changes.erased_names)
        }
        self.found = {
            name: replace(each, old=None, new=None) if each.row in rows else each for name, each in self.found.items()
        }
        for place, record in changes.reworded.items():
            self.outbox[place] = replace(self.outbox[place], record=record)

    def has_body(self, row: int | None) -> bool:
        return row is not None and row not in self.emptied

    def kept_since(self, row: int) -> datetime:
        """An import's time of receipt is somebody else's."""
        delivery = self.deliveries[row].delivery
        return max(delivery.received_at, came_at(delivery.id, delivery.via, delivery.received_at))

    def old(self, before: datetime) -> list[int]:
        """Deliveries whose bodies may be let go of."""
        needed = {item.delivery for item in self.items if item.outcome == "quarantined"} | self.emptied
        asking = {lookup.delivery_id for lookup in self.lookups.values()}
        return [
            row
            for row, kept in self.deliveries.items()
            if self.kept_since(row) < before and row not in needed and kept.delivery.id not in asking
        ]

    def _give_up(self, delivery: int | None, reason: str, detail: str) -> None:
        for row, item in self.item_rows.items():
            if item.delivery == delivery and item.outcome == "lookup":
                self.item_rows[row] = replace(item, outcome="quarantined", reason=reason, detail=detail)


class MemoryJournal:
    """The Journal protocol over MemoryStore."""

    def __init__(
        self,
        *,
        shards: int = 1,
        rules: Rules | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_hints: int = MOST_HINTS,
    ) -> None:
        self.identity = str(uuid4())
        self.shards = shards
        self.store = MemoryStore()
        self._now = now
        self._marks: dict[int, int] = {}
        self._rejections: deque[Rejection] = deque(maxlen=RING)
        self._appended = asyncio.Event()
        self._hints = Hints(self, max_hints)
        rules = replace(rules or Rules(topics=Topics()), shards=shards)
        self._commits = GroupCommit(self.store, rules, now=now, committed=self._wake)

    async def append(self, entry: Entry) -> tuple[Receipt, ...]:
        await self._hints.let_in(entry)
        return await self._commits.run(lambda unit: unit.append(entry), (entry,))

    async def change(self, decide: Callable[[Unit], T], entries: Sequence[Entry] = ()) -> T:
        return await self._commits.run(decide, entries)

    async def mark(self, shard: int) -> int:
        return self._marks.get(shard, 0)

    async def advance(self, shard: int, seq: int) -> None:
        self._marks[shard] = max(seq, self._marks.get(shard, 0))

    async def end(self, shard: int) -> int:
        counters = self._commits.counters or self.store.counters()
        return counters.outbox.get(shard, 0)

    async def read(self, shard: int, after: int, limit: int) -> Sequence[OutboxRow]:
        last = min(after + limit, await self.end(shard))
        found = (self.store.outbox.get((shard, seq)) for seq in range(after + 1, last + 1))
        return [row for row in found if row is not None]

    async def chain(self, shard: int, seq: int) -> str | None:
        row = self.store.outbox.get((shard, seq))
        return row.chain if row else None

    async def wait(self, shard: int, after: int, timeout: float) -> None:  # noqa: ASYNC109  # a poll
        if await self.end(shard) > after:
            return
        self._appended.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._appended.wait()

    async def due_lookups(self, now: datetime, limit: int) -> Sequence[LookupRow]:
        due = sorted(
            (row for row in self.store.lookups.values() if row.due_at <= now), key=lambda row: (row.due_at, row.id)
        )
        seen: Counter[Scope] = Counter()
        return [row for row in due if seen.update((row.scope,)) or seen[row.scope] <= limit]

    async def next_lookup_at(self) -> datetime | None:
        return min((row.due_at for row in self.store.lookups.values()), default=None)

    async def postpone(self, lookup: LookupRow, until: datetime) -> None:
        await self._commits.run(lambda unit: unit.postpone(lookup, until))

    async def give_up(self, lookup: LookupRow, *, reason: str, detail: str) -> bool:
        return await self._commits.run(partial(give_up, lookup, reason, detail))

    async def lookups_waiting(self) -> int:
        return len(self.store.lookups)

    async def hinted(self, scope: Scope) -> int:
        return sum(row.scope == scope and row.proof is Proof.HINT for row in self.store.lookups.values())

    async def is_asked(self, scope: Scope, ref: ObjectRef) -> bool:
        return (scope, ref) in self.store.lookups

    async def expire(self, before: datetime, limit: int) -> int:
        rows = self.old_bodies(before)[:limit]
        records = self.old_records(before, rows)[:limit]
        if rows or records:
            await self._commits.run(lambda unit: unit.expire(rows, records))
        return len(rows) + len(records)

    def old_bodies(self, before: datetime) -> list[int]:
        """Rows of deliveries that may be let go of."""
        waiting = [row.delivery for name, row in self.store.outbox.items() if self._waits(name) and row.delivery]
        first = min(waiting, default=len(self.store.deliveries) + 1)
        return [row for row in self.store.old(before) if row < first]

    def old_records(self, before: datetime, going: Sequence[int]) -> list[tuple[int, int]]:
        """Places of the outbox that may be, too, once those bodies have gone."""
        return [
            name
            for name, row in self.store.outbox.items()
            if name[1] < self._marks.get(name[0], 0)
            and row.created_at < before
            and (row.delivery in going or not self.store.has_body(row.delivery))
        ]

    def _waits(self, name: tuple[int, int]) -> bool:
        return name[1] > self._marks.get(name[0], 0)

    async def scrub(self) -> None:
        await asyncio.sleep(0)

    def reject(self, rejection: Rejection) -> None:
        self._rejections.append(rejection)

    async def rejections(self, limit: int) -> Sequence[Rejection]:
        return list(self._rejections)[-limit:][::-1]

    async def healthy(self) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        await self._commits.close()

    def _wake(self, changes: Any) -> None:
        if changes.outbox:
            self._appended.set()
