"""GoCardless, rule by rule. The shapes are of https://developer.gocardless.com/api-reference; the payloads are the
sandbox's own.
"""

import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import gocardless_pro.webhooks
import pytest
from signers import WAYS

from paymux.canonical import (
    Dispute,
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
    Settlement,
)
from paymux.delivery import Asked, Delivery, ObjectRef, Via
from paymux.journal import Entry
from paymux.journal.memory import MemoryJournal
from paymux.money import Money
from paymux.providers.gocardless import GOCARDLESS, IGNORED
from paymux.sandbox.samples import answers, webhook
from paymux.signatures import confirmed, trusted, verify
from paymux.statement import Fact, Ignored, Lookup, Quarantined, Stated, Statement
from paymux.translate import translate

[WAY] = [way for way in WAYS if way.provider is GOCARDLESS]
ACCOUNT = WAY.account(livemode=False)
PAYMENT, REFUND, PAYOUT = "PM00F7KQ2R8XWN", "RF0000KQ7T2M4X", "PO0003R8W4KQ2N"
CHARGEBACK = f"{PAYMENT}-chargeback"
NOON = datetime(2026, 2, 9, 12, tzinfo=UTC)
PUBLISHED = Path(__file__).parents[2] / "../shared/samples/gocardless"


def pounds(minor: int) -> Money:
    return Money(minor, "GBP", 2)


def body(*labels: str) -> bytes:
    """One delivery with the events of these samples."""
    events = []
    for label in labels:
        name, _, variant = label.partition("--")
        events += json.loads(webhook("gocardless", name, variant).body)["events"]
    return json.dumps({"events": events, "meta": {"webhook_id": "WB1"}}).encode()


def items(sent: bytes):
    return translate(ACCOUNT, verify(WAY.delivery(sent), ACCOUNT.checks))


def answer(label: str, *, occurred_at: datetime | None = NOON, **changes: object):
    """What the API's answer becomes, one key of the object changed."""
    kind = label.partition("--")[0]
    found = json.loads(next(sample.body for sample in answers("gocardless") if sample.label == label))
    [(name, inner)] = found.items()
    asked = Asked(ref=ObjectRef(object=kind, id=inner["id"]), occurred_at=occurred_at)
    delivery = Delivery(
        id="0190b2a6-0000-7000-8000-000000000002",
        provider="gocardless",
        account="acme",
        received_at=NOON,
        body=json.dumps({name: inner | changes}).encode(),
        via=Via.LOOKUP,
        asked=asked,
    )
    [item] = translate(ACCOUNT, confirmed(delivery))
    return item


def stated(label: str, **changes: object) -> tuple[Statement, ...]:
    outcome = answer(label, **changes).outcome
    assert isinstance(outcome, Stated), outcome
    return outcome.statements


# --- batches


def test_a_batch_of_unrelated_events():
    """Each has a key, a type and an outcome of its own, whatever stands beside it."""
    found = items(body("payments.confirmed", "mandates.active", "refunds.paid", "payouts.paid"))
    assert [(item.position, item.event_type, type(item.outcome)) for item in found] == [
        (0, "payments.confirmed", Lookup),
        (1, "mandates.active", Ignored),
        (2, "refunds.paid", Lookup),
        (3, "payouts.paid", Lookup),
    ]
    assert [item.event_key for item in found] == [
        "EV01KX7R2M0QAE",
        "EV01KX7R2M0QBA",
        "EV01KX7R2M0QAO",
        "EV01KX7R2M0QAT",
    ]


@pytest.mark.parametrize("bad", [None, 7, "EV1", [], {}, {"id": "EV1"}, {"id": "EV1", "resource_type": "payments"}])
def test_a_bad_event_among_good_ones(bad):
    """It alone is quarantined, at its place."""
    sent = json.loads(body("payments.confirmed", "payments.paid_out"))
    sent["events"].insert(1, bad)
    first, second, third = items(json.dumps(sent).encode())
    assert isinstance(first.outcome, Lookup)
    assert isinstance(third.outcome, Lookup)
    assert isinstance(second.outcome, Quarantined)
    assert second.outcome.reason == "shape"
    assert second.outcome.path.startswith("/events/1")


