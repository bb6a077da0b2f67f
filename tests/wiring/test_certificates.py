"""The gateway as `serve` runs it, with an account whose webhooks are proven by a certificate."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
from aiohttp import web

from paymux.certificates import MOST_AT_ONCE
from paymux.publish.memory import MemoryLog, MemoryPublisher
from paymux.sandbox.samples import webhook
from paymux.settings import load
from paymux.telemetry import configure
from paymux.wiring import Gateway
from tests.paypal_signing import WEBHOOK_ID, Authority

BODY = webhook("paypal", "PAYMENT.CAPTURE.COMPLETED").body
OTHER = webhook("paypal", "PAYMENT.CAPTURE.PENDING").body


@dataclass
class Paypal:
    """Its certificates, and its deliveries."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    asked: list[str] = field(default_factory=list)
    base: str = ""
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.authority = Authority(self.now)
        self.signer = self.authority.issue()

    async def answer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.asked.append(name)
        if name != "CERT-1":
            await self.release.wait()
        return web.Response(text=self.signer.pem)

    def headers(self, body: bytes, certificate: str = "CERT-1", **changed: str) -> dict[str, str]:
        told = self.signer.headers(body, self.now, url=f"{self.base}{certificate}", **changed)
        return {name.decode(): value.decode() for name, value in told}

    @property
    def account(self) -> dict:
        options = {"webhook_id": WEBHOOK_ID, "ca_pem": self.authority.pem, "cert_url": self.base}
        return {"provider": "paypal", "name": "acme", "options": options}


@asynccontextmanager
async def serving():
    paypal, app = Paypal(), web.Application()
    app.router.add_get("/certs/{name}", paypal.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    paypal.base = f"http://127.0.0.1:{runner.addresses[0][1]}/certs/"
    try:
        yield paypal
    finally:
        paypal.release.set()
        await runner.cleanup()


async def started(paypal: Paypal, journal: str) -> Gateway:
    settings = load(
        None,
        {
            "PAYMUX_ACCOUNTS": json.dumps([paypal.account]),
            "PAYMUX_JOURNAL__URL": journal,
            "PAYMUX_SERVER__LISTEN": "127.0.0.1:0",
            "PAYMUX_SERVER__ADMIN_LISTEN": "127.0.0.1:0",
        },
    )
    return await Gateway.start(
        settings,
        deliveries=configure(stream=io.StringIO()),
        publisher=lambda: MemoryPublisher(MemoryLog(), journal="a", shard=0),
    )


async def post(gateway: Gateway, body: bytes, headers: dict[str, str]) -> int:
    url = f"http://{gateway.address}/webhooks/paypal/acme"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status


async def test_a_paypal_webhook_is_taken_and_published():
    """The certificate is fetched, checked by the account's authority, and the event comes out; a forged one is 401."""
    async with serving() as paypal:
        gateway = await started(paypal, "memory://")
        assert await post(gateway, BODY, paypal.headers(BODY)) == 200
        assert await post(gateway, BODY + b" ", paypal.headers(BODY)) == 401
        assert await gateway.journal.end(0) == 1
        assert await gateway.stop()


async def test_a_restart_asks_for_the_certificate_before_the_next_delivery(tmp_path):
    """The one that the newest stored delivery names; strangers with made-up URLs do not hold it back."""
    async with serving() as paypal:
        gateway = await started(paypal, f"sqlite:///{tmp_path}/journal.db")
        assert paypal.asked == []
        assert await post(gateway, BODY, paypal.headers(BODY)) == 200
        assert await gateway.stop()

        gateway = await started(paypal, f"sqlite:///{tmp_path}/journal.db")
        async with asyncio.timeout(5):
            while paypal.asked != ["CERT-1", "CERT-1"]:
                await asyncio.sleep(0.01)
        strangers = [
            asyncio.create_task(post(gateway, BODY, paypal.headers(BODY, f"MADE-UP-{number}")))
            for number in range(MOST_AT_ONCE)
        ]
        async with asyncio.timeout(5):
            while len(paypal.asked) < 2 + MOST_AT_ONCE:
                await asyncio.sleep(0.01)
        assert await post(gateway, BODY, paypal.headers(BODY, "MADE-UP-AGAIN")) == 503
        assert await post(gateway, OTHER, paypal.headers(OTHER, transmission="another-one")) == 200
        assert paypal.asked.count("CERT-1") == 2
        paypal.release.set()
        await asyncio.gather(*strangers)
        assert await gateway.stop()
