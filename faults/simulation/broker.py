"""Kafka as far as exactly once rests on it, and a Publisher over a network that loses, delays and repeats nothing.

Transactions by epoch: initialising fences every older epoch and ends what it left open; commit markers are written one
partition after the other, after the commit was answered; a transaction that takes too long is aborted. A request may be
lost before it arrives, its answer after it was obeyed, or it may arrive when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from faults.simulation.loop import this_loop
from paymux.errors import BrokerUnavailable
from paymux.publish.partitions import partition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from faults.simulation.nature import Chance
    from paymux.publish import Checkpoint
    from paymux.records import Record

T = TypeVar("T")
Place = tuple[str, int]  # topic, partition

CHECKPOINTS: Final[Place] = ("paymux.checkpoints", 0)
PARTITIONS: Final = 6
DEADLINE: Final = 10.0
TRANSACTION_TIMEOUT: Final = 20.0
USUAL_HOP: Final = 0.0005
_AGAIN: Final = 0.02


class Outcome(StrEnum):
    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(eq=False, slots=True)
class Transaction:
    """`outcomes` is what each partition's marker says so far; `decided` is final once it is not OPEN."""

    outcomes: dict[Place, Outcome] = field(default_factory=dict)
    decided: Outcome = Outcome.OPEN


@dataclass(frozen=True, slots=True)
class Logged:
    """`transaction` None: written outside of any."""

    record: Record | Checkpoint
    transaction: Transaction | None


@dataclass(eq=False, slots=True)
class Producer:
    """The newest epoch of a transactional id."""

    epoch: int = 0
    transaction: Transaction | None = None


class _Refused(Exception):
    """The broker's answer. `again`: it says to ask again soon."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again


@dataclass(eq=False, slots=True, kw_only=True)
class Broker:
    """`up` and `slow` (seconds a hop) are moods that the world sets."""

    chance: Chance
    up: bool = True
    slow: float = 0.0
    fences: bool = True
    logs: dict[Place, list[Logged]] = field(default_factory=lambda: defaultdict(list))
    producers: dict[str, Producer] = field(default_factory=lambda: defaultdict(Producer))

    async def ask(self, request: Callable[[], T]) -> T:
        """The answer, unless a part of the way there and back is lost: then never. Raises _Refused."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if not self.chance.breaks("a request is lost", 0.008):
            delay = self._hop()
            if self.chance.breaks("a request arrives late", 0.008):
                delay += self.chance.dice.uniform(1.0, 40.0)
            this_loop().outside(delay, self._obey, request, answer)
        return await answer

    def committed(self) -> Iterator[tuple[Place, int, Record]]:
        """What a `read_committed` consumer sees: place, offset, record."""
        for place, log in sorted(self.logs.items()):
            for offset, logged in enumerate(log[: self.stable(place)]):
                if self._is_visible(logged, place) and place != CHECKPOINTS:
                    yield place, offset, logged.record  # type: ignore[misc]  # only that place has checkpoints

    def stable(self, place: Place) -> int:
        """The last stable offset: everything before it is decided."""
        for offset, logged in enumerate(self.logs[place]):
            if logged.transaction and logged.transaction.outcomes.get(place, Outcome.OPEN) is Outcome.OPEN:
                return offset
        return len(self.logs[place])

    # --- requests

    def initialise(self, name: str) -> int:
        producer = self.producers[name]
        if producer.transaction is not None and producer.transaction.decided is Outcome.OPEN:
            producer.epoch += 1
            self._decide(producer, Outcome.ABORTED)
        if producer.transaction is not None:
            raise _Refused("concurrent_transactions", again=True)
        producer.epoch += 1
        return producer.epoch

    def end_of(self, place: Place) -> int:
        return len(self.logs[place])

    def newest_checkpoint(self, before: int) -> Checkpoint | None:
        for logged in reversed(self.logs[CHECKPOINTS][:before]):
            if self._is_visible(logged, CHECKPOINTS):
                return logged.record  # type: ignore[return-value]  # nothing else is there
        return None

    def produce(self, name: str, epoch: int, place: Place, records: Sequence[Record | Checkpoint]) -> None:
        producer = self._owner(name, epoch)
        if self.chance.breaks("a write is refused", 0.005):
            raise _Refused("not_enough_replicas")
        if producer.transaction is None:
            producer.transaction = Transaction()
            this_loop().outside(TRANSACTION_TIMEOUT, self._expire, producer, producer.transaction)
        if producer.transaction.decided is not Outcome.OPEN:
            raise _Refused("concurrent_transactions", again=True)
        producer.transaction.outcomes[place] = Outcome.OPEN
        self.logs[place] += [Logged(record, producer.transaction) for record in records]

    def append(self, place: Place, records: Sequence[Record | Checkpoint]) -> None:
        """Outside of any transaction."""
        self.logs[place] += [Logged(record, None) for record in records]

    def end(self, name: str, epoch: int) -> None:
        """Commit."""
        producer = self._owner(name, epoch)
        if self.chance.breaks("a commit is refused", 0.02):
            raise _Refused("coordinator_not_available")
        if producer.transaction is None or producer.transaction.decided is not Outcome.OPEN:
            raise _Refused("invalid_txn_state")
        self._decide(producer, Outcome.COMMITTED)

    # --- inside

    def _hop(self) -> float:
        return self.slow * self.chance.dice.random() + self.chance.delay(USUAL_HOP)

    def _obey(self, request: Callable[[], T], answer: asyncio.Future[T]) -> None:
        if not self.up:
            return
        try:
            found = request()
        except _Refused as refusal:
            this_loop().outside(self._hop(), _fail, answer, refusal)
            return
        if not self.chance.breaks("an answer is lost", 0.008):
            this_loop().outside(self._hop(), _succeed, answer, found)

    def _owner(self, name: str, epoch: int) -> Producer:
        producer = self.producers[name]
        if self.fences and producer.epoch != epoch:
            raise _Refused("fenced")
        return producer

    def _decide(self, producer: Producer, outcome: Outcome) -> None:
        transaction = producer.transaction
        if transaction is None:  # Defensive: whoever decides has one.
            return
        transaction.decided = outcome
        places = sorted(transaction.outcomes)
        self.chance.dice.shuffle(places)
        at = 0.0
        for place in places:
            at += self._hop()
            this_loop().outside(at, self._mark, transaction, place)
        this_loop().outside(at + self._hop(), self._ended, producer)

    def _mark(self, transaction: Transaction, place: Place) -> None:
        """A broker that is down does it when it is up again."""
        if self.up:
            transaction.outcomes[place] = transaction.decided
        else:
            this_loop().outside(1.0, self._mark, transaction, place)

    def _ended(self, producer: Producer) -> None:
        transaction = producer.transaction
        if transaction and Outcome.OPEN in transaction.outcomes.values():
            this_loop().outside(0.5, self._ended, producer)
        else:
            producer.transaction = None

    def _expire(self, producer: Producer, transaction: Transaction) -> None:
        if producer.transaction is transaction and transaction.decided is Outcome.OPEN:
            self.chance.note("a transaction takes too long")
            producer.epoch += 1
            self._decide(producer, Outcome.ABORTED)

    def _is_visible(self, logged: Logged, place: Place) -> bool:
        return logged.transaction is None or logged.transaction.outcomes.get(place) is Outcome.COMMITTED


