"""How each provider's API looks from outside: paths, authentication, pages and errors, as documented.

FlexPortal https://docs.flexportal.io/api-reference/overview, Flexprice https://docs.flexprice.io/api-reference,
Flowglad https://docs.flowglad.com, Flowlix https://docs.flowlix.dev/payments-api, Stripe https://docs.stripe.com/api,
GoCardless https://developer.gocardless.com/api-reference, Klarna https://docs.klarna.com/api/ordermanagement,
Mollie https://docs.mollie.com/reference, PayPal https://developer.paypal.com/api/rest/requests/
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Json = dict[str, Any]

_REQUEST_ID: Final = "req_sandbox00000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def _json(value: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status=status, body=orjson.dumps(value), headers=headers or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """`objects` leads from the kind of object to its path; `prefix` is what the `api_url` has beside the host.

    `id_keys` are those of kinds whose id has another name than `id_key`. `token` is the path at which an access token
    is bought with the key. `wrapped` are the keys under which the answer to a GET may hold the object. `refuses` says
    (status, why) where the headers do not prove the key.
    """

    objects: Mapping[str, str]
    refuses: Callable[[Mapping[str, str], str, str], tuple[int, str] | None]
    error: Callable[[int, str], Answer]
    page: Callable[[Sequence[Json], Mapping[str, str]], Answer]
    kind: Callable[[Json], str] = lambda _: "payment"
    prefix: str = ""
    id_key: str = "id"
    id_keys: Mapping[str, str] = field(default_factory=dict)
    token: str | None = None
    wrapped: tuple[str, ...] = ()
    wrap: Callable[[Json], Answer] = _json
    other_mode: Callable[[Json, str], bool] = lambda _found, _key: False
    no_route: Answer = Answer(status=404, body=b"404 page not found", content_type="text/plain")

    def id_key_of(self, found: Json) -> str:
        return self.id_keys.get(self.kind(found), self.id_key)


ACCESS_TOKEN: Final = "A21AAsandbox0123456789abcdefghijklmnop"  # noqa: S105  # of the sandbox


def access_token(headers: Mapping[str, str], key: str) -> Answer:
    """What a client's id and secret buy. https://www.rfc-editor.org/rfc/rfc6749#section-4.4"""
    if headers.get("Authorization") != f"Basic {base64.b64encode(key.encode()).decode()}":
        return _json({"error": "invalid_client", "error_description": "Client Authentication failed"}, 401)
    return _json(
        {"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 32400, "app_id": "APP-80W284485P"}
    )


def _bearer(headers: Mapping[str, str], key: str, _tenant: str) -> tuple[int, str] | None:
    return None if headers.get("Authorization") == f"Bearer {key}" else (401, "Invalid API key")


class _Invalid(ValueError):
    """A query parameter that the provider refuses."""


def _limit(query: Mapping[str, str], default: int, largest: int) -> int:
    text = query.get("limit", str(default))
    if not text.isdecimal() or not 1 <= int(text) <= largest:
        raise _Invalid(f"limit must be between 1 and {largest}")
    return int(text)


def _matching(found: Sequence[Json], query: Mapping[str, str], filters: Mapping[str, str]) -> list[Json]:
    """Those whose keys say what the filters ask: query parameter -> the object's key."""
    asked = {filters[name]: value for name, value in query.items() if name in filters}
    return [one for one in found if all(str(one.get(key)) == value for key, value in asked.items())]


def _after(found: Sequence[Json], id_key: str, ref: str | None) -> Sequence[Json]:
    if ref is None:
        return found
    ids = [one[id_key] for one in found]
    if ref not in ids:
        raise _Invalid(f"no such object: {ref}")
    return found[ids.index(ref) + 1 :]


def _checked(
    page: Callable[[Sequence[Json], Mapping[str, str]], Json], error: Callable[[int, str], Answer]
) -> Callable[[Sequence[Json], Mapping[str, str]], Answer]:
    def answer(found: Sequence[Json], query: Mapping[str, str]) -> Answer:
        try:
            return _json(page(found, query))
        except ValueError as wrong:
            return error(400, str(wrong))

    return answer


# --- FlexPortal

_FLEXPORTAL_CODES: Final[Mapping[int, str]] = {
    400: "VALIDATION_ERROR",
    401: "INVALID_TOKEN",
    403: "NO_TENANT_ACCESS",
    404: "NOT_FOUND",
    429: "RATE_LIMITED",
}
_FLEXPORTAL_FILTERS: Final = {name: name for name in ("status", "customerId", "rentalId", "billingGroupId")}


def _flexportal_refuses(headers: Mapping[str, str], key: str, tenant: str) -> tuple[int, str] | None:
    if "Authorization" not in headers:
        return 401, "Authentication required"
    refusal = _bearer(headers, key, tenant)
    if refusal is None and headers.get("Tenant-ID") != tenant:
        return 403, "No access to this tenant"
    return refusal


def _flexportal_error(status: int, message: str) -> Answer:
    code = _FLEXPORTAL_CODES.get(status, "INTERNAL_ERROR")
    return _json({"error": {"code": code, "message": message, "details": []}}, status)


def _flexportal_page(found: Sequence[Json], query: Mapping[str, str]) -> Json:
    limit = _limit(query, 50, 100)
    due = [
        one
        for one in _matching(found, query, _FLEXPORTAL_FILTERS)
        if query.get("dueDateFrom", "") <= one["dueDate"] <= query.get("dueDateTo", "9999")
    ]
    rest = _after(due, "paymentId", query.get("startAfter"))
    page, more = rest[:limit], len(rest) > limit
    cursor = {"nextCursor": page[-1]["paymentId"]} if more else {}
    return {"success": True, "payments": page, "count": len(page), "hasMore": more, **cursor}


# --- Flexprice

_FLEXPRICE_CODES: Final[Mapping[int, str]] = {
    400: "validation_error",
    401: "permission_denied",
    403: "permission_denied",
    404: "not_found",
    503: "service_unavailable",
}
_FLEXPRICE_FILTERS: Final = {
    "payment_status": "payment_status",
    "payment_ids": "id",
    "destination_type": "destination_type",
    "destination_id": "destination_id",
    "currency": "currency",
}


def _flexprice_refuses(headers: Mapping[str, str], key: str, _tenant: str) -> tuple[int, str] | None:
    return None if headers.get("x-api-key") == key else (401, "Unauthorized")


def _flexprice_error(status: int, message: str) -> Answer:
    code = _FLEXPRICE_CODES.get(status, "internal_error")
    return _json({"code": code, "message": message, "http_status_code": status}, status)


def _flexprice_page(found: Sequence[Json], query: Mapping[str, str]) -> Json:
    """The returned offset is the requested one and the limit, as the server has it."""
    limit, offset = _limit(query, 50, 1000), int(query.get("offset", "0"))
    earliest, latest = query.get("start_time", ""), query.get("end_time", "9999")
    kept = [
        one for one in _matching(found, query, _FLEXPRICE_FILTERS) if earliest <= one.get("created_at", "") <= latest
    ]
    ordered = kept if query.get("order") == "asc" else kept[::-1]
    pagination = {"total": len(kept), "limit": limit, "offset": offset + limit}
    return {"items": ordered[offset : offset + limit], "pagination": pagination}


# --- Flowglad


def _flowglad_refuses(headers: Mapping[str, str], key: str, _tenant: str) -> tuple[int, str] | None:
    return None if headers.get("Authorization", "").removeprefix("Bearer ") == key else (401, "Unauthorized")


def _flowglad_error(status: int, message: str) -> Answer:
    """401 is plain text."""
    headers = {"X-Request-Id": _REQUEST_ID}
    if status == 401:  # noqa: PLR2004  # Unauthorized
        return Answer(status=status, body=message.encode(), headers=headers, content_type="text/plain")
    return _json({"error": message, "request_id": _REQUEST_ID}, status, headers)


def _flowglad_page(found: Sequence[Json], query: Mapping[str, str]) -> Json:
    """Oldest first; no filter. The cursor is opaque to the caller."""
    limit, cursor = _limit(query, 10, 100), query.get("cursor")
    rest = _after(found, "id", cursor)
    page, more = rest[:limit], len(rest) > limit
    following = {"nextCursor": page[-1]["id"]} if more else {}
    current = {"currentCursor": cursor} if cursor else {}
    return {"data": page, **current, **following, "hasMore": more, "total": len(found)}


# --- Flowlix

_FLOWLIX_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "authentication_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
}
_FLOWLIX_CODES: Final[Mapping[int, str]] = {
    400: "parameter_invalid",
    401: "invalid_api_key",
    403: "forbidden",
    404: "resource_missing",
    429: "rate_limit_exceeded",
}


