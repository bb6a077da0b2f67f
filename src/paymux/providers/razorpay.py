"""Razorpay: payments, and payouts by RazorpayX. https://razorpay.com/docs/webhooks/all/

- A payment is one attempt to pay: an order (or invoice, link, QR code, virtual account) may have several. Refunds and
  disputes name it by `payment_id`.
- Signed as the hex HMAC-SHA256 of the body. The secret is the webhook's own; retries of events from before a rotation
  keep the old one, so keep both for a day. https://razorpay.com/docs/webhooks/validate-test/
- The body has no event id, and the header that has one (`x-razorpay-event-id`) is not signed: the event's name, its
  time and the ids of what it contains are the key.
- The objects are as they were when it was sent (payment.authorized may show `captured`), so only identity, amount and
  currency make a conflict.
- Of what stands beside one another in `payload`, the event's own object speaks. The payment beside a refund or a
  dispute says nothing: Razorpay's own refund.failed still counts that refund in its `amount_refunded`. Where the event
  is that something was paid, the payment speaks, and says what payment.captured says.
- Unordered. An event's time is `created_at`; in payment_link.paid that may be the link's, so that the object's own
  `created_at` counts where it is later. Payments that failed may be authorized late.
  https://razorpay.com/docs/payments/payments/late-authorisation/
- No mode anywhere: the account's `livemode` says it. `notes` is `[]` where it is empty.
- Amounts are integers in ISO's minor units, also where it has three (KWD). A settlement names no currency, so its
  amount isn't one: the number stands in `metadata`. `processed` is all that Razorpay says of it, hours before the bank.
- 2xx within 5 seconds, or it comes again for 24 hours, and then the webhook is disabled until somebody enables it.
  https://razorpay.com/docs/webhooks/best-practices/
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from paymux.canonical import (
    Dispute,
    DisputeReason,
    DisputeStatus,
    Entity,
    Failure,
    FailureCategory,
    Method,
    Payment,
    PaymentStatus,
    Payout,
    PayoutStatus,
    Refund,
    RefundStatus,
)
from paymux.money import from_minor
from paymux.provider import Provider, Redelivery, Transitions
from paymux.signatures.raw_hmac import RawHmac
from paymux.statement import Fact, Head, Statement, in_full, purpose, refunded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from paymux.delivery import Verified
    from paymux.money import Money
    from paymux.wild import Wild

# Razorpay's word -> ours. https://razorpay.com/docs/api/payments/entity/
STATUSES: Final = {
    "created": PaymentStatus.PENDING,
    "authorized": PaymentStatus.AUTHORIZED,
    "captured": PaymentStatus.SUCCEEDED,
    "refunded": PaymentStatus.SUCCEEDED,
    "failed": PaymentStatus.FAILED,
}
# https://razorpay.com/docs/api/refunds/entity/
REFUND_STATUSES: Final = {
    "pending": RefundStatus.PENDING,
    "processed": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
}
# `closed`: of a suspected fraud, after a refund or an explanation. https://razorpay.com/docs/payments/disputes/
DISPUTE_STATUSES: Final = {
    "open": DisputeStatus.NEEDS_RESPONSE,
    "under_review": DisputeStatus.UNDER_REVIEW,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
    "closed": DisputeStatus.CANCELED,
}
STAGES: Final[Mapping[str, Literal["inquiry", "chargeback", "pre_arbitration", "arbitration"]]] = {
    "fraud": "inquiry",
    "retrieval": "inquiry",
    "chargeback": "chargeback",
    "pre_arbitration": "pre_arbitration",
    "arbitration": "arbitration",
}
# https://razorpay.com/docs/api/settlements/entity/
SETTLEMENT_STATUSES: Final = {
    "created": PayoutStatus.PENDING,
    "processed": PayoutStatus.PAID,
    "failed": PayoutStatus.FAILED,
}
# `rejected` by a person of the business. https://razorpay.com/docs/x/payouts/states-life-cycle/
PAYOUT_STATUSES: Final = {
    "pending": PayoutStatus.PENDING,
    "queued": PayoutStatus.PENDING,
    "scheduled": PayoutStatus.PENDING,
    "processing": PayoutStatus.IN_TRANSIT,
    "processed": PayoutStatus.PAID,
    "rejected": PayoutStatus.CANCELED,
    "cancelled": PayoutStatus.CANCELED,
    "reversed": PayoutStatus.RETURNED,
    "failed": PayoutStatus.FAILED,
}

# `error_reason` -> ours; most say no more than that it failed.
# https://razorpay.com/docs/payments/payment-gateway/rainy-day/errors/error-reasons/
FAILURES: Final = {
    "payment_cancelled": FailureCategory.CANCELED_BY_CUSTOMER,
    "authentication_failed": FailureCategory.AUTHENTICATION,
    "card_not_enrolled": FailureCategory.AUTHENTICATION,
    "incorrect_otp": FailureCategory.AUTHENTICATION,
    "incorrect_pin": FailureCategory.AUTHENTICATION,
    "incorrect_atm_pin": FailureCategory.AUTHENTICATION,
    "authorisation_declined_by_psp": FailureCategory.DECLINED,
    "card_declined": FailureCategory.DECLINED,
    "card_expired": FailureCategory.DECLINED,
    "card_number_invalid": FailureCategory.DECLINED,
    "debit_declined": FailureCategory.DECLINED,
    "debit_instrument_blocked": FailureCategory.DECLINED,
    "debit_instrument_inactive": FailureCategory.DECLINED,
    "incorrect_card_details": FailureCategory.DECLINED,
    "incorrect_card_expiry_date": FailureCategory.DECLINED,
    "incorrect_cvv": FailureCategory.DECLINED,
    "insufficient_funds": FailureCategory.DECLINED,
    "bank_not_available": FailureCategory.TECHNICAL,
    "bank_technical_error": FailureCategory.TECHNICAL,
    "capture_failed": FailureCategory.TECHNICAL,
    "gateway_technical_error": FailureCategory.TECHNICAL,
    "invalid_amount": FailureCategory.TECHNICAL,
    "invalid_currency": FailureCategory.TECHNICAL,
}

# A chargeback that was won may be raised again (pre_arbitration, arbitration). Normal refunds are `processed` from the
# beginning, and may fail after that.
TRANSITIONS: Final = Transitions(
    moves={
        Entity.PAYMENT: {PaymentStatus.FAILED: frozenset({PaymentStatus.AUTHORIZED, PaymentStatus.SUCCEEDED})},
        Entity.REFUND: {RefundStatus.SUCCEEDED: frozenset({RefundStatus.FAILED})},
        Entity.DISPUTE: {DisputeStatus.WON: frozenset({DisputeStatus.NEEDS_RESPONSE})},
    }
)

# A payout that ended so says why.
UNPAID: Final = frozenset({PayoutStatus.FAILED, PayoutStatus.RETURNED, PayoutStatus.CANCELED})

# What a settlement says without a currency, or that the model has no word for.
SETTLEMENT_METADATA: Final = ("amount", "fees", "tax")


# No money, or money that an event above tells of: `transaction.created` and `transfer.*` are entries of a ledger.
# Accounts and products are of partners: https://razorpay.com/docs/webhooks/partners/
# Tokens are mandates and saved cards: https://razorpay.com/docs/api/payments/recurring-payments/webhooks/
IGNORED: Final[Mapping[str, str]] = {
    "account": "activated activated_kyc_pending funds_hold funds_unhold instant_activation_gmv_limit_warning "
    "instantly_activated needs_clarification no_doc_onboarding_gmv_limit_warning payments_enabled rejected suspended "
    "under_review updated",
    "account.app": "authorization_revoked",
    "banking_accounts": "issued",
    "fund_account.validation": "completed failed",
    "invoice": "expired",
    "order.notification": "delivered failed",
    "payment.downtime": "resolved started updated",
    "payment_link": "cancelled expired",
    "payout.downtime": "resolved started",
    "payout_link": "attempted cancelled expired issued pending processed processing rejected",
    "product.payment_gateway": "activated activated_kyc_pending instantly_activated needs_clarification rejected "
    "under_review",
    "product.payment_link": "activated needs_clarification rejected under_review",  # written in both ways
    "product.payment_links": "activated activated_kyc_pending needs_clarification under_review",
    "product.route": "activated needs_clarification under_review",
    "qr_code": "closed created",
    "subscription": "activated authenticated cancelled completed halted paused pending resumed updated",
    "token": "activated cancellation_initiated cancelled confirmed deactivated expiry_updated initiated paused "
    "rejected resumed suspended",
    "token.service_provider": "activated cancelled deactivated failed",
    "token.service_provider_token": "activated",
    "transaction": "created",
    "transfer": "failed processed",
    "virtual_account": "closed created",
}


def head(_verified: Verified, body: Wild) -> Head:
    event_type = body.text("event")
    return Head(
        event_key=_event_key(event_type, body),
        event_type=event_type,
        occurred_at=body.maybe_seconds("created_at"),
    )


def payment(body: Wild, head: Head) -> tuple[Statement, ...]:
    found = _entity(body, "payment")
    order = body.maybe_child("payload", "order", "entity")
    subscription = body.maybe_child("payload", "subscription", "entity")
    amount, amount_refunded = _money(found, "amount"), _maybe_money(found, "amount_refunded")
    word, status = found.text("status"), found.status("status", STATUSES)
    block = Payment(
        id=found.id("id"),
        purpose=purpose(amount),
        status=status,
        provider_status=word,
        amount=amount,
        amount_captured=amount if word == "captured" else None,
        amount_refunded=amount_refunded,
        fee=_fee(found),
        method=_method(found),
        customer_id=found.maybe_id("customer_id"),
        invoice_id=found.maybe_id("invoice_id"),
        subscription_id=subscription.maybe_id("id") if subscription else None,
        reference=order.free_text("receipt") if order else None,
        description=found.free_text("description"),
        failure=_failure(found) if status is PaymentStatus.FAILED else None,
        created_at=found.maybe_seconds("created_at"),
        metadata=_notes(found),
    )
    facts = refunded(amount_refunded, full=in_full(amount, amount_refunded))
    return (Statement(block=block, at=_at(head, block.created_at), payment_id=block.id, facts=facts),)


def refund(body: Wild, head: Head) -> tuple[Statement, ...]:
    found = _entity(body, "refund")
    block = Refund(
        id=found.id("id"),
        payment_id=found.id("payment_id"),
        status=found.status("status", REFUND_STATUSES),
        provider_status=found.text("status"),
        amount=_money(found, "amount"),
        destination="original",
        created_at=found.maybe_seconds("created_at"),
        metadata=_notes(found),
    )
    return (Statement(block=block, at=_at(head, block.created_at), payment_id=block.payment_id),)


def dispute(body: Wild, head: Head) -> tuple[Statement, ...]:
    found = _entity(body, "dispute")
    deducted = _maybe_money(found, "amount_deducted")
    block = Dispute(
        id=found.id("id"),
        payment_id=found.id("payment_id"),
        status=found.status("status", DISPUTE_STATUSES),
        provider_status=found.text("status"),
        stage=_stage(found),
        amount=_money(found, "amount"),
        reason=DisputeReason(code=found.maybe_text("reason_code")),
        evidence_due_at=found.maybe_seconds("respond_by"),
        created_at=found.maybe_seconds("created_at"),
    )
    facts = (Fact(name="funds_withdrawn", says=(deducted.minor,)),) if deducted and deducted.minor > 0 else ()
    return (Statement(block=block, at=_at(head, block.created_at), payment_id=block.payment_id, facts=facts),)


def settlement(body: Wild, head: Head) -> tuple[Statement, ...]:
    found = _entity(body, "settlement")
    block = Payout(
        id=found.id("id"),
        status=found.status("status", SETTLEMENT_STATUSES),
        provider_status=found.text("status"),
        created_at=found.maybe_seconds("created_at"),
        metadata={key: found.integer(key) for key in SETTLEMENT_METADATA if key in found}
        | ({"utr": found.free_text("utr")} if "utr" in found else {}),
    )
    return (Statement(block=block, at=_at(head, block.created_at)),)


def payout(body: Wild, head: Head) -> tuple[Statement, ...]:
    found = _entity(body, "payout")
    status = found.status("status", PAYOUT_STATUSES)
    block = Payout(
        id=found.id("id"),
        status=status,
        provider_status=found.text("status"),
        amount=_money(found, "amount"),
        fee=_maybe_money(found, "fees"),
        destination=found.maybe_id("fund_account_id"),
        failure=_payout_failure(found) if status in UNPAID else None,
        created_at=found.maybe_seconds("created_at"),
        metadata=_notes(found),
    )
    return (Statement(block=block, at=_at(head, block.created_at)),)


def _entity(body: Wild, name: str) -> Wild:
    return body.child("payload", name, "entity")


def _event_key(event_type: str, body: Wild) -> str:
    payload = body.child("payload")
    entities = [payload.at(name).at("entity") for name in sorted(payload)]
    ids = [entity.maybe_text("id") or "" for entity in entities if type(entity.value) is dict]
    return f"{event_type}:{body.maybe_integer('created_at')}:{','.join(ids)}"


def _stage(found: Wild) -> Literal["inquiry", "chargeback", "pre_arbitration", "arbitration"]:
    stage = STAGES.get(found.text("phase"))
    if stage is None:
        raise found.at("phase").unknown("phase of a dispute", reason="unknown_status")
    return stage


def _money(found: Wild, key: str) -> Money:
    return from_minor(found.integer(key), found.text("currency"))


def _maybe_money(found: Wild, key: str) -> Money | None:
    return _money(found, key) if key in found else None


def _fee(found: Wild) -> Money | None:
    """Taken in `base_currency`, which is given only where it is another one than the payment's.
    https://razorpay.com/docs/payments/international-payments/currency-conversion/
    """
    fee, base = found.maybe_integer("fee"), found.maybe_text("base_currency")
    if fee is None or (base is None and found.maybe_flag("international")):
        return None
    return from_minor(fee, found.text("currency") if base is None else base)


def _method(found: Wild) -> Method | None:
    word, card = found.maybe_text("method"), found.maybe_child("card")
    if word is None:
        return None
    return Method(
        type=word,
        brand=card.maybe_text("network") if card else None,
        last4=card.maybe_text("last4") if card else None,
        wallet=found.maybe_text("wallet"),
    )


def _failure(found: Wild) -> Failure:
    reason = found.maybe_text("error_reason")
    return Failure(
        category=FAILURES.get(reason or "", FailureCategory.UNKNOWN),
        code=found.maybe_text("error_code"),
        decline_code=reason,
        message=found.free_text("error_description"),
    )


def _payout_failure(found: Wild) -> Failure:
    """https://razorpay.com/docs/errors/x/payout-status-details/"""
    details = found.maybe_child("status_details")
    return Failure(
        category=FailureCategory.UNKNOWN,
        code=details.maybe_text("reason") if details else None,
        message=(details.free_text("description") if details else None) or found.free_text("failure_reason"),
    )


