"""How to reach the brokers, and what their errors mean."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka import errors
from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.protocol.metadata import MetadataRequest

from paymux.errors import BrokerUnavailable, PublishError, RelayStopped, SettingsError
from paymux.publish import Positions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

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
                    f"[kafka] ssl_certfile {self.ssl_certfile} cannot be used with its key (ssl_keyfile, "
                    f"ssl_key_password): {problem}."
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meaning:
    """What some errors say: `sentence` tells it with {doing} and {error}, and names what to put right."""

    kinds: tuple[type[BaseException], ...]
    sentence: str
    reason: str = "not_authorized"
    when: Callable[[Any], bool] = lambda _: True

    def fits(self, error: BaseException) -> bool:
        return isinstance(error, self.kinds) and self.when(error)

    def told(self, doing: str, error: BaseException) -> PublishError:
        kind = RelayStopped if self.reason == "record_refused" else BrokerUnavailable
        return kind(self.sentence.format(doing=doing, error=_short(error)), reason=self.reason)


# X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH
_ANOTHER_HOST: Final = frozenset({62, 64})
# How a broker says that our certificate is absent, or not to its taste: OpenSSL's names of TLS alerts.
_CERTIFICATE_ALERTS: Final = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "SSLV3_ALERT_NO_CERTIFICATE",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV1_ALERT_UNKNOWN_CA",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    }
)
# The setting comes first: a log line may cut the end.
_MEANINGS: Final = (
    _Meaning(
        kinds=(errors.SaslAuthenticationFailed, errors.AuthenticationFailedError),
        sentence="[kafka] sasl_username, sasl_password or sasl_mechanism: the broker refuses these credentials while "
        "{doing}: {error}.",
    ),
    _Meaning(
        kinds=(errors.UnsupportedSaslMechanismError,),
        sentence="[kafka] sasl_mechanism: this listener of the broker does not take it while {doing}: {error}.",
    ),
    _Meaning(
        kinds=(errors.IllegalSaslStateError,),
        sentence="[kafka] security_protocol: this listener of the broker takes no login while {doing}: {error}.",
    ),
    _Meaning(
        kinds=(ssl.SSLCertVerificationError,),
        when=lambda error: error.verify_code in _ANOTHER_HOST,
        sentence="[kafka] bootstrap_servers must name the broker as its certificate does, while {doing}: {error}.",
    ),
    _Meaning(
        kinds=(ssl.SSLCertVerificationError,),
        sentence="[kafka] ssl_cafile must hold the authority of the broker's certificate, while {doing}: {error}.",
    ),
    _Meaning(
        kinds=(ssl.SSLError,),
        when=lambda error: error.reason in _CERTIFICATE_ALERTS,
        sentence="[kafka] ssl_certfile: the broker refuses this client certificate, or that there is none, while "
        "{doing}: {error}.",
    ),
    _Meaning(
        kinds=(errors.TransactionalIdAuthorizationFailed,),
        sentence="[kafka] transactional_id_prefix: this user needs DESCRIBE and WRITE on transactional ids that begin "
        "with it and a dash, while {doing}: {error}.",
    ),
    _Meaning(
        kinds=(
            errors.TopicAuthorizationFailedError,
            errors.GroupAuthorizationFailedError,
            errors.ClusterAuthorizationFailedError,
        ),
        sentence="[kafka] events_topic, quarantine_topic or checkpoints_topic: this user lacks a right that "
        "docs/kafka.md lists, while {doing}: {error}.",
    ),
    _Meaning(
        kinds=(errors.ProducerFenced, errors.InvalidProducerEpoch),
        reason="fenced",
        sentence="Another relay has taken over this shard (same transactional_id_prefix and journal) while {doing}.",
    ),
    _Meaning(
        kinds=(
            errors.MessageSizeTooLargeError,
            errors.RecordListTooLargeError,
            errors.InvalidTimestampError,
            errors.PolicyViolationError,
        ),
        reason="record_refused",
        sentence="The broker refuses a record while {doing}: {error}.",
    ),
    _Meaning(
        kinds=(errors.NodeNotReadyError,),
        reason="broker_unavailable",
        sentence="The broker's advertised.listeners must be reachable from here, and with TLS be the host in its "
        "certificate, while {doing}: {error}.",
    ),
)
_FAILED: Final = _Meaning(
    kinds=(BaseException,), reason="broker_unavailable", sentence="Kafka failed while {doing}: {error}."
)


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
    meaning, error = _diagnose(problem)
    return meaning.told(doing, error)


def _diagnose(problem: BaseException) -> tuple[_Meaning, BaseException]:
    for cause in _causes(problem):
        for meaning in _MEANINGS:
            if meaning.fits(cause):
                return meaning, cause
    return _FAILED, problem


def _causes(problem: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = problem
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _short(error: BaseException) -> str:
    name, said = type(error).__name__, str(error)
    return (said if name in said else f"{name}: {said}").rstrip(".: ")[:300]


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


async def explain_unreachable(settings: KafkaSettings) -> PublishError:
    """Why no broker could be used. aiokafka only logs it: a wrong password looks to its callers like a closed port."""
    said = [await _refusal(settings, host, port) for host, port, _ in collect_hosts(settings.bootstrap_servers)]
    problems = [problem for problem in said if problem is not None]
    for problem in problems:
        meaning, error = _diagnose(problem)
        if meaning is not _FAILED:
            return meaning.told("connecting", error)
    last = problems[-1] if problems else errors.KafkaConnectionError("no broker")
    hint = _CLOSED if any(isinstance(cause, _HANGING_UP) for cause in _causes(last)) else ""
    return BrokerUnavailable(f"No Kafka broker can be reached at {settings.bootstrap_servers}{hint}: {_short(last)}.")


async def _refusal(settings: KafkaSettings, host: str, port: int) -> Exception | None:
    """What stands between us and the first answer that is worth something."""
    timeout = int(settings.request_timeout * 1000)
    connection = AIOKafkaConnection(host, port, request_timeout_ms=timeout, **settings.security.arguments())
    try:
        await connection.connect()
        await connection.send(MetadataRequest([]))  # without a login, only this is refused
    except Exception as problem:  # noqa: BLE001  # whatever it is, it is the explanation
        return problem
    finally:
        closed = connection.close()
        if connection._protocol is not None:  # noqa: SLF001  # it was opened; closing TLS takes an answer
            await asyncio.wait([closed], timeout=CLOSE_SECONDS)
    return None


_HANGING_UP: Final = (EOFError, ConnectionResetError, ssl.SSLError)
_CLOSED: Final = " (something hangs up there: is the port the listener that [kafka] security_protocol says?)"
