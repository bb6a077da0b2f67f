"""Stripe, rule by rule. The shapes are of https://docs.stripe.com/api; the payloads are the sandbox's own."""

import hashlib
import hmac
import json
import typing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import stripe

from paymux.canonical import (
    DisputeReason,
    DisputeStatus,
    Entity,
    Failure,
    FailureCategory,
    Method,
    PaymentStatus,
    PayoutStatus,
    RefundStatus,
    Settlement,
)
from paymux.delivery import Asked, Delivery, ObjectRef, Proof, Verified, Via
from paymux.errors import Rejected, Untranslatable
from paymux.money import Money
from paymux.provider import Account
from paymux.providers.stripe import (
    CHARGE_STATUSES,
    DISPUTE_STATUSES,
    INTENT_STATUSES,
    PAYOUT_STATUSES,
    REFUND_STATUSES,
    SNAPSHOTS,
    STRIPE,
)
from paymux.sandbox.samples import answers, webhook, webhooks
from paymux.signatures import confirmed, verify
from paymux.statement import Fact, Head, Ignored, Lookup, Quarantined, Stated, Statement
from paymux.translate import translate
from paymux.wild import parse_json

SECRET = "whsec_vN3kT8wQz5Lm1Rb7Xc9Yd2Jf6Hp4Gs0A"
NOW = 1772445700
ACCOUNT = Account(provider=STRIPE, name="acme", livemode=False)
PI, CHARGE, REFUND, DISPUTE = (
    "pi_3T7KcyQm4Rw8LxHb0gYt6ZpA",
    "ch_3T7KcyQm4Rw8LxHb0nVs2DkE",
    "re_3T7KcyQm4Rw8LxHb0Ju9mXoF",
    "du_1T8lm4Qm4Rw8LxHbC3qWz7Gh",
)
LEGACY = "ch_1T7SbFQm4Rw8LxHbvD8nPy6C"
CREATED = 1772445600
SHARED = Path(__file__).parents[2] / "../shared/samples/stripe"


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def eur(minor: int) -> Money:
    return Money(minor, "EUR", 2)


def signed(body: bytes, key: bytes = SECRET.encode(), time: int = NOW) -> Delivery:
    """By hand, as the documentation says it: hex HMAC-SHA256 over `{t}.{body}`."""
    digest = hmac.new(key, f"{time}.".encode() + body, hashlib.sha256).hexdigest()
    return delivery(body, f"t={time},v1={digest}")


def delivery(body: bytes, signature: str) -> Delivery:
    return Delivery(
        id="dlv_1",
        provider="stripe",
        account="acme",
        received_at=at(NOW),
        body=body,
        headers=((b"Stripe-Signature", signature.encode()),),
    )


def prove(found: Delivery) -> Verified:
    return verify(found, [(STRIPE.signature, [STRIPE.signature.key(SECRET)])])


def outcome(body: bytes):
    (item,) = translate(ACCOUNT, prove(signed(body)))
    return item.outcome


def one(body: bytes) -> Statement:
    found = outcome(body)
    assert isinstance(found, Stated), found
    (statement,) = found.statements
    return statement


def sample(name: str, envelope: dict | None = None, **changes: object) -> bytes:
    """A sample's body, its object changed; a value of `...` takes the key away."""
    event = json.loads(webhook("stripe", *name.partition("--")[::2]).body) | (envelope or {})
    found = event["data"]["object"]
    found.update(changes)
    for key in [key for key, value in changes.items() if value is ...]:
        del found[key]
    return json.dumps(event).encode()


def answer(name: str, occurred_at: datetime | None = None, **changes: object) -> tuple[Statement, ...]:
    """What the API's answer states; `name` is a file of the sandbox, the object's kind and a variant."""
    kind, _, variant = name.partition("--")
    body = next(each.body for each in answers("stripe") if (each.name, each.variant) == (kind, variant))
    found = parse_json(json.dumps(json.loads(body) | changes).encode())
    asked = Asked(ref=ObjectRef(object=kind, id=found.id("id")), occurred_at=occurred_at)
    return STRIPE.api.objects[kind].state(found, asked)


def words(cls: type, field: str) -> set[str]:
    """The literals of a field of Stripe's own SDK, written as `Literal[...]` or `Union[Literal[...], str]`."""
    found = typing.get_args(cls.__annotations__[field])
    return {word for part in found for word in (typing.get_args(part) or (part,)) if isinstance(word, str)}


# --- signature and envelope


def test_the_whole_secret_is_the_key():
    """`whsec_` included: the secret is not base64 here."""
    assert prove(signed(sample("payment_intent.succeeded"))).proof is Proof.SIGNATURE
    with pytest.raises(Rejected):
        prove(signed(sample("payment_intent.succeeded"), key=SECRET.removeprefix("whsec_").encode()))


