"""The public listener's connections: bounded in number, silent about what they could not read.

Below the webhooks is aiohttp's low-level server: no router, no middleware, no access log, which together take as long
as a delivery's journal entry.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import web

from paymux.http.answers import BAD_REQUEST, BUSY, UNAVAILABLE, Answer, Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.web import BaseRequest, StreamResponse

LARGEST_LINE: Final = 8190
MOST_HEADERS: Final = 100
LINGERING: Final = 2.0  # seconds that the rest of a refused request is read and dropped, so that its sender sees why

_BAD: Final = 400


class Listener(web.Server):
    """`observe` is told of bad_request, refused_connection and internal_error."""

    def __init__(
        self,
        handler: Callable[[BaseRequest], Awaitable[Reply]],
        *,
        max_connections: int,
        keepalive_timeout: float,
        observe: Callable[[str], None],
    ) -> None:
        super().__init__(cast("Callable[[BaseRequest], Awaitable[StreamResponse]]", handler))
        self.max_connections = max_connections
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

    @property
    def is_full(self) -> bool:
        return len(self.connections) >= self.max_connections


class Connection(web.RequestHandler):
    __slots__ = ("_listener",)

    def __init__(self, listener: Listener, **options: Any) -> None:
        super().__init__(listener, **options)
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._listener.is_full:
            self._listener.observe("refused_connection")
            cast("asyncio.Transport", transport).write(BUSY.whole)
            self.force_close()
            transport.close()
            return
        super().connection_made(transport)

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


def silent() -> logging.Logger:
    """What aiohttp would say of a connection may quote the request; what matters is counted."""
    logger = logging.getLogger("paymux.http.connections")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


_SILENT: Final = silent()
