"""Adyen: cards and local methods, payouts from balance accounts. https://docs.adyen.com/api-explorer/Webhooks/1/overview

- The payment is the AUTHORISATION's `pspReference`. What happens to it later has a reference of its own there (the
  refund's, the dispute's) and the payment's in `originalReference`. EXPIRE and OFFER_CLOSED may carry the payment's
  alone; so do CHARGEBACK_REVERSED, SECOND_CHARGEBACK and PREARBITRATION_* until the account has "Include the
  originalReference" enabled for them, and then they have no name for the dispute.
- `success` is the outcome of what `eventCode` names, so the two together are the status. CAPTURE_FAILED, REFUND_FAILED
  and REFUNDED_REVERSED are failures that say `success: true`.
- Signed are, item by item, pspReference, originalReference, merchantAccountCode, merchantReference, value, currency,
  eventCode and success: not the time, the mode, the reason, nor anything in `additionalData`. There is no event id, so
  the key is pspReference:eventCode:success; Adyen's duplicates share the first two, and a corrected outcome is another
  event. https://docs.adyen.com/development-resources/webhooks/handle-webhook-events
- JSON carries one item each as far as Adyen says; each of several is verified and translated.
- AUTHORISATION is the last that is heard of a payment which is captured automatically. CAPTURE is for the others: by
  default one for each payment, whose rest is released; where several partial captures were enabled each is a part,
  by its own pspReference. `amount_captured` is that one's. https://docs.adyen.com/online-payments/capture
- CAPTURE, REFUND and the like mean that Adyen sent it to the scheme, which may still refuse (the _FAILED ones).
- `disputeStatus` tells what the event code leaves open; not for payments processed in Brazil.
  https://docs.adyen.com/risk-management/disputes-api/dispute-notifications
- Integers in Adyen's minor units, which are not ISO's for four currencies; JSON may hold them as text.
  https://docs.adyen.com/development-resources/currency-codes
- Webhooks of the balance platform, of tokens and of the Management API have another envelope, and a signature in a
  header. Of these only transfers to banks and cards outside are translated: they are the payouts. The rest is
  bookkeeping of payments that are told above, what others do with cards issued here, or configuration.
- Any 2xx within 10 seconds; older set-ups want `[accepted]`. What fails is retried in order: one refused webhook holds
  up all that follow. https://docs.adyen.com/development-resources/webhooks/troubleshoot
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from paymux.canonical import (
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
)
from paymux.money import from_minor
from paymux.provider import Ack, Option, Provider, Redelivery, Transitions
from paymux.signatures.adyen_hmac import ITEM, ITEMS, AdyenHmac
from paymux.signatures.basic_auth import AndBasicAuth, BasicAuth
from paymux.statement import Fact, Head, Statement, purpose
from paymux.wild import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from enum import StrEnum

    from paymux.delivery import Verified
    from paymux.money import Money
    from paymux.signatures import Scheme
    from paymux.wild import Wild

_Status = TypeVar("_Status", bound="StrEnum | None")
_Stage = Literal["inquiry", "chargeback", "pre_arbitration", "arbitration"]

# Adyen's decimals where ISO has others. https://docs.adyen.com/development-resources/currency-codes
EXPONENTS: Final = {"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2}

# eventCode:success, as they are signed -> what became of the payment. None: it stays what it was.
PAYMENTS: Final = {
    "AUTHORISATION:true": PaymentStatus.AUTHORIZED,
    "AUTHORISATION:false": PaymentStatus.FAILED,
    "AUTHORISATION_ADJUSTMENT:true": PaymentStatus.AUTHORIZED,
    "CAPTURE:true": PaymentStatus.SUCCEEDED,
    "CAPTURE_FAILED:true": PaymentStatus.FAILED,
    "CANCELLATION:true": PaymentStatus.CANCELED,
    "TECHNICAL_CANCEL:true": PaymentStatus.CANCELED,
    "CANCEL_OR_REFUND:true": PaymentStatus.CANCELED,  # where it was a cancel
    "EXPIRE:true": PaymentStatus.EXPIRED,
    "OFFER_CLOSED:true": PaymentStatus.EXPIRED,
    "AUTHORISATION_ADJUSTMENT:false": None,
    "CAPTURE:false": None,
    "CANCELLATION:false": None,
    "TECHNICAL_CANCEL:false": None,
    "CANCEL_OR_REFUND:false": None,
    "NOTIFICATION_OF_FRAUD:true": None,
}
REFUNDS: Final = {
    "REFUND:true": RefundStatus.SUCCEEDED,
    "REFUND:false": RefundStatus.FAILED,
    "REFUND_WITH_DATA:true": RefundStatus.SUCCEEDED,
    "REFUND_WITH_DATA:false": RefundStatus.FAILED,
    "CANCEL_OR_REFUND:true": RefundStatus.SUCCEEDED,  # where it was a refund
    "CANCEL_OR_REFUND:false": RefundStatus.FAILED,
    "REFUND_FAILED:true": RefundStatus.FAILED,
    "REFUNDED_REVERSED:true": RefundStatus.FAILED,
    "POSTPONED_REFUND:true": RefundStatus.PENDING,
    "POSTPONED_REFUND:false": RefundStatus.FAILED,
    "VOID_PENDING_REFUND:true": RefundStatus.CANCELED,
    "VOID_PENDING_REFUND:false": None,
}
# eventCode -> the stage it tells of, and what became of the dispute. Without a stage it may come at any.
DISPUTES: Final[Mapping[str, tuple[_Stage | None, DisputeStatus | None]]] = {
    "REQUEST_FOR_INFORMATION": ("inquiry", DisputeStatus.INQUIRY),
    "NOTIFICATION_OF_CHARGEBACK": ("chargeback", DisputeStatus.NEEDS_RESPONSE),
    "CHARGEBACK": ("chargeback", DisputeStatus.NEEDS_RESPONSE),
    "INFORMATION_SUPPLIED": (None, DisputeStatus.UNDER_REVIEW),
    "ISSUER_COMMENTS": (None, None),
    "CHARGEBACK_REVERSED": ("chargeback", DisputeStatus.UNDER_REVIEW),  # the issuer may present it a second time
    "ISSUER_RESPONSE_TIMEFRAME_EXPIRED": ("chargeback", DisputeStatus.WON),
    "DISPUTE_DEFENSE_PERIOD_ENDED": (None, DisputeStatus.LOST),
    "SECOND_CHARGEBACK": ("chargeback", DisputeStatus.LOST),
    "PREARBITRATION_OPEN": ("pre_arbitration", DisputeStatus.NEEDS_RESPONSE),
    "PREARBITRATION_ACCEPTED": ("pre_arbitration", DisputeStatus.ACCEPTED),
    "PREARBITRATION_DECLINED": ("pre_arbitration", DisputeStatus.UNDER_REVIEW),
    "PREARBITRATION_ISSUER_WITHDRAWN": ("pre_arbitration", DisputeStatus.CANCELED),
    "PREARBITRATION_WON": ("pre_arbitration", DisputeStatus.WON),
    "PREARBITRATION_LOST": ("pre_arbitration", DisputeStatus.LOST),
    "SCHEME_ARBITRATION": ("arbitration", DisputeStatus.UNDER_REVIEW),
    "SCHEME_ARBITRATION_WON": ("arbitration", DisputeStatus.WON),
    "SCHEME_ARBITRATION_LOST": ("arbitration", DisputeStatus.LOST),
}
# additionalData.disputeStatus -> dispute, for the event codes that leave it open.
OPEN_STATUSES: Final = {
    "Unresponded": DisputeStatus.NEEDS_RESPONSE,
    "Undefended": DisputeStatus.NEEDS_RESPONSE,
    "Responded": DisputeStatus.UNDER_REVIEW,
    "Pending": DisputeStatus.UNDER_REVIEW,
    "Accepted": DisputeStatus.ACCEPTED,
    "Expired": DisputeStatus.EXPIRED,
    "Won": DisputeStatus.WON,
    "Lost": DisputeStatus.LOST,
}
REFINED: Final[Mapping[str, Mapping[str, DisputeStatus]]] = {
    "REQUEST_FOR_INFORMATION": {**OPEN_STATUSES, "Unresponded": DisputeStatus.INQUIRY},
    "NOTIFICATION_OF_CHARGEBACK": OPEN_STATUSES,
    "CHARGEBACK": OPEN_STATUSES,
    "INFORMATION_SUPPLIED": OPEN_STATUSES,
    "CHARGEBACK_REVERSED": OPEN_STATUSES,
    "DISPUTE_DEFENSE_PERIOD_ENDED": {**OPEN_STATUSES, "Undefended": DisputeStatus.LOST},
}
FUNDS: Final = {
    "CHARGEBACK": (Fact(name="funds_withdrawn"),),
    "SECOND_CHARGEBACK": (Fact(name="funds_withdrawn"),),
    "CHARGEBACK_REVERSED": (Fact(name="funds_reinstated"),),
}

PAYOUTS: Final = {
    "PAYOUT_THIRDPARTY:true": PayoutStatus.PAID,
    "PAYOUT_THIRDPARTY:false": PayoutStatus.FAILED,
    "PAYOUT_DECLINE:true": PayoutStatus.CANCELED,
    "PAYOUT_EXPIRE:true": PayoutStatus.CANCELED,
    "PAIDOUT_REVERSED:true": PayoutStatus.RETURNED,
}
# Transfer status -> payout, for transfers that leave the platform. Of the 72 documented words the others belong to
# other kinds of transfers. https://docs.adyen.com/api-explorer/transfer-webhooks/4/post/balancePlatform.transfer.updated
TRANSFER_STATUSES: Final = {
    "received": PayoutStatus.PENDING,
    "approvalPending": PayoutStatus.PENDING,
    "pendingApproval": PayoutStatus.PENDING,
    "pendingExecution": PayoutStatus.PENDING,
    "pending": PayoutStatus.PENDING,
    "authorised": PayoutStatus.IN_TRANSIT,
    "bankTransferPending": PayoutStatus.IN_TRANSIT,
    "bookingPending": PayoutStatus.IN_TRANSIT,
    "booked": PayoutStatus.PAID,
    "credited": PayoutStatus.PAID,
    "refused": PayoutStatus.FAILED,
    "rejected": PayoutStatus.FAILED,
    "failed": PayoutStatus.FAILED,
    "error": PayoutStatus.FAILED,
    "cancelled": PayoutStatus.CANCELED,
    "expired": PayoutStatus.CANCELED,
    "returned": PayoutStatus.RETURNED,
}

# Refusal reason -> ours; the others stay `unknown`. https://docs.adyen.com/development-resources/refusal-reasons
FAILURES: Final = {
    reason.casefold(): category
    for category, reasons in {
        FailureCategory.DECLINED: "Refused|Referral|Blocked Card|Expired Card|Invalid Card Number|Not enough balance|"
        "Invalid Pin|Pin tries exceeded|Pin validation not possible|Transaction Not Permitted|CVC Declined|"
        "Restricted Card|Revocation Of Auth|Declined Non Generic|Withdrawal amount exceeded|"
        "Withdrawal count exceeded|AVS Declined|Card requires online pin|No checking account available on Card|"
        "No savings account available on Card|Mobile PIN required|Contactless fallback",
        FailureCategory.AUTHENTICATION: "3D Not Authenticated|Authentication required|RReq not received from DS|"
        "3DS Authentication Error",
        FailureCategory.TECHNICAL: "Acquirer Error|Issuer Unavailable|Not supported|Not Submitted|Invalid Amount|"
        "Current AID is in Penalty Box|CVM Required Restart Payment|"
        "Transaction blocked by Adyen to prevent excessive retry fees",
        FailureCategory.FRAUD: "FRAUD|FRAUD-CANCELLED|Acquirer Fraud|Issuer Suspected Fraud",
        FailureCategory.CANCELED_BY_CUSTOMER: "Shopper Cancelled",
    }.items()
    for reason in reasons.split("|")
}
# https://docs.adyen.com/development-resources/paymentmethodvariant
_CARDS: Final = (
    "visa mc amex maestro maestrouk discover diners jcb cup cartebancaire bcmc dankort visadankort elo electron vpay "
    "hipercard interac eftpos_australia girocard mir rupay troy uatp"
)
CARDS: Final = frozenset(_CARDS.split())
WALLETS: Final = frozenset({"applepay", "googlepay", "samsungpay"})

# Known and not translated. Of the standard ones: what is no payment, or an order whose payments are told one by one.
# NOTIFICATIONTEST: https://docs.adyen.com/api-explorer/Management/3/post/merchants/(merchantId)/webhooks/(webhookId)/test
_STANDARD: Final = (
    "ORDER_OPENED ORDER_CLOSED MANUAL_REVIEW_ACCEPT MANUAL_REVIEW_REJECT AUTORESCUE CANCEL_AUTORESCUE "
    "RECURRING_CONTRACT REPORT_AVAILABLE HANDLED_EXTERNALLY AUTHENTICATION DONATION NOTIFICATIONTEST "
    "DIRECT_DEBIT_NOTICE_OF_CHANGE_NOTIFICATION"
)
# Of the others: tokens, the Management API, and below `balancePlatform` what each happens to, by verb.
_ELSEWHERE: Final = (
    "ach.notificationOfChange recurring.token.created recurring.token.updated recurring.token.disabled "
    "recurring.token.alreadyExisting merchant.created merchant.updated paymentMethod.created "
    "paymentMethodRequest.removed paymentMethodRequest.scheduledForRemoval terminalAssignment.completed "
    "terminalBoarding.triggered terminalSettings.modified"
)
_PLATFORM: Final = {
    "created updated": "payment incomingTransfer outgoingTransfer dispute accountHolder balanceAccount grants mandate "
    "balanceAccount.recurringTopUp balanceAccountPayoutSchedule balancePlatformPayoutSchedule balanceAccountSweep "
    "cardorder networkToken paymentInstrument",
    "created": "transaction report authentication balanceAccountHolder.capitalOffer capital.dynamicOffer",
    "updated": "balanceAccount.balance",
    "deleted": "balanceAccount.recurringTopUp balanceAccountPayoutSchedule balancePlatformPayoutSchedule "
    "balanceAccountSweep",
    "relayed": "authorisation authentication",
    "failed": "balanceAccountPayoutScheduleAutoApplication balanceAccountPayoutScheduleExecution",
    "skipped succeeded": "balanceAccountPayoutScheduleExecution",
    "released": "balanceAccount.balance.block",
    "scheduled": "negativeBalanceCompensationWarning",
    "triggered": "score",
}
IGNORED: Final = frozenset(
    {
        *_STANDARD.split(),
        *_ELSEWHERE.split(),
        *(
            f"balancePlatform.{thing}.{verb}"
            for verbs, things in _PLATFORM.items()
            for verb in verbs.split()
            for thing in things.split()
        ),
    }
)

TRANSITIONS: Final = Transitions(
    moves={
        Entity.PAYMENT: {
            PaymentStatus.SUCCEEDED: frozenset({PaymentStatus.FAILED}),  # CAPTURE_FAILED
            # A later success for the same reference, or another capture or a cancel after CAPTURE_FAILED.
            PaymentStatus.FAILED: frozenset({PaymentStatus.AUTHORIZED}),
        },
        # REFUND_FAILED and REFUNDED_REVERSED. https://docs.adyen.com/online-payments/refund
        Entity.REFUND: {RefundStatus.SUCCEEDED: frozenset({RefundStatus.FAILED})},
        # A second chargeback after a defence that was won; pre-arbitration and arbitration after either verdict.
        Entity.DISPUTE: {
            DisputeStatus.WON: frozenset({DisputeStatus.NEEDS_RESPONSE}),
            DisputeStatus.LOST: frozenset({DisputeStatus.NEEDS_RESPONSE}),
        },
    }
)


def parse(body: bytes) -> Wild:
    """A file may also hold one item without its envelope, as many keep them: nothing that Adyen posts does."""
    found = parse_json(body)
    if "eventCode" in found:
        return _enveloped(b'{"%s":%s}' % (ITEM.encode(), body))
    return _enveloped(body) if ITEM in found else found


def _enveloped(wrapper: bytes) -> Wild:
    return parse_json(b'{"%s":[%s]}' % (ITEMS.encode(), wrapper))


def split(body: Wild) -> Iterable[Wild]:
    return body.children(ITEMS) if ITEMS in body else (body,)


def head(_verified: Verified, body: Wild) -> Head:
    return _item_head(body) if ITEMS in body.root else _platform_head(body)


def _item_head(body: Wild) -> Head:
    item = body.child(ITEM)
    code = item.text("eventCode")
    return Head(
        event_key=f"{item.id('pspReference')}:{code}:{_word(item, 'success')}",
        event_type=code,
        occurred_at=item.maybe_rfc3339("eventDate"),
        livemode=_word(body.root, "live") == "true" if "live" in body.root else None,
    )


def _platform_head(body: Wild) -> Head:
    return Head(
        event_key=_platform_key(body),
        event_type=body.text("type"),
        occurred_at=body.maybe_rfc3339("timestamp"),
        livemode=_environment(body),
    )


def _platform_key(body: Wild) -> str:
    """A token's event has an id, a transfer's a number among those of that transfer; the others have no name."""
    data = body.maybe_child("data")
    if (event := body.maybe_id("eventId")) is not None:
        return event
    if data is not None and (number := data.maybe_integer("sequenceNumber")) is not None:
        return f"{data.id('id')}:{number}"
    return body.digest()


# --- standard notifications


def authorisation(body: Wild, head: Head) -> tuple[Statement, ...]:
    """An amount of zero only checks the card or stores it."""
    item = body.child(ITEM)
    amount, granted = _money(item), _word(item, "success") == "true"
    said = _payment(
        item,
        head,
        item.id("pspReference"),
        purpose=purpose(amount),
        amount=amount,
        amount_authorized=amount if granted else None,
        reference=item.free_text("merchantReference"),
    )
    return (said,)


def adjustment(body: Wild, head: Head) -> tuple[Statement, ...]:
    """The new amount of the authorisation; where it failed, only the one that was asked for."""
    item = body.child(ITEM)
    amount = _money(item) if _word(item, "success") == "true" else None
    return (_payment(item, head, item.id("originalReference"), amount=amount, amount_authorized=amount),)


def capture(body: Wild, head: Head) -> tuple[Statement, ...]:
    item = body.child(ITEM)
    payment_id = item.id("originalReference")
    if _word(item, "success") == "false":
        return (_payment(item, head, payment_id, facts=(Fact(name="attempt_failed"),)),)
    return (_captured(item, head, payment_id, _money(item)),)


def capture_failed(body: Wild, head: Head) -> tuple[Statement, ...]:
    """The scheme refused what CAPTURE told as done: by it, nothing is captured."""
    item = body.child(ITEM)
    return (_captured(item, head, item.id("originalReference"), replace(_money(item), minor=0)),)


def cancellation(body: Wild, head: Head) -> tuple[Statement, ...]:
    """A cancel is always of the whole payment."""
    item = body.child(ITEM)
    return (_payment(item, head, item.id("originalReference"), amount=_money(item)),)


def fraud_report(body: Wild, head: Head) -> tuple[Statement, ...]:
    item = body.child(ITEM)
    return (_payment(item, head, item.id("originalReference")),)


def expiry(body: Wild, head: Head) -> tuple[Statement, ...]:
    """The amount is what remained uncaptured."""
    item = body.child(ITEM)
    return (_payment(item, head, _original(item)),)


def offer_closed(body: Wild, head: Head) -> tuple[Statement, ...]:
    """Nobody paid in time: often the first that is heard of the payment."""
    item = body.child(ITEM)
    reference = item.free_text("merchantReference")
    return (_payment(item, head, _original(item), amount=_money(item), reference=reference),)


def reversal(body: Wild, head: Head) -> tuple[Statement, ...]:
    """A cancel before the capture, a refund after it: https://docs.adyen.com/online-payments/reversal"""
    extra = body.child(ITEM, "additionalData")
    act = {"cancel": cancellation, "refund": refund}.get(extra.text("modification.action"))
    if act is None:
        raise extra.at("modification.action").unknown("action", reason="unknown_status")
    return act(body, head)


