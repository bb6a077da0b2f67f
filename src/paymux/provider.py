"""What a provider is to paymux: one frozen value of tables and a few pure functions, and an account with it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from paymux.canonical import DisputeStatus, Entity, PaymentStatus, PayoutStatus, RefundStatus
from paymux.wild import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta
    from enum import StrEnum

    from paymux.delivery import Asked, Verified
    from paymux.signatures import Scheme
    from paymux.statement import Head, Lookup, Statement
    from paymux.wild import Wild

# Where two statements have the same time, the higher rank is the newer one.
RANKS: Final[Mapping[Entity, Mapping[str, int]]] = {
    Entity.PAYMENT: {
        PaymentStatus.PENDING: 0,
        PaymentStatus.REQUIRES_ACTION: 1,
        PaymentStatus.PROCESSING: 2,
        PaymentStatus.AUTHORIZED: 3,
        PaymentStatus.PARTIALLY_CAPTURED: 4,
        PaymentStatus.FAILED: 5,
        PaymentStatus.SUCCEEDED: 6,
        PaymentStatus.CANCELED: 7,
        PaymentStatus.EXPIRED: 8,
    },
    Entity.REFUND: {
        RefundStatus.PENDING: 0,
        RefundStatus.REQUIRES_ACTION: 1,
        RefundStatus.PROCESSING: 2,
        RefundStatus.CANCELED: 3,
        RefundStatus.SUCCEEDED: 4,
        RefundStatus.FAILED: 5,
    },
    Entity.DISPUTE: {
        DisputeStatus.INQUIRY: 0,
        DisputeStatus.NEEDS_RESPONSE: 1,
        DisputeStatus.UNDER_REVIEW: 2,
        DisputeStatus.EXPIRED: 3,
        DisputeStatus.ACCEPTED: 4,
        DisputeStatus.CANCELED: 5,
        DisputeStatus.WON: 6,
        DisputeStatus.LOST: 7,
    },
    Entity.PAYOUT: {
        PayoutStatus.PENDING: 0,
        PayoutStatus.IN_TRANSIT: 1,
        PayoutStatus.PAID: 2,
        PayoutStatus.CANCELED: 3,
        PayoutStatus.FAILED: 4,
        PayoutStatus.RETURNED: 5,
    },
}

FINAL: Final[Mapping[Entity, frozenset[str]]] = {
    Entity.PAYMENT: frozenset(
        {PaymentStatus.SUCCEEDED, PaymentStatus.FAILED, PaymentStatus.CANCELED, PaymentStatus.EXPIRED}
    ),
    Entity.REFUND: frozenset({RefundStatus.SUCCEEDED, RefundStatus.FAILED, RefundStatus.CANCELED}),
    Entity.DISPUTE: frozenset({DisputeStatus.ACCEPTED, DisputeStatus.CANCELED, DisputeStatus.WON, DisputeStatus.LOST}),
    Entity.PAYOUT: frozenset({PayoutStatus.FAILED, PayoutStatus.CANCELED, PayoutStatus.RETURNED}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transitions:
    """How this provider's statuses follow one another.

    `orders_by`: what makes a statement newer: the object's or event's time (ties by rank), or rank alone.
    `moves`: the moves that this provider makes out of final statuses, by entity. Where it may pass through
    an open status on the way, naming that one is enough.
    """

    orders_by: Literal["time", "rank"] = "time"
    moves: Mapping[Entity, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    ranks: Mapping[Entity, Mapping[str, int]] = field(default_factory=lambda: RANKS)

    def allows(self, entity: Entity, old: str, new: str) -> bool:
        """Whether a table leads from the final status `old` to `new`, also through ones that were not seen."""
        return new in self._reached(entity, old, frozenset())

    def _reached(self, entity: Entity, start: str, seen: frozenset[str]) -> frozenset[str]:
        reached: frozenset[str] = frozenset()
        for step in self.moves.get(entity, {}).get(start, frozenset()) - seen:
            reached |= {step} | self._onward(entity, step) | self._reached(entity, step, seen | {start, step})
        return reached

    def _onward(self, entity: Entity, status: str) -> frozenset[str]:
        if status in FINAL[entity]:
            return frozenset()
        ranks = self.ranks[entity]
        return frozenset(later for later, rank in ranks.items() if rank > ranks[status])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The acknowledgement that the provider expects."""

    status: int = 200
    body: bytes = b'{"received":true}'
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivery:
    """What the provider does without a good answer, as far as it says so: None is unknown.

    `timeout`: how many seconds it waits for one; `attempts`: how often it sends in all; `window`: for how long.
    `note`: what a number does not say, like what it does in the end.
    """

    timeout: float | None = None
    attempts: int | None = None
    window: timedelta | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One key of an account's `[accounts.options]`. An empty `choices` admits any text."""

    name: str
    help: str
    choices: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How to get one object: `path` holds `{id}`, and an id that does not match `id_pattern` is never asked for.

    `unwrap` leads from the answer to the object. `state` turns the object, a snapshot, into statements: unlike in a
    webhook, nested refunds and disputes speak too. `check` refuses an object that is not this account's (another
    tenant's) by raising Untranslatable. `query` is sent with every request. `livemode` reads the mode, where the object
    says it.
    """

    path: str
    state: Callable[[Wild, Asked], tuple[Statement, ...]]
    id_pattern: re.Pattern[str] = re.compile(r"[A-Za-z0-9_-]{1,128}")
    unwrap: tuple[str, ...] = ()
    id_key: str = "id"
    check: Callable[[Wild, Mapping[str, str]], None] | None = None
    query: tuple[tuple[str, str], ...] = ()
    livemode: Callable[[Wild], bool | None] = lambda found: found.maybe_flag("livemode")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """How to list payments.

    `object` is the kind of what is listed, in `Api.objects`; `unwrap` leads from the answer to what holds the list, and
    `items` is its key there; `filters` are the names of the query parameters that the provider knows; `following` gives
    the query parameters of the next page (added to those of the first), or None at the end; `query` is sent with every
    request. `within` gives the filters of one or several lists that together hold the payments between two times, the
    ones that may still move first; what a list holds beside them does no harm. `order` is that of a list that knows
    no times, by when payments were made. `others` are kinds of objects that stand for payments as well, and are in no
    list.
    """

    path: str
    items: str
    filters: frozenset[str]
    following: Callable[[Wild], Mapping[str, str] | None]
    page_size: tuple[str, int] = ("limit", 100)
    query: tuple[tuple[str, str], ...] = ()
    object: str = "payment"
    unwrap: tuple[str, ...] = ()
    within: Callable[[datetime, datetime], Sequence[Mapping[str, str]]] = lambda _since, _until: ({},)
    order: Literal["oldest", "newest"] | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """OAuth 2.0: the API key is `client id:client secret`, and buys access tokens at `path`.

    https://www.rfc-editor.org/rfc/rfc6749#section-4.4
    """

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The provider's API. `regions` are other hosts that the `region` option chooses.

    `headers` makes the authentication from the API key and the account's options; with `credentials`, from the access
    token that was bought with the key. `rate` (a second) and `burst` bound
    the requests of one account.
    """

    url: str
    headers: Callable[[str, Mapping[str, str]], Mapping[str, str]]
    objects: Mapping[str, Endpoint]
    payments: Listing | None = None
    credentials: ClientCredentials | None = None
    regions: Mapping[str, str] = field(default_factory=dict)
    rate: float = 20.0
    burst: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Known, ignored and unknown are three words: `events` are translated, `ignored` are known and deliberately not,
    every other event type is quarantined.

    `mapping` is the version of this file's mapping: raise it when the same bytes give another event.
    `parse` reads a webhook's body; what an API answers is JSON always. `refusal` is the status of the answer to a
    delivery that is not proven.
    `statuses` names the status tables, for `paymux providers`: title -> provider's word -> canonical status.
    `configure` chooses the scheme by the account's options, where the provider has more than one.
    `confirm`: what to ask the API for in place of believing the body, for accounts whose option `confirm` is `api`.
    `resends_current`: a retry carries the object as it is then, so only identity, amount and currency make a conflict.
    `thin`: the webhooks only name objects, so that an account is of no use without an API key.
    `handshake` answers a GET that the provider sends to learn whose endpoint it is: from the account and the query
    string, the body of the answer, or None for what is no such question.
    """

    name: str
    docs: str
    signature: Scheme
    head: Callable[[Verified, Wild], Head]
    events: Mapping[str, Callable[[Wild, Head], Sequence[Statement] | Lookup]]
    statuses: Mapping[str, Mapping[str, StrEnum]]
    mapping: int = 1
    ignored: frozenset[str] = frozenset()
    split: Callable[[Wild], Iterable[Wild]] | None = None
    confirm: Callable[[Wild, Head], Lookup] | None = None
    transitions: Transitions = Transitions()
    parse: Callable[[bytes], Wild] = parse_json
    ack: Ack = Ack()
    refusal: int = 401
    redelivery: Redelivery = Redelivery()
    api: Api | None = None
    options: tuple[Option, ...] = ()
    configure: Callable[[Scheme, Mapping[str, str]], Scheme] | None = None
    resends_current: Callable[[Verified], bool] = lambda _: False
    thin: bool = False
    handshake: Callable[[Account, str], bytes | None] | None = None

    def scheme(self, options: Mapping[str, str]) -> Scheme:
        return self.configure(self.signature, options) if self.configure else self.signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account with a provider: what the core needs to know of the configuration.

    `checks` are the schemes that a delivery must pass, strongest first, each with the keys of which any may match.
    `livemode` None: the configuration does not say. `source` and `mapping` are what events say of it.
    """

    provider: Provider
    name: str
    checks: tuple[tuple[Scheme, tuple[bytes, ...]], ...] = field(default=(), repr=False)  # keys are not to be shown
    livemode: bool | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    source: str = field(init=False)
    mapping: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", f"/paymux/{self.provider.name}/{self.name}")
        object.__setattr__(self, "mapping", f"{self.provider.name}/{self.provider.mapping}")
