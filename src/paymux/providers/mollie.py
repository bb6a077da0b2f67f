"""Mollie: payments in Europe. https://docs.mollie.com/reference/webhooks-new

- Two kinds of webhooks. The classic one is set for each payment (`webhookUrl`) and posts the form `id=tr_...`:
  unsigned, without event, status or time, when the payment is paid, authorized, expired, failed or canceled, and for
  its refunds and chargebacks. The payment is asked for by GET. https://docs.mollie.com/reference/webhooks
- The newer one posts signed events with an id, a time and, unless `simple` payloads were chosen, the object in
  `_embedded.entity`. Its secret proves it; `webhooks = "classic"` chooses the other kind.
- The payment is `tr_...`; refunds, chargebacks and captures name it by `paymentId`. A chargeback has no status: its
  money is gone with it, and comes back where it has `reversedAt`.
- What an event says is ordered by the object's own times, which the API's answers have, too: refunds have none but
  `createdAt`, so their rank tells. Payouts are not asked for, so the event's time counts.
- No status says refunded: `amountRefunded` and the refunds do. It may be more than the payment (return costs).
- Amounts are `{"currency", "value"}` with a decimal string in major units. `mode` is live or test. `metadata` may be
  anything.
- 200 within 15 seconds, or it comes again: 10 times in 26 hours. An id that is unknown is to be answered with 200, too.
- API keys (`live_...`, `test_...`) see their own mode. Only organization tokens (`access_...`) may read events.
  https://docs.mollie.com/reference/get-webhook-event
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

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
from paymux.delivery import ObjectRef, Proof
from paymux.money import from_major
from paymux.provider import Api, Endpoint, Listing, Option, Provider, Redelivery, Transitions
from paymux.signatures.hint import Hint
from paymux.signatures.mollie_hmac import MollieHmac
from paymux.statement import Fact, Head, Lookup, Statement, in_full, purpose, refunded
from paymux.wild import parse_form, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from paymux.delivery import Asked, Verified
    from paymux.money import Money
    from paymux.signatures import Scheme
    from paymux.wild import Wild

# Mollie's word -> ours. https://docs.mollie.com/docs/handling-payment-status
STATUSES: Final = {
    "open": PaymentStatus.PENDING,
    "pending": PaymentStatus.PROCESSING,
    "authorized": PaymentStatus.AUTHORIZED,
    "paid": PaymentStatus.SUCCEEDED,
    "canceled": PaymentStatus.CANCELED,
    "expired": PaymentStatus.EXPIRED,
    "failed": PaymentStatus.FAILED,
}
# The key of the time at which it entered that status; the others have none.
TIMES: Final = {
    "authorized": "authorizedAt",
    "paid": "paidAt",
    "canceled": "canceledAt",
    "expired": "expiredAt",
    "failed": "failedAt",
}
# https://docs.mollie.com/reference/get-refund
REFUND_STATUSES: Final = {
    "queued": RefundStatus.PENDING,
    "pending": RefundStatus.PENDING,
    "processing": RefundStatus.PROCESSING,
    "refunded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.CANCELED,
}
CAPTURE_STATUSES: Final = frozenset({"pending", "succeeded", "failed"})
# https://docs.mollie.com/reference/get-payout
PAYOUT_STATUSES: Final = {
    "requested": PayoutStatus.PENDING,
    "initiated": PayoutStatus.IN_TRANSIT,
    "processing-at-bank": PayoutStatus.IN_TRANSIT,
    "completed": PayoutStatus.PAID,
    "failed": PayoutStatus.FAILED,
    "canceled": PayoutStatus.CANCELED,
}

# `details.failureReason` of cards -> ours.
FAILURES: Final = {
    "authentication_abandoned": FailureCategory.AUTHENTICATION,
    "authentication_failed": FailureCategory.AUTHENTICATION,
    "authentication_required": FailureCategory.AUTHENTICATION,
    "authentication_unavailable_acs": FailureCategory.AUTHENTICATION,
    "card_declined": FailureCategory.DECLINED,
    "card_expired": FailureCategory.DECLINED,
    "inactive_card": FailureCategory.DECLINED,
    "insufficient_funds": FailureCategory.DECLINED,
    "invalid_card_holder_name": FailureCategory.DECLINED,
    "invalid_card_number": FailureCategory.DECLINED,
    "invalid_card_type": FailureCategory.DECLINED,
    "invalid_cvv": FailureCategory.DECLINED,
    "refused_by_issuer": FailureCategory.DECLINED,
    "possible_fraud": FailureCategory.FRAUD,
}

# A refund may come back from the customer's bank; a chargeback may be reversed.
TRANSITIONS: Final = Transitions(
    moves={
        Entity.REFUND: {RefundStatus.SUCCEEDED: frozenset({RefundStatus.FAILED})},
        Entity.DISPUTE: {DisputeStatus.LOST: frozenset({DisputeStatus.WON})},
    }
)

# A classic webhook tells that one of these was reached, or of a refund or chargeback after it.
SETTLED: Final = frozenset(
    {
        PaymentStatus.AUTHORIZED,
        PaymentStatus.SUCCEEDED,
        PaymentStatus.CANCELED,
        PaymentStatus.EXPIRED,
        PaymentStatus.FAILED,
    }
)

PAYMENT_ID: Final = re.compile(r"tr_[A-Za-z0-9]{1,64}")
EVENT_ID: Final = re.compile(r"(?:event|whe)_[A-Za-z0-9]{1,64}")


def parse(body: bytes) -> Wild:
    return parse_json(body) if body.lstrip()[:1] == b"{" else parse_form(body)


def head(verified: Verified, body: Wild) -> Head:
    """The form has no event type: the kind of its object stands for it. What proves nothing has no event key."""
    if "type" not in body:
        return Head(event_key=None, event_type=_kind(body))
    return Head(
        event_key=None if verified.proof is Proof.HINT else body.id("id"),
        event_type=body.text("type"),
        occurred_at=body.rfc3339("createdAt"),
        livemode=_event_mode(body),
    )


def classic(body: Wild, _head: Head) -> Lookup:
    return Lookup(objects=(_ref(body, "id"),), settles=SETTLED)


def event(body: Wild, head: Head) -> tuple[Statement, ...] | Lookup:
    """What it embeds, or a question: about the payment where its id is there, else about the event itself."""
    found = body.maybe_child("_embedded", "entity")
    if found is not None and head.event_key is not None:
        return _stated(body, found)
    if body.text("type").startswith("payment."):
        return Lookup(objects=(_ref(body, "entityId"),))
    if found is not None and "paymentId" in found:
        return Lookup(objects=(_ref(found, "paymentId"),))
    return Lookup(objects=(ObjectRef(object="event", id=body.matching("id", EVENT_ID, "an event id")),))


def payment_state(found: Wild, _asked: Asked) -> tuple[Statement, ...]:
    """The payment, its refunds oldest first, its chargebacks. https://docs.mollie.com/reference/get-payment"""
    if found.text("resource") != "payment":
        raise found.at("resource").untamed("a payment")
    embedded = found.maybe_child("_embedded")
    refunds = embedded.children("refunds") if embedded else []
    chargebacks = embedded.children("chargebacks") if embedded else []
    return (
        _payment(found),
        *(_refund(each) for each in sorted(refunds, key=lambda each: each.rfc3339("createdAt"))),
        *(_chargeback(each) for each in chargebacks),
    )


