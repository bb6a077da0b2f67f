"""FlexPortal's file against its reference: hints, and what GET /v1/payments/{paymentId} says."""

import hashlib
import hmac
import json
import uuid
from datetime import UTC, datetime

import pytest

from paymux.canonical import Entity, FailureCategory, Method, PaymentStatus
from paymux.delivery import Asked, Delivery, ObjectRef, Proof, Via
from paymux.errors import Rejected, SettingsError
from paymux.money import Money
from paymux.provider import Account
from paymux.providers.flexportal import FLEXPORTAL, STATUSES
from paymux.sandbox.samples import answers, webhook
from paymux.signatures import confirmed, verify
from paymux.statement import Ignored, Lookup, Quarantined, Stated
from paymux.translate import only_asks, translate

NOW = datetime(2026, 2, 6, 6, 0, 10, tzinfo=UTC)
OPTIONS = {"tenant_id": "bu_harbour_lease"}
SECRET = "a-shared-secret-of-32-characters"

SAMPLES = {sample.label: json.loads(sample.body) for sample in answers("flexportal")}
PAID, FAILED, LATE = (SAMPLES[label]["payment"] for label in ("payment", "payment--failed", "payment--late-fee"))
CONSOLIDATED, MANUAL = SAMPLES["payment--consolidated"]["payment"], SAMPLES["payment--marked-paid"]["payment"]

HINTED = Account(provider=FLEXPORTAL, name="acme", options=OPTIONS, checks=((FLEXPORTAL.scheme(OPTIONS), ()),))


def with_scheme(**options):
    scheme = FLEXPORTAL.scheme({**OPTIONS, **options})
    return Account(provider=FLEXPORTAL, name="acme", options=OPTIONS, checks=((scheme, (scheme.key(SECRET),)),))


def delivery(body, headers=()):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery(
        id=str(uuid.uuid4()), provider="flexportal", account="acme", received_at=NOW, body=raw, headers=tuple(headers)
    )


def hinted(body, account=HINTED, headers=()):
    (item,) = translate(account, verify(delivery(body, headers), account.checks))
    return item


def answered(raw, *, asked="pay_8RfV2nQx", options=OPTIONS):
    body = raw if isinstance(raw, bytes) else json.dumps({"success": True, "payment": raw}).encode()
    account = Account(provider=FLEXPORTAL, name="acme", options=options)
    answer = Delivery(
        id=str(uuid.uuid4()),
        provider="flexportal",
        account="acme",
        received_at=NOW,
        body=body,
        via=Via.LOOKUP,
        asked=Asked(ref=ObjectRef(object="payment", id=asked)),
    )
    (item,) = translate(account, confirmed(answer))
    return item


def block(payment, **changes):
    outcome = answered({**payment, **changes}, asked=payment["paymentId"]).outcome
    assert isinstance(outcome, Stated), outcome
    return outcome.statements[0].block


def refused(payment, **changes):
    outcome = answered({**payment, **changes}, asked=payment["paymentId"]).outcome
    assert isinstance(outcome, Quarantined), outcome
    return outcome.reason, outcome.path


@pytest.mark.parametrize(
    ("event_type", "settles"),
    [
        ("payment.scheduled", set()),
        ("payment.succeeded", {"succeeded"}),
        ("payment.failed", {"failed", "succeeded", "canceled"}),
    ],
)
def test_a_hint(event_type, settles):
    """An unproven body only names the payment: it has no event key, no time, no mode."""
    item = hinted(webhook("flexportal", event_type).body)
    assert item.outcome == Lookup(objects=(ObjectRef(object="payment", id="pay_8RfV2nQx"),), settles=frozenset(settles))
    assert (item.event_key, item.event_type, item.occurred_at, item.livemode) == (None, event_type, None, None)


