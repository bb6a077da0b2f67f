"""The sections of paymux.toml."""

from __future__ import annotations

import ipaddress
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    model_validator,
)

from paymux.settings.secret import SecretField
from paymux.settings.tokens import DigestField, Role, RolesField

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LARGEST_BODY: Final = 64 * 1024 * 1024
NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")
# As a segment of a URL, so not "." or "..", which mean other places there.
ACCOUNT_NAME: Final = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,64}")
LARGEST_PORT: Final = 65535
MINUTE: Final = timedelta(minutes=1)
LONGEST_EVERY: Final = timedelta(days=30)
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK_NAMES


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port[:6]) > LARGEST_PORT:
        raise ValueError('should be "host:port"')
    bare = host.removeprefix("[").removesuffix("]")
    if ":" in bare and bare == host:
        raise ValueError('should be "[address]:port" for IPv6')
    return bare, int(port)


def _address(value: str) -> str:
    split_address(value)
    return value


def _network(value: Any) -> Network:
    try:
        return ipaddress.ip_network(value, strict=True)
    except ValueError as error:
        raise ValueError(f"{error}, like 203.0.113.0/24") from None


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("should be 1 to 64 of a-z, 0-9, dash and underscore")
    return value


def _account_name(value: str) -> str:
    if not ACCOUNT_NAME.fullmatch(value):
        raise ValueError("should be 1 to 64 of letters, digits, dot, dash and underscore, and not only dots")
    return value


def _option(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _every(value: Any) -> timedelta:
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    span = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not MINUTE <= span <= LONGEST_EVERY:
        raise ValueError('should be from a minute to 30 days, like "15m", "6h" or "1d"')
    return span


def _file(value: str) -> str:
    try:
        with Path(value).open("rb"):
            return value
    except OSError as error:
        raise ValueError(f"{value} cannot be read: {os.strerror(error.errno or 0)}") from None


Address = Annotated[str, AfterValidator(_address)]
NetworkField = Annotated[Network, PlainValidator(_network)]
Name = Annotated[str, AfterValidator(_name)]
AccountName = Annotated[str, AfterValidator(_account_name)]
OptionText = Annotated[str, BeforeValidator(_option)]
ReadableFile = Annotated[str, AfterValidator(_file)]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Every = Annotated[timedelta, PlainValidator(_every)]
# Lists of a file become tuples; what is in them stays strict.
Networks = Annotated[tuple[NetworkField, ...], Field(strict=False)]
Secrets = Annotated[tuple[SecretField, ...], Field(strict=False)]
Texts = Annotated[tuple[str, ...], Field(strict=False)]


if TYPE_CHECKING:
    from collections.abc import Mapping


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Server(_Section):
    """The listeners. `unverified_rate`: how many unproven requests a second one address may make; it has twice as many
    at once.
    """

    listen: Address = "0.0.0.0:8080"  # webhooks come from the internet
    admin_listen: Address = "127.0.0.1:8081"
    trusted_proxies: Networks = ()
    body_timeout: Seconds = 10.0
    keepalive_timeout: Seconds = 30.0
    max_connections: int = Field(default=4096, ge=1, le=1_000_000)
    unverified_rate: Rate = 20.0
    shutdown_timeout: Seconds = 10.0
    relay_timeout: Seconds = 5.0
    drain_delay: float = Field(default=0.0, ge=0, le=60, allow_inf_nan=False)


class AdminToken(_Section):
    """Who may use the private API: `role` is one or several of them."""

    token: DigestField
    name: Name = "admin"
    role: RolesField = (Role.OPERATOR,)

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"token": value} if isinstance(value, str) else value


class Admin(_Section):
    """`hosts` are further names that the private listener answers to, beside loopback's and its own address."""

    tokens: Annotated[tuple[AdminToken, ...], Field(strict=False)] = ()
    hosts: Texts = ()
    tls_certificate: ReadableFile | None = None
    tls_key: ReadableFile | None = None

    @model_validator(mode="after")
    def _both(self) -> Admin:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        return self


class JournalSettings(_Section):
    """`sqlite:///relative/path`, `sqlite:////absolute/path`, or `memory://`, which keeps nothing. `writer`: where
    SQLite is written, in a `process` of its own or in a `thread`. `max_hints`: how many objects of one account may
    wait to be looked up that only hints asked for. `retention_days`: how long bodies, headers and published records
    are kept; 0 for ever.
    """

    url: str = "sqlite:///./paymux.db"
    writer: Literal["process", "thread"] = "process"
    max_hints: int = Field(default=10_000, ge=1, le=10_000_000)
    retention_days: int = Field(default=90, ge=0, le=36_500)

    @model_validator(mode="after")
    def _known(self) -> JournalSettings:
        scheme = self.url.partition("://")[0]
        if scheme in ("postgresql", "postgres"):
            raise ValueError("url: PostgreSQL is not in this release; use sqlite:///path")
        if scheme not in ("sqlite", "memory") or (scheme == "sqlite" and not self.path):
            raise ValueError("url: should be sqlite:///path or memory://")
        return self

    @property
    def path(self) -> str | None:
        """None for the journal in memory."""
        return self.url.removeprefix("sqlite:///") if self.url.startswith("sqlite:///") else None


