"""acmepay: card payments, of a company that does not exist. https://docs.acmepay.example/webhooks

- `X-Acmepay-Signature: sha256=<hex HMAC-SHA256 of the body>`, the key is the secret as it stands. Nothing signed says
  when: a copy sent again later looks the same, and the event's id tells.
- Answer 2xx within 10 seconds, else it comes again, 6 times in 24 hours.
- The payment's id is `payment.id`; a refund names it as `refund.payment`. There are no disputes.
- Amounts are decimals in major units; times RFC 3339. A refund that the bank sends back fails after it was paid.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from paymux.canonical import Entity, Failure, FailureCategory, Method, Payment, PaymentStatus, Refund, RefundStatus
from paymux.money import from_major
from paymux.provider import Provider, Redelivery, Transitions
from paymux.signatures.raw_hmac import RawHmac
from paymux.statement import Head, Statement

if TYPE_CHECKING:
    from paymux.delivery import Verified
    from paymux.wild import Wild

# acmepay's word -> ours.
STATUSES: Final = {
    "OPEN": PaymentStatus.PENDING,
    "PAID": PaymentStatus.SUCCEEDED,
    "DECLINED": PaymentStatus.FAILED,
    "VOIDED": PaymentStatus.CANCELED,
}
REFUND_STATUSES: Final = {"PAID": RefundStatus.SUCCEEDED, "RETURNED": RefundStatus.FAILED}
DECLINES: Final = {"no_funds": FailureCategory.DECLINED, "stolen": FailureCategory.FRAUD}


def head(_verified: Verified, body: Wild) -> Head:
    return Head(
        event_key=body.id("event_id"),
        event_type=body.text("event"),
        occurred_at=body.rfc3339("sent_at"),
        livemode=not body.flag("test"),
    )


def payment(body: Wild, head: Head) -> tuple[Statement, ...]:
    found = body.child("payment")
    status = found.status("state", STATUSES)
    card = found.maybe_child("card")
    block = Payment(
        id=found.id("id"),
        status=status,
        provider_status=found.text("state"),
        amount=from_major(found.decimal("total"), found.text("currency")),
        method=Method(type="card", brand=card.text("scheme"), last4=card.text("last4")) if card else None,
        failure=_failure(found) if status is PaymentStatus.FAILED else None,
    )
    return (Statement(block=block, at=head.occurred_at, payment_id=block.id),)


def refund(body: Wild, head: Head) -> tuple[Statement, ...]:
    found = body.child("refund")
    block = Refund(
        id=found.id("id"),
        payment_id=found.id("payment"),
        status=found.status("state", REFUND_STATUSES),
        provider_status=found.text("state"),
        amount=from_major(found.decimal("total"), found.text("currency")),
    )
    return (Statement(block=block, at=head.occurred_at, payment_id=block.payment_id),)


def _failure(found: Wild) -> Failure:
    code = found.text("decline")
    return Failure(category=DECLINES.get(code, FailureCategory.UNKNOWN), code=code)


ACMEPAY: Final = Provider(
    name="acmepay",
    docs="https://docs.acmepay.example/webhooks",
    signature=RawHmac(header=b"x-acmepay-signature", prefix="sha256="),
    head=head,
    events={
        "payment.opened": payment,
        "payment.paid": payment,
        "payment.declined": payment,
        "payment.voided": payment,
        "refund.paid": refund,
        "refund.returned": refund,
    },
    ignored=frozenset({"customer.changed"}),
    statuses={"payment": STATUSES, "refund": REFUND_STATUSES},
    transitions=Transitions(moves={Entity.REFUND: {RefundStatus.SUCCEEDED: frozenset({RefundStatus.FAILED})}}),
    redelivery=Redelivery(timeout=10, attempts=6, window=timedelta(hours=24)),
)
