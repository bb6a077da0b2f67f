"""PayPal, rule by rule. The shapes are of https://developer.paypal.com/api/rest/ and its published webhook samples; the
payloads are the sandbox's own.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from published import moves, published
from signers import WAYS

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
from paymux.delivery import Asked, ObjectRef
from paymux.errors import SettingsError
from paymux.money import Money
from paymux.provider import Account
from paymux.providers.paypal import API, ELSEWHERE, KINDS, PAYPAL
from paymux.sandbox.samples import answers, webhook, webhooks
from paymux.signatures import trusted, verify
from paymux.statement import Fact, Ignored, Lookup, Quarantined, Stated, Statement
from paymux.translate import translate
from paymux.wild import parse_json

[WAY] = [way for way in WAYS if way.provider is PAYPAL]
ACCOUNT = WAY.account()
CAPTURE, SALE, AUTHORIZATION, ORDER = "5KJ84213TR790624W", "4SA92571KE308846Y", "7PL31096GB452083N", "8WX60471HD935214M"
PUBLISHED = Path(__file__).parents[2] / "../shared/samples/paypal"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def euros(minor: int) -> Money:
    return Money(minor, "EUR", 2)


def item_of(body: bytes, account: Account = ACCOUNT):
    [item] = translate(account, verify(WAY.delivery(body), ACCOUNT.checks))
    return item


def one(body: bytes) -> Statement:
    found = item_of(body).outcome
    assert isinstance(found, Stated), found
    [statement] = found.statements
    return statement


def sample(label: str, envelope: dict | None = None, **changes: object) -> bytes:
    """A sample's body, its resource changed; a value of `...` takes the key away."""
    name, _, variant = label.partition("--")
    event = json.loads(webhook("paypal", name, variant).body) | (envelope or {})
    event["resource"].update(changes)
    for key in [key for key, value in changes.items() if value is ...]:
        del event["resource"][key]
    return json.dumps(event).encode()


def answer(name: str, **changes: object) -> Statement:
    """What the API's answer states."""
    [body] = [each.body for each in answers("paypal") if (each.name, each.variant) == (name, "")]
    found = parse_json(json.dumps(json.loads(body) | changes).encode()).child(*API.objects[name].unwrap)
    [statement] = API.objects[name].state(found, Asked(ref=ObjectRef(object=name, id="x")))
    return statement


# --- envelope


def test_the_head_says_what_the_envelope_says():
    """Key, type and time are the event's; the mode is that of the host in its own link."""
    item = item_of(sample("PAYMENT.CAPTURE.COMPLETED"))
    assert item.event_key == json.loads(sample("PAYMENT.CAPTURE.COMPLETED"))["id"]
    assert item.event_type == "PAYMENT.CAPTURE.COMPLETED"
    assert item.occurred_at == at("2026-03-02T09:20:49.318+00:00")
    assert item.livemode is False


@pytest.mark.parametrize(
    ("href", "livemode"),
    [
        ("https://api.paypal.com/v1/notifications/webhooks-events/WH-1", True),
        ("https://api-m.paypal.com/v1/notifications/webhooks-events/WH-1", True),
        ("https://api-m.sandbox.paypal.com/v1/notifications/webhooks-events/WH-1", False),
        ("https://api.paypal.com.evil.example/v1", None),
        ("api.sandbox.paypal.com/v1", None),
    ],
)
def test_the_mode_is_the_hosts(href, livemode):
    """A host that is not PayPal's says nothing, and the account's mode counts."""
    body = sample("PAYMENT.CAPTURE.COMPLETED", {"links": [{"rel": "self", "href": href}]})
    assert item_of(body).livemode is livemode


@pytest.mark.parametrize("links", [[], [{"rel": "resend", "href": "https://api.paypal.com/v1/x"}], [{}]])
def test_no_link_says_no_mode(links):
    """Only the event's own link does."""
    assert item_of(sample("PAYMENT.CAPTURE.COMPLETED", {"links": links})).livemode is None


