"""The README does what it says: its configuration, its webhook by hand, its event, its consumer."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from uuid import uuid4

import orjson
import pytest
from confluent_kafka import Producer

from paymux.canonical import parse_event
from paymux.delivery import Delivery, Proof
from paymux.journal import Entry
from paymux.journal.memory import MemoryJournal
from paymux.provider import Account
from paymux.providers import BY_NAME
from paymux.signatures import Verified
from paymux.translate import translate
from tests.cli.gateways import PATIENCE, run, serving
from tests.docs.pages import fenced, read
from tests.publish.worlds import read_committed

README = read("README.md")
SECRET = "whsec_0123456789abcdef"
NOWHERE = {"PAYMUX_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
PORTS = {"PAYMUX_SERVER__LISTEN": "127.0.0.1:0", "PAYMUX_SERVER__ADMIN_LISTEN": "127.0.0.1:0"}


@pytest.fixture
def room(tmp_path):
    """A directory with the README's configuration, webhook and consumer."""
    (tmp_path / "paymux.toml").write_text(only("toml"))
    (tmp_path / "post.sh").write_text(only("bash"))
    (tmp_path / "consumer.py").write_text(only("python"))
    return tmp_path


def only(language: str) -> str:
    [block] = fenced(README, language)
    return block


def posted(room, base: str) -> subprocess.CompletedProcess[str]:
    script = (room / "post.sh").read_text()
    assert "http://127.0.0.1:8080/" in script
    (room / "here.sh").write_text(script.replace("http://127.0.0.1:8080/", f"{base}/"))
    return subprocess.run(
        ["bash", "here.sh"], cwd=room, env={"PATH": "/usr/bin:/bin", "FLOWLIX_SECRET": SECRET},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def body() -> bytes:
    return only("bash").split("body='")[1].split("'\n")[0].encode()


def within(part, whole) -> bool:
    """Every key of `part` stands in `whole` with the same value, or holds a part of it."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and within(value, whole[key]) for key, value in part.items())
    return part == whole


def test_the_configuration_is_right(room):
    """`paymux check` has nothing against it."""
    done = run("check", cwd=room, FLOWLIX_SECRET=SECRET)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "POST /webhooks/flowlix/acme" in done.stdout
    assert set(tomllib.loads(only("toml"))) == {"kafka", "accounts"}


def test_the_webhook_by_hand_is_taken(room):
    """openssl signs what paymux verifies, and a changed body is a 401."""
    with serving(room, FLOWLIX_SECRET=SECRET, **PORTS, **NOWHERE) as served:
        done = posted(room, served.public)
        assert (done.returncode, done.stdout) == (0, '{"received":true}'), done.stderr
        (room / "post.sh").write_text(only("bash").replace('--data-binary "$body"', '--data-binary "$body "'))
        done = posted(room, served.public)
        assert "401" in done.stderr


async def test_the_event_is_what_comes_out():
    """What the README shows is a part of the event that its webhook gives, and the event is of the published form."""
    account = Account(provider=BY_NAME["flowlix"], name="acme")
    delivery = Delivery(id=str(uuid4()), provider="flowlix", account="acme", received_at=datetime.now(UTC), body=body())
    verified = Verified(delivery, Proof.SIGNATURE, 0)
    journal = MemoryJournal()
    await journal.append(Entry(account=account, verified=verified, items=translate(account, verified)))
    [row] = await journal.read(0, 0, 10)
    assert row.record.key == b"flowlix/acme/pay_1"
    parse_event(row.record.value)
    shown = json.loads(only("json"))
    assert within(shown, orjson.loads(row.record.value)), row.record.value.decode()
    assert not within({**shown, "type": "payment.failed"}, orjson.loads(row.record.value))


@pytest.mark.kafka
def test_the_consumer_reads_each_event_once(room, kafka):
    """Run as it stands: events that come twice are handled once, aborted ones not at all."""
    topics = {name: f"{name}-{uuid4().hex[:8]}" for name in ("events", "quarantine", "checkpoints")}
    there = {f"PAYMUX_KAFKA__{name.upper()}_TOPIC": topic for name, topic in topics.items()}
    with serving(
        room, FLOWLIX_SECRET=SECRET, PAYMUX_KAFKA__BOOTSTRAP_SERVERS=kafka.bootstrap_servers, **PORTS, **there
    ) as served:
        assert posted(room, served.public).returncode == 0
        assert posted(room, served.public).returncode == 0
        served.until("relay_running")
        assert served.end() == 0
    [(_, key, value)] = read_committed(kafka.bootstrap_servers, topics["events"])
    republish(kafka, topics["events"], key, value)
    consumer = subprocess.Popen(
        [sys.executable, "consumer.py", kafka.bootstrap_servers, topics["events"]],
        cwd=room,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # The second line is that of the last record: nothing that came before it was handled in between.
        assert consumer.stdout.readline() == "payment.succeeded pay_1 succeeded\n"
        assert consumer.stdout.readline() == "payment.refunded pay_1 succeeded\n"
    finally:
        consumer.terminate()
        consumer.communicate(timeout=PATIENCE)


def republish(kafka, topic: str, key: bytes, value: bytes) -> None:
    """The same record again, one in a transaction that is aborted, and at last one that is new."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic, "log_level": 0})
    producer.init_transactions(20)
    aborted = orjson.dumps({**orjson.loads(value), "id": str(uuid4()), "type": "payment.failed"})
    last = orjson.dumps({**orjson.loads(value), "id": str(uuid4()), "type": "payment.refunded"})
    for values, end in (
        ([value], producer.commit_transaction),
        ([aborted], producer.abort_transaction),
        ([value, last], producer.commit_transaction),
    ):
        producer.begin_transaction()
        for one in values:
            producer.produce(topic, key=key, value=one)
        producer.flush(20)
        end(20)
