"""Stripe: PaymentIntents, charges, refunds, disputes and payouts.

https://docs.stripe.com/webhooks
https://docs.stripe.com/api/events/types

- `Stripe-Signature: t=...,v1=...`; the endpoint's secret is the key as it stands, `whsec_` included.
- A snapshot event (`object: "event"`) carries the object as it was; its `id` and `created` are the key and the time.
  The objects keep no time of change. Events come in any order, and more than once.
- A thin event (`object: "v2.core.event"`, type `v1.<snapshot type>`) only names an object, which is asked for:
  https://docs.stripe.com/event-destinations
- The PaymentIntent speaks for the status, its charges for what was refunded and how it was paid. A charge without a
  PaymentIntent (the Charges API) is a payment itself. `charge.refunded` carries a charge, not a refund.
- The shape follows the endpoint's API version: `charges.data` became `latest_charge` in 2022-11-15, `refunds` left the
  charge then, `invoice` left both in 2025-03-31. https://docs.stripe.com/upgrades
- Before 2025-03-31, releasing an authorization (a cancellation, the rest of a partial capture) counts as a refund and
  makes a Refund. The charge's amounts are corrected here; the Refund is told as the refund that Stripe calls it.
- `account` (Connect) has no place in the canonical event: give each endpoint for connected accounts a paymux account.
- Amounts are minor units, mostly ISO 4217's. Payouts in HUF and TWD are whole: multiples of 100, still in minor units.
  A payout that debits the bank account has a negative amount. https://docs.stripe.com/currencies
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from paymux import money
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
from paymux.errors import Untranslatable
from paymux.provider import Api, Endpoint, Listing, Option, Provider, Redelivery, Transitions
from paymux.signatures.timestamped_hmac import TimestampedHmac
from paymux.statement import Fact, Head, Lookup, Statement, refunded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from typing import Literal

    from paymux.delivery import Asked, Verified
    from paymux.money import Money
    from paymux.wild import Wild

# Decimals, where Stripe's differ from ISO 4217's. The page contradicts itself on UGX: it is among the zero-decimal
# currencies, but its special case is explicit: 500 stands for 5 UGX. https://docs.stripe.com/currencies#special-cases
EXPONENTS: Final = {"ISK": 2, "UGX": 2, "MGA": 0}

# PaymentIntent.status -> payment. https://docs.stripe.com/payments/paymentintents/lifecycle
# `canceled` for every cancellation_reason: an authorization that ran out is `automatic` in one API version, but
# `expired` in the next. The reason stands in `failure`.
INTENT_STATUSES: Final = {
    "requires_payment_method": PaymentStatus.PENDING,
    "requires_confirmation": PaymentStatus.PENDING,
    "requires_action": PaymentStatus.REQUIRES_ACTION,
    "processing": PaymentStatus.PROCESSING,
    "requires_capture": PaymentStatus.AUTHORIZED,  # partially_captured once something was received: multicapture
    "succeeded": PaymentStatus.SUCCEEDED,  # after a partial capture, too: the rest is released
    "canceled": PaymentStatus.CANCELED,
}

# Charge.status -> payment, for a charge without a PaymentIntent. https://docs.stripe.com/api/charges/object
CHARGE_STATUSES: Final = {
    "pending": PaymentStatus.PROCESSING,
    "succeeded": PaymentStatus.SUCCEEDED,  # authorized, canceled or expired where `captured` is false
    "failed": PaymentStatus.FAILED,
}

# Refund.status -> refund; the oldest refunds have none. https://docs.stripe.com/api/refunds/object
REFUND_STATUSES: Final = {
    "pending": RefundStatus.PENDING,
    "requires_action": RefundStatus.REQUIRES_ACTION,
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.CANCELED,
}

# Dispute.status -> dispute. https://docs.stripe.com/api/disputes/object
DISPUTE_STATUSES: Final = {
    "warning_needs_response": DisputeStatus.INQUIRY,
    "warning_under_review": DisputeStatus.UNDER_REVIEW,
    "warning_closed": DisputeStatus.CANCELED,  # the inquiry ended without a chargeback: nobody won or lost
    "prevented": DisputeStatus.CANCELED,  # blocked, or settled by a refund, before it became a chargeback
    "needs_response": DisputeStatus.NEEDS_RESPONSE,
    "under_review": DisputeStatus.UNDER_REVIEW,
    "appeal_needs_response": DisputeStatus.NEEDS_RESPONSE,
    "appeal_under_review": DisputeStatus.UNDER_REVIEW,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,  # also when the merchant accepts it
}

# Dispute.status -> stage; every other one is a chargeback. https://docs.stripe.com/disputes/arbitration
DISPUTE_STAGES: Final[Mapping[str, Literal["inquiry", "pre_arbitration"]]] = {
    "warning_needs_response": "inquiry",
    "warning_under_review": "inquiry",
    "warning_closed": "inquiry",
    "prevented": "inquiry",
    "appeal_needs_response": "pre_arbitration",
    "appeal_under_review": "pre_arbitration",
}

# Dispute.reason -> category, the card networks' four; the other reasons have none. https://docs.stripe.com/disputes/categories
DISPUTE_REASONS: Final = {
    "fraudulent": "fraud",
    "unrecognized": "fraud",
    "debit_not_authorized": "authorization",
    "bank_cannot_process": "processing_error",
    "check_returned": "processing_error",
    "duplicate": "processing_error",
    "incorrect_account_details": "processing_error",
    "insufficient_funds": "processing_error",
    "credit_not_processed": "consumer_dispute",
    "product_not_received": "consumer_dispute",
    "product_unacceptable": "consumer_dispute",
    "subscription_canceled": "consumer_dispute",
}

# Payout.status -> payout. https://docs.stripe.com/api/payouts/object
PAYOUT_STATUSES: Final = {
    "pending": PayoutStatus.PENDING,
    "in_transit": PayoutStatus.IN_TRANSIT,
    "paid": PayoutStatus.PAID,  # "some payouts that fail might initially show as paid"
    "failed": PayoutStatus.FAILED,
    "canceled": PayoutStatus.CANCELED,
}

# Error codes, decline codes, outcomes and reasons -> category, the first known word of a failure deciding.
# https://docs.stripe.com/declines/codes https://docs.stripe.com/error-codes
FAILURES: Final = {
    word: category
    for category, words in {
        FailureCategory.FRAUD: "fraudulent merchant_blacklist lost_card stolen_card pickup_card security_violation "
        "highest_risk_level elevated_risk_level rule blocked",
        FailureCategory.AUTHENTICATION: "authentication_required authentication_not_handled authentication_failure "
        "payment_intent_authentication_failure mobile_device_authentication_required offline_pin_required "
        "online_or_offline_pin_required incorrect_pin invalid_pin pin_try_exceeded",
        FailureCategory.TECHNICAL: "processing_error issuer_not_available try_again_later reenter_transaction "
        "payment_method_provider_timeout lock_timeout rate_limit could_not_process api_error idempotency_error",
        FailureCategory.CANCELED_BY_CUSTOMER: "requested_by_customer payment_method_customer_decline",
        FailureCategory.DECLINED: "card_declined card_error issuer_declined expired_card insufficient_funds declined "
        "low_probability_of_authorization payment_intent_payment_attempt_failed payment_method_provider_decline "
        "bank_account_declined bank_account_restricted debit_not_authorized account_closed account_frozen no_account "
        "lost_or_stolen_card expired_or_canceled_card",
    }.items()
    for word in words.split()
}

# Event type -> the fact that its name states.
NAMED_FACTS: Final = {
    "payment_intent.payment_failed": (Fact(name="attempt_failed"),),
    "charge.dispute.funds_withdrawn": (Fact(name="funds_withdrawn"),),
    "charge.dispute.funds_reinstated": (Fact(name="funds_reinstated"),),
}

TRANSITIONS: Final = Transitions(
    moves={
        # "A refund can fail after it succeeded": https://docs.stripe.com/refunds#failed-refunds
        Entity.REFUND: {RefundStatus.SUCCEEDED: frozenset({RefundStatus.FAILED})},
        # Banks correct themselves, lost disputes are appealed, and a closed inquiry may become a chargeback.
        Entity.DISPUTE: {
            DisputeStatus.WON: frozenset({DisputeStatus.NEEDS_RESPONSE, DisputeStatus.LOST}),
            DisputeStatus.LOST: frozenset({DisputeStatus.NEEDS_RESPONSE, DisputeStatus.WON}),
            DisputeStatus.CANCELED: frozenset({DisputeStatus.NEEDS_RESPONSE}),
        },
    },
)

# The first version in which releasing an authorization is no refund, and the one that answers are asked for in.
# https://docs.stripe.com/changelog/basil/2025-03-31/remove-refund-from-partial-capture-and-payment-cancellation-flow
BASIL: Final = "2025-03-31.basil"
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def head(_: Verified, wild: Wild) -> Head:
    is_thin = wild.value.get("object") == "v2.core.event"
    return Head(
        event_key=wild.id("id"),
        event_type=wild.text("type"),
        occurred_at=wild.rfc3339("created") if is_thin else wild.seconds("created"),
        livemode=wild.maybe_flag("livemode"),
    )


# --- webhooks: the object of a snapshot event, and what a thin event names


def payment_intent(wild: Wild, head: Head) -> tuple[Statement, ...]:
    found = _kind(wild.child("data", "object"), "payment_intent")
    return (_intent(found, head.occurred_at, NAMED_FACTS.get(head.event_type or "", ())),)


def charge(wild: Wild, head: Head) -> tuple[Statement, ...]:
    found = _kind(wild.child("data", "object"), "charge")
    expired = head.event_type == "charge.expired"
    return (_charge(found, head.occurred_at, expired=expired, releases=_releases(wild)),)


def refund(wild: Wild, head: Head) -> tuple[Statement, ...]:
    return (_refund(_kind(wild.child("data", "object"), "refund"), head.occurred_at),)


def dispute(wild: Wild, head: Head) -> tuple[Statement, ...]:
    found = _kind(wild.child("data", "object"), "dispute")
    return (_dispute(found, head.occurred_at, NAMED_FACTS.get(head.event_type or "", ())),)


def payout(wild: Wild, head: Head) -> tuple[Statement, ...]:
    return (_payout(_kind(wild.child("data", "object"), "payout"), head.occurred_at),)


def thin(wild: Wild, head: Head) -> Lookup:
    named = wild.child("related_object")
    kind = named.text("type")
    if kind not in API.objects:
        raise named.at("type").unknown("object", reason="shape")
    return Lookup(
        objects=(ObjectRef(object=kind, id=named.id("id")),), settles=SETTLING.get(head.event_type or "", frozenset())
    )


# --- the API's answers: nested objects speak, too


def intent_state(found: Wild, asked: Asked) -> tuple[Statement, ...]:
    charges = _charges(_kind(found, "payment_intent"))
    own = _intent(
        found, _latest(asked, found.maybe_seconds("canceled_at"), *_created(found, *charges), *_paid(charges))
    )
    return (own, *(_charge(each, own.at) for each in charges), *_nested(charges, asked))


def charge_state(found: Wild, asked: Asked) -> tuple[Statement, ...]:
    own = _charge(_kind(found, "charge"), _latest(asked, *_created(found), *_paid([found])))
    return (own, *_nested([found], asked))


def refund_state(found: Wild, asked: Asked) -> tuple[Statement, ...]:
    return (_refund(_kind(found, "refund"), _latest(asked, *_created(found))),)


def dispute_state(found: Wild, asked: Asked) -> tuple[Statement, ...]:
    return (_dispute(_kind(found, "dispute"), _latest(asked, *_created(found))),)


def payout_state(found: Wild, asked: Asked) -> tuple[Statement, ...]:
    return (_payout(_kind(found, "payout"), _latest(asked, *_created(found))),)


def _nested(charges: list[Wild], asked: Asked) -> list[Statement]:
    """Refunds, oldest first, then disputes: what charges hold, where it was expanded."""
    refunds = [each for parent in charges for each in _listed(parent, "refunds")]
    disputes = [parent.child("dispute") for parent in charges if _expanded(parent, "dispute")]
    refunds.sort(key=lambda each: each.seconds("created"))
    return [
        *(statement for each in refunds for statement in refund_state(each, asked)),
        *(statement for each in disputes for statement in dispute_state(each, asked)),
    ]


def _created(*found: Wild) -> list[datetime]:
    return [each.seconds("created") for each in found]


def _paid(charges: list[Wild]) -> list[datetime | None]:
    """When their money moved, where that was expanded: a capture may come days after its charge."""
    entries = [each.child("balance_transaction") for each in charges if _expanded(each, "balance_transaction")]
    return [each.maybe_seconds("created") for each in entries]


def _latest(asked: Asked, *times: datetime | None) -> datetime:
    """The newest time that is known of the object: the answer is at least that new, and says no more."""
    return max(time for time in (asked.occurred_at, *times) if time is not None)


# --- payments


def _intent(found: Wild, at: datetime | None, facts: tuple[Fact, ...] = ()) -> Statement:
    currency = found.text("currency")
    status = found.status("status", INTENT_STATUSES)
    received = _money(found, "amount_received", currency)
    authorized = None
    if status is PaymentStatus.AUTHORIZED:
        authorized = _authorized(found, currency)
        status = PaymentStatus.PARTIALLY_CAPTURED if received and received.minor else status
    charges = _charges(found)
    return Statement(
        at=at,
        aliases=_charge_ids(found, charges),
        facts=facts,
        block=Payment(
            id=found.id("id"),
            status=status,
            provider_status=found.text("status"),
            amount=_amount(found, currency),
            amount_authorized=authorized,
            amount_captured=received,
            method=_intent_method(found, charges),
            customer_id=_id(found, "customer"),
            invoice_id=_id(found, "invoice"),
            reference=_reference(found),
            description=found.free_text("description"),
            failure=_intent_failure(found),
            created_at=found.seconds("created"),
            metadata=found.json("metadata"),
        ),
    )


def _authorized(found: Wild, currency: str) -> Money | None:
    """What may still be captured, and with multicapture what was: https://docs.stripe.com/payments/multicapture"""
    capturable, received = found.maybe_integer("amount_capturable"), found.maybe_integer("amount_received")
    if capturable is None or received is None:
        return None
    return money.from_minor(capturable + received, currency, EXPONENTS)


