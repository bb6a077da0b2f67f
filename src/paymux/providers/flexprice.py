"""Flexprice: usage billing on top of payment gateways. https://docs.flexprice.io/developers/webhooks/event-catalog

- Flexprice Cloud delivers by Svix, one secret for each endpoint and environment; `svix-id` is signed and stays the same
  on retries. A self-hosted installation without Svix posts **unsigned**, with the static headers of its
  `webhook.tenants.<id>.headers`: option `delivery = "native"`. Its retries rebuild the body from the current state and
  there is no id, so the state itself is the event key.
- The body has no event id, time, tenant or mode. `event_type` says which event, `payment_status` what happened: every
  outcome that a gateway reports comes as payment.updated, payment.pending is sent for PROCESSING too, and a body may be
  newer or older than its event's name.
- Payments came whole until 2026-08, slim since then (no metadata, created_at or updated_at): both are read. Slim ones
  cannot be ordered by time, so rank orders. Absent fields are left out, not null.
- A payment to a CUSTOMER tokenizes a card and is voided afterwards: no revenue. VOIDED releases an authorization.
  OVERPAID has received more than was due. FAILED, REFUNDED and VOIDED are final. INITIATED was never sent to a gateway;
  it falls back there from PROCESSING when a payment link fails, without an event. INITIATED and FAILED payments may be
  deleted: GET then answers 404.
- payment.attempt.failed is flat, and the payment stays open.
- One credit note may give several refunds, oldest payment first; what no payment covers goes to the WALLET without a
  payment_id. A failed GATEWAY refund is followed by another one to the WALLET (store credit), with `attempt` + 1 and
  `metadata.retry_of`, without refund.created; the failed one may show `metadata.fallback_refund_id`. No event tells
  PROCESSING or CANCELLED. A refund need not change its payment's status.
- Amounts are decimal strings in major units, currencies lower case, times RFC 3339. There are no disputes.
- Acknowledge within 5 seconds. An endpoint that fails for days is disabled.
- A GET of an open payment asks the gateway and may change it. `status` in a list is the record's, not the payment's.
  Errors are `{"code", "message", "http_status_code"}`, on one page `{"success": false, "error": {"message"}}`.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, Literal

from paymux.canonical import Entity, Failure, FailureCategory, Method, Payment, PaymentStatus, Refund, RefundStatus
from paymux.delivery import Proof
from paymux.money import from_major
from paymux.provider import RANKS, Api, Endpoint, Listing, Option, Provider, Redelivery, Transitions
from paymux.signatures.static_secret import StaticHeader
from paymux.signatures.svix import Svix, message_id
from paymux.statement import Fact, Head, Statement
from paymux.times import to_rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from paymux.delivery import Asked, Verified
    from paymux.money import Money
    from paymux.signatures import Scheme
    from paymux.wild import Wild

# Flexprice's payment_status -> ours. Refunded and overpaid payments did succeed; the rest is a fact beside that.
STATUSES: Final = {
    "INITIATED": PaymentStatus.PENDING,
    "PENDING": PaymentStatus.PENDING,
    "PROCESSING": PaymentStatus.PROCESSING,
    "SUCCEEDED": PaymentStatus.SUCCEEDED,
    "OVERPAID": PaymentStatus.SUCCEEDED,
    "PARTIALLY_REFUNDED": PaymentStatus.SUCCEEDED,
    "REFUNDED": PaymentStatus.SUCCEEDED,
    "FAILED": PaymentStatus.FAILED,
    "VOIDED": PaymentStatus.CANCELED,
}
# Flexprice's refund_status -> ours.
REFUND_STATUSES: Final = {
    "PENDING": RefundStatus.PENDING,
    "PROCESSING": RefundStatus.PROCESSING,
    "SUCCEEDED": RefundStatus.SUCCEEDED,
    "FAILED": RefundStatus.FAILED,
    "CANCELLED": RefundStatus.CANCELED,
}
# What a payment_status says beside the status. How much was refunded, it doesn't.
FACTS: Final = {
    "OVERPAID": (Fact(name="overpaid", says=(1,)),),
    "PARTIALLY_REFUNDED": (Fact(name="refunded", says=(0, 0)),),
    "REFUNDED": (Fact(name="refunded", says=(1, 0)),),
}
REFUND_STATES: Final[Mapping[str, Literal["partial", "full"]]] = {"PARTIALLY_REFUNDED": "partial", "REFUNDED": "full"}
# The time of a status, payment's or refund's.
STAMPS: Final = {
    "SUCCEEDED": "succeeded_at",
    "OVERPAID": "succeeded_at",
    "PARTIALLY_REFUNDED": "refunded_at",
    "REFUNDED": "refunded_at",
    "FAILED": "failed_at",
    "VOIDED": "voided_at",
    "CANCELLED": "cancelled_at",
}
# What tells one state of an object from another, where no message id does.
IDENTIFYING: Final = {
    "payment": ("id", "payment_status", "succeeded_at", "failed_at", "refunded_at", "voided_at"),
    "refund": ("id", "refund_status", "succeeded_at", "failed_at"),
}
PURPOSES: Final[Mapping[str, Literal["payment", "verification"]]] = {"INVOICE": "payment", "CUSTOMER": "verification"}
METHODS: Final = {
    "CARD": "card",
    "ACH": "bank_debit",
    "OFFLINE": "offline",
    "CREDITS": "credits",
    "PAYMENT_LINK": "payment_link",
    "UPI": "upi",
}
DESTINATIONS: Final[Mapping[str, Literal["original", "wallet", "out_of_band"]]] = {
    "GATEWAY": "original",
    "WALLET": "wallet",
    "OUT_OF_BAND": "out_of_band",
}

# Both of a refund's outcomes are final and a retry is another row; if both are told all the same, the money did move.
TRANSITIONS: Final = Transitions(
    orders_by="rank",
    ranks={**RANKS, Entity.REFUND: {**RANKS[Entity.REFUND], RefundStatus.FAILED: 4, RefundStatus.SUCCEEDED: 5}},
    moves={Entity.PAYMENT: {PaymentStatus.SUCCEEDED: frozenset({PaymentStatus.CANCELED})}},
)

# Bills, checkouts and everything else that isn't a payment or a refund: the names of all versions since 2025.
_OTHERS: Final = """
    alert.recovered alert.triggered
    checkout.session.completed checkout.session.expired checkout.session.failed checkout.session.initiated
    credit_note.created credit_note.updated
    customer.created customer.deleted customer.updated customer.usage.alert
    entitlement.created entitlement.deleted entitlement.grant.exhausted entitlement.updated
    event.rejected
    feature.created feature.deleted feature.updated feature.usage.alert feature.wallet_balance.alert
    invoice.communication.triggered invoice.create.drafted invoice.payment.failed invoice.payment.overdue
    invoice.sync.failed invoice.sync.success
    invoice.update invoice.update.finalized invoice.update.payment invoice.update.voided
    subscription.activated subscription.cancelled subscription.created subscription.draft.created
    subscription.group_spend.threshold_reached subscription.group_spend.threshold_recovered
    subscription.line_item_spend.threshold_reached subscription.line_item_spend.threshold_recovered
    subscription.paused subscription.phase.created subscription.phase.deleted subscription.phase.updated
    subscription.plan_changed subscription.renewal.due subscription.resumed
    subscription.spend.threshold_reached subscription.spend.threshold_recovered subscription.updated
    wallet.alert wallet.created wallet.credit_balance.dropped wallet.credit_balance.recovered
    wallet.ongoing_balance.dropped wallet.ongoing_balance.recovered wallet.ongoing_balance.updated
    wallet.terminated wallet.transaction.created wallet.transaction.updated wallet.updated
