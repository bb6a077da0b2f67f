"""New deliveries as they are committed, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from paymux.errors import JournalUnavailable
from paymux.explain import dump
from paymux.explain.deliveries import facts
from paymux.http.api.fields import CURSOR, Wanted, cursor_of, row_of, sought
from paymux.http.api.problems import NEVER_STORED, Mistake, Problem
from paymux.http.api.routes import Call, Route
from paymux.http.inside import Inside
from paymux.journal.history import Sought, StoredDelivery
from paymux.settings.tokens import Role

MEDIA: Final = "text/event-stream"
SEEN: Final = "Last-Event-ID"
MOST_LISTENERS: Final = 16
MOST_AT_ONCE: Final = 100
POLL_SECONDS: Final = 0.25
HEARTBEAT_SECONDS: Final = 15.0
PATIENCE_SECONDS: Final = 10.0  # with a listener that does not read


@dataclass(slots=True)
class Listeners:
    """Those who follow now; `ended` is set when the server ends."""

    count: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def one_more(self) -> AsyncIterator[None]:
        if self.count >= MOST_LISTENERS:
            raise Problem("too_many_listeners", f"{MOST_LISTENERS} do, which is the most")
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    async def pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self.ended.wait()


LISTENERS: Final = web.AppKey("listeners", Listeners)


async def end(app: web.Application) -> None:
    app[LISTENERS].ended.set()


@dataclass(slots=True, kw_only=True)
class _News:
    """What came after `row`, as far as it is wanted; asking moves it on."""

    inside: Inside
    wanted: Sought
    row: int

    async def __call__(self) -> Sequence[StoredDelivery]:
        """Oldest first."""
        _, end = await self.inside.archive.bounds(Sought())
        if end <= self.row + 1:
            return ()
        found = await self.inside.archive.rows(self.wanted, after=self.row, end=end, limit=MOST_AT_ONCE)
        self.row = max(self.row, found.reached)
        if not found.rows:
            return ()
        page = await self.inside.history.deliveries(self.wanted, limit=len(found.rows), before=found.rows[-1] + 1)
        return page.deliveries[::-1]


@dataclass(slots=True, kw_only=True)
class _Stream:
    """What is written to one listener. Raises ConnectionError and TimeoutError once that is gone."""

    response: web.StreamResponse
    request: web.Request
    quiet: float = 0.0

    async def write(self, told: bytes) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.response.write(told)
        self.quiet = 0.0

    async def beat(self) -> None:
        """After a pause: a comment now and then, so that no proxy takes the connection for dead."""
        if self.request.transport is None or self.request.transport.is_closing():
            raise ConnectionResetError
        self.quiet += POLL_SECONDS
        if self.quiet >= HEARTBEAT_SECONDS:
            await self.write(b": nothing new\n\n")


async def _tail(call: Call[Wanted, None]) -> web.StreamResponse:
    listeners = call.request.app[LISTENERS]
    async with listeners.one_more():
        news = _News(inside=call.inside, wanted=sought(call.query), row=await _start(call))
        headers = {**NEVER_STORED, "Content-Type": MEDIA, "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(call.request)
        with suppress(ConnectionError, TimeoutError, JournalUnavailable):  # the client comes again, and goes on
            await _follow(news, _Stream(response=response, request=call.request), listeners)
    return response


async def _follow(news: _News, stream: _Stream, listeners: Listeners) -> None:
    await stream.write(b"retry: 2000\n\n")
    while not listeners.ended.is_set():
        found = await news()
        for delivery in found:
            await stream.write(_event(delivery))
        if not found:
            await listeners.pause()
            await stream.beat()


def _event(delivery: StoredDelivery) -> bytes:
    return b"id: %b\nevent: delivery\ndata: %b\n\n" % (cursor_of(delivery.row).encode(), dump(facts(delivery)))


async def _start(call: Call[Wanted, None]) -> int:
    """The row after which to tell: what the client saw last, or all that is there now."""
    _, end = await call.inside.archive.bounds(Sought())
    last = max(end - 1, 0)
    seen = call.request.headers.get(SEEN, "")
    if seen and not re.fullmatch(CURSOR, seen):
        detail = "should be the id of an event of this stream"
        raise Problem("bad_request", f"{SEEN}: {detail}", errors=(Mistake(place="header", name=SEEN, detail=detail),))
    # After a restore there may be fewer than were seen.
    return min(row_of(seen) or 0, last) if seen else last


ROUTES: Final = (
    Route(
        method="GET",
        path="tail",
        role=Role.VIEWER,
        name="followDeliveries",
        summary="New deliveries as they are committed: server-sent events `delivery`, whose data is as in the list. "
        f"Ends with the server; `{SEEN}` goes on after the event of that id.",
        call=_tail,
        query=Wanted,
        answers={200: None},
        media=MEDIA,
        headers=(SEEN,),
        problems=("impossible", "too_many_listeners"),
    ),
)
