"""The accounts as the public listener needs them: one lookup by the path, everything else worked out before."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from paymux.delivery import Proof
from paymux.http.answers import Answer, unauthorized
from paymux.http.limits import Addresses, Bucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from paymux.http.addresses import Network
    from paymux.provider import Account
    from paymux.settings.accounts import AccountSetup

PREFIX: Final = "/webhooks/"
# All senders of an account's hints together may send this many times what one of them may.
HINT_SENDERS: Final = 10
ABREAST: Final = 64

Limit = TypeVar("Limit", Bucket, Addresses)

_NONE: Final[Mapping[str, Route]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`quota` is the account's; `hints` is that of each address, where its deliveries prove nothing. `turns`: so many
    of its deliveries are under way at once, so that one account's flood does not stand before all others.
    """

    account: Account
    provider: str
    name: str
    path: str
    ack: Answer
    refusal: Answer
    max_body: int
    has_token: bool
    public_url: str | None
    allow_from: tuple[Network, ...]
    quota: Bucket | None
    hints: Addresses | None
    turns: asyncio.Semaphore


def routes(setups: Iterable[AccountSetup], before: Mapping[str, Route] = _NONE) -> dict[str, Route]:
    """Path -> route. Quotas begin full; those of `before` whose rate is the same go on as they are."""
    return {route.path: _going_on(route, before.get(route.path)) for route in map(_route, setups)}


def _route(setup: AccountSetup) -> Route:
    provider, settings = setup.account.provider, setup.settings
    return Route(
        account=setup.account,
        provider=provider.name,
        name=setup.account.name,
        path=f"{PREFIX}{provider.name}/{setup.account.name}",
        ack=Answer(status=provider.ack.status, body=provider.ack.body, content_type=provider.ack.content_type),
        refusal=unauthorized(provider.refusal),
        max_body=setup.max_body,
        has_token=settings.path_token is not None,
        public_url=settings.public_url,
        allow_from=setup.allow_from,
        quota=_quota(setup, time.monotonic()),
        hints=Addresses(settings.hint_rate) if setup.proof is Proof.HINT else None,
        turns=asyncio.Semaphore(ABREAST),
    )


def _going_on(route: Route, before: Route | None) -> Route:
    if before is None:
        return route
    quota, hints = _kept(before.quota, route.quota), _kept(before.hints, route.hints)
    return replace(route, quota=quota, hints=hints, turns=before.turns)


def _kept(before: Limit | None, now: Limit | None) -> Limit | None:
    return before if before is not None and now is not None and before.rate == now.rate else now


def _quota(setup: AccountSetup, now: float) -> Bucket | None:
    if setup.proof is Proof.HINT:
        return Bucket(setup.settings.hint_rate * HINT_SENDERS, now)
    return Bucket(setup.settings.rate_limit, now) if setup.settings.rate_limit is not None else None
