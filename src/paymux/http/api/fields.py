"""The parameters that several routes have, tamed: filters, pages, times."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import BeforeValidator, Field, WithJsonSchema

from paymux import times
from paymux.http.api.problems import Problem
from paymux.http.api.routes import Given
from paymux.journal.history import Sought, impossible

LONGEST: Final = 512
LARGEST_ROW: Final = 2**63 - 1


def _whole(value: Any) -> Any:
    """A number in a query string has ASCII digits and nothing else."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) <= len(str(LARGEST_ROW))):
            raise ValueError("should be a whole number")
        return int(value)
    return value


def _moment(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError("should be an RFC 3339 time")  # noqa: TRY004  # pydantic's way
    try:
        return times.from_rfc3339(value)
    except ValueError:
        raise ValueError("should be an RFC 3339 time, like 2026-11-20T12:00:00Z") from None


Digits: Final = BeforeValidator(_whole)
Text = Annotated[str, Field(min_length=1, max_length=LONGEST)]
PaymentKey = Annotated[str, Field(min_length=5, max_length=LONGEST, pattern=r"^[^/]+/[^/]+/")]
Time = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
CURSOR: Final = r"^[0-7][0-9a-f]{15}$"
Cursor = Annotated[str, Field(pattern=CURSOR, min_length=16, max_length=16)]


class Wanted(Given):
    """All that are given must fit."""

    provider: Text | None = Field(default=None, description="A provider's name.")
    account: Text | None = Field(default=None, description="An account's name.")
    outcome: Literal["events", "lookup", "ignored", "quarantined"] | None = Field(
        default=None, description="What one of its items became."
    )
    reason: Text | None = Field(default=None, description="Why it was quarantined, a slug.")
    event_type: Text | None = Field(default=None, description="In the provider's words.")
    payment: PaymentKey | None = Field(default=None, description="provider/account/id, whole.")


class Filters(Wanted):
    """And received at such a time."""

    since: Time | None = Field(default=None, description="Received then or later.")
    until: Time | None = Field(default=None, description="Received before.")


FILTERS: Final = tuple(Filters.model_fields)


def sought(filters: Wanted) -> Sought:
    """Raises Problem where nothing could ever fit."""
    found = Sought(**{name: getattr(filters, name, None) for name in FILTERS})
    if (why := impossible(found)) is not None:
        raise Problem("impossible", why)
    return found


# --- pages


def cursor_of(row: int) -> str:
    return f"{row:016x}"


def row_of(cursor: str | None) -> int | None:
    return None if cursor is None else int(cursor, 16)


def following(request: web.Request, cursor: str | None) -> str | None:
    """The address of the next page; None at the end."""
    return None if cursor is None else str(request.rel_url.update_query(cursor=cursor))
