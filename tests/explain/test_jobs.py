"""How far a job came, and how long it will take: as far as anybody can tell."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from paymux.explain.jobs import job_facts
from paymux.journal.jobs import Job, JobState

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def job(state=JobState.RUNNING, **more):
    return Job(
        id="j", kind="diff", state=state, created_at=NOW, created_by="ops", updated_at=NOW, **{"total": 100, **more}
    )


def test_at_the_speed_so_far():
    """A quarter in ten seconds leaves thirty."""
    told = job_facts(job(done=25, worked=10.0))
    assert (told.progress, told.remaining_seconds) == (0.25, 30.0)


@pytest.mark.parametrize(
    "unknown",
    [
        job(done=0, worked=10.0),
        job(done=25, worked=0.5),
        job(done=25, worked=10.0, total=None),
        job(done=25, worked=10.0, cursor={"accepted": ""}),
        *(job(state, done=25, worked=10.0) for state in JobState if state not in (JobState.RUNNING, JobState.QUEUED)),
    ],
)
def test_what_nobody_can_tell(unknown):
    """Null: at first, while it rests, after its end, and while corrections go out."""
    assert job_facts(unknown).remaining_seconds is None


def test_more_than_was_expected():
    """Never beyond its end, never less than nothing."""
    told = job_facts(job(done=120, worked=10.0))
    assert (told.progress, told.remaining_seconds) == (1.0, 0.0)


def test_nothing_to_do():
    """There is no share of nothing."""
    assert job_facts(job(total=0)).progress is None
