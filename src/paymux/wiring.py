"""The composition root: settings in, a running gateway out. Nothing else knows who implements what."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import web
from uuid_utils import uuid7

from paymux import __version__
from paymux.errors import JournalUnavailable, PaymuxError, SettingsError
from paymux.http.connections import Listener, silent
from paymux.http.private import Inside, application
from paymux.http.reports import Reports
from paymux.http.routes import routes
from paymux.http.webhooks import Limits, Webhooks
from paymux.journal.changes import Rules
from paymux.journal.memory import MemoryJournal
from paymux.journal.sqlite import SqliteJournal
from paymux.lookup import Client, Lookups
from paymux.provider_api import ProviderApi, base_url, open_session
from paymux.providers import BY_NAME
from paymux.publish import Positions
from paymux.publish.kafka import KafkaPublisher, KafkaSettings, Security
from paymux.records import Topics
from paymux.relay import Phase, Relay
from paymux.settings.accounts import build_accounts, refreshed
from paymux.settings.models import split_address
from paymux.telemetry import Metrics, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import aiohttp

    from paymux.journal import Journal
    from paymux.provider import Provider
    from paymux.publish import Publisher
    from paymux.publish.kafka import TopicReport
    from paymux.relay import RelayState
    from paymux.settings import Settings
    from paymux.settings.accounts import AccountSetup, Name
    from paymux.settings.models import Kafka
    from paymux.settings.secret import Secret
    from paymux.telemetry import DeliveryLog

BACKLOG: Final = 1024
HEALTH_SECONDS: Final = 1.0  # how long an answer about the journal's health is good for
LONGEST_TIMER: Final = 86_400.0
IN_FLIGHT_POLL: Final = 0.02

_BIND_ERRORS: Final = {
    errno.EADDRINUSE: "another program listens there",
    errno.EACCES: "this user has no right to (ports below 1024 need one)",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


def kafka_settings(kafka: Kafka) -> KafkaSettings:
    """Raises SettingsError, naming the key."""
    return KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        events_topic=kafka.events_topic,
        quarantine_topic=kafka.quarantine_topic,
        checkpoints_topic=kafka.checkpoints_topic,
        transactional_id_prefix=kafka.transactional_id_prefix,
        security=Security(
            protocol=kafka.security_protocol,
            sasl_mechanism=kafka.sasl_mechanism,
            sasl_username=kafka.sasl_username,
            sasl_password=_revealed(kafka.sasl_password),
            ssl_cafile=kafka.ssl_cafile,
            ssl_certfile=kafka.ssl_certfile,
            ssl_keyfile=kafka.ssl_keyfile,
            ssl_key_password=_revealed(kafka.ssl_key_password),
            insecure=kafka.insecure,
        ),
        request_timeout=kafka.request_timeout,
        positions=Positions(kafka.positions),
        create_topics=kafka.create_topics,
        events_partitions=kafka.events_partitions,
        replication_factor=kafka.replication_factor,
        accept_partitions=kafka.accept_partitions,
    )


def _revealed(secret: Secret | None) -> str | None:
    return secret.get_secret_value() if secret else None


async def open_journal(settings: Settings) -> Journal:
    """Raises JournalUnusable with what to do."""
    rules = Rules(topics=Topics(events=settings.kafka.events_topic, quarantine=settings.kafka.quarantine_topic))
    path = settings.journal.path
    return MemoryJournal(rules=rules) if path is None else await SqliteJournal.open(Path(path), rules=rules)


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
        publisher: Callable[[], Publisher] | None = None,
        providers: Mapping[str, Provider] = BY_NAME,
    ) -> None:
        self.settings = settings
        self.setups = setups
        self.journal = journal
        self.metrics = Metrics()
        self._session = session
        self._providers = providers
        self._clients = clients(setups, session)
        self.lookups = Lookups(
            journal=journal, clients=self._clients, clock=_now, new_id=lambda: str(uuid7()), observe=self._looked_up
        )
        self.relay = self._relay(publisher)
        self.webhooks = self._webhooks(deliveries)
        self._tasks: list[asyncio.Task[None]] = []
        self._expiry: asyncio.TimerHandle | None = None
        self._health = (0.0, True)
        self.address = self.admin_address = ""

    @classmethod
    async def start(
        cls,
        settings: Settings,
        *,
        deliveries: DeliveryLog,
        publisher: Callable[[], Publisher] | None = None,
        providers: Mapping[str, Provider] = BY_NAME,
    ) -> Self:
        """Everything that can be wrong with the settings is found before a file or a port is opened.

        `publisher` makes the relay's publishers; None: Kafka's. Raises SettingsError; JournalUnusable; PaymuxError
        where a port cannot be opened.
        """
        setups = build_accounts(settings, providers)
        if publisher is None:
            kafka_settings(settings.kafka)
        tls = _tls(settings)
        session = open_session()
        try:
            clients(setups, session)
            journal = await open_journal(settings)
        except BaseException:
            await session.close()
            raise
        gateway = cls(
            settings, setups, journal, session, deliveries=deliveries, publisher=publisher, providers=providers
        )
        try:
            await gateway._listen(tls)  # noqa: SLF001  # its own
        except BaseException:
            await journal.close()
            await session.close()
            raise
        gateway._run()  # noqa: SLF001
        return gateway

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
            is_ready=self._is_healthy,
            asked=self.lookups.wake,
        )

    def _relay(self, publisher: Callable[[], Publisher] | None) -> Relay:
        return Relay(
            self.journal,
            publisher or self._kafka(kafka_settings(self.settings.kafka)),
            positions=Positions(self.settings.kafka.positions),
            accept_positions=self.settings.kafka.accept_positions,
            observer=RelayReports(self.metrics),
        )

    def _kafka(self, kafka: KafkaSettings) -> Callable[[], Publisher]:
        return lambda: KafkaPublisher(kafka, journal=self.journal.identity, shard=0, on_topics=_topics_found)

    async def _listen(self, tls: ssl.SSLContext | None) -> None:
        server = self.settings.server
        public, private = _bound(server.listen), _bound(server.admin_listen)
        self._listener = Listener(
            self.webhooks,
            max_connections=server.max_connections,
            keepalive_timeout=server.keepalive_timeout,
            observe=self._observed,
        )
        self._private = web.AppRunner(
            application(self._inside()), access_log=None, auto_decompress=False, logger=silent(), shutdown_timeout=1.0
        )
        await self._private.setup()
        await web.SockSite(self._private, private, ssl_context=tls).start()
        self._public = await asyncio.get_running_loop().create_server(self._listener, sock=public, backlog=BACKLOG)
        self.address, self.admin_address = _told(public), _told(private)

    def _run(self) -> None:
        self._tasks = [asyncio.create_task(self.relay.run()), asyncio.create_task(self.lookups.run())]
        self._schedule_expiry()

    # --- changing accounts

    def reload(self, settings: Settings) -> None:
        """Other accounts and secrets from now on; requests under way keep what they began with.

        Raises SettingsError, and then nothing is changed.
        """
        setups = build_accounts(settings, self._providers)
        found = clients(setups, self._session)
        self._clients.clear()
        self._clients.update(found)
        self._use(setups)
        self.settings = self.settings.model_copy(update={"accounts": settings.accounts})
        logger().info("reloaded", accounts=len(setups), restart_needed_for=_changed(self.settings, settings) or None)

    def _use(self, setups: dict[Name, AccountSetup]) -> None:
        self.setups = setups
        self.webhooks.routes = routes(setups.values())
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

    # --- what it shows

    def _inside(self) -> Inside:
        host, _ = split_address(self.settings.server.admin_listen)
        return Inside(
            journal=self.journal,
            metrics=self.metrics,
            tokens=self.settings.admin.tokens,
            hosts=frozenset({host, *(name.lower() for name in self.settings.admin.hosts)}),
            refresh=self._refresh,
            ready=self._ready,
            status=self._status,
            accounts=self._accounts,
        )

    async def _is_healthy(self) -> bool:
        """The journal is asked at most once a second, however often we are."""
        now = asyncio.get_running_loop().time()
        if now < self._health[0]:
            return self._health[1]
        try:
            await self.journal.healthy()
            healthy = True
        except JournalUnavailable:
            healthy = False
        self._health = (now + HEALTH_SECONDS, healthy)
        return healthy

    async def _ready(self) -> tuple[bool, dict[str, Any]]:
        """Kafka's absence is a detail: webhooks are taken all the same (P8)."""
        journal = await self._is_healthy()
        details = {"journal": journal, "draining": self.webhooks.draining, "relay": await self._relay_facts()}
        return journal and not self.webhooks.draining, details

    async def _status(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "journal": {"identity": self.journal.identity, "healthy": await self._is_healthy()},
            "relay": await self._relay_facts(),
            "lookups_waiting": await self.journal.lookups_waiting(),
            "accounts": len(self.setups),
            "in_flight": self.webhooks.in_flight,
            "connections": len(self._listener.connections),
        }

    async def _relay_facts(self) -> dict[str, Any]:
        state, lag = self.relay.state, await self._lag()
        return {
            "shard": state.shard,
            "phase": state.phase,
            "since": state.since,
            "position": state.position,
            "reason": state.reason,
            "detail": state.detail,
            "lag_events": lag[0],
            "lag_seconds": lag[1],
        }

    async def _lag(self) -> tuple[int | None, float | None]:
        try:
            lag = await self.relay.lag()
        except JournalUnavailable:
            return None, None
        return lag.events, lag.seconds

    def _accounts(self) -> list[dict[str, Any]]:
        return [
            {
                "provider": provider,
                "name": name,
                "proof": setup.proof,
                "livemode": setup.account.livemode,
                "has_api_key": setup.api_key is not None,
                "path": f"/webhooks/{provider}/{name}",
                "secrets": [
                    {"from": secret.origin, "not_after": secret.not_after, "expired": secret.expired(_now())}
                    for secret in setup.settings.secrets
                ],
            }
            for (provider, name), setup in sorted(self.setups.items())
        ]

    async def _refresh(self) -> None:
        shard = str(self.relay.state.shard)
        events, seconds = await self._lag()
        if events is not None and seconds is not None:
            self.metrics.set("paymux_relay_lag_events", events, shard)
            self.metrics.set("paymux_relay_lag_seconds", seconds, shard)
        for phase in Phase:
            self.metrics.set("paymux_relay_phase", float(self.relay.state.phase is phase), shard, phase.value)
        with suppress(JournalUnavailable):
            self.metrics.set("paymux_lookups_waiting", await self.journal.lookups_waiting())
        self.metrics.set("paymux_journal_up", float(await self._is_healthy()))
        self.metrics.set("paymux_accounts", len(self.setups))
        self.metrics.set("paymux_connections", len(self._listener.connections))

    def _looked_up(self, name: str, labels: Mapping[str, str]) -> None:
        provider, account = labels.get("provider", ""), labels.get("account", "")
        outcome = labels.get("outcome") or labels.get("reason") or labels.get("error", "")
        self.metrics.count("paymux_lookups", provider, name.removeprefix("lookup_"), outcome)
        level = logger().info if name == "lookup_answered" else logger().warning
        level(name, provider=provider, account=account, outcome=outcome)

    def _observed(self, what: str) -> None:
        if what == "internal_error":
            self.metrics.count("paymux_internal_errors", "connection")
        else:
            self.metrics.count(f"paymux_{what}s")

    # --- the end

    async def stop(self) -> None:
        """Stop accepting, answer what is in flight, relay for a bounded time, let go of the journal."""
        server = self.settings.server
        self.webhooks.draining = True
        await asyncio.sleep(server.drain_delay)
        self._public.close()
        await self._answered(server.shutdown_timeout)
        self._listener.pre_shutdown()
        await self._listener.shutdown(1.0)
        relay, lookups = self._tasks
        await _ended(lookups)
        if not relay.done():
            with suppress(TimeoutError, JournalUnavailable):
                await asyncio.wait_for(self.relay.drained(), server.relay_timeout)
        await _ended(relay)
        if self._expiry is not None:
            self._expiry.cancel()
        await self._private.cleanup()
        await self._session.close()
        await self.journal.close()

    async def _answered(self, seconds: float) -> None:
        """Until no request is under way; connections between two requests are closed after it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.webhooks.in_flight:
                    await asyncio.sleep(IN_FLIGHT_POLL)


class RelayReports:
    """The relay's observer: metrics, and a line where its state changes."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._last: tuple[Phase, str | None] | None = None

    def entered(self, state: RelayState) -> None:
        now = (state.phase, state.reason)
        if now == self._last or state.phase is Phase.STARTING:
            return
        self._last = now
        level = {Phase.STOPPED: "error", Phase.WAITING: "warning"}.get(state.phase, "info")
        getattr(logger(), level)(
            f"relay_{state.phase}", shard=state.shard, position=state.position, reason=state.reason, detail=state.detail
        )

    def published(self, *, shard: int, events: int, seconds: float) -> None:
        self._metrics.count("paymux_published", str(shard), by=events)
        self._metrics.observe("paymux_publish_seconds", seconds)


