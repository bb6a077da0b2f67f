"""The body of an answer to a request of ours: whole, in however many pieces it comes, and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp


async def whole(response: aiohttp.ClientResponse, largest: int) -> bytes | None:
    """Unpacked if it came packed although asked not to; None beyond `largest` bytes. The session bounds the time."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > largest:
            response.close()
            return None
    return bytes(body)