def event_state(found: Wild, _asked: Asked) -> tuple[Statement, ...]:
    return _stated(found, found.child("_embedded", "entity"))


def _stated(body: Wild, found: Wild) -> tuple[Statement, ...]:
    state = _ENTITIES.get(body.text("type").partition(".")[0])
    if state is not None:
        return (state(found),)
    if body.text("type").startswith("payout."):
        return (_payout(found, body.rfc3339("createdAt")),)
    raise body.at("type").unknown("event that states something", reason="unknown_event_type")


def _payment(found: Wild) -> Statement:
    word, status = found.text("status"), found.status("status", STATUSES)
    amount, amount_refunded = _money(found, "amount"), _maybe_money(found, "amountRefunded")
    block = Payment(
        id=found.id("id"),
        purpose=purpose(amount),
        status=status,
        provider_status=word,
        amount=amount,
        amount_captured=_maybe_money(found, "amountCaptured"),
        amount_refunded=amount_refunded,
        settlement=_settlement(found),
        method=_method(found),
        customer_id=found.maybe_id("customerId"),
        subscription_id=found.maybe_id("subscriptionId"),
        description=found.free_text("description"),
        failure=_failure(found) if status is PaymentStatus.FAILED else None,
        created_at=found.rfc3339("createdAt"),
        due_at=found.maybe_date("dueDate"),
        paid_at=found.maybe_rfc3339("paidAt"),
        metadata=found.json_object("metadata"),
    )
    entered = found.maybe_rfc3339(TIMES[word]) if word in TIMES else None
    return Statement(
        block=block,
        at=entered or block.created_at,
        payment_id=block.id,
        facts=refunded(amount_refunded, full=in_full(amount, amount_refunded)),
    )


