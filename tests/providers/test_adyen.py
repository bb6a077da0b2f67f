"""Adyen, rule by rule. The shapes are of https://docs.adyen.com/api-explorer/Webhooks/1/overview and of the transfer
webhooks; the payloads are the sandbox's own.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from published import moves
from published import published as published_of
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
from paymux.errors import Rejected
from paymux.journal import Entry, Result
from paymux.journal.changes import Rules
from paymux.journal.memory import MemoryJournal
from paymux.money import Money
from paymux.providers.adyen import ADYEN, DISPUTES, PAYMENTS, PAYOUTS, REFUNDS
from paymux.records import Topics
from paymux.sandbox.samples import webhook, webhooks
from paymux.signatures import trusted, verify
from paymux.statement import Fact, Ignored, Quarantined, Stated, Statement
from paymux.translate import translate

STANDARD, PLATFORM, BASIC = (way for way in WAYS if way.provider is ADYEN)
ACCOUNT = STANDARD.account(livemode=False)
PAYMENT, REFUND, DISPUTE = "QK7MZ4VW2TX9RB82", "MX6TB2WK8QN4RV82", "DX7KB3WT9QM5NR82"
PUBLISHED = Path(__file__).parents[2] / "../shared/samples/adyen"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def euros(minor: int) -> Money:
    return Money(minor, "EUR", 2)


def sample(label: str, **changes) -> bytes:
    """A sample's body; of a standard notification, with these fields of its item changed, None for left out."""
    name, _, variant = label.partition("--")
    found = json.loads(webhook("adyen", name, variant).body)
    holder = found["notificationItems"][0]["NotificationRequestItem"] if "notificationItems" in found else found["data"]
    holder.update(changes)
    for key in [key for key, value in changes.items() if value is None]:
        del holder[key]
    return json.dumps(found).encode()


def deliver(body: bytes):
    """As Adyen sends it: signed by its SDK."""
    way = STANDARD if b"notificationItems" in body else PLATFORM
    return verify(way.delivery(body), ACCOUNT.checks)


def items(body: bytes):
    return translate(ACCOUNT, deliver(body))


def outcome(body: bytes):
    [item] = items(body)
    return item.outcome


def one(body: bytes) -> Statement:
    found = outcome(body)
    assert isinstance(found, Stated), found
    [statement] = found.statements
    return statement


def quarantined(body: bytes) -> tuple[str, str | None]:
    found = outcome(body)
    assert isinstance(found, Quarantined), found
    return found.reason, found.path


def in_item(*path: str) -> str:
    return "/".join(("/notificationItems/0/NotificationRequestItem", *path))


# --- the envelope


def test_the_head_of_a_standard_notification():
    """The key is made of what is signed: the reference, the code and the outcome; the mode is the envelope's text."""
    [item] = items(sample("AUTHORISATION"))
    assert item.event_key == f"{PAYMENT}:AUTHORISATION:true"
    assert (item.event_type, item.livemode, item.position) == ("AUTHORISATION", False, 0)
    assert item.occurred_at == at("2026-01-09T10:00:03+01:00")


def test_the_key_is_made_of_nothing_that_is_not_signed():
    """Another time, reason or detail leaves it; a corrected outcome makes another."""
    key = items(sample("REFUND"))[0].event_key
    assert (
        items(sample("REFUND", eventDate="2026-02-01T00:00:00Z", reason="x", additionalData={"a": "b"}))[0].event_key
        == key
    )
    assert items(sample("REFUND", success="false"))[0].event_key != key


@pytest.mark.parametrize(("word", "mode"), [("true", True), ("false", False), (True, True), (None, None)])
def test_the_mode(word, mode):
    """`live` is text, or JSON's own; where it is missing, the account's counts."""
    found = json.loads(sample("AUTHORISATION"))
    [item] = translate(STANDARD.account(), deliver(json.dumps(found | {"live": word}).encode()))
    assert item.livemode is mode


@pytest.mark.parametrize("word", ["TRUE", "yes", "", 1])
def test_a_mode_that_is_none(word):
    """Quarantined: in the wrong mode everything would be wrong."""
    found = json.loads(sample("AUTHORISATION"))
    assert quarantined(json.dumps(found | {"live": word}).encode()) == ("shape", "/live")


@pytest.mark.parametrize(
    "date", ["2026-01-09T10:00:03+02:12", "2026-01-09T10:00:03.7Z", "2026-01-09T10:00:03.123456789-03:00"]
)
def test_odd_times(date):
    """Any offset, any number of decimals."""
    assert one(sample("CAPTURE", eventDate=date)).at == at(date[:26] + date[29:] if len(date) > 30 else date)


@pytest.mark.parametrize(("success", "label"), [(True, "AUTHORISATION"), (False, "AUTHORISATION--refused")])
def test_an_outcome_that_is_no_text(success, label):
    """JSON's own true and false, as some of what Adyen's SDKs publish has them, mean the same, to the key too."""
    body = sample(label, success=success)
    [item], [again] = items(sample(label)), translate(ACCOUNT, trusted(STANDARD.sent(body, ())))
    assert (again.event_key, again.outcome) == (item.event_key, item.outcome)


