"""`paymux serve` as an operator runs it, and what its journal and Kafka have at the end."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from benchmarks.processes import Program
from benchmarks.traffic import SECRET
from paymux.publish.kafka import KafkaSettings, consume

if TYPE_CHECKING:
    from pathlib import Path

DRAIN_SECONDS: Final = 60.0
QUIET_SECONDS: Final = 10.0

_CONFIGURATION: Final = """
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
[journal]
url = "sqlite:///{journal}"
[kafka]
bootstrap_servers = "{bootstrap}"
replication_factor = 1
[relay]
mode = "{relay}"
[log]
level = "{log}"
[[accounts]]
provider = "stripe"
name = "bench"
secrets = ["env:BENCHMARK_SECRET"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the journal holds: deliveries taken once, and rows for Kafka."""

    items: int
    outbox: int


class Gateway:
    """One `paymux serve` with a journal of its own under `home`. Its log goes to a file there."""

    def __init__(self, home: Path, *, bootstrap: str, relay: str = "inline", log: str = "info") -> None:
        home.mkdir()
        self._journal = home / "paymux.db"
        self.log = home / "serve.log"
        configuration = home / "paymux.toml"
        configuration.write_text(
            _CONFIGURATION.format(journal=self._journal, bootstrap=bootstrap, relay=relay, log=log)
        )
        self.program = Program(
            ["-m", "paymux", "serve", "--config", str(configuration)],
            errors=self.log,
            environment={"BENCHMARK_SECRET": SECRET},
        )
        self.port = int(self.program.ready["listen"].rpartition(":")[2])

    def kept(self) -> Kept:
        return Kept(
            items=self._ask("SELECT count(*) FROM items WHERE result = 'new'"),
            outbox=self._ask("SELECT count(*) FROM outbox"),
        )

    def drained(self) -> None:
        """Wait until the journal knows that everything is on Kafka. Raises TimeoutError."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._ask("SELECT max(seq) FROM marks") < self._ask("SELECT max(seq) FROM outbox"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the relay is not done after {DRAIN_SECONDS:.0f} s; its log is {self.log}")
            time.sleep(0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.program.stop()

    def _ask(self, sql: str) -> int:
        with closing(sqlite3.connect(f"{self._journal.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            return int(connection.execute(sql).fetchone()[0] or 0)


def read_back(bootstrap: str, expected: int) -> tuple[int, int]:
    """Records on the events topic as a read_committed consumer sees them, and how many ids are distinct."""
    return asyncio.run(_read_back(KafkaSettings(bootstrap_servers=bootstrap), expected))


async def _read_back(settings: KafkaSettings, expected: int) -> tuple[int, int]:
    ids: list[bytes] = []
    async with aclosing(consume(settings, [settings.events_topic], from_beginning=True)) as records:
        try:
            while True:
                # After the last one it waits a moment: there should be no more.
                patience = QUIET_SECONDS if len(ids) < expected else 1.0
                record = await asyncio.wait_for(anext(records), patience)
                ids.append(dict(record.headers)["ce_id"])
        except TimeoutError:
            return len(ids), len(set(ids))


def bare(home: Path) -> Program:
    return Program(["-m", "benchmarks.bare"], errors=home / "bare.log")


def load(home: Path) -> Program:
    return Program(["-m", "benchmarks.load"], errors=home / "load.log")
