"""Providers' times become aware UTC datetimes, or a ValueError."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymux import times

MOMENT = datetime(2024, 7, 1, 0, 0, 42, tzinfo=UTC)
LAST_SECOND = 253402300799


def test_seconds():
    """Unix seconds are UTC."""
    assert times.from_seconds(1719792042) == MOMENT
    assert times.from_seconds(1719792042).tzinfo is UTC


def test_milliseconds_keep_their_fraction():
    """123 milliseconds are 123,000 microseconds, without a float between."""
    assert times.from_milliseconds(1719792042123) == MOMENT + timedelta(milliseconds=123)


def test_the_first_and_the_last_second():
    """The bounds are 1970 and the end of 9999, both included."""
    assert times.from_seconds(0).year == 1970
    assert times.from_seconds(LAST_SECOND).year == 9999
    assert times.from_milliseconds(LAST_SECOND * 1000).year == 9999


@pytest.mark.parametrize("value", [-1, LAST_SECOND + 1, 2**63, -(2**70), 10**400])
def test_seconds_out_of_range(value):
    """A ValueError, whatever the size."""
    with pytest.raises(ValueError, match="seconds"):
        times.from_seconds(value)


@pytest.mark.parametrize("value", [-1, LAST_SECOND * 1000 + 1, 2**63, 10**400])
def test_milliseconds_out_of_range(value):
    """A ValueError, whatever the size."""
    with pytest.raises(ValueError, match="milliseconds"):
        times.from_milliseconds(value)


@pytest.mark.parametrize(
    "text",
    [
        "2024-07-01T00:00:42Z",
        "2024-07-01t00:00:42z",
        "2024-07-01 00:00:42+00:00",
        "2024-07-01T02:00:42+02:00",
        "2024-06-30T19:00:42-05:00",
        "2024-07-01T00:00:42.000000000Z",
        "2024-07-01T00:00:42-00:00",
    ],
)
def test_rfc3339(text):
    """Every spelling of one moment gives that moment in UTC."""
    moment = times.from_rfc3339(text)

    assert moment == MOMENT
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("fraction", "microseconds"), [("1", 100_000), ("12", 120_000), ("123456", 123_456), ("123456999", 123_456)]
)
def test_fractions(fraction, microseconds):
    """Any number of decimals is read; those beyond microseconds are cut, not rounded."""
    assert times.from_rfc3339(f"2024-07-01T00:00:42.{fraction}Z").microsecond == microseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1719792042",
        "2024-07-01",
        "2024-07-01T00:00:42",
        "2024-07-01T00:00Z",
        "2024-7-1T00:00:42Z",
        "2024-13-01T00:00:42Z",
        "2024-02-30T00:00:42Z",
        "2024-07-01T24:00:00Z",
        "2024-07-01T00:00:60Z",
        "2024-07-01T00:00:42.Z",
        "2024-07-01T00:00:42.1234567890123Z",
        "2024-07-01T00:00:42+99:00",
        "2024-07-01T00:00:42+0200",
        "20240701T000042Z",
        "2024-W27-1T00:00:42Z",
        " 2024-07-01T00:00:42Z",
        "2024-07-01T00:00:42Z\n",
        "\uff12\uff10\uff12\uff14-07-01T00:00:42Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2024-07-01T00:00:42Z" * 1000,
    ],
)
def test_not_rfc3339(text):
    """Without offset, out of range, or in another notation: a ValueError, never a guess."""
    with pytest.raises(ValueError):
        times.from_rfc3339(text)


def test_a_date_alone():
    """It is that day's midnight in UTC."""
    assert times.from_iso_date("2025-01-15") == datetime(2025, 1, 15, tzinfo=UTC)
    assert times.from_iso_date("2024-07-01T02:00:42+02:00") == MOMENT


@pytest.mark.parametrize("text", ["2025-02-30", "2025-1-1", "20250101", "15.01.2025", "2025-01-15T", ""])
def test_not_a_date(text):
    """A ValueError."""
    with pytest.raises(ValueError):
        times.from_iso_date(text)


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)))  # noqa: DTZ001  # hypothesis adds the zone
def test_every_moment_round_trips(moment):
    """A time written in RFC 3339 is read as itself, and so is the same in unix milliseconds."""
    assert times.from_rfc3339(moment.isoformat()) == moment
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    milliseconds = (whole - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert times.from_milliseconds(milliseconds) == whole


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_a_value_error(text):
    """No other exception comes out."""
    try:
        moment = times.from_iso_date(text)
    except ValueError:
        return
    assert moment.tzinfo is UTC


def test_times_for_a_query():
    """In UTC, cut off at the millisecond."""
    assert times.to_rfc3339(datetime(2026, 3, 1, 1, 2, 3, 456789, tzinfo=timezone(timedelta(hours=2)))) == (
        "2026-02-28T23:02:03.456Z"
    )