@pytest.mark.parametrize("keep", [lambda wrapper: wrapper, lambda wrapper: wrapper["NotificationRequestItem"]])
def test_an_item_without_its_envelope(keep):
    """As many keep it: an operator's file says the same, but for the mode."""
    [wrapper] = json.loads(sample("REFUND"))["notificationItems"]
    body = json.dumps(keep(wrapper)).encode()
    [found] = translate(STANDARD.account(), trusted(STANDARD.sent(body, ())))
    assert (found.event_key, found.livemode) == (items(sample("REFUND"))[0].event_key, None)
    assert found.outcome == outcome(sample("REFUND"))


@pytest.mark.parametrize("keep", [lambda wrapper: wrapper, lambda wrapper: wrapper["NotificationRequestItem"]])
def test_an_item_that_is_posted_without_its_envelope(keep):
    """Its own signature proves nothing there: only the header's over the whole body would."""
    [wrapper] = json.loads(STANDARD.delivery(sample("REFUND")).body)["notificationItems"]
    with pytest.raises(Rejected):
        verify(STANDARD.sent(json.dumps(keep(wrapper)).encode(), ()), ACCOUNT.checks)


def test_no_time():
    """The time of receipt orders nothing: the statement has none."""
    assert one(sample("CAPTURE", eventDate=None)).at is None


# --- payments


def test_a_payment_is_authorised():
    """Everything that the notification says of it."""
    statement = one(sample("AUTHORISATION"))
    assert statement == Statement(
        block=Payment(
            id=PAYMENT,
            status=PaymentStatus.AUTHORIZED,
            provider_status="AUTHORISATION:true",
            amount=euros(12900),
            amount_authorized=euros(12900),
            method=Method(type="card", brand="visa", last4="1142"),
            customer_id="shopper-8841",
            reference="ORD-20417",
            metadata={"order_id": "ord_20417", "channel": "web"},
        ),
        at=at("2026-01-09T10:00:03+01:00"),
        payment_id=PAYMENT,
    )


def test_a_payment_is_refused():
    """`success` decides; the reason says why, and nothing was authorised."""
    block = one(sample("AUTHORISATION--refused")).block
    assert (block.status, block.amount, block.amount_authorized) == (PaymentStatus.FAILED, euros(12900), None)
    assert block.failure == Failure(
        category=FailureCategory.DECLINED,
        decline_code="51 : Insufficient funds/over credit limit",
        message="Not enough balance",
    )


@pytest.mark.parametrize(
    ("reason", "category"),
    [
        ("REFUSED", FailureCategory.DECLINED),
        ("3D Not Authenticated", FailureCategory.AUTHENTICATION),
        ("Issuer Unavailable", FailureCategory.TECHNICAL),
        ("FRAUD-CANCELLED", FailureCategory.FRAUD),
        ("Shopper Cancelled", FailureCategory.CANCELED_BY_CUSTOMER),
        ("something new", FailureCategory.UNKNOWN),
        ("", FailureCategory.UNKNOWN),
    ],
)
def test_refusal_reasons(reason, category):
    """In any case; what isn't listed is unknown, and said in its own words."""
    failure = one(sample("AUTHORISATION--refused", reason=reason)).block.failure
    assert (failure.category, failure.message) == (category, reason or None)


def test_a_card_is_only_checked():
    """An amount of zero is no revenue."""
    assert one(sample("AUTHORISATION--verification")).block.purpose == "verification"


@pytest.mark.parametrize(
    ("word", "method"),
    [
        ("visa", Method(type="card", brand="visa", last4="1142")),
        ("mc_applepay", Method(type="card", brand="mc", last4="1142", wallet="applepay")),
        ("eftpos_australia", Method(type="card", brand="eftpos_australia", last4="1142")),
        ("ideal", Method(type="ideal")),
        ("directdebit_NL", Method(type="directdebit_NL")),
        ("", None),
        (None, None),
    ],
)
def test_methods(word, method):
    """Cards by their brand, with the wallet; others by Adyen's word."""
    assert one(sample("AUTHORISATION", paymentMethod=word)).block.method == method


def test_an_authorisation_is_adjusted():
    """The amount is the new one; a refused adjustment changes neither status nor amount."""
    block = one(sample("AUTHORISATION_ADJUSTMENT")).block
    assert (block.id, block.status, block.amount, block.amount_authorized) == (
        PAYMENT,
        PaymentStatus.AUTHORIZED,
        euros(15900),
        euros(15900),
    )
    refused = one(sample("AUTHORISATION_ADJUSTMENT--refused")).block
    assert (refused.status, refused.amount, refused.amount_authorized) == (None, None, None)
    assert refused.failure.message == "Insufficient balance on payment"


def test_a_capture():
    """Of the payment in originalReference; its amount is what was captured, not what the payment is about."""
    block = one(sample("CAPTURE--partial")).block
    assert (block.id, block.status, block.amount, block.amount_captured) == (
        PAYMENT,
        PaymentStatus.SUCCEEDED,
        None,
        euros(8900),
    )
    assert block.reference is None  # it's the capture's


