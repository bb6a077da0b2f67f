"""A statement meets what is known: under which key it is announced, and as which events."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from paymux import lifecycle
from paymux.canonical import Entity, Transition
from paymux.journal.changes import Needs, Overlay
from paymux.lifecycle import Heard, Known
from paymux.records import Spoken, entity_key, event_id, is_snapshot
from paymux.statement import Stated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from paymux.canonical import State
    from paymux.journal import Entry
    from paymux.journal.changes import Scope
    from paymux.lifecycle import Announcement, Reading, Standing
    from paymux.provider import Account
    from paymux.statement import Item, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event to publish under a key."""

    key: str
    spoken: Spoken
    announcement: Announcement
    payment_id: str | None


@dataclass(slots=True, kw_only=True)
class Speech:
    """What one item would change and publish; thrown away if it turns out too large or breaks.

    `told` are its events, in order. Those that `is_published` says are out already are left out, and take no number.
    """

    overlay: Overlay
    is_published: Callable[[str], bool] | None = None
    told: list[Told] = field(default_factory=list)
    unexpected: int = 0

    def say(self, entry: Entry, item: Item, statements: tuple[Statement, ...]) -> None:
        """All statements of an item, in order."""
        event_key = item.event_key or entry.verified.delivery.id
        heard = Heard(
            transitions=entry.account.provider.transitions,
            event_key=event_key,
            snapshot=is_snapshot(entry.verified),
        )
        for statement in statements:
            spoken = Spoken(
                account=entry.account,
                verified=entry.verified,
                item=item,
                statement=statement,
                event_key=event_key,
            )
            match statement.block.entity:
                case Entity.PAYMENT:
                    self._payment(spoken, heard)
                case Entity.PAYOUT:
                    self._alone(spoken, heard)
                case _:
                    self._belonging(spoken, heard)

    def _payment(self, spoken: Spoken, heard: Heard) -> None:
        """A payment speaks under its own key, and its aliases become links."""
        payment_id = spoken.statement.block.id
        before = self._known(spoken, payment_id)
        reading = self._read(before, spoken, heard)
        after = lifecycle.join(before, spoken.statement, reading, announced=len(reading.events))
        after = self._adopt(spoken, payment_id, after)
        self._keep(spoken, payment_id, after)
        told = lifecycle.announcements(before, reading, lifecycle.state_of(after, payment_id))
        self._publish(spoken, payment_id, told, payment_id)

    def _adopt(self, spoken: Spoken, payment_id: str, known: Known) -> Known:
        """Keep each link the first time it is heard of, and take in what named the payment by it before."""
        scope = _scope(spoken)
        for alias in spoken.statement.aliases:
            if self.overlay.link(scope, alias) is not None:
                continue
            self.overlay.changes.links[scope, alias] = payment_id
            for key in self.overlay.orphans(scope, alias):
                orphan = self.overlay.known(key)
                known = _with_orphan(known, orphan) if orphan is not None else known
        return known

    def _belonging(self, spoken: Spoken, heard: Heard) -> None:
        """A refund or dispute speaks under its payment's key, unless it was first published under its own."""
        statement, scope = spoken.statement, _scope(spoken)
        alias = statement.payment_alias
        payment_id = statement.payment_id or (self.overlay.link(scope, alias) if alias else None)
        own_key = entity_key(spoken.account, statement.block.id)
        # Where the provider calls both alike (Adyen's dispute without a reference), there is but one key.
        own = None if statement.block.id == payment_id else self._own(statement, own_key)
        if payment_id is None:
            if alias is not None and own_key not in self.overlay.orphans(scope, alias):
                self.overlay.changes.orphans.setdefault((scope, alias), []).append(own_key)
            self._alone(spoken, heard)
            return
        if own is not None:
            self._keep(spoken, payment_id, _with_orphan(self._known(spoken, payment_id), own))
        state = self._join_payment(spoken, heard, payment_id, announces=own is None)
        if own is not None:
            self._alone(spoken, heard, payment_id, state)

    def _own(self, statement: Statement, own_key: str) -> Known | None:
        """What is known of the entity under its own key; what merely has the same id as it is something else."""
        found = self.overlay.known(own_key)
        return found if found is not None and lifecycle.standing_name(statement.block) in found.standings else None

    def _join_payment(self, spoken: Spoken, heard: Heard, payment_id: str, *, announces: bool) -> State | None:
        """What it says counts for its payment, and is published under the payment's key if it announces there."""
        before = self._known(spoken, payment_id)
        reading = self._read(before, spoken, heard)
        announced = len(reading.events) if announces else 0
        after = lifecycle.join(before, spoken.statement, reading, announced=announced)
        after = self._adopt(spoken, payment_id, after)
        self._keep(spoken, payment_id, after)
        state = lifecycle.state_of(after, payment_id)
        if announces:
            told = lifecycle.announcements(before, reading, state)
            self._publish(spoken, payment_id, told, payment_id)
        return state

    def _alone(self, spoken: Spoken, heard: Heard, payment_id: str | None = None, state: State | None = None) -> None:
        """Under the entity's own key."""
        own_id = spoken.statement.block.id
        before = self._known(spoken, own_id)
        reading = self._read(before, spoken, heard)
        self._keep(spoken, own_id, lifecycle.join(before, spoken.statement, reading, announced=len(reading.events)))
        self._publish(spoken, own_id, lifecycle.announcements(before, reading, state), payment_id)

    def _read(self, before: Known, spoken: Spoken, heard: Heard) -> Reading:
        reading = lifecycle.read(before, spoken.statement, heard)
        if self.is_published is None:
            return reading
        # What this event said of the entity before it need not say again, nor that something was said.
        slots = lifecycle.slots(spoken.statement) if lifecycle.is_update(spoken.statement, reading) else ()
        said = any(self._is_said(spoken, slot) for slot in slots)
        events = () if said else (each for each in reading.events if not self._is_said(spoken, each[0]))
        return replace(reading, events=tuple(events))

    def _is_said(self, spoken: Spoken, slot: str) -> bool:
        identity = event_id(spoken.account, spoken.event_key, spoken.statement, slot)
        return self.is_published is not None and self.is_published(identity)

    def _known(self, spoken: Spoken, entity_id: str) -> Known:
        return self.overlay.known(entity_key(spoken.account, entity_id)) or Known()

    def _keep(self, spoken: Spoken, entity_id: str, known: Known) -> None:
        self.overlay.changes.known[entity_key(spoken.account, entity_id)] = known

    def _publish(self, spoken: Spoken, entity_id: str, told: tuple[Announcement, ...], payment_id: str | None) -> None:
        key = entity_key(spoken.account, entity_id)
        for announcement in told:
            self.told.append(Told(key=key, spoken=spoken, announcement=announcement, payment_id=payment_id))
            self.unexpected += announcement.lifecycle.transition is Transition.UNEXPECTED


