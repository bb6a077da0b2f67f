"""Paystack, rule by rule. The shapes are of https://paystack.com/docs/payments/webhooks/; the payloads are the
sandbox's own.
"""

import hashlib
import json
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
from paymux.providers.paystack import PAYSTACK, STATUSES
from paymux.sandbox.samples import webhook
from paymux.statement import Ignored, Stated

[WAY] = [way for way in WAYS if way.provider is PAYSTACK]
ACCOUNT = WAY.account()
BODIES = Bodies(way=WAY, account=ACCOUNT)
prove, item, one, refused = BODIES.prove, BODIES.item, BODIES.one, BODIES.refused
REFERENCE = "rx7kq2m9vb4tz1n"
PUBLISHED = Path(__file__).parents[2] / "../shared/samples/paystack"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def naira(kobo: int) -> Money:
    return Money(kobo, "NGN", 2)


def sample(label: str, **changes: object) -> bytes:
    """A sample's body; `changes` are of its data, `...` takes a key away."""
    name, _, variant = label.partition("--")
    body = json.loads(webhook("paystack", name, variant).body)
    body["data"].update(changes)
    for key in [key for key, value in changes.items() if value is ...]:
        del body["data"][key]
    return json.dumps(body).encode()


# --- envelope


def test_the_head():
    """The digest of the body is the key: there is no event id. `domain` is the mode."""
    body = sample("charge.success")
    found = item(body)
    assert found.event_key == hashlib.sha256(body).hexdigest()
    assert (found.event_type, found.livemode) == ("charge.success", False)
    assert item(sample("charge.success", domain="live")).livemode is True
    assert item(sample("charge.success", domain=...)).livemode is None


def test_a_mode_that_nobody_knows():
    """It is neither live nor test."""
    assert refused(sample("charge.success", domain="staging")) == ("shape", "/data/domain")


def test_the_secret_is_the_api_key():
    """There is no other: `sk_test_...` as it stands, by SHA-512."""
    scheme = PAYSTACK.scheme({})
    key = "sk_test_0123456789abcdef0123456789abcdef01234567"
    assert scheme.key(key) == key.encode()
    assert scheme.algorithm == "sha512"


@pytest.mark.parametrize("data", [[], [{"domain": "nowhere"}], {}, None])
def test_ignored_whatever_it_carries(data):
    """Cards that expire come as a list."""
    body = json.dumps({"event": "subscription.expiring_cards", "data": data}).encode()
    assert item(body).outcome == Ignored()


# --- transactions


@pytest.mark.parametrize(("word", "status"), STATUSES.items())
def test_a_transactions_status(word, status):
    """Each documented word; a reversed one did succeed."""
    found = one(sample("charge.success", status=word)).block
    assert (found.status, found.provider_status) == (status, word)


def test_a_transaction_says_all_it_knows():
    """Its reference is its id: refunds name nothing else."""
    found = one(sample("charge.success"))
    block = found.block
    assert block.id == block.reference == found.payment_id == REFERENCE
    assert (block.amount, block.fee) == (naira(1850000), naira(37750))
    assert block.method == Method(type="card", brand="visa", last4="4081")
    assert (block.customer_id, block.metadata) == ("CUS_h4k9wq2vt7x1mzb", {"order": "LG-3308"})
    assert block.created_at == at("2026-01-09T09:59:12Z")
    assert block.paid_at == found.at == at("2026-01-09T10:00:07Z")


def test_an_account_number_is_no_card():
    """Of mobile money, `last4` and `brand` are of a wallet."""
    found = one(sample("charge.success--mobile-money")).block
    assert found.method == Method(type="mobile_money")
    assert found.amount == Money(12000, "GHS", 2)


@pytest.mark.parametrize("metadata", [0, "", "text", None, [], ..., [1]])
def test_metadata_that_is_no_object(metadata):
    """0, the empty text, a text: nothing of it is said."""
    assert one(sample("charge.success", metadata=metadata)).block.metadata is None