def test_a_time_that_is_none_in_an_event_that_is_ignored():
    """Published examples of plans are of month 19: they are ignored as the others of their kind."""
    item = item_of(sample("BILLING.SUBSCRIPTION.ACTIVATED", {"create_time": "2018-19-12T22:20:32.000Z"}))
    assert (item.outcome, item.occurred_at) == (Ignored(), None)


# --- payments


def test_a_capture():
    """Every field that PayPal gives and the model has a word for."""
    statement = one(sample("PAYMENT.CAPTURE.COMPLETED"))
    assert statement.at == at("2026-03-02T09:20:44+00:00")
    assert (statement.payment_id, statement.facts, statement.refund_state) == (CAPTURE, (), None)
    assert statement.block == Payment(
        id=CAPTURE,
        status=PaymentStatus.SUCCEEDED,
        provider_status="COMPLETED",
        amount=euros(12990),
        amount_captured=euros(12990),
        fee=euros(489),
        reference="INV-2026-0342",
        created_at=at("2026-03-02T09:20:44+00:00"),
        updated_at=at("2026-03-02T09:20:44+00:00"),
        metadata={"custom_id": "cart-7741", "order_id": ORDER},
    )


def test_a_currency_without_decimals():
    """PayPal's HUF has none, ISO's two: the amount is the same; what was converted is the settlement."""
    block = one(sample("PAYMENT.CAPTURE.COMPLETED--forint")).block
    assert (block.amount, block.fee) == (Money(500000, "HUF", 2), Money(26500, "HUF", 2))
    assert block.settlement == Settlement(amount=euros(1184), exchange_rate="0.00250052798310")


@pytest.mark.parametrize(
    ("value", "currency", "money"),
    [
        ("1000", "JPY", Money(1000, "JPY", 0)),
        ("1000", "TWD", Money(100000, "TWD", 2)),
        ("1000", "HUF", Money(100000, "HUF", 2)),
        ("822.0160", "CZK", None),
        ("822.0100", "CZK", Money(82201, "CZK", 2)),
        ("0.1", "USD", Money(10, "USD", 2)),
        ("10.5", "JPY", None),
        ("9007199254740993.01", "USD", Money(900719925474099301, "USD", 2)),
    ],
)
def test_decimal_strings_are_exact(value, currency, money):
    """A fourth decimal must be zero; no float is between the digits and the minor units."""
    found = item_of(sample("PAYMENT.CAPTURE.COMPLETED", amount={"value": value, "currency_code": currency})).outcome
    if money is None:
        assert (found.reason, found.path) == ("inexact_amount", None)
    else:
        assert found.statements[0].block.amount == money


def test_a_capture_in_the_older_form():
    """v1: `state`, and an amount of `total` and `currency`."""
    block = one(sample("PAYMENT.CAPTURE.COMPLETED--v1")).block
    assert (block.status, block.provider_status, block.amount) == (PaymentStatus.SUCCEEDED, "completed", euros(4800))
    assert (block.fee, block.metadata) == (euros(174), {"parent_payment": "PAYID-NA5XK3Q8RT42617CV930851B"})


@pytest.mark.parametrize("label", ["PAYMENT.CAPTURE.DENIED", "PAYMENT.CAPTURE.DECLINED", "PAYMENT.SALE.DENIED"])
def test_a_payment_that_failed(label):
    """Declined and denied are the same."""
    block = one(sample(label)).block
    assert block.status is PaymentStatus.FAILED
    assert block.amount_captured is None
    assert block.failure.category is FailureCategory.DECLINED


def test_why_a_capture_failed():
    """The bank's code, and PayPal's reason."""
    assert one(sample("PAYMENT.CAPTURE.DECLINED")).block.failure == Failure(
        category=FailureCategory.DECLINED, decline_code="5120"
    )
    assert one(sample("PAYMENT.CAPTURE.DENIED")).block.failure == Failure(
        category=FailureCategory.DECLINED, code="PENDING_REVIEW"
    )


