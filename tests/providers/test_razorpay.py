"""Razorpay, rule by rule. The shapes are of https://razorpay.com/docs/webhooks/; the payloads are the sandbox's own."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bodies import Bodies
from published import moves, published
from signers import WAYS

from paymux.canonical import (
    DisputeReason,
    DisputeStatus,
    Failure,
    FailureCategory,
    Method,
    PaymentStatus,
    PayoutStatus,
    RefundStatus,
)
from paymux.lifecycle import offline
from paymux.money import Money
from paymux.providers.razorpay import FAILURES, RAZORPAY
from paymux.sandbox.samples import webhook
from paymux.signatures import verify
from paymux.statement import Fact, Ignored, Stated

[WAY] = [way for way in WAYS if way.provider is RAZORPAY]
ACCOUNT = WAY.account(livemode=True)
BODIES = Bodies(way=WAY, account=ACCOUNT)
prove, item, one, refused = BODIES.prove, BODIES.item, BODIES.one, BODIES.refused
PAYMENT = "pay_Q4nV8kXw1Tz6Mb"
PUBLISHED = Path(__file__).parents[2] / "../shared/samples/razorpay"
T = 1767952800  # when the story of the samples begins


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(T + seconds, UTC)


def rupees(paise: int) -> Money:
    return Money(paise, "INR", 2)


def sample(label: str, envelope: dict | None = None, **changes: object) -> bytes:
    """A sample's body; `changes` are of the object that its first word names, `...` takes a key away."""
    name, _, variant = label.partition("--")
    body = json.loads(webhook("razorpay", name, variant).body)
    kind = next(kind for kind in ("dispute", "refund", "settlement", "payout", "payment") if kind in body["payload"])
    found = body["payload"][kind]["entity"]
    found.update(changes)
    for key in [key for key, value in changes.items() if value is ...]:
        del found[key]
    return json.dumps(body | (envelope or {})).encode()


# --- envelope


def test_the_key_is_made_of_what_is_signed():
    """Event, time and the ids of everything in it; the header with Razorpay's own id is not signed and not read."""
    found = item(sample("order.paid"))
    assert found.event_key == f"order.paid:{T + 5}:order_Q4nUy3Hc9Rd2Lp,{PAYMENT}"
    assert found.occurred_at == at(5)
    assert found.livemode is True  # the account's: the body has none


@pytest.mark.parametrize("event_id", [b"", b"another", b"order.paid"])
async def test_another_event_id_in_the_header_is_still_the_same_event(event_id):
    """Whoever changes the unsigned header of a delivery that is genuine makes no second event of it."""
    sent = WAY.delivery(sample("payment.captured"))
    headers = tuple((k, event_id if k == b"X-Razorpay-Event-Id" else v) for k, v in sent.headers)
    assert headers != sent.headers
    again = verify(replace(sent, headers=headers), ACCOUNT.checks)
    assert moves(await published(ACCOUNT, [verify(sent, ACCOUNT.checks), again])) == [("payment.succeeded", "first")]


async def test_an_attempt_of_the_same_order_is_another_event():
    """Two partial payments of one invoice within a second differ in the payment's id."""
    first = sample("invoice.partially_paid")
    second = sample("invoice.partially_paid", id="pay_Q4tYd8Xk2Lm6Rv", amount=100000)
    assert item(first).event_key != item(second).event_key
    records = await published(ACCOUNT, map(prove, (first, second)))
    assert moves(records) == [("payment.succeeded", "first")] * 2


@pytest.mark.parametrize("changes", [{"status": "captured"}, {"amount_refunded": 100}, {"fee": 1, "tax": 1}])
def test_a_retry_that_shows_a_later_object_is_no_conflict(changes):
    """It is sent as it is then."""
    before, later = item(sample("payment.authorized")), item(sample("payment.authorized", **changes))
    assert (before.event_key, before.fingerprint) == (later.event_key, later.fingerprint)


