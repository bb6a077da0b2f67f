"""FlexPortal: subscriptions to physical things. https://docs.flexportal.io/api-reference/overview

- No signature is published ("Webhook documentation is coming soon"): a webhook is a hint, and the payment is asked for
  by GET. An operator may configure a static header, or an HMAC over the body should FlexPortal sign one day; the
  payment is asked for all the same, since the shape of `data` for payment events is published nowhere.
- The envelope is `{"event", "timestamp", "data"}`, without an event id. A hint has no event key; where something proves
  the body, its digest is the key (the envelope holds a time).
- Nothing announces processing, cancelled or late fees. There are no disputes, and refunds are made at the payment
  processor and leave no trace here.
- `paid` is final, `failed` is not: a retry or mark-paid leads out of it.
- Money is a JSON number in major units. `total` is what is due; see `_due` for `amount` beside it.
- webhooks.flexportal.com (Svix, `flexworker.*`) belongs to another company of that name.
"""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from paymux.canonical import Breakdown, Entity, Failure, FailureCategory, LineItem, Method, Payment, PaymentStatus
from paymux.delivery import ObjectRef, Proof
from paymux.errors import SettingsError
from paymux.money import from_major
from paymux.provider import Api, Endpoint, Listing, Option, Provider, Transitions
from paymux.signatures.hint import Hint
from paymux.signatures.raw_hmac import RawHmac
from paymux.signatures.static_secret import StaticHeader
from paymux.statement import Head, Lookup, Statement

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from paymux.delivery import Asked, Verified
    from paymux.money import Money
    from paymux.signatures import Scheme
    from paymux.wild import Wild

# FlexPortal's word -> ours. https://docs.flexportal.io/api-reference/payments/get
STATUSES: Final = {
    "pending": PaymentStatus.PENDING,
    "processing": PaymentStatus.PROCESSING,
    "paid": PaymentStatus.SUCCEEDED,
    "failed": PaymentStatus.FAILED,
    "cancelled": PaymentStatus.CANCELED,
}

# Straight to paid by https://docs.flexportal.io/api-reference/payments/mark-paid
TRANSITIONS: Final = Transitions(
    moves={
        Entity.PAYMENT: {
            PaymentStatus.FAILED: frozenset(
                {PaymentStatus.PROCESSING, PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED}
            ),
        }
    }
)

# What the webhooks that promise an outcome may mean. `failed` may come before `paid`, and does not answer for it.
SETTLED: Final = {
    "payment.succeeded": frozenset({PaymentStatus.SUCCEEDED}),
    "payment.failed": frozenset({PaymentStatus.FAILED, PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED}),
}

# `provider` -> ours; Stripe and Adyen say nothing of how it was paid.
METHODS: Final = {
    "manual": Method(type="offline"),
    "paypal": Method(type="wallet", wallet="paypal"),
}

# What FlexPortal says of a payment and the model has no word for; FlexPortal has no metadata of its own.
METADATA: Final = ("billingGroupId", "billingPeriod", "paymentType", "provider", "transactionId")

# Ids are opaque; the examples look like pay_abc123.
PAYMENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")

# Where the payment's id may stand in `data`: the API's own key before one that might name something else.
_PLACES: Final = (("paymentId",), ("payment", "paymentId"), ("payment", "id"), ("id",))

# Payments are made long before they are due.
_UPCOMING: Final = frozenset({"pending"})

_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")


def head(verified: Verified, body: Wild) -> Head:
    hint = verified.proof is Proof.HINT
    return Head(
        event_key=None if hint else hashlib.sha256(verified.delivery.body).hexdigest(),
        event_type=body.text("event"),
    )


def outcome(body: Wild, head: Head) -> Lookup:
    return Lookup(objects=(_named(body),), settles=SETTLED[head.event_type or ""])


def scheduled(body: Wild, _head: Head) -> Lookup:
    return Lookup(objects=(_named(body),))


