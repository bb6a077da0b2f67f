"""The private listener: metrics, health, and the API that operators and commands use."""

from __future__ import annotations

import hmac
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from paymux.errors import JournalUnavailable
from paymux.http.limits import Addresses
from paymux.settings.models import is_loopback
from paymux.telemetry import log_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from paymux.journal import Journal
    from paymux.settings.models import AdminToken
    from paymux.telemetry import Metrics

    Facts = Callable[[], Awaitable[dict[str, Any]]]
    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

API: Final = "/api/v1/"
WRONG_TOKENS: Final = 5.0  # a second, from one address
MOST_LISTED: Final = 1000
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What the private listener shows. `refresh` brings the gauges up to date, `ready` gives readiness and its details,
    `status` and `accounts` what their pages say. `hosts` are the names it answers to, beside loopback's.
    """

    journal: Journal
    metrics: Metrics
    tokens: Sequence[AdminToken]
    hosts: frozenset[str]
    refresh: Callable[[], Awaitable[None]]
    ready: Callable[[], Awaitable[tuple[bool, dict[str, Any]]]]
    status: Facts
    accounts: Callable[[], list[dict[str, Any]]]


_INSIDE: Final = web.AppKey("inside", Inside)
_STRANGERS: Final = web.AppKey("strangers", Addresses)


def application(inside: Inside) -> web.Application:
    app = web.Application(middlewares=[_safe, _guarded])
    app[_INSIDE] = inside
    app[_STRANGERS] = Addresses(WRONG_TOKENS)
    app.add_routes(
        [
            web.get("/metrics", _metrics),
            web.get("/healthz", _healthz),
            web.get("/readyz", _readyz),
            web.get(f"{API}status", _status),
            web.get(f"{API}accounts", _accounts),
            web.get(f"{API}rejections", _rejections),
        ]
    )
    return app


# --- pages


async def _metrics(request: web.Request) -> web.Response:
    inside = request.app[_INSIDE]
    await inside.refresh()
    return web.Response(body=inside.metrics.render(), headers={"Content-Type": TEXT})


async def _healthz(_request: web.Request) -> web.Response:
    return _answer({"status": "ok"})


async def _readyz(request: web.Request) -> web.Response:
    is_ready, details = await request.app[_INSIDE].ready()
    return _answer({"ready": is_ready, **details}, status=200 if is_ready else 503)


async def _status(request: web.Request) -> web.Response:
    return _answer(await request.app[_INSIDE].status())


async def _accounts(request: web.Request) -> web.Response:
    return _answer({"accounts": request.app[_INSIDE].accounts()})


async def _rejections(request: web.Request) -> web.Response:
    given = request.query.get("limit", "100")
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:5]) <= MOST_LISTED):
        return _answer({"error": f"limit should be 1 to {MOST_LISTED}"}, status=400)
    found = await request.app[_INSIDE].journal.rejections(int(given))
    return _answer({"rejections": [asdict(rejection) for rejection in found]})


def _answer(facts: dict[str, Any], *, status: int = 200, **headers: str) -> web.Response:
    return web.Response(
        body=orjson.dumps(facts, option=orjson.OPT_UTC_Z),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **headers},
    )


# --- who may see them


@web.middleware
async def _safe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """No page of aiohttp's own, no traceback."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _answer({"error": (error.reason or "error").lower()}, status=error.status)
    except JournalUnavailable:
        return _answer({"error": "the journal is unavailable"}, status=503, **{"Retry-After": "5"})
    except Exception as error:  # noqa: BLE001  # its words may hold anything
        log_failure("private_request_failed", error)
        return _answer({"error": "internal error"}, status=500)


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not request.path.startswith(API):
        return await handler(request)
    inside = request.app[_INSIDE]
    if not _is_ours(request, inside):
        return _answer({"error": "this name is not one of [admin] hosts"}, status=403)
    if not inside.tokens:
        return _answer({"error": "no [admin] tokens are configured"}, status=403)
    if not _has_token(request, inside.tokens):
        return _turned_away(request)
    return await handler(request)


def _is_ours(request: web.Request, inside: Inside) -> bool:
    """Against DNS rebinding: a page in somebody's browser comes under its own name."""
    host = request.url.host or ""
    return is_loopback(host) or host.lower() in inside.hosts


def _has_token(request: web.Request, tokens: Sequence[AdminToken]) -> bool:
    """All are compared, in constant time each."""
    scheme, _, offered = request.headers.get("Authorization", "").partition(" ")
    given = offered.encode("utf-8", "surrogateescape")
    matches = [hmac.compare_digest(given, token.token.get_secret_value().encode()) for token in tokens]
    return scheme.lower() == "bearer" and any(matches)


def _turned_away(request: web.Request) -> web.Response:
    if request.app[_STRANGERS].take(request.remote or "", time.monotonic()):
        return _answer({"error": "too many wrong tokens"}, status=429, **{"Retry-After": "1"})
    return _answer({"error": "unauthorized"}, status=401, **{"WWW-Authenticate": "Bearer"})
