"""Checkout.com: card and local payments, payouts. https://www.checkout.com/docs/developer-resources/event-notifications

- The payment is `data.id` (pay_...); its captures, voids and refunds are actions with an `action_id` of their own, and
  a dispute (dsp_...) names it in `payment_id`. A refund's id is its action's. Whether a refund keeps its action id
  from `payment_refund_pending` on is not documented.
- No object has a status: the event's name is the status. `payment_approved` is authorized, not captured.
- `data.amount` is the action's amount, for a partial capture not the payment's; `data.balances` is cumulative. Without
  balances a capture counts beside the others, by its action's id.
- An event with a `destination`, or from a currency account, is about a payout, whatever it is called; `payment_paid` is
  of payouts only. Any other `payment_returned` is a payment that failed after it had succeeded (ACH).
- Signed as hex HMAC-SHA256 of the body in `Cko-Signature`, without a time. An Authorization header may come along; it
  is not needed. Delivered at least once, in no order; how often and how long is not documented.
- The action's own time (`processed_on`) orders; disputes have only the event's (`created_on`, once `timestamp`).
- The previous platform's webhooks have the same form, with less in it: no balances, and disputes without an amount.
  https://www.checkout.com/docs/previous/reporting-and-insights/webhooks/webhook-examples/dispute_won
- The example of `payment_authentication_failed` is the only one without an event id: the body's digest stands for it.
- Minor units of ISO 4217, but for CLP (and UYI, UYW), which has two decimals. About CLF its pages differ.
  https://www.checkout.com/docs/payments/accept-payments/format-the-amount-value
- `authentication_failed` has come as something that is no JSON (checkout-sdk-node, issue 408): quarantined as `shape`.
- Nothing in a body says whether it is live: the account's `livemode` counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

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
from paymux.statement import Fact, Head, Statement, in_full, refunded

if TYPE_CHECKING:
    from datetime import datetime

    from paymux.delivery import Verified
    from paymux.money import Money
    from paymux.wild import Wild

# Checkout.com's event -> our status of its payment, refund, payout or dispute.
# https://www.checkout.com/docs/developer-resources/event-notifications/event-types
STATUSES: Final = {
    "payment_pending": PaymentStatus.PENDING,
    "payment_retry_scheduled": PaymentStatus.PENDING,
    "payment_approved": PaymentStatus.AUTHORIZED,
    "payment_authorization_incremented": PaymentStatus.AUTHORIZED,
    "payment_capture_pending": PaymentStatus.PROCESSING,
    "payment_captured": PaymentStatus.SUCCEEDED,  # or partially_captured, by its balances
    "payment_voided": PaymentStatus.CANCELED,  # or what is left of a payment voided in part, by its balances
    "payment_declined": PaymentStatus.FAILED,
    "payment_authentication_failed": PaymentStatus.FAILED,
    "payment_returned": PaymentStatus.FAILED,
    "payment_canceled": PaymentStatus.CANCELED,
    "payment_expired": PaymentStatus.EXPIRED,
    "card_verified": PaymentStatus.SUCCEEDED,
    "card_verification_declined": PaymentStatus.FAILED,
}
REFUND_STATUSES: Final = {
    "payment_refund_pending": RefundStatus.PENDING,
    "payment_refunded": RefundStatus.SUCCEEDED,
    "payment_refund_declined": RefundStatus.FAILED,
}
PAYOUT_STATUSES: Final = {
    "payment_pending": PayoutStatus.PENDING,
    "payment_approved": PayoutStatus.IN_TRANSIT,
    "payment_paid": PayoutStatus.PAID,
    "payment_declined": PayoutStatus.FAILED,
    "payment_returned": PayoutStatus.RETURNED,
}
DISPUTE_STATUSES: Final = {
    "dispute_received": DisputeStatus.NEEDS_RESPONSE,
    "dispute_evidence_required": DisputeStatus.NEEDS_RESPONSE,
    "dispute_evidence_submitted": DisputeStatus.UNDER_REVIEW,
    "dispute_evidence_acknowledged_by_scheme": DisputeStatus.UNDER_REVIEW,
    "dispute_arbitration_evidence_submitted": DisputeStatus.UNDER_REVIEW,
    "dispute_arbitration_sent_to_scheme": DisputeStatus.UNDER_REVIEW,
    "dispute_expired": DisputeStatus.EXPIRED,
    "dispute_accepted": DisputeStatus.ACCEPTED,
    "dispute_canceled": DisputeStatus.CANCELED,
    "dispute_won": DisputeStatus.WON,
    "dispute_arbitration_won": DisputeStatus.WON,
    "dispute_lost": DisputeStatus.LOST,
    "dispute_arbitration_lost": DisputeStatus.LOST,
}
# What `dispute_resolved` says in `resolved_reason`. Only a rapid resolution gives the customer the money back.
RESOLUTIONS: Final = {
    "already_refunded": DisputeStatus.CANCELED,
    "negative_amount": DisputeStatus.CANCELED,
    "rapid_dispute_resolution": DisputeStatus.ACCEPTED,
}

# A retry follows a decline; ACH fails after success; an arbitration reopens a decided dispute.
TRANSITIONS: Final = Transitions(
    moves={
        Entity.PAYMENT: {
            PaymentStatus.FAILED: frozenset({PaymentStatus.PENDING}),
            PaymentStatus.SUCCEEDED: frozenset({PaymentStatus.FAILED}),
        },
        Entity.DISPUTE: {
            DisputeStatus.WON: frozenset({DisputeStatus.UNDER_REVIEW}),
            DisputeStatus.LOST: frozenset({DisputeStatus.UNDER_REVIEW}),
        },
    }
)

# The response code's class, or the code -> ours. https://www.checkout.com/docs/developer-resources/codes/api-response-codes
FAILURES: Final = {
    "20": FailureCategory.DECLINED,
    "30": FailureCategory.DECLINED,
    "40": FailureCategory.FRAUD,
    "20150": FailureCategory.AUTHENTICATION,
    "20151": FailureCategory.AUTHENTICATION,
    "20152": FailureCategory.AUTHENTICATION,
    "20153": FailureCategory.AUTHENTICATION,
    "20154": FailureCategory.AUTHENTICATION,
    "20155": FailureCategory.AUTHENTICATION,
}
# Hundredths where ISO has other units. https://www.checkout.com/docs/payments/accept-payments/format-the-amount-value
EXPONENTS: Final = {"CLP": 2, "UYI": 2, "UYW": 2}


def head(_verified: Verified, body: Wild) -> Head:
    return Head(
        event_key=body.maybe_id("id") or body.digest(),
        event_type=body.text("type"),
        occurred_at=body.maybe_rfc3339("created_on") or body.maybe_rfc3339("timestamp"),
    )


# --- payments


def payment(body: Wild, head: Head) -> tuple[Statement, ...]:
    """An event whose amount is the payment's, or the payout's."""
    data = body.child("data")
    if _is_payout(data):
        return payout(body, head)
    return (_payment(data, head, STATUSES[head.event_type or ""], amount=_money(data, "amount")),)


def verification(body: Wild, head: Head) -> tuple[Statement, ...]:
    data = body.child("data")
    status, amount = STATUSES[head.event_type or ""], _maybe_money(data, "amount")
    return (_payment(data, head, status, amount=amount, purpose="verification"),)


def action(body: Wild, head: Head) -> tuple[Statement, ...]:
    """An event whose amount is the action's: the payment's stands in its balances."""
    data = body.child("data")
    return (_payment(data, head, STATUSES[head.event_type or ""], amount=_balance(data, "total_authorized")),)


def capture(body: Wild, head: Head) -> tuple[Statement, ...]:
    """Without balances it says what this capture took, but neither how much was in all nor whether more may be."""
    data = body.child("data")
    amount = _balance(data, "total_authorized")
    return (_payment(data, head, _captured_status(data), amount=amount, taken=_taken(data)),)


def void(body: Wild, head: Head) -> tuple[Statement, ...]:
    """A void in part leaves what was captured, or what may still be."""
    data = body.child("data")
    if _is_some(data, "total_captured"):
        status = _captured_status(data)
    elif _is_some(data, "available_to_capture"):
        status = PaymentStatus.AUTHORIZED
    else:
        status = PaymentStatus.CANCELED
    return (_payment(data, head, status, amount=_balance(data, "total_authorized")),)


def capture_declined(body: Wild, head: Head) -> tuple[Statement, ...]:
    data = body.child("data")
    facts = (Fact(name="attempt_failed"),)
    return (_payment(data, head, None, amount=_balance(data, "total_authorized"), facts=facts),)


def action_declined(body: Wild, head: Head) -> tuple[Statement, ...]:
    """A void or an increment that did not come about changes nothing."""
    data = body.child("data")
    return (_payment(data, head, None, amount=_balance(data, "total_authorized")),)


def _payment(
    data: Wild,
    head: Head,
    status: PaymentStatus | None,
    *,
    amount: Money | None,
    purpose: Literal["payment", "verification"] = "payment",
    facts: tuple[Fact, ...] = (),
    taken: tuple[str, Money] | None = None,
) -> Statement:
    """`taken`: the action's id and amount, of a capture that says nothing of the others."""
    at = _at(data, head)
    captured, returned = _balance(data, "total_captured"), _balance(data, "total_refunded")
    block = Payment(
        id=data.id("id"),
        purpose=purpose,
        status=status,
        provider_status=head.event_type,
        amount=amount,
        amount_authorized=_balance(data, "total_authorized"),
        amount_captured=captured,
        amount_refunded=returned,
        method=_method(data.maybe_child("source")),
        customer_id=_customer(data),
        reference=data.free_text("reference"),
        description=data.free_text("description"),
        failure=_failure(data) if status is PaymentStatus.FAILED or facts else None,
        paid_at=at if status is PaymentStatus.SUCCEEDED else None,
        metadata=data.json("metadata"),
    )
    full = captured is not None and in_full(captured, returned)
    told = (*facts, *refunded(returned, full=full))
    return Statement(block=block, at=at, payment_id=block.id, facts=told, capture=taken)


