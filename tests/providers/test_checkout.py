"""Checkout.com, rule by rule. The shapes are of https://www.checkout.com/docs/developer-resources/event-notifications;
the payloads are the sandbox's own.
"""

import itertools
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
    Failure,
    FailureCategory,
    Method,
    Payment,
    PaymentStatus,
    Payout,
    PayoutStatus,
    Refund,
    RefundStatus,
)
from paymux.money import Money
from paymux.providers.checkout import CHECKOUT
from paymux.sandbox.samples import webhook
from paymux.signatures import trusted, verify
from paymux.statement import Fact, Ignored, Quarantined, Stated, Statement
from paymux.translate import translate

[WAY] = [way for way in WAYS if way.provider is CHECKOUT]
ACCOUNT = WAY.account(livemode=False)
PAYMENT = "pay_k7w2m4xq6tz3n5rj2vb7ch4dye"
PAYOUT = "pay_z3x5c7v2b4n6m3l5k7j2h4g6fd"
DISPUTE = "dsp_7c42f5a9b3e86d10f2c4"
PUBLISHED = Path(__file__).parents[2] / "../shared/samples/checkout"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def pounds(minor: int) -> Money:
    return Money(minor, "GBP", 2)


def sample(label: str, **changes: object) -> bytes:
    """A sample's body, its data changed; a value of `...` takes the key away."""
    name, _, variant = label.partition("--")
    event = json.loads(webhook("checkout", name, variant).body)
    event["data"].update(changes)
    for key in [key for key, value in changes.items() if value is ...]:
        del event["data"][key]
    return json.dumps(event).encode()


def item(body: bytes):
    [found] = translate(ACCOUNT, verify(WAY.delivery(body), ACCOUNT.checks))
    return found


def stated(body: bytes) -> tuple[Statement, ...]:
    outcome = item(body).outcome
    assert isinstance(outcome, Stated), outcome
    return outcome.statements


def one(body: bytes) -> Statement:
    [statement] = stated(body)
    return statement


# --- envelope


def test_the_head_says_what_the_envelope_says():
    """Key, type and time are the event's, cut to microseconds; the mode is the account's."""
    found = item(sample("payment_approved"))
    assert found.event_key == json.loads(webhook("checkout", "payment_approved").body)["id"]
    assert (found.event_type, found.livemode) == ("payment_approved", False)
    assert found.occurred_at == at("2026-03-02T09:15:03.321194+00:00")


def test_the_older_envelope():
    """It has `timestamp` in place of `created_on`."""
    assert item(sample("payment_refund_pending")).occurred_at == at("2026-03-09T11:43:02.292+00:00")


@pytest.mark.parametrize("word", ["approved", "attempted", "expired", "failed", "started"])
def test_an_authentication(word):
    """What comes of a 3D Secure session is told as a payment, so it is ignored."""
    body = sample("payment_approved").replace(b'"payment_approved"', f'"authentication_{word}"'.encode())
    assert item(body).outcome == Ignored()


@pytest.mark.parametrize("name", ["source_updated", "issuing_dispute_closed"])
def test_cards_of_customers_and_of_the_merchants_own(name):
    """No payment to this merchant is told by them: ignored, whatever they carry."""
    event = {"id": "evt_1", "type": name, "created_on": "2026-03-02T09:15:03Z", "event_data": {"status": "won"}}
    assert item(json.dumps(event).encode()).outcome == Ignored()


def test_what_is_no_json():
    """It has been sent: what is proven and unreadable is quarantined, and answered with a 2xx."""
    outcome = item(b'{"id": "evt_1", "type": "authentication_failed",\n\xef\xbf\xbd\n{"reason": "Declined"}\n}').outcome
    assert isinstance(outcome, Quarantined)
    assert outcome.reason == "shape"


# --- payments