def test_a_full_batch():
    """250 events are 250 items, by the order in which they stand."""
    [event] = json.loads(body("payments.confirmed"))["events"]
    events = [event | {"id": f"EV{number:010}"} for number in range(250)]
    found = items(json.dumps({"events": events}).encode())
    assert [item.event_key for item in found] == [event["id"] for event in events]


@pytest.mark.parametrize("sent", [b'{"events": []}', b'{"events": null}', b"{}", b'{"events": {}}'])
def test_no_batch(sent):
    """A delivery without events is proven and kept, and said to be none."""
    [item] = items(sent)
    assert isinstance(item.outcome, Quarantined)
    assert item.outcome.reason == "shape"


def test_the_sdk_reads_the_same_events():
    """GoCardless's own library accepts what our signer signs, and finds the same events in it."""
    sent = WAY.delivery(body("payments.confirmed", "refunds.paid"))
    [signature] = sent.header(b"webhook-signature")
    events = gocardless_pro.webhooks.parse(sent.body, WAY.secrets[0], signature.decode())
    assert [(event.id, f"{event.resource_type}.{event.action}") for event in events] == [
        (item.event_key, item.event_type) for item in translate(ACCOUNT, verify(sent, ACCOUNT.checks))
    ]


def test_a_bad_signature_is_answered_as_documented():
    """498 Token Invalid, where others get 401."""
    assert GOCARDLESS.refusal == 498


# --- what is asked for


@pytest.mark.parametrize(
    ("label", "ref", "settles"),
    [
        ("payments.created", ("payment", PAYMENT), set()),
        ("payments.submitted", ("payment", PAYMENT), set()),
        ("payments.confirmed", ("payment", PAYMENT), {"succeeded", "failed", "canceled"}),
        ("payments.failed", ("payment", PAYMENT), {"succeeded", "failed", "canceled"}),
        ("payments.paid_out", ("payment", PAYMENT), {"succeeded", "failed", "canceled"}),
        ("payments.cancelled", ("payment", PAYMENT), {"succeeded", "failed", "canceled"}),
        ("payments.charged_back", ("payment", PAYMENT), {"succeeded", "failed", "canceled"}),
        ("refunds.created", ("refund", REFUND), set()),
        ("refunds.paid", ("refund", REFUND), {"succeeded", "failed", "canceled"}),
        ("payouts.paid", ("payout", PAYOUT), {"paid", "returned"}),
    ],
)
def test_an_event_asks_for_its_object(label, ref, settles):
    """By its own link, whatever other links it has; and again, where the answer is not what was promised."""
    [item] = items(body(label))
    assert item.outcome == Lookup(objects=(ObjectRef(object=ref[0], id=ref[1]),), settles=frozenset(settles))


def test_an_event_without_a_time():
    """Its object is asked for all the same: what time it was told at is the least of it."""
    sent = json.loads(body("payments.confirmed"))
    del sent["events"][0]["created_at"]
    [item] = items(json.dumps(sent).encode())
    assert isinstance(item.outcome, Lookup)
    assert item.occurred_at is None


@pytest.mark.parametrize("bad", ["../refunds", "PM 1", "", "PM/1", "P" * 65, None, 7])
def test_an_id_that_is_none(bad):
    """What could not stand in a URL is quarantined at its place."""
    sent = json.loads(body("payments.confirmed"))
    sent["events"][0]["links"]["payment"] = bad
    [item] = items(json.dumps(sent).encode())
    assert (item.outcome.reason, item.outcome.path) == ("shape", "/events/0/links/payment")


