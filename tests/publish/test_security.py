"""SASL and TLS of [kafka], from paymux.toml to a record that another client library reads back, on Apache Kafka."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

import orjson
import pytest
from click.testing import CliRunner
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from paymux.cli import main
from paymux.errors import BrokerUnavailable
from paymux.publish.kafka import KafkaPublisher, KafkaSettings, check_topics
from paymux.settings import load
from paymux.wiring.parts import kafka_settings
from tests.certificates import Authority
from tests.cli.gateways import fetch, serving
from tests.conftest import PASSWORDS
from tests.outboxes import JOURNAL, event
from tests.publish.test_publishers import checkpoint
from tests.publish.worlds import read_committed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.certificates import Files
    from tests.conftest import TestBroker

KEY_PASSWORD = "opens-the-key"
# Of the same user, but each its own: so that only the mechanism that was asked for can let it in.
LOGINS = {"PLAIN": PASSWORDS["relay"], "SCRAM-SHA-256": "scram-two-five-six", "SCRAM-SHA-512": "scram-five-one-two"}
_SCRAM = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}
_BY_LIBRDKAFKA = {
    "security_protocol": "security.protocol",
    "sasl_mechanism": "sasl.mechanism",
    "sasl_username": "sasl.username",
    "sasl_password": "sasl.password",
    "ssl_cafile": "ssl.ca.location",
    "ssl_certfile": "ssl.certificate.location",
    "ssl_keyfile": "ssl.key.location",
    "ssl_key_password": "ssl.key.password",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What a test needs to come in, or to be turned away."""

    kafka: TestBroker
    stranger: Files
    relay: Files
    locked: Files
    forged: Files
    elsewhere: Path

    def login(self, mechanism: str = "PLAIN", **changes: str) -> dict[str, str]:
        """[kafka] for the door with SASL over TLS."""
        return {
            "bootstrap_servers": f"localhost:{self.kafka.tls}",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": mechanism,
            "sasl_username": "relay",
            "sasl_password": LOGINS[mechanism],
            "ssl_cafile": str(self.kafka.authority.file),
        } | changes

    def certificate(self, files: Files | None, **changes: str) -> dict[str, str]:
        """[kafka] for the door with client certificates."""
        shown = {"ssl_certfile": str(files.certificate), "ssl_keyfile": str(files.key)} if files else {}
        return {
            "bootstrap_servers": f"localhost:{self.kafka.mutual}",
            "security_protocol": "SSL",
            "ssl_cafile": str(self.kafka.authority.file),
            **shown,
        } | changes


@pytest.fixture(scope="module")
def doors(kafka, tmp_path_factory) -> Doors:
    """SCRAM's users, and certificates good and bad."""
    for mechanism, number in _SCRAM.items():
        user = UserScramCredentialUpsertion("relay", ScramCredentialInfo(number, 4096), LOGINS[mechanism].encode())
        for made in kafka.admin.alter_user_scram_credentials([user]).values():
            made.result(10)
    strangers = Authority(tmp_path_factory.mktemp("strangers"), "strangers")
    return Doors(
        kafka=kafka,
        stranger=kafka.authority.issue("stranger"),
        relay=kafka.authority.issue("relay"),
        locked=kafka.authority.issue("relay", password=KEY_PASSWORD),
        forged=strangers.issue("relay"),
        elsewhere=strangers.file,
    )


def configured(folder: Path, kafka: Mapping[str, str]) -> Path:
    """A paymux.toml with that [kafka], topics of its own, and each secret in a file."""
    mark = uuid4().hex[:8]
    section: dict[str, object] = {
        "events_topic": f"events-{mark}",
        "quarantine_topic": f"quarantine-{mark}",
        "checkpoints_topic": f"checkpoints-{mark}",
        "transactional_id_prefix": mark,
        "events_partitions": 2,
        "request_timeout": 3,
    }
    for key, value in kafka.items():
        section[key] = value
        if key in {"sasl_password", "ssl_key_password"}:
            (folder / key).write_text(value)
            section[key] = f"file:{folder / key}"
    file = folder / "paymux.toml"
    lines = "".join(f"{key} = {orjson.dumps(value).decode()}\n" for key, value in section.items())
    file.write_text(f'[server]\nlisten = "127.0.0.1:0"\nadmin_listen = "127.0.0.1:0"\n[kafka]\n{lines}')
    return file