def test_while_a_secret_is_rolled_any_of_two_signatures_counts():
    """Stripe signs with the old and the new secret, in any order; `v0` counts for nothing."""
    body = sample("payment_intent.succeeded")
    good = signed(body).headers[0][1].decode().rpartition("v1=")[2]
    assert prove(delivery(body, f"t={NOW},v1={good},v1={'0' * 64}")).secret == 0
    assert prove(delivery(body, f"t={NOW},v1={'0' * 64},v1={good}")).secret == 0
    with pytest.raises(Rejected):
        prove(delivery(body, f"t={NOW},v0={good}"))


def test_the_head_of_a_snapshot_event():
    """Key, type, time and mode are the envelope's."""
    head = STRIPE.head(None, parse_json(sample("payment_intent.succeeded", envelope={"livemode": True})))
    assert head == Head(
        event_key="evt_3T7Kd2Qm03Rw8LxHb1vYc5Zp03",
        event_type="payment_intent.succeeded",
        occurred_at=at(CREATED + 10),
        livemode=True,
    )


def test_a_connected_account_s_event_is_translated_like_any_other():
    """`account` and `context` change nothing."""
    plain, connected = sample("payment_intent.succeeded"), {"account": "acct_1T7", "context": "acct_1T7"}
    assert one(sample("payment_intent.succeeded", envelope=connected)) == one(plain)


@pytest.mark.parametrize("request_", ["req_1", None, {"id": None, "idempotency_key": None}])
@pytest.mark.parametrize("version", [None, "2017-08-15", "2026-02-25.clover"])
def test_old_and_new_envelopes_are_read_alike(request_, version):
    """`request` was a string once, `api_version` may be null."""
    envelope = {"request": request_, "api_version": version}
    assert one(sample("payment_intent.succeeded", envelope=envelope)).block.status is PaymentStatus.SUCCEEDED


def test_an_event_without_its_time_is_quarantined():
    """The envelope's time orders everything, so it has to be there."""
    body = json.loads(sample("payment_intent.succeeded"))
    del body["created"]
    assert outcome(json.dumps(body).encode()).path == "/created"


def test_the_other_mode_is_quarantined():
    """A live event does not belong to an account that is set to test mode."""
    assert outcome(sample("payment_intent.succeeded", envelope={"livemode": True})).reason == "wrong_mode"


@pytest.mark.parametrize("name", ["payment_intent.succeeded", "charge.succeeded", "refund.updated", "payout.paid"])
def test_another_object_than_the_event_s_is_quarantined(name):
    """A refund inside of charge.refunded is no charge: nothing is made of it."""
    found = outcome(sample(name, object="dispute"))
    assert (found.reason, found.path) == ("shape", "/data/object/object")


# --- which events


def test_every_event_type_of_stripe_s_own_sdk_is_translated_or_ignored():
    """The SDK's list of snapshot types, each in exactly one of the two lists."""
    types = words(stripe.Event, "type")
    assert len(types) >= 275
    assert types - set(STRIPE.events) - STRIPE.ignored == set()


def test_every_thin_event_type_of_stripe_s_own_sdk_is_looked_up_or_ignored():
    """Thin twins of what is translated go through lookup, all others are known, too."""
    from stripe.events._event_classes import _V2_EVENT_CLASS_LOOKUP

    assert len(_V2_EVENT_CLASS_LOOKUP) >= 300
    assert set(_V2_EVENT_CLASS_LOOKUP) - set(STRIPE.events) - STRIPE.ignored == set()


def test_no_type_is_in_both_lists():
    """Translated and ignored are two words."""
    assert set(STRIPE.events) & STRIPE.ignored == set()


@pytest.mark.parametrize(
    "name",
    [
        "checkout.session.completed",
        "invoice.paid",
        "v1.invoice.paid",
        "v2.core.event_destination.ping",
        "ping",
        "sku.updated",
    ],
)
def test_an_ignored_type_is_ignored_whatever_it_carries(name):
    """Its object is not even looked at."""
    assert isinstance(outcome(json.dumps({"id": "evt_1", "type": name, "created": NOW}).encode()), Ignored)


@pytest.mark.parametrize(
    "name",
    ["payment_intent.dissolved", "charge", "v1.payment_intent", "v3.core.event", "transfer.paid", "v1.sku.updated"],
)
def test_an_unknown_type_is_quarantined(name):
    """Also below a family that is known."""
    assert outcome(sample("payment_intent.succeeded", envelope={"type": name})).reason == "unknown_event_type"


def test_every_translated_type_has_a_sample():
    """Of each, thin twins included, there is a whole payload that is understood."""
    found = {each.name for each in webhooks("stripe")}
    assert found == set(STRIPE.events)


@pytest.mark.parametrize("each", webhooks("stripe"), ids=lambda each: each.label)
def test_every_sample_is_understood(each):
    """Each states one thing, or names one object to ask for."""
    found = outcome(each.body)
    if each.name.startswith("v1."):
        assert isinstance(found, Lookup)
    else:
        assert len(found.statements) == 1


# --- PaymentIntents


@pytest.mark.parametrize(("word", "status"), INTENT_STATUSES.items())
def test_a_payment_intent_speaks_for_the_status(word, status):
    """Whatever the event is called, the status is the object's, at the event's time."""
    statement = one(sample("payment_intent.processing", status=word))
    assert (statement.block.status, statement.block.provider_status) == (status, word)
    assert statement.speaker is None
    assert statement.at == at(CREATED + 1210)