"""
IGNORED: Final = frozenset(_OTHERS.split())


def head(verified: Verified, body: Wild) -> Head:
    return Head(
        event_key=_state_key(body) if _is_native(verified) else message_id(verified),
        event_type=body.text("event_type"),
    )


def payment(body: Wild, _head: Head) -> tuple[Statement, ...]:
    return (_payment(body.child("payment")),)


def attempt_failed(body: Wild, _head: Head) -> tuple[Statement, ...]:
    """One charge attempt was declined; the payment's status stays what it is.

    https://docs.flexprice.io/api-reference/webhook-events/paymentattemptfailed
    """
    failure = Failure(category=FailureCategory.DECLINED, message=body.free_text("error_message"))
    block = Payment(id=body.id("payment_id"), failure=failure)
    return (Statement(block=block, payment_id=block.id, facts=(Fact(name="attempt_failed"),)),)


def refund(body: Wild, _head: Head) -> tuple[Statement, ...]:
    return (_refund(body.child("refund")),)


def payment_state(found: Wild, _asked: Asked) -> tuple[Statement, ...]:
    return (_payment(found),)


def refund_state(found: Wild, _asked: Asked) -> tuple[Statement, ...]:
    return (_refund(found),)


def _payment(found: Wild) -> Statement:
    word, status = found.text("payment_status"), found.status("payment_status", STATUSES)
    purpose, destination_id = _purpose(found), found.maybe_id("destination_id")
    block = Payment(
        id=found.id("id"),
        purpose=purpose,
        status=status,
        provider_status=word,
        amount=_money(found),
        method=_method(found),
        customer_id=destination_id if purpose == "verification" else None,
        invoice_id=destination_id if purpose == "payment" else None,
        reference=found.free_text("invoice_number"),
        failure=_failure(found, "error_message") if status is PaymentStatus.FAILED else None,
        created_at=found.maybe_rfc3339("created_at"),
        updated_at=found.maybe_rfc3339("updated_at"),
        paid_at=found.maybe_rfc3339("succeeded_at"),
        metadata=found.json("metadata"),
    )
    return Statement(
        block=block,
        at=block.updated_at or _stamp(found, word) or block.created_at,
        payment_id=block.id,
        facts=FACTS.get(word, ()),
        refund_state=REFUND_STATES.get(word),
    )


def _refund(found: Wild) -> Statement:
    word, status = found.text("refund_status"), found.status("refund_status", REFUND_STATUSES)
    metadata = found.maybe_child("metadata")
    block = Refund(
        id=found.id("id"),
        payment_id=found.maybe_id("payment_id"),
        status=status,
        provider_status=word,
        amount=_money(found),
        reason=found.free_text("refund_reason"),
        destination=DESTINATIONS.get(found.maybe_text("refund_destination") or ""),
        retry_of=metadata.maybe_id("retry_of") if metadata else None,
        failure=_failure(found, "failure_reason") if status is RefundStatus.FAILED else None,
        created_at=found.maybe_rfc3339("created_at"),
        updated_at=found.maybe_rfc3339("updated_at"),
        metadata=found.json("metadata"),
    )
    return Statement(
        block=block,
        at=block.updated_at or _stamp(found, word) or block.created_at,
        payment_id=block.payment_id,
    )


def _purpose(found: Wild) -> Literal["payment", "verification"]:
    """CUSTOMER came after INVOICE and is no revenue: a third word may not be either, so it isn't guessed."""
    purpose = PURPOSES.get(found.text("destination_type"))
    if purpose is None:
        raise found.at("destination_type").unknown("destination", reason="shape")
    return purpose


