"""Braintree, rule by rule. The shapes are of https://developer.paypal.com/braintree/docs/reference/general/webhooks and
of its SDK's test notifications; the payloads are the sandbox's own.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import braintree
import pytest
from signers import BRAINTREE_KEY, PLAIN, WAYS

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
    Settlement,
)
from paymux.journal import Entry
from paymux.journal.changes import Rules
from paymux.journal.memory import MemoryJournal
from paymux.money import Money
from paymux.providers.braintree import (
    BRAINTREE,
    DEBIT_STATUSES,
    DISPUTE_STATUSES,
    IGNORED,
    METHODS,
    REFUND_STATUSES,
    REJECTIONS,
    STAGES,
    STATUSES,
)
from paymux.records import Topics
from paymux.sandbox.samples import webhook
from paymux.signatures import trusted, verify
from paymux.signatures.path_token import PathToken
from paymux.statement import Fact, Ignored, Quarantined, Stated, Statement
from paymux.translate import translate

[WAY] = [way for way in WAYS if way.provider is BRAINTREE]
ACCOUNT = WAY.account(livemode=True)
PUBLISHED = Path(__file__).parents[2] / "../shared/samples/braintree"
CHARGE, DISBURSED = "subscription_charged_unsuccessfully", "transaction_disbursed"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def dollars(minor: int) -> Money:
    return Money(minor, "USD", 2)


def euros(minor: int) -> Money:
    return Money(minor, "EUR", 2)


def sample(label: str, **changes: str | None) -> bytes:
    """A sample's body with another element in place of the first one of that name (`_` for `-`); None takes it out."""
    name, _, variant = label.partition("--")
    text = webhook("braintree", name, variant).body.decode()
    for key, element in changes.items():
        line = next(line for line in text.splitlines() if line.strip().startswith(f"<{key.replace('_', '-')}"))
        text = text.replace(line, element or "", 1)
    return text.encode()


def item(body: bytes):
    [found] = translate(ACCOUNT, verify(WAY.delivery(body), ACCOUNT.checks))
    return found


def one(body: bytes) -> Statement:
    found = item(body).outcome
    assert isinstance(found, Stated), found
    [statement] = found.statements
    return statement


def quarantined(body: bytes) -> tuple[str, str | None]:
    found = item(body).outcome
    assert isinstance(found, Quarantined), found
    return found.reason, found.path


# --- envelope


def test_the_head_says_what_the_envelope_says():
    """Kind and time come from the signed XML; there is no mode, so the account's counts."""
    found = item(sample("transaction_settled"))
    assert found.event_type == "transaction_settled"
    assert found.occurred_at == at("2026-01-09T09:58:31Z")
    assert found.livemode is True


def test_the_event_key_is_what_was_said():
    """The same notification has one key, however it is signed, spaced or wrapped; anything else in it makes another."""
    body = sample("transaction_settled")
    key = item(body).event_key
    [rotated] = translate(WAY.account(PLAIN[1]), verify(WAY.delivery(body, PLAIN[1]), WAY.account(PLAIN[1]).checks))
    [imported] = translate(ACCOUNT, trusted(WAY.sent(body, ())))
    assert key == rotated.event_key == imported.event_key == item(body.replace(b"\n", b"\n  ")).event_key
    others = [
        sample("transaction_settled", timestamp="<timestamp>2026-01-09T09:58:32Z</timestamp>"),
        sample("transaction_settled", id="<id>k5r8xw2r</id>"),
        sample("transaction_settled", refund_ids='<refund-ids type="array"><item>x</item></refund-ids>'),
    ]
    assert len({key, *(item(other).event_key for other in others)}) == 4


def test_the_trailing_newline_makes_no_other_key():
    """Both forms of a payload verify, so both are one event."""
    whole = WAY.delivery(sample("transaction_settled"))
    bare = replace(whole, body=whole.body.removesuffix(b"%0A"))
    assert bare != whole
    [first], [second] = (translate(ACCOUNT, verify(one, ACCOUNT.checks)) for one in (whole, bare))
    assert first.event_key == second.event_key


