"""Where the Writer runs: in a thread, or in a process of its own, which leaves the whole core to the webhooks."""

from __future__ import annotations

import asyncio
import marshal
import os
import socket
import sqlite3
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, cast

from paymux.errors import JournalUnavailable, JournalUnusable
from paymux.journal.sqlite import writer
from paymux.journal.sqlite.writer import ANSWER, CHECKPOINT, COMMIT, END, ORDER, SCRUB, SHRINK, Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from paymux.journal.sqlite.writer import Batch

END_SECONDS: Final = 5.0  # for a last batch and the checkpoint after it
SEND_BUFFER: Final = 1_048_576

_ERRORS: Final = {kind.__name__: kind for kind in (JournalUnavailable, JournalUnusable)}


class Writing(Protocol):
    """One batch at a time; `commit` and `scrub` are Writer's, awaited."""

    async def commit(self, batch: Batch) -> None: ...

    async def scrub(self) -> None: ...

    def checkpoint_soon(self) -> None: ...

    def shrink_soon(self) -> None: ...

    async def settled(self) -> None:
        """Return when nothing is under way: a commit whose caller was cancelled goes on."""
        ...

    async def close(self) -> None: ...


class WriterThread:
    """For one process alone: the interpreter's lock changes hands for every row, so it is slower by half."""

    def __init__(self, path: Path, lock: int) -> None:
        del lock
        self._writer = Writer(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")

    async def commit(self, batch: Batch) -> None:
        await self._do(lambda: self._writer.commit(batch))

    async def scrub(self) -> None:
        await self._do(self._writer.scrub)

    def checkpoint_soon(self) -> None:
        self._thread.submit(self._writer.checkpoint)

    def shrink_soon(self) -> None:
        self._thread.submit(self._writer.shrink)

    async def settled(self) -> None:
        await self._do(lambda: None)

    async def close(self) -> None:
        await self._do(self._writer.close)
        self._thread.shutdown(wait=True)

    async def _do(self, call: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, call)


class WriterProcess:
    """A child that dies leaves the batch under way unknown; the next one starts another.

    It holds the journal's lock as well: after a crash of its parent nobody else writes before it has ended.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self._path = path
        self._lock = lock
        self._child: _Child | None = None

    async def commit(self, batch: Batch) -> None:
        rows = marshal.dumps(batch)
        await (await self._living()).ask(COMMIT, rows)

    async def scrub(self) -> None:
        await (await self._living()).ask(SCRUB)

    def checkpoint_soon(self) -> None:
        if self._child is not None:
            self._child.tell(CHECKPOINT)

    def shrink_soon(self) -> None:
        if self._child is not None:
            self._child.tell(SHRINK)

    async def settled(self) -> None:
        if self._child is not None:
            await self._child.quiet()

    async def close(self) -> None:
        if self._child is not None:
            await self._child.end()

    async def _living(self) -> _Child:
        if self._child is None or self._child.ended:
            self._child = await _Child.start(self._path, self._lock)
        return self._child


class _Child(asyncio.Protocol):
    """One life of the process: frames go out, answers come in the same order."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._transport: asyncio.WriteTransport | None = None
        self._received = bytearray()
        self._asked: deque[asyncio.Future[None]] = deque()
        self.ended = False

    @classmethod
    async def start(cls, path: Path, lock: int) -> _Child:
        """Raises JournalUnavailable where no process can be started."""
        ours, theirs = socket.socketpair()
        with suppress(OSError):  # a batch goes out in one piece, where the system lets it
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        try:
            process = await asyncio.create_subprocess_exec(
                # Run as a file: as a module it would import the whole package.
                *(sys.executable, "-P", writer.__file__, str(path)),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=(lock,),
                env={name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "LD_", "LC_"))},
            )
        except OSError as error:
            ours.close()
            raise JournalUnavailable(f"the journal's writer cannot be started: {error}") from error
        finally:
            theirs.close()
        ours.setblocking(False)  # noqa: FBT003  # its only parameter
        _, child = await asyncio.get_running_loop().create_connection(lambda: cls(process), sock=ours)
        return child

    async def ask(self, what: bytes, rows: bytes = b"") -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        self.tell(what, rows)
        await asyncio.wait((answer,))  # a caller that is cancelled leaves it in its place
        answer.result()

    def tell(self, what: bytes, rows: bytes = b"") -> None:
        if self._transport is not None:
            self._transport.writelines((ORDER.pack(what, len(rows)), rows))

    async def quiet(self) -> None:
        if self._asked:
            await asyncio.wait(self._asked)

    async def end(self) -> None:
        """Let it do what it was told and close the file; a child that hangs is killed."""
        self.tell(END)
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        if self._transport is not None:
            self._transport.close()

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= ANSWER.size:
            end = ANSWER.size + ANSWER.unpack_from(self._received)[0]
            if len(self._received) < end:
                return
            answer, self._received = self._received[ANSWER.size : end], self._received[end:]
            self._answered(answer.decode())

    def connection_lost(self, _: Exception | None) -> None:
        self.ended = True
        while self._asked:
            self._answer(JournalUnavailable("the journal's writer ended before it said that it had committed"))

    def _answered(self, error: str) -> None:
        name, _, words = error.partition(":")
        self._answer(_ERRORS.get(name, sqlite3.DatabaseError)(words) if error else None)

    def _answer(self, error: Exception | None) -> None:
        asked = self._asked.popleft()
        if error is None:
            asked.set_result(None)
        else:
            asked.set_exception(error)
            asked.exception()  # its caller may be gone
