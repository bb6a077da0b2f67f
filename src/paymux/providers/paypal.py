"""PayPal: captures and sales, authorizations, orders, refunds, disputes and payouts.

https://developer.paypal.com/api/rest/webhooks/rest/
https://developer.paypal.com/api/rest/webhooks/event-names/

- Signed by the key of a certificate that the delivery names (`PAYPAL-CERT-URL`), over the transmission's id and time,
  the webhook's id with PayPal (an option here, there is no secret) and the CRC-32 of the body. The certificate changes
  with its URL. Retries come for 3 days, and nothing says whether they are signed anew: 4 days old is too old.
- A checksum binds a body weakly. `confirm = "api"` believes no body: it asks PayPal for the object that one names.
- The payment object is the capture (v1: the sale): a refund names it in its `up` link (v1: `sale_id`), a dispute in
  `seller_transaction_id`. A capture has no id before there is one, so an authorization and an order are payments of
  their own until then. Once captures tell of the money, they have no status any more, and nothing is counted twice.
- PAYMENT.CAPTURE.REFUNDED and REVERSED carry a refund, PAYMENT.SALE.REFUNDED and REVERSED a v1 one, whose amount is
  negative. A reversed sale does not say of what: such a refund belongs to no payment.
- `create_time` is the event's; objects have `update_time`, some with an offset. Examples of plans carry times that are
  none (month 19). No flag says live: the host in the event's own link does.
- Amounts are decimal strings in major units, `{currency_code, value}` or, v1, `{currency, total}`. HUF, JPY and TWD
  come without decimals. More decimals than the currency has come too (822.0160 CZK), and are refused unless zero.
- DECLINED and DENIED both are names of a capture that failed. RISK.DISPUTE.CREATED is an older name of CUSTOMER.'s; the
  simulator's has a form of its own. A payout's batch and its items are payouts both: add up one or the other
  (`payout_batch_id`).
- A dispute's outcome stands in `dispute_outcome.outcome_code`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

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
    Settlement,
)
from paymux.delivery import ObjectRef
from paymux.errors import SettingsError
from paymux.money import Money, from_major
from paymux.provider import Api, ClientCredentials, Endpoint, Option, Provider, Redelivery, Transitions
from paymux.signatures.certificate_rsa import CertificateRsa, Source
from paymux.signatures.certificates import authorities
from paymux.statement import Fact, Head, Lookup, Statement

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from enum import StrEnum

    from paymux.delivery import Asked, Verified
    from paymux.signatures import Scheme
    from paymux.wild import Wild

_Status = TypeVar("_Status", bound="StrEnum")

# Capture.status -> payment. https://developer.paypal.com/docs/api/payments/v2/#definition-capture_status
CAPTURE_STATUSES: Final = {
    "COMPLETED": PaymentStatus.SUCCEEDED,
    "PARTIALLY_REFUNDED": PaymentStatus.SUCCEEDED,
    "REFUNDED": PaymentStatus.SUCCEEDED,
    "PENDING": PaymentStatus.PENDING,
    "DECLINED": PaymentStatus.FAILED,
    "FAILED": PaymentStatus.FAILED,
}

# `state` of a v1 sale or capture -> payment. https://developer.paypal.com/docs/api/payments/v1/#definition-sale
SALE_STATES: Final = {
    "completed": PaymentStatus.SUCCEEDED,
    "partially_refunded": PaymentStatus.SUCCEEDED,
    "refunded": PaymentStatus.SUCCEEDED,
    "pending": PaymentStatus.PENDING,
    "denied": PaymentStatus.FAILED,
}

# A capture's or sale's word -> how much of it was refunded.
REFUNDED: Final[Mapping[str, Literal["partial", "full"]]] = {
    "PARTIALLY_REFUNDED": "partial",
    "REFUNDED": "full",
    "partially_refunded": "partial",
    "refunded": "full",
}

# Authorization.status -> payment; no status once captures tell of it.
AUTHORIZATION_STATUSES: Final = {
    "CREATED": PaymentStatus.AUTHORIZED,
    "PENDING": PaymentStatus.PENDING,
    "DENIED": PaymentStatus.FAILED,
    "VOIDED": PaymentStatus.CANCELED,  # by the merchant, or by PayPal after 30 days
}
AUTHORIZATION_STATES: Final = {
    "authorized": PaymentStatus.AUTHORIZED,
    "pending": PaymentStatus.PENDING,
    "expired": PaymentStatus.EXPIRED,
    "voided": PaymentStatus.CANCELED,
}

# Order.status -> payment. https://developer.paypal.com/docs/api/orders/v2/#definition-order_status
ORDER_STATUSES: Final = {
    "CREATED": PaymentStatus.PENDING,
    "SAVED": PaymentStatus.PENDING,
    "PAYER_ACTION_REQUIRED": PaymentStatus.REQUIRES_ACTION,
    "APPROVED": PaymentStatus.PENDING,  # by the buyer; the merchant has to capture it within hours
    "VOIDED": PaymentStatus.CANCELED,
}

# Words of authorizations and orders after which captures tell of the money (an order's may be an authorization).
CAPTURED: Final = frozenset({"CAPTURED", "PARTIALLY_CAPTURED"})
CAPTURED_V1: Final = frozenset({"captured", "partially_captured"})
COMPLETED: Final = frozenset({"COMPLETED"})

# A failed payment's word, or the reason in its details -> category.
# https://developer.paypal.com/docs/api/payments/v2/#definition-authorization_status_details
FAILURES: Final = {
    "DECLINED": FailureCategory.DECLINED,
    "DENIED": FailureCategory.DECLINED,
    "denied": FailureCategory.DECLINED,
    "FAILED": FailureCategory.TECHNICAL,  # "there was an error while capturing payment"
    "DECLINED_BY_RISK_FRAUD_FILTERS": FailureCategory.FRAUD,
}

# https://developer.paypal.com/docs/api/payments/v2/#definition-refund_status
REFUND_STATUSES: Final = {
    "PENDING": RefundStatus.PENDING,
    "COMPLETED": RefundStatus.SUCCEEDED,
    "FAILED": RefundStatus.FAILED,
    "CANCELLED": RefundStatus.CANCELED,
}
REFUND_STATES: Final = {
    "pending": RefundStatus.PENDING,
    "completed": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "cancelled": RefundStatus.CANCELED,
}

# Dispute.status -> dispute; RESOLVED by its outcome. https://developer.paypal.com/docs/api/customer-disputes/v1/
DISPUTE_STATUSES: Final = {
    "OPEN": DisputeStatus.NEEDS_RESPONSE,  # an inquiry, in that stage
    "WAITING_FOR_SELLER_RESPONSE": DisputeStatus.NEEDS_RESPONSE,
    "WAITING_FOR_BUYER_RESPONSE": DisputeStatus.UNDER_REVIEW,
    "UNDER_REVIEW": DisputeStatus.UNDER_REVIEW,
}
OUTCOMES: Final = {
    "RESOLVED_BUYER_FAVOUR": DisputeStatus.LOST,
    "RESOLVED_SELLER_FAVOUR": DisputeStatus.WON,
    "RESOLVED_WITH_PAYOUT": DisputeStatus.WON,  # PayPal paid
    "CANCELED_BY_BUYER": DisputeStatus.CANCELED,
    "ACCEPTED": DisputeStatus.ACCEPTED,
    "DENIED": DisputeStatus.WON,
    "NONE": DisputeStatus.CANCELED,  # closed without a decision: there is another one about the same transaction
}
STAGES: Final[Mapping[str, Literal["inquiry", "chargeback", "pre_arbitration", "arbitration"]]] = {
    "INQUIRY": "inquiry",
    "CHARGEBACK": "chargeback",
    "PRE_ARBITRATION": "pre_arbitration",
    "ARBITRATION": "arbitration",
}
REASONS: Final = {
    "UNAUTHORISED": "fraud",
    "UNAUTHORIZED": "fraud",  # so in the simulator's payloads
    "MERCHANDISE_OR_SERVICE_NOT_RECEIVED": "consumer_dispute",
    "MERCHANDISE_OR_SERVICE_NOT_AS_DESCRIBED": "consumer_dispute",
    "CREDIT_NOT_PROCESSED": "consumer_dispute",
    "CANCELED_RECURRING_BILLING": "consumer_dispute",
    "DUPLICATE_TRANSACTION": "processing_error",
    "INCORRECT_AMOUNT": "processing_error",
    "PAYMENT_BY_OTHER_MEANS": "processing_error",
    "PROBLEM_WITH_REMITTANCE": "processing_error",
}

# transaction_status of an item -> payout. https://developer.paypal.com/docs/api/payments.payouts-batch/v1/
ITEM_STATUSES: Final = {
    "PENDING": PayoutStatus.PENDING,
    "ONHOLD": PayoutStatus.PENDING,
    "UNCLAIMED": PayoutStatus.IN_TRANSIT,  # sent to somebody without an account, for 30 days
    "SUCCESS": PayoutStatus.PAID,
    "FAILED": PayoutStatus.FAILED,
    "BLOCKED": PayoutStatus.FAILED,
    "DENIED": PayoutStatus.FAILED,
    "RETURNED": PayoutStatus.RETURNED,
    "REFUNDED": PayoutStatus.RETURNED,
    "REVERSED": PayoutStatus.RETURNED,
    "CANCELED": PayoutStatus.CANCELED,
}
BATCH_STATUSES: Final = {
    "PENDING": PayoutStatus.PENDING,
    "PROCESSING": PayoutStatus.IN_TRANSIT,
    "SUCCESS": PayoutStatus.PAID,
    "DENIED": PayoutStatus.FAILED,
    "CANCELED": PayoutStatus.CANCELED,
}

TRANSITIONS: Final = Transitions(
    moves={
        # Both sides may appeal. https://developer.paypal.com/docs/disputes/
        Entity.DISPUTE: {
            DisputeStatus.WON: frozenset(
                {DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW, DisputeStatus.LOST}
            ),
            DisputeStatus.LOST: frozenset({DisputeStatus.UNDER_REVIEW, DisputeStatus.WON}),
        },
    },
)

# What PayPal says of a payment and the model has no word for.
METADATA: Final = ("custom_id", "custom", "soft_descriptor", "parent_payment", "intent")

_LIVE: Final = frozenset({"api.paypal.com", "api-m.paypal.com"})
_SANDBOX: Final = frozenset({"api.sandbox.paypal.com", "api-m.sandbox.paypal.com"})
_HOST: Final = re.compile(r"https://([a-z0-9.-]+)/.*")
_PAYMENT_LINK: Final = re.compile(
    r"https?://[^/?#]+(?:/[^/?#]+)*/v[12]/payments/(?:captures?|sale)/([A-Za-z0-9]{1,64})"
)
_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_OFFSET: Final = re.compile(r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})$")


def head(_: Verified, body: Wild) -> Head:
    event_type = body.text("event_type")
    return Head(
        event_key=body.id("id"),
        event_type=event_type,
        occurred_at=None if event_type in ELSEWHERE else body.maybe_rfc3339("create_time"),
        livemode=_livemode(body),
    )


def _livemode(body: Wild) -> bool | None:
    """By the host of the event's own link."""
    for link in body.children("links"):
        found = _HOST.fullmatch(link.maybe_text("href") or "") if link.maybe_text("rel") == "self" else None
        if found and found[1] in _LIVE | _SANDBOX:
            return found[1] in _LIVE
    return None


