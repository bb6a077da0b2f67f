"""The writing connection: rows on the event loop, COMMIT in a thread."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from paymux import lifecycle
from paymux.errors import JournalUnavailable, JournalUnusable
from paymux.journal.changes import Seen
from paymux.journal.sqlite.rows import LOOKUP_COLUMNS, lookup_row, micro, statements
from paymux.journal.sqlite.schema import APPLICATION_ID, MIGRATIONS, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from paymux.delivery import ObjectRef
    from paymux.journal import LookupRow, Rejection
    from paymux.journal.changes import Changes, Scope
    from paymux.lifecycle import Known

RING: Final = 1000
LOCK_PATIENCE: Final = 2.0  # seconds
_FULL: Final = 2


class _SqliteView:
    """Reads of the writing connection: they see what the open transaction wrote, too."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def seen(self, scope: Scope, dedupe_key: str) -> Seen | None:
        row = self._one(
            "SELECT i.delivery, i.fingerprint, d.sha256 FROM items i JOIN deliveries d ON d.row = i.delivery "
            "WHERE i.provider = ? AND i.account = ? AND i.dedupe_key = ?",
            (*scope, dedupe_key),
        )
        return Seen(delivery=row[0], fingerprint=row[1], sha256=row[2]) if row else None

    def known(self, key: str) -> Known | None:
        row = self._one("SELECT known FROM payments WHERE key = ?", (key,))
        return lifecycle.load(row[0]) if row else None

    def link(self, scope: Scope, alias: str) -> str | None:
        row = self._one(
            "SELECT payment_id FROM links WHERE provider = ? AND account = ? AND alias = ?", (*scope, alias)
        )
        return row[0] if row else None

    def orphans(self, scope: Scope, alias: str) -> Iterable[str]:
        rows = self._store.connection.execute(
            "SELECT key FROM orphans WHERE provider = ? AND account = ? AND alias = ?", (*scope, alias)
        )
        return [row[0] for row in rows]

    def lookup(self, scope: Scope, ref: ObjectRef) -> LookupRow | None:
        row = self._one(
            f"SELECT {LOOKUP_COLUMNS} FROM lookups WHERE provider = ? AND account = ? AND object = ? AND object_id = ?",
            (*scope, ref.object, ref.id),
        )
        return lookup_row(row) if row else None

    def _one(self, sql: str, arguments: tuple[Any, ...]) -> Any:
        return self._store.connection.execute(sql, arguments).fetchone()


class SqliteStore:
    """The writing connection. After an input/output error it is thrown away and opened anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.view = _SqliteView(self)
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._checkpointing: asyncio.Future[None] | None = None
        self.marks: dict[int, int] = {}
        self.rejections: deque[tuple[int, Rejection]] = deque(maxlen=RING)

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._connection = connect(self.path)
            except sqlite3.Error as error:
                raise JournalUnavailable(f"the journal {self.path} cannot be opened: {error}") from error
        return self._connection

    async def begin(self) -> None:
        """Another process may hold the lock for a moment: wait without stopping the event loop."""
        if self._checkpointing is not None:
            await self._checkpointing
            self._checkpointing = None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOCK_PATIENCE
        while True:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or loop.time() > deadline:
                    self._forget()
                    raise JournalUnavailable(f"the journal cannot be written: {error}") from error
                await asyncio.sleep(0.01)
            except sqlite3.Error as error:
                self._forget()
                raise JournalUnavailable(f"the journal cannot be written: {error}") from error
            else:
                return

    def write(self, changes: Changes) -> None:
        try:
            for sql, rows in statements(changes):
                if rows:
                    self.connection.executemany(sql, rows)
            self._write_lazily()
        except sqlite3.OperationalError as error:
            raise JournalUnavailable(f"the journal cannot be written: {error}") from error

    async def commit(self) -> None:
        try:
            await self._in_thread(self.connection.commit)
        except sqlite3.Error as error:
            raise JournalUnavailable(f"the journal cannot commit: {error}") from error

    async def rollback(self) -> None:
        """Whatever went wrong, the next batch starts on a connection without a transaction."""
        if self._connection is None:
            return
        try:
            await self._in_thread(self._connection.rollback)
        except sqlite3.Error:
            self._forget()
        else:
            if self._connection is not None and self._connection.in_transaction:
                self._forget()

    def checkpoint_soon(self) -> None:
        """Move the WAL's pages into the file, as far as readers allow, between this batch and the next."""
        self._checkpointing = asyncio.get_running_loop().run_in_executor(self._thread, self._checkpoint)

    async def close(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                await self._in_thread(self._close)
        self._thread.shutdown(wait=True)

    def _checkpoint(self) -> None:
        with suppress(sqlite3.Error):
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _close(self) -> None:
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.connection.close()
        self._connection = None

    def _write_lazily(self) -> None:
        """What needs no commit of its own goes along with the next one."""
        connection = self.connection
        if self.marks:
            connection.executemany(
                "INSERT INTO marks VALUES (?, ?) ON CONFLICT (shard) DO UPDATE SET seq = max(seq, excluded.seq)",
                self.marks.items(),
            )
            self.marks = {}
        if self.rejections:
            connection.executemany(
                "INSERT OR REPLACE INTO rejections VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (slot % RING, micro(r.at), r.provider, r.account, r.reason, r.address, r.size, r.sha256)
                    for slot, r in self.rejections
                ],
            )
            self.rejections.clear()

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _forget(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def connect(path: Path) -> sqlite3.Connection:
    """The writing connection, with its durability read back."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0, cached_statements=64)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # checkpoints run on their own, off the acknowledgements
    connection.execute("PRAGMA cache_size = -65536")
    connection.execute("PRAGMA secure_delete = ON")
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal" or connection.execute("PRAGMA synchronous").fetchone()[0] != _FULL:
        connection.close()
        raise JournalUnusable(f"{path} cannot keep WAL with synchronous FULL (is it on a network file system?)")
    return connection


def prepare(path: Path) -> None:
    """Create the tables or migrate them forward, in one transaction under the write lock."""
    connection = connect(path)
    try:
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        _check_owner(connection, path, version)
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('identity', ?)", (str(uuid4()),))
        connection.execute("COMMIT")
    finally:
        connection.close()


def _check_owner(connection: sqlite3.Connection, path: Path, version: int) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if tables and application != APPLICATION_ID:
        raise JournalUnusable(f"{path} is a SQLite file, but not a paymux journal; name another file in [journal] url")
    if version > VERSION:
        raise JournalUnusable(
            f"{path} was written by a newer paymux (schema {version}, this one knows {VERSION}); install that version"
        )
