"""What every journal does about lookups, beside what is decided of them: a bound on what hints may leave to look up,
since they prove nothing and each object that they name takes a row; and giving up.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from paymux.delivery import Proof
from paymux.errors import LookupsFull
from paymux.statement import Lookup

if TYPE_CHECKING:
    from collections.abc import Callable

    from paymux.delivery import ObjectRef
    from paymux.journal import Entry, LookupRow
    from paymux.journal.changes import Scope
    from paymux.journal.decide import Unit

MOST_HINTS: Final = 10_000
RECOUNT_SECONDS: Final = 1.0


class Waiting(Protocol):
    """What is committed of the lookups. Raises JournalUnavailable."""

    async def hinted(self, scope: Scope) -> int:
        """How many objects of an account only hints asked for."""
        ...

    async def is_asked(self, scope: Scope, ref: ObjectRef) -> bool: ...


class Hints:
    """At most about `most` objects of each account. Every object that is let in counts as a new one until the rows are
    counted again, which is done only where they may be too many.
    """

    def __init__(self, waiting: Waiting, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._waiting = waiting
        self._most = most
        self._clock = clock
        self._counts: dict[Scope, int] = {}
        self._full_until: dict[Scope, float] = {}

    async def let_in(self, entry: Entry) -> None:
        """Raises LookupsFull for a hint about an object that nobody asked for yet, where there is no room for it."""
        if entry.verified.proof is not Proof.HINT:
            return
        scope = (entry.account.provider.name, entry.account.name)
        refs = [ref for item in entry.items if isinstance(item.outcome, Lookup) for ref in item.outcome.objects]
        if not refs:
            return
        if not self._has_room(scope, len(refs)):
            if all([await self._waiting.is_asked(scope, ref) for ref in refs]):
                return
            await self._count(scope, len(refs))
        self._counts[scope] += len(refs)

    def _has_room(self, scope: Scope, more: int) -> bool:
        return self._counts.get(scope, self._most) + more <= self._most

    async def _count(self, scope: Scope, more: int) -> None:
        """Raises LookupsFull; a full account is not counted again at once."""
        if self._clock() >= self._full_until.get(scope, 0.0):
            self._counts[scope] = await self._waiting.hinted(scope)
            if self._has_room(scope, more):
                return
            self._full_until[scope] = self._clock() + RECOUNT_SECONDS
        raise LookupsFull(f"hints of {scope[0]}/{scope[1]} already left {self._most} objects to look up")


def give_up(lookup: LookupRow, reason: str, detail: str, unit: Unit) -> bool:
    """In a commit. False where the lookup stays, since somebody asked again meanwhile."""
    unit.give_up(lookup, reason=reason, detail=detail)
    return unit.changes.lookups.get((lookup.scope, lookup.ref), lookup) is None