def refund(body: Wild, head: Head) -> tuple[Statement, ...]:
    item = body.child(ITEM)
    return (_refund(item, head, item.id("originalReference")),)


def refund_with_data(body: Wild, head: Head) -> tuple[Statement, ...]:
    """May belong to no payment at Adyen."""
    item = body.child(ITEM)
    return (_refund(item, head, item.maybe_id("originalReference")),)


def dispute(body: Wild, head: Head) -> tuple[Statement, ...]:
    item, code = body.child(ITEM), head.event_type or ""
    status, word = _dispute_status(item, code)
    block = Dispute(
        id=item.id("pspReference"),
        payment_id=_original(item),
        status=status,
        provider_status=word,
        stage=DISPUTES[code][0],
        amount=_money(item),
        reason=_dispute_reason(item),
        evidence_due_at=_due(item),
        metadata=_metadata(item),
    )
    return (Statement(block=block, at=head.occurred_at, payment_id=block.payment_id, facts=FUNDS.get(code, ())),)


def payout(body: Wild, head: Head) -> tuple[Statement, ...]:
    """The payout is named by the request that submitted it."""
    item = body.child(ITEM)
    status = _status(item, PAYOUTS)
    block = Payout(
        id=_original(item),
        status=status,
        provider_status=_outcome(item),
        amount=_money(item),
        failure=_failure(item) if status in (PayoutStatus.FAILED, PayoutStatus.RETURNED) else None,
        metadata=_metadata(item),
    )
    return (Statement(block=block, at=head.occurred_at),)


