"""Webhooks a second: `paymux serve` against a bare handler that only verifies the same HMAC.

Three servers take turns under the same load of distinct signed Stripe events (1.8 kB): the bare handler, paymux with
its relay and Apache Kafka, and paymux whose relay finds no Kafka. Every server is a process of its own, the load and
Kafka share the machine with it. Then each is paced at half of its highest rate, for the latency of the acknowledgement.
At the end the journal holds one row for each 200, and (with Kafka) a read_committed consumer finds each event once.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks import gateway
from benchmarks.report import Cell, Report, Spread, arguments, progress, show
from paymux.sandbox.brokers import RealBroker, free_ports

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from benchmarks.gateway import Gateway
    from benchmarks.processes import Program

BARE: Final = "bare handler"
RELAYED: Final = "paymux, relay and Kafka"
PAUSED: Final = "paymux, relay paused"
CONNECTIONS: Final = (64, 256)
HIGHEST_RATE: Final = 30_000  # requests a second that are made ready

COLUMNS: Final = {
    "": "",
    "connections": "d",
    "load": "",
    "req/s": ",.0f",
    "of bare": ".2f",
    "cpu us/req": ".0f",
    "cpu / bare": ".2f",
    "p50 ms": ".1f",
    "p99 ms": ".1f",
}


@dataclass(slots=True, kw_only=True)
class Server:
    """`highest` is the best median rate so far; `taken` counts the 200s, `wrong` everything else."""

    name: str
    port: int
    program: Program
    gateway: Gateway | None = None
    relays: bool = False
    numbers: int = 0
    highest: float = 0.0
    taken: int = 0
    wrong: Counter[str] = field(default_factory=Counter)

    def settle(self) -> None:
        """Let the relay finish, so that its work is counted where it was caused and not in the next turn."""
        if self.relays and self.gateway is not None:
            self.gateway.drained()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One server's turn."""

    rate: float
    cpu_us: float
    p50: float
    p99: float


@dataclass(slots=True, kw_only=True)
class Bench:
    """The load's process, and the servers in the order of their turns."""

    load: Program
    servers: list[Server]
    seconds: float
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def turn(self, server: Server, connections: int, rate: float | None = None) -> Figure:
        before = server.program.cpu_seconds()
        count = int((rate or HIGHEST_RATE) * self.seconds) + connections
        self.load.tell(
            {
                "port": server.port,
                "first": server.numbers,
                "count": count,
                "connections": connections,
                "seconds": self.seconds,
                "rate": rate,
            }
        )
        result = self.load.hear()
        server.numbers += count
        server.settle()
        self._count(server, result)
        answered = max(sum(result["statuses"].values()), 1)
        return Figure(
            rate=result["rate"],
            cpu_us=(server.program.cpu_seconds() - before) / answered * 1e6,
            p50=result["p50"],
            p99=result["p99"],
        )

    def _count(self, server: Server, result: dict[str, Any]) -> None:
        statuses = Counter(result["statuses"])
        server.taken += statuses.pop("200", 0)
        server.wrong += statuses
        if result["exhausted"] and not result["behind"]:
            self.failed.append(f"the load ran out of requests for {server.name}: its figures say nothing")
        if result["behind"]:
            self.notes.append(f"{server.name}: {result['behind']} requests were due and found no free connection.")

    def compare(self, connections: int, rounds: int) -> Iterator[dict[str, Cell]]:
        """All servers at full load, in turns, every second round backwards."""
        figures: dict[str, list[Figure]] = {server.name: [] for server in self.servers}
        for number in range(rounds):
            progress(f"{connections} connections, round {number + 1} of {rounds}")
            for server in self.servers[:: -1 if number % 2 else 1]:
                figures[server.name].append(self.turn(server, connections))
        for server in self.servers:
            found = figures[server.name]
            server.highest = max(server.highest, median(figure.rate for figure in found))
            yield _row(server.name, connections, "full", found, figures[BARE])

    def pace(self, server: Server, rounds: int) -> dict[str, Cell]:
        """One server at half of its highest rate, as providers send: whether it answers or not."""
        rate = server.highest / 2
        progress(f"{server.name}, {rate:,.0f} a second")
        found = [self.turn(server, CONNECTIONS[0], rate) for _ in range(rounds)]
        return _row(server.name, CONNECTIONS[0], "half", found, None)


