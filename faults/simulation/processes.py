"""paymux as its processes: what of it lives and dies together, put together as paymux.wiring does it."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from faults.simulation import loop as loops
from faults.simulation.disk import DiskJournal
from faults.simulation.nature import START
from faults.simulation.outside import Api, Providers, accounts
from paymux.http.routes import routes
from paymux.http.webhooks import Limits, Webhooks
from paymux.lookup import Client, Lookups
from paymux.providers import BY_NAME
from paymux.relay import Relay
from paymux.settings import load
from paymux.settings.accounts import build_accounts

if TYPE_CHECKING:
    import contextvars

    from aiohttp.web import BaseRequest

    from faults.simulation.world import World
    from paymux.http.reports import Reports, Taken
    from paymux.provider_api import ProviderApi
    from paymux.settings.accounts import AccountSetup, Name


class Gateway:
    """One life of `paymux serve`, its relay aside."""

    def __init__(self, world: World, context: contextvars.Context) -> None:
        self.process = loops.current()
        self._world = world
        self.context = context
        self._open: list[asyncio.Future[int]] = []
        configured = setups()
        self.journal = DiskJournal(world.disk, now=world.clock.now, store=world.ports.store)
        self.lookups = Lookups(
            journal=self.journal,
            clients={name: _client(setup, world.providers) for name, setup in configured.items()},
            clock=world.clock.now,
            new_id=lambda: str(world.chance.uuid()),
            jitter=world.chance.dice.random,
        )
        self.webhooks = Webhooks(
            routes=routes(configured.values()),
            journal=self.journal,
            limits=Limits(body_timeout=5.0, unverified_rate=100.0),
            reports=cast("Reports", Witness(world)),
            is_ready=_ready,
            asked=self.lookups.wake,
            now=world.clock.now,
        )
        self._worker = asyncio.create_task(self.lookups.run())

    async def take(self, request: BaseRequest) -> int:
        """Called by the world: its answer, or the end of the connection."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._open.append(answer)
        self._world.loop.create_task(self._handle(request, answer), context=self.context)
        try:
            return await answer
        finally:
            self._open.remove(answer)

    def remember(self, marks: dict[int, int]) -> None:
        """Called by the world, for the relay's process."""
        self.context.run(self.journal.remember, marks)

    def hang_up(self) -> None:
        for answer in list(self._open):
            if not answer.done():
                answer.set_exception(ConnectionResetError())

    async def stop(self) -> None:
        """In its own name: what is in flight is answered, then the journal is let go of."""
        self.webhooks.draining = True
        await self.webhooks.idle()
        workers = [self._worker, *(run.worker for run in self._world.relays if run.process is self.process)]
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
        await self.journal.close()

    async def _handle(self, request: BaseRequest, answer: asyncio.Future[int]) -> None:
        try:
            reply = await self.webhooks(request)
        except ConnectionError as error:
            if not answer.done():
                answer.set_exception(error)
            return
        if not answer.done():
            answer.set_result(reply._answer.status)  # noqa: SLF001  # what would be written to the socket


class RelayRun:
    """One life of a relay."""

    def __init__(self, world: World, journal: DiskJournal) -> None:
        self.process = loops.current()
        self.relay = Relay(
            journal,
            lambda: world.ports.publisher(world.broker, journal=world.disk.identity),
            now=world.clock.now,
            batch_rows=world.chance.dice.choice((1, 3, 20, 500)),
        )
        self.worker = asyncio.create_task(self.relay.run())


class Witness:
    """In place of paymux.http.reports.Reports: what nobody foresaw is a finding."""

    def __init__(self, world: World) -> None:
        self._world = world

    def taken(self, taken: Taken) -> None:
        pass

    def unavailable(self, provider: str, detail: str) -> None:
        pass

    def rejected(self, provider: str, account: str, **_: Any) -> None:
        pass

    def counted(self, provider: str, reason: str) -> None:
        pass

    def failed(self, error: Exception) -> None:
        self._world.wrong.append(f"an internal error: {error!r}")


@cache
def setups() -> dict[Name, AccountSetup]:
    settings = load(None, {"PAYMUX_ACCOUNTS": json.dumps(accounts())})
    return build_accounts(settings, BY_NAME, now=START)


def _client(setup: AccountSetup, providers: Providers) -> Client:
    api = Api(providers, setup.account.provider.name) if setup.account.provider.api else None
    return Client(account=setup.account, api=cast("ProviderApi | None", api))


async def _ready() -> bool:
    return True