def _payment(item: Wild, head: Head, payment_id: str, *, facts: tuple[Fact, ...] = (), **said: Any) -> Statement:
    """`said`: the fields of the block that this kind of event states."""
    status = _status(item, PAYMENTS)
    failed = status is PaymentStatus.FAILED or _word(item, "success") == "false"
    block = Payment(
        id=payment_id,
        status=status,
        provider_status=_outcome(item),
        method=_method(item),
        customer_id=_extra(item, "shopperReference"),
        failure=_failure(item) if failed else None,
        metadata=_metadata(item),
        **said,
    )
    return Statement(block=block, at=head.occurred_at, payment_id=payment_id, facts=facts)


def _captured(item: Wild, head: Head, payment_id: str, amount: Money) -> Statement:
    """One capture of possibly several: it goes by its own reference, and counts beside the others."""
    said = _payment(item, head, payment_id, amount_captured=amount)
    return replace(said, capture=(item.id("pspReference"), amount))


def _refund(item: Wild, head: Head, payment_id: str | None) -> Statement:
    status = _status(item, REFUNDS)
    block = Refund(
        id=item.id("pspReference"),
        payment_id=payment_id,
        status=status,
        provider_status=_outcome(item),
        amount=_money(item),
        failure=_failure(item) if status in (RefundStatus.FAILED, None) else None,
        metadata=_metadata(item),
    )
    return Statement(block=block, at=head.occurred_at, payment_id=payment_id)