def payment_state(payment: Wild, _asked: Asked) -> tuple[Statement, ...]:
    word, status = payment.text("status"), payment.status("status", STATUSES)
    late_fee = _maybe_money(payment, "lateFeeAmount") if payment.maybe_flag("lateFeeApplied") else None
    block = Payment(
        id=payment.id("paymentId"),
        status=status,
        provider_status=word,
        amount=_due(payment, late_fee),
        breakdown=_breakdown(payment, late_fee),
        line_items=_line_items(payment),
        method=_method(payment),
        customer_id=payment.maybe_id("customerId"),
        subscription_id=payment.maybe_id("rentalId"),
        reference=payment.free_text("paymentReference"),
        description=payment.free_text("notes"),
        failure=_failure(payment) if status is PaymentStatus.FAILED else None,
        created_at=payment.maybe_date("createdAt"),
        updated_at=payment.rfc3339("updatedAt"),
        due_at=payment.maybe_date("dueDate"),
        paid_at=payment.maybe_date("paidAt"),
        next_retry_at=payment.maybe_date("nextRetryAt"),
        metadata=_metadata(payment),
    )
    return (Statement(block=block, at=block.updated_at, payment_id=block.id),)


def of_tenant(payment: Wild, options: Mapping[str, str]) -> None:
    """The answer is about the account's own business unit."""
    tenant = options.get("tenant_id")
    if tenant is not None and payment.text("tenantId") != tenant:
        raise payment.at("tenantId").unknown("tenant of this account", reason="wrong_tenant")


def _named(body: Wild) -> ObjectRef:
    data = body.child("data")
    for *place, key in _PLACES:
        found = data.maybe_child(*place)
        if found is not None and key in found:
            return _ref(found, key)
    raise data.at("paymentId").untamed("a payment id")


def _ref(found: Wild, key: str) -> ObjectRef:
    return ObjectRef(object="payment", id=found.matching(key, PAYMENT_ID, "a payment id"))


def _due(payment: Wild, late_fee: Money | None) -> Money:
    """`total`. Nothing published says how `amount` and a late fee relate to it, so they must agree: `amount`, where it
    is given, is `total`, or `total` without the late fee; `originalAmount` and the late fee make `total`.
    """
    total = _money(payment, "total")
    before = total.minor - (late_fee.minor if late_fee else 0)
    amount = _maybe_money(payment, "amount")
    if amount is not None and amount.minor not in (total.minor, before):
        raise payment.at("amount").unknown("amount that agrees with `total`", reason="shape")
    original = _maybe_money(payment, "originalAmount") if late_fee else None
    if original is not None and original.minor != before:
        raise payment.at("originalAmount").unknown("amount that makes `total` with the late fee", reason="shape")
    return total


def _breakdown(payment: Wild, late_fee: Money | None) -> Breakdown | None:
    subtotal, tax = _maybe_money(payment, "subtotal"), _maybe_money(payment, "taxAmount")
    return Breakdown(subtotal=subtotal, tax=tax, late_fee=late_fee) if subtotal or tax or late_fee else None


def _line_items(payment: Wild) -> tuple[LineItem, ...] | None:
    if "lineItems" not in payment:
        return None
    currency = payment.text("currency")
    return tuple(
        LineItem(
            reference=item.id("rentalId"),
            description=item.free_text("description"),
            amount=_money(item, "amount", currency),
            tax=_maybe_money(item, "taxAmount", currency),
        )
        for item in payment.children("lineItems")
    )


def _method(payment: Wild) -> Method | None:
    if payment.maybe_flag("manuallyMarked"):
        return METHODS["manual"]
    return METHODS.get(payment.maybe_text("provider") or "")


def _failure(payment: Wild) -> Failure | None:
    """`lastCaptureError` as the schema has it; `failureReason` stands only in the prose of the page."""
    error = payment.maybe_child("lastCaptureError")
    reason = payment.free_text("failureReason")
    if error is None:
        return Failure(category=FailureCategory.UNKNOWN, message=reason) if reason else None
    decline_code = error.maybe_text("declineCode")
    return Failure(
        category=FailureCategory.DECLINED if decline_code else FailureCategory.UNKNOWN,
        code=error.maybe_text("code"),
        decline_code=decline_code,
        message=error.free_text("message") or reason,
    )


def _metadata(payment: Wild) -> dict[str, Any]:
    return {key: payment.free_text(key) for key in METADATA if key in payment}


