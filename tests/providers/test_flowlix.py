"""Flowlix, rule by rule. The shapes are of https://docs.flowlix.dev; the payloads are the sandbox's own."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest

from paymux.canonical import Failure, FailureCategory, Method, Payment, PaymentStatus, Refund, RefundStatus
from paymux.delivery import Asked, Delivery, ObjectRef, Proof, Verified, Via
from paymux.errors import Rejected, Untranslatable
from paymux.money import Money
from paymux.provider import Account
from paymux.providers.flowlix import FAILURES, FLOWLIX, REFUND_STATUSES, STATUSES, payment_state
from paymux.sandbox.samples import answers, webhook, webhooks
from paymux.signatures import confirmed, verify
from paymux.statement import Fact, Stated, Statement
from paymux.translate import translate
from paymux.wild import parse_json

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
NOW = 1790672500
ASKED = Asked(ref=ObjectRef(object="payment", id="pay_w4Rt8Kz2Mq6Vb1Nc9Xj3Lp5H"))
ACCOUNT = Account(provider=FLOWLIX, name="acme", livemode=False)


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def signed(body: bytes, key: bytes = SECRET.encode(), time: int = NOW) -> Delivery:
    """By hand, as the documentation says it: hex HMAC-SHA256 over `{t}.{body}`."""
    digest = hmac.new(key, f"{time}.".encode() + body, hashlib.sha256).hexdigest()
    return Delivery(
        id="dlv_1",
        provider="flowlix",
        account="acme",
        received_at=at(NOW),
        body=body,
        headers=((b"Flowlix-Signature", f"t={time},v1={digest}".encode()),),
    )


def prove(delivery: Delivery, options: dict[str, str] | None = None) -> Verified:
    scheme = FLOWLIX.scheme(options or {})
    return verify(delivery, [(scheme, [scheme.key(SECRET)])])


def stated(body: bytes) -> tuple[Statement, ...]:
    (item,) = translate(ACCOUNT, prove(signed(body)))
    assert isinstance(item.outcome, Stated), item.outcome
    return item.outcome.statements


def one(body: bytes) -> Statement:
    (statement,) = stated(body)
    return statement


def sample(name: str, **changes: object) -> bytes:
    """A sample's body, its payment or refund changed; a value of `...` takes the key away."""
    event_type, _, variant = name.partition("--")
    event = json.loads(webhook("flowlix", event_type, variant).body)
    found = event["data"]["payment" if event_type.startswith("payment") else "refund"]
    found.update(changes)
    for key in [key for key, value in changes.items() if value is ...]:
        del found[key]
    return json.dumps(event).encode()


def answer(variant: str = "", **changes: object) -> tuple[Statement, ...]:
    body = next(each.body for each in answers("flowlix") if (each.name, each.variant) == ("payment", variant))
    return payment_state(parse_json(json.dumps(json.loads(body) | changes).encode()), ASKED)


# --- signature


def test_the_whole_secret_is_the_key_by_default():
    """The `whsec_` string as it stands proves a delivery; the decoded one does not."""
    body = sample("payment.succeeded")
    assert prove(signed(body)).proof is Proof.SIGNATURE
    with pytest.raises(Rejected):
        prove(signed(body, key=base64.b64decode(SECRET.removeprefix("whsec_"))))


def test_the_secret_is_decoded_where_the_option_says_so():
    """`secret_encoding = "base64"` takes the bytes after `whsec_`, and only those."""
    body = sample("payment.succeeded")
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    assert prove(signed(body, key=key), {"secret_encoding": "base64"}).proof is Proof.SIGNATURE
    with pytest.raises(Rejected):
        prove(signed(body), {"secret_encoding": "base64"})


def test_configuring_keeps_what_else_the_scheme_was_given():
    """The encoding is changed alone: header and tolerance stay as they were."""
    scheme = FLOWLIX.scheme({"secret_encoding": "base64"})
    assert (scheme.header, scheme.tolerance) == (b"flowlix-signature", 300)


def test_a_signature_older_than_five_minutes_is_refused():
    """300 seconds are accepted, 301 are too old."""
    body = sample("payment.succeeded")
    prove(signed(body, time=NOW - 300))
    with pytest.raises(Rejected) as caught:
        prove(signed(body, time=NOW - 301))
    assert caught.value.reason == "too_old"


