"""Reconciling from end to end: a provider's list on loopback, the memory journal, and lookups before it."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from aiohttp import web
from pydantic import SecretStr
from uuid_utils import uuid7

from paymux.delivery import Delivery, Via
from paymux.errors import ApiError, SettingsError
from paymux.journal import Entry
from paymux.journal.memory import MemoryJournal
from paymux.lookup import Client, Lookups
from paymux.provider import Account
from paymux.provider_api import ProviderApi, open_session
from paymux.providers.flexportal import FLEXPORTAL
from paymux.reconcile import reconcile
from paymux.sandbox.samples import answers
from paymux.signatures import verify
from paymux.translate import translate

OPTIONS = {"tenant_id": "bu_harbour_lease"}
ACCOUNT = Account(provider=FLEXPORTAL, name="acme", options=OPTIONS, checks=((FLEXPORTAL.signature, ()),))
SAMPLES = {sample.label: json.loads(sample.body) for sample in answers("flexportal")}
NOW = datetime(2026, 2, 6, 7, tzinfo=UTC)


class World:
    """FlexPortal with the payments in `payment` and the pages in `pages`, by cursor; a journal; a client."""

    def __init__(self, url, session):
        self.journal = MemoryJournal(now=lambda: NOW)
        self.payment = SAMPLES["payment--failed"]
        self.pages = {None: SAMPLES["list--page1"], "pay_G5tYh7Ws": SAMPLES["list--page2"]}
        self.queries = []
        self.api = ProviderApi(api=FLEXPORTAL.api, url=url, key=SecretStr("key"), options=OPTIONS, session=session)

    async def get(self, _):
        return web.json_response(self.payment)

    async def list(self, request):
        self.queries.append(dict(request.query))
        page = self.pages[request.query.get("startAfter")]
        return page if isinstance(page, web.Response) else web.json_response(page)

    async def hint(self, event):
        body = json.dumps({"event": event, "timestamp": "x", "data": {"paymentId": "pay_8RfV2nQx"}}).encode()
        delivery = Delivery(id=str(uuid7()), provider="flexportal", account="acme", received_at=NOW, body=body)
        verified = verify(delivery, ACCOUNT.checks)
        await self.journal.append(Entry(account=ACCOUNT, verified=verified, items=translate(ACCOUNT, verified)))

    async def look_up(self):
        """Run the worker until no lookup waits."""
        clients = {("flexportal", "acme"): Client(account=ACCOUNT, api=self.api)}
        lookups = Lookups(
            journal=self.journal, clients=clients, clock=lambda: NOW, new_id=lambda: str(uuid7()), poll=0.01
        )
        task = asyncio.create_task(lookups.run())
        async with asyncio.timeout(5):
            while await self.journal.lookups_waiting():
                await asyncio.sleep(0.005)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def reconcile(self, **filters):
        pages = reconcile(
            account=ACCOUNT,
            api=self.api,
            journal=self.journal,
            filters=filters,
            clock=lambda: NOW,
            new_id=lambda: str(uuid7()),
        )
        return [page async for page in pages]

    async def events(self):
        """(event type or reason of quarantine, payment, transition, via)"""
        found = []
        for row in await self.journal.read(0, 0, 1000):
            value = json.loads(row.record.value)
            data = value["data"]
            if value["type"] == "paymux.quarantined":
                found.append(data["reason"])
            else:
                lifecycle = data["lifecycle"]
                found.append((value["type"], data["payment_id"], lifecycle["transition"], data["origin"]["via"]))
        return found


@pytest.fixture
async def world(aiohttp_server):
    app = web.Application()

    async def get(request):
        return await world.get(request)

    async def pages(request):
        return await world.list(request)

    app.router.add_get("/v1/payments", pages)
    app.router.add_get("/v1/payments/{id}", get)
    server = await aiohttp_server(app)
    async with open_session() as session:
        world = World(str(server.make_url("/")), session)
        yield world
        await world.journal.close()


async def test_what_no_webhook_told(world):
    """Each payment on every page becomes an event, and each page says what became of it."""
    pages = await world.reconcile()
    assert await world.events() == [
        ("payment.succeeded", "pay_J3mLp9Dk", "first", "reconcile"),
        ("payment.succeeded", "pay_G5tYh7Ws", "first", "reconcile"),
        ("payment.succeeded", "pay_8RfV2nQx", "first", "reconcile"),
    ]
    assert [(page.number, page.payments, page.events, page.quarantined) for page in pages] == [
        (1, 2, 2, {}),
        (2, 1, 1, {}),
    ]


async def test_again(world):
    """A second run over the same list publishes nothing."""
    await world.reconcile()
    before = await world.events()
    pages = await world.reconcile()
    assert await world.events() == before
    assert [page.events for page in pages] == [0, 0]


async def test_the_story_of_flexportal(world):
    """Hint and GET say failed, hint and GET say paid, LIST says nothing new: failed, succeeded (retried), nothing."""
    await world.hint("payment.failed")
    await world.look_up()
    world.payment = SAMPLES["payment"]
    await world.hint("payment.succeeded")
    await world.look_up()
    world.pages = {None: SAMPLES["list--page2"]}
    (page,) = await world.reconcile()
    assert await world.events() == [
        ("payment.failed", "pay_8RfV2nQx", "first", "lookup"),
        ("payment.succeeded", "pay_8RfV2nQx", "retried", "lookup"),
    ]
    assert (page.payments, page.events) == (1, 0)


async def test_a_payment_that_is_not_understood(world):
    """One payment of a page is quarantined with its reason, and the others are not."""
    page = json.loads(json.dumps(SAMPLES["list--page1"]))
    page["payments"][0]["status"] = "scheduled"
    page["payments"].append({**page["payments"][1], "paymentId": "pay_z", "tenantId": "bu_other"})
    world.pages = {None: {**page, "hasMore": False, "nextCursor": None}}
    (told,) = await world.reconcile()
    assert (told.payments, told.events) == (3, 1)
    assert told.quarantined == {"unknown_status": 1, "wrong_tenant": 1}
    assert await world.events() == [
        "unknown_status",
        ("payment.succeeded", "pay_G5tYh7Ws", "first", "reconcile"),
        "wrong_tenant",
    ]


async def test_filters(world):
    """The filters go out with every page."""
    await world.reconcile(status="paid", dueDateFrom="2026-01-01")
    assert world.queries == [
        {"limit": "100", "status": "paid", "dueDateFrom": "2026-01-01"},
        {"limit": "100", "status": "paid", "dueDateFrom": "2026-01-01", "startAfter": "pay_G5tYh7Ws"},
    ]
    with pytest.raises(SettingsError, match="updatedFrom"):
        await world.reconcile(updatedFrom="2026-01-01")


async def test_a_list_that_breaks_off(world):
    """The pages before the error are kept."""
    world.pages["pay_G5tYh7Ws"] = web.Response(status=503)
    with pytest.raises(ApiError) as caught:
        await world.reconcile()
    assert caught.value.reason == "unavailable"
    assert len(await world.events()) == 2


async def test_a_page_that_is_no_page(world):
    """It is kept and quarantined before the list breaks off."""
    world.pages = {None: web.Response(body=b"<html>")}
    with pytest.raises(ApiError):
        await world.reconcile()
    assert await world.events() == ["shape"]


async def test_an_empty_list(world):
    """Nothing is kept of a list that holds nothing."""
    world.pages = {None: {"success": True, "payments": [], "count": 0, "hasMore": False, "nextCursor": None}}
    (page,) = await world.reconcile()
    assert (page.payments, page.events) == (0, 0)
    assert world.journal.store.deliveries == {}


async def test_what_is_stored_of_a_page(world):
    """A page is a delivery: its bytes, and the query that it answers."""
    await world.reconcile()
    kept = [kept.delivery for kept in world.journal.store.deliveries.values()]
    assert [json.loads(delivery.body) for delivery in kept] == list(world.pages.values())
    assert [delivery.query for delivery in kept] == ["limit=100", "limit=100&startAfter=pay_G5tYh7Ws"]
    assert {(delivery.via, delivery.path) for delivery in kept} == {(Via.RECONCILE, "/v1/payments")}
