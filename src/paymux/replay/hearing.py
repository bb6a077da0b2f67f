"""Stored deliveries as the line would hear them today."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from paymux.delivery import Proof
from paymux.journal import Entry
from paymux.signatures import remembered
from paymux.translate import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from paymux.journal.archive import Kept, Rows
    from paymux.provider import Account

    Accounts = Callable[[], Mapping[tuple[str, str], Account]]

AT_ONCE: Final = 0.001  # seconds: an acknowledgement takes several turns


class Breath:
    """Whatever else the process does has its turn, every few milliseconds."""

    def __init__(self) -> None:
        self._until = time.monotonic() + AT_ONCE

    async def taken(self) -> None:
        if time.monotonic() > self._until:
            await asyncio.sleep(0)
            self._until = time.monotonic() + AT_ONCE


async def heard(kept: Iterable[Kept], accounts: Accounts) -> dict[int, Entry]:
    """By row. Hints are left out, whose bodies nobody keeps, and deliveries of accounts that are not configured."""
    found: dict[int, Entry] = {}
    known, breath = accounts(), Breath()
    for each in kept:
        account = known.get((each.delivery.provider, each.delivery.account))
        if account is None or each.proof is Proof.HINT:
            continue
        verified = remembered(each.delivery, each.proof, each.secret)
        found[each.row] = Entry(account=account, verified=verified, items=translate(account, verified))
        await breath.taken()
    return found


def unreadable(rows: Rows, kept: Mapping[int, Kept], entries: Mapping[int, Entry]) -> Counter[str]:
    """Why deliveries are passed over."""
    counts: Counter[str] = Counter()
    for row in rows.rows:
        if row in entries:
            continue
        if row in rows.erased:
            counts["erased"] += 1
        elif row not in kept:
            counts["body_gone"] += 1
        else:
            counts["hint" if kept[row].proof is Proof.HINT else "account_gone"] += 1
    return counts