# --- payments


def _capture(found: Wild, at: datetime | None) -> Statement:
    return _transaction(found, at, _worded(found, CAPTURE_STATUSES, SALE_STATES))


def _sale(found: Wild, at: datetime | None) -> Statement:
    return _transaction(found, at, found.status("state", SALE_STATES))


def _transaction(found: Wild, at: datetime | None, status: PaymentStatus) -> Statement:
    word = _word(found)
    share = REFUNDED.get(word)
    amount, fees = _money(found, "amount"), found.maybe_child("seller_receivable_breakdown")
    block = Payment(
        id=found.id("id"),
        status=status,
        provider_status=word,
        amount=amount,
        amount_captured=amount if status is PaymentStatus.SUCCEEDED else None,
        fee=_maybe_money(fees, "paypal_fee") if fees else _maybe_money(found, "transaction_fee"),
        settlement=_settlement(fees) if fees else None,
        subscription_id=found.maybe_id("billing_agreement_id"),
        reference=found.free_text("invoice_id") or found.free_text("invoice_number"),
        failure=_failure(found) if status is PaymentStatus.FAILED else None,
        created_at=found.maybe_rfc3339("create_time"),
        updated_at=found.maybe_rfc3339("update_time"),
        metadata=_metadata(found),
    )
    return Statement(
        block=block,
        at=block.updated_at or at or block.created_at,
        payment_id=block.id,
        facts=(Fact(name="refunded", says=(int(share == "full"), 0)),) if share else (),
        refund_state=share,
    )