def test_an_approved_payment():
    """It is authorized and not captured; everything that the event says has its place."""
    statement = one(sample("payment_approved"))
    assert statement == Statement(
        block=Payment(
            id=PAYMENT,
            status=PaymentStatus.AUTHORIZED,
            provider_status="payment_approved",
            amount=pounds(12000),
            amount_authorized=pounds(12000),
            amount_captured=pounds(0),
            amount_refunded=pounds(0),
            method=Method(type="card", brand="VISA", last4="4242"),
            customer_id="cus_b5d7f2h4j6l3n5p7r2t4v6x3zb",
            reference="ORD-2087",
            metadata={"order": "2087", "channel": "web"},
        ),
        at=at("2026-03-02T09:15:02.487734+00:00"),
        payment_id=PAYMENT,
    )


@pytest.mark.parametrize(
    ("label", "status", "amount", "captured"),
    [
        ("payment_authorization_incremented", PaymentStatus.AUTHORIZED, 15000, 0),
        ("payment_captured--partial", PaymentStatus.PARTIALLY_CAPTURED, 15000, 6000),
        ("payment_captured", PaymentStatus.SUCCEEDED, 15000, 15000),
        ("payment_voided", PaymentStatus.CANCELED, 5400, 0),
        ("payment_voided--partial", PaymentStatus.AUTHORIZED, 5400, 0),
        ("payment_voided--after_capture", PaymentStatus.SUCCEEDED, 5400, 4000),
    ],
)
def test_an_actions_amount_is_not_the_payments(label, status, amount, captured):
    """The balances say what the payment is about, what was captured in all, and whether more may be."""
    block = one(sample(label)).block
    assert (block.status, block.amount.minor, block.amount_captured.minor) == (status, amount, captured)


def test_a_void_of_the_rest_of_what_may_still_be_captured():
    """A part was captured, a part voided, and a part is open."""
    balances = {"total_authorized": 100, "total_voided": 10, "total_captured": 40, "available_to_capture": 50}
    assert one(sample("payment_voided", balances=balances)).block.status is PaymentStatus.PARTIALLY_CAPTURED


def test_a_capture_without_balances():
    """It is one by its action's id; how much was captured in all, and of what, is not guessed from its amount."""
    statement = one(sample("payment_captured--without_balances"))
    assert statement.block.status is PaymentStatus.SUCCEEDED
    assert (statement.block.amount, statement.block.amount_captured) == (None, None)
    assert statement.capture == ("act_npv735s37kmhkqpgmygaq5vepf", Money(4550, "EUR", 2))


def test_a_capture_without_balances_and_action():
    """It can't be told from another one, so that it is not added up; that it was captured is said all the same."""
    statement = one(sample("payment_captured--without_balances", action_id=...))
    assert (statement.block.status, statement.capture) == (PaymentStatus.SUCCEEDED, None)


def test_balances_speak_for_all_captures():
    """Then the event's own amount is no part to be added."""
    assert one(sample("payment_captured--partial")).capture is None


async def test_several_captures_without_balances():
    """The payment's state has their sum, each counted once however often it is told, and a refund of one is partial."""
    first = sample("payment_captured--without_balances")
    second = json.loads(first) | {"id": "evt_second"}
    second["data"] |= {"action_id": "act_second", "amount": 1000}
    again = json.loads(first) | {"id": "evt_again"}
    back = json.loads(
        sample("payment_refunded--without_balances", id=second["data"]["id"], amount=1000, currency="EUR")
    )
    bodies = [first, *(json.dumps(event).encode() for event in (second, again, back))]
    records = await published(ACCOUNT, (verify(WAY.delivery(body), ACCOUNT.checks) for body in bodies))
    states = [record["data"]["lifecycle"]["state"] for record in records]
    assert [state["captured"]["minor"] for state in states] == [4550, 5550, 5550, 5550]
    assert [state["refund_state"] for state in states] == ["none", "none", "none", "partial"]


