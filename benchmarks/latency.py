"""End to end at a steady rate: from a webhook's sending to a read_committed consumer that has its event.

500 distinct signed Stripe events a second go to `paymux serve`; a consumer reads the events topic and compares each
event's arrival with the time at which its webhook was due. The yardstick takes turns with it: the same number of ready
records a second, by a plain producer (acks=all, no transaction) to a topic of its own, to the same kind of consumer.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop
from aiokafka import AIOKafkaProducer

from benchmarks import gateway, traffic
from benchmarks.report import Cell, Report, Spread, arguments, progress, show
from paymux.publish.kafka import KafkaSettings, check_topics, consume
from paymux.sandbox.brokers import RealBroker

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from benchmarks.gateway import Gateway
    from benchmarks.processes import Program

CONNECTIONS: Final = 16
WARM_UP: Final = 0.2
QUIET_SECONDS: Final = 10.0
VALUE: Final = b"x" * 1600  # about what an event of ours has

COLUMNS: Final = {"": "", "events": "d", "p50 ms": ".1f", "p99 ms": ".1f", "max ms": ".1f"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Seconds, in order of size."""

    seconds: list[float]

    def at(self, share: float) -> float:
        return self.seconds[min(int(len(self.seconds) * share), len(self.seconds) - 1)] * 1000


class Arrivals:
    """When a consumer had the event of each payment. Raises TimeoutError if events stay away."""

    def __init__(self, settings: KafkaSettings, expected: int) -> None:
        self.at: dict[int, float] = {}
        self.twice = 0
        self._settings = settings
        self._expected = expected

    async def gather(self) -> None:
        async with aclosing(consume(self._settings, [self._settings.events_topic])) as records:
            while len(self.at) < self._expected:
                record = await asyncio.wait_for(anext(records), QUIET_SECONDS)
                number = traffic.numbered((record.key or b"").rpartition(b"/")[2].decode())
                self.twice += number in self.at
                self.at[number] = time.perf_counter()

    def delays(self, sent: Mapping[int, float]) -> Delays:
        """The clock is the machine's own, the same in every process; the first fifth warms up."""
        counted = sorted(sent)[int(len(sent) * WARM_UP) :]
        return Delays(seconds=sorted(self.at[number] - sent[number] for number in counted))


@dataclass(slots=True, kw_only=True)
class Bench:
    served: Gateway
    load: Program
    settings: KafkaSettings
    options: argparse.Namespace
    sent: int = 0

    async def webhooks(self) -> tuple[Delays, dict[str, float]]:
        """One round: end to end, and the load's own account of the acknowledgements."""
        count = int(self.options.rate * self.options.seconds)
        first, self.sent = self.sent, self.sent + count
        command = {
            "port": self.served.port,
            "first": first,
            "count": count,
            "connections": CONNECTIONS,
            "seconds": self.options.seconds + 1.0,  # the end is the last request, not the clock
            "rate": self.options.rate,
            "times": True,
        }
        arrivals = Arrivals(self.settings, count)
        reading = asyncio.create_task(arrivals.gather())
        await asyncio.sleep(1.0)  # the consumer stands at the end of the topic
        self.load.tell(command)
        result = await asyncio.to_thread(self.load.hear)
        await reading
        if result["statuses"] != {"200": count} or arrivals.twice:
            raise RuntimeError(f"answers {result['statuses']}, {arrivals.twice} events came twice")
        return arrivals.delays(dict(enumerate(result["sent_at"], start=first))), result

    async def plain(self) -> Delays:
        """The same without paymux."""
        settings = replace(self.settings, events_topic="plain", checkpoints_topic="plain-checkpoints")
        await check_topics(settings)
        count = int(self.options.rate * self.options.seconds)
        arrivals = Arrivals(settings, count)
        reading = asyncio.create_task(arrivals.gather())
        producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, acks="all", enable_idempotence=True)
        await producer.start()
        await asyncio.sleep(1.0)
        sent = await _steadily(producer, settings.events_topic, count, self.options.rate)
        await reading
        await producer.stop()
        return arrivals.delays(sent)


async def _steadily(producer: AIOKafkaProducer, topic: str, count: int, rate: float) -> dict[int, float]:
    sent: dict[int, float] = {}
    began = time.perf_counter()
    for number in range(count):
        due = began + number / rate
        await asyncio.sleep(max(due - time.perf_counter(), 0.0))
        sent[number] = due
        await producer.send(topic, VALUE, key=f"stripe/bench/{traffic.payment_id(number)}".encode())
    return sent


async def measure(options: argparse.Namespace, home: Path, bootstrap: str) -> Report:
    settings = KafkaSettings(bootstrap_servers=bootstrap, replication_factor=1)
    await check_topics(settings)
    ends: list[Delays] = []
    acks: list[dict[str, float]] = []
    plain: list[Delays] = []
    with (
        gateway.Gateway(home / "paymux", bootstrap=bootstrap, relay=options.relay) as served,
        gateway.load(home) as load,
    ):
        bench = Bench(served=served, load=load, settings=settings, options=options)
        for number in range(options.warm_up):
            progress(f"warming up, round {number + 1} of {options.warm_up}")
            await bench.plain()
            await bench.webhooks()
        for number in range(options.rounds):
            progress(f"round {number + 1} of {options.rounds}")
            plain.append(await bench.plain())
            end, ack = await bench.webhooks()
            ends.append(end)
            acks.append(ack)
        log = served.log.stat().st_size
    ratio = Spread.of(end.at(0.5) / bare.at(0.5) for end, bare in zip(ends, plain, strict=True))
    return Report(
        name="latency",
        columns=COLUMNS,
        rows=[
            _row("plain producer: sent to seen", plain),
            _row("paymux: webhook due to event seen", ends),
            _acknowledged(acks, len(ends[0].seconds)),
        ],
        arguments=vars(options),
        notes=[f"p50 end to end is {ratio.text('.1f')} times the plain producer's; {log:,} bytes of log."],
    )


def _row(name: str, rounds: list[Delays]) -> dict[str, Cell]:
    return {
        "": name,
        "events": len(rounds[0].seconds),
        "p50 ms": Spread.of(delays.at(0.50) for delays in rounds),
        "p99 ms": Spread.of(delays.at(0.99) for delays in rounds),
        "max ms": Spread.of(delays.seconds[-1] * 1000 for delays in rounds),
    }


def _acknowledged(results: list[dict[str, float]], events: int) -> dict[str, Cell]:
    return {
        "": "paymux: webhook due to its 200",
        "events": events,
        "p50 ms": Spread.of(result["p50"] for result in results),
        "p99 ms": Spread.of(result["p99"] for result in results),
    }


def main() -> None:
    parser = arguments(__doc__, rounds=3, seconds=5.0)
    parser.add_argument(
        "--warm-up",
        type=int,
        default=4,
        help="rounds that are not counted: a broker compiles its code as it runs (default %(default)s)",
    )
    parser.add_argument("--rate", type=float, default=500.0, help="webhooks a second (default %(default)s)")
    parser.add_argument("--relay", choices=("inline", "process"), default="process", help="[relay] mode")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paymux-latency-") as home, RealBroker(progress=progress) as broker:
        report = uvloop.run(measure(options, Path(home), broker.bootstrap_servers))
    show(report, as_json=options.json)


if __name__ == "__main__":
    main()
