"""Providers' time formats to aware UTC datetimes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,12})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def from_seconds(value: int) -> datetime:
    """Unix seconds. Raises ValueError outside the years 1970 to 9999."""
    if not 0 <= value <= _LAST_SECOND:
        raise ValueError("not a unix time in seconds")
    return datetime.fromtimestamp(value, UTC)


def from_milliseconds(value: int) -> datetime:
    """Unix milliseconds. Raises ValueError outside the years 1970 to 9999."""
    if not 0 <= value <= _LAST_SECOND * 1000:
        raise ValueError("not a unix time in milliseconds")
    return _EPOCH + timedelta(milliseconds=value)


def from_rfc3339(value: str) -> datetime:
    """RFC 3339 with offset, fractions beyond microseconds cut. Raises ValueError for anything else."""
    if not _RFC3339.fullmatch(value):
        raise ValueError("not an RFC 3339 time")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("outside the years 1 to 9999") from None


def from_iso_date(value: str) -> datetime:
    """RFC 3339, or a date alone, which is taken as its midnight in UTC. Raises ValueError."""
    if _DATE.fullmatch(value):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return from_rfc3339(value)


def to_rfc3339(value: datetime) -> str:
    """In UTC, to the millisecond, as most APIs take it."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
