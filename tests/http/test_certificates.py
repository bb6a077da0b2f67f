"""Deliveries whose proof needs a certificate: nothing is stored before it was had, and nothing that it does not prove."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from paymux.certificates import Certificates
from paymux.journal.memory import MemoryJournal
from paymux.journal.sqlite import SqliteJournal
from paymux.provider_api import open_session
from paymux.sandbox.samples import webhook
from tests.http.world import running
from tests.paypal_signing import URL, WEBHOOK_ID, Authority, with_the_checksum_of

AUTHORITY = Authority(datetime.now(UTC))
SIGNER = AUTHORITY.issue()
BODY = webhook("paypal", "PAYMENT.CAPTURE.COMPLETED").body
PATH = "/webhooks/paypal/acme"


class Paypal:
    """Its server of certificates, and its deliveries."""

    def __init__(self) -> None:
        self.pem, self.status, self.asked, self.base = SIGNER.pem, 200, 0, ""

    async def answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(status=self.status, text=self.pem)

    @property
    def account(self) -> dict:
        options = {"webhook_id": WEBHOOK_ID, "ca_pem": AUTHORITY.pem, "cert_url": f"{self.base}/certs/"}
        return {"provider": "paypal", "name": "acme", "options": options}

    def headers(self, body: bytes = BODY, signer=SIGNER, url: str = "", **changed: str) -> dict[str, str]:
        told = signer.headers(body, datetime.now(UTC), url=url or f"{self.base}/certs/CERT-1", **changed)
        return {name.decode(): value.decode() for name, value in told}


@asynccontextmanager
async def gateway(journal=None):
    paypal, clock = Paypal(), [timedelta()]
    app = web.Application()
    app.router.add_get("/certs/{name}", paypal.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    paypal.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with open_session() as session:
        certificates = Certificates(session=session, clock=lambda: datetime.now(UTC) + clock[0], roots=())
        try:
            async with running(paypal.account, journal=journal or MemoryJournal(), certificate=certificates) as world:
                yield world, paypal, clock
        finally:
            await certificates.close()
            await runner.cleanup()


async def test_a_delivery_is_proven_with_a_certificate_that_was_fetched():
    """The first one waits for it, the others do not ask again."""
    async with gateway() as (world, paypal, _):
        other = webhook("paypal", "PAYMENT.CAPTURE.PENDING").body
        assert (await world.post(BODY, PATH, **paypal.headers())).status == 200
        headers = paypal.headers(other, transmission="another-transmission")
        assert (await world.post(other, PATH, **headers)).status == 200
        assert (world.kept, paypal.asked) == (2, 1)


async def test_a_flood_of_first_deliveries():
    """All of them are taken, by one request."""
    async with gateway() as (world, paypal, _):
        deliveries = [world.post(BODY, PATH, **paypal.headers()) for _ in range(30)]
        assert {answer.status for answer in await asyncio.gather(*deliveries)} == {200}
        assert (world.kept, paypal.asked) == (1, 1)


async def test_the_certificate_cannot_be_had():
    """503 with Retry-After, and nothing is stored: neither good nor bad is known of it. Later it is taken."""
    async with gateway() as (world, paypal, clock):
        paypal.status = 503
        answer = await world.post(BODY, PATH, **paypal.headers())
        assert (answer.status, "retry-after" in answer.headers, world.kept) == (503, True, 0)
        assert await world.reasons() == ["certificate_unavailable"]
        paypal.status, clock[0] = 200, timedelta(seconds=10)
        assert (await world.post(BODY, PATH, **paypal.headers())).status == 200


@pytest.mark.parametrize(
    ("change", "reason", "asked"),
    [
        ({"url": URL}, "certificate_url", 0),
        ({"url": "http://127.0.0.1:1/certs/CERT-1"}, "certificate_url", 0),
        ({"url": "http://user@{base}/certs/CERT-1"}, "certificate_url", 0),
        ({"url": "{whole}/certs/CERT-1?x"}, "certificate_url", 0),
        ({"signer": AUTHORITY.issue()}, "signature_mismatch", 1),
        ({"webhook_id": "0AB63958WF741082G"}, "signature_mismatch", 1),
        ({"transmission_time": "2020-01-01T00:00:00Z"}, "too_old", 0),
    ],
    ids=["another host", "another port", "userinfo", "a query", "another key", "another webhook", "old"],
)
async def test_a_delivery_that_lies(change, reason, asked):
    """401, and nothing is fetched that need not be."""
    async with gateway() as (world, paypal, _):
        if "url" in change:
            change = {"url": change["url"].format(base=paypal.base.removeprefix("http://"), whole=paypal.base)}
        answer = await world.post(BODY, PATH, **paypal.headers(**change))
        assert (answer.status, answer.body, world.kept) == (401, b'{"error":"unauthorized"}', 0)
        assert (await world.reasons(), paypal.asked) == ([reason], asked)


@pytest.mark.parametrize(
    "pem",
    [
        AUTHORITY.issue(ended=timedelta(days=1)).pem,
        AUTHORITY.issue("www.paypal.com").pem,
        Authority(datetime.now(UTC)).issue().pem,
    ],
    ids=["expired", "another name", "another authority"],
)
async def test_a_certificate_that_lies(pem):
    """401: what is there proves nothing."""
    async with gateway() as (world, paypal, _):
        paypal.pem = pem
        assert (await world.post(BODY, PATH, **paypal.headers())).status == 401
        assert (await world.reasons(), world.kept) == (["certificate_untrusted"], 0)


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_the_same_transmission_with_another_body(store, tmp_path):
    """Whoever holds a genuine delivery can make another body of the same checksum: it is rejected, and nothing of it is
    kept; the genuine one comes again as a duplicate, and a new transmission of it does, too.
    """
    journal = await SqliteJournal.open(tmp_path / "paymux.db") if store == "sqlite" else MemoryJournal()
    forged = with_the_checksum_of(BODY, BODY.replace(b'"129.90"', b'"1.00"').replace(b"WH-", b"XX-"))
    async with gateway(journal) as (world, paypal, _):
        headers = paypal.headers()
        assert (await world.post(BODY, PATH, **headers)).status == 200
        end = await journal.end(0)
        answers = [await world.post(forged, PATH, **headers) for _ in range(3)]
        assert [(answer.status, answer.body) for answer in answers] == [(401, b'{"error":"unauthorized"}')] * 3
        assert await world.reasons() == ["signature_reused"] * 3
        assert (await world.post(BODY, PATH, **headers)).status == 200
        again = paypal.headers(transmission="sent-by-hand-again")
        assert (await world.post(BODY, PATH, **again)).status == 200
        assert await journal.end(0) == end
    await journal.close()


async def test_two_bodies_of_one_transmission_at_once():
    """However they are mixed into commits, one body wins."""
    forged = with_the_checksum_of(BODY, BODY.replace(b"WH-", b"XX-"))
    async with gateway() as (world, paypal, _):
        headers = paypal.headers()
        answers = await asyncio.gather(
            *(world.post(body, PATH, **headers) for body in (BODY, forged, BODY, forged, BODY))
        )
        assert sorted({answer.status for answer in answers}) == [200, 401]
        assert len({row.delivery.body for row in world.journal.store.deliveries.values()}) == 1


async def test_the_rejection_survives_a_restart(tmp_path):
    """The journal remembers which body a transmission had."""
    forged = with_the_checksum_of(BODY, BODY.replace(b"WH-", b"XX-"))
    path, headers = tmp_path / "paymux.db", {}
    for body, status in ((BODY, 200), (forged, 401)):
        journal = await SqliteJournal.open(path)
        async with gateway(journal) as (world, paypal, _):
            headers = headers or paypal.headers()
            told = headers | {"PAYPAL-CERT-URL": f"{paypal.base}/certs/CERT-1"}
            assert (await world.post(body, PATH, **told)).status == status
        await journal.close()