class SimulatedPublisher:
    """paymux.publish.Publisher, as KafkaPublisher is one: everything it is not sure of is BrokerUnavailable."""

    def __init__(self, broker: Broker, *, journal: str, shard: int = 0) -> None:
        self.broker = broker
        self.name = f"paymux-{journal}-{shard}"
        self.epoch = 0

    async def start(self) -> Checkpoint | None:
        async with within("starting the producer"):
            self.epoch = await self.ask(self.broker.initialise, self.name)
            end = await self.ask(self.broker.end_of, CHECKPOINTS)
            while await self.ask(self.broker.stable, CHECKPOINTS) < end:
                await asyncio.sleep(_AGAIN)
            return await self.ask(self.broker.newest_checkpoint, end)

    async def publish(self, records: Sequence[Record], checkpoint: Checkpoint) -> None:
        async with within("publishing"):
            batches: dict[Place, list[Record | Checkpoint]] = defaultdict(list)
            for record in records:
                batches[record.topic, partition(record.key, PARTITIONS)].append(record)
            batches[CHECKPOINTS].append(checkpoint)
            await self.send(batches)
            await self.ask(self.broker.end, self.name, self.epoch)

    async def abandon(self) -> None:
        """What was sent may arrive yet."""

    async def send(self, batches: dict[Place, list[Record | Checkpoint]]) -> None:
        await asyncio.gather(
            *(
                self.ask(self.broker.produce, self.name, self.epoch, place, records)
                for place, records in batches.items()
            )
        )

    async def ask(self, request: Callable[..., T], *args: Any) -> T:
        """Raises BrokerUnavailable."""
        while True:
            try:
                return await self.broker.ask(partial(request, *args))
            except _Refused as refusal:
                if not refusal.again:
                    fenced = {"reason": "fenced"} if refusal.reason == "fenced" else {}
                    raise BrokerUnavailable(f"the broker says {refusal.reason}", **fenced) from None
            await asyncio.sleep(_AGAIN)


@asynccontextmanager
async def within(what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(DEADLINE):
            yield
    except TimeoutError:
        raise BrokerUnavailable(f"{what} took longer than {DEADLINE:g} s") from None


def _fail(answer: asyncio.Future[Any], refusal: Exception) -> None:
    if not answer.done():
        answer.set_exception(refusal)


def _succeed(answer: asyncio.Future[T], found: T) -> None:
    if not answer.done():
        answer.set_result(found)
