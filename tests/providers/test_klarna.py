"""Klarna, rule by rule, as far as its documentation goes; the payloads are the sandbox's own."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from signers import WAYS

from paymux.canonical import Failure, FailureCategory, Method, Payment, PaymentStatus
from paymux.delivery import Asked, Delivery, ObjectRef, Proof, Via
from paymux.errors import Rejected
from paymux.journal import Entry
from paymux.journal.memory import MemoryJournal
from paymux.money import Money
from paymux.providers.klarna import KLARNA
from paymux.sandbox.samples import answers, webhook
from paymux.signatures import confirmed, trusted, verify
from paymux.statement import Fact, Ignored, Lookup, Quarantined, Stated, Statement
from paymux.translate import only_asks, translate

HINT, HEX, BASE64 = (way for way in WAYS if way.provider is KLARNA)
ORDER = "7849fd85-47dc-4919-a7ce-47b9f461562f"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
PUBLISHED = Path(__file__).parents[2] / "../shared/samples/klarna"


def dollars(minor: int) -> Money:
    return Money(minor, "USD", 2)


def network(event_type: str, **metadata: object) -> bytes:
    """An envelope of the Klarna Network, as its pages show it."""
    told = {
        "event_type": event_type,
        "event_id": "0b3f9a6e-2d55-4c1e-9f60-5d1c2f7a8e91",
        "event_version": "v2",
        "occurred_at": "2026-05-04T12:00:00Z",
        "subject_account_id": "krn:partner:global:account:test:HGBY07TR",
        "recipient_account_id": "krn:partner:global:account:test:LWT2XJSE",
        "product_instance_id": "krn:partner:product:payment:ad71bc48-8a07-4919-a7c1-103dba3fc918",
        "webhook_id": "krn:partner:global:notification:webhook:120e5b7e-dee8-43ca-9858-dca726e639b5",
        "live": False,
    }
    return json.dumps({"metadata": told | metadata, "payload": {"payment_request_id": "krn:payment:1"}}).encode()


def item(way, body: bytes):
    account = way.account(livemode=False)
    [found] = translate(account, verify(way.delivery(body), account.checks))
    return found


def answered(label: str, **changes: object):
    found = json.loads(next(sample.body for sample in answers("klarna") if sample.label == label)) | changes
    delivery = Delivery(
        id="0190b2a6-0000-7000-8000-000000000002",
        provider="klarna",
        account="acme",
        received_at=NOON,
        body=json.dumps(found).encode(),
        via=Via.LOOKUP,
        asked=Asked(ref=ObjectRef(object="order", id=ORDER)),
    )
    [item] = translate(HINT.account(), confirmed(delivery))
    return item


def stated(label: str, **changes: object) -> Statement:
    outcome = answered(label, **changes).outcome
    assert isinstance(outcome, Stated), outcome
    [statement] = outcome.statements
    return statement


# --- proof


def test_what_is_not_signed_is_a_hint():
    """Nothing proves the classic notification: it only says which order to read."""
    account = HINT.account()
    proven = verify(HINT.delivery(webhook("klarna", "FRAUD_RISK_ACCEPTED").body), account.checks)
    assert proven.proof is Proof.HINT
    assert KLARNA.thin


@pytest.mark.parametrize(("way", "other"), [(HEX, BASE64), (BASE64, HEX)], ids=["hex", "base64"])
def test_the_encoding_that_klarna_does_not_document(way, other):
    """It is the operator's to say, and only that one is accepted; there is no default that guesses."""
    body = network("payment.request.state-change.completed")
    assert verify(way.delivery(body), way.account().checks).proof is Proof.SIGNATURE
    with pytest.raises(Rejected) as caught:
        verify(other.delivery(body), way.account().checks)
    assert caught.value.reason == "signature_mismatch"
    [option] = [option for option in KLARNA.options if option.name == "signature_encoding"]
    assert (option.choices, option.required) == (("hex", "base64"), False)


# --- webhooks


@pytest.mark.parametrize("word", ["FRAUD_RISK_ACCEPTED", "FRAUD_RISK_REJECTED", "FRAUD_RISK_STOPPED"])
def test_the_end_of_a_review(word):
    """It asks for the order until that is no longer under review; a hint has no key, and no time that counts."""
    found = item(HINT, webhook("klarna", word).body)
    assert found.outcome == Lookup(
        objects=(ObjectRef(object="order", id=ORDER),),
        settles=frozenset(PaymentStatus) - {PaymentStatus.PENDING},
    )
    assert (found.event_key, found.event_type, found.occurred_at, found.livemode) == (None, word, None, False)


@pytest.mark.parametrize("bad", ["../captures", "a/b", "", "x" * 129, "a b", None, 7])
def test_an_id_that_is_none(bad):
    """It is never asked for, and a hint with it is not taken."""
    body = json.dumps({"order_id": bad, "event_type": "FRAUD_RISK_ACCEPTED"}).encode()
    found = item(HINT, body)
    assert (found.outcome.reason, found.outcome.path) == ("shape", "/order_id")
    assert not only_asks([found])


def test_a_payment_request_is_ignored():
    """It is a shopping session; its envelope is read from what is signed."""
    account = HEX.account()
    body = network("payment.request.state-change.completed")
    [found] = translate(account, verify(HEX.delivery(body), account.checks))
    assert found.outcome == Ignored()
    assert found.event_key == "0b3f9a6e-2d55-4c1e-9f60-5d1c2f7a8e91"
    assert (found.occurred_at, found.livemode) == (NOON, False)


