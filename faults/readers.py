"""Kafka read by another client library, as a consumer that wants exactly once."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from faults.gateways import PATIENCE

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A committed record."""

    topic: str
    partition: int
    partitions: int
    offset: int
    key: str
    raw: bytes
    headers: tuple[tuple[str, bytes], ...]

    @property
    def event(self) -> Json:
        found: Json = json.loads(self.raw)
        return found


async def read(servers: str, topic: str) -> list[Read]:
    """All that is committed in a topic now, partition by partition, by librdkafka."""
    return await asyncio.to_thread(_read, servers, topic)


def _read(servers: str, topic: str) -> list[Read]:
    ends = _ends(servers, topic)
    if not any(ends.values()):
        return []
    consumer = _consumer(servers, "read_committed")
    try:
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in ends])
        return sorted(_until(consumer, ends), key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()


def _ends(servers: str, topic: str) -> dict[int, int]:
    """Where each partition ends, open transactions and all: Kafka answers a commit before it has marked every one."""
    consumer = _consumer(servers, "read_uncommitted")
    try:
        found = consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
        places = [TopicPartition(topic, number) for number in found]
        return {place.partition: consumer.get_watermark_offsets(place, timeout=PATIENCE)[1] for place in places}
    finally:
        consumer.close()


def _consumer(servers: str, isolation: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "acceptance",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
    )


def _until(consumer: Consumer, ends: dict[int, int]) -> list[Read]:
    left, found, deadline = {number: end for number, end in ends.items() if end}, [], time.monotonic() + PATIENCE
    while left:
        assert time.monotonic() < deadline, f"what ends at {left} does not come: is a transaction open?"
        for message in consumer.consume(500, timeout=0.2):
            error = message.error()
            if error is None:
                found.append(_record(message, len(ends)))
            else:
                assert error.name() == "_PARTITION_EOF", error
                number, offset = message.partition(), message.offset()
                if number in left and offset is not None and offset >= left[number]:
                    del left[number]
    return found


def _record(message: Any, count: int) -> Read:
    return Read(
        topic=message.topic(),
        partition=message.partition(),
        partitions=count,
        offset=message.offset(),
        key=message.key().decode(),
        raw=message.value() or b"",
        headers=tuple(message.headers() or ()),
    )
