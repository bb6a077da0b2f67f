"""What one step found, what of it goes down the line, and how far the job came: one commit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from paymux.jobs import Progress, advance, is_on
from paymux.reconcile.comparing import MENDED, compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from paymux.journal import Entry, Journal
    from paymux.journal.decide import Unit
    from paymux.journal.jobs import Change, Job, JobState
    from paymux.reconcile.orders import Order
    from paymux.statement import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a step commits: answers with those of their items that count, payments that the provider does not have, the
    keys that it came across (`before`: those of them that an earlier step did), and where the job goes on. `mends` is
    what goes down the line, by payment; None: those of the answers in which something differs.
    """

    cursor: Mapping[str, Any]
    keys: Sequence[str]
    read: Sequence[tuple[Entry, Sequence[Item]]]
    gone: Sequence[Change] = ()
    before: frozenset[str] = frozenset()
    into: JobState | None = None
    mends: Mapping[str, Entry] | None = None


async def keep(journal: Journal, job: Job, order: Order, found: Found) -> Mapping[str, int] | None:
    """All of it or nothing; how much of what was found. Nothing, where the job was paused or canceled meanwhile. None:
    not yet, since an answer that is to go down the line has an amount, too, that differs; it must say what `mends`.
    """
    entries = [*(entry for entry, _ in found.read), *(found.mends or {}).values()]
    return await journal.change(lambda unit: _decide(unit, job, order, found), entries)


def _decide(unit: Unit, job: Job, order: Order, found: Found) -> Mapping[str, int] | None:
    """What an earlier step looked at is not counted twice."""
    if not is_on(unit, job):
        return {}
    counts, changes = Counter(payments=len(found.gone)), list(found.gone)
    asked = found.mends or {}
    mends = list(asked.values())
    for entry, items in found.read:
        compared = [compare(unit.overlay, entry, item, job.id) for item in items]
        goes = order.fixes and found.mends is None and any(each.is_mended for each in compared)
        if goes and any(each.found and not each.is_mended for each in compared):
            return None
        mends += [entry] if goes else []
        new = [each for each in compared if each.key not in found.before]
        by = entry if goes else None
        changes += [_mended_by(asked.get(change.key, by), change) for each in new for change in each.found]
        counts["payments"] += len(new)
    counts["events"] += _mended(unit, mends)
    counts += Counter(change.kind for change in changes)
    unit.remember(job.id, found.keys)
    if found.into is not None:
        unit.forget(job.id)
    done = counts["payments"]
    advance(unit, job.id, Progress(cursor=found.cursor, done=done, counts=counts, into=found.into, found=changes))
    return counts


def _mended_by(entry: Entry | None, change: Change) -> Change:
    if entry is None or change.kind not in MENDED:
        return change
    return replace(change, delivery=entry.verified.delivery.id)


def _mended(unit: Unit, entries: Iterable[Entry]) -> int:
    """Whole, as the provider said it: what is known of it already changes nothing. How many events that makes."""
    receipts = [receipt for entry in entries for receipt in unit.append(entry)]
    return sum(len(receipt.event_ids) for receipt in receipts if receipt.outcome == "events")
