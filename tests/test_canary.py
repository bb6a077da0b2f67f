"""V-55, P10: what is secret, and what was sent, is in no log line, metric, answer, page, Kafka record or stored request.

A gateway runs at DEBUG, every error path is driven with tokens that occur nowhere else, and then they are looked for.
"""

from __future__ import annotations

import hmac
import json
import signal
import socket
import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from paymux.sandbox.samples import webhook
from tests.cli.gateways import fetch, run, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.gateways import Served

PAN = "4242424242424242"
SECRETS = {
    "STRIPE_SECRET": "whsec_canary-stripe-secret-01",
    "STRIPE_KEY": "sk_live_canary-stripe-key",
    "NATIVE_SECRET": "canary-native-static-secret",
    "PORTAL_KEY": "canary-portal-api-key",
    "PORTAL_TOKEN": "canary-portal-path-token",
    "ADMIN_TOKEN": "canary-admin-token-0123",
    "KAFKA_PASSWORD": "canary-kafka-password",
}
# Sent by strangers and providers; of these the raw body alone may be stored.
PAGES = (
    "/metrics",
    "/readyz",
    "/healthz",
    "/api/v1/status",
    "/api/v1/accounts",
    "/api/v1/rejections",
    "/api/v1/deliveries",
    "/api/v1/quarantine",
    "/api/v1/jobs",
    "/api/v1/audit",
    "/api/v1/audit/verify",
    "/api/v1/openapi.json",
)
SENT = ("canary-in-body", "canary-in-header", "canary-in-cookie", "canary-in-path", "canary-offered-token")

CONFIG = """
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
body_timeout = 0.5
relay_timeout = 0.5
[log]
level = "debug"
[admin]
tokens = ["env:ADMIN_TOKEN"]
[kafka]
bootstrap_servers = "127.0.0.1:{kafka}"
request_timeout = 1
security_protocol = "SASL_PLAINTEXT"
sasl_mechanism = "PLAIN"
sasl_username = "paymux"
sasl_password = "env:KAFKA_PASSWORD"
insecure = true
[[accounts]]
provider = "stripe"
name = "acme"
secrets = ["env:STRIPE_SECRET"]
api_key = "env:STRIPE_KEY"
api_url = "http://127.0.0.1:{api}"
[[accounts]]
provider = "flexprice"
name = "native"
secrets = ["env:NATIVE_SECRET"]
options = {{delivery = "native"}}
[[accounts]]
provider = "flexportal"
name = "rent"
api_key = "env:PORTAL_KEY"
api_url = "http://127.0.0.1:{api}"
path_token = "env:PORTAL_TOKEN"
options = {{tenant_id = "100"}}
"""


