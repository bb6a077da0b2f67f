"""How to reach the brokers, and what their errors mean."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka import errors
from aiokafka.conn import collect_hosts, create_conn

from paymux.errors import BrokerUnavailable, PublishError, RelayStopped, SettingsError
from paymux.publish import Positions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping

CLOSE_SECONDS: Final = 1.0
PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """TLS and SASL. Files are PEM paths. Raises SettingsError, naming the key of [kafka]."""

    protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_key_password: str | None = field(default=None, repr=False)
    insecure: bool = False

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise SettingsError(f"[kafka] security_protocol must be one of {', '.join(PROTOCOLS)}.")
        if self.protocol.startswith("SASL"):
            self._check_sasl()
        elif self.sasl_mechanism or self.sasl_username or self.sasl_password:
            raise SettingsError("[kafka] sasl_* is set, but security_protocol is not SASL_SSL or SASL_PLAINTEXT.")
        if not self._tls and (self.ssl_cafile or self.ssl_certfile or self.ssl_keyfile):
            raise SettingsError("[kafka] ssl_* is set, but security_protocol is not SSL or SASL_SSL.")
        if self.ssl_keyfile and not self.ssl_certfile:
            raise SettingsError("[kafka] ssl_keyfile needs ssl_certfile.")

    @property
    def _tls(self) -> bool:
        return self.protocol.endswith("SSL")

    def _check_sasl(self) -> None:
        if self.sasl_mechanism not in MECHANISMS:
            raise SettingsError(f"[kafka] sasl_mechanism must be one of {', '.join(MECHANISMS)}.")
        if not (self.sasl_username and self.sasl_password):
            raise SettingsError("[kafka] sasl_username and sasl_password are needed with SASL.")
        if self.sasl_mechanism == "PLAIN" and not self._tls and not self.insecure:
            raise SettingsError(
                "[kafka] SASL PLAIN without TLS sends the password in clear text. "
                "Use security_protocol = SASL_SSL or a SCRAM mechanism, or set insecure = true."
            )

    def arguments(self) -> dict[str, Any]:
        """For aiokafka's clients. Reads the files, so that renewed certificates count. Raises SettingsError."""
        return {
            "security_protocol": self.protocol,
            "sasl_mechanism": self.sasl_mechanism or "PLAIN",
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
            "ssl_context": self._context() if self._tls else None,
        }

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ssl_cafile)
        except OSError as problem:
            raise SettingsError(f"[kafka] ssl_cafile {self.ssl_cafile} cannot be used: {problem}.") from None
        if self.ssl_certfile:
            try:
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, self.ssl_key_password or "")
            except OSError as problem:
                raise SettingsError(
                    f"[kafka] ssl_certfile {self.ssl_certfile} and its key cannot be used: {problem}."
                ) from None
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """[kafka] of paymux.toml. `request_timeout` in seconds; every deadline is a multiple of it.

    `replication_factor` None: 3, or as many as there are brokers. `accept_partitions` is an operator's word that the
    events topic may have that many partitions from now on.
    """

    bootstrap_servers: str
    events_topic: str = "payments.events.v1"
    quarantine_topic: str = "payments.quarantine.v1"
    checkpoints_topic: str = "paymux.checkpoints"
    transactional_id_prefix: str = "paymux"
    shards: int = 1
    security: Security = field(default_factory=Security)
    request_timeout: float = 10.0
    positions: Positions = Positions.CHECKPOINT
    create_topics: bool = True
    events_partitions: int = 12
    replication_factor: int | None = None
    accept_partitions: int | None = None

    def __post_init__(self) -> None:
        try:
            collect_hosts(self.bootstrap_servers)
        except ValueError as problem:
            raise SettingsError(f"[kafka] bootstrap_servers is not a list of host:port: {problem}.") from None

    @property
    def start_deadline(self) -> float:
        return 3 * self.request_timeout

    @property
    def publish_deadline(self) -> float:
        return 1.5 * self.request_timeout

    @property
    def transaction_timeout(self) -> float:
        """Longer than any transaction of ours may take; as long may a dead one hold up readers if nobody fences it."""
        return 2 * self.request_timeout

    def client_arguments(self) -> dict[str, Any]:
        """What every client of aiokafka takes."""
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": "paymux",
            "request_timeout_ms": int(self.request_timeout * 1000),
            "retry_backoff_ms": 100,
            **self.security.arguments(),
        }


