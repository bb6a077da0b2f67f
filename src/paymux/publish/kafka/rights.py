"""What the configured credentials may do with the topics, as the brokers tell it. Nothing is tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiokafka import errors
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from paymux.publish.kafka.topics import admin_client

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from paymux.publish.kafka.connection import KafkaSettings

# Kafka's numbers of operations. https://kafka.apache.org/documentation/#operations_resources_and_protocols
_OPERATIONS: Final[Mapping[str, int]] = {"READ": 3, "WRITE": 4, "DESCRIBE": 8, "DESCRIBE_CONFIGS": 10}


class _Answer(Response):  # type: ignore[misc]  # aiokafka has no types
    """Metadata v8: the last one that is not flexible."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8")))),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("index", Int32),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline", Array(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("operations", Int32),
    )


class _Question(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _Rights(Request[_Question]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[_Question]) -> _Question:
        return request_struct_class(self._topics, False, False, True)  # noqa: FBT003  # in the order of the schema


async def missing_rights(settings: KafkaSettings) -> list[str]:
    """`WRITE on topic payments.events.v1` and the like; empty where brokers are too old to tell (before 2.3).

    Raises BrokerUnavailable.
    """
    wanted = {
        settings.events_topic: ("DESCRIBE", "WRITE", "DESCRIBE_CONFIGS"),
        settings.quarantine_topic: ("DESCRIBE", "WRITE", "DESCRIBE_CONFIGS"),
        settings.checkpoints_topic: ("DESCRIBE", "READ", "WRITE", "DESCRIBE_CONFIGS"),
    }
    async with admin_client(settings) as admin:
        try:
            answer = await admin._send_request(_Rights(wanted))  # noqa: SLF001  # the one way to ask something new
        except (errors.KafkaError, NotImplementedError):
            # aiokafka raises the second where a broker knows the question only in other versions: before Kafka 2.3.
            return []
        told = {topic["name"]: topic for topic in answer.to_object()["topics"]}
    return [right for name, rights in wanted.items() for right in _missing(name, rights, told[name])]


def _missing(name: str, rights: Iterable[str], topic: Mapping[str, int]) -> Iterator[str]:
    """A topic that is not there says nothing of rights."""
    if topic["error_code"] == errors.TopicAuthorizationFailedError.errno:
        yield f"DESCRIBE on topic {name}"
    elif topic["error_code"] == errors.NoError.errno and topic["operations"] >= 0:
        yield from (f"{right} on topic {name}" for right in rights if not topic["operations"] >> _OPERATIONS[right] & 1)