def test_a_capture_is_refused():
    """An attempt failed, the payment stays what it was, and nothing was captured."""
    statement = one(sample("CAPTURE--refused"))
    assert (statement.block.status, statement.block.amount_captured) == (None, None)
    assert statement.facts == (Fact(name="attempt_failed"),)


def test_a_capture_failed_after_all():
    """It says success and means the opposite: the scheme refused."""
    block = one(sample("CAPTURE_FAILED")).block
    assert (block.id, block.status, block.amount_captured) == (PAYMENT, PaymentStatus.FAILED, euros(0))
    assert block.failure.message == "Capture Failed"


@pytest.mark.parametrize("label", ["CANCELLATION", "TECHNICAL_CANCEL", "CANCEL_OR_REFUND"])
def test_a_cancel(label):
    """Of the whole payment; one that failed leaves it."""
    block = one(sample(label)).block
    assert (block.id, block.status, block.amount) == (PAYMENT, PaymentStatus.CANCELED, euros(12900))
    refused = one(sample(label, success="false", reason="already captured")).block
    assert (refused.status, refused.failure.message) == (None, "already captured")


def test_a_reversal_was_a_refund():
    """`modification.action` tells; then it is a refund of its own, that may fail."""
    block = one(sample("CANCEL_OR_REFUND--refund")).block
    assert (block.id, block.payment_id, block.status) == ("DH9VT5BK3MX7WQ82", PAYMENT, RefundStatus.SUCCEEDED)
    assert one(sample("CANCEL_OR_REFUND--refused")).block.status is RefundStatus.FAILED


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"modification.action": "exchange"}, ("unknown_status", in_item("additionalData", "modification.action"))),
        ({}, ("shape", in_item("additionalData", "modification.action"))),
    ],
)
def test_a_reversal_of_no_known_kind(data, why):
    """It is not guessed."""
    assert quarantined(sample("CANCEL_OR_REFUND", additionalData=data)) == why


def test_an_authorisation_expires():
    """Under the payment's own reference or as a modification; the amount is what was left of it."""
    for label in ("EXPIRE", "EXPIRE--modification"):
        block = one(sample(label)).block
        assert (block.id, block.status, block.amount) == (PAYMENT, PaymentStatus.EXPIRED, None)


def test_an_offer_is_closed():
    """The payment never happened: its amount is known from here only."""
    block = one(sample("OFFER_CLOSED")).block
    assert (block.status, block.amount, block.reference) == (PaymentStatus.EXPIRED, euros(27211), "ORD-20461")


def test_fraud_is_reported():
    """It informs about the payment, and changes nothing."""
    block = one(sample("NOTIFICATION_OF_FRAUD")).block
    assert (block.id, block.status, block.provider_status) == (PAYMENT, None, "NOTIFICATION_OF_FRAUD:true")
    assert (block.failure, block.amount) == (None, None)


# --- refunds


def test_a_refund():
    """Named by its own reference, of the payment in originalReference."""
    assert one(sample("REFUND")) == Statement(
        block=Refund(
            id=REFUND,
            payment_id=PAYMENT,
            status=RefundStatus.SUCCEEDED,
            provider_status="REFUND:true",
            amount=euros(4000),
        ),
        at=at("2026-01-15T12:00:30+01:00"),
        payment_id=PAYMENT,
    )


@pytest.mark.parametrize(
    ("label", "status"),
    [
        ("REFUND--refused", RefundStatus.FAILED),
        ("REFUND_FAILED", RefundStatus.FAILED),
        ("REFUNDED_REVERSED", RefundStatus.FAILED),
        ("POSTPONED_REFUND", RefundStatus.PENDING),
        ("VOID_PENDING_REFUND", RefundStatus.CANCELED),
        ("VOID_PENDING_REFUND--refused", None),
    ],
)
def test_refunds_that_did_not_succeed(label, status):
    """The code and the outcome together are the status; two of the failures say success."""
    block = one(sample(label)).block
    assert (block.status, block.payment_id) == (status, PAYMENT)
    assert (block.failure is not None) is (status in (RefundStatus.FAILED, None))


def test_a_refund_with_data_may_have_no_payment():
    """It is unreferenced then; with a reference it belongs to that payment."""
    assert one(sample("REFUND_WITH_DATA")).payment_id is None
    assert one(sample("REFUND_WITH_DATA", originalReference=PAYMENT)).payment_id == PAYMENT


@pytest.mark.parametrize(
    "label", ["CAPTURE", "CAPTURE_FAILED", "CANCELLATION", "TECHNICAL_CANCEL", "REFUND", "REFUND_FAILED"]
)
@pytest.mark.parametrize("reference", [None, ""])
def test_a_modification_of_nothing(label, reference):
    """Without its payment's reference it is quarantined, not taken for a payment of its own."""
    assert quarantined(sample(label, originalReference=reference)) == ("shape", in_item("originalReference"))


# --- disputes