@pytest.mark.parametrize(
    ("word", "reason", "category"),
    [
        ("DECLINED", "OTHER", FailureCategory.DECLINED),
        ("DECLINED", "DECLINED_BY_RISK_FRAUD_FILTERS", FailureCategory.FRAUD),
        ("FAILED", "OTHER", FailureCategory.TECHNICAL),
    ],
)
def test_what_kind_of_failure(word, reason, category):
    """DECLINED is somebody's answer, FAILED an error of PayPal's; the reason may say more."""
    failure = one(sample("PAYMENT.CAPTURE.DENIED", status=word, status_details={"reason": reason})).block.failure
    assert (failure.category, failure.code) == (category, reason)


def test_an_authorization_that_was_denied():
    """It says why, as a capture does."""
    body = sample("PAYMENT.AUTHORIZATION.CREATED", status="DENIED", status_details={"reason": "PENDING_REVIEW"})
    block = one(body).block
    assert block.status is PaymentStatus.FAILED
    assert block.failure == Failure(category=FailureCategory.DECLINED, code="PENDING_REVIEW")


@pytest.mark.parametrize(
    ("word", "share", "facts"),
    [
        ("PARTIALLY_REFUNDED", "partial", (Fact(name="refunded", says=(0, 0)),)),
        ("REFUNDED", "full", (Fact(name="refunded", says=(1, 0)),)),
    ],
)
def test_a_refunded_status(word, share, facts):
    """It says how much, not how many."""
    for statement in (one(sample("PAYMENT.CAPTURE.COMPLETED", status=word)), answer("capture", status=word)):
        assert (statement.block.status, statement.refund_state) == (PaymentStatus.SUCCEEDED, share)
        assert statement.facts == facts
    older = one(sample("PAYMENT.SALE.COMPLETED", state=word.lower()))
    assert (older.refund_state, older.facts) == (share, facts)


def test_a_sale_of_a_subscription():
    """The older object, of which subscriptions are still paid."""
    block = one(sample("PAYMENT.SALE.COMPLETED")).block
    assert (block.id, block.subscription_id, block.reference) == (SALE, "I-7RTX2KD0VLQ4", "SUB-0007-03")
    assert (block.amount, block.fee, block.metadata) == (euros(1900), euros(91), {"custom": "member-118"})


def test_an_authorization():
    """A payment of its own until it is captured: authorized, or canceled; then its captures tell."""
    statement = one(sample("PAYMENT.AUTHORIZATION.CREATED"))
    assert (statement.payment_id, statement.block.status) == (AUTHORIZATION, PaymentStatus.AUTHORIZED)
    assert (statement.block.amount, statement.block.amount_authorized) == (euros(12990), euros(12990))
    assert one(sample("PAYMENT.AUTHORIZATION.VOIDED")).block.status is PaymentStatus.CANCELED
    assert one(sample("PAYMENT.AUTHORIZATION.CREATED--v1")).block.status is PaymentStatus.AUTHORIZED
    for word in ("CAPTURED", "PARTIALLY_CAPTURED"):
        assert answer("authorization", status=word).block.status is None
        assert answer("authorization_v1", state=word.lower()).block.status is None
    assert answer("authorization_v1").block.status is PaymentStatus.EXPIRED


def test_an_order():
    """Approved by the buyer is not paid; completed, its captures tell, so that no money is counted twice."""
    block = one(sample("CHECKOUT.ORDER.APPROVED")).block
    assert block == Payment(
        id=ORDER,
        status=PaymentStatus.PENDING,
        provider_status="APPROVED",
        amount=euros(12990),
        method=Method(type="wallet", wallet="paypal"),
        customer_id="QB7XK2NTRV4LS",
        reference="INV-2026-0342",
        description="Two desk lamps",
        created_at=at("2026-03-02T09:17:26+00:00"),
        metadata={"intent": "CAPTURE"},
    )
    completed = one(sample("CHECKOUT.ORDER.COMPLETED")).block
    assert (completed.id, completed.status, completed.provider_status) == (ORDER, None, "COMPLETED")