def _row(
    name: str, connections: int, load: str, figures: list[Figure], yardstick: list[Figure] | None
) -> dict[str, Cell]:
    pairs = list(zip(figures, yardstick, strict=True)) if yardstick else []
    return {
        "": name,
        "connections": connections,
        "load": load,
        "req/s": Spread.of(figure.rate for figure in figures),
        "of bare": Spread.of(figure.rate / bare.rate for figure, bare in pairs) if pairs else None,
        "cpu us/req": Spread.of(figure.cpu_us for figure in figures),
        "cpu / bare": Spread.of(figure.cpu_us / bare.cpu_us for figure, bare in pairs) if pairs else None,
        "p50 ms": Spread.of(figure.p50 for figure in figures),
        "p99 ms": Spread.of(figure.p99 for figure in figures),
    }


def _checked(server: Server, bootstrap: str) -> Iterator[str]:
    """What of the promises did not hold."""
    for status, count in server.wrong.items():
        yield f"{server.name}: {count} requests were answered {status}"
    if server.gateway is None:
        return
    kept = server.gateway.kept()
    if (kept.items, kept.outbox) != (server.taken, server.taken):
        yield f"{server.name}: {server.taken} were answered 200, the journal has {kept.items} and {kept.outbox} events"
    if server.relays:
        read, distinct = gateway.read_back(bootstrap, server.taken)
        if (read, distinct) != (server.taken, server.taken):
            yield f"{server.name}: {server.taken} were answered 200, Kafka has {read} records with {distinct} ids"


def measure(options: argparse.Namespace, home: Path, bootstrap: str) -> Report:
    with ExitStack() as stack:
        servers = [_bare(stack, home), *_gateways(stack, home, bootstrap, options)]
        bench = Bench(load=stack.enter_context(gateway.load(home)), servers=servers, seconds=options.seconds)
        rows = [row for connections in CONNECTIONS for row in bench.compare(connections, options.rounds)]
        rows += [bench.pace(server, options.rounds) for server in servers]
        broken = [line for server in servers for line in _checked(server, bootstrap)]
        kept = [f"{server.name}: {server.taken} answered 200, each once in the journal." for server in servers[1:]]
        kept.append("Kafka has each event of the first once (read_committed).")
        return Report(
            name="ingest",
            columns=COLUMNS,
            rows=rows,
            arguments=vars(options),
            notes=bench.notes + ([] if broken else kept),
            failed=bench.failed + broken,
        )


def _bare(stack: ExitStack, home: Path) -> Server:
    program = stack.enter_context(gateway.bare(home))
    return Server(name=BARE, port=int(program.ready["listen"].rpartition(":")[2]), program=program)


def _gateways(stack: ExitStack, home: Path, bootstrap: str, options: argparse.Namespace) -> Iterator[Server]:
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    for name, servers in ((RELAYED, bootstrap), (PAUSED, nowhere)):
        started = stack.enter_context(
            gateway.Gateway(home / name.replace(" ", "-"), bootstrap=servers, relay=options.relay, log=options.log)
        )
        yield Server(
            name=name, port=started.port, program=started.program, gateway=started, relays=servers == bootstrap
        )


def main() -> None:
    parser = arguments(__doc__, rounds=3, seconds=4.0)
    parser.add_argument("--relay", choices=("inline", "process"), default="inline", help="[relay] mode")
    parser.add_argument("--log", choices=("info", "warning"), default="info", help="[log] level; info has a line each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paymux-ingest-") as home, RealBroker(progress=progress) as broker:
        report = measure(options, Path(home), broker.bootstrap_servers)
    show(report, as_json=options.json)


if __name__ == "__main__":
    main()
