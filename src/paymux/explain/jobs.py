"""How long work goes: how far it came, and how long it will take yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from paymux.journal.jobs import Job, JobState

LEAST_WORKED: Final = 1.0  # seconds; before that nobody knows how fast it is
_GOING: Final = frozenset({JobState.QUEUED, JobState.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """`spec` is what it was asked for. `progress` is from 0 to 1; `remaining_seconds` is judged by its own speed so
    far, null where that says nothing: at first, while it is not going, and while corrections go out.
    """

    id: str
    kind: str
    state: JobState
    created_at: datetime
    created_by: str
    updated_at: datetime
    spec: Mapping[str, Any]
    done: int
    total: int | None
    progress: float | None
    remaining_seconds: float | None
    counts: Mapping[str, int]
    rate: float | None
    error: str | None


def job_facts(job: Job) -> JobFacts:
    return JobFacts(
        id=job.id,
        kind=job.kind,
        state=job.state,
        created_at=job.created_at,
        created_by=job.created_by,
        updated_at=job.updated_at,
        spec=job.spec,
        done=job.done,
        total=job.total,
        progress=min(job.done / job.total, 1.0) if job.total else None,
        remaining_seconds=remaining(job),
        counts=job.counts,
        rate=job.rate,
        error=job.error,
    )


def remaining(job: Job) -> float | None:
    """Seconds of work that are left at the speed of before; None where nobody can tell."""
    is_known = job.state in _GOING and job.worked >= LEAST_WORKED and "accepted" not in job.cursor
    if not is_known or job.total is None or job.done <= 0:
        return None
    return max(job.total - job.done, 0) * job.worked / job.done
