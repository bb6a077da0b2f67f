"""Lookups from end to end: signed webhooks, the memory journal, and a provider's API on loopback."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from aiohttp import web
from pydantic import SecretStr
from svix.webhooks import Webhook
from uuid_utils import uuid7

from paymux.delivery import Delivery, ObjectRef, Via
from paymux.errors import JournalUnavailable
from paymux.journal import Entry
from paymux.journal.memory import MemoryJournal
from paymux.lookup import Client, Lookups
from paymux.provider import Account
from paymux.provider_api import Pace, ProviderApi, open_session
from paymux.providers.flexportal import FLEXPORTAL
from paymux.providers.flowglad import FLOWGLAD
from paymux.providers.stripe import STRIPE
from paymux.sandbox.samples import answers, webhooks
from paymux.signatures import trusted, verify
from paymux.telemetry import Metrics
from paymux.translate import translate
from paymux.wiring.shown import LookupReports

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OPTIONS = {"tenant_id": "bu_harbour_lease"}
GLAD = {sample.label: json.loads(sample.body) for sample in answers("flowglad")}
PORTAL = {sample.label: json.loads(sample.body) for sample in answers("flexportal")}
PAYMENT = "pym_hT4mWq8ZrK2vXn6BdY1Jc"
HINTED = "pay_8RfV2nQx"


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 9, 10, 0, 8, tzinfo=UTC)

    def __call__(self):
        return self.now

    def advance(self, **delta):
        self.now += timedelta(**delta)


class FullDisk(MemoryJournal):
    """Commits nothing while it is full."""

    full = False

    async def append(self, entry):
        if self.full:
            raise JournalUnavailable("no space left on device")
        return await super().append(entry)


class World:
    """Two accounts, their provider's API (`answer`), what it was asked (`asked`), the journal and its worker."""

    def __init__(self, url, session):
        self.clock = Clock()
        self.journal = FullDisk(now=self.clock)
        self.asked = []
        self.told = []
        self.metrics = Metrics()
        self.reports = LookupReports(self.metrics)
        self.answer = lambda _: web.Response(status=500)
        self.accounts = {
            (provider.name, name): Account(provider=provider, name=name, options=options, checks=checks)
            for provider, name, options, checks in (
                (FLOWGLAD, "acme", {}, ((FLOWGLAD.signature, (FLOWGLAD.signature.key(SECRET),)),)),
                (FLOWGLAD, "other", {}, ((FLOWGLAD.signature, (FLOWGLAD.signature.key(SECRET),)),)),
                (FLEXPORTAL, "acme", OPTIONS, ((FLEXPORTAL.signature, ()),)),
                (STRIPE, "acme", {}, ()),
            )
        }
        self.clients = {
            name: Client(account=account, api=self.api(account, url, session))
            for name, account in self.accounts.items()
        }
        self.lookups = self.worker()

    def api(self, account, url, session):
        return ProviderApi(
            api=account.provider.api,
            url=f"{url}{account.name}",
            key=SecretStr("sk_test_key"),
            options=account.options,
            session=session,
            pace=Pace(rate=1000, burst=1000),
            deadline=5,
        )

    def worker(self, poll=0.02):
        return Lookups(
            journal=self.journal,
            clients=self.clients,
            clock=self.clock,
            new_id=lambda: str(uuid7()),
            observe=self.observe,
            jitter=lambda: 1.0,
            poll=poll,
        )

    def observe(self, name, facts):
        self.told.append((name, dict(facts)))
        self.reports(name, facts)

    def counted(self, name):
        """What a counter has: labels -> count."""
        return dict(self.metrics.counters[name])

    async def serve(self, request):
        self.asked.append((self.clock.now, request.path))
        made = self.answer(request)
        return await made if asyncio.iscoroutine(made) else made

    async def deliver(self, payment=PAYMENT, *, message="msg_1", account="acme"):
        """A signed Flowglad webhook, appended as the HTTP side does."""
        body = json.dumps({"id": payment, "object": "payment"})
        headers = {
            b"svix-id": message.encode(),
            b"svix-timestamp": str(int(self.clock.now.timestamp())).encode(),
            b"svix-signature": Webhook(SECRET).sign(message, self.clock.now, body).encode(),
        }
        await self._append(self.accounts["flowglad", account], body, headers)

    async def event(self, body):
        """A Stripe event, of an account that asks for no proof."""
        await self._append(self.accounts["stripe", "acme"], json.dumps(body), {}, trusted)

    async def hint(self, event="payment.succeeded", payment=HINTED):
        body = json.dumps({"event": event, "timestamp": "2026-01-09T10:00:00Z", "data": {"paymentId": payment}})
        await self._append(self.accounts["flexportal", "acme"], body, {})

    async def _append(self, account, body, headers, prove=None):
        delivery = Delivery(
            id=str(uuid7()),
            provider=account.provider.name,
            account=account.name,
            received_at=self.clock.now,
            body=body.encode(),
            headers=tuple(headers.items()),
        )
        verified = prove(delivery) if prove else verify(delivery, account.checks)
        await self.journal.append(Entry(account=account, verified=verified, items=translate(account, verified)))

    async def events(self):
        """What is in the outbox: event type, or reason of quarantine."""
        values = [json.loads(row.record.value) for row in await self.journal.read(0, 0, 1000)]
        return [value["data"]["reason"] if value["type"] == "paymux.quarantined" else value["type"] for value in values]

    def reasons(self, name):
        return [facts["reason"] for told, facts in self.told if told == name]

    @asynccontextmanager
    async def running(self, lookups=None):
        task = asyncio.create_task((lookups or self.lookups).run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def world(aiohttp_server):
    app = web.Application()

    async def serve(request):
        return await world.serve(request)

    app.router.add_get("/{tail:.*}", serve)
    server = await aiohttp_server(app)
    async with open_session() as session:
        world = World(str(server.make_url("/")), session)
        yield world
        await world.journal.close()


async def until(condition):
    """Wait for something to become true."""
    async with asyncio.timeout(5):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.005)