class Kafka(_Section):
    """`positions`: checkpoint keeps positions in Kafka, in the same transactions; journal is for brokers without them.
    `accept_partitions` and `accept_positions` are an operator's answers to a relay that stopped.
    """

    bootstrap_servers: str = "localhost:9092"
    events_topic: Topic = "payments.events.v1"
    quarantine_topic: Topic = "payments.quarantine.v1"
    checkpoints_topic: Topic = "paymux.checkpoints"
    transactional_id_prefix: str = Field(default="paymux", min_length=1, max_length=100)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretField | None = None
    ssl_cafile: ReadableFile | None = None
    ssl_certfile: ReadableFile | None = None
    ssl_keyfile: ReadableFile | None = None
    ssl_key_password: SecretField | None = None
    insecure: bool = False
    request_timeout: Seconds = 10.0
    positions: Literal["checkpoint", "journal"] = "checkpoint"
    create_topics: bool = True
    events_partitions: int = Field(default=12, ge=1, le=10_000)
    replication_factor: int | None = Field(default=None, ge=1, le=100)
    accept_partitions: int | None = Field(default=None, ge=1, le=10_000)
    accept_positions: Texts = ()

    @model_validator(mode="after")
    def _servers(self) -> Kafka:
        for server in self.bootstrap_servers.split(","):
            try:
                split_address(server.strip())
            except ValueError as error:
                raise ValueError(f"bootstrap_servers: {error}, several parted by commas") from None
        return self


class RelaySettings(_Section):
    """Where the relay runs: `process`, a child of `serve` that reads the journal's file, or `inline`. A journal in
    memory is always relayed inline.
    """

    mode: Literal["inline", "process"] = "process"


class Log(_Section):
    """`auto` is console on a terminal, else json."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class AccountSettings(_Section):
    """One account with a provider. `max_body` in bytes; `rate_limit` and `hint_rate` a second; `reconcile_every`:
    how often its payments are listed by themselves, and what webhooks missed goes out.
    """

    provider: Name
    name: AccountName
    secrets: Secrets = ()
    livemode: bool | None = None
    api_key: SecretField | None = None
    api_url: str | None = None
    public_url: str | None = None
    path_token: SecretField | None = None
    allow_from: Networks = ()
    max_body: int | None = Field(default=None, ge=1024, le=LARGEST_BODY)
    rate_limit: Rate | None = None
    hint_rate: Rate = 100.0
    reconcile_every: Every | None = None
    options: dict[str, OptionText] = {}

    @model_validator(mode="after")
    def _urls(self) -> AccountSettings:
        for name, url in (("api_url", self.api_url), ("public_url", self.public_url)):
            if url is not None and (wrong := _wrong_url(url)):
                raise ValueError(f"{name}: {wrong}")
        if self.api_url is not None and ("?" in self.api_url or "#" in self.api_url):
            raise ValueError("api_url: should be like https://host/path")
        return self


def _wrong_url(url: str) -> str | None:
    """What keeps it from being used. The URL may hold a password, so it is not repeated."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in ("https", "http") or not host:
        return "should be like https://host/path"
    if parts.username is not None or parts.password is not None:
        return "should hold no user or password"
    if parts.scheme == "http" and not is_loopback(host):
        return "plain http is for loopback only; use https"
    return None


class Settings(_Section):
    server: Server = Server()
    admin: Admin = Admin()
    journal: JournalSettings = JournalSettings()
    kafka: Kafka = Kafka()
    relay: RelaySettings = RelaySettings()
    log: Log = Log()
    accounts: Annotated[tuple[AccountSettings, ...], Field(strict=False)] = ()


# Where a key stands, numbers left out -> who knows the keys there.
SECTIONS: Final[Mapping[tuple[str, ...], type[BaseModel]]] = {
    (): Settings,
    ("server",): Server,
    ("admin",): Admin,
    ("admin", "tokens"): AdminToken,
    ("journal",): JournalSettings,
    ("kafka",): Kafka,
    ("relay",): RelaySettings,
    ("log",): Log,
    ("accounts",): AccountSettings,
}