def _refund(found: Wild) -> Statement:
    status = found.status("status", REFUND_STATUSES)
    block = Refund(
        id=found.id("id"),
        payment_id=found.id("paymentId"),
        status=status,
        provider_status=found.text("status"),
        amount=_money(found, "amount"),
        reason=found.free_text("description"),
        destination="original",
        failure=Failure(category=FailureCategory.UNKNOWN) if status is RefundStatus.FAILED else None,
        created_at=found.rfc3339("createdAt"),
        metadata=found.json_object("metadata"),
    )
    return Statement(block=block, at=block.created_at, payment_id=block.payment_id)


def _chargeback(found: Wild) -> Statement:
    """Its amount is taken at once: nothing tells of a case that is open."""
    amount, reason = _money(found, "amount"), found.maybe_child("reason")
    reversed_at = found.maybe_rfc3339("reversedAt")
    block = Dispute(
        id=found.id("id"),
        payment_id=found.id("paymentId"),
        status=DisputeStatus.WON if reversed_at else DisputeStatus.LOST,
        stage="chargeback",
        amount=amount,
        reason=DisputeReason(code=reason.text("code")) if reason else None,
        created_at=found.rfc3339("createdAt"),
        updated_at=reversed_at,
    )
    moved = Fact(name="funds_reinstated" if reversed_at else "funds_withdrawn", says=(amount.minor,))
    return Statement(block=block, at=reversed_at or block.created_at, payment_id=block.payment_id, facts=(moved,))


def _capture(found: Wild) -> Statement:
    """A capture speaks for no status of its payment, which alone says how much was captured in all."""
    word = found.text("status")
    if word not in CAPTURE_STATUSES:
        raise found.at("status").unknown("status of a capture", reason="unknown_status")
    block = Payment(id=found.id("paymentId"), provider_status=word)
    return Statement(block=block, at=found.rfc3339("createdAt"), payment_id=block.id, speaker=found.id("id"))


def _payout(found: Wild, event_at: datetime) -> Statement:
    status, reason = found.status("status", PAYOUT_STATUSES), found.maybe_child("statusReason")
    returned = status is PayoutStatus.FAILED and reason is not None and reason.text("code") == "returned"
    block = Payout(
        id=found.id("id"),
        status=PayoutStatus.RETURNED if returned else status,
        provider_status=found.text("status"),
        amount=_maybe_money(found, "amount"),
        failure=_coded(reason) if status is PayoutStatus.FAILED and reason else None,
        arrival_at=found.maybe_rfc3339("completedAt"),
        created_at=found.rfc3339("createdAt"),
    )
    return Statement(block=block, at=event_at)


# The first word of an event's type -> what reads its object.
_ENTITIES: Final[Mapping[str, Callable[[Wild], Statement]]] = {
    "payment": _payment,
    "refund": _refund,
    "chargeback": _chargeback,
    "capture": _capture,
}


def _event_mode(body: Wild) -> bool | None:
    """That of the object, where it is there and says it."""
    found = body.maybe_child("_embedded", "entity")
    return _mode(found) if found else None


def _mode(found: Wild) -> bool | None:
    return found.maybe_live("mode")


def _kind(body: Wild) -> str:
    """`payment` for tr_; the other prefixes (ord_, sub_, pl_) stand for themselves."""
    prefix = body.text("id").partition("_")[0]
    return "payment" if prefix == "tr" else prefix


def _ref(found: Wild, key: str) -> ObjectRef:
    return ObjectRef(object="payment", id=found.matching(key, PAYMENT_ID, "a payment id"))


def _money(found: Wild, key: str) -> Money:
    amount = found.child(key)
    return from_major(amount.decimal("value"), amount.text("currency"))


def _maybe_money(found: Wild, key: str) -> Money | None:
    return _money(found, key) if key in found else None


def _settlement(found: Wild) -> Settlement | None:
    return Settlement(amount=_money(found, "settlementAmount")) if "settlementAmount" in found else None


def _method(found: Wild) -> Method | None:
    word, details = found.maybe_text("method"), found.maybe_child("details")
    if word != "creditcard" or details is None:
        return Method(type="card" if word == "creditcard" else word) if word else None
    return Method(
        type="card",
        brand=details.maybe_text("cardLabel"),
        last4=details.maybe_text("cardNumber"),
        wallet=details.maybe_text("wallet"),
    )