@pytest.mark.parametrize(
    "payload",
    [
        "x" * 40,
        "=" * 40,
        "A" * 41,
        "PG5vdGlmaWNhdGlvbj4=" * 3,
        "//79" * 20,
        "PGE+PC9hPg==" + "\n" * 40 + "PGE+PC9hPg==",
    ],
)
def test_a_signed_payload_that_is_no_notification(payload):
    """It is genuine, so it is kept and quarantined; nothing is raised."""
    [found] = translate(ACCOUNT, trusted(WAY.sent(f"bt_signature=x&bt_payload={payload}".encode(), ())))
    assert isinstance(found.outcome, Quarantined)
    assert found.outcome.reason == "shape"


def test_a_document_type_in_a_signed_payload():
    """Also from Braintree itself nothing is expanded or fetched."""
    body = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + sample("transaction_settled")
    assert item(body).outcome == Quarantined(reason="shape", detail="the XML holds a document type")


# --- payments


def test_a_settled_bank_debit():
    """Everything that it says, in canonical words."""
    assert one(sample("transaction_settled")) == Statement(
        block=Payment(
            id="k5r8xw2q",
            status=PaymentStatus.SUCCEEDED,
            provider_status="settled",
            amount=dollars(64000),
            breakdown=Breakdown(tax=dollars(5280)),
            method=Method(type="us_bank_account", last4="6789"),
            customer_id="48210977",
            reference="order-20417",
            created_at=at("2026-01-05T14:02:11Z"),
            updated_at=at("2026-01-09T09:58:30Z"),
            metadata={"desk": "north"},
        ),
        at=at("2026-01-09T09:58:31Z"),
        payment_id="k5r8xw2q",
    )


def test_a_disbursed_card_payment():
    """What reached the merchant, in the currency of settlement, is a fact beside the status."""
    statement = one(sample(DISBURSED))
    assert statement.facts == (Fact(name="settled", says=(1,)),)
    assert statement.block.settlement == Settlement(
        amount=dollars(9722), exchange_rate="1.0814", settled_at=at("2026-01-11T00:00:00Z")
    )
    assert statement.block.settled_at == at("2026-01-11T00:00:00Z")
    assert statement.block.breakdown == Breakdown(shipping=euros(490), discount=euros(1000))
    assert statement.block.method == Method(type="card", brand="Visa", last4="1881")


@pytest.mark.parametrize(
    "changes", [{"success": "<success type='boolean'>false</success>"}, {"disbursement_date": None}]
)
def test_not_disbursed(changes):
    """Details without a date, or of a disbursement that failed, say nothing."""
    statement = one(sample(DISBURSED, **changes))
    assert (statement.facts, statement.block.settlement, statement.block.settled_at) == ((), None, None)


# Braintree's word -> of a payment by card, of a bank debit, of a refund.
# https://developer.paypal.com/braintree/docs/reference/general/statuses
TOLD = {
    "authorizing": ("processing", "processing", "processing"),
    "authorized": ("authorized", "authorized", "processing"),
    "authorization_expired": ("expired", "expired", "failed"),
    "submitted_for_settlement": ("succeeded", "processing", "processing"),
    "settlement_pending": ("processing", "processing", "processing"),
    "settling": ("succeeded", "processing", "processing"),
    "settlement_confirmed": ("succeeded", "processing", "processing"),
    "settled": ("succeeded", "succeeded", "succeeded"),
    "settlement_declined": ("failed", "failed", "failed"),
    "settlement_failed": ("failed", "failed", "failed"),
    "processor_declined": ("failed", "failed", "failed"),
    "gateway_rejected": ("failed", "failed", "failed"),
    "failed": ("failed", "failed", "failed"),
    "voided": ("canceled", "canceled", "canceled"),
}