def test_an_order_of_several_units():
    """Its amount is that of all; in two currencies, or where one does not say it, it has none."""
    units = json.loads(sample("CHECKOUT.ORDER.APPROVED"))["resource"]["purchase_units"]
    second = units[0] | {"amount": {"currency_code": "EUR", "value": "0.10"}}
    assert one(sample("CHECKOUT.ORDER.APPROVED", purchase_units=[*units, second])).block.amount == euros(13000)
    missing = {key: value for key, value in second.items() if key != "amount"}
    assert one(sample("CHECKOUT.ORDER.APPROVED", purchase_units=[*units, missing])).block.amount is None
    second["amount"] = {"currency_code": "USD", "value": "0.10"}
    assert one(sample("CHECKOUT.ORDER.APPROVED", purchase_units=[*units, second])).block.amount is None


@pytest.mark.parametrize(
    ("source", "method"),
    [
        ({"card": {"brand": "VISA", "last_digits": "4242"}}, Method(type="card", brand="VISA", last4="4242")),
        ({"venmo": {}}, Method(type="wallet", wallet="venmo")),
        ({"ideal": {"country_code": "NL"}}, Method(type="ideal")),
        ({}, None),
    ],
)
def test_how_an_order_is_paid(source, method):
    """The one key of `payment_source` says it."""
    assert one(sample("CHECKOUT.ORDER.APPROVED", payment_source=source)).block.method == method


def test_an_approval_that_was_reversed():
    """Not captured in time: the order is canceled, by the event's name, since the order says nothing of it."""
    statement = one(sample("CHECKOUT.PAYMENT-APPROVAL.REVERSED"))
    assert statement.at == at("2026-03-02T12:21:02.660+00:00")
    assert (statement.payment_id, statement.block.status, statement.block.provider_status) == (
        ORDER,
        PaymentStatus.CANCELED,
        None,
    )


# --- refunds


def test_a_refund():
    """The capture that it is of stands in its link; its time has an offset."""
    statement = one(sample("PAYMENT.CAPTURE.REFUNDED"))
    assert statement.block == Refund(
        id="2RF58630VC147902K",
        payment_id=CAPTURE,
        status=RefundStatus.SUCCEEDED,
        provider_status="COMPLETED",
        amount=euros(3000),
        reason="One lamp arrived broken",
        created_at=at("2026-03-05T16:41:06+00:00"),
        updated_at=at("2026-03-05T16:41:09+00:00"),
        metadata={},
    )


@pytest.mark.parametrize(
    ("links", "payment"),
    [
        ([{"rel": "up", "href": "https://api.paypal.com/v2/payments/captures/1AB"}], "1AB"),
        ([{"rel": "sale", "href": "https://api.paypal.com/v1/payments/sale/2CD"}], "2CD"),
        ([{"rel": "capture", "href": "https://api.paypal.com/v1/payments/capture/3EF"}], "3EF"),
        ([{"rel": "self", "href": "https://api.paypal.com/v2/payments/captures/1AB"}], None),
        ([{"rel": "up", "href": "https://api.paypal.com/v2/checkout/orders/1AB"}], None),
        ([{"rel": "up", "href": "https://api.paypal.com/v2/payments/captures/1AB/refund"}], None),
        ([], None),
    ],
)
def test_what_a_refund_is_of(links, payment):
    """Where no link says it, nobody guesses."""
    assert one(sample("PAYMENT.CAPTURE.REFUNDED", links=links)).payment_id == payment


def test_a_refund_of_a_sale():
    """Its amount is below zero, and `sale_id` names the payment; a reversed sale does not say of what."""
    refunded = one(sample("PAYMENT.SALE.REFUNDED"))
    assert (refunded.payment_id, refunded.block.amount) == (SALE, euros(400))
    turned = one(sample("PAYMENT.SALE.REVERSED"))
    assert (turned.payment_id, turned.block.amount, turned.block.status) == (None, euros(1900), RefundStatus.SUCCEEDED)


# --- disputes


def test_a_dispute():
    """An inquiry at first, about the seller's transaction, which is the capture."""
    assert one(sample("CUSTOMER.DISPUTE.CREATED")).block == Dispute(
        id="PP-R-KQX-10483627",
        payment_id=CAPTURE,
        status=DisputeStatus.INQUIRY,
        provider_status="OPEN",
        stage="inquiry",
        amount=euros(12990),
        reason=DisputeReason(category="consumer_dispute", code="MERCHANDISE_OR_SERVICE_NOT_RECEIVED"),
        evidence_due_at=at("2026-04-01T07:31:04+00:00"),
        created_at=at("2026-03-12T07:31:04+00:00"),
        updated_at=at("2026-03-12T07:31:04+00:00"),
    )


