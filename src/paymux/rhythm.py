"""When a provider is usually heard, and whether it is silent for longer than that explains. Pure.

The measure is the minute in which something came: a burst of a hundred deliveries is one, and a busy account has sixty
in an hour. What is usual is learned for each hour of the week, so a shop that sleeps at night or on Sundays is not
missed then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    # Hours since 1970 -> the minutes of that hour in which something came, as bits.
    Heard = Mapping[int, int]

LEARNED: Final = timedelta(weeks=4)
# In so many minutes it would have been heard by now: by chance alone, that stays away once in 100,000 times.
MISSED: Final = 12.0

_DAY: Final = 24
_WEEK: Final = 7 * _DAY
_ENOUGH_WEEKS: Final = 3
_MINUTE: Final = 60
_SHIFTS: Final = (-1, 0, 1)  # hours: clocks are put forward and back


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """`since` is when it was heard last, `expected` in how many minutes after that it usually would have been."""

    since: datetime
    expected: float


def silence(heard: Heard, now: datetime) -> Silence | None:
    """None where it is as quiet as usual; before a week is known, nothing is usual. `heard` goes back by LEARNED and a
    day, if there is so much.
    """
    present = int(now.timestamp()) // _MINUTE
    last = _last(heard, present)
    if last is None:
        return None
    expected = min(_expected(heard, last, present, shift) for shift in _SHIFTS)
    if expected < MISSED:
        return None
    return Silence(since=datetime.fromtimestamp(last * _MINUTE, UTC), expected=expected)


def _expected(heard: Heard, last: int, present: int, shift: int) -> float:
    """In how many minutes between two something usually comes, if all is so many hours later."""
    hours = range(last // _MINUTE, present // _MINUTE + 1)
    return sum(usual(heard, hour - shift, last // _MINUTE) * _share(hour, last + 1, present) for hour in hours)


def usual(heard: Heard, hour: int, before: int) -> float:
    """In how many minutes of that hour something usually comes, by what came before the hour `before`."""
    weekly = _counts(heard, hour, before, _WEEK)
    if len(weekly) >= _ENOUGH_WEEKS:
        return _median(weekly)
    return min([*weekly, _median(_counts(heard, hour, before, _DAY))]) if weekly else 0.0


def _counts(heard: Heard, hour: int, before: int, step: int) -> list[int]:
    """Of the same hour in the weeks or days before, as far as they are known."""
    first = max(min(heard), before - int(LEARNED.total_seconds()) // 3600)
    latest = hour - step * max(-(-(hour - before + 1) // step), 1)
    return [heard.get(each, 0).bit_count() for each in range(latest, first - 1, -step)]


def _median(counts: Sequence[int]) -> float:
    """The lower one of two."""
    return float(sorted(counts)[(len(counts) - 1) // 2]) if counts else 0.0


def _last(heard: Heard, present: int) -> int | None:
    """The last minute, since 1970, in which something came."""
    hour = max((each for each, minutes in heard.items() if minutes and each <= present // _MINUTE), default=None)
    return None if hour is None else hour * _MINUTE + heard[hour].bit_length() - 1


def _share(hour: int, first: int, end: int) -> float:
    """How much of an hour lies between two minutes."""
    return max(min((hour + 1) * _MINUTE, end) - max(hour * _MINUTE, first), 0) / _MINUTE


# --- more than usual


def rising(times: Sequence[datetime], now: datetime, *, least: int, factor: float = 4.0) -> bool:
    """Whether in the last hour there were at least so many, and that many times more than in an hour of the day
    before it.
    """
    hour = timedelta(hours=1)
    recent = sum(now - hour < at <= now for at in times)
    before = sum(now - _DAY * hour < at <= now - hour for at in times)
    return recent >= least and recent > factor * before / (_DAY - 1)