@pytest.mark.parametrize(
    ("label", "status"),
    [
        ("payment_pending", PaymentStatus.PENDING),
        ("payment_capture_pending", PaymentStatus.PROCESSING),
        ("payment_canceled", PaymentStatus.CANCELED),
        ("payment_expired", PaymentStatus.EXPIRED),
        ("payment_declined", PaymentStatus.FAILED),
        ("payment_retry_scheduled", PaymentStatus.PENDING),
        ("payment_returned", PaymentStatus.FAILED),
    ],
)
def test_the_event_is_the_status(label, status):
    """No object has one."""
    block = one(sample(label)).block
    assert (block.status, block.provider_status) == (status, label)


@pytest.mark.parametrize(
    ("code", "category"),
    [
        ("20051", FailureCategory.DECLINED),
        ("30041", FailureCategory.DECLINED),
        ("40101", FailureCategory.FRAUD),
        ("20151", FailureCategory.AUTHENTICATION),
        ("99999", FailureCategory.UNKNOWN),
        (None, FailureCategory.UNKNOWN),
    ],
)
def test_the_class_of_a_response_code(code, category):
    """The first two digits tell, but for 3D Secure's codes."""
    failure = one(sample("payment_declined", response_code=code)).block.failure
    assert failure == Failure(category=category, code=code, message="Insufficient Funds")


def test_a_failed_authentication():
    """3D Secure was not gone through: the payment failed, and its response code says of what."""
    block = one(sample("payment_authentication_failed")).block
    assert (block.status, block.amount) == (PaymentStatus.FAILED, Money(4250, "EUR", 2))
    assert block.failure == Failure(
        category=FailureCategory.AUTHENTICATION,
        code="20152",
        message="Initial 3DS transaction not completed within 15 minutes",
    )


def test_an_event_without_an_id():
    """The digest of its body is the key: the same bytes are the same event, other bytes another."""
    event = json.loads(sample("payment_authentication_failed"))
    del event["id"]
    again, other = json.dumps(event).encode(), json.dumps(event | {"version": "1.2.5"}).encode()
    assert item(again).event_key == item(again).event_key
    assert len({item(again).event_key, item(other).event_key}) == 2
    assert one(again).block.status is PaymentStatus.FAILED


def test_a_declined_capture():
    """The payment stays as it was: one attempt failed."""
    statement = one(sample("payment_capture_declined"))
    assert statement.block.status is None
    assert statement.block.failure.code == "20068"
    assert statement.facts == (Fact(name="attempt_failed"),)


@pytest.mark.parametrize("label", ["payment_void_declined", "payment_authorization_increment_declined"])
def test_an_action_that_did_not_come_about(label):
    """Nothing changes, and nothing of the payment failed."""
    statement = one(sample(label))
    assert (statement.block.status, statement.block.failure, statement.facts) == (None, None, ())


@pytest.mark.parametrize(
    ("label", "status"),
    [("card_verified", PaymentStatus.SUCCEEDED), ("card_verification_declined", PaymentStatus.FAILED)],
)
def test_a_card_verification(label, status):
    """Nothing is charged: it is no revenue."""
    block = one(sample(label)).block
    assert (block.purpose, block.status, block.amount) == ("verification", status, pounds(0))


def test_a_currency_with_units_of_its_own():
    """Checkout.com counts CLP in hundredths, ISO 4217 does not; nor does it do so with Uruguay's indexed units."""
    assert one(sample("payment_captured--clp")).block.amount == Money(12500, "CLP", 0)
    for amount, currency, money in ((500, "UYI", Money(5, "UYI", 0)), (5, "UYW", Money(500, "UYW", 4))):
        assert one(sample("payment_declined", amount=amount, currency=currency)).block.amount == money
    outcome = item(sample("payment_declined", amount=101, currency="CLP")).outcome
    assert (outcome.reason, outcome.path) == ("inexact_amount", None)