def _original(item: Wild) -> str:
    """What it is about, where that may be the notification's own reference."""
    return item.maybe_id("originalReference") or item.id("pspReference")


def _outcome(item: Wild) -> str:
    return f"{item.text('eventCode')}:{_word(item, 'success')}"


def _status(item: Wild, table: Mapping[str, _Status]) -> _Status:
    outcome = _outcome(item)
    if outcome not in table:
        raise item.at("success").unknown(f"outcome of {item.text('eventCode')}", reason="unknown_status")
    return table[outcome]


def _dispute_status(item: Wild, code: str) -> tuple[DisputeStatus | None, str]:
    """The status, and Adyen's word for it."""
    if _word(item, "success") == "false":
        raise item.at("success").unknown(f"outcome of {code}", reason="unknown_status")
    word, table = _extra(item, "disputeStatus"), REFINED.get(code)
    if table is None or word is None:
        return DISPUTES[code][1], _outcome(item)
    return item.child("additionalData").status("disputeStatus", table), word


def _dispute_reason(item: Wild) -> DisputeReason:
    code = _extra(item, "chargebackReasonCode") or _extra(item, "rfiReasonCode")
    return DisputeReason(category=item.free_text("reason") or None, code=code.strip() if code else None)


def _due(item: Wild) -> datetime | None:
    extra = item.maybe_child("additionalData")
    return extra.maybe_rfc3339("defensePeriodEndsAt") if extra else None


