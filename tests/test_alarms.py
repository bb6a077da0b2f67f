"""The alarms over a journal: what was heard, rejected and quarantined, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from paymux.alarms import LEAST_QUARANTINED, LEAST_REJECTIONS, Watch
from paymux.delivery import Via
from paymux.journal import Rejection
from paymux.journal.memory import MemoryJournal
from paymux.journal.sqlite import SqliteJournal
from paymux.telemetry import Metrics
from paymux.wiring.parts import reading
from tests.journal.tiny import append, batch, says

NAME = ("tiny", "acme")
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


class House:
    """A journal and its watch; the clock stands at `now`."""

    def __init__(self, journal):
        self.journal, self.metrics, self.now, self.lag = journal, Metrics(), NOW, 0.0
        self.history, self.archive = reading(journal)
        self.accounts = [NAME]
        self.watch = Watch(
            journal,
            self.history,
            self.metrics,
            accounts=lambda: self.accounts,
            lag=self._lag,
            clock=lambda: self.now,
        )

    async def _lag(self):
        return self.lag

    async def hear(self, at, key, event_type="payment", **more):
        delivery = batch(says(event_type, key, "p1", status="succeeded", amount=1), received_at=at, **more)
        await append(self.journal, delivery)

    def gauge(self, name):
        return self.metrics.gauges[name]


@pytest.fixture(params=["memory", "sqlite"])
async def house(request, tmp_path):
    journal = MemoryJournal() if request.param == "memory" else await SqliteJournal.open(tmp_path / "paymux.db")
    found = House(journal)
    yield found
    await found.history.close()
    await found.archive.close()
    await journal.close()


async def heard_for_weeks(house):
    """Every two minutes for two weeks, day and night; straight into the journal, as its own commits write it."""

    def decide(unit):
        for minute in range(0, 14 * 24 * 60, 2):
            hour, bit = divmod(int((NOW - minute * MINUTE).timestamp()) // 60 - 2, 60)
            unit.changes.heard[NAME, hour] = unit.changes.heard.get((NAME, hour), 0) | 1 << bit

    await house.journal.change(decide)


async def test_each_webhook_is_noted(house):
    """Its minute; one of an import or a lookup is no sign of the provider's webhooks, and two in a minute are one."""
    await house.hear(NOW, "e1")
    await house.hear(NOW + 30 * timedelta(seconds=1), "e2")
    await house.hear(NOW + 2 * MINUTE, "e2")
    await house.hear(NOW + 5 * MINUTE, "e3", via=Via.IMPORT)
    assert dict(await house.history.heard(NAME, NOW - HOUR)) == {int(NOW.timestamp()) // 3600: 0b101}
    assert dict(await house.history.heard(("tiny", "other"), NOW - HOUR)) == {}
    assert dict(await house.history.heard(NAME, NOW + HOUR)) == {}


async def test_an_account_that_falls_silent_and_is_heard_again(house):
    """The metric is 1 in between, and each change is one line."""
    await heard_for_weeks(house)
    with capture_logs() as lines:
        await house.watch.look()
        assert house.gauge("paymux_account_silent") == {NAME: 0.0}
        house.now = NOW + 3 * HOUR
        await house.watch.look()
        await house.watch.look()
        assert house.gauge("paymux_account_silent") == {NAME: 1.0}
        await house.hear(house.now, "e1")
        await house.watch.look()
        assert house.gauge("paymux_account_silent") == {NAME: 0.0}
    said = [(line["event"], line["provider"], line["account"]) for line in lines]
    assert said == [("account_silent", *NAME), ("account_silent_over", *NAME)]
    assert lines[0]["since"] == (NOW - 2 * MINUTE).isoformat()


async def test_an_account_that_is_taken_out_of_the_configuration(house):
    """Nothing is said of it any more."""
    await heard_for_weeks(house)
    house.now = NOW + 3 * HOUR
    await house.watch.look()
    house.accounts = []
    await house.watch.look()
    assert house.gauge("paymux_account_silent") == {}


async def test_rejections_that_rise(house):
    """Many in an hour, after a day with few."""
    for number in range(LEAST_REJECTIONS):
        await house.watch.look()
        assert house.gauge("paymux_alarm")["rejections_rising",] == 0.0
        at = NOW - timedelta(seconds=number)
        house.journal.reject(
            Rejection(at=at, provider="tiny", account="acme", reason="too_old", address="192.0.2.1", size=1, sha256="")
        )
    await house.watch.look()
    assert house.gauge("paymux_alarm")["rejections_rising",] == 1.0


async def test_a_quarantine_that_grows(house):
    """As rejections do; an hour later it is quiet again."""
    for number in range(LEAST_QUARANTINED):
        await house.watch.look()
        assert house.gauge("paymux_alarm")["quarantine_growing",] == 0.0
        await house.hear(NOW - 30 * MINUTE + number * MINUTE, f"q{number}", "no such type")
    await house.watch.look()
    assert house.gauge("paymux_alarm")["quarantine_growing",] == 1.0
    house.now = NOW + 2 * HOUR
    await house.watch.look()
    assert house.gauge("paymux_alarm")["quarantine_growing",] == 0.0


async def test_events_that_wait(house):
    """Longer than a few minutes."""
    for lag, is_on in ((299.0, 0.0), (301.0, 1.0)):
        house.lag = lag
        await house.watch.look()
        assert house.gauge("paymux_alarm")["lag",] == is_on