def test_a_succeeded_payment_intent_says_all_it_knows():
    """Amounts, customer, reference, description, metadata, and the charge as a further name."""
    statement = one(sample("payment_intent.succeeded", invoice="in_1"))
    block = statement.block
    assert (block.id, block.status) == (PI, PaymentStatus.SUCCEEDED)
    assert (block.amount, block.amount_captured, block.amount_authorized) == (eur(12900), eur(12900), None)
    assert (block.customer_id, block.invoice_id) == ("cus_Tx4Lq9Zb2Vn7Ws", "in_1")
    assert (block.reference, block.description) == ("ord_20260302_0117", "Order ord_20260302_0117")
    assert block.metadata == {"order_id": "ord_20260302_0117"}
    assert (block.created_at, block.failure, block.method) == (at(CREATED), None, None)
    assert (statement.aliases, statement.facts) == ((CHARGE,), ())


def test_a_partial_capture_is_succeeded():
    """Stripe's status counts; what was captured stands beside it."""
    block = one(sample("payment_intent.succeeded--partial_capture")).block
    assert (block.status, block.amount, block.amount_captured) == (PaymentStatus.SUCCEEDED, eur(12900), eur(9900))


def test_what_can_be_captured_is_authorized():
    """requires_capture, with amount_capturable."""
    block = one(sample("payment_intent.amount_capturable_updated")).block
    assert (block.status, block.amount_authorized) == (PaymentStatus.AUTHORIZED, eur(12900))


def test_one_of_several_captures_is_partially_captured():
    """requires_capture, although something was received: more may follow."""
    block = one(sample("payment_intent.amount_capturable_updated--multicapture")).block
    assert block.status is PaymentStatus.PARTIALLY_CAPTURED
    assert (block.amount_authorized, block.amount_captured) == (eur(12900), eur(5000))


def test_a_failed_attempt_is_a_fact_and_the_payment_stays_open():
    """payment_failed: status pending, the fact, why, and the method that failed."""
    statement = one(sample("payment_intent.payment_failed"))
    assert statement.block.status is PaymentStatus.PENDING
    assert statement.facts == (Fact(name="attempt_failed"),)
    assert statement.block.method == Method(type="card", brand="visa", last4="9995")
    assert statement.block.failure == Failure(
        category=FailureCategory.DECLINED,
        code="card_declined",
        decline_code="insufficient_funds",
        message="Your card has insufficient funds.",
    )


@pytest.mark.parametrize(
    ("error", "category"),
    [
        ({"type": "card_error", "code": "card_declined", "decline_code": "do_not_honor"}, "declined"),
        ({"type": "card_error", "code": "expired_card"}, "declined"),
        ({"type": "card_error", "code": "card_declined", "decline_code": "fraudulent"}, "fraud"),
        ({"type": "card_error", "code": "card_declined", "decline_code": "stolen_card"}, "fraud"),
        ({"type": "card_error", "code": "card_declined", "decline_code": "authentication_required"}, "authentication"),
        ({"type": "invalid_request_error", "code": "payment_intent_authentication_failure"}, "authentication"),
        ({"type": "card_error", "code": "processing_error"}, "technical"),
        ({"type": "api_error"}, "technical"),
        ({"type": "card_error", "code": "payment_method_customer_decline"}, "canceled_by_customer"),
        ({"type": "invalid_request_error", "code": "something_new"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_the_first_known_word_of_an_error_is_its_category(error, category):
    """Decline code, then code, then type; a word that no table has is unknown, not guessed."""
    assert one(sample("payment_intent.payment_failed", last_payment_error=error)).block.failure.category == category


@pytest.mark.parametrize("reason", ["expired", "automatic", "abandoned", "requested_by_customer"])
def test_a_canceled_payment_intent_is_canceled_for_every_reason(reason):
    """`automatic` and `expired` mean the same in two API versions; the reason is kept as the failure's code."""
    block = one(sample("payment_intent.canceled", cancellation_reason=reason)).block
    assert (block.status, block.failure.code) == (PaymentStatus.CANCELED, reason)


def test_charges_in_an_old_payment_intent_give_method_and_names_only():
    """2020-08-27: a list instead of latest_charge. Nested objects of a webhook state nothing of their own."""
    statement = one(sample("payment_intent.succeeded--version_2020"))
    assert statement.aliases == (CHARGE,)
    assert statement.block.method == Method(type="card", brand="visa", last4="4242")
    assert statement.block.invoice_id == "in_1T7KcxQm4Rw8LxHbE4oVz8Ra"
    assert (statement.facts, statement.block.amount_refunded) == ((), None)


def test_amounts_that_an_old_version_lacks_are_null():
    """amount_received and amount_capturable are younger than the PaymentIntent."""
    body = sample("payment_intent.amount_capturable_updated", amount_received=..., amount_capturable=...)
    block = one(body).block
    assert (block.status, block.amount_captured, block.amount_authorized) == (PaymentStatus.AUTHORIZED, None, None)


@pytest.mark.parametrize("key", ["customer", "latest_charge", "invoice"])
def test_an_expanded_object_counts_as_its_id(key):
    """Endpoints may be set to expand what others get as an id."""
    block = one(sample("payment_intent.succeeded", **{key: {"id": "cus_77", "object": key}}))
    assert "cus_77" in (block.block.customer_id, block.block.invoice_id, *block.aliases)


def test_a_wallet_is_named():
    """The wallet's type, beside the card's own brand and digits."""
    details = {"type": "card", "card": {"brand": "mastercard", "last4": "5100", "wallet": {"type": "apple_pay"}}}
    block = one(sample("charge.succeeded", payment_method_details=details)).block
    assert block.method == Method(type="card", brand="mastercard", last4="5100", wallet="apple_pay")


def test_a_method_without_details_is_its_type():
    """Most methods have no brand and no digits."""
    block = one(sample("charge.succeeded", payment_method_details={"type": "ideal", "ideal": {"bank": "ing"}})).block
    assert block.method == Method(type="ideal")


# --- money


@pytest.mark.parametrize(
    ("amount", "currency", "money"),
    [
        (12345, "usd", Money(12345, "USD", 2)),
        (500, "jpy", Money(500, "JPY", 0)),
        (500, "isk", Money(5, "ISK", 0)),
        (500, "ugx", Money(5, "UGX", 0)),
        (5, "mga", Money(500, "MGA", 2)),
        (12340, "kwd", Money(12340, "KWD", 3)),
        (12300, "huf", Money(12300, "HUF", 2)),
    ],
)
def test_amounts_are_iso_minor_units(amount, currency, money):
    """Stripe's own decimals are converted exactly, its lower case raised."""
    assert one(sample("payment_intent.created", amount=amount, currency=currency)).block.amount == money


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"currency": "isk", "amount": 550}, "inexact_amount"),
        ({"currency": "xyz"}, "unknown_currency"),
        ({"amount": "12900"}, "shape"),
        ({"amount": 12900.5}, "shape"),
        ({"amount": ...}, "shape"),
        ({"amount": 2**70}, "shape"),
    ],
)
def test_money_that_is_not_understood_is_quarantined(changes, reason):
    """Nothing is rounded, and nothing is guessed."""
    assert outcome(sample("payment_intent.created", **changes)).reason == reason


