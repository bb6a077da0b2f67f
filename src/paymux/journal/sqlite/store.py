"""The writing connection: rows on the event loop, COMMIT in a thread."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import orjson

from paymux import lifecycle
from paymux.errors import JournalUnavailable, JournalUnusable
from paymux.journal.changes import Counters, Seen
from paymux.journal.sqlite.rows import LOOKUP_COLUMNS, lookup_row, micro, statements
from paymux.journal.sqlite.schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from paymux.delivery import ObjectRef
    from paymux.journal import LookupRow, Rejection
    from paymux.journal.changes import Changes, Needs, Scope
    from paymux.lifecycle import Known

RING: Final = 1000
LOCK_PATIENCE: Final = 2.0  # seconds
PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 0",  # checkpoints run on their own, off the acknowledgements
    "journal_size_limit = 67108864",  # a WAL that a slow reader made large shrinks again
    "cache_size = -65536",
    "secure_delete = ON",
)
_FULL: Final = 2


class _SqliteView:
    """Reads of the writing connection: they see what the open transaction wrote, too.

    What was foreseen is read once for a batch, one statement for each table: a tenth of the cost. None stands for what
    is not there.
    """

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._seen: dict[tuple[Scope, str], Seen | None] = {}
        self._known: dict[str, Known | None] = {}
        self._links: dict[tuple[Scope, str], str | None] = {}
        self._orphans: dict[tuple[Scope, str], list[str]] = {}

    def foresee(self, needs: Needs) -> None:
        """Forget the last batch, and read what the next one needs."""
        self._known = dict.fromkeys(needs.known)
        self._known |= self._read_known(needs.known)
        self._seen = {(scope, key): None for scope, keys in needs.seen.items() for key in keys}
        self._links = {(scope, alias): None for scope, aliases in needs.aliases.items() for alias in aliases}
        self._orphans = {name: [] for name in self._links}
        for scope, keys in needs.seen.items():
            self._seen |= {(scope, key): seen for key, seen in self._read_seen(scope, keys)}
        for scope, aliases in needs.aliases.items():
            self._links |= {(scope, alias): payment for alias, payment in self._read_links(scope, aliases)}
            for alias, key in self._read_orphans(scope, aliases):
                self._orphans[scope, alias].append(key)

    def seen(self, scope: Scope, dedupe_key: str) -> Seen | None:
        if (scope, dedupe_key) in self._seen:
            return self._seen[scope, dedupe_key]
        return dict(self._read_seen(scope, [dedupe_key])).get(dedupe_key)

    def known(self, key: str) -> Known | None:
        if key in self._known:
            return self._known[key]
        return self._read_known([key]).get(key)

    def link(self, scope: Scope, alias: str) -> str | None:
        if (scope, alias) in self._links:
            return self._links[scope, alias]
        return dict(self._read_links(scope, [alias])).get(alias)

    def orphans(self, scope: Scope, alias: str) -> Iterable[str]:
        if (scope, alias) in self._orphans:
            return self._orphans[scope, alias]
        return [key for _, key in self._read_orphans(scope, [alias])]

    def _read_seen(self, scope: Scope, keys: list[str]) -> list[tuple[str, Seen]]:
        rows = self._rows(
            "SELECT i.dedupe_key, i.delivery, i.fingerprint, d.sha256 "
            "FROM items i JOIN deliveries d ON d.row = i.delivery "
            "WHERE i.provider = ? AND i.account = ? AND i.dedupe_key IN (SELECT value FROM json_each(?))",
            (*scope, _array(keys)),
        )
        return [(key, Seen(delivery=row, fingerprint=text, sha256=digest)) for key, row, text, digest in rows]

    def _read_known(self, keys: list[str]) -> dict[str, Known]:
        rows = self._rows(
            "SELECT key, known FROM payments WHERE key IN (SELECT value FROM json_each(?))", (_array(keys),)
        )
        return {key: lifecycle.load(known) for key, known in rows}

    def _read_links(self, scope: Scope, aliases: list[str]) -> list[tuple[str, str]]:
        return self._rows(
            "SELECT alias, payment_id FROM links WHERE provider = ? AND account = ? "
            "AND alias IN (SELECT value FROM json_each(?))",
            (*scope, _array(aliases)),
        )

    def _read_orphans(self, scope: Scope, aliases: list[str]) -> list[tuple[str, str]]:
        return self._rows(
            "SELECT alias, key FROM orphans WHERE provider = ? AND account = ? "
            "AND alias IN (SELECT value FROM json_each(?))",
            (*scope, _array(aliases)),
        )

    def lookup(self, scope: Scope, ref: ObjectRef) -> LookupRow | None:
        row = self._one(
            f"SELECT {LOOKUP_COLUMNS} FROM lookups WHERE provider = ? AND account = ? AND object = ? AND object_id = ?",
            (*scope, ref.object, ref.id),
        )
        return lookup_row(row) if row else None

    def counters(self) -> Counters:
        return Counters(
            delivery=self._one("SELECT max(row) FROM deliveries")[0] or 0,
            lookup=self._one("SELECT max(id) FROM lookups")[0] or 0,
            outbox={0: self._one("SELECT max(seq) FROM outbox")[0] or 0},
        )

    def last_rejection(self) -> int:
        row = self._one("SELECT slot FROM rejections ORDER BY at DESC LIMIT 1")
        return int(row[0]) if row else 0

    def _one(self, sql: str, arguments: tuple[Any, ...] = ()) -> Any:
        return next(iter(self._rows(sql, arguments)), None)

    def _rows(self, sql: str, arguments: tuple[Any, ...]) -> list[Any]:
        """A read that fails is the journal's fault, never the delivery's."""
        try:
            return self._store.connection.execute(sql, arguments).fetchall()
        except sqlite3.OperationalError as error:
            raise JournalUnavailable(f"the journal cannot be read: {error}") from error
        except sqlite3.Error as error:
            raise JournalUnusable(f"the journal cannot be read: {error}") from error


def _array(values: list[str]) -> str:
    return orjson.dumps(values).decode()


class SqliteStore:
    """The writing connection. After any error it is thrown away and opened anew: SQLite ends a transaction on its own
    after some, and a file whose sync failed is not to be synced again on the same handle.

    `marks` and `rejections` wait here for the next commit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.view = _SqliteView(self)
        self.marks: dict[int, int] = {}
        self.rejections: deque[tuple[int, Rejection]] = deque(maxlen=RING)
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._checkpointing: asyncio.Future[None] | None = None
        self._along: tuple[dict[int, int], int] = ({}, 0)

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._connection = connect(self.path)
            except sqlite3.Error as error:
                raise JournalUnavailable(f"the journal {self.path} cannot be opened: {error}") from error
        return self._connection

    def counters(self) -> Counters:
        return self.view.counters()

    async def begin(self) -> None:
        """Another process may hold the lock for a moment: wait without stopping the event loop."""
        await self._checkpointed()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOCK_PATIENCE
        while True:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                if "locked" not in str(error) or loop.time() > deadline:
                    await self.rollback()
                    raise JournalUnavailable(f"the journal cannot be written: {error}") from error
                await asyncio.sleep(0.01)
            else:
                return

    def foresee(self, needs: Needs) -> None:
        self.view.foresee(needs)

    def write(self, changes: Changes) -> None:
        connection = self._in_transaction()
        try:
            for sql, rows in statements(changes):
                if rows:
                    connection.executemany(sql, rows)
            self._write_along(connection)
        except sqlite3.OperationalError as error:
            raise JournalUnavailable(f"the journal cannot be written: {error}") from error

    async def commit(self) -> None:
        try:
            await self._in_thread(self._in_transaction().commit)
        except sqlite3.Error as error:
            raise JournalUnavailable(f"the journal cannot commit: {error}") from error
        self._written_along()

    async def rollback(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._in_thread(partial(_discard, connection))

    def checkpoint_soon(self) -> None:
        """Move the WAL's pages into the file, as far as readers allow, between this batch and the next."""
        if self._connection is not None:
            loop = asyncio.get_running_loop()
            self._checkpointing = loop.run_in_executor(self._thread, _checkpoint, self._connection)

    async def close(self) -> None:
        await self._checkpointed()
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._in_thread(partial(_close, connection))
        self._thread.shutdown(wait=True)

    async def _checkpointed(self) -> None:
        if self._checkpointing is None:
            return
        await asyncio.wait({self._checkpointing})
        done, self._checkpointing = self._checkpointing, None
        if done.cancelled() or done.exception() is not None:
            await self.rollback()

    def _in_transaction(self) -> sqlite3.Connection:
        """The connection; outside of a transaction each row would be a commit of its own."""
        if self._connection is None or not self._connection.in_transaction:
            raise JournalUnavailable("the journal's transaction ended before its commit")
        return self._connection

    def _write_along(self, connection: sqlite3.Connection) -> None:
        """What needs no commit of its own goes along with this one."""
        self._along = (dict(self.marks), self.rejections[-1][0] if self.rejections else 0)
        if self.marks:
            connection.executemany(
                "INSERT INTO marks VALUES (?, ?) ON CONFLICT (shard) DO UPDATE SET seq = max(seq, excluded.seq)",
                self.marks.items(),
            )
        if self.rejections:
            connection.executemany(
                "INSERT OR REPLACE INTO rejections VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (slot % RING, micro(r.at), r.provider, r.account, r.reason, r.address, r.size, r.sha256)
                    for slot, r in self.rejections
                ],
            )

    def _written_along(self) -> None:
        marks, last = self._along
        for shard, seq in marks.items():
            if self.marks.get(shard) == seq:
                del self.marks[shard]
        while self.rejections and self.rejections[0][0] <= last:
            self.rejections.popleft()

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _discard(connection: sqlite3.Connection) -> None:
    """The lock first: SQLite keeps a closed connection, and its transaction, while a cursor of it lives."""
    with suppress(sqlite3.Error):
        connection.rollback()
    with suppress(sqlite3.Error):
        connection.close()


