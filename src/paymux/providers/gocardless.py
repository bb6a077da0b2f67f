"""GoCardless: direct debit and bank payments. https://developer.gocardless.com/api-reference/#webhooks-overview

- A delivery holds up to 250 events of unrelated payments, refunds and payouts, in no order. Each has an id of its own
  (EV...), and says what happened to which object: no amount, no currency, no status. So the object is asked for by GET.
- The payment is PM...; a refund (RF...) names it in `links.payment`, and a chargeback is a status of the payment. A
  refund of a mandate belongs to no payment.
- The API's objects have no time of their own beside their creation: an answer is as new as the event that asked.
- `charged_back`: the customer's bank took the money back, which nobody can contest. The payment stays succeeded, and a
  dispute (`PM...-chargeback`) is lost; seldom one is taken back (`chargeback_cancelled`).
- A payment may fail after it was confirmed or paid out, and be submitted again after it failed.
- Why something failed stands in the event's `details` only (`cause`, `reason_code`, `will_attempt_retry`), and so in
  the stored delivery: the event that is published comes from the API, which does not say it.
- Signed as hex HMAC-SHA256 of the body in `Webhook-Signature`, without a time; a bad signature is to be answered with
  498, and what is taken with 204, unknown events too. The `Origin` header tells sandbox from live and is not signed:
  the account's `livemode` counts.
- Money is in minor units; the currencies (AUD CAD DKK EUR GBP NZD SEK USD) all have two decimals.
- The payments' actions were put together from integrations and from a copy of the reference, not from the page itself.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from paymux.canonical import (
    Dispute,
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
from paymux.money import from_minor
from paymux.provider import Ack, Api, Endpoint, Listing, Option, Provider, Redelivery, Transitions
from paymux.signatures.raw_hmac import RawHmac
from paymux.statement import Fact, Head, Lookup, Statement, in_full, refunded
from paymux.times import to_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from paymux.delivery import Asked, Verified
    from paymux.money import Money
    from paymux.wild import Wild

# GoCardless's word -> ours. https://developer.gocardless.com/api-reference/#core-endpoints-payments
STATUSES: Final = {
    "pending_customer_approval": PaymentStatus.REQUIRES_ACTION,
    "pending_submission": PaymentStatus.PENDING,
    "submitted": PaymentStatus.PROCESSING,
    "confirmed": PaymentStatus.SUCCEEDED,
    "paid_out": PaymentStatus.SUCCEEDED,
    "charged_back": PaymentStatus.SUCCEEDED,
    "failed": PaymentStatus.FAILED,
    "customer_approval_denied": PaymentStatus.FAILED,
    "cancelled": PaymentStatus.CANCELED,
}
REFUND_STATUSES: Final = {
    "created": RefundStatus.PENDING,
    "pending_submission": RefundStatus.PENDING,
    "submitted": RefundStatus.PROCESSING,
    "paid": RefundStatus.SUCCEEDED,
    "cancelled": RefundStatus.CANCELED,
    "bounced": RefundStatus.FAILED,
    "funds_returned": RefundStatus.FAILED,
}
PAYOUT_STATUSES: Final = {
    "pending": PayoutStatus.PENDING,
    "paid": PayoutStatus.PAID,
    "bounced": PayoutStatus.RETURNED,
}
DISPUTE_STATUSES: Final = {
    "charged_back": DisputeStatus.LOST,
    "payments.chargeback_cancelled": DisputeStatus.CANCELED,
}

# A late failure; a payment submitted again; a refund that comes back; a payout sent again; a chargeback taken back.
TRANSITIONS: Final = Transitions(
    moves={
        Entity.PAYMENT: {
            PaymentStatus.SUCCEEDED: frozenset({PaymentStatus.FAILED}),
            PaymentStatus.FAILED: frozenset({PaymentStatus.PENDING}),
        },
        Entity.REFUND: {RefundStatus.SUCCEEDED: frozenset({RefundStatus.FAILED})},
        Entity.DISPUTE: {DisputeStatus.LOST: frozenset({DisputeStatus.CANCELED})},
        Entity.PAYOUT: {PayoutStatus.RETURNED: frozenset({PayoutStatus.PENDING, PayoutStatus.PAID})},
    }
)

# Documented as beginning with PM, RF or PO, and published with others, too (`index_ID_123`).
ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")

ANY: Final[frozenset[str]] = frozenset()
# What the events that promise an outcome may mean by the time of the answer.
ENDED: Final = frozenset({PaymentStatus.SUCCEEDED, PaymentStatus.FAILED, PaymentStatus.CANCELED})
REFUND_ENDED: Final = frozenset({RefundStatus.SUCCEEDED, RefundStatus.FAILED, RefundStatus.CANCELED})
PAYOUT_SENT: Final = frozenset({PayoutStatus.PAID, PayoutStatus.RETURNED})

IGNORED: Final[Mapping[str, str]] = {
    "billing_requests": "created flow_created flow_visited flow_exited collect_customer_details select_institution "
    "collect_bank_account payer_details_confirmed bank_authorisation_visited bank_authorisation_authorised "
    "bank_authorisation_denied bank_authorisation_expired bank_authorisation_failed fulfilled cancelled "
    "choose_currency collect_amount payer_geo_blocked failed",
    "creditors": "updated new_payout_currency_added account_auto_frozen account_auto_frozen_reverted bounced_payout",
    "customers": "approved under_review request_for_information_required",
    "exports": "started completed failed",
    "instalment_schedules": "created creation_failed cancelled errored resumed completed",
    "mandates": "created customer_approval_granted customer_approval_skipped active cancelled failed transferred "
    "expired submitted resubmission_requested reinstated replaced consumed blocked",
    "organisations": "disconnected",
    "outbound_payments": "created cancelled failed set_to_pending_approval set_to_executing executed",
    "payer_authorisations": "completed failed",
    "payment_account_transaction": "created",
    "scheme_identifiers": "activated",
    "subscriptions": "created customer_approval_granted customer_approval_denied amended payment_created cancelled "
    "finished paused resumed scheduled_pause scheduled_pause_cancelled scheduled_resume",
    # Of payments and payouts: fees, whose amounts only a payout's items say, a delay, and exchange rates for taxes.
    "payments": "surcharge_fee_debited surcharge_fee_credited sds_settlement_delayed",
    "payouts": "tax_exchange_rates_confirmed",
}


# --- webhooks


def split(body: Wild) -> Iterable[Wild]:
    return body.elements("events")


def head(_verified: Verified, event: Wild) -> Head:
    return Head(
        event_key=event.id("id"),
        event_type=f"{event.text('resource_type')}.{event.text('action')}",
        occurred_at=event.maybe_rfc3339("created_at"),
    )


def payment(event: Wild, _head: Head, *, settles: frozenset[str] = ANY) -> Lookup:
    return _lookup(event, "payment", settles)


def refund(event: Wild, _head: Head, *, settles: frozenset[str] = ANY) -> Lookup:
    return _lookup(event, "refund", settles)


def payout(event: Wild, _head: Head, *, settles: frozenset[str] = ANY) -> Lookup:
    return _lookup(event, "payout", settles)


def _lookup(event: Wild, name: str, settles: frozenset[str]) -> Lookup:
    found = event.child("links").matching(name, ID, f"the id of a {name}")
    return Lookup(objects=(ObjectRef(object=name, id=found),), settles=settles)


def chargeback_cancelled(event: Wild, head: Head) -> tuple[Statement, ...]:
    """Said here alone: the payment goes back to what it was, and knows nothing of its chargeback any more."""
    payment_id = event.child("links").id("payment")
    block = Dispute(
        id=_chargeback_id(payment_id),
        payment_id=payment_id,
        status=DISPUTE_STATUSES[head.event_type or ""],
        provider_status=head.event_type,
        stage="chargeback",
    )
    return (Statement(block=block, at=head.occurred_at, payment_id=payment_id),)


def chargeback_settled(event: Wild, head: Head) -> tuple[Statement, ...]:
    """The chargeback was taken out of a payout."""
    payment_id = event.child("links").id("payment")
    block = Dispute(
        id=_chargeback_id(payment_id),
        payment_id=payment_id,
        provider_status=head.event_type,
        stage="chargeback",
    )
    facts = (Fact(name="funds_withdrawn"),)
    return (Statement(block=block, at=head.occurred_at, payment_id=payment_id, facts=facts),)


def _chargeback_id(payment_id: str) -> str:
    """GoCardless gives it no id, and it must not have its payment's."""
    return f"{payment_id}-chargeback"


