"""Rejections in groups."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from paymux.explain.rejections import HINTS, grouped
from paymux.journal import Rejection

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def rejection(minute, reason="too_old", address="192.0.2.1", account="acme"):
    return Rejection(
        at=NOON + timedelta(minutes=minute),
        provider="stripe",
        account=account,
        reason=reason,
        address=address,
        size=1,
        sha256="00",
    )


def test_those_that_are_alike_are_one_group():
    """By account and reason, the largest first, from first to last whatever their order, senders by how often."""
    found = grouped(
        [
            rejection(5, account="other"),
            rejection(3, address="192.0.2.2"),
            rejection(1, address="192.0.2.1"),
            rejection(2, address="192.0.2.1"),
            rejection(4, reason="unheard_of"),
        ]
    )
    assert [(group.account, group.reason, group.count) for group in found] == [
        ("acme", "too_old", 3),
        ("other", "too_old", 1),
        ("acme", "unheard_of", 1),
    ]
    first = found[0]
    assert (first.first, first.last) == (NOON + timedelta(minutes=1), NOON + timedelta(minutes=3))
    assert list(first.addresses.items()) == [("192.0.2.1", 2), ("192.0.2.2", 1)]
    assert first.hint
    assert found[2].hint is None


def test_by_how_much_a_time_was_off():
    """The newest says so, whatever their order; where no time was judged, the hint stands alone."""
    late, early = replace(rejection(1), age=3599), replace(rejection(2, reason="too_new"), age=-301)
    latest = replace(rejection(5), age=4000)
    old, new = grouped([latest, late, early])
    assert (old.age, new.age) == (4000, -301)
    assert old.hint == f"the newest was signed 4,000 seconds before it came: {HINTS['too_old']}"
    assert new.hint == f"the newest was signed 301 seconds after it came: {HINTS['too_new']}"
    (without,) = grouped([rejection(1)])
    assert (without.age, without.hint) == (None, HINTS["too_old"])


def test_nothing():
    """No group."""
    assert grouped([]) == []