@pytest.mark.parametrize("kind", IGNORED)
def test_what_is_ignored_by_decision(kind):
    """Each documented action of what is no payment, refund or payout; one that nobody documented is not."""
    [event] = json.loads(body("mandates.active"))["events"]
    for action in IGNORED[kind].split():
        [item] = items(json.dumps({"events": [event | {"resource_type": kind, "action": action}]}).encode())
        assert item.outcome == Ignored()
    [item] = items(json.dumps({"events": [event | {"resource_type": kind, "action": "exploded"}]}).encode())
    assert item.outcome.reason == "unknown_event_type"


# --- what the API says


def test_a_payment():
    """Everything that GoCardless says and the model has a word for; its time is that of the event that asked."""
    assert stated("payment") == (
        Statement(
            block=Payment(
                id=PAYMENT,
                status=PaymentStatus.SUCCEEDED,
                provider_status="confirmed",
                amount=pounds(4999),
                amount_refunded=pounds(0),
                method=Method(type="bacs"),
                reference="MEMBER-0226",
                description="Membership, February",
                created_at=datetime(2026, 2, 2, 9, 14, 3, 498000, tzinfo=UTC),
                due_at=datetime(2026, 2, 6, tzinfo=UTC),
                metadata={"order": "2087"},
            ),
            at=NOON,
            payment_id=PAYMENT,
        ),
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending_customer_approval", PaymentStatus.REQUIRES_ACTION),
        ("pending_submission", PaymentStatus.PENDING),
        ("submitted", PaymentStatus.PROCESSING),
        ("confirmed", PaymentStatus.SUCCEEDED),
        ("paid_out", PaymentStatus.SUCCEEDED),
        ("charged_back", PaymentStatus.SUCCEEDED),
        ("failed", PaymentStatus.FAILED),
        ("customer_approval_denied", PaymentStatus.FAILED),
        ("cancelled", PaymentStatus.CANCELED),
    ],
)
def test_every_payment_status(word, status):
    """Each documented word has its own."""
    block = stated("payment", status=word)[0].block
    assert (block.status, block.provider_status) == (status, word)


def test_a_payment_that_was_paid_out():
    """Its money reached the merchant."""
    assert stated("payment--paid-out")[0].facts == (Fact(name="settled", says=(1,)),)
    assert stated("payment--paid-out")[0].block.subscription_id == "SB0003JR8W4KQ2"


@pytest.mark.parametrize(("label", "full"), [("payment--partially-refunded", 0), ("payment--refunded", 1)])
def test_a_refunded_payment(label, full):
    """`amount_refunded` is cumulative, and no status tells it."""
    facts = stated(label)[0].facts
    assert facts[0].name == "refunded"
    assert facts[0].says[0] == full


def test_a_payment_in_another_currency():
    """What is paid out, once the rate is known."""
    assert stated("payment--fx")[0].block.settlement == Settlement(
        amount=Money(5803, "EUR", 2), exchange_rate="1.1608321664"
    )
    assert stated("payment")[0].block.settlement is None


def test_why_a_payment_failed():
    """The API says it only of a customer who did not approve."""
    assert stated("payment--failed")[0].block.failure is None
    assert stated("payment--denied")[0].block.failure == Failure(
        category=FailureCategory.CANCELED_BY_CUSTOMER, code="customer_approval_denied"
    )


def test_a_payment_that_was_charged_back():
    """It did succeed; a dispute beside it, with an id of its own, is lost."""
    payment, dispute = stated("payment--charged-back")
    assert payment.block.status is PaymentStatus.SUCCEEDED
    assert dispute == Statement(
        block=Dispute(
            id=CHARGEBACK,
            payment_id=PAYMENT,
            status=DisputeStatus.LOST,
            provider_status="charged_back",
            stage="chargeback",
            amount=pounds(4999),
        ),
        at=NOON,
        payment_id=PAYMENT,
    )