def _charges(found: Wild) -> list[Wild]:
    """The charges that a PaymentIntent holds, newest first: a list in old API versions, `latest_charge` if expanded."""
    if _expanded(found, "latest_charge"):
        return [found.child("latest_charge")]
    return _listed(found, "charges")


def _charge_ids(found: Wild, charges: list[Wild]) -> tuple[str, ...]:
    if charges:
        return tuple(each.id("id") for each in charges)
    latest = found.maybe_id("latest_charge")
    return (latest,) if latest else ()


def _intent_method(found: Wild, charges: list[Wild]) -> Method | None:
    """The newest charge's; after a failed attempt without one, the method that failed."""
    if charges:
        return _method(charges[0].maybe_child("payment_method_details"))
    error = found.maybe_child("last_payment_error")
    return _method(error.maybe_child("payment_method")) if error is not None else None


def _intent_failure(found: Wild) -> Failure | None:
    error = found.maybe_child("last_payment_error")
    if error is not None:
        code, decline_code = error.maybe_text("code"), error.maybe_text("decline_code")
        words = (decline_code, code, error.maybe_text("type"))
        return _failure(words, code=code, decline_code=decline_code, message=error.free_text("message"))
    reason = found.maybe_text("cancellation_reason")
    return _failure((reason,), code=reason) if reason else None