def _taken(data: Wild) -> tuple[str, Money] | None:
    """The action's id and amount, where no balances say how much was captured in all."""
    action = data.maybe_id("action_id")
    return None if action is None or "balances" in data else (action, _money(data, "amount"))


def _captured_status(data: Wild) -> PaymentStatus:
    return PaymentStatus.PARTIALLY_CAPTURED if _is_some(data, "available_to_capture") else PaymentStatus.SUCCEEDED


# --- refunds, payouts, disputes


def refund(body: Wild, head: Head) -> tuple[Statement, ...]:
    data = body.child("data")
    status = REFUND_STATUSES[head.event_type or ""]
    block = Refund(
        id=data.id("action_id"),
        payment_id=data.id("id"),
        status=status,
        provider_status=head.event_type,
        amount=_money(data, "amount"),
        failure=_failure(data) if status is RefundStatus.FAILED else None,
        metadata=data.json("metadata"),
    )
    return (Statement(block=block, at=_at(data, head), payment_id=block.payment_id),)


def refund_succeeded(body: Wild, head: Head) -> tuple[Statement, ...]:
    """Its balances say, too, how much of the payment was refunded by then."""
    data = body.child("data")
    if "balances" not in data:
        return refund(body, head)
    return (_payment(data, head, None, amount=_balance(data, "total_authorized")), *refund(body, head))


