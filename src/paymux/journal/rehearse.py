"""What today's mapping would have published of a payment: all that was heard of it, heard again from the beginning.

Pure, and nothing is published: the result is compared with what was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from paymux.canonical import Transition
from paymux.errors import PaymuxError
from paymux.journal.changes import Changes, Overlay
from paymux.journal.memory import MemoryStore
from paymux.journal.speech import Speech
from paymux.lifecycle import Known, state_of
from paymux.records import Again, correction_id, entity_key, event_id, event_record
from paymux.statement import Stated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from paymux.journal import Entry
    from paymux.journal.archive import Told as Heard
    from paymux.journal.decide import Unit
    from paymux.journal.speech import Told
    from paymux.records import Record

# What the journal decides, or what says by which mapping it was made: no part of what a delivery states.
_ASIDE: Final = ("lifecycle", "origin")
_MONEY: Final = {"minor", "currency", "exponent"}  # one value
# These two come last in an event, and no text of theirs holds a quote that is not escaped.
_LAST: Final = b',"lifecycle":'
_NOTHING: Final = MemoryStore()  # is known before the first word


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """`told` are the events by id, in order; `spoke` the keys that each item speaks of now; `changes` what would be
    known, from the beginning.
    """

    told: Mapping[str, Told]
    spoke: Mapping[Heard, frozenset[str]]
    changes: Changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What is to be said instead: which events of a rehearsal, each with its delivery's row; and under which keys
    those stand that were published.
    """

    rehearsal: Rehearsal
    wanted: Mapping[str, int]
    keys: Mapping[str, str]
    replay_id: str


def rehearse(heard: Iterable[tuple[Heard, Entry]]) -> Rehearsal:
    """All items that were heard of some payments, in the order in which they were."""
    overlay: Overlay = Overlay(_NOTHING)
    told: dict[str, Told] = {}
    spoke: dict[Heard, frozenset[str]] = {}
    for each, entry in heard:
        item = entry.items[each.index] if each.index < len(entry.items) else None
        if item is None or not isinstance(item.outcome, Stated):
            continue
        said = Speech(overlay=Overlay(overlay))
        said.say(entry, item, item.outcome.statements)
        overlay.changes.update(said.overlay.changes)
        spoke[each] = frozenset(said.overlay.changes.known)
        for event in said.told:
            told.setdefault(identity(event), event)
    return Rehearsal(told=told, spoke=spoke, changes=overlay.changes)


def identity(told: Told) -> str:
    """The id that the event was published under, if it was."""
    spoken = told.spoken
    return event_id(spoken.account, spoken.event_key, spoken.statement, told.announcement.slot)


def as_published(told: Told) -> bytes:
    """The value of its record."""
    return event_record(told.spoken, told.announcement, topic="", key=told.key, payment_id=told.payment_id).value


def differences(old: bytes, new: bytes) -> dict[str, tuple[Any, Any]]:
    """The fields that differ between two values of records, as JSON pointers, with both values. What the journal
    decides is left aside, and so are the type, which follows from it, and the origin.
    """
    if old[: old.rfind(_LAST)] == new[: new.rfind(_LAST)]:
        return {}
    before, after = _content(old), _content(new)
    return {} if before == after else dict(_different("", before, after))


def correct(unit: Unit, correction: Correction) -> list[Record]:
    """Publish what is said instead, and let what is known be what the rehearsal knows.

    An event that was not published goes out under its own id; of one that was a correction does, once for each version
    of the mapping, under the key that it was published under. Raises PaymuxError(too_large), with nothing changed.
    """
    rehearsal, numbers = correction.rehearsal, _Numbers(unit)
    records: list[tuple[str, Record, int]] = []
    for each, row in correction.wanted.items():
        told = rehearsal.told[each]
        again = Again(replay_id=correction.replay_id, corrects=each if unit.overlay.is_published(each) else None)
        if again.corrects and unit.overlay.is_published(correction_id(each, told.spoken.account.mapping)):
            continue
        told = replace(told, key=correction.keys.get(each, told.key))
        records.append((told.key, _record(unit, told, rehearsal.changes.known, again, numbers.next(told.key)), row))
    for key, record, row in records:
        unit.publish(key, record, row)
    _know(unit, rehearsal, numbers)
    return [record for _, record, _ in records]


class _Numbers:
    """What is said goes on with the numbers of before."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self.given: dict[str, int] = {}

    def last(self, key: str) -> int:
        known = self._unit.overlay.known(key)
        return self.given.get(key, known.sequence if known else 0)

    def next(self, key: str) -> int:
        self.given[key] = self.last(key) + 1
        return self.given[key]


def _know(unit: Unit, rehearsal: Rehearsal, numbers: _Numbers) -> None:
    """Links and keys that were there stay what they are."""
    fresh, overlay = rehearsal.changes, unit.overlay
    known = {
        key: replace(fresh.known.get(key) or overlay.known(key) or Known(), sequence=numbers.last(key))
        for key in {*fresh.known, *numbers.given}
    }
    links = {name: payment for name, payment in fresh.links.items() if overlay.link(*name) is None}
    orphans = {name: [key for key in keys if key not in overlay.orphans(*name)] for name, keys in fresh.orphans.items()}
    unit.changes.update(Changes(known=known, links=links, orphans=orphans))
    for heard, keys in rehearsal.spoke.items():
        if not keys <= heard.keys:
            unit.changes.respoken[heard.place] = (heard.delivery, tuple(sorted(heard.keys | keys)))


def _record(unit: Unit, told: Told, known: Mapping[str, Known], again: Again, sequence: int) -> Record:
    payment_id, announced = told.payment_id, told.announcement.lifecycle
    told_of = known.get(entity_key(told.spoken.account, payment_id or ""), known.get(told.key, Known()))
    life = replace(
        announced,
        sequence=sequence,
        transition=Transition.CORRECTED if again.corrects else announced.transition,
        state=state_of(told_of, payment_id) if announced.state is not None else None,
    )
    record = event_record(
        told.spoken,
        replace(told.announcement, lifecycle=life),
        topic=unit.rules.topics.events,
        key=told.key,
        payment_id=payment_id,
        again=again,
    )
    if record.size > unit.rules.max_record:
        raise PaymuxError(f"a correction would be larger than {unit.rules.max_record} bytes", reason="too_large")
    return record


def _content(value: bytes) -> dict[str, Any]:
    event = orjson.loads(value)
    data = {name: part for name, part in event["data"].items() if name not in _ASIDE}
    return {"subject": event["subject"], "time": event["time"], **data}


def _different(path: str, old: Any, new: Any) -> Iterable[tuple[str, tuple[Any, Any]]]:
    if old == new and type(old) is type(new):
        return
    if isinstance(old, dict) and isinstance(new, dict) and _MONEY not in (old.keys(), new.keys()):
        for name in sorted({*old, *new}):
            yield from _different(f"{path}/{name}", old.get(name), new.get(name))
        return
    yield path, (old, new)
