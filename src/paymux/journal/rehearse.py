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
from paymux.records import Again, entity_key, event_id, event_record
from paymux.statement import Stated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from paymux.journal import Entry
    from paymux.journal.decide import Unit
    from paymux.journal.speech import Told
    from paymux.records import Record
    from paymux.statement import Item

# What the journal decides, or what says by which mapping it was made: no part of what a delivery states.
_ASIDE: Final = ("lifecycle", "origin")
_MONEY: Final = {"minor", "currency", "exponent"}  # one value


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """`told` are the events by id, in order; `changes` what would be known, from the beginning."""

    told: Mapping[str, Told]
    changes: Changes

    def known(self, key: str) -> Known | None:
        return self.changes.known.get(key)


def rehearse(heard: Iterable[tuple[Entry, Item]]) -> Rehearsal:
    """All items that were heard of some payments, in the order in which they were."""
    overlay: Overlay = Overlay(MemoryStore())
    told: dict[str, Told] = {}
    for entry, item in heard:
        if not isinstance(item.outcome, Stated):
            continue
        said = Speech(overlay=Overlay(overlay))
        said.say(entry, item, item.outcome.statements)
        overlay.changes.update(said.overlay.changes)
        for each in said.told:
            told.setdefault(identity(each), each)
    return Rehearsal(told=told, changes=overlay.changes)


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
    before, after = _content(old), _content(new)
    return {} if before == after else dict(_different("", before, after))


def correct(unit: Unit, rehearsal: Rehearsal, rows: Mapping[str, int], replay_id: str) -> list[Record]:
    """Publish what is said instead of these events, of the deliveries in these rows, and let what is known be what the
    rehearsal knows.

    An event that was not published goes out under its own id; of one that was a correction does, once for each version
    of the mapping. Raises PaymuxError(too_large).
    """
    records = []
    known = {key: _carried_on(unit, key, each) for key, each in rehearsal.changes.known.items()}
    for each, row in rows.items():
        told = rehearsal.told[each]
        again = Again(replay_id=replay_id, corrects=each if unit.overlay.is_published(each) else None)
        known[told.key] = replace(known[told.key], sequence=known[told.key].sequence + 1)
        record = _record(unit, told, known, again)
        if unit.overlay.is_published(record.event_id):
            known[told.key] = replace(known[told.key], sequence=known[told.key].sequence - 1)
            continue
        unit.publish(told.key, record, row)
        records.append(record)
    changes = rehearsal.changes
    unit.changes.update(Changes(known=known, links=changes.links, orphans=changes.orphans))
    return records


def _record(unit: Unit, told: Told, known: Mapping[str, Known], again: Again) -> Record:
    payment_id = told.payment_id
    told_of = known.get(entity_key(told.spoken.account, payment_id or ""), known[told.key])
    life = replace(
        told.announcement.lifecycle,
        sequence=known[told.key].sequence,
        transition=Transition.CORRECTED if again.corrects else told.announcement.lifecycle.transition,
        state=state_of(told_of, payment_id) if told.announcement.lifecycle.state is not None else None,
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


def _carried_on(unit: Unit, key: str, known: Known) -> Known:
    """What is known anew goes on with the numbers of before."""
    before = unit.overlay.known(key)
    return replace(known, sequence=before.sequence if before else 0)


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
