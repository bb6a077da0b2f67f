"""One Apache Kafka for all scenarios, with doors to stand in."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
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