def _reference(found: Wild) -> str | None:
    details = found.maybe_child("payment_details")
    return details.free_text("order_reference") if details is not None else None


def _charge(found: Wild, at: datetime | None, *, expired: bool = False, releases: bool | None = False) -> Statement:
    """`expired`: as only the event says. `releases`: as `_releases` has it."""
    own, intent = found.id("id"), _id(found, "payment_intent")
    currency = found.text("currency")
    status = found.status("status", CHARGE_STATUSES)
    captured, returned = _moved(found, currency, status, releases=releases)
    fee, settlement, settled = _balance(found)
    return Statement(
        at=at,
        aliases=(own,),
        facts=(*refunded(returned, full=_all_returned(found)), *settled),
        speaker=own if intent else None,
        block=Payment(
            id=intent or own,
            status=None if intent else _charge_status(found, status, expired=expired),
            provider_status=found.text("status"),
            amount=_amount(found, currency),
            amount_captured=captured,
            amount_refunded=returned,
            fee=fee,
            settlement=settlement,
            method=_method(found.maybe_child("payment_method_details")),
            customer_id=_id(found, "customer"),
            invoice_id=_id(found, "invoice"),
            description=found.free_text("description"),
            failure=_charge_failure(found),
            created_at=found.seconds("created"),
            metadata=found.json("metadata"),
        ),
    )


