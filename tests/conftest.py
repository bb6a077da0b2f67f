"""What several rooms' tests share: a real broker, started once, and ways to read it back with another client library."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from confluent_kafka.admin import AdminClient

from paymux.sandbox.brokers import RealBroker, free_ports

PASSWORDS = {"relay": "correct-horse-battery", "stranger": "no-rights-at-all"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TestBroker:
    """Apache Kafka with three doors: open; `behind_proxy`, whose clients are told to come to port `proxy`, where a test
    may listen and misbehave; and `secured`, with SASL PLAIN and access rights.
    """

    broker: RealBroker
    admin: AdminClient
    proxy: int
    behind_proxy: int
    secured: int

    __test__ = False

    @property
    def bootstrap_servers(self) -> str:
        return self.broker.bootstrap_servers


@pytest.fixture(scope="session")
def kafka():
    """Apache Kafka, for the whole session: topics must have names of their own in each test."""
    proxy, behind_proxy, secured = free_ports(3)
    users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
    properties = {
        "listeners": f"PROXIED://127.0.0.1:{behind_proxy},SECURED://127.0.0.1:{secured}",
        "advertised.listeners": f"PROXIED://127.0.0.1:{proxy},SECURED://127.0.0.1:{secured}",
        "listener.security.protocol.map": "PROXIED:PLAINTEXT,SECURED:SASL_PLAINTEXT",
        "listener.name.secured.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secured.plain.sasl.jaas.config": (
            f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:relay",
    }
    with RealBroker(properties=properties) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
        yield TestBroker(broker=broker, admin=admin, proxy=proxy, behind_proxy=behind_proxy, secured=secured)