@pytest.mark.parametrize("changes", [{"amount": 1}, {"currency": "USD"}])
def test_a_retry_over_another_amount_is_a_conflict(changes):
    """Identity, amount and currency have to agree."""
    before, later = item(sample("payment.authorized")), item(sample("payment.authorized", **changes))
    assert before.event_key == later.event_key
    assert before.fingerprint != later.fingerprint


def test_a_payload_with_something_that_is_no_object_beside_the_objects():
    """Razorpay's page has refund.speed_changed with its time inside `payload`: what is there is read."""
    body = json.loads(sample("refund.speed_changed"))
    body["payload"]["created_at"] = body.pop("created_at")
    found = item(json.dumps(body).encode())
    assert isinstance(found.outcome, Stated)
    assert found.event_key == f"refund.speed_changed:None:{PAYMENT},rfnd_Q5cPd8Rf4Kx5Wb"
    assert found.outcome.statements[0].at == at(86400)


@pytest.mark.parametrize("name", sorted(RAZORPAY.ignored))
def test_ignored_whatever_it_carries(name):
    """Also a downtime, whose envelope has no time."""
    body = json.dumps({"entity": "event", "event": name, "payload": {"x": {"entity": {"id": "down_1"}}}}).encode()
    assert item(body).outcome == Ignored()


def test_events_that_nobody_documents():
    """They are kept, and nobody guesses what they mean."""
    body = json.loads(sample("payment.captured")) | {"event": "payment.teleported"}
    assert refused(json.dumps(body).encode())[0] == "unknown_event_type"


# --- payments


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("created", PaymentStatus.PENDING),
        ("authorized", PaymentStatus.AUTHORIZED),
        ("captured", PaymentStatus.SUCCEEDED),
        ("refunded", PaymentStatus.SUCCEEDED),
        ("failed", PaymentStatus.FAILED),
    ],
)
def test_a_payments_status_is_the_objects(word, status):
    """Not the event's name: payment.authorized of a payment that is captured says captured."""
    found = one(sample("payment.authorized", status=word)).block
    assert (found.status, found.provider_status) == (status, word)


def test_a_captured_payment_says_all_it_knows():
    """Amounts, fee, method, customer, notes."""
    found = one(sample("payment.captured--card"))
    assert found.block.id == found.payment_id == "pay_Q4pFg6Bm2Xc9Wd"
    assert found.block.amount == found.block.amount_captured == rupees(1599900)
    assert found.block.amount_refunded == rupees(0)
    assert found.block.fee == rupees(37758)
    assert found.block.method == Method(type="card", brand="Visa", last4="1881")
    assert found.block.customer_id == "cust_Nq7Lm2Vx5Kb8Tr"
    assert found.block.metadata == {"basket": "B-20417"}
    assert (found.at, found.facts) == (at(5), ())


@pytest.mark.parametrize(("amount", "purpose"), [(0, "verification"), (100, "payment")])
def test_a_payment_of_nothing(amount, purpose):
    """An e-mandate is authorized by one of 0, which is no revenue."""
    assert one(sample("payment.captured", amount=amount)).block.purpose == purpose


def test_what_an_order_adds():
    """The receipt is the merchant's reference; order.paid says nothing else that payment.captured doesn't."""
    assert one(sample("order.paid")).block.reference == "B-20417"
    assert one(sample("invoice.paid")).block.invoice_id == "inv_Q4tWz6Nk2Mv8Hd"
    assert one(sample("subscription.charged")).block.subscription_id == "sub_Q4xVn7Wk4Rt2Bd"


def test_a_flag_that_is_a_text_is_not_read():
    """subscription.charged has `captured: "1"`: the status says it."""
    assert one(sample("subscription.charged")).block.amount_captured == rupees(49900)
    assert one(sample("payment.authorized", captured=True)).block.amount_captured is None


def test_the_time_of_a_link_is_not_the_payments():
    """payment_link.paid is published with the link's creation as its time; the payment was not there yet."""
    found = one(sample("payment_link.paid"))
    assert found.at == at(1) == found.block.created_at


