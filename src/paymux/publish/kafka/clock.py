"""The brokers' clock. Kafka has no question for it; the leader of its own metadata says, among the voters' states, when
it last heard of itself, which is now. Since Kafka 3.3. https://cwiki.apache.org/confluence/x/MwMtCw (KIP-836)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiokafka import errors
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from paymux.publish.kafka.topics import admin_client

if TYPE_CHECKING:
    from paymux.publish.kafka.connection import KafkaSettings

_METADATA: Final = "__cluster_metadata"
_TAGS: Final = ("tags", TaggedFields)
_STATE: Final = CompactArray(
    ("replica_id", Int32),
    ("log_end_offset", Int64),
    ("last_fetch_timestamp", Int64),
    ("last_caught_up_timestamp", Int64),
    _TAGS,
)


class _Answer(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 55
    API_VERSION = 1
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("index", Int32),
                        ("error_code", Int16),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("current_voters", _STATE),
                        ("observers", _STATE),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _Question(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 55
    API_VERSION = 1
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("partitions", CompactArray(("index", Int32), _TAGS)),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _DescribeQuorum(Request[_Question]):  # type: ignore[misc]
    API_KEY = 55

    def build(self, request_struct_class: type[_Question]) -> _Question:
        return request_struct_class([(_METADATA, [(0, {})], {})], {})


async def broker_clock(settings: KafkaSettings) -> float | None:
    """Seconds since 1970; None where the brokers do not tell (old ones, or without the right DESCRIBE on the cluster).

    Raises BrokerUnavailable.
    """
    async with admin_client(settings) as admin:
        try:
            answer = await admin._send_request(_DescribeQuorum())  # noqa: SLF001  # the one way to ask something new
        except (errors.KafkaError, NotImplementedError):
            # aiokafka raises the second where a broker knows the question only in other versions: before Kafka 3.3.
            return None
        return _leaders_time(answer.to_object())


def _leaders_time(answer: dict[str, Any]) -> float | None:
    times = [
        voter["last_caught_up_timestamp"] / 1000
        for topic in answer["topics"]
        for partition in topic["partitions"]
        for voter in partition["current_voters"]
        if voter["replica_id"] == partition["leader_id"] and voter["last_caught_up_timestamp"] > 0
    ]
    return times[0] if times else None
