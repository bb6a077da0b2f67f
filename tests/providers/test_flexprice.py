"""Flexprice, rule by rule. The shapes are of https://docs.flexprice.io and its public source; the payloads are the
sandbox's own. Signatures are made by the svix package.
"""

import hashlib
import itertools
import json
from datetime import UTC, datetime

import pytest
from svix.webhooks import Webhook

from paymux.canonical import (
    Entity,
    Failure,
    FailureCategory,
    Method,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
    State,
)
from paymux.delivery import Asked, Delivery, ObjectRef, Proof, Verified, Via
from paymux.errors import Rejected, Untranslatable
from paymux.lifecycle import Heard, Known, join, read, state_of
from paymux.money import Money
from paymux.provider import Account
from paymux.providers.flexprice import (
    FLEXPRICE,
    IGNORED,
    METHODS,
    REFUND_STATUSES,
    STATUSES,
    payment_state,
    refund_state,
)
from paymux.sandbox.samples import answers, webhook, webhooks
from paymux.signatures import confirmed, trusted, verify
from paymux.statement import Fact, Ignored, Stated, Statement
from paymux.translate import translate
from paymux.wild import parse_json

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
STATIC = "a-header-secret-of-32-characters"
NATIVE = {"delivery": "native"}
NOW = datetime(2026, 10, 1, 9, 0, tzinfo=UTC)
ASKED = Asked(ref=ObjectRef(object="payment", id="pay_01M3VAFZP07KQW3ZT9XN5RB2DM"))
ACCOUNT = Account(provider=FLEXPRICE, name="acme")
PAYMENT = "pay_01M3VAFZP07KQW3ZT9XN5RB2DM"


def delivery(
    body: bytes, *headers: tuple[bytes, bytes], via: Via = Via.WEBHOOK, asked: Asked | None = None
) -> Delivery:
    return Delivery(
        id="dlv_1",
        provider="flexprice",
        account="acme",
        received_at=NOW,
        body=body,
        headers=headers,
        via=via,
        asked=asked,
    )


def signed(body: bytes, message: str = "msg_2bT4nV8kQx", family: bytes = b"svix-") -> Verified:
    signature = Webhook(SECRET).sign(message, NOW, body.decode())
    headers = {b"id": message, b"timestamp": str(int(NOW.timestamp())), b"signature": signature}
    scheme = FLEXPRICE.scheme({})
    sent = delivery(body, *((family + name, value.encode()) for name, value in headers.items()))
    return verify(sent, [(scheme, [scheme.key(SECRET)])])


def native(body: bytes, header: bytes = b"X-Api-Key", options: dict[str, str] = NATIVE) -> Verified:
    scheme = FLEXPRICE.scheme(options)
    return verify(delivery(body, (header, STATIC.encode())), [(scheme, [scheme.key(STATIC)])])


def sample(name: str, **changes: object) -> bytes:
    """A sample's body, its object changed; a value of `...` takes the key away."""
    event_type, _, variant = name.partition("--")
    event = json.loads(webhook("flexprice", event_type, variant).body)
    found = event.get("payment") or event.get("refund") or event
    found.update(changes)
    for key in [key for key, value in changes.items() if value is ...]:
        del found[key]
    return json.dumps(event).encode()


def one(body: bytes) -> Statement:
    (item,) = translate(ACCOUNT, signed(body))
    assert isinstance(item.outcome, Stated), item.outcome
    (statement,) = item.outcome.statements
    return statement


def quarantined(body: bytes) -> tuple[str, str | None]:
    (item,) = translate(ACCOUNT, signed(body))
    return item.outcome.reason, item.outcome.path


def api(name: str, variant: str = "") -> bytes:
    return next(each.body for each in answers("flexprice") if (each.name, each.variant) == (name, variant))


def key(verified: Verified) -> str | None:
    return FLEXPRICE.head(verified, parse_json(verified.delivery.body)).event_key


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- proof