@pytest.mark.parametrize(
    ("amount", "currency", "money"),
    [
        (1850000, "NGN", Money(1850000, "NGN", 2)),
        (12000, "GHS", Money(12000, "GHS", 2)),
        (100, "KES", Money(100, "KES", 2)),
        (1500000, "XOF", Money(15000, "XOF", 0)),
        (1500000, "RWF", Money(15000, "RWF", 0)),
    ],
)
def test_hundredths_in_every_currency(amount, currency, money):
    """Also of francs, which have none."""
    assert one(sample("charge.success", amount=amount, currency=currency, fees=None)).block.amount == money


def test_a_part_of_a_franc_is_refused():
    """No Money holds it, and nothing is rounded."""
    assert refused(sample("charge.success", amount=1500001, currency="XOF", fees=None))[0] == "inexact_amount"


def test_older_names_of_times():
    """`paidAt` where there is no `paid_at`."""
    assert one(sample("charge.success", paid_at=...)).block.paid_at == at("2026-01-09T10:00:07Z")


# --- preauthorizations


@pytest.mark.parametrize(
    ("label", "status", "captured"),
    [
        ("reserve.success", PaymentStatus.AUTHORIZED, None),
        ("capture.success", PaymentStatus.SUCCEEDED, Money(74900, "ZAR", 2)),
        ("capture.failed", PaymentStatus.AUTHORIZED, None),
        ("release.success", PaymentStatus.CANCELED, None),
        ("release.failed", PaymentStatus.AUTHORIZED, None),
    ],
)
def test_a_preauthorization(label, status, captured):
    """What failed to be captured was not captured, though the amount stands there."""
    found = one(sample(f"preauthorization.{label}"))
    assert (found.block.id, found.block.status) == ("pre_6tq1wz8kvx3n", status)
    assert found.block.amount_captured == captured
    assert found.block.amount == found.block.amount_authorized == Money(89900, "ZAR", 2)


def test_the_time_of_a_preauthorization():
    """It has one once it was captured or released; until then none, and supersedes nothing."""
    assert one(sample("preauthorization.capture.success")).at == at("2026-01-11T08:30:21Z")
    assert one(sample("preauthorization.release.success")).at == at("2026-01-12T07:15:44Z")
    assert one(sample("preauthorization.reserve.success")).at is None


# --- refunds


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending", RefundStatus.PENDING),
        ("processing", RefundStatus.PROCESSING),
        ("needs-attention", RefundStatus.REQUIRES_ACTION),
        ("processed", RefundStatus.SUCCEEDED),
        ("failed", RefundStatus.FAILED),
    ],
)
def test_a_refund(word, status):
    """It names its transaction by reference, and writes its amount as a text or as a number."""
    found = one(sample(f"refund.{word}"))
    assert (found.block.status, found.block.provider_status) == (status, word)
    assert found.payment_id == found.block.payment_id == REFERENCE
    assert found.block.amount == naira(650000)
    assert found.at is None
    assert (found.block.failure is not None) is (word == "failed")


@pytest.mark.parametrize(
    ("changes", "own_id"),
    [({}, f"{REFERENCE}:650000"), ({"id": 15871046}, "15871046"), ({"id": "15871046"}, "15871046")],
)
def test_the_id_of_a_refund(changes, own_id):
    """Its own where Paystack gives one; else it is known by what it is a refund of, and of how much."""
    assert one(sample("refund.pending", **changes)).block.id == own_id


@pytest.mark.parametrize("amount", ["6500.00", "650000.5", "6e5", "", " 650000", "650,000", 650000.0, True, None])
def test_an_amount_that_is_no_integer(amount):
    """A text of digits is one; nothing else is read as one."""
    assert refused(sample("refund.pending", amount=amount)) == ("shape", "/data/amount")


# --- disputes


@pytest.mark.parametrize(
    ("label", "status"),
    [
        ("create", DisputeStatus.NEEDS_RESPONSE),
        ("remind", DisputeStatus.NEEDS_RESPONSE),
        ("remind--with-the-bank", DisputeStatus.UNDER_REVIEW),
        ("resolve", DisputeStatus.ACCEPTED),
        ("resolve--nobody-answered", DisputeStatus.ACCEPTED),
        ("resolve--declined", DisputeStatus.WON),
    ],
)
def test_a_dispute(label, status):
    """`resolved` alone says nothing: the resolution does. The payment is in the transaction that it carries."""
    found = one(sample(f"charge.dispute.{label}"))
    assert (found.block.id, found.block.status, found.block.stage) == ("2210457", status, "chargeback")
    assert found.payment_id == REFERENCE
    assert found.block.amount == naira(1850000)