def _is_payout(data: Wild) -> bool:
    source = data.maybe_child("source")
    return "destination" in data or (source is not None and source.maybe_text("type") == "currency_account")


def payout(body: Wild, head: Head) -> tuple[Statement, ...]:
    data = body.child("data")
    status, destination = PAYOUT_STATUSES[head.event_type or ""], data.maybe_child("destination")
    failed = status in (PayoutStatus.FAILED, PayoutStatus.RETURNED)
    block = Payout(
        id=data.id("id"),
        status=status,
        provider_status=head.event_type,
        amount=_money(data, "amount"),
        destination=destination.maybe_id("id") if destination else None,
        failure=_failure(data) if failed else None,
        metadata=data.json("metadata"),
    )
    return (Statement(block=block, at=_at(data, head)),)


def dispute(body: Wild, head: Head) -> tuple[Statement, ...]:
    return (_dispute(body.child("data"), head, DISPUTE_STATUSES[head.event_type or ""]),)


def dispute_resolved(body: Wild, head: Head) -> tuple[Statement, ...]:
    """Without a reason it is the only one that there once was: already refunded."""
    data = body.child("data")
    known = "resolved_reason" in data
    status = data.status("resolved_reason", RESOLUTIONS) if known else DisputeStatus.CANCELED
    return (_dispute(data, head, status),)


def _dispute(data: Wild, head: Head, status: DisputeStatus) -> Statement:
    block = Dispute(
        id=data.id("id"),
        payment_id=data.id("payment_id"),
        status=status,
        provider_status=head.event_type,
        stage="arbitration" if "_arbitration_" in (head.event_type or "") else "chargeback",
        amount=_maybe_money(data, "amount"),
        reason=DisputeReason(category=data.maybe_text("category"), code=data.maybe_text("reason_code")),
        evidence_due_at=data.maybe_rfc3339("evidence_required_by"),
    )
    return Statement(block=block, at=head.occurred_at, payment_id=block.payment_id)


