"""What is stored, as replays read it: in the order in which it came, many at once, and whole."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from paymux.delivery import Delivery, Proof
    from paymux.journal.changes import Filed, Scope
    from paymux.journal.history import Sought, StoredRecord
    from paymux.lifecycle import Known


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A delivery whose body is still there, as it was proven then."""

    row: int
    delivery: Delivery
    proof: Proof
    secret: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One item that was understood: the `index`-th of its delivery. `place` is its own in the order in which items were
    heard, `keys` are those that it spoke of.
    """

    delivery: int
    index: int
    place: int
    keys: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that was heard of one payment, in order, under the keys that it and what joined it later were published
    under; and what was published of it.
    """

    key: str
    keys: frozenset[str]
    heard: tuple[Told, ...]
    records: tuple[StoredRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows in order, and how far they were looked for: the next search begins after `reached`. `erased` are those
    whose bodies are gone for that reason.
    """

    rows: tuple[int, ...]
    reached: int
    erased: frozenset[int] = frozenset()


class Archive(Protocol):
    """Every method raises JournalUnavailable."""

    async def bounds(self, sought: Sought) -> tuple[int, int]:
        """Between which rows of deliveries the sought ones are: the first, and the one after the last."""
        ...

    async def rows(self, sought: Sought, *, after: int, end: int, limit: int) -> Rows:
        """Deliveries that fit, oldest first, between two rows, both exclusive."""
        ...

    async def fitting(self, sought: Sought, rows: Sequence[int]) -> frozenset[int]:
        """Those of these deliveries that fit, times aside."""
        ...

    async def kept(self, rows: Sequence[int]) -> Mapping[int, Kept]:
        """Those of these deliveries that still have their bodies."""
        ...

    async def filed(self, rows: Sequence[int]) -> Mapping[int, Sequence[Filed]]:
        """What their items became, in the order of each delivery's items."""
        ...

    async def known(self, keys: Iterable[str]) -> Mapping[str, Known]: ...

    async def spoke(self, keys: Iterable[str]) -> Sequence[int]:
        """The deliveries, erased ones aside, that spoke of what has these keys."""
        ...

    async def spoken(self, rows: Sequence[int]) -> frozenset[str]:
        """The keys that these deliveries spoke of."""
        ...

    async def listed(self, job_id: str, keys: Sequence[str]) -> frozenset[str]:
        """Those of these keys that a job came across."""
        ...

    async def naming(self, scope: Scope, names: Sequence[str], *, after: int, end: int) -> Rows:
        """Deliveries of an account whose bodies or queries name one of these ids as a word, whatever became of them.
        Some of those between two rows, both exclusive.
        """
        ...

    async def stories(self, deliveries: Sequence[int]) -> Sequence[Story]:
        """Of all payments that these rows spoke of."""
        ...

    async def about(self, keys: Iterable[str]) -> Sequence[Story]:
        """Of all payments that these keys belong to."""
        ...

    async def published(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Those of these that the outbox has, or that are taken."""
        ...

    async def records(self, sought: Sought, *, topic: str, after: int, end: int, limit: int) -> Sequence[StoredRecord]:
        """Published events of deliveries that fit, in order, between two places of the outbox, both exclusive.
        Republished ones are not among them. Empty at the end.
        """
        ...

    async def end(self) -> int:
        """The place after the outbox's last."""
        ...

    async def close(self) -> None: ...


def word(names: Sequence[str]) -> re.Pattern[bytes]:
    """One of these ids, and not a part of a longer one."""
    alternatives = b"|".join(re.escape(name.encode()) for name in names)
    return re.compile(rb"(?<![A-Za-z0-9_-])(?:" + alternatives + rb")(?![A-Za-z0-9_-])")
