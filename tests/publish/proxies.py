"""A TCP proxy that knows where a Kafka request begins, and can break the connection at a named step."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from enum import Enum
from typing import Self

from paymux.publish.memory import Fault

# https://kafka.apache.org/protocol#protocol_api_keys
API_KEY = {Fault.START: 22, Fault.PRODUCE: 0, Fault.COMMIT: 26, Fault.COMMITTED: 26}
ADD_PARTITIONS = 24
TOPIC_AUTHORIZATION_FAILED = 29


class Mode(Enum):
    OPEN = "open"
    CUT = "cut"  # every connection is closed, and every new one too
    SILENT = "silent"  # accepts, and never answers


class Proxy:
    def __init__(self, *, port: int, target: int) -> None:
        self._port = port
        self._target = target
        self._fault: Fault | None = None
        self._mode = Mode.OPEN
        self.denies = False  # any partition to a transaction
        self.asked: list[int] = []  # API keys of all requests
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def break_at(self, fault: Fault) -> None:
        """Cut everything at that step of the next transaction, and stay cut until `heal`."""
        self._fault = fault

    def cut(self) -> None:
        self._mode = Mode.CUT
        for writer in self._writers:
            writer.close()

    def silence(self) -> None:
        self._mode = Mode.SILENT

    def heal(self) -> None:
        self._fault = None
        self._mode = Mode.OPEN

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._mode is Mode.CUT:
            writer.close()
            return
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(upstream)
            awaited: set[int] = set()
            denied: set[int] = set()
            await asyncio.gather(
                self._requests(reader, upstream, awaited, denied),
                self._answers(upstream_reader, writer, awaited, denied),
            )
        for each in (writer, locals().get("upstream")):
            if each is not None:
                each.close()
                self._writers.discard(each)

    async def _requests(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, awaited: set[int], denied: set[int]
    ) -> None:
        while True:
            frame = await _frame(reader)
            api_key, _, correlation = struct.unpack_from(">hhi", frame)
            self.asked.append(api_key)
            if self.denies and api_key == ADD_PARTITIONS:
                denied.add(correlation)
            if self._fault is not None and API_KEY[self._fault] == api_key:
                if self._fault is not Fault.COMMITTED:
                    self.cut()
                    return
                awaited.add(correlation)
            if self._mode is Mode.OPEN:
                upstream.write(struct.pack(">i", len(frame)) + frame)

    async def _answers(
        self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, awaited: set[int], denied: set[int]
    ) -> None:
        while True:
            frame = await _frame(upstream)
            (correlation,) = struct.unpack_from(">i", frame)
            if correlation in awaited and frame[8:10] == b"\0\0":  # done, not "coordinator loading" or the like
                self.cut()
                return
            if correlation in denied:
                frame = _denied(frame)
            if self._mode is Mode.OPEN:
                writer.write(struct.pack(">i", len(frame)) + frame)


def _denied(frame: bytes) -> bytes:
    """After correlation, throttle time and the length of the topics: a name, the length of its partitions, one of them,
    its error code.
    """
    (name,) = struct.unpack_from(">h", frame, 12)
    code = 14 + name + 4 + 4
    return frame[:code] + struct.pack(">h", TOPIC_AUTHORIZATION_FAILED) + frame[code + 2 :]


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)