def test_a_currency_that_the_pages_count_in_two_ways():
    """CLF is not guessed, neither as the event's own amount nor in the balances."""
    for label in ("payment_declined", "payment_captured"):
        outcome = item(sample(label, currency="CLF")).outcome
        assert (outcome.reason, outcome.path) == ("unknown_currency", "/data/currency")


def test_the_actions_own_time_orders():
    """Not that of the event; without one, the event's."""
    assert one(sample("payment_captured")).at == at("2026-03-03T08:30:00.117740+00:00")
    assert one(sample("payment_captured", processed_on=...)).at == at("2026-03-03T08:30:00.884211+00:00")


# --- refunds


def test_a_refund():
    """It has the id of its action; the payment says beside it how much was refunded in all."""
    said, refund = stated(sample("payment_refunded"))
    assert said.block.status is None
    assert said.block.amount_refunded == pounds(2500)
    assert said.facts == (Fact(name="refunded", says=(0, 2500)),)
    assert refund.payment_id == said.payment_id == PAYMENT
    assert isinstance(refund.block, Refund)
    assert refund.block.id.startswith("act_")
    assert (refund.block.status, refund.block.amount) == (RefundStatus.SUCCEEDED, pounds(2500))


def test_the_refund_of_the_rest():
    """All that was captured is back."""
    said, _ = stated(sample("payment_refunded--rest"))
    assert said.facts == (Fact(name="refunded", says=(1, 15000)),)


@pytest.mark.parametrize(
    ("label", "status"),
    [
        ("payment_refund_pending", RefundStatus.PENDING),
        ("payment_refund_declined", RefundStatus.FAILED),
        ("payment_refunded--without_balances", RefundStatus.SUCCEEDED),
    ],
)
def test_a_refund_alone(label, status):
    """Only a refund that came about, and whose event says the balances, speaks for the payment, too."""
    block = one(sample(label)).block
    assert isinstance(block, Refund)
    assert block.status is status
    assert (block.failure is not None) == (status is RefundStatus.FAILED)


def test_a_refund_keeps_its_action():
    """As our samples have it, from the beginning to the end."""
    assert one(sample("payment_refund_pending")).block.id == stated(sample("payment_refunded"))[1].block.id


# --- payouts


@pytest.mark.parametrize(
    ("label", "status"),
    [
        ("payment_pending--payout", PayoutStatus.PENDING),
        ("payment_approved--payout", PayoutStatus.IN_TRANSIT),
        ("payment_paid", PayoutStatus.PAID),
        ("payment_declined--payout", PayoutStatus.FAILED),
        ("payment_returned--payout", PayoutStatus.RETURNED),
    ],
)
def test_a_payout_is_no_payment(label, status):
    """Under a payment's id and by a payment's event: money that goes out."""
    block = one(sample(label)).block
    assert isinstance(block, Payout)
    assert (block.id, block.status, block.amount) == (PAYOUT, status, pounds(81300))
    assert block.destination == "src_f7h3j5l2n4p6r3t5v7x2z4b6df"


def test_a_payout_without_its_destination():
    """What comes from a currency account is one, too."""
    assert isinstance(one(sample("payment_returned--payout", destination=...)).block, Payout)


# --- disputes


def test_a_dispute():
    """With its payment, its reason and the time that is left."""
    assert one(sample("dispute_evidence_required")) == Statement(
        block=Dispute(
            id=DISPUTE,
            payment_id=PAYMENT,
            status=DisputeStatus.NEEDS_RESPONSE,
            provider_status="dispute_evidence_required",
            stage="chargeback",
            amount=pounds(15000),
            reason=DisputeReason(category="fraudulent", code="10.4"),
            evidence_due_at=at("2026-04-20T18:00:00+00:00"),
        ),
        at=at("2026-04-02T09:20:32.582+00:00"),
        payment_id=PAYMENT,
    )


