"""The history of a journal in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from paymux.journal.history import (
    Page,
    QuarantineGroup,
    Retained,
    StoredDelivery,
    StoredItem,
    StoredPayment,
    StoredRecord,
    StoredRequest,
    came_at,
)
from paymux.journal.jobs import EVERY, ChangeGroup

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from paymux.journal import Rejection
    from paymux.journal.audit import Audited
    from paymux.journal.changes import KeptItem, Scope
    from paymux.journal.history import Sought
    from paymux.journal.jobs import Change, Job, JobState
    from paymux.journal.memory import MemoryJournal


class MemoryHistory:
    """The History protocol: everything is looked through."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self._store = journal.store

    async def deliveries(self, sought: Sought, *, limit: int, before: int | None = None) -> Page:
        await asyncio.sleep(0)
        found = [each for each in self.all() if (before is None or each.row < before) and fits(each, sought)]
        following = found[limit - 1].row if len(found) > limit else None
        return Page(deliveries=tuple(found[:limit]), next=following)

    async def named(self, text: str, *, limit: int) -> Sequence[StoredDelivery]:
        await asyncio.sleep(0)
        published = {
            row.delivery for row in self._store.outbox.values() if row.record.event_id.startswith(text) and row.delivery
        }
        return [each for each in self.all() if each.row in published or self._is_named(each, text)][:limit]

    async def delivery(self, delivery_id: str) -> StoredDelivery | None:
        await asyncio.sleep(0)
        return next((each for each in self.all() if each.id == delivery_id), None)

    async def request(self, delivery_id: str) -> StoredRequest | None:
        await asyncio.sleep(0)
        for row, kept in self._store.deliveries.items():
            found = kept.delivery
            if found.id == delivery_id and row not in self._store.emptied:
                return StoredRequest(
                    method=found.method,
                    path=found.path,
                    query=found.query,
                    url=found.url,
                    headers=found.headers,
                    body=found.body,
                )
        return None

    async def records(self, deliveries: Sequence[int]) -> Sequence[StoredRecord]:
        mark = await self._journal.mark(0)
        return [
            StoredRecord(
                seq=row.seq,
                delivery=row.delivery,
                created_at=row.created_at,
                record=row.record,
                is_published=row.seq <= mark,
            )
            for row in self._store.outbox.values()
            if row.delivery in deliveries
        ]

    async def payment(self, key: str) -> StoredPayment | None:
        await asyncio.sleep(0)
        provider, account, name = [*key.split("/", 2), "", ""][:3]
        scope = (provider, account)
        for each in (name, self._store.links.get((scope, name), name)):
            whole = f"{provider}/{account}/{each}"
            if whole in self._store.payments:
                links = sorted(alias for (of, alias), to in self._store.links.items() if (of, to) == (scope, each))
                return StoredPayment(key=whole, known=self._store.payments[whole], links=tuple(links))
        return None

    async def payments(self, prefix: str, *, limit: int) -> Sequence[str]:
        await asyncio.sleep(0)
        keys = sorted(self._store.payments)
        return [key for key in keys if key.startswith(prefix) or key.split("/", 2)[-1].startswith(prefix)][:limit]

    async def quarantine(self) -> Sequence[QuarantineGroup]:
        await asyncio.sleep(0)
        groups: dict[tuple[str | None, ...], QuarantineGroup] = {}
        for delivery in reversed(self.all()):
            for item in delivery.items:
                if item.outcome == "quarantined":
                    name = (delivery.provider, delivery.account, item.event_type, item.reason, item.path)
                    groups[name] = _counted(groups.get(name), delivery, item)
        return sorted(groups.values(), key=lambda group: (-group.count, -group.last.timestamp()))

    async def rejections(self, limit: int) -> Sequence[Rejection]:
        return await self._journal.rejections(limit)

    async def quarantined_at(self, since: datetime) -> Sequence[datetime]:
        await asyncio.sleep(0)
        found = [
            each.received_at
            for each in self.all()
            for item in each.items
            if item.outcome == "quarantined" and each.received_at >= since
        ]
        return found[:10_000]

    async def secrets_used(self, since: datetime) -> Mapping[Scope, Mapping[int, int]]:
        await asyncio.sleep(0)
        found: dict[Scope, dict[int, int]] = {}
        for each in self.all():
            if each.via == "webhook" and each.secret is not None and each.received_at >= since:
                counts = found.setdefault((each.provider, each.account), {})
                counts[each.secret] = counts.get(each.secret, 0) + 1
        return found

    async def heard(self, account: Scope, since: datetime) -> Mapping[int, int]:
        await asyncio.sleep(0)
        first = int(since.timestamp()) // 3600
        found = sorted(self._store.heard.items())
        return {hour: minutes for (scope, hour), minutes in found if scope == account and hour >= first}

    async def jobs(self, *, limit: int, states: Collection[JobState] = EVERY) -> Sequence[Job]:
        await asyncio.sleep(0)
        found = [job for job in self._store.jobs.values() if job.state in states]
        return sorted(found, key=lambda job: (job.created_at, job.id), reverse=True)[:limit]

    async def job(self, job_id: str) -> Job | None:
        await asyncio.sleep(0)
        return self._store.jobs.get(job_id)

    async def change_groups(self, job_id: str) -> Sequence[ChangeGroup]:
        found = await self.changes(job_id, after="", limit=len(self._store.found))
        alike: dict[tuple[object, ...], list[Change]] = {}
        for each in found:
            alike.setdefault((each.kind, each.type, each.provider, each.account, each.paths), []).append(each)
        groups = [
            ChangeGroup(
                kind=first.kind,
                type=first.type,
                provider=first.provider,
                account=first.account,
                paths=first.paths,
                count=1 + len(others),
                example=first,
            )
            for first, *others in alike.values()
        ]
        return sorted(groups, key=lambda group: group.count, reverse=True)

    async def changes(self, job_id: str, *, after: str, limit: int) -> Sequence[Change]:
        await asyncio.sleep(0)
        found = sorted(
            (each for each in self._store.found.values() if each.job == job_id and each.event_id > after),
            key=lambda each: each.event_id,
        )
        return found[:limit]

    async def retained(self, before: datetime) -> Retained:
        await asyncio.sleep(0)
        store = self._store
        bodies = {row: kept.delivery.received_at for row, kept in store.deliveries.items() if store.has_body(row)}
        going = self._journal.old_bodies(before)
        return Retained(
            bodies=len(bodies),
            oldest=min(bodies.values(), default=None),
            records=len(store.outbox),
            old_bodies=len(going),
            old_records=len(self._journal.old_records(before, going)),
            held=sum(store.kept_since(row) < before for row in bodies) - len(going),
        )

    async def audit(self, *, after: int, limit: int) -> Sequence[Audited]:
        await asyncio.sleep(0)
        return self._store.audit[after : after + limit]

    async def close(self) -> None:
        """Nothing is held."""

    # ---

    def all(self) -> list[StoredDelivery]:
        """Newest first."""
        store = self._store
        items: dict[int, list[StoredItem]] = {row: [] for row in store.deliveries}
        for item in store.items:
            items[item.delivery].append(_item(item))
        return [
            StoredDelivery(
                row=row,
                id=kept.delivery.id,
                provider=kept.delivery.provider,
                account=kept.delivery.account,
                received_at=kept.delivery.received_at,
                attempts=store.attempts[row],
                via=kept.delivery.via.value,
                proof=kept.proof.value,
                secret=kept.secret,
                sha256=kept.sha256.hex(),
                size=None if row in store.emptied else len(kept.delivery.body),
                erased=row in store.erased_rows,
                items=tuple(items[row]),
            )
            for row, kept in sorted(store.deliveries.items(), reverse=True)
        ]

    def _is_named(self, delivery: StoredDelivery, text: str) -> bool:
        prefix = f"{delivery.provider}/{delivery.account}/"
        keys = {key for item in delivery.items for key in item.payments}
        aliases = {
            alias
            for (of, alias), to in self._store.links.items()
            if of == (delivery.provider, delivery.account) and prefix + to in keys
        }
        ids = {delivery.id, *keys, *(key.removeprefix(prefix) for key in keys), *aliases}
        ids |= {item.event_key for item in delivery.items if item.event_key is not None}
        return any(each.startswith(text) for each in ids)


