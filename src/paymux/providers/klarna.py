"""Klarna, as far as its documentation goes. https://docs.klarna.com/order-management/in-depth-knowledge/pending-orders

Classic (Klarna Payments, Klarna Checkout), without any option:
- Whoever has pending orders switched on gets `{"order_id", "timestamp", "event_type": "FRAUD_RISK_..."}` at the
  `notification` URL of the order, once its review ends. No proof is documented; Klarna says to read the order. So a
  webhook is a hint, and the order is asked for by GET. Nothing announces captures, refunds, cancellations or expiry.
- The payment is the order. Refunds are amounts of it; what an event would call them is unknown, as are disputes.
- Klarna Checkout's push has an empty body and names the order in a query that the merchant invents: it is not taken.
- An order says when it was made and not when it changed, so its status orders by rank. Amounts are in minor units.
- `CLOSED` is documented nowhere that we could read: an order with captures has succeeded, one without is canceled.

Klarna Network, with `signature_encoding`:
https://docs.klarna.com/klarna-network-distribution/acquiring-partner-setup/webhooks
- HMAC-SHA256 of the body with a signing key, in `Klarna-Signature`. Not documented: whether that is hex or base64 (code
  of others disagrees), and whether the key is used as it stands. Ask Klarna; what is wrong rejects everything. Every
  key of the account may match, so `Klarna-Signing-Key-Id`, which isn't signed, is not read.
- A payment request (`payment.request.*`) is a shopping session: ignored. Disputes and transactions are money
  (`payment.dispute.*`, `payment.transaction.*`), and no page of Klarna's that we could read says how they hang
  together: left unknown, so they are kept and quarantined.
"""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from paymux.canonical import Failure, FailureCategory, Method, Payment, PaymentStatus
from paymux.delivery import ObjectRef
from paymux.money import from_minor
from paymux.provider import Api, Endpoint, Option, Provider, Redelivery, Transitions
from paymux.signatures.hint import Hint
from paymux.signatures.raw_hmac import RawHmac
from paymux.statement import Head, Lookup, Statement, in_full, refunded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paymux.delivery import Asked, Verified
    from paymux.money import Money
    from paymux.signatures import Scheme
    from paymux.wild import Wild

# Klarna's word -> ours.
STATUSES: Final = {
    "AUTHORIZED": PaymentStatus.AUTHORIZED,
    "PART_CAPTURED": PaymentStatus.PARTIALLY_CAPTURED,
    "CAPTURED": PaymentStatus.SUCCEEDED,
    "CLOSED": PaymentStatus.SUCCEEDED,
    "CANCELLED": PaymentStatus.CANCELED,
    "EXPIRED": PaymentStatus.EXPIRED,
}
# What the review says of an order that is authorized.
FRAUD_STATUSES: Final = {
    "PENDING": PaymentStatus.PENDING,
    "ACCEPTED": PaymentStatus.AUTHORIZED,
    "REJECTED": PaymentStatus.FAILED,
}
# The review is over.
REVIEWED: Final = frozenset(PaymentStatus) - {PaymentStatus.PENDING}

ORDER_ID: Final = re.compile(r"[A-Za-z0-9-]{1,128}")


def head(_verified: Verified, body: Wild) -> Head:
    """Only the Network's envelope has an id. A hint's time is anybody's, so it is not read."""
    metadata = body.maybe_child("metadata")
    if metadata is None:
        return Head(event_key=None, event_type=body.text("event_type"))
    return Head(
        event_key=metadata.id("event_id"),
        event_type=metadata.text("event_type"),
        occurred_at=metadata.rfc3339("occurred_at"),
        livemode=metadata.flag("live"),
    )


def reviewed(body: Wild, _head: Head) -> Lookup:
    order_id = body.matching("order_id", ORDER_ID, "an order's id")
    return Lookup(objects=(ObjectRef(object="order", id=order_id),), settles=REVIEWED)


