"""What was not accepted: the newest ones, and all that are kept in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from paymux.explain.rejections import RejectionGroup, grouped
from paymux.http.api.fields import Digits
from paymux.http.api.routes import Call, Given, Route
from paymux.journal import RING, Rejection
from paymux.settings.tokens import Role


class NewestRejections(Given):
    limit: Annotated[int, Field(ge=0, le=RING), Digits] = Field(default=100, description="Of `newest`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionFacts:
    """Nothing of it is kept but the body's size and digest; `age` as in the groups."""

    at: datetime
    provider: str
    account: str
    reason: str
    address: str
    size: int
    sha256: str
    age: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejections:
    """`groups`: of the 1000 that are kept, the largest first, with where to look first."""

    groups: Sequence[RejectionGroup]
    newest: Sequence[RejectionFacts]


async def _list(call: Call[NewestRejections, None]) -> Rejections:
    found = await call.inside.journal.rejections(RING)
    return Rejections(groups=grouped(found), newest=[_facts(each) for each in found[: call.query.limit]])


def _facts(rejection: Rejection) -> RejectionFacts:
    return RejectionFacts(**{name: getattr(rejection, name) for name in RejectionFacts.__slots__})


ROUTES: Final = (
    Route(
        method="GET",
        path="rejections",
        role=Role.VIEWER,
        name="listRejections",
        summary="What was not accepted: why, how often, from where.",
        call=_list,
        query=NewestRejections,
        answers={200: Rejections},
    ),
)
