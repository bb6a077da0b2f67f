"""What one commit changes: dedupe, lifecycle, outbox and lookups, decided without touching storage.

Every journal runs this same code. It reads through a `View` of what is stored, keeps what it wrote before in the same
commit, and leaves the changes as rows for the journal to write.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from paymux import lifecycle
from paymux.canonical import Entity, QuarantineData, Transition
from paymux.delivery import Proof
from paymux.journal import Entry, LookupRow, OutboxRow, Receipt, Result
from paymux.lifecycle import Heard, Known
from paymux.records import Spoken, entity_key, event_record, is_snapshot, quarantine_record
from paymux.statement import Ignored, Item, Lookup, Quarantined, Stated

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from paymux.canonical import State
    from paymux.delivery import Delivery, ObjectRef
    from paymux.records import Record, Topics
    from paymux.statement import Statement

Scope = tuple[str, str]  # provider, account

INTERNAL_ERROR: Final = "internal_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is stored under an event key: in which delivery, how its item read, and that delivery's body digest."""

    delivery: int
    fingerprint: str
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDelivery:
    """A delivery as it is stored: redacted, under a row number in order of arrival."""

    row: int
    delivery: Delivery
    proof: Proof
    secret: int | None
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptItem:
    """One item as it is stored. `dedupe_key` is unique for each account; None for a duplicate and for an item
    without event key.
    """

    delivery: int
    item: Item
    scope: Scope
    dedupe_key: str | None
    result: Result
    outcome: str
    reason: str | None = None
    path: str | None = None
    detail: str | None = None
    payment_keys: tuple[str, ...] = ()


class View(Protocol):
    """What is stored, as of the last commit."""

    def seen(self, scope: Scope, dedupe_key: str) -> Seen | None: ...

    def known(self, key: str) -> Known | None: ...

    def link(self, scope: Scope, alias: str) -> str | None:
        """The payment id that an alias stands for."""
        ...

    def orphans(self, scope: Scope, alias: str) -> Iterable[str]:
        """Keys of entities that named their payment by this alias before it was known."""
        ...

    def lookup(self, scope: Scope, ref: ObjectRef) -> LookupRow | None: ...


@dataclass(slots=True, kw_only=True)
class Counters:
    """The last numbers given away; the outbox counts for each shard."""

    delivery: int = 0
    lookup: int = 0
    outbox: dict[int, int] = field(default_factory=dict)

    def copy(self) -> Counters:
        return Counters(delivery=self.delivery, lookup=self.lookup, outbox=dict(self.outbox))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`max_record` is the largest record in bytes; a broker's `max.message.bytes` must admit it."""

    topics: Topics
    shards: int = 1
    max_record: int = 900_000


