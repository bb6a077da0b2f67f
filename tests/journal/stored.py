"""What a journal stored, read past its protocol: for tests only."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from paymux.journal.memory import MemoryJournal


@dataclass(frozen=True)
class StoredDelivery:
    id: str
    attempts: int
    body: bytes
    headers: bytes
    secret: int | None
    query: str


def deliveries(journal) -> list[StoredDelivery]:
    """In order of arrival."""
    if isinstance(journal, MemoryJournal):
        return [
            StoredDelivery(
                kept.delivery.id,
                journal.store.attempts[row],
                kept.delivery.body,
                b"\n".join(name + b":" + value for name, value in kept.delivery.headers),
                kept.secret,
                kept.delivery.query,
            )
            for row, kept in journal.store.deliveries.items()
        ]
    rows = query(journal, "SELECT id, attempts, body, headers, secret, query FROM deliveries ORDER BY row")
    return [StoredDelivery(*row) for row in rows]


def items(journal) -> list[tuple[int, str, str, str | None]]:
    """(delivery row, result, outcome, reason) of each item, in order."""
    if isinstance(journal, MemoryJournal):
        return [(kept.delivery, str(kept.result), kept.outcome, kept.reason) for kept in journal.store.items]
    return query(journal, "SELECT delivery, result, outcome, reason FROM items ORDER BY row")


def payments(journal) -> set[str]:
    if isinstance(journal, MemoryJournal):
        return set(journal.store.payments)
    return {row[0] for row in query(journal, "SELECT key FROM payments")}


def everything(journal) -> bytes:
    """Every byte that the journal holds, to search for what must not be there."""
    if isinstance(journal, MemoryJournal):
        return repr(journal.store).encode()
    tables = query(journal, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return repr([query(journal, f"SELECT * FROM {name}") for (name,) in tables]).encode()


def take(journal, event_ids) -> None:
    """As if another journal had published them, before this one hears anything."""
    if isinstance(journal, MemoryJournal):
        journal.store.taken.update(event_ids)
        return
    connection = sqlite3.connect(journal._path)
    with connection:
        connection.executemany("INSERT INTO taken VALUES (?)", [(each,) for each in event_ids])
    connection.close()


def query(journal, sql: str) -> list[Any]:
    connection = sqlite3.connect(f"file:{journal._path}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