# --- charges


def test_a_charge_of_a_payment_intent_speaks_for_no_status():
    """The block is the PaymentIntent's, without status; the charge is the speaker and another name."""
    statement = one(sample("charge.succeeded"))
    assert (statement.block.id, statement.block.status, statement.block.provider_status) == (PI, None, "succeeded")
    assert (statement.speaker, statement.aliases, statement.facts) == (CHARGE, (CHARGE,), ())
    assert statement.block.amount_captured == eur(12900)
    assert statement.block.method == Method(type="card", brand="visa", last4="4242")


@pytest.mark.parametrize(
    ("name", "minor", "full"),
    [("charge.refunded", 1500, 0), ("charge.refunded--full", 12900, 1)],
)
def test_a_refunded_charge_is_a_fact_with_the_cumulative_amount(name, minor, full):
    """And no refund: the charge says how much of it was refunded so far."""
    statement = one(sample(name))
    assert statement.facts == (Fact(name="refunded", says=(full, minor)),)
    assert statement.block.amount_refunded == eur(minor)
    assert statement.block.entity is Entity.PAYMENT


def test_refunds_inside_a_webhook_s_charge_state_nothing():
    """Old versions nest them; refund events tell of them."""
    refunds = {"object": "list", "data": [json.loads(sample("refund.updated"))["data"]["object"]]}
    assert one(sample("charge.refunded", refunds=refunds)).block.entity is Entity.PAYMENT


def test_a_failed_charge_of_a_payment_intent_is_not_counted_as_an_attempt():
    """payment_intent.payment_failed counts it. What was captured is not this charge's to say."""
    statement = one(sample("charge.failed"))
    assert (statement.facts, statement.block.status) == ((), None)
    assert (statement.block.amount_captured, statement.block.amount_refunded) == (None, None)
    assert statement.block.failure.decline_code == "insufficient_funds"


def test_a_pending_charge_captured_nothing_yet():
    """Stripe writes the amount into amount_captured before the bank has answered."""
    assert one(sample("charge.pending")).block.amount_captured is None


def test_an_authorization_released_before_2025_is_no_refund():
    """Old versions count what was not captured into amount_refunded."""
    statement = one(sample("charge.refunded--version_2020_partial_capture"))
    assert (statement.facts, statement.block.amount_refunded) == ((), eur(0))
    also_refunded = one(sample("charge.refunded--version_2020_partial_capture", amount_refunded=3500))
    assert also_refunded.facts == (Fact(name="refunded", says=(0, 500)),)


def test_nothing_is_released_where_more_was_captured_than_authorized():
    """An overcapture leaves nothing over: what was refunded counts as it stands."""
    body = sample("charge.refunded--version_2020_partial_capture", amount_captured=20000, amount_refunded=500)
    assert one(body).facts == (Fact(name="refunded", says=(0, 500)),)