def _charge_status(found: Wild, status: PaymentStatus, *, expired: bool) -> PaymentStatus:
    if status is not PaymentStatus.SUCCEEDED or found.flag("captured"):
        return status
    if expired:
        return PaymentStatus.EXPIRED
    return PaymentStatus.CANCELED if found.maybe_flag("refunded") else PaymentStatus.AUTHORIZED


def _moved(
    found: Wild, currency: str, status: PaymentStatus, *, releases: bool | None
) -> tuple[Money | None, Money | None]:
    """What was captured and refunded. Another attempt than this one may have captured, unless this one succeeded."""
    if status is not PaymentStatus.SUCCEEDED:
        return None, None
    captured = found.maybe_integer("amount_captured")
    returned = found.maybe_integer("amount_refunded")
    if returned and releases is not False:
        returned = _without_releases(found, captured, returned, releases=releases)
    if returned and not found.flag("captured"):
        returned = 0
    return _minor(captured, currency), _minor(returned, currency)


def _without_releases(found: Wild, captured: int | None, returned: int, *, releases: bool | None) -> int | None:
    """`amount_refunded` less what was only released; None where that cannot be told."""
    if captured is None:
        return None
    released = max(found.integer("amount") - captured, 0)
    if released and releases is None:
        return None
    return max(returned - released, 0)


def _releases(wild: Wild) -> bool | None:
    """Whether this event's API version counts released authorizations as refunded; None where it names none."""
    version = wild.maybe_text("api_version") or ""
    return version < BASIL if _VERSION.match(version) else None


def _all_returned(found: Wild) -> bool:
    return found.maybe_flag("refunded") is True and found.maybe_flag("captured") is not False


def _balance(found: Wild) -> tuple[Money | None, Settlement | None, tuple[Fact, ...]]:
    """Fee and settlement, where the balance transaction was expanded: webhooks only carry its id."""
    if not _expanded(found, "balance_transaction"):
        return None, None, ()
    entry = found.child("balance_transaction")
    currency, rate = entry.text("currency"), entry.maybe_number("exchange_rate")
    available = entry.maybe_text("status") == "available"
    settlement = Settlement(
        amount=_amount(entry, currency),
        exchange_rate=None if rate is None else f"{rate:f}",
        settled_at=entry.maybe_seconds("available_on") if available else None,
    )
    return _money(entry, "fee", currency), settlement, (Fact(name="settled", says=(1,)),) if available else ()


