"""What must be true of what a consumer reads."""

from __future__ import annotations

import ctypes
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from confluent_kafka import cimpl

if TYPE_CHECKING:
    from faults.readers import Read


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
