"""Settings to the parts of a gateway, one function for each."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from paymux.errors import PaymuxError, SettingsError
from paymux.journal.changes import Rules
from paymux.journal.memory import MemoryJournal
from paymux.journal.memory.archive import MemoryArchive
from paymux.journal.memory.history import MemoryHistory
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.archive import SqliteArchive
from paymux.journal.sqlite.history import SqliteHistory
from paymux.journal.sqlite.writing import WriterProcess, WriterThread
from paymux.lookup import Client
from paymux.provider_api import Pace, ProviderApi, base_url
from paymux.publish import Positions
from paymux.publish.kafka import KafkaSettings, Security
from paymux.publish.kafka.topics import partition_counts_there
from paymux.records import Topics
from paymux.replay.pool import Pool
from paymux.settings.models import split_address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import aiohttp

    from paymux.journal import Journal
    from paymux.journal.archive import Archive
    from paymux.journal.history import History
    from paymux.journal.sqlite.writing import Writing
    from paymux.settings import Settings
    from paymux.settings.accounts import AccountSetup, Name
    from paymux.settings.models import Kafka
    from paymux.settings.secret import Secret

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


def topic_finder(kafka: Kafka) -> Callable[[str], Awaitable[bool]]:
    """Whether Kafka has a topic. Raises SettingsError; what it gives raises BrokerUnavailable."""
    settings = kafka_settings(kafka)

    async def has(topic: str) -> bool:
        return topic in await partition_counts_there(settings, [topic])

    return has


async def open_journal(settings: Settings) -> Journal:
    """Raises JournalUnusable with what to do."""
    rules = Rules(topics=Topics(events=settings.kafka.events_topic, quarantine=settings.kafka.quarantine_topic))
    path = settings.journal.path
    max_hints = settings.journal.max_hints
    if path is None:
        return MemoryJournal(rules=rules, max_hints=max_hints)
    writing = _WRITING[settings.journal.writer]
    return await SqliteJournal.open(Path(path), rules=rules, writing=writing, max_hints=max_hints)


def reading(journal: Journal) -> tuple[History, Archive]:
    """What reads a journal beside the line."""
    if isinstance(journal, SqliteJournal):
        return SqliteHistory(journal.path), SqliteArchive(journal.path)
    if isinstance(journal, MemoryJournal):
        return MemoryHistory(journal), MemoryArchive(journal)
    raise TypeError(f"nothing reads a {type(journal).__name__}")  # Defensive: open_journal makes no other


def pool(journal: Journal) -> Pool | None:
    """Where diffs are compared; a journal in memory can be read by this process only."""
    return Pool(journal.path) if isinstance(journal, SqliteJournal) else None


_WRITING: Final[Mapping[str, Callable[[Path, int], Writing]]] = {"process": WriterProcess, "thread": WriterThread}


def clients(
    setups: Mapping[Name, AccountSetup], session: aiohttp.ClientSession, before: Mapping[Name, Client] | None = None
) -> dict[Name, Client]:
    """The accounts with their ways to the APIs; each goes on at the pace of the client that it had `before`.

    Raises SettingsError for a key or URL that cannot be used.
    """
    found: dict[Name, Client] = {}
    for name, setup in setups.items():
        old = (before or {}).get(name)
        try:
            api = _api(setup, session, old.api.pace if old and old.api else None)
        except SettingsError as error:
            raise SettingsError(f"account {name[0]}/{name[1]}: {error}") from None
        found[name] = Client(account=setup.account, api=api)
    return found


def _api(setup: AccountSetup, session: aiohttp.ClientSession, pace: Pace | None) -> ProviderApi | None:
    account, api, key = setup.account, setup.account.provider.api, setup.api_key
    if api is None or key is None:
        return None
    url = base_url(api, account.options, setup.settings.api_url)
    return ProviderApi(api=api, url=url, key=key, session=session, options=account.options, pace=pace)


def admin_tls(settings: Settings) -> ssl.SSLContext | None:
    certificate, key = settings.admin.tls_certificate, settings.admin.tls_key
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"admin.tls_certificate: it cannot be used with admin.tls_key: {error}") from None
    return context


def bound(address: str) -> socket.socket:
    """A socket at `address`, not listening yet."""
    host, port = split_address(address)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setblocking(False)  # noqa: FBT003  # socket's signature
        found.bind(place)
    except socket.gaierror:
        raise PaymuxError(f"cannot listen on {address}: there is no host of that name") from None
    except OSError as error:
        why = _BIND_ERRORS.get(error.errno or 0, error.strerror)
        raise PaymuxError(f"cannot listen on {address}: {why}") from None
    return found


def told(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
