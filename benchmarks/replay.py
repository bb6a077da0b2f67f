"""Jobs over many stored deliveries: how many a second, and what webhooks feel of it meanwhile.

The deliveries are appended by paymux itself, each about a payment of its own. Every job then works on all of them, in
the process and on the event loop that also takes new deliveries at a steady rate: from when one is due to when it is
durable is its acknowledgement. `stall` is the longest that the loop was away. No Kafka is involved: a job waits for
nobody who publishes.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop
from uuid_utils import uuid7

from benchmarks import traffic
from benchmarks.report import Report, arguments, progress, show
from paymux.delivery import Delivery, Proof
from paymux.journal import Entry
from paymux.journal.history import Sought
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.archive import SqliteArchive
from paymux.journal.sqlite.history import SqliteHistory
from paymux.journal.sqlite.writing import WriterProcess
from paymux.provider import Account
from paymux.providers.stripe import STRIPE
from paymux.replay import Replays
from paymux.replay.orders import Order
from paymux.replay.pool import Pool
from paymux.replay.steps import Means
from paymux.signatures import remembered
from paymux.translate import translate

if TYPE_CHECKING:
    import argparse

    from benchmarks.report import Cell
    from paymux.replay.orders import Kind

ACCOUNT: Final = Account(provider=STRIPE, name="bench")
AT_ONCE: Final = 128  # appended together
TICK: Final = 0.001  # seconds
TOPIC: Final = "payments.events.v1"

COLUMNS: Final = {"": "", "done": "d", "a second": ",.0f", "p50 ms": ".2f", "p99 ms": ".2f", "stall ms": ".1f"}


@dataclass(slots=True)
class Felt:
    """Seconds: of each acknowledgement, and of the loop's longest absence."""

    acknowledged: list[float] = field(default_factory=list)
    stall: float = 0.0

    def at(self, share: float) -> float | None:
        found = sorted(self.acknowledged)
        return found[min(int(len(found) * share), len(found) - 1)] * 1000 if found else None

    def cells(self) -> dict[str, Cell]:
        return {"p50 ms": self.at(0.5), "p99 ms": self.at(0.99), "stall ms": self.stall * 1000}


class Bench:
    """A journal, the jobs over it, and new deliveries beside them."""

    def __init__(self, journal: SqliteJournal, path: Path, rate: float, *, pooled: bool) -> None:
        self._journal = journal
        self._archive, self.history = SqliteArchive(path), SqliteHistory(path)
        self._rate = rate
        self._fresh = traffic.events(0, sys.maxsize)
        self._pool = Pool(path) if pooled else None
        means = Means(
            journal=journal,
            archive=self._archive,
            accounts=lambda: {("stripe", "bench"): ACCOUNT},
            topic=TOPIC,
            pool=self._pool,
        )
        self.replays = Replays(
            means, self.history, clock=lambda: datetime.now(UTC), new_id=lambda: str(uuid7()), backlog=_nothing_waits
        )

    async def build(self, count: int) -> None:
        for first in range(0, count, AT_ONCE):
            here = itertools.islice(self._fresh, min(AT_ONCE, count - first))
            await asyncio.gather(*(self._append(each) for each in here))
            if first % (AT_ONCE * 80) == 0:
                progress(f"{first:,} of {count:,} deliveries")

    async def job(self, kind: Kind, until: datetime) -> tuple[int, float, Felt]:
        """How many it did, in how many seconds, and what was felt."""
        order = Order(kind=kind, sought=Sought(until=until))
        felt = Felt()
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(self._traffic(felt)), group.create_task(_watch(felt))]
            began = time.perf_counter()
            job = await self.replays.work(await self.replays.create(order, "benchmark"))
            seconds = time.perf_counter() - began
            for task in beside:
                task.cancel()
        if job.state != "done":
            raise RuntimeError(f"{kind} is {job.state}: {job.error} {dict(job.counts)}")
        return job.counts.get("events", 0) or job.counts["deliveries"], seconds, felt

    async def quiet(self, seconds: float) -> Felt:
        felt = Felt()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                group.create_task(self._traffic(felt))
                group.create_task(_watch(felt))
        return felt

    async def close(self) -> None:
        await self.replays.close()
        await self._archive.close()
        await self.history.close()
        await self._journal.close()

    async def _traffic(self, felt: Felt) -> None:
        """At a steady rate, whatever becomes of the ones before."""
        began, under_way = time.perf_counter(), set[asyncio.Task[None]]()
        for number in itertools.count():
            due = began + number / self._rate
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
            task = asyncio.create_task(self._acknowledge(next(self._fresh), due, felt))
            under_way.add(task)
            task.add_done_callback(under_way.discard)

    async def _acknowledge(self, signed: traffic.Signed, due: float, felt: Felt) -> None:
        await self._append(signed)
        felt.acknowledged.append(time.perf_counter() - due)

    async def _append(self, signed: traffic.Signed) -> None:
        delivery = Delivery(
            id=str(uuid7()),
            provider="stripe",
            account="bench",
            received_at=datetime.now(UTC),
            body=signed.body,
            headers=((b"stripe-signature", signed.signature),),
            path=traffic.PATH,
        )
        verified = remembered(delivery, Proof.SIGNATURE, 0)
        await self._journal.append(Entry(account=ACCOUNT, verified=verified, items=translate(ACCOUNT, verified)))


async def _watch(felt: Felt) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(TICK)
        felt.stall = max(felt.stall, time.perf_counter() - before - TICK)


async def _nothing_waits() -> int:
    await asyncio.sleep(0)
    return 0


async def measure(options: argparse.Namespace, home: Path) -> Report:
    path = home / "paymux.db"
    journal = await SqliteJournal.open(path, writing=WriterProcess)
    bench = Bench(journal, path, options.rate, pooled=True)
    await bench.build(options.deliveries)
    until = datetime.now(UTC)
    progress("without a job")
    await bench.quiet(1.0)
    quiet = await bench.quiet(options.seconds)
    rows: list[dict[str, Cell]] = [{"": "no job", **quiet.cells()}]
    kinds: tuple[Kind, ...] = ("diff", "retranslate", "republish")
    for kind in kinds:
        progress(kind)
        done, seconds, felt = await bench.job(kind, until)
        rows.append({"": kind, "done": done, "a second": done / seconds, **felt.cells()})
    await bench.close()
    note = "To reach: 20,000 events/s, a million deliveries compared in 2 minutes, p99 at most doubled."
    return Report(name="replay", columns=COLUMNS, rows=rows, arguments=vars(options), notes=[note])


def main() -> None:
    parser = arguments(__doc__, rounds=1, seconds=5.0)
    parser.add_argument("--deliveries", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=200.0, help="new deliveries a second (default %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paymux-replay-") as home:
        report = uvloop.run(measure(options, Path(home)))
    show(report, as_json=options.json)


if __name__ == "__main__":
    main()