def test_a_chargeback():
    """The dispute is named by its own reference; the funds are gone."""
    assert one(sample("CHARGEBACK")) == Statement(
        block=Dispute(
            id=DISPUTE,
            payment_id=PAYMENT,
            status=DisputeStatus.NEEDS_RESPONSE,
            provider_status="Undefended",
            stage="chargeback",
            amount=euros(12900),
            reason=DisputeReason(category="Other Fraud-Card Absent Environment", code="10.4"),
            evidence_due_at=at("2026-02-24T23:59:59+01:00"),
        ),
        at=at("2026-02-04T07:00:11+01:00"),
        payment_id=PAYMENT,
        facts=(Fact(name="funds_withdrawn"),),
    )


@pytest.mark.parametrize(
    ("code", "word", "status"),
    [
        ("REQUEST_FOR_INFORMATION", "Unresponded", DisputeStatus.INQUIRY),
        ("REQUEST_FOR_INFORMATION", "Responded", DisputeStatus.UNDER_REVIEW),
        ("REQUEST_FOR_INFORMATION", "Expired", DisputeStatus.EXPIRED),
        ("NOTIFICATION_OF_CHARGEBACK", None, DisputeStatus.NEEDS_RESPONSE),
        ("CHARGEBACK", None, DisputeStatus.NEEDS_RESPONSE),
        ("CHARGEBACK", "Pending", DisputeStatus.UNDER_REVIEW),
        ("CHARGEBACK", "Lost", DisputeStatus.LOST),
        ("CHARGEBACK", "Accepted", DisputeStatus.ACCEPTED),
        ("CHARGEBACK_REVERSED", None, DisputeStatus.UNDER_REVIEW),
        ("CHARGEBACK_REVERSED", "Pending", DisputeStatus.UNDER_REVIEW),
        ("CHARGEBACK_REVERSED", "Won", DisputeStatus.WON),
        ("DISPUTE_DEFENSE_PERIOD_ENDED", None, DisputeStatus.LOST),
        ("DISPUTE_DEFENSE_PERIOD_ENDED", "Undefended", DisputeStatus.LOST),
        ("DISPUTE_DEFENSE_PERIOD_ENDED", "Expired", DisputeStatus.EXPIRED),
        ("SECOND_CHARGEBACK", "Won", DisputeStatus.LOST),
        ("ISSUER_RESPONSE_TIMEFRAME_EXPIRED", "Lost", DisputeStatus.WON),
        ("PREARBITRATION_WON", "Lost", DisputeStatus.WON),
    ],
)
def test_a_disputes_status(code, word, status):
    """By disputeStatus where the code leaves it open; where the code, which is signed, says the verdict, by the code."""
    data = {"disputeStatus": word} if word else {}
    assert one(sample(code, additionalData=data)).block.status is status


def test_what_each_code_says_of_a_dispute():
    """The stage and what became of it, by the code alone, as where Adyen sends no disputeStatus (Brazil)."""
    blocks = {code: one(sample(code, additionalData={})).block for code in DISPUTES}
    assert {code: (block.stage, block.status and str(block.status)) for code, block in blocks.items()} == {
        "REQUEST_FOR_INFORMATION": ("inquiry", "inquiry"),
        "NOTIFICATION_OF_CHARGEBACK": ("chargeback", "needs_response"),
        "CHARGEBACK": ("chargeback", "needs_response"),
        "INFORMATION_SUPPLIED": (None, "under_review"),
        "ISSUER_COMMENTS": (None, None),
        "CHARGEBACK_REVERSED": ("chargeback", "under_review"),
        "ISSUER_RESPONSE_TIMEFRAME_EXPIRED": ("chargeback", "won"),
        "DISPUTE_DEFENSE_PERIOD_ENDED": (None, "lost"),
        "SECOND_CHARGEBACK": ("chargeback", "lost"),
        "PREARBITRATION_OPEN": ("pre_arbitration", "needs_response"),
        "PREARBITRATION_ACCEPTED": ("pre_arbitration", "accepted"),
        "PREARBITRATION_DECLINED": ("pre_arbitration", "under_review"),
        "PREARBITRATION_ISSUER_WITHDRAWN": ("pre_arbitration", "canceled"),
        "PREARBITRATION_WON": ("pre_arbitration", "won"),
        "PREARBITRATION_LOST": ("pre_arbitration", "lost"),
        "SCHEME_ARBITRATION": ("arbitration", "under_review"),
        "SCHEME_ARBITRATION_WON": ("arbitration", "won"),
        "SCHEME_ARBITRATION_LOST": ("arbitration", "lost"),
    }


def test_where_the_money_of_a_dispute_goes():
    """Three codes say that it moved; the others say nothing of it."""
    facts = {code: [fact.name for fact in one(sample(code)).facts] for code in DISPUTES}
    assert {code: names for code, names in facts.items() if names} == {
        "CHARGEBACK": ["funds_withdrawn"],
        "CHARGEBACK_REVERSED": ["funds_reinstated"],
        "SECOND_CHARGEBACK": ["funds_withdrawn"],
    }


def test_a_dispute_without_a_reference():
    """Then pspReference is the payment's: https://docs.adyen.com/risk-management/disputes-api/dispute-notifications"""
    block = one(sample("CHARGEBACK_REVERSED--without-reference")).block
    assert (block.payment_id, block.status) == (PAYMENT, DisputeStatus.UNDER_REVIEW)


