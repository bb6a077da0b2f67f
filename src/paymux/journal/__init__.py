"""The durable store: what arrived, what is known of each payment, and everything that goes to Kafka, in one order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from paymux.delivery import Asked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from paymux.delivery import ObjectRef, Proof, Verified
    from paymux.journal.decide import Unit
    from paymux.provider import Account
    from paymux.records import Record
    from paymux.statement import Item

T = TypeVar("T")

RING: Final = 1000  # rejections that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One delivery to append, with what its items turned out to be.

    `answers` is the id of the lookup that this delivery answers, `asked` that lookup's count of askers when the request
    was sent, `again_at` when to ask once more although it was answered (the object is still open).
    """

    account: Account
    verified: Verified
    items: tuple[Item, ...]
    answers: int | None = None
    asked: int = 0
    again_at: datetime | None = None


class Result(StrEnum):
    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REFUSED = "refused"  # nothing of the delivery is kept: its signature was another body's


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What append did with one item. `event_ids` are those now in the outbox for it.

    `outcome` is events, lookup, ignored or quarantined; `reason` says why it was quarantined.
    """

    result: Result
    outcome: str
    reason: str | None = None
    event_ids: tuple[str, ...] = ()
    unexpected: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A record with its place in its shard's order: `seq` is 1, 2, 3 ... without gaps, in commit order. `chain` stands
    for this row and all before it: two journals that have it in common have those rows in common. `delivery` is the
    row of the delivery that it comes from; None where it is not read.
    """

    shard: int
    seq: int
    record: Record
    created_at: datetime
    chain: str
    delivery: int | None = None


def chained(before: str, event_id: str) -> str:
    """A row's chain, from that of the row before it; the first one's is empty."""
    return hashlib.sha256(f"{before}\n{event_id}".encode()).hexdigest()


class Outbox(Protocol):
    """What the relay needs of a journal; also implemented over a read-only connection of another process."""

    @property
    def identity(self) -> str:
        """A UUID, new after a restore."""
        ...

    async def mark(self, shard: int) -> int:
        """The seq up to which the journal knows that everything is published; 0 at first. It may lag."""
        ...

    async def advance(self, shard: int, seq: int) -> None:
        """Everything up to `seq` is published. Lazy: the checkpoint in Kafka is the truth."""
        ...

    async def end(self, shard: int) -> int:
        """The highest committed seq."""
        ...

    async def read(self, shard: int, after: int, limit: int) -> Sequence[OutboxRow]:
        """The next rows, in order, from `after` (exclusive); fewer than `limit` where they are large."""
        ...

    async def chain(self, shard: int, seq: int) -> str | None:
        """That of the row at `seq`; None where there is no such row."""
        ...

    async def wait(self, shard: int, after: int, timeout: float) -> None:  # noqa: ASYNC109  # a poll, not a deadline
        """Return when there may be rows after `after`, or after `timeout` seconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupRow:
    """An object to ask the provider's API for. `asked` counts the deliveries that asked so far.

    `delivery_id`, `event_key`, `event_type` and `proof` are those of the newest delivery that asked; `settles` (see
    Lookup) is that of the newest one that promised anything.
    """

    id: int
    provider: str
    account: str
    ref: ObjectRef
    settles: frozenset[str]
    occurred_at: datetime | None
    asked: int
    attempts: int
    due_at: datetime
    delivery_id: str
    event_key: str | None
    event_type: str | None
    received_at: datetime
    proof: Proof
    rounds: int = 0

    @property
    def scope(self) -> tuple[str, str]:
        return (self.provider, self.account)

    @property
    def question(self) -> Asked:
        return Asked(ref=self.ref, occurred_at=self.occurred_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A delivery that was not accepted: no part of it is kept but its size and digest. `age`: how many seconds before
    it came it was signed, where that is the reason.
    """

    at: datetime
    provider: str
    account: str
    reason: str
    address: str
    size: int
    sha256: str
    age: int | None = None


class Journal(Outbox, Protocol):
    """memory, sqlite and postgres implement this; tests/journal holds all of them to one suite."""

    @property
    def shards(self) -> int: ...

    async def append(self, entry: Entry) -> tuple[Receipt, ...]:
        """Durable when it returns; concurrent calls share a commit. One receipt for each item.

        Raises JournalUnavailable: nothing of this entry was kept, and nothing may be acknowledged; LookupsFull (one of
        those): a hint about a new object, while too many of its account's wait.
        """
        ...

    async def due_lookups(self, now: datetime, limit: int) -> Sequence[LookupRow]:
        """Lookups whose time has come, up to `limit` of each account, oldest first."""
        ...

    async def next_lookup_at(self) -> datetime | None:
        """When the next lookup is due; None without any."""
        ...

    async def postpone(self, lookup: LookupRow, until: datetime) -> None:
        """An attempt failed for now: count it, and ask again at `until`. Raises JournalUnavailable."""
        ...

    async def give_up(self, lookup: LookupRow, *, reason: str, detail: str) -> bool:
        """The API will not answer: quarantine the delivery that asked (`lookup_not_found`, `lookup_denied`), or
        for a hint drop the lookup. False where a delivery that asked meanwhile keeps it. Raises JournalUnavailable.
        """
        ...

    async def lookups_waiting(self) -> int: ...

    async def expire(self, before: datetime, limit: int) -> int:
        """Let go of bodies and headers that came before, and of what was published of them: at most `limit` of each,
        oldest first; how many that were. What is quarantined, waits for a lookup or is not published stays whole, as
        do dedupe keys, digests, outcomes and payment states. Raises JournalUnavailable.
        """
        ...

    async def change(self, decide: Callable[[Unit], T], entries: Sequence[Entry] = ()) -> T:
        """Let an operator's work change something, in one commit: all of it or nothing. Returns what `decide` does,
        once that is durable; `entries` are the stored deliveries that it will hear again. Raises JournalUnavailable.
        """
        ...

    async def scrub(self) -> None:
        """What was erased is not to be found in the journal's files any more when this returns. Raises
        JournalUnavailable where something keeps it from that for now.
        """
        ...

    def reject(self, rejection: Rejection) -> None:
        """Remember a rejection in a bounded ring; never blocks, never fails, never costs a commit of its own."""
        ...

    async def rejections(self, limit: int) -> Sequence[Rejection]: ...

    async def healthy(self) -> None:
        """Raises JournalUnavailable while it cannot commit."""
        ...

    async def close(self) -> None: ...