@pytest.mark.parametrize(
    "data",
    [
        {"paymentId": "pay_1"},
        {"id": "pay_1"},
        {"payment": {"paymentId": "pay_1", "id": "evt_2"}},
        {"payment": {"id": "pay_1"}, "id": "evt_2"},
        {"paymentId": "pay_1", "id": "evt_2", "payment": {"id": "pay_3"}},
    ],
)
def test_where_the_id_may_stand(data):
    """Nothing published says where the id is, so each likely place is read, the surest first."""
    item = hinted({"event": "payment.succeeded", "timestamp": "2026-02-06T06:00:09Z", "data": data})
    assert [ref.id for ref in item.outcome.objects] == ["pay_1"]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"paymentId": "../orders"},
        {"paymentId": ".."},
        {"paymentId": 7},
        {"id": ["pay_1"]},
        {"payment": "pay_1"},
        None,
    ],
)
def test_a_hint_about_nothing(data):
    """A hint without a payment id is nothing to act on, so that it can be rejected."""
    item = hinted({"event": "payment.succeeded", "data": data})
    assert isinstance(item.outcome, Quarantined)
    assert item.outcome.reason == "shape"
    assert not only_asks([item])


@pytest.mark.parametrize(
    "event_type",
    [
        *("order.created", "order.fulfilled", "asset.assigned", "asset.returned"),
        *("subscription.created", "subscription.extended", "subscription.upgraded", "subscription.ended"),
        *("subscription.renewed", "subscription.cancelled"),
    ],
)
def test_the_other_events_of_both_lists(event_type):
    """Every other documented event is known and not translated."""
    assert hinted({"event": event_type, "data": {}}).outcome == Ignored()


@pytest.mark.parametrize("event_type", ["payment.cancelled", "payment.processing", "payment.refunded"])
def test_events_that_are_not_documented(event_type):
    """An event that was never announced is unknown, however likely it sounds."""
    assert hinted({"event": event_type, "data": {"paymentId": "pay_1"}}).outcome.reason == "unknown_event_type"


def test_a_static_header():
    """A shared header proves the delivery; the payment is asked for all the same, once for each body."""
    account, body = with_scheme(static_header="X-Paymux-Token"), webhook("flexportal", "payment.succeeded").body
    assert account.checks[0][0].proof is Proof.STATIC
    item = hinted(body, account, [(b"X-Paymux-Token", SECRET.encode())])
    assert isinstance(item.outcome, Lookup)
    assert item.event_key == hashlib.sha256(body).hexdigest()
    with pytest.raises(Rejected):
        hinted(body, account, [(b"X-Paymux-Token", b"another-secret-of-32-characters!")])


def test_an_hmac():
    """An operator may name header, algorithm, encoding and prefix of an HMAC."""
    account = with_scheme(hmac_header="X-Signature", hmac_algorithm="sha512", hmac_prefix="sha512=")
    body = webhook("flexportal", "payment.failed").body
    signature = hmac.new(SECRET.encode(), body, "sha512").hexdigest()
    item = hinted(body, account, [(b"x-signature", f"sha512={signature}".encode())])
    assert isinstance(item.outcome, Lookup)
    assert item.event_key == hashlib.sha256(body).hexdigest()
    with pytest.raises(Rejected):
        hinted(body + b" ", account, [(b"x-signature", f"sha512={signature}".encode())])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"static_header": "X-A", "hmac_header": "X-B"}, "static_header"),
        ({"static_header": "X A"}, "static_header"),
        ({"hmac_header": "X:B"}, "hmac_header"),
    ],
)
def test_options_that_make_no_scheme(options, named):
    """A header that cannot be, or two schemes at once, is a mistake that names its option."""
    with pytest.raises(SettingsError, match=named):
        FLEXPORTAL.scheme(options)


def test_every_status():
    """Each of the five words has a status; `scheduled` stands in prose only and is quarantined."""
    assert {word: block(PAID, status=word).status for word in STATUSES} == STATUSES
    assert STATUSES["paid"] is PaymentStatus.SUCCEEDED
    assert refused(PAID, status="scheduled") == ("unknown_status", "/payment/status")


def test_failed_is_not_final():
    """A retry, mark-paid and cancel lead out of failed; nothing leads out of paid or cancelled."""
    moves = FLEXPORTAL.transitions
    reached = {status for status in PaymentStatus if moves.allows(Entity.PAYMENT, "failed", status)}
    assert {PaymentStatus.PROCESSING, PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED} <= reached
    assert not any(moves.allows(Entity.PAYMENT, "succeeded", status) for status in PaymentStatus)
    assert not any(moves.allows(Entity.PAYMENT, "canceled", status) for status in PaymentStatus)