def _notes(found: Wild) -> dict[str, Any] | None:
    return {} if found.at("notes").value == [] else found.json("notes")


def _at(head: Head, created_at: datetime | None) -> datetime | None:
    """The event's time; no object says anything before it is there."""
    return max((time for time in (head.occurred_at, created_at) if time is not None), default=None)


RAZORPAY: Final = Provider(
    name="razorpay",
    docs="https://razorpay.com/docs/webhooks/all/",
    signature=RawHmac(header=b"x-razorpay-signature"),
    head=head,
    events={
        "payment.authorized": payment,
        "payment.captured": payment,
        "payment.failed": payment,
        "order.paid": payment,
        "invoice.paid": payment,
        "invoice.partially_paid": payment,
        "payment_link.paid": payment,
        "payment_link.partially_paid": payment,
        "qr_code.credited": payment,
        "virtual_account.credited": payment,
        "subscription.charged": payment,
        "refund.created": refund,
        "refund.processed": refund,
        "refund.failed": refund,
        "refund.speed_changed": refund,
        "payment.dispute.created": dispute,
        "payment.dispute.won": dispute,
        "payment.dispute.lost": dispute,
        "payment.dispute.closed": dispute,
        "payment.dispute.under_review": dispute,
        "payment.dispute.action_required": dispute,
        "settlement.processed": settlement,
        "payout.pending": payout,
        "payout.rejected": payout,
        "payout.queued": payout,
        "payout.initiated": payout,
        "payout.processed": payout,
        "payout.updated": payout,
        "payout.reversed": payout,
        "payout.failed": payout,
    },
    ignored=frozenset(f"{kind}.{event}" for kind, events in IGNORED.items() for event in events.split()),
    statuses={
        "payment": STATUSES,
        "refund": REFUND_STATUSES,
        "dispute": DISPUTE_STATUSES,
        "settlement": SETTLEMENT_STATUSES,
        "payout (RazorpayX)": PAYOUT_STATUSES,
    },
    transitions=TRANSITIONS,
    resends_current=lambda _: True,
    redelivery=Redelivery(
        timeout=5,
        window=timedelta(hours=24),
        note="exponential backoff; then the webhook is disabled until somebody enables it in the dashboard",
    ),
)