@pytest.mark.parametrize("family", [b"svix-", b"webhook-"])
def test_the_default_proof_is_svix_signature(family):
    """Under either family of header names, and the message id is the event key."""
    verified = signed(sample("payment.updated"), family=family)
    assert verified.proof is Proof.SIGNATURE
    assert key(verified) == "msg_2bT4nV8kQx"


def test_an_unsigned_delivery_is_refused_by_default():
    """A header secret proves nothing unless the account is configured for native deliveries."""
    scheme = FLEXPRICE.scheme({})
    with pytest.raises(Rejected):
        verify(delivery(sample("payment.updated"), (b"X-Api-Key", STATIC.encode())), [(scheme, [scheme.key(SECRET)])])
    assert scheme == FLEXPRICE.scheme({"delivery": "svix"}) == FLEXPRICE.signature


def test_a_native_delivery_is_proven_by_its_static_header():
    """X-Api-Key unless another one is named; the header is secret."""
    assert native(sample("payment.updated")).proof is Proof.STATIC
    options = NATIVE | {"native_header": "X-Flexprice-Token"}
    assert native(sample("payment.updated"), b"X-Flexprice-Token", options).proof is Proof.STATIC
    assert FLEXPRICE.scheme(options).secret_headers == {b"x-flexprice-token"}
    with pytest.raises(Rejected):
        native(sample("payment.updated"), b"X-Other", NATIVE)


def test_only_native_retries_carry_the_current_object():
    """Svix sends the same bytes again; the native job rebuilds them."""
    assert FLEXPRICE.resends_current(native(sample("payment.updated")))
    assert not FLEXPRICE.resends_current(signed(sample("payment.updated")))


# --- event keys


def test_a_file_without_headers_has_its_digest():
    """An operator's file brings no message id."""
    body = sample("payment.updated")
    assert key(trusted(delivery(body))) == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("payment.updated", {"invoice_number": "INV-9"}),
        ("payment.updated--full", {"updated_at": "2026-10-02T00:00:00Z", "metadata": {"a": "b"}}),
        ("refund.failed", {"metadata": {"fallback_refund_id": "refund_2"}}),
        ("payment.attempt.failed", {"error_message": "Told otherwise."}),
    ],
)
def test_a_native_retry_that_was_built_anew_keeps_its_key(name, changes):
    """What is not the object's state may differ."""
    assert key(native(sample(name))) == key(native(sample(name, **changes)))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("payment.updated", {"payment_status": "OVERPAID"}),
        ("payment.updated", {"id": "pay_2"}),
        ("payment.updated", {"succeeded_at": "2026-10-01T08:50:13Z"}),
        ("payment.updated", {"failed_at": "2026-10-01T08:50:13Z"}),
        ("payment.updated", {"refunded_at": "2026-10-01T08:50:13Z"}),
        ("payment.updated", {"voided_at": "2026-10-01T08:50:13Z"}),
        ("refund.failed", {"refund_status": "SUCCEEDED"}),
        ("refund.failed", {"id": "refund_2"}),
        ("refund.failed", {"failed_at": ...}),
        ("refund.failed", {"succeeded_at": "2026-10-01T08:50:13Z"}),
        ("payment.attempt.failed", {"attempt_number": 2}),
        ("payment.attempt.failed", {"payment_id": "pay_2"}),
    ],
)
def test_a_native_event_of_another_state_has_another_key(name, changes):
    """Object, status and the times of the statuses tell one event from the next."""
    assert key(native(sample(name))) != key(native(sample(name, **changes)))


def test_two_native_events_of_one_state_have_two_keys():
    """payment.success and payment.updated may show the same object."""
    assert key(native(sample("payment.success"))) != key(native(sample("payment.updated")))


def test_a_native_event_that_is_ignored_is_keyed_by_its_body():
    """It has no state that we read."""
    keys = {key(native(b'{"event_type": "invoice.update", "invoice": {"id": "inv_%d"}}' % n)) for n in (1, 1, 2)}
    assert len(keys) == 2


# --- events