# --- envelope


def test_the_head_says_what_the_envelope_says():
    """Key, type, time and mode come from the signed body."""
    head = FLOWLIX.head(prove(signed(sample("payment.succeeded"))), parse_json(sample("payment.succeeded")))
    assert head.event_key == "evt_Vc2Nx7Lk4Qe9Rt1Yb6Hm3Zs8"
    assert head.event_type == "payment.succeeded"
    assert head.occurred_at == at(1790672434)
    assert head.livemode is False


@pytest.mark.parametrize("change", [{"amount_refunded": 2990}, {"status": "CANCELED"}, {"description": "Corrected"}])
def test_a_retry_that_carries_a_newer_object_is_no_conflict(change):
    """`data` is the current object: the same event may come again with something else in it by then."""
    first, again = (
        translate(ACCOUNT, prove(signed(sample("payment.succeeded", **changes))))[0] for changes in ({}, change)
    )
    assert first.event_key == again.event_key
    assert first.fingerprint == again.fingerprint


@pytest.mark.parametrize("change", [{"amount": 1}, {"currency": "USD"}, {"id": "pay_000000000000000000000000"}])
def test_a_retry_about_something_else_is_a_conflict(change):
    """Identity, amount and currency still have to agree."""
    first, again = (
        translate(ACCOUNT, prove(signed(sample("payment.succeeded", **changes))))[0] for changes in ({}, change)
    )
    assert first.fingerprint != again.fingerprint


def test_the_other_mode_is_quarantined():
    """A live account takes no test events."""
    account = Account(provider=FLOWLIX, name="acme", livemode=True)
    (item,) = translate(account, prove(signed(sample("payment.succeeded"))))
    assert item.outcome.reason == "wrong_mode"


def test_an_event_that_no_page_names_is_quarantined():
    """There is no payment.created: it would be news to us."""
    event = json.loads(sample("payment.succeeded")) | {"type": "payment.created"}
    (item,) = translate(ACCOUNT, prove(signed(json.dumps(event).encode())))
    assert item.outcome.reason == "unknown_event_type"


# --- payments


def test_a_succeeded_payment_is_told_whole():
    """Everything that the object says and the contract has a place for."""
    assert one(sample("payment.succeeded")) == Statement(
        block=Payment(
            id="pay_w4Rt8Kz2Mq6Vb1Nc9Xj3Lp5H",
            status=PaymentStatus.SUCCEEDED,
            provider_status="SUCCEEDED",
            amount=Money(8990, "EUR", 2),
            amount_refunded=Money(0, "EUR", 2),
            method=Method(type="card", brand="visa", last4="4242"),
            reference="order-20260929-0417",
            description="Order 0417: two chairs",
            created_at=at(1790672400),
            paid_at=at(1790672434),
            metadata={"order_id": "0417", "basket": {"lines": 2, "gift": False}},
        ),
        at=at(1790672434),
        payment_id="pay_w4Rt8Kz2Mq6Vb1Nc9Xj3Lp5H",
    )


@pytest.mark.parametrize(("word", "status"), STATUSES.items())
def test_every_status_of_the_documentation_has_its_own(word, status):
    """The status is the object's, whatever the event is called."""
    statement = one(sample("payment.failed", status=word))
    assert (statement.block.status, statement.block.provider_status) == (status, word)


def test_the_status_table_is_the_documented_enum():
    """Seven words, one L in CANCELED, none for refunded."""
    assert set(STATUSES) == {"PENDING", "REQUIRES_ACTION", "PROCESSING", "SUCCEEDED", "FAILED", "CANCELED", "EXPIRED"}
    assert set(REFUND_STATUSES) == {"PENDING", "SUCCEEDED", "FAILED"}


