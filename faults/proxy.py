"""A TCP proxy before Kafka that is slow, silent, cut or torn as it is told, and can put an error into an answer.

It knows where a request and its answer begin, and nothing else of the protocol but where the error code stands.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self


class Api(IntEnum):
    """https://kafka.apache.org/protocol#protocol_api_keys"""

    PRODUCE = 0
    INIT = 22
    ADD_PARTITIONS = 24
    END_TRANSACTION = 26


@dataclass(slots=True, kw_only=True)
class Proxy:
    """`delay` in seconds comes before each answer. `budget` is how many bytes may still pass to a client before
    everything is cut. `errors` are codes to answer with, each once, in place of what the broker says.
    """

    port: int
    target: int
    delay: float = 0.0
    budget: int | None = None
    errors: dict[Api, list[int]] = field(default_factory=dict)
    _heard: asyncio.Event = field(default_factory=asyncio.Event)
    _refuses: bool = False
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._heard.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what it is told

    def swallow(self) -> None:
        """Nothing passes; what came meanwhile passes once it heals, however late."""
        self._heard.clear()

    def refuse(self) -> None:
        """Every connection is reset, and every new one."""
        self._refuses = True
        self.reset()

    def reset(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    def heal(self) -> None:
        self.delay, self.budget, self._refuses = 0.0, None, False
        self.errors.clear()
        self._heard.set()

    # --- what it does

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._refuses:
            writer.transport.abort()
            return
        try:
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, upstream}
        asked: dict[int, int] = {}
        with suppress(asyncio.CancelledError):
            await asyncio.gather(self._requests(reader, upstream, asked), self._answers(upstream_reader, writer, asked))
        for each in (writer, upstream):
            each.close()
            self._writers.discard(each)

    async def _requests(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, asked: dict[int, int]
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await _frame(reader)
                api, _, correlation = struct.unpack_from(">hhi", frame)
                asked[correlation] = api
                await self._heard.wait()
                upstream.write(_framed(frame))
        upstream.close()

    async def _answers(
        self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict[int, int]
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await _frame(upstream)
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._heard.wait()
                (correlation,) = struct.unpack_from(">i", frame)
                self._pass(writer, _framed(self._rewritten(asked.pop(correlation, -1), frame)))
        writer.close()

    def _pass(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if self.budget is None:
            writer.write(data)
            return
        writer.write(data[: self.budget])
        self.budget -= len(data)
        if self.budget <= 0:
            self.budget = None
            self.reset()

    def _rewritten(self, api: int, frame: bytes) -> bytes:
        if not self.errors.get(api):  # type: ignore[call-overload]  # any number is asked for
            return frame
        place = _ERROR[Api(api)](frame)
        return frame[:place] + struct.pack(">h", self.errors[Api(api)].pop(0)) + frame[place + 2 :]


def _after_throttle(_: bytes) -> int:
    return 8


def _of_first_partition(frame: bytes, topics: int) -> int:
    """`topics` is where their array begins: its length, a topic's name, the length of its partitions, a partition."""
    (length,) = struct.unpack_from(">h", frame, topics + 4)
    return topics + 4 + 2 + int(length) + 4 + 4


# Of the versions that aiokafka speaks; all begin alike.
_ERROR = {
    Api.PRODUCE: lambda frame: _of_first_partition(frame, 4),
    Api.INIT: _after_throttle,
    Api.ADD_PARTITIONS: lambda frame: _of_first_partition(frame, 8),
    Api.END_TRANSACTION: _after_throttle,
}


def _framed(frame: bytes) -> bytes:
    return struct.pack(">i", len(frame)) + frame


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)