def test_a_dispute_says_why_and_until_when():
    """Its category, and the day by which to answer."""
    found = one(sample("charge.dispute.create")).block
    assert found.reason == DisputeReason(category="chargeback")
    assert found.evidence_due_at == at("2026-01-20T18:00:00Z")


def test_a_dispute_that_is_no_chargeback():
    """Nothing says which stage a report of fraud is."""
    found = one(sample("charge.dispute.create", category="fraud", refund_amount=None)).block
    assert (found.stage, found.amount) == (None, None)


@pytest.mark.parametrize("resolution", ["merchant-rejected", ""])
def test_a_resolution_that_nobody_knows(resolution):
    """It is not guessed who won."""
    body = sample("charge.dispute.resolve", resolution=resolution)
    assert refused(body) == ("unknown_status", "/data/resolution")


def test_a_dispute_that_is_resolved_without_a_resolution():
    """That is no shape that Paystack has."""
    assert refused(sample("charge.dispute.resolve", resolution=None)) == ("shape", "/data/resolution")


def test_pending_disputes():
    """Paystack's filter has the word and nothing says what it means, so it is kept and not read."""
    assert refused(sample("charge.dispute.create", status="pending")) == ("unknown_status", "/data/status")


# --- transfers


@pytest.mark.parametrize(
    ("label", "own_id", "status", "failure"),
    [
        ("success", "TRF_8mk3xq1vtw6nz9b", PayoutStatus.PAID, None),
        (
            "failed",
            "TRF_2vt7nq5xkw1mz4b",
            PayoutStatus.FAILED,
            Failure(category=FailureCategory.UNKNOWN, message="Account is dormant"),
        ),
        ("reversed", "TRF_8mk3xq1vtw6nz9b", PayoutStatus.RETURNED, Failure(category=FailureCategory.UNKNOWN)),
    ],
)
def test_a_transfer(label, own_id, status, failure):
    """Newer payloads have createdAt and updatedAt, older ones created_at and updated_at."""
    found = one(sample(f"transfer.{label}"))
    assert (found.block.id, found.block.status, found.block.failure) == (own_id, status, failure)
    assert (found.block.amount, found.block.destination) == (naira(4200000), "RCP_5kx8wq2vtm1nz7b")
    assert found.block.created_at == at("2026-01-09T12:00:00Z")
    assert found.payment_id is None


# --- stories


async def told(*labels: str) -> list[tuple[str, str | None]]:
    return moves(await published(ACCOUNT, [prove(sample(label)) for label in labels]))


async def test_a_transactions_life():
    """A refund in part; the same bytes again are the same event."""
    labels = ("charge.success", "refund.pending", "refund.pending", "refund.processing", "refund.processed")
    records = await published(ACCOUNT, [prove(sample(label)) for label in labels])
    assert moves(records) == [
        ("payment.succeeded", "first"),
        ("refund.pending", "first"),
        ("refund.processing", "advanced"),
        ("refund.succeeded", "advanced"),
    ]
    assert {record["data"]["payment_id"] for record in records} == {REFERENCE}
    state = records[-1]["data"]["lifecycle"]["state"]
    assert (state["refund_state"], state["refunded"]["minor"]) == ("partial", 650000)


@pytest.mark.parametrize(
    "order",
    [
        ("pending", "processing", "processed"),
        ("processed", "pending", "processing"),
        ("processing", "processed", "pending"),
        ("processed", "processing", "pending"),
    ],
)
async def test_refunds_arrive_in_any_order(order):
    """They carry no time; rank tells which one is the latest."""
    records = await published(ACCOUNT, [prove(sample(f"refund.{word}")) for word in order])
    assert records[-1]["data"]["lifecycle"]["state"]["refunded"]["minor"] == 650000


async def test_a_refund_that_needs_attention():
    """After the processor had it, and not before."""
    refund = {"id": "15871046"}
    bodies = [sample(f"refund.{word}", **refund) for word in ("pending", "needs-attention", "processing", "failed")]
    assert moves(await published(ACCOUNT, map(prove, bodies))) == [
        ("refund.pending", "first"),
        ("refund.requires_action", "advanced"),
        ("refund.updated", "stale"),
        ("refund.failed", "advanced"),
    ]