def _close(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    _discard(connection)


def connect(path: Path) -> sqlite3.Connection:
    """The writing connection, with its durability read back."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0, cached_statements=64)
    try:
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        _check_durable(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_durable(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal" or connection.execute("PRAGMA synchronous").fetchone()[0] != _FULL:
        raise JournalUnusable(f"{path} cannot keep WAL with synchronous FULL (is it on a network file system?)")


def prepare(path: Path) -> None:
    """Create the tables or migrate them forward, in one transaction under the write lock."""
    _check_owner(path)
    if not path.exists():
        _create(path)
    connection = connect(path)
    try:
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('identity', ?)", (str(uuid4()),))
        connection.execute("COMMIT")
    finally:
        _discard(connection)


def _create(path: Path) -> None:
    """For this user alone, whatever the umask: it holds raw bodies. SQLite gives the WAL and its index the mode of the
    file.
    """
    try:
        created = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalUnusable(f"the journal {path} cannot be opened: {error.strerror}") from error
    os.close(created)


def _check_owner(path: Path) -> None:
    """Read-only, since even choosing WAL would change a file that is not ours."""
    if not path.exists():
        return
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()
    if tables and application != APPLICATION_ID:
        raise JournalUnusable(f"{path} is a SQLite file, but not a paymux journal; name another file in [journal] url")
    if version > len(MIGRATIONS):
        raise JournalUnusable(
            f"{path} was written by a newer paymux (schema {version}, this one knows {len(MIGRATIONS)}); "
            "install that version"
        )