def test_every_word_of_a_transaction_is_told():
    """Here, in the tables for each kind of transaction."""
    assert TOLD.keys() == STATUSES.keys() == DEBIT_STATUSES.keys() == REFUND_STATUSES.keys()


@pytest.mark.parametrize("word", TOLD)
def test_the_status_of_a_card_payment(word):
    """Submitted for settlement is captured; the processor's pending is not."""
    statement = one(sample(DISBURSED, status=f"<status>{word}</status>"))
    assert (statement.block.status, statement.block.provider_status) == (TOLD[word][0], word)
    assert (statement.block.failure is None) is (TOLD[word][0] != "failed")


@pytest.mark.parametrize("word", TOLD)
@pytest.mark.parametrize("instrument", ["us_bank_account", "sepa_debit_account", "europe_bank_account"])
def test_the_status_of_a_bank_debit(word, instrument):
    """It has not succeeded before it settled."""
    kind = f"<payment-instrument-type>{instrument}</payment-instrument-type>"
    body = sample("transaction_settled", status=f"<status>{word}</status>", payment_instrument_type=kind)
    assert one(body).block.status == TOLD[word][1]


def test_a_debit_that_is_tried_again():
    """A payment of its own, which has not succeeded yet, also where nothing says that it is a debit."""
    statement = one(sample("transaction_retried"))
    assert (statement.payment_id, statement.block.status) == ("n7t3bv9c", PaymentStatus.PROCESSING)
    bare = one(sample("transaction_retried", payment_instrument_type=None))
    assert (bare.block.status, bare.block.method) == (PaymentStatus.PROCESSING, None)


@pytest.mark.parametrize(
    ("element", "path"),
    [
        (None, "/notification/subject/transaction/type"),
        ("<type>reversal</type>", "/notification/subject/transaction/type"),
        ('<type nil="true"/>', "/notification/subject/transaction/type"),
    ],
)
def test_a_transaction_of_no_known_type(element, path):
    """Whether money came or went is not guessed."""
    assert quarantined(sample("transaction_settled", type=element)) == ("shape", path)


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("100", "USD", dollars(10000)),
        ("100.00", "USD", dollars(10000)),
        ("0.01", "USD", dollars(1)),
        ("100", "JPY", Money(100, "JPY", 0)),
        ("100.00", "JPY", Money(100, "JPY", 0)),
        ("1.234", "KWD", Money(1234, "KWD", 3)),
        ("92233720368547758.07", "USD", dollars(2**63 - 1)),
        ("100", "usd", dollars(10000)),
    ],
)
def test_money(amount, currency, expected):
    """Major units, exactly, with the currency's own decimals."""
    body = sample(
        DISBURSED,
        amount=f"<amount>{amount}</amount>",
        currency_iso_code=f"<currency-iso-code>{currency}</currency-iso-code>",
        shipping_amount=None,
        discount_amount=None,
    )
    assert one(body).block.amount == expected


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ("<amount>1.234</amount>", "inexact_amount"),
        ("<amount>1e3</amount>", "shape"),
        ("<amount>1,00</amount>", "shape"),
        ("<amount> 1.00 </amount>", "shape"),
        ("<amount>+1.00</amount>", "shape"),
        ("<amount>0x10</amount>", "shape"),
        ("<amount>NaN</amount>", "shape"),
        ("<amount/>", "shape"),
        (None, "shape"),
        ('<amount type="integer">100</amount>', "shape"),
        ("<amount>1.00</amount><amount>2.00</amount>", "shape"),
        ("<amount><value>1.00</value></amount>", "shape"),
        ("<amount>92233720368547758.08</amount>", "shape"),
    ],
)
def test_an_amount_that_is_none(element, reason):
    """Quarantined at its place."""
    found = quarantined(sample(DISBURSED, amount=element))
    assert found[0] == reason
    assert found[1] in (None, "/notification/subject/transaction/amount")


