"""Who does what a command asks for: the running `serve`, through its private API, or this process, where none holds
the journal. Both are the same code at work.
"""

from __future__ import annotations

import asyncio
import base64
import getpass
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import orjson

from paymux.errors import JobRefused, NotStored, PaymuxError, SettingsError
from paymux.explain import dump, exports
from paymux.explain.deliveries import viewed
from paymux.explain.jobs import job_facts
from paymux.journal.audit import Act
from paymux.journal.jobs import stored_job
from paymux.keeping.erasing import Erasing, person
from paymux.reconcile.orders import KIND as RECONCILE
from paymux.replay.orders import possible
from paymux.settings import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import aiohttp

    from paymux.journal import Journal
    from paymux.journal.archive import Archive
    from paymux.journal.history import History, Sought
    from paymux.journal.jobs import Job
    from paymux.keeping.erasing import Kind
    from paymux.keeping.retention import Retention
    from paymux.reconcile import Reconciles
    from paymux.reconcile.orders import Order as ReconcileOrder
    from paymux.replay import Action, Replays
    from paymux.replay.imports import Payload
    from paymux.replay.orders import Order
    from paymux.settings import Settings
    from paymux.settings.accounts import AccountSetup, Name

    Facts = Mapping[str, Any]

DEADLINE: Final = 600.0  # seconds, for what looks at everything


class Operator(Protocol):
    """Jobs are told as explain.jobs has them, as JSON. Raises PaymuxError with what is wrong."""

    async def preview(self, order: Order) -> Facts: ...

    async def create(self, order: Order) -> Facts: ...

    async def reconcile(self, order: ReconcileOrder) -> Facts: ...

    async def job(self, job_id: str) -> Facts: ...

    async def steer(self, job_id: str, action: Action) -> Facts: ...

    async def discard(self, sought: Sought, why: str) -> int: ...

    async def erase(self, kind: Kind, key: str, why: str, *, dry_run: bool) -> Facts:
        """What was erased, or would be."""
        ...

    async def sweep(self) -> int:
        """Let go of what is old enough; how many rows."""
        ...

    async def raw(self, delivery_id: str) -> bytes:
        """The body as it came. That it was looked at is written down first."""
        ...

    async def take(self, name: tuple[str, str], payloads: Sequence[Payload]) -> Mapping[str, int]:
        """Payloads from elsewhere, for one account; what became of how many items."""
        ...

    def export(self, what: Literal["deliveries", "events"], sought: Sought) -> AsyncIterator[bytes]:
        """Pieces of JSON lines. That they were taken out is written down first."""
        ...


@asynccontextmanager
async def operator(config: Path | None, token: str | None) -> AsyncIterator[Operator]:
    """Raises SettingsError; JournalUnusable."""
    from paymux.journal.sqlite import is_held

    settings = load(config)
    async with AsyncExitStack() as stack:
        if is_held(_file(settings)):
            yield await stack.enter_async_context(_remote(settings, token))
        else:
            yield await stack.enter_async_context(_local(settings))


def _file(settings: Settings) -> Path:
    if settings.journal.path is None:
        raise SettingsError("journal.url: memory:// keeps nothing that a command could work on")
    path = Path(settings.journal.path)
    if not path.is_file():
        raise SettingsError(f"journal.url: there is no file {path} yet")
    return path


# --- here