@pytest.mark.parametrize(
    ("status", "stage", "expected"),
    [
        ("OPEN", "INQUIRY", "inquiry"),
        ("OPEN", "CHARGEBACK", "needs_response"),
        ("WAITING_FOR_SELLER_RESPONSE", "INQUIRY", "needs_response"),
        ("WAITING_FOR_BUYER_RESPONSE", "CHARGEBACK", "under_review"),
        ("UNDER_REVIEW", "PRE_ARBITRATION", "under_review"),
    ],
)
def test_who_has_to_act(status, stage, expected):
    """By status and stage."""
    block = one(sample("CUSTOMER.DISPUTE.UPDATED", status=status, dispute_life_cycle_stage=stage)).block
    assert (block.status, block.stage) == (expected, stage.lower())


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("RESOLVED_BUYER_FAVOUR", "lost"),
        ("RESOLVED_SELLER_FAVOUR", "won"),
        ("RESOLVED_WITH_PAYOUT", "won"),
        ("CANCELED_BY_BUYER", "canceled"),
        ("ACCEPTED", "accepted"),
        ("DENIED", "won"),
        ("NONE", "canceled"),
    ],
)
def test_how_a_dispute_ended(code, expected):
    """The outcome stands in an object of its own."""
    assert one(sample("CUSTOMER.DISPUTE.RESOLVED", dispute_outcome={"outcome_code": code})).block.status == expected


@pytest.mark.parametrize(
    ("changes", "reason", "path"),
    [
        ({"status": "OTHER"}, "unknown_status", "/resource/status"),
        ({"dispute_outcome": {"outcome_code": "MAYBE"}}, "unknown_status", "/resource/dispute_outcome/outcome_code"),
        ({"dispute_outcome": ...}, "shape", "/resource/dispute_outcome"),
    ],
)
def test_a_dispute_that_nobody_understands(changes, reason, path):
    """It is quarantined with the place."""
    outcome = item_of(sample("CUSTOMER.DISPUTE.RESOLVED", **changes)).outcome
    assert isinstance(outcome, Quarantined)
    assert (outcome.reason, outcome.path) == (reason, path)


@pytest.mark.parametrize(
    ("told", "due"),
    [
        ("2026-03-22T07:31:04.000Z", at("2026-03-22T07:31:04+00:00")),
        ("2026-03-22T09:31:04.000+02:00", at("2026-03-22T07:31:04+00:00")),
        ("2026-03-22T07:31:04.000", None),
        (None, None),
    ],
)
def test_until_when_a_dispute_is_to_be_answered(told, due):
    """The simulator's payloads have a time without an offset, which says no moment: the dispute is told without it."""
    block = one(sample("CUSTOMER.DISPUTE.CREATED", seller_response_due_date=told)).block
    assert block.evidence_due_at == due


@pytest.mark.parametrize("word", ["UNAUTHORISED", "UNAUTHORIZED"])
def test_a_reason_that_is_written_in_two_ways(word):
    """PayPal's page has the one, the simulator the other."""
    reason = one(sample("CUSTOMER.DISPUTE.CREATED", reason=word)).block.reason
    assert reason == DisputeReason(category="fraud", code=word)


def test_a_dispute_in_the_simulators_older_form():
    """Its status is a number that no page explains, so nobody guesses what it means."""
    body = sample("RISK.DISPUTE.CREATED", status=..., dispute_status=1000, dispute_reason=2)
    found = item_of(body).outcome
    assert (found.reason, found.path) == ("unknown_status", "/resource/dispute_status")