def _authorization(found: Wild, at: datetime | None) -> Statement:
    amount = _money(found, "amount")
    status = None if _told_elsewhere(found) else _worded(found, AUTHORIZATION_STATUSES, AUTHORIZATION_STATES)
    block = Payment(
        id=found.id("id"),
        status=status,
        provider_status=_word(found),
        amount=amount,
        amount_authorized=amount,
        reference=found.free_text("invoice_id"),
        failure=_failure(found) if status is PaymentStatus.FAILED else None,
        created_at=found.maybe_rfc3339("create_time"),
        updated_at=found.maybe_rfc3339("update_time"),
        metadata=_metadata(found),
    )
    return Statement(block=block, at=block.updated_at or at or block.created_at, payment_id=block.id)


def _told_elsewhere(found: Wild) -> bool:
    return found.text("status") in CAPTURED if "status" in found else found.text("state") in CAPTURED_V1


def _order(found: Wild, at: datetime | None) -> Statement:
    units, payer = found.children("purchase_units"), found.maybe_child("payer")
    first = units[0] if units else None
    block = Payment(
        id=found.id("id"),
        status=None if found.text("status") in COMPLETED else found.status("status", ORDER_STATUSES),
        provider_status=found.text("status"),
        amount=_sum(units),
        method=_method(found.maybe_child("payment_source")),
        customer_id=payer.maybe_id("payer_id") if payer else None,
        reference=_reference(first) if first else None,
        description=first.free_text("description") if first else None,
        created_at=found.maybe_rfc3339("create_time"),
        updated_at=found.maybe_rfc3339("update_time"),
        metadata=_metadata(found),
    )
    return Statement(block=block, at=block.updated_at or at or block.created_at, payment_id=block.id)


