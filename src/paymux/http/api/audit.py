"""Who did what: every change that an operator made and every view of a raw body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field

from paymux.explain.audit import Verdict, verified
from paymux.http.api.fields import Cursor, Digits, cursor_of, following, row_of
from paymux.http.api.routes import Call, Given, Nothing, Route
from paymux.journal.audit import Audited
from paymux.settings.tokens import Role


class Trail(Given):
    limit: Annotated[int, Field(ge=1, le=1000), Digits] = 100
    cursor: Cursor | None = Field(default=None, description="Of the page before, as its `next` has it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActFacts:
    """`chain` stands for this row and all before it."""

    row: int
    at: datetime
    who: str
    action: str
    target: str
    detail: Mapping[str, Any]
    result: str
    chain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acts:
    """In order. `next` is the address of the following page, null at the end."""

    acts: Sequence[ActFacts]
    next: str | None


async def _list(call: Call[Trail, None]) -> Acts:
    limit = call.query.limit
    found = await call.inside.history.audit(after=row_of(call.query.cursor) or 0, limit=limit + 1)
    shown, more = found[:limit], found[limit:]
    cursor = cursor_of(shown[-1].row) if more else None
    return Acts(acts=[_facts(each) for each in shown], next=following(call.request, cursor))


async def _verify(call: Call[Nothing, None]) -> Verdict:
    return await verified(call.inside.history)


def _facts(each: Audited) -> ActFacts:
    act = each.act
    return ActFacts(
        row=each.row,
        at=each.at,
        who=act.who,
        action=act.action,
        target=act.target,
        detail=act.detail,
        result=act.result,
        chain=each.chain,
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="audit",
        role=Role.VIEWER,
        name="listAudit",
        summary="The audit trail, oldest first.",
        call=_list,
        query=Trail,
        answers={200: Acts},
    ),
    Route(
        method="GET",
        path="audit/verify",
        role=Role.VIEWER,
        name="verifyAudit",
        summary="Whether every row is what was written, and the first one that is not.",
        call=_verify,
        answers={200: Verdict},
    ),
)
