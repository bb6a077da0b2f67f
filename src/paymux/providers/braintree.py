"""Braintree: cards, wallets, bank debits and local payments of a PayPal company.
https://developer.paypal.com/braintree/docs/reference/general/webhooks/overview

- A form with `bt_signature` and `bt_payload` (base64 of XML), signed with the private key of an API key: the account's
  secret, and `public_key` says which of the signatures is meant. Nothing in it tells test from live.
- A URL is registered only when it answers a GET with `bt_challenge`, a hex number, by the public key and its HMAC.
- There is no event id. The key is the digest of what the notification says, its time included: a retry says the same.
- **The payment is the transaction**: refunds (`refunded-transaction-id`) and disputes (`transaction/id`) refer to it. A
  refund is itself a transaction, of the type `credit`. Authorisation and capture of a card have no webhook: a payment
  is heard of when a subscription was charged, a bank debit settled, money was disbursed, or a dispute was opened.
- A local payment has an id of its own until the transaction exists, which names it: its kinds without a transaction are
  about a payment of that id, which nothing refers to later; with one, that id is a link.
- `submitted_for_settlement` is what others call captured (its own words: "also known as captured"), so a card payment
  has succeeded then; a bank debit has not, before it settled, and may still be returned after that.
- "May not be delivered sequentially": the notification's `timestamp` orders.
  https://developer.paypal.com/braintree/docs/guides/webhooks/overview
- Amounts are decimals in major units with `currency-iso-code`, which every transaction has; only the SDKs' test
  notifications leave it out, and an amount without currency is quarantined.
- `subscription_charged_*` lists the subscription's transactions, the newest first, and is about that one.
- `disbursement`: the money "will leave our bank account today"; nothing says later that it arrived.
- The SDKs' `refund_failed` names a payment by `refunded-transaction-fk`, the key of a database that nothing else
  mentions: it isn't read.
- 2xx within 30 seconds, or it comes again every hour for 24 hours (sandbox: 3).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, cast
from urllib.parse import parse_qsl

from paymux.canonical import (
    Breakdown,
    Dispute,
    DisputeReason,
    DisputeStatus,
    Entity,
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
from paymux.errors import Untranslatable
from paymux.money import from_major
from paymux.provider import Option, Provider, Redelivery, Transitions
from paymux.signatures.signed_form import SignedForm, payload_of
from paymux.statement import Fact, Head, Statement
from paymux.wild import parse_xml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paymux.delivery import Verified
    from paymux.money import Money
    from paymux.provider import Account
    from paymux.signatures import Scheme
    from paymux.wild import Wild

_Stage = Literal["inquiry", "chargeback", "pre_arbitration", "arbitration"]

# Braintree's word -> ours. https://developer.paypal.com/braintree/articles/get-started/transaction-lifecycle
STATUSES: Final = {
    "authorizing": PaymentStatus.PROCESSING,
    "authorized": PaymentStatus.AUTHORIZED,
    "authorization_expired": PaymentStatus.EXPIRED,
    "submitted_for_settlement": PaymentStatus.SUCCEEDED,
    "settlement_pending": PaymentStatus.PROCESSING,
    "settling": PaymentStatus.SUCCEEDED,
    "settlement_confirmed": PaymentStatus.SUCCEEDED,
    "settled": PaymentStatus.SUCCEEDED,
    "settlement_declined": PaymentStatus.FAILED,
    "settlement_failed": PaymentStatus.FAILED,
    "processor_declined": PaymentStatus.FAILED,
    "gateway_rejected": PaymentStatus.FAILED,
    "failed": PaymentStatus.FAILED,
    "voided": PaymentStatus.CANCELED,
}
# The same of a bank debit, which the customer's bank answers days later.
DEBIT_STATUSES: Final = {
    **STATUSES,
    "submitted_for_settlement": PaymentStatus.PROCESSING,
    "settling": PaymentStatus.PROCESSING,
    "settlement_confirmed": PaymentStatus.PROCESSING,
}
REFUND_STATUSES: Final = {
    "authorizing": RefundStatus.PROCESSING,
    "authorized": RefundStatus.PROCESSING,
    "authorization_expired": RefundStatus.FAILED,
    "submitted_for_settlement": RefundStatus.PROCESSING,
    "settlement_pending": RefundStatus.PROCESSING,
    "settling": RefundStatus.PROCESSING,
    "settlement_confirmed": RefundStatus.PROCESSING,
    "settled": RefundStatus.SUCCEEDED,
    "settlement_declined": RefundStatus.FAILED,
    "settlement_failed": RefundStatus.FAILED,
    "processor_declined": RefundStatus.FAILED,
    "gateway_rejected": RefundStatus.FAILED,
    "failed": RefundStatus.FAILED,
    "voided": RefundStatus.CANCELED,
}
DISPUTE_STATUSES: Final = {
    "open": DisputeStatus.NEEDS_RESPONSE,
    "disputed": DisputeStatus.UNDER_REVIEW,
    "under_review": DisputeStatus.UNDER_REVIEW,
    "accepted": DisputeStatus.ACCEPTED,
    "auto_accepted": DisputeStatus.ACCEPTED,
    "expired": DisputeStatus.EXPIRED,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
}
# A retrieval asks for information and moves no money.
INQUIRY_STATUSES: Final = {**DISPUTE_STATUSES, "open": DisputeStatus.INQUIRY}
STAGES: Final[Mapping[str, _Stage]] = {
    "retrieval": "inquiry",
    "chargeback": "chargeback",
    "pre_arbitration": "pre_arbitration",
}
# What happened to a local payment before there was a transaction.
# https://developer.paypal.com/braintree/docs/reference/general/webhooks/local-payment-methods
LOCAL_PAYMENTS: Final = {
    "local_payment_completed": PaymentStatus.AUTHORIZED,  # the money is taken; the merchant has to make the transaction
    "local_payment_expired": PaymentStatus.EXPIRED,
    "local_payment_reversed": PaymentStatus.CANCELED,  # and the money given back
}
DISBURSEMENTS: Final = {"disbursement": PayoutStatus.IN_TRANSIT, "disbursement_exception": PayoutStatus.FAILED}

DEBITS: Final = frozenset({"europe_bank_account", "sepa_debit_account", "us_bank_account"})
# Braintree's instrument -> where its details stand, and ours.
METHODS: Final = {
    "credit_card": ("credit-card", Method(type="card")),
    "apple_pay_card": ("apple-pay", Method(type="card", wallet="apple_pay")),
    "android_pay_card": ("android-pay-card", Method(type="card", wallet="google_pay")),
    "samsung_pay_card": ("samsung-pay-card", Method(type="card", wallet="samsung_pay")),
    "visa_checkout_card": ("visa-checkout-card", Method(type="card", wallet="visa_checkout")),
    "masterpass_card": ("masterpass-card", Method(type="card", wallet="masterpass")),
    "us_bank_account": ("us-bank-account", Method(type="us_bank_account")),
    "sepa_debit_account": ("sepa-debit-account-detail", Method(type="sepa_debit")),
    "europe_bank_account": ("europe-bank-account", Method(type="sepa_debit")),
    "paypal_account": ("paypal", Method(type="wallet", wallet="paypal")),
    "venmo_account": ("venmo-account", Method(type="wallet", wallet="venmo")),
    "local_payment": ("local-payment", Method(type="local_payment")),
}

# https://developer.paypal.com/braintree/docs/reference/general/statuses#gateway-rejected
REJECTIONS: Final = {
    "application_incomplete": FailureCategory.TECHNICAL,
    "avs": FailureCategory.DECLINED,
    "avs_and_cvv": FailureCategory.DECLINED,
    "cvv": FailureCategory.DECLINED,
    "duplicate": FailureCategory.TECHNICAL,
    "excessive_retry": FailureCategory.DECLINED,
    "fraud": FailureCategory.FRAUD,
    "risk_threshold": FailureCategory.FRAUD,
    "three_d_secure": FailureCategory.AUTHENTICATION,
    "token_issuance": FailureCategory.TECHNICAL,
}
FAILURES: Final = {
    "processor_declined": FailureCategory.DECLINED,
    "settlement_declined": FailureCategory.DECLINED,
    "settlement_failed": FailureCategory.TECHNICAL,
    "failed": FailureCategory.TECHNICAL,
}


def parse(body: bytes) -> Wild:
    """The notification. A file may also hold the XML itself: nothing that was delivered does, since it is signed."""
    if body.lstrip()[:1] == b"<":
        return parse_xml(body).child("notification")
    try:
        xml = base64.b64decode(payload_of(body).replace(b"\n", b""), validate=True)
    except binascii.Error:
        raise Untranslatable("the payload is not base64") from None
    return parse_xml(xml).child("notification")


def head(_verified: Verified, body: Wild) -> Head:
    return Head(event_key=body.digest(), event_type=body.text("kind"), occurred_at=body.rfc3339("timestamp"))


def handshake(account: Account, query: str) -> bytes | None:
    """`?bt_challenge=<hex>` is answered by `<public key>|<HMAC of the challenge>`."""
    challenges = [value for name, value in parse_qsl(query, keep_blank_values=True) if name == "bt_challenge"]
    for scheme, keys in account.checks:
        if isinstance(scheme, SignedForm) and len(challenges) == 1 and keys:
            return scheme.answer(challenges[0], keys[0])
    return None


# --- transactions


def transaction(body: Wild, head: Head) -> tuple[Statement, ...]:
    return (_transaction(body.child("subject", "transaction"), head),)


def bank_debit(body: Wild, head: Head) -> tuple[Statement, ...]:
    """A debit that the bank refused for lack of money, tried once more: a new transaction."""
    return (_payment(body.child("subject", "transaction"), head, DEBIT_STATUSES),)


def refund(body: Wild, head: Head) -> tuple[Statement, ...]:
    return (_refund(body.child("subject", "transaction"), head),)


def charge(body: Wild, head: Head) -> tuple[Statement, ...]:
    subscription = body.child("subject", "subscription")
    transactions = subscription.children("transactions")
    if not transactions:
        raise subscription.at("transactions").untamed("a transaction")
    return (_payment(transactions[0], head, _statuses(transactions[0])),)


def local_payment(body: Wild, head: Head) -> tuple[Statement, ...]:
    """Its transaction's, linked to the local payment; without one the local payment's own."""
    subject, kind = body.child("subject"), head.event_type or ""
    found = subject.maybe_child("local-payment") or subject.child(kind.replace("_", "-"))
    own_id, made = found.id("payment-id"), found.maybe_child("transaction")
    if made is not None:
        return (replace(_payment(made, head, _statuses(made)), aliases=(own_id,)),)
    status = LOCAL_PAYMENTS.get(kind)
    if status is None:
        raise found.at("transaction").untamed("an object")
    block = Payment(id=own_id, status=status, method=Method(type="local_payment"))
    return (Statement(block=block, at=head.occurred_at, payment_id=own_id),)


def _transaction(found: Wild, head: Head) -> Statement:
    return _refund(found, head) if found.text("type") == "credit" else _payment(found, head, _statuses(found))


def _statuses(found: Wild) -> Mapping[str, PaymentStatus]:
    return DEBIT_STATUSES if found.maybe_text("payment-instrument-type") in DEBITS else STATUSES


def _payment(found: Wild, head: Head, statuses: Mapping[str, PaymentStatus]) -> Statement:
    if found.maybe_text("type") not in (None, "sale"):
        raise found.at("type").unknown("type of payment", reason="shape")
    status = found.status("status", statuses)
    settlement, settled = _settlement(found)
    block = Payment(
        id=found.id("id"),
        status=status,
        provider_status=found.text("status"),
        amount=_money(found, "amount"),
        settlement=settlement,
        breakdown=_breakdown(found),
        method=_method(found),
        customer_id=_customer(found),
        subscription_id=found.maybe_id("subscription-id"),
        reference=found.free_text("order-id"),
        failure=_failure(found) if status is PaymentStatus.FAILED else None,
        created_at=found.maybe_rfc3339("created-at"),
        updated_at=found.maybe_rfc3339("updated-at"),
        settled_at=settlement.settled_at if settlement else None,
        metadata=found.json("custom-fields"),
    )
    local = found.maybe_child("local-payment")
    local_id = local.maybe_id("payment-id") if local else None
    return Statement(
        block=block,
        at=head.occurred_at,
        payment_id=block.id,
        aliases=(local_id,) if local_id else (),
        facts=settled,
    )


def _refund(found: Wild, head: Head) -> Statement:
    status = found.status("status", REFUND_STATUSES)
    payment_id = found.maybe_id("refunded-transaction-id")
    return Statement(
        block=Refund(
            id=found.id("id"),
            payment_id=payment_id,
            status=status,
            provider_status=found.text("status"),
            amount=_money(found, "amount"),
            failure=_failure(found) if status is RefundStatus.FAILED else None,
            created_at=found.maybe_rfc3339("created-at"),
            updated_at=found.maybe_rfc3339("updated-at"),
            metadata=found.json("custom-fields"),
        ),
        at=head.occurred_at,
        payment_id=payment_id,
    )


def _money(found: Wild, key: str) -> Money:
    return from_major(found.decimal(key), found.text("currency-iso-code"))


def _maybe_money(found: Wild, key: str) -> Money | None:
    return _money(found, key) if key in found else None


def _breakdown(found: Wild) -> Breakdown | None:
    breakdown = Breakdown(
        tax=_maybe_money(found, "tax-amount"),
        shipping=_maybe_money(found, "shipping-amount"),
        discount=_maybe_money(found, "discount-amount"),
        surcharge=_maybe_money(found, "surcharge-amount"),
    )
    return breakdown if breakdown != Breakdown() else None


def _settlement(found: Wild) -> tuple[Settlement | None, tuple[Fact, ...]]:
    """What was disbursed of it, and that it was; the details stand there empty before."""
    details = found.maybe_child("disbursement-details")
    if details is None or "disbursement-date" not in details or details.maybe_flag("success") is False:
        return None, ()
    rate = details.maybe_decimal("settlement-currency-exchange-rate")
    settlement = Settlement(
        amount=_settled_amount(details),
        exchange_rate=f"{rate:f}" if rate is not None else None,
        settled_at=details.date("disbursement-date"),
    )
    return settlement, (Fact(name="settled", says=(1,)),)


def _settled_amount(details: Wild) -> Money | None:
    if "settlement-amount" not in details:
        return None
    return from_major(details.decimal("settlement-amount"), details.text("settlement-currency-iso-code"))


def _method(found: Wild) -> Method | None:
    word = found.maybe_text("payment-instrument-type")
    if word is None:
        return None
    key, method = METHODS.get(word, ("", Method(type=word)))
    details = found.maybe_child(key)
    if details is None:
        return method
    return replace(method, brand=details.maybe_text("card-type"), last4=details.maybe_text("last-4"))


def _customer(found: Wild) -> str | None:
    customer = found.maybe_child("customer")
    return customer.maybe_id("id") if customer else None


def _failure(found: Wild) -> Failure:
    """Why: the gateway's own rule, or what the processor answered, to the authorisation or to the settlement."""
    status, rejection = found.text("status"), found.maybe_text("gateway-rejection-reason")
    answer = "processor-settlement-response" if status.startswith("settlement_") else "processor-response"
    category = REJECTIONS.get(rejection or "") if status == "gateway_rejected" else FAILURES.get(status)
    return Failure(
        category=category or FailureCategory.UNKNOWN,
        code=rejection if status == "gateway_rejected" else status,
        decline_code=found.maybe_text(f"{answer}-code"),
        message=found.free_text(f"{answer}-text"),
    )


