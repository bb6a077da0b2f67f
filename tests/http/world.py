"""A public listener on a port of its own, over a journal in memory, and a sender that speaks in raw bytes."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from paymux.http.connections import Listener
from paymux.http.reports import Reports
from paymux.http.routes import routes
from paymux.http.webhooks import Limits, Webhooks
from paymux.journal.memory import MemoryJournal
from paymux.providers import BY_NAME
from paymux.sandbox.samples import webhook
from paymux.settings import load
from paymux.settings.accounts import build_accounts
from paymux.telemetry import Metrics, configure
from paymux.wiring.shown import ConnectionReports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from paymux.http.routes import Route
    from paymux.journal import Journal

SECRET = "whsec_0123456789abcdefghijklmnopqrstuv"
STRIPE = {"provider": "stripe", "name": "acme", "secrets": [SECRET]}
PATH = "/webhooks/stripe/acme"
BODY = webhook("stripe", "payment_intent.succeeded").body


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True, kw_only=True)
class World:
    port: int
    webhooks: Webhooks
    journal: Any
    metrics: Metrics
    listener: Listener
    asked: list[str]

    async def send(self, *pieces: bytes, pause: float = 0.0) -> Answered:
        """Raw bytes on a connection of their own; the first answer."""
        return (await self.answers(*pieces, pause=pause))[0]

    async def answers(self, *pieces: bytes, pause: float = 0.0, count: int = 1) -> list[Answered]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            return [await answer(reader) for _ in range(count)]
        finally:
            writer.close()

    async def post(self, body: bytes = BODY, path: str = PATH, **headers: str) -> Answered:
        return await self.send(request(body, path, **headers))

    async def deliver(self, body: bytes = BODY, secret: str = SECRET, path: str = PATH, **headers: str) -> Answered:
        """Correctly signed, as Stripe does."""
        return await self.post(body, path, stripe_signature=signature(body, secret), **headers)

    @property
    def kept(self) -> int:
        return len(self.journal.store.deliveries)

    async def reasons(self) -> list[str]:
        return [rejection.reason for rejection in await self.journal.rejections(100)]


async def answer(reader: asyncio.StreamReader, seconds: float = 5.0) -> Answered:
    async with asyncio.timeout(seconds):
        head = await reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answered(status=int(status.split(" ")[1]), headers=headers, body=body)


def signature(body: bytes, secret: str = SECRET, at: float | None = None) -> str:
    seconds = int(time.time() if at is None else at)
    return f"t={seconds},v1={hmac.new(secret.encode(), b'%d.' % seconds + body, 'sha256').hexdigest()}"


def request(body: bytes = b"", path: str = PATH, method: str = "POST", **headers: str) -> bytes:
    """`headers` by their names in snake case; a Content-Length unless one is given."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if not {"content-length", "transfer-encoding"} & given.keys():
        given["content-length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", "Host: pay.example", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def routes_of(*accounts: dict[str, Any], before: Mapping[str, Route] | None = None) -> dict[str, Route]:
    settings = load(None, {"PAYMUX_ACCOUNTS": json.dumps(accounts)})
    return routes(build_accounts(settings, BY_NAME).values(), before or {})


@asynccontextmanager
async def running(
    *accounts: dict[str, Any],
    journal: Journal | None = None,
    max_connections: int = 100,
    most_of_one: int | None = None,
    keepalive_timeout: float = 5.0,
    body_timeout: float = 1.0,
    unverified_rate: float = 1000.0,
    certificate: Any = None,
    **limits: Any,
) -> AsyncIterator[World]:
    metrics, journal, deliveries = Metrics(), journal or MemoryJournal(), configure()
    asked: list[str] = []

    async def is_ready() -> bool:
        return True

    webhooks = Webhooks(
        routes=routes_of(*(accounts or (STRIPE,))),
        journal=journal,
        limits=Limits(body_timeout=body_timeout, unverified_rate=unverified_rate, **limits),
        reports=Reports(journal=journal, metrics=metrics, deliveries=deliveries, now=lambda: datetime.now(UTC)),
        is_ready=is_ready,
        **({"certificate": certificate} if certificate else {}),
        asked=lambda: asked.append("a lookup"),
    )
    listener = Listener(
        webhooks,
        max_connections=max_connections,
        most_of_one=most_of_one or max_connections,
        trusted_proxies=limits.get("trusted_proxies", ()),
        keepalive_timeout=keepalive_timeout,
        observe=ConnectionReports(metrics),
    )
    server = await asyncio.get_running_loop().create_server(listener, "127.0.0.1", 0)
    try:
        yield World(
            port=server.sockets[0].getsockname()[1],
            webhooks=webhooks,
            journal=journal,
            metrics=metrics,
            listener=listener,
            asked=asked,
        )
    finally:
        server.close()
        await listener.shutdown(0.1)
        await journal.close()
        deliveries.drain()
