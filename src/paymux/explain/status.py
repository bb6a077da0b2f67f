"""How it goes, and what is configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalStatus:
    identity: str
    healthy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStatus:
    """The lag is null while the journal cannot be asked."""

    shard: int
    phase: str
    since: datetime | None
    position: int | None
    reason: str | None
    detail: str | None
    lag_events: int | None = None
    lag_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """`in_flight` requests on `connections` of the public listener."""

    version: str
    journal: JournalStatus
    relay: RelayStatus
    workers: Mapping[str, Mapping[str, Any]]
    lookups_waiting: int
    accounts: int
    in_flight: int
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFacts:
    """Where a secret comes from, never what it is."""

    origin: str
    not_after: datetime | None
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """`proof` is the strongest that its deliveries have; `secrets` in the order of their index."""

    provider: str
    name: str
    proof: str
    livemode: bool | None
    has_api_key: bool
    path: str
    secrets: tuple[SecretFacts, ...]