async def settled(world):
    """Wait until no lookup is left, and its worker was told so."""
    await until(lambda: _none_waiting(world))
    for _ in range(20):
        await asyncio.sleep(0)


async def _none_waiting(world):
    return not await world.journal.lookups_waiting()


async def asked(world, count):
    """Wait until the provider was asked so often."""
    await until(lambda: len(world.asked) == count)


async def quiet():
    """Long enough for several polls to have done something wrong."""
    await asyncio.sleep(0.08)


def says(payload):
    return lambda _: web.json_response(payload)


async def test_a_thin_webhook(world):
    """The API's answer becomes the event, with its own origin, and the lookup is gone."""
    world.answer = says(GLAD["payment"])
    await world.deliver()
    async with world.running():
        await settled(world)
    assert await world.events() == ["payment.succeeded"]
    assert [path for _, path in world.asked] == [f"/acme/payments/{PAYMENT}"]
    (row,) = await world.journal.read(0, 0, 10)
    origin = json.loads(row.record.value)["data"]["origin"]
    assert (origin["via"], origin["proof"], origin["event_type"]) == ("lookup", "api", None)
    assert origin["event_key"].startswith(f"{PAYMENT}:")
    ((name, facts),) = world.told
    (asker,) = [kept for kept in world.journal.store.deliveries.values() if kept.delivery.via is Via.WEBHOOK]
    assert (name, facts) == (
        "lookup_answered",
        {
            "provider": "flowglad",
            "account": "acme",
            "object": "payment",
            "id": PAYMENT,
            "delivery_id": asker.delivery.id,
            "proof": "signature",
            "outcome": "events",
        },
    )
    assert world.counted("paymux_lookups") == {("flowglad", "answered", "events"): 1}
    assert world.counted("paymux_quarantined") == {}


async def test_what_is_stored_of_an_answer(world):
    """The answer is a delivery like any other: bytes, path, time, and no secret."""
    world.answer = says(GLAD["payment"])
    await world.deliver()
    async with world.running():
        await settled(world)
    (kept,) = [kept for kept in world.journal.store.deliveries.values() if kept.delivery.via is Via.LOOKUP]
    assert json.loads(kept.delivery.body) == GLAD["payment"]
    assert (kept.delivery.method, kept.delivery.path) == ("GET", f"/acme/payments/{PAYMENT}")
    assert kept.delivery.asked.ref == ObjectRef(object="payment", id=PAYMENT)
    assert "sk_test_key" not in repr(kept)