def settings_of(folder: Path, kafka: Mapping[str, str]) -> KafkaSettings:
    return kafka_settings(load(configured(folder, kafka)).kafka)


def by_librdkafka(kafka: Mapping[str, str]) -> dict[str, str]:
    """The same in the other library's words."""
    told = {_BY_LIBRDKAFKA[key]: value for key, value in kafka.items() if key in _BY_LIBRDKAFKA}
    return told | {"broker.address.family": "v4"}


async def publish(settings: KafkaSettings, count: int) -> list[bytes]:
    """The values of that many records, published in one transaction."""
    publisher = KafkaPublisher(settings, journal=JOURNAL, shard=0)
    assert await publisher.start() is None
    records = [event(number, topic=settings.events_topic) for number in range(1, count + 1)]
    await publisher.publish(records, checkpoint(count))
    await publisher.abandon()
    return sorted(record.value for record in records)


async def refusal(settings: KafkaSettings) -> BrokerUnavailable:
    """Why a publisher cannot start: the relay's detail, word for word."""
    publisher = KafkaPublisher(settings, journal=JOURNAL, shard=0)
    with pytest.raises(BrokerUnavailable) as caught:
        await publisher.start()
    await publisher.abandon()
    return caught.value


# Those who may


@pytest.mark.kafka
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(lambda doors: doors.login("PLAIN"), id="PLAIN"),
        pytest.param(lambda doors: doors.login("SCRAM-SHA-256"), id="SCRAM-SHA-256"),
        pytest.param(lambda doors: doors.login("SCRAM-SHA-512"), id="SCRAM-SHA-512"),
        pytest.param(lambda doors: doors.certificate(doors.relay), id="certificate"),
        pytest.param(
            lambda doors: doors.certificate(doors.locked, ssl_key_password=KEY_PASSWORD), id="certificate, locked key"
        ),
    ],
)
async def test_a_transaction_over_each_mechanism(doors, tmp_path, way):
    """Topics, transaction and checkpoint by our client; records read back by librdkafka, over the same mechanism."""
    kafka = way(doors)
    settings = settings_of(tmp_path, kafka)
    published = await publish(settings, 20)
    seen = await asyncio.to_thread(
        read_committed, settings.bootstrap_servers, settings.events_topic, security=by_librdkafka(kafka)
    )
    assert sorted(value for _, _, value in seen) == published
    again = KafkaPublisher(settings, journal=JOURNAL, shard=0)
    assert await again.start() == checkpoint(20)
    await again.abandon()


@pytest.mark.kafka
async def test_the_rights_of_the_page_are_enough(doors, tmp_path):
    """A user with what docs/kafka.md lists and no more creates the topics, publishes, and finds its position."""
    settings = settings_of(tmp_path, doors.certificate(doors.stranger))
    rights = [on_topic(name, right) for name in topics(settings) for right in ("CREATE", "DESCRIBE", "WRITE")]
    rights += [on_topic(settings.checkpoints_topic, "READ"), *on_transactions(settings)]
    await grant(doors, *rights)
    async with asyncio.timeout(10):  # until the broker has heard of the rights itself
        while True:
            with suppress(BrokerUnavailable):
                report = await check_topics(settings)
                break
            await asyncio.sleep(0.1)
    assert any("DESCRIBE_CONFIGS" in warning for warning in report.warnings)
    published = await publish(settings, 5)
    seen = await asyncio.to_thread(read_committed, doors.kafka.bootstrap_servers, settings.events_topic)
    assert sorted(value for _, _, value in seen) == published
    again = KafkaPublisher(settings, journal=JOURNAL, shard=0)
    assert await again.start() == checkpoint(5)
    await again.abandon()