def test_a_refund_after_a_partial_capture_since_2025_is_whole():
    """Since 2025-03-31 amount_refunded only counts refunds."""
    body = sample("charge.refunded--version_2020_partial_capture", envelope={"api_version": "2025-03-31.basil"})
    assert one(body).facts == (Fact(name="refunded", says=(0, 3000)),)


def test_a_released_charge_that_was_never_captured_is_not_refunded():
    """`refunded` is true, but no money had moved."""
    statement = one(sample("charge.refunded--full", captured=False, amount_captured=None))
    assert (statement.facts, statement.block.amount_refunded) == ((), eur(0))


@pytest.mark.parametrize(
    ("name", "changes", "status"),
    [
        ("charge.succeeded--without_payment_intent", {}, PaymentStatus.SUCCEEDED),
        ("charge.succeeded--without_payment_intent", {"payment_intent": ...}, PaymentStatus.SUCCEEDED),
        ("charge.succeeded--without_payment_intent", {"amount_captured": 9900}, PaymentStatus.SUCCEEDED),
        ("charge.succeeded--uncaptured", {}, PaymentStatus.AUTHORIZED),
        ("charge.succeeded--uncaptured", {"refunded": True}, PaymentStatus.CANCELED),
        ("charge.succeeded--uncaptured", {"status": "pending"}, PaymentStatus.PROCESSING),
        ("charge.failed--without_payment_intent", {}, PaymentStatus.FAILED),
        ("charge.expired--without_payment_intent", {}, PaymentStatus.EXPIRED),
    ],
)
def test_a_charge_without_payment_intent_is_the_payment(name, changes, status):
    """The Charges API: the charge speaks for the status, and refunds may call it by its id."""
    statement = one(sample(name, **changes))
    assert (statement.block.id, statement.block.status, statement.speaker) == (LEGACY, status, None)
    assert statement.aliases == (LEGACY,)


def test_a_charge_that_stripe_blocked_is_fraud():
    """The outcome's reason counts before the code, which is the same for every decline."""
    failure = one(sample("charge.failed--without_payment_intent")).block.failure
    assert (failure.category, failure.code) == (FailureCategory.FRAUD, "card_declined")


# --- refunds


@pytest.mark.parametrize("event", ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"])
@pytest.mark.parametrize(("word", "status"), REFUND_STATUSES.items())
def test_a_refund_has_its_object_s_status(event, word, status):
    """Under the PaymentIntent, its charge being another name for it."""
    statement = one(sample(event, status=word))
    assert (statement.block.status, statement.block.provider_status) == (status, word)
    assert (statement.payment_id, statement.block.payment_id, statement.aliases) == (PI, PI, (CHARGE,))


def test_a_refund_says_all_it_knows():
    """Amount, reason, destination, metadata."""
    block = one(sample("refund.updated")).block
    assert (block.id, block.amount, block.reason) == (REFUND, eur(1500), "requested_by_customer")
    assert (block.destination, block.metadata) == ("original", {"ticket": "rma_0042"})
    assert block.created_at == at(CREATED + 86400)


def test_a_refund_to_the_customer_s_balance_goes_to_a_wallet():
    """customer_cash_balance stays with Stripe."""
    body = sample("refund.updated", destination_details={"type": "customer_cash_balance", "customer_cash_balance": {}})
    assert one(body).block.destination == "wallet"


@pytest.mark.parametrize("intent", [None, ...])
def test_a_refund_that_names_only_a_charge_is_linked_by_it(intent):
    """The charge may turn out to be a PaymentIntent's."""
    statement = one(sample("refund.created--of_a_charge", payment_intent=intent))
    assert (statement.payment_id, statement.payment_alias, statement.block.payment_id) == (None, LEGACY, None)


def test_a_refund_without_status_states_none():
    """The oldest refunds have none: it is not guessed."""
    assert one(sample("refund.updated", status=None)).block.status is None


def test_a_failed_refund_says_why():
    """failure_reason, as code and as category."""
    assert one(sample("refund.failed")).block.failure == Failure(
        category=FailureCategory.DECLINED, code="expired_or_canceled_card"
    )


def test_a_refund_may_fail_after_it_succeeded():
    """The table allows this move and no way back."""
    allows = STRIPE.transitions.allows
    assert allows(Entity.REFUND, RefundStatus.SUCCEEDED, RefundStatus.FAILED)
    assert not allows(Entity.REFUND, RefundStatus.FAILED, RefundStatus.SUCCEEDED)


# --- disputes


@pytest.mark.parametrize(("word", "status"), DISPUTE_STATUSES.items())
def test_a_dispute_has_its_object_s_status(word, status):
    """Under the PaymentIntent, its charge being another name for it."""
    statement = one(sample("charge.dispute.updated", status=word))
    assert (statement.block.status, statement.block.provider_status) == (status, word)
    assert (statement.payment_id, statement.aliases) == (PI, (CHARGE,))


@pytest.mark.parametrize(
    ("word", "stage"),
    [
        ("warning_needs_response", "inquiry"),
        ("warning_closed", "inquiry"),
        ("prevented", "inquiry"),
        ("needs_response", "chargeback"),
        ("lost", "chargeback"),
        ("appeal_under_review", "pre_arbitration"),
    ],
)
def test_the_status_tells_the_stage_of_a_dispute(word, stage):
    """Warnings are inquiries, appeals come after the first decision."""
    assert one(sample("charge.dispute.updated", status=word)).block.stage == stage


@pytest.mark.parametrize(
    ("reason", "category"), [("fraudulent", "fraud"), ("product_not_received", "consumer_dispute"), ("general", None)]
)
def test_the_reason_of_a_dispute(reason, category):
    """Stripe's word, and its category where it has one."""
    block = one(sample("charge.dispute.created", reason=reason)).block
    assert block.reason == DisputeReason(category=category, code=reason)


def test_a_dispute_says_until_when_to_answer():
    """due_by; 0 means that no response is possible."""
    assert one(sample("charge.dispute.created")).block.evidence_due_at == at(1773705599)
    assert one(sample("charge.dispute.created--inquiry")).block.evidence_due_at is None


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("charge.dispute.created", ()),
        ("charge.dispute.funds_withdrawn", (Fact(name="funds_withdrawn"),)),
        ("charge.dispute.funds_reinstated", (Fact(name="funds_reinstated"),)),
        ("charge.dispute.closed", ()),
    ],
)
def test_the_money_of_a_dispute_moves_by_the_event_s_name(name, facts):
    """The two facts are named, whatever the object says."""
    assert one(sample(name)).facts == facts


