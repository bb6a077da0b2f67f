"""The checker: seven assertions over what was sent, what is stored and what is published; nothing else decides.

It shares no code with paymux and knows of no fault: after every run, whatever was done to it, the same must hold.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from faults.facts import Consumed, Delivery, Facts, Stored

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")

PROOFS: Final = frozenset({"signature", "static", "api"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """An assertion by name, and what shows that it does not hold."""

    assertion: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.assertion}: {self.evidence}"


def check(facts: Facts) -> list[Violation]:
    """None: every promise was kept."""
    return [
        Violation(assertion=name, evidence=evidence)
        for name, assertion in ASSERTIONS.items()
        for evidence in assertion(facts)
    ]


def acked_is_stored(facts: Facts) -> Iterator[str]:
    """1. What was answered with a 2xx is in the journal."""
    stored = {(delivery.provider, delivery.account, delivery.sha256) for delivery in facts.disk.deliveries}
    for sent in facts.client:
        if sent.acked and sent.genuine and (sent.provider, sent.account, sent.sha256) not in stored:
            yield f"{sent.provider} {sent.event_key or sent.sha256} was answered {sent.status} and is not stored"
    if not facts.disk.sound:
        yield "the journal's file is damaged"


def stored_is_published(facts: Facts) -> Iterator[str]:
    """2. What is stored is published, quarantined or waits to be; nothing waits once the gateway had the time."""
    yield from _has_records(facts)
    yield from _is_numbered(facts.disk.outbox)
    published = _said(facts.consumer)
    last = max((row.seq for row in facts.disk.outbox if _is_in(published, row)), default=0)
    for row in facts.disk.outbox:
        if not _is_in(published, row) and (facts.quiesced or row.seq < last):
            yield f"row {row.seq} of the outbox ({row.event_id}) is not on Kafka"
    stored = _said(row for disk in facts.disks for row in disk.outbox)
    for record in facts.consumer:
        if not _is_in(stored, record):
            yield f"{record.event_id} is at {_place(record)} and not in the outbox"
    if facts.quiesced and facts.disk.open_lookups:
        yield f"{facts.disk.open_lookups} lookups were never answered"


def published_once(facts: Facts) -> Iterator[str]:
    """3. One copy of each event id for a `read_committed` consumer, and one for each replay that is marked as such; an
    operator's decision may explain more.
    """
    for (event_id, _), found in _grouped(facts.consumer, _identity).items():
        if len(found) > 1 and event_id not in facts.explained:
            yield f"{event_id} is at {', '.join(map(_place, found))}"
    for place, count in Counter(map(_place, facts.consumer)).items():
        if count > 1:
            yield f"{place} holds {count} records"


def in_commit_order(facts: Facts) -> Iterator[str]:
    """4. For each key: one partition, commit order, and sequences 1, 2, 3 ... without a gap. A replay, which may leave
    out what was erased, keeps to that order.
    """
    committed = _committed(facts)
    for (topic, key), records in _grouped(_first_copies(facts), lambda record: (record.topic, record.key)).items():
        if len({record.partition for record in records}) > 1:
            yield f"{topic} {key} is in partitions {sorted({record.partition for record in records})}"
        order = [committed[_identity(record)] for record in records if _identity(record) in committed]
        if order != sorted(order):
            yield f"{topic} {key} has rows {order}, in this order"
        for replay, told in _grouped(records, lambda record: record.replay).items():
            numbers = [record.sequence for record in told if record.sequence is not None]
            if numbers != (sorted(set(numbers)) if replay else list(range(1, len(numbers) + 1))):
                yield f"{topic} {key} has sequences {numbers}"


def published_is_proven(facts: Facts) -> Iterator[str]:
    """5. Nothing is published that was not sent with a valid signature or answered by the provider's API."""
    genuine = {(sent.provider, sent.via, sent.sha256) for sent in facts.client if sent.genuine}
    deliveries = {delivery.id: delivery for disk in facts.disks for delivery in disk.deliveries}
    for record in facts.consumer:
        delivery = deliveries.get(record.delivery_id)
        if delivery is None or _origin(delivery) not in genuine:
            yield f"{record.event_id} at {_place(record)} comes from delivery {record.delivery_id}, which nobody sent"
        if record.proof is not None and record.proof not in PROOFS:
            yield f"{record.event_id} at {_place(record)} has no better proof than {record.proof!r}"
    for sent in facts.client:
        if sent.acked and not sent.genuine:
            yield f"a forged delivery to {sent.provider} ({sent.sha256}) was answered {sent.status}"


def bytes_are_kept(facts: Facts) -> Iterator[str]:
    """6. What is stored is, byte for byte, what was sent."""
    known = {(sent.provider, sent.via, sent.sha256) for sent in facts.client if sent.genuine}
    for delivery in facts.disk.deliveries:
        if delivery.body_sha256 is None and delivery.proof != "hint" and not delivery.erased:
            yield f"delivery {delivery.row} has no body"
        if delivery.body_sha256 is not None and delivery.erased:
            yield f"delivery {delivery.row} was erased and has a body"
        if delivery.body_sha256 not in (None, delivery.sha256):
            yield f"delivery {delivery.row} has a body of {delivery.body_sha256} under the digest {delivery.sha256}"
        if _origin(delivery) not in known:
            yield f"delivery {delivery.row} of {delivery.provider} ({delivery.sha256}) was never sent like that"