def test_the_end_of_a_chargeback():
    """It is said by the webhook alone: that it was cancelled, or taken out of a payout."""
    [cancelled, settled] = items(body("payments.chargeback_cancelled", "payments.chargeback_settled"))
    [told] = cancelled.outcome.statements
    assert (told.block.id, told.block.status, told.payment_id) == (CHARGEBACK, DisputeStatus.CANCELED, PAYMENT)
    [told] = settled.outcome.statements
    assert (told.block.id, told.block.status, told.facts) == (CHARGEBACK, None, (Fact(name="funds_withdrawn"),))


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("created", RefundStatus.PENDING),
        ("pending_submission", RefundStatus.PENDING),
        ("submitted", RefundStatus.PROCESSING),
        ("paid", RefundStatus.SUCCEEDED),
        ("cancelled", RefundStatus.CANCELED),
        ("bounced", RefundStatus.FAILED),
        ("funds_returned", RefundStatus.FAILED),
    ],
)
def test_every_refund_status(word, status):
    """With the payment that it belongs to."""
    [told] = stated("refund", status=word)
    assert isinstance(told.block, Refund)
    assert (told.block.status, told.block.amount, told.payment_id) == (status, pounds(1500), PAYMENT)


def test_a_refund_of_a_mandate():
    """It belongs to no payment."""
    [told] = stated("refund--of-a-mandate")
    assert (told.payment_id, told.block.payment_id, told.block.status) == (None, None, RefundStatus.SUCCEEDED)


@pytest.mark.parametrize(
    ("word", "status"),
    [("pending", PayoutStatus.PENDING), ("paid", PayoutStatus.PAID), ("bounced", PayoutStatus.RETURNED)],
)
def test_every_payout_status(word, status):
    """With its fees, where it goes, and when it arrives."""
    [told] = stated("payout", status=word)
    assert isinstance(told.block, Payout)
    assert (told.block.status, told.block.amount, told.block.fee) == (status, pounds(48210), pounds(790))
    assert told.block.arrival_at == datetime(2026, 2, 11, tzinfo=UTC)
    assert told.block.destination == "BA000K2V7TX4QJ"


@pytest.mark.parametrize("label", ["payment", "refund", "payout"])
def test_an_unknown_status(label):
    """It is quarantined with its place in the answer."""
    outcome = answer(label, status="exploded").outcome
    assert outcome.reason == "unknown_status"
    assert outcome.path.endswith("/status")


# --- what becomes of a payment


async def told(*labels: str) -> list[dict]:
    """What these answers publish, each an hour newer than the one before."""
    journal = MemoryJournal()
    for number, label in enumerate(labels):
        hour = NOON + timedelta(hours=number)
        if label.startswith("payments."):
            verified = verify(WAY.delivery(body(label)), ACCOUNT.checks)
            found = translate(ACCOUNT, verified)
        else:
            found = (answer(label, occurred_at=hour),)
            verified = trusted(WAY.sent(str(number).encode(), ()))
        await journal.append(Entry(account=ACCOUNT, verified=verified, items=found))
    return [json.loads(row.record.value) for row in await journal.read(0, 0, 100)]


