"""Long work that outlives a restart: what it is to do, how far it came, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from paymux.errors import NotStored

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from paymux.journal.history import History


RECENT: Final = 200
NEAREST: Final = 3


class JobState(StrEnum):
    """A diff that found changes is `ready` until somebody accepts it."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    READY = "ready"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"


EVERY: Final = frozenset(JobState)
ENDED: Final = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`kind` says who works on it; `spec` is what it was asked for, `cursor` where it goes on, both JSON. `total` is
    how many steps it has in all, as far as that is known, `done` how many are behind it; `counts` says what became of
    them. `rate`: the most a second; None for as many as can be. `worked`: seconds so far.
    """

    id: str
    kind: str
    state: JobState
    created_at: datetime
    created_by: str
    updated_at: datetime
    spec: Mapping[str, Any] = field(default_factory=dict)
    cursor: Mapping[str, Any] = field(default_factory=dict)
    done: int = 0
    total: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    rate: float | None = None
    worked: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a diff found about one event of the delivery in `row`: `kind` is changed, new or gone. `paths` are the
    fields that differ, with what was published and what would be now, both JSON texts.
    """

    job: str
    event_id: str
    key: str
    row: int
    delivery: str
    kind: str
    type: str
    provider: str
    account: str
    paths: tuple[str, ...] = ()
    old: str | None = None
    new: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeGroup:
    """Changes that are alike; `example` is one of them."""

    kind: str
    type: str
    provider: str
    account: str
    paths: tuple[str, ...]
    count: int
    example: Change


async def stored_job(history: History, job_id: str) -> Job:
    """Raises NotStored, naming the nearest; JournalUnavailable."""
    job = await history.job(job_id)
    if job is not None:
        return job
    told, ids = job_id[:100], [each.id for each in await history.jobs(limit=RECENT)]
    beginning = [each for each in ids if told and each.startswith(told)][:NEAREST]
    near = beginning or get_close_matches(told, ids, NEAREST)
    raise NotStored(f"there is no job {told}" + (f"; the nearest are {', '.join(near)}" if near else ""))