def _failure(found: Wild) -> Failure | None:
    """Of cards in `details`, of terminals in `statusReason`; of the others nothing is said."""
    details, reason = found.maybe_child("details"), found.maybe_child("statusReason")
    word = details.maybe_text("failureReason") if details else None
    if details is None or word is None:
        return _coded(reason) if reason else None
    return Failure(
        category=FAILURES.get(word, FailureCategory.UNKNOWN), code=word, message=details.free_text("failureMessage")
    )


def _coded(reason: Wild) -> Failure:
    code = reason.maybe_text("code")
    category = FAILURES.get(code or "", FailureCategory.UNKNOWN)
    return Failure(category=category, code=code, message=reason.free_text("message"))


def _following(page: Wild) -> Mapping[str, str] | None:
    """The link's `from`: the link itself is not followed."""
    link = page.child("_links").maybe_child("next")
    if link is None:
        return None
    place = parse_qs(urlsplit(link.text("href")).query).get("from", [])
    if len(place) != 1:
        raise link.at("href").untamed("a link with the first id of the next page")
    return {"from": place[0]}


def _configured(signed: Scheme, options: Mapping[str, str]) -> Scheme:
    return Hint() if options.get("webhooks") == "classic" else signed


MOLLIE: Final = Provider(
    name="mollie",
    docs="https://docs.mollie.com/reference/webhooks-new",
    signature=MollieHmac(),
    configure=_configured,
    parse=parse,
    head=head,
    events={
        "payment": classic,
        "payment.paid": event,
        "payment.authorized": event,
        "payment.failed": event,
        "payment.canceled": event,
        "payment.expired": event,
        "payment.pending": event,
        "refund.queued": event,
        "refund.pending": event,
        "refund.processing": event,
        "refund.refunded": event,
        "refund.failed": event,
        "refund.canceled": event,
        "chargeback.received": event,
        "chargeback.reversed": event,
        "capture.succeeded": event,
        "capture.failed": event,
        "payout.initiated": event,
        "payout.processing-at-bank": event,
        "payout.completed": event,
        "payout.canceled": event,
        "payout.failed": event,
    },
    ignored=frozenset(
        {
            "balance-transaction.created",
            "business-account-transfer.blocked",
            "business-account-transfer.failed",
            "business-account-transfer.initiated",
            "business-account-transfer.pending-review",
            "business-account-transfer.processed",
            "business-account-transfer.requested",
            "business-account-transfer.returned",
            "connect-balance-transfer.failed",
            "connect-balance-transfer.succeeded",
            "file.accepted",
            "file.failed",
            "file.rejected",
            "payment-link.paid",  # names no payment; payment.paid does
            "profile.blocked",
            "profile.created",
            "profile.deleted",
            "profile.verified",
            "sales-invoice.canceled",
            "sales-invoice.created",
            "sales-invoice.e-invoice-failed",
            "sales-invoice.e-invoice-issued",
            "sales-invoice.issued",
            "sales-invoice.paid",
            # A bank transfer that fits no payment yet; once it does, payment.paid says it.
            "unmatched-credit-transfer.expired",
            "unmatched-credit-transfer.matched",
            "unmatched-credit-transfer.received",
            "unmatched-credit-transfer.returned",
        }
    ),
    statuses={"payment": STATUSES, "refund": REFUND_STATUSES, "payout": PAYOUT_STATUSES},
    transitions=TRANSITIONS,
    redelivery=Redelivery(
        timeout=15,
        attempts=10,
        window=timedelta(hours=26),
        note="after 1, 2, 4, 8, 16 and 29 minutes, 1, 2 and 22 hours, as documented for classic webhooks",
    ),
    api=Api(
        url="https://api.mollie.com/v2",
        headers=lambda key, _: {"Authorization": f"Bearer {key}"},
        objects={
            "payment": Endpoint(
                path="/payments/{id}",
                id_pattern=PAYMENT_ID,
                state=payment_state,
                livemode=_mode,
                query=(("embed", "refunds,chargebacks"),),
            ),
            "event": Endpoint(path="/events/{id}", id_pattern=EVENT_ID, state=event_state, livemode=_event_mode),
        },
        payments=Listing(
            path="/payments",
            unwrap=("_embedded",),
            items="payments",
            filters=frozenset({"from", "sort", "profileId", "testmode"}),
            following=_following,
            page_size=("limit", 250),
            order="newest",
        ),
    ),
    options=(
        Option(
            name="webhooks",
            help="which of Mollie's two kinds comes here: signed events, or the classic form with a payment's id, "
            "which is unsigned (default: signed)",
            choices=("signed", "classic"),
        ),
    ),
)