def test_every_documented_event_is_in_one_of_two_lists():
    """Payments and refunds are translated, all others ignored by decision."""
    assert set(FLEXPRICE.events) == {
        "payment.created",
        "payment.updated",
        "payment.pending",
        "payment.success",
        "payment.failed",
        "payment.attempt.failed",
        "refund.created",
        "refund.succeeded",
        "refund.failed",
    }
    assert not IGNORED & set(FLEXPRICE.events)
    families = {"alert", "checkout", "credit_note", "customer", "entitlement", "event", "feature", "invoice"}
    assert {name.partition(".")[0] for name in IGNORED} == families | {"subscription", "wallet"}


@pytest.mark.parametrize("name", ["invoice.update.payment", "invoice.payment.failed", "checkout.session.completed"])
def test_bills_and_checkouts_are_ignored(name):
    """Also where they are about a payment: its own events say the same."""
    (item,) = translate(ACCOUNT, signed(json.dumps({"event_type": name}).encode()))
    assert isinstance(item.outcome, Ignored)


@pytest.mark.parametrize("name", ["customer.usage.alert", "feature.usage.alert", "wallet.alert"])
def test_alerts_are_ignored(name):
    """Also those that only the page about thresholds names:
    https://docs.flexprice.io/docs/customers/threshold-notifications
    """
    (item,) = translate(ACCOUNT, signed(json.dumps({"event_type": name}).encode()))
    assert isinstance(item.outcome, Ignored)


@pytest.mark.parametrize("name", ["payment.succeeded", "payment.voided", "dispute.created"])
def test_an_event_of_neither_list_is_quarantined(name):
    """payment.succeeded is none of Flexprice's: it says payment.success."""
    assert quarantined(json.dumps({"event_type": name}).encode())[0] == "unknown_event_type"


# --- payments


def test_a_slim_payment_is_told_whole():
    """The form since 2026-08: no metadata, no created_at, no updated_at."""
    assert one(sample("payment.updated")) == Statement(
        block=Payment(
            id=PAYMENT,
            status=PaymentStatus.SUCCEEDED,
            provider_status="SUCCEEDED",
            amount=Money(24990, "USD", 2),
            method=Method(type="card"),
            invoice_id="inv_01M3VAE530V4HC8GYE6SA1PJ0F",
            reference="INV-202610-0031",
            paid_at=time("2026-10-01T08:50:12.481920Z"),
        ),
        at=time("2026-10-01T08:50:12.481920Z"),
        payment_id=PAYMENT,
    )


def test_a_full_payment_is_told_whole():
    """The form before; its attempts say nothing of their own."""
    assert one(sample("payment.updated--full")) == Statement(
        block=Payment(
            id=PAYMENT,
            status=PaymentStatus.SUCCEEDED,
            provider_status="SUCCEEDED",
            amount=Money(24990, "USD", 2),
            method=Method(type="card"),
            invoice_id="inv_01M3VAE530V4HC8GYE6SA1PJ0F",
            reference="INV-202610-0031",
            created_at=time("2026-10-01T08:50:00.102938Z"),
            updated_at=time("2026-10-01T08:50:13.000005Z"),
            paid_at=time("2026-10-01T08:50:12.481920Z"),
            metadata={"team": "billing", "po_number": "PO-7781"},
        ),
        at=time("2026-10-01T08:50:13.000005Z"),
        payment_id=PAYMENT,
    )


def test_an_api_answer_says_what_the_full_webhook_says():
    """One object, two ways."""
    assert payment_state(parse_json(api("payment")), ASKED) == (one(sample("payment.updated--full")),)


def test_the_status_table_is_the_documented_enum():
    """VOIDED came later than the others, and is not in every copy of the documentation."""
    enum = "INITIATED PENDING PROCESSING SUCCEEDED OVERPAID FAILED REFUNDED PARTIALLY_REFUNDED VOIDED"
    assert set(STATUSES) == set(enum.split())
    assert set(REFUND_STATUSES) == {"PENDING", "PROCESSING", "SUCCEEDED", "FAILED", "CANCELLED"}


@pytest.mark.parametrize(("word", "status"), STATUSES.items())
@pytest.mark.parametrize("name", ["payment.created", "payment.pending", "payment.success", "payment.failed"])
def test_the_object_says_the_status_and_not_the_name_of_the_event(name, word, status):
    """The body is built when it is sent, and payment.success is sent before the payment is saved."""
    block = one(sample(name, payment_status=word)).block
    assert (block.status, block.provider_status) == (status, word)