async def test_a_late_failure_and_a_retry():
    """A confirmed payment may fail, and be collected after all: moves that GoCardless makes."""
    labels = ("payment--submitted", "payment", "payment--failed", "payment--pending-submission", "payment--paid-out")
    events = [event for event in await told(*labels) if event["data"]["lifecycle"]["transition"] != "repeated"]
    assert [(event["type"], event["data"]["lifecycle"]["transition"]) for event in events] == [
        ("payment.processing", "first"),
        ("payment.succeeded", "advanced"),
        ("payment.failed", "reversed"),
        ("payment.pending", "retried"),
        ("payment.succeeded", "advanced"),
        ("payment.settled", "advanced"),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_any_order_of_answers(order):
    """The newest event that asked decides, so every order ends the same."""
    labels = ("payment--submitted", "payment", "payment--failed")
    journal = MemoryJournal()
    for number in order:
        found = answer(labels[number], occurred_at=NOON + timedelta(hours=number))
        verified = trusted(WAY.sent(str(number).encode(), ()))
        await journal.append(Entry(account=ACCOUNT, verified=verified, items=(found,)))
    last = json.loads([row.record.value for row in await journal.read(0, 0, 100)][-1])
    assert last["data"]["lifecycle"]["state"]["status"] == "failed"


async def test_a_chargeback_that_is_taken_back():
    """The payment is disputed for that long."""
    events = await told("payment--paid-out", "payment--charged-back", "payments.chargeback_cancelled")
    disputes = [event for event in events if event["type"].startswith("dispute.")]
    assert [(event["type"], event["data"]["lifecycle"]["state"]["disputed"]) for event in disputes] == [
        ("dispute.lost", True),
        ("dispute.canceled", False),
    ]
    assert disputes[-1]["data"]["lifecycle"]["transition"] == "reversed"
    assert [event["data"]["lifecycle"]["sequence"] for event in events] == list(range(1, len(events) + 1))


# --- the API


def test_the_api_is_asked_as_documented():
    """A bearer token and the version, which it refuses to go without; the sandbox by option."""
    api = GOCARDLESS.api
    assert api.headers("live_1", {}) == {"Authorization": "Bearer live_1", "GoCardless-Version": "2015-07-06"}
    assert api.url + api.objects["payment"].path == "https://api.gocardless.com/payments/{id}"
    assert api.regions == {"sandbox": "https://api-sandbox.gocardless.com"}


def test_what_was_made_in_a_time_is_one_list():
    """By creation: there is no filter for changes."""
    since, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    assert GOCARDLESS.api.payments.within(since, until) == [
        {"created_at[gte]": "2026-01-01T00:00:00.000Z", "created_at[lt]": "2026-01-02T00:00:00.000Z"}
    ]


def test_a_listed_page():
    """Two payments, without the time of an event, and the cursor of the next page."""
    page = next(sample.body for sample in answers("gocardless") if sample.label == "list")
    asked = Asked(ref=ObjectRef(object="payments", id=""))
    delivery = Delivery(
        id="1", provider="gocardless", account="acme", received_at=NOON, body=page, via=Via.RECONCILE, asked=asked
    )
    found = translate(ACCOUNT, confirmed(delivery))
    assert [item.outcome.statements[0].at for item in found] == [None, None]
    assert GOCARDLESS.api.payments.following(GOCARDLESS.parse(page)) == {"after": "PM00F7KQ4T2ZBD"}
    end = b'{"payments": [], "meta": {"cursors": {"before": null, "after": null}, "limit": 50}}'
    assert GOCARDLESS.api.payments.following(GOCARDLESS.parse(end)) is None


# --- what others published

EXPECTED = {
    "api-doc-mandate-active-with-meta.json": ["ignored mandates.active"],
    "public-payments-confirmed.json": ["lookup payment index_ID_123"],
    "sdk-events-api-fixture.json": ["quarantined shape"],  # of the API, and no webhook
    "sdk-two-events.json": ["ignored subscriptions.created", "ignored mandates.created"],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_published_payload(name):
    """It becomes what the documentation means by it."""
    if not PUBLISHED.is_dir():
        pytest.skip("the published payloads are not beside the repository")
    found = translate(ACCOUNT, trusted(WAY.sent((PUBLISHED / name).read_bytes(), ())))
    assert [shown(item) for item in found] == EXPECTED[name]


def test_every_published_payload_is_expected():
    """None is left out."""
    if not PUBLISHED.is_dir():
        pytest.skip("the published payloads are not beside the repository")
    assert {file.name for file in PUBLISHED.iterdir()} == set(EXPECTED)


def shown(item) -> str:
    match item.outcome:
        case Ignored():
            return f"ignored {item.event_type}"
        case Lookup(objects=(ref,)):
            return f"lookup {ref.object} {ref.id}"
        case Quarantined(reason=reason):
            return f"quarantined {reason}"
