"""What comes of deliveries, one after the other: for tests that follow a payment through the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from paymux.journal import Entry
from paymux.journal.memory import MemoryJournal
from paymux.translate import translate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paymux.delivery import Verified
    from paymux.provider import Account


async def published(account: Account, deliveries: Iterable[Verified]) -> list[dict[str, Any]]:
    """The records of both topics, in order."""
    journal = MemoryJournal()
    for verified in deliveries:
        await journal.append(Entry(account=account, verified=verified, items=translate(account, verified)))
    records = [orjson.loads(row.record.value) for row in await journal.read(0, 0, 1000)]
    await journal.close()
    return records


def moves(records: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    """(type, transition) of each event."""
    return [(record["type"], record["data"]["lifecycle"]["transition"]) for record in records]