def test_an_amount_without_currency():
    """Every transaction of Braintree's has one: without it there is no money to speak of."""
    place = "/notification/subject/transaction/currency-iso-code"
    assert quarantined(sample(DISBURSED, currency_iso_code=None)) == ("shape", place)
    unknown = "<currency-iso-code>XYZ</currency-iso-code>"
    assert quarantined(sample(DISBURSED, currency_iso_code=unknown))[0] == "unknown_currency"


@pytest.mark.parametrize("instrument", METHODS)
def test_methods(instrument):
    """Each instrument has a word of ours; its details stand under a name of their own."""
    key, method = METHODS[instrument]
    kind = f"<payment-instrument-type>{instrument}</payment-instrument-type>"
    details = f"<{key}><last-4>4242</last-4><card-type>Visa</card-type></{key}>".encode()
    body = sample(DISBURSED, payment_instrument_type=kind).replace(b"credit-card>", b"another-card>")
    body = body.replace(b"<another-card>", details + b"<another-card>")
    assert one(body).block.method == replace(method, brand="Visa", last4="4242")


def test_a_method_of_no_known_kind():
    """Its own word says what it is."""
    kind = "<payment-instrument-type>meta_checkout_card</payment-instrument-type>"
    assert one(sample(DISBURSED, payment_instrument_type=kind)).block.method == Method(type="meta_checkout_card")


# --- subscriptions


def test_a_charged_subscription():
    """The newest of its transactions is the one that the event is about."""
    statement = one(sample("subscription_charged_successfully"))
    assert (statement.payment_id, statement.block.status) == ("m3x7pz5n", PaymentStatus.SUCCEEDED)
    assert (statement.block.subscription_id, statement.block.amount) == ("b6hj2k", dollars(1900))


def test_a_declined_charge():
    """The processor's code and words, and what kind of failure that is."""
    assert one(sample(CHARGE)).block.failure == Failure(
        category=FailureCategory.DECLINED,
        code="processor_declined",
        decline_code="2001",
        message="Insufficient Funds",
    )


@pytest.mark.parametrize(
    ("reason", "category"),
    [
        ("fraud", FailureCategory.FRAUD),
        ("three_d_secure", FailureCategory.AUTHENTICATION),
        ("cvv", FailureCategory.DECLINED),
        ("duplicate", FailureCategory.TECHNICAL),
        ("a_new_one", FailureCategory.UNKNOWN),
    ],
)
def test_a_charge_that_the_gateway_rejected(reason, category):
    """The gateway's own rule."""
    element = f"<gateway-rejection-reason>{reason}</gateway-rejection-reason>"
    assert one(sample(f"{CHARGE}--rejected", gateway_rejection_reason=element)).block.failure == Failure(
        category=category, code=reason
    )


def test_a_declined_settlement():
    """What the bank answered to the settlement, not to the authorisation."""
    assert one(sample("transaction_settlement_declined")).block.failure == Failure(
        category=FailureCategory.DECLINED,
        code="settlement_declined",
        decline_code="4001",
        message="Settlement Declined",
    )


def test_a_charge_without_transaction():
    """Nothing was paid that could be spoken of: its place is named."""
    body = b"""<notification><timestamp type="datetime">2026-01-09T10:00:00Z</timestamp>
        <kind>subscription_charged_successfully</kind>
        <subject><subscription><id>b6hj2k</id><transactions type="array"/></subscription></subject></notification>"""
    assert quarantined(body) == ("shape", "/notification/subject/subscription/transactions")


# --- local payments


def test_a_local_payment_without_transaction():
    """It is a payment of its own id until the transaction exists, and says nothing of money."""
    for kind, status in (("completed", "authorized"), ("expired", "expired"), ("reversed", "canceled")):
        statement = one(sample(f"local_payment_{kind}"))
        assert statement.block == Payment(
            id=statement.payment_id, status=PaymentStatus(status), method=Method(type="local_payment")
        )
        assert statement.at is not None