@pytest.mark.parametrize(
    ("changes", "money"),
    [
        ({"amount": 295990, "currency": "KWD"}, Money(295990, "KWD", 3)),
        ({"amount": 295, "currency": "JPY"}, Money(295, "JPY", 0)),
        ({"amount": 1, "currency": "INR"}, Money(1, "INR", 2)),
    ],
)
def test_minor_units_are_isos(changes, money):
    """Three decimals of a dinar, none of a yen. https://razorpay.com/docs/api/payments/entity/"""
    assert one(sample("payment.captured", **changes)).block.amount == money


@pytest.mark.parametrize(
    ("changes", "fee"),
    [
        ({}, Money(13341, "INR", 2)),
        ({"base_currency": ...}, None),
        ({"base_currency": ..., "international": False}, Money(13341, "USD", 2)),
        ({"fee": None}, None),
    ],
)
def test_the_fee_is_in_the_base_currency(changes, fee):
    """A dollar payment's fee is in rupees; where an international payment has no base currency, nobody knows."""
    assert one(sample("payment.captured--foreign-currency", **changes)).block.fee == fee


@pytest.mark.parametrize(("notes", "metadata"), [([], {}), ({}, {}), (None, None), ({"a": "b"}, {"a": "b"})])
def test_notes_are_a_list_where_there_are_none(notes, metadata):
    """PHP's empty array."""
    assert one(sample("payment.captured", notes=notes)).block.metadata == metadata


def test_notes_that_are_a_list_of_something():
    """That is no shape that Razorpay has."""
    assert refused(sample("payment.captured", notes=["x"])) == ("shape", "/payload/payment/entity/notes")


def test_a_payment_that_says_it_was_refunded():
    """A fact beside the status, with the cumulative amount."""
    [partly] = one(sample("payment.captured", amount_refunded=100)).facts
    [fully] = one(sample("payment.captured", amount_refunded=249900, status="refunded")).facts
    assert partly == Fact(name="refunded", says=(0, 100))
    assert fully == Fact(name="refunded", says=(1, 249900))


def test_why_it_failed():
    """By `error_reason`; its words stay."""
    found = one(sample("payment.failed")).block
    assert found.failure == Failure(
        category=FailureCategory.DECLINED,
        code="BAD_REQUEST_ERROR",
        decline_code="insufficient_funds",
        message="Payment was unsuccessful as the account does not have sufficient funds.",
    )


@pytest.mark.parametrize(("reason", "category"), [*FAILURES.items(), ("payment_failed", "unknown"), (None, "unknown")])
def test_the_category_of_a_failure(reason, category):
    """Most reasons say no more than that it failed: those stay unknown."""
    found = one(sample("payment.failed", error_reason=reason)).block
    assert found.failure is not None
    assert found.failure.category == category


# --- refunds, disputes


@pytest.mark.parametrize(
    ("label", "status"),
    [
        ("refund.created", RefundStatus.PENDING),
        ("refund.created--processed-at-once", RefundStatus.SUCCEEDED),
        ("refund.processed", RefundStatus.SUCCEEDED),
        ("refund.failed", RefundStatus.FAILED),
        ("refund.speed_changed", RefundStatus.SUCCEEDED),
    ],
)
def test_a_refund_speaks_for_itself_alone(label, status):
    """The payment beside it says nothing: its amount_refunded is the same when the refund has failed."""
    found = one(sample(label))
    assert (found.block.entity, found.block.status) == ("refund", status)
    assert found.payment_id == found.block.payment_id == PAYMENT
    assert found.block.amount == rupees(99900)


