"""The composition root: settings in, a running gateway out. Nothing else knows who implements what."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web
from uuid_utils import uuid7

from paymux.alarms import Watch
from paymux.certificates import Certificates
from paymux.errors import JournalUnavailable
from paymux.explain.deliveries import Knowledge
from paymux.http.connections import Listener, silent
from paymux.http.private import LONGEST_LINE, Inside, application
from paymux.http.reports import Reports
from paymux.http.routes import routes
from paymux.http.webhooks import Limits, Webhooks
from paymux.keeping.erasing import Erasing
from paymux.keeping.retention import Retention
from paymux.lookup import Lookups
from paymux.provider_api import open_session
from paymux.providers import installed
from paymux.publish.kafka import KafkaPublisher
from paymux.reconcile import Reconciles
from paymux.reconcile.steps import Means as ReconcileMeans
from paymux.relay import Phase, Relay
from paymux.relay_process import Order, RelayProcess
from paymux.replay import Replays
from paymux.replay.steps import Means
from paymux.settings.accounts import build_accounts, refreshed
from paymux.settings.models import split_address
from paymux.telemetry import Metrics, log_failure, logger
from paymux.wiring.parts import admin_tls, bound, clients, kafka_settings, open_journal, pool, reading, told
from paymux.wiring.shown import (
    ConnectionReports,
    Health,
    LookupReports,
    Overview,
    ReconcileReports,
    RelayReports,
    TopicReports,
)
from paymux.wiring.warming import named
from paymux.wiring.workers import ENDING_SECONDS, Worker

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    import aiohttp

    from paymux.journal import Journal
    from paymux.provider import Provider
    from paymux.publish import Publisher
    from paymux.settings import Settings
    from paymux.settings.accounts import AccountSetup, Name
    from paymux.telemetry import DeliveryLog

BACKLOG: Final = 1024
LONGEST_TIMER: Final = 86_400.0
ABANDON_SECONDS: Final = 1.0
CLOSING_SECONDS: Final = 8.0  # of the journal: the last commit, and the WAL moved into the file
PATIENCE_SECONDS: Final = 2.0  # with each step, beyond the deadline that it keeps by itself

# Nothing more is published in these phases, however long one waits.
_NOT_PUBLISHING: Final = (Phase.WAITING, Phase.STOPPED)


class Gateway:
    """One running paymux. `start` makes it, `stop` ends it; in between `reload` may change its accounts."""

    def __init__(
        self,
        settings: Settings,
        setups: dict[Name, AccountSetup],
        journal: Journal,
        session: aiohttp.ClientSession,
        *,
        deliveries: DeliveryLog,
        publisher: Callable[[], Publisher] | None,
        providers: Mapping[str, Provider],
    ) -> None:
        self.settings = settings
        self.setups = setups
        self.journal = journal
        self.metrics = Metrics()
        self.health = Health(journal)
        self.deliveries = deliveries
        self.address = self.admin_address = ""
        self._session = session
        self.certificates = Certificates(session=session, clock=_now)
        self._providers = providers
        self._clients = clients(setups, session)
        self.lookups = Lookups(
            journal=journal,
            clients=self._clients,
            clock=_now,
            new_id=lambda: str(uuid7()),
            observe=LookupReports(self.metrics),
        )
        self.retention = Retention(journal, timedelta(days=settings.journal.retention_days))
        self.relay = self._relay(publisher)
        self.history, self.archive = reading(journal)
        self.replays = self._replays()
        self.reconciles = self._reconciles()
        self.watch = Watch(
            journal,
            self.history,
            self.metrics,
            accounts=lambda: list(self.setups),
            lag=self._lag_seconds,
            clock=_now,
        )
        self.webhooks = self._webhooks(deliveries)
        self._listener = self._listening()
        self.workers = (
            Worker("relay", self.relay.run, self.metrics),
            Worker("lookups", self.lookups.run, self.metrics),
            Worker("retention", self.retention.run, self.metrics),
            Worker("replays", self.replays.run, self.metrics),
            Worker("reconciles", self.reconciles.run, self.metrics),
            Worker("watch", self.watch.run, self.metrics),
        )
        self._expiry: asyncio.TimerHandle | None = None

    @classmethod
    async def start(
        cls,
        settings: Settings,
        *,
        deliveries: DeliveryLog,
        publisher: Callable[[], Publisher] | None = None,
        providers: Mapping[str, Provider] | None = None,
    ) -> Self:
        """Everything that can be wrong with the settings is found before a file or a port is opened.

        `publisher` makes the relay's publishers; None: Kafka's. `providers` None: all installed. Raises SettingsError;
        JournalUnusable; PaymuxError where a port cannot be opened.
        """
        providers = installed() if providers is None else providers
        setups = build_accounts(settings, providers)
        kafka_settings(settings.kafka).security.arguments()
        tls = admin_tls(settings)
        session = open_session()
        try:
            clients(setups, session)
            journal = await open_journal(settings)
        except BaseException:
            await session.close()
            raise
        try:
            gateway = cls(
                settings, setups, journal, session, deliveries=deliveries, publisher=publisher, providers=providers
            )
            await gateway._open_ports(tls)
        except BaseException:
            await journal.close()
            await session.close()
            raise
        gateway._run()
        await gateway._warm()
        return gateway

    @property
    def connections(self) -> int:
        return len(self._listener.connections)

    # --- parts

    def _webhooks(self, deliveries: DeliveryLog) -> Webhooks:
        server = self.settings.server
        return Webhooks(
            routes=routes(self.setups.values()),
            journal=self.journal,
            limits=Limits(
                body_timeout=server.body_timeout,
                unverified_rate=server.unverified_rate,
                trusted_proxies=server.trusted_proxies,
            ),
            reports=Reports(journal=self.journal, metrics=self.metrics, deliveries=deliveries, now=_now),
            is_ready=self.health,
            certificate=self.certificates,
            asked=self.lookups.wake,
        )

    def _listening(self) -> Listener:
        return Listener(
            self.webhooks,
            max_connections=self.settings.server.max_connections,
            keepalive_timeout=self.settings.server.keepalive_timeout,
            observe=ConnectionReports(self.metrics),
            trusted_proxies=self.settings.server.trusted_proxies,
        )

    def _relay(self, publisher: Callable[[], Publisher] | None) -> Relay | RelayProcess:
        """In a process of its own where there is a file that it can read; with a publisher of one's own, here."""
        kafka, topics, observer = kafka_settings(self.settings.kafka), TopicReports(), RelayReports(self.metrics)
        path = self.settings.journal.path
        if publisher is None and path is not None and self.settings.relay.mode == "process":
            order = Order(
                journal=str(path),
                shard=0,
                kafka=kafka,
                accept_positions=self.settings.kafka.accept_positions,
                log_level=self.settings.log.level,
                log_form=self.settings.log.format,
            )
            return RelayProcess(self.journal, order, observer=observer, on_topics=topics)
        journal = self.journal
        return Relay(
            journal,
            publisher or (lambda: KafkaPublisher(kafka, journal=journal.identity, shard=0, on_topics=topics)),
            positions=kafka.positions,
            accept_positions=self.settings.kafka.accept_positions,
            observer=observer,
        )

    def _replays(self) -> Replays:
        means = Means(
            journal=self.journal,
            archive=self.archive,
            accounts=lambda: {name: setup.account for name, setup in self.setups.items()},
            topic=self.settings.kafka.events_topic,
            pool=pool(self.journal),
        )
        return Replays(means, self.history, clock=_now, new_id=lambda: str(uuid7()), backlog=self._waiting)

    def _reconciles(self) -> Reconciles:
        means = ReconcileMeans(
            journal=self.journal,
            archive=self.archive,
            clients=self._clients,
            clock=_now,
            new_id=lambda: str(uuid7()),
            observe=ReconcileReports(self.metrics),
        )
        return Reconciles(means, self.history, backlog=self._waiting, schedule=self._reconciled_every)

    def _reconciled_every(self) -> dict[Name, timedelta]:
        found = {name: setup.settings.reconcile_every for name, setup in self.setups.items()}
        return {name: every for name, every in found.items() if every is not None}

    async def _lag_seconds(self) -> float:
        return (await self.relay.lag()).seconds

    async def _waiting(self) -> int:
        return (await self.relay.lag()).events

    def _inside(self) -> Inside:
        overview = Overview(self)
        host, _ = split_address(self.settings.server.admin_listen)
        return Inside(
            journal=self.journal,
            metrics=self.metrics,
            tokens=self.settings.admin.tokens,
            hosts=frozenset({host, *(name.lower() for name in self.settings.admin.hosts)}),
            refresh=overview.refresh,
            ready=overview.ready,
            status=overview.status,
            accounts=overview.accounts,
            history=self.history,
            archive=self.archive,
            replays=self.replays,
            reconciles=self.reconciles,
            retention=self.retention,
            erasing=Erasing(self.journal, self.history, self.archive, topic=self.settings.kafka.events_topic),
            knowledge=Knowledge(providers=self._providers, scheme=overview.scheme),
            now=_now,
        )

    async def _open_ports(self, tls: ssl.SSLContext | None) -> None:
        server = self.settings.server
        public = bound(server.listen)
        try:
            private = bound(server.admin_listen)
        except BaseException:
            public.close()
            raise
        self._private = web.AppRunner(
            application(self._inside()),
            access_log=None,
            auto_decompress=False,
            logger=silent(),
            shutdown_timeout=1.0,
            max_line_size=LONGEST_LINE,
        )
        await self._private.setup()
        await web.SockSite(self._private, private, ssl_context=tls).start()
        self._public = await asyncio.get_running_loop().create_server(self._listener, sock=public, backlog=BACKLOG)
        self.address, self.admin_address = told(public), told(private)

    def _run(self) -> None:
        for worker in self.workers:
            worker.start()
        self._schedule_expiry()

    async def _warm(self) -> None:
        """Nothing waits for the certificates themselves."""
        accounts = [setup.account for setup in self.setups.values()]
        with suppress(JournalUnavailable):
            self.certificates.warm(await named(accounts, history=self.history, archive=self.archive))

    # --- changing accounts

    def reload(self, settings: Settings) -> None:
        """Other accounts and secrets from now on; requests under way keep what they began with.

        Raises SettingsError, and then nothing is changed.
        """
        setups = build_accounts(settings, self._providers)
        found = clients(setups, self._session, self._clients)
        self._clients.clear()
        self._clients.update(found)
        self._use(setups)
        self.settings = self.settings.model_copy(update={"accounts": settings.accounts})
        logger().info("reloaded", accounts=len(setups), restart_needed_for=_changed(self.settings, settings))

    def _use(self, setups: dict[Name, AccountSetup]) -> None:
        self.setups = setups
        self.webhooks.routes = routes(setups.values(), self.webhooks.routes)
        self._schedule_expiry()

    def _schedule_expiry(self) -> None:
        """Secrets with `not_after` are let go of at that time (V-15)."""
        if self._expiry is not None:
            self._expiry.cancel()
        ends = [end for setup in self.setups.values() if (end := setup.next_expiry(_now())) is not None]
        if ends:
            seconds = min((min(ends) - _now()).total_seconds() + 0.001, LONGEST_TIMER)
            self._expiry = asyncio.get_running_loop().call_later(max(seconds, 0.0), self._expire)

    def _expire(self) -> None:
        now = _now()
        self._use({name: refreshed(setup, now) for name, setup in self.setups.items()})

    # --- the end

    async def stop(self) -> bool:
        """Stop accepting, answer what is in flight, relay for a bounded time, let go of the journal. A step that fails
        or hangs is told, and the others are taken all the same; whether all went well.
        """
        server = self.settings.server
        relay, lookups, retention, replays, reconciles, watch = self.workers
        steps: tuple[tuple[Callable[[], Awaitable[None]], float], ...] = (
            (self._refuse, server.drain_delay + server.shutdown_timeout),
            (self._hang_up, ABANDON_SECONDS),
            (lookups.end, ENDING_SECONDS),
            (retention.end, ENDING_SECONDS),
            (replays.end, ENDING_SECONDS),
            (reconciles.end, ENDING_SECONDS),
            (watch.end, ENDING_SECONDS),
            (self.replays.close, ABANDON_SECONDS),
            (self._relayed, server.relay_timeout),
            (relay.end, ENDING_SECONDS),
            (self._private.cleanup, ABANDON_SECONDS),
            (self.certificates.close, ABANDON_SECONDS),
            (self._session.close, ABANDON_SECONDS),
            (self.history.close, ABANDON_SECONDS),
            (self.archive.close, ABANDON_SECONDS),
            (self.journal.close, CLOSING_SECONDS),
        )
        return all([await _taken(step, seconds + PATIENCE_SECONDS) for step, seconds in steps])

    async def _refuse(self) -> None:
        self.webhooks.draining = True
        await asyncio.sleep(self.settings.server.drain_delay)
        self._public.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.server.shutdown_timeout):
                await self.webhooks.idle()

    async def _hang_up(self) -> None:
        self._listener.pre_shutdown()
        await self._listener.shutdown(ABANDON_SECONDS)
        if self._expiry is not None:
            self._expiry.cancel()

    async def _relayed(self) -> None:
        with suppress(TimeoutError, JournalUnavailable):
            if self.relay.state.phase not in _NOT_PUBLISHING and (await self.relay.lag()).events:
                async with asyncio.timeout(self.settings.server.relay_timeout):
                    await self.relay.drained()


async def _taken(step: Callable[[], Awaitable[None]], seconds: float) -> bool:
    """Whether it ended well in that time."""
    try:
        async with asyncio.timeout(seconds):
            await step()
    except Exception as error:  # noqa: BLE001  # whatever it is, the next step is taken
        detail = f"it did not end within {seconds:g} s" if isinstance(error, TimeoutError) else None
        log_failure("stop_failed", error, step=step.__qualname__, detail=detail)
        return False
    return True


def _changed(old: Settings, new: Settings) -> list[str]:
    """The sections that a reload does not take over."""
    names = [name for name in type(old).model_fields if name != "accounts"]
    return [name for name in names if getattr(old, name) != getattr(new, name)]


def _now() -> datetime:
    return datetime.now(UTC)