def _method(item: Wild) -> Method | None:
    """`visa`, `ideal`, `mc_applepay`."""
    word = item.maybe_text("paymentMethod")
    if not word:
        return None
    brand, _, wallet = word.partition("_")
    if word not in CARDS and not (brand in CARDS and wallet in WALLETS):
        return Method(type=word)
    return Method(
        type="card",
        brand=word if word in CARDS else brand,
        last4=_extra(item, "cardSummary"),
        wallet=wallet if wallet in WALLETS else None,
    )


def _failure(item: Wild) -> Failure:
    reason = item.free_text("reason") or None
    return Failure(
        category=FAILURES.get((reason or "").casefold(), FailureCategory.UNKNOWN),
        decline_code=_extra(item, "refusalReasonRaw"),
        message=reason,
    )


def _metadata(item: Wild) -> dict[str, Any] | None:
    """What the merchant gave with the payment: `additionalData` has it under `metadata.<key>`."""
    extra = item.json("additionalData") or {}
    found = {key.removeprefix("metadata."): value for key, value in extra.items() if key.startswith("metadata.")}
    return found or None


def _extra(item: Wild, key: str) -> str | None:
    extra = item.maybe_child("additionalData")
    return extra.maybe_text(key) if extra else None


# --- transfers of the balance platform