# --- disputes, payouts


def dispute(body: Wild, head: Head) -> tuple[Statement, ...]:
    found = body.child("subject", "dispute")
    payment_id = found.child("transaction").id("id")
    kind = found.text("kind")
    stage = STAGES.get(kind)
    if stage is None:
        raise found.at("kind").unknown("kind of dispute", reason="unknown_status")
    block = Dispute(
        id=found.id("id"),
        payment_id=payment_id,
        status=found.status("status", INQUIRY_STATUSES if stage == "inquiry" else DISPUTE_STATUSES),
        provider_status=found.text("status"),
        stage=stage,
        amount=_money(found, "amount-disputed" if "amount-disputed" in found else "amount"),
        reason=DisputeReason(category=found.maybe_text("reason"), code=found.maybe_text("reason-code")),
        evidence_due_at=found.maybe_date("reply-by-date"),
        created_at=found.maybe_rfc3339("created-at"),
        updated_at=found.maybe_rfc3339("updated-at"),
    )
    return (Statement(block=block, at=head.occurred_at, payment_id=payment_id),)


def disbursement(body: Wild, head: Head) -> tuple[Statement, ...]:
    found = body.child("subject", "disbursement")
    status = DISBURSEMENTS[head.event_type or ""]
    if found.flag("success") is (status is PayoutStatus.FAILED):
        raise found.at("success").unknown("outcome of this kind", reason="unknown_status")
    block = Payout(
        id=found.id("id"),
        status=status,
        amount=_disbursed(found),
        arrival_at=found.maybe_date("disbursement-date") if status is not PayoutStatus.FAILED else None,
        failure=_exception(found) if status is PayoutStatus.FAILED else None,
    )
    return (Statement(block=block, at=head.occurred_at),)


