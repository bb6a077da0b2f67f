"""A copy takes the place of a journal that was lost, and nothing that was published goes out again.

1. Copy the copy beside the journal's place, and look through it.
2. Fence the producers of the journal that it is a copy of, and read that one's last checkpoint.
3. Read what was published since the copy was made: up to which row it is published, which ids are taken, and how far
   each payment's numbers went. Write that into the file, with a new identity.
4. Write the first checkpoint of the new identity, and see that the old one published nothing meanwhile.
5. Give the file its name.

Killed at any step, it can be done again from the beginning: until 5 the file lies beside, under a name of its own,
and until 4 nothing was written to Kafka.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from paymux.errors import BrokerUnavailable, CopyRefused
from paymux.journal.audit import Act
from paymux.journal.sqlite import hold
from paymux.journal.sqlite.copies import copy, examined, synced
from paymux.journal.sqlite.restored import BATCH, Name, RestoredFile
from paymux.keeping.backup import beside, removed
from paymux.keeping.lineage import check_numbers, found_up_to, published_up_to
from paymux.publish import Checkpoint
from paymux.publish.kafka import KafkaPublisher
from paymux.publish.kafka.past import checkpoints, past
from paymux.records import EVENT_ID, REPLAY, SEQUENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from paymux.journal.sqlite.copies import Progress
    from paymux.journal.sqlite.restored import Waiting
    from paymux.publish.kafka import KafkaSettings
    from paymux.publish.kafka.past import Past

# Earlier than the copy's last row: clocks differ, and jump.
MARGIN: Final = timedelta(hours=1)
NIL: Final = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """`kafka` None: without. `moves_aside`: what is at the journal's place gets another name. `accepts_doubles`: go on
    where Kafka cannot tell all that was published. `instead_of`: another lost journal, whose checkpoint is the newest.
    """

    kafka: KafkaSettings | None
    who: str
    moves_aside: bool = False
    accepts_doubles: bool = False
    instead_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """`position`: everything up to that row of the outbox is published, and the rows up to `end` will be. `taken` are
    events on Kafka that the copy does not have, `ahead` the payments of which Kafka had more than the copy.
    """

    identity: str
    parent: str
    deliveries: int
    end: int
    position: int
    taken: int
    ahead: int
    aside: str | None


@dataclass(slots=True)
class _Found:
    """What was read on Kafka."""

    names: set[Name] = field(default_factory=set)
    sequences: dict[str, int] = field(default_factory=dict)


async def restore(
    file: Path, place: Path, wish: Wish, *, now: Callable[[], datetime], progress: Callable[[str], Progress]
) -> Restored:
    """Raises CopyRefused; JournalUnusable while a paymux holds the journal; BrokerUnavailable, RelayStopped."""
    lock = await hold(place)
    try:
        _check_place(place, wish)
        return await _Restoring(file, place, wish, now=now, progress=progress).run()
    finally:
        os.close(lock)


def _check_place(place: Path, wish: Wish) -> None:
    there = _there(place)
    if there and not wish.moves_aside:
        names = ", ".join(each.name for each in there)
        raise CopyRefused(f"{names} in {place.absolute().parent}: move it elsewhere, or let --force rename it")


def _there(place: Path) -> list[Path]:
    """What holds anything: whoever only reads a journal may leave an empty WAL, and an index of it."""
    found = [place, *(each for each in beside(place) if not each.name.endswith("-shm"))]
    return [each for each in found if each.exists() and (each == place or each.stat().st_size)]


class _Restoring:
    def __init__(
        self, file: Path, place: Path, wish: Wish, *, now: Callable[[], datetime], progress: Callable[[str], Progress]
    ) -> None:
        self._file = file
        self._place = place
        self._wish = wish
        self._now = now
        self._progress = progress
        self._new = place.with_name(f"{place.name}.restoring")
        self._name = place.with_name(f"{place.name}.restoring-id")
        self._identity = ""
        self._lost: dict[str, Checkpoint | None] = {}

    async def run(self) -> Restored:
        is_first = self._identify()
        try:
            deliveries = self._copied()
            done, first = await self._settled(deliveries)
        except BaseException:
            removed(self._new, *beside(self._new), *([self._name] if is_first else []))
            raise
        if self._wish.kafka is not None:
            await self._begin(self._wish.kafka, first)
        done = replace(done, aside=self._take_place())
        removed(self._name)
        return done

    def _identify(self) -> bool:
        """The new journal's identity, the same for each try: Kafka may have the checkpoint of one that was cut short.
        Whether this is the first.
        """
        before = self._name.read_text("ascii") if self._name.exists() else ""
        if len(before) == len(str(NIL)):  # else it was killed while it wrote that
            self._identity = before
            return False
        self._identity = str(uuid4())
        self._name.write_text(self._identity, "ascii")
        synced(self._name)
        return True

    # --- the file

    def _copied(self) -> int:
        """A copy of the copy, looked through; how many deliveries it has."""
        if self._file.absolute() in (self._place.absolute(), self._new.absolute()):
            raise CopyRefused(f"{self._file} is at the journal's own place: name a copy of it")
        removed(self._new, *beside(self._new))
        os.close(os.open(self._new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        copy(self._file, self._new, self._progress("copying"))
        return examined(self._new).deliveries

    async def _settled(self, deliveries: int) -> tuple[Restored, Checkpoint]:
        """What the copy is now, and the first checkpoint of the journal that it will be."""
        with closing(RestoredFile(self._new)) as new:
            parent, position = new.identity, new.mark
            taken = ahead = 0
            if self._wish.kafka is not None:
                found, position = await self._learned(self._wish.kafka, new)
                taken, ahead = new.forget_own(), new.count_on(found.sequences)
            event_id, chain = new.place(position)
            new.rename(self._identity, position)
            done = Restored(
                identity=self._identity,
                parent=parent,
                deliveries=deliveries,
                end=new.end,
                position=position,
                taken=taken,
                ahead=ahead,
                aside=None,
            )
            new.audit(self._act(done), self._now())
            new.keep()
        synced(self._new)
        return done, Checkpoint(journal=self._identity, shard=0, seq=position, event_id=event_id, chain=chain)

    def _act(self, done: Restored) -> Act:
        names = ("parent", "position", "end", "taken", "ahead")
        detail = {name: getattr(done, name) for name in names}
        detail |= {"kafka": self._wish.kafka is not None, "accepts_doubles": self._wish.accepts_doubles}
        return Act(who=self._wish.who, action="journal.restore", target=self._identity, detail=detail)

    def _take_place(self) -> str | None:
        """Under the journal's name; what has it gets one with the time. That one's name, if any."""
        if self._place.exists():
            _folded(self._place)
        at = f"{self._now():%Y%m%dT%H%M%S.%fZ}"
        aside = self._place.with_name(f"{self._place.name}.{at}") if self._place.exists() else None
        for each in _there(self._place):  # a WAL goes with its file, or it would be taken for the new one's
            each.rename(each.with_name(each.name.replace(self._place.name, f"{self._place.name}.{at}", 1)))
        removed(*beside(self._place))
        self._new.rename(self._place)
        synced(self._place)
        return None if aside is None else str(aside)

    # --- Kafka

    async def _learned(self, kafka: KafkaSettings, new: RestoredFile) -> tuple[_Found, int]:
        """What the copy must know of what was published, and up to which of its rows everything is."""
        await self._fence_lost(kafka, new.identity)
        waiting = list(new.waiting())
        since = new.unknown_since()
        topics = {kafka.events_topic, *(each.name.topic for each in waiting)}
        async with past(kafka, topics, None if since is None else since - MARGIN) as told:
            self._check_complete(told)
            found = await self._read(kafka, told, new, {each.name for each in waiting})
        return found, self._position(new, waiting, found, self._lost[new.identity])

    async def _fence_lost(self, kafka: KafkaSettings, parent: str) -> None:
        """Nobody publishes for the lost journals any more; keep the last checkpoint of each."""
        try:
            await _fence(kafka, parent)
        except BrokerUnavailable as error:
            if error.reason != "topic_missing":
                raise
            raise CopyRefused(
                "the topics of [kafka] are not there: is this the right cluster? Where they are gone for good, nothing "
                "is known of what was published: --without-kafka",
                reason="kafka_incomplete",
            ) from error
        newest = next(reversed(await checkpoints(kafka, 0)), parent)
        if newest not in (parent, self._identity, self._wish.instead_of):
            raise CopyRefused(
                f"the newest checkpoint on Kafka is journal {newest}'s, and this is a copy of {parent}: if that one "
                f"was restored from such a copy and is lost as well, add --instead-of {newest}; if it is another "
                "installation's, give this one a [kafka] transactional_id_prefix of its own",
                reason="copy_of_another",
            )
        if newest != parent:
            await _fence(kafka, newest)
        found = await checkpoints(kafka, 0)
        self._lost = {journal: found.get(journal) for journal in (parent, newest)}

    def _check_complete(self, told: Past) -> None:
        if told.forgotten and not self._wish.accepts_doubles:
            raise CopyRefused(
                f"Kafka let go of records since the copy was made ({', '.join(told.forgotten)}): what of them comes "
                "again would be published again, under the same ids, and numbers would come twice. --accept-doubles "
                "goes on all the same",
                reason="kafka_incomplete",
            )

    async def _read(self, kafka: KafkaSettings, told: Past, new: RestoredFile, wanted: set[Name]) -> _Found:
        found, ids, done = _Found(), [], 0
        show = self._progress("reading Kafka")
        async for record in told.records():
            done += 1
            show(min(done, told.total), told.total)
            headers = dict(record.headers)
            event_id = headers.get(EVENT_ID, b"").decode(errors="replace")
            name = Name(topic=record.topic, event_id=event_id, replay=headers.get(REPLAY))
            if name in wanted:
                found.names.add(name)
            if record.topic == kafka.events_topic and event_id and SEQUENCE in headers:
                ids.append(event_id)
                _count(found.sequences, record.key or b"", headers[SEQUENCE])
            if len(ids) >= BATCH:
                new.take(ids)
                ids.clear()
        new.take(ids)
        return found

    def _position(
        self, new: RestoredFile, waiting: Sequence[Waiting], found: _Found, checkpoint: Checkpoint | None
    ) -> int:
        try:
            position = published_up_to(
                mark=new.mark,
                end=new.end,
                waiting=waiting,
                found=found.names,
                checkpoint=checkpoint,
                chain=lambda seq: new.place(seq)[1],
            )
            check_numbers(waiting, position, found.sequences)
        except CopyRefused:
            if not self._wish.accepts_doubles:
                raise
            return found_up_to(new.mark, waiting, found.names)
        return position

    async def _begin(self, kafka: KafkaSettings, first: Checkpoint) -> None:
        """From here on the new journal's checkpoint is the newest, and whoever still runs an old one stops."""
        publisher = _publisher(kafka, first.journal)
        try:
            await publisher.start()
            await publisher.publish([], first)
        finally:
            await publisher.abandon()
        for journal in self._lost.keys() - {first.journal}:
            await _fence(kafka, journal)
        found = await checkpoints(kafka, 0)
        for journal in self._lost.keys() - {first.journal}:
            if found.get(journal) != self._lost[journal]:
                raise CopyRefused(
                    f"journal {journal} published something just now: a paymux still runs on it somewhere. Stop it, "
                    "then restore again"
                )


def _count(sequences: dict[str, int], key: bytes, told: bytes) -> None:
    name, number = key.decode(errors="replace"), int(told) if told.isdigit() else 0
    sequences[name] = max(number, sequences.get(name, 0))


def _publisher(kafka: KafkaSettings, journal: str) -> KafkaPublisher:
    return KafkaPublisher(replace(kafka, create_topics=False), journal=journal, shard=0)


async def _fence(kafka: KafkaSettings, journal: str) -> None:
    publisher = _publisher(kafka, journal)
    try:
        await publisher.start()
    finally:
        await publisher.abandon()


def _folded(file: Path) -> None:
    """Its WAL goes into it, where it is whole."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(file)) as old:
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
