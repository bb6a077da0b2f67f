"""Flowlix: card acquiring. https://docs.flowlix.dev/guides/webhooks

- Six events, each when the object reaches that status; nothing announces PENDING, REQUIRES_ACTION, PROCESSING, a new
  refund or a chargeback. There are no disputes.
- `data` holds the full current object, as GET would return it: a late retry may show a newer one (amount_refunded
  above 0 in payment.succeeded), so only identity, amount and currency make a conflict.
- Signed as `t=<unix seconds>,v1=<hex HMAC-SHA256 of "{t}.{body}">`, refused when older than 5 minutes. The key is the
  whole `whsec_...` string: no page mentions decoding it, though other providers' secrets of that look are base64.
  `secret_encoding` is there because nobody could check this without an account.
- Retry schedule, ordering, rotation and accepted status codes: unknown.
- Amounts are integers in minor units, EUR only so far; times are unix seconds; `livemode` is in every object.
- Statuses never move backward, and a try after a failure is a new payment. REQUIRES_ACTION and PROCESSING may
  alternate. EXPIRED: the customer did not complete a required action. https://docs.flowlix.dev/guides/payment-lifecycle
- No status says refunded: `amount_refunded` and the refunds do. Several partial refunds are possible.
- The published SUCCEEDED example carries a decline_code: only the status says that something failed.
- One host for both modes; the key chooses, and the other mode's object answers 403. Errors are
  `{"error": {"type", "code", "message", "param", "doc_url", "request_id"}}`. 500 requests a minute for a test key, then
  429 with Retry-After. https://docs.flowlix.dev/guides/errors
- Older documentation shows payments with lower-case statuses, UUIDs and `refunded_amount`. Webhooks never had that form
  and the API has left it, so it isn't read: its statuses are unknown words here.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, cast

from paymux.canonical import Failure, FailureCategory, Method, Payment, PaymentStatus, Refund, RefundStatus
from paymux.errors import Untranslatable
from paymux.money import from_minor
from paymux.provider import Api, Endpoint, Listing, Option, Provider
from paymux.signatures.timestamped_hmac import TimestampedHmac
from paymux.statement import Head, Statement, in_full, refunded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from paymux.delivery import Asked, Verified
    from paymux.money import Money
    from paymux.signatures import Scheme
    from paymux.wild import Wild

# Flowlix's word -> ours.
STATUSES: Final = {
    "PENDING": PaymentStatus.PENDING,
    "REQUIRES_ACTION": PaymentStatus.REQUIRES_ACTION,
    "PROCESSING": PaymentStatus.PROCESSING,
    "SUCCEEDED": PaymentStatus.SUCCEEDED,
    "FAILED": PaymentStatus.FAILED,
    "CANCELED": PaymentStatus.CANCELED,
    "EXPIRED": PaymentStatus.EXPIRED,
}
REFUND_STATUSES: Final = {
    "PENDING": RefundStatus.PENDING,
    "SUCCEEDED": RefundStatus.SUCCEEDED,
    "FAILED": RefundStatus.FAILED,
}

# Flowlix's failure and decline codes -> ours. A code that isn't here stays `unknown`: the published list is known to be
# incomplete, and some of what is missing is no decline (3DS). https://docs.flowlix.dev/guides/operation-failures
FAILURES: Final = {
    "generic_decline": FailureCategory.DECLINED,
    "do_not_honor": FailureCategory.DECLINED,
    "issuer_declined": FailureCategory.DECLINED,
    "insufficient_funds": FailureCategory.DECLINED,
    "invalid_number": FailureCategory.DECLINED,
    "invalid_expiry": FailureCategory.DECLINED,
    "expired_card": FailureCategory.DECLINED,
    "not_permitted": FailureCategory.DECLINED,
    "cardholder_limit": FailureCategory.DECLINED,
    "card_velocity_exceeded": FailureCategory.DECLINED,
    "invalid_amount": FailureCategory.TECHNICAL,
    "invalid_currency": FailureCategory.TECHNICAL,
    "lost_card": FailureCategory.FRAUD,
    "stolen_card": FailureCategory.FRAUD,
    "suspect_fraud": FailureCategory.FRAUD,
    "fraud_filter": FailureCategory.FRAUD,
}


def head(_verified: Verified, body: Wild) -> Head:
    return Head(
        event_key=body.id("id"),
        event_type=body.text("type"),
        occurred_at=body.seconds("created_at"),
        livemode=body.flag("livemode"),
    )


def payment(body: Wild, head: Head) -> tuple[Statement, ...]:
    return (_payment(body.child("data", "payment"), head.occurred_at),)


def refund(body: Wild, head: Head) -> tuple[Statement, ...]:
    found = body.child("data", "refund")
    return (_refund(found, found.id("payment_id"), head.occurred_at),)


def payment_state(found: Wild, _asked: Asked) -> tuple[Statement, ...]:
    """The payment, then its refunds, which Flowlix lists oldest first. A refund has all that a payment must have."""
    if "payment_id" in found:
        raise found.at("payment_id").unknown("key of a payment", reason="shape")
    payment_id = found.id("id")
    return (_payment(found, None), *(_refund(child, payment_id, None) for child in found.children("refunds")))


def _payment(found: Wild, event_at: datetime | None) -> Statement:
    status = found.status("status", STATUSES)
    amount = _money(found, "amount")
    amount_refunded = _money(found, "amount_refunded") if "amount_refunded" in found else None
    block = Payment(
        id=found.id("id"),
        status=status,
        provider_status=found.text("status"),
        amount=amount,
        amount_refunded=amount_refunded,
        method=_method(found.maybe_child("card")),
        reference=found.free_text("merchant_reference"),
        description=found.free_text("description"),
        failure=_failure(found) if status is PaymentStatus.FAILED else None,
        created_at=found.maybe_seconds("created_at"),
        paid_at=_entered(found, "SUCCEEDED"),
        metadata=found.json("metadata"),
    )
    return Statement(
        block=block,
        at=_entered(found, found.text("status")) or event_at or block.created_at,
        payment_id=block.id,
        facts=refunded(amount_refunded, full=in_full(amount, amount_refunded)),
    )


def _refund(found: Wild, payment_id: str, event_at: datetime | None) -> Statement:
    status = found.status("status", REFUND_STATUSES)
    block = Refund(
        id=found.id("id"),
        payment_id=payment_id,
        status=status,
        provider_status=found.text("status"),
        amount=_money(found, "amount"),
        reason=found.free_text("reason"),
        failure=_failure(found) if status is RefundStatus.FAILED else None,
        created_at=found.maybe_seconds("created_at"),
        updated_at=found.maybe_seconds("updated_at"),
        metadata=found.json("metadata"),
    )
    return Statement(
        block=block,
        at=found.maybe_seconds("completed_at") or block.updated_at or event_at or block.created_at,
        payment_id=payment_id,
    )


def _money(found: Wild, key: str) -> Money:
    value = found.integer(key)
    if value < 0:
        raise found.at(key).untamed("an amount of zero or more")
    return from_minor(value, found.text("currency"))


def _entered(found: Wild, word: str) -> datetime | None:
    """When the payment entered a status. The one clock that its webhooks and its API answers share."""
    transitions = found.maybe_child("status_transitions")
    return transitions.maybe_seconds(f"{word.lower()}_at") if transitions else None


def _method(card: Wild | None) -> Method | None:
    """None before the card's details are known."""
    return Method(type="card", brand=card.maybe_text("brand"), last4=card.maybe_text("last4")) if card else None