def fits(delivery: StoredDelivery, sought: Sought) -> bool:
    came = came_at(delivery.id, delivery.via, delivery.received_at)
    if sought.since is not None and came < sought.since:
        return False
    if sought.until is not None and came >= sought.until:
        return False
    if sought.provider not in (None, delivery.provider) or sought.account not in (None, delivery.account):
        return False
    if sought.payment is not None and not any(sought.payment in item.payments for item in delivery.items):
        return False
    return any(
        all(
            wanted in (None, had)
            for wanted, had in (
                (sought.outcome, item.outcome),
                (sought.reason, item.reason),
                (sought.event_type, item.event_type),
            )
        )
        for item in delivery.items
    )


def _counted(old: QuarantineGroup | None, delivery: StoredDelivery, item: StoredItem) -> QuarantineGroup:
    if old is not None:
        return replace(old, count=old.count + 1, last=delivery.received_at, delivery=delivery.id)
    return QuarantineGroup(
        provider=delivery.provider,
        account=delivery.account,
        event_type=item.event_type,
        reason=item.reason,
        path=item.path,
        count=1,
        first=delivery.received_at,
        last=delivery.received_at,
        delivery=delivery.id,
    )


def _item(kept: KeptItem) -> StoredItem:
    return StoredItem(
        position=kept.item.position,
        event_key=kept.item.event_key,
        event_type=kept.item.event_type,
        occurred_at=kept.item.occurred_at,
        livemode=kept.item.livemode,
        result=kept.result.value,
        outcome=kept.outcome,
        reason=kept.reason,
        path=kept.path,
        detail=kept.detail,
        payments=kept.payment_keys,
    )
