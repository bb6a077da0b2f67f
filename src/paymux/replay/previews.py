"""What an order would do. Nothing is changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from paymux.journal.again import UNCHANGED, UNFILED, is_settled, might_say, unfiled
from paymux.records import is_erased
from paymux.replay.hearing import heard, unreadable
from paymux.replay.orders import is_quarantined
from paymux.replay.steps import STEP
from paymux.statement import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paymux.journal import Entry
    from paymux.journal.changes import Filed
    from paymux.replay.orders import Order
    from paymux.replay.steps import Means
    from paymux.statement import Item

MOST: Final = "events_at_most"  # what is known of a payment decides which of them are news


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an order would do: how many deliveries or records it is about, and what would become of them."""

    kind: str
    counts: Mapping[str, int]


async def foreseen(means: Means, order: Order, after: int, end: int) -> tuple[int, Counter[str]]:
    """Of some of them: how far that came, and what would be counted. Raises JournalUnavailable."""
    return await (_published if order.kind == "republish" else _heard)(means, order, after, end)


async def _published(means: Means, order: Order, after: int, end: int) -> tuple[int, Counter[str]]:
    records = await means.archive.records(order.sought, topic=means.topic, after=after, end=end, limit=STEP)
    erased = sum(is_erased(each.record) for each in records)
    return (records[-1].seq if len(records) == STEP else end - 1), Counter(events=len(records) - erased, erased=erased)


async def _heard(means: Means, order: Order, after: int, end: int) -> tuple[int, Counter[str]]:
    rows = await means.archive.rows(order.sought, after=after, end=end, limit=STEP)
    kept = await means.archive.kept(rows.rows)
    entries = await heard(kept.values(), means.accounts)
    counts = unreadable(rows, kept, entries)
    counts["deliveries"] += len(rows.rows)
    filed, might = await means.archive.filed(rows.rows), set[str]()
    for row, entry in entries.items():
        counts[UNFILED] += unfiled(entry, filed[row])
        for item, old in zip(entry.items, filed[row], strict=False):
            if order.kind != "retry" or is_quarantined(order.sought, old):
                counts[_becomes(item, old)] += 1
                might.update(_says(entry, item, old))
    counts[MOST] = len(might - await means.archive.published(list(might)))
    return rows.reached, +counts


def _becomes(item: Item, old: Filed) -> str:
    return UNCHANGED if is_settled(old) else f"{old.outcome} to {OUTCOMES[type(item.outcome)]}"


def _says(entry: Entry, item: Item, old: Filed) -> list[str]:
    return [] if is_settled(old) else might_say(entry, item)
