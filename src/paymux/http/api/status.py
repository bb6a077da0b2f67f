"""How it goes, and which accounts there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from paymux.explain.status import AccountFacts, Status
from paymux.http.api.routes import Call, Nothing, Route
from paymux.settings.tokens import Role


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
