"""What one commit changes: dedupe, lifecycle, outbox and lookups, decided without touching storage.

Every journal runs this same code. It reads through a `View` of what is stored, sees what was decided before in the same
commit, and leaves the changes as rows for the journal to write.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from paymux.canonical import QuarantineData
from paymux.delivery import Proof, Via
from paymux.errors import JournalError
from paymux.journal import Entry, LookupRow, OutboxRow, Receipt, Result, chained
from paymux.journal.audit import Audited
from paymux.journal.audit import chained as audit_chained
from paymux.journal.changes import KeptDelivery, KeptItem, Overlay, Seen
from paymux.journal.speech import Speech
from paymux.records import event_record, quarantine_record
from paymux.statement import OUTCOMES, Ignored, Item, Lookup, Quarantined, Stated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from paymux.delivery import Delivery, ObjectRef
    from paymux.journal.audit import Act
    from paymux.journal.changes import Counters, Filed, Rules, Scope, View
    from paymux.journal.jobs import Job
    from paymux.records import Again, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """How an item is heard: for which time, in which replay, what is left out because it is published, and what is
    filed of it, for which it stands from now on.
    """

    attempt: int = 1
    again: Again | None = None
    is_published: Callable[[str], bool] | None = None
    replaces: Filed | None = None

    @property
    def only_news(self) -> bool:
        """It spoke before: where it says nothing new, or cannot, it is left as it is filed, and in its place."""
        return self.replaces is not None and self.replaces.outcome == "events"

    def is_known(self, why: Quarantined) -> bool:
        """Whether that was told before."""
        old = self.replaces
        return old is not None and (old.outcome, old.reason, old.path) == ("quarantined", why.reason, why.path)


FIRST: Final = Hearing()


class Unit:
    """One commit in the making."""

    def __init__(self, view: View, counters: Counters, rules: Rules, now: datetime) -> None:
        """`counters` is counted on: give a copy, and keep it once the commit is done."""
        self.overlay = Overlay(view)
        self._counters = counters
        self.rules = rules
        self.now = now
        self.changes = self.overlay.changes

    def append(self, entry: Entry) -> tuple[Receipt, ...]:
        """Decide one delivery. One receipt for each item."""
        scope = (entry.account.provider.name, entry.account.name)
        self._note_time(scope, entry.verified.delivery)
        if self._only_repeats(scope, entry):
            return tuple(self._repeated(entry, item) for item in entry.items)
        sha256 = hashlib.sha256(entry.verified.delivery.body).digest()
        if self._is_reused(scope, entry.verified.once, sha256):
            return tuple(Receipt(result=Result.REFUSED, outcome="rejected") for _ in entry.items)
        seen = [self._seen(scope, item) for item in entry.items]
        if entry.items and all(
            old is not None and old.sha256 == sha256 and not _differs(old, item)
            for old, item in zip(seen, entry.items, strict=True)
        ):
            receipts = tuple(Receipt(result=Result.DUPLICATE, outcome=_word(item)) for item in entry.items)
        else:
            row = self._keep(entry, sha256)
            receipts = tuple(
                self._item(entry, item, row, sha256, old) for old, item in zip(seen, entry.items, strict=True)
            )
        self._count_attempts(entry, seen)
        if entry.answers is not None:
            self._answered(scope, entry)
        return receipts

    def give_up(self, lookup: LookupRow, *, reason: str, detail: str) -> None:
        """The API will not say: quarantine what asked, unless something asked again meanwhile."""
        scope = (lookup.provider, lookup.account)
        row = self.overlay.lookup(scope, lookup.ref)
        if row is None or row.id != lookup.id:
            return
        if row.asked > lookup.asked:
            self.changes.lookups[scope, lookup.ref] = replace(row, attempts=0, due_at=self.now)
            return
        self.changes.lookups[scope, lookup.ref] = None
        if row.proof is not Proof.HINT:
            delivery = self.overlay.row_of(row.delivery_id)
            self.changes.given_up.append((delivery, reason, detail))
            self.publish(
                row.delivery_id,
                quarantine_record(
                    QuarantineData(
                        provider=row.provider,
                        account=row.account,
                        livemode=None,
                        delivery_id=row.delivery_id,
                        item=None,
                        reason=reason,
                        path=None,
                        detail=detail,
                        event_key=row.event_key,
                        event_type=row.event_type,
                        received_at=row.received_at,
                    ),
                    topic=self.rules.topics.quarantine,
                    attempt=f"{row.ref.object} {row.ref.id} {row.asked}",
                ),
                delivery,
            )

    def postpone(self, lookup: LookupRow, until: datetime) -> None:
        scope = (lookup.provider, lookup.account)
        row = self.overlay.lookup(scope, lookup.ref)
        if row is not None and row.id == lookup.id:
            self.changes.lookups[scope, lookup.ref] = replace(row, attempts=row.attempts + 1, due_at=until)

    def audit(self, act: Act) -> None:
        """Part of the same commit as what it tells of."""
        counters = self._counters
        counters.acts += 1
        counters.acts_chain = audit_chained(counters.acts_chain, counters.acts, self.now, act)
        self.changes.audit.append(Audited(row=counters.acts, at=self.now, act=act, chain=counters.acts_chain))

    def job(self, job_id: str) -> Job | None:
        return self.overlay.job(job_id)

    def keep_job(self, job: Job) -> None:
        self.changes.jobs[job.id] = replace(job, updated_at=self.now)

    def expire(self, deliveries: Sequence[int], outbox: Sequence[tuple[int, int]]) -> None:
        """Both are old, and nothing needs them any more: the journal has seen to it."""
        self.changes.expired += deliveries
        self.changes.forgotten += outbox

    def erase(
        self, deliveries: Sequence[int], records: Mapping[tuple[int, int], Record], names: Sequence[str] = ()
    ) -> None:
        """Nothing of these deliveries' own words stays; `records` are what is kept of outbox rows that are published,
        by (shard, seq). Nobody asks for objects of these names any more; of what else a batch brought, all the same.
        """
        self.changes.erased += deliveries
        self.changes.erased_at = self.now
        self.changes.erased_names += names
        self.changes.reworded |= records

    def remember(self, job_id: str, keys: Iterable[str]) -> None:
        """What a job came across, to be known until it ends."""
        self.changes.listed += [(job_id, key) for key in keys]

    def forget(self, job_id: str) -> None:
        """The job ended, or begins anew."""
        self.changes.unlisted.append(job_id)

    def forget_found(self, job_id: str, before: str) -> None:
        """What it found, but for what deliveries from that id on put right."""
        self.changes.unfound[job_id] = before

    # --- deliveries and items

    def _note_time(self, scope: Scope, delivery: Delivery) -> None:
        """In which minute the provider was heard."""
        if delivery.via is Via.WEBHOOK:
            hour, minute = divmod(int(delivery.received_at.timestamp()) // 60, 60)
            self.changes.heard[scope, hour] = self.changes.heard.get((scope, hour), 0) | 1 << minute

    def _is_reused(self, scope: Scope, once: str | None, sha256: bytes) -> bool:
        """Whether a signature that binds its body weakly came with another one before. The links remember: a blank in
        its name keeps it apart from every id.
        """
        if once is None:
            return False
        body = sha256.hex()
        before = self.overlay.link(scope, once)
        if before is None:
            self.changes.links[scope, once] = body
        return before not in (None, body)

    def _seen(self, scope: Scope, item: Item) -> Seen | None:
        return None if item.event_key is None else self.overlay.seen(scope, item.event_key)

    def _keep(self, entry: Entry, sha256: bytes) -> int:
        self._counters.delivery += 1
        delivery = entry.verified.delivery
        secret_headers = [name for scheme, _ in entry.account.checks for name in scheme.secret_headers]
        self.changes.deliveries.append(
            KeptDelivery(
                row=self._counters.delivery,
                delivery=delivery.unproven()
                if entry.verified.proof is Proof.HINT
                else delivery.redacted(secret_headers),
                proof=entry.verified.proof,
                secret=entry.verified.secret,
                sha256=sha256,
            )
        )
        return self._counters.delivery

    def _count_attempts(self, entry: Entry, seen: list[Seen | None]) -> None:
        """The deliveries that came first under these keys came once more, whatever their bodies."""
        pairs = zip(seen, entry.items, strict=True)
        for row in {old.delivery for old, item in pairs if old is not None and not _differs(old, item)}:
            self.changes.attempts[row] = self.changes.attempts.get(row, 0) + 1

    def _item(self, entry: Entry, item: Item, row: int, sha256: bytes, old: Seen | None) -> Receipt:
        scope = (entry.account.provider.name, entry.account.name)
        if item.event_key is not None:  # an item before it in the same delivery may have had its key
            old = self.changes.seen.get((scope, item.event_key), old)
        if old is None:
            return self._new(entry, item, row, sha256)
        if _differs(old, item):
            return self._conflict(entry, item, row, sha256)
        self.keep_item(entry, item, row, dedupe_key=None, result=Result.DUPLICATE)
        return Receipt(result=Result.DUPLICATE, outcome=_word(item))

    def _new(self, entry: Entry, item: Item, row: int, sha256: bytes) -> Receipt:
        scope = (entry.account.provider.name, entry.account.name)
        if item.event_key is not None:
            self.changes.seen[scope, item.event_key] = Seen(delivery=row, fingerprint=item.fingerprint, sha256=sha256)
        match item.outcome:
            case Stated():
                return self.stated(entry, item, row, item.outcome)
            case Lookup():
                self.ask(entry, item, item.outcome)
            case Quarantined():
                return self.quarantine(entry, item, row, item.outcome)
            case Ignored():
                pass
        self.keep_item(entry, item, row, dedupe_key=item.event_key)
        return Receipt(result=Result.NEW, outcome=_word(item))

    def _conflict(self, entry: Entry, item: Item, row: int, sha256: bytes) -> Receipt:
        """Kept and quarantined, once for each way to differ."""
        scope = (entry.account.provider.name, entry.account.name)
        key = f"{item.event_key}\n{hashlib.sha256(item.fingerprint.encode()).hexdigest()}"
        why = Quarantined(reason="conflict", detail="the same event key came before with another content")
        if self.overlay.seen(scope, key) is not None:
            self.keep_item(entry, item, row, dedupe_key=None, result=Result.CONFLICT, why=why)
            return Receipt(result=Result.CONFLICT, outcome="quarantined", reason="conflict")
        self.changes.seen[scope, key] = Seen(delivery=row, fingerprint=item.fingerprint, sha256=sha256)
        return self.quarantine(entry, item, row, why, dedupe_key=key, result=Result.CONFLICT)

    def stated(self, entry: Entry, item: Item, row: int, stated: Stated, hearing: Hearing = FIRST) -> Receipt:
        """Publish what an item states, under what is known by now."""
        said = Speech(overlay=Overlay(self.overlay), is_published=hearing.is_published or self.overlay.is_taken)
        try:
            said.say(entry, item, stated.statements)
            records = self.records(said, hearing.again)
        except JournalError:  # it could not be read: no fault of the delivery
            raise
        except Exception as error:  # noqa: BLE001  # P6: an error of ours keeps the delivery and says so
            why = Quarantined(reason="internal_error", detail=type(error).__name__)
            return self.quarantine(entry, item, row, why, hearing=hearing)
        if hearing.only_news and not records:
            return Receipt(result=Result.DUPLICATE, outcome="events")
        if too_large := self.too_large(records):
            return self.quarantine(entry, item, row, too_large, hearing=hearing)
        self.changes.update(said.overlay.changes)
        for key, record in records:
            self.publish(key, record, row)
        keys = tuple(said.overlay.changes.known)
        self.keep_item(entry, item, row, dedupe_key=item.event_key, payment_keys=keys, hearing=hearing)
        return Receipt(
            result=Result.NEW,
            outcome="events",
            event_ids=tuple(record.event_id for _, record in records),
            unexpected=said.unexpected,
        )

    def records(self, said: Speech, again: Again | None = None) -> list[tuple[str, Record]]:
        """What was said, each with its key, in order."""
        topic = self.rules.topics.events
        return [
            (
                told.key,
                event_record(
                    told.spoken,
                    told.announcement,
                    topic=topic,
                    key=told.key,
                    payment_id=told.payment_id,
                    again=again,
                ),
            )
            for told in said.told
        ]

    def too_large(self, records: Sequence[tuple[str, Record]]) -> Quarantined | None:
        if all(record.size <= self.rules.max_record for _, record in records):
            return None
        return Quarantined(reason="too_large", detail=f"a record would be larger than {self.rules.max_record} bytes")

    def quarantine(
        self,
        entry: Entry,
        item: Item,
        row: int,
        why: Quarantined,
        *,
        dedupe_key: str | None = None,
        result: Result = Result.NEW,
        hearing: Hearing = FIRST,
    ) -> Receipt:
        """Publish why an item cannot be translated, unless that was, or it spoke before: then it stays what it is."""
        if hearing.only_news or hearing.is_known(why):
            return Receipt(result=Result.DUPLICATE, outcome="quarantined", reason=why.reason)
        delivery = entry.verified.delivery
        record = quarantine_record(
            QuarantineData(
                provider=entry.account.provider.name,
                account=entry.account.name,
                livemode=item.livemode,
                delivery_id=delivery.id,
                item=item.position,
                reason=why.reason,
                path=why.path,
                detail=why.detail,
                event_key=item.event_key,
                event_type=item.event_type,
                received_at=delivery.received_at,
            ),
            topic=self.rules.topics.quarantine,
            attempt=hearing.attempt,
        )
        self.publish(delivery.id, record, row)
        key = dedupe_key or item.event_key
        self.keep_item(entry, item, row, dedupe_key=key, result=result, why=why, hearing=hearing)
        return Receipt(result=result, outcome="quarantined", reason=why.reason, event_ids=(record.event_id,))

    def keep_item(
        self,
        entry: Entry,
        item: Item,
        row: int,
        *,
        dedupe_key: str | None,
        result: Result = Result.NEW,
        why: Quarantined | None = None,
        payment_keys: tuple[str, ...] = (),
        hearing: Hearing = FIRST,
    ) -> None:
        if hearing.replaces is not None:
            self.changes.refiled.append(hearing.replaces.row)
        self.changes.items.append(
            KeptItem(
                delivery=row,
                item=item,
                scope=(entry.account.provider.name, entry.account.name),
                dedupe_key=dedupe_key,
                result=result,
                outcome="quarantined" if why else _word(item),
                reason=why.reason if why else None,
                path=why.path if why else None,
                detail=why.detail if why else None,
                payment_keys=payment_keys,
                attempt=hearing.attempt,
                place=hearing.replaces.row if hearing.replaces and hearing.only_news else None,
            )
        )

    def publish(self, key: str, record: Record, delivery: int | None = None) -> None:
        shard = shard_of(key, self.rules.shards)
        seq = self._counters.outbox.get(shard, 0) + 1
        chain = chained(self._counters.chains.get(shard, ""), record.event_id)
        self._counters.outbox[shard], self._counters.chains[shard] = seq, chain
        self.overlay.published.add(record.event_id)
        self.changes.outbox.append(
            OutboxRow(shard=shard, seq=seq, record=record, created_at=self.now, chain=chain, delivery=delivery)
        )

    # --- lookups

    def _only_repeats(self, scope: Scope, entry: Entry) -> bool:
        """A hint about objects that wait to be asked for anyway: a row for each would let a stranger fill the disk."""
        if entry.verified.proof is not Proof.HINT or not entry.items:
            return False
        return all(
            isinstance(item.outcome, Lookup)
            and all(self.overlay.lookup(scope, ref) is not None for ref in item.outcome.objects)
            for item in entry.items
        )

    def _repeated(self, entry: Entry, item: Item) -> Receipt:
        if isinstance(item.outcome, Lookup):
            self.ask(entry, item, item.outcome)
        return Receipt(result=Result.DUPLICATE, outcome="lookup")

    def ask(self, entry: Entry, item: Item, lookup: Lookup) -> None:
        """One row for each object however many deliveries ask; a later one makes it due, unless it backs off."""
        scope = (entry.account.provider.name, entry.account.name)
        for ref in lookup.objects:
            old = self.overlay.lookup(scope, ref)
            new = self._asked(entry, item, lookup, ref) if old is None else _asked_again(old, entry, item, lookup)
            self.changes.lookups[scope, ref] = new if new.attempts else replace(new, due_at=self.now)

    def _asked(self, entry: Entry, item: Item, lookup: Lookup, ref: ObjectRef) -> LookupRow:
        self._counters.lookup += 1
        delivery = entry.verified.delivery
        return LookupRow(
            id=self._counters.lookup,
            provider=entry.account.provider.name,
            account=entry.account.name,
            ref=ref,
            settles=lookup.settles,
            occurred_at=item.occurred_at,
            asked=1,
            attempts=0,
            due_at=self.now,
            delivery_id=delivery.id,
            event_key=item.event_key,
            event_type=item.event_type,
            received_at=delivery.received_at,
            proof=entry.verified.proof,
        )

    def _answered(self, scope: Scope, entry: Entry) -> None:
        asked = entry.verified.delivery.asked
        row = self.overlay.lookup(scope, asked.ref) if asked else None
        if asked is None or row is None or row.id != entry.answers:
            return
        if row.asked > entry.asked:
            self.changes.lookups[scope, asked.ref] = replace(row, attempts=0, rounds=0, due_at=self.now)
        elif entry.again_at is not None:
            self.changes.lookups[scope, asked.ref] = replace(
                row, attempts=0, rounds=row.rounds + 1, due_at=entry.again_at
            )
        else:
            self.changes.lookups[scope, asked.ref] = None


def shard_of(key: str, shards: int) -> int:
    """Which shard numbers the records of a key."""
    if shards == 1:
        return 0
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % shards


def _differs(old: Seen, item: Item) -> bool:
    """Line by line, and only where both have one: an item that a newer mapping understands is no conflict."""
    lines = zip(old.fingerprint.split("\n"), item.fingerprint.split("\n"), strict=False)
    return any(before and now and before != now for before, now in lines)


def _asked_again(old: LookupRow, entry: Entry, item: Item, lookup: Lookup) -> LookupRow:
    """One more asker, by whom the row is known from now on, unless that is a hint: it leaves nothing else."""
    times = [at for at in (item.occurred_at, old.occurred_at) if at is not None]
    row = replace(
        old,
        settles=lookup.settles or old.settles,
        occurred_at=max(times, default=None),
        asked=old.asked + 1,
        rounds=0,
    )
    if entry.verified.proof is Proof.HINT:
        return row
    delivery = entry.verified.delivery
    return replace(
        row,
        delivery_id=delivery.id,
        event_key=item.event_key,
        event_type=item.event_type,
        received_at=delivery.received_at,
        proof=entry.verified.proof,
    )


def _word(item: Item) -> str:
    return OUTCOMES[type(item.outcome)]
