"""A stored delivery heard again, with the mapping of today: what it could not say before, it says now. What it did say
is not said twice.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from paymux import lifecycle
from paymux.journal import Result
from paymux.journal.changes import DISCARDED, Seen
from paymux.journal.decide import Hearing
from paymux.records import Again, event_id
from paymux.statement import Ignored, Lookup, Quarantined, Stated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paymux.journal import Entry
    from paymux.journal.changes import Filed
    from paymux.journal.decide import Unit
    from paymux.statement import Item

EVENTS: Final = "events"
UNCHANGED: Final = "unchanged"
UNFILED: Final = "unfiled"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Again:
    """One item, and what is stored of it."""

    unit: Unit
    entry: Entry
    item: Item
    filed: Filed
    replay_id: str

    @property
    def hearing(self) -> Hearing:
        return Hearing(
            attempt=self.filed.attempt + 1,
            again=Again(replay_id=self.replay_id),
            is_published=self.unit.overlay.is_published,
            replaces=self.filed,
        )


def hear_again(
    unit: Unit, entry: Entry, delivery: int, replay_id: str, *, picks: Callable[[Filed], bool]
) -> Counter[str]:
    """What became of the items that `picks` wants of a delivery's row: `events` (how many are published that were not
    before), `asked`, `ignored`, `duplicate` of what came meanwhile, `quarantined` for another reason, or `unchanged`;
    and how many are `unfiled`.

    Duplicates and conflicts stay what they are, and so does what an operator discarded.
    """
    filed = unit.overlay.filed(delivery)
    counts = Counter({UNFILED: unfiled(entry, filed)})
    for item, old in zip(entry.items, filed, strict=False):
        if picks(old):
            counts.update(_hear(_Again(unit=unit, entry=entry, item=item, filed=old, replay_id=replay_id)))
    counts[UNCHANGED] += sum(map(picks, filed[len(entry.items) :]))
    return +counts


def unfiled(entry: Entry, filed: Sequence[Filed]) -> int:
    """Items that a mapping makes of a batch beyond those of before: they have no place of their own to be told by."""
    return max(len(entry.items) - len(filed), 0)


def is_spoken(filed: Filed) -> bool:
    """Whether an item said what it had to say, or never will."""
    return filed.result != Result.NEW or filed.outcome == EVENTS


def is_settled(filed: Filed) -> bool:
    """Whether an item stays what it is, whatever today's mapping makes of it."""
    return filed.result != Result.NEW or filed.reason == DISCARDED or filed.outcome == "lookup"


def might_say(entry: Entry, item: Item) -> list[str]:
    """The ids of all events that one of a delivery's items might make, whatever is known."""
    if not isinstance(item.outcome, Stated):
        return []
    return [
        event_id(entry.account, item.event_key or entry.verified.delivery.id, statement, slot)
        for statement in item.outcome.statements
        for slot, _ in lifecycle.offline(statement)
    ]


def discard(unit: Unit, delivery: int, why: str, *, picks: Callable[[Filed], bool]) -> int:
    """Take those of a delivery's items out of quarantine that `picks` wants; how many that were."""
    items = [filed for filed in unit.overlay.filed(delivery) if filed.outcome == "quarantined" and picks(filed)]
    unit.changes.discarded += [(filed.row, why) for filed in items]
    return len(items)


def _hear(again: _Again) -> dict[str, int]:
    old, item = again.filed, again.item
    if is_settled(old):
        return {UNCHANGED: 1}
    if old.outcome == EVENTS:
        return _say(again) if isinstance(item.outcome, Stated) else {UNCHANGED: 1}
    if _says_the_same(again):
        return {UNCHANGED: 1}
    if not _is_first(again):
        if isinstance(item.outcome, Quarantined):
            return {UNCHANGED: 1}
        again.unit.keep_item(
            again.entry, item, old.delivery, dedupe_key=None, result=Result.DUPLICATE, hearing=again.hearing
        )
        return {"duplicate": 1}
    return _OUTCOMES[type(item.outcome)](again)


def _says_the_same(again: _Again) -> bool:
    """It is not understood, as before."""
    old, now = again.filed, again.item.outcome
    if isinstance(now, Quarantined):
        return (now.reason, now.path) == (old.reason, old.path)
    return isinstance(now, Ignored) and old.outcome == "ignored"


def _is_first(again: _Again) -> bool:
    """Whether nothing else came under the event key that can be read now. It is this item's from now on."""
    unit, item = again.unit, again.item
    if item.event_key is None:
        return True
    scope = (again.entry.account.provider.name, again.entry.account.name)
    if item.event_key != again.filed.dedupe_key and unit.overlay.seen(scope, item.event_key) is not None:
        return False
    sha256 = hashlib.sha256(again.entry.verified.delivery.body).digest()
    unit.changes.seen[scope, item.event_key] = Seen(
        delivery=again.filed.delivery, fingerprint=item.fingerprint, sha256=sha256
    )
    return True


def _say(again: _Again) -> dict[str, int]:
    """Only what is not published."""
    if not isinstance(again.item.outcome, Stated):  # Defensive: the callers looked
        return {UNCHANGED: 1}
    receipt = again.unit.stated(again.entry, again.item, again.filed.delivery, again.item.outcome, again.hearing)
    if receipt.result is Result.DUPLICATE:
        return {UNCHANGED: 1}
    if receipt.outcome == "quarantined":
        return {"quarantined": 1}
    return {EVENTS: len(receipt.event_ids)} if receipt.event_ids else {UNCHANGED: 1}


def _ask(again: _Again) -> dict[str, int]:
    if isinstance(again.item.outcome, Lookup):
        again.unit.ask(again.entry, again.item, again.item.outcome)
    _refile(again)
    return {"asked": 1}


def _ignore(again: _Again) -> dict[str, int]:
    _refile(again)
    return {"ignored": 1}


def _quarantine(again: _Again) -> dict[str, int]:
    """For another reason than before: that is told once more."""
    why = again.item.outcome
    if not isinstance(why, Quarantined):  # Defensive: the callers looked
        return {UNCHANGED: 1}
    again.unit.quarantine(again.entry, again.item, again.filed.delivery, why, hearing=again.hearing)
    return {"quarantined": 1}


def _refile(again: _Again) -> None:
    item = again.item
    again.unit.keep_item(again.entry, item, again.filed.delivery, dedupe_key=item.event_key, hearing=again.hearing)


_OUTCOMES: Final[dict[type, Callable[[_Again], dict[str, int]]]] = {
    Stated: _say,
    Lookup: _ask,
    Ignored: _ignore,
    Quarantined: _quarantine,
}