def _charge_failure(found: Wild) -> Failure | None:
    code = found.maybe_text("failure_code")
    if code is None:
        return None
    outcome = found.maybe_child("outcome")
    reason, kind = (None, None) if outcome is None else (outcome.maybe_text("reason"), outcome.maybe_text("type"))
    return _failure((reason, code, kind), code=code, decline_code=reason, message=found.free_text("failure_message"))


def _method(details: Wild | None) -> Method | None:
    kind = details.maybe_text("type") if details is not None else None
    if details is None or kind is None:
        return None
    own = details.maybe_child(kind)
    if own is None:
        return Method(type=kind)
    wallet = own.maybe_child("wallet")
    return Method(
        type=kind,
        brand=own.maybe_text("brand"),
        last4=own.maybe_text("last4"),
        wallet=wallet.maybe_text("type") if wallet is not None else None,
    )


# --- refunds, disputes, payouts


def _refund(found: Wild, at: datetime | None) -> Statement:
    payment_id, alias, aliases = _about(found)
    reason = found.maybe_text("failure_reason")
    return Statement(
        at=at,
        payment_id=payment_id,
        payment_alias=alias,
        aliases=aliases,
        block=Refund(
            id=found.id("id"),
            payment_id=payment_id,
            status=found.status("status", REFUND_STATUSES) if "status" in found else None,
            provider_status=found.maybe_text("status"),
            amount=_amount(found, found.text("currency")),
            reason=found.maybe_text("reason"),
            destination=_destination(found),
            failure=_failure((reason,), code=reason) if reason else None,
            created_at=found.seconds("created"),
            metadata=found.json("metadata"),
        ),
    )


def _destination(found: Wild) -> Literal["original", "wallet"] | None:
    details = found.maybe_child("destination_details")
    kind = details.maybe_text("type") if details is not None else None
    if kind is None:
        return None
    return "wallet" if kind == "customer_cash_balance" else "original"


def _dispute(found: Wild, at: datetime | None, facts: tuple[Fact, ...] = ()) -> Statement:
    payment_id, alias, aliases = _about(found)
    word, reason = found.text("status"), found.maybe_text("reason")
    return Statement(
        at=at,
        payment_id=payment_id,
        payment_alias=alias,
        aliases=aliases,
        facts=facts,
        block=Dispute(
            id=found.id("id"),
            payment_id=payment_id,
            status=found.status("status", DISPUTE_STATUSES),
            provider_status=word,
            stage=DISPUTE_STAGES.get(word, "chargeback"),
            amount=_amount(found, found.text("currency")),
            reason=DisputeReason(category=DISPUTE_REASONS.get(reason), code=reason) if reason else None,
            evidence_due_at=_due(found),
            created_at=found.seconds("created"),
            metadata=found.json("metadata"),
        ),
    )


def _due(found: Wild) -> datetime | None:
    """`due_by` is 0 where the bank takes no response."""
    details = found.maybe_child("evidence_details")
    return details.seconds("due_by") if details is not None and details.maybe_integer("due_by") else None


def _about(found: Wild) -> tuple[str | None, str | None, tuple[str, ...]]:
    """The payment that a refund or dispute belongs to: its id, else another name for it; and further names."""
    intent, of = _id(found, "payment_intent"), _id(found, "charge")
    if intent is None:
        return None, of, ()
    return intent, None, (of,) if of else ()


def _payout(found: Wild, at: datetime | None) -> Statement:
    code = found.maybe_text("failure_code")
    return Statement(
        at=at,
        block=Payout(
            id=found.id("id"),
            status=found.status("status", PAYOUT_STATUSES),
            provider_status=found.text("status"),
            amount=_amount(found, found.text("currency")),
            destination=_id(found, "destination"),
            failure=_failure((code,), code=code, message=found.free_text("failure_message")) if code else None,
            arrival_at=found.maybe_seconds("arrival_date"),
            created_at=found.seconds("created"),
            metadata=found.json("metadata"),
        ),
    )


# --- the forms that all objects share


def _kind(found: Wild, kind: str) -> Wild:
    if found.value.get("object") != kind:
        raise found.at("object").untamed(f"the word {kind!r}")
    return found


def _amount(found: Wild, currency: str) -> Money:
    return money.from_minor(found.integer("amount"), currency, EXPONENTS)


def _money(found: Wild, key: str, currency: str) -> Money | None:
    return _minor(found.maybe_integer(key), currency)


def _minor(value: int | None, currency: str) -> Money | None:
    return None if value is None else money.from_minor(value, currency, EXPONENTS)


def _failure(
    words: tuple[str | None, ...], *, code: str | None, decline_code: str | None = None, message: str | None = None
) -> Failure:
    known = (FAILURES[word] for word in words if word in FAILURES)
    category = next(known, FailureCategory.UNKNOWN)
    return Failure(category=category, code=code, decline_code=decline_code, message=message)


def _id(found: Wild, key: str) -> str | None:
    """An id, or that of the object expanded in its place."""
    return found.child(key).id("id") if _expanded(found, key) else found.maybe_id(key)