def test_a_dispute_about_several_transactions():
    """It belongs to none of them; several rows about one transaction are one."""
    [first] = json.loads(sample("CUSTOMER.DISPUTE.CREATED"))["resource"]["disputed_transactions"]
    other = first | {"seller_transaction_id": "0ZZ"}
    assert one(sample("CUSTOMER.DISPUTE.CREATED", disputed_transactions=[first, other])).payment_id is None
    assert one(sample("CUSTOMER.DISPUTE.CREATED", disputed_transactions=[first, first])).payment_id == CAPTURE
    assert one(sample("CUSTOMER.DISPUTE.CREATED", disputed_transactions=[])).payment_id is None


# --- payouts


def test_a_payout_item():
    """Its batch is named beside it; the receiver, who is a person, is not."""
    block = one(sample("PAYMENT.PAYOUTS-ITEM.SUCCEEDED")).block
    assert block == Payout(
        id="9HY4KZ28NQ5TW",
        status=PayoutStatus.PAID,
        provider_status="SUCCESS",
        amount=euros(41250),
        fee=euros(35),
        updated_at=at("2026-03-03T06:00:41+00:00"),
        metadata={
            "payout_batch_id": "7FZ3KXQ92MDTE",
            "sender_batch_id": "artists-2026-02",
            "transaction_id": "5TX83917BL604250R",
        },
    )
    assert one(sample("PAYMENT.PAYOUTS-ITEM.FAILED")).block.failure.code == "RECEIVER_UNREGISTERED"


def test_a_payout_batch():
    """It stands in a header, in the webhook and in the API's answer."""
    block = one(sample("PAYMENT.PAYOUTSBATCH.SUCCESS")).block
    assert (block.id, block.status, block.amount, block.fee) == (
        "7FZ3KXQ92MDTE",
        PayoutStatus.PAID,
        euros(123750),
        euros(105),
    )
    assert answer("payout_batch").block == block


@pytest.mark.parametrize(
    ("label", "key", "statuses"),
    [
        (
            "PAYMENT.CAPTURE.COMPLETED",
            "status",
            {
                "COMPLETED": "succeeded",
                "PARTIALLY_REFUNDED": "succeeded",
                "REFUNDED": "succeeded",
                "PENDING": "pending",
                "DECLINED": "failed",
                "FAILED": "failed",
            },
        ),
        (
            "PAYMENT.AUTHORIZATION.CREATED",
            "status",
            {"CREATED": "authorized", "PENDING": "pending", "DENIED": "failed", "VOIDED": "canceled", "CAPTURED": None},
        ),
        (
            "CHECKOUT.ORDER.APPROVED",
            "status",
            {
                "CREATED": "pending",
                "SAVED": "pending",
                "APPROVED": "pending",
                "PAYER_ACTION_REQUIRED": "requires_action",
                "VOIDED": "canceled",
                "COMPLETED": None,
            },
        ),
        (
            "PAYMENT.CAPTURE.REFUNDED",
            "status",
            {"PENDING": "pending", "COMPLETED": "succeeded", "FAILED": "failed", "CANCELLED": "canceled"},
        ),
        (
            "PAYMENT.SALE.REFUNDED",
            "state",
            {"pending": "pending", "completed": "succeeded", "failed": "failed", "cancelled": "canceled"},
        ),
        (
            "PAYMENT.PAYOUTS-ITEM.SUCCEEDED",
            "transaction_status",
            {
                "PENDING": "pending",
                "ONHOLD": "pending",
                "UNCLAIMED": "in_transit",
                "SUCCESS": "paid",
                "FAILED": "failed",
                "BLOCKED": "failed",
                "DENIED": "failed",
                "RETURNED": "returned",
                "REFUNDED": "returned",
                "REVERSED": "returned",
                "CANCELED": "canceled",
            },
        ),
    ],
    ids=["capture", "authorization", "order", "refund", "older refund", "payout item"],
)
def test_every_status(label, key, statuses):
    """Each word that PayPal's specification has."""
    for word, status in statuses.items():
        block = one(sample(label, **{key: word})).block
        assert (block.status, block.provider_status) == (status, word)


# --- over time


async def told(*labels: str) -> list[tuple[str, str | None]]:
    return moves(await published(ACCOUNT, (verify(WAY.delivery(sample(label)), ACCOUNT.checks) for label in labels)))


