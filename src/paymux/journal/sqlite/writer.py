"""The one writing connection. It blocks, so it runs in a thread or, as this file's program, in a process of its own.

The process reads orders on stdin, a socket: batches as `marshal` has them. Each batch is answered there, by the error
or by nothing. It ends when its parent does, after the batch under way.
"""

from __future__ import annotations

import gc
import marshal
import os
import signal
import socket
import sqlite3
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from paymux.errors import JournalUnavailable, JournalUnusable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from io import BufferedRWPair

# Statements and the rows of each.
Batch = list[tuple[str, "Sequence[tuple[Any, ...]]"]]

LOCK_PATIENCE: Final = 2.0  # seconds
PRAGMAS: Final = (
    "auto_vacuum = INCREMENTAL",  # only before the first table
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 0",  # checkpoints run on their own, off the acknowledgements
    "journal_size_limit = 67108864",  # a WAL that a slow reader made large shrinks again
    "cache_size = -65536",
    "secure_delete = ON",
)
ORDER: Final = struct.Struct("!cI")  # what to do, and the length of what follows
COMMIT, CHECKPOINT, SHRINK, SCRUB, END = b"c", b"p", b"s", b"w", b"e"
ANSWER: Final = struct.Struct("!I")  # the length of what follows
SLACK: Final = 10  # one page in so many may be empty: new rows need it soon
SHRINK_PAGES: Final = 256  # at a time
_FULL: Final = 2
_PAGES: Final = ("freelist_count", "page_count")


class Writer:
    """After any error the connection is thrown away and opened anew: SQLite ends a transaction on its own after some,
    and a file whose sync failed is not to be synced again on the same handle.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def commit(self, batch: Batch) -> None:
        """Durable when it returns.

        Raises JournalUnavailable: whether it is stored is not known. Any other error blames the batch: nothing of it
        is stored.
        """
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            for sql, rows in batch:
                connection.executemany(sql, rows)
        except BaseException as error:
            self._discard()
            if isinstance(error, sqlite3.OperationalError):
                raise JournalUnavailable(f"the journal cannot be written: {error}") from error
            raise
        try:
            connection.execute("COMMIT")
        except BaseException as error:
            self._discard()
            raise JournalUnavailable(f"the journal cannot commit: {error}") from error

    def checkpoint(self) -> None:
        """Move the WAL's pages into the file, as far as readers allow."""
        try:
            if self._connection is not None:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error:
            self._discard()

    def scrub(self) -> None:
        """Leave nothing of old pages: the WAL goes into the file whole, and is emptied. What a row held is overwritten
        by SQLite itself (secure_delete).

        Raises JournalUnavailable where a reader keeps it from that.
        """
        try:
            ((busy, _, _),) = self._open().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            self._discard()
            raise JournalUnavailable(f"the journal's WAL cannot be emptied: {error}") from error
        if busy:
            raise JournalUnavailable("the journal's WAL cannot be emptied while another program reads the journal")

    def shrink(self) -> None:
        """Give a few pages back to the file system, where many are empty."""
        try:
            connection = self._open()
            (empty,), (pages,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in _PAGES)
            if empty > pages // SLACK:
                connection.executescript(f"PRAGMA incremental_vacuum({SHRINK_PAGES})")  # execute() would take one page
        except sqlite3.Error:
            self._discard()

    def close(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._discard()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._path)
        return self._connection

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            discard(connection)


def connect(path: Path) -> sqlite3.Connection:
    """A writing connection, with its durability read back."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=LOCK_PATIENCE, cached_statements=64
    )
    try:
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        _check_durable(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def discard(connection: sqlite3.Connection) -> None:
    """The lock first: SQLite keeps a closed connection, and its transaction, while a cursor of it lives."""
    with suppress(sqlite3.Error):
        connection.rollback()
    with suppress(sqlite3.Error):
        connection.close()


def _check_durable(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal" or connection.execute("PRAGMA synchronous").fetchone()[0] != _FULL:
        raise JournalUnusable(f"{path} cannot keep WAL with synchronous FULL (is it on a network file system?)")


def serve(writer: Writer, stream: BufferedRWPair) -> None:
    """Obey until the end, or until the parent is gone: then the file stays as it is, and is free at once."""
    while (order := _read(stream)) is not None:
        what, batch = order
        if what in _ANSWERED:
            answer = _answer(_ANSWERED[what], writer, batch)
            stream.write(ANSWER.pack(len(answer)) + answer)
            stream.flush()
        elif what == CHECKPOINT:
            writer.checkpoint()
        elif what == SHRINK:
            writer.shrink()
        else:
            writer.close()
            return


# Of these the parent awaits how they went.
_ANSWERED: Final[dict[bytes, Callable[[Writer, bytes], None]]] = {
    COMMIT: lambda writer, batch: writer.commit(marshal.loads(batch)),  # noqa: S302  # from the process that started this one
    SCRUB: lambda writer, _: writer.scrub(),
}


def _answer(work: Callable[[Writer, bytes], None], writer: Writer, batch: bytes) -> bytes:
    try:
        work(writer, batch)
    except Exception as error:  # noqa: BLE001  # its parent decides
        return f"{type(error).__name__}:{error}".encode(errors="backslashreplace")
    return b""


def _read(stream: BufferedRWPair) -> tuple[bytes, bytes] | None:
    """A whole order; None where the parent is gone, whatever it had begun to say."""
    head = stream.read(ORDER.size)
    if len(head) < ORDER.size:
        return None
    what, length = ORDER.unpack(head)
    rest = stream.read(length)
    return (what, rest) if len(rest) == length else None


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal sends them to everyone: the parent says when
    gc.disable()
    channel = socket.socket(fileno=sys.stdin.fileno())
    with suppress(ConnectionError):
        serve(Writer(Path(sys.argv[1])), channel.makefile("rwb"))
    os._exit(0)  # no connection is closed on the way, which would checkpoint first


if __name__ == "__main__":
    main()