def test_an_unknown_word_for_a_dispute():
    """It is quarantined with its place; where it is not read, it does no harm."""
    assert quarantined(sample("CHARGEBACK", additionalData={"disputeStatus": "Frozen"})) == (
        "unknown_status",
        in_item("additionalData", "disputeStatus"),
    )
    assert (
        one(sample("SECOND_CHARGEBACK", additionalData={"disputeStatus": "Frozen"})).block.status is DisputeStatus.LOST
    )


# --- outcomes that nobody documented


@pytest.mark.parametrize(
    "label",
    ["CAPTURE_FAILED", "REFUND_FAILED", "REFUNDED_REVERSED", "EXPIRE", "OFFER_CLOSED", "CHARGEBACK", "PAYOUT_EXPIRE"],
)
def test_a_success_that_is_false_where_none_can_be(label):
    """What a failed failure would be is not guessed."""
    assert quarantined(sample(label, success="false")) == ("unknown_status", in_item("success"))


def test_every_code_has_an_outcome():
    """Each standard code that is translated is in exactly one table, but CANCEL_OR_REFUND, which is in two."""
    tables = [{word.partition(":")[0] for word in table} for table in (PAYMENTS, REFUNDS, PAYOUTS)] + [set(DISPUTES)]
    codes = [code for table in tables for code in table]
    assert set(codes) == {code for code in ADYEN.events if "." not in code}
    assert {code for code in codes if codes.count(code) > 1} == {"CANCEL_OR_REFUND"}


# --- money


@pytest.mark.parametrize(
    ("currency", "value", "money"),
    [
        ("CLP", 1499000, Money(14990, "CLP", 0)),
        ("ISK", 149900, Money(1499, "ISK", 0)),
        ("CVE", 1499, Money(149900, "CVE", 2)),
        ("IDR", 1499, Money(149900, "IDR", 2)),
        ("JPY", 1499, Money(1499, "JPY", 0)),
        ("BHD", 1499, Money(1499, "BHD", 3)),
        ("UGX", 1499, Money(1499, "UGX", 0)),
        ("EUR", "1499", Money(1499, "EUR", 2)),
        ("EUR", 0, Money(0, "EUR", 2)),
    ],
)
def test_minor_units(currency, value, money):
    """Adyen's own for four currencies, ISO's for the rest; as a number or as text."""
    assert one(sample("REFUND", amount={"currency": currency, "value": value})).block.amount == money


@pytest.mark.parametrize(
    ("amount", "why"),
    [
        ({"currency": "CLP", "value": 1499050}, "inexact_amount"),
        ({"currency": "ISK", "value": 1}, "inexact_amount"),
        ({"currency": "EU", "value": 1}, "unknown_currency"),
        ({"currency": "XYZ", "value": 1}, "unknown_currency"),
        ({"currency": "EUR", "value": "1.5"}, "shape"),
        ({"currency": "EUR", "value": "-1"}, "shape"),
        ({"currency": "EUR", "value": " 1"}, "shape"),
        ({"currency": "EUR", "value": ""}, "shape"),
    ],
)
def test_an_amount_that_is_none(amount, why):
    """Quarantined: half a peso, an unknown currency, a text that is no whole number."""
    assert quarantined(sample("REFUND", amount=amount))[0] == why


@pytest.mark.parametrize("amount", [{"currency": "EUR"}, {"value": 1}, {}, None, "12,00 EUR"])
def test_half_an_amount(amount):
    """Adyen's SDK would not sign it; an operator's file may hold it."""
    [item] = translate(ACCOUNT, trusted(STANDARD.sent(sample("REFUND", amount=amount), ())))
    assert isinstance(item.outcome, Quarantined)
    assert item.outcome.reason == "shape"


# --- payouts


def test_a_third_party_payout():
    """All events of one name the request that submitted it."""
    for label in ("PAYOUT_THIRDPARTY", "PAYOUT_DECLINE", "PAYOUT_EXPIRE", "PAIDOUT_REVERSED"):
        assert one(sample(label)).block.id == "NV4WB8TX2KQ6MR82"
    assert one(sample("PAYOUT_THIRDPARTY--refused")).block.status is PayoutStatus.FAILED


def test_a_third_party_payout_that_came_back():
    """The reason says why; one that was declined by the merchant has none."""
    block = one(sample("PAIDOUT_REVERSED")).block
    assert (block.status, block.failure.message) == (PayoutStatus.RETURNED, "Account closed")
    assert one(sample("PAYOUT_DECLINE")).block.failure is None


def test_blanks_around_the_code_of_a_reason():
    """As in Adyen's examples: they are no part of the scheme's code."""
    extra = {"chargebackReasonCode": " 10.4 "}
    assert one(sample("CHARGEBACK", additionalData=extra)).block.reason.code == "10.4"


@pytest.mark.parametrize("code", ["NOTIFICATIONTEST", "REPORT_AVAILABLE", "ORDER_CLOSED"])
def test_what_is_about_no_payment(code):
    """Known and ignored: a test of the webhook's configuration, a report, an order whose payments tell themselves."""
    assert isinstance(outcome(sample("AUTHORISATION", eventCode=code)), Ignored)