def test_a_paid_payment():
    """Everything that the object says of it is in the block; an old capture error is no failure."""
    paid = block(PAID)
    assert (paid.status, paid.provider_status, paid.failure) == (PaymentStatus.SUCCEEDED, "paid", None)
    assert (paid.amount, paid.breakdown.subtotal, paid.breakdown.tax, paid.breakdown.late_fee) == (
        Money(8899, "EUR", 2),
        Money(7478, "EUR", 2),
        Money(1421, "EUR", 2),
        None,
    )
    assert (paid.customer_id, paid.subscription_id, paid.reference) == ("cust_w4Kd82Lm", "sub_Tq61Zx9B", None)
    assert paid.due_at == datetime(2026, 2, 3, tzinfo=UTC)
    assert paid.paid_at == paid.updated_at == datetime(2026, 2, 6, 6, 0, 8, tzinfo=UTC)
    assert paid.created_at == datetime(2026, 2, 1, tzinfo=UTC)
    assert paid.metadata["transactionId"] == "pi_3SxK2mQ7Lw9RtBv1"
    assert (paid.method, paid.line_items, paid.amount_refunded) == (None, None, None)


def test_what_may_be_absent():
    """Dates and a subtotal that are not there are no reason to refuse what is known."""
    spare = {key: value for key, value in PAID.items() if key not in ("createdAt", "dueDate", "subtotal", "taxAmount")}
    found = block(spare)
    assert (found.created_at, found.due_at, found.breakdown) == (None, None, None)
    assert found.amount == Money(8899, "EUR", 2)
    assert block(PAID, subtotal=None).breakdown.tax == Money(1421, "EUR", 2)


def test_a_failed_payment():
    """The last capture error is the failure, and the next try has its time."""
    failed = block(FAILED)
    failure = failed.failure
    assert (failure.category, failure.code) == (FailureCategory.DECLINED, "card_declined")
    assert (failure.decline_code, failure.message) == ("insufficient_funds", "The card was declined.")
    assert failed.next_retry_at == datetime(2026, 2, 6, 6, tzinfo=UTC)
    assert block(FAILED, lastCaptureError=None).failure is None
    undeclined = block(FAILED, lastCaptureError={"code": "timeout", "message": "No answer"}).failure
    assert undeclined.category is FailureCategory.UNKNOWN


def test_the_failure_reason_of_the_prose():
    """`failureReason`, which only the page's prose has, is the message where there is no other."""
    assert block(LATE).failure.message == "Mandate was revoked"
    assert block(FAILED, failureReason="other words").failure.message == "The card was declined."


def test_a_consolidated_payment():
    """Its items have the subscriptions as references; the payment itself has none."""
    payment = block(CONSOLIDATED)
    assert payment.subscription_id is None
    assert payment.metadata["billingGroupId"] == "bg_Rm48Ck2"
    assert [(item.reference, item.amount.minor, item.tax.minor) for item in payment.line_items] == [
        ("sub_Aa10Kq7", 30000, 5700),
        ("sub_Aa10Kq8", 6300, 1197),
    ]
    assert payment.line_items[1].description == "6 docking stations"
    assert sum(item.amount.minor + item.tax.minor for item in payment.line_items) == payment.amount.minor


def test_a_payment_marked_by_hand():
    """Money that came another way: offline, with the operator's reference and words, and a day instead of a time."""
    payment = block(MANUAL)
    assert (payment.method, payment.status) == (Method(type="offline"), PaymentStatus.SUCCEEDED)
    assert (payment.reference, payment.description) == (MANUAL["paymentReference"], MANUAL["notes"])
    assert payment.paid_at == datetime(2026, 1, 24, tzinfo=UTC)
    assert "markedBy" not in payment.metadata
    assert block(PAID, provider="paypal").method == Method(type="wallet", wallet="paypal")


def test_a_late_fee():
    """`total` is what is due with the fee in it, whether `amount` is the figure before, after, or absent."""
    for changes in ({}, {"amount": 98.99}, {"amount": None}, {"amount": None, "originalAmount": None}):
        late = block(LATE, **changes)
        assert (late.amount.minor, late.breakdown.late_fee.minor) == (9899, 1000)
    assert block(PAID, lateFeeAmount=10, lateFeeApplied=False).breakdown.late_fee is None


