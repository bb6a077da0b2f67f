"""The journal's file as the event loop sees it: reads at once, writes by the Writer."""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import orjson

from paymux import lifecycle
from paymux.errors import JournalUnavailable, JournalUnusable
from paymux.journal import RING
from paymux.journal.changes import Counters, Seen
from paymux.journal.sqlite.outbox import open_to_read
from paymux.journal.sqlite.rows import (
    FILED_COLUMNS,
    LOOKUP_COLUMNS,
    filed,
    lookup_row,
    micro,
    statements,
    stored_job,
)
from paymux.journal.sqlite.schema import APPLICATION_ID, MIGRATIONS
from paymux.journal.sqlite.writer import connect, discard
from paymux.records import ERASED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from paymux.delivery import ObjectRef
    from paymux.journal import LookupRow, Rejection
    from paymux.journal.changes import Changes, Filed, Needs, Scope
    from paymux.journal.jobs import Job
    from paymux.journal.sqlite.writer import Batch
    from paymux.journal.sqlite.writing import Writing
    from paymux.lifecycle import Known

# A commit of nothing would say nothing about the disk.
_PROBE: Final = ("INSERT OR REPLACE INTO meta VALUES ('probe', hex(randomblob(8)))", [()])


class _SqliteView:
    """Reads of what is committed. Nothing else writes while a batch is decided: the journal's lock is held.

    What was foreseen is read once for a batch, one statement for each table: a tenth of the cost. None stands for what
    is not there.
    """

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._seen: dict[tuple[Scope, str], Seen | None] = {}
        self._known: dict[str, Known | None] = {}
        self._links: dict[tuple[Scope, str], str | None] = {}
        self._orphans: dict[tuple[Scope, str], list[str]] = {}
        self._has_taken: bool | None = None

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

    def row_of(self, delivery_id: str) -> int | None:
        found = self._one("SELECT row FROM deliveries WHERE id = ?", (delivery_id,))
        return found[0] if found else None

    def filed(self, delivery: int) -> list[Filed]:
        """In the order of the delivery's items."""
        sql = f"SELECT {FILED_COLUMNS} FROM items WHERE delivery = ? ORDER BY position, row"
        return [filed(row) for row in self._rows(sql, (delivery,))]

    def is_published(self, event_id: str) -> bool:
        sql = "SELECT 1 FROM outbox WHERE event_id = :id UNION ALL SELECT 1 FROM taken WHERE event_id = :id"
        return self._one(sql, {"id": event_id}) is not None

    @property
    def is_taken(self) -> Callable[[str], bool] | None:
        """A journal that never was restored asks nothing: the table is filled while nobody holds the journal."""
        if self._has_taken is None:
            self._has_taken = self._one("SELECT 1 FROM taken LIMIT 1") is not None
        return self._taken if self._has_taken else None

    def _taken(self, event_id: str) -> bool:
        return self._one("SELECT 1 FROM taken WHERE event_id = ?", (event_id,)) is not None

    def job(self, job_id: str) -> Job | None:
        row = self._one("SELECT * FROM jobs WHERE id = ?", (job_id,))
        return stored_job(row) if row else None

    def erased(self, deliveries: Sequence[int]) -> frozenset[int]:
        sql = "SELECT row FROM deliveries WHERE row IN (SELECT value FROM json_each(?)) AND erased_at IS NOT NULL"
        return frozenset(row for (row,) in self._rows(sql, (orjson.dumps(list(deliveries)).decode(),)))

    def reworded(self, outbox: Sequence[int]) -> frozenset[int]:
        sql = "SELECT seq FROM outbox WHERE seq IN (SELECT value FROM json_each(?)) AND instr(headers, ?) > 0"
        rows = self._rows(sql, (orjson.dumps(list(outbox)).decode(), f"\n{ERASED}:".encode()))
        return frozenset(seq for (seq,) in rows)

    def counters(self) -> Counters:
        seq, chain = self._one("SELECT seq, chain FROM outbox ORDER BY seq DESC LIMIT 1") or (0, "")
        acts, acts_chain = self._one("SELECT row, chain FROM audit ORDER BY row DESC LIMIT 1") or (0, "")
        return Counters(
            delivery=self._one("SELECT max(row) FROM deliveries")[0] or 0,
            lookup=self._one("SELECT max(id) FROM lookups")[0] or 0,
            acts=acts,
            acts_chain=acts_chain,
            outbox={0: seq},
            chains={0: chain},
        )

    def last_rejection(self) -> int:
        row = self._one("SELECT slot FROM rejections ORDER BY at DESC LIMIT 1")
        return int(row[0]) if row else 0

    def _one(self, sql: str, arguments: tuple[Any, ...] | dict[str, Any] = ()) -> Any:
        return next(iter(self._rows(sql, arguments)), None)

    def _rows(self, sql: str, arguments: tuple[Any, ...] | dict[str, Any]) -> list[Any]:
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
    """What stands between the journal and its file: a connection that reads, and a Writer elsewhere.

    `marks` and `rejections` wait here for the next commit.
    """

    def __init__(self, path: Path, writing: Writing) -> None:
        self.path = path
        self.view = _SqliteView(self)
        self.marks: dict[int, int] = {}
        self.rejections: deque[tuple[int, Rejection]] = deque(maxlen=RING)
        self._writing = writing
        self._connection: sqlite3.Connection | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._connection = open_to_read(self.path)
            except sqlite3.Error as error:
                raise JournalUnavailable(f"the journal {self.path} cannot be opened: {error}") from error
        return self._connection

    def counters(self) -> Counters:
        return self.view.counters()

    def foresee(self, needs: Needs) -> None:
        self.view.foresee(needs)

    async def commit(self, changes: Changes) -> None:
        """What waits goes along, and is forgotten when it is durable."""
        marks, last = dict(self.marks), self.rejections[-1][0] if self.rejections else 0
        batch = [(sql, rows) for sql, rows in statements(changes) if rows]
        await self._writing.commit([*batch, *_along(marks, self.rejections)] or [_PROBE])
        for shard, seq in marks.items():
            if self.marks.get(shard) == seq:
                del self.marks[shard]
        while self.rejections and self.rejections[0][0] <= last:
            self.rejections.popleft()

    async def rollback(self) -> None:
        await self._writing.settled()
        connection, self._connection = self._connection, None
        if connection is not None:
            discard(connection)

    async def scrub(self) -> None:
        await self._writing.scrub()

    def checkpoint_soon(self) -> None:
        self._writing.checkpoint_soon()

    def shrink_soon(self) -> None:
        self._writing.shrink_soon()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            discard(connection)
        await self._writing.close()


def _along(marks: Mapping[int, int], rejections: Iterable[tuple[int, Rejection]]) -> Batch:
    """What needs no commit of its own goes along with the next."""
    rows = [
        (slot % RING, micro(r.at), r.provider, r.account, r.reason, r.address, r.size, r.sha256, r.age)
        for slot, r in rejections
    ]
    found: Batch = [
        (
            "INSERT INTO marks VALUES (?, ?) ON CONFLICT (shard) DO UPDATE SET seq = max(seq, excluded.seq)",
            list(marks.items()),
        ),
        ("INSERT OR REPLACE INTO rejections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows),
    ]
    return [(sql, each) for sql, each in found if each]


def prepare(path: Path) -> None:
    """Create the tables or migrate them forward, in one transaction under the write lock."""
    _check_owner(path)
    if not path.exists():
        _create(path)
    connection = connect(path)
    try:
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
        discard(connection)


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
    """Read-only, since even choosing WAL would change a file that is not ours; but what a first start left half
    done can only be undone by one who may write.
    """
    if not path.exists():
        return
    mode = "rw" if path.with_name(f"{path.name}-journal").exists() else "ro"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
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
