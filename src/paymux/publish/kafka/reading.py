"""Reading topics as a consumer does that wants exactly once: committed records only, no group, no offsets stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from paymux.publish.kafka.connection import let_go, within
from paymux.publish.kafka.topics import partition_counts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence
    from datetime import datetime

    from aiokafka.structs import ConsumerRecord

    from paymux.publish.kafka.connection import KafkaSettings

FIND_SECONDS: Final = 60.0

_POLL_MS: Final = 1000
_MARGIN: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """A record as a consumer gets it. `timestamp` in unix milliseconds."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int


async def consume(
    settings: KafkaSettings, topics: Iterable[str], *, from_beginning: bool = False
) -> AsyncGenerator[Consumed, None]:
    """Every committed record of the topics, without end; from now on, or from the beginning of what Kafka still has.

    Raises BrokerUnavailable if it cannot begin; later it waits for the broker to come back. Close the generator
    (contextlib.aclosing) to let go of the connection.
    """
    consumer = _consumer(settings)
    try:
        async with within(settings.start_deadline, "starting to read"):
            await _begin(consumer, settings, list(topics), from_beginning=from_beginning)
        while True:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    yield consumed(record)
    finally:
        await let_go(consumer.stop())


async def places(
    settings: KafkaSettings, topics: Iterable[str], event_ids: Iterable[str], since: datetime
) -> dict[str, tuple[Consumed, ...]]:
    """Where these events are, as far as Kafka still has them: looked for from a minute before `since`, in all that is
    there now.

    Raises BrokerUnavailable.
    """
    consumer = _consumer(settings)
    wanted = {event_id.encode() for event_id in event_ids}
    found: dict[str, list[Consumed]] = {}
    try:
        async with within(settings.start_deadline, "starting to read"):
            ends = await _since(consumer, settings, list(topics), since)
        async with within(FIND_SECONDS, "looking for the events"):
            while any([await consumer.position(place) < end for place, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    for record in map(consumed, records):
                        if (event_id := dict(record.headers).get("ce_id")) in wanted:
                            found.setdefault(event_id.decode(), []).append(record)
    finally:
        await let_go(consumer.stop())
    return {event_id: tuple(records) for event_id, records in found.items()}


async def _since(
    consumer: AIOKafkaConsumer, settings: KafkaSettings, topics: Sequence[str], since: datetime
) -> dict[TopicPartition, int]:
    """Assigned, from that time on; where each partition ends that has anything to read."""
    await consumer.start()
    counts = await partition_counts(settings, topics)
    all_places = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    at = int((since - _MARGIN).timestamp() * 1000)
    begins = await consumer.offsets_for_times(dict.fromkeys(all_places, at))
    ends = await consumer.end_offsets(all_places)
    starts = {place: begin.offset for place, begin in begins.items() if begin is not None}
    consumer.assign(list(starts))
    for place, offset in starts.items():
        consumer.seek(place, offset)
    return {place: ends[place] for place in starts}


def _consumer(settings: KafkaSettings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        **settings.client_arguments(),
        isolation_level="read_committed",
        auto_offset_reset="none",
        enable_auto_commit=False,
        metadata_max_age_ms=10_000,
    )


def consumed(record: ConsumerRecord) -> Consumed:
    """Without what only aiokafka needs to know of it."""
    return Consumed(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        timestamp=record.timestamp,
    )


async def _begin(
    consumer: AIOKafkaConsumer, settings: KafkaSettings, topics: Sequence[str], *, from_beginning: bool
) -> None:
    counts = await partition_counts(settings, topics)
    await consumer.start()
    places = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    offsets = await (consumer.beginning_offsets(places) if from_beginning else consumer.end_offsets(places))
    # No await between assigning and seeking: the consumer's own reset would win now and then.
    consumer.assign(places)
    for place, offset in offsets.items():
        consumer.seek(place, offset)
