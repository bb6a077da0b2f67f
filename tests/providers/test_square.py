"""Square, rule by rule. The shapes are of https://developer.squareup.com/reference/square/webhooks; the payloads are the
sandbox's own.
"""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import square
from published import moves, published
from signers import WAYS

from paymux.canonical import (
    Breakdown,
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
from paymux.providers.square import ELSEWHERE, SOURCES, SQUARE
from paymux.sandbox.samples import webhook
from paymux.signatures import trusted, verify
from paymux.statement import Fact, Ignored, Quarantined, Stated, Statement
from paymux.translate import translate

[WAY] = [way for way in WAYS if way.provider is SQUARE]
ACCOUNT = WAY.account(livemode=True)
PAYMENT = "hR4kWv8PzJq2LmNc6TbYx0GdFs3ZY"
PUBLISHED = Path(__file__).parents[2] / "../shared/samples/square"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def euros(minor: int) -> Money:
    return Money(minor, "EUR", 2)


def outcome(body: bytes):
    [item] = translate(ACCOUNT, verify(WAY.delivery(body), ACCOUNT.checks))
    return item.outcome


def one(body: bytes) -> Statement:
    found = outcome(body)
    assert isinstance(found, Stated), found
    [statement] = found.statements
    return statement


def sample(label: str, **changes: object) -> bytes:
    """A sample's body, its object changed; a value of `...` takes the key away."""
    name, _, variant = label.partition("--")
    event = json.loads(webhook("square", name, variant).body)
    [found] = event["data"]["object"].values()
    found.update(changes)
    for key in [key for key, value in changes.items() if value is ...]:
        del found[key]
    return json.dumps(event).encode()


# --- envelope


def test_the_head_says_what_the_envelope_says():
    """Key, type and time are the event's, to the microsecond of Square's nanoseconds; the mode is the account's."""
    [item] = translate(ACCOUNT, verify(WAY.delivery(sample("payment.updated")), ACCOUNT.checks))
    assert item.event_key == "b84d2e17-0c59-4f36-8e2a-71d3f6a0c945"
    assert item.event_type == "payment.updated"
    assert item.occurred_at == at("2026-03-02T09:20:41.523874+00:00")
    assert item.livemode is True


@pytest.mark.parametrize("created", ["2026-03-04T10:08:40.454726", "2026-03-04T10:08:40"])
def test_a_time_without_an_offset(created):
    """As in a published example: it does not say when, so only the object's own time counts."""
    event = json.loads(sample("dispute.state.updated")) | {"created_at": created}
    [item] = translate(ACCOUNT, verify(WAY.delivery(json.dumps(event).encode()), ACCOUNT.checks))
    assert item.occurred_at is None
    [statement] = item.outcome.statements
    assert statement.at == at(event["data"]["object"]["dispute"]["updated_at"])


def test_a_time_that_is_none():
    """Quarantined, in any form that Square does not show."""
    event = json.loads(sample("dispute.state.updated")) | {"created_at": "yesterday"}
    found = outcome(json.dumps(event).encode())
    assert (found.reason, found.path) == ("shape", "/created_at")


# --- payments


def test_a_completed_payment():
    """Every field that Square gives and the model has a word for; the tip is part of the amount."""
    statement = one(sample("payment.updated"))
    assert statement.at == at("2026-03-02T09:20:41.010+00:00")
    assert (statement.payment_id, statement.facts) == (PAYMENT, ())
    assert statement.block == Payment(
        id=PAYMENT,
        status=PaymentStatus.SUCCEEDED,
        provider_status="COMPLETED",
        amount=euros(5000),
        amount_authorized=euros(5000),
        amount_captured=euros(5000),
        fee=euros(95),
        breakdown=Breakdown(subtotal=euros(4650), tip=euros(350)),
        method=Method(type="card", brand="VISA", last4="4242"),
        customer_id="VDKXEEKPJN48QDG3BGGFAK05P8",
        reference="table-12-0302",
        description="Lunch for two",
        created_at=at("2026-03-02T09:14:03.219+00:00"),
        updated_at=at("2026-03-02T09:20:41.010+00:00"),
        paid_at=at("2026-03-02T09:20:41.007+00:00"),
        metadata={
            "location_id": "L8HT3V5NC0PKM",
            "order_id": "nZ3vJ8bKq5Xw1TcRm7LpHs0DyYVZY",
            "receipt_number": "hR4k",
        },
    )


def test_a_failed_payment():
    """The first error says why, in the details of whatever it was paid with."""
    block = one(sample("payment.updated--failed")).block
    assert block.status is PaymentStatus.FAILED
    assert block.failure == Failure(
        category=FailureCategory.DECLINED,
        code="INSUFFICIENT_FUNDS",
        message="Authorization error: 'INSUFFICIENT_FUNDS'",
    )
    debit = {"errors": [{"code": "CARD_DECLINED_VERIFICATION_REQUIRED"}, {"code": "GENERIC_DECLINE"}]}
    changed = sample("payment.updated--failed", source_type="BANK_ACCOUNT", bank_account_details=debit)
    assert one(changed).block.failure == Failure(
        category=FailureCategory.AUTHENTICATION, code="CARD_DECLINED_VERIFICATION_REQUIRED"
    )
    bare = sample("payment.updated--failed", card_details=...)
    assert one(bare).block.failure == Failure(category=FailureCategory.UNKNOWN)


@pytest.mark.parametrize("label", ["payment.created", "payment.updated--failed"])
def test_what_was_not_captured(label):
    """Only a completed payment says that its money was taken."""
    assert one(sample(label)).block.amount_captured is None


def test_errors_of_a_payment_that_did_not_fail():
    """Only the status says that it failed."""
    assert one(sample("payment.created", card_details={"errors": [{"code": "CVV_FAILURE"}]})).block.failure is None


@pytest.mark.parametrize(
    ("back", "facts"),
    [
        (0, ()),
        (1, (Fact(name="refunded", says=(0, 1)),)),
        (4650, (Fact(name="refunded", says=(0, 4650)),)),
        (5000, (Fact(name="refunded", says=(1, 5000)),)),
    ],
)
def test_what_was_refunded_counts_up_to_the_total(back, facts):
    """A payment is refunded in full once its tip is, too."""
    assert one(sample("payment.updated", refunded_money={"amount": back, "currency": "EUR"})).facts == facts


@pytest.mark.parametrize(
    ("source", "details", "method"),
    [
        ("WALLET", {"brand": "PAYPAY"}, Method(type="wallet", wallet="PAYPAY")),
        ("SQUARE_ACCOUNT", {}, Method(type="wallet")),
        ("BUY_NOW_PAY_LATER", {"brand": "AFTERPAY"}, Method(type="pay_later", brand="AFTERPAY")),
        ("BANK_ACCOUNT", {"bank_name": "A bank"}, Method(type="bank_debit")),
        ("CASH", {}, Method(type="offline")),
        ("EXTERNAL", {"type": "CHECK"}, Method(type="offline")),
        ("BARTER", {}, Method(type="barter")),
    ],
)
def test_how_it_was_paid(source, details, method):
    """Each source has a word; one that Square may add keeps its own."""
    place = SOURCES.get(source, ("", "other_details"))[1]
    assert one(sample("payment.updated", source_type=source, **{place: details})).block.method == method


def test_a_payment_without_card_details():
    """Nothing is made up of what is not there."""
    block = one(sample("payment.updated", card_details=..., tip_money=..., source_type=...)).block
    assert (block.method, block.paid_at, block.breakdown) == (None, None, None)


def test_fees_are_added_up_adjustments_included():
    """Each entry counts; entries in two currencies have no sum."""
    fees = [{"amount_money": {"amount": 95, "currency": "EUR"}}, {"amount_money": {"amount": -20, "currency": "EUR"}}]
    assert one(sample("payment.updated", processing_fee=fees)).block.fee == euros(75)
    fees[1]["amount_money"]["currency"] = "USD"
    assert one(sample("payment.updated", processing_fee=fees)).block.fee is None
    assert one(sample("payment.updated", processing_fee=[])).block.fee is None


def test_the_objects_own_id_counts():
    """Published examples have another id beside the object: nothing is read of it."""
    event = json.loads(sample("payment.updated"))
    event["data"]["id"] = "somethingElse"
    assert one(json.dumps(event).encode()).payment_id == PAYMENT


@pytest.mark.parametrize(
    ("label", "key", "statuses"),
    [
        (
            "payment.updated",
            "status",
            {
                "APPROVED": "authorized",
                "PENDING": "pending",
                "COMPLETED": "succeeded",
                "CANCELED": "canceled",
                "FAILED": "failed",
            },
        ),
        (
            "refund.updated",
            "status",
            {"PENDING": "pending", "COMPLETED": "succeeded", "REJECTED": "failed", "FAILED": "failed"},
        ),
        (
            "dispute.state.updated",
            "state",
            {
                "INQUIRY_EVIDENCE_REQUIRED": "inquiry",
                "INQUIRY_PROCESSING": "under_review",
                "INQUIRY_CLOSED": "canceled",
                "EVIDENCE_REQUIRED": "needs_response",
                "PROCESSING": "under_review",
                "WON": "won",
                "LOST": "lost",
                "ACCEPTED": "accepted",
            },
        ),
        ("payout.paid", "status", {"SENT": "in_transit", "PAID": "paid", "FAILED": "failed"}),
    ],
    ids=["payment", "refund", "dispute", "payout"],
)
def test_every_status(label, key, statuses):
    """Each word that Square's specification has, and no other."""
    for word, status in statuses.items():
        block = one(sample(label, **{key: word})).block
        assert (block.status, block.provider_status) == (status, word)
    [table] = [table for table in SQUARE.statuses.values() if table.keys() == statuses.keys()]
    assert len(table) == len(statuses)


# --- refunds


def test_a_refund():
    """It belongs to the payment that it names, and its fee is what Square gives back."""
    statement = one(sample("refund.updated"))
    assert statement.payment_id == PAYMENT
    assert statement.block == Refund(
        id="hR4kWv8PzJq2LmNc6TbYx0GdFs3ZY_Wk3tQ9xLr7Vb2Nc5MzJp8Hd1Gs4Fy6T",
        payment_id=PAYMENT,
        status=RefundStatus.SUCCEEDED,
        provider_status="COMPLETED",
        amount=euros(1200),
        fee=euros(-23),
        reason="One dish never came",
        destination="original",
        created_at=at("2026-03-05T12:58:47.305+00:00"),
        updated_at=at("2026-03-05T13:02:18.699+00:00"),
        metadata={"location_id": "L8HT3V5NC0PKM", "order_id": "mX8cVb3WkQ6tRz1LnJp9Hs5DyYVZY"},
    )


def test_a_refund_of_no_payment():
    """An unlinked one in cash has no payment, and did not go where the money came from."""
    statement = one(sample("refund.created--unlinked"))
    assert (statement.payment_id, statement.payment_alias) == (None, None)
    assert (statement.block.payment_id, statement.block.destination) == (None, "out_of_band")
    assert one(sample("refund.created--unlinked", destination_type="CARD")).block.destination is None
    block = one(sample("refund.updated", unlinked=True)).block
    assert (block.payment_id, block.destination) == (PAYMENT, None)


# --- disputes


def test_a_dispute():
    """State, reason, deadline and the payment it is about."""
    statement = one(sample("dispute.created"))
    assert statement.payment_id == PAYMENT
    assert statement.block == Dispute(
        id="rN6wKc3XbTv9Jz1LqPmYd",
        payment_id=PAYMENT,
        status=DisputeStatus.NEEDS_RESPONSE,
        provider_status="EVIDENCE_REQUIRED",
        stage="chargeback",
        amount=euros(5000),
        reason=DisputeReason(category="fraud", code="NO_KNOWLEDGE"),
        evidence_due_at=at("2026-03-26T00:00:00+00:00"),
        created_at=at("2026-03-12T07:31:04.551+00:00"),
        updated_at=at("2026-03-12T07:31:04.551+00:00"),
    )


def test_the_older_form_of_a_dispute():
    """Events under deprecated names have `dispute_id`: it is the same dispute."""
    assert one(sample("dispute.evidence.added")).block.id == one(sample("dispute.evidence.created")).block.id


@pytest.mark.parametrize("state", ["INQUIRY_EVIDENCE_REQUIRED", "INQUIRY_PROCESSING", "INQUIRY_CLOSED"])
def test_an_inquiry_is_a_stage_of_its_own(state):
    """It comes before a chargeback."""
    assert one(sample("dispute.created", state=state)).block.stage == "inquiry"


# --- payouts


def test_a_payout():
    """`currency_code` and `currency` are the same; the fees are added up; it belongs to no payment."""
    statement = one(sample("payout.paid"))
    assert statement.payment_id is None
    assert statement.block == Payout(
        id="po_5c7e2d90-41b8-4f6a-9d03-e8a1b6c4f257",
        status=PayoutStatus.PAID,
        provider_status="PAID",
        amount=euros(184532),
        fee=euros(150),
        destination="bact:Xk7rLq2Wn5VtBz",
        arrival_at=at("2026-03-04T00:00:00+00:00"),
        created_at=at("2026-03-03T04:15:22+00:00"),
        updated_at=at("2026-03-04T06:30:07+00:00"),
    )
    assert one(sample("payout.paid", amount_money={"amount": 1, "currency": "JPY"})).block.amount == Money(1, "JPY", 0)


def test_money_taken_back():
    """A withdrawal is a payout below zero."""
    assert one(sample("payout.sent--withdrawal")).block.amount == euros(-1200)


# --- over time


async def told(*labels: str) -> list[tuple[str, str | None]]:
    """What is published of these samples in this order: (type, transition)."""
    return moves(await published(ACCOUNT, (verify(WAY.delivery(sample(label)), ACCOUNT.checks) for label in labels)))


async def test_an_inquiry_that_becomes_a_chargeback():
    """Closed, nobody won; then the bank takes the money after all, as the table allows."""
    bodies = (
        sample("dispute.created--inquiry"),
        sample("dispute.state.updated--processing", state="INQUIRY_CLOSED"),
        sample("dispute.state.updated", state="EVIDENCE_REQUIRED"),
    )
    records = await published(ACCOUNT, (verify(WAY.delivery(body), ACCOUNT.checks) for body in bodies))
    assert moves(records) == [
        ("dispute.inquiry", "first"),
        ("dispute.canceled", "advanced"),
        ("dispute.needs_response", "reversed"),
    ]


async def test_a_payments_life():
    """Authorized, captured, partly refunded, refunded in full: each said once, however Square repeats it."""
    assert await told(
        "payment.created",
        "payment.updated",
        "payment.updated",
        "refund.created",
        "payment.updated--partially-refunded",
        "refund.updated",
        "payment.updated--refunded",
        "dispute.created",
        "dispute.evidence.created",
        "dispute.state.updated--processing",
        "dispute.state.updated",
    ) == [
        ("payment.authorized", "first"),
        ("payment.succeeded", "advanced"),
        ("refund.pending", "first"),
        ("payment.partially_refunded", "repeated"),
        ("refund.succeeded", "advanced"),
        ("payment.refunded", "repeated"),
        ("dispute.needs_response", "first"),
        ("dispute.updated", "repeated"),
        ("dispute.under_review", "advanced"),
        ("dispute.won", "advanced"),
    ]


async def test_an_older_version_that_comes_late():
    """`updated_at` orders: an authorization heard of after the capture changes nothing."""
    assert await told("payment.updated", "payment.created") == [
        ("payment.succeeded", "first"),
        ("payment.updated", "stale"),
    ]


async def test_an_inquiry_becomes_a_chargeback():
    """The move out of a closed inquiry is one that Square makes."""
    moves = SQUARE.transitions
    assert moves.allows(Dispute.entity, DisputeStatus.CANCELED, DisputeStatus.NEEDS_RESPONSE)
    assert moves.allows(Dispute.entity, DisputeStatus.CANCELED, DisputeStatus.LOST)
    assert not moves.allows(Dispute.entity, DisputeStatus.WON, DisputeStatus.LOST)


# --- what is published


EXPECTED = {
    "dispute.created": (Dispute, "needs_response", 8801),
    "dispute.evidence.added": (Dispute, "needs_response", 8801),
    "dispute.evidence.removed": (Dispute, "needs_response", 8801),
    "dispute.state.updated": (Dispute, "won", 8801),
    "payment.updated": (Payment, "succeeded", 100),
    "payout.paid": (Payout, "paid", 457),
    "payout.sent": (Payout, "in_transit", 457),
    "refund.created": (Refund, "pending", 1000),
    "refund.updated": (Refund, "succeeded", 1000),
}


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published samples are not beside the repository")
@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.json")), ids=lambda path: path.stem)
def test_a_published_example(path):
    """Payments, refunds, disputes and payouts are translated; everything else is ignored by decision."""
    [item] = translate(ACCOUNT, trusted(WAY.sent(path.read_bytes(), ())))
    assert not isinstance(item.outcome, Quarantined)
    if path.stem not in EXPECTED:
        assert isinstance(item.outcome, Ignored)
        return
    [statement] = item.outcome.statements
    assert (type(statement.block), statement.block.status, statement.block.amount.minor) == EXPECTED[path.stem]


def test_every_documented_event_is_in_a_list():
    """Every event that Square's SDK has a class for is translated or ignored; its documentation names the event."""
    described = [(folder / name).read_text() for folder, name in event_files()]
    named = {name for text in described for name in re.findall(r'type of (?:this )?event[^"`]*[`"]+([a-z_.]+)', text)}
    assert len(named) > 100
    assert named - {*SQUARE.events, *ELSEWHERE} == set()


def event_files():
    folder = Path(square.__file__).parent / "types"
    return [(folder, path.name) for path in folder.glob("*_event.py")]