def order_state(order: Wild, _asked: Asked) -> tuple[Statement, ...]:
    amount, captured, returned = (_money(order, key) for key in ("order_amount", "captured_amount", "refunded_amount"))
    status = _status(order, captured)
    block = Payment(
        id=order.id("order_id"),
        status=status,
        provider_status=order.text("status"),
        amount=amount,
        amount_captured=captured,
        amount_refunded=returned,
        method=_method(order.maybe_child("initial_payment_method")),
        reference=order.free_text("merchant_reference1"),
        failure=_REJECTED if status is PaymentStatus.FAILED else None,
        created_at=order.rfc3339("created_at"),
    )
    facts = refunded(returned, full=in_full(captured, returned))
    return (Statement(block=block, payment_id=block.id, facts=facts),)


def _status(order: Wild, captured: Money) -> PaymentStatus:
    word = order.text("status")
    if word == "AUTHORIZED":
        return order.status("fraud_status", FRAUD_STATUSES)
    if word == "CLOSED" and not captured.minor:
        return PaymentStatus.CANCELED
    return order.status("status", STATUSES)


def _method(method: Wild | None) -> Method | None:
    word = method.maybe_text("type") if method else None
    return Method(type=word) if word else None


def _money(order: Wild, key: str) -> Money:
    return from_minor(order.integer(key), order.text("purchase_currency"))


_REJECTED: Final = Failure(category=FailureCategory.FRAUD, code="REJECTED")


def configure(hint: Scheme, options: Mapping[str, str]) -> Scheme:
    encoding = options.get("signature_encoding")
    return RawHmac(header=b"klarna-signature", encoding=encoding) if encoding else hint


def _headers(api_key: str, _options: Mapping[str, str]) -> Mapping[str, str]:
    """The key is `username:password`, as Klarna shows them."""
    return {"Authorization": f"Basic {base64.b64encode(api_key.encode()).decode()}"}


KLARNA: Final = Provider(
    name="klarna",
    docs="https://docs.klarna.com/order-management/in-depth-knowledge/pending-orders",
    signature=Hint(),
    configure=configure,
    thin=True,
    head=head,
    events={
        "FRAUD_RISK_ACCEPTED": reviewed,
        "FRAUD_RISK_REJECTED": reviewed,
        "FRAUD_RISK_STOPPED": reviewed,
    },
    # https://docs.klarna.com/api/kn/klarna-notifications-api/klarna-notifications_release/4
    ignored=frozenset(
        {
            "partner.account.product.payment.state-change.disabled",
            "partner.account.product.payment.state-change.enabled",
            "partner.account.state-change.operational",
            "payment.request.state-change.authorized",
            "payment.request.state-change.canceled",
            "payment.request.state-change.completed",
            "payment.request.state-change.declined",
            "payment.request.state-change.expired",
            "payment.request.state-change.in-progress",
            "payment.request.state-change.pending-confirmation",
            "payment.request.state-change.prepared",
            "payment.request.state-change.submitted",
        }
    ),
    statuses={"payment": STATUSES, "payment, by fraud_status while AUTHORIZED": FRAUD_STATUSES},
    transitions=Transitions(orders_by="rank"),
    redelivery=Redelivery(
        attempts=7,
        window=timedelta(hours=12),
        note="of the Network: 10 s, 2 and 15 minutes, 3, 6 and 12 hours, then given up; of the classic one unknown",
    ),
    api=Api(
        url="https://api.klarna.com",
        regions={
            "na": "https://api-na.klarna.com",
            "oc": "https://api-oc.klarna.com",
            "playground": "https://api.playground.klarna.com",
            "playground-na": "https://api-na.playground.klarna.com",
            "playground-oc": "https://api-oc.playground.klarna.com",
        },
        headers=_headers,
        rate=5,  # Klarna publishes no number
        burst=10,
        objects={
            "order": Endpoint(
                path="/ordermanagement/v1/orders/{id}", id_key="order_id", id_pattern=ORDER_ID, state=order_state
            ),
        },
    ),
    options=(
        Option(
            name="signature_encoding",
            help="Klarna Network signs its webhooks: how the signature is written, which only Klarna can tell",
            choices=("hex", "base64"),
        ),
        Option(
            name="region",
            help="which of Klarna's hosts has the account's orders (default: Europe's)",
            choices=("na", "oc", "playground", "playground-na", "playground-oc"),
        ),
    ),
)