@pytest.mark.parametrize("word", ["REFUNDED", "CANCELLED", "succeeded", ""])
def test_a_status_that_is_not_in_the_table_is_quarantined(word):
    """Also the lower-case words of the older documentation, whose objects differ in more than that."""
    (item,) = translate(ACCOUNT, prove(signed(sample("payment.succeeded", status=word))))
    assert (item.outcome.reason, item.outcome.path) == ("unknown_status", "/data/payment/status")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 1790672434),
        ({"status_transitions": {"succeeded_at": 1790672433, "processing_at": 1790672431}}, 1790672433),
        ({"status_transitions": {"succeeded_at": None, "processing_at": 1790672431}}, 1790672434),
        ({"status_transitions": None}, 1790672434),
        ({"status_transitions": ...}, 1790672434),
    ],
)
def test_the_time_of_a_status_is_when_it_was_entered(changes, expected):
    """From status_transitions; where that says nothing, the event's own time."""
    assert one(sample("payment.succeeded", **changes)).at == at(expected)


def test_webhook_and_api_answer_share_one_clock():
    """The same object gives the same time by either way, so neither makes the other stale."""
    assert answer("succeeded")[0].at == one(sample("payment.succeeded")).at
    assert answer("failed")[0].at == one(sample("payment.failed")).at


def test_an_open_payment_without_a_transition_has_the_time_of_its_making():
    """PENDING has no transition of its own."""
    (statement,) = answer("pending")
    assert statement.block.status is PaymentStatus.PENDING
    assert statement.at == statement.block.created_at == at(1790672400)


def test_a_payment_waits_for_the_customer_before_it_is_processed():
    """3D Secure: each answer is newer than the one before."""
    times = [answer(variant)[0].at for variant in ("pending", "requires-action", "processing", "succeeded")]
    assert times == sorted(set(times))


# --- failures


def test_a_stray_decline_code_fails_nothing():
    """The published SUCCEEDED example has one: only the status says that a payment failed."""
    statement = one(sample("payment.succeeded--stray-decline-code"))
    assert statement.block.status is PaymentStatus.SUCCEEDED
    assert statement.block.failure is None


@pytest.mark.parametrize("word", [word for word in STATUSES if word != "FAILED"])
def test_only_a_failed_payment_has_a_failure(word):
    """Codes beside any other status are left alone."""
    assert one(sample("payment.failed", status=word)).block.failure is None


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        (
            "payment.failed",
            Failure(
                category=FailureCategory.DECLINED,
                decline_code="insufficient_funds",
                message="The card has insufficient funds.",
            ),
        ),
        (
            "payment.failed--failure-code",
            Failure(
                category=FailureCategory.FRAUD, code="suspect_fraud", message="The payment was blocked by a fraud rule."
            ),
        ),
        (
            "payment.failed--unlisted-code",
            Failure(
                category=FailureCategory.UNKNOWN, decline_code="issuer_timeout_91", message="The issuer did not answer."
            ),
        ),
    ],
)
def test_the_reason_of_a_failure_is_read_from_either_pair_of_fields(name, failure):
    """decline_* of the schema, failure_* of the newest guide; an unlisted code is kept and its category unknown."""
    assert one(sample(name)).block.failure == failure


@pytest.mark.parametrize(("code", "category"), FAILURES.items())
def test_every_documented_code_has_a_category(code, category):
    """By either field."""
    for key in ("decline_code", "failure_code"):
        codes = {"decline_code": None, key: code}
        assert one(sample("payment.failed", **codes)).block.failure.category is category


def test_a_known_code_beside_an_unknown_one_tells_the_category():
    """Both fields are looked up."""
    body = sample("payment.failed", failure_code="newer_word", decline_code="stolen_card")
    assert one(body).block.failure.category is FailureCategory.FRAUD


def test_of_two_known_codes_the_failure_code_tells_the_category():
    """It is the newest guide's word."""
    body = sample("payment.failed", failure_code="suspect_fraud", decline_code="do_not_honor")
    assert one(body).block.failure.category is FailureCategory.FRAUD


def test_a_failure_without_a_code_is_still_a_failure():
    """The status is enough."""
    body = sample("payment.failed", decline_code=None, decline_message=None)
    assert one(body).block.failure == Failure(category=FailureCategory.UNKNOWN)


# --- refunds


