"""The checkpoint records: written inside each transaction, read once at each start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from paymux.errors import RelayStopped
from paymux.publish import Checkpoint
from paymux.publish.kafka.connection import let_go

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from paymux.publish.kafka.connection import KafkaSettings

# Read from the tail, since every transaction writes a checkpoint; further back only where others share the partition.
_WINDOWS: Final = (1_000, 100_000)
_POLL_MS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A checkpoint as it stands on the topic. `partitions` is the count of the events topic at that time."""

    checkpoint: Checkpoint
    prefix: str
    partitions: int


def encode(position: Position) -> tuple[bytes, bytes]:
    """Key and value."""
    checkpoint = position.checkpoint
    value = {
        "journal": checkpoint.journal,
        "shard": checkpoint.shard,
        "seq": checkpoint.seq,
        "event_id": checkpoint.event_id,
        "chain": checkpoint.chain,
        "prefix": position.prefix,
        "partitions": position.partitions,
    }
    return f"{checkpoint.journal}/{checkpoint.shard}".encode(), orjson.dumps(value)


def decode(value: bytes | None, prefix: str) -> Position | None:
    """None for what others wrote. Raises RelayStopped for one of ours that cannot be read."""
    try:
        fields = orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(fields, dict) or fields.get("prefix") != prefix:
        return None
    match fields:
        case {
            "journal": str(journal),
            "shard": int(shard),
            "seq": int(seq),
            "event_id": str(event_id),
            "chain": str(chain),
            "partitions": int(partitions),
        }:
            checkpoint = Checkpoint(journal=journal, shard=shard, seq=seq, event_id=event_id, chain=chain)
            return Position(checkpoint=checkpoint, prefix=prefix, partitions=partitions)
    raise RelayStopped(
        f'A checkpoint with prefix "{prefix}" is not in a form that this version knows. Was a newer paymux here?',
        reason="checkpoint_unreadable",
    )


async def newest(settings: KafkaSettings, shard: int) -> Position | None:
    """The last checkpoint of any journal under our prefix, up to the high watermark. The caller sets the deadline."""
    consumer = AIOKafkaConsumer(
        **settings.client_arguments(),
        isolation_level="read_committed",
        # Else the consumer's own reset to the end can win against our seek: the topic then looks empty now and then.
        auto_offset_reset="none",
        enable_auto_commit=False,
        fetch_max_wait_ms=_POLL_MS,
    )
    try:
        await consumer.start()
        return await _search(consumer, TopicPartition(settings.checkpoints_topic, shard), settings)
    finally:
        await let_go(consumer.stop())


async def newest_of_each(settings: KafkaSettings, shard: int) -> dict[str, Position]:
    """By journal, in the order in which they were written: the last checkpoint of each that published under our prefix,
    as far as compaction left it. Reads the whole partition; the caller sets the deadline.
    """
    consumer = AIOKafkaConsumer(
        **settings.client_arguments(),
        isolation_level="read_committed",
        auto_offset_reset="none",
        enable_auto_commit=False,
        fetch_max_wait_ms=_POLL_MS,
    )
    found: dict[str, Position] = {}
    try:
        await consumer.start()
        place = TopicPartition(settings.checkpoints_topic, shard)
        beginning = (await consumer.beginning_offsets([place]))[place]
        async for value in _values(consumer, place, beginning, None):
            position = decode(value, settings.transactional_id_prefix)
            if position is not None:
                found.pop(position.checkpoint.journal, None)
                found[position.checkpoint.journal] = position
    finally:
        await let_go(consumer.stop())
    return found


async def _search(consumer: AIOKafkaConsumer, tp: TopicPartition, settings: KafkaSettings) -> Position | None:
    beginning = (await consumer.beginning_offsets([tp]))[tp]
    stable = (await consumer.end_offsets([tp]))[tp]
    starts = [max(beginning, stable - window) for window in _WINDOWS] + [beginning]
    until: int | None = None
    for start in dict.fromkeys(starts):
        found = None
        async for value in _values(consumer, tp, start, until):
            found = decode(value, settings.transactional_id_prefix) or found
        if found:
            return found
        until = start
    return None


async def _values(
    consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, until: int | None
) -> AsyncIterator[bytes | None]:
    """The values from `start` to `until`; None stands for the high watermark when reading begins.

    Only committed records are read, so this waits while a transaction below the watermark is open. Control records
    take offsets too: what counts is the position.
    """
    # No await between these two: see auto_offset_reset.
    consumer.assign([tp])
    consumer.seek(tp, start)
    while until is None or await consumer.position(tp) < until:
        batches = await consumer.getmany(tp, timeout_ms=_POLL_MS)
        for record in batches.get(tp, ()):
            if until is None or record.offset < until:
                yield record.value
        if until is None:
            until = consumer.highwater(tp)
