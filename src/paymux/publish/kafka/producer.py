"""One shard's transactional producer."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import aiokafka.producer.sender
from aiokafka import AIOKafkaProducer, TopicPartition, errors

from paymux.errors import BrokerUnavailable, RelayStopped
from paymux.publish import Positions
from paymux.publish.kafka.connection import explain_unreachable, let_go, within
from paymux.publish.kafka.positions import Position, encode, newest
from paymux.publish.kafka.topics import check_topics
from paymux.publish.partitions import partition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from paymux.publish import Checkpoint
    from paymux.publish.kafka.connection import KafkaSettings
    from paymux.publish.kafka.topics import TopicReport
    from paymux.records import Record

# For a few milliseconds after a commit a broker answers CONCURRENT_TRANSACTIONS to the next transaction. aiokafka then
# waits 20 ms (47 transactions a second); with 1 ms a transaction takes about 5 ms, as in librdkafka.
aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.001

LARGEST_BATCH: Final = 262_144
_ABANDON_SECONDS: Final = 1.0
_JOIN_SECONDS: Final = 0.001  # between two looks at whether all partitions are part of the transaction
_METADATA_MS: Final = 10_000


class KafkaPublisher:
    """Publisher over one aiokafka producer; `on_topics` gets what was found of the topics at each start.

    Raises BrokerUnavailable with these reasons: broker_unavailable, not_authorized, fenced, topic_missing, topic_unfit;
    RelayStopped: partitions_changed, record_refused, checkpoint_unreadable.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        journal: str,
        shard: int,
        on_topics: Callable[[TopicReport], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._shard = shard
        self._on_topics = on_topics
        self._transactional_id: str | None = f"{settings.transactional_id_prefix}-{journal}-{shard}"
        if settings.positions is Positions.JOURNAL:
            # librdkafka's mock ends a transaction with a batch whose CRC is wrong: consumers that check it stop there.
            self._transactional_id = None
        self._producer: AIOKafkaProducer | None = None
        self._partitions = 0
        self._largest_batch = LARGEST_BATCH

    async def start(self) -> Checkpoint | None:
        async with within(self._settings.start_deadline, "starting the producer"):
            report = await check_topics(self._settings)
            self._on_topics(report)
            self._partitions = report.events_partitions
            self._largest_batch = min(LARGEST_BATCH, (report.largest_batch or LARGEST_BATCH) // 2)
            await self._start_producer()
            if self._settings.positions is Positions.JOURNAL:
                return None
            return self._accepted(await newest(self._settings, self._shard))

    async def publish(self, records: Sequence[Record], checkpoint: Checkpoint) -> None:
        producer = self._started()
        async with within(self._settings.publish_deadline, "publishing"):
            counts = await self._counts(producer, records)
            if self._transactional_id is not None:
                await producer.begin_transaction()
            # All answers before the commit: aiokafka would commit without a batch that failed.
            await asyncio.gather(*await self._send(producer, records, checkpoint, counts))
            if self._transactional_id is not None:
                await producer.commit_transaction()

    async def abandon(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await _abandoned(producer)

    async def _start_producer(self) -> None:
        settings = self._settings
        self._producer = AIOKafkaProducer(
            **settings.client_arguments(),
            acks="all",
            enable_idempotence=True,
            transactional_id=self._transactional_id,
            transaction_timeout_ms=int(settings.transaction_timeout * 1000),
            metadata_max_age_ms=_METADATA_MS,
            max_batch_size=self._largest_batch,
        )
        try:
            await self._producer.start()
        except errors.KafkaConnectionError:
            raise await explain_unreachable(settings) from None

    def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("start it first")
        return self._producer

    def _accepted(self, position: Position | None) -> Checkpoint | None:
        if position is None:
            return None
        self._check_partitions(position.partitions, self._partitions)
        return position.checkpoint

    async def _counts(self, producer: AIOKafkaProducer, records: Sequence[Record]) -> dict[str, int]:
        """Each topic's partitions, as the metadata has them now. Raises RelayStopped if the events topic grew."""
        topics = {record.topic for record in records} | {self._settings.events_topic}
        counts = {topic: await _count(producer, topic) for topic in topics}
        now = counts[self._settings.events_topic]
        self._check_partitions(self._partitions, now)
        self._partitions = now
        return counts

    def _check_partitions(self, before: int, now: int) -> None:
        if now not in (before, self._settings.accept_partitions):
            raise RelayStopped(
                f"The events topic {self._settings.events_topic} had {before} partitions and has {now} now.",
                reason="partitions_changed",
            )

    async def _send(
        self,
        producer: AIOKafkaProducer,
        records: Sequence[Record],
        checkpoint: Checkpoint,
        counts: Mapping[str, int],
    ) -> list[asyncio.Future[Any]]:
        """Batches built here, one for each partition: a third of the time that a `send` for each record takes."""
        position = Position(
            checkpoint=checkpoint, prefix=self._settings.transactional_id_prefix, partitions=self._partitions
        )
        batches = _Batches(producer)
        for record in records:
            place = TopicPartition(record.topic, partition(record.key, counts[record.topic]))
            batches.add(place, record.key, record.value, record.headers)
        key, value = encode(position)
        batches.add(TopicPartition(self._settings.checkpoints_topic, self._shard), key, value, ())
        return await batches.sent()


class _Batches:
    """The batches of each partition, in order: one that is full is followed by another."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._batches: dict[TopicPartition, list[Any]] = defaultdict(list)

    def add(self, place: TopicPartition, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        batches = self._batches[place]
        if not batches or batches[-1].append(key=key, value=value, timestamp=None, headers=list(headers)) is None:
            batches.append(self._producer.create_batch())
            self.add(place, key, value, headers)

    async def sent(self) -> list[asyncio.Future[Any]]:
        await _join(self._producer, self._batches)
        return [
            await self._producer.send_batch(batch, place.topic, partition=place.partition)
            for place, batches in self._batches.items()
            for batch in batches
        ]


async def _join(producer: AIOKafkaProducer, places: Iterable[TopicPartition]) -> None:
    """Make all of them part of the transaction, before anything is sent to one.

    Where one may not be joined, aiokafka would send to it all the same. Kafka takes that if it has yet to write the
    marker of our last commit there, and with that marker it is committed: without the others, or their checkpoint.
    """
    transaction = producer._txn_manager  # noqa: SLF001
    for place in places:
        transaction.maybe_add_partition_to_txn(place)
    while transaction.partitions_to_add():  # noqa: ASYNC110  # aiokafka tells nobody
        await asyncio.sleep(_JOIN_SECONDS)
    waiter = transaction.wait_for_transaction_end()
    if waiter is not None and waiter.done():
        waiter.result()


async def _count(producer: AIOKafkaProducer, topic: str) -> int:
    """A record goes to the topic that it was decided for, also once [kafka] names another."""
    try:
        return len(await producer.partitions_for(topic))
    except errors.UnknownTopicOrPartitionError:
        raise BrokerUnavailable(
            f"Missing on Kafka: {topic}. Records wait that were decided for it, and they go nowhere else, whatever "
            "[kafka] names now: create it again, with as many partitions as it had.",
            reason="topic_missing",
        ) from None


async def _abandoned(producer: AIOKafkaProducer) -> None:
    """Not `stop`, which first waits for what was sent, for ever without a broker."""
    producer._closed = True  # noqa: SLF001  # else it complains when it is collected
    task = producer._sender.sender_task  # noqa: SLF001
    if task is not None:
        await _end(task)
    _forget_errors(producer)
    await let_go(producer.client.close())


async def _end(task: asyncio.Task[Any]) -> None:
    """The sender answers a first cancellation by waiting for its requests, and the next ones by giving those up."""
    deadline = asyncio.get_running_loop().time() + _ABANDON_SECONDS
    while not task.done() and asyncio.get_running_loop().time() < deadline:
        task.cancel()
        await asyncio.wait([task], timeout=0.05)
    if task.done() and not task.cancelled():
        task.exception()


def _forget_errors(producer: AIOKafkaProducer) -> None:
    waiter = producer._txn_manager.wait_for_transaction_end()  # noqa: SLF001
    if waiter is not None and waiter.done() and not waiter.cancelled():
        waiter.exception()