@pytest.mark.parametrize(
    ("amount_refunded", "facts"),
    [
        (0, ()),
        (1, (Fact(name="refunded", says=(0, 1)),)),
        (8989, (Fact(name="refunded", says=(0, 8989)),)),
        (8990, (Fact(name="refunded", says=(1, 8990)),)),
        (8991, (Fact(name="refunded", says=(1, 8991)),)),
        (None, ()),
        (..., ()),
    ],
)
def test_the_cumulative_amount_says_what_was_refunded(amount_refunded, facts):
    """No status does: full from the whole amount on, and nothing said where nothing is known."""
    assert one(sample("payment.succeeded", amount_refunded=amount_refunded)).facts == facts


def test_refunds_nested_in_a_webhook_say_nothing():
    """They have events of their own."""
    (statement,) = stated(sample("payment.succeeded--resent"))
    assert statement.block.entity == "payment"


def test_a_refund_is_told_whole():
    """With its payment's id, and the time of its completion."""
    assert one(sample("refund.failed")) == Statement(
        block=Refund(
            id="ref_D3gY7pR1uE6aH9tB4kM8oV2i",
            payment_id="pay_w4Rt8Kz2Mq6Vb1Nc9Xj3Lp5H",
            status=RefundStatus.FAILED,
            provider_status="FAILED",
            amount=Money(1000, "EUR", 2),
            reason="duplicate",
            failure=Failure(
                category=FailureCategory.DECLINED,
                decline_code="issuer_declined",
                message="The issuer refused the refund.",
            ),
            created_at=at(1790762400),
            updated_at=at(1790762475),
            metadata={"ticket": "RMA-88"},
        ),
        at=at(1790762475),
        payment_id="pay_w4Rt8Kz2Mq6Vb1Nc9Xj3Lp5H",
    )


@pytest.mark.parametrize(("word", "status"), REFUND_STATUSES.items())
def test_every_refund_status_that_was_seen_has_its_own(word, status):
    """As for payments, from the object; only FAILED has a failure."""
    block = one(sample("refund.failed", status=word)).block
    assert block.status is status
    assert (block.failure is not None) == (word == "FAILED")


def test_a_refund_of_no_payment_is_quarantined():
    """`payment_id` is always there; without it the refund could not be put in its payment's order."""
    (item,) = translate(ACCOUNT, prove(signed(sample("refund.succeeded", payment_id=...))))
    assert (item.outcome.reason, item.outcome.path) == ("shape", "/data/refund/payment_id")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"completed_at": 1790758861}, 1790758861),
        ({"completed_at": None}, 1790758860),
        ({"completed_at": None, "updated_at": None}, 1790758860),
        ({"completed_at": ..., "updated_at": ...}, 1790758860),
    ],
)
def test_the_time_of_a_refund(changes, expected):
    """Completed, else updated, else the event's."""
    assert one(sample("refund.succeeded", **changes)).at == at(expected)


def test_an_api_answer_tells_the_payment_and_then_its_refunds():
    """Oldest first, as Flowlix lists them."""
    told = [(each.block.entity, each.block.id[:6], each.block.status) for each in answer()]
    assert told == [
        ("payment", "pay_w4", "succeeded"),
        ("refund", "ref_T5", "succeeded"),
        ("refund", "ref_D3", "failed"),
    ]
    assert {each.payment_id for each in answer()} == {"pay_w4Rt8Kz2Mq6Vb1Nc9Xj3Lp5H"}


def test_a_nested_refund_says_what_its_webhook_says():
    """Told twice, it is the same statement."""
    nested = {each.block.id: each for each in answer("refunded")}
    for name in ("refund.succeeded", "refund.succeeded--rest", "refund.failed"):
        told = one(sample(name))
        assert nested[told.block.id] == told


def test_a_nested_refund_needs_no_payment_id():
    """It is its payment's."""
    bare = {"id": "ref_1", "amount": 100, "currency": "EUR", "status": "PENDING", "created_at": 1790758800}
    _, told = answer(refunds=[bare])
    assert (told.payment_id, told.block.payment_id) == (ASKED.ref.id, ASKED.ref.id)
    assert told.at == at(1790758800)


def test_a_refund_is_no_payment():
    """It has all that a payment must have, and the payment's id beside its own."""
    with pytest.raises(Untranslatable) as caught:
        answer(payment_id=ASKED.ref.id)
    assert (caught.value.reason, caught.value.path) == ("shape", "/payment_id")


# --- money and texts