def _method(found: Wild) -> Method | None:
    method = METHODS.get(found.maybe_text("payment_method_type") or "")
    return Method(type=method) if method else None


def _money(found: Wild) -> Money:
    value = found.decimal("amount")
    if value < 0:
        raise found.at("amount").untamed("an amount of zero or more")
    return from_major(value, found.text("currency"))


def _failure(found: Wild, key: str) -> Failure:
    """The gateway's own sentence is all that there is: no code to tell a category by."""
    return Failure(category=FailureCategory.UNKNOWN, message=found.free_text(key))


def _stamp(found: Wild, word: str) -> datetime | None:
    return found.maybe_rfc3339(STAMPS[word]) if word in STAMPS else None


def _is_native(verified: Verified) -> bool:
    return verified.proof is Proof.STATIC


def _state_key(body: Wild) -> str:
    """The same for each retry of one event, though its body is made anew; another once the object moved on."""
    words = [body.text("event_type"), *_identity(body)]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _identity(body: Wild) -> list[str]:
    for name, keys in IDENTIFYING.items():
        found = body.maybe_child(name)
        if found is not None:
            return [f"{key}={found.at(key).value}" for key in keys]
    if "payment_id" in body:
        return [body.id("payment_id"), str(body.integer("attempt_number"))]
    return [body.digest()]


