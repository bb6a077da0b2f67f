"""A provider's API on loopback, a journal, and the jobs between the two."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr
from uuid_utils import uuid7

from paymux.delivery import Asked, Delivery, ObjectRef, Via
from paymux.journal import Entry
from paymux.journal.history import first_id
from paymux.lookup import Client
from paymux.provider import Account
from paymux.provider_api import Pace, ProviderApi
from paymux.providers import BY_NAME
from paymux.reconcile import Reconciles
from paymux.reconcile.orders import Order
from paymux.reconcile.steps import Means
from paymux.replay import Replays
from paymux.replay.steps import Means as Stored
from paymux.sandbox import samples
from paymux.sandbox.apis import KEYS, TENANT
from paymux.sandbox.fresh import Fresh
from paymux.signatures import confirmed
from paymux.translate import translate

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPTIONS = {"flexportal": {"tenant_id": TENANT}}


class World:
    """Time stands still at `now`; `pauses` are none, so that a provider that is away is asked but once more."""

    def __init__(self, sandbox, session, journal, archive, history):
        self.sandbox, self.session = sandbox, session
        self.journal, self.archive, self.history = journal, archive, history
        self.now = NOW
        self.clients = {}
        self.every = {}
        self.seen = Counter()
        self.ids = itertools.count(1)
        means = Means(
            journal=journal,
            archive=archive,
            clients=self.clients,
            clock=lambda: self.now,
            new_id=self.new_id,
            observe=lambda _name, counts: self.seen.update(counts),
            pauses=(0.0,),
        )
        stored = Stored(journal=journal, archive=archive, accounts=dict, topic="payments.events.v1")
        self.replays = Replays(stored, history, clock=lambda: self.now, new_id=self.new_id, backlog=self.backlog)
        self.reconciles = Reconciles(means, history, backlog=self.backlog, schedule=lambda: self.every, poll=0.01)

    def new_id(self):
        """Like a UUIDv7 it begins with the time."""
        return f"{first_id(self.now)[:-8]}{next(self.ids):08d}"

    async def backlog(self):
        return 0

    def account(self, provider, name="acme"):
        found = BY_NAME[provider]
        options = OPTIONS.get(provider, {})
        account = Account(provider=found, name=name, options=options)
        api = ProviderApi(
            api=found.api,
            url=self.sandbox.url(provider),
            key=SecretStr(KEYS[provider]),
            options=options,
            session=self.session,
            pace=Pace(rate=1000, burst=999),
        )
        self.clients[provider, name] = Client(account=account, api=api)
        return account

    # --- payments

    def made(self, provider, label="payment", at=None, fresh=None, **fields):
        """A payment as the provider's API has it; its fields as in the answer's object."""
        body = next(sample.body for sample in samples.answers(provider) if sample.label == label)
        answer = json.loads((fresh or Fresh(provider)).body(body, at or self.now - HOUR))
        inner = next((key for key in ("payment", "payments") if isinstance(answer.get(key), dict)), None)
        thing = answer[inner] if inner else answer
        thing.update(fields)
        return thing

    def put(self, provider, label="payment", at=None, fresh=None, **fields):
        thing = self.made(provider, label, at, fresh, **fields)
        return self.sandbox.put(provider, thing)

    async def hear(self, provider, thing, at=None, occurred_at=None):
        """As if a lookup of before had asked for it."""
        account = self.clients[provider, "acme"].account
        listing = account.provider.api.payments
        endpoint = account.provider.api.objects[listing.object]
        body = thing
        for key in reversed(endpoint.unwrap):
            body = {key: body}
        delivery = Delivery(
            id=str(uuid7()),
            provider=provider,
            account="acme",
            received_at=at or self.now - HOUR,
            body=json.dumps(body).encode(),
            via=Via.LOOKUP,
            asked=Asked(ref=ObjectRef(object=listing.object, id=thing[endpoint.id_key]), occurred_at=occurred_at),
        )
        verified = confirmed(delivery)
        (receipt,) = await self.journal.append(
            Entry(account=account, verified=verified, items=translate(account, verified))
        )
        assert receipt.outcome == "events", receipt
        return thing[endpoint.id_key]

    # --- jobs

    @asynccontextmanager
    async def running(self, seconds):
        """Jobs are worked on, for so long at the most."""
        task = asyncio.create_task(self.reconciles.run())
        try:
            async with asyncio.timeout(seconds):
                yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def order(self, provider, **more):
        asked = {"since": self.now - 240 * HOUR, "until": self.now, **more}
        return Order(provider=provider, account="acme", **asked)

    async def reconcile(self, provider, **more):
        job = await self.reconciles.create(self.order(provider, **more), "ops")
        return await self.reconciles.work(job)

    async def found(self, job):
        """(kind, payment) of every difference."""
        changes = await self.history.changes(job.id, after="", limit=10_000)
        return sorted((change.kind, change.key.split("/", 2)[-1]) for change in changes)

    async def events(self, after=0):
        """(type, payment, via)"""
        found = []
        for row in await self.journal.read(0, after, 100_000):
            value = json.loads(row.record.value)
            if value["type"] != "paymux.quarantined":
                data = value["data"]
                found.append((value["type"], data["payment_id"], data["origin"]["via"]))
        return found
