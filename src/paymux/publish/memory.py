"""A broker's log in memory and a Publisher over it, with fencing, transactions and checkpoints as on the real one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from paymux.errors import BrokerUnavailable, RelayStopped
from paymux.publish.partitions import partition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from paymux.publish import Checkpoint
    from paymux.records import Record


class Fault(StrEnum):
    """Where in a transaction the connection breaks."""

    START = "start"
    PRODUCE = "produce"
    COMMIT = "commit"
    COMMITTED = "committed"


class Outcome(StrEnum):
    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(slots=True)
class Transaction:
    outcome: Outcome = Outcome.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A record as the log keeps it; `transaction` decides whether a reader sees it."""

    transaction: Transaction
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    transaction: Transaction
    prefix: str
    partitions: int
    checkpoint: Checkpoint


@dataclass(slots=True, kw_only=True)
class MemoryLog:
    """What all publishers of one broker share. `fault` breaks the next transaction there, once."""

    events_topic: str = "payments.events.v1"
    partitions: int = 12
    other_partitions: int = 3
    max_message_bytes: int = 1_048_588
    fault: Fault | None = None
    topics: dict[str, dict[int, list[Logged]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    checkpoints: list[_Written] = field(default_factory=list)
    owners: dict[str, MemoryPublisher] = field(default_factory=dict)

    def committed(self, topic: str) -> Iterator[tuple[int, Logged]]:
        """What a `read_committed` consumer sees: partition by partition, in order, up to the first open transaction."""
        for number, records in sorted(self.topics[topic].items()):
            for record in records:
                if record.transaction.outcome is Outcome.OPEN:
                    break
                if record.transaction.outcome is Outcome.COMMITTED:
                    yield number, record

    def count(self, topic: str) -> int:
        return self.partitions if topic == self.events_topic else self.other_partitions

    def newest(self, prefix: str, shard: int) -> _Written | None:
        """The last committed checkpoint of any journal under `prefix`."""
        for written in reversed(self.checkpoints):
            committed = written.transaction.outcome is Outcome.COMMITTED
            if committed and written.prefix == prefix and written.checkpoint.shard == shard:
                return written
        return None

    def break_at(self, fault: Fault) -> None:
        """Raises BrokerUnavailable if the connection is to break there."""
        if self.fault is fault:
            self.fault = None
            raise BrokerUnavailable(f"The connection broke at: {fault}.")


class MemoryPublisher:
    """Publisher over a MemoryLog. `accept_partitions` as in KafkaSettings."""

    def __init__(
        self,
        log: MemoryLog,
        *,
        journal: str,
        shard: int,
        prefix: str = "paymux",
        accept_partitions: int | None = None,
    ) -> None:
        self._log = log
        self._prefix = prefix
        self._shard = shard
        self._accept_partitions = accept_partitions
        self._transactional_id = f"{prefix}-{journal}-{shard}"
        self._partitions = 0
        self._transaction: Transaction | None = None

    async def start(self) -> Checkpoint | None:
        self._log.break_at(Fault.START)
        if owner := self._log.owners.get(self._transactional_id):
            owner.abort()
        self._log.owners[self._transactional_id] = self
        self._partitions = self._log.partitions
        written = self._log.newest(self._prefix, self._shard)
        if written is None:
            return None
        self._check_partitions(written.partitions, self._partitions)
        return written.checkpoint

    async def publish(self, records: Sequence[Record], checkpoint: Checkpoint) -> None:
        self._check_owner()
        self._check_partitions(self._partitions, self._log.partitions)
        self._partitions = self._log.partitions
        self._log.break_at(Fault.PRODUCE)
        self._check_sizes(records)
        transaction = self._transaction = Transaction()
        self._append(transaction, records, checkpoint)
        self._log.break_at(Fault.COMMIT)
        transaction.outcome = Outcome.COMMITTED
        self._transaction = None
        self._log.break_at(Fault.COMMITTED)

    async def abandon(self) -> None:
        """The open transaction stays open, as a dead producer's does until somebody fences it."""

    def abort(self) -> None:
        """What fencing does to an open transaction."""
        if self._transaction is not None:
            self._transaction.outcome = Outcome.ABORTED
            self._transaction = None

    def _append(self, transaction: Transaction, records: Sequence[Record], checkpoint: Checkpoint) -> None:
        for record in records:
            number = partition(record.key, self._log.count(record.topic))
            self._log.topics[record.topic][number].append(
                Logged(transaction=transaction, key=record.key, value=record.value, headers=record.headers)
            )
        self._log.checkpoints.append(
            _Written(transaction=transaction, prefix=self._prefix, partitions=self._partitions, checkpoint=checkpoint)
        )

    def _check_sizes(self, records: Sequence[Record]) -> None:
        largest = max((record.size for record in records), default=0)
        if largest > self._log.max_message_bytes:
            raise RelayStopped(f"The broker refuses a record of {largest} bytes.", reason="record_refused")

    def _check_owner(self) -> None:
        if self._log.owners.get(self._transactional_id) is not self:
            raise BrokerUnavailable("Another relay has taken over this shard.", reason="fenced")

    def _check_partitions(self, before: int, now: int) -> None:
        if now not in (before, self._accept_partitions):
            raise RelayStopped(
                f"The events topic {self._log.events_topic} had {before} partitions and has {now} now.",
                reason="partitions_changed",
            )
