"""Working on jobs: step by step, each a commit that also says how far it came."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from paymux.errors import JournalError, JournalUnavailable, NotStored, PaymuxError, Unwritable
from paymux.journal.jobs import Job, JobState
from paymux.telemetry import log_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paymux.journal import Journal
    from paymux.journal.decide import Unit
    from paymux.journal.history import History
    from paymux.journal.jobs import Change

# One step of a job: by how many it counts against the job's rate.
Step = Callable[[Job], Awaitable[int]]

BACKLOG: Final = 2000  # events that wait for Kafka: then jobs wait, too
WAIT_SECONDS: Final = 0.05
MOST: Final = 1000
UNDER_WAY: Final = frozenset({JobState.QUEUED, JobState.RUNNING})


class Lane:
    """The jobs of some kinds: `steps` has the step of each. `backlog` says how many events wait to be published: live
    traffic goes first.
    """

    def __init__(
        self,
        journal: Journal,
        history: History,
        steps: Mapping[str, Step],
        *,
        backlog: Callable[[], Awaitable[int]],
    ) -> None:
        self._journal = journal
        self._history = history
        self._steps = steps
        self._backlog = backlog

    async def waiting(self) -> list[Job]:
        """Those that are to be worked on, the oldest first."""
        under_way = await self._history.jobs(limit=MOST, states=UNDER_WAY)
        found = [job for job in under_way if job.kind in self._steps]
        return sorted(found, key=lambda job: (job.created_at, job.id))

    async def work(self, job: Job) -> Job:
        """Until it ends, is paused, or waits for somebody. Raises JournalUnavailable."""
        while (now := await self._started(job.id)).state is JobState.RUNNING:
            began = time.monotonic()
            await self._room()
            try:
                steps = await self._steps[now.kind](now)
            except Exception as error:
                if (blamed := _blamed(error)) is None:
                    raise
                log_failure("job_failed", blamed, job=job.id)
                await self._failed(now.id, blamed)
                continue
            pause = steps / now.rate - (time.monotonic() - began) if now.rate else 0.0
            await asyncio.sleep(max(pause, 0.0))
        return now

    async def _started(self, job_id: str) -> Job:
        """The job as it is now; one that was queued runs from here on."""

        def decide(unit: Unit) -> Job | None:
            job = unit.job(job_id)
            if job is not None and job.state is JobState.QUEUED:
                job = replace(job, state=JobState.RUNNING)
                unit.keep_job(job)
            return job

        job = await self._history.job(job_id)
        if job is not None and job.state is JobState.QUEUED:
            job = await self._journal.change(decide)
        if job is None:  # Defensive: jobs are not deleted
            raise NotStored(f"there is no job {job_id}")
        return job

    async def _failed(self, job_id: str, error: Exception) -> None:
        told = str(error) if isinstance(error, PaymuxError) else type(error).__name__

        def decide(unit: Unit) -> None:
            job = unit.job(job_id)
            if job is not None and job.state is JobState.RUNNING:
                unit.keep_job(replace(job, state=JobState.FAILED, error=told))

        await self._journal.change(decide)

    async def _room(self) -> None:
        while await self._backlog() > BACKLOG:  # noqa: ASYNC110  # the relay works on it elsewhere
            await asyncio.sleep(WAIT_SECONDS)


def _blamed(error: Exception) -> Exception | None:
    """What fails the job, which must not take the others along; None where the journal is at fault, and the job goes
    on later.
    """
    if isinstance(error, Unwritable) and isinstance(error.__cause__, Exception):
        return None if isinstance(error.__cause__, JournalError) else error.__cause__
    return None if isinstance(error, JournalUnavailable) else error


# --- a step's commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a step brought its job; `into` is its state after the last one."""

    cursor: Mapping[str, Any]
    done: int
    counts: Mapping[str, int]
    into: JobState | None = None
    found: Sequence[Change] = ()


def advance(unit: Unit, job_id: str, progress: Progress) -> None:
    """Part of the step's commit."""
    job = unit.job(job_id)
    if job is None:  # Defensive: jobs are not deleted
        return
    unit.changes.found += progress.found
    unit.keep_job(
        replace(
            job,
            cursor=progress.cursor,
            done=job.done + progress.done,
            counts=dict(Counter(job.counts) + Counter(progress.counts)),
            state=progress.into or job.state,
            worked=job.worked + max((unit.now - job.updated_at).total_seconds(), 0.0),
        )
    )


def is_on(unit: Unit, job: Job) -> bool:
    """Whether it still runs, from where this step began."""
    now = unit.job(job.id)
    return now is not None and now.state is JobState.RUNNING and now.cursor == job.cursor
