"""P10, V-55: words that occur nowhere else are sent through every path, and then looked for wherever they must not be.

The gateway runs at DEBUG and publishes to a Kafka that asks for a password.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from faults.gateways import ACCOUNT, ADMIN_TOKEN, SECRETS, Gateway, furnish, serving
from faults.readers import read
from faults.senders import Webhook

from paymux.sandbox import samples
from paymux.sandbox.fresh import Fresh
from tests.acceptance.test_five_providers import naming
from tests.conftest import PASSWORDS

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from paymux.sandbox.apis import Sandbox

pytestmark = pytest.mark.kafka

PAN = "4000056655665556"
PANS = (PAN, "4000 0566 5566 5556", "4000-0566-5566-5556")
PATH_TOKEN = "canary-path-token-0123456789"
STATIC = "canary-static-secret-0123456789"
API_KEY = "canary-api-key-0123456789"
BODY, HEADER, QUERY, OFFERED, FILE = "canary-body", "canary-header", "canary-query", "canary-offered", "canary-file"
MORE = """
[[accounts]]
provider = "flexprice"
name = "native"
secrets = ["env:STATIC"]
options = {delivery = "native"}
[[accounts]]
provider = "flowlix"
name = "token"
secrets = ["env:STATIC"]
path_token = "env:PATH_TOKEN"
api_key = "env:API_KEY"
"""
SECURED = """
security_protocol = "SASL_PLAINTEXT"
sasl_mechanism = "PLAIN"
sasl_username = "relay"
sasl_password = "env:KAFKA_PASSWORD"
insecure = true
[relay]"""
ENVIRON = {"STATIC": STATIC, "PATH_TOKEN": PATH_TOKEN, "API_KEY": API_KEY, "KAFKA_PASSWORD": PASSWORDS["relay"]}


def odd_headers() -> dict[str, str]:
    """What a sender or a proxy may add. All but the first are credentials, so they are stored nowhere."""
    return {
        "X-Odd": HEADER,
        "Authorization": f"Bearer {OFFERED}-1",
        "Proxy-Authorization": f"Basic {OFFERED}-2",
        "Cookie": f"session={OFFERED}-3",
        "X-Api-Key": f"{OFFERED}-4",
        "X-Auth-Token": f"{OFFERED}-5",
    }


def stripe_event(**changes: object) -> dict:
    event = json.loads(Fresh().body(samples.webhook("stripe", "payment_intent.succeeded").body, datetime.now(UTC)))
    event["data"]["object"] |= {
        "description": f"card {PANS[0]}",
        "receipt_email": BODY,
        "unmapped": {"deep": [BODY]},
        "metadata": {"text": f"card {PANS[1]}", "number": int(PAN), "list": f"{PANS[2]} {PAN}", f"key {PAN}": "x"},
        "payment_details": {"order_reference": f"ref {PAN}"},
    }
    return event | changes


def webhooks(sandbox: Sandbox) -> list[Webhook]:
    """Genuine ones: translated, quarantined for each reason, looked up with every answer."""
    whole = stripe_event()
    stripes = [
        json.dumps(whole).encode(),
        json.dumps(stripe_event(type=f"new.{PAN}")).encode(),
        json.dumps(stripe_event(livemode=True)).encode(),
        json.dumps(_with(stripe_event(), status=f"odd {PAN}")).encode(),
        json.dumps(_with(stripe_event(), currency=PAN)).encode(),
        json.dumps(_with(stripe_event(), amount=BODY)).encode(),
        json.dumps(_with(whole, amount=1)).encode(),
        f'{{"id": "{BODY}", "{BODY}'.encode(),
        f'{{"id": "{BODY}", "{PAN}": 1, "{PAN}": 2}}'.encode(),
        b"[" * 5000 + BODY.encode(),
        b"",
    ]
    flexprice = json.loads(Fresh().renamed(samples.webhook("flexprice", "payment.updated", "failed").body))
    flexprice["payment"]["error_message"] = f"card {PAN} {PANS[1]}"
    sandbox.fail("flowglad", 500, body=BODY.encode())
    sandbox.fail("flowglad", 401, body=BODY.encode())
    sandbox.fail("flexportal", 403, body=BODY.encode())
    return [
        *(Webhook(provider="stripe", body=body) for body in stripes),
        Webhook(provider="flexprice", body=json.dumps(flexprice).encode()),
        Webhook(provider="flowglad", body=naming("flowglad", "pym_canarycanary")),
        Webhook(provider="flexportal", body=naming("flexportal", "pay_canarycanary")),
    ]


def _with(event: dict, **changes: object) -> dict:
    return event | {"data": {"object": event["data"]["object"] | changes}}


async def drive(gateway: Gateway, sandbox: Sandbox, session: aiohttp.ClientSession) -> list[bytes]:
    """Through every path; the answers, heads included."""
    answers = []

    async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
        async with session.post(url, data=body, headers=headers) as answer:
            answers.append(f"{answer.status} {answer.reason} {dict(answer.headers)}".encode() + await answer.read())
            return answer.status

    for webhook in webhooks(sandbox):
        headers = odd_headers() | webhook.headers()
        assert await post(f"{gateway.url(webhook.provider)}?q={QUERY}", webhook.body, headers) == 200
        if webhook.provider in SECRETS:
            wrong = odd_headers() | webhook.headers("whsec_" + "Y2FuYXJ5" * 5)
            assert await post(gateway.url(webhook.provider), webhook.body, wrong) == 401
    native, token = f"{gateway.public}/webhooks/flexprice/native", f"{gateway.public}/webhooks/flowlix/token"
    payment = Fresh().body(samples.webhook("flexprice", "payment.success").body, datetime.now(UTC))
    assert await post(native, payment, odd_headers() | {"X-Api-Key": STATIC}) == 200
    assert await post(native, payment, odd_headers()) == 401
    flowlix = Webhook(
        provider="flowlix", body=Fresh().body(samples.webhook("flowlix", "payment.failed").body, datetime.now(UTC))
    )
    assert await post(f"{token}/{PATH_TOKEN}", flowlix.body, odd_headers() | flowlix.headers(STATIC)) == 200
    assert await post(f"{token}/{OFFERED}", flowlix.body, flowlix.headers(STATIC)) == 401
    assert await post(f"{gateway.public}/webhooks/{OFFERED}/{OFFERED}", b"", {}) == 404
    assert await post(gateway.url("stripe"), b"x", {"Content-Encoding": OFFERED}) == 415
    answers += [await raw(gateway, piece) for piece in PIECES]
    for page in ("/api/v1/status", f"/{OFFERED}", f"/api/v1/rejections?limit={OFFERED}"):
        async with session.get(gateway.private + page, headers={"Authorization": f"Bearer {OFFERED}"}) as answer:
            answers.append(f"{dict(answer.headers)}".encode() + await answer.read())
    return answers


PIECES = (
    f"GARBAGE {OFFERED}\r\n\r\n".encode(),
    f"POST /webhooks/stripe/{ACCOUNT} HTTP/1.1\r\nHost: x\r\nAuthorization: {OFFERED}\0\r\n\r\n".encode(),
    f"POST /webhooks/stripe/{ACCOUNT} HTTP/1.1\r\nHost: x\r\nX: {OFFERED * 2000}\r\n\r\n".encode(),
    f"POST /webhooks/stripe/{ACCOUNT} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{BODY}".encode(),
    f"POST /webhooks/stripe/{ACCOUNT} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n{BODY}".encode(),
)


async def raw(gateway: Gateway, piece: bytes) -> bytes:
    host, port = gateway.public.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(piece)
        with suppress(OSError, TimeoutError):
            return await asyncio.wait_for(reader.read(4000), 5)
        return b""
    finally:
        writer.close()


async def reload_badly(gateway: Gateway) -> None:
    config = gateway.room / "paymux.toml"
    good = config.read_text()
    for number, text in enumerate(
        (f'x = "{FILE}" "{FILE}"', good.replace("hint_rate = 1000", f'hint_rate = "{FILE}"')), 1
    ):
        config.write_text(text)
        gateway.hang_up()
        await gateway.until_said("reload_refused", number)


async def test_nothing_secret_and_no_card_number_is_to_be_seen_anywhere(tmp_path: Path, kafka, sandbox, session):
    """In no log line, metric, page, answer, record of the three topics or column of the journal but the raw bodies."""
    gateway = furnish(tmp_path, f"127.0.0.1:{kafka.secured}", sandbox, mode="process", level="debug")
    config = tmp_path / "paymux.toml"
    text = config.read_text().replace("[relay]", SECURED, 1).replace("[server]", "[server]\nbody_timeout = 0.5", 1)
    config.write_text(text + MORE)
    gateway.environ = ENVIRON
    async with serving(gateway):
        answers = await drive(gateway, sandbox, session)
        await reload_badly(gateway)
        for provider in ("flowglad", "flexportal"):
            await gateway.until_said("lookup_given_up", provider=provider)
        await gateway.published()
        pages = ("/metrics", "/readyz", "/healthz", "/api/v1/status", "/api/v1/accounts", "/api/v1/rejections")
        seen = {page: (await gateway.page(page))[1] for page in pages}
        assert await gateway.stop() == 0
    seen |= {"log": (tmp_path / "serve.log").read_bytes(), "answers": b"\n".join(answers)}
    topics = (gateway.events_topic, gateway.quarantine_topic, gateway.checkpoints_topic)
    for topic, name in zip(topics, ("events", "quarantine", "checkpoints"), strict=True):
        records = await read(kafka.bootstrap_servers, topic)
        assert records, name
        seen[name] = b"\n".join(b"\n".join((r.key.encode(), r.raw, repr(r.headers).encode())) for r in records)
    columns = journal(tmp_path / "paymux.db")
    bodies = columns.pop("deliveries.body")
    assert all(word.encode() in bodies for word in (BODY, *PANS)), "looked for what was never there"
    kept = {name: columns.pop(name) for name in ("deliveries.headers", "deliveries.query")}
    assert HEADER.encode() in kept["deliveries.headers"], "P7: headers are kept"

    secrets = (*SECRETS.values(), *ENVIRON.values(), *sandbox.keys.values(), ADMIN_TOKEN)
    hits = look_for((*secrets, OFFERED, FILE, *PANS), seen | columns | kept) + look_for(
        (BODY, HEADER, QUERY), seen | columns
    )
    assert hits == [], "\n".join(hits)


def look_for(words: tuple[str, ...], places: dict[str, bytes]) -> list[str]:
    return [
        f"{word!r} in {name}: ...{text[max(0, text.find(word.encode()) - 150) :][:300]!r}"
        for name, text in places.items()
        for word in words
        if word.encode() in text
    ]


def journal(file: Path) -> dict[str, bytes]:
    """All that stands in each column, and the write-ahead log's own bytes are part of it."""
    found: dict[str, bytes] = {}
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as opened:
        for (table,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            cursor = opened.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            for row in cursor:
                for name, value in zip(names, row, strict=True):
                    text = value if isinstance(value, bytes) else str(value).encode()
                    found[f"{table}.{name}"] = found.get(f"{table}.{name}", b"") + b"\n" + text
    return found
