"""What was proven and not understood: looked at, heard again after a fix, or let go of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field

from paymux.explain.jobs import JobFacts
from paymux.http.api.fields import Filters, Text, sought
from paymux.http.api.jobs import JobPreview, ordered
from paymux.http.api.routes import Answer, Call, Given, Nothing, Route
from paymux.journal.history import QuarantineGroup
from paymux.replay.orders import Order
from paymux.settings.models import Rate
from paymux.settings.tokens import Role


class QuarantineFilters(Filters):
    """Of what is quarantined, whether that is said or not."""

    outcome: Literal["quarantined"] | None = None


class Retry(Given):
    filters: QuarantineFilters = Field(default_factory=QuarantineFilters)
    rate: Rate | None = Field(default=None, description="The most a second.")
    dry_run: bool = Field(default=False, description="Only tell what it would do, as a preview.")


class Discard(Given):
    """At least one filter is needed: nobody discards everything by leaving something out."""

    filters: QuarantineFilters
    reason: Text = Field(description="Why; kept with the items, and in the audit trail.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Items that are alike are one group, the largest first."""

    groups: Sequence[QuarantineGroup]


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    discarded: int


async def _list(call: Call[Nothing, None]) -> Quarantine:
    return Quarantine(groups=await call.inside.history.quarantine())


async def _retry(call: Call[Nothing, Retry]) -> Answer:
    given = call.body
    order = Order(kind="retry", sought=sought(given.filters), rate=given.rate)
    return await ordered(call, order, dry_run=given.dry_run)


async def _discard(call: Call[Nothing, Discard]) -> Discarded:
    given = call.body
    count = await call.inside.replays.discard(sought(given.filters), given.reason, call.who.name)
    return Discarded(discarded=count)


ROUTES: Final = (
    Route(
        method="GET",
        path="quarantine",
        role=Role.VIEWER,
        name="listQuarantine",
        summary="What was proven and not understood, grouped.",
        call=_list,
        answers={200: Quarantine},
    ),
    Route(
        method="POST",
        path="quarantine/retry",
        role=Role.OPERATOR,
        name="retryQuarantine",
        summary="Hear it again with today's mapping, as a job.",
        call=_retry,
        body=Retry,
        answers={201: JobFacts, 200: JobPreview},
        problems=("impossible", "job_impossible"),
    ),
    Route(
        method="POST",
        path="quarantine/discard",
        role=Role.OPERATOR,
        name="discardQuarantine",
        summary="Take it out of quarantine, unpublished; how many items that were. Stands in the audit trail.",
        call=_discard,
        body=Discard,
        answers={200: Discarded},
        problems=("impossible", "job_impossible"),
    ),
)
