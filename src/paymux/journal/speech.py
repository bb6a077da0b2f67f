"""A statement meets what is known: under which key it is announced, and as which records."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from paymux import lifecycle
from paymux.canonical import Entity, Transition
from paymux.journal.changes import Overlay
from paymux.lifecycle import Heard, Known
from paymux.records import Spoken, entity_key, event_record, is_snapshot

if TYPE_CHECKING:
    from paymux.canonical import State
    from paymux.journal import Entry
    from paymux.journal.changes import Scope, View
    from paymux.records import Record
    from paymux.statement import Item, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Under which key a statement is announced, and what that key knew and knows."""

    key: str
    before: Known
    after: Known
    payment_id: str | None


@dataclass(slots=True, kw_only=True)
class Speech:
    """What one item would change and publish; thrown away if it turns out too large or breaks.

    `records` are pairs of key and record, in order.
    """

    overlay: Overlay
    topic: str
    records: list[tuple[str, Record]] = field(default_factory=list)
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
        place = self._place(spoken, heard, payment_id, payment_id)
        after = place.after
        for alias in spoken.statement.aliases:
            after = self._adopt(_scope(spoken), alias, payment_id, after)
        place = replace(place, after=after)
        self._announce(spoken, heard, place, lifecycle.state_of(after, payment_id))

    def _adopt(self, scope: Scope, alias: str, payment_id: str, known: Known) -> Known:
        """Keep a link the first time it is heard of, and take in what named the payment by it before."""
        if alias == payment_id or self.overlay.link(scope, alias) is not None:
            return known
        self.overlay.changes.links[scope, alias] = payment_id
        for key in self.overlay.orphans(scope, alias):
            orphan = self.overlay.known(key)
            if orphan is not None:
                known = replace(known, standings={**orphan.standings, **known.standings})
        return known

    def _belonging(self, spoken: Spoken, heard: Heard) -> None:
        """A refund or dispute speaks under its payment's key, unless it was first published under its own."""
        statement, scope = spoken.statement, _scope(spoken)
        alias = statement.payment_alias
        payment_id = statement.payment_id or (self.overlay.link(scope, alias) if alias else None)
        own_key = entity_key(spoken.account, statement.block.id)
        has_own = self.overlay.known(own_key) is not None
        if payment_id is None:
            if alias is not None and not has_own:
                self.overlay.changes.orphans.setdefault((scope, alias), []).append(own_key)
            self._alone(spoken, heard)
            return
        payment = self._place(spoken, heard, payment_id, payment_id)
        state = lifecycle.state_of(payment.after, payment_id)
        if not has_own:
            self._announce(spoken, heard, payment, state)
            return
        self.overlay.changes.known[payment.key] = payment.after
        self._announce(spoken, heard, self._place(spoken, heard, statement.block.id, payment_id), state)

    def _alone(self, spoken: Spoken, heard: Heard) -> None:
        """Under the entity's own key, without a payment to speak of."""
        self._announce(spoken, heard, self._place(spoken, heard, spoken.statement.block.id, None), None)

    def _place(self, spoken: Spoken, heard: Heard, entity_id: str, payment_id: str | None) -> Place:
        key = entity_key(spoken.account, entity_id)
        before = self.overlay.known(key) or Known()
        after = lifecycle.join(before, spoken.statement, heard)
        return Place(key=key, before=before, after=after, payment_id=payment_id)

    def _announce(self, spoken: Spoken, heard: Heard, place: Place, state: State | None) -> None:
        known, announcements = lifecycle.announce(place.before, place.after, spoken.statement, heard, state=state)
        self.overlay.changes.known[place.key] = known
        for announcement in announcements:
            record = event_record(spoken, announcement, topic=self.topic, key=place.key, payment_id=place.payment_id)
            self.records.append((place.key, record))
            self.unexpected += announcement.lifecycle.transition is Transition.UNEXPECTED


def speech(below: View, topic: str) -> Speech:
    return Speech(overlay=Overlay(below), topic=topic)


def _scope(spoken: Spoken) -> Scope:
    return (spoken.account.provider.name, spoken.account.name)