def acked_after_commit(facts: Facts) -> Iterator[str]:
    """7. Whoever reads the journal after a 2xx finds the delivery in it."""
    rows: dict[tuple[str, str], int] = {}
    for delivery in facts.disk.deliveries:
        rows.setdefault((delivery.provider, delivery.sha256), delivery.row)
    acked = sorted(
        (sent.answered_at, row)
        for sent in facts.client
        if sent.acked and sent.answered_at and (row := rows.get((sent.provider, sent.sha256)))
    )
    newest, at, answered = 0, 0.0, iter(acked)
    following = next(answered, None)
    for look in sorted(facts.looks, key=lambda look: look.began):
        while following and following[0] < look.began:
            newest, at = max((newest, at), (following[1], following[0]))
            following = next(answered, None)
        if newest > look.row:
            yield f"row {newest} was answered {look.began - at:.6f} s before a look that found {look.row} rows"


ASSERTIONS: Final[Mapping[str, Callable[[Facts], Iterator[str]]]] = {
    assertion.__name__: assertion
    for assertion in (
        acked_is_stored,
        stored_is_published,
        published_once,
        in_commit_order,
        published_is_proven,
        bytes_are_kept,
        acked_after_commit,
    )
}

_SPEAKS: Final = frozenset({"events", "quarantined"})


def _has_records(facts: Facts) -> Iterator[str]:
    """A webhook's item that said something, or could not be understood, is in the outbox, or was in that of a journal
    which was lost; an API's answer may add nothing.
    """
    deliveries = {delivery.row: delivery for delivery in facts.disk.deliveries}
    spoken = {row.delivery_id for disk in facts.disks for row in disk.outbox}
    before = {_origin(each) for disk in facts.lost for each in disk.deliveries if each.id in spoken}
    for item in facts.disk.items:
        delivery = deliveries.get(item.row)
        if delivery is None:
            yield f"an item of delivery {item.row} is stored without it"
        elif (
            item.first
            and item.outcome in _SPEAKS
            and delivery.via == "webhook"
            and not (delivery.id in spoken or _origin(delivery) in before)
        ):
            yield f"delivery {delivery.row} ({item.event_key}, {item.outcome}) made no record"


def _committed(facts: Facts) -> dict[tuple[str, str | None], tuple[int, int]]:
    """When each record was decided: in which file, and at which place of it. A row that a copy took along keeps its
    place; one that was lost before it was published is decided anew.
    """
    found: dict[tuple[str, str | None], tuple[int, int]] = {}
    before: Sequence[Stored] = ()
    for age, disk in enumerate(facts.disks):
        pairs = zip(before, disk.outbox, strict=False)
        taken_along = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        found |= {_identity(row): (age, row.seq) for row in disk.outbox[taken_along:]}
        before = disk.outbox
    return found


def _is_numbered(outbox: Iterable[Stored]) -> Iterator[str]:
    """Rows are numbered without gaps, whatever was pruned at the beginning."""
    for before, after in pairwise(row.seq for row in outbox):
        if after != before + 1:
            yield f"the outbox has row {after} after row {before}"


def _first_copies(facts: Facts) -> list[Consumed]:
    """As a consumer that drops ids it has seen, and looks at each replay on its own."""
    first: dict[tuple[str, str | None], Consumed] = {}
    for record in facts.consumer:
        first.setdefault(_identity(record), record)
    return list(first.values())


def _grouped(things: Iterable[V], key: Callable[[V], K]) -> dict[K, list[V]]:
    found: dict[K, list[V]] = defaultdict(list)
    for thing in things:
        found[key(thing)].append(thing)
    return found


def _identity(of: Stored | Consumed) -> tuple[str, str | None]:
    return (of.event_id, of.replay)


def _said(records: Iterable[Stored | Consumed]) -> dict[Hashable, list[str | None]]:
    """By what both sides must have alike, the digests of what was said."""
    found = _grouped(records, _names)
    return {names: [each.sha256 for each in same] for names, same in found.items()}


def _is_in(said: Mapping[Hashable, Sequence[str | None]], of: Stored | Consumed) -> bool:
    """Of what was erased nobody can say any more how it was worded."""
    digests = said.get(_names(of), ())
    return of.sha256 in digests or (bool(digests) and (of.sha256 is None or None in digests))


def _names(of: Stored | Consumed) -> Hashable:
    return (of.topic, of.key, *_identity(of))


def _origin(delivery: Delivery) -> tuple[str, str, str]:
    return (delivery.provider, delivery.via, delivery.sha256)


def _place(record: Consumed) -> str:
    return f"{record.topic}/{record.partition}@{record.offset}"