# --- what the API says


def payment_state(found: Wild, asked: Asked) -> tuple[Statement, ...]:
    word, status = found.text("status"), found.status("status", STATUSES)
    amount, returned = _money(found, "amount"), _maybe_money(found, "amount_refunded")
    links = found.maybe_child("links")
    block = Payment(
        id=found.id("id"),
        status=status,
        provider_status=word,
        amount=amount,
        amount_refunded=returned,
        settlement=_settlement(found),
        method=_method(found),
        subscription_id=links.maybe_id("subscription") if links else None,
        reference=found.free_text("reference"),
        description=found.free_text("description"),
        failure=FAILURES.get(word),
        created_at=found.rfc3339("created_at"),
        due_at=found.maybe_date("charge_date"),
        metadata=found.json("metadata"),
    )
    settled = (Fact(name="settled", says=(1,)),) if word == "paid_out" else ()
    told = Statement(
        block=block,
        at=asked.occurred_at,
        payment_id=block.id,
        facts=(*refunded(returned, full=in_full(amount, returned)), *settled),
    )
    return (told, *_chargeback(block, asked))


def _chargeback(payment: Payment, asked: Asked) -> tuple[Statement, ...]:
    status = DISPUTE_STATUSES.get(payment.provider_status or "")
    if status is None:
        return ()
    block = Dispute(
        id=_chargeback_id(payment.id),
        payment_id=payment.id,
        status=status,
        provider_status=payment.provider_status,
        stage="chargeback",
        amount=payment.amount,
    )
    return (Statement(block=block, at=asked.occurred_at, payment_id=payment.id),)


