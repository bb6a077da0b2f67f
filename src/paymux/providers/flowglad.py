"""Flowglad: billing on top of Stripe. https://docs.flowglad.com/features/webhooks

- Svix delivers and signs. The body is only `{"id", "object", "customer", "pricingModelId"}`: no event type, mode, time,
  amount or status, so payment.succeeded and payment.failed look the same. The payment is asked for by GET.
- The event key is the `svix-id` header: it is signed, and stays the same on retries, whatever the page says. Flowglad
  sends at most one payment.succeeded and one payment.failed for a payment, ever.
- payment.failed comes only where Stripe's PaymentIntent was canceled; declines, refunds and settlements are announced
  by nothing.
- A try after a failure is a new payment, so `failed` is final.
- Amounts are integers in Stripe's smallest unit. Times are unix milliseconds, RFC 3339 in an older version.
- The page's first version showed `{eventType, eventId, livemode, timestamp, data}`; some copies still do. A signed body
  of that form is read, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from paymux.canonical import Breakdown, Failure, FailureCategory, Method, Payment, PaymentStatus
from paymux.delivery import ObjectRef
from paymux.money import from_minor
from paymux.provider import Api, Endpoint, Listing, Provider, Redelivery
from paymux.signatures.svix import Svix, message_id
from paymux.statement import Head, Lookup, Statement, in_full, refunded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from paymux.delivery import Asked, Verified
    from paymux.money import Money
    from paymux.wild import Wild

# Flowglad's word -> ours. A refunded payment did succeed; its refund is a fact beside that.
STATUSES: Final = {
    "requires_confirmation": PaymentStatus.PENDING,
    "requires_action": PaymentStatus.REQUIRES_ACTION,
    "processing": PaymentStatus.PROCESSING,
    "succeeded": PaymentStatus.SUCCEEDED,
    "refunded": PaymentStatus.SUCCEEDED,
    "failed": PaymentStatus.FAILED,
    "canceled": PaymentStatus.CANCELED,
}

# A webhook does not say whether it tells of success or failure.
SETTLED: Final = frozenset({PaymentStatus.SUCCEEDED, PaymentStatus.FAILED, PaymentStatus.CANCELED})

# `failureCode` (Stripe's words, and Flowglad's own `payment_timeout`) -> ours.
FAILURES: Final = {
    "authentication_required": FailureCategory.AUTHENTICATION,
    "card_declined": FailureCategory.DECLINED,
    "expired_card": FailureCategory.DECLINED,
    "incorrect_cvc": FailureCategory.DECLINED,
    "incorrect_number": FailureCategory.DECLINED,
    "insufficient_funds": FailureCategory.DECLINED,
    "payment_timeout": FailureCategory.TECHNICAL,
    "processing_error": FailureCategory.TECHNICAL,
}

# `paymentMethod` -> ours; any other word stands for itself.
METHODS: Final = {"link": Method(type="wallet", wallet="link")}

# Where Stripe's smallest unit is not ISO's. https://docs.stripe.com/currencies#special-cases
EXPONENTS: Final = {"ISK": 2, "UGX": 2, "MGA": 0}

# Payments have the prefix pym_; the documentation's examples say pay_.
PAYMENT_ID: Final = re.compile(r"(?:pym|pay)_[A-Za-z0-9_-]{1,64}")


def head(verified: Verified, body: Wild) -> Head:
    """The body names the kind of its object and nothing else, so that word stands for the event's type."""
    return Head(
        event_key=message_id(verified),
        event_type=body.maybe_text("eventType") or body.text("object"),
        occurred_at=body.maybe_rfc3339("timestamp"),
        livemode=body.maybe_flag("livemode"),
    )


def payment(body: Wild, _head: Head) -> Lookup:
    named = body.maybe_child("data") or body
    payment_id = named.matching("id", PAYMENT_ID, "a payment id")
    return Lookup(objects=(ObjectRef(object="payment", id=payment_id),), settles=SETTLED)