async def test_two_refunds_with_ids_of_their_own():
    """Over the same amount: both count."""
    bodies = [sample("charge.success"), *(sample("refund.processed", id=number) for number in (1, 2))]
    records = await published(ACCOUNT, map(prove, bodies))
    assert records[-1]["data"]["lifecycle"]["state"]["refunded"]["minor"] == 2 * 650000


async def test_a_preauthorizations_life():
    """Captured in part, under the reference of the reservation."""
    assert await told(
        *(f"preauthorization.{one}" for one in ("reserve.success", "capture.failed", "capture.success"))
    ) == [
        ("payment.authorized", "first"),
        ("payment.updated", "repeated"),
        ("payment.succeeded", "advanced"),
    ]


async def test_a_disputes_life():
    """A reminder is no news; with the bank it is."""
    labels = ("create", "remind", "remind--with-the-bank", "resolve--declined")
    assert await told(*(f"charge.dispute.{label}" for label in labels)) == [
        ("dispute.needs_response", "first"),
        ("dispute.updated", "repeated"),
        ("dispute.under_review", "advanced"),
        ("dispute.won", "advanced"),
    ]


async def test_a_dispute_that_the_bank_sends_back():
    """By the dispute's own time: the merchant is asked once more."""
    again = sample("charge.dispute.remind", updated_at="2026-01-21T09:00:00.000Z")
    bodies = (sample("charge.dispute.create"), sample("charge.dispute.remind--with-the-bank"), again)
    assert moves(await published(ACCOUNT, map(prove, bodies))) == [
        ("dispute.needs_response", "first"),
        ("dispute.under_review", "advanced"),
        ("dispute.needs_response", "advanced"),
    ]


async def test_a_reservation_that_arrives_last():
    """It has no time, so it supersedes nothing."""
    assert await told("preauthorization.capture.success", "preauthorization.reserve.success") == [
        ("payment.succeeded", "first"),
        ("payment.updated", "stale"),
    ]


async def test_a_transfer_that_comes_back():
    """Paid, then returned by the bank."""
    assert await told("transfer.success", "transfer.reversed") == [
        ("payout.paid", "first"),
        ("payout.returned", "advanced"),
    ]


# --- what Paystack publishes

EXPECTED = {
    "charge.success": {"payment.succeeded"},
    "charge.dispute.create": {"dispute.needs_response"},
    "charge.dispute.remind": {"dispute.needs_response"},
    "charge.dispute.resolve": {"dispute.accepted"},
    "preauthorization.reserve.success": {"payment.authorized"},
    "preauthorization.capture.success": {"payment.succeeded"},
    "preauthorization.release.success": {"payment.canceled"},
    "preauthorization.release.failed": {"payment.authorized"},
    "refund.pending": {"refund.pending"},
    "refund.processing": {"refund.processing"},
    "refund.needs-attention": {"refund.requires_action"},
    "refund.processed": {"refund.succeeded"},
    "refund.failed": {"refund.failed"},
    "transfer.success": {"payout.paid"},
    "transfer.failed": {"payout.failed"},
}


@pytest.mark.parametrize(
    "file", sorted(PUBLISHED.glob("*.json")) or [None], ids=lambda file: file.stem if file else "absent"
)
def test_payloads_that_paystack_publishes(file):
    """Events give what their name promises, over the amount that they hold; answers of the API are no webhooks."""
    if file is None:
        pytest.skip("the collected samples are beside the repository, and they are not here")
    body = json.loads(file.read_bytes())
    found = item(file.read_bytes())
    if "event" not in body:
        assert (found.outcome.reason, found.outcome.path) == ("shape", "/event")
    elif body["event"] in PAYSTACK.ignored:
        assert found.outcome == Ignored()
    else:
        assert isinstance(found.outcome, Stated), found.outcome
        [statement] = found.outcome.statements
        data = body["data"]
        assert {event for _, event in offline(statement)} == EXPECTED[body["event"]]
        assert statement.block.amount.minor == int(data.get("refund_amount", data.get("amount")))
        assert statement.block.amount.currency == data["currency"]