def test_a_dispute_that_names_only_a_charge_is_linked_by_it():
    """Old versions know no payment_intent there."""
    statement = one(sample("charge.dispute.created", payment_intent=None))
    assert (statement.payment_id, statement.payment_alias, statement.aliases) == (None, CHARGE, ())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (DisputeStatus.LOST, DisputeStatus.WON),
        (DisputeStatus.WON, DisputeStatus.LOST),
        (DisputeStatus.LOST, DisputeStatus.UNDER_REVIEW),
        (DisputeStatus.CANCELED, DisputeStatus.NEEDS_RESPONSE),
    ],
)
def test_disputes_leave_final_statuses(old, new):
    """Appeals, banks' corrections, and inquiries that become chargebacks after all."""
    assert STRIPE.transitions.allows(Entity.DISPUTE, old, new)


# --- payouts


@pytest.mark.parametrize(("word", "status"), PAYOUT_STATUSES.items())
def test_a_payout_has_its_object_s_status(word, status):
    """It belongs to no payment."""
    statement = one(sample("payout.updated", status=word))
    assert (statement.block.status, statement.payment_id, statement.payment_alias) == (status, None, None)


def test_a_payout_says_where_and_when_it_arrives():
    """And why it failed."""
    block = one(sample("payout.failed")).block
    assert (block.arrival_at, block.destination) == (at(1773187200), "ba_1SoA9kQm4Rw8LxHbMq5TwG7e")
    assert block.failure == Failure(
        category=FailureCategory.DECLINED, code="account_closed", message="The bank account has been closed."
    )


def test_a_payout_that_debits_the_bank_account_is_negative():
    """As Stripe says it."""
    assert one(sample("payout.created--debit")).block.amount == eur(-4200)


def test_a_reconciled_payout_is_still_paid():
    """The event tells of its list of transactions, the object of the same status."""
    assert one(sample("payout.reconciliation_completed")).block.status is PayoutStatus.PAID


# --- unknown words


@pytest.mark.parametrize(
    "name", ["payment_intent.created", "charge.succeeded", "refund.updated", "charge.dispute.created", "payout.paid"]
)
def test_an_unknown_status_is_quarantined(name):
    """Also a charge's that speaks for nothing: its word may mean that money moved."""
    found = outcome(sample(name, status="evaporated"))
    assert (found.reason, found.path) == ("unknown_status", "/data/object/status")


def test_status_tables_know_every_word_of_stripe_s_own_sdk():
    """The words that the SDK's types list."""
    assert words(stripe.PaymentIntent, "status") == set(INTENT_STATUSES)
    assert words(stripe.Charge, "status") == set(CHARGE_STATUSES)
    assert words(stripe.Dispute, "status") == set(DISPUTE_STATUSES)


# --- thin events


@pytest.mark.parametrize(
    ("name", "ref", "settles"),
    [
        ("v1.payment_intent.succeeded", ObjectRef(object="payment_intent", id=PI), {"succeeded"}),
        ("v1.payment_intent.created", ObjectRef(object="payment_intent", id=PI), set()),
        ("v1.charge.refunded", ObjectRef(object="charge", id=CHARGE), set()),
        ("v1.refund.updated", ObjectRef(object="refund", id=REFUND), set()),
        ("v1.charge.dispute.closed", ObjectRef(object="dispute", id=DISPUTE), {"won", "lost", "accepted", "canceled"}),
        ("v1.payout.paid", ObjectRef(object="payout", id="po_1T9QvxQm4Rw8LxHbTn5KyB2r"), {"paid", "failed"}),
    ],
)
def test_a_thin_event_names_the_object_to_ask_for(name, ref, settles):
    """Nothing of its body is stated; an event that promises an outcome says which statuses may be meant."""
    assert outcome(webhook("stripe", name).body) == Lookup(objects=(ref,), settles=frozenset(settles))