def refund_state(found: Wild, asked: Asked) -> tuple[Statement, ...]:
    links = found.maybe_child("links")
    block = Refund(
        id=found.id("id"),
        payment_id=links.maybe_id("payment") if links else None,
        status=found.status("status", REFUND_STATUSES),
        provider_status=found.text("status"),
        amount=_money(found, "amount"),
        created_at=found.rfc3339("created_at"),
        metadata=found.json("metadata"),
    )
    return (Statement(block=block, at=asked.occurred_at, payment_id=block.payment_id),)


def payout_state(found: Wild, asked: Asked) -> tuple[Statement, ...]:
    links = found.maybe_child("links")
    block = Payout(
        id=found.id("id"),
        status=found.status("status", PAYOUT_STATUSES),
        provider_status=found.text("status"),
        amount=_money(found, "amount"),
        fee=_maybe_money(found, "deducted_fees"),
        destination=links.maybe_id("creditor_bank_account") if links else None,
        arrival_at=found.maybe_date("arrival_date"),
        created_at=found.rfc3339("created_at"),
        metadata=found.json("metadata"),
    )
    return (Statement(block=block, at=asked.occurred_at),)


# GoCardless's status -> why it failed; of a plain `failed` the API does not say it.
FAILURES: Final = {
    "customer_approval_denied": Failure(category=FailureCategory.CANCELED_BY_CUSTOMER, code="customer_approval_denied")
}


def _money(found: Wild, key: str) -> Money:
    return from_minor(found.integer(key), found.text("currency"))


def _maybe_money(found: Wild, key: str) -> Money | None:
    return _money(found, key) if key in found else None


def _method(found: Wild) -> Method | None:
    """By the scheme that collects it: bacs, sepa_core, ach, faster_payments ..."""
    scheme = found.maybe_text("scheme")
    return Method(type=scheme) if scheme else None


