"""What the private listener shows, and works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from paymux.explain.deliveries import Knowledge
    from paymux.explain.status import AccountFacts, Status
    from paymux.journal import Journal
    from paymux.journal.archive import Archive
    from paymux.journal.history import History
    from paymux.keeping.erasing import Erasing
    from paymux.keeping.retention import Retention
    from paymux.reconcile import Reconciles
    from paymux.replay import Replays
    from paymux.settings.models import AdminToken
    from paymux.telemetry import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """`refresh` brings the gauges up to date, `ready` gives readiness and its details, `status` and `accounts` what
    their pages say. `hosts` are the names it answers to, beside loopback's. `knowledge` explains deliveries.
    """

    journal: Journal
    history: History
    archive: Archive
    replays: Replays
    reconciles: Reconciles
    retention: Retention
    erasing: Erasing
    knowledge: Knowledge
    metrics: Metrics
    tokens: Sequence[AdminToken]
    hosts: frozenset[str]
    refresh: Callable[[], Awaitable[None]]
    ready: Callable[[], Awaitable[tuple[bool, dict[str, Any]]]]
    status: Callable[[], Awaitable[Status]]
    accounts: Callable[[], Sequence[AccountFacts]]
    now: Callable[[], datetime]