@pytest.mark.parametrize(
    ("label", "status"),
    [
        ("dispute_received", DisputeStatus.NEEDS_RESPONSE),
        ("dispute_evidence_required", DisputeStatus.NEEDS_RESPONSE),
        ("dispute_evidence_submitted", DisputeStatus.UNDER_REVIEW),
        ("dispute_evidence_acknowledged_by_scheme", DisputeStatus.UNDER_REVIEW),
        ("dispute_arbitration_evidence_submitted", DisputeStatus.UNDER_REVIEW),
        ("dispute_arbitration_sent_to_scheme", DisputeStatus.UNDER_REVIEW),
        ("dispute_expired", DisputeStatus.EXPIRED),
        ("dispute_accepted", DisputeStatus.ACCEPTED),
        ("dispute_canceled", DisputeStatus.CANCELED),
        ("dispute_won", DisputeStatus.WON),
        ("dispute_arbitration_won", DisputeStatus.WON),
        ("dispute_lost", DisputeStatus.LOST),
        ("dispute_arbitration_lost", DisputeStatus.LOST),
    ],
)
def test_every_dispute_event_has_its_status(label, status):
    """And the stage that its name says."""
    block = one(sample(label)).block
    assert block.status is status
    assert block.stage == ("arbitration" if "arbitration" in label else "chargeback")


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("already_refunded", DisputeStatus.CANCELED),
        ("negative_amount", DisputeStatus.CANCELED),
        ("rapid_dispute_resolution", DisputeStatus.ACCEPTED),
        (None, DisputeStatus.CANCELED),
        (..., DisputeStatus.CANCELED),
    ],
)
def test_how_a_dispute_was_resolved(reason, status):
    """Only a rapid resolution gives the money back again; without a reason it was refunded before."""
    assert one(sample("dispute_resolved", resolved_reason=reason)).block.status is status


def test_a_dispute_of_the_previous_platform():
    """It says neither amount nor code; what it says of whom and what became of it counts."""
    assert one(sample("dispute_won--previous_platform")).block == Dispute(
        id="dsp_5b81d3f7c2e94a60b8d1",
        payment_id="pay_q2w4m6xk8r3z5t7nj4vb6ch2dy",
        status=DisputeStatus.WON,
        provider_status="dispute_won",
        stage="chargeback",
        reason=DisputeReason(category="canceled_recurring", code=None),
    )


def test_half_a_disputes_amount():
    """Without its currency it is quarantined."""
    outcome = item(sample("dispute_won", currency=...)).outcome
    assert (outcome.reason, outcome.path) == ("shape", "/data/currency")


def test_a_resolution_that_no_page_names():
    """Who has the money is not guessed."""
    outcome = item(sample("dispute_resolved", resolved_reason="coin_toss")).outcome
    assert (outcome.reason, outcome.path) == ("unknown_status", "/data/resolved_reason")


# --- what becomes of a payment


async def told(*labels: str) -> list[dict]:
    """What these deliveries publish, in this order."""
    return await published(ACCOUNT, (verify(WAY.delivery(sample(label)), ACCOUNT.checks) for label in labels))


CHAIN = ("payment_approved", "payment_authorization_incremented", "payment_captured--partial", "payment_captured")


async def test_a_payment_from_authorization_to_refund():
    """Each step is one event, numbered without a gap under one key."""
    events = await told(*CHAIN, "payment_refund_pending", "payment_refunded", "payment_refunded--rest")
    assert [event["type"] for event in events] == [
        "payment.authorized",
        "payment.updated",
        "payment.partially_captured",
        "payment.succeeded",
        "refund.pending",
        "payment.partially_refunded",
        "refund.succeeded",
        "payment.refunded",
        "refund.succeeded",
    ]
    assert [event["data"]["lifecycle"]["sequence"] for event in events] == list(range(1, 10))
    state = events[-1]["data"]["lifecycle"]["state"]
    assert (state["status"], state["captured"]["minor"], state["refunded"]["minor"]) == ("succeeded", 15000, 15000)
    assert state["refund_state"] == "full"