# --- what they share


def _at(data: Wild, head: Head) -> datetime | None:
    return data.maybe_rfc3339("processed_on") or head.occurred_at


def _money(data: Wild, key: str) -> Money:
    return _counted(data, data.integer(key))


def _maybe_money(data: Wild, key: str) -> Money | None:
    return _money(data, key) if key in data else None


def _balance(data: Wild, key: str) -> Money | None:
    balances = data.maybe_child("balances")
    value = balances.maybe_integer(key) if balances else None
    return None if value is None else _counted(data, value)


def _counted(data: Wild, value: int) -> Money:
    """CLF is told in whole units on Checkout.com's older pages, and in hundredths on the current one: not guessed."""
    if data.text("currency") == "CLF":
        raise data.at("currency").unknown("currency with a unit", reason="unknown_currency")
    return from_minor(value, data.text("currency"), EXPONENTS)


def _is_some(data: Wild, key: str) -> bool:
    balance = _balance(data, key)
    return balance is not None and balance.minor > 0


def _method(source: Wild | None) -> Method | None:
    if source is None:
        return None
    return Method(
        type=source.maybe_text("type"),
        brand=source.maybe_text("scheme"),
        last4=source.maybe_text("last_4"),
        wallet=source.maybe_text("card_wallet_type"),
    )


def _customer(data: Wild) -> str | None:
    customer = data.maybe_child("customer")
    return customer.maybe_id("id") if customer else None


def _failure(data: Wild) -> Failure:
    code = data.maybe_text("response_code") or ""
    category = FAILURES.get(code) or FAILURES.get(code[:2]) or FailureCategory.UNKNOWN
    return Failure(category=category, code=code or None, message=data.free_text("response_summary"))


CHECKOUT: Final = Provider(
    name="checkout",
    docs="https://www.checkout.com/docs/developer-resources/event-notifications/event-types",
    signature=RawHmac(header=b"cko-signature"),
    head=head,
    events={
        "payment_approved": payment,
        "payment_pending": payment,
        "payment_declined": payment,
        "payment_authentication_failed": payment,
        "payment_canceled": payment,
        "payment_expired": payment,
        "payment_retry_scheduled": payment,
        "payment_returned": payment,
        "payment_authorization_incremented": action,
        "payment_authorization_increment_declined": action_declined,
        "payment_captured": capture,
        "payment_capture_pending": action,
        "payment_capture_declined": capture_declined,
        "payment_voided": void,
        "payment_void_declined": action_declined,
        "payment_refunded": refund_succeeded,
        "payment_refund_pending": refund,
        "payment_refund_declined": refund,
        "payment_paid": payout,
        "card_verified": verification,
        "card_verification_declined": verification,
        **dict.fromkeys(DISPUTE_STATUSES, dispute),
        "dispute_resolved": dispute_resolved,
    },
    ignored=frozenset(
        {
            # 3D Secure sessions: what comes of them is told as a payment.
            "authentication_approved",
            "authentication_attempted",
            "authentication_expired",
            "authentication_failed",
            "authentication_started",
            # Onboarding of sub-entities, and their bank accounts.
            "full_dd_failed",
            "full_dd_passed",
            "match_failed",
            "match_passed",
            "payment_instrument_created",
            "payment_instrument_error",
            "payment_instrument_rejected",
            "payment_instrument_verification_failed",
            "payment_instrument_verification_passed",
            "payment_instrument_verified",
            "payments_disabled",
            "payments_enabled",
            "payouts_disabled",
            "payouts_enabled",
            "status_changed",
            "sub_entity_created",
            "vmss_failed",
            "vmss_passed",
            # Cards of customers that were replaced.
            "source_updated",
            # Cards that the merchant issues.
            "3ds_card_enrolled",
            "authorization_approved",
            "authorization_declined",
            "issuing_dispute_closed",
            "presentment_received",
            "reversal_approved",
            "reversal_declined",
        }
    ),
    statuses={
        "payment": STATUSES,
        "refund": REFUND_STATUSES,
        "payout": PAYOUT_STATUSES,
        "dispute": DISPUTE_STATUSES,
        "dispute, by resolved_reason": RESOLUTIONS,
    },
    transitions=TRANSITIONS,
    redelivery=Redelivery(note="at least once, in no order; how often and for how long is not documented"),
)