class _Local:
    def __init__(
        self,
        journal: Journal,
        history: History,
        archive: Archive,
        replays: Replays,
        reconciles: Reconciles,
        retention: Retention,
    ) -> None:
        self._journal = journal
        self._history = history
        self._archive = archive
        self._replays = replays
        self._reconciles = reconciles
        self._retention = retention
        self._who = f"user {getpass.getuser()}"
        self._work: set[asyncio.Task[Any]] = set()

    async def preview(self, order: Order) -> Facts:
        return asdict(await self._replays.preview(order))

    async def create(self, order: Order) -> Facts:
        return await self._begun(await self._replays.create(order, self._who))

    async def reconcile(self, order: ReconcileOrder) -> Facts:
        return await self._begun(await self._reconciles.create(order, self._who))

    async def _begun(self, job: Job) -> Facts:
        whose = self._reconciles if job.kind == RECONCILE else self._replays
        self._work.add(asyncio.create_task(whose.work(job)))
        return await self.job(job.id)

    async def job(self, job_id: str) -> Facts:
        """Raises what ended the work."""
        for task in self._work:
            if task.done():
                task.result()
        return _read(dump(job_facts(await stored_job(self._history, job_id))))

    async def steer(self, job_id: str, action: Action) -> Facts:
        job = await self._replays.steer(job_id, action, self._who)
        return await (self._begun(job) if action in ("resume", "accept") else self.job(job_id))

    async def discard(self, sought: Sought, why: str) -> int:
        return await self._replays.discard(sought, why, self._who)

    async def raw(self, delivery_id: str) -> bytes:
        return (await viewed(self._history, self._journal, delivery_id, self._who)).body

    async def take(self, name: tuple[str, str], payloads: Sequence[Payload]) -> Mapping[str, int]:
        return await self._replays.take(name, payloads, self._who)

    async def export(self, what: Literal["deliveries", "events"], sought: Sought) -> AsyncIterator[bytes]:
        possible(sought)
        act = Act(who=self._who, action=f"export.{what}", target=what, detail=_filters(sought))
        await self._journal.change(lambda unit: unit.audit(act))
        lines = (
            exports.deliveries(self._archive, sought)
            if what == "deliveries"
            else exports.events(self._archive, sought, self._replays.topic)
        )
        async for line in lines:
            yield line

    async def erase(self, kind: Kind, key: str, why: str, *, dry_run: bool) -> Facts:
        whose = person(kind, key)
        erasing = Erasing(self._journal, self._history, self._archive, topic=self._replays.topic)
        return asdict(await (erasing.preview(whose) if dry_run else erasing.erase(whose, why, self._who)))

    async def sweep(self) -> int:
        return await self._retention.sweep_for(self._who)

    async def ended(self) -> None:
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)


@asynccontextmanager
async def _local(settings: Settings) -> AsyncIterator[Operator]:
    from paymux.keeping.retention import Retention
    from paymux.provider_api import open_session
    from paymux.providers import installed
    from paymux.settings.accounts import build_accounts
    from paymux.wiring.parts import open_journal, reading

    setups = build_accounts(settings, installed())
    async with AsyncExitStack() as stack:
        journal = await open_journal(settings)
        stack.push_async_callback(journal.close)
        history, archive = reading(journal)
        stack.push_async_callback(archive.close)
        stack.push_async_callback(history.close)
        session = open_session()
        stack.push_async_callback(session.close)
        replays = _replays(settings, setups, journal, history, archive)
        stack.push_async_callback(replays.close)
        reconciles = _reconciles(setups, session, journal, history, archive)
        retention = Retention(journal, timedelta(days=settings.journal.retention_days))
        here = _Local(journal, history, archive, replays, reconciles, retention)
        stack.push_async_callback(here.ended)
        yield here


def _replays(
    settings: Settings, setups: Mapping[Name, AccountSetup], journal: Journal, history: History, archive: Archive
) -> Replays:
    from paymux.replay import Replays
    from paymux.replay.steps import Means
    from paymux.wiring.parts import pool, topic_finder

    accounts = {name: setup.account for name, setup in setups.items()}
    means = Means(
        journal=journal,
        archive=archive,
        accounts=lambda: accounts,
        topic=settings.kafka.events_topic,
        pool=pool(journal),
        has_topic=topic_finder(settings.kafka),
    )
    return Replays(means, history, clock=_now, new_id=_new_id, backlog=_nobody_publishes)


def _reconciles(
    setups: Mapping[Name, AccountSetup],
    session: aiohttp.ClientSession,
    journal: Journal,
    history: History,
    archive: Archive,
) -> Reconciles:
    from paymux.reconcile import Reconciles
    from paymux.reconcile.steps import Means
    from paymux.wiring.parts import clients

    means = Means(
        journal=journal,
        archive=archive,
        clients=clients(setups, session),
        clock=_now,
        new_id=_new_id,
        observe=lambda _name, _counts: None,
    )
    return Reconciles(means, history, backlog=_nobody_publishes)


def _new_id() -> str:
    from uuid_utils import uuid7

    return str(uuid7())


def _now() -> datetime:
    return datetime.now(UTC)


async def _nobody_publishes() -> int:
    """The next `serve` does, all of it."""
    await asyncio.sleep(0)
    return 0


# --- there