@dataclass(slots=True, kw_only=True)
class Changes:
    """What is to be written. A lookup of None is to be deleted."""

    deliveries: list[KeptDelivery] = field(default_factory=list)
    items: list[KeptItem] = field(default_factory=list)
    attempts: dict[int, int] = field(default_factory=dict)
    seen: dict[tuple[Scope, str], Seen] = field(default_factory=dict)
    known: dict[str, Known] = field(default_factory=dict)
    links: dict[tuple[Scope, str], str] = field(default_factory=dict)
    orphans: dict[tuple[Scope, str], list[str]] = field(default_factory=dict)
    lookups: dict[tuple[Scope, ObjectRef], LookupRow | None] = field(default_factory=dict)
    given_up: list[tuple[str, str, str]] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Under which key a statement is announced, and what that key knew and knows."""

    key: str
    before: Known
    after: Known
    payment_id: str | None


@dataclass(slots=True, kw_only=True)
class _Draft:
    """What one item would change; thrown away if the item turns out too large or breaks."""

    known: dict[str, Known] = field(default_factory=dict)
    links: dict[tuple[Scope, str], str] = field(default_factory=dict)
    orphans: dict[tuple[Scope, str], list[str]] = field(default_factory=dict)
    records: list[tuple[str, Record]] = field(default_factory=list)
    unexpected: int = 0


class Unit:
    """One commit in the making."""

    def __init__(self, view: View, counters: Counters, rules: Rules, now: datetime) -> None:
        """`counters` is counted on: give a copy, and keep it once the commit is done."""
        self._view = view
        self._counters = counters
        self._rules = rules
        self._now = now
        self.changes = Changes()

    def append(self, entry: Entry) -> tuple[Receipt, ...]:
        """Decide one delivery. One receipt for each item."""
        scope = (entry.account.provider.name, entry.account.name)
        delivery = entry.verified.delivery
        sha256 = hashlib.sha256(delivery.body).digest()
        seen = [self._seen(scope, item) for item in entry.items]
        if entry.items and all(
            old is not None and old.sha256 == sha256 and not _differs(old, item)
            for old, item in zip(seen, entry.items, strict=True)
        ):
            receipts = tuple(self._again(item, old) for item, old in zip(entry.items, seen, strict=True))
        else:
            row = self._keep(entry, sha256)
            receipts = tuple(self._item(entry, item, row, sha256) for item in entry.items)
        if entry.answers is not None:
            self._answered(scope, entry)
        return receipts

    def give_up(self, lookup: LookupRow, *, reason: str, detail: str) -> None:
        """The API will not say: quarantine what asked, unless something asked again meanwhile."""
        scope = (lookup.provider, lookup.account)
        row = self._lookup(scope, lookup.ref)
        if row is None or row.id != lookup.id:
            return
        if row.asked > lookup.asked:
            self.changes.lookups[scope, lookup.ref] = replace(row, attempts=0, due_at=self._now)
            return
        self.changes.lookups[scope, lookup.ref] = None
        if row.proof is not Proof.HINT:
            self.changes.given_up.append((row.delivery_id, reason, detail))
            self._publish(
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
                    topic=self._rules.topics.quarantine,
                    attempt=row.asked,
                ),
            )

    def postpone(self, lookup: LookupRow, until: datetime) -> None:
        scope = (lookup.provider, lookup.account)
        row = self._lookup(scope, lookup.ref)
        if row is not None and row.id == lookup.id:
            self.changes.lookups[scope, lookup.ref] = replace(row, attempts=row.attempts + 1, due_at=until)

    # --- reading through

    def _seen(self, scope: Scope, item: Item) -> Seen | None:
        return None if item.event_key is None else self._seen_key(scope, item.event_key)

    def _seen_key(self, scope: Scope, key: str) -> Seen | None:
        return self.changes.seen.get((scope, key)) or self._view.seen(scope, key)

    def _known(self, draft: _Draft, key: str) -> Known | None:
        return draft.known.get(key) or self.changes.known.get(key) or self._view.known(key)

    def _link(self, draft: _Draft, scope: Scope, alias: str) -> str | None:
        name = (scope, alias)
        return draft.links.get(name) or self.changes.links.get(name) or self._view.link(scope, alias)

    def _orphans(self, draft: _Draft, scope: Scope, alias: str) -> list[str]:
        name = (scope, alias)
        fresh = self.changes.orphans.get(name, []) + draft.orphans.get(name, [])
        return [*self._view.orphans(scope, alias), *fresh]

    def _lookup(self, scope: Scope, ref: ObjectRef) -> LookupRow | None:
        if (scope, ref) in self.changes.lookups:
            return self.changes.lookups[scope, ref]
        return self._view.lookup(scope, ref)

    # --- deliveries and items

    def _keep(self, entry: Entry, sha256: bytes) -> int:
        self._counters.delivery += 1
        secret_headers = [name for scheme, _ in entry.account.checks for name in scheme.secret_headers]
        self.changes.deliveries.append(
            KeptDelivery(
                row=self._counters.delivery,
                delivery=entry.verified.delivery.redacted(secret_headers),
                proof=entry.verified.proof,
                secret=entry.verified.secret,
                sha256=sha256,
            )
        )
        return self._counters.delivery

    def _again(self, item: Item, old: Seen | None) -> Receipt:
        """The same bytes under the same keys: counted, nothing else."""
        if old is not None and not item.position:
            self.changes.attempts[old.delivery] = self.changes.attempts.get(old.delivery, 0) + 1
        return Receipt(result=Result.DUPLICATE, outcome=_word(item))

    def _item(self, entry: Entry, item: Item, row: int, sha256: bytes) -> Receipt:
        scope = (entry.account.provider.name, entry.account.name)
        old = self._seen(scope, item)
        if old is None:
            return self._new(entry, item, row, sha256)
        if _differs(old, item):
            return self._conflict(entry, item, row, sha256)
        self._keep_item(entry, item, row, dedupe_key=None, result=Result.DUPLICATE)
        return Receipt(result=Result.DUPLICATE, outcome=_word(item))

    def _new(self, entry: Entry, item: Item, row: int, sha256: bytes) -> Receipt:
        scope = (entry.account.provider.name, entry.account.name)
        if item.event_key is not None:
            self.changes.seen[scope, item.event_key] = Seen(delivery=row, fingerprint=item.fingerprint, sha256=sha256)
        match item.outcome:
            case Stated():
                return self._stated(entry, item, row)
            case Lookup():
                self._ask(entry, item, item.outcome)
            case Quarantined():
                return self._quarantine(entry, item, row, item.outcome)
            case Ignored():
                pass
        self._keep_item(entry, item, row, dedupe_key=item.event_key, result=Result.NEW)
        return Receipt(result=Result.NEW, outcome=_word(item))

    def _conflict(self, entry: Entry, item: Item, row: int, sha256: bytes) -> Receipt:
        """Kept and quarantined, once for each way to differ."""
        scope = (entry.account.provider.name, entry.account.name)
        key = f"{item.event_key}\n{hashlib.sha256(item.fingerprint.encode()).hexdigest()}"
        if self._seen_key(scope, key) is not None:
            self._keep_item(entry, item, row, dedupe_key=None, result=Result.CONFLICT)
            return Receipt(result=Result.CONFLICT, outcome="quarantined", reason="conflict")
        self.changes.seen[scope, key] = Seen(delivery=row, fingerprint=item.fingerprint, sha256=sha256)
        why = Quarantined(reason="conflict", detail="the same event key came before with another content")
        return self._quarantine(entry, item, row, why, dedupe_key=key, result=Result.CONFLICT)

    def _stated(self, entry: Entry, item: Item, row: int) -> Receipt:
        draft = _Draft()
        try:
            self._speak(entry, item, draft)
        except Exception as error:  # noqa: BLE001  # P6: an error of ours keeps the delivery and says so
            why = Quarantined(reason=INTERNAL_ERROR, detail=type(error).__name__)
            return self._quarantine(entry, item, row, why)
        if any(record.size > self._rules.max_record for _, record in draft.records):
            detail = f"a record would be larger than {self._rules.max_record} bytes"
            return self._quarantine(entry, item, row, Quarantined(reason="too_large", detail=detail))
        self._accept(draft)
        keys = tuple(dict.fromkeys(key for key, _ in draft.records)) or tuple(draft.known)
        self._keep_item(entry, item, row, dedupe_key=item.event_key, result=Result.NEW, payment_keys=keys)
        return Receipt(
            result=Result.NEW,
            outcome="events",
            event_ids=tuple(record.event_id for _, record in draft.records),
            unexpected=draft.unexpected,
        )

    def _accept(self, draft: _Draft) -> None:
        self.changes.known.update(draft.known)
        self.changes.links.update(draft.links)
        for name, keys in draft.orphans.items():
            self.changes.orphans.setdefault(name, []).extend(keys)
        for key, record in draft.records:
            self._publish(key, record)

    def _quarantine(
        self,
        entry: Entry,
        item: Item,
        row: int,
        why: Quarantined,
        *,
        dedupe_key: str | None = None,
        result: Result = Result.NEW,
    ) -> Receipt:
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
            topic=self._rules.topics.quarantine,
        )
        self._publish(delivery.id, record)
        self._keep_item(
            entry,
            item,
            row,
            dedupe_key=dedupe_key or item.event_key,
            result=result,
            why=why,
        )
        return Receipt(result=result, outcome="quarantined", reason=why.reason, event_ids=(record.event_id,))

    def _keep_item(
        self,
        entry: Entry,
        item: Item,
        row: int,
        *,
        dedupe_key: str | None,
        result: Result,
        why: Quarantined | None = None,
        payment_keys: tuple[str, ...] = (),
    ) -> None:
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
            )
        )

    def _publish(self, key: str, record: Record) -> None:
        shard = shard_of(key, self._rules.shards)
        seq = self._counters.outbox.get(shard, 0) + 1
        self._counters.outbox[shard] = seq
        self.changes.outbox.append(OutboxRow(shard=shard, seq=seq, record=record, created_at=self._now))

    # --- lifecycle

    def _speak(self, entry: Entry, item: Item, draft: _Draft) -> None:
        if not isinstance(item.outcome, Stated):  # Defensive: the caller matched it.
            raise TypeError(_word(item))
        for statement in item.outcome.statements:
            spoken = Spoken(
                account=entry.account,
                verified=entry.verified,
                item=item,
                statement=statement,
                event_key=item.event_key or entry.verified.delivery.id,
            )
            heard = Heard(
                transitions=entry.account.provider.transitions,
                event_key=spoken.event_key,
                snapshot=is_snapshot(entry.verified),
            )
            _VOICES[statement.block.entity](self, spoken, heard, draft)

    def _payment(self, spoken: Spoken, heard: Heard, draft: _Draft) -> None:
        """A payment speaks under its own key, and its aliases become links."""
        payment_id = spoken.statement.block.id
        key = entity_key(spoken.account, payment_id)
        before = self._known(draft, key) or Known()
        after = lifecycle.join(before, spoken.statement, heard)
        for alias in spoken.statement.aliases:
            after = self._adopt(spoken, alias, payment_id, after, draft)
        self._announce(
            spoken,
            heard,
            draft,
            _Place(key=key, before=before, after=after, payment_id=payment_id),
            lifecycle.state_of(after, payment_id),
        )

    def _adopt(self, spoken: Spoken, alias: str, payment_id: str, known: Known, draft: _Draft) -> Known:
        """Keep a link the first time it is heard of, and take in what named the payment by it before."""
        scope = (spoken.account.provider.name, spoken.account.name)
        if alias == payment_id or self._link(draft, scope, alias) is not None:
            return known
        draft.links[scope, alias] = payment_id
        for key in self._orphans(draft, scope, alias):
            orphan = self._known(draft, key)
            if orphan is not None:
                known = replace(known, standings={**orphan.standings, **known.standings})
        return known

    def _belonging(self, spoken: Spoken, heard: Heard, draft: _Draft) -> None:
        """A refund or dispute speaks under its payment's key, unless it was first published under its own."""
        statement, account = spoken.statement, spoken.account
        scope = (account.provider.name, account.name)
        alias = statement.payment_alias
        payment_id = statement.payment_id or (self._link(draft, scope, alias) if alias else None)
        own_key = entity_key(account, statement.block.id)
        own = self._known(draft, own_key)
        if payment_id is None:
            if own is None and alias is not None:
                draft.orphans.setdefault((scope, alias), []).append(own_key)
            self._announce(spoken, heard, draft, _place(own_key, own, statement, heard, None), None)
            return
        key = entity_key(account, payment_id)
        payment = _place(key, self._known(draft, key), statement, heard, payment_id)
        state = lifecycle.state_of(payment.after, payment_id)
        if own is None:
            self._announce(spoken, heard, draft, payment, state)
            return
        draft.known[key] = payment.after
        self._announce(spoken, heard, draft, _place(own_key, own, statement, heard, payment_id), state)

    def _payout(self, spoken: Spoken, heard: Heard, draft: _Draft) -> None:
        key = entity_key(spoken.account, spoken.statement.block.id)
        known = self._known(draft, key)
        self._announce(spoken, heard, draft, _place(key, known, spoken.statement, heard, None), None)

    def _announce(
        self,
        spoken: Spoken,
        heard: Heard,
        draft: _Draft,
        place: _Place,
        state: State | None,
    ) -> None:
        known, announcements = lifecycle.announce(place.before, place.after, spoken.statement, heard, state=state)
        draft.known[place.key] = known
        for announcement in announcements:
            record = event_record(
                spoken,
                announcement,
                topic=self._rules.topics.events,
                key=place.key,
                payment_id=place.payment_id,
            )
            draft.records.append((place.key, record))
            draft.unexpected += announcement.lifecycle.transition is Transition.UNEXPECTED

    # --- lookups

    def _ask(self, entry: Entry, item: Item, lookup: Lookup) -> None:
        """One row for each object however many deliveries ask; a later one makes it due, unless it backs off."""
        scope = (entry.account.provider.name, entry.account.name)
        delivery = entry.verified.delivery
        for ref in lookup.objects:
            old = self._lookup(scope, ref)
            if old is None:
                self._counters.lookup += 1
            newest = max((at for at in (item.occurred_at, old and old.occurred_at) if at), default=None)
            self.changes.lookups[scope, ref] = LookupRow(
                id=old.id if old else self._counters.lookup,
                provider=scope[0],
                account=scope[1],
                ref=ref,
                settles=lookup.settles or (old.settles if old else False),
                occurred_at=newest,
                asked=(old.asked if old else 0) + 1,
                attempts=old.attempts if old else 0,
                due_at=old.due_at if old and old.attempts else self._now,
                delivery_id=delivery.id,
                event_key=item.event_key,
                event_type=item.event_type,
                received_at=delivery.received_at,
                proof=_stronger(entry.verified.proof, old),
            )

    def _answered(self, scope: Scope, entry: Entry) -> None:
        asked = entry.verified.delivery.asked
        row = self._lookup(scope, asked.ref) if asked else None
        if asked is None or row is None or row.id != entry.answers:
            return
        if row.asked > entry.asked:
            self.changes.lookups[scope, asked.ref] = replace(row, attempts=0, rounds=0, due_at=self._now)
        elif entry.again_at is not None:
            self.changes.lookups[scope, asked.ref] = replace(
                row, attempts=0, rounds=row.rounds + 1, due_at=entry.again_at
            )
        else:
            self.changes.lookups[scope, asked.ref] = None


