"""A read-only connection in a thread of its own: however long a question takes, the line goes on."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from paymux.errors import JournalUnavailable
from paymux.journal.history import came_at
from paymux.journal.sqlite.outbox import open_to_read
from paymux.journal.sqlite.rows import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from paymux.journal.history import Sought

    # SQL and its arguments -> rows.
    Query = Callable[..., Sequence[Any]]

T = TypeVar("T")

# What is sought -> a condition on the items of a delivery.
_CONDITIONS: Final = {
    "provider": "provider = ?",
    "account": "account = ?",
    "outcome": "outcome = ?",
    "reason": "reason = ?",
    "event_type": "event_type = ?",
    "payment": "delivery IN (SELECT delivery FROM touched WHERE key = ?)",
}


class Reader:
    """Questions are functions that call `query`; `ask` runs them in the thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")

    async def ask(self, question: Callable[[], T]) -> T:
        """Raises JournalUnavailable."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, question)
        except sqlite3.Error as error:
            raise JournalUnavailable(f"the journal {self._path} cannot be read: {error}") from error

    def query(self, sql: str, arguments: Sequence[Any] | dict[str, Any] = ()) -> list[Any]:
        if self._connection is None:
            self._connection = open_to_read(self._path)
        return self._connection.execute(sql, arguments).fetchall()

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._forget)
        self._thread.shutdown(wait=True)

    # --- questions that several ask

    def bounds(self, sought: Sought) -> tuple[int, int]:
        return bounds(self.query, sought)

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def first_at(query: Query, at: datetime, low: int, high: int) -> int:
    """The first row that came at that time or later: rows are in order of arrival."""
    while low < high:
        middle = (low + high) // 2
        ((name, via, received),) = query("SELECT id, via, received_at FROM deliveries WHERE row = ?", (middle,))
        came = came_at(name, via, moment(received) or at)
        low, high = (middle + 1, high) if came < at else (low, middle)
    return low


def bounds(query: Query, sought: Sought) -> tuple[int, int]:
    """The first row that may be sought, and the one after the last."""
    # Each alone is a look at the index; both in one would be a look at every row.
    ((first, last),) = query("SELECT (SELECT min(row) FROM deliveries), (SELECT max(row) FROM deliveries)")
    if first is None:
        return 0, 0
    begin = first if sought.since is None else first_at(query, sought.since, first, last + 1)
    end = last + 1 if sought.until is None else first_at(query, sought.until, first, last + 1)
    return begin, end


def conditions(sought: Sought) -> tuple[list[str], list[Any]]:
    """On items, with their arguments."""
    given = [(_CONDITIONS[name], value) for name in _CONDITIONS if (value := getattr(sought, name)) is not None]
    return [condition for condition, _ in given], [value for _, value in given]