def _disbursed(found: Wild) -> Money:
    """Less than nothing where Braintree takes the money, whichever sign it writes."""
    amount = found.decimal("amount")
    if found.maybe_text("disbursement-type") == "debit":
        amount = -abs(amount)
    return from_major(amount, found.child("merchant-account").text("currency-iso-code"))


def _exception(found: Wild) -> Failure:
    return Failure(
        category=FailureCategory.UNKNOWN,
        code=found.maybe_text("exception-message"),
        message=found.free_text("follow-up-action"),
    )


def configure(scheme: Scheme, options: Mapping[str, str]) -> Scheme:
    return replace(cast("SignedForm", scheme), public_keys=tuple(options.get("public_key", "").split()))


# Known, and about no payment: accounts, payment methods, subscriptions (each charge is told by itself), the test of the
# endpoint (`check`), and a person's verdict on a transaction, whose status follows on its own.
IGNORED: Final = frozenset(
    {
        "account_updater_daily_report",
        "check",
        "connected_merchant_paypal_status_changed",
        "connected_merchant_status_transitioned",
        "granted_payment_instrument_revoked",
        "granted_payment_instrument_update",
        "granted_payment_method_revoked",
        "grantor_updated_granted_payment_method",
        "oauth_access_revoked",
        "partner_merchant_connected",
        "partner_merchant_declined",
        "partner_merchant_disconnected",
        "payment_method_customer_data_updated",
        "payment_method_revoked_by_customer",
        "recipient_updated_granted_payment_method",
        "subscription_billing_skipped",
        "subscription_canceled",
        "subscription_expired",
        "subscription_trial_ended",
        "subscription_went_active",
        "subscription_went_past_due",
        "transaction_reviewed",
    }
)