@pytest.mark.parametrize(
    ("label", "status", "stage"),
    [
        ("created", DisputeStatus.NEEDS_RESPONSE, "chargeback"),
        ("created--retrieval", DisputeStatus.NEEDS_RESPONSE, "inquiry"),
        ("under_review", DisputeStatus.UNDER_REVIEW, "chargeback"),
        ("action_required", DisputeStatus.NEEDS_RESPONSE, "chargeback"),
        ("won", DisputeStatus.WON, "chargeback"),
        ("lost", DisputeStatus.LOST, "chargeback"),
        ("closed", DisputeStatus.CANCELED, "inquiry"),
    ],
)
def test_a_dispute(label, status, stage):
    """Status and phase are the dispute's own."""
    found = one(sample(f"payment.dispute.{label}"))
    assert (found.block.status, found.block.stage) == (status, stage)
    assert found.payment_id == "pay_Q4pFg6Bm2Xc9Wd"
    assert found.block.amount == rupees(1599900)


def test_a_dispute_says_why_and_until_when():
    """The reason is the card network's, in Razorpay's words."""
    found = one(sample("payment.dispute.created")).block
    assert found.reason == DisputeReason(code="goods_or_services_not_received_or_partially_received")
    assert found.evidence_due_at == at(1209600)


def test_the_money_of_a_dispute_goes_where_amount_deducted_says():
    """Only when it is lost."""
    assert one(sample("payment.dispute.lost")).facts == (Fact(name="funds_withdrawn", says=(1599900,)),)
    assert one(sample("payment.dispute.won")).facts == ()


def test_a_phase_that_nobody_knows():
    """It is not read as one of the others."""
    path = "/payload/dispute/entity/phase"
    assert refused(sample("payment.dispute.created", phase="second_chargeback")) == ("unknown_status", path)


# --- money that goes to the merchant, or out


def test_a_settlement_names_no_currency():
    """So its amount is no Money; the number is not lost."""
    found = one(sample("settlement.processed"))
    assert (found.block.status, found.block.amount, found.payment_id) == (PayoutStatus.PAID, None, None)
    assert found.block.metadata == {"amount": 2451204, "fees": 0, "tax": 0, "utr": "AXISCN1041772583"}


@pytest.mark.parametrize(
    ("label", "status", "code"),
    [
        ("pending", PayoutStatus.PENDING, None),
        ("queued", PayoutStatus.PENDING, None),
        ("initiated", PayoutStatus.IN_TRANSIT, None),
        ("processed", PayoutStatus.PAID, None),
        ("updated", PayoutStatus.PAID, None),
        ("rejected", PayoutStatus.CANCELED, "payout_rejected"),
        ("reversed", PayoutStatus.RETURNED, "beneficiary_bank_offline"),
        ("failed", PayoutStatus.FAILED, "gateway_technical_error"),
    ],
)
def test_a_payout_by_razorpayx(label, status, code):
    """What was not paid says why."""
    found = one(sample(f"payout.{label}")).block
    assert (found.status, found.amount, found.destination) == (status, rupees(1250000), "fa_Ng5Xw9Lb3Rq7Kt")
    assert (found.failure.code if found.failure else None) == code


# --- stories


async def told(*labels: str) -> list[tuple[str, str | None]]:
    return moves(await published(ACCOUNT, [prove(sample(label)) for label in labels]))


async def test_a_payments_life():
    """What is announced twice (order.paid) is said once; a refund counts when it is processed."""
    deliveries = [
        prove(sample(label))
        for label in ("payment.authorized", "payment.captured", "order.paid", "refund.created", "refund.processed")
    ]
    records = await published(ACCOUNT, deliveries)
    assert moves(records) == [
        ("payment.authorized", "first"),
        ("payment.succeeded", "advanced"),
        ("payment.updated", "repeated"),
        ("refund.pending", "first"),
        ("refund.succeeded", "advanced"),
    ]
    states = [record["data"]["lifecycle"]["state"] for record in records]
    assert [state["refund_state"] for state in states] == ["none", "none", "none", "none", "partial"]
    assert states[-1]["refunded"]["minor"] == 99900
    assert {record["data"]["payment_id"] for record in records} == {PAYMENT}
    assert [record["data"]["lifecycle"]["sequence"] for record in records] == [1, 2, 3, 4, 5]


async def test_authorized_after_captured():
    """Out of order: the older one changes no status."""
    assert await told("payment.captured", "payment.authorized") == [
        ("payment.succeeded", "first"),
        ("payment.updated", "stale"),
    ]


