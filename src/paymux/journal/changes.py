"""What one commit reads and what it changes, as values: no storage, no decision."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from paymux.delivery import Delivery, ObjectRef, Proof
    from paymux.journal import LookupRow, OutboxRow, Result
    from paymux.journal.audit import Audited
    from paymux.journal.jobs import Change, Job
    from paymux.lifecycle import Known
    from paymux.records import Record, Topics
    from paymux.statement import Item

Scope = tuple[str, str]  # provider, account

DISCARDED: Final = "discarded"  # the reason of an item that an operator took out of quarantine


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is stored under an event key: in which delivery, how its item read, and that delivery's body digest."""

    delivery: int
    fingerprint: str
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDelivery:
    """A delivery as it is stored: redacted, under a row number in order of arrival."""

    row: int
    delivery: Delivery
    proof: Proof
    secret: int | None
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptItem:
    """One item as it is stored. `dedupe_key` is unique for each account; None for a duplicate and for an item
    without event key. `place` is its row in the order in which items were heard; None: the next.
    """

    delivery: int
    item: Item
    scope: Scope
    dedupe_key: str | None
    result: Result
    outcome: str
    reason: str | None = None
    path: str | None = None
    detail: str | None = None
    payment_keys: tuple[str, ...] = ()
    attempt: int = 1
    place: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """An item that is stored, to be heard again: `row` is its place in the order in which items were heard, `attempt`
    counts how often its delivery was translated anew with another result.
    """

    row: int
    delivery: int
    dedupe_key: str | None
    result: str
    outcome: str
    reason: str | None
    path: str | None
    attempt: int
    event_type: str | None


@dataclass(slots=True, kw_only=True)
class Needs:
    """What deciding a batch of entries will read, as far as that can be told beforehand."""

    seen: dict[Scope, list[str]] = field(default_factory=dict)
    known: list[str] = field(default_factory=list)
    aliases: dict[Scope, list[str]] = field(default_factory=dict)


class View(Protocol):
    """What is stored, as of the last commit."""

    def seen(self, scope: Scope, dedupe_key: str) -> Seen | None: ...

    def known(self, key: str) -> Known | None: ...

    def link(self, scope: Scope, alias: str) -> str | None:
        """The payment id that an alias stands for."""
        ...

    def orphans(self, scope: Scope, alias: str) -> Iterable[str]:
        """Keys of entities that named their payment by this alias before it was known."""
        ...

    def lookup(self, scope: Scope, ref: ObjectRef) -> LookupRow | None: ...

    def row_of(self, delivery_id: str) -> int | None: ...

    def filed(self, delivery: int) -> Sequence[Filed]:
        """The items of a delivery's row, as they were heard first."""
        ...

    def is_published(self, event_id: str) -> bool:
        """Whether the outbox has it, or it is taken."""
        ...

    @property
    def is_taken(self) -> Callable[[str], bool] | None:
        """Whether the journal that this one was restored from published an event, which the copy did not hold yet.
        None where it took over none.
        """
        ...

    def job(self, job_id: str) -> Job | None: ...

    def erased(self, deliveries: Sequence[int]) -> frozenset[int]:
        """Those of these rows that an operator erased: whoever read them before must not use what he read."""
        ...

    def reworded(self, outbox: Sequence[int]) -> frozenset[int]:
        """Those of these rows of the outbox whose records were."""
        ...


@dataclass(slots=True, kw_only=True)
class Counters:
    """The last numbers given away; the outbox counts for each shard, and `chains` has the last row's chain. `acts` and
    `acts_chain` are the audit trail's.
    """

    delivery: int = 0
    lookup: int = 0
    acts: int = 0
    acts_chain: str = ""
    outbox: dict[int, int] = field(default_factory=dict)
    chains: dict[int, str] = field(default_factory=dict)

    def copy(self) -> Counters:
        return replace(self, outbox=dict(self.outbox), chains=dict(self.chains))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`max_record` is the largest record in bytes; a broker's `max.message.bytes` must admit it."""

    topics: Topics
    shards: int = 1
    max_record: int = 900_000


