"""How each provider's API looks from outside: paths, authentication, pages and errors, as documented.

FlexPortal https://docs.flexportal.io/api-reference/overview, Flexprice https://docs.flexprice.io/api-reference,
Flowglad https://docs.flowglad.com, Flowlix https://docs.flowlix.dev/payments-api, Stripe https://docs.stripe.com/api
"""

from __future__ import annotations

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

    `wrapped` is the key under which the answer to a GET holds the object. `refuses` says (status, why) where the
    headers do not prove the key.
    """

    objects: Mapping[str, str]
    refuses: Callable[[Mapping[str, str], str, str], tuple[int, str] | None]
    error: Callable[[int, str], Answer]
    page: Callable[[Sequence[Json], Mapping[str, str]], Answer]
    kind: Callable[[Json], str] = lambda _: "payment"
    prefix: str = ""
    id_key: str = "id"
    wrapped: str | None = None
    wrap: Callable[[Json], Answer] = _json
    other_mode: Callable[[Json, str], bool] = lambda _found, _key: False
    no_route: Answer = Answer(status=404, body=b"404 page not found", content_type="text/plain")


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


# --- Stripe


def _stripe_error(status: int, message: str) -> Answer:
    kind = "api_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004  # server errors
    code = {404: {"code": "resource_missing"}, 429: {"code": "rate_limit"}}.get(status, {})
    return _json({"error": {"type": kind, "message": message, **code}}, status, {"Request-Id": _REQUEST_ID})


def _stripe_page(found: Sequence[Json], query: Mapping[str, str]) -> Json:
    page, more = _newest_first(found, query, "created")
    return {"object": "list", "data": page, "has_more": more, "url": "/v1"}


SHAPES: Final[Mapping[str, Shape]] = {
    "flexportal": Shape(
        objects={"payment": "/v1/payments"},
        id_key="paymentId",
        wrapped="payment",
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
        wrapped="payment",
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
