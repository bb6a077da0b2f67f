"""What goes on beside the requests, one function for each part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uuid_utils import uuid7

from paymux.alarms import Watch
from paymux.lookup import Lookups
from paymux.publish.kafka import KafkaPublisher
from paymux.reconcile import Reconciles
from paymux.reconcile.steps import Means as ReconcileMeans
from paymux.relay import Relay
from paymux.relay_process import Order, RelayProcess
from paymux.replay import Replays
from paymux.replay.steps import Means
from paymux.wiring.parts import kafka_settings, pool, topic_finder
from paymux.wiring.shown import LookupReports, ReconcileReports, RelayReports, TopicReports

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from paymux.journal import Journal
    from paymux.journal.archive import Archive
    from paymux.journal.history import History
    from paymux.publish import Publisher
    from paymux.settings import Settings
    from paymux.telemetry import Metrics
    from paymux.wiring.accounts import Accounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What all of it stands on."""

    settings: Settings
    accounts: Accounts
    journal: Journal
    history: History
    archive: Archive
    metrics: Metrics
    now: Callable[[], datetime]


def relay(ground: Ground, publisher: Callable[[], Publisher] | None) -> Relay | RelayProcess:
    """In a process of its own where there is a file that it can read; with a publisher of one's own, here."""
    settings, journal = ground.settings, ground.journal
    kafka, topics, observer = kafka_settings(settings.kafka), TopicReports(), RelayReports(ground.metrics)
    path = settings.journal.path
    if publisher is None and path is not None and settings.relay.mode == "process":
        order = Order(
            journal=str(path),
            shard=0,
            kafka=kafka,
            accept_positions=settings.kafka.accept_positions,
            log_level=settings.log.level,
            log_form=settings.log.format,
        )
        return RelayProcess(journal, order, observer=observer, on_topics=topics)
    return Relay(
        journal,
        publisher or (lambda: KafkaPublisher(kafka, journal=journal.identity, shard=0, on_topics=topics)),
        positions=kafka.positions,
        accept_positions=settings.kafka.accept_positions,
        observer=observer,
    )


def lookups(ground: Ground) -> Lookups:
    return Lookups(
        journal=ground.journal,
        clients=ground.accounts.clients,
        clock=ground.now,
        new_id=_new_id,
        observe=LookupReports(ground.metrics),
    )


def replays(ground: Ground, relay: Relay | RelayProcess) -> Replays:
    means = Means(
        journal=ground.journal,
        archive=ground.archive,
        accounts=lambda: ground.accounts.configured,
        topic=ground.settings.kafka.events_topic,
        pool=pool(ground.journal),
        has_topic=topic_finder(ground.settings.kafka),
    )

    return Replays(means, ground.history, clock=ground.now, new_id=_new_id, backlog=_backlog(relay))


def reconciles(ground: Ground, relay: Relay | RelayProcess) -> Reconciles:
    means = ReconcileMeans(
        journal=ground.journal,
        archive=ground.archive,
        clients=ground.accounts.clients,
        clock=ground.now,
        new_id=_new_id,
        observe=ReconcileReports(ground.metrics),
    )

    return Reconciles(means, ground.history, backlog=_backlog(relay), schedule=lambda: ground.accounts.reconciled_every)


def watch(ground: Ground, relay: Relay | RelayProcess) -> Watch:
    async def lag() -> float:
        return (await relay.lag()).seconds

    return Watch(
        ground.journal,
        ground.history,
        ground.metrics,
        accounts=lambda: list(ground.accounts.setups),
        lag=lag,
        clock=ground.now,
    )


def _backlog(relay: Relay | RelayProcess) -> Callable[[], Awaitable[int]]:
    async def waiting() -> int:
        return (await relay.lag()).events

    return waiting


def _new_id() -> str:
    return str(uuid7())