def test_a_transfer_to_a_bank_is_a_payout():
    """What the balance platform says of it, and a key that its retries share."""
    body = sample("balancePlatform.transfer.updated--failed")
    [item] = items(body)
    assert (item.event_key, item.livemode) == ("4MKR7WTX2QBN9V6H:4", False)
    assert one(body).block == Payout(
        id="4MKR7WTX2QBN9V6H",
        status=PayoutStatus.FAILED,
        provider_status="failed",
        amount=euros(250000),
        destination="SE322KT223222D5GNL2W7BQ4M",
        failure=Failure(category=FailureCategory.UNKNOWN, code="counterpartyAccountClosed"),
        created_at=at("2026-01-12T06:00:05+01:00"),
        updated_at=at("2026-01-13T14:20:00+01:00"),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"direction": "incoming"},
        {"category": "internal", "type": "internalTransfer"},
        {"category": "platformPayment", "type": "capture"},
        {"category": "issuedCard", "type": "payment"},
        {"category": "bank", "type": "bankDirectDebit"},
        {"category": "somethingNew"},
    ],
)
def test_other_transfers(changes):
    """Money that stays, comes in, or is taken by somebody else is no payout."""
    assert isinstance(outcome(sample("balancePlatform.transfer.updated", **changes)), Ignored)


def test_a_transfer_that_waits_for_the_bank():
    """It has left the balance, and is not booked yet."""
    body = sample("balancePlatform.transfer.updated", status="bankTransferPending")
    assert one(body).block.status is PayoutStatus.IN_TRANSIT


def test_a_transfer_status_of_another_kind():
    """`chargeback` belongs to other transfers: of a payout it is quarantined."""
    body = sample("balancePlatform.transfer.updated", status="chargeback")
    assert quarantined(body) == ("unknown_status", "/data/status")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("received approvalPending pendingApproval pendingExecution pending", PayoutStatus.PENDING),
        ("authorised bankTransferPending bookingPending", PayoutStatus.IN_TRANSIT),
        ("booked credited", PayoutStatus.PAID),
        ("refused rejected failed error", PayoutStatus.FAILED),
        ("cancelled expired", PayoutStatus.CANCELED),
        ("returned", PayoutStatus.RETURNED),
    ],
)
def test_the_words_of_a_transfer(words, status):
    """Those that a payout has, of the many that transfers have."""
    for word in words.split():
        assert one(sample("balancePlatform.transfer.updated", status=word)).block.status is status


def test_platform_webhooks_without_a_number_of_their_own():
    """A token's event has an id; another's key is its content, however its keys are ordered."""
    assert items(sample("recurring.token.created"))[0].event_key == "QBN7KX3WT9RM5V82"
    found = json.loads(sample("balancePlatform.accountHolder.updated"))
    turned = dict(reversed(found.items()))
    keys = {items(json.dumps(body).encode())[0].event_key for body in (found, turned)}
    assert len(keys) == 1
    assert items(json.dumps(found | {"timestamp": "2026-01-08T09:31:00+01:00"}).encode())[0].event_key not in keys


@pytest.mark.parametrize("verb", ["created", "updated", "deleted"])
def test_a_top_up_that_was_set_up(verb):
    """Configuration, like a sweep: ignored."""
    found = json.loads(sample("balancePlatform.accountHolder.updated"))
    body = json.dumps(found | {"type": f"balancePlatform.balanceAccount.recurringTopUp.{verb}"}).encode()
    assert isinstance(outcome(body), Ignored)


def test_an_environment_that_is_none():
    """Neither live nor test: quarantined."""
    found = json.loads(sample("balancePlatform.transfer.updated")) | {"environment": "staging"}
    assert quarantined(json.dumps(found).encode()) == ("shape", "/environment")


# --- batches


def batch(*labels: str) -> bytes:
    """Standard notifications, posted together."""
    wrappers = [json.loads(sample(label))["notificationItems"][0] for label in labels]
    return json.dumps({"live": "false", "notificationItems": wrappers}).encode()


def test_every_item_of_a_batch_is_translated():
    """Each under its own key and position, in order."""
    found = items(batch("AUTHORISATION", "CAPTURE", "REPORT_AVAILABLE", "REFUND"))
    assert [item.position for item in found] == [0, 1, 2, 3]
    assert [type(item.outcome) for item in found] == [Stated, Stated, Ignored, Stated]
    assert len({item.event_key for item in found}) == 4


@pytest.mark.parametrize(
    "bad", [{"eventCode": "TELEPORTED"}, {"amount": None}, {"eventDate": "yesterday"}, {"pspReference": "a b"}]
)
def test_one_bad_item_among_good_ones(bad):
    """It alone is quarantined, whatever place it has."""
    good = json.loads(batch("AUTHORISATION", "REFUND"))["notificationItems"]
    wrong = json.loads(sample("CAPTURE", **bad))["notificationItems"][0]
    for place in range(3):
        body = {"live": "false", "notificationItems": [*good[:place], wrong, *good[place:]]}
        found = translate(ACCOUNT, trusted(STANDARD.sent(json.dumps(body).encode(), ())))
        assert [isinstance(item.outcome, Quarantined) for item in found] == [index == place for index in range(3)]


