"""What is stored, to be read: for commands and the private API, beside the line and never in its way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

from paymux.delivery import Via
from paymux.journal.jobs import EVERY

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from paymux.journal import Rejection
    from paymux.journal.audit import Audited
    from paymux.journal.changes import Scope
    from paymux.journal.jobs import Change, ChangeGroup, Job, JobState
    from paymux.lifecycle import Known
    from paymux.records import Record

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIMED: Final = 7  # the version of UUIDs that begin with their milliseconds


def came_at(delivery_id: str, via: str, received_at: datetime) -> datetime:
    """When this journal took a delivery in, by which rows are in order. An import tells when somebody else did; its id
    was made here.
    """
    if via != Via.IMPORT:
        return received_at
    try:
        identity = UUID(delivery_id)
    except ValueError:
        return received_at
    return _EPOCH + timedelta(milliseconds=identity.int >> 80) if identity.version == _TIMED else received_at


def first_id(at: datetime) -> str:
    """No delivery that came at that time or later has a smaller id."""
    return str(UUID(int=max(int((at - _EPOCH).total_seconds() * 1000), 0) << 80))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem:
    """One item of a delivery and what became of it; `payments` are the keys that it spoke of."""

    position: int | None
    event_key: str | None
    event_type: str | None
    occurred_at: datetime | None
    livemode: bool | None
    result: str
    outcome: str
    reason: str | None
    path: str | None
    detail: str | None
    payments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDelivery:
    """`row` counts deliveries in order of arrival. `size` is that of the body in bytes, None once it was let go of, or
    `erased`. `secret` is the index of the account's secret that matched.
    """

    row: int
    id: str
    provider: str
    account: str
    received_at: datetime
    attempts: int
    via: str
    proof: str
    secret: int | None
    sha256: str
    size: int | None
    erased: bool = False
    items: tuple[StoredItem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRequest:
    """A delivery's request as it came, secrets aside."""

    method: str
    path: str
    query: str
    url: str | None
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """A record of the outbox; `delivery` is the row that it comes from. `is_published`: the journal knows it to be on
    Kafka; that may lag by a second.
    """

    seq: int
    delivery: int | None
    created_at: datetime
    record: Record
    is_published: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPayment:
    """`links` are other ids that stand for the payment."""

    key: str
    known: Known
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineGroup:
    """Quarantined items that are alike. `first` and `last` are times of receipt, `delivery` is the id of the newest."""

    provider: str
    account: str
    event_type: str | None
    reason: str | None
    path: str | None
    count: int
    first: datetime
    last: datetime
    delivery: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """What is kept, and what of it a retention lets go of: bodies, and records of the outbox. `held` are bodies that
    are old enough and stay, since they are quarantined, wait for a lookup or are not published.
    """

    bodies: int
    oldest: datetime | None
    records: int
    old_bodies: int
    old_records: int
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """All that is given must fit. `payment` is a whole key, `since` and `until` bound the time of receipt."""

    provider: str | None = None
    account: str | None = None
    outcome: str | None = None
    reason: str | None = None
    event_type: str | None = None
    payment: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def impossible(sought: Sought) -> str | None:
    """Why nothing could ever fit; None where something could."""
    if sought.since is not None and sought.until is not None and sought.since >= sought.until:
        return "until should be later than since"
    if sought.reason is not None and sought.outcome not in (None, "quarantined"):
        return f"what became {sought.outcome} has no reason"
    provider, account, *rest = [*(sought.payment or "").split("/", 2), "", ""]
    if sought.payment is not None and not (provider and account and rest[0]):
        return "a payment is named PROVIDER/ACCOUNT/ID"
    if sought.payment is not None and not (sought.provider in (None, provider) and sought.account in (None, account)):
        return "the payment is of another provider or account"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Newest first. `next` is where the following page begins; None at the end. A page may be short where much had to
    be passed over to fill it.
    """

    deliveries: tuple[StoredDelivery, ...]
    next: int | None


class History(Protocol):
    """Every method raises JournalUnavailable."""

    async def deliveries(self, sought: Sought, *, limit: int, before: int | None = None) -> Page:
        """`before` is another page's `next`."""
        ...

    async def named(self, text: str, *, limit: int) -> Sequence[StoredDelivery]:
        """Deliveries that have an id beginning with `text`: their own, an event key, an event id, a payment's id or
        another name of it. Newest first.
        """
        ...

    async def delivery(self, delivery_id: str) -> StoredDelivery | None: ...

    async def request(self, delivery_id: str) -> StoredRequest | None:
        """None where it is not there, or not any more."""
        ...

    async def records(self, deliveries: Sequence[int]) -> Sequence[StoredRecord]:
        """What rows of deliveries published, in order."""
        ...

    async def payment(self, key: str) -> StoredPayment | None:
        """By provider/account/id, where the id may be another name of the payment."""
        ...

    async def payments(self, prefix: str, *, limit: int) -> Sequence[str]:
        """Keys that begin with `prefix`, or whose id does."""
        ...

    async def quarantine(self) -> Sequence[QuarantineGroup]:
        """What is quarantined, the largest group first."""
        ...

    async def rejections(self, limit: int) -> Sequence[Rejection]:
        """Newest first, as of the last commit."""
        ...

    async def quarantined_at(self, since: datetime) -> Sequence[datetime]:
        """When those deliveries came, since then, of which an item is quarantined; at most 10,000, the newest."""
        ...

    async def secrets_used(self, since: datetime) -> Mapping[Scope, Mapping[int, int]]:
        """By account: how many webhooks were proven by which of its secrets, since then; of very many, a sample that is
        spread over that time.
        """
        ...

    async def heard(self, account: Scope, since: datetime) -> Mapping[int, int]:
        """In which minutes the account's provider was heard, as bits, by hours since 1970."""
        ...

    async def jobs(self, *, limit: int, states: Collection[JobState] = EVERY) -> Sequence[Job]:
        """Those in these states, newest first."""
        ...

    async def job(self, job_id: str) -> Job | None: ...

    async def change_groups(self, job_id: str) -> Sequence[ChangeGroup]:
        """What a diff found, the largest group first."""
        ...

    async def changes(self, job_id: str, *, after: str, limit: int) -> Sequence[Change]:
        """One by one, by event id; `after` is the last one seen, empty at first."""
        ...

    async def retained(self, before: datetime) -> Retained:
        """What there is, and what `expire` would let go of now, all in all."""
        ...

    async def audit(self, *, after: int, limit: int) -> Sequence[Audited]:
        """In order, from row `after` (exclusive)."""
        ...

    async def close(self) -> None: ...