TRANSITIONS: Final = Transitions(
    moves={
        # A debit that the bank returns after it settled; what was submitted may be voided until it settles.
        Entity.PAYMENT: {PaymentStatus.SUCCEEDED: frozenset({PaymentStatus.FAILED, PaymentStatus.CANCELED})},
        Entity.REFUND: {RefundStatus.SUCCEEDED: frozenset({RefundStatus.FAILED})},
        # `retry`: a disbursement is tried again once the bank account is put right.
        Entity.PAYOUT: {PayoutStatus.FAILED: frozenset({PayoutStatus.IN_TRANSIT})},
    }
)

BRAINTREE: Final = Provider(
    name="braintree",
    docs="https://developer.paypal.com/braintree/docs/reference/general/webhooks/overview",
    signature=SignedForm(),
    parse=parse,
    head=head,
    handshake=handshake,
    events={
        "transaction_settled": transaction,
        "transaction_settlement_declined": transaction,
        "transaction_disbursed": transaction,
        "transaction_retried": bank_debit,
        "refund_failed": refund,
        "subscription_charged_successfully": charge,
        "subscription_charged_unsuccessfully": charge,
        "local_payment_completed": local_payment,
        "local_payment_expired": local_payment,
        "local_payment_funded": local_payment,
        "local_payment_reversed": local_payment,
        "dispute_opened": dispute,
        "dispute_under_review": dispute,
        "dispute_disputed": dispute,
        "dispute_accepted": dispute,
        "dispute_auto_accepted": dispute,
        "dispute_expired": dispute,
        "dispute_won": dispute,
        "dispute_lost": dispute,
        "disbursement": disbursement,
        "disbursement_exception": disbursement,
    },
    ignored=IGNORED,
    statuses={
        "payment": STATUSES,
        "payment by bank debit": DEBIT_STATUSES,
        "refund": REFUND_STATUSES,
        "dispute": DISPUTE_STATUSES,
        "dispute of the kind retrieval": INQUIRY_STATUSES,
        "local payment without transaction, by kind": LOCAL_PAYMENTS,
        "disbursement, by kind": DISBURSEMENTS,
    },
    transitions=TRANSITIONS,
    redelivery=Redelivery(timeout=30, window=timedelta(hours=24), note="every hour; in the sandbox for 3 hours"),
    options=(
        Option(
            name="public_key",
            help="the API key's public half, which says which signature counts; while keys are rotated both, "
            "separated by a blank",
            required=True,
        ),
    ),
    configure=configure,
)
