"""What went wrong, as problem details. https://www.rfc-editor.org/rfc/rfc9457"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

import orjson
from aiohttp import web
from pydantic import Field

from paymux.errors import JournalUnavailable, PaymuxError

MEDIA: Final = "application/problem+json"
URN: Final = "urn:paymux:problem:"  # before the slug
NEVER_STORED: Final[Mapping[str, str]] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    status: int
    title: str
    headers: Mapping[str, str] = field(default_factory=dict)


# Slug -> what it is; docs/http.md says more of each.
KINDS: Final[Mapping[str, Kind]] = {
    "bad_request": Kind(status=400, title="The request is not as documented"),
    "unauthorized": Kind(status=401, title="A valid token is needed", headers={"WWW-Authenticate": "Bearer"}),
    "token_expired": Kind(
        status=401, title="The token has expired", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}
    ),
    "forbidden": Kind(status=403, title="The token's roles do not allow this"),
    "unknown_host": Kind(status=403, title="This name is not one of [admin] hosts"),
    "no_tokens": Kind(status=403, title="No [admin] tokens are configured"),
    "not_found": Kind(status=404, title="There is no such page"),
    "not_stored": Kind(status=404, title="The journal does not have it"),
    "method_not_allowed": Kind(status=405, title="The page does not know this method"),
    "job_state": Kind(status=409, title="The job's state does not allow this"),
    "body_gone": Kind(status=410, title="The body is not kept any more"),
    "too_large": Kind(status=413, title="The request is too large"),
    "unsupported_media_type": Kind(status=415, title="The body should be plain application/json"),
    "impossible": Kind(status=422, title="Nothing can fit this"),
    "job_impossible": Kind(status=422, title="There can be no such job"),
    "unpublished": Kind(status=409, title="Not all of it is published yet"),
    "erase_impossible": Kind(status=422, title="There is nothing to erase like that"),
    "too_many_wrong_tokens": Kind(status=429, title="Too many wrong tokens", headers={"Retry-After": "1"}),
    "too_many_listeners": Kind(status=503, title="Too many follow the tail already", headers={"Retry-After": "5"}),
    "journal_unavailable": Kind(status=503, title="The journal is unavailable", headers={"Retry-After": "5"}),
    "internal_error": Kind(status=500, title="Internal error"),
}

# aiohttp's own errors, by status; any other one is a bad request or an internal error.
_OF_AIOHTTP: Final[Mapping[int, str]] = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing that is wrong with a request: the parameter's or the body's field's name, and what it should be."""

    place: Literal["query", "body", "header"]
    name: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemDetails:
    """RFC 9457. `type` is `urn:paymux:problem:` and a slug."""

    type: Annotated[str, Field(pattern=f"^{URN}[a-z_]+$")]
    title: str
    status: int
    detail: str | None
    errors: tuple[Mistake, ...]


class Problem(PaymuxError):
    """An answer of the private listener that is no success; `slug` is one of KINDS."""

    def __init__(
        self, slug: str, detail: str = "", *, errors: tuple[Mistake, ...] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail, reason=slug)
        self.errors = errors
        self.headers = headers or {}

    @property
    def response(self) -> web.Response:
        kind = KINDS[self.reason]
        details = ProblemDetails(
            type=URN + self.reason,
            title=kind.title,
            status=kind.status,
            detail=self.detail or None,
            errors=self.errors,
        )
        return web.Response(
            body=orjson.dumps(details),
            status=kind.status,
            content_type=MEDIA,
            headers={**NEVER_STORED, **kind.headers, **self.headers},
        )


def from_aiohttp(error: web.HTTPException) -> Problem:
    slug = _OF_AIOHTTP.get(error.status, "bad_request" if error.status < 500 else "internal_error")  # noqa: PLR2004
    return Problem(slug, headers={name: error.headers[name] for name in ("Allow",) if name in error.headers})


def from_error(error: PaymuxError) -> Problem:
    """An error of ours, by its reason; the journal's own words may name files, so they are for the log."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, JournalUnavailable):
        return Problem("journal_unavailable")
    return Problem(error.reason, error.detail) if error.reason in KINDS else Problem("impossible", error.detail)