def test_the_head_of_a_thin_event():
    """Its time is text, its id the key."""
    head = STRIPE.head(None, parse_json(webhook("stripe", "v1.payment_intent.succeeded").body))
    assert (head.event_type, head.livemode) == ("v1.payment_intent.succeeded", False)
    assert head.occurred_at == datetime(2026, 3, 2, 10, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize("related", [None, {"id": PI}, {"type": "payment_intent"}, {"type": "review", "id": "prv_1"}])
def test_a_thin_event_that_names_nothing_known_is_quarantined(related):
    """Without an object there is nothing to ask for."""
    event = json.loads(webhook("stripe", "v1.payment_intent.succeeded").body) | {"related_object": related}
    assert outcome(json.dumps(event).encode()).reason == "shape"


# --- the API


def test_an_answer_is_as_new_as_the_event_that_asked():
    """Objects keep no time of their changes."""
    asked_at = at(CREATED + 99)
    (statement,) = answer("payment_intent", asked_at)
    assert (statement.at, statement.block.status) == (asked_at, PaymentStatus.SUCCEEDED)


def test_an_answer_that_no_event_asked_for_is_as_new_as_the_object_shows():
    """Its creation, its cancellation, its newest charge's creation, or when that one's money moved."""
    assert answer("payment_intent")[0].at == at(CREATED)
    assert answer("payment_intent", canceled_at=CREATED + 50, status="canceled")[0].at == at(CREATED + 50)
    assert answer("payment_intent--expanded")[0].at == at(CREATED + 9)
    entry = {"currency": "usd", "amount": 5, "status": "pending", "created": NOW, "fee": 1}
    assert answer("charge", balance_transaction=entry)[0].at == at(NOW)


def test_an_answer_with_everything_expanded_states_all_of_it():
    """The PaymentIntent the status, the charge its facts, fee and settlement, then the refund."""
    payment, charge, refund = answer("payment_intent--expanded")
    assert (payment.block.status, payment.speaker, payment.facts) == (PaymentStatus.SUCCEEDED, None, ())
    assert (payment.block.customer_id, payment.aliases) == ("cus_Tx4Lq9Zb2Vn7Ws", (CHARGE,))
    assert (charge.block.id, charge.block.status, charge.speaker) == (PI, None, CHARGE)
    assert charge.facts == (Fact(name="refunded", says=(0, 1500)), Fact(name="settled", says=(1,)))
    assert charge.block.fee == Money(436, "USD", 2)
    assert charge.block.settlement == Settlement(
        amount=Money(13984, "USD", 2), exchange_rate="1.08403", settled_at=at(CREATED + 3 * 86400)
    )
    assert (refund.block.id, refund.payment_id, refund.block.status) == (REFUND, PI, RefundStatus.SUCCEEDED)


def test_a_pending_settlement_is_not_settled():
    """Only an available balance transaction reached the balance."""
    entry = {"currency": "usd", "amount": 5, "status": "pending", "available_on": CREATED, "fee": 1}
    (statement,) = answer("charge", balance_transaction=entry)
    assert statement.block.settlement == Settlement(amount=Money(5, "USD", 2))
    assert [fact.name for fact in statement.facts] == ["refunded"]


def test_an_answer_about_an_old_charge_states_its_refunds_and_dispute():
    """Refunds oldest first, then the dispute, all by the charge's id."""
    payment, refund, dispute = answer("charge--without_payment_intent")
    assert (payment.block.id, payment.block.status) == (LEGACY, PaymentStatus.SUCCEEDED)
    assert (refund.payment_alias, refund.block.entity) == (LEGACY, Entity.REFUND)
    assert (dispute.payment_alias, dispute.block.status) == (LEGACY, DisputeStatus.NEEDS_RESPONSE)


def test_nested_refunds_are_stated_oldest_first():
    """Stripe lists the newest first."""
    newest = json.loads(sample("refund.failed"))["data"]["object"]
    oldest = json.loads(sample("refund.updated"))["data"]["object"]
    _, first, second = answer("charge", refunds={"object": "list", "data": [newest, oldest]})
    assert (first.block.id, second.block.id) == (oldest["id"], newest["id"])


@pytest.mark.parametrize(
    ("name", "status"),
    [("refund", RefundStatus.SUCCEEDED), ("dispute", DisputeStatus.LOST), ("payout", PayoutStatus.PAID)],
)
def test_an_answer_about_a_single_object_states_it(name, status):
    """Refund, dispute and payout have endpoints of their own."""
    (statement,) = answer(name, at(NOW))
    assert (statement.block.entity, statement.block.status, statement.at) == (
        name,
        status,
        at(max(NOW, statement.at.timestamp())),
    )


def test_an_answer_of_another_kind_is_refused():
    """What the API calls a charge is no PaymentIntent."""
    with pytest.raises(Untranslatable):
        answer("payment_intent", object="charge")


def test_an_answer_never_states_what_only_an_event_s_name_says():
    """A failed attempt is counted by its event."""
    error = {"type": "card_error", "code": "card_declined"}
    (statement,) = answer("payment_intent", status="requires_payment_method", last_payment_error=error)
    assert (statement.facts, statement.block.failure.code) == ((), "card_declined")


def test_a_list_is_translated_item_by_item():
    """Each PaymentIntent is a snapshot of its own."""
    (body,) = (each.body for each in answers("stripe") if each.name == "list")
    asked = Asked(ref=ObjectRef(object="list", id=""))
    found = Delivery(
        id="dlv_2", provider="stripe", account="acme", received_at=at(NOW), body=body, via=Via.RECONCILE, asked=asked
    )
    items = translate(ACCOUNT, confirmed(found))
    assert [item.outcome.statements[0].block.status for item in items] == ["succeeded", "canceled"]
    assert items[0].event_key.startswith(f"{PI}:")


def test_the_next_page_starts_after_the_last_payment():
    """Until has_more is false; an empty page that is not the last has no place to go on from."""
    following = STRIPE.api.payments.following
    page = {"data": [{"id": "pi_1"}, {"id": "pi_2"}], "has_more": True}
    assert following(parse_json(json.dumps(page).encode())) == {"starting_after": "pi_2"}
    assert following(parse_json(json.dumps(page | {"has_more": False}).encode())) is None
    assert following(parse_json(b'{"data": [], "has_more": false}')) is None
    with pytest.raises(Untranslatable, match="has_more is true"):
        following(parse_json(b'{"data": [], "has_more": true}'))


def test_requests_name_one_api_version_and_the_connected_account():
    """So that answers have the shape that this file reads."""
    plain = {"Authorization": "Bearer sk_test_1", "Stripe-Version": "2025-03-31.basil"}
    assert STRIPE.api.headers("sk_test_1", {}) == plain
    connected = STRIPE.api.headers("sk_test_1", {"connected_account": "acct_1"})
    assert connected == plain | {"Stripe-Account": "acct_1"}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("payment_intent", PI, "pi_1/../../v1/balance"),
        ("charge", "py_3T7MeFQm4Rw8LxHb2hRw9UcL", "pi_3T7MeFQm4Rw8LxHb2hRw9UcL"),
        ("refund", "pyr_1T7", "re_"),
        ("dispute", DISPUTE, "dispute"),
        ("payout", "po_1T9", "po-1T9"),
    ],
)
def test_only_ids_of_stripe_s_form_are_asked_for(kind, good, bad):
    """Anything else goes into no URL."""
    pattern = STRIPE.api.objects[kind].id_pattern
    assert pattern.fullmatch(good)
    assert not pattern.fullmatch(bad)