def payment_state(payment: Wild, _asked: Asked) -> tuple[Statement, ...]:
    word, status = payment.text("status"), payment.status("status", STATUSES)
    amount, amount_refunded = _money(payment, "amount"), _maybe_money(payment, "refundedAmount")
    block = Payment(
        id=payment.id("id"),
        status=status,
        provider_status=word,
        amount=amount,
        amount_refunded=amount_refunded,
        fee=_maybe_money(payment, "applicationFee"),
        breakdown=_breakdown(payment),
        method=_method(payment),
        customer_id=payment.maybe_id("customerId"),
        invoice_id=payment.maybe_id("invoiceId"),
        subscription_id=payment.maybe_id("subscriptionId"),
        description=payment.free_text("description"),
        failure=_failure(payment) if status is PaymentStatus.FAILED else None,
        created_at=payment.milliseconds_or_rfc3339("createdAt"),
        updated_at=payment.milliseconds_or_rfc3339("updatedAt"),
        paid_at=_charged_at(payment) if status is PaymentStatus.SUCCEEDED else None,
        settled_at=payment.maybe_milliseconds_or_rfc3339("settlementDate"),
    )
    # A partial refund leaves `status` and `refunded` as they were: only the amount tells.
    succeeded = status is PaymentStatus.SUCCEEDED
    full = succeeded and (word == "refunded" or in_full(amount, amount_refunded))
    return (
        Statement(
            block=block,
            at=block.updated_at,
            payment_id=block.id,
            facts=refunded(amount_refunded, full=full) if succeeded else (),
            refund_state="full" if full else None,
        ),
    )


def _breakdown(payment: Wild) -> Breakdown | None:
    subtotal, tax = _maybe_money(payment, "subtotal"), _maybe_money(payment, "taxAmount")
    return Breakdown(subtotal=subtotal, tax=tax) if subtotal or tax else None


def _method(payment: Wild) -> Method | None:
    word = payment.maybe_text("paymentMethod")
    if word is None:
        return None
    return METHODS.get(word) or Method(type=word)


def _failure(payment: Wild) -> Failure | None:
    code, message = payment.maybe_text("failureCode"), payment.free_text("failureMessage")
    if not code and not message:
        return None
    return Failure(category=FAILURES.get(code or "", FailureCategory.UNKNOWN), code=code, message=message)


def _charged_at(payment: Wild) -> datetime | None:
    return payment.maybe_milliseconds_or_rfc3339("chargeDate")


def _money(payment: Wild, key: str) -> Money:
    value = payment.integer(key)
    if value < 0:
        raise payment.at(key).untamed("an amount of zero or more")
    return from_minor(value, payment.text("currency"), EXPONENTS)


def _maybe_money(payment: Wild, key: str) -> Money | None:
    return _money(payment, key) if key in payment else None


def _next_page(page: Wild) -> Mapping[str, str] | None:
    return {"cursor": page.text("nextCursor")} if page.flag("hasMore") else None


def _headers(api_key: str, _options: Mapping[str, str]) -> Mapping[str, str]:
    return {"Authorization": api_key}


FLOWGLAD = Provider(
    name="flowglad",
    docs="https://docs.flowglad.com/features/webhooks",
    signature=Svix(),
    thin=True,
    head=head,
    events={
        "payment": payment,
        # Only in the envelope of the page's first version.
        "payment.succeeded": payment,
        "payment.failed": payment,
    },
    ignored=frozenset(
        {
            "customer",
            "purchase",
            "subscription",
            # Only in the envelope of the page's first version.
            "customer.created",
            "customer.updated",
            "purchase.completed",
            "subscription.created",
            "subscription.updated",
            "subscription.canceled",
            "sync.events_available",
        }
    ),
    statuses={"payment": STATUSES},
    redelivery=Redelivery(timeout=10, note='"for several hours", ever later'),
    api=Api(
        url="https://app.flowglad.com/api/v1",
        headers=_headers,
        objects={
            "payment": Endpoint(path="/payments/{id}", unwrap=("payment",), id_pattern=PAYMENT_ID, state=payment_state),
        },
        payments=Listing(
            path="/payments", items="data", filters=frozenset({"cursor"}), following=_next_page, order="oldest"
        ),
    ),
)