def _reversed_approval(found: Wild, at: datetime | None) -> Statement:
    """Approved, not captured in time: the buyer got the money back. The order has no status in this event."""
    units = found.children("purchase_units")
    block = Payment(
        id=found.id("order_id"),
        status=PaymentStatus.CANCELED,
        amount=_sum(units),
        method=_method(found.maybe_child("payment_source")),
        reference=_reference(units[0]) if units else None,
    )
    return Statement(block=block, at=at, payment_id=block.id)


def _sum(units: list[Wild]) -> Money | None:
    """Of all units, where each says its own, in one currency."""
    amounts = [_money(unit, "amount") for unit in units if "amount" in unit]
    if not amounts or len(amounts) < len(units) or len({amount.currency for amount in amounts}) > 1:
        return None
    return Money(sum(amount.minor for amount in amounts), amounts[0].currency, amounts[0].exponent)


def _reference(unit: Wild) -> str | None:
    return unit.free_text("invoice_id") or unit.free_text("custom_id") or unit.free_text("reference_id")


def _method(source: Wild | None) -> Method | None:
    """`payment_source` has one key: the kind."""
    for kind in source or ():
        card = source.maybe_child("card") if source and kind == "card" else None
        if card is not None:
            return Method(type="card", brand=card.maybe_text("brand"), last4=card.maybe_text("last_digits"))
        return Method(type="wallet", wallet=kind) if kind in ("paypal", "venmo") else Method(type=kind)
    return None


def _settlement(fees: Wild) -> Settlement | None:
    """Where the merchant's balance has another currency."""
    if "receivable_amount" not in fees:
        return None
    rate = fees.maybe_child("exchange_rate")
    value = rate.maybe_decimal("value") if rate else None
    return Settlement(amount=_money(fees, "receivable_amount"), exchange_rate=None if value is None else f"{value:f}")


def _failure(found: Wild) -> Failure:
    """`processor_response` for cards, `status_details` for everything."""
    said, details = found.maybe_child("processor_response"), found.maybe_child("status_details")
    code = said.maybe_text("response_code") if said else None
    reason = details.maybe_text("reason") if details else found.maybe_text("reason_code")
    category = FAILURES.get(reason or "") or FAILURES.get(_word(found), FailureCategory.UNKNOWN)
    return Failure(category=category, code=reason, decline_code=code)


# --- refunds, disputes, payouts


def _refund(found: Wild, at: datetime | None) -> Statement:
    block = Refund(
        id=found.id("id"),
        payment_id=found.maybe_id("sale_id") or found.maybe_id("capture_id") or _linked(found),
        status=_worded(found, REFUND_STATUSES, REFUND_STATES),
        provider_status=_word(found),
        amount=_positive(_money(found, "amount")),
        reason=found.free_text("note_to_payer") or found.free_text("reason"),
        created_at=found.maybe_rfc3339("create_time"),
        updated_at=found.maybe_rfc3339("update_time"),
        metadata=_metadata(found),
    )
    return Statement(block=block, at=block.updated_at or at or block.created_at, payment_id=block.payment_id)


def _linked(found: Wild) -> str | None:
    for link in found.children("links"):
        payment = _PAYMENT_LINK.fullmatch(link.maybe_text("href") or "")
        if payment and link.maybe_text("rel") != "self":
            return payment[1]
    return None


def _dispute(found: Wild, at: datetime | None) -> Statement:
    word, reason = found.text("status"), found.maybe_text("reason")
    stage = STAGES.get(found.maybe_text("dispute_life_cycle_stage") or "")
    status = _outcome(found) if word == "RESOLVED" else found.status("status", DISPUTE_STATUSES)
    block = Dispute(
        id=found.id("dispute_id"),
        payment_id=_disputed(found),
        status=DisputeStatus.INQUIRY if word == "OPEN" and stage == "inquiry" else status,
        provider_status=word,
        stage=stage,
        amount=_maybe_money(found, "dispute_amount"),
        reason=DisputeReason(category=REASONS.get(reason), code=reason) if reason else None,
        evidence_due_at=_deadline(found, "seller_response_due_date"),
        created_at=found.maybe_rfc3339("create_time"),
        updated_at=found.maybe_rfc3339("update_time"),
    )
    return Statement(block=block, at=block.updated_at or at or block.created_at, payment_id=block.payment_id)