def transfer(body: Wild, head: Head) -> tuple[Statement, ...]:
    """Nothing, where the money stays on the platform or comes to it."""
    found = body.child("data")
    if not _leaves(found):
        return ()
    status = found.status("status", TRANSFER_STATUSES)
    counterparty = found.maybe_child("counterparty")
    block = Payout(
        id=found.id("id"),
        status=status,
        provider_status=found.text("status"),
        amount=_money(found),
        destination=counterparty.maybe_id("transferInstrumentId") if counterparty else None,
        failure=_transfer_failure(found) if status is PayoutStatus.FAILED else None,
        created_at=found.maybe_rfc3339("createdAt"),
        updated_at=found.maybe_rfc3339("updatedAt"),
    )
    return (Statement(block=block, at=block.updated_at or head.occurred_at or found.maybe_rfc3339("creationDate")),)


def _leaves(found: Wild) -> bool:
    """A direct debit by somebody else goes out, too, but is no payout."""
    kind = found.maybe_text("type")
    return (
        found.text("category") in ("bank", "card")
        and found.maybe_text("direction") == "outgoing"
        and kind in (None, "bankTransfer", "cardTransfer")
    )


def _transfer_failure(found: Wild) -> Failure:
    return Failure(category=FailureCategory.UNKNOWN, code=found.maybe_text("reason"))


