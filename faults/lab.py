"""Where a scenario works: a long-lived broker, installations to break, traffic to break them under, and the verdict."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
from aiohttp import web

from faults.checker import check
from faults.facts import Facts, Sent, digest, read_disk, write
from faults.gateways import ACCOUNT, furnish
from faults.payments import payments, traffic
from faults.recording import Recorder, consume
from paymux.sandbox.apis import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from faults.checker import Violation
    from faults.cluster import Cluster
    from faults.facts import Consumed, Disk
    from faults.gateways import Gateway
    from faults.senders import Webhook

T = TypeVar("T")

ROOT = str(Path(__file__).parent.parent)  # where this package is found

SENDERS = 8
POLL = 0.05
PATIENCE = 600.0  # a long outage leaves hundreds of lookups, and FlexPortal documents 100 requests a minute
LONGEST = 300.0  # seconds that a webhook may be sent again and again
FORGED = 0.01
TIMES = {"request_timeout": 2.0}  # of Kafka; every deadline of the relay is a multiple of it


@dataclass(slots=True, kw_only=True)
class Apis(Sandbox):
    """The providers' APIs, which remember every object that they answered with. `delay` in seconds comes before each
    answer; the next one of each provider in `cut` ends in its middle.
    """

    served: list[Sent] = field(default_factory=list)
    delay: float = 0.0
    cut: set[str] = field(default_factory=set)

    async def _answer(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.delay)
        if request.match_info["provider"] in self.cut:
            return await self._torn(request)  # type: ignore[return-value]  # begun, and never ended
        answer = await Sandbox._answer(self, request)  # noqa: SLF001  # no super() in a class with slots
        if answer.status == 200 and isinstance(answer.body, bytes):
            self.served.append(
                Sent(
                    provider=request.match_info["provider"],
                    account=ACCOUNT,
                    sha256=digest(answer.body),
                    via="lookup",
                    sent_at=time.monotonic(),
                )
            )
        return answer

    async def _torn(self, request: web.Request) -> web.StreamResponse:
        self.cut.discard(request.match_info["provider"])
        begun = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
        await begun.prepare(request)
        await begun.write(b'{"id": "')
        if request.transport is not None:
            request.transport.abort()
        return begun


@dataclass(slots=True, kw_only=True)
class Trial:
    """An installation with its senders, judged at the end. `explained` is Facts'; `servers` is where its
    consumer reads; `neighbours` publish to the same topics, `before` are records of topics that are gone, `lost` the
    files that a copy took the place of.
    """

    gateway: Gateway
    sender: Recorder
    source: Iterator[list[Webhook]]
    apis: Apis
    chance: Random
    servers: str
    explained: set[str] = field(default_factory=set)
    neighbours: list[Trial] = field(default_factory=list)
    before: list[Consumed] = field(default_factory=list)
    lost: list[Disk] = field(default_factory=list)

    async def send(self, count: int, *, at_once: int = SENDERS) -> None:
        """So many payments, several beside each other."""
        left = iter(range(count))
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._send_each(lambda: next(left, None) is not None))

    @asynccontextmanager
    async def sending(self, *, at_once: int = SENDERS, pause: float = 0.0) -> AsyncIterator[None]:
        """Traffic for as long as the block lasts; payments that were begun are sent to their end afterwards."""
        going = True

        def goes_on() -> bool:
            return going

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._send_each(goes_on, pause)) for _ in range(at_once)]
            try:
                yield
            except BaseException:
                for task in tasks:
                    task.cancel()
                raise
            going = False
            self.gateway_must_answer()

    def gateway_must_answer(self) -> None:
        """Senders wait for a gateway: one that is down for good would keep them for ever."""
        process = self.gateway.process
        assert process is not None, "it was never started"
        assert process.returncode is None, "start it before the traffic ends"

    async def _send_each(self, goes_on: Callable[[], bool], pause: float = 0.0) -> None:
        while goes_on():
            for webhook in next(self.source):
                if self.chance.random() < FORGED:
                    await self._forge(payments(1, ["stripe"])[0][0])
                await self.sender.deliver(webhook)
                await asyncio.sleep(pause)

    async def _forge(self, webhook: Webhook) -> None:
        """What no provider ever sent."""
        await self.gateway.up.wait()
        try:
            status, _ = await self.sender.post(webhook, "whsec_of-somebody-else-altogether")
        except (aiohttp.ClientError, OSError):
            return
        assert status in (401, 429, 503), f"{status} for a forged delivery"

    # --- what an operator does

    def configure(self, section: str, **settings: Any) -> None:
        """From the next start on."""
        self.gateway.environ |= {
            f"PAYMUX_{section.upper()}__{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in settings.items()
        }

    async def restart(self) -> None:
        assert await self.gateway.stop() == 0
        await self.gateway.start()

    async def stopped(self, reason: str) -> dict[str, Any]:
        """The relay has stopped for that reason, and says what to do; webhooks are taken all the same."""
        page = await self.until(lambda page: page["phase"] == "stopped")
        assert page["reason"] == reason, page
        assert page["detail"], "without instructions"
        return page

    # --- the end

    async def published(self) -> None:
        await self.until(lambda page: page["phase"] == "running" and page["lag_events"] == 0 and self._answered())

    async def quiesce(self) -> None:
        """Everything is published and every object was answered for; then it ends, in order."""
        await self.published()
        assert await self.gateway.stop() == 0

    async def until(self, condition: Callable[[dict[str, Any]], bool], patience: float = PATIENCE) -> dict[str, Any]:
        """Return the relay's page once it is so."""
        page: dict[str, Any] = {}
        try:
            async with asyncio.timeout(patience):
                while True:
                    page = await self.relay()
                    if condition(page):
                        return page
                    await asyncio.sleep(POLL)
        except TimeoutError:
            raise AssertionError(f"it stays like this: {page}, {self._open()} lookups open") from None

    async def relay(self) -> dict[str, Any]:
        """What its readiness page says of the relay."""
        found: dict[str, Any] = json.loads((await self.gateway.page("/readyz"))[1])["relay"]
        return found | {"lag_events": found.get("lag_events", -1)}

    def _open(self) -> int:
        return len(self.gateway.rows("SELECT object_id FROM lookups WHERE rounds = 0"))

    def _answered(self) -> bool:
        return self._open() == 0

    async def facts(self) -> Facts:
        theirs = {row.event_id for other in self.neighbours for row in read_disk(other.gateway.file).outbox}
        consumed = [*self.before, *await consume(self.gateway, self.servers)]
        return Facts(
            client=[*self.sender.log, *self.apis.served],
            disk=read_disk(self.gateway.file),
            consumer=[record for record in consumed if record.event_id not in theirs],
            looks=self.sender.looks,
            explained=frozenset(self.explained),
            lost=self.lost,
        )