async def test_a_batch_of_thousands():
    """Every item is verified, translated and kept."""
    wrapper = json.loads(sample("REFUND"))["notificationItems"][0]["NotificationRequestItem"]
    wrappers = [
        {"NotificationRequestItem": {**wrapper, "pspReference": f"MX6TB2WK8{number:07}"}} for number in range(2000)
    ]
    verified = deliver(json.dumps({"live": "false", "notificationItems": wrappers}).encode())
    found = translate(ACCOUNT, verified)
    assert len(found) == 2000
    assert all(isinstance(item.outcome, Stated) for item in found)


def test_no_items_to_an_operators_file():
    """An empty list is quarantined; unsigned it would not even come that far."""
    [item] = translate(ACCOUNT, trusted(STANDARD.sent(b'{"live": "false", "notificationItems": []}', ())))
    assert isinstance(item.outcome, Quarantined)


# --- proof


def test_basic_credentials_beside_the_signature():
    """The option asks for both; the credentials are those of the secrets with a colon."""
    secrets = (STANDARD.secrets[0], BASIC.secrets[0])
    scheme = ADYEN.scheme({"authentication": "hmac-and-basic"})
    checks = ((scheme, tuple(scheme.key(secret) for secret in secrets)),)
    body = STANDARD.sign_body(sample("CAPTURE"), secrets[0])
    both = STANDARD.sent(body, BASIC.sign(body, secrets[1]))
    assert verify(both, checks).proof is STANDARD.proof
    for missing in (STANDARD.sent(body, ()), STANDARD.sent(sample("CAPTURE"), BASIC.sign(body, secrets[1]))):
        with pytest.raises(Rejected):
            verify(missing, checks)


# --- over time


async def told(*labels: str) -> list[tuple[str, str | None]]:
    """What is published of these samples in this order: (type, transition)."""
    return moves(await published(*labels))


async def published(*labels: str) -> list[dict]:
    return await published_of(ACCOUNT, (deliver(sample(label)) for label in labels))


async def test_a_payments_life():
    """Authorised, adjusted, captured, refunded; everything of it stands under the payment's key, without a gap."""
    events = await published(
        "AUTHORISATION", "AUTHORISATION_ADJUSTMENT", "CAPTURE", "REFUND", "REFUND_FAILED", "CHARGEBACK"
    )
    assert moves(events) == [
        ("payment.authorized", "first"),
        ("payment.updated", "repeated"),
        ("payment.succeeded", "advanced"),
        ("refund.succeeded", "first"),
        ("refund.failed", "reversed"),
        ("dispute.needs_response", "first"),
        ("dispute.funds_withdrawn", "first"),
    ]
    assert {event["data"]["payment_id"] for event in events} == {PAYMENT}
    assert [event["data"]["lifecycle"]["sequence"] for event in events] == [1, 2, 3, 4, 5, 6, 7]
    state = events[-1]["data"]["lifecycle"]["state"]
    assert (state["amount"]["minor"], state["captured"]["minor"], state["refunded"]) == (15900, 12900, None)
    assert state["disputed"] is True


async def test_a_capture_that_failed_later():
    """The payment leaves succeeded, as Adyen's do, and nothing is captured any more."""
    events = await published("AUTHORISATION", "CAPTURE", "CAPTURE_FAILED")
    assert events[-1]["type"] == "payment.failed"
    assert events[-1]["data"]["lifecycle"]["transition"] == "reversed"
    assert events[-1]["data"]["lifecycle"]["state"]["captured"]["minor"] == 0


async def test_several_partial_captures():
    """What is captured is their sum, whatever order they come in; one that fails takes its own part back."""
    for order in (("CAPTURE", "CAPTURE--partial"), ("CAPTURE--partial", "CAPTURE")):
        events = await published("AUTHORISATION", *order)
        parts = [event["data"]["payment"]["amount_captured"]["minor"] for event in events[1:]]
        assert events[-1]["data"]["lifecycle"]["state"]["captured"]["minor"] == sum(parts)
    events = await published("AUTHORISATION", "CAPTURE", "CAPTURE--partial", "CAPTURE_FAILED")
    partial = events[2]["data"]["payment"]["amount_captured"]["minor"]
    assert events[-1]["data"]["lifecycle"]["state"]["captured"]["minor"] == partial


async def test_a_partial_capture_that_is_refunded():
    """What was captured, not what was authorised, tells whether a refund is of everything."""
    events = await published("AUTHORISATION", "CAPTURE--partial", "REFUND")
    assert events[-1]["data"]["lifecycle"]["state"]["refund_state"] == "partial"


async def test_requests_that_failed_change_no_status():
    """The payment is told of them, and stays authorised."""
    assert await told(
        "AUTHORISATION", "CANCELLATION--refused", "AUTHORISATION_ADJUSTMENT--refused", "CAPTURE--refused"
    ) == [
        ("payment.authorized", "first"),
        ("payment.updated", None),
        ("payment.updated", None),
        ("payment.attempt_failed", None),
    ]