async def test_several_deliveries_for_one_object(world):
    """Deliveries that came before the request share it."""
    world.answer = says(GLAD["payment"])
    for number in range(5):
        await world.deliver(message=f"msg_{number}")
    async with world.running():
        await settled(world)
        await quiet()
    assert len(world.asked) == 1
    assert await world.events() == ["payment.succeeded"]


async def test_a_delivery_after_the_request_was_sent(world):
    """It causes one more request, since the answer under way may be older than what it tells of; and not two."""
    going, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_):
        going.set()
        await go_on.wait()
        return web.json_response(GLAD["payment" if len(world.asked) == 1 else "payment--partially-refunded"])

    world.answer = slow
    await world.deliver(message="msg_1")
    async with world.running():
        await going.wait()
        await world.deliver(message="msg_2")
        await world.deliver(message="msg_3")
        go_on.set()
        await settled(world)
        await quiet()
    assert len(world.asked) == 2
    assert await world.events() == ["payment.succeeded", "payment.partially_refunded"]


async def test_the_story_of_flowglad(world):
    """A webhook twice, then a GET with a partial refund: succeeded, partially refunded, nothing twice."""
    world.answer = says(GLAD["payment"])
    await world.deliver(message="msg_1")
    await world.deliver(message="msg_1")
    async with world.running():
        await settled(world)
        world.answer = says(GLAD["payment--partially-refunded"])
        await world.deliver(message="msg_2")
        world.lookups.wake()
        await settled(world)
        await world.deliver(message="msg_3")
        await settled(world)
    assert await world.events() == ["payment.succeeded", "payment.partially_refunded"]


async def test_an_outcome_that_is_not_there_yet(world):
    """What is still open is asked for again after 1 m, 10 m, 1 h and 6 h, and then no more."""
    world.answer = says(GLAD["payment--processing"])
    await world.deliver()
    waits = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))
    async with world.running():
        await asked(world, 1)
        for count, wait in enumerate(waits, start=1):
            await due_in(world, wait)
            world.clock.now += wait - timedelta(seconds=1)
            await quiet()
            assert len(world.asked) == count
            world.clock.advance(seconds=1)
            await asked(world, count + 1)
        await settled(world)
    assert await world.events() == ["payment.processing"]
    assert [later - earlier for (earlier, _), (later, _) in pairwise(world.asked)] == list(waits)


async def due_in(world, wait):
    """Wait until the next lookup is due after `wait`."""

    async def is_due():
        return await world.journal.next_lookup_at() == world.clock.now + wait

    await until(is_due)


async def test_an_outcome_that_comes_later(world):
    """Once the answer is final nobody asks again."""
    world.answer = says(GLAD["payment--processing"])
    await world.deliver()
    async with world.running():
        await due_in(world, timedelta(minutes=1))
        world.answer = says(GLAD["payment"])
        world.clock.advance(minutes=1)
        await settled(world)
    assert await world.events() == ["payment.processing", "payment.succeeded"]


async def test_a_success_that_is_answered_by_failure(world):
    """FlexPortal's `failed` does not answer for payment.succeeded: it is asked for until it is paid."""
    world.answer = says(PORTAL["payment--failed"])
    await world.hint("payment.succeeded")
    async with world.running():
        await due_in(world, timedelta(minutes=1))
        world.clock.advance(minutes=1)
        await due_in(world, timedelta(minutes=10))
        paid = {**PORTAL["payment--failed"]["payment"], "status": "paid", "updatedAt": "2026-02-09T10:00:00.000Z"}
        world.answer = says({"payment": paid})
        world.clock.advance(minutes=10)
        await settled(world)
    assert len(world.asked) == 3
    assert await world.events() == ["payment.failed", "payment.succeeded"]


@pytest.mark.parametrize("label", ["payment--failed", "payment"])
async def test_a_failure_that_is_answered(world, label):
    """payment.failed is settled by the failure, and by what came after it."""
    world.answer = says(PORTAL[label])
    await world.hint("payment.failed")
    async with world.running():
        await settled(world)
    assert len(world.asked) == 1


