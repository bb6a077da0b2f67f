"""paymux as its processes: what of it lives and dies together, put together as paymux.wiring does it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from faults.simulation import loop as loops
from faults.simulation.accounts import setups
from faults.simulation.apis import Api
from faults.simulation.disk import TOPICS, DiskJournal
from paymux.http.routes import routes
from paymux.http.webhooks import Limits, Webhooks
from paymux.journal.memory.archive import MemoryArchive
from paymux.journal.memory.history import MemoryHistory
from paymux.keeping.erasing import Erasing
from paymux.lookup import Client, Lookups
from paymux.relay import Relay
from paymux.replay import Replays
from paymux.replay.steps import Means

if TYPE_CHECKING:
    import contextvars

    from aiohttp.web import BaseRequest

    from faults.simulation.apis import Apis
    from faults.simulation.surroundings import Surroundings
    from paymux.http.reports import Reports, Taken
    from paymux.provider_api import ProviderApi
    from paymux.settings.accounts import AccountSetup


class Gateway:
    """One life of `paymux serve`; its relay is in it, or a process of its own."""

    def __init__(self, around: Surroundings, context: contextvars.Context, *, relays: bool) -> None:
        self.process = loops.current()
        self.context = context
        self._loop = around.loop
        self._open: list[asyncio.Future[int]] = []
        configured = setups()
        self.journal = DiskJournal(around.disk, now=around.clock.now, store=around.ports.store)
        self.lookups = Lookups(
            journal=self.journal,
            clients={name: _client(setup, around.apis) for name, setup in configured.items()},
            clock=around.clock.now,
            new_id=lambda: str(around.chance.uuid()),
            jitter=around.chance.dice.random,
        )
        self.webhooks = Webhooks(
            routes=routes(configured.values()),
            journal=self.journal,
            limits=Limits(body_timeout=5.0, unverified_rate=100.0),
            reports=cast("Reports", Witness(around)),
            is_ready=_ready,
            asked=self.lookups.wake,
            now=around.clock.now,
        )
        archive, history = MemoryArchive(self.journal), MemoryHistory(self.journal)
        self.replays = Replays(
            Means(
                journal=self.journal,
                archive=archive,
                accounts=lambda: {name: setup.account for name, setup in configured.items()},
                topic=TOPICS.events,
            ),
            history,
            clock=around.clock.now,
            new_id=lambda: str(around.chance.uuid()),
            backlog=self._backlog,
        )
        self.erasing = Erasing(self.journal, history, archive, topic=TOPICS.events)
        self.relay = RelayRun(around, self.journal) if relays else None
        self._workers = [asyncio.create_task(work) for work in (self.lookups.run(), self.replays.run())]

    async def take(self, request: BaseRequest) -> int:
        """Called by the world: its answer, or the end of the connection."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._open.append(answer)
        self._loop.create_task(self._handle(request, answer), context=self.context)
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
        workers = [*self._workers, *([self.relay.worker] if self.relay else [])]
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
        await self.journal.close()

    async def _backlog(self) -> int:
        return await self.journal.end(0) - await self.journal.mark(0)

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

    def __init__(self, around: Surroundings, journal: DiskJournal) -> None:
        self.process = loops.current()
        self.relay = Relay(
            journal,
            lambda: around.ports.publisher(around.broker, journal=around.disk.identity),
            now=around.clock.now,
            batch_rows=around.chance.dice.choice((1, 3, 20, 500)),
        )
        self.worker = asyncio.create_task(self.relay.run())


class Witness:
    """In place of paymux.http.reports.Reports: what nobody foresaw is a finding."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def taken(self, taken: Taken) -> None:
        pass

    def unavailable(self, provider: str, detail: str) -> None:
        pass

    def rejected(self, provider: str, account: str, **_: Any) -> None:
        pass

    def counted(self, provider: str, reason: str) -> None:
        pass

    def failed(self, error: Exception) -> None:
        self._around.wrong.append(f"an internal error: {error!r}")


def _client(setup: AccountSetup, apis: Apis) -> Client:
    api = Api(apis, setup.account.provider.name) if setup.api_key else None
    return Client(account=setup.account, api=cast("ProviderApi | None", api))


async def _ready() -> bool:
    return True