def _money(here: Wild, key: str, currency: str | None = None) -> Money:
    value = here.number(key)
    if value < 0:
        raise here.at(key).untamed("an amount of zero or more")
    return from_major(value, currency or here.text("currency"))


def _maybe_money(here: Wild, key: str, currency: str | None = None) -> Money | None:
    return _money(here, key, currency) if key in here else None


def _next_page(page: Wild) -> Mapping[str, str] | None:
    return {"startAfter": page.text("nextCursor")} if page.flag("hasMore") else None


def _within(since: datetime, until: datetime) -> list[dict[str, str]]:
    """There is no filter for when a payment was made or changed, only for when it is due. What will be due later may be
    paid or cancelled already.
    """
    due = {"dueDateFrom": since.date().isoformat()}
    tomorrow = (until + timedelta(days=1)).date().isoformat()
    return [{"status": word, **due} | ({"dueDateTo": tomorrow} if word in _UPCOMING else {}) for word in STATUSES]


def _headers(api_key: str, options: Mapping[str, str]) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {api_key}", "Tenant-ID": options["tenant_id"]}


def _configured(hint: Scheme, options: Mapping[str, str]) -> Scheme:
    static, signed = options.get("static_header"), options.get("hmac_header")
    if static and signed:
        raise SettingsError("static_header and hmac_header: set one of them, not both")
    if static:
        return StaticHeader(header=_header("static_header", static))
    if signed:
        return RawHmac(
            header=_header("hmac_header", signed),
            algorithm=options.get("hmac_algorithm", "sha256"),
            encoding=options.get("hmac_encoding", "hex"),
            prefix=options.get("hmac_prefix", ""),
        )
    return hint


def _header(option: str, name: str) -> bytes:
    if not _HEADER.fullmatch(name):
        raise SettingsError(f"{option}: {name!r} is no name of an HTTP header")
    return name.lower().encode()


FLEXPORTAL = Provider(
    name="flexportal",
    docs="https://docs.flexportal.io/api-reference/overview",
    signature=Hint(),
    thin=True,
    configure=_configured,
    head=head,
    events={
        "payment.scheduled": scheduled,
        "payment.succeeded": outcome,
        "payment.failed": outcome,
    },
    ignored=frozenset(
        {
            "order.created",
            "order.fulfilled",
            "subscription.created",
            "subscription.extended",
            "subscription.upgraded",
            "subscription.ended",
            "asset.assigned",
            "asset.returned",
            # The page's older list.
            "subscription.renewed",
            "subscription.cancelled",
        }
    ),
    statuses={"payment": STATUSES},
    transitions=TRANSITIONS,
    api=Api(
        url="https://api-eu.flexportal.io",
        rate=3 / 2,  # of 100 a minute, burst included: https://docs.flexportal.io/api-reference/overview
        burst=10,
        regions={
            "eu": "https://api-eu.flexportal.io",
            "us": "https://api-us.flexportal.io",
            "qatar": "https://api-qatar.flexportal.io",
            "test": "https://api-test.flexportal.io",
        },
        headers=_headers,
        objects={
            "payment": Endpoint(
                path="/v1/payments/{id}",
                unwrap=("payment",),
                id_key="paymentId",
                id_pattern=PAYMENT_ID,
                state=payment_state,
                check=of_tenant,
            ),
        },
        payments=Listing(
            path="/v1/payments",
            items="payments",
            filters=frozenset(
                {"status", "customerId", "rentalId", "billingGroupId", "dueDateFrom", "dueDateTo", "startAfter"}
            ),
            following=_next_page,
            within=_within,
        ),
    ),
    options=(
        Option(
            name="tenant_id", help="the business unit: sent as Tenant-ID, and what answers must be about", required=True
        ),
        Option(name="region", help="where the account's data is (default: eu)", choices=("eu", "us", "qatar", "test")),
        Option(name="static_header", help="a header that FlexPortal sends with the shared secret as its value"),
        Option(name="hmac_header", help="a header with an HMAC of the body, should FlexPortal send one"),
        Option(name="hmac_algorithm", help="default: sha256", choices=("sha256", "sha512", "sha1")),
        Option(name="hmac_encoding", help="default: hex", choices=("hex", "base64")),
        Option(name="hmac_prefix", help='what stands before the signature, like "sha256="'),
    ),
)