async def test_a_captures_life():
    """One key, one order, whatever comes twice."""
    assert await told(
        "PAYMENT.CAPTURE.PENDING",
        "PAYMENT.CAPTURE.COMPLETED",
        "PAYMENT.CAPTURE.COMPLETED",
        "PAYMENT.REFUND.PENDING",
        "PAYMENT.CAPTURE.REFUNDED",
        "CUSTOMER.DISPUTE.CREATED",
        "CUSTOMER.DISPUTE.UPDATED",
        "CUSTOMER.DISPUTE.UPDATED--under-review",
        "CUSTOMER.DISPUTE.RESOLVED--lost",
    ) == [
        ("payment.pending", "first"),
        ("payment.succeeded", "advanced"),
        ("refund.pending", "first"),
        ("refund.succeeded", "advanced"),
        ("dispute.inquiry", "first"),
        ("dispute.needs_response", "advanced"),
        ("dispute.under_review", "advanced"),
        ("dispute.lost", "advanced"),
    ]


@pytest.mark.parametrize(
    ("label", "status"),
    [("COMPLETED", "succeeded"), ("CANCELLED", "canceled"), ("DENIED", "failed"), ("FAILED", "failed")],
)
async def test_how_a_pending_refund_ends(label, status):
    """It is one refund of one capture, whatever its events are called."""
    moved = await told("PAYMENT.REFUND.PENDING", f"PAYMENT.REFUND.{label}")
    assert moved == [("refund.pending", "first"), (f"refund.{status}", "advanced")]


async def test_an_order_that_is_saved_and_voided():
    """It has no capture: the order alone tells of it."""
    moved = await told("CHECKOUT.ORDER.SAVED", "CHECKOUT.ORDER.VOIDED")
    assert moved == [("payment.pending", "first"), ("payment.canceled", "advanced")]


async def test_what_was_refunded_is_the_refunds():
    """The payment's state adds them up."""
    records = await published(
        ACCOUNT,
        (
            verify(WAY.delivery(sample(label)), ACCOUNT.checks)
            for label in ("PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED")
        ),
    )
    states = [record["data"]["lifecycle"]["state"] for record in records]
    assert [state["refunded"] and state["refunded"]["minor"] for state in states] == [None, 3000, 15990]
    assert [state["refund_state"] for state in states] == ["none", "partial", "full"]


def test_an_appeal_leads_out_of_a_decision():
    """Won and lost are not the last word."""
    allows = PAYPAL.transitions.allows
    assert allows(Entity.DISPUTE, DisputeStatus.WON, DisputeStatus.LOST)
    assert allows(Entity.DISPUTE, DisputeStatus.LOST, DisputeStatus.WON)
    assert not allows(Entity.DISPUTE, DisputeStatus.CANCELED, DisputeStatus.LOST)


# --- confirm = "api"


CONFIRMED = Account(provider=PAYPAL, name="acme", checks=ACCOUNT.checks, options={"confirm": "api"})


@pytest.mark.parametrize("found", webhooks("paypal"), ids=lambda found: found.label)
def test_a_body_that_is_not_believed_names_its_object(found):
    """Every event asks for the object that it is about, under an id of PayPal's form, and says nothing else."""
    outcome = item_of(found.body, CONFIRMED).outcome
    if found.name in ELSEWHERE:
        assert isinstance(outcome, Ignored)
        return
    [ref] = outcome.objects
    assert isinstance(outcome, Lookup)
    assert API.objects[ref.object].id_pattern.fullmatch(ref.id)
    [statement] = item_of(found.body).outcome.statements
    assert ref.id == statement.block.id


def test_the_older_forms_are_asked_for_where_they_are():
    """v1 and v2 have places of their own."""
    kinds = {label: item_of(sample(label), CONFIRMED).outcome.objects[0].object for label in (
        "PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.COMPLETED--v1", "PAYMENT.SALE.REFUNDED", "PAYMENT.CAPTURE.REFUNDED"
    )}  # fmt: skip
    assert list(kinds.values()) == ["capture", "capture_v1", "refund_v1", "refund"]