def _deadline(found: Wild, key: str) -> datetime | None:
    """Published without an offset, too (`2016-07-10T20:38:52.000`): then it says no moment."""
    return found.maybe_rfc3339(key) if _OFFSET.search(found.maybe_text(key) or "") else None


def _outcome(found: Wild) -> DisputeStatus:
    return found.child("dispute_outcome").status("outcome_code", OUTCOMES)


def _risk_dispute(found: Wild, at: datetime | None) -> Statement:
    """The simulator's has another form: its `dispute_status` is a number that no page explains."""
    if "status" not in found and "dispute_status" in found:
        raise found.at("dispute_status").unknown("status of a dispute", reason="unknown_status")
    return _dispute(found, at)


def _disputed(found: Wild) -> str | None:
    """One dispute may be about several transactions; then it belongs to none of them."""
    ids = {one.maybe_id("seller_transaction_id") for one in found.children("disputed_transactions")} - {None}
    return ids.pop() if len(ids) == 1 else None


def _payout_item(found: Wild, at: datetime | None) -> Statement:
    item, errors = found.child("payout_item"), found.maybe_child("errors")
    status = found.status("transaction_status", ITEM_STATUSES)
    block = Payout(
        id=found.id("payout_item_id"),
        status=status,
        provider_status=found.text("transaction_status"),
        amount=_money(item, "amount"),
        fee=_maybe_money(found, "payout_item_fee"),
        failure=_payout_failure(errors) if errors else None,
        updated_at=found.maybe_rfc3339("time_processed"),
        metadata={
            key: found.free_text(key)
            for key in ("payout_batch_id", "sender_batch_id", "transaction_id")
            if key in found
        },
    )
    return Statement(block=block, at=block.updated_at or at)


def _payout_failure(errors: Wild) -> Failure:
    return Failure(
        category=FailureCategory.UNKNOWN, code=errors.maybe_text("name"), message=errors.free_text("message")
    )


def _payout_batch(found: Wild, at: datetime | None) -> Statement:
    """The resource of a webhook wraps the header, the API's answer was unwrapped."""
    batch = found.maybe_child("batch_header") or found
    block = Payout(
        id=batch.id("payout_batch_id"),
        status=batch.status("batch_status", BATCH_STATUSES),
        provider_status=batch.text("batch_status"),
        amount=_maybe_money(batch, "amount"),
        fee=_maybe_money(batch, "fees"),
        created_at=batch.maybe_rfc3339("time_created"),
        updated_at=batch.maybe_rfc3339("time_completed"),
    )
    return Statement(block=block, at=block.updated_at or at or block.created_at)


# --- the forms that all objects share


def _word(found: Wild) -> str:
    return found.text("status" if "status" in found else "state")


def _worded(found: Wild, statuses: Mapping[str, _Status], states: Mapping[str, _Status]) -> _Status:
    """v2 says `status`, v1 `state`, each in words of its own."""
    return found.status("status", statuses) if "status" in found else found.status("state", states)


def _money(found: Wild, key: str) -> Money:
    money = found.child(key)
    value = money.decimal("value" if "value" in money else "total")
    return from_major(value, money.text("currency_code" if "currency_code" in money else "currency"))


def _maybe_money(found: Wild, key: str) -> Money | None:
    return _money(found, key) if key in found else None


def _positive(amount: Money) -> Money:
    return replace(amount, minor=abs(amount.minor))


def _metadata(found: Wild) -> dict[str, Any]:
    related = found.maybe_child("supplementary_data", "related_ids")
    told = {key: found.free_text(key) for key in METADATA if key in found}
    return told | ({key: related.free_text(key) for key in related} if related else {})


# --- events

# How to read the resource, and its kinds in `API`: as v2 and v1 call it.
_Kind = tuple[Any, str, str]
_CAPTURE: Final[_Kind] = (_capture, "capture", "capture_v1")
_SALE: Final[_Kind] = (_sale, "sale", "sale")
_AUTHORIZATION: Final[_Kind] = (_authorization, "authorization", "authorization_v1")
_ORDER: Final[_Kind] = (_order, "order", "order")
_REFUND: Final[_Kind] = (_refund, "refund", "refund_v1")
_DISPUTE: Final[_Kind] = (_dispute, "dispute", "dispute")
_ITEM: Final[_Kind] = (_payout_item, "payout_item", "payout_item")
_BATCH: Final[_Kind] = (_payout_batch, "payout_batch", "payout_batch")

