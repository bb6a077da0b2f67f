"""Kafka read by another client library, as a consumer that wants exactly once, and what must be true of what it reads."""

from __future__ import annotations

import asyncio
import ctypes
import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition, cimpl

from tests.acceptance.gateways import PATIENCE

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
                assert error.code() == KafkaError._PARTITION_EOF, error
                if message.offset() >= left.get(message.partition(), -1):
                    left.pop(message.partition(), None)
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


# --- what holds for every topic of events


def by_key(records: list[Read]) -> dict[str, list[Read]]:
    """In the order in which a consumer sees them."""
    found = defaultdict(list)
    for record in records:
        found[record.key].append(record)
    return dict(found)


def assert_exactly_once_and_in_order(records: list[Read]) -> None:
    """P3, P4: no id twice; one partition for each key, sequences from 1 without a gap, in the order of the log."""
    ids = Counter(record.event["id"] for record in records)
    assert [identity for identity, count in ids.items() if count > 1] == []
    for key, found in by_key(records).items():
        assert len({record.partition for record in found}) == 1, key
        sequences = [record.event["data"]["lifecycle"]["sequence"] for record in found]
        assert sequences == list(range(1, len(found) + 1)), key


def assert_placed_as_java_would(records: list[Read]) -> None:
    """By librdkafka's murmur2, which is Java's."""
    for record in records:
        assert record.partition == java_partition(record.key.encode(), record.partitions), record.key


def assert_headers_repeat_the_envelope(record: Read) -> None:
    event = record.event
    lifecycle = event["data"]["lifecycle"]
    told = {
        "content-type": b"application/cloudevents+json",
        "ce_id": event["id"].encode(),
        "ce_type": event["type"].encode(),
        "ce_source": event["source"].encode(),
        "paymux_sequence": str(lifecycle["sequence"]).encode(),
    }
    if lifecycle["transition"] is not None:
        told["paymux_transition"] = lifecycle["transition"].encode()
    assert dict(record.headers) == told
    assert len(record.headers) == len(told)


def java_partition(key: bytes, count: int) -> int:
    """librdkafka is linked into confluent-kafka's extension module."""
    function = ctypes.CDLL(cimpl.__file__).rd_kafka_msg_partitioner_murmur2
    function.restype = ctypes.c_int32
    pointer = ctypes.c_void_p
    function.argtypes = [pointer, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int32, pointer, pointer]
    place: int = function(None, key, len(key), count, None, None)
    return place
