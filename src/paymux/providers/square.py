"""Square: payments, refunds, disputes and payouts.

https://developer.squareup.com/docs/webhooks/overview
https://developer.squareup.com/reference/square/webhooks

- `x-square-hmacsha256-signature`: base64 of HMAC-SHA256 over the notification URL, exactly as the Developer Console has
  it, and the body. The key is the subscription's signature key as it stands. No time is signed.
  https://developer.squareup.com/docs/webhooks/step3validate
- The payment object is Payment; refunds name it in `payment_id`, disputes in `disputed_payment.payment_id`. Published
  examples have a `data.id` that is another than the object's: the object counts.
- `event_id` and `created_at` (up to nanoseconds) are the event's; objects carry `updated_at`, which orders them. No
  flag says test or live: sandbox applications have subscriptions of their own.
- Money is `{amount, currency}` in minor units of ISO 4217. Payouts are published with `currency_code`, and are negative
  where money is taken back. A payment's amount is `total_money`, with the tip: `refunded_money` counts up to it.
- `payment.updated` comes for every change, a completed refund too.
- Terminal checkouts and refunds, orders and invoices are other views of a payment that its own events tell.
- `dispute.state.changed`, `dispute.evidence.added` and `dispute.evidence.removed` are deprecated names of events, and
  their examples have `dispute_id` in place of `id`. Whoever subscribes to both names gets two event ids.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from paymux.canonical import (
    Breakdown,
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
from paymux.signatures.url_hmac import UrlHmac
from paymux.statement import Head, Statement, in_full, refunded

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Literal

    from paymux.delivery import Verified
    from paymux.money import Money
    from paymux.wild import Wild

# Payment.status -> payment. https://developer.squareup.com/reference/square/objects/Payment
STATUSES: Final = {
    "APPROVED": PaymentStatus.AUTHORIZED,
    "PENDING": PaymentStatus.PENDING,
    "COMPLETED": PaymentStatus.SUCCEEDED,  # captured, all of it
    "CANCELED": PaymentStatus.CANCELED,
    "FAILED": PaymentStatus.FAILED,
}

# PaymentRefund.status -> refund. https://developer.squareup.com/reference/square/objects/PaymentRefund
REFUND_STATUSES: Final = {
    "PENDING": RefundStatus.PENDING,
    "COMPLETED": RefundStatus.SUCCEEDED,
    "REJECTED": RefundStatus.FAILED,
    "FAILED": RefundStatus.FAILED,
}

# Dispute.state -> dispute. https://developer.squareup.com/reference/square/enums/DisputeState
DISPUTE_STATUSES: Final = {
    "INQUIRY_EVIDENCE_REQUIRED": DisputeStatus.INQUIRY,
    "INQUIRY_PROCESSING": DisputeStatus.UNDER_REVIEW,
    "INQUIRY_CLOSED": DisputeStatus.CANCELED,  # it ended without a chargeback: nobody won or lost
    "EVIDENCE_REQUIRED": DisputeStatus.NEEDS_RESPONSE,
    "PROCESSING": DisputeStatus.UNDER_REVIEW,
    "WON": DisputeStatus.WON,
    "LOST": DisputeStatus.LOST,
    "ACCEPTED": DisputeStatus.ACCEPTED,
}

# Payout.status -> payout. https://developer.squareup.com/reference/square/enums/PayoutStatus
PAYOUT_STATUSES: Final = {
    "SENT": PayoutStatus.IN_TRANSIT,
    "PAID": PayoutStatus.PAID,
    "FAILED": PayoutStatus.FAILED,
}

# Dispute.reason -> category, the card networks' four.
DISPUTE_REASONS: Final = {
    "NO_KNOWLEDGE": "fraud",
    "EMV_LIABILITY_SHIFT": "fraud",
    "AMOUNT_DIFFERS": "processing_error",
    "DUPLICATE": "processing_error",
    "PAID_BY_OTHER_MEANS": "processing_error",
    "CANCELLED": "consumer_dispute",
    "NOT_AS_DESCRIBED": "consumer_dispute",
    "NOT_RECEIVED": "consumer_dispute",
    "CUSTOMER_REQUESTS_CREDIT": "consumer_dispute",
}

# Payment.source_type -> (our word, where its details stand).
SOURCES: Final = {
    "CARD": ("card", "card_details"),
    "BANK_ACCOUNT": ("bank_debit", "bank_account_details"),
    "WALLET": ("wallet", "wallet_details"),
    "BUY_NOW_PAY_LATER": ("pay_later", "buy_now_pay_later_details"),
    "SQUARE_ACCOUNT": ("wallet", "square_account_details"),
    "CASH": ("offline", "cash_details"),
    "EXTERNAL": ("offline", "external_details"),
}

# Error codes of a failed payment -> category. https://developer.squareup.com/reference/square/enums/ErrorCode
FAILURES: Final = {
    code: category
    for category, codes in {
        FailureCategory.DECLINED: "GENERIC_DECLINE CARD_DECLINED CARD_DECLINED_CALL_ISSUER CARD_EXPIRED BAD_EXPIRATION "
        "CARD_NOT_SUPPORTED INSUFFICIENT_FUNDS INVALID_ACCOUNT TRANSACTION_LIMIT PAYMENT_LIMIT_EXCEEDED PAN_FAILURE "
        "CARDHOLDER_INSUFFICIENT_PERMISSIONS EXPIRATION_FAILURE INVALID_EXPIRATION ACCOUNT_UNUSABLE READER_DECLINED "
        "VOICE_FAILURE RESERVATION_DECLINED INVALID_CARD INVALID_CARD_DATA UNSUPPORTED_CARD_BRAND "
        "GIFT_CARD_AVAILABLE_AMOUNT",
        FailureCategory.AUTHENTICATION: "CVV_FAILURE VERIFY_CVV_FAILURE ADDRESS_VERIFICATION_FAILURE INVALID_PIN "
        "VERIFY_AVS_FAILURE CARD_DECLINED_VERIFICATION_REQUIRED MISSING_PIN ALLOWABLE_PIN_TRIES_EXCEEDED",
        FailureCategory.CANCELED_BY_CUSTOMER: "BUYER_REFUSED_PAYMENT",
        FailureCategory.TECHNICAL: "INTERNAL_SERVER_ERROR TEMPORARY_ERROR GATEWAY_TIMEOUT SERVICE_UNAVAILABLE",
    }.items()
    for code in codes.split()
}

TRANSITIONS: Final = Transitions(
    moves={
        # An inquiry is a question before the chargeback, which may follow one that was closed.
        Entity.DISPUTE: {DisputeStatus.CANCELED: frozenset({DisputeStatus.NEEDS_RESPONSE})},
    },
)

# What Square says of a payment and the model has no word for; Square has no metadata of its own.
METADATA: Final = ("location_id", "order_id", "receipt_number", "terminal_checkout_id")


# A time without an offset, as in an example of `dispute.state.updated`: it does not say when.
_LOCAL: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,12})?")


def head(_: Verified, body: Wild) -> Head:
    created = body.maybe_text("created_at")
    told = created is not None and not _LOCAL.fullmatch(created)
    return Head(
        event_key=body.id("event_id"),
        event_type=body.text("type"),
        occurred_at=body.rfc3339("created_at") if told else None,
    )


def payment(body: Wild, head: Head) -> tuple[Statement, ...]:
    found = body.child("data", "object", "payment")
    status = found.status("status", STATUSES)
    total, back = _money(found, "total_money"), _maybe_money(found, "refunded_money")
    block = Payment(
        id=found.id("id"),
        status=status,
        provider_status=found.text("status"),
        amount=total,
        amount_authorized=_maybe_money(found, "approved_money"),
        amount_captured=total if status is PaymentStatus.SUCCEEDED else None,
        amount_refunded=back,
        fee=_fees(found, "processing_fee"),
        breakdown=_breakdown(found),
        method=_method(found),
        customer_id=found.maybe_id("customer_id"),
        reference=found.free_text("reference_id"),
        description=found.free_text("note"),
        failure=_failure(found) if status is PaymentStatus.FAILED else None,
        created_at=found.maybe_rfc3339("created_at"),
        updated_at=found.maybe_rfc3339("updated_at"),
        paid_at=_captured_at(found),
        metadata=_metadata(found),
    )
    facts = refunded(back, full=in_full(total, back))
    return (Statement(block=block, at=_changed_at(found, head), payment_id=block.id, facts=facts),)


def refund(body: Wild, head: Head) -> tuple[Statement, ...]:
    """A refund that is not linked to a payment (`unlinked`, to a card or in cash) belongs to none."""
    found = body.child("data", "object", "refund")
    block = Refund(
        id=found.id("id"),
        payment_id=found.maybe_id("payment_id"),
        status=found.status("status", REFUND_STATUSES),
        provider_status=found.text("status"),
        amount=_money(found, "amount_money"),
        fee=_fees(found, "processing_fee"),
        reason=found.free_text("reason"),
        destination=_destination(found),
        created_at=found.maybe_rfc3339("created_at"),
        updated_at=found.maybe_rfc3339("updated_at"),
        metadata=_metadata(found),
    )
    return (Statement(block=block, at=_changed_at(found, head), payment_id=block.payment_id),)


def dispute(body: Wild, head: Head) -> tuple[Statement, ...]:
    found = body.child("data", "object", "dispute")
    word, state = found.maybe_text("reason"), found.text("state")
    block = Dispute(
        id=found.maybe_id("id") or found.id("dispute_id"),
        payment_id=found.child("disputed_payment").id("payment_id"),
        status=found.status("state", DISPUTE_STATUSES),
        provider_status=state,
        stage="inquiry" if state.startswith("INQUIRY_") else "chargeback",
        amount=_money(found, "amount_money"),
        reason=DisputeReason(category=DISPUTE_REASONS.get(word), code=word) if word else None,
        evidence_due_at=found.maybe_rfc3339("due_at"),
        created_at=found.maybe_rfc3339("created_at"),
        updated_at=found.maybe_rfc3339("updated_at"),
    )
    return (Statement(block=block, at=_changed_at(found, head), payment_id=block.payment_id),)


def payout(body: Wild, head: Head) -> tuple[Statement, ...]:
    found = body.child("data", "object", "payout")
    destination = found.maybe_child("destination")
    block = Payout(
        id=found.id("id"),
        status=found.status("status", PAYOUT_STATUSES),
        provider_status=found.text("status"),
        amount=_money(found, "amount_money"),
        fee=_fees(found, "payout_fee"),
        destination=destination.maybe_id("id") if destination else None,
        arrival_at=found.maybe_date("arrival_date"),
        created_at=found.maybe_rfc3339("created_at"),
        updated_at=found.maybe_rfc3339("updated_at"),
    )
    return (Statement(block=block, at=_changed_at(found, head)),)


# --- the forms that all objects share


def _changed_at(found: Wild, head: Head) -> datetime | None:
    return found.maybe_rfc3339("updated_at") or head.occurred_at


def _money(found: Wild, key: str) -> Money:
    money = found.child(key)
    return from_minor(money.integer("amount"), money.text("currency" if "currency" in money else "currency_code"))


def _maybe_money(found: Wild, key: str) -> Money | None:
    return _money(found, key) if key in found else None


def _fees(found: Wild, key: str) -> Money | None:
    """The fee and its adjustments; below zero where a refund gives some of it back."""
    fees = [_money(fee, "amount_money") for fee in found.children(key)]
    if not fees or len({fee.currency for fee in fees}) > 1:
        return None
    return from_minor(sum(fee.minor for fee in fees), fees[0].currency)


def _breakdown(found: Wild) -> Breakdown | None:
    if "tip_money" not in found:
        return None
    return Breakdown(subtotal=_maybe_money(found, "amount_money"), tip=_money(found, "tip_money"))


def _method(found: Wild) -> Method | None:
    source = found.maybe_text("source_type")
    if source is None:
        return None
    kind, place = SOURCES.get(source, (source.lower(), ""))
    details = found.maybe_child(place) if place else None
    card = details.maybe_child("card") if details and kind == "card" else None
    if card is not None:
        return Method(type=kind, brand=card.maybe_text("card_brand"), last4=card.maybe_text("last_4"))
    brand = details.maybe_text("brand") if details else None
    return Method(type=kind, wallet=brand) if kind == "wallet" else Method(type=kind, brand=brand)


def _failure(found: Wild) -> Failure:
    _, place = SOURCES.get(found.maybe_text("source_type") or "", ("", ""))
    details = found.maybe_child(place) if place else None
    for error in details.children("errors") if details else ():
        code = error.maybe_text("code")
        category = FAILURES.get(code or "", FailureCategory.UNKNOWN)
        return Failure(category=category, code=code, message=error.free_text("detail"))
    return Failure(category=FailureCategory.UNKNOWN)


def _captured_at(found: Wild) -> datetime | None:
    timeline = found.maybe_child("card_details", "card_payment_timeline")
    return timeline.maybe_rfc3339("captured_at") if timeline else None


def _destination(found: Wild) -> Literal["original", "out_of_band"] | None:
    """`unlinked` refunds go elsewhere than the payment came from. https://developer.squareup.com/docs/refunds-api/unlinked-refunds"""
    if found.maybe_text("destination_type") in ("CASH", "EXTERNAL"):
        return "out_of_band"
    return "original" if found.maybe_id("payment_id") and not found.maybe_flag("unlinked") else None


