"""What a running gateway tells of itself: readiness, status, gauges, and the lines of its workers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from paymux import __version__
from paymux.delivery import Proof
from paymux.errors import JournalUnavailable
from paymux.explain.status import AccountFacts, JournalStatus, RelayStatus, SecretFacts, Status
from paymux.reconcile import FAILED
from paymux.reconcile.comparing import KINDS
from paymux.relay import Phase
from paymux.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paymux.journal import Journal
    from paymux.publish.kafka import TopicReport
    from paymux.relay import RelayState
    from paymux.settings.accounts import AccountSetup
    from paymux.signatures import Scheme
    from paymux.telemetry import Metrics
    from paymux.wiring import Gateway

HEALTH_SECONDS: Final = 1.0

_LEVELS: Final = {Phase.STOPPED: "error", Phase.WAITING: "warning"}


class Health:
    """Whether the journal can commit; it is asked at most once a second, however often we are."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._until = 0.0
        self._healthy = True

    async def __call__(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now >= self._until:
            self._healthy = await self._ask()
            self._until = now + HEALTH_SECONDS
        return self._healthy

    async def _ask(self) -> bool:
        try:
            await self._journal.healthy()
        except JournalUnavailable:
            return False
        return True


class Overview:
    """The private listener's pages."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def ready(self) -> tuple[bool, dict[str, Any]]:
        """Kafka's absence is a detail: webhooks are taken all the same (P8)."""
        gateway = self._gateway
        healthy, draining = await gateway.health(), gateway.webhooks.draining
        return healthy and not draining, {
            "journal": healthy,
            "draining": draining,
            "relay": await self._relay(),
            "workers": self._workers(),
        }

    async def status(self) -> Status:
        gateway = self._gateway
        return Status(
            version=__version__,
            journal=JournalStatus(identity=gateway.journal.identity, healthy=await gateway.health()),
            relay=await self._relay(),
            workers=self._workers(),
            lookups_waiting=await gateway.journal.lookups_waiting(),
            accounts=len(gateway.setups),
            in_flight=gateway.webhooks.in_flight,
            connections=gateway.connections,
        )

    def accounts(self) -> list[AccountFacts]:
        return [_account(setup) for _, setup in sorted(self._gateway.setups.items())]

    def scheme(self, provider: str, account: str) -> Scheme | None:
        """What the account's deliveries are proven by first, as it is configured now."""
        setup = self._gateway.setups.get((provider, account))
        return None if setup is None else setup.account.checks[0][0]

    async def refresh(self) -> None:
        """Bring the gauges up to date."""
        gateway, metrics = self._gateway, self._gateway.metrics
        state = gateway.relay.state
        with suppress(JournalUnavailable):
            lag = await gateway.relay.lag()
            metrics.set("paymux_relay_lag_events", lag.events, str(state.shard))
            metrics.set("paymux_relay_lag_seconds", lag.seconds, str(state.shard))
            metrics.set("paymux_lookups_waiting", await gateway.journal.lookups_waiting())
        for phase in Phase:
            metrics.set("paymux_relay_phase", float(state.phase is phase), str(state.shard), phase.value)
        for worker in gateway.workers:
            metrics.set("paymux_worker_up", float(worker.up), worker.name)
        metrics.total("paymux_log_errors", gateway.deliveries.errors)
        metrics.set("paymux_journal_up", float(await gateway.health()))
        metrics.set("paymux_accounts", len(gateway.setups))
        metrics.set("paymux_connections", gateway.connections)

    def _workers(self) -> dict[str, Any]:
        return {worker.name: worker.facts for worker in self._gateway.workers}

    async def _relay(self) -> RelayStatus:
        state = self._gateway.relay.state
        told = RelayStatus(
            shard=state.shard,
            phase=state.phase,
            since=state.since,
            position=state.position,
            reason=state.reason,
            detail=state.detail,
        )
        with suppress(JournalUnavailable):
            lag = await self._gateway.relay.lag()
            return replace(told, lag_events=lag.events, lag_seconds=lag.seconds)
        return told


def _account(setup: AccountSetup) -> AccountFacts:
    provider, name = setup.name
    now = datetime.now(UTC)
    return AccountFacts(
        provider=provider,
        name=name,
        proof=setup.proof,
        livemode=setup.account.livemode,
        has_api_key=setup.api_key is not None,
        path=f"/webhooks/{provider}/{name}",
        secrets=tuple(
            SecretFacts(origin=secret.origin, not_after=secret.not_after, expired=secret.expired(now))
            for secret in setup.settings.secrets
        ),
    )


class RelayReports:
    """The relay's observer: metrics, and a line where its state changes."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._last: tuple[Phase, str | None] | None = None

    def entered(self, state: RelayState) -> None:
        if state.phase in _LEVELS:
            self._metrics.count("paymux_relay_failures", str(state.shard), state.reason or "")
        now = (state.phase, state.reason)
        if now == self._last or state.phase is Phase.STARTING:
            return
        self._last = now
        facts = {"shard": state.shard, "position": state.position, "reason": state.reason, "detail": state.detail}
        getattr(logger(), _LEVELS.get(state.phase, "info"))(f"relay_{state.phase}", **facts)

    def published(self, *, shard: int, events: int, seconds: float) -> None:
        self._metrics.count("paymux_published", str(shard), by=events)
        self._metrics.observe("paymux_publish_seconds", seconds)


class TopicReports:
    """What was found of the topics, once each."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, report: TopicReport) -> None:
        if report.created:
            logger().info("topics_created", topics=", ".join(report.created))
        for warning in report.warnings:
            if warning not in self._said:
                self._said.add(warning)
                logger().warning("topics", detail=warning)


class LookupReports:
    """The lookups' observer: what was quarantined or rejected counts as that, too, as if a webhook had said it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, name: str, facts: Mapping[str, str]) -> None:
        provider, reason = facts.get("provider", ""), facts.get("reason", "")
        outcome = facts.get("outcome") or reason or facts.get("error", "")
        self._metrics.count("paymux_lookups", provider, name.removeprefix("lookup_"), outcome)
        counter = _refusals(name, facts)
        if counter is not None:
            self._metrics.count(counter, provider, reason)
        level = "info" if name == "lookup_answered" else "warning"
        getattr(logger(), level)(name, **{**facts, "outcome": outcome})


def _refusals(name: str, facts: Mapping[str, str]) -> str | None:
    """The counter of what was not translated; none where there was nothing new to refuse."""
    if name == "lookup_given_up":
        return "paymux_rejections" if facts.get("proof") == Proof.HINT else "paymux_quarantined"
    return "paymux_quarantined" if name == "lookup_answered" and facts.get("reason") else None


class ReconcileReports:
    """What reconciling found, step by step."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, name: tuple[str, str], counts: Mapping[str, int]) -> None:
        found = {kind: count for kind in (*KINDS, FAILED) if (count := counts.get(kind, 0))}
        for kind, count in found.items():
            self._metrics.count("paymux_reconciled", *name, kind, by=count)
        if found:
            provider, account = name
            logger().warning(
                "reconcile_found", provider=provider, account=account, events=counts.get("events", 0), **found
            )


class ConnectionReports:
    """The public listener's observer."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, what: str) -> None:
        counter, labels = _CONNECTIONS[what]
        self._metrics.count(counter, *labels)


_CONNECTIONS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "bad_request": ("paymux_bad_requests", ()),
    "refused_connection": ("paymux_refused_connections", ()),
    "internal_error": ("paymux_internal_errors", ("connection",)),
}