def _expanded(found: Wild, key: str) -> bool:
    return type(found.value.get(key)) is dict


def _listed(found: Wild, key: str) -> list[Wild]:
    held = found.maybe_child(key)
    return held.children("data") if held is not None else []


# --- the API. https://docs.stripe.com/api/payment_intents/list


def _headers(api_key: str, options: Mapping[str, str]) -> dict[str, str]:
    """One API version, whatever the account's own: answers have one shape, and releases are no refunds in it."""
    headers = {"Authorization": f"Bearer {api_key}", "Stripe-Version": BASIL}
    connected = options.get("connected_account")
    return headers | {"Stripe-Account": connected} if connected else headers


def _next_page(answer: Wild) -> dict[str, str] | None:
    payments = answer.children("data")
    if not answer.flag("has_more"):
        return None
    if not payments:
        raise Untranslatable("has_more is true, and there is no payment to go on from", path="/data")
    return {"starting_after": payments[-1].id("id")}


def _within(since: datetime, until: datetime) -> list[dict[str, str]]:
    return [{"created[gte]": str(int(since.timestamp())), "created[lt]": str(int(until.timestamp()) + 1)}]


def _endpoint(
    path: str, state: Callable[[Wild, Asked], tuple[Statement, ...]], prefix: str, *expanded: str
) -> Endpoint:
    return Endpoint(
        path=path,
        state=state,
        id_pattern=re.compile(rf"(?:{prefix})_[A-Za-z0-9_]{{1,120}}"),
        query=_expand(*expanded),
    )


def _expand(*names: str) -> tuple[tuple[str, str], ...]:
    """https://docs.stripe.com/api/expanding_objects"""
    return tuple(("expand[]", name) for name in names)


API: Final = Api(
    url="https://api.stripe.com",
    headers=_headers,
    objects={
        "payment_intent": _endpoint(
            "/v1/payment_intents/{id}", intent_state, "pi", "latest_charge.balance_transaction"
        ),
        "charge": _endpoint("/v1/charges/{id}", charge_state, "ch|py", "balance_transaction", "refunds"),
        "refund": _endpoint("/v1/refunds/{id}", refund_state, "re|pyr"),
        "dispute": _endpoint("/v1/disputes/{id}", dispute_state, "du|dp|pdp"),
        "payout": _endpoint("/v1/payouts/{id}", payout_state, "po"),
    },
    payments=Listing(
        path="/v1/payment_intents",
        items="data",
        filters=frozenset({"created[gt]", "created[gte]", "created[lt]", "created[lte]", "customer", "starting_after"}),
        following=_next_page,
        within=_within,
        object="payment_intent",
        others=("charge",),
        query=_expand("data.latest_charge"),
    ),
)

# --- events: every type of stripe-python 16.1 is here


def _types(text: str) -> frozenset[str]:
    """`family: name name family: name` to `family.name`."""
    family, types = "", set()
    for word in text.split():
        if word.endswith(":"):
            family = word.removesuffix(":")
        else:
            types.add(f"{family}.{word}")
    return frozenset(types)


SNAPSHOTS: Final = {
    "payment_intent.created": payment_intent,
    "payment_intent.requires_action": payment_intent,
    "payment_intent.processing": payment_intent,
    "payment_intent.partially_funded": payment_intent,
    "payment_intent.amount_capturable_updated": payment_intent,
    "payment_intent.payment_failed": payment_intent,
    "payment_intent.succeeded": payment_intent,
    "payment_intent.canceled": payment_intent,
    "charge.pending": charge,
    "charge.succeeded": charge,
    "charge.captured": charge,
    "charge.failed": charge,
    "charge.expired": charge,
    "charge.updated": charge,
    "charge.refunded": charge,
    "charge.refund.updated": refund,
    "refund.created": refund,
    "refund.updated": refund,
    "refund.failed": refund,
    "charge.dispute.created": dispute,
    "charge.dispute.updated": dispute,
    "charge.dispute.funds_withdrawn": dispute,
    "charge.dispute.funds_reinstated": dispute,
    "charge.dispute.closed": dispute,
    "payout.created": payout,
    "payout.updated": payout,
    "payout.paid": payout,
    "payout.failed": payout,
    "payout.canceled": payout,
    "payout.reconciliation_completed": payout,  # the payout as it is, its list of transactions being ready
}

# Thin events that promise an outcome -> the statuses that may be meant.
SETTLING: Final[Mapping[str, frozenset[str]]] = {
    "v1.payment_intent.succeeded": frozenset({PaymentStatus.SUCCEEDED}),
    "v1.payment_intent.canceled": frozenset({PaymentStatus.CANCELED}),
    "v1.refund.failed": frozenset({RefundStatus.FAILED}),
    "v1.charge.dispute.closed": frozenset(
        {DisputeStatus.WON, DisputeStatus.LOST, DisputeStatus.ACCEPTED, DisputeStatus.CANCELED}
    ),
    "v1.payout.paid": frozenset({PayoutStatus.PAID, PayoutStatus.FAILED}),  # it may fail after it was paid
}