def test_a_local_payment_with_its_transaction():
    """The transaction is the payment, and the local payment's id is another name of it."""
    statement = one(sample("local_payment_funded"))
    assert (statement.payment_id, statement.aliases) == ("h9b5wd3t", ("5TR81204KE773905X",))
    assert (statement.block.status, statement.block.amount) == (PaymentStatus.SUCCEEDED, euros(7425))
    completed = sample("local_payment_funded").replace(b"local_payment_funded", b"local_payment_completed")
    for subject in (b"local-payment", b"local-payment-completed"):
        found = one(completed.replace(b"local-payment-funded", subject))
        assert (found.payment_id, found.aliases) == ("h9b5wd3t", ("5TR81204KE773905X",))


def test_a_transaction_of_a_local_payment():
    """It names the local payment wherever it is told of."""
    details = "<payment-instrument-type>local_payment</payment-instrument-type><local-payment><payment-id>5TR8</payment-id></local-payment>"
    statement = one(sample(DISBURSED, payment_instrument_type=details))
    assert (statement.payment_id, statement.aliases) == ("w4c9rg7d", ("5TR8",))


def test_funded_without_transaction():
    """That kind always has one."""
    body = sample("local_payment_expired").replace(b"local_payment_expired", b"local_payment_funded")
    body = body.replace(b"local-payment-expired", b"local-payment-funded")
    assert quarantined(body) == ("shape", "/notification/subject/local-payment-funded/transaction")


# --- refunds


def test_a_refund():
    """A transaction of the type credit, which names the one that it gives back."""
    assert one(sample("transaction_settled--refund")) == Statement(
        block=Refund(
            id="p2d6jh4s",
            payment_id="k5r8xw2q",
            status=RefundStatus.SUCCEEDED,
            provider_status="settled",
            amount=dollars(12000),
            created_at=at("2026-01-16T11:30:00Z"),
            updated_at=at("2026-01-20T10:15:08Z"),
        ),
        at=at("2026-01-20T10:15:09Z"),
        payment_id="k5r8xw2q",
    )


@pytest.mark.parametrize("word", TOLD)
def test_the_status_of_a_refund(word):
    """Every word of a transaction's has a meaning for a refund."""
    body = sample("transaction_settled--refund", status=f"<status>{word}</status>")
    assert one(body).block.status == TOLD[word][2]


def test_a_failed_refund():
    """Its kind is enough to tell: the type need not be there."""
    statement = one(sample("refund_failed", type=None))
    assert isinstance(statement.block, Refund)
    assert statement.block.failure == Failure(
        category=FailureCategory.DECLINED,
        code="processor_declined",
        decline_code="2044",
        message="Declined - Call Issuer",
    )


def test_a_refund_of_a_payment_that_is_not_named():
    """A foreign key of Braintree's is no id: the refund stands alone."""
    key = "<refunded-transaction-fk>1</refunded-transaction-fk>"
    statement = one(sample("refund_failed", refunded_transaction_id=key))
    assert (statement.payment_id, statement.payment_alias, statement.block.payment_id) == (None, None, None)


# --- disputes


def test_a_dispute():
    """The transaction inside it is its payment."""
    assert one(sample("dispute_opened")) == Statement(
        block=Dispute(
            id="d4q8zt2m6x9k3v7b",
            payment_id="w4c9rg7d",
            status=DisputeStatus.NEEDS_RESPONSE,
            provider_status="open",
            stage="chargeback",
            amount=euros(8990),
            reason=DisputeReason(category="product_not_received", code="13.1"),
            evidence_due_at=at("2026-02-20T00:00:00Z"),
            created_at=at("2026-02-02T07:15:00Z"),
            updated_at=at("2026-02-02T07:15:00Z"),
        ),
        at=at("2026-02-02T07:15:02Z"),
        payment_id="w4c9rg7d",
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("open", "needs_response"),
        ("disputed", "under_review"),
        ("under_review", "under_review"),
        ("accepted", "accepted"),
        ("auto_accepted", "accepted"),
        ("expired", "expired"),
        ("won", "won"),
        ("lost", "lost"),
    ],
)
def test_the_status_of_a_dispute(word, status):
    """Each of Braintree's words."""
    assert one(sample("dispute_opened", status=f"<status>{word}</status>")).block.status == status