KINDS: Final[Mapping[str, _Kind]] = {
    "PAYMENT.CAPTURE.COMPLETED": _CAPTURE,
    "PAYMENT.CAPTURE.PENDING": _CAPTURE,
    "PAYMENT.CAPTURE.DENIED": _CAPTURE,
    "PAYMENT.CAPTURE.DECLINED": _CAPTURE,
    "PAYMENT.CAPTURE.REFUNDED": _REFUND,
    "PAYMENT.CAPTURE.REVERSED": _REFUND,
    "PAYMENT.REFUND.PENDING": _REFUND,
    "PAYMENT.REFUND.COMPLETED": _REFUND,
    "PAYMENT.REFUND.CANCELLED": _REFUND,
    "PAYMENT.REFUND.DENIED": _REFUND,
    "PAYMENT.REFUND.FAILED": _REFUND,
    "PAYMENT.SALE.COMPLETED": _SALE,
    "PAYMENT.SALE.PENDING": _SALE,
    "PAYMENT.SALE.DENIED": _SALE,
    "PAYMENT.SALE.REFUNDED": _REFUND,
    "PAYMENT.SALE.REVERSED": _REFUND,
    "PAYMENT.AUTHORIZATION.CREATED": _AUTHORIZATION,
    "PAYMENT.AUTHORIZATION.VOIDED": _AUTHORIZATION,
    "CHECKOUT.ORDER.SAVED": _ORDER,
    "CHECKOUT.ORDER.APPROVED": _ORDER,
    "CHECKOUT.ORDER.VOIDED": _ORDER,
    "CHECKOUT.ORDER.PROCESSED": _ORDER,
    "CHECKOUT.ORDER.COMPLETED": _ORDER,
    "CHECKOUT.PAYMENT-APPROVAL.REVERSED": (_reversed_approval, "order", "order"),
    "CUSTOMER.DISPUTE.CREATED": _DISPUTE,
    "CUSTOMER.DISPUTE.UPDATED": _DISPUTE,
    "CUSTOMER.DISPUTE.RESOLVED": _DISPUTE,
    "RISK.DISPUTE.CREATED": (_risk_dispute, "dispute", "dispute"),
    "PAYMENT.PAYOUTS-ITEM.SUCCEEDED": _ITEM,
    "PAYMENT.PAYOUTS-ITEM.FAILED": _ITEM,
    "PAYMENT.PAYOUTS-ITEM.BLOCKED": _ITEM,
    "PAYMENT.PAYOUTS-ITEM.CANCELED": _ITEM,
    "PAYMENT.PAYOUTS-ITEM.DENIED": _ITEM,
    "PAYMENT.PAYOUTS-ITEM.HELD": _ITEM,
    "PAYMENT.PAYOUTS-ITEM.REFUNDED": _ITEM,
    "PAYMENT.PAYOUTS-ITEM.RETURNED": _ITEM,
    "PAYMENT.PAYOUTS-ITEM.UNCLAIMED": _ITEM,
    "PAYMENT.PAYOUTSBATCH.PROCESSING": _BATCH,
    "PAYMENT.PAYOUTSBATCH.SUCCESS": _BATCH,
    "PAYMENT.PAYOUTSBATCH.DENIED": _BATCH,
}


def _told(read: Any, body: Wild, head: Head) -> tuple[Statement, ...]:
    return (read(body.child("resource"), head.occurred_at),)


def _state(read: Any, found: Wild, asked: Asked) -> tuple[Statement, ...]:
    return (read(found, asked.occurred_at),)


def confirm(body: Wild, head: Head) -> Lookup:
    """The object that the event is about; what else the body says counts for nothing."""
    found = body.child("resource")
    _, kind, kind_v1 = KINDS[head.event_type or ""]
    named = kind_v1 if "state" in found and "status" not in found else kind
    holder = found.child("batch_header") if named == "payout_batch" else found
    key = "order_id" if "order_id" in found and "id" not in found else API.objects[named].id_key
    return Lookup(objects=(ObjectRef(object=named, id=holder.id(key)),))