@dataclass(slots=True, kw_only=True)
class Changes:
    """What is to be written. A lookup of None is to be deleted. `refiled` are rows of items that others in `items`
    stand for from now on, `discarded` those that an operator took out of quarantine, and why. `expired` are rows of
    deliveries without body and headers from now on, `forgotten` outbox rows as (shard, seq). `erased` are deliveries
    without anything of their own words, since they spoke of `erased_names`; `reworded` the outbox rows, by place, whose
    records say less from now on.
    `respoken` are rows of items that speak of these keys from now on, with their deliveries' rows.
    `listed` are keys that a job came across, `unlisted` jobs that need to know theirs no longer; `unfound` are jobs
    whose findings go, but for those that a delivery from this id on put right. `heard` has the
    minutes in which an account's provider was heard, as bits, by hours since 1970.
    """

    deliveries: list[KeptDelivery] = field(default_factory=list)
    items: list[KeptItem] = field(default_factory=list)
    attempts: dict[int, int] = field(default_factory=dict)
    seen: dict[tuple[Scope, str], Seen] = field(default_factory=dict)
    known: dict[str, Known] = field(default_factory=dict)
    links: dict[tuple[Scope, str], str] = field(default_factory=dict)
    orphans: dict[tuple[Scope, str], list[str]] = field(default_factory=dict)
    lookups: dict[tuple[Scope, ObjectRef], LookupRow | None] = field(default_factory=dict)
    given_up: list[tuple[int | None, str, str]] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    refiled: list[int] = field(default_factory=list)
    discarded: list[tuple[int, str]] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    found: list[Change] = field(default_factory=list)
    respoken: dict[int, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    listed: list[tuple[str, str]] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    unfound: dict[str, str] = field(default_factory=dict)
    heard: dict[tuple[Scope, int], int] = field(default_factory=dict)
    audit: list[Audited] = field(default_factory=list)
    expired: list[int] = field(default_factory=list)
    forgotten: list[tuple[int, int]] = field(default_factory=list)
    erased: list[int] = field(default_factory=list)
    erased_at: datetime | None = None
    erased_names: list[str] = field(default_factory=list)
    reworded: dict[tuple[int, int], Record] = field(default_factory=dict)

    def update(self, later: Changes) -> None:
        """Take in what was decided on top of these; only decisions about payments are made that way."""
        self.known.update(later.known)
        self.links.update(later.links)
        for name, keys in later.orphans.items():
            self.orphans.setdefault(name, []).extend(keys)


class Overlay:
    """A View of `below` as it will be once `changes` are written."""

    def __init__(self, below: View) -> None:
        self._below = below
        self.changes = Changes()
        self.published: set[str] = set()

    def seen(self, scope: Scope, dedupe_key: str) -> Seen | None:
        return self.changes.seen.get((scope, dedupe_key)) or self._below.seen(scope, dedupe_key)

    def known(self, key: str) -> Known | None:
        return self.changes.known.get(key) or self._below.known(key)

    def link(self, scope: Scope, alias: str) -> str | None:
        return self.changes.links.get((scope, alias)) or self._below.link(scope, alias)

    def orphans(self, scope: Scope, alias: str) -> Iterable[str]:
        return [*self._below.orphans(scope, alias), *self.changes.orphans.get((scope, alias), ())]

    def lookup(self, scope: Scope, ref: ObjectRef) -> LookupRow | None:
        if (scope, ref) in self.changes.lookups:
            return self.changes.lookups[scope, ref]
        return self._below.lookup(scope, ref)

    def row_of(self, delivery_id: str) -> int | None:
        return self._below.row_of(delivery_id)

    def filed(self, delivery: int) -> Sequence[Filed]:
        return self._below.filed(delivery)

    def is_published(self, event_id: str) -> bool:
        return event_id in self.published or self._below.is_published(event_id)

    @property
    def is_taken(self) -> Callable[[str], bool] | None:
        return self._below.is_taken

    def job(self, job_id: str) -> Job | None:
        return self.changes.jobs.get(job_id) or self._below.job(job_id)

    def erased(self, deliveries: Sequence[int]) -> frozenset[int]:
        return self._below.erased(deliveries)

    def reworded(self, outbox: Sequence[int]) -> frozenset[int]:
        return self._below.reworded(outbox)