def test_kinds_of_disputes():
    """A retrieval only asks; a kind that nobody knows is not taken for a chargeback."""
    retrieval, second = (
        one(sample("dispute_opened--retrieval")).block,
        one(sample("dispute_opened--pre-arbitration")).block,
    )
    assert (retrieval.stage, retrieval.status) == ("inquiry", DisputeStatus.INQUIRY)
    assert (second.stage, second.status) == ("pre_arbitration", DisputeStatus.NEEDS_RESPONSE)
    body = sample("dispute_opened").replace(b"<kind>chargeback</kind>", b"<kind>arbitration</kind>")
    assert quarantined(body) == ("unknown_status", "/notification/subject/dispute/kind")


def test_the_amount_of_a_dispute():
    """What is disputed, where that is said, and not what was paid."""
    part = sample("dispute_opened", amount_disputed="<amount-disputed>40.00</amount-disputed>")
    assert one(part).block.amount == euros(4000)
    assert one(sample("dispute_opened", amount_disputed=None)).block.amount == euros(8990)


# --- disbursements


def test_a_disbursement():
    """The money left Braintree's bank: nothing says that it arrived. It belongs to no payment."""
    statement = one(sample("disbursement"))
    assert statement == Statement(
        block=Payout(
            id="v9n4kc7z",
            status=PayoutStatus.IN_TRANSIT,
            amount=dollars(184035),
            arrival_at=at("2026-01-13T00:00:00Z"),
        ),
        at=at("2026-01-13T06:30:28Z"),
    )


def test_a_disbursement_that_failed():
    """Why, and what is to be done."""
    block = one(sample("disbursement_exception")).block
    assert (block.status, block.arrival_at) == (PayoutStatus.FAILED, None)
    assert block.failure == Failure(
        category=FailureCategory.UNKNOWN, code="bank_rejected", message="update_funding_information"
    )


@pytest.mark.parametrize("amount", ["12.00", "-12.00"])
def test_money_that_braintree_takes(amount):
    """A debit is a payout below zero, whichever sign it is written with."""
    kind = "<disbursement-type>debit</disbursement-type>"
    body = sample("disbursement", disbursement_type=kind, amount=f"<amount>{amount}</amount>")
    assert one(body).block.amount == dollars(-1200)


@pytest.mark.parametrize("label", ["disbursement", "disbursement_exception"])
def test_a_disbursement_that_contradicts_its_kind(label):
    """One of both is wrong: neither is believed."""
    other = "false" if label == "disbursement" else "true"
    body = sample(label, success=f'<success type="boolean">{other}</success>')
    assert quarantined(body) == ("unknown_status", "/notification/subject/disbursement/success")


# --- over time


async def told(*labels: str) -> list[tuple[str, str | None, str]]:
    """What is published of these samples in this order: (type, transition, key)."""
    topics = Topics(events="events", quarantine="quarantine")
    journal = MemoryJournal(rules=Rules(topics=topics))
    found = []
    for label in labels:
        verified = verify(WAY.delivery(sample(label)), ACCOUNT.checks)
        await journal.append(Entry(account=ACCOUNT, verified=verified, items=translate(ACCOUNT, verified)))
    for row in await journal.read(0, 0, 100):
        event = json.loads(row.record.value)
        key = row.record.key.decode().rpartition("/")[2]
        found.append((event["type"], event["data"]["lifecycle"]["transition"], key))
    await journal.close()
    return found


