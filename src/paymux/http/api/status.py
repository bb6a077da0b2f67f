"""How it goes, and which accounts there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from paymux.http.api.routes import Call, Nothing, Route
from paymux.settings.tokens import Role


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    accounts: Sequence[AccountFacts]


async def _status(call: Call[Nothing, None]) -> Status:
    return await call.inside.status()


async def _accounts(call: Call[Nothing, None]) -> Accounts:
    return Accounts(accounts=call.inside.accounts())


ROUTES: Final = (
    Route(
        method="GET",
        path="status",
        role=Role.VIEWER,
        name="getStatus",
        summary="How it goes: journal, relay, workers.",
        call=_status,
        answers={200: Status},
    ),
    Route(
        method="GET",
        path="accounts",
        role=Role.VIEWER,
        name="listAccounts",
        summary="Each account: how it is proven, where its secrets come from and until when, its path; never a secret.",
        call=_accounts,
        answers={200: Accounts},
    ),
)
