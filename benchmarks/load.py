"""The load: keep-alive connections that post signed events, one at a time each; in a process of its own.

It shares the machine with what it measures, so it is a bare protocol with ready-made requests: about a fifth of what
the cheapest server takes for them. A command is a line of JSON on stdin, its result a line on stdout.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import sys
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

import uvloop

from benchmarks.traffic import events

if TYPE_CHECKING:
    from collections.abc import Mapping

WARM_UP: Final = 0.2  # of a run: not counted
ANSWER_SECONDS: Final = 30.0
TICK: Final = 0.001  # seconds, the event loop's own grain

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """`due` is when its request was to go out."""

    __slots__ = ("_buffer", "_run", "due", "transport")

    transport: asyncio.Transport

    def __init__(self, run: Run) -> None:
        self._run = run
        self._buffer = b""
        self.due = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        status = _status(data)
        if status is None:
            self._buffer = data
            return
        self._buffer = b""
        self._run.answered(self, status)

    def connection_lost(self, _: Exception | None) -> None:
        self._run.lost()


class Run:
    """One run: what was sent, and how each was answered."""

    def __init__(self, requests: list[bytes], *, connections: int, seconds: float) -> None:
        self.requests = requests
        self.sent_at: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.seconds = seconds
        self.connections = connections
        self._loop = asyncio.get_running_loop()
        self._done = self._loop.create_future()
        self._outstanding = 0
        self._over = False
        self.began = self.ended = 0.0
        self._warm = (0.0, 0)

    @property
    def behind(self) -> int:
        """Requests that were due and never went out."""
        return 0

    async def go(self, port: int) -> None:
        opened = [
            (await self._loop.create_connection(lambda: Connection(self), "127.0.0.1", port))[1]
            for _ in range(self.connections)
        ]
        self.began = time.perf_counter()
        self._loop.call_later(self.seconds * WARM_UP, self._warmed)
        self._loop.call_later(self.seconds, self._finish)
        self.start(opened)
        async with asyncio.timeout(self.seconds + ANSWER_SECONDS):
            await self._done
        for connection in opened:
            connection.transport.abort()

    def start(self, connections: list[Connection]) -> None:
        """Every connection sends the next as soon as its last is answered."""
        for connection in connections:
            self.send(connection, time.perf_counter())

    def free(self, connection: Connection, now: float) -> None:
        self.send(connection, now)

    def send(self, connection: Connection, due: float) -> None:
        number = len(self.sent_at)
        if number == len(self.requests):
            self._finish()
        if self._over:
            return
        connection.due = due
        self.sent_at.append(due)
        self._outstanding += 1
        connection.transport.write(self.requests[number])

    def answered(self, connection: Connection, status: bytes) -> None:
        now = time.perf_counter()
        self.latencies.append(now - connection.due)
        self.statuses[status.decode()] += 1
        self._outstanding -= 1
        if self._over:
            self._end_if_all_came(now)
        else:
            self.free(connection, now)

    def lost(self) -> None:
        if not self._done.done():
            self.statuses["lost"] += 1
            self._outstanding -= 1
            self._over = True
            self._end_if_all_came(time.perf_counter())

    def result(self, cpu: float) -> dict[str, object]:
        since, before = self._warm
        counted = sorted(self.latencies[before:])
        return {
            "sent": len(self.sent_at),
            "statuses": dict(self.statuses),
            "exhausted": len(self.sent_at) == len(self.requests),
            "behind": self.behind,
            "rate": len(counted) / max(self.ended - since, 1e-9),
            "p50": _at(counted, 0.50) * 1000,
            "p99": _at(counted, 0.99) * 1000,
            "cpu_us": cpu / max(len(self.latencies), 1) * 1e6,
        }

    def _warmed(self) -> None:
        self._warm = (time.perf_counter(), len(self.latencies))

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            self._end_if_all_came(time.perf_counter())

    def _end_if_all_came(self, now: float) -> None:
        if self._outstanding <= 0 and not self._done.done():
            self.ended = now
            self._done.set_result(None)


class Paced(Run):
    """As many a second as `rate` says, whether the answers come or not: a request that has to wait for a connection
    is as late as it is.
    """

    def __init__(self, requests: list[bytes], *, connections: int, seconds: float, rate: float) -> None:
        super().__init__(requests, connections=connections, seconds=seconds)
        self._rate = rate
        self._idle: deque[Connection] = deque()
        self._due: deque[float] = deque()
        self._scheduled = 0

    @property
    def behind(self) -> int:
        return len(self._due)

    def start(self, connections: list[Connection]) -> None:
        self._idle.extend(connections)
        self._tick()

    def free(self, connection: Connection, now: float) -> None:  # noqa: ARG002  # the turn is the oldest due one's
        if self._due:
            self.send(connection, self._due.popleft())
        else:
            self._idle.append(connection)

    def _tick(self) -> None:
        if self._over:
            return
        now = time.perf_counter()
        while (due := self.began + self._scheduled / self._rate) <= now:
            self._scheduled += 1
            if self._idle:
                self.send(self._idle.popleft(), due)
            else:
                self._due.append(due)
        self._loop.call_later(TICK, self._tick)


def _status(data: bytes) -> bytes | None:
    """The status of a whole answer; None while some of it is missing."""
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        return None
    length = _LENGTH.search(head)
    if length is not None and len(body) < int(length[1]):
        return None
    return head[9:12]


def _at(values: list[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)] if values else float("nan")


async def obey(command: Mapping[str, Any], requests: list[bytes]) -> dict[str, object]:
    shape = {"connections": command["connections"], "seconds": command["seconds"]}
    rate = command.get("rate")
    run = Paced(requests, rate=rate, **shape) if rate else Run(requests, **shape)
    began = time.process_time()
    await run.go(command["port"])
    result = run.result(time.process_time() - began)
    return {**result, "sent_at": run.sent_at} if command.get("times") else result


def main() -> None:
    print(json.dumps({"event": "ready"}), flush=True)
    gc.disable()
    for line in sys.stdin:
        command = json.loads(line)
        requests = [event.request for event in events(command["first"], command["count"])]
        print(json.dumps(uvloop.run(obey(command, requests))), flush=True)


if __name__ == "__main__":
    main()