async def test_a_bank_debits_life():
    """Settled, refunded in part, then returned by the bank: one payment, and both moves are ones that Braintree makes."""
    assert await told(
        "transaction_settled",
        "transaction_settled--refund",
        "transaction_settlement_declined",
        "transaction_settled",
        "transaction_settlement_declined--refund",
    ) == [
        ("payment.succeeded", "first", "k5r8xw2q"),
        ("refund.succeeded", "first", "k5r8xw2q"),
        ("payment.failed", "reversed", "k5r8xw2q"),
        ("refund.failed", "reversed", "k5r8xw2q"),
    ]


async def test_a_disputed_card_payment():
    """The refund and the dispute come under the key of the transaction that they name."""
    found = await told(
        DISBURSED, "refund_failed", "dispute_opened", "dispute_disputed", "dispute_under_review", "dispute_won"
    )
    assert {key for _, _, key in found} == {"w4c9rg7d"}
    assert [(kind, transition) for kind, transition, _ in found] == [
        ("payment.succeeded", "first"),
        ("payment.settled", "first"),
        ("refund.failed", "first"),
        ("dispute.needs_response", "first"),
        ("dispute.under_review", "advanced"),
        ("dispute.updated", "repeated"),
        ("dispute.won", "advanced"),
    ]


async def test_the_timestamp_orders():
    """A settlement that is heard of after the bank's return is older, whenever it comes."""
    assert [each[:2] for each in await told("transaction_settlement_declined", "transaction_settled")] == [
        ("payment.failed", "first"),
        ("payment.updated", "stale"),
    ]


async def test_a_disbursement_that_is_tried_again():
    """From failed to on its way, as the flag `retry` says."""
    assert [each[:2] for each in await told("disbursement_exception", "disbursement")] == [
        ("payout.failed", "first"),
        ("payout.in_transit", "retried"),
    ]


# --- the handshake


def test_the_challenge_is_answered_as_the_sdk_does():
    """By the first public key, with the first secret."""
    account = WAY.account(*PLAIN)
    gateway = braintree.BraintreeGateway(
        braintree.Configuration(
            environment=braintree.Environment.Sandbox, merchant_id="m", public_key=BRAINTREE_KEY, private_key=PLAIN[0]
        )
    )
    challenge = "20f9f8ed05f77439fe955c977e4c8a53"
    expected = gateway.webhook_notification.verify(challenge).encode()
    assert BRAINTREE.handshake(account, f"bt_challenge={challenge}") == expected
    assert BRAINTREE.handshake(account, f"x=1&bt_challenge={challenge}&y") == expected
    with_token = replace(account, checks=((PathToken(), (b"t",)), *account.checks))
    assert BRAINTREE.handshake(with_token, f"bt_challenge={challenge}") == expected


@pytest.mark.parametrize(
    "query",
    [
        "",
        "bt_challenge=",
        "bt_challenge",
        f"BT_CHALLENGE={'a' * 20}",
        f"bt_challenge={'a' * 20}&bt_challenge={'a' * 20}",
    ]
    + [f"bt_challenge={text}" for text in ("a" * 33, "g" * 20, "%00" * 20, "%ff" * 20, "a" * 20 + "%0A", "<b>" * 8)],
)
def test_no_question(query):
    """Nothing else is answered, least of all with a signature."""
    assert BRAINTREE.handshake(ACCOUNT, query) is None


def test_a_question_to_an_account_without_keys():
    """There is nothing to answer with."""
    bare = replace(ACCOUNT, checks=((BRAINTREE.scheme({}), ()),))
    assert BRAINTREE.handshake(bare, f"bt_challenge={'a' * 20}") is None


# --- what is published

