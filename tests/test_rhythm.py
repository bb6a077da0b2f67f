"""Silence: synthetic weeks of shops with and without nights, told from a provider that really stopped."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from paymux.rhythm import LEARNED, MISSED, rising, silence, usual

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
WEEKS = 10
MINUTE = timedelta(minutes=1)


def shop(per_hour, *, seed, opens=0, closes=24, closed=(), weeks=WEEKS, shift_at=None):
    """Minutes in which something came: so many an hour at random, within opening hours. From the week `shift_at` on the
    shop opens an hour earlier, as where clocks are put forward.
    """
    chance, heard = random.Random(seed), {}
    for hour in range(weeks * 7 * 24):
        at = MONDAY + timedelta(hours=hour)
        local = (at.hour + (1 if shift_at is not None and hour >= shift_at * 168 else 0)) % 24
        if at.weekday() in closed or not opens <= local < closes:
            continue
        for minute in range(60):
            if chance.random() < per_hour / 60:
                name = int(at.timestamp()) // 3600
                heard[name] = heard.get(name, 0) | 1 << minute
    return heard


def until(heard, now):
    """As it was known then."""
    last = int(now.timestamp()) // 60
    kept = {}
    for hour, minutes in heard.items():
        if hour < last // 60:
            kept[hour] = minutes
        elif hour == last // 60:
            kept[hour] = minutes & ((1 << (last % 60)) - 1)
    first = int((now - LEARNED - timedelta(days=1)).timestamp()) // 3600
    return {hour: minutes for hour, minutes in kept.items() if hour >= first and minutes}


def alarms(heard, first, last, step=timedelta(minutes=29)):
    found, now = [], first
    while now < last:
        if silence(until(heard, now), now) is not None:
            found.append(now)
        now += step
    return found


SHOPS = {
    "busy, day and night": {"per_hour": 50},
    "quiet": {"per_hour": 2},
    "sleeps at night": {"per_hour": 20, "opens": 7, "closes": 22},
    "sleeps at night and on Sundays": {"per_hour": 30, "opens": 8, "closes": 18, "closed": (6,)},
    "works on weekdays": {"per_hour": 12, "opens": 9, "closes": 17, "closed": (5, 6)},
    "an hour at night": {"per_hour": 40, "opens": 3, "closes": 4},
    "moves with the clocks": {"per_hour": 40, "opens": 8, "closes": 18, "shift_at": 7},
}


@pytest.mark.parametrize("name", SHOPS)
def test_no_alarm_while_it_goes_as_usual(name):
    """Ten days, looked at every half hour: nights, Sundays and put-forward clocks are no silence."""
    heard = shop(**SHOPS[name], seed=7)
    assert alarms(heard, MONDAY + timedelta(weeks=7) - timedelta(days=3), MONDAY + timedelta(weeks=8)) == []


@pytest.mark.parametrize("name", SHOPS)
def test_no_alarm_while_it_is_still_new(name):
    """In its first weeks, too, an account that goes as it goes alarms nobody."""
    heard = shop(**SHOPS[name], seed=11, weeks=4)
    assert alarms(heard, MONDAY + timedelta(hours=1), MONDAY + timedelta(weeks=3)) == []


def stopped(heard, at):
    """Nothing comes from that hour on."""
    return {hour: minutes for hour, minutes in heard.items() if hour < int(at.timestamp()) // 3600}


@pytest.mark.parametrize(
    ("name", "at", "within"),
    [
        ("busy, day and night", timedelta(hours=3), timedelta(minutes=40)),
        ("quiet", timedelta(hours=3), timedelta(hours=15)),
        ("sleeps at night", timedelta(hours=12), timedelta(hours=2)),
        ("sleeps at night", timedelta(hours=23), timedelta(hours=11)),
        ("works on weekdays", timedelta(hours=11), timedelta(hours=4)),
        ("works on weekdays", timedelta(days=4, hours=17), timedelta(days=2, hours=20)),
        ("an hour at night", timedelta(hours=12), timedelta(hours=17)),
    ],
)
def test_a_provider_that_stopped(name, at, within):
    """It is told in time; a shop that sleeps is missed when it should have woken up, and not before."""
    stop = MONDAY + timedelta(weeks=8) + at
    heard = stopped(shop(**SHOPS[name], seed=3), stop)
    found = alarms(heard, stop - timedelta(days=1), stop + within)
    assert found
    assert found[0] > stop
    told = silence(until(heard, found[0]), found[0])
    assert told.since < stop
    assert told.expected >= MISSED


def test_the_alarm_goes_on_until_it_is_heard_again():
    """Days later it is as silent; one delivery ends it."""
    stop = MONDAY + timedelta(weeks=8)
    heard = stopped(shop(**SHOPS["busy, day and night"], seed=3), stop)
    now = stop + timedelta(days=3)
    assert silence(until(heard, now), now) is not None
    hour = int(now.timestamp()) // 3600
    assert silence({**until(heard, now), hour: 1}, now) is None


def test_what_an_outage_was_is_not_what_is_usual():
    """A week of silence among four does not make the next one usual."""
    heard = shop(**SHOPS["busy, day and night"], seed=5)
    gone = range(
        int((MONDAY + timedelta(weeks=6)).timestamp()) // 3600, int((MONDAY + timedelta(weeks=7)).timestamp()) // 3600
    )
    kept = {hour: minutes for hour, minutes in heard.items() if hour not in gone}
    stop = MONDAY + timedelta(weeks=8, hours=5)
    now = stop + timedelta(hours=1)
    assert silence(until(stopped(kept, stop), now), now) is not None


def test_a_burst_is_one_minute():
    """A hundred deliveries in a minute each night are no rhythm that a silence of hours would break."""
    heard = {int((MONDAY + timedelta(days=day, hours=2)).timestamp()) // 3600: 0b1 for day in range(40)}
    assert alarms(heard, MONDAY + timedelta(weeks=2), MONDAY + timedelta(weeks=5), timedelta(hours=1)) == []


@pytest.mark.parametrize("heard", [{}, {100: 0}, {490_000: 1}])
def test_an_account_of_which_little_is_known(heard):
    """Nothing is usual yet."""
    assert silence(heard, MONDAY) is None


def test_what_is_usual_is_the_middle_of_some_weeks():
    """Neither the best nor the worst one."""
    hour = int(MONDAY.timestamp()) // 3600
    heard = {}
    for week, count in enumerate((60, 7, 9, 0), start=1):
        heard[hour - 168 * week] = (1 << count) - 1
    assert usual(heard, hour, hour) == 7


# --- more than usual


def every(minutes, first, last):
    return [MONDAY + timedelta(minutes=minute) for minute in range(first, last, minutes)]


NOON = MONDAY + timedelta(hours=36)


@pytest.mark.parametrize(
    ("times", "is_rising"),
    [
        (every(10, 0, 36 * 60), False),
        (every(2, 35 * 60 + 2, 36 * 60), True),
        (every(4, 35 * 60 + 4, 36 * 60), False),
        (every(2, 0, 36 * 60), False),
        (every(2, 0, 35 * 60), False),
        ([*every(30, 0, 35 * 60), *every(2, 35 * 60 + 2, 36 * 60)], True),
        ([], False),
    ],
)
def test_more_than_usual(times, is_rising):
    """Many in the last hour, and several times as many as in the hours before; a steady flow rises not."""
    assert rising(times, NOON, least=20) is is_rising
