"""The outbox over a read-only connection: for the relay, also from a process of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from paymux.errors import JournalUnavailable
from paymux.journal.sqlite.rows import outbox_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from paymux.journal import OutboxRow

READ_BYTES: Final = 1_048_576
PATIENCE: Final = 2.0  # seconds


class SqliteOutbox:
    """The Outbox protocol; `advance` is only remembered here."""

    def __init__(self, path: Path, *, poll: float = 0.05) -> None:
        self._path = path
        self._poll = poll
        self._connection: sqlite3.Connection | None = None
        self._identity: str | None = None
        self._marked: dict[int, int] = {}
        self._let_go = False
        self._one_at_a_time = Lock()  # `identity` asks on the event loop, all else in the thread
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")

    @property
    def identity(self) -> str:
        if self._identity is None:
            self._identity = self._query("SELECT value FROM meta WHERE name = 'identity'")[0][0]
        return self._identity

    async def mark(self, shard: int) -> int:
        rows = await self._read("SELECT seq FROM marks WHERE shard = ?", (shard,))
        return max(rows[0][0] if rows else 0, self._marked.get(shard, 0))

    async def advance(self, shard: int, seq: int) -> None:
        """Remembered here only; whoever owns the writing connection stores it."""
        self._marked[shard] = max(seq, self._marked.get(shard, 0))

    async def end(self, shard: int) -> int:
        del shard
        rows = await self._read("SELECT max(seq) FROM outbox")
        return rows[0][0] or 0

    async def read(self, shard: int, after: int, limit: int) -> Sequence[OutboxRow]:
        rows = await self._read(
            "SELECT seq, chain, event_id, created_at, topic, key, headers, value "
            "FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
            _up_to_size,
        )
        return [outbox_row(shard, row) for row in rows]

    async def chain(self, shard: int, seq: int) -> str | None:
        del shard
        rows = await self._read("SELECT chain FROM outbox WHERE seq = ?", (seq,))
        return rows[0][0] if rows else None

    async def wait(self, shard: int, after: int, timeout: float) -> None:  # noqa: ASYNC109  # a poll
        deadline = asyncio.get_running_loop().time() + timeout
        while await self.end(shard) <= after and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  # another process appends
            await asyncio.sleep(min(self._poll, timeout))

    async def close(self) -> None:
        """Let go of the file."""
        if not self._let_go:
            self._let_go = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._forget)
            self._thread.shutdown(wait=True)

    async def _read(
        self, sql: str, arguments: tuple[Any, ...] = (), take: Callable[[Iterable[Any]], list[Any]] = list
    ) -> list[Any]:
        if self._let_go:
            raise JournalUnavailable(f"the journal {self._path} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._query, sql, arguments, take)

    def _query(
        self, sql: str, arguments: tuple[Any, ...] = (), take: Callable[[Iterable[Any]], list[Any]] = list
    ) -> list[Any]:
        with self._one_at_a_time:
            try:
                if self._connection is None:
                    self._connection = open_to_read(self._path)
                return take(self._connection.execute(sql, arguments))
            except sqlite3.Error as error:
                self._forget()
                raise JournalUnavailable(f"the journal {self._path} cannot be read: {error}") from error

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _up_to_size(rows: Iterable[Any]) -> list[Any]:
    """The first rows, until their values are as large as a transaction may be."""
    taken, size = [], 0
    for row in rows:
        taken.append(row)
        size += len(row[-1])
        if size >= READ_BYTES:
            break
    return taken


def open_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=PATIENCE,
    )