@pytest.mark.parametrize(
    ("payment", "changes", "path"),
    [
        (PAID, {"amount": 88.98}, "/payment/amount"),
        (PAID, {"amount": 78.99, "lateFeeAmount": 10}, "/payment/amount"),
        (LATE, {"amount": 108.99}, "/payment/amount"),
        (LATE, {"total": 88.99, "amount": None}, "/payment/originalAmount"),
        (LATE, {"originalAmount": 88.98}, "/payment/originalAmount"),
    ],
)
def test_amounts_that_contradict_each_other(payment, changes, path):
    """Where `amount`, `total` and a late fee don't agree, nobody guesses which one is due."""
    assert refused(payment, **changes) == ("shape", path)


@pytest.mark.parametrize(
    ("digits", "currency", "minor"),
    [
        (b"0.1", b"EUR", 10),
        (b"4.35", b"EUR", 435),
        (b"1.15", b"usd", 115),
        (b"89", b"EUR", 8900),
        (b"89.000", b"EUR", 8900),
        (b"1e2", b"EUR", 10000),
        (b"90071992547409.93", b"EUR", 9007199254740993),
        (b"1.005", b"KWD", 1005),
        (b"500", b"JPY", 500),
    ],
)
def test_numbers_as_they_stand(digits, currency, minor):
    """A JSON number is money by its own digits, also where a float would be off by one."""
    raw = json.dumps({"success": True, "payment": {**PAID, "amount": None, "taxAmount": None}}).encode()
    raw = raw.replace(b"88.99", digits).replace(b"74.78", digits).replace(b'"EUR"', b'"%b"' % currency)
    outcome = answered(raw).outcome
    assert isinstance(outcome, Stated), outcome
    assert outcome.statements[0].block.amount.minor == minor


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"total": 88.995, "amount": None}, "inexact_amount"),
        ({"currency": "JPY"}, "inexact_amount"),
        ({"currency": "XXQ"}, "unknown_currency"),
        ({"total": -88.99, "amount": None}, "shape"),
        ({"total": "88.99"}, "shape"),
        ({"total": None}, "shape"),
        ({"total": True}, "shape"),
        ({"total": 10**30, "amount": None}, "shape"),
        ({"updatedAt": "2026-02-06"}, "shape"),
        ({"dueDate": "soon"}, "shape"),
        ({"lineItems": {}}, "shape"),
        ({"lateFeeApplied": "no"}, "shape"),
    ],
)
def test_what_is_not_understood(changes, reason):
    """A value that cannot be believed quarantines the answer."""
    assert refused(PAID, **changes)[0] == reason


def test_another_tenant():
    """A payment of another business unit is not this account's; offline there is nothing to compare with."""
    other = {**PAID, "tenantId": "bu_other"}
    outcome = answered(other).outcome
    assert (outcome.reason, outcome.path) == ("wrong_tenant", "/payment/tenantId")
    assert isinstance(answered(other, options={}).outcome, Stated)


def test_an_answer_without_a_payment():
    """An error in a 200 is no payment."""
    assert answered(b'{"success":false,"error":{"code":"NOT_FOUND","message":"x"}}').outcome.reason == "shape"


def test_nothing_of_the_processors_response_is_told():
    """`providerResponse` may hold anything, so none of it reaches the event; nor does who marked it."""
    told = repr(answered({**PAID, "providerResponse": {"pan": "4242424242424242"}, "markedBy": "jane@x.example"}))
    assert "4242424242424242" not in told
    assert "jane" not in told


def test_what_may_have_moved_in_a_time():
    """By due date, the only time that there is a filter for: what is pending up to the next day, for that is when it is
    due, and all else open-ended, since it may be paid long before it is due.
    """
    since, until = datetime(2026, 1, 9, 10, tzinfo=UTC), datetime(2026, 1, 10, 10, tzinfo=UTC)
    lists = FLEXPORTAL.api.payments.within(since, until)
    due = {"dueDateFrom": "2026-01-09"}
    assert lists == [
        {"status": "pending", **due, "dueDateTo": "2026-01-11"},
        *({"status": word, **due} for word in ("processing", "paid", "failed", "cancelled")),
    ]
