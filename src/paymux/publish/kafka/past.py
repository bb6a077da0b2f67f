"""What was published before: for a journal that was lost, and whose copy must know it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from paymux.publish.kafka.connection import let_go, within
from paymux.publish.kafka.positions import newest_of_each
from paymux.publish.kafka.reading import Consumed, consumed
from paymux.publish.kafka.topics import partition_counts_there

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from datetime import datetime

    from paymux.publish import Checkpoint
    from paymux.publish.kafka.connection import KafkaSettings

_POLL_MS: Final = 200


@dataclass(kw_only=True)
class Past:
    """Every committed record of some topics since a time, up to what was there when it began. `begins` are the places
    where reading begins, `total` is how many offsets it passes over. `forgotten` are partitions of which Kafka let go
    of records that may be younger than that time.
    """

    begins: Mapping[TopicPartition, int]
    ends: Mapping[TopicPartition, int]
    forgotten: tuple[str, ...]
    _consumer: AIOKafkaConsumer = field(repr=False)
    _patience: float

    @property
    def total(self) -> int:
        return sum(end - self.begins[place] for place, end in self.ends.items())

    async def records(self) -> AsyncIterator[Consumed]:
        """Raises BrokerUnavailable where Kafka gives no more, as where somebody's transaction is open."""
        left = {place for place, end in self.ends.items() if self.begins[place] < end}
        if not left:
            return
        # No await between assigning and seeking: the consumer's own reset would win now and then.
        self._consumer.assign(list(left))
        for place in left:
            self._consumer.seek(place, self.begins[place])
        while left:
            async with within(self._patience, "reading what was published"):
                found = await self._next(left)
            for record in found:
                yield record

    async def _next(self, left: set[TopicPartition]) -> list[Consumed]:
        """Some records, or none where a partition ended. The caller sets the deadline."""
        while True:
            batches = await self._consumer.getmany(*left, timeout_ms=_POLL_MS)
            found = [
                consumed(each) for place, batch in batches.items() for each in batch if each.offset < self.ends[place]
            ]
            ended = {place for place in left if await self._consumer.position(place) >= self.ends[place]}
            left -= ended
            if found or ended:
                return found


@asynccontextmanager
async def past(settings: KafkaSettings, topics: Iterable[str], since: datetime | None) -> AsyncIterator[Past]:
    """`since` None: from the beginning. Topics that are not there have no past. Raises BrokerUnavailable."""
    there = await partition_counts_there(settings, topics)
    places = [TopicPartition(topic, number) for topic, count in there.items() for number in range(count)]
    arguments = {**settings.client_arguments(), "auto_offset_reset": "none", "enable_auto_commit": False}
    consumer = AIOKafkaConsumer(**arguments, isolation_level="read_committed")
    try:
        async with within(settings.start_deadline, "looking for what was published"):
            await consumer.start()
            first, begins, ends = await _bounds(arguments, places, since)
        forgotten = [place for place in places if first[place] and begins.get(place, ends[place]) <= first[place]]
        yield Past(
            begins={place: begins.get(place, ends[place]) for place in places},
            ends=ends,
            forgotten=tuple(f"{place.topic}/{place.partition}" for place in forgotten),
            _consumer=consumer,
            _patience=settings.start_deadline,
        )
    finally:
        await let_go(consumer.stop())


async def checkpoints(settings: KafkaSettings, shard: int) -> dict[str, Checkpoint]:
    """By journal, the newest written last: each journal's last one. Raises BrokerUnavailable, RelayStopped."""
    async with within(settings.start_deadline, "reading the checkpoints"):
        found = await newest_of_each(settings, shard)
    return {journal: position.checkpoint for journal, position in found.items()}


async def _bounds(
    arguments: Mapping[str, object], places: list[TopicPartition], since: datetime | None
) -> tuple[dict[TopicPartition, int], ...]:
    """The oldest offset of each, the first one as young as `since` where there is one, and the end. Beyond open
    transactions, too: what is committed there counts, once they end.
    """
    consumer = AIOKafkaConsumer(**arguments, isolation_level="read_uncommitted")
    try:
        await consumer.start()
        first, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        if since is None:
            return first, first, ends
        found = await consumer.offsets_for_times(dict.fromkeys(places, int(since.timestamp() * 1000)))
        return first, {place: at.offset for place, at in found.items() if at is not None}, ends
    finally:
        await let_go(consumer.stop())
