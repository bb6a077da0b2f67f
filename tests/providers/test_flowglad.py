"""Flowglad's file against its reference: a body that is only an id, and what GET /payments/{id} says."""

import json
import uuid
from datetime import UTC, datetime

import pytest
from svix.webhooks import Webhook

from paymux.canonical import FailureCategory, PaymentStatus
from paymux.delivery import Asked, Delivery, ObjectRef, Via
from paymux.money import Money
from paymux.provider import Account
from paymux.providers.flowglad import FLOWGLAD, STATUSES
from paymux.sandbox.samples import answers, webhook
from paymux.signatures import confirmed, trusted, verify
from paymux.statement import Ignored, Lookup, Quarantined, Stated
from paymux.translate import translate

NOW = datetime(2026, 1, 9, 10, 0, 8, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ACCOUNT = Account(provider=FLOWGLAD, name="acme", checks=((FLOWGLAD.signature, (FLOWGLAD.signature.key(SECRET),)),))

# What GET /payments/{id} answers, by the current documentation.
PAYMENT = json.loads(next(sample.body for sample in answers("flowglad") if sample.label == "payment"))["payment"]


def delivered(body, *, message="msg_2b7Kq9", prefix="svix", account=ACCOUNT):
    """A webhook signed by Svix's own library, verified and translated."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    signature = Webhook(SECRET).sign(message, NOW, raw.decode())
    headers = {"id": message, "timestamp": str(int(NOW.timestamp())), "signature": signature}
    delivery = Delivery(
        id=str(uuid.uuid4()),
        provider="flowglad",
        account="acme",
        received_at=NOW,
        body=raw,
        headers=tuple((f"{prefix}-{name}".encode(), value.encode()) for name, value in headers.items()),
    )
    (item,) = translate(account, verify(delivery, account.checks))
    return item


def answered(payment, *, account=ACCOUNT, asked=None):
    ref = ObjectRef(object="payment", id=asked or payment["id"])
    delivery = Delivery(
        id=str(uuid.uuid4()),
        provider="flowglad",
        account="acme",
        received_at=NOW,
        body=json.dumps({"payment": payment}).encode(),
        via=Via.LOOKUP,
        asked=Asked(ref=ref),
    )
    (item,) = translate(account, confirmed(delivery))
    return item


def stated(**changes):
    outcome = answered({**PAYMENT, **changes}).outcome
    assert isinstance(outcome, Stated), outcome
    (statement,) = outcome.statements
    return statement


def test_a_webhook_is_a_question():
    """A signed body that names a payment asks for it, under the signed message id, and waits for an outcome."""
    item = delivered(webhook("flowglad", "payment").body, message="msg_9Xw")
    ref = ObjectRef(object="payment", id="pym_hT4mWq8ZrK2vXn6BdY1Jc")
    assert item.outcome == Lookup(objects=(ref,), settles=frozenset({"succeeded", "failed", "canceled"}))
    assert (item.event_key, item.event_type, item.livemode) == ("msg_9Xw", "payment", None)


def test_one_message_about_two_payments_is_a_conflict():
    """The signed id is a retry's; a body that names another payment is none."""
    body = webhook("flowglad", "payment").body
    first, again, other = (delivered(each, message="msg_9Xw") for each in (body, body, body.replace(b"pym_", b"pay_")))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.event_key == other.event_key


def test_the_event_key_under_the_other_header_names():
    """Standard Webhooks' header names carry the same id."""
    item = delivered(webhook("flowglad", "payment").body, message="msg_9Xw", prefix="webhook")
    assert item.event_key == "msg_9Xw"


def test_a_file_without_headers():
    """A body alone has its own digest as event key."""
    body = webhook("flowglad", "payment").body
    delivery = Delivery(id="d", provider="flowglad", account="acme", received_at=NOW, body=body)
    (item,) = translate(ACCOUNT, trusted(delivery))
    assert len(item.event_key) == 64


@pytest.mark.parametrize("word", ["customer", "purchase", "subscription"])
def test_other_objects(word):
    """Customers, purchases and subscriptions are known and not translated."""
    assert delivered({"id": f"{word}_1", "object": word}).outcome == Ignored()


def test_an_object_that_is_not_documented():
    """Another kind of object is quarantined by name."""
    outcome = delivered({"id": "inv_1", "object": "invoice"}).outcome
    assert isinstance(outcome, Quarantined)
    assert outcome.reason == "unknown_event_type"


@pytest.mark.parametrize("event_type", ["payment.succeeded", "payment.failed"])
def test_the_envelope_of_the_first_version(event_type):
    """The envelope of the page's first version asks for the payment inside it, once its signature is right."""
    item = delivered(webhook("flowglad", event_type).body)
    assert isinstance(item.outcome, Lookup)
    assert item.outcome.objects[0].id.startswith("pym_")
    assert (item.event_type, item.livemode) == (event_type, False)
    assert item.event_key == "msg_2b7Kq9"
    assert item.occurred_at is not None


@pytest.mark.parametrize("bad", ["../users", "pym_", "pym_a/b", "cust_1", "pym_" + "x" * 65, "pym_1\n", "", 7, None])
def test_an_id_that_is_none(bad):
    """What is no payment id is quarantined at its place, and never asked for."""
    outcome = delivered({"id": bad, "object": "payment"}).outcome
    assert isinstance(outcome, Quarantined)
    assert (outcome.reason, outcome.path) == ("shape", "/id")


def test_every_status():
    """Each of Flowglad's seven words has a status; an eighth is quarantined at its place."""
    assert {word: stated(status=word).block.status for word in STATUSES} == STATUSES
    assert set(STATUSES) == {
        *("canceled", "failed", "refunded", "processing", "succeeded", "requires_confirmation", "requires_action")
    }
    outcome = answered({**PAYMENT, "status": "disputed"}).outcome
    assert (outcome.reason, outcome.path) == ("unknown_status", "/payment/status")


def test_a_payment_that_succeeded():
    """Everything that the object says of it is in the block, and nothing else."""
    statement = stated()
    block = statement.block
    assert (block.status, block.provider_status) == (PaymentStatus.SUCCEEDED, "succeeded")
    assert block.amount == Money(9000, "EUR", 2)
    assert block.fee == Money(70, "EUR", 2)
    assert (block.breakdown.subtotal.minor, block.breakdown.tax.minor) == (7563, 1437)
    assert (block.invoice_id, block.subscription_id) == (PAYMENT["invoiceId"], PAYMENT["subscriptionId"])
    assert (block.customer_id, block.description) == (PAYMENT["customerId"], "Growth plan, January 2026")
    assert (block.method.type, block.failure, block.amount_refunded, block.metadata) == ("card", None, None, None)
    assert block.created_at == datetime(2026, 1, 9, 10, tzinfo=UTC)
    assert statement.at == block.updated_at == datetime(2026, 1, 9, 10, 0, 7, tzinfo=UTC)
    assert block.paid_at == datetime(2026, 1, 9, 10, 0, 4, tzinfo=UTC)
    assert statement.facts == ()
    assert statement.payment_id == block.id


@pytest.mark.parametrize("word", ["failed", "canceled", "processing"])
def test_the_time_of_a_charge_that_brought_nothing(word):
    """`chargeDate` is when it was tried: nothing was paid."""
    assert stated(status=word).block.paid_at is None


def test_both_forms_of_time():
    """Milliseconds and RFC 3339 texts say the same."""
    assert stated(updatedAt="2026-01-09T10:00:07Z", chargeDate="2026-01-09T11:00:04+01:00") == stated()


def test_a_partial_refund():
    """The refunded amount tells of it, though status and flag stay as they were."""
    statement = stated(refundedAmount=2500, refunded=False)
    assert statement.block.status == PaymentStatus.SUCCEEDED
    assert statement.block.amount_refunded == Money(2500, "EUR", 2)
    assert [(fact.name, fact.says) for fact in statement.facts] == [("refunded", (0, 2500))]
    assert statement.refund_state is None


def test_a_full_refund():
    """The status `refunded` is a succeeded payment with the fact that it was refunded in full."""
    statement = stated(status="refunded", refunded=True, refundedAmount=9000)
    assert (statement.block.status, statement.block.provider_status) == (PaymentStatus.SUCCEEDED, "refunded")
    assert [(fact.name, fact.says) for fact in statement.facts] == [("refunded", (1, 9000))]
    assert statement.refund_state == "full"


def test_a_full_refund_without_amount():
    """The status alone is believed, and no amount is made up."""
    statement = stated(status="refunded")
    assert statement.block.amount_refunded is None
    assert [(fact.name, fact.says) for fact in statement.facts] == [("refunded", (1, 0))]


def test_partial_refunds_that_add_up():
    """Refunds of the whole amount are full whatever the status says."""
    statement = stated(refundedAmount=9000)
    assert [(fact.name, fact.says) for fact in statement.facts] == [("refunded", (1, 9000))]


def test_nothing_refunded():
    """A refunded amount of zero is no fact."""
    statement = stated(refundedAmount=0)
    assert statement.block.amount_refunded == Money(0, "EUR", 2)
    assert statement.facts == ()


def test_failure_only_where_it_failed():
    """Codes left over from an earlier try are no proof of failure."""
    left = {"failureCode": "card_declined", "failureMessage": "No funds"}
    assert stated(**left).block.failure is None
    failure = stated(status="failed", **left).block.failure
    assert (failure.category, failure.code, failure.message) == (FailureCategory.DECLINED, "card_declined", "No funds")
    assert stated(status="failed").block.failure is None
    odd = stated(status="failed", failureCode="new_word").block.failure
    assert (odd.category, odd.code) == (FailureCategory.UNKNOWN, "new_word")


def test_settlement():
    """The settlement date is told as it is; nothing says that the money is there by then, so it is no fact."""
    found = stated(settlementDate=PAYMENT["updatedAt"])
    assert found.block.settled_at == found.at
    assert found.facts == ()


@pytest.mark.parametrize("word", ["failed", "canceled", "processing"])
def test_a_refunded_amount_of_a_payment_that_did_not_succeed(word):
    """It stays in the block and is no refund: there was nothing to give back."""
    statement = stated(status=word, refundedAmount=9000)
    assert statement.block.amount_refunded == Money(9000, "EUR", 2)
    assert (statement.facts, statement.refund_state) == ((), None)


@pytest.mark.parametrize(
    ("currency", "amount", "money"),
    [
        ("usd", 1999, Money(1999, "USD", 2)),
        ("JPY", 4200, Money(4200, "JPY", 0)),
        ("ISK", 500, Money(5, "ISK", 0)),
        ("UGX", 500, Money(5, "UGX", 0)),
        ("MGA", 5, Money(500, "MGA", 2)),
        ("KWD", 1250, Money(1250, "KWD", 3)),
    ],
)
def test_stripe_units(currency, amount, money):
    """Amounts are in Stripe's smallest unit, and come out in ISO's."""
    assert (
        stated(currency=currency, amount=amount, taxAmount=None, subtotal=None, applicationFee=None).block.amount
        == money
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"currency": "XYZ"}, "unknown_currency"),
        ({"currency": "ISK", "amount": 501}, "inexact_amount"),
        ({"amount": 90.0}, "shape"),
        ({"amount": "9000"}, "shape"),
        ({"amount": -1}, "shape"),
        ({"amount": None}, "shape"),
        ({"amount": 2**80}, "shape"),
        ({"refundedAmount": -5}, "shape"),
        ({"updatedAt": 1.5e12}, "shape"),
        ({"updatedAt": None}, "shape"),
        ({"createdAt": "yesterday"}, "shape"),
    ],
)
def test_what_is_not_understood(changes, reason):
    """A value that cannot be believed quarantines the answer; no amount is made up."""
    outcome = answered({**PAYMENT, **changes}).outcome
    assert isinstance(outcome, Quarantined)
    assert outcome.reason == reason


def test_the_answers_own_mode():
    """The object says its mode; a payment of the other one is quarantined, and an old object says none."""
    live = Account(provider=FLOWGLAD, name="acme", livemode=True)
    assert answered(PAYMENT).livemode is False
    assert answered(PAYMENT, account=live).outcome.reason == "wrong_mode"
    old = {key: value for key, value in PAYMENT.items() if key != "livemode"}
    assert isinstance(answered(old, account=live).outcome, Stated)
    assert answered(old, account=live).livemode is True


def test_an_answer_about_another_payment():
    """An answer must be about what was asked for."""
    assert answered(PAYMENT, asked="pym_other").outcome.reason == "answer_mismatch"


def test_card_numbers_in_free_text():
    """No card number leaves by the description or the message."""
    block = stated(status="failed", description="4242424242424242", failureMessage="4242 4242 4242 4242 bad").block
    assert "424242424242" not in block.description
    assert block.failure.message.endswith("4242 bad")
    assert "4242 4242" not in block.failure.message
