"""The relay as a child process: against real Kafka, killed, confused, and let go of."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from paymux.journal.changes import Rules
from paymux.journal.sqlite import SqliteJournal
from paymux.publish.kafka import KafkaSettings
from paymux.records import Topics
from paymux.relay import Phase
from paymux.relay_process import Order, RelayProcess
from tests.stories import append, webhook


class Seen:
    def __init__(self):
        self.states, self.published_events = [], 0

    def entered(self, state):
        self.states.append((state.phase, state.reason))

    def published(self, *, shard, events, seconds):
        assert shard == 0
        assert seconds > 0
        self.published_events += events


def flowlix(number: int) -> dict:
    return {
        "id": f"evt_{number:024d}",
        "type": "payment.succeeded",
        "created_at": 1_793_534_400,
        "livemode": False,
        "data": {
            "payment": {
                "id": f"pay_{number % 7:024d}",
                "status": "SUCCEEDED",
                "amount": 100 + number,
                "currency": "EUR",
            }
        },
    }


@asynccontextmanager
async def relaying(path: Path, bootstrap: str, prefix: str, seen: Seen):
    """A journal with its relay's process; both ended at the end, whatever happened."""
    topics = Topics(events=f"{prefix}.events", quarantine=f"{prefix}.quarantine")
    journal = await SqliteJournal.open(path, rules=Rules(topics=topics))
    kafka = KafkaSettings(
        bootstrap_servers=bootstrap,
        events_topic=topics.events,
        quarantine_topic=topics.quarantine,
        checkpoints_topic=f"{prefix}.checkpoints",
        transactional_id_prefix=prefix,
        replication_factor=1,
    )
    relay = RelayProcess(
        journal, Order(journal=str(path), shard=0, kafka=kafka), observer=seen, on_topics=lambda _: None
    )
    running = asyncio.create_task(relay.run())
    try:
        yield journal, relay
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await journal.close()


def children() -> list[int]:
    """Our relay processes."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"paymux.relay_process" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


@pytest.mark.kafka
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds its children by /proc")
async def test_killed_under_traffic_it_goes_on_where_it_was(tmp_path, kafka):
    """kill -9 of the child while deliveries come: the relay starts again, and everything is published."""
    seen = Seen()
    async with relaying(tmp_path / "paymux.db", kafka.bootstrap_servers, "killed", seen) as (journal, relay):
        for number in range(400):
            await append(journal, webhook("flowlix", flowlix(number)))
            if number in (120, 260):
                while not children():
                    await asyncio.sleep(0.05)
                os.kill(children()[0], signal.SIGKILL)
        async with asyncio.timeout(60):
            await relay.drained()
        assert relay.state.phase is Phase.RUNNING
        assert relay.state.position == await journal.end(0) == 400
        assert (Phase.WAITING, "process_ended") in seen.states
        assert (await relay.lag()).events == 0
    assert not children()


async def test_without_kafka_it_says_so_and_ends_when_told(tmp_path):
    """Its state is the relay's; cancelled, no process is left behind."""
    seen = Seen()
    async with relaying(tmp_path / "paymux.db", "127.0.0.1:1", "none", seen) as (journal, relay):
        await append(journal, webhook("flowlix", flowlix(1)))
        async with asyncio.timeout(20):
            while relay.state.reason != "broker_unavailable":
                await asyncio.sleep(0.05)
        assert (await relay.lag()).events == 1
    assert not children()


async def test_what_is_no_report_is_passed_over(tmp_path):
    """A library that prints in the child does not end the relay."""
    seen = Seen()
    async with relaying(tmp_path / "paymux.db", "127.0.0.1:1", "noise", seen) as (_, relay):
        await relay._hear(b"a stray line\n")
        await relay._hear(b'{"position": "far"}\n')
        await relay._hear(b'{"position": 7}\n')
        assert relay.state.position == 7


def test_a_password_is_in_no_argument_and_no_message(tmp_path):
    """An order that cannot be read is told by the names of its fields only."""
    import subprocess
    import sys

    order = '{"journal": 1, "kafka": {"security": {"sasl_password": "canary-password", "protocol": 5}}}\n'
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "paymux.relay_process"],
        input=order,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert "journal" in ended.stderr
    assert "canary-password" not in ended.stderr + ended.stdout
