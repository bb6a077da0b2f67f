"""The public listener's connections: bounded in number, silent about what they could not read.

Below the webhooks is aiohttp's low-level server: no router, no middleware, no access log, which together take as long
as a delivery's journal entry.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import web

from paymux.http.addresses import is_in
from paymux.http.answers import BAD_REQUEST, BUSY, UNAVAILABLE, Answer, Reply
from paymux.http.limits import neighbourhood

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiohttp.web import BaseRequest, StreamResponse

    from paymux.http.addresses import Network

LARGEST_LINE: Final = 8190
MOST_HEADERS: Final = 100
LARGEST_HEAD: Final = 65_536  # bytes of a request before its body
LINGERING: Final = 2.0  # seconds that the rest of a refused request is read and dropped, so that its sender sees why

SHARES: Final = 4  # one address may hold this part of all connections

_BAD: Final = 400


class Listener(web.Server):
    """`observe` is told of bad_request, refused_connection and internal_error. `most_of_one` is how many connections
    one address may hold (None: a quarter of all); trusted proxies, which speak for many, may hold all of them.
    """

    def __init__(
        self,
        handler: Callable[[BaseRequest], Awaitable[Reply]],
        *,
        max_connections: int,
        keepalive_timeout: float,
        observe: Callable[[str], None],
        most_of_one: int | None = None,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        super().__init__(cast("Callable[[BaseRequest], Awaitable[StreamResponse]]", handler))
        self.max_connections = max_connections
        self.most_of_one = most_of_one or max(1, max_connections // SHARES)
        self._trusted_proxies = trusted_proxies
        self._held: Counter[str] = Counter()
        self.observe = observe
        self._options: dict[str, Any] = {
            "access_log": None,
            "auto_decompress": False,  # a signature is of the bytes as sent (V-33)
            "keepalive_timeout": keepalive_timeout,
            "lingering_time": LINGERING,
            "logger": _SILENT,
            "max_field_size": LARGEST_LINE,
            "max_headers": MOST_HEADERS,
            "max_line_size": LARGEST_LINE,
        }

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=asyncio.get_running_loop(), **self._options)

    def let_in(self, address: str) -> str | None:
        """One more of that address: by what name it counts, for `let_go`; None if there is no room."""
        name = neighbourhood(address)
        is_one = self._held[name] < self.most_of_one or is_in(address, self._trusted_proxies)
        if not is_one or len(self.connections) >= self.max_connections:
            return None
        self._held[name] += 1
        return name

    def let_go(self, name: str) -> None:
        self._held[name] -= 1
        if not self._held[name]:
            del self._held[name]


class Connection(web.RequestHandler):
    __slots__ = ("_head", "_listener", "_name")

    def __init__(self, listener: Listener, **options: Any) -> None:
        super().__init__(listener, **options)
        self._listener = listener
        self._name: str | None = None
        self._head = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._name = self._listener.let_in(_peer(transport))
        if self._name is None:
            self._listener.observe("refused_connection")
            cast("asyncio.Transport", transport).write(BUSY.whole)
            self.force_close()
            transport.close()
            return
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """A head that goes on and on is held in memory before anybody is known to send it: not for long."""
        if self._head > LARGEST_HEAD:
            return
        super().data_received(data)
        waiter = self._waiter
        self._head = self._head + len(data) if waiter is not None and not waiter.done() else 0
        if self._head > LARGEST_HEAD and self.transport is not None:
            self._listener.observe("bad_request")
            self.transport.write(BAD_REQUEST.whole)
            self._loop.call_later(LINGERING, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._name is not None:
            self._listener.let_go(self._name)
            self._name = None
        super().connection_lost(exc)

    def handle_error(
        self,
        request: BaseRequest,  # noqa: ARG002  # aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> StreamResponse:
        """No answer or log line of aiohttp's own: they quote the request, secret headers too (V-55)."""
        self._listener.observe("bad_request" if status == _BAD else "internal_error")
        answer: Answer = BAD_REQUEST if status == _BAD else UNAVAILABLE
        return cast("StreamResponse", Reply(answer, keep_alive=False))


def _peer(transport: asyncio.BaseTransport) -> str:
    """Nothing where the sender was gone before it was let in."""
    name = transport.get_extra_info("peername")
    return str(name[0]) if name else ""


def silent() -> logging.Logger:
    """What aiohttp would say of a connection may quote the request; what matters is counted."""
    logger = logging.getLogger("paymux.http.connections")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


_SILENT: Final = silent()
