"""Long work as a resource: made, steered, looked at; and what a diff found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from pydantic import Field

from paymux.explain.jobs import JobFacts, job_facts
from paymux.http.api.fields import Digits, Filters, Text, following, sought
from paymux.http.api.routes import API, Answer, Call, Given, Nothing, Route
from paymux.journal.jobs import Change, ChangeGroup, stored_job
from paymux.replay import Action
from paymux.replay.orders import Kind, Order
from paymux.settings.models import Rate, Topic
from paymux.settings.tokens import Role


class JobOrder(Given):
    """What a job is to do, with everything that fits the filters and is there now."""

    kind: Kind
    filters: Filters = Field(default_factory=Filters)
    topic: Topic | None = Field(default=None, description="Where republished events go, instead of the events topic.")
    rate: Rate | None = Field(default=None, description="The most a second.")
    dry_run: bool = Field(default=False, description="Only tell what it would do, as a preview.")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPreview:
    """What would become of how many; nothing was changed."""

    kind: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Newest first."""

    jobs: Sequence[JobFacts]


class NewestJobs(Given):
    limit: Annotated[int, Field(ge=1, le=1000), Digits] = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFacts:
    """One event that today's mapping would say otherwise (`changed`), for the first time (`new`) or not at all
    (`gone`); of a reconcile one payment that is `missed`, `behind`, `unknown` to the provider or `unreadable`, or whose
    `amount` differs. `old` and `new` are JSON objects of the fields that differ, as texts; a long one is cut off.
    """

    event_id: str
    key: str
    delivery: str
    kind: str
    type: str
    provider: str
    account: str
    paths: Sequence[str]
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeGroupFacts:
    """Changes that are alike; `example` is one of them."""

    kind: str
    type: str
    provider: str
    account: str
    paths: Sequence[str]
    count: int
    example: ChangeFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """By event id. `next` is the address of the following page, null at the end."""

    changes: Sequence[ChangeFacts]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeGroups:
    """The largest first."""

    groups: Sequence[ChangeGroupFacts] = field(default=())


class ChangePage(Given):
    limit: Annotated[int, Field(ge=1, le=1000), Digits] = 100
    cursor: Text | None = Field(default=None, description="Of the page before, as its `next` has it.")


# --- making and steering


async def _create(call: Call[Nothing, JobOrder]) -> Answer:
    given = call.body
    order = Order(kind=given.kind, sought=sought(given.filters), topic=given.topic, rate=given.rate)
    return await ordered(call, order, dry_run=given.dry_run)


async def ordered(call: Call[Nothing, Given], order: Order, *, dry_run: bool) -> Answer:
    """The job that was made, or what it would do."""
    if dry_run:
        found = await call.inside.replays.preview(order)
        return Answer(value=JobPreview(kind=found.kind, counts=found.counts))
    job = await call.inside.replays.create(order, call.who.name)
    return Answer(value=job_facts(job), status=201, headers={"Location": f"{API}jobs/{job.id}"})


def _steering(action: Action, summary: str) -> Route:
    async def steer(call: Call[Nothing, None]) -> JobFacts:
        return job_facts(await call.inside.replays.steer(call.path["id"], action, call.who.name))

    return Route(
        method="POST",
        path=f"jobs/{{id}}/{action}",
        role=Role.OPERATOR,
        name=f"{action}Job",
        summary=summary,
        call=steer,
        answers={200: JobFacts},
        problems=("not_stored", "job_state"),
    )


# --- looking


async def _list(call: Call[NewestJobs, None]) -> Jobs:
    found = await call.inside.history.jobs(limit=call.query.limit)
    return Jobs(jobs=[job_facts(job) for job in found])


async def _show(call: Call[Nothing, None]) -> JobFacts:
    return job_facts(await stored_job(call.inside.history, call.path["id"]))


async def _changes(call: Call[ChangePage, None]) -> Changes:
    history, limit = call.inside.history, call.query.limit
    job = await stored_job(history, call.path["id"])
    found = await history.changes(job.id, after=call.query.cursor or "", limit=limit + 1)
    shown, more = found[:limit], found[limit:]
    cursor = shown[-1].event_id if more else None
    return Changes(changes=[_change(each) for each in shown], next=following(call.request, cursor))


async def _groups(call: Call[Nothing, None]) -> ChangeGroups:
    history = call.inside.history
    job = await stored_job(history, call.path["id"])
    return ChangeGroups(groups=[_group(each) for each in await history.change_groups(job.id)])


def _change(change: Change) -> ChangeFacts:
    return ChangeFacts(**{name: getattr(change, name) for name in ChangeFacts.__slots__})


def _group(group: ChangeGroup) -> ChangeGroupFacts:
    return ChangeGroupFacts(
        kind=group.kind,
        type=group.type,
        provider=group.provider,
        account=group.account,
        paths=group.paths,
        count=group.count,
        example=_change(group.example),
    )


ROUTES: Final = (
    Route(
        method="POST",
        path="jobs",
        role=Role.OPERATOR,
        name="createJob",
        summary="Replay: `republish` the stored events again, `retranslate` what is stored with today's mapping, "
        "`diff` what that would say with what was published, or `retry` what is quarantined.",
        call=_create,
        body=JobOrder,
        answers={201: JobFacts, 200: JobPreview},
        problems=("impossible", "job_impossible"),
    ),
    Route(
        method="GET",
        path="jobs",
        role=Role.VIEWER,
        name="listJobs",
        summary="Jobs, newest first.",
        call=_list,
        query=NewestJobs,
        answers={200: Jobs},
    ),
    Route(
        method="GET",
        path="jobs/{id}",
        role=Role.VIEWER,
        name="getJob",
        summary="One job: how far it came, what became of what, and how long it will take yet.",
        call=_show,
        answers={200: JobFacts},
        problems=("not_stored",),
    ),
    _steering("pause", "Pause a job; it keeps its place."),
    _steering("resume", "Let a paused job go on, or one that failed."),
    _steering("cancel", "End a job for good; what it published stays."),
    _steering("accept", "Publish what a diff found, as corrections."),
    Route(
        method="GET",
        path="jobs/{id}/changes",
        role=Role.VIEWER,
        name="listChanges",
        summary="What a diff found, one by one.",
        call=_changes,
        query=ChangePage,
        answers={200: Changes},
        problems=("not_stored",),
    ),
    Route(
        method="GET",
        path="jobs/{id}/changes/groups",
        role=Role.VIEWER,
        name="groupChanges",
        summary="What a diff found, grouped by the change.",
        call=_groups,
        answers={200: ChangeGroups},
        problems=("not_stored",),
    ),
)
