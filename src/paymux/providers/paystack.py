"""Paystack: collections and transfers in Africa. https://paystack.com/docs/payments/webhooks/

- The payment is the transaction, and its id here is the `reference`: refunds name nothing else, and disputes carry the
  transaction. A preauthorization has the reference of the transaction that captures it.
- Signed as the hex HMAC-SHA512 of the raw body with the API secret key (`sk_live_...`, `sk_test_...`) itself.
  Paystack's Node.js sample writes the JSON anew first; its PHP sample takes the body as it is, and so does paymux.
- No event id: the sha256 of the body is the key. A pending refund has no id and no time, so two refunds of one
  transaction over the same amount look like one that was sent twice.
- Refunds carry no time at all, so rank orders them; a preauthorization has one once it is captured or released.
- Of transactions only success is announced, and of transfers nothing before the end.
- Amounts are integers in hundredths, in every currency: Paystack's own WooCommerce plugin multiplies by 100 also where
  ISO has no minor unit (XOF, RWF). Refunds and captures write them as strings.
  https://github.com/PaystackOSS/woo-paystack
- `domain` is the mode. `metadata` may be 0, "" or an object. Times are ISO in UTC, under `created_at` or `createdAt`.
- Exactly 200 within 30 seconds, or it comes again: live 4 times every 3 minutes, then hourly for 72 hours; test hourly
  for 10.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

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
from paymux.provider import RANKS, Provider, Redelivery, Transitions
from paymux.signatures.raw_hmac import RawHmac
from paymux.statement import Head, Statement

if TYPE_CHECKING:
    from datetime import datetime

    from paymux.delivery import Verified
    from paymux.money import Money
    from paymux.wild import Wild

# Paystack's word -> ours. https://paystack.com/docs/payments/verify-payments/#transaction-statuses
# `reversed`: refunded, in part or whole, or charged back; it did succeed.
STATUSES: Final = {
    "pending": PaymentStatus.PENDING,
    "queued": PaymentStatus.PENDING,
    "abandoned": PaymentStatus.PENDING,
    "ongoing": PaymentStatus.REQUIRES_ACTION,
    "processing": PaymentStatus.PROCESSING,
    "success": PaymentStatus.SUCCEEDED,
    "reversed": PaymentStatus.SUCCEEDED,
    "failed": PaymentStatus.FAILED,
}
# What failed to be captured or released is still authorized. https://paystack.com/docs/payments/preauthorization/
PREAUTHORIZATION_STATUSES: Final = {
    "authorized": PaymentStatus.AUTHORIZED,
    "capture_failed": PaymentStatus.AUTHORIZED,
    "release_failed": PaymentStatus.AUTHORIZED,
    "captured": PaymentStatus.SUCCEEDED,
    "released": PaymentStatus.CANCELED,
}
# `needs-attention`: Paystack asks for the customer's bank account. https://paystack.com/docs/payments/refunds/
REFUND_STATUSES: Final = {
    "pending": RefundStatus.PENDING,
    "processing": RefundStatus.PROCESSING,
    "needs-attention": RefundStatus.REQUIRES_ACTION,
    "processed": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
}
DISPUTE_STATUSES: Final = {
    "awaiting-merchant-feedback": DisputeStatus.NEEDS_RESPONSE,
    "awaiting-bank-feedback": DisputeStatus.UNDER_REVIEW,
}
# A dispute that is `resolved` says how: the customer's claim was accepted (by the merchant, or because nobody answered
# in time), or declined. https://paystack.com/docs/payments/disputes/
RESOLUTIONS: Final = {
    "merchant-accepted": DisputeStatus.ACCEPTED,
    "auto-accepted": DisputeStatus.ACCEPTED,
    "declined": DisputeStatus.WON,
}
TRANSFER_STATUSES: Final = {
    "success": PayoutStatus.PAID,
    "failed": PayoutStatus.FAILED,
    "reversed": PayoutStatus.RETURNED,
}

# Rank orders refunds, which have no time: one needs attention after the processor had it.
TRANSITIONS: Final = Transitions(
    ranks={
        **RANKS,
        Entity.REFUND: {
            RefundStatus.PENDING: 0,
            RefundStatus.PROCESSING: 1,
            RefundStatus.REQUIRES_ACTION: 2,
            RefundStatus.CANCELED: 3,
            RefundStatus.SUCCEEDED: 4,
            RefundStatus.FAILED: 5,
        },
    },
)

# Hundredths, where ISO has no minor unit.
EXPONENTS: Final = {"RWF": 2, "XOF": 2}

CARD_CHANNELS: Final = frozenset({"card", "preauth"})


def head(verified: Verified, body: Wild) -> Head:
    return Head(
        event_key=hashlib.sha256(verified.delivery.body).hexdigest(),
        event_type=body.text("event"),
        livemode=_mode(body.at("data")),
    )


def charge(body: Wild, _head: Head) -> tuple[Statement, ...]:
    found = body.child("data")
    paid_at = _time(found, "paid_at", "paidAt")
    block = Payment(
        id=found.id("reference"),
        status=found.status("status", STATUSES),
        provider_status=found.text("status"),
        amount=_money(found, "amount"),
        fee=_maybe_money(found, "fees"),
        method=_method(found, found.maybe_text("channel")),
        customer_id=_customer(found),
        reference=found.id("reference"),
        created_at=_time(found, "created_at", "createdAt"),
        paid_at=paid_at,
        metadata=found.json_object("metadata"),
    )
    return (Statement(block=block, at=paid_at or block.created_at, payment_id=block.id),)


def preauthorization(body: Wild, _head: Head) -> tuple[Statement, ...]:
    """`captured_amount` is also what could not be captured."""
    found = body.child("data")
    status = found.status("status", PREAUTHORIZATION_STATUSES)
    captured_at = _time(found, "captured_at")
    block = Payment(
        id=found.id("reference"),
        status=status,
        provider_status=found.text("status"),
        amount=_money(found, "amount"),
        amount_authorized=_money(found, "amount"),
        amount_captured=_maybe_money(found, "captured_amount") if status is PaymentStatus.SUCCEEDED else None,
        fee=_maybe_money(found, "fees"),
        method=_method(found, "card"),
        customer_id=_customer(found),
        reference=found.id("reference"),
        paid_at=captured_at,
        metadata=found.json_object("metadata"),
    )
    return (Statement(block=block, at=captured_at or _time(found, "expired_at"), payment_id=block.id),)


def refund(body: Wild, _head: Head) -> tuple[Statement, ...]:
    found = body.child("data")
    reference = found.id("transaction_reference")
    status = found.status("status", REFUND_STATUSES)
    amount = _money(found, "amount")
    block = Refund(
        id=_number_or_text(found, "id") if "id" in found else f"{reference}:{amount.minor}",
        payment_id=reference,
        status=status,
        provider_status=found.text("status"),
        amount=amount,
        reason=found.free_text("merchant_note"),
        failure=Failure(category=FailureCategory.UNKNOWN) if status is RefundStatus.FAILED else None,
    )
    return (Statement(block=block, payment_id=reference),)


def dispute(body: Wild, _head: Head) -> tuple[Statement, ...]:
    found = body.child("data")
    reference = found.child("transaction").id("reference")
    category = found.maybe_text("category")
    block = Dispute(
        id=_number_or_text(found, "id"),
        payment_id=reference,
        status=_dispute_status(found),
        provider_status=found.text("status"),
        stage="chargeback" if category == "chargeback" else None,
        amount=_maybe_money(found, "refund_amount"),
        reason=DisputeReason(category=category),
        evidence_due_at=_time(found, "dueAt", "due_at"),
        created_at=_time(found, "created_at", "createdAt"),
        updated_at=_time(found, "updated_at", "updatedAt"),
    )
    return (Statement(block=block, at=block.updated_at or block.created_at, payment_id=reference),)


def transfer(body: Wild, _head: Head) -> tuple[Statement, ...]:
    found = body.child("data")
    recipient = found.maybe_child("recipient")
    status = found.status("status", TRANSFER_STATUSES)
    block = Payout(
        id=found.id("transfer_code"),
        status=status,
        provider_status=found.text("status"),
        amount=_money(found, "amount"),
        fee=_maybe_money(found, "fee_charged"),
        destination=recipient.maybe_id("recipient_code") if recipient else None,
        failure=_transfer_failure(found) if status is not PayoutStatus.PAID else None,
        arrival_at=_time(found, "transferred_at"),
        created_at=_time(found, "created_at", "createdAt"),
        updated_at=_time(found, "updated_at", "updatedAt"),
        metadata=found.json_object("metadata"),
    )
    return (Statement(block=block, at=block.updated_at or block.created_at),)


def _dispute_status(found: Wild) -> DisputeStatus:
    if found.text("status") == "resolved":
        return found.status("resolution", RESOLUTIONS)
    return found.status("status", DISPUTE_STATUSES)


def _money(found: Wild, key: str) -> Money:
    return from_minor(_integer(found, key), found.text("currency"), EXPONENTS)


def _maybe_money(found: Wild, key: str) -> Money | None:
    return _money(found, key) if key in found else None


def _integer(found: Wild, key: str) -> int:
    if type(found.at(key).value) is not str:
        return found.integer(key)
    value = found.decimal(key)
    if value.as_tuple().exponent != 0:  # "50.00" might mean the major unit
        raise found.at(key).untamed("a whole number of minor units")
    return int(value)


def _number_or_text(found: Wild, key: str) -> str:
    return found.id(key) if type(found.at(key).value) is str else str(found.integer(key))


def _mode(data: Wild) -> bool | None:
    """What is ignored may have no mode, or be a list (subscription.expiring_cards)."""
    return data.maybe_live("domain") if type(data.value) is dict else None


def _method(found: Wild, channel: str | None) -> Method:
    """Of other channels than cards, `brand` and `last4` tell a bank and its account."""
    authorization = found.maybe_child("authorization") if channel in CARD_CHANNELS else None
    return Method(
        type="card" if channel in CARD_CHANNELS else channel,
        brand=authorization.maybe_text("brand") if authorization else None,
        last4=authorization.maybe_text("last4") if authorization else None,
    )


def _customer(found: Wild) -> str | None:
    customer = found.maybe_child("customer")
    return customer.maybe_id("customer_code") if customer else None


def _transfer_failure(found: Wild) -> Failure:
    return Failure(category=FailureCategory.UNKNOWN, message=found.free_text("gateway_response"))


def _time(found: Wild, *keys: str) -> datetime | None:
    """Under the first of its names that is there."""
    return next((found.rfc3339(key) for key in keys if key in found), None)


PAYSTACK: Final = Provider(
    name="paystack",
    docs="https://paystack.com/docs/payments/webhooks/",
    signature=RawHmac(header=b"x-paystack-signature", algorithm="sha512"),
    head=head,
    events={
        "charge.success": charge,
        "preauthorization.reserve.success": preauthorization,
        "preauthorization.capture.success": preauthorization,
        "preauthorization.capture.failed": preauthorization,
        "preauthorization.release.success": preauthorization,
        "preauthorization.release.failed": preauthorization,
        "refund.pending": refund,
        "refund.processing": refund,
        "refund.needs-attention": refund,
        "refund.processed": refund,
        "refund.failed": refund,
        "charge.dispute.create": dispute,
        "charge.dispute.remind": dispute,
        "charge.dispute.resolve": dispute,
        "transfer.success": transfer,
        "transfer.failed": transfer,
        "transfer.reversed": transfer,
    },
    ignored=frozenset(
        {
            "bank.transfer.rejected",  # a transfer that was sent back: it made no transaction
            "customeridentification.failed",
            "customeridentification.success",
            "dedicatedaccount.assign.failed",
            "dedicatedaccount.assign.success",
            "direct_debit.authorization.active",
            "direct_debit.authorization.created",
            # What is paid of these is a transaction, and charge.success announces it.
            "invoice.create",
            "invoice.payment_failed",
            "invoice.update",
            "paymentrequest.pending",
            "paymentrequest.success",
            "subscription.create",
            "subscription.disable",
            "subscription.expiring_cards",
            "subscription.not_renew",
        }
    ),
    statuses={
        "transaction": STATUSES,
        "preauthorization": PREAUTHORIZATION_STATUSES,
        "refund": REFUND_STATUSES,
        "dispute": DISPUTE_STATUSES,
        "resolution of a dispute": RESOLUTIONS,
        "transfer": TRANSFER_STATUSES,
    },
    transitions=TRANSITIONS,
    redelivery=Redelivery(
        timeout=30,
        window=timedelta(hours=72),
        note="live: 4 times every 3 minutes, then hourly; test: hourly for 10 hours",
    ),
)