@dataclass(slots=True, kw_only=True)
class Lab:
    """What a scenario gets. `chance` draws every fault and its time, and nothing else, so a seed repeats them; traffic
    has a chance of its own. `stack` ends after the verdict.
    """

    cluster: Cluster
    room: Path
    chance: Random
    cycles: int
    apis: Apis
    session: aiohttp.ClientSession
    say: Callable[[str], None]
    stack: AsyncExitStack
    trials: list[Trial] = field(default_factory=list)

    def install(self, *, mode: str = "inline", servers: str | None = None, name: str | None = None) -> Trial:
        """A new installation. It is not started."""
        room = self.room / (name or f"paymux-{len(self.trials)}")
        room.mkdir()
        servers = servers or self.cluster.servers
        gateway = furnish(room, servers, self.apis, mode=mode)
        gateway.environ["PYTHONPATH"] = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
        chance = Random(self.chance.random())
        trial = Trial(
            gateway=gateway,
            sender=Recorder(gateway=gateway, session=self.session, patience=LONGEST),
            source=traffic(chance, self.apis),
            apis=self.apis,
            chance=chance,
            servers=self.cluster.servers,
        )
        trial.configure("kafka", **TIMES)
        self.trials.append(trial)
        return trial

    def taken(self, things: Iterable[T], count: int) -> list[T]:
        """`count` of them, each as often as the others, in an order of chance."""
        pool = list(things)
        rounds = -(-count // len(pool))
        return [thing for _ in range(rounds) for thing in self.chance.sample(pool, len(pool))][:count]

    async def verdict(self, keep: Path) -> tuple[list[Violation], str]:
        """What the checker says of all installations, and in numbers what it looked at."""
        found, sent, acked, events = [], 0, 0, 0
        for trial in self.trials:
            facts = await trial.facts()
            found += check(facts)
            sent += len(trial.sender.log)
            acked += len(trial.sender.acked)
            events += len(facts.consumer)
            if found:
                write(keep / trial.gateway.room.name, facts)
        return found, f"{sent} attempts, {acked} acknowledged, {events} records"

    async def close(self) -> None:
        for trial in self.trials:
            await trial.gateway.close()


@asynccontextmanager
async def opened(
    cluster: Cluster, room: Path, *, seed: str, cycles: int, say: Callable[[str], None] = print
) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        apis = Apis()
        await stack.enter_async_context(apis.running())
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)))
        lab = Lab(
            cluster=cluster,
            room=room,
            chance=Random(seed),
            cycles=cycles,
            apis=apis,
            session=session,
            say=say,
            stack=stack,
        )
        stack.push_async_callback(lab.close)
        yield lab