# Those who may not


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("way", "reason", "named"),
    [
        pytest.param(
            lambda doors: doors.login("PLAIN", sasl_password="wrong-password"),
            "not_authorized",
            "[kafka] sasl_username, sasl_password or sasl_mechanism:",
            id="wrong password, PLAIN",
        ),
        pytest.param(
            lambda doors: doors.login("SCRAM-SHA-256", sasl_password="wrong-password"),
            "not_authorized",
            "[kafka] sasl_username, sasl_password or sasl_mechanism:",
            id="wrong password, SCRAM-SHA-256",
        ),
        pytest.param(
            lambda doors: doors.login("SCRAM-SHA-512", sasl_password="wrong-password"),
            "not_authorized",
            "[kafka] sasl_username, sasl_password or sasl_mechanism:",
            id="wrong password, SCRAM-SHA-512",
        ),
        pytest.param(
            lambda doors: doors.login("SCRAM-SHA-512", sasl_username="nobody"),
            "not_authorized",
            "[kafka] sasl_username, sasl_password or sasl_mechanism:",
            id="unknown user",
        ),
        pytest.param(
            lambda doors: doors.login(
                "SCRAM-SHA-512",
                security_protocol="SASL_PLAINTEXT",
                bootstrap_servers=f"127.0.0.1:{doors.kafka.secured}",
                ssl_cafile="",
            ),
            "not_authorized",
            "[kafka] sasl_mechanism",
            id="mechanism that the broker does not take",
        ),
        pytest.param(
            lambda doors: doors.login(ssl_cafile=str(doors.elsewhere)),
            "not_authorized",
            "[kafka] ssl_cafile",
            id="authority that did not sign the broker's certificate",
        ),
        pytest.param(
            lambda doors: doors.login(ssl_cafile=""),
            "not_authorized",
            "[kafka] ssl_cafile",
            id="the system's authorities",
        ),
        pytest.param(
            lambda doors: doors.login(bootstrap_servers=f"127.0.0.1:{doors.kafka.tls}"),
            "not_authorized",
            "[kafka] bootstrap_servers",
            id="host that the certificate does not name",
        ),
        pytest.param(
            lambda doors: doors.certificate(None, bootstrap_servers=f"localhost:{doors.kafka.misnamed}"),
            "broker_unavailable",
            "advertised.listeners",
            id="advertised host that the certificate does not name",
        ),
        pytest.param(
            lambda doors: doors.certificate(None), "not_authorized", "[kafka] ssl_certfile", id="no client certificate"
        ),
        pytest.param(
            lambda doors: doors.certificate(doors.forged),
            "not_authorized",
            "[kafka] ssl_certfile",
            id="client certificate of another authority",
        ),
        pytest.param(
            lambda doors: {"bootstrap_servers": f"localhost:{doors.kafka.tls}"},
            "broker_unavailable",
            "[kafka] security_protocol",
            id="no TLS where it is spoken",
        ),
        pytest.param(
            lambda doors: doors.certificate(None, bootstrap_servers=doors.kafka.bootstrap_servers),
            "broker_unavailable",
            "[kafka] security_protocol",
            id="TLS where it is not spoken",
        ),
        pytest.param(
            lambda doors: doors.certificate(None, bootstrap_servers=f"localhost:{doors.kafka.tls}"),
            "broker_unavailable",
            "[kafka] security_protocol",
            id="no login where one is asked for",
        ),
        pytest.param(
            lambda doors: doors.login() | doors.certificate(doors.relay, security_protocol="SASL_SSL"),
            "not_authorized",
            "[kafka] security_protocol",
            id="login where none is taken",
        ),
    ],
)
async def test_what_keeps_us_out_is_named(doors, tmp_path, way, reason, named):
    """One sentence says what happened and which setting to look at, soon, and without the password."""
    kafka = {key: value for key, value in way(doors).items() if value}
    began = time.monotonic()
    problem = await refusal(settings_of(tmp_path, kafka))
    assert time.monotonic() - began < 5
    assert problem.reason == reason
    assert named in str(problem)
    assert "\n" not in str(problem)
    assert kafka.get("sasl_password", KEY_PASSWORD) not in str(problem)


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("granted", "reason", "named"),
    [
        pytest.param(lambda _: [], "topic_missing", "right CREATE", id="none"),
        pytest.param(
            lambda settings: [on_topic(name, "DESCRIBE") for name in topics(settings)] + on_transactions(settings),
            "not_authorized",
            "or checkpoints_topic: this user lacks a right",
            id="seeing the topics",
        ),
        pytest.param(
            lambda settings: [on_topic(name, "ALL") for name in topics(settings)],
            "not_authorized",
            "[kafka] transactional_id_prefix",
            id="everything on the topics",
        ),
    ],
)
async def test_rights_that_are_not_enough(doors, tmp_path, granted, reason, named):
    """A user that the broker knows and that may do too little is told what is missing."""
    settings = settings_of(tmp_path, doors.certificate(doors.stranger))
    rights = granted(settings)
    if rights:
        await check_topics(replace(settings_of(tmp_path, doors.certificate(doors.relay)), **topic_names(settings)))
        await grant(doors, *rights)
    async with asyncio.timeout(10):  # until the broker has heard of the rights itself
        while named not in str(problem := await refusal(settings)):
            await asyncio.sleep(0.1)
    assert problem.reason == reason