@pytest.mark.parametrize("word", ["succeeded", "CANCELLED", "CHARGEBACK", ""])
def test_an_unknown_status_is_quarantined(word):
    """Also in lower case, as one third-party copy of the documentation has it."""
    assert quarantined(sample("payment.updated", payment_status=word)) == ("unknown_status", "/payment/payment_status")


@pytest.mark.parametrize(
    ("word", "facts", "refund_state"),
    [
        ("SUCCEEDED", (), None),
        ("OVERPAID", (Fact(name="overpaid", says=(1,)),), None),
        ("PARTIALLY_REFUNDED", (Fact(name="refunded", says=(0, 0)),), "partial"),
        ("REFUNDED", (Fact(name="refunded", says=(1, 0)),), "full"),
        ("VOIDED", (), None),
    ],
)
def test_some_statuses_are_facts_beside_the_status(word, facts, refund_state):
    """Refunded and overpaid payments did succeed; how much was refunded is not said."""
    statement = one(sample("payment.updated", payment_status=word))
    assert (statement.facts, statement.refund_state) == (facts, refund_state)
    assert statement.block.amount_refunded is None


def test_a_voided_payment_is_canceled():
    """Its authorization was released."""
    assert one(sample("payment.updated--voided")).block.status is PaymentStatus.CANCELED


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("payment.updated--verification", PaymentStatus.SUCCEEDED),
        ("payment.updated--verification-voided", PaymentStatus.CANCELED),
    ],
)
def test_a_payment_to_a_customer_verifies_a_card(name, status):
    """It is no revenue, belongs to no invoice, and is voided afterwards."""
    block = one(sample(name)).block
    assert (block.purpose, block.status) == ("verification", status)
    assert (block.customer_id, block.invoice_id) == ("cust_01M3RR38P0A5GJ9VE2PC7SHY0F", None)


def test_a_destination_of_another_kind_is_quarantined():
    """It may be no revenue, as CUSTOMER is not: nobody guesses."""
    assert quarantined(sample("payment.updated", destination_type="LEDGER")) == ("shape", "/payment/destination_type")


@pytest.mark.parametrize(("word", "method"), METHODS.items())
def test_every_documented_method_has_a_word(word, method):
    """Six of them; UPI came later."""
    assert one(sample("payment.updated", payment_method_type=word)).block.method == Method(type=method)


@pytest.mark.parametrize("word", ["SEPA", ..., None])
def test_an_unknown_method_is_not_guessed(word):
    """And keeps nothing back: it decides nothing."""
    assert one(sample("payment.updated", payment_method_type=word)).block.method is None


def test_a_failed_payment_has_the_gateways_sentence():
    """There is no code, so no category either."""
    statement = one(sample("payment.failed"))
    assert statement.block.failure == Failure(
        category=FailureCategory.UNKNOWN, message="Payment was not completed on time."
    )
    assert statement.at == time("2026-10-01T08:55:30Z")


@pytest.mark.parametrize("word", [word for word in STATUSES if word != "FAILED"])
def test_a_message_alone_fails_nothing(word):
    """An error may stay with a payment that went on, or back to INITIATED."""
    assert one(sample("payment.failed", payment_status=word)).block.failure is None


@pytest.mark.parametrize(
    ("name", "changes", "at"),
    [
        ("payment.updated--refunded", {}, "2026-10-02T08:52:00Z"),
        ("payment.updated--partially-refunded", {}, "2026-10-02T08:52:00Z"),
        ("payment.updated--overpaid", {}, "2026-10-01T08:50:12.481920Z"),
        ("payment.updated--voided", {}, "2026-10-01T08:50:40Z"),
        ("payment.updated--failed", {}, "2026-10-01T08:55:30Z"),
        ("payment.updated--refunded-full", {}, "2026-10-02T08:52:01Z"),
        ("payment.created--full", {"updated_at": ...}, "2026-10-01T08:50:00.102938Z"),
    ],
)
def test_the_time_of_a_payment_is_its_own_where_it_has_one(name, changes, at):
    """Updated, else the time of its status, else its making."""
    assert one(sample(name, **changes)).at == time(at)