def _flowlix_error(status: int, message: str) -> Answer:
    error = {
        "type": _FLOWLIX_TYPES.get(status, "invalid_request_error"),
        "code": _FLOWLIX_CODES.get(status, "internal_error"),
        "message": message,
        "param": None,
        "doc_url": "https://docs.flowlix.dev/guides/errors",
        "request_id": _REQUEST_ID,
    }
    return _json({"error": error}, status, {"Request-Id": _REQUEST_ID})


def _flowlix_page(found: Sequence[Json], query: Mapping[str, str]) -> Json:
    page, more = _newest_first(found, query, "created_at")
    return {"data": page, "has_more": more}


def _flowlix_other_mode(found: Json, key: str) -> bool:
    """One host for both modes: the key's prefix says which one it may see."""
    return found["livemode"] is not key.startswith("api_live_sk_")


def _newest_first(found: Sequence[Json], query: Mapping[str, str], created: str) -> tuple[Sequence[Json], bool]:
    """Cursors are ids, before and after in the newest-first order; times are unix seconds."""
    limit = _limit(query, 10, 100)
    if {"starting_after", "ending_before"} <= query.keys():
        raise _Invalid("starting_after and ending_before exclude each other")
    since, until = int(query.get("created[gte]", "0")), int(query.get("created[lt]", str(2**40)))
    kept = [one for one in _matching(found, query, {"status": "status"}) if since <= one[created] < until]
    newest = sorted(kept, key=lambda one: one[created], reverse=True)
    if "ending_before" in query:
        before = _after(newest[::-1], "id", query["ending_before"])
        return before[:limit][::-1], len(before) > limit
    rest = _after(newest, "id", query.get("starting_after"))
    return rest[:limit], len(rest) > limit