_VOICES: Final = {
    Entity.PAYMENT: Unit._payment,  # noqa: SLF001
    Entity.REFUND: Unit._belonging,  # noqa: SLF001
    Entity.DISPUTE: Unit._belonging,  # noqa: SLF001
    Entity.PAYOUT: Unit._payout,  # noqa: SLF001
}


def shard_of(key: str, shards: int) -> int:
    """Which shard numbers the records of a key."""
    if shards == 1:
        return 0
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % shards


def _place(key: str, known: Known | None, statement: Statement, heard: Heard, payment_id: str | None) -> _Place:
    before = known or Known()
    return _Place(key=key, before=before, after=lifecycle.join(before, statement, heard), payment_id=payment_id)


def _differs(old: Seen, item: Item) -> bool:
    """Only where both were understood: an item that a newer mapping understands is no conflict."""
    return bool(old.fingerprint and item.fingerprint) and old.fingerprint != item.fingerprint


def _stronger(proof: Proof, old: LookupRow | None) -> Proof:
    """A hint does not take the proof away from a delivery that asked for the same object."""
    return old.proof if old and proof is Proof.HINT else proof


_WORDS: Final = {Stated: "events", Lookup: "lookup", Ignored: "ignored", Quarantined: "quarantined"}


def _word(item: Item) -> str:
    return _WORDS[type(item.outcome)]