@pytest.mark.parametrize("name", ["payment.created", "payment.pending--processing", "payment.attempt.failed"])
def test_a_slim_open_payment_has_no_time(name):
    """Nothing in the body tells one."""
    assert one(sample(name)).at is None


def test_a_failed_attempt_is_a_fact_of_an_open_payment():
    """The body is flat; it says neither status nor amount."""
    payment_id = "pay_01M3VAS4N0D9RM2XK6TZ4WQ8BN"
    failure = Failure(category=FailureCategory.DECLINED, message="The bank did not answer in time.")
    assert one(sample("payment.attempt.failed")) == Statement(
        block=Payment(id=payment_id, failure=failure),
        payment_id=payment_id,
        facts=(Fact(name="attempt_failed"),),
    )
    assert one(sample("payment.attempt.failed--bare")).block.failure == Failure(category=FailureCategory.DECLINED)


# --- money


@pytest.mark.parametrize(
    ("amount", "currency", "money"),
    [
        ("5000", "usd", Money(500000, "USD", 2)),
        ("12.5", "usd", Money(1250, "USD", 2)),
        ("12.500", "usd", Money(1250, "USD", 2)),
        ("0", "eur", Money(0, "EUR", 2)),
        ("36500", "jpy", Money(36500, "JPY", 0)),
        ("1.234", "kwd", Money(1234, "KWD", 3)),
    ],
)
def test_amounts_are_major_units_in_text(amount, currency, money):
    """By the currency's ISO exponent, exactly."""
    assert one(sample("payment.updated", amount=amount, currency=currency)).block.amount == money


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": "12.345"}, "inexact_amount"),
        ({"amount": "0.5", "currency": "jpy"}, "inexact_amount"),
        ({"amount": 12.5}, "shape"),
        ({"amount": 12}, "shape"),
        ({"amount": "1e3"}, "shape"),
        ({"amount": "-12.50"}, "shape"),
        ({"amount": ""}, "shape"),
        ({"amount": ...}, "shape"),
        ({"currency": "usdt"}, "unknown_currency"),
    ],
)
def test_an_amount_that_is_not_exact_is_quarantined(changes, reason):
    """No rounding, no number in place of the text."""
    assert quarantined(sample("payment.updated", **changes))[0] == reason


def test_card_numbers_in_free_text_are_masked():
    """In messages, references and metadata."""
    number = "4242424242424242"
    body = sample("payment.failed", error_message=number, invoice_number=number, metadata={"note": number})
    assert number not in repr(one(body))


# --- refunds


def test_a_refund_is_told_whole():
    """Planned, before the money moves."""
    assert one(sample("refund.created")) == Statement(
        block=Refund(
            id="refund_01M3XWWPP0H2VC7PE4SJ9AGY0F",
            payment_id=PAYMENT,
            status=RefundStatus.PENDING,
            provider_status="PENDING",
            amount=Money(5000, "USD", 2),
            reason="REQUESTED_BY_CUSTOMER",
            destination="original",
        ),
        payment_id=PAYMENT,
    )


@pytest.mark.parametrize(("word", "status"), REFUND_STATUSES.items())
def test_every_refund_status_has_its_own(word, status):
    """From the object, and only FAILED has a failure."""
    block = one(sample("refund.failed", refund_status=word)).block
    assert (block.status, block.provider_status) == (status, word)
    assert (block.failure is not None) == (word == "FAILED")


def test_an_unknown_refund_status_is_quarantined():
    """American spelling included."""
    assert quarantined(sample("refund.failed", refund_status="CANCELED")) == ("unknown_status", "/refund/refund_status")


@pytest.mark.parametrize(
    ("word", "destination"),
    [("GATEWAY", "original"), ("WALLET", "wallet"), ("OUT_OF_BAND", "out_of_band"), ("CHEQUE", None), (..., None)],
)
def test_where_a_refund_went(word, destination):
    """Store credit is not money back; an unknown place is none."""
    assert one(sample("refund.succeeded", refund_destination=word)).block.destination == destination