def _settlement(found: Wild) -> Settlement | None:
    """In another currency, once the rate is known."""
    fx = found.maybe_child("fx")
    if fx is None or "fx_amount" not in fx:
        return None
    return Settlement(
        amount=from_minor(fx.integer("fx_amount"), fx.text("fx_currency")),
        exchange_rate=fx.maybe_text("exchange_rate"),
    )


def _following(page: Wild) -> dict[str, str] | None:
    after = page.child("meta", "cursors").maybe_id("after")
    return {"after": after} if after else None


def _within(since: datetime, until: datetime) -> list[dict[str, str]]:
    return [{"created_at[gte]": to_rfc3339(since), "created_at[lt]": to_rfc3339(until)}]


def _headers(api_key: str, _options: Mapping[str, str]) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {api_key}", "GoCardless-Version": "2015-07-06"}


GOCARDLESS: Final = Provider(
    name="gocardless",
    docs="https://developer.gocardless.com/api-reference/#webhooks-overview",
    signature=RawHmac(header=b"webhook-signature"),
    thin=True,
    split=split,
    head=head,
    events={
        "payments.created": payment,
        "payments.customer_approval_granted": payment,
        "payments.customer_approval_denied": partial(payment, settles=ENDED),
        "payments.submitted": payment,
        "payments.confirmed": partial(payment, settles=ENDED),
        "payments.paid_out": partial(payment, settles=ENDED),
        "payments.cancelled": partial(payment, settles=ENDED),
        "payments.failed": partial(payment, settles=ENDED),
        "payments.late_failure_settled": partial(payment, settles=ENDED),
        "payments.resubmission_requested": payment,
        "payments.charged_back": partial(payment, settles=ENDED),
        "payments.chargeback_cancelled": chargeback_cancelled,
        "payments.chargeback_settled": chargeback_settled,
        "refunds.created": refund,
        "refunds.paid": partial(refund, settles=REFUND_ENDED),
        "refunds.failed": partial(refund, settles=REFUND_ENDED),
        "refunds.bounced": partial(refund, settles=REFUND_ENDED),
        "refunds.refund_settled": refund,
        "refunds.funds_returned": partial(refund, settles=REFUND_ENDED),
        "payouts.paid": partial(payout, settles=PAYOUT_SENT),
        "payouts.fx_rate_confirmed": payout,
    },
    ignored=frozenset(f"{kind}.{action}" for kind, actions in IGNORED.items() for action in actions.split()),
    statuses={
        "payment": STATUSES,
        "refund": REFUND_STATUSES,
        "payout": PAYOUT_STATUSES,
        "dispute": DISPUTE_STATUSES,
    },
    transitions=TRANSITIONS,
    ack=Ack(status=204, body=b""),
    refusal=498,
    redelivery=Redelivery(timeout=10, attempts=9, note="8 retries, after 1, 2 and 10 minutes and then ever later"),
    api=Api(
        url="https://api.gocardless.com",
        regions={"sandbox": "https://api-sandbox.gocardless.com"},
        headers=_headers,
        rate=10,  # of 1000 a minute: https://developer.gocardless.com/api-reference/#making-requests-rate-limiting
        burst=50,
        objects={
            "payment": Endpoint(path="/payments/{id}", unwrap=("payments",), id_pattern=ID, state=payment_state),
            "refund": Endpoint(path="/refunds/{id}", unwrap=("refunds",), id_pattern=ID, state=refund_state),
            "payout": Endpoint(path="/payouts/{id}", unwrap=("payouts",), id_pattern=ID, state=payout_state),
        },
        payments=Listing(
            path="/payments",
            items="payments",
            filters=frozenset(
                {
                    *(f"created_at[{bound}]" for bound in ("gt", "gte", "lt", "lte")),
                    *("after", "before", "limit", "status", "currency", "customer", "mandate", "subscription"),
                }
            ),
            following=_following,
            page_size=("limit", 500),
            within=_within,
        ),
    ),
    options=(
        Option(name="region", help="`sandbox` asks the sandbox's API (default: the live one)", choices=("sandbox",)),
    ),
)
