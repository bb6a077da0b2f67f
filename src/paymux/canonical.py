"""The published contract: one CloudEvents envelope around one canonical payment event.

Every key is always present; what is not known is null. The classes are plain frozen dataclasses, so that the line
can build one for each event; pydantic reads the same definitions to make `schemas/` and to check events in tests and
tools (`parse_event`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, TypeAdapter

from paymux.delivery import Proof, Via
from paymux.money import Money

DATASCHEMA: Final = "urn:paymux:payment-event:1"
CONTENT_TYPE: Final = "application/cloudevents+json"


class Entity(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"
    PAYOUT = "payout"


class PaymentStatus(StrEnum):
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    AUTHORIZED = "authorized"
    PARTIALLY_CAPTURED = "partially_captured"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


class RefundStatus(StrEnum):
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class DisputeStatus(StrEnum):
    INQUIRY = "inquiry"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    ACCEPTED = "accepted"
    EXPIRED = "expired"
    CANCELED = "canceled"
    WON = "won"
    LOST = "lost"


class PayoutStatus(StrEnum):
    PENDING = "pending"
    IN_TRANSIT = "in_transit"
    PAID = "paid"
    FAILED = "failed"
    CANCELED = "canceled"
    RETURNED = "returned"


class FailureCategory(StrEnum):
    DECLINED = "declined"
    AUTHENTICATION = "authentication"
    TECHNICAL = "technical"
    FRAUD = "fraud"
    CANCELED_BY_CUSTOMER = "canceled_by_customer"
    UNKNOWN = "unknown"


class Transition(StrEnum):
    FIRST = "first"
    ADVANCED = "advanced"
    REPEATED = "repeated"
    STALE = "stale"
    RETRIED = "retried"
    REVERSED = "reversed"
    UNEXPECTED = "unexpected"
    CORRECTED = "corrected"


RefundState = Literal["none", "partial", "full", "unknown"]

# Facts beside the statuses, in the order in which one item's are published: entity -> type suffixes.
FACT_TYPES: Final[dict[Entity, tuple[str, ...]]] = {
    Entity.PAYMENT: ("attempt_failed", "overpaid", "partially_refunded", "refunded", "settled"),
    Entity.REFUND: (),
    Entity.DISPUTE: ("funds_withdrawn", "funds_reinstated"),
    Entity.PAYOUT: (),
}
STATUSES: Final[dict[Entity, type[StrEnum]]] = {
    Entity.PAYMENT: PaymentStatus,
    Entity.REFUND: RefundStatus,
    Entity.DISPUTE: DisputeStatus,
    Entity.PAYOUT: PayoutStatus,
}
EVENT_TYPES: Final[tuple[str, ...]] = tuple(
    f"{entity}.{name}"
    for entity in Entity
    for name in (*(status.value for status in STATUSES[entity]), "updated", *FACT_TYPES[entity])
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    category: FailureCategory
    code: str | None = None
    decline_code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How it was paid: `type` is a word like card, bank_transfer, wallet, offline."""

    type: str | None = None
    brand: str | None = None
    last4: str | None = None
    wallet: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """In the settlement currency; `exchange_rate` is a decimal string."""

    amount: Money | None = None
    exchange_rate: str | None = None
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    subtotal: Money | None = None
    tax: Money | None = None
    tip: Money | None = None
    shipping: Money | None = None
    discount: Money | None = None
    surcharge: Money | None = None
    late_fee: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineItem:
    reference: str | None = None
    description: str | None = None
    amount: Money | None = None
    tax: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What this delivery said of a payment. `status` is null where another object speaks for it.

    `purpose` is `verification` for a zero or voided charge that only checks the method: no revenue.
    """

    entity: ClassVar[Entity] = Entity.PAYMENT

    id: str
    purpose: Literal["payment", "verification"] = "payment"
    status: PaymentStatus | None = None
    provider_status: str | None = None
    amount: Money | None = None
    amount_authorized: Money | None = None
    amount_captured: Money | None = None
    amount_refunded: Money | None = None
    fee: Money | None = None
    settlement: Settlement | None = None
    breakdown: Breakdown | None = None
    line_items: tuple[LineItem, ...] | None = None
    method: Method | None = None
    customer_id: str | None = None
    invoice_id: str | None = None
    subscription_id: str | None = None
    reference: str | None = None
    description: str | None = None
    failure: Failure | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    due_at: datetime | None = None
    paid_at: datetime | None = None
    settled_at: datetime | None = None
    next_retry_at: datetime | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    entity: ClassVar[Entity] = Entity.REFUND

    id: str
    payment_id: str | None = None
    status: RefundStatus | None = None
    provider_status: str | None = None
    amount: Money | None = None
    fee: Money | None = None
    reason: str | None = None
    destination: Literal["original", "wallet", "out_of_band"] | None = None
    retry_of: str | None = None
    failure: Failure | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeReason:
    category: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    entity: ClassVar[Entity] = Entity.DISPUTE

    id: str
    payment_id: str | None = None
    status: DisputeStatus | None = None
    provider_status: str | None = None
    stage: Literal["inquiry", "chargeback", "pre_arbitration", "arbitration"] | None = None
    amount: Money | None = None
    reason: DisputeReason | None = None
    evidence_due_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    entity: ClassVar[Entity] = Entity.PAYOUT

    id: str
    status: PayoutStatus | None = None
    provider_status: str | None = None
    amount: Money | None = None
    fee: Money | None = None
    destination: str | None = None
    failure: Failure | None = None
    arrival_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    metadata: dict[str, Any] | None = None


Block = Payment | Refund | Dispute | Payout


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is known of the payment after the event."""

    status: PaymentStatus | None
    amount: Money | None
    captured: Money | None
    refunded: Money | None
    refund_state: RefundState
    disputed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """`previous_status` is the entity's before this item; `state` is the payment's, null for payouts."""

    sequence: Annotated[int, Field(ge=1)]
    transition: Transition | None
    previous_status: str | None
    state: State | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the event comes from. `corrects` is the id of the event first published, on a correction."""

    delivery_id: str
    event_key: str
    event_type: str | None
    received_at: datetime
    via: Via
    proof: Proof
    mapping: str
    replay_id: str | None = None
    corrects: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Exactly one of the four blocks is filled: the one that `entity` names."""

    provider: str
    account: str
    livemode: bool | None
    entity: Entity
    payment_id: str | None
    payment: Payment | None = None
    refund: Refund | None = None
    dispute: Dispute | None = None
    payout: Payout | None = None
    lifecycle: Lifecycle | None
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentEvent:
    """The value of a record on the events topic: CloudEvents 1.0, structured mode."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str = DATASCHEMA
    data: Data


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineData:
    """Why a verified item could not be translated; never its body. `item` is its index in a batch."""

    provider: str
    account: str
    livemode: bool | None
    delivery_id: str
    item: int | None
    reason: str
    path: str | None
    detail: str | None
    event_key: str | None
    event_type: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineEvent:
    """The value of a record on the quarantine topic: CloudEvents 1.0, structured mode."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: Literal["paymux.quarantined"] = "paymux.quarantined"
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str = "urn:paymux:quarantine:1"
    data: QuarantineData


EVENT: Final = TypeAdapter(PaymentEvent)
QUARANTINE: Final = TypeAdapter(QuarantineEvent)


def parse_event(value: bytes) -> PaymentEvent:
    """A record's value as the consumer sees it; nothing is converted. Raises pydantic.ValidationError."""
    return EVENT.validate_json(value, strict=True)
