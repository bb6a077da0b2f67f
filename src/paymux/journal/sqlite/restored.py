"""A copy on its way to be the journal: asked what it holds, and told what was published that it does not know of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from paymux import lifecycle
from paymux.journal.audit import Audited, chained
from paymux.journal.sqlite.rows import audited_row, header_pairs, micro, moment
from paymux.journal.sqlite.store import prepare
from paymux.journal.sqlite.writer import connect, discard
from paymux.lifecycle import Known
from paymux.records import REPLAY, SEQUENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from paymux.journal.audit import Act

BATCH: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What tells a record on Kafka from every other one. A republished event has the id of the original."""

    topic: str
    event_id: str
    replay: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A row of the outbox that the copy does not know to be published. `sequence` is that of its payment's event."""

    seq: int
    name: Name
    key: str
    sequence: int | None


class RestoredFile:
    """One transaction over a copy, which `keep` ends. Nothing else may have the file open."""

    def __init__(self, path: Path) -> None:
        """Migrates it. Raises what `prepare` does."""
        prepare(path)
        self._connection = connect(path)
        self._connection.execute("BEGIN IMMEDIATE")

    @property
    def identity(self) -> str:
        return str(self._one("SELECT value FROM meta WHERE name = 'identity'"))

    @property
    def mark(self) -> int:
        return int(self._one("SELECT coalesce(max(seq), 0) FROM marks WHERE shard = 0"))

    @property
    def end(self) -> int:
        return int(self._one("SELECT coalesce(max(seq), 0) FROM outbox"))

    def place(self, seq: int) -> tuple[str, str]:
        """The event id and the chain of a row; empty where it is not kept."""
        row = self._connection.execute("SELECT event_id, chain FROM outbox WHERE seq = ?", (seq,)).fetchone()
        return row or ("", "")

    def unknown_since(self) -> datetime | None:
        """When the first row was made that may not be published, else the last one; None without any row."""
        sql = "SELECT created_at FROM outbox WHERE seq > ? ORDER BY seq LIMIT 1"
        first = self._connection.execute(sql, (self.mark,)).fetchone()
        return moment(first[0] if first else self._one("SELECT max(created_at) FROM outbox"))

    def waiting(self) -> Iterator[Waiting]:
        sql = "SELECT seq, topic, event_id, key, headers FROM outbox WHERE seq > ? ORDER BY seq"
        for seq, topic, event_id, key, stored in self._connection.execute(sql, (self.mark,)):
            headers = {name.decode(): value for name, value in header_pairs(stored)}
            yield Waiting(
                seq=seq,
                name=Name(topic=topic, event_id=event_id, replay=headers.get(REPLAY)),
                key=key.decode(),
                sequence=int(headers[SEQUENCE]) if SEQUENCE in headers else None,
            )

    # --- changes

    def take(self, event_ids: Iterable[str]) -> None:
        """They are out: whatever says them again changes what is known, and is not published."""
        self._connection.executemany("INSERT OR IGNORE INTO taken VALUES (?)", [(each,) for each in event_ids])

    def forget_own(self) -> int:
        """What the copy has itself is not taken over; how many are."""
        self._connection.execute("DELETE FROM taken WHERE event_id IN (SELECT event_id FROM outbox)")
        return int(self._one("SELECT count(*) FROM taken"))

    def count_on(self, sequences: Mapping[str, int]) -> int:
        """Number each payment's events on from these; of how many that is another number than the copy had."""
        ahead = 0
        for key, sequence in sequences.items():
            row = self._connection.execute("SELECT known FROM payments WHERE key = ?", (key,)).fetchone()
            known = lifecycle.load(row[0]) if row else Known()
            if known.sequence < sequence:
                ahead += 1
                told = lifecycle.dump(replace(known, sequence=sequence))
                self._connection.execute("INSERT OR REPLACE INTO payments VALUES (?, ?)", (key, told))
        return ahead

    def rename(self, identity: str, mark: int) -> None:
        """Be another journal, the child of the one that was copied, and published up to `mark`. Jobs rest."""
        meta = (("parent", self.identity), ("identity", identity))
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta)
        self._connection.execute("INSERT OR REPLACE INTO marks VALUES (0, ?)", (mark,))
        self._connection.execute("UPDATE jobs SET state = 'paused' WHERE state IN ('queued', 'running')")

    def audit(self, act: Act, at: datetime) -> None:
        row, before = self._connection.execute(
            "SELECT row, chain FROM audit UNION ALL SELECT 0, '' ORDER BY row DESC LIMIT 1"
        ).fetchone()
        at = moment(micro(at)) or at
        told = Audited(row=row + 1, at=at, act=act, chain=chained(before, row + 1, at, act))
        self._connection.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?)", audited_row(told))

    def keep(self) -> None:
        """One file, with nothing beside it."""
        self._connection.execute("COMMIT")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.close()

    def close(self) -> None:
        discard(self._connection)

    def _one(self, sql: str) -> Any:
        row = self._connection.execute(sql).fetchone()
        return row[0] if row else None
