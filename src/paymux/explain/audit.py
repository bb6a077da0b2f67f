"""Whether the audit trail is whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from paymux.journal.audit import Audited, first_broken
from paymux.journal.history import History

STEP: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`rows` were looked at; `first_broken` is the first that is not what was written, or that is missing. `chain` is
    the last one's: kept elsewhere, it also shows that rows at the end were taken away.
    """

    rows: int
    first_broken: int | None
    chain: str


async def verified(history: History) -> Verdict:
    """Raises JournalUnavailable."""
    last: Audited | None = None
    rows = 0
    while found := await history.audit(after=last.row if last else 0, limit=STEP):
        rows += len(found)
        broken = first_broken(found, last)
        if broken is not None:
            return Verdict(rows=rows, first_broken=broken, chain=last.chain if last else "")
        last = found[-1]
    return Verdict(rows=rows, first_broken=None, chain=last.chain if last else "")
