"""Draining a journal: 100,000 stored events to Apache Kafka, by rows a transaction.

The events are stored before, by the journal's own append. Each drain is a relay from nothing (a transactional_id_prefix
of its own) over a read-only connection, in this process, under uvloop. The yardstick takes turns with it: the same
publisher and the same transactions, over records that are in memory already.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop

from benchmarks import traffic
from benchmarks.report import Cell, Report, Spread, arguments, progress, show
from benchmarks.translate import entry
from paymux import signatures
from paymux.delivery import Delivery
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.outbox import SqliteOutbox
from paymux.provider import Account
from paymux.providers.stripe import STRIPE
from paymux.publish import Checkpoint
from paymux.publish.kafka import KafkaPublisher, KafkaSettings
from paymux.relay import Phase, Relay, Unobserved
from paymux.relay_process import GARBAGE_THRESHOLDS
from paymux.sandbox.brokers import RealBroker

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from paymux.journal import OutboxRow
    from paymux.relay import RelayState

BATCHES: Final = (100, 250, 500)
STORED_AT_ONCE: Final = 1000

COLUMNS: Final = {
    "rows": "d",
    "events/s": ",.0f",
    "of in memory": ".2f",
    "ms/transaction": ".1f",
    "cpu us/event": ".1f",
    "start s": ".2f",
}

_prefixes = (f"drain-{number}" for number in itertools.count())


@dataclass(slots=True)
class Observed(Unobserved):
    """When it began to relay, and how long each transaction took."""

    began: float = 0.0
    seconds: list[float] = field(default_factory=list)

    def entered(self, state: RelayState) -> None:
        if state.phase is Phase.RUNNING:
            self.began = time.perf_counter()

    def published(self, *, shard: int, events: int, seconds: float) -> None:  # noqa: ARG002  # RelayObserver's
        self.seconds.append(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """`start` is until the first transaction, `seconds` from there; `cpu_seconds` of this process, not the broker's."""

    events: int
    start: float
    seconds: float
    cpu_seconds: float
    transactions: list[float]

    @property
    def rate(self) -> float:
        return self.events / self.seconds


async def prefill(path: Path, count: int) -> None:
    """`count` payments, one event each."""
    mine, journal = _account(), await SqliteJournal.open(path)
    for first in range(0, count, STORED_AT_ONCE):
        events = traffic.events(first, min(STORED_AT_ONCE, count - first))
        deliveries = [_delivery(number, event) for number, event in enumerate(events, start=first)]
        verified = [signatures.verify(delivery, mine.checks) for delivery in deliveries]
        await asyncio.gather(*(journal.append(entry(mine, each)) for each in verified))
    await journal.close()


def _account() -> Account:
    scheme = STRIPE.signature
    return Account(provider=STRIPE, name="bench", checks=((scheme, (scheme.key(traffic.SECRET),)),))


def _delivery(number: int, event: traffic.Signed) -> Delivery:
    return Delivery(
        id=f"delivery-{number}",
        provider=STRIPE.name,
        account="bench",
        received_at=datetime.now(UTC),
        body=event.body,
        headers=((b"Stripe-Signature", event.signature),),
    )


async def drain(path: Path, bootstrap: str, batch: int) -> Drain:
    outbox, observed = SqliteOutbox(path), Observed()
    settings = KafkaSettings(bootstrap_servers=bootstrap, replication_factor=1, transactional_id_prefix=next(_prefixes))
    publisher = KafkaPublisher(settings, journal=outbox.identity, shard=0)
    relay = Relay(outbox, lambda: publisher, observer=observed, batch_rows=batch)
    began, cpu = time.perf_counter(), time.process_time()
    task = asyncio.create_task(relay.run())
    await relay.drained()
    drained = Drain(
        events=await outbox.end(0),
        start=observed.began - began,
        seconds=time.perf_counter() - observed.began,
        cpu_seconds=time.process_time() - cpu,
        transactions=observed.seconds,
    )
    task.cancel()
    await asyncio.wait({task})
    await outbox.close()
    return drained


async def publish(stored: Sequence[OutboxRow], identity: str, bootstrap: str, batch: int) -> Drain:
    """What the same transactions take with the records at hand."""
    settings = KafkaSettings(bootstrap_servers=bootstrap, replication_factor=1, transactional_id_prefix=next(_prefixes))
    publisher, transactions = KafkaPublisher(settings, journal=identity, shard=0), []
    called, cpu = time.perf_counter(), time.process_time()
    await publisher.start()
    began = time.perf_counter()
    for first in range(0, len(stored), batch):
        rows = stored[first : first + batch]
        turn = time.perf_counter()
        checkpoint = Checkpoint(
            journal=identity, shard=0, seq=rows[-1].seq, event_id=rows[-1].record.event_id, chain=rows[-1].chain
        )
        await publisher.publish([row.record for row in rows], checkpoint)
        transactions.append(time.perf_counter() - turn)
    published = Drain(
        events=len(stored),
        start=began - called,
        seconds=time.perf_counter() - began,
        cpu_seconds=time.process_time() - cpu,
        transactions=transactions,
    )
    await publisher.abandon()
    return published


async def measure(options: argparse.Namespace, path: Path, bootstrap: str) -> Report:
    progress(f"storing {options.events:,} events")
    await prefill(path, options.events)
    outbox = SqliteOutbox(path)
    stored, identity = await outbox.read(0, 0, options.events), outbox.identity
    await outbox.close()
    progress("warming up")
    await drain(path, bootstrap, max(options.batches))
    rows = []
    for batch in options.batches:
        pairs = []
        for number in range(options.rounds):
            progress(f"{batch} rows a transaction, round {number + 1} of {options.rounds}")
            pairs.append((await drain(path, bootstrap, batch), await publish(stored, identity, bootstrap, batch)))
        rows.append(_row(batch, pairs))
    return Report(name="relay", columns=COLUMNS, rows=rows, arguments=vars(options))


def _row(batch: int, pairs: list[tuple[Drain, Drain]]) -> dict[str, Cell]:
    return {
        "rows": batch,
        "events/s": Spread.of(own.rate for own, _ in pairs),
        "of in memory": Spread.of(own.rate / bare.rate for own, bare in pairs),
        "ms/transaction": Spread.of(1000 * seconds for own, _ in pairs for seconds in own.transactions),
        "cpu us/event": Spread.of(own.cpu_seconds / own.events * 1e6 for own, _ in pairs),
        "start s": Spread.of(own.start for own, _ in pairs),
    }


def main() -> None:
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--events", type=int, default=100_000, help="stored before (default %(default)s)")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="rows a transaction")
    options = parser.parse_args()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)  # as the relay's own process does
    with tempfile.TemporaryDirectory(prefix="paymux-relay-") as home, RealBroker(progress=progress) as broker:
        report = uvloop.run(measure(options, Path(home) / "paymux.db", broker.bootstrap_servers))
    show(report, as_json=options.json)


if __name__ == "__main__":
    main()
