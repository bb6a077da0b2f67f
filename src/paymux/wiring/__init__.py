"""The composition root: settings in, a running gateway out. Nothing else knows who implements what."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web

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
from paymux.provider_api import open_session
from paymux.providers import installed
from paymux.relay import Phase
from paymux.settings.accounts import build_accounts
from paymux.settings.models import split_address
from paymux.telemetry import Metrics, log_failure, logger
from paymux.wiring import work
from paymux.wiring.accounts import Accounts
from paymux.wiring.parts import admin_tls, bound, clients, kafka_settings, open_journal, reading, told
from paymux.wiring.shown import ConnectionReports, Health, Overview
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
        self.journal = journal
        self.metrics = Metrics()
        self.health = Health(journal)
        self.deliveries = deliveries
        self.address = self.admin_address = ""
        self._session = session
        self.certificates = Certificates(session=session, clock=_now)
        self.accounts = Accounts(setups, session, providers=providers, now=_now, changed=self._serve)
        self.history, self.archive = reading(journal)
        ground = self._ground()
        self.relay = work.relay(ground, publisher)
        self.lookups = work.lookups(ground)
        self.retention = Retention(journal, timedelta(days=settings.journal.retention_days))
        self.replays = work.replays(ground, self.relay)
        self.reconciles = work.reconciles(ground, self.relay)
        self.watch = work.watch(ground, self.relay)
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

    @property
    def setups(self) -> Mapping[Name, AccountSetup]:
        """The accounts as they are now."""
        return self.accounts.setups

    # --- parts

    def _ground(self) -> work.Ground:
        return work.Ground(
            settings=self.settings,
            accounts=self.accounts,
            journal=self.journal,
            history=self.history,
            archive=self.archive,
            metrics=self.metrics,
            now=_now,
        )

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
            knowledge=Knowledge(providers=self.accounts.providers, scheme=overview.scheme),
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
        self.accounts.watch_expiry()

    async def _warm(self) -> None:
        """Nothing waits for the certificates themselves."""
        accounts = self.accounts.configured.values()
        with suppress(JournalUnavailable):
            self.certificates.warm(await named(accounts, history=self.history, archive=self.archive))

    # --- changing accounts

    def reload(self, settings: Settings) -> None:
        """Other accounts and secrets from now on; requests under way keep what they began with.

        Raises SettingsError, and then nothing is changed.
        """
        self.accounts.reload(settings)
        self.settings = self.settings.model_copy(update={"accounts": settings.accounts})
        logger().info("reloaded", accounts=len(self.setups), restart_needed_for=_changed(self.settings, settings))

    def _serve(self, setups: Mapping[Name, AccountSetup]) -> None:
        self.webhooks.routes = routes(setups.values(), self.webhooks.routes)

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
        self.accounts.close()

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
