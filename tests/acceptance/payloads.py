"""The providers' payloads read again, from their documentation and `docs/event.md` alone: what each must become.

Nothing here comes from `paymux`'s own tables or converters. Money is computed from the digits that were posted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

# Decimals of the currencies in the samples: ISO 4217, and where Stripe counts otherwise.
ISO = {"EUR": 2, "USD": 2, "INR": 2, "QAR": 2, "JPY": 0, "ISK": 0, "KWD": 3}
STRIPE = ISO | {"ISK": 2}

KEYS = {
    "payment": "id purpose status provider_status amount amount_authorized amount_captured amount_refunded fee settlement "
    "breakdown line_items method customer_id invoice_id subscription_id reference description failure created_at "
    "updated_at due_at paid_at settled_at next_retry_at metadata",
    "refund": "id payment_id status provider_status amount fee reason destination retry_of failure created_at updated_at "
    "metadata",
    "dispute": "id payment_id status provider_status stage amount reason evidence_due_at created_at updated_at metadata",
    "payout": "id status provider_status amount fee destination failure arrival_at created_at updated_at metadata",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one item must become, heard first: the block of its entity, its events' types in order, whose it is.

    `time` None: the provider gives none, so the time of receipt stands there.
    """

    entity: str
    types: tuple[str, ...]
    block: Json
    payment_id: str | None
    time: datetime | None
    alias: str | None = None
    said: Json = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The last part of the Kafka key, where no link is known."""
        return self.payment_id or str(self.block["id"])


def parsed(body: bytes) -> Json:
    """Numbers keep their digits."""
    found: Json = json.loads(body, parse_float=Decimal)
    return found


def _block(entity: str, **known: Any) -> Json:
    block: Json = dict.fromkeys(KEYS[entity].split())
    if entity == "payment":
        block["purpose"] = "payment"
    assert known.keys() <= block.keys()
    return block | known


def _minor(value: int, currency: str, counted: dict[str, int] | None = None) -> Json:
    """From a provider's smallest unit to ISO's."""
    code = currency.upper()
    scaled = Decimal(value).scaleb(ISO[code] - (counted or ISO)[code])
    assert scaled == int(scaled)
    return {"minor": int(scaled), "currency": code, "exponent": ISO[code]}


def _major(value: Any, currency: str) -> Json:
    code = currency.upper()
    scaled = Decimal(value).scaleb(ISO[code])
    assert scaled == int(scaled)
    return {"minor": int(scaled), "currency": code, "exponent": ISO[code]}


def _seconds(value: int | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value, UTC)


def _iso(value: str | None) -> datetime | None:
    if value is None:
        return None
    found = datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _milliseconds(value: Any) -> datetime | None:
    return _iso(value) if value is None or isinstance(value, str) else datetime.fromtimestamp(value // 1000, UTC)


# --- Stripe

_INTENTS = {
    "requires_payment_method": "pending",
    "requires_confirmation": "pending",
    "requires_action": "requires_action",
    "processing": "processing",
    "requires_capture": "authorized",
    "succeeded": "succeeded",
    "canceled": "canceled",
}
_DISPUTES = {
    "warning_needs_response": ("inquiry", "inquiry"),
    "needs_response": ("needs_response", "chargeback"),
    "under_review": ("under_review", "chargeback"),
    "won": ("won", "chargeback"),
    "lost": ("lost", "chargeback"),
}
_FACTS = {
    "charge.dispute.funds_withdrawn": "dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated": "dispute.funds_reinstated",
}
# The categories of the failures in the samples, by https://docs.stripe.com/declines/codes and error-codes.
_CATEGORIES = {
    "insufficient_funds": "declined",
    "highest_risk_level": "fraud",
    "fraudulent": "fraud",
    "requested_by_customer": "canceled_by_customer",
    "account_closed": "declined",
    "expired_or_canceled_card": "declined",
    "could_not_process": "technical",
    "lost_or_stolen_card": "declined",
    "generic_decline": "declined",
    "card_declined": "declined",
}


def stripe(body: bytes) -> Told | None:
    """A snapshot event; None for a thin one, which tells nothing by itself."""
    event = parsed(body)
    if event["object"] != "event":
        return None
    return stripe_object(event["data"]["object"], event=event)


def stripe_object(found: Json, event: Json | None = None) -> Told:
    kinds: dict[str, Callable[[Json, Json], Told]] = {
        "payment_intent": _intent,
        "charge": _charge,
        "refund": _stripe_refund,
        "dispute": _dispute,
        "payout": _payout,
    }
    return kinds[found["object"]](found, event or {"type": None, "created": None, "api_version": "2026"})


def _intent(found: Json, event: Json) -> Told:
    currency, status = found["currency"], _INTENTS[found["status"]]
    received = found.get("amount_received")
    if status == "authorized" and received:
        status = "partially_captured"
    holding = found["status"] == "requires_capture"
    latest = found.get("latest_charge")
    charges = found.get("charges", {}).get("data", []) or ([latest] if isinstance(latest, dict) else [])
    error = found.get("last_payment_error")
    details = charges[0]["payment_method_details"] if charges else (error or {}).get("payment_method")
    block = _block(
        "payment",
        id=found["id"],
        status=status,
        provider_status=found["status"],
        amount=_minor(found["amount"], currency, STRIPE),
        amount_captured=None if received is None else _minor(received, currency, STRIPE),
        amount_authorized=_minor(found["amount_capturable"] + received, currency, STRIPE) if holding else None,
        method=_card(details),
        customer_id=found.get("customer"),
        invoice_id=found.get("invoice"),
        reference=(found.get("payment_details") or {}).get("order_reference"),
        description=found["description"],
        failure=_intent_failure(found),
        created_at=_seconds(found["created"]),
        metadata=found["metadata"],
    )
    types: tuple[str, ...] = (f"payment.{status}",)
    if event["type"] == "payment_intent.payment_failed":
        types += ("payment.attempt_failed",)
    return _stripe_told("payment", types, block, block["id"], event)


def _intent_failure(found: Json) -> Json | None:
    error, reason = found.get("last_payment_error"), found.get("cancellation_reason")
    if error:
        return _failure(error.get("code"), error.get("decline_code"), error.get("message"))
    return _failure(reason) if reason else None


def _failure(code: str | None, decline_code: str | None = None, message: str | None = None) -> Json:
    category = _CATEGORIES.get(decline_code or "") or _CATEGORIES.get(code or "") or "unknown"
    return {"category": category, "code": code, "decline_code": decline_code, "message": message}


def _card(details: Json | None) -> Json | None:
    if not details:
        return None
    own = details.get(details["type"]) or {}
    wallet = own.get("wallet") or {}
    return {
        "type": details["type"],
        "brand": own.get("brand"),
        "last4": own.get("last4"),
        "wallet": wallet.get("type"),
    }


def _charge(found: Json, event: Json) -> Told:
    currency, intent, captured = found["currency"], found.get("payment_intent"), found["captured"]
    moved = found["status"] == "succeeded"
    returned = found["amount_refunded"]
    if str(event["api_version"]) < "2025-03-31":  # releasing an authorization counted as a refund then
        returned = max(returned - (found["amount"] - found["amount_captured"]), 0)
    returned = returned if captured else 0
    status = _charge_status(found, event)
    block = _block(
        "payment",
        id=intent or found["id"],
        status=None if intent else status,
        provider_status=found["status"],
        amount=_minor(found["amount"], currency, STRIPE),
        amount_captured=_minor(found["amount_captured"], currency, STRIPE) if moved else None,
        amount_refunded=_minor(returned, currency, STRIPE) if moved else None,
        method=_card(found.get("payment_method_details")),
        customer_id=found.get("customer"),
        invoice_id=found.get("invoice"),
        description=found["description"],
        failure=_charge_failure(found),
        created_at=_seconds(found["created"]),
        metadata=found["metadata"],
    )
    types: tuple[str, ...] = () if intent else (f"payment.{status}",)
    if moved and returned:
        types += ("payment.refunded" if found["refunded"] else "payment.partially_refunded",)
    return _stripe_told("payment", types or ("payment.updated",), block, block["id"], event)


def _charge_status(found: Json, event: Json) -> str:
    if found["status"] != "succeeded":
        return {"pending": "processing", "failed": "failed"}[found["status"]]
    if found["captured"]:
        return "succeeded"
    if event["type"] == "charge.expired":
        return "expired"
    return "canceled" if found["refunded"] else "authorized"


def _charge_failure(found: Json) -> Json | None:
    if found["failure_code"] is None:
        return None
    return _failure(found["failure_code"], found["outcome"]["reason"], found["failure_message"])


def _stripe_refund(found: Json, event: Json) -> Told:
    reason, details = found.get("failure_reason"), found.get("destination_details") or {}
    block = _block(
        "refund",
        id=found["id"],
        payment_id=found["payment_intent"],
        status=found["status"],
        provider_status=found["status"],
        amount=_minor(found["amount"], found["currency"], STRIPE),
        reason=found["reason"],
        destination="original" if details.get("type") else None,
        failure=_failure(reason) if reason else None,
        created_at=_seconds(found["created"]),
        metadata=found["metadata"],
    )
    types = (f"refund.{found['status']}",)
    return _stripe_told("refund", types, block, block["payment_id"], event, found["charge"])


def _dispute(found: Json, event: Json) -> Told:
    status, stage = _DISPUTES[found["status"]]
    fraud = {"fraudulent": "fraud", "product_not_received": "consumer_dispute"}
    due = (found.get("evidence_details") or {}).get("due_by")
    block = _block(
        "dispute",
        id=found["id"],
        payment_id=found["payment_intent"],
        status=status,
        provider_status=found["status"],
        stage=stage,
        amount=_minor(found["amount"], found["currency"], STRIPE),
        reason={"category": fraud.get(found["reason"]), "code": found["reason"]},
        evidence_due_at=_seconds(due) if due else None,
        created_at=_seconds(found["created"]),
        metadata=found["metadata"],
    )
    types = (f"dispute.{status}", *([_FACTS[event["type"]]] if event["type"] in _FACTS else []))
    return _stripe_told("dispute", types, block, block["payment_id"], event, found["charge"])


def _payout(found: Json, event: Json) -> Told:
    code = found["failure_code"]
    block = _block(
        "payout",
        id=found["id"],
        status=found["status"],
        provider_status=found["status"],
        amount=_minor(found["amount"], found["currency"], STRIPE),
        destination=found["destination"],
        failure=_failure(code, None, found["failure_message"]) if code else None,
        arrival_at=_seconds(found["arrival_date"]),
        created_at=_seconds(found["created"]),
        metadata=found["metadata"],
    )
    return _stripe_told("payout", (f"payout.{found['status']}",), block, None, event)


def _stripe_told(
    entity: str, types: tuple[str, ...], block: Json, payment_id: str | None, event: Json, alias: str | None = None
) -> Told:
    return Told(
        entity=entity,
        types=types,
        block=block,
        payment_id=payment_id,
        time=_seconds(event["created"]),
        alias=None if payment_id else alias,
    )


# --- Flowlix

_FLOWLIX = ("PENDING", "REQUIRES_ACTION", "PROCESSING", "SUCCEEDED", "FAILED", "CANCELED", "EXPIRED")


def flowlix(body: bytes) -> Told:
    event = parsed(body)
    time = _seconds(event["created_at"])
    if "refund" in event["data"]:
        return _flowlix_refund(event["data"]["refund"], time)
    found = event["data"]["payment"]
    assert found["status"] in _FLOWLIX
    status, amount, returned = found["status"].lower(), found["amount"], found["amount_refunded"]
    card = found["card"]
    block = _block(
        "payment",
        id=found["id"],
        status=status,
        provider_status=found["status"],
        amount=_minor(amount, found["currency"]),
        amount_refunded=_minor(returned, found["currency"]),
        method=card and {"type": "card", "brand": card["brand"], "last4": card["last4"], "wallet": None},
        reference=found["merchant_reference"],
        description=found["description"],
        failure=_flowlix_failure(found) if status == "failed" else None,
        created_at=_seconds(found["created_at"]),
        paid_at=_seconds(found["status_transitions"]["succeeded_at"]),
        metadata=found["metadata"],
    )
    types: tuple[str, ...] = (f"payment.{status}",)
    if returned:
        types += ("payment.refunded" if returned >= amount else "payment.partially_refunded",)
    return Told(entity="payment", types=types, block=block, payment_id=block["id"], time=time)


def _flowlix_refund(found: Json, time: datetime | None) -> Told:
    status = found["status"].lower()
    block = _block(
        "refund",
        id=found["id"],
        payment_id=found["payment_id"],
        status=status,
        provider_status=found["status"],
        amount=_minor(found["amount"], found["currency"]),
        reason=found["reason"],
        failure=_flowlix_failure(found) if status == "failed" else None,
        created_at=_seconds(found["created_at"]),
        updated_at=_seconds(found.get("updated_at")),
        metadata=found["metadata"],
    )
    return Told(entity="refund", types=(f"refund.{status}",), block=block, payment_id=block["payment_id"], time=time)


def _flowlix_failure(found: Json) -> Json:
    code, decline_code = found.get("failure_code"), found.get("decline_code")
    listed = {"insufficient_funds": "declined", "issuer_declined": "declined", "suspect_fraud": "fraud"}
    return {
        "category": listed.get(code or "") or listed.get(decline_code or "") or "unknown",
        "code": code,
        "decline_code": decline_code,
        "message": found.get("failure_message") or found.get("decline_message"),
    }


# --- Flexprice

# payment_status -> (status, the fact beside it, the key of its time)
_FLEXPRICE = {
    "INITIATED": ("pending", None, None),
    "PENDING": ("pending", None, None),
    "PROCESSING": ("processing", None, None),
    "SUCCEEDED": ("succeeded", None, "succeeded_at"),
    "OVERPAID": ("succeeded", "payment.overpaid", "succeeded_at"),
    "PARTIALLY_REFUNDED": ("succeeded", "payment.partially_refunded", "refunded_at"),
    "REFUNDED": ("succeeded", "payment.refunded", "refunded_at"),
    "FAILED": ("failed", None, "failed_at"),
    "VOIDED": ("canceled", None, "voided_at"),
}
_METHODS = {"CARD": "card", "UPI": "upi", "PAYMENT_LINK": "payment_link"}


def flexprice(body: bytes) -> Told | None:
    """None for what is neither a payment nor a refund."""
    event = parsed(body)
    if event["event_type"] == "payment.attempt.failed":
        return _attempt(event)
    if "refund" in event:
        return _flexprice_refund(event["refund"])
    return _flexprice_payment(event["payment"]) if "payment" in event else None


def _flexprice_payment(found: Json) -> Told:
    status, fact, stamp = _FLEXPRICE[found["payment_status"]]
    verifies = found["destination_type"] == "CUSTOMER"
    failed = {"category": "unknown", "code": None, "decline_code": None, "message": found.get("error_message")}
    block = _block(
        "payment",
        id=found["id"],
        purpose="verification" if verifies else "payment",
        status=status,
        provider_status=found["payment_status"],
        amount=_major(found["amount"], found["currency"]),
        method={"type": _METHODS[found["payment_method_type"]], "brand": None, "last4": None, "wallet": None},
        customer_id=found["destination_id"] if verifies else None,
        invoice_id=None if verifies else found["destination_id"],
        reference=found.get("invoice_number"),
        failure=failed if status == "failed" else None,
        created_at=_iso(found.get("created_at")),
        updated_at=_iso(found.get("updated_at")),
        paid_at=_iso(found.get("succeeded_at")),
        metadata=found.get("metadata"),
    )
    time = block["updated_at"] or _iso(found.get(stamp or "")) or block["created_at"]
    types = (f"payment.{status}", *([fact] if fact else []))
    return Told(entity="payment", types=types, block=block, payment_id=block["id"], time=time)


def _attempt(event: Json) -> Told:
    message = event.get("error_message")
    failure = {"category": "declined", "code": None, "decline_code": None, "message": message}
    block = _block("payment", id=event["payment_id"], failure=failure)
    return Told(entity="payment", types=("payment.attempt_failed",), block=block, payment_id=block["id"], time=None)


def _flexprice_refund(found: Json) -> Told:
    status = {"CANCELLED": "canceled"}.get(found["refund_status"], found["refund_status"].lower())
    failed = {"category": "unknown", "code": None, "decline_code": None, "message": found.get("failure_reason")}
    places = {"GATEWAY": "original", "WALLET": "wallet", "OUT_OF_BAND": "out_of_band"}
    metadata = found.get("metadata")
    block = _block(
        "refund",
        id=found["id"],
        payment_id=found.get("payment_id"),
        status=status,
        provider_status=found["refund_status"],
        amount=_major(found["amount"], found["currency"]),
        reason=found["refund_reason"],
        destination=places[found["refund_destination"]],
        retry_of=(metadata or {}).get("retry_of"),
        failure=failed if status == "failed" else None,
        created_at=_iso(found.get("created_at")),
        updated_at=_iso(found.get("updated_at")),
        metadata=metadata,
    )
    own = _iso(found.get({"succeeded": "succeeded_at", "failed": "failed_at"}.get(status, "")))
    time = block["updated_at"] or own or block["created_at"]
    return Told(entity="refund", types=(f"refund.{status}",), block=block, payment_id=block["payment_id"], time=time)


# --- Flowglad, as its API answers

_FLOWGLAD = {
    "requires_confirmation": "pending",
    "requires_action": "requires_action",
    "processing": "processing",
    "succeeded": "succeeded",
    "refunded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
}


def flowglad_payment(answer: bytes) -> Told:
    found = parsed(answer)["payment"]
    currency, status = found["currency"], _FLOWGLAD[found["status"]]
    returned, settled = found["refundedAmount"], _milliseconds(found["settlementDate"])
    wallet = "link" if found["paymentMethod"] == "link" else None
    block = _block(
        "payment",
        id=found["id"],
        status=status,
        provider_status=found["status"],
        amount=_minor(found["amount"], currency, STRIPE),
        amount_refunded=_optional(returned, currency),
        fee=_optional(found["applicationFee"], currency),
        breakdown=_flowglad_breakdown(found),
        method={
            "type": "wallet" if wallet else found["paymentMethod"],
            "brand": None,
            "last4": None,
            "wallet": wallet,
        },
        customer_id=found["customerId"],
        invoice_id=found["invoiceId"],
        subscription_id=found["subscriptionId"],
        description=found["description"],
        failure=_failure(found["failureCode"], None, found["failureMessage"]) if status == "failed" else None,
        created_at=_milliseconds(found["createdAt"]),
        updated_at=_milliseconds(found["updatedAt"]),
        paid_at=_milliseconds(found["chargeDate"]) if status == "succeeded" else None,
        settled_at=settled,
    )
    types: tuple[str, ...] = (f"payment.{status}",)
    if returned and status == "succeeded":
        types += ("payment.refunded" if returned >= found["amount"] else "payment.partially_refunded",)
    return Told(entity="payment", types=types, block=block, payment_id=block["id"], time=block["updated_at"])


def _flowglad_breakdown(found: Json) -> Json | None:
    if found["subtotal"] is None:
        return None
    return _breakdown(
        subtotal=_minor(found["subtotal"], found["currency"]), tax=_minor(found["taxAmount"], found["currency"])
    )


def _optional(value: int | None, currency: str) -> Json | None:
    return None if value is None else _minor(value, currency, STRIPE)


def _breakdown(**known: Any) -> Json:
    return dict.fromkeys(("subtotal", "tax", "tip", "shipping", "discount", "surcharge", "late_fee")) | known


# --- FlexPortal, as its API answers

_FLEXPORTAL = {
    "pending": "pending",
    "processing": "processing",
    "paid": "succeeded",
    "failed": "failed",
    "cancelled": "canceled",
}


def flexportal_payment(answer: bytes) -> Told:
    found = parsed(answer)["payment"]
    status, currency = _FLEXPORTAL[found["status"]], found["currency"]
    late = _major(found["lateFeeAmount"], currency) if found["lateFeeApplied"] else None
    error = found.get("lastCaptureError") or {}
    failure = {
        "category": "declined" if error.get("declineCode") else "unknown",
        "code": error.get("code"),
        "decline_code": error.get("declineCode"),
        "message": error.get("message") or found.get("failureReason"),
    }
    offline = {"type": "offline", "brand": None, "last4": None, "wallet": None}
    items = found.get("lineItems")
    told = ("billingGroupId", "billingPeriod", "paymentType", "provider", "transactionId")
    block = _block(
        "payment",
        id=found["paymentId"],
        status=status,
        provider_status=found["status"],
        amount=_major(found["total"], currency),
        breakdown=_breakdown(
            subtotal=_major(found["subtotal"], currency), tax=_major(found["taxAmount"], currency), late_fee=late
        ),
        line_items=items
        and [
            {
                "reference": item["rentalId"],
                "description": item["description"],
                "amount": _major(item["amount"], currency),
                "tax": _major(item["taxAmount"], currency),
            }
            for item in items
        ],
        method=offline if found.get("manuallyMarked") else None,
        customer_id=found["customerId"],
        subscription_id=found.get("rentalId"),
        reference=found.get("paymentReference"),
        description=found.get("notes"),
        failure=failure if status == "failed" else None,
        created_at=_iso(found["createdAt"]),
        updated_at=_iso(found["updatedAt"]),
        due_at=_iso(found["dueDate"]),
        paid_at=_iso(found["paidAt"]),
        next_retry_at=_iso(found["nextRetryAt"]),
        metadata={name: found[name] for name in told if name in found},
    )
    return Told(
        entity="payment", types=(f"payment.{status}",), block=block, payment_id=block["id"], time=block["updated_at"]
    )


# --- comparing


def comparable(block: Json) -> Json:
    """Times as times, whatever their form."""
    return {
        name: _iso(value) if isinstance(value, str) and (name.endswith("_at")) else value
        for name, value in block.items()
    }