async def test_the_order_of_arrival():
    """A late AUTHORISATION takes nothing back."""
    assert await told("CAPTURE", "AUTHORISATION") == [("payment.succeeded", "first"), ("payment.updated", "stale")]


async def test_a_dispute_won_and_lost_again():
    """A defence that was won is followed by a second chargeback: the table allows it."""
    assert await told(
        "CHARGEBACK", "CHARGEBACK_REVERSED", "ISSUER_RESPONSE_TIMEFRAME_EXPIRED", "PREARBITRATION_LOST"
    ) == [
        ("dispute.needs_response", "first"),
        ("dispute.funds_withdrawn", "first"),
        ("dispute.under_review", "advanced"),
        ("dispute.funds_reinstated", "advanced"),
        ("dispute.won", "advanced"),
        ("dispute.lost", "reversed"),
    ]


async def test_a_dispute_lost_and_opened_again():
    """A second chargeback may be followed by pre-arbitration: the table allows it."""
    assert await told("SECOND_CHARGEBACK", "PREARBITRATION_OPEN") == [
        ("dispute.lost", "first"),
        ("dispute.funds_withdrawn", "first"),
        ("dispute.needs_response", "reversed"),
    ]


async def test_a_dispute_that_is_named_by_its_payment():
    """Where Adyen leaves the reference out, it is told under the payment's key like any other, status and all."""
    events = await published("AUTHORISATION", "CHARGEBACK_REVERSED--without-reference")
    assert [event["type"] for event in events] == [
        "payment.authorized",
        "dispute.under_review",
        "dispute.funds_reinstated",
    ]
    assert [event["data"]["lifecycle"]["sequence"] for event in events] == [1, 2, 3]
    assert events[-1]["data"]["payment_id"] == PAYMENT


async def test_a_payout_comes_back():
    """Paid, then failed, then returned."""
    labels = ["balancePlatform.transfer." + word for word in ("created", "updated", "updated--failed")]
    assert await told(*labels) == [
        ("payout.pending", "first"),
        ("payout.paid", "advanced"),
        ("payout.failed", "advanced"),
    ]


async def test_adyens_duplicates():
    """The same reference and code under another time is a duplicate; another amount under them is a conflict."""
    journal = MemoryJournal(rules=Rules(topics=Topics(events="events", quarantine="quarantine")))
    bodies = (
        sample("REFUND"),
        sample("REFUND", eventDate="2026-01-15T12:09:00+01:00", reason="later"),
        sample("REFUND", amount={"currency": "EUR", "value": 4001}),
    )
    results = []
    for body in bodies:
        verified = deliver(body)
        [receipt] = await journal.append(Entry(account=ACCOUNT, verified=verified, items=translate(ACCOUNT, verified)))
        results.append(receipt.result)
    await journal.close()
    assert results == [Result.NEW, Result.DUPLICATE, Result.CONFLICT]


# --- what Adyen publishes

# Not what is posted: messages of a terminal, a file that holds several requests.
NOT_POSTED = {
    "hyperswitch-prism-webhook_payload.json",
    "java-event-invalid-notification.json",
    "java-event-notification.json",
}
NO_SUBJECT = {"RECURRING_CONTRACT", "REPORT_AVAILABLE", "ORDER_OPENED", "ORDER_CLOSED"}


def published_files():
    if not PUBLISHED.exists():
        return [pytest.param(None, marks=pytest.mark.skip("the published payloads are not beside the repository"))]
    return [pytest.param(path, id=path.name) for path in sorted(PUBLISHED.iterdir())]


@pytest.mark.parametrize("path", published_files())
def test_a_published_payload(path):
    """Every standard one says something of the payment in originalReference, with its amount; the platform's are
    payouts or ignored; what is never posted is quarantined by its shape.
    """
    body = path.read_bytes()
    [item] = translate(STANDARD.account(), trusted(STANDARD.sent(body, ())))
    found = json.loads(body)
    if path.name in NOT_POSTED:
        assert isinstance(item.outcome, Quarantined)
        assert (item.outcome.reason, item.outcome.path) == ("shape", "/type")
    elif "eventCode" in found:
        told_of(found, item.outcome)
    elif "notificationItems" in found:
        told_of(found["notificationItems"][0]["NotificationRequestItem"], item.outcome)
    else:
        leaves = found["data"].get("type") == "bankTransfer" and found["data"]["direction"] == "outgoing"
        assert isinstance(item.outcome, Stated if leaves else Ignored)


def told_of(item, outcome):
    if item["eventCode"] in NO_SUBJECT:
        assert isinstance(outcome, Ignored)
        return
    [statement] = outcome.statements
    block = statement.block
    if not isinstance(block, Payout):
        assert statement.payment_id == item.get("originalReference", item["pspReference"])
    said = {money.minor for money in (block.amount, getattr(block, "amount_captured", None)) if money is not None}
    assert said <= {item["amount"]["value"], 0}


def test_each_standard_sample_is_signed_by_the_sdk():
    """Those that Adyen would send verify, item by item."""
    bodies = [sample.body for sample in webhooks("adyen") if b"notificationItems" in sample.body]
    assert len(bodies) > 50
    for body in bodies:
        assert deliver(body).secret == 0