def _environment(body: Wild) -> bool | None:
    modes = {"live": True, "test": False}
    word = body.maybe_text("environment")
    if word is None:
        return None
    if word not in modes:
        raise body.at("environment").untamed("live or test")
    return modes[word]


# --- values


def _word(found: Wild, key: str) -> str:
    """`true` or `false`, which Adyen writes as text; some of what its SDKs publish has JSON's own."""
    value = found.at(key).value
    word = str(value).lower() if isinstance(value, bool) else found.text(key)
    if word not in ("true", "false"):
        raise found.at(key).untamed('"true" or "false"')
    return word


_WHOLE: Final = re.compile(r"[0-9]{1,19}")


def _money(found: Wild) -> Money:
    amount = found.child("amount")
    text = amount.at("value").value
    value = int(text) if isinstance(text, str) and _WHOLE.fullmatch(text) else amount.integer("value")
    return from_minor(value, amount.text("currency"), EXPONENTS)


def configure(signature: Scheme, options: Mapping[str, str]) -> Scheme:
    return _AUTHENTICATION[options.get("authentication", "hmac")](signature)


_AUTHENTICATION: Final[Mapping[str, Callable[[Scheme], Scheme]]] = {
    "hmac": lambda signature: signature,
    "hmac-and-basic": lambda signature: AndBasicAuth(signature=signature),
    "basic": lambda _: BasicAuth(),
}