def _failure(found: Wild) -> Failure:
    """The schema has decline_*, the newest guide failure_*: both are read."""
    code, decline_code = found.maybe_text("failure_code"), found.maybe_text("decline_code")
    category = FAILURES.get(code or "") or FAILURES.get(decline_code or "") or FailureCategory.UNKNOWN
    message = found.free_text("failure_message") or found.free_text("decline_message")
    return Failure(category=category, code=code, decline_code=decline_code, message=message)


def configure(scheme: Scheme, options: Mapping[str, str]) -> Scheme:
    encoding = cast("Literal['raw', 'base64']", options.get("secret_encoding", "raw"))
    return replace(cast("TimestampedHmac", scheme), secret_encoding=encoding)


def _following(page: Wild) -> dict[str, str] | None:
    payments = page.children("data")
    if not page.flag("has_more"):
        return None
    if not payments:
        raise Untranslatable("has_more is true, and there is no payment to go on from", path="/data")
    return {"starting_after": payments[-1].id("id")}


def _within(since: datetime, until: datetime) -> list[dict[str, str]]:
    return [{"created[gte]": str(int(since.timestamp())), "created[lt]": str(int(until.timestamp()) + 1)}]


FLOWLIX: Final = Provider(
    name="flowlix",
    docs="https://docs.flowlix.dev/guides/webhooks",
    signature=TimestampedHmac(header=b"flowlix-signature", tolerance=300),
    head=head,
    events={
        "payment.succeeded": payment,
        "payment.failed": payment,
        "payment.canceled": payment,
        "payment.expired": payment,
        "refund.succeeded": refund,
        "refund.failed": refund,
    },
    statuses={"payment": STATUSES, "refund": REFUND_STATUSES},
    options=(
        Option(
            name="secret_encoding",
            help="how the signing secret becomes the key: as it is, or base64-decoded after `whsec_`",
            choices=("raw", "base64"),
        ),
    ),
    configure=configure,
    resends_current=lambda _: True,
    api=Api(
        url="https://api.flowlix.dev/v1",
        rate=8,  # of 500 a minute for a sandbox key, burst included: https://docs.flowlix.dev/api-reference/rate-limits
        burst=20,
        headers=lambda key, _: {"Authorization": f"Bearer {key}"},
        objects={
            "payment": Endpoint(
                path="/payments/{id}", id_pattern=re.compile(r"pay_[A-Za-z0-9]{24}"), state=payment_state
            ),
        },
        payments=Listing(
            path="/payments",
            items="data",
            filters=frozenset({"limit", "starting_after", "ending_before", "status", "created[gte]", "created[lt]"}),
            following=_following,
            within=_within,
        ),
    ),
)
