"""Reading topics as a consumer does that wants exactly once: committed records only, no group, no offsets stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from paymux.publish.kafka.connection import let_go, within
from paymux.publish.kafka.topics import partition_counts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from paymux.publish.kafka.connection import KafkaSettings

_POLL_MS: Final = 1000


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
    consumer = AIOKafkaConsumer(
        **settings.client_arguments(),
        isolation_level="read_committed",
        auto_offset_reset="none",
        enable_auto_commit=False,
        metadata_max_age_ms=10_000,
    )
    try:
        async with within(settings.start_deadline, "starting to read"):
            await _begin(consumer, settings, list(topics), from_beginning=from_beginning)
        while True:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    yield Consumed(
                        topic=record.topic,
                        partition=record.partition,
                        offset=record.offset,
                        key=record.key,
                        value=record.value,
                        headers=tuple(record.headers),
                        timestamp=record.timestamp,
                    )
    finally:
        await let_go(consumer.stop())


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
