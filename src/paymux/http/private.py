"""The private listener: metrics, health, and the API that operators and commands use."""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from paymux.errors import PaymuxError
from paymux.http.api import ROUTES
from paymux.http.api.problems import NEVER_STORED, Problem, from_aiohttp, from_error
from paymux.http.api.routes import API, Person
from paymux.http.api.serving import INSIDE, WHO, served
from paymux.http.api.tail import LISTENERS, Listeners, end
from paymux.http.inside import Inside
from paymux.http.limits import Addresses
from paymux.settings.models import is_loopback
from paymux.settings.tokens import digest, included
from paymux.telemetry import log_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from paymux.settings.models import AdminToken

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

__all__ = ["API", "Inside", "application"]

WRONG_TOKENS: Final = 5.0  # a second, from one address
LONGEST_LINE: Final = 65_536  # bytes of a request line: room for every filter at its longest
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"

_STRANGERS: Final = web.AppKey("strangers", Addresses)


def application(inside: Inside, *, wrong_tokens: float = WRONG_TOKENS) -> web.Application:
    """`wrong_tokens`: how many a second one address may offer."""
    app = web.Application(middlewares=[_safe, _guarded], client_max_size=max(route.largest for route in ROUTES))
    app[INSIDE] = inside
    app[LISTENERS] = Listeners()
    app[_STRANGERS] = Addresses(wrong_tokens)
    app.on_shutdown.append(end)
    app.add_routes(
        [
            web.get("/metrics", _metrics),
            web.get("/healthz", _healthz),
            web.get("/readyz", _readyz),
            *served(ROUTES),
        ]
    )
    return app


# --- pages without a token


async def _metrics(request: web.Request) -> web.Response:
    inside = request.app[INSIDE]
    await inside.refresh()
    return web.Response(body=inside.metrics.render(), headers={"Content-Type": TEXT})


async def _healthz(_request: web.Request) -> web.Response:
    return _answer({"status": "ok"})


async def _readyz(request: web.Request) -> web.Response:
    is_ready, details = await request.app[INSIDE].ready()
    return _answer({"ready": is_ready, **details}, status=200 if is_ready else 503)


def _answer(facts: dict[str, Any], *, status: int = 200) -> web.Response:
    body = orjson.dumps(facts, option=orjson.OPT_UTC_Z)
    return web.Response(body=body, status=status, content_type="application/json", headers=NEVER_STORED)


# --- who may see the others


@web.middleware
async def _safe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """No page of aiohttp's own, no traceback."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return from_aiohttp(error).response
    except PaymuxError as error:
        return from_error(error).response
    except Exception as error:  # noqa: BLE001  # its words may hold anything
        log_failure("private_request_failed", error)
        return Problem("internal_error").response


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not request.path.startswith(API):
        return await handler(request)
    inside = request.app[INSIDE]
    if not _is_ours(request, inside):
        raise Problem("unknown_host")
    if not inside.tokens:
        raise Problem("no_tokens")
    token = _token(request, inside.tokens)
    if token is None:
        raise _turned_away(request)
    if token.token.expired(inside.now()):
        raise Problem("token_expired")
    request[WHO] = Person(name=token.name, roles=included(token.role))
    return await handler(request)


def _is_ours(request: web.Request, inside: Inside) -> bool:
    """Against DNS rebinding: a page in somebody's browser comes under its own name."""
    try:
        host = request.url.host or ""
    except ValueError:  # a Host that is none
        return False
    return is_loopback(host) or host.lower() in inside.hosts


def _token(request: web.Request, tokens: Sequence[AdminToken]) -> AdminToken | None:
    """The one that was offered. All are compared, in constant time each."""
    scheme, _, offered = request.headers.get("Authorization", "").partition(" ")
    given = digest(offered)
    matches = [token for token in tokens if hmac.compare_digest(given, token.token.sha256)]
    return matches[0] if scheme.lower() == "bearer" and matches else None


def _turned_away(request: web.Request) -> Problem:
    busy = request.app[_STRANGERS].take(request.remote or "", time.monotonic())
    return Problem("too_many_wrong_tokens" if busy else "unauthorized")