class _Remote:
    def __init__(self, session: aiohttp.ClientSession, place: str) -> None:
        self._session = session
        self._place = place

    async def preview(self, order: Order) -> Facts:
        return _read(await self._ask("POST", "jobs", {**_told(order), "dry_run": True}))

    async def create(self, order: Order) -> Facts:
        return _read(await self._ask("POST", "jobs", _told(order)))

    async def reconcile(self, order: ReconcileOrder) -> Facts:
        told = {
            "provider": order.provider,
            "account": order.account,
            "since": order.since,
            "until": order.until,
            "fix": order.fixes,
            "rate": order.rate,
        }
        return _read(await self._ask("POST", "reconciles", told))

    async def job(self, job_id: str) -> Facts:
        return _read(await self._ask("GET", f"jobs/{job_id}"))

    async def steer(self, job_id: str, action: Action) -> Facts:
        return _read(await self._ask("POST", f"jobs/{job_id}/{action}"))

    async def discard(self, sought: Sought, why: str) -> int:
        told = {"filters": _filters(sought), "reason": why}
        return int(_read(await self._ask("POST", "quarantine/discard", told))["discarded"])

    async def erase(self, kind: Kind, key: str, why: str, *, dry_run: bool) -> Facts:
        told = {"kind": kind, "key": key, "reason": why, "dry_run": dry_run}
        return _read(await self._ask("POST", "erasures", told))

    async def sweep(self) -> int:
        return int(_read(await self._ask("POST", "retention/sweep"))["rows"])

    async def raw(self, delivery_id: str) -> bytes:
        return await self._ask("GET", f"deliveries/{delivery_id}/raw")

    async def take(self, name: tuple[str, str], payloads: Sequence[Payload]) -> Mapping[str, int]:
        told = {
            "provider": name[0],
            "account": name[1],
            "trust": True,
            "payloads": [_payload(each) for each in payloads],
        }
        counts: Mapping[str, int] = _read(await self._ask("POST", "imports", told))["counts"]
        return counts

    async def export(self, what: Literal["deliveries", "events"], sought: Sought) -> AsyncIterator[bytes]:
        given = _filters(sought).items()
        query = {name: each.isoformat() if isinstance(each, datetime) else each for name, each in given}
        async with self._request("GET", f"exports/{what}", params=query) as answer:
            async for piece in answer.content.iter_any():
                yield piece

    async def _ask(self, method: str, path: str, told: Facts | None = None) -> bytes:
        body = None if told is None else orjson.dumps(told)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        async with self._request(method, path, data=body, headers=headers) as answer:
            return await answer.read()

    @asynccontextmanager
    async def _request(self, method: str, path: str, **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp

        try:
            async with self._session.request(method, path, allow_redirects=False, **more) as answer:
                if answer.status >= 400:  # noqa: PLR2004  # errors
                    raise _refused(answer.status, await answer.read())
                yield answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise PaymuxError(f"the running paymux does not answer at {self._place}: {error}") from None


@asynccontextmanager
async def _remote(settings: Settings, token: str | None) -> AsyncIterator[Operator]:
    import aiohttp

    if not token:
        raise SettingsError("a running paymux holds the journal: give --token or PAYMUX_TOKEN, one of [admin] tokens")
    certificate, place = settings.admin.tls_certificate, settings.server.admin_listen
    base = f"{'https' if certificate else 'http'}://{place}/api/v1/"
    context = ssl.create_default_context(cafile=str(certificate)) if certificate else True
    async with aiohttp.ClientSession(
        base,
        headers={"Authorization": f"Bearer {token}"},
        timeout=aiohttp.ClientTimeout(total=DEADLINE),
        connector=aiohttp.TCPConnector(ssl=context),
    ) as session:
        yield _Remote(session, place)


_REFUSALS: Final[Mapping[int, type[PaymuxError]]] = {404: NotStored, 409: JobRefused, 422: JobRefused}


def _refused(status: int, content: bytes) -> PaymuxError:
    try:
        problem = orjson.loads(content)
        told = str(problem.get("detail") or problem.get("title") or status)
    except (orjson.JSONDecodeError, AttributeError):
        told = f"the running paymux answered {status}"
    return _REFUSALS.get(status, PaymuxError)(told)


def _told(order: Order) -> dict[str, Any]:
    return {"kind": order.kind, "filters": _filters(order.sought), "topic": order.topic, "rate": order.rate}


def _payload(payload: Payload) -> dict[str, Any]:
    asked = payload.asked
    return {
        "body_base64": base64.b64encode(payload.body).decode(),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in payload.headers],
        "received_at": payload.received_at,
        "asked": None if asked is None else {**asdict(asked.ref), "occurred_at": asked.occurred_at},
    }


def _filters(sought: Sought) -> dict[str, Any]:
    return {name: value for name, value in asdict(sought).items() if value is not None}


def _read(content: bytes) -> Facts:
    found: Facts = orjson.loads(content)
    return found