_NOT_AUTHORIZED: Final = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
    errors.SaslAuthenticationFailed,
    errors.AuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    ssl.SSLCertVerificationError,
)
_FENCED: Final = (errors.ProducerFenced, errors.InvalidProducerEpoch)
_REFUSED: Final = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.InvalidTimestampError,
    errors.PolicyViolationError,
)
_REASONS: Final[Mapping[str, tuple[type[BaseException], ...]]] = {
    "not_authorized": _NOT_AUTHORIZED,
    "fenced": _FENCED,
    "record_refused": _REFUSED,
}
_SENTENCES: Final[Mapping[str, str]] = {
    "not_authorized": "The broker refuses these credentials while {doing}: {error}. docs/kafka.md lists the rights.",
    "fenced": "Another relay has taken over this shard (same transactional_id_prefix and journal) while {doing}.",
    "record_refused": "The broker refuses a record while {doing}: {error}.",
    "broker_unavailable": "Kafka failed while {doing}: {error}.",
}


@asynccontextmanager
async def within(seconds: float, doing: str) -> AsyncIterator[None]:
    """A deadline, and every failure inside as BrokerUnavailable or RelayStopped."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (PublishError, SettingsError):
        raise
    except TimeoutError:
        raise BrokerUnavailable(f"Kafka gave no answer within {seconds:g} s while {doing}.") from None
    except asyncio.CancelledError as problem:
        if (task := asyncio.current_task()) and task.cancelling():
            raise
        # Nobody cancelled us: a request inside aiokafka was, when its connection closed.
        raise BrokerUnavailable(f"Kafka's client gave up while {doing}.") from problem
    except Exception as problem:  # aiokafka also raises AssertionError, KeyError and AttributeError on some paths
        raise as_publish_error(problem, doing) from problem


def as_publish_error(problem: BaseException, doing: str) -> PublishError:
    """What an error of aiokafka's, or the one that caused it, means for the relay."""
    reason, error = _diagnose(problem)
    detail = _SENTENCES[reason].format(doing=doing, error=_short(error))
    kind = RelayStopped if reason == "record_refused" else BrokerUnavailable
    return kind(detail, reason=reason)


def _diagnose(problem: BaseException) -> tuple[str, BaseException]:
    cause: BaseException | None = problem
    while cause is not None:
        for reason, kinds in _REASONS.items():
            if isinstance(cause, kinds):
                return reason, cause
        cause = cause.__cause__
    return "broker_unavailable", problem


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".: ")[:300]


async def let_go(closing: Coroutine[Any, Any, object]) -> None:
    """Wait for a client to close, but not long: without a broker some never do. Raises nothing of its own.

    In a task of its own: aiokafka's consumer lets the CancelledError of its own requests out of `stop`, and here that
    would look as if we were cancelled.
    """
    task = asyncio.create_task(closing)
    await asyncio.wait([task], timeout=CLOSE_SECONDS)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CLOSE_SECONDS)
    if task.done() and not task.cancelled():
        task.exception()


async def explain_unreachable(settings: KafkaSettings) -> BrokerUnavailable:
    """Why no broker could be used. aiokafka only logs it: a wrong password looks to its callers like a closed port."""
    said: BaseException = errors.KafkaConnectionError("no broker")
    security = settings.security.arguments()
    for host, port, _ in collect_hosts(settings.bootstrap_servers):
        timeout = int(settings.request_timeout * 1000)
        try:
            connection = await create_conn(host, port, request_timeout_ms=timeout, **security)
        except Exception as problem:  # noqa: BLE001  # whatever it is, it is the explanation
            said = problem
        else:
            connection.close()
    reason, error = _diagnose(said)
    if reason == "not_authorized":
        return BrokerUnavailable(_SENTENCES[reason].format(doing="connecting", error=_short(error)), reason=reason)
    return BrokerUnavailable(f"No Kafka broker can be reached at {settings.bootstrap_servers}: {_short(said)}.")