# Not payments, or another view of one: subscriptions are paid by sales, invoices and v1 orders by captures. The names
# are of PayPal's page and of its list: https://developer.paypal.com/docs/api/webhooks/v1/#webhooks-event-types_list
_ELSEWHERE: Final = {
    "BILLING.PLAN": "CREATED UPDATED ACTIVATED DEACTIVATED PRICING-CHANGE.INPROGRESS PRICING-CHANGE.ACTIVATED",
    "BILLING.SUBSCRIPTION": "CREATED ACTIVATED UPDATED EXPIRED CANCELLED SUSPENDED RE-ACTIVATED PAYMENT.FAILED",
    "BILLING_AGREEMENTS.AGREEMENT": "CREATED CANCELLED",
    "CATALOG.PRODUCT": "CREATED UPDATED",
    "CHECKOUT.CHECKOUT": "BUYER-APPROVED",
    "CUSTOMER.ACCOUNT-ENTITIES": "CAPABILITY-UPDATED",
    "CUSTOMER.ACCOUNT-LIMITATION": "ADDED ESCALATED LIFTED UPDATED",
    "CUSTOMER.MANAGED-ACCOUNT": "ACCOUNT-CREATED ACCOUNT-LIMIT-APPROACHED ACCOUNT-PROACTIVE-NOTIFICATION "
    "ACCOUNT-STATUS-CHANGED ACCOUNT-UPDATED CONFIGURATIONS-UPDATED CREATED CREATION-FAILED "
    "NEGATIVE-BALANCE-DEBIT-INITIATED NEGATIVE-BALANCE-NOTIFIED NEGATIVE-BALANCE-THRESHOLD RISK-ASSESSED UPDATED",
    "CUSTOMER.MERCHANT-INTEGRATION": "CAPABILITY-UPDATED PRODUCT-SUBSCRIPTION-UPDATED SELLER-ALREADY-INTEGRATED "
    "SELLER-CONSENT-GRANTED SELLER-EMAIL-CONFIRMED SELLER-ERROR-BAD-REQUEST SELLER-ERROR-INTERNAL-SERVER-ERROR "
    "SELLER-ONBOARDING-INITIATED SELLER-ONBOARDING-STARTED",
    "CUSTOMER.MERCHANT-MIGRATION": "BILLING-AGREEMENT-MIGRATION.ACCEPTED BILLING-AGREEMENT-MIGRATION.COMPLETED "
    "BILLING-AGREEMENT-MIGRATION.FAILED BILLING-AGREEMENT-MIGRATION.IN-PROGRESS",
    "CUSTOMER.PAYPAL-ACCOUNT": "CHANGED",
    "CUSTOMER.PROFILE": "ACCOUNT-CLOSED",
    "CUSTOMER.USER-PROFILE": "PASSWORD-CHANGED",
    "IDENTITY.AUTHORIZATION-CONSENT": "GRANTED REVOKED",
    "INVOICING.INVOICE": "CREATED SCHEDULED UPDATED PAID REFUNDED CANCELLED",
    "MERCHANT.ONBOARDING": "COMPLETED",
    "MERCHANT.PARTNER-CONSENT": "REVOKED",
    "PAYMENT.INSTRUMENT": "REPLACED UPDATED",
    "PAYMENT.ORDER": "CREATED CANCELLED",
    "PAYMENT.REFERENCED-PAYOUT-ITEM": "COMPLETED FAILED",
    "PAYMENTS.PAYMENT": "CREATED",
    "PAYMENT-TOKENIZATION.BATCH-REQUEST": "STATUS-CHANGED",
    "PAYMENT-TOKENIZATION.ENROLLMENT": "CREATED",
    "PAYMENT-TOKENIZATION.METADATA": "CHANGED",
    "PAYMENT-TOKENIZATION.PAYMENT-CREDENTIAL": "CREATED UPDATED",
    "PAYMENT-TOKENIZATION.TOKEN-REQUESTOR": "UPDATED",
    "PAYMENT-TOKENIZATION.TOKEN-STATUS": "CHANGED",
    "PAYMENT-TOKENIZATION.TRANSACTION": "CREATED",
    "REPORTING.REPORT": "AVAILABLE",
    "VAULT.CREDIT-CARD": "CREATED DELETED UPDATED",
    "VAULT.PAYMENT-TOKEN": "CREATED UPDATED DELETED DELETION-INITIATED",
}
ELSEWHERE: Final = frozenset(f"{kind}.{event}" for kind, events in _ELSEWHERE.items() for event in events.split())


# --- proof, and the API

_CERTIFICATES: Final = "/v1/notifications/certs/"
_LIVE_NAME: Final = "messageverificationcerts.paypal.com"
_SANDBOX_NAME: Final = "messageverificationcerts.sandbox.paypal.com"
_SOURCES: Final = {
    "live": tuple(Source(origin=f"https://{host}", name=_LIVE_NAME, path=_CERTIFICATES) for host in sorted(_LIVE)),
    "sandbox": tuple(
        Source(origin=f"https://{host}", name=_SANDBOX_NAME, path=_CERTIFICATES) for host in sorted(_SANDBOX)
    ),
}
_ELSEWHERE_URL: Final = re.compile(
    r"(https://[a-z0-9.-]+|http://(?:127\.0\.0\.1|localhost):[0-9]{1,5})((?:/[A-Za-z0-9_-]+)*/)"
)


