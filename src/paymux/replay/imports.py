"""Payloads from elsewhere, which somebody vouches for, down the same line as webhooks."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from paymux.delivery import Delivery, Via
from paymux.errors import JobRefused
from paymux.journal import Entry
from paymux.journal.audit import Act
from paymux.replay.hearing import Breath
from paymux.signatures import trusted
from paymux.translate import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from paymux.delivery import Asked
    from paymux.journal import Receipt
    from paymux.provider import Account
    from paymux.replay.steps import Means

AT_ONCE: Final = 64  # deliveries of a commit
EMPTY: Final = "empty"
_ENDS: Final = re.compile(rb"[\r\n\0]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """`headers` count where the provider's event id is one of them. `asked`: it is the answer of the provider's API to
    that question. Raises ValueError for a header that HTTP does not know.
    """

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    received_at: datetime | None = None
    asked: Asked | None = None

    def __post_init__(self) -> None:
        if any(not name or b":" in name or _ENDS.search(name + value) for name, value in self.headers):
            raise ValueError("a header has no name, or holds the end of a line")


async def taken(
    means: Means,
    name: tuple[str, str],
    payloads: Sequence[Payload],
    *,
    who: str,
    now: datetime,
    new_id: Callable[[], str],
) -> Counter[str]:
    """What became of their items: `events` published, and each by its outcome, or `duplicate` or `conflict`; `empty`
    counts payloads without any.

    Raises JobRefused(job_impossible) for an account that is not configured; JournalUnavailable: what was taken before
    is kept, and taking it again makes duplicates only.
    """
    account = means.accounts().get(name)
    if account is None:
        raise JobRefused(f"there is no account {'/'.join(name)}", reason="job_impossible")
    counts, breath = Counter[str](), Breath()
    for batch in _batches(payloads):
        entries = []
        for payload in batch:
            entries.append(_entry(account, payload, now, new_id()))
            await breath.taken()
        for receipts in await asyncio.gather(*map(means.journal.append, entries)):
            counts.update([word for receipt in receipts for word in _words(receipt)] or [EMPTY])
    act = Act(who=who, action="import", target="/".join(name), detail={"payloads": len(payloads), **counts})
    await means.journal.change(lambda unit: unit.audit(act))
    return counts


def _entry(account: Account, payload: Payload, now: datetime, delivery_id: str) -> Entry:
    delivery = Delivery(
        id=delivery_id,
        provider=account.provider.name,
        account=account.name,
        received_at=payload.received_at or now,
        body=payload.body,
        headers=payload.headers,
        path=f"/webhooks/{account.provider.name}/{account.name}",
        via=Via.IMPORT,
        asked=payload.asked,
    )
    verified = trusted(delivery)
    return Entry(account=account, verified=verified, items=translate(account, verified))


def _words(receipt: Receipt) -> Iterator[str]:
    yield receipt.outcome if receipt.result == "new" else str(receipt.result)
    if receipt.outcome == "events":
        yield from ["published"] * len(receipt.event_ids)


def _batches(payloads: Sequence[Payload]) -> Iterator[Sequence[Payload]]:
    return (payloads[start : start + AT_ONCE] for start in range(0, len(payloads), AT_ONCE))
