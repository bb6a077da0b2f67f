"""One Apache Kafka for all scenarios, with doors to stand in; and one of two brokers."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient

from paymux.sandbox.brokers import RealBroker, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paymux.sandbox.java import Progress

PASSWORD = "correct-horse-battery"
USER = "stranger"  # of the secured door, with no rights but those that a scenario gives


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One real broker with three doors: open; `behind_proxy`, whose clients are told to come to port `proxy`, where a
    scenario may listen and misbehave; and `secured`, with SASL PLAIN and access rights.
    """

    broker: RealBroker
    admin: AdminClient
    proxy: int
    behind_proxy: int
    secured: int

    @property
    def servers(self) -> str:
        return self.broker.bootstrap_servers


@contextmanager
def running(progress: Progress) -> Iterator[Cluster]:
    proxy, behind_proxy, secured = free_ports(3)
    properties = {
        "listeners": f"PROXIED://127.0.0.1:{behind_proxy},SECURED://127.0.0.1:{secured}",
        "advertised.listeners": f"PROXIED://127.0.0.1:{proxy},SECURED://127.0.0.1:{secured}",
        "listener.security.protocol.map": "PROXIED:PLAINTEXT,SECURED:SASL_PLAINTEXT",
        "listener.name.secured.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secured.plain.sasl.jaas.config": (
            f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "log.cleaner.backoff.ms": "500",
    }
    with RealBroker(progress=progress, properties=properties) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
        yield Cluster(broker=broker, admin=admin, proxy=proxy, behind_proxy=behind_proxy, secured=secured)


# --- two brokers

PATIENCE = 60.0
_COPIES = {
    "offsets.topic.replication.factor": "2",
    "transaction.state.log.replication.factor": "2",
    "leader.imbalance.check.interval.seconds": "1",
    "leader.imbalance.per.broker.percentage": "0",
    "replica.lag.time.max.ms": "3000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoBrokers:
    """`first` is the controller, too."""

    first: RealBroker
    second: RealBroker

    @property
    def both(self) -> str:
        return f"{self.first.bootstrap_servers},{self.second.bootstrap_servers}"

    async def led_by(self, nodes: set[int], topic: str) -> None:
        """Wait until these lead the topic's partitions."""
        admin = AdminClient({"bootstrap.servers": self.both, "log_level": 0})
        async with asyncio.timeout(PATIENCE):
            while await asyncio.to_thread(_leaders, admin, topic) != nodes:
                await asyncio.sleep(0.1)


def _leaders(admin: AdminClient, topic: str) -> set[int]:
    partitions = admin.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
    return {each.leader for each in partitions.values()}


@contextmanager
def two_brokers(progress: Progress) -> Iterator[TwoBrokers]:
    with RealBroker(progress=progress, properties=_COPIES) as first:
        second = RealBroker(progress=progress)
        try:
            _join(second, first)
            second.start()
            yield TwoBrokers(first=first, second=second)
        finally:
            second.close()


def _join(second: RealBroker, first: RealBroker) -> None:
    """Make a node of its own into one more broker of the first one's cluster."""
    lines = _properties(first._properties_file)  # noqa: SLF001  # what it was started with
    lines |= {
        "process.roles": "broker",
        "node.id": "2",
        "listeners": f"PLAINTEXT://{second.bootstrap_servers}",
        "advertised.listeners": f"PLAINTEXT://{second.bootstrap_servers}",
        "log.dirs": str(second._home / "data"),  # noqa: SLF001  # where it keeps its data
    }
    file = second._properties_file  # noqa: SLF001  # as above
    Path(file).write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    cluster = _properties(str(first._home / "data" / "meta.properties"))["cluster.id"]  # noqa: SLF001  # as above
    command = second._command("kafka.tools.StorageTool", "format", "-t", cluster, "-c", file)  # noqa: SLF001  # as above
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)


def _properties(file: str) -> dict[str, str]:
    lines = (line.partition("=") for line in Path(file).read_text().splitlines() if not line.startswith("#"))
    return {name: value for name, _, value in lines}