@pytest.mark.kafka
def test_a_relay_that_is_kept_out(doors, tmp_path):
    """`paymux serve` says in its log and on /readyz what keeps the relay out, without a traceback or the password."""
    user, password = f"late-{uuid4().hex[:8]}", "a-password-that-kafka-learns-late"
    file = configured(tmp_path, doors.login("SCRAM-SHA-512", sasl_username=user, sasl_password=password))
    with serving(tmp_path, "--config", str(file)) as served:
        waiting = served.until("relay_waiting")
        assert waiting["reason"] == "not_authorized"
        assert "[kafka] sasl_username, sasl_password or sasl_mechanism:" in waiting["detail"]
        status, body = fetch(f"{served.private}/readyz")
        assert (status, b"not_authorized" in body) == (200, True)
        assert served.end() == 0
        said = served.log.read_text()
    assert password not in said
    assert "Traceback" not in said


# What can be known without a broker


@pytest.mark.parametrize(
    ("way", "named"),
    [
        pytest.param(lambda files, **_: {"ssl_cafile": str(files.key)}, "ssl_cafile", id="a key for an authority"),
        pytest.param(lambda absent, **_: {"ssl_cafile": absent}, "ssl_cafile", id="no such authority"),
        pytest.param(lambda absent, **_: {"ssl_certfile": absent}, "ssl_certfile", id="no such certificate"),
        pytest.param(
            lambda files, other, **_: {"ssl_certfile": str(files.certificate), "ssl_keyfile": str(other.key)},
            "ssl_keyfile",
            id="the key of another certificate",
        ),
        pytest.param(
            lambda files, **_: {"ssl_certfile": str(files.certificate)}, "ssl_keyfile", id="no key for the certificate"
        ),
        pytest.param(
            lambda locked, **_: {"ssl_certfile": str(locked.certificate), "ssl_keyfile": str(locked.key)},
            "ssl_key_password",
            id="no password for a locked key",
        ),
        pytest.param(
            lambda locked, **_: {
                "ssl_certfile": str(locked.certificate),
                "ssl_keyfile": str(locked.key),
                "ssl_key_password": "another-password",
            },
            "ssl_key_password",
            id="another password for a locked key",
        ),
    ],
)
def test_check_names_the_file_that_cannot_be_used(tmp_path, way, named):
    """`paymux check` reads the files of [kafka]: exit code 2 and the setting, before any broker is asked."""
    authority = Authority(tmp_path)
    made = {"files": authority.issue("relay"), "other": authority.issue("other")}
    kafka = way(locked=authority.issue("relay", password=KEY_PASSWORD), absent=str(tmp_path / "absent.pem"), **made)
    file = configured(tmp_path, {"security_protocol": "SSL", **kafka})
    ended = CliRunner().invoke(main, ["check", "--config", str(file)])
    assert ended.exit_code == 2, ended.output
    assert named in ended.output
    assert "another-password" not in ended.output
    assert "Traceback" not in ended.output


# Rights


def topics(settings: KafkaSettings) -> tuple[str, ...]:
    return tuple(topic_names(settings).values())


def topic_names(settings: KafkaSettings) -> dict[str, str]:
    return {key: getattr(settings, key) for key in ("events_topic", "quarantine_topic", "checkpoints_topic")}


def on_topic(name: str, right: str) -> AclBinding:
    return _allowed(ResourceType.TOPIC, name, ResourcePatternType.LITERAL, right)


def on_transactions(settings: KafkaSettings) -> list[AclBinding]:
    prefix = f"{settings.transactional_id_prefix}-"
    return [
        _allowed(ResourceType.TRANSACTIONAL_ID, prefix, ResourcePatternType.PREFIXED, right)
        for right in ("DESCRIBE", "WRITE")
    ]


def _allowed(kind: ResourceType, name: str, pattern: ResourcePatternType, right: str) -> AclBinding:
    return AclBinding(kind, name, pattern, "User:stranger", "*", AclOperation[right], AclPermissionType.ALLOW)


async def grant(doors: Doors, *rights: AclBinding) -> None:
    for future in doors.kafka.admin.create_acls(list(rights)).values():
        await asyncio.to_thread(future.result, 10)