def configure(scheme: Scheme, options: Mapping[str, str]) -> Scheme:
    if options.get("delivery") != "native":
        return scheme
    return StaticHeader(header=options.get("native_header", "X-Api-Key").lower().encode())


def _following(page: Wild) -> dict[str, str] | None:
    """The offset in the answer is the one asked for plus the limit, so it is that of the next page.

    https://github.com/flexprice/flexprice/blob/main/internal/types/pagination.go
    """
    read, pagination = len(page.children("items")), page.child("pagination")
    offset = pagination.integer("offset")
    if not read or pagination.integer("total") <= max(offset, read):
        return None
    if offset < read:  # an offset that isn't moved on would give the same page for ever
        raise pagination.at("offset").untamed("the offset of the next page")
    return {"offset": str(offset)}


def _within(since: datetime, until: datetime) -> list[dict[str, str]]:
    """Oldest first: what is made meanwhile moves no page."""
    return [{"start_time": to_rfc3339(since), "end_time": to_rfc3339(until), "order": "asc"}]


REGIONS: Final = {
    "us": "https://us.api.flexprice.io/v1",
    "india": "https://api.cloud.flexprice.io/v1",
    "canada": "https://canada.api.flexprice.io/v1",
    "eu": "https://eu.api.flexprice.io/v1",
}
_FILTERS: Final = """
    limit offset sort order expand status payment_status payment_ids destination_type destination_id
    payment_method_type payment_gateway currency gateway_payment_id gateway_tracking_id start_time end_time
"""
# A ULID after a prefix; the prefix of refunds is not documented.
PAYMENT_ID: Final = re.compile(r"pay_[A-Za-z0-9]{1,64}")
REFUND_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}_[A-Za-z0-9]{1,64}")

FLEXPRICE: Final = Provider(
    name="flexprice",
    docs="https://docs.flexprice.io/developers/webhooks/event-catalog",
    signature=Svix(),
    head=head,
    events={
        "payment.created": payment,
        "payment.updated": payment,
        "payment.pending": payment,
        "payment.success": payment,
        "payment.failed": payment,
        "payment.attempt.failed": attempt_failed,
        "refund.created": refund,
        "refund.succeeded": refund,
        "refund.failed": refund,
    },
    ignored=IGNORED,
    statuses={"payment": STATUSES, "refund": REFUND_STATUSES},
    transitions=TRANSITIONS,
    redelivery=Redelivery(
        timeout=5,
        note="ever later, and an endpoint that fails for days is disabled; `native` up to 5 times, every 15 minutes",
    ),
    options=(
        Option(
            name="delivery",
            help="svix, or native: the unsigned delivery of a self-hosted installation, proven by a static header",
            choices=("svix", "native"),
        ),
        Option(name="native_header", help="the header that holds the shared secret of a native delivery (X-Api-Key)"),
        Option(name="region", help="which of the provider's hosts has the account's data", choices=tuple(REGIONS)),
    ),
    configure=configure,
    resends_current=_is_native,
    api=Api(
        url=REGIONS["us"],
        regions=REGIONS,
        headers=lambda key, _: {"x-api-key": key},
        objects={
            "payment": Endpoint(path="/payments/{id}", id_pattern=PAYMENT_ID, state=payment_state),
            "refund": Endpoint(path="/refunds/{id}", id_pattern=REFUND_ID, state=refund_state),
        },
        payments=Listing(
            path="/payments", items="items", filters=frozenset(_FILTERS.split()), following=_following, within=_within
        ),
    ),
)
