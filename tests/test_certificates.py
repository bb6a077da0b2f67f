"""Fetching certificates, from a server on loopback that lies in every way."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from paymux.certificates import (
    KEPT,
    MOST_A_MINUTE,
    MOST_AT_ONCE,
    REFUSED_FOR,
    RENEWED_AFTER,
    UNAVAILABLE_FOR,
    Certificates,
    system_roots,
)
from paymux.errors import CertificateUnavailable, NeedsCertificate, Rejected
from paymux.provider_api import open_session
from tests.paypal_signing import NAME, Authority

START = datetime(2026, 5, 4, 12, 30, 15, tzinfo=UTC)
AUTHORITY = Authority(START)
SIGNER = AUTHORITY.issue()
MINUTE = timedelta(minutes=1)


@dataclass
class World:
    """A server of certificates, who asks it, and a clock."""

    now: datetime = START
    base: str = ""
    asked: Counter = field(default_factory=Counter)
    answers: dict[str, object] = field(default_factory=dict)
    most_at_once: int = 0
    certificates: Certificates | None = None
    release: asyncio.Event = field(default_factory=asyncio.Event)
    _at_once: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.path] += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            answer = self.answers.get(request.path.removeprefix("/certs/"), 404)
            if callable(answer):
                return await answer(request)
            return web.Response(status=answer) if isinstance(answer, int) else web.Response(text=answer)
        finally:
            self._at_once -= 1

    def needed(self, name: str = "CERT-1", *, of: str = NAME, ca_pem: str = "") -> NeedsCertificate:
        return NeedsCertificate(f"{self.base}/certs/{name}", of, ca_pem or AUTHORITY.pem)

    async def get(self, name: str = "CERT-1", **more: str):
        return await self.certificates(self.needed(name, **more))

    async def refusal(self, name: str = "CERT-1", **more: str) -> str:
        with pytest.raises((Rejected, CertificateUnavailable)) as caught:
            await self.get(name, **more)
        return caught.value.reason

    def count(self, name: str = "CERT-1") -> int:
        return self.asked[f"/certs/{name}"]


@asynccontextmanager
async def running(deadline: float = 0.3):
    world = World()
    app = web.Application()
    app.router.add_get("/{path:.*}", world.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    world.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    world.answers["CERT-1"] = SIGNER.pem
    async with open_session() as session:
        world.certificates = Certificates(session=session, clock=lambda: world.now, roots=(), deadline=deadline)
        try:
            yield world
        finally:
            await world.certificates.close()
            world.release.set()
            await runner.cleanup()


async def test_it_is_fetched_once_and_kept():
    """One request, however often it is asked for."""
    async with running() as world:
        first = await world.get()
        assert [await world.get() for _ in range(5)] == [first] * 5
        assert world.count() == 1
        assert first.key.public_numbers() == SIGNER.key.public_key().public_numbers()


async def test_no_more_are_kept_than_a_provider_has(monkeypatch):
    """The one that was fetched first makes room, and is asked for again when it is needed."""
    monkeypatch.setattr("paymux.certificates.MOST_KEPT", 2)
    async with running() as world:
        world.answers |= {"CERT-2": SIGNER.pem, "CERT-3": SIGNER.pem}
        for name in ("CERT-1", "CERT-2", "CERT-3", "CERT-2", "CERT-3", "CERT-1"):
            await world.get(name)
        assert [world.count(f"CERT-{number}") for number in (1, 2, 3)] == [2, 1, 1]


async def test_one_request_at_a_time_for_each():
    """Many deliveries that come together wait for the same answer."""
    async with running() as world:

        async def slow(_request: web.Request) -> web.Response:
            await asyncio.sleep(0.05)
            return web.Response(text=SIGNER.pem)

        world.answers["CERT-1"] = slow
        found = await asyncio.gather(*(world.get() for _ in range(50)))
        assert len(set(map(id, found))) == 1
        assert world.count() == 1


async def test_a_delivery_that_goes_away_leaves_the_request_to_the_others():
    """Who hangs up takes nothing along."""
    async with running() as world:

        async def slow(_request: web.Request) -> web.Response:
            await asyncio.sleep(0.05)
            return web.Response(text=SIGNER.pem)

        world.answers["CERT-1"] = slow
        gone = asyncio.create_task(world.get())
        other = asyncio.create_task(world.get())
        await asyncio.sleep(0.01)
        gone.cancel()
        assert await other
        assert world.count() == 1


async def test_what_proved_deliveries_before_is_fetched_at_once():
    """Nobody has to ask for it, and the first who does waits for no second request."""
    async with running() as world:
        world.certificates.warm([world.needed()])
        await until(lambda: world.count() == 1)
        assert await world.get()
        assert world.count() == 1


async def test_a_flood_of_made_up_urls_keeps_back_nothing_that_was_genuine():
    """Strangers use up their places and their minute; what was named before is fetched all the same, and again after
    it could not be had.
    """
    async with running(deadline=5.0) as world:

        async def never(_request: web.Request) -> web.Response:
            await world.release.wait()
            return web.Response(status=404)

        world.answers |= {f"MADE-UP-{number}": never for number in range(MOST_AT_ONCE)} | {"CERT-1": 503}
        strangers = [asyncio.create_task(world.refusal(f"MADE-UP-{number}")) for number in range(MOST_AT_ONCE)]
        await until(lambda: len(world.asked) == MOST_AT_ONCE)
        assert await world.refusal("CERT-2") == "certificate_unavailable"  # no place is left
        world.certificates.warm([world.needed()])
        await until(lambda: world.count() == 1)
        assert await world.refusal() == "certificate_unavailable"  # by its own server
        world.answers["CERT-1"] = SIGNER.pem
        world.now += UNAVAILABLE_FOR
        assert await world.get()
        assert world.count() == 2
        world.release.set()
        await asyncio.gather(*strangers)


async def test_a_renewal_that_fails_after_a_day_needs_no_place():
    """A certificate that was warmed and no longer counts is asked for beside all strangers."""
    async with running() as world:
        world.certificates.warm([world.needed()])
        await world.get()
        world.now += KEPT
        for number in range(MOST_A_MINUTE):
            await world.refusal(f"MADE-UP-{number}")
        assert await world.refusal("ANOTHER") == "certificate_unavailable"
        assert await world.get()


async def test_it_is_renewed_in_the_background():
    """After half a day it is asked for again, and nobody waits for that; after a day without, it no longer counts."""
    async with running() as world:
        first = await world.get()
        world.now += RENEWED_AFTER
        world.answers["CERT-1"] = 503
        assert await world.get() is first
        await until(lambda: world.count() == 2)
        world.now += UNAVAILABLE_FOR / 2
        assert await world.get() is first
        assert world.count() == 2  # what just failed is left alone
        world.now += UNAVAILABLE_FOR
        world.answers["CERT-1"] = SIGNER.pem
        assert await world.get() is first
        await until(lambda: world.count() == 3)
        await asyncio.sleep(0.05)
        second = await world.get()
        assert second is not first
        world.answers["CERT-1"] = 503
        world.now += KEPT
        assert await world.refusal() == "certificate_unavailable"


async def test_it_does_not_outlive_its_own_end():
    """A certificate that ends within the day is asked for again when it has."""
    async with running() as world:
        short = AUTHORITY.issue(ended=-timedelta(hours=1))
        world.answers["CERT-1"] = short.pem
        await world.get()
        world.now += timedelta(hours=2)
        assert await world.refusal() == "certificate_untrusted"
        assert world.count() == 2


# --- what lies


async def redirected(request: web.Request) -> web.Response:
    raise web.HTTPFound("/certs/CERT-1")


async def huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(1000):
        await response.write(SIGNER.pem.encode() * 20)
    return response


LIES = {
    "a redirect": (redirected, "certificate_url"),
    "not there": (404, "certificate_url"),
    "forbidden": (403, "certificate_url"),
    "huge": (huge, "certificate_untrusted"),
    "a page": ("<html>", "certificate_untrusted"),
    "empty": ("", "certificate_untrusted"),
    "expired": (AUTHORITY.issue(ended=timedelta(days=1)).pem, "certificate_untrusted"),
    "another name": (AUTHORITY.issue("www.paypal.com").pem, "certificate_untrusted"),
    "another authority": (Authority(START).issue().pem, "certificate_untrusted"),
    "another host's name": (AUTHORITY.issue("127.0.0.1").pem, "certificate_untrusted"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_lies(lie):
    """It is refused, never kept, and not asked for again for a while; the one it redirects to is not fetched."""
    answer, reason = LIES[lie]
    async with running() as world:
        world.answers["CERT-2"] = answer
        assert await world.refusal("CERT-2") == reason
        assert await world.refusal("CERT-2") == reason
        assert (world.count("CERT-2"), world.count("CERT-1")) == (1, 0)
        world.now += REFUSED_FOR
        world.answers["CERT-2"] = SIGNER.pem
        assert await world.get("CERT-2")


async def hangs(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(5)
    raise AssertionError


async def drips(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for byte in SIGNER.pem.encode():
        await response.write(bytes([byte]))
        await asyncio.sleep(0.05)
    return response


async def hangs_up(request: web.Request) -> web.StreamResponse:
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize(
    "answer",
    [500, 502, 503, 429, 408, hangs, drips, hangs_up],
    ids=lambda answer: getattr(answer, "__name__", str(answer)),
)
async def test_what_cannot_be_had_now(answer):
    """It is unavailable, which says nothing of the delivery; tried again after a moment, not at once."""
    async with running() as world:
        world.answers["CERT-1"] = answer
        assert await world.refusal() == "certificate_unavailable"
        before = world.count()
        assert await world.refusal() == "certificate_unavailable"
        assert world.count() == before
        world.answers["CERT-1"] = SIGNER.pem
        world.now += UNAVAILABLE_FOR
        assert await world.get()


async def test_nobody_listens():
    """A connection that is refused is unavailable, too."""
    async with running() as world:
        world.base = "http://127.0.0.1:1"
        assert await world.refusal() == "certificate_unavailable"


async def test_accounts_with_authorities_of_their_own_share_no_certificate():
    """What one account trusts is nothing to another."""
    async with running() as world:
        await world.get()
        assert await world.refusal(ca_pem=Authority(START).pem) == "certificate_untrusted"
        assert await world.refusal(of="messageverificationcerts.paypal.com") == "certificate_untrusted"
        assert world.count() == 3


# --- floods


async def test_few_are_fetched_at_once():
    """A stranger who names one certificate after the other makes few requests at once; what is kept is not touched."""
    async with running(deadline=5.0) as world:
        kept = await world.get()

        async def waits(_request: web.Request) -> web.Response:
            await world.release.wait()
            return web.Response(status=404)

        for number in range(20):
            world.answers[f"CERT-x{number}"] = waits
        tasks = [asyncio.create_task(world.refusal(f"CERT-x{number}")) for number in range(20)]
        await until(lambda: sum(task.done() for task in tasks) == 20 - MOST_AT_ONCE)
        await until(lambda: world.most_at_once == MOST_AT_ONCE)
        assert await world.get() is kept
        world.release.set()
        reasons = Counter(await asyncio.gather(*tasks))
        assert reasons == {"certificate_unavailable": 20 - MOST_AT_ONCE, "certificate_url": MOST_AT_ONCE}
        assert world.most_at_once == MOST_AT_ONCE


async def test_few_are_fetched_in_a_minute():
    """Beyond that nothing is asked for until some time went by."""
    async with running() as world:
        for number in range(MOST_A_MINUTE):
            assert await world.refusal(f"CERT-x{number}") == "certificate_url"
        assert await world.refusal() == "certificate_unavailable"
        assert world.count() == 0
        world.now += MINUTE
        assert await world.get()


async def test_a_flood_does_not_keep_a_known_one_from_being_renewed():
    """What once was genuine is asked for again, however many others are named."""
    async with running() as world:
        await world.get()
        world.now += KEPT
        for number in range(MOST_A_MINUTE):
            await world.refusal(f"CERT-x{number}")
        assert await world.refusal("CERT-another") == "certificate_unavailable"
        assert await world.get()
        assert world.count() == 2


async def test_closing_gives_up_what_is_under_way():
    """The gateway does not wait for a certificate when it stops."""
    async with running(deadline=30.0) as world:
        world.answers["CERT-1"] = hangs
        task = asyncio.create_task(world.get())
        await until(lambda: world.count() == 1)
        await world.certificates.close()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_the_systems_authorities_can_be_read():
    """Whatever this machine trusts, reading it raises and warns about nothing."""
    assert all(certificate.subject for certificate in system_roots())


async def until(condition, seconds: float = 3.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