# Not payments, or (checkout, invoices, transfers) another view of one that its PaymentIntent tells.
ELSEWHERE: Final = _types("""
account: application.authorized application.deauthorized external_account.created external_account.deleted
external_account.updated updated application_fee: created refund.updated refunded apps: install.created install.deleted
install.updated balance: available balance_settings: updated billing: alert.triggered credit_balance_transaction.created
credit_grant.created credit_grant.updated meter.created meter.deactivated meter.reactivated meter.updated
billing_portal: configuration.created configuration.updated session.created capability: updated cash_balance:
funds_available checkout: session.async_payment_failed session.async_payment_succeeded session.completed session.expired
climate: order.canceled order.created order.delayed order.delivered order.product_substituted product.created
product.pricing_updated coupon: created deleted updated credit_note: created updated voided customer: created deleted
discount.created discount.deleted discount.updated source.created source.deleted source.expiring source.updated
subscription.created subscription.deleted subscription.paused subscription.pending_update_applied
subscription.pending_update_expired subscription.resumed subscription.trial_will_end subscription.updated tax_id.created
tax_id.deleted tax_id.updated updated customer_cash_balance_transaction: created entitlements:
active_entitlement_summary.updated file: created financial_connections: account.account_numbers_updated account.created
account.deactivated account.disconnected account.expected_deactivation_date_updated account.reactivated
account.refreshed_balance account.refreshed_ownership account.refreshed_transactions
account.supported_payment_method_types_updated account.upcoming_account_number_expiry account.upcoming_deactivation
authorization.expected_deactivation_date_updated authorization.upcoming_deactivation identity:
verification_session.canceled verification_session.created verification_session.processing verification_session.redacted
verification_session.requires_input verification_session.verified invoice: created deleted finalization_failed finalized
marked_uncollectible overdue overpaid paid payment_action_required payment_attempt_required payment_failed
payment_succeeded sent upcoming updated voided will_be_due invoice_payment: paid invoiceitem: created deleted
issuing_authorization: created request updated issuing_card: created updated issuing_cardholder: created updated
issuing_dispute: closed created funds_reinstated funds_rescinded submitted updated issuing_personalization_design:
activated deactivated rejected updated issuing_token: created updated issuing_transaction: created
purchase_details_receipt_updated updated mandate: updated payment_link: created updated payment_method: attached
automatically_updated detached updated person: created deleted updated plan: created deleted updated price: created
deleted updated product: created deleted updated promotion_code: created updated quote: accepted canceled created
finalized radar: early_fraud_warning.created early_fraud_warning.updated reporting: report_run.failed
report_run.succeeded report_type.updated reserve: hold.created hold.updated plan.created plan.disabled plan.expired
plan.updated release.created review: closed opened setup_intent: canceled created requires_action setup_failed succeeded
sigma: scheduled_query_run.created source: canceled chargeable failed mandate_notification refund_attributes_required
transaction.created transaction.updated subscription_schedule: aborted canceled completed created expiring released
updated tax: settings.updated tax_rate: created updated terminal: reader.action_failed reader.action_succeeded
reader.action_updated test_helpers: test_clock.advancing test_clock.created test_clock.deleted
test_clock.internal_failure test_clock.ready three_d_secure: authentication.canceled authentication.challenge_started
authentication.errored authentication.failed authentication.requires_challenge authentication.requires_submission
authentication.succeeded topup: canceled created failed reversed succeeded transfer: created reversed updated treasury:
credit_reversal.created credit_reversal.posted debit_reversal.completed debit_reversal.created
debit_reversal.initial_credit_granted financial_account.closed financial_account.created
financial_account.features_status_updated inbound_transfer.canceled inbound_transfer.created inbound_transfer.failed
inbound_transfer.succeeded outbound_payment.canceled outbound_payment.created
outbound_payment.expected_arrival_date_updated outbound_payment.failed outbound_payment.posted outbound_payment.returned
outbound_payment.tracking_details_updated outbound_transfer.canceled outbound_transfer.created
outbound_transfer.expected_arrival_date_updated outbound_transfer.failed outbound_transfer.posted
outbound_transfer.returned outbound_transfer.tracking_details_updated received_credit.created received_credit.failed
received_credit.succeeded received_debit.created
""")

# Types that old API versions had, of things that are no payments. `transfer.paid` and the like are left unknown: until
# 2017-04-06 payouts were transfers, too. https://docs.stripe.com/upgrades
RETIRED: Final = _types("""
bitcoin: receiver.created receiver.filled receiver.transaction.created receiver.updated customer: bank_account.deleted
card.created card.deleted card.updated invoiceitem: updated issuer_fraud_record: created order: created payment_failed
payment_succeeded updated order_return: created recipient: created deleted updated sku: created deleted updated
""") | {"ping"}