async def test_a_payout_that_is_on_its_way(world):
    """What is promised of a payout is waited for as it is of a payment."""
    payout = next(json.loads(sample.body) for sample in answers("stripe") if sample.name == "payout")
    thin = next(json.loads(sample.body) for sample in webhooks("stripe") if sample.name == "v1.payout.paid")
    thin["related_object"]["id"] = payout["id"]
    world.answer = says({**payout, "status": "in_transit"})
    await world.event(thin)
    async with world.running():
        await due_in(world, timedelta(minutes=1))
        world.answer = says({**payout, "status": "paid"})
        world.clock.advance(minutes=1)
        await settled(world)
    assert await world.events() == ["payout.in_transit", "payout.paid"]


async def test_an_event_that_promises_nothing(world):
    """A payment that was only scheduled is open, and is not asked for again."""
    world.answer = says(PORTAL["payment--pending"])
    await world.hint("payment.scheduled")
    async with world.running():
        await settled(world)
    assert await world.events() == ["payment.pending"]


async def test_an_object_that_is_a_moment_late(world):
    """After the first 404 it is asked for once more, two seconds later."""
    world.answer = lambda _: web.Response(status=404) if len(world.asked) == 1 else web.json_response(GLAD["payment"])
    await world.deliver()
    async with world.running():
        await due_in(world, timedelta(seconds=2))
        world.clock.advance(seconds=2)
        await settled(world)
    assert await world.events() == ["payment.succeeded"]


async def test_a_404_after_other_errors(world):
    """The second chance belongs to the 404, whatever failed before."""
    world.answer = lambda _: web.Response(status=(503, 404, 404)[len(world.asked) - 1])
    await world.deliver()
    async with world.running():
        await due_in(world, timedelta(seconds=1))
        world.clock.advance(seconds=1)
        await due_in(world, timedelta(seconds=2))
        world.clock.advance(seconds=2)
        await settled(world)
    assert len(world.asked) == 3
    assert await world.events() == ["lookup_not_found"]


async def test_an_object_that_does_not_exist(world):
    """After the second 404 the delivery that asked is quarantined."""
    world.answer = lambda _: web.Response(status=404)
    await world.deliver()
    async with world.running():
        await due_in(world, timedelta(seconds=2))
        world.clock.advance(seconds=2)
        await settled(world)
    assert await world.events() == ["lookup_not_found"]
    assert world.reasons("lookup_given_up") == ["lookup_not_found"]
    assert await world.journal.rejections(10) == []
    assert world.counted("paymux_quarantined") == {("flowglad", "lookup_not_found"): 1}
    assert world.counted("paymux_rejections") == {}


async def test_a_hint_about_nothing(world):
    """A hint about a payment that does not exist is a rejection: nothing of a stranger's words is published."""
    world.answer = lambda _: web.Response(status=404)
    await world.hint(payment="pay_made_up")
    async with world.running():
        await due_in(world, timedelta(seconds=2))
        world.clock.advance(seconds=2)
        await settled(world)
    assert await world.events() == []
    (rejection,) = await world.journal.rejections(10)
    assert (rejection.reason, rejection.provider, rejection.account) == ("lookup_not_found", "flexportal", "acme")
    assert world.counted("paymux_rejections") == {("flexportal", "lookup_not_found"): 1}
    assert world.counted("paymux_quarantined") == {}


async def test_a_delivery_that_asks_while_the_answer_is_on_its_way(world):
    """What was to be given up is asked again, and counts as given up once, when it is."""
    asked_again = False

    async def refuse(_):
        nonlocal asked_again
        if not asked_again:
            asked_again = True
            await world.deliver(message="msg_2")
        return web.Response(status=401)

    world.answer = refuse
    await world.deliver()
    async with world.running():
        await settled(world)
    assert len(world.asked) == 2
    assert await world.events() == ["lookup_denied"]
    assert world.counted("paymux_lookups") == {
        ("flowglad", "postponed", "denied"): 1,
        ("flowglad", "given_up", "lookup_denied"): 1,
    }
    assert world.counted("paymux_quarantined") == {("flowglad", "lookup_denied"): 1}


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_is_refused(world, status):
    """A refused key quarantines the delivery at once: asking again would not help."""
    world.answer = lambda _: web.Response(status=status)
    await world.deliver()
    async with world.running():
        await settled(world)
    assert len(world.asked) == 1
    assert await world.events() == ["lookup_denied"]