def clients(setups: Mapping[Name, AccountSetup], session: aiohttp.ClientSession) -> dict[Name, Client]:
    """Every account that can be asked about. Raises SettingsError for a key or URL that cannot be used."""
    found: dict[Name, Client] = {}
    for name, setup in setups.items():
        account, key = setup.account, setup.api_key
        if account.provider.api is None or key is None:
            continue
        url = base_url(account.provider.api, account.options, setup.settings.api_url)
        try:
            api = ProviderApi(api=account.provider.api, url=url, key=key, session=session, options=account.options)
        except SettingsError as error:
            raise SettingsError(f"account {name[0]}/{name[1]}: {error}") from None
        found[name] = Client(account=account, api=api)
    return found


def _topics_found(report: TopicReport) -> None:
    if report.created:
        logger().info("topics_created", topics=", ".join(report.created))
    for warning in report.warnings:
        logger().warning("topics", detail=warning)


def _changed(old: Settings, new: Settings) -> list[str]:
    """The sections that a reload does not take over."""
    names = [name for name in type(old).model_fields if name != "accounts"]
    return [name for name in names if getattr(old, name) != getattr(new, name)]


def _tls(settings: Settings) -> ssl.SSLContext | None:
    certificate, key = settings.admin.tls_certificate, settings.admin.tls_key
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"admin.tls_certificate: it cannot be used with admin.tls_key: {error}") from None
    return context


def _bound(address: str) -> socket.socket:
    """A socket at `address`, not listening yet."""
    host, port = split_address(address)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setblocking(False)
        found.bind(place)
    except socket.gaierror:
        raise PaymuxError(f"cannot listen on {address}: there is no host of that name") from None
    except OSError as error:
        why = _BIND_ERRORS.get(error.errno or 0, error.strerror)
        raise PaymuxError(f"cannot listen on {address}: {why}") from None
    return found


def _told(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _now() -> datetime:
    return datetime.now(UTC)
