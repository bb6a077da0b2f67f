"""What several rooms' tests share: a real broker, started once, and ways to read it back with another client library."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from confluent_kafka.admin import AdminClient
from hypothesis import settings

from paymux.sandbox.brokers import SOON, RealBroker, free_ports
from tests.certificates import Authority

PASSWORDS = {"relay": "correct-horse-battery", "stranger": "no-rights-at-all"}


settings.register_profile("long", max_examples=100_000, deadline=None)  # pytest --hypothesis-profile=long --timeout=0


@dataclass(frozen=True, slots=True, kw_only=True)
class TestBroker:
    """Apache Kafka with access rights, in which `relay` may everything and others nothing, and these doors:

    open; `behind_proxy`, whose clients are told to come to port `proxy`, where a test may listen and misbehave;
    `secured`, with SASL PLAIN; `tls`, with SASL over TLS; `mutual`, with client certificates; `misnamed`, with TLS,
    whose clients are told to come to an address that the broker's certificate, for localhost, does not hold.
    """

    broker: RealBroker
    admin: AdminClient
    authority: Authority
    proxy: int
    behind_proxy: int
    secured: int
    tls: int
    mutual: int
    misnamed: int

    __test__ = False

    @property
    def bootstrap_servers(self) -> str:
        return self.broker.bootstrap_servers


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under `pytest -n 2 --dist loadgroup`, what talks to Kafka shares one broker, and every other file stays whole."""
    if config.getoption("dist", "no") == "loadgroup":
        for item in items:
            group = "kafka" if item.get_closest_marker("kafka") else str(item.path)
            item.add_marker(pytest.mark.xdist_group(group))


_LOGIN = "org.apache.kafka.common.security"


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    """Apache Kafka, for the whole session: topics must have names of their own in each test."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder)
    (folder / "broker.pem").write_text(authority.issue("broker", "localhost").whole)
    proxy, behind_proxy, secured, tls, mutual, misnamed = free_ports(6)
    doors = {  # name: (listens at, is advertised as, protocol)
        "PROXIED": (f"127.0.0.1:{behind_proxy}", f"127.0.0.1:{proxy}", "PLAINTEXT"),
        "SECURED": (f"127.0.0.1:{secured}", f"127.0.0.1:{secured}", "SASL_PLAINTEXT"),
        "TLS": (f"127.0.0.1:{tls}", f"localhost:{tls}", "SASL_SSL"),
        "MUTUAL": (f"127.0.0.1:{mutual}", f"localhost:{mutual}", "SSL"),
        "MISNAMED": (f"127.0.0.1:{misnamed}", f"127.0.0.1:{misnamed}", "SSL"),
    }
    users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
    properties = {
        "listeners": ",".join(f"{name}://{here}" for name, (here, _, _) in doors.items()),
        "advertised.listeners": ",".join(f"{name}://{told}" for name, (_, told, _) in doors.items()),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, (_, _, protocol) in doors.items()),
        "listener.name.secured.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secured.plain.sasl.jaas.config": f"{_LOGIN}.plain.PlainLoginModule required {users};",
        "listener.name.tls.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.tls.plain.sasl.jaas.config": f"{_LOGIN}.plain.PlainLoginModule required {users};",
        "listener.name.tls.scram-sha-256.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
        "listener.name.tls.scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "broker.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:relay",
    }
    with RealBroker(properties=properties, java=SOON) as broker:
        yield TestBroker(
            broker=broker,
            admin=AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0}),
            authority=authority,
            proxy=proxy,
            behind_proxy=behind_proxy,
            secured=secured,
            tls=tls,
            mutual=mutual,
            misnamed=misnamed,
        )