# --- GoCardless

_GOCARDLESS_TYPES: Final[Mapping[int, str]] = {422: "validation_failed", 500: "gocardless", 503: "gocardless"}
_GOCARDLESS_KINDS: Final[Mapping[str, str]] = {"PM": "payment", "RF": "refund", "PO": "payout"}


def _gocardless_refuses(headers: Mapping[str, str], key: str, tenant: str) -> tuple[int, str] | None:
    refusal = _bearer(headers, key, tenant)
    if refusal is None and "GoCardless-Version" not in headers:
        return 400, "Version header not found"
    return refusal


def _gocardless_error(status: int, message: str) -> Answer:
    error = {
        "message": message,
        "documentation_url": "https://developer.gocardless.com/api-reference/#overview-errors",
        "type": _GOCARDLESS_TYPES.get(status, "invalid_api_usage"),
        "code": status,
        "request_id": _REQUEST_ID,
        "errors": [{"message": message}],
    }
    return _json({"error": error}, status)


def _gocardless_kind(found: Json) -> str:
    return _GOCARDLESS_KINDS[found["id"][:2]]


def _gocardless_page(found: Sequence[Json], query: Mapping[str, str]) -> Json:
    """Newest first; the cursor is the last id of the page."""
    limit = _limit(query, 50, 500)
    since, until = query.get("created_at[gte]", ""), query.get("created_at[lt]", "9999")
    kept = [one for one in _matching(found, query, {"status": "status"}) if since <= one["created_at"] < until]
    rest = _after(sorted(kept, key=lambda one: one["created_at"], reverse=True), "id", query.get("after"))
    after = rest[limit - 1]["id"] if len(rest) > limit else None
    cursors = {"before": query.get("after"), "after": after}
    return {"payments": rest[:limit], "meta": {"cursors": cursors, "limit": limit}}


# --- Klarna