QUARANTINED = {  # the SDK's test notifications leave out what every transaction has
    "local_payment_completed": "/notification/subject/local-payment/transaction/currency-iso-code",
    "local_payment_funded": "/notification/subject/local-payment-funded/transaction/currency-iso-code",
    "refund_failed": "/notification/subject/transaction/currency-iso-code",
    "subscription_charged_successfully": "/notification/subject/subscription/transactions/0/currency-iso-code",
    "subscription_charged_unsuccessfully": "/notification/subject/subscription/transactions/0/currency-iso-code",
    "transaction_disbursed": "/notification/subject/transaction/type",
}
PUBLISHED_STATUSES = {
    "disbursement": (Payout, "in_transit", 10000),
    "disbursement_exception": (Payout, "failed", 10000),
    "dispute_accepted": (Dispute, "accepted", 10000),
    "dispute_auto_accepted": (Dispute, "accepted", 10000),
    "dispute_disputed": (Dispute, "under_review", 10000),
    "dispute_expired": (Dispute, "expired", 10000),
    "dispute_lost": (Dispute, "lost", 10000),
    "dispute_opened": (Dispute, "needs_response", 10000),
    "dispute_under_review": (Dispute, "under_review", 10000),
    "dispute_won": (Dispute, "won", 10000),
    "local_payment_expired": (Payment, "expired", None),
    "local_payment_reversed": (Payment, "canceled", None),
    "transaction_retried": (Payment, "processing", 10000),
    "transaction_settled": (Payment, "succeeded", 10000),
    "transaction_settlement_declined": (Payment, "failed", 10000),
}


def held_to_what_is_published(kind: str, body: bytes) -> None:
    [found] = translate(ACCOUNT, trusted(WAY.sent(body, ())))
    assert found.event_type == kind
    if kind in QUARANTINED:
        assert (found.outcome.reason, found.outcome.path) == ("shape", QUARANTINED[kind])
    elif kind in PUBLISHED_STATUSES:
        [statement] = found.outcome.statements
        amount = statement.block.amount
        said = (type(statement.block), statement.block.status, amount and amount.minor)
        assert said == PUBLISHED_STATUSES[kind]
    else:
        assert isinstance(found.outcome, Ignored)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published samples are not beside the repository")
@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.*")), ids=lambda path: path.name)
def test_a_published_example(path):
    """Forms and bare XML alike: translated, ignored by decision, or quarantined for what is not there."""
    held_to_what_is_published(path.stem, path.read_bytes())


KINDS = [kind for name, kind in vars(braintree.WebhookNotification.Kind).items() if not name.startswith("_")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_the_sdk(kind):
    """What its WebhookTesting makes is proven, and does what the published samples do."""
    gateway = braintree.BraintreeGateway(
        braintree.Configuration(
            environment=braintree.Environment.Sandbox, merchant_id="m", public_key=BRAINTREE_KEY, private_key=PLAIN[0]
        )
    )
    fields = gateway.webhook_testing.sample_notification(kind, "my_id", "source_merchant")
    sent = WAY.sent(urlencode(fields).encode(), ())
    assert verify(sent, ACCOUNT.checks).delivery is sent
    held_to_what_is_published(kind, sent.body)


def test_the_sdks_words():
    """Every status of its transactions and disputes, and every kind of dispute, has a meaning here."""

    def words(of: type) -> set[str]:
        return {value for name, value in vars(of).items() if not name.startswith("_")}

    assert words(braintree.Transaction.Status) - {"unrecognized"} == STATUSES.keys()
    assert words(braintree.Dispute.Status) == DISPUTE_STATUSES.keys()
    assert words(braintree.Dispute.Kind) == STAGES.keys()
    assert words(braintree.Transaction.GatewayRejectionReason) - {"unrecognized"} == REJECTIONS.keys()


# Kinds that only the lists of the SDKs for Ruby and Node have.
ELSEWHERE = {"granted_payment_instrument_revoked", "granted_payment_instrument_update"}


def test_every_documented_kind_is_in_a_list():
    """The SDKs' lists are the whole: each kind is translated or ignored, and none is left unknown."""
    assert {*KINDS, *ELSEWHERE} == {*BRAINTREE.events, *IGNORED}