# --- stories


def test_the_samples_tell_one_story():
    """Created, paid, partly refunded, disputed and lost: one payment, as time goes by."""
    told = [
        one(sample(name))
        for name in (
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.succeeded",
            "charge.refunded",
            "refund.updated",
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.closed",
        )
    ]
    assert {each.payment_id or each.block.id for each in told} == {PI}
    assert sorted(told, key=lambda each: each.at) == told
    assert [each.block.status for each in told] == [
        "pending",
        None,
        "succeeded",
        None,
        "succeeded",
        "needs_response",
        "needs_response",
        "lost",
    ]


@pytest.mark.parametrize(
    "file", sorted(SHARED.glob("*.json")) or [None], ids=lambda file: file.stem if file else "absent"
)
def test_payloads_that_others_published_have_a_sane_outcome(file):
    """Whole events are translated or ignored; bare objects and invented shapes are quarantined, never half read."""
    if file is None:
        pytest.skip("the collected samples are beside the repository, and they are not here")
    (item,) = translate(ACCOUNT, prove(signed(file.read_bytes())))
    if file.name.startswith("djstripe-"):
        assert isinstance(item.outcome, Stated), item.outcome
        assert item.event_type in SNAPSHOTS
    elif isinstance(item.outcome, Quarantined):
        assert item.outcome.reason == "shape"
    else:
        assert isinstance(item.outcome, Ignored)


def test_events_that_others_invented_are_quarantined():
    """A PaymentIntent that is "failed", and a refund in place of a charge, do not exist at Stripe."""
    file = SHARED / "hyperswitch-prism-webhook_payload.json"
    if not file.exists():
        pytest.skip("the collected samples are beside the repository, and they are not here")
    cases = json.loads(file.read_text())
    bodies = {name: case["grpc_req"]["request_details"]["body"] for name, case in cases.items() if "grpc_req" in case}
    reasons = {name: getattr(outcome(json.dumps(body).encode()), "reason", None) for name, body in bodies.items()}
    assert reasons["payment_failed"] == "unknown_status"
    assert reasons["refund_succeeded"] == "shape"