_KLARNA_CODES: Final[Mapping[int, str]] = {
    401: "UNAUTHORIZED",
    403: "NOT_ALLOWED",
    404: "NO_SUCH_ORDER",
    429: "TOO_MANY_REQUESTS",
    503: "TEMPORARILY_UNAVAILABLE",
}


def _klarna_refuses(headers: Mapping[str, str], key: str, _tenant: str) -> tuple[int, str] | None:
    basic = f"Basic {base64.b64encode(key.encode()).decode()}"
    return None if headers.get("Authorization") == basic else (401, "Invalid credentials")


def _klarna_error(status: int, message: str) -> Answer:
    code = _KLARNA_CODES.get(status, "INTERNAL_SERVER_ERROR")
    return _json({"error_code": code, "error_messages": [message], "correlation_id": _REQUEST_ID}, status)


# --- Mollie

_MOLLIE_TITLES: Final[Mapping[int, str]] = {
    400: "Bad Request",
    401: "Unauthorized Request",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    503: "Service Unavailable",
}
_MOLLIE_JSON: Final = "application/hal+json"
_MOLLIE_LIST: Final = "https://api.mollie.com/v2/payments"


def _mollie_error(status: int, message: str) -> Answer:
    error = {
        "status": status,
        "title": _MOLLIE_TITLES.get(status, "Internal Server Error"),
        "detail": message,
        "_links": {"documentation": {"href": "https://docs.mollie.com/errors", "type": "text/html"}},
    }
    return Answer(status=status, body=orjson.dumps(error), content_type=_MOLLIE_JSON)


def _mollie_page(found: Sequence[Json], query: Mapping[str, str]) -> Json:
    """Newest first unless asked otherwise; `from` is the first id of the page itself."""
    limit = _limit(query, 50, 250)
    ordered = sorted(found, key=lambda one: one["createdAt"], reverse=query.get("sort") != "asc")
    start = query.get("from")
    ids = [one["id"] for one in ordered]
    if start is not None and start not in ids:
        raise _Invalid(f"no payment exists with token {start}")
    rest = ordered if start is None else ordered[ids.index(start) :]
    following = {"href": f"{_MOLLIE_LIST}?from={rest[limit]['id']}&limit={limit}"} if len(rest) > limit else None
    links = {"self": {"href": f"{_MOLLIE_LIST}?limit={limit}"}, "previous": None, "next": following}
    return {"count": len(rest[:limit]), "_embedded": {"payments": rest[:limit]}, "_links": links}


# --- Stripe


def _stripe_error(status: int, message: str) -> Answer:
    kind = "api_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004  # server errors
    code = {404: {"code": "resource_missing"}, 429: {"code": "rate_limit"}}.get(status, {})
    return _json({"error": {"type": kind, "message": message, **code}}, status, {"Request-Id": _REQUEST_ID})


def _stripe_page(found: Sequence[Json], query: Mapping[str, str]) -> Json:
    page, more = _newest_first(found, query, "created")
    return {"object": "list", "data": page, "has_more": more, "url": "/v1"}


# --- PayPal

_PAYPAL_OBJECTS: Final[Mapping[str, str]] = {
    "capture": "/v2/payments/captures",
    "capture_v1": "/v1/payments/capture",
    "sale": "/v1/payments/sale",
    "authorization": "/v2/payments/authorizations",
    "authorization_v1": "/v1/payments/authorization",
    "order": "/v2/checkout/orders",
    "refund": "/v2/payments/refunds",
    "refund_v1": "/v1/payments/refund",
    "dispute": "/v1/customer/disputes",
    "payout_item": "/v1/payments/payouts-item",
    "payout_batch": "/v1/payments/payouts",
}
_PAYPAL_NAMES: Final[Mapping[int, str]] = {
    401: "AUTHENTICATION_FAILURE",
    404: "RESOURCE_NOT_FOUND",
    429: "RATE_LIMIT_REACHED",
}


def _paypal_refuses(headers: Mapping[str, str], _key: str, _tenant: str) -> tuple[int, str] | None:
    return None if headers.get("Authorization") == f"Bearer {ACCESS_TOKEN}" else (401, "Authentication failed")


