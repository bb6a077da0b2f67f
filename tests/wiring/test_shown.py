"""What is counted of the relay's states."""

from __future__ import annotations

from datetime import UTC, datetime

from paymux.relay import Phase, RelayState
from paymux.telemetry import Metrics
from paymux.wiring.shown import RelayReports

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_each_failure_of_the_relay_is_counted_by_its_reason():
    """Also where the same one comes again and again, which the log tells once."""
    metrics = Metrics()
    reports = RelayReports(metrics)
    for phase, reason in (
        (Phase.STARTING, None),
        (Phase.WAITING, "topic_missing"),
        (Phase.STARTING, "topic_missing"),
        (Phase.WAITING, "topic_missing"),
        (Phase.RUNNING, None),
        (Phase.STOPPED, "journal_restored"),
    ):
        reports.entered(RelayState(shard=0, phase=phase, since=NOW, reason=reason))
    assert metrics.counters["paymux_relay_failures"] == {("0", "topic_missing"): 2, ("0", "journal_restored"): 1}
