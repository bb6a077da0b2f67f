"""Kafka, as the relay needs it: start and learn the position, publish a batch with its checkpoint, or fail."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paymux.records import Record


class Positions(StrEnum):
    """Who knows up to where everything is published: the checkpoint on Kafka, or, where the broker has transactions in
    name only, the journal's mark (then a crash publishes some events twice).
    """

    CHECKPOINT = "checkpoint"
    JOURNAL = "journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The record on the checkpoints topic that says up to which row of which journal everything is published. `chain`
    is that row's, so that a journal whose rows before it are others is found out.
    """

    journal: str
    shard: int
    seq: int
    event_id: str
    chain: str


class Publisher(Protocol):
    """One shard's way to Kafka. After any exception the object is used up: `abandon` it and make another.

    Every call has a deadline of its own. Raises BrokerUnavailable for an error, a timeout or a doubt, RelayStopped
    where trying again cannot help.
    """

    async def start(self) -> Checkpoint | None:
        """Fence every other owner of the shard, end its open transaction, and read the newest checkpoint of
        any journal for this shard up to a high watermark noted once. None: the topic never had one.
        """
        ...

    async def publish(self, records: Sequence[Record], checkpoint: Checkpoint) -> None:
        """All records, in order, and the checkpoint in one transaction; returns once it is committed."""
        ...

    async def abandon(self) -> None:
        """Let go of everything within a bounded time; never raises."""
        ...