@pytest.mark.parametrize("order", list(itertools.permutations(CHAIN)))
async def test_any_order_of_arrival(order):
    """Nothing comes in order: the state in the end is the same."""
    state = (await told(*order))[-1]["data"]["lifecycle"]["state"]
    assert (state["status"], state["amount"]["minor"], state["captured"]["minor"]) == ("succeeded", 15000, 15000)


async def test_a_decline_and_its_retry():
    """The payment is open again, as the provider's moves allow."""
    events = await told("payment_declined", "payment_retry_scheduled")
    assert moves(events) == [
        ("payment.failed", "first"),
        ("payment.pending", "retried"),
    ]


async def test_an_arbitration_after_a_dispute_was_won():
    """It is reopened and lost: moves that the provider makes."""
    events = await told("dispute_evidence_required", "dispute_won", "dispute_arbitration_lost")
    assert moves(events) == [
        ("dispute.needs_response", "first"),
        ("dispute.won", "advanced"),
        ("dispute.lost", "reversed"),
    ]
    assert [event["data"]["lifecycle"]["state"]["disputed"] for event in events] == [True, False, True]


async def test_an_arbitration_after_a_dispute_was_lost():
    """The merchant may go on, too, and win."""
    events = await told("dispute_lost", "dispute_arbitration_sent_to_scheme", "dispute_arbitration_won")
    assert moves(events) == [
        ("dispute.lost", "first"),
        ("dispute.under_review", "reversed"),
        ("dispute.won", "advanced"),
    ]


def test_a_failure_after_success():
    """ACH takes a payment back."""
    assert CHECKOUT.transitions.allows("payment", "succeeded", "failed")
    assert not CHECKOUT.transitions.allows("payment", "canceled", "succeeded")


# --- what others published

EXPECTED = {
    "authentication_failed-malformed-issue408.txt": "quarantined shape",
    "dispute_arbitration_won.json": "dispute.won dsp_9rjdlsd4epepfjyyf9vl 20020 USD pay_cnhuomagalglgozxy5zm",
    "dispute_canceled.json": "dispute.canceled dsp_9rjdlsd4epepfjyyf9vl 20020 USD pay_cnhuomagalglgozxy5zm",
    "dispute_resolved.json": "dispute.canceled dsp_9rjdlsd4epepfjyyf9vl 20020 USD pay_cnhuomagalglgozxy5zm",
    "payment_approved.json": ("payment.authorized pay_m3ncbzghvosu7b2j77hqln4agu 2 GBP pay_m3ncbzghvosu7b2j77hqln4agu"),
    "payment_captured.json": (
        "payment.succeeded pay_waji5li3mqtetnaor77xmow4bq 10000 EUR pay_waji5li3mqtetnaor77xmow4bq"
    ),
    "payment_refund_pending.json": (
        "refund.pending act_wn4emh2jhu5efoz5ghl3bui4zq 100 EUR pay_wafpfwejyitetb5aolywmqbxny"
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_published_payload(name):
    """It becomes what the documentation means by it."""
    if not PUBLISHED.is_dir():
        pytest.skip("the published payloads are not beside the repository")
    [found] = translate(ACCOUNT, trusted(WAY.sent((PUBLISHED / name).read_bytes(), ())))
    assert shown(found.outcome) == EXPECTED[name]


def test_every_published_payload_is_expected():
    """None is left out."""
    if not PUBLISHED.is_dir():
        pytest.skip("the published payloads are not beside the repository")
    assert {file.name for file in PUBLISHED.iterdir()} == set(EXPECTED)


def shown(outcome) -> str:
    if isinstance(outcome, Quarantined):
        return f"quarantined {outcome.reason}"
    [statement] = outcome.statements
    block = statement.block
    return (
        f"{block.entity}.{block.status} {block.id} {block.amount.minor} {block.amount.currency} {statement.payment_id}"
    )
