"""The two brokers that every Publisher is held to: a log in memory, and Apache Kafka."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, OffsetSpec

from paymux.publish.kafka import KafkaPublisher, KafkaSettings
from paymux.publish.memory import Fault, MemoryLog, MemoryPublisher
from tests.outboxes import JOURNAL

if TYPE_CHECKING:
    from collections.abc import Mapping


class MemoryWorld:
    def __init__(self) -> None:
        self.log = MemoryLog(partitions=4)
        self.events_topic = self.log.events_topic
        self.quarantine_topic = "payments.quarantine.v1"

    def publisher(self, *, journal=JOURNAL, shard=0, prefix="paymux", accept_partitions=None) -> MemoryPublisher:
        return MemoryPublisher(
            self.log, journal=journal, shard=shard, prefix=prefix, accept_partitions=accept_partitions
        )

    async def visible(self, topic: str | None = None) -> list[tuple[int, bytes, bytes]]:
        return [(number, r.key, r.value) for number, r in self.log.committed(topic or self.events_topic)]

    def break_at(self, fault: Fault) -> None:
        self.log.fault = fault

    def heal(self) -> None:
        self.log.fault = None

    async def grow(self, partitions: int) -> None:
        self.log.partitions = partitions

    async def forget_checkpoints(self) -> None:
        self.log.checkpoints.clear()

    async def close(self) -> None:
        pass


class KafkaWorld:
    """Topics of its own on the session's broker, reached through a proxy."""

    def __init__(self, kafka, proxy) -> None:
        mark = uuid4().hex[:8]
        self.kafka = kafka
        self.proxy = proxy
        self.settings = KafkaSettings(
            bootstrap_servers=f"127.0.0.1:{kafka.proxy}",
            events_topic=f"events-{mark}",
            quarantine_topic=f"quarantine-{mark}",
            checkpoints_topic=f"checkpoints-{mark}",
            shards=2,
            events_partitions=4,
            request_timeout=1.5,
        )
        self.events_topic = self.settings.events_topic
        self.quarantine_topic = self.settings.quarantine_topic
        self._admin = kafka.admin

    def publisher(self, *, journal=JOURNAL, shard=0, prefix="paymux", **changes) -> KafkaPublisher:
        settings = replace(self.settings, transactional_id_prefix=prefix, **changes)
        return KafkaPublisher(settings, journal=journal, shard=shard)

    async def visible(self, topic: str | None = None) -> list[tuple[int, bytes, bytes]]:
        return await asyncio.to_thread(read_committed, self.kafka.bootstrap_servers, topic or self.events_topic)

    def break_at(self, fault: Fault) -> None:
        self.proxy.break_at(fault)

    def heal(self) -> None:
        self.proxy.heal()

    async def grow(self, partitions: int) -> None:
        futures = self._admin.create_partitions([NewPartitions(self.events_topic, partitions)])
        await asyncio.to_thread(futures[self.events_topic].result, 10)
        # Until every reader of the metadata may know.
        while len(self._admin.list_topics(self.events_topic).topics[self.events_topic].partitions) < partitions:
            await asyncio.sleep(0.05)

    async def forget_checkpoints(self) -> None:
        topic = self.settings.checkpoints_topic
        await asyncio.to_thread(self._admin.delete_topics([topic])[topic].result, 10)
        while topic in self._admin.list_topics().topics:
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        pass


def read_committed(
    bootstrap_servers: str, topic: str, timeout: float = 20.0, *, security: Mapping[str, str] | None = None
) -> list[tuple[int, bytes, bytes]]:
    """Everything that librdkafka's consumer sees with isolation.level=read_committed: (partition, key, value)."""
    client = {"bootstrap.servers": bootstrap_servers, "log_level": 0, **(security or {})}
    consumer = Consumer(
        {
            **client,
            "group.id": f"outside-{uuid4().hex}",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=timeout).topics[topic].partitions
        _wait_for_markers(client, [TopicPartition(topic, number) for number in partitions])
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        found, ended = [], set()
        while len(ended) < len(partitions):
            message = consumer.poll(timeout)
            if message is None:
                raise TimeoutError(f"{topic} does not end")
            if message.error() is None:
                found.append((message.partition(), message.key(), message.value()))
            elif message.error().name() == "_PARTITION_EOF":
                ended.add(message.partition())
            else:
                raise KafkaException(message.error())
        return found
    finally:
        consumer.close()


def _wait_for_markers(client: Mapping[str, object], partitions: list[TopicPartition], patience: float = 2.0) -> None:
    """A commit is answered before its markers lie in every partition. An open transaction leaves them out for good, so
    this waits for a moment only.
    """
    admin = AdminClient(dict(client))
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        stable, written = (
            [
                future.result(10).offset
                for future in admin.list_offsets(
                    {partition: OffsetSpec.latest() for partition in partitions}, isolation_level=level
                ).values()
            ]
            for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        )
        if stable == written:
            return
        time.sleep(0.02)