EVENTS: Final = {
    "AUTHORISATION": authorisation,
    "AUTHORISATION_ADJUSTMENT": adjustment,
    "CAPTURE": capture,
    "CAPTURE_FAILED": capture_failed,
    "CANCELLATION": cancellation,
    "TECHNICAL_CANCEL": cancellation,
    "CANCEL_OR_REFUND": reversal,
    "EXPIRE": expiry,
    "OFFER_CLOSED": offer_closed,
    "NOTIFICATION_OF_FRAUD": fraud_report,
    "REFUND": refund,
    "REFUND_WITH_DATA": refund_with_data,
    "REFUND_FAILED": refund,
    "REFUNDED_REVERSED": refund,
    "POSTPONED_REFUND": refund,
    "VOID_PENDING_REFUND": refund,
    **dict.fromkeys(DISPUTES, dispute),
    "PAYOUT_THIRDPARTY": payout,
    "PAYOUT_DECLINE": payout,
    "PAYOUT_EXPIRE": payout,
    "PAIDOUT_REVERSED": payout,
    "balancePlatform.transfer.created": transfer,
    "balancePlatform.transfer.updated": transfer,
}

ADYEN: Final = Provider(
    name="adyen",
    docs="https://docs.adyen.com/api-explorer/Webhooks/1/overview",
    signature=AdyenHmac(),
    parse=parse,
    head=head,
    split=split,
    events=EVENTS,
    ignored=IGNORED,
    statuses={
        "payment": {word: status for word, status in PAYMENTS.items() if status},
        "refund": {word: status for word, status in REFUNDS.items() if status},
        "dispute": {code: status for code, (_, status) in DISPUTES.items() if status},
        "disputeStatus": OPEN_STATUSES,
        "payout": PAYOUTS,
        "transfer": TRANSFER_STATUSES,
    },
    transitions=TRANSITIONS,
    ack=Ack(status=202, body=b"[accepted]", content_type="text/plain"),
    redelivery=Redelivery(
        timeout=10,
        window=timedelta(days=30),
        note="three times after 9, 18 and 27 seconds, then in order of age at growing intervals of up to 8 hours: "
        "a webhook that is refused holds up those behind it",
    ),
    options=(
        Option(
            name="authentication",
            help="what proves a webhook: its HMAC, that and Basic credentials, or these alone",
            choices=tuple(_AUTHENTICATION),
        ),
    ),
    configure=configure,
)