def test_what_the_body_says_counts_for_nothing():
    """Another amount or status in it leaves what is asked for as it is."""
    plain = item_of(sample("PAYMENT.CAPTURE.COMPLETED"), CONFIRMED).outcome
    assert item_of(sample("PAYMENT.CAPTURE.COMPLETED", status="?", amount={}), CONFIRMED).outcome == plain


# --- options


def test_an_authority_or_a_place_that_is_none():
    """It is found when the account is made."""
    with pytest.raises(ValueError, match="PEM"):
        PAYPAL.scheme({"webhook_id": "x", "ca_pem": "-----BEGIN JUNK-----"})
    with pytest.raises(SettingsError):
        PAYPAL.scheme({"cert_url": "http://certs.example/"})


# --- what is published


EXPECTED = {
    "openapi-PAYMENT.AUTHORIZATION.CREATED": ("2DC87612EK520411B", "authorized", Money(747, "USD", 2)),
    "sandbox-CHECKOUT.ORDER.APPROVED": ("4K5112848U951142F", "pending", Money(1000, "USD", 2)),
    "sandbox-PAYMENT.CAPTURE.COMPLETED": ("5VK462069F664902F", "succeeded", Money(1000, "USD", 2)),
    "simulator-PAYMENT.CAPTURE.COMPLETED": ("27M47624FP291604U", "succeeded", Money(251, "USD", 2)),
    "simulator-PAYMENT.CAPTURE.REFUNDED": ("0JF852973C016714D", "succeeded", Money(99, "USD", 2)),
}
# Made up by others, without an event id or type: quarantined, with the place.
NOT_PAYPALS = {
    "hyperswitch-cypress-paypal_refund_webhook": "/id",
    "hyperswitch-prism-webhook_payload": "/event_type",
}


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published samples are not beside the repository")
@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.json")), ids=lambda path: path.stem)
def test_a_published_example(path):
    """The payment, its status and the amount are what one reads in it; a plan is ignored."""
    [item] = translate(ACCOUNT, trusted(WAY.sent(path.read_bytes(), ())))
    if path.stem in NOT_PAYPALS:
        assert (item.outcome.reason, item.outcome.path) == ("shape", NOT_PAYPALS[path.stem])
    elif path.stem in EXPECTED:
        [statement] = item.outcome.statements
        said = (statement.payment_id, statement.block.status, statement.block.amount)
        assert said == EXPECTED[path.stem]
    else:
        assert item.outcome == Ignored()


# Payments, payouts, checkout and disputes, of https://developer.paypal.com/api/rest/webhooks/event-names/ and of the
# list that PayPal's API gives: https://developer.paypal.com/docs/api/webhooks/v1/#webhooks-event-types_list
DOCUMENTED = {
    "PAYMENT.AUTHORIZATION": "CREATED VOIDED",
    "PAYMENT.CAPTURE": "DECLINED COMPLETED PENDING REFUNDED REVERSED DENIED",
    "PAYMENT.REFUND": "PENDING COMPLETED CANCELLED DENIED FAILED",
    "PAYMENT.PAYOUTSBATCH": "DENIED PROCESSING SUCCESS",
    "PAYMENT.PAYOUTS-ITEM": "BLOCKED CANCELED DENIED FAILED HELD REFUNDED RETURNED SUCCEEDED UNCLAIMED",
    "CHECKOUT.ORDER": "SAVED APPROVED COMPLETED PROCESSED VOIDED",
    "CHECKOUT.PAYMENT-APPROVAL": "REVERSED",
    "CUSTOMER.DISPUTE": "CREATED RESOLVED UPDATED",
    "RISK.DISPUTE": "CREATED",
    "PAYMENT.SALE": "COMPLETED DENIED PENDING REFUNDED REVERSED",
}


def test_every_documented_event_about_money_is_translated():
    """And everything else that is documented is ignored."""
    assert set(KINDS) == {f"{family}.{name}" for family, names in DOCUMENTED.items() for name in names.split()}
    assert {"BILLING.SUBSCRIPTION.PAYMENT.FAILED", "INVOICING.INVOICE.PAID", "VAULT.PAYMENT-TOKEN.CREATED"} <= ELSEWHERE
