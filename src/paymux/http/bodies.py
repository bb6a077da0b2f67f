"""The body of a request: the bytes as sent, once, bounded in size and time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

from paymux.http.answers import BAD_REQUEST, ENCODED, EXPECTATION_FAILED, OVERLOADED, TIMED_OUT, TOO_LARGE, Answer

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest

    from paymux.http.limits import Room

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


async def read(request: BaseRequest, *, limit: int, seconds: float, room: Room, address: str) -> bytes | Answer:
    """The body, or why not. What has not come whole takes `room` meanwhile, on the address's account.

    Raises ConnectionError where the sender went away before its end (V-35).
    """
    refusal = _refusal(request, limit)
    if refusal is not None:
        return refusal
    content = request.content
    if not content.is_eof():
        return await _gathered(request, limit, seconds, room, address)
    body = content.read_nowait()
    return body if len(body) <= limit else TOO_LARGE


def _refusal(request: BaseRequest, limit: int) -> Answer | None:
    """What the headers alone decide."""
    headers = request.headers
    if not HttpVersion10 <= request.version <= HttpVersion11:
        return BAD_REQUEST
    if hdrs.TRANSFER_ENCODING in headers and (
        request.version < HttpVersion11 or headers.getall(hdrs.TRANSFER_ENCODING) != ["chunked"]
    ):
        return BAD_REQUEST  # V-30: a proxy may read another combination in another way
    if hdrs.CONTENT_ENCODING in headers and any(
        value.strip().lower() not in ("", "identity") for value in headers.getall(hdrs.CONTENT_ENCODING)
    ):
        return ENCODED
    if (request.content_length or 0) > limit:
        return TOO_LARGE
    if hdrs.EXPECT in headers and {value.lower() for value in headers.getall(hdrs.EXPECT)} != {"100-continue"}:
        return EXPECTATION_FAILED
    return None


async def _gathered(request: BaseRequest, limit: int, seconds: float, room: Room, address: str) -> bytes | Answer:
    """A body that has not come whole yet."""
    if hdrs.EXPECT in request.headers and request.transport is not None:
        request.transport.write(_CONTINUE)
    try:
        async with asyncio.timeout(seconds):
            return await _counted(request, limit, room, address)
    except TimeoutError:
        return TIMED_OUT
    except web.RequestPayloadError:
        return BAD_REQUEST


async def _counted(request: BaseRequest, limit: int, room: Room, address: str) -> bytes | Answer:
    gathered = bytearray()
    try:
        while chunk := await request.content.readany():
            if not room.take(address, len(chunk)):
                return OVERLOADED
            gathered += chunk
            if len(gathered) > limit:
                return TOO_LARGE
        return bytes(gathered)
    finally:
        room.give_back(address, len(gathered))