def needs(entries: Iterable[Entry]) -> Needs:
    """What these entries will read: their event keys, the payments they speak of, and those payments' other names."""
    found = Needs()
    for entry in entries:
        scope = (entry.account.provider.name, entry.account.name)
        found.seen.setdefault(scope, []).extend(item.event_key for item in entry.items if item.event_key is not None)
        if entry.verified.once is not None:
            found.aliases.setdefault(scope, []).append(entry.verified.once)
        for item in entry.items:
            if isinstance(item.outcome, Stated):
                for statement in item.outcome.statements:
                    _needs_of(entry.account, scope, statement, found)
    return found


def _needs_of(account: Account, scope: Scope, statement: Statement, found: Needs) -> None:
    found.known.append(entity_key(account, statement.block.id))
    if statement.payment_id is not None and statement.payment_id != statement.block.id:
        found.known.append(entity_key(account, statement.payment_id))
    aliases = statement.aliases if statement.payment_alias is None else (*statement.aliases, statement.payment_alias)
    if aliases:
        found.aliases.setdefault(scope, []).extend(aliases)


def _with_orphan(known: Known, orphan: Known) -> Known:
    """What both know of one entity is the newer of each."""
    standings = dict(known.standings)
    for name, standing in orphan.standings.items():
        standings[name] = _newest(standings[name], standing) if name in standings else standing
    return replace(known, standings=standings)


def _newest(one: Standing, other: Standing) -> Standing:
    newest = max(one, other, key=lambda standing: standing.order)
    amounts = [standing.amount for standing in (one, other) if standing.amount is not None]
    return replace(newest, amount=max(amounts, key=lambda amount: amount[0], default=None))


def _scope(spoken: Spoken) -> Scope:
    return (spoken.account.provider.name, spoken.account.name)