@pytest.mark.parametrize(
    "event_type", ["payment.dispute.state-change.initiated", "payment.transaction.state-change.completed"]
)
def test_what_is_not_known_is_quarantined(event_type):
    """Disputes and transactions of the Network are money: proven, kept, and not guessed."""
    outcome = item(HEX, network(event_type)).outcome
    assert isinstance(outcome, Quarantined)
    assert outcome.reason == "unknown_event_type"


def test_a_stranger_cannot_fill_the_quarantine():
    """The same envelope without a signature is no hint that is taken."""
    assert not only_asks([item(HINT, network("payment.dispute.state-change.initiated"))])


# --- orders


def test_an_order():
    """Everything that Klarna says and the model has a word for; no time of its own but that of its making."""
    assert stated("order") == Statement(
        block=Payment(
            id=ORDER,
            status=PaymentStatus.AUTHORIZED,
            provider_status="AUTHORIZED",
            amount=dollars(10950),
            amount_captured=dollars(0),
            amount_refunded=dollars(0),
            method=Method(type="INVOICE"),
            reference="ORD-2087",
            created_at=datetime(2026, 5, 4, 9, 12, 33, 518000, tzinfo=UTC),
        ),
        payment_id=ORDER,
    )


@pytest.mark.parametrize(
    ("label", "status"),
    [
        ("order--pending", PaymentStatus.PENDING),
        ("order", PaymentStatus.AUTHORIZED),
        ("order--rejected", PaymentStatus.FAILED),
        ("order--part-captured", PaymentStatus.PARTIALLY_CAPTURED),
        ("order--captured", PaymentStatus.SUCCEEDED),
        ("order--closed", PaymentStatus.SUCCEEDED),
        ("order--closed-without-captures", PaymentStatus.CANCELED),
        ("order--cancelled", PaymentStatus.CANCELED),
        ("order--expired", PaymentStatus.EXPIRED),
    ],
)
def test_every_status_of_an_order(label, status):
    """The review counts while it is authorized, and the captures once it is closed."""
    block = stated(label).block
    assert block.status is status
    failure = Failure(category=FailureCategory.FRAUD, code="REJECTED") if label == "order--rejected" else None
    assert block.failure == failure


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"status": "SHIPPED"}, "/status"),
        ({"fraud_status": "MAYBE"}, "/fraud_status"),
        ({"fraud_status": "accepted"}, "/fraud_status"),
    ],
)
def test_a_status_that_is_not_in_the_table(changes, path):
    """It is quarantined with its place."""
    outcome = answered("order", **changes).outcome
    assert (outcome.reason, outcome.path) == ("unknown_status", path)


@pytest.mark.parametrize(
    ("label", "facts"),
    [
        ("order--captured", ()),
        ("order--partially-refunded", (Fact(name="refunded", says=(0, 5475)),)),
        ("order--refunded", (Fact(name="refunded", says=(1, 10950)),)),
    ],
)
def test_what_was_refunded(label, facts):
    """It is an amount of the order, in full once all that was captured is back."""
    assert stated(label).facts == facts


def test_all_of_what_was_captured_is_refunded():
    """The part of the order that was never captured does not count."""
    statement = stated("order--part-captured", captured_amount=5475, refunded_amount=5475)
    assert statement.facts == (Fact(name="refunded", says=(1, 5475)),)


@pytest.mark.parametrize("amount", [109.5, "10950", None, 2**63])
def test_an_amount_that_is_no_integer(amount):
    """It is quarantined, never rounded."""
    assert answered("order", order_amount=amount).outcome.reason == "shape"


async def test_an_answer_that_comes_late():
    """An order has no time, so its status orders by rank: what is captured is not under review again."""
    journal = MemoryJournal()
    for number, label in enumerate(("order--pending", "order--captured", "order--pending", "order")):
        verified = trusted(HINT.sent(str(number).encode(), ()))
        await journal.append(Entry(account=HINT.account(), verified=verified, items=(answered(label),)))
    events = [json.loads(row.record.value) for row in await journal.read(0, 0, 100)]
    assert events[-1]["data"]["lifecycle"]["state"]["status"] == "succeeded"
    assert [event["type"] for event in events][:2] == ["payment.pending", "payment.succeeded"]
    assert KLARNA.transitions.orders_by == "rank"


# --- the API


def test_the_api_is_asked_as_documented():
    """Basic authentication by `username:password`, and Europe's host unless told."""
    api = KLARNA.api
    assert api.headers("PK1:secret", {}) == {"Authorization": "Basic UEsxOnNlY3JldA=="}
    assert api.url + api.objects["order"].path == "https://api.klarna.com/ordermanagement/v1/orders/{id}"
    [region] = [option for option in KLARNA.options if option.name == "region"]
    assert set(region.choices) == set(api.regions)


# --- what others published


def test_the_published_envelope():
    """Its values are descriptions of values: no event id, so it is no event."""
    if not PUBLISHED.is_dir():
        pytest.skip("the published payloads are not beside the repository")
    [file] = PUBLISHED.iterdir()
    [found] = translate(HEX.account(), trusted(HEX.sent(file.read_bytes(), ())))
    assert (found.outcome.reason, found.outcome.path) == ("shape", "/metadata/event_id")