def _paypal_error(status: int, message: str) -> Answer:
    name = _PAYPAL_NAMES.get(status, "INTERNAL_SERVER_ERROR")
    return _json({"name": name, "message": message, "debug_id": _REQUEST_ID, "details": []}, status)


def _paypal_kind(found: Json) -> str:
    """By the object's own link; a batch's header has none."""
    own = next((link["href"] for link in found.get("links", ()) if link["rel"] == "self"), "")
    place = own.partition("paypal.com")[2].rpartition("/")[0]
    return next((kind for kind, path in _PAYPAL_OBJECTS.items() if path == place), "payout_batch")


SHAPES: Final[Mapping[str, Shape]] = {
    "flexportal": Shape(
        objects={"payment": "/v1/payments"},
        id_key="paymentId",
        wrapped=("payment",),
        wrap=lambda found: _json({"success": True, "payment": found}),
        refuses=_flexportal_refuses,
        error=_flexportal_error,
        page=_checked(_flexportal_page, _flexportal_error),
    ),
    "flexprice": Shape(
        prefix="/v1",
        objects={"payment": "/v1/payments", "refund": "/v1/refunds"},
        kind=lambda found: "refund" if "refund_status" in found else "payment",
        refuses=_flexprice_refuses,
        error=_flexprice_error,
        page=_checked(_flexprice_page, _flexprice_error),
    ),
    "flowglad": Shape(
        prefix="/api/v1",
        objects={"payment": "/api/v1/payments"},
        wrapped=("payment",),
        wrap=lambda found: _json({"payment": found}),
        refuses=_flowglad_refuses,
        error=_flowglad_error,
        page=_checked(_flowglad_page, _flowglad_error),
        no_route=Answer(status=404, body=b"Not Found", content_type="text/plain"),
    ),
    "flowlix": Shape(
        prefix="/v1",
        objects={"payment": "/v1/payments"},
        refuses=_bearer,
        error=_flowlix_error,
        page=_checked(_flowlix_page, _flowlix_error),
        other_mode=_flowlix_other_mode,
    ),
    "gocardless": Shape(
        objects={"payment": "/payments", "refund": "/refunds", "payout": "/payouts"},
        kind=_gocardless_kind,
        wrapped=("payments", "refunds", "payouts"),
        wrap=lambda found: _json({f"{_gocardless_kind(found)}s": found}),
        refuses=_gocardless_refuses,
        error=_gocardless_error,
        page=_checked(_gocardless_page, _gocardless_error),
    ),
    "klarna": Shape(
        objects={"order": "/ordermanagement/v1/orders"},
        kind=lambda _: "order",
        id_key="order_id",
        refuses=_klarna_refuses,
        error=_klarna_error,
        page=lambda _found, _query: _klarna_error(404, "There is no list of orders"),
    ),
    "mollie": Shape(
        prefix="/v2",
        objects={"payment": "/v2/payments", "event": "/v2/events"},
        kind=lambda found: found["resource"],
        refuses=_bearer,
        error=_mollie_error,
        page=_checked(_mollie_page, _mollie_error),
        wrap=lambda found: Answer(body=orjson.dumps(found), content_type=_MOLLIE_JSON),
    ),
    "paypal": Shape(
        objects=_PAYPAL_OBJECTS,
        kind=_paypal_kind,
        id_keys={"dispute": "dispute_id", "payout_item": "payout_item_id", "payout_batch": "payout_batch_id"},
        token="/v1/oauth2/token",  # noqa: S106  # a path
        wrapped=("batch_header",),
        wrap=lambda found: _json({"batch_header": found} if _paypal_kind(found) == "payout_batch" else found),
        refuses=_paypal_refuses,
        error=_paypal_error,
        page=lambda _found, _query: _paypal_error(404, "There is no list of these"),
    ),
    "stripe": Shape(
        objects={
            "payment_intent": "/v1/payment_intents",
            "charge": "/v1/charges",
            "refund": "/v1/refunds",
            "dispute": "/v1/disputes",
            "payout": "/v1/payouts",
        },
        kind=lambda found: found["object"],
        refuses=_bearer,
        error=_stripe_error,
        page=_checked(_stripe_page, _stripe_error),
    ),
}