async def test_a_provider_that_is_away(world):
    """Errors are answered by patience: 1 s, 2 s, 4 s ... at most 5 minutes, until it is back."""
    world.answer = lambda _: web.Response(status=503)
    await world.deliver()
    waits = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    async with world.running():
        for wait in waits:
            await due_in(world, timedelta(seconds=wait))
            world.clock.advance(seconds=wait)
        await asked(world, len(waits) + 1)
        await due_in(world, timedelta(seconds=300))
        world.answer = says(GLAD["payment"])
        world.clock.advance(seconds=300)
        await settled(world)
    gaps = [(later - earlier).total_seconds() for (earlier, _), (later, _) in pairwise(world.asked)]
    assert gaps == [*waits, 300]
    assert await world.events() == ["payment.succeeded"]
    assert set(world.reasons("lookup_postponed")) == {"unavailable"}


async def test_too_many_requests(world):
    """The whole account is left alone for as long as the provider asks; the other account goes on."""
    limited = {"Retry-After": "90"}

    def answer(request):
        if request.path.startswith("/acme/"):
            return web.Response(status=429, headers=limited)
        payment = {**GLAD["payment"]["payment"], "id": request.path.rpartition("/")[2]}
        return web.json_response({"payment": payment})

    world.answer = answer
    await world.deliver(message="msg_0")
    async with world.running():
        await until(lambda: len(world.reasons("lookup_postponed")) == 1)
        await world.deliver("pym_second", message="msg_1")
        await world.deliver("pym_third", message="msg_2", account="other")
        world.lookups.wake()
        await asked(world, 2)
        world.clock.advance(seconds=89)
        await quiet()
        assert [path for _, path in world.asked] == [f"/acme/payments/{PAYMENT}", "/other/payments/pym_third"]
        limited.clear()
        world.answer = lambda request: web.json_response(
            {"payment": {**GLAD["payment"]["payment"], "id": request.path.rpartition("/")[2]}}
        )
        world.clock.advance(seconds=1)
        await settled(world)
    assert await world.events() == ["payment.succeeded"] * 3


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>maintenance</html>", "shape"),
        (b"", "shape"),
        (b'{"payment":null}', "shape"),
        (json.dumps({"payment": {**GLAD["payment"]["payment"], "status": "odd"}}).encode(), "unknown_status"),
        (json.dumps({"payment": {**GLAD["payment"]["payment"], "id": "pym_x"}}).encode(), "answer_mismatch"),
    ],
)
async def test_an_answer_that_is_not_understood(world, body, reason):
    """It is kept and quarantined like any delivery, and ends the lookup."""
    world.answer = lambda _: web.Response(body=body)
    await world.deliver()
    async with world.running():
        await settled(world)
    assert await world.events() == [reason]
    ((name, facts),) = world.told
    assert (name, facts["outcome"], facts["reason"]) == ("lookup_answered", "quarantined", reason)
    assert world.counted("paymux_lookups") == {("flowglad", "answered", "quarantined"): 1}
    assert world.counted("paymux_quarantined") == {("flowglad", reason): 1}


async def test_an_answer_beyond_the_bound(world):
    """What is too large to read ends in quarantine, too."""
    world.answer = lambda _: web.Response(body=b" " * (1024 * 1024 + 1))
    await world.deliver()
    async with world.running():
        await settled(world)
    assert await world.events() == ["shape"]


async def test_a_restart_in_the_middle(world):
    """A worker that is stopped while it asks leaves the row; the next one asks again."""
    going = asyncio.Event()

    async def never(_):
        going.set()
        await asyncio.sleep(5)

    world.answer = never
    await world.deliver()
    async with world.running():
        await going.wait()
    assert await world.journal.lookups_waiting() == 1
    world.answer = says(GLAD["payment"])
    async with world.running(world.worker()):
        await settled(world)
    assert await world.events() == ["payment.succeeded"]


async def test_a_journal_that_cannot_commit(world):
    """An answer that could not be kept is asked for again once the journal works."""
    world.answer = says(GLAD["payment"])
    await world.deliver()
    world.journal.full = True
    async with world.running():
        await until(lambda: [name for name, _ in world.told] == ["lookup_failed"])
        world.journal.full = False
        await due_in(world, timedelta(seconds=1))
        world.clock.advance(seconds=1)
        await settled(world)
    assert await world.events() == ["payment.succeeded"]