# Types of thin events only: API v1's below `v1.`, and API v2's.
THIN_ELSEWHERE: Final = _types("""
v1: billing.meter.error_report_triggered billing.meter.no_meter_found customer.discount.source_changed
customer.subscription.active customer.subscription.cancel_at_changed
customer.subscription.default_payment_method_changed customer.subscription.incomplete
customer.subscription.incomplete_expired customer.subscription.item_added customer.subscription.item_price_changed
customer.subscription.item_quantity_changed customer.subscription.item_removed
customer.subscription.item_tax_rates_changed customer.subscription.past_due customer.subscription.trialing
customer.subscription.unpaid entitlements.active_entitlement_summary.entitlement_added
entitlements.active_entitlement_summary.entitlement_removed financial_connections.account.balance_refresh_failed
financial_connections.account.balance_refresh_succeeded financial_connections.account.inferred_balances_refresh_failed
financial_connections.account.inferred_balances_refresh_succeeded
financial_connections.account.ownership_refresh_failed financial_connections.account.ownership_refresh_succeeded
financial_connections.account.risk_intelligence_refresh_failed
financial_connections.account.risk_intelligence_refresh_succeeded
financial_connections.account.transactions_refresh_failed financial_connections.account.transactions_refresh_succeeded
invoice.discount_added invoice.discount_removed invoice.line_item_added invoice.line_item_pricing_changed
invoice.line_item_quantity_changed invoice.line_item_removed invoice_payment.canceled invoice_payment.open
invoiceitem.amount_changed invoiceitem.discount_added invoiceitem.discount_removed price.activated price.deactivated
price.lookup_key_changed price.tax_behavior_changed product.activated product.deactivated
product.default_price_changed product.tax_code_changed promotion_code.fully_redeemed subscription_schedule.phase_added
subscription_schedule.phase_default_tax_rates_changed subscription_schedule.phase_end_date_changed
subscription_schedule.phase_removed subscription_schedule.phase_trial_end_changed v2:
commerce.product_catalog.imports.failed commerce.product_catalog.imports.processing
commerce.product_catalog.imports.succeeded commerce.product_catalog.imports.succeeded_with_errors core.account.closed
core.account.created core.account.updated core.account[configuration.customer].capability_status_updated
core.account[configuration.customer].updated core.account[configuration.merchant].capability_status_updated
core.account[configuration.merchant].updated core.account[configuration.recipient].capability_status_updated
core.account[configuration.recipient].updated core.account[defaults].updated core.account[future_requirements].updated
core.account[identity].updated core.account[requirements].updated core.account_link.returned
core.account_person.created core.account_person.deleted core.account_person.updated core.event_destination.ping
money_management.adjustment.created money_management.financial_account.created
money_management.financial_account.updated money_management.financial_address.activated
money_management.financial_address.failed money_management.inbound_transfer.available
money_management.inbound_transfer.bank_debit_failed money_management.inbound_transfer.bank_debit_processing
money_management.inbound_transfer.bank_debit_queued money_management.inbound_transfer.bank_debit_returned
money_management.inbound_transfer.bank_debit_succeeded money_management.outbound_payment.canceled
money_management.outbound_payment.created money_management.outbound_payment.failed
money_management.outbound_payment.posted money_management.outbound_payment.returned
money_management.outbound_payment.under_review money_management.outbound_payment.updated
money_management.payout_intent.canceled money_management.payout_intent.created money_management.payout_intent.pending
money_management.payout_intent.posted money_management.payout_intent.processing
money_management.payout_intent.requires_action money_management.payout_intent.updated
money_management.payout_method.created money_management.payout_method.updated
money_management.received_credit.available money_management.received_credit.failed
money_management.received_credit.returned money_management.received_credit.succeeded
money_management.recipient_verification.created money_management.recipient_verification.updated
money_management.transaction.created money_management.transaction.updated
""")

STRIPE: Final = Provider(
    name="stripe",
    docs="https://docs.stripe.com/webhooks",
    signature=TimestampedHmac(header=b"stripe-signature", tolerance=300),
    head=head,
    events=SNAPSHOTS | {f"v1.{name}": thin for name in SNAPSHOTS},
    statuses={
        "PaymentIntent.status": INTENT_STATUSES,
        "Charge.status, without a PaymentIntent": CHARGE_STATUSES,
        "Refund.status": REFUND_STATUSES,
        "Dispute.status": DISPUTE_STATUSES,
        "Payout.status": PAYOUT_STATUSES,
    },
    ignored=ELSEWHERE | {f"v1.{name}" for name in ELSEWHERE} | THIN_ELSEWHERE | RETIRED,
    transitions=TRANSITIONS,
    redelivery=Redelivery(window=timedelta(days=3), note="ever later; in a sandbox 3 times within a few hours"),
    api=API,
    options=(
        Option(name="connected_account", help="acct_...: whose objects lookups and reconcile ask for (Stripe-Account)"),
    ),
)