@pytest.mark.parametrize("amount", ["8990", 89.9, True, None, 2**63, -8990])
def test_an_amount_that_is_none_is_quarantined(amount):
    """Minor units are integers of at most 64 bits, none below zero; no float is rounded."""
    (item,) = translate(ACCOUNT, prove(signed(sample("payment.succeeded", amount=amount))))
    assert item.outcome.reason == "shape"


def test_card_numbers_in_free_text_are_masked():
    """In whatever the merchant or the shopper may have typed."""
    number = "4242 4242 4242 4242"
    body = sample(
        "payment.failed",
        description=number,
        merchant_reference=number,
        decline_message=number,
        metadata={"note": number},
    )
    assert number not in repr(one(body))


def test_a_payment_without_card_details_has_no_method():
    """`card` is null before the details are known."""
    assert one(sample("payment.canceled")).block.method is None


# --- lifecycle and API


@pytest.mark.parametrize("old", ["succeeded", "failed", "canceled", "expired"])
def test_no_final_status_is_left(old):
    """Statuses never move backward."""
    assert not any(FLOWLIX.transitions.allows("payment", old, new) for new in PaymentStatus)


def test_the_api_is_asked_as_documented():
    """Bearer key, one host for both modes, and only ids of the documented form."""
    api = FLOWLIX.api
    pattern = api.objects["payment"].id_pattern
    assert api.headers("api_test_sk_1", {}) == {"Authorization": "Bearer api_test_sk_1"}
    assert api.url + api.objects["payment"].path == "https://api.flowlix.dev/v1/payments/{id}"
    assert pattern.fullmatch("pay_q7Mk2Np8Vr4Xt6Yz9Ab3Cd5E")
    for strange in (
        "pay_a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        "pay_../../refunds",
        "pay_q7Mk2Np8Vr4Xt6Yz9Ab3Cd5E1",
        "pay_1",
    ):
        assert not pattern.fullmatch(strange)


def test_what_was_made_in_a_time_is_one_list():
    """In whole seconds: the last one begun is in it."""
    since, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 5, 500000, tzinfo=UTC)
    assert FLOWLIX.api.payments.within(since, until) == [{"created[gte]": "1767225600", "created[lt]": "1767225606"}]


@pytest.mark.parametrize(
    ("page", "following"),
    [
        ({"data": [{"id": "pay_1"}, {"id": "pay_2"}], "has_more": True}, {"starting_after": "pay_2"}),
        ({"data": [{"id": "pay_1"}], "has_more": False}, None),
        ({"data": [], "has_more": False}, None),
    ],
)
def test_pages_follow_the_last_id(page, following):
    """Newest first, until has_more is false."""
    assert FLOWLIX.api.payments.following(parse_json(json.dumps(page).encode())) == following


def test_an_empty_page_that_is_not_the_last():
    """There is no place to go on from, and what follows would be taken for looked at."""
    with pytest.raises(Untranslatable, match="has_more is true"):
        FLOWLIX.api.payments.following(parse_json(b'{"data": [], "has_more": true}'))


def test_a_page_without_has_more_is_no_page():
    """A listing that cannot say whether it ended is not taken for whole."""
    with pytest.raises(Untranslatable):
        FLOWLIX.api.payments.following(parse_json(b'{"data": []}'))


def test_a_listed_page_is_translated_item_by_item():
    """Two payments, the first with two refunds."""
    body = next(each.body for each in answers("flowlix") if (each.name, each.variant) == ("list", "page1"))
    delivery = Delivery(
        id="dlv_2",
        provider="flowlix",
        account="acme",
        received_at=at(NOW),
        body=body,
        via=Via.RECONCILE,
        asked=Asked(ref=ObjectRef(object="payments", id="list")),
    )
    items = translate(ACCOUNT, confirmed(delivery))
    assert [len(item.outcome.statements) for item in items] == [3, 1]


@pytest.mark.parametrize("each", webhooks("flowlix"), ids=lambda each: each.label)
def test_every_sample_is_translated(each):
    """Each event of the table has a sample, and each sample says one thing."""
    assert one(each.body).block.provider_status
    assert {found.name for found in webhooks("flowlix")} == set(FLOWLIX.events)