async def test_a_payment_that_failed_is_authorized_late():
    """Razorpay asks the bank for days; that is a way out of `failed`."""
    failed = sample("payment.failed", id=PAYMENT)
    late = sample("payment.captured", {"created_at": T + 7200})
    assert moves(await published(ACCOUNT, map(prove, (failed, late)))) == [
        ("payment.failed", "first"),
        ("payment.succeeded", "retried"),
    ]


async def test_a_normal_refund_fails_after_it_was_processed():
    """It is `processed` from the beginning; the money that came back no longer counts."""
    records = await published(ACCOUNT, map(prove, (sample("payment.captured"), *map(sample, REFUND_THAT_FAILS))))
    assert moves(records)[1:] == [("refund.succeeded", "first"), ("refund.failed", "reversed")]
    assert [record["data"]["lifecycle"]["state"]["refund_state"] for record in records] == ["none", "partial", "none"]


REFUND_THAT_FAILS = ("refund.created--processed-at-once", "refund.failed")


async def test_a_disputes_life():
    """Asked for more, then lost: the money goes once."""
    labels = ("created", "under_review", "action_required", "lost")
    assert await told(*(f"payment.dispute.{label}" for label in labels)) == [
        ("dispute.needs_response", "first"),
        ("dispute.under_review", "advanced"),
        ("dispute.needs_response", "advanced"),
        ("dispute.lost", "advanced"),
        ("dispute.funds_withdrawn", "advanced"),
    ]


async def test_a_payouts_life():
    """Paid is not the end: the bank may send it back."""
    labels = ("pending", "queued", "initiated", "processed", "updated", "reversed")
    assert await told(*(f"payout.{label}" for label in labels)) == [
        ("payout.pending", "first"),
        ("payout.updated", "repeated"),
        ("payout.in_transit", "advanced"),
        ("payout.paid", "advanced"),
        ("payout.updated", "repeated"),
        ("payout.returned", "advanced"),
    ]


# --- what Razorpay publishes

EXPECTED = {
    "invoice.paid": ("payment.succeeded", 479030),
    "invoice.partially_paid": ("payment.succeeded", 10000),
    "order.paid": ("payment.succeeded", 100),
    "payment.authorized": ("payment.authorized", 100),
    "payment.captured": ("payment.succeeded", 100),
    "payment.dispute.action_required": ("dispute.needs_response", 390000),
    "payment.dispute.lost": ("dispute.lost", 39000),
    "payment.dispute.under_review": ("dispute.under_review", 130000),
    "payment.dispute.won": ("dispute.won", 130000),
    "payment.failed": ("payment.failed", 10000),
    "payment_link.paid": ("payment.succeeded", 1000),
    "qr_code.credited": ("payment.succeeded", 200),
    "refund.created": ("refund.succeeded", 50000),
    "refund.failed": ("refund.failed", 50000),
    "refund.processed": ("refund.succeeded", 50000),
    "refund.speed_changed": ("refund.succeeded", 200),
    "settlement.processed": ("payout.paid", None),
    "virtual_account.credited": ("payment.succeeded", 61900),
}


@pytest.mark.parametrize(
    "file", sorted(PUBLISHED.glob("*.json")) or [None], ids=lambda file: file.stem if file else "absent"
)
def test_payloads_that_razorpay_publishes(file):
    """Each gives the event that its name promises, over the amount that it holds, or is ignored by decision."""
    if file is None:
        pytest.skip("the collected samples are beside the repository, and they are not here")
    found = item(file.read_bytes())
    if found.event_type in RAZORPAY.ignored:
        assert found.outcome == Ignored()
        return
    assert isinstance(found.outcome, Stated), found.outcome
    [statement] = found.outcome.statements
    event, minor = EXPECTED[found.event_type or ""]
    assert offline(statement)[0][1] == event
    assert statement.block.amount == (None if minor is None else rupees(minor))
    assert event.startswith("payout.") or str(statement.payment_id).startswith("pay_")
