"""What a private listener shows in a test: real parts over a journal, and tokens of every role."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiohttp.test_utils import TestClient, TestServer

from paymux.explain.deliveries import Knowledge
from paymux.explain.status import AccountFacts, JournalStatus, RelayStatus, Status
from paymux.http.inside import Inside
from paymux.http.private import LONGEST_LINE, WRONG_TOKENS, application
from paymux.journal.memory import MemoryJournal
from paymux.keeping.erasing import Erasing
from paymux.keeping.retention import Retention
from paymux.provider import Account
from paymux.providers import BY_NAME
from paymux.reconcile import Reconciles
from paymux.reconcile.steps import Means as ReconcileMeans
from paymux.replay import Replays
from paymux.replay.steps import Means
from paymux.settings.models import AdminToken
from paymux.settings.secret import Origin
from paymux.telemetry import Metrics
from paymux.wiring.parts import reading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from paymux.journal import Journal
    from paymux.journal.archive import Archive
    from paymux.journal.history import History

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TOKENS = {
    "admin": ("operator", "privacy"),
    "ops": ("operator",),
    "looker": ("viewer",),
    "guardian": ("privacy",),
}


def token_of(name: str) -> str:
    return f"the-token-of-{name}-0123456789"


def token(name: str, role: Any = ("operator",), **value: Any) -> AdminToken:
    given = {"value": "env:TOKEN", **value}
    return AdminToken.model_validate(
        {"token": given, "name": name, "role": list(role)},
        context=Origin(file=None, environ={"TOKEN": token_of(name)}),
    )


def bearer(name: str = "admin", **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_of(name)}", **headers}


def inside(
    *, tokens: Sequence[AdminToken] | None = None, ready: bool = True, journal: Journal | None = None, **more: Any
) -> Inside:
    journal = journal or MemoryJournal()
    history, archive = reading(journal)

    async def refresh() -> None:
        pass

    async def is_ready() -> tuple[bool, dict[str, Any]]:
        return ready, {"journal": ready}

    async def status() -> Status:
        return Status(
            version="1",
            journal=JournalStatus(identity=journal.identity, healthy=True),
            relay=RelayStatus(shard=0, phase="relaying", since=NOW, position=1, reason=None, detail=None),
            workers={"relay": {"up": True}},
            lookups_waiting=0,
            accounts=1,
            in_flight=0,
            connections=0,
        )

    parts: dict[str, Any] = {
        "journal": journal,
        "history": history,
        "archive": archive,
        "replays": replays(journal, history, archive),
        "reconciles": reconciles(journal, history, archive),
        "retention": Retention(journal, timedelta(days=90), now=lambda: NOW),
        "erasing": Erasing(journal, history, archive, topic="payments.events.v1"),
        "knowledge": Knowledge(providers=BY_NAME, scheme=lambda provider, _: BY_NAME[provider].signature),
        "metrics": Metrics(),
        "tokens": [token(name, roles) for name, roles in TOKENS.items()] if tokens is None else tokens,
        "hosts": frozenset({"paymux.internal"}),
        "refresh": refresh,
        "ready": is_ready,
        "status": status,
        "accounts": lambda: [an_account()],
        "now": lambda: NOW,
    }
    return Inside(**(parts | more))


def an_account() -> AccountFacts:
    return AccountFacts(
        provider="stripe",
        name="acme",
        proof="signature",
        livemode=None,
        has_api_key=False,
        path="/webhooks/stripe/acme",
        secrets=(),
    )


def replays(journal: Journal, history: History, archive: Archive) -> Replays:
    accounts = {(name, "acme"): Account(provider=provider, name="acme") for name, provider in BY_NAME.items()}
    ids = itertools.count(1)

    async def nobody_waits() -> int:
        return 0

    means = Means(journal=journal, archive=archive, accounts=lambda: accounts, topic="payments.events.v1")
    return Replays(
        means,
        history,
        clock=lambda: NOW,
        new_id=lambda: f"00000000-0000-7000-8000-{next(ids):012d}",
        backlog=nobody_waits,
    )


def reconciles(journal: Journal, history: History, archive: Archive) -> Reconciles:
    """No account has an API."""
    ids = itertools.count(1)

    async def nobody_waits() -> int:
        return 0

    means = ReconcileMeans(
        journal=journal,
        archive=archive,
        clients={},
        clock=lambda: NOW,
        new_id=lambda: f"00000000-0000-7000-9000-{next(ids):012d}",
        observe=lambda _name, _counts: None,
    )
    return Reconciles(means, history, backlog=nobody_waits)


def client(shown: Inside) -> TestClient[Any, Any]:
    return TestClient(server(shown))


def server(shown: Inside, *, wrong_tokens: float = WRONG_TOKENS) -> Server:
    """As the gateway runs it."""
    return Server(application(shown, wrong_tokens=wrong_tokens))


class Server(TestServer):
    async def start_server(self, **more: Any) -> None:
        await super().start_server(auto_decompress=False, max_line_size=LONGEST_LINE, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API as a client has it; `who` is whose token goes along."""

    asked: TestClient[Any, Any]
    inside: Inside

    async def __call__(self, method: str, path: str, *, who: str = "admin", told: Any = None, **more: Any) -> Got:
        json = {"json": told} if told is not None else {}
        async with self.asked.request(method, f"/api/v1/{path}", headers=bearer(who), **json, **more) as got:
            is_json = got.content_type.endswith("json")
            return Got(
                status=got.status,
                headers=got.headers,
                body=await (got.json(content_type=None) if is_json else got.read()),
            )

    async def get(self, path: str, **more: Any) -> Got:
        return await self("GET", path, **more)

    async def post(self, path: str, told: Any = None, **more: Any) -> Got:
        return await self("POST", path, told=told, **more)


@asynccontextmanager
async def api(journal: Journal | None = None, **more: Any) -> AsyncIterator[Api]:
    shown = inside(journal=journal, **more)
    async with client(shown) as asked:
        yield Api(asked=asked, inside=shown)
    await shown.history.close()
    await shown.archive.close()