def test_a_failed_refund_is_followed_by_another_to_the_wallet():
    """The new row names the failed one, and may be the first that is heard of it."""
    failed = one(sample("refund.failed--with-fallback")).block
    retry = one(sample("refund.succeeded--wallet-after-failure")).block
    assert failed.failure == Failure(category=FailureCategory.UNKNOWN, message="The card's account is closed.")
    assert failed.metadata == {"fallback_refund_id": retry.id}
    assert (retry.retry_of, retry.destination, retry.payment_id) == (failed.id, "wallet", failed.payment_id)


def test_what_no_payment_covers_is_refunded_without_one():
    """The payment is not known then, by no name."""
    statement = one(sample("refund.succeeded--wallet-without-payment"))
    assert (statement.payment_id, statement.payment_alias, statement.block.payment_id) == (None, None, None)


def test_a_refund_is_also_read_in_its_full_form():
    """The earlier webhook carried all of the API's object."""
    statement = one(sample("refund.created--full"))
    assert statement.block.created_at == time("2026-10-02T08:50:00.000007Z")
    assert statement.at == time("2026-10-02T08:50:01Z")


@pytest.mark.parametrize(
    ("variant", "status"),
    [
        ("", RefundStatus.SUCCEEDED),
        ("processing", RefundStatus.PROCESSING),
        ("failed", RefundStatus.FAILED),
        ("cancelled", RefundStatus.CANCELED),
    ],
)
def test_the_api_knows_refund_statuses_that_no_event_tells(variant, status):
    """PROCESSING and CANCELLED are found by asking."""
    (statement,) = refund_state(parse_json(api("refund", variant)), ASKED)
    assert statement.block.status is status


# --- lifecycle


def state_after(*bodies: bytes) -> State | None:
    """The payment's state after these bodies, in this order."""
    known = Known()
    for number, body in enumerate(bodies):
        statement = one(body)
        reading = read(
            known, statement, Heard(transitions=FLEXPRICE.transitions, event_key=f"{number}", snapshot=False)
        )
        known = join(known, statement, reading, announced=1)
    return state_of(known, PAYMENT)


def test_every_order_of_arrival_ends_alike():
    """Slim bodies have no time, so rank orders: what comes late changes nothing."""
    names = ["payment.created", "payment.pending", "payment.updated--processing", "payment.updated"]
    story = [sample(name) for name in (*names, "payment.updated--refunded")]
    states = {repr(state_after(*order)) for order in itertools.permutations(story)}
    assert len(states) == 1
    assert (state_after(*story).status, state_after(*story).refund_state) == ("succeeded", "full")


def test_a_time_orders_nothing():
    """Only some bodies have one: a PROCESSING that was touched after the success is still the older status."""
    late = sample("payment.updated--processing", updated_at="2026-10-01T09:00:00Z")
    assert state_after(sample("payment.updated"), late).status == "succeeded"
    assert state_after(late, sample("payment.updated")).status == "succeeded"


@pytest.mark.parametrize("order", list(itertools.permutations(["payment.updated", "payment.updated--voided"])))
def test_a_void_follows_a_success(order):
    """The one move that Flexprice makes out of a final status."""
    assert state_after(*map(sample, order)).status == "canceled"
    assert FLEXPRICE.transitions.allows(Entity.PAYMENT, "succeeded", "canceled")


def test_no_other_final_status_is_left():
    """FAILED, REFUNDED and VOIDED are final, and so is each outcome of a refund."""
    transitions = FLEXPRICE.transitions
    left = {
        (old, new) for old in PaymentStatus for new in PaymentStatus if transitions.allows(Entity.PAYMENT, old, new)
    }
    assert left == {("succeeded", "canceled")}
    assert not any(transitions.allows(Entity.REFUND, old, new) for old in RefundStatus for new in RefundStatus)