def configure(scheme: Scheme, options: Mapping[str, str]) -> Scheme:
    """`region` leaves one of PayPal's two worlds; `cert_url` puts another place in their stead."""
    sources = _SOURCES.get(options.get("region", ""), (*_SOURCES["live"], *_SOURCES["sandbox"]))
    if "cert_url" in options:
        sources = (_elsewhere(options["cert_url"]),)
    if options.get("webhook_id") or options.get("ca_pem"):
        authorities(options.get("ca_pem", ""))  # raises ValueError
    return replace(
        cast("CertificateRsa", scheme),
        sources=sources,
        webhook_id=options.get("webhook_id", ""),
        ca_pem=options.get("ca_pem", ""),
        cert_pem=options.get("cert_pem", ""),
    )


def _elsewhere(url: str) -> Source:
    found = _ELSEWHERE_URL.fullmatch(url)
    if found is None:
        raise SettingsError("cert_url: should be like https://host/path/, or http on 127.0.0.1 with a port")
    return Source(origin=found[1], name=_SANDBOX_NAME, path=found[2])


def _bearer(token: str, _: Mapping[str, str]) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _endpoint(path: str, read: Any, *, id_key: str = "id") -> Endpoint:
    return Endpoint(path=path, id_pattern=_ID, id_key=id_key, state=partial(_state, read))


API: Final = Api(
    url="https://api-m.paypal.com",
    regions={"live": "https://api-m.paypal.com", "sandbox": "https://api-m.sandbox.paypal.com"},
    headers=_bearer,
    credentials=ClientCredentials(path="/v1/oauth2/token"),
    objects={
        "capture": _endpoint("/v2/payments/captures/{id}", _capture),
        "capture_v1": _endpoint("/v1/payments/capture/{id}", _capture),
        "sale": _endpoint("/v1/payments/sale/{id}", _sale),
        "authorization": _endpoint("/v2/payments/authorizations/{id}", _authorization),
        "authorization_v1": _endpoint("/v1/payments/authorization/{id}", _authorization),
        "order": _endpoint("/v2/checkout/orders/{id}", _order),
        "refund": _endpoint("/v2/payments/refunds/{id}", _refund),
        "refund_v1": _endpoint("/v1/payments/refund/{id}", _refund),
        "dispute": _endpoint("/v1/customer/disputes/{id}", _dispute, id_key="dispute_id"),
        "payout_item": _endpoint("/v1/payments/payouts-item/{id}", _payout_item, id_key="payout_item_id"),
        "payout_batch": replace(
            _endpoint("/v1/payments/payouts/{id}", _payout_batch, id_key="payout_batch_id"), unwrap=("batch_header",)
        ),
    },
)

PAYPAL: Final = Provider(
    name="paypal",
    docs="https://developer.paypal.com/api/rest/webhooks/rest/",
    signature=CertificateRsa(prefix=b"paypal-", sources=(*_SOURCES["live"], *_SOURCES["sandbox"])),
    configure=configure,
    head=head,
    events={name: partial(_told, read) for name, (read, *_) in KINDS.items()},
    confirm=confirm,
    ignored=ELSEWHERE,
    statuses={
        "Capture.status": CAPTURE_STATUSES,
        "Sale.state": SALE_STATES,
        "Authorization.status": AUTHORIZATION_STATUSES,
        "Authorization.state, v1": AUTHORIZATION_STATES,
        "Order.status": ORDER_STATUSES,
        "Refund.status": REFUND_STATUSES,
        "Refund.state, v1": REFUND_STATES,
        "Dispute.status": DISPUTE_STATUSES,
        "Dispute.dispute_outcome.outcome_code": OUTCOMES,
        "PayoutItem.transaction_status": ITEM_STATUSES,
        "PayoutBatch.batch_status": BATCH_STATUSES,
    },
    transitions=TRANSITIONS,
    redelivery=Redelivery(attempts=26, window=timedelta(days=3), note="up to 25 times after the first"),
    api=API,
    options=(
        Option(
            name="webhook_id", help="the webhook's ID in PayPal's dashboard, a part of what is signed", required=True
        ),
        Option(
            name="region",
            help="whose certificates and API count (default: both, and live's API)",
            choices=("live", "sandbox"),
        ),
        Option(
            name="confirm",
            help="api: ask PayPal for each object instead of believing the body, of which only a checksum is signed",
            choices=("signature", "api"),
        ),
        Option(name="ca_pem", help="certificates of authorities in PEM, beside those that the system trusts"),
        Option(
            name="cert_pem", help="for `paymux verify`: the certificate in PEM in place of a fetch, by ca_pem alone"
        ),
        Option(name="cert_url", help="another place that certificates come from, for a sandbox: https, or loopback"),
    ),
)