@contextmanager
def rude_server() -> Iterator[int]:
    """A port that takes what comes and answers with what it got: a broken broker, a provider's API in pieces."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_echo, args=(listening,), daemon=True).start()
        yield listening.getsockname()[1]


def _echo(listening: socket.socket) -> None:
    with suppress(OSError):
        while True:
            peer, _ = listening.accept()
            with peer, suppress(OSError):
                peer.settimeout(1)
                peer.sendall(b"HTTP/1.1 500 " + peer.recv(4000))


def signature(body: bytes, secret: str = SECRETS["STRIPE_SECRET"]) -> str:
    at = int(time.time())
    return f"t={at},v1={hmac.new(secret.encode(), b'%d.' % at + body, 'sha256').hexdigest()}"


def raw(served: Served, data: bytes) -> bytes:
    host, port = served.ready["listen"].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as sender:
        sender.sendall(data)
        answered = b""
        with suppress(OSError):
            while piece := sender.recv(65536):
                answered += piece
                if b"\r\n\r\n" in answered:
                    break
        return answered


def stripe_body(**changes: object) -> bytes:
    event = json.loads(webhook("stripe", "payment_intent.succeeded").body)
    event["data"]["object"] |= {"description": f"paid with {PAN}", "unmapped": "canary-in-body"}
    return json.dumps(event | changes).encode()


def drive(served: Served, room: Path) -> list[bytes]:
    """Everything that can go wrong, and what went right; the answers."""
    stripe, native = f"{served.public}/webhooks/stripe/acme", f"{served.public}/webhooks/flexprice/native"
    portal = f"{served.public}/webhooks/flexportal/rent"
    odd = {
        "X_Odd": "canary-in-header",
        "Cookie": "session=canary-in-cookie",
        "Authorization": "Bearer canary-in-header",
    }
    good = stripe_body()
    unknown = stripe_body(id="evt_2", type="canary-in-body" * 3)
    broken = [b"canary-in-body", b'{"id": "canary-in-body"', b'{"id":1,"id":"canary-in-body"}', b"[" * 3000, b"\xff"]
    thin = stripe_body(id="evt_3", object="v2.core.event", type="v1.payment_intent.succeeded")
    signed = [good, good, unknown, thin, *broken]
    hint = b'{"event":"payment.succeeded","timestamp":"2026-01-01T00:00:00Z","data":{"paymentId":"p1","x":"canary-in-body"}}'
    payment = webhook("flexprice", "payment.success").body
    answers = [fetch(stripe, body, Stripe_Signature=signature(body), **odd) for body in signed]
    answers += [
        fetch(stripe, good, Stripe_Signature=signature(good, "canary-offered-token"), **odd),
        fetch(stripe, good, Stripe_Signature="canary-in-header", **odd),
        fetch(stripe, good, Content_Encoding="canary-in-header", **odd),
        fetch(stripe, b"canary-in-body" * 100_000, **odd),
        fetch(f"{stripe}/canary-in-path?q=canary-in-path", good, **odd),
        fetch(f"{served.public}/webhooks/canary-in-path/x", good, **odd),
        fetch(native, payment, X_Api_Key=SECRETS["NATIVE_SECRET"], Cookie="canary-in-cookie"),
        fetch(native, payment, X_Api_Key="canary-offered-token"),
        fetch(f"{portal}/{SECRETS['PORTAL_TOKEN']}", hint, **odd),
        fetch(f"{portal}/canary-offered-token", hint, **odd),
        fetch(portal, hint, **odd),
        fetch(f"{served.private}/api/v1/status", Authorization="Bearer canary-offered-token"),
        fetch(f"{served.private}/canary-in-path"),
    ]
    pieces = [
        b"GARBAGE canary-in-header\r\n\r\n",
        b"POST /webhooks/stripe/acme HTTP/1.1\r\nHost: x\r\nAuthorization: canary-in-header\x00\r\n\r\n",
        b"POST /webhooks/stripe/acme HTTP/1.1\r\nHost: x\r\nX: canary-in-header" + b"y" * 9000 + b"\r\n\r\n",
        b"POST /webhooks/stripe/acme HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\ncanary-in-body",
        b"POST /webhooks/stripe/acme HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\ncanary-in-body\r\n",
    ]
    (room / "paymux.toml").write_text('[admin]\ntokens = ["canary-in-file" "canary-in-file"]\n')
    served.process.send_signal(signal.SIGHUP)
    served.until("reload_refused")
    served.until("relay_waiting")
    served.until("lookup_postponed")
    return [body for _, body in answers] + [raw(served, piece) for piece in pieces]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Place -> all that could be seen there."""
    room = tmp_path_factory.mktemp("canary")
    with rude_server() as kafka, rude_server() as api:
        (room / "paymux.toml").write_text(CONFIG.format(kafka=kafka, api=api))
        checked = run("check", "--json", cwd=room, **SECRETS)
        with serving(room, **SECRETS) as served:
            answers = drive(served, room)
            bearer = {"Authorization": f"Bearer {SECRETS['ADMIN_TOKEN']}"}
            shown = {page: fetch(served.private + page, **bearer)[1] for page in PAGES}
            listed = json.loads(shown["/api/v1/deliveries"])["deliveries"]
            explained = [fetch(f"{served.private}/api/v1/deliveries/{each['id']}", **bearer)[1] for each in listed]
            assert served.end() == 0
    return shown | {
        "answers": b"\n".join(answers),
        "log": served.log.read_bytes(),
        "explained": b"\n".join(explained),
        "check": (checked.stdout + checked.stderr).encode(),
        "outbox": _stored(room, lambda table, _: table == "outbox"),
        "stored requests": _stored(room, lambda table, column: (table, column) != ("deliveries", "body")),
        "raw bodies": _stored(room, lambda table, column: (table, column) == ("deliveries", "body")),
    }


def _stored(room: Path, wanted) -> bytes:
    """Every value of the journal's columns that are wanted."""
    found = []
    with sqlite3.connect(room / "paymux.db") as journal:
        tables = [name for (name,) in journal.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            cursor = journal.execute(f"SELECT * FROM {table}")
            columns = [column[0] for column in cursor.description]
            found += [
                value for row in cursor for column, value in zip(columns, row, strict=True) if wanted(table, column)
            ]
    journal.close()
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in found)


PLACES = ["log", "answers", "check", *PAGES, "outbox", "stored requests", "explained"]
# What was sent is told there, secrets aside.
TELLING = ("outbox", "stored requests", "explained")


@pytest.mark.parametrize("place", PLACES)
def test_v55_no_secret_is_to_be_seen(seen, place):
    """V-55: of the configuration's secrets, in no form."""
    assert len(seen[place]) > 0
    assert [name for name, secret in SECRETS.items() if secret.encode() in seen[place]] == []


@pytest.mark.parametrize("place", PLACES)
def test_v55_nothing_that_was_sent_in_secret_is_to_be_seen(seen, place):
    """V-55: credentials that were offered, right or wrong, and a file that could not be read."""
    words = ["canary-in-cookie", "canary-offered-token", "canary-in-file"]
    assert [word for word in words if word.encode() in seen[place]] == []


@pytest.mark.parametrize("place", [place for place in PLACES if place not in TELLING])
def test_v55_nothing_of_bodies_headers_and_paths_is_to_be_seen(seen, place):
    """V-55: an event's type and key aside, which are told."""
    visible = seen[place].replace(b"canary-in-body" * 3, b"")
    assert [word for word in SENT if word.encode() in visible] == []


@pytest.mark.parametrize("place", PLACES)
def test_p10_no_card_number_leaves_the_raw_body(seen, place):
    """P10: masked in the event's free text, and nowhere else to be seen."""
    assert PAN.encode() not in seen[place]


def test_the_raw_body_keeps_what_was_sent(seen):
    """P7: so that these tests look for something that was there."""
    assert PAN.encode() in seen["raw bodies"]
    assert b"canary-in-body" in seen["raw bodies"]
    assert b"canary-in-header" in seen["stored requests"]
    assert b"***4242" in seen["outbox"]