async def test_requests_at_once(world):
    """An account has at most four requests under way, and the other's do not wait for them."""
    under_way, most = {"acme": 0, "other": 0}, {"acme": 0, "other": 0}
    go_on = asyncio.Event()

    async def slow(request):
        account = request.path.split("/")[1]
        under_way[account] += 1
        most[account] = max(most[account], under_way[account])
        await go_on.wait()
        under_way[account] -= 1
        return web.json_response({"payment": {**GLAD["payment"]["payment"], "id": request.path.rpartition("/")[2]}})

    world.answer = slow
    for number in range(6):
        await world.deliver(f"pym_{number}", message=f"msg_{number}")
    await world.deliver("pym_9", message="msg_9", account="other")
    async with world.running():
        await until(lambda: under_way == {"acme": 4, "other": 1})
        await quiet()
        go_on.set()
        await settled(world)
    assert most == {"acme": 4, "other": 1}
    assert len(world.asked) == 7


async def test_a_backlog_of_one_account(world):
    """However much one account has waiting, another's lookup is found."""
    go_on = asyncio.Event()

    async def stuck(request):
        if request.path.startswith("/acme/"):
            await go_on.wait()
        return web.json_response({"payment": {**GLAD["payment"]["payment"], "id": request.path.rpartition("/")[2]}})

    world.answer = stuck
    for number in range(150):
        await world.deliver(f"pym_{number}", message=f"msg_{number}")
    await world.deliver("pym_last", message="msg_last", account="other")
    async with world.running():
        await until(lambda: any(path == "/other/payments/pym_last" for _, path in world.asked))
        go_on.set()
        await settled(world)
    assert len(world.asked) == 151


async def test_an_account_that_is_gone(world):
    """Without a client the lookup waits, and is answered once there is one."""
    client = world.clients.pop(("flowglad", "acme"))
    world.answer = says(GLAD["payment"])
    await world.deliver()
    async with world.running():
        await until(lambda: world.reasons("lookup_postponed") == ["no_api"])
        world.clients["flowglad", "acme"] = client
        world.clock.advance(minutes=5)
        await settled(world)
    assert await world.events() == ["payment.succeeded"]


async def test_an_account_without_a_key(world):
    """It cannot ask, so its deliveries are quarantined, and the reason says what is missing."""
    account = world.accounts["flowglad", "acme"]
    world.clients["flowglad", "acme"] = Client(account=account, api=None)
    await world.deliver()
    async with world.running():
        await settled(world)
    assert world.asked == []
    (row,) = await world.journal.read(0, 0, 10)
    data = json.loads(row.record.value)["data"]
    assert (data["reason"], data["detail"]) == ("lookup_denied", "the account has no api_key")
    assert world.counted("paymux_quarantined") == {("flowglad", "lookup_denied"): 1}


async def test_a_wake_up(world):
    """Who appends wakes the worker: it does not wait for its poll."""
    lookups = world.worker(poll=60)
    world.answer = says(GLAD["payment"])
    async with world.running(lookups):
        await quiet()
        await world.deliver()
        lookups.wake()
        await settled(world)
    assert await world.events() == ["payment.succeeded"]


async def test_a_lookup_that_falls_due_between_polls(world):
    """The worker sleeps no longer than to the next lookup."""
    lookups = world.worker(poll=60)
    world.answer = says(GLAD["payment--processing"])
    await world.deliver()
    async with world.running(lookups):
        await due_in(world, timedelta(minutes=1))
        world.clock.advance(seconds=59.9)
        lookups.wake()
        await quiet()
        world.clock.advance(seconds=0.1)
        await asked(world, 2)


async def test_more_than_may_go_at_once(world):
    """Each answer makes room for the next question at once, without waiting for the poll."""
    world.answer = lambda request: web.json_response(
        {"payment": {**GLAD["payment"]["payment"], "id": request.path.rpartition("/")[2]}}
    )
    for number in range(7):
        await world.deliver(f"pym_{number}", message=f"msg_{number}")
    async with world.running(world.worker(poll=60)):
        await settled(world)
    assert await world.events() == ["payment.succeeded"] * 7


async def test_a_stop_that_meets_a_wake_up(world):
    """A worker that is cancelled at the moment it is woken stops all the same."""
    lookups = world.worker(poll=60)
    task = asyncio.create_task(lookups.run())
    await quiet()
    lookups.wake()
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=1)
    assert done == {task}
    assert task.cancelled()