def _metadata(found: Wild) -> dict[str, Any]:
    return {key: found.free_text(key) for key in METADATA if key in found}


# Not payments, or another view of one. Every event of the API's specification of 2025-08-19 is here or in `events`.
ELSEWHERE: Final = frozenset(
    f"{family}.{event}"
    for family, events in {
        "bank_account": "created disabled verified",
        "card": "automatically_updated created disabled forgotten updated",
        "catalog": "version.updated",
        "customer": "created deleted updated custom_attribute.deleted custom_attribute.updated "
        "custom_attribute.public.deleted custom_attribute.public.updated custom_attribute_definition.created "
        "custom_attribute_definition.deleted custom_attribute_definition.updated "
        "custom_attribute_definition.public.created custom_attribute_definition.public.deleted "
        "custom_attribute_definition.public.updated",
        "booking": "created updated",
        "device": "code.paired created",
        "gift_card": "activity.created activity.updated created customer_linked customer_unlinked updated",
        "inventory": "count.updated",
        "invoice": "canceled created deleted payment_made published refunded scheduled_charge_failed updated",
        "job": "created updated",
        "labor": "scheduled_shift.created scheduled_shift.deleted scheduled_shift.published scheduled_shift.updated "
        "shift.created shift.deleted shift.updated timecard.created timecard.deleted timecard.updated",
        "location": "created updated",
        "loyalty": "account.created account.deleted account.updated event.created program.created program.updated "
        "promotion.created promotion.updated",
        "oauth": "authorization.revoked",
        "online_checkout": "location_settings.updated merchant_settings.updated",
        "order": "created fulfillment.updated updated",
        "subscription": "created updated",
        "team_member": "created updated wage_setting.updated",
        "terminal": "action.created action.updated checkout.created checkout.updated refund.created refund.updated",
        "transfer_order": "created deleted updated",
        "vendor": "created updated",
        "webhooks": "test_notification",
    }.items()
    for event in events.split()
) | frozenset(
    f"{family}.custom_attribute{event}"
    for family in ("booking", "customer", "location", "merchant", "order")
    for owner in ("owned", "visible")
    for event in (
        f".{owner}.updated",
        f".{owner}.deleted",
        f"_definition.{owner}.created",
        f"_definition.{owner}.updated",
        f"_definition.{owner}.deleted",
    )
)

SQUARE: Final = Provider(
    name="square",
    docs="https://developer.squareup.com/docs/webhooks/overview",
    signature=UrlHmac(header=b"x-square-hmacsha256-signature"),
    head=head,
    events={
        "payment.created": payment,
        "payment.updated": payment,
        "refund.created": refund,
        "refund.updated": refund,
        "dispute.created": dispute,
        "dispute.state.updated": dispute,
        "dispute.state.changed": dispute,
        "dispute.evidence.created": dispute,
        "dispute.evidence.added": dispute,
        "dispute.evidence.deleted": dispute,
        "dispute.evidence.removed": dispute,
        "payout.sent": payout,
        "payout.paid": payout,
        "payout.failed": payout,
    },
    ignored=ELSEWHERE,
    statuses={
        "Payment.status": STATUSES,
        "PaymentRefund.status": REFUND_STATUSES,
        "Dispute.state": DISPUTE_STATUSES,
        "Payout.status": PAYOUT_STATUSES,
    },
    transitions=TRANSITIONS,
    redelivery=Redelivery(
        timeout=10, window=timedelta(hours=24), note="older pages say 72 hours; what was not taken by then is discarded"
    ),
)