def test_a_failure_never_outranks_a_success():
    """Neither a payment's nor a refund's: the money moved."""
    for entity in (Entity.PAYMENT, Entity.REFUND):
        ranks = FLEXPRICE.transitions.ranks[entity]
        assert ranks["failed"] < ranks["succeeded"]
        assert len(set(ranks.values())) == len(ranks)


# --- API


def test_the_api_is_asked_as_documented():
    """x-api-key, four regions, and ids that cannot lead elsewhere."""
    api = FLEXPRICE.api
    assert api.headers("sk_1", {}) == {"x-api-key": "sk_1"}
    assert set(api.regions) == {"us", "india", "canada", "eu"} == set(FLEXPRICE.options[2].choices)
    assert api.url + api.objects["payment"].path == "https://us.api.flexprice.io/v1/payments/{id}"
    assert api.objects["refund"].path == "/refunds/{id}"
    for kind, good in (("payment", PAYMENT), ("refund", "refund_01M3XWWPP0H2VC7PE4SJ9AGY0F")):
        pattern = api.objects[kind].id_pattern
        assert pattern.fullmatch(good)
        assert not any(pattern.fullmatch(bad) for bad in ("..", "pay_1/../2", "pay_", "", "pay 1"))


@pytest.mark.parametrize(
    ("items", "pagination", "following"),
    [
        (2, {"total": 5, "limit": 2, "offset": 2}, {"offset": "2"}),
        (2, {"total": 5, "limit": 2, "offset": 4}, {"offset": "4"}),
        (1, {"total": 5, "limit": 2, "offset": 6}, None),
        (2, {"total": 4, "limit": 2, "offset": 4}, None),
        (0, {"total": 5, "limit": 2, "offset": 2}, None),
        (2, {"total": 2, "limit": 2, "offset": 0}, None),
    ],
)
def test_the_returned_offset_is_that_of_the_next_page(items, pagination, following):
    """It is the one asked for plus the limit."""
    page = json.dumps({"items": [{"id": f"pay_{n}"} for n in range(items)], "pagination": pagination}).encode()
    assert FLEXPRICE.api.payments.following(parse_json(page)) == following


def test_an_offset_that_does_not_move_on_is_an_error():
    """Following it would read the first page for ever, leaving out the rest would hide it."""
    page = b'{"items": [{"id": "pay_1"}, {"id": "pay_2"}], "pagination": {"total": 5, "limit": 2, "offset": 0}}'
    with pytest.raises(Untranslatable):
        FLEXPRICE.api.payments.following(parse_json(page))


def test_every_documented_filter_may_be_given():
    """There is none for the time of the last change."""
    filters = FLEXPRICE.api.payments.filters
    assert {
        "payment_status",
        "status",
        "payment_ids",
        "start_time",
        "end_time",
        "order",
        "gateway_payment_id",
    } <= filters
    assert "updated_at" not in filters
    assert len(filters) == 17


def test_what_was_made_in_a_time_is_one_list():
    """By creation, the only time that there is a filter for; oldest first, so that what is new moves no page."""
    since, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    assert FLEXPRICE.api.payments.within(since, until) == [
        {"start_time": "2026-01-01T00:00:00.000Z", "end_time": "2026-01-02T03:04:05.678Z", "order": "asc"}
    ]


def test_a_listed_page_is_translated_item_by_item():
    """Two payments, each with its own status."""
    asked = Asked(ref=ObjectRef(object="payments", id="list"))
    items = translate(ACCOUNT, confirmed(delivery(api("list", "page1"), via=Via.RECONCILE, asked=asked)))
    assert [item.outcome.statements[0].block.status for item in items] == ["succeeded", "failed"]


@pytest.mark.parametrize("each", webhooks("flexprice"), ids=lambda each: each.label)
def test_every_sample_is_translated_or_ignored(each):
    """And each event of the table has one."""
    (item,) = translate(ACCOUNT, signed(each.body))
    assert item.event_type == each.name
    assert isinstance(item.outcome, Stated if each.name in FLEXPRICE.events else Ignored)
    assert set(FLEXPRICE.events) <= {found.name for found in webhooks("flexprice")}
