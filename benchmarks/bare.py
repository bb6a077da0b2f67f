"""The yardstick of ingest: an aiohttp handler that verifies the same HMAC, answers, and does nothing else."""

from __future__ import annotations

import asyncio
import hmac
import json
from typing import Final

import uvloop
from aiohttp import web

from benchmarks.traffic import PATH, SECRET

_KEY: Final = SECRET.encode()


async def handle(request: web.Request) -> web.Response:
    body = await request.read()
    time, _, given = request.headers["Stripe-Signature"].partition(",v1=")
    expected = hmac.digest(_KEY, time[2:].encode() + b"." + body, "sha256").hex()
    if not hmac.compare_digest(expected, given):
        return web.Response(status=401)
    return web.Response(body=b'{"received":true}', content_type="application/json")


async def serve() -> None:
    application = web.Application()
    application.add_routes([web.post(PATH, handle)])
    runner = web.AppRunner(application, access_log=None, handle_signals=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(json.dumps({"event": "ready", "listen": "{}:{}".format(*runner.addresses[0])}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
