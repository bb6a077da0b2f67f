"""Whole copies of a journal's file: made while it is written to, and looked through from end to end."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from paymux.delivery import Proof
from paymux.errors import CopyRefused
from paymux.journal import chained
from paymux.journal.audit import Audited, first_broken
from paymux.journal.sqlite.outbox import open_to_read
from paymux.journal.sqlite.rows import stored_audit
from paymux.journal.sqlite.schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    Progress = Callable[[int, int], None]  # pages done, of so many

PAGES: Final = 2048  # of a step: some milliseconds
ROWS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What a copy holds. `end` is the last place of its outbox, `mark` up to where it knows everything published."""

    identity: str
    schema: int
    deliveries: int
    payments: int
    end: int
    mark: int
    acts: int
    bytes: int


def copy(source: Path, target: Path, progress: Progress) -> None:
    """The journal as it is when this begins, however long it takes: `source` may be written to meanwhile, and whoever
    writes does not wait. `target` is a file of its own, durable when this returns.

    Raises CopyRefused.
    """
    try:
        with closing(open_to_read(source)) as journal, closing(sqlite3.connect(target, isolation_level=None)) as copied:
            # Of one moment: without a transaction SQLite would begin anew after every commit in between.
            journal.execute("BEGIN")
            journal.execute("SELECT 1 FROM meta").fetchall()
            journal.backup(copied, pages=PAGES, progress=lambda _, left, all_: progress(all_ - left, all_), sleep=0)
            copied.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, and no WAL beside it
        synced(target)
    except sqlite3.Error as error:
        raise CopyRefused(f"{source} cannot be copied to {target}: {error}") from error


def synced(path: Path) -> None:
    """The file and its name are durable when it returns."""
    for each in (path, path.absolute().parent):
        opened = os.open(each, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def examined(path: Path) -> Copy:
    """Everything in it is looked at. Raises CopyRefused(copy_damaged) with the first thing that is wrong."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as copied:
            _check_owner(path, copied)
            for wrong in _wrongs(copied):
                raise CopyRefused(f"{path} is damaged: {wrong}", reason="copy_damaged")
            return _described(path, copied)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise CopyRefused(f"{path} is damaged or no SQLite file: {error}", reason="copy_damaged") from error


def _check_owner(path: Path, copied: sqlite3.Connection) -> None:
    version = _one(copied, "PRAGMA user_version")
    if _one(copied, "PRAGMA application_id") != APPLICATION_ID:
        raise CopyRefused(f"{path} is no paymux journal")
    if version > len(MIGRATIONS):
        raise CopyRefused(f"{path} was written by a newer paymux (schema {version}); use that version")


def _wrongs(copied: sqlite3.Connection) -> Iterator[str]:
    for (said,) in copied.execute("PRAGMA integrity_check(1)"):
        if said != "ok":
            yield said
    yield from _broken_chain(copied)
    yield from _broken_trail(copied)
    yield from _other_bodies(copied)


def _broken_chain(copied: sqlite3.Connection) -> Iterator[str]:
    """Each row of the outbox against the one before, where that is still kept."""
    rows = copied.execute("SELECT seq, event_id, chain FROM outbox ORDER BY seq")
    for (before, _, chain), (seq, event_id, now) in pairwise(_preceded(rows)):
        if seq == before + 1 and now != chained(chain, event_id):
            yield f"row {seq} of the outbox does not follow the one before"


def _preceded(rows: sqlite3.Cursor) -> Iterator[tuple[int, str, str]]:
    yield (0, "", "")
    yield from rows


def _broken_trail(copied: sqlite3.Connection) -> Iterator[str]:
    last: Audited | None = None
    rows = copied.execute("SELECT * FROM audit ORDER BY row")
    while found := [stored_audit(row) for row in rows.fetchmany(ROWS)]:
        broken = first_broken(found, last)
        if broken is not None:
            yield f"row {broken} of the audit trail is not what was written"
        last = found[-1]


def _other_bodies(copied: sqlite3.Connection) -> Iterator[str]:
    """Of hints the digest is kept, and no body."""
    sql = "SELECT row, sha256, body FROM deliveries WHERE body IS NOT NULL AND proof != ?"
    for row, sha256, body in copied.execute(sql, (Proof.HINT.value,)):
        if hashlib.sha256(body).digest() != sha256:
            yield f"the body of delivery {row} is not what came"


def _described(path: Path, copied: sqlite3.Connection) -> Copy:
    return Copy(
        identity=_one(copied, "SELECT value FROM meta WHERE name = 'identity'"),
        schema=_one(copied, "PRAGMA user_version"),
        deliveries=_one(copied, "SELECT count(*) FROM deliveries"),
        payments=_one(copied, "SELECT count(*) FROM payments"),
        end=_one(copied, "SELECT coalesce(max(seq), 0) FROM outbox"),
        mark=_one(copied, "SELECT coalesce(max(seq), 0) FROM marks WHERE shard = 0"),
        acts=_one(copied, "SELECT coalesce(max(row), 0) FROM audit"),
        bytes=path.stat().st_size,
    )


def _one(copied: sqlite3.Connection, sql: str) -> Any:
    row = copied.execute(sql).fetchone()
    return row[0] if row else None
