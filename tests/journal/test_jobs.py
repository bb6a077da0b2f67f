"""Jobs, what they found, and who did what: both journals tell them as they were told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from paymux.journal.audit import Act, first_broken
from paymux.journal.jobs import Change, ChangeGroup, Job, JobState
from paymux.journal.memory import MemoryJournal
from paymux.journal.sqlite import SqliteJournal
from paymux.wiring.parts import reading
from tests.journal.tiny import NOON


@pytest.fixture(params=["memory", "sqlite"])
async def both(request, tmp_path):
    """A journal, and its history."""
    memory = request.param == "memory"
    journal = MemoryJournal() if memory else await SqliteJournal.open(tmp_path / "paymux.db")
    history, archive = reading(journal)
    yield journal, history
    await history.close()
    await archive.close()
    await journal.close()


# --- jobs


def job(number, **more):
    values = {"kind": "diff", "state": JobState.QUEUED, "created_at": NOON, "created_by": "ops", "updated_at": NOON}
    return Job(id=f"job-{number}", **{**values, **more})


async def keep(journal, *jobs):
    """And the jobs as they are kept: they changed at the moment of their commit."""

    def decide(unit):
        for each in jobs:
            unit.keep_job(each)
        return [replace(each, updated_at=unit.now) for each in jobs]

    return await journal.change(decide)


async def test_a_job_comes_back_as_it_was(both):
    """Each of its values, and the latest ones; nobody else's."""
    journal, history = both
    whole = job(
        1,
        kind="replay",
        state=JobState.RUNNING,
        created_at=NOON + timedelta(microseconds=7),
        created_by="ops@example",
        spec={"sought": {"account": "acme"}, "limit": None},
        cursor={"after": 7},
        done=3,
        total=9,
        counts={"events": 2, "unchanged": 1},
        rate=12.5,
        worked=1.25,
        error="it broke",
    )
    kept = await keep(journal, whole, job(2))
    assert [await history.job("job-1"), await history.job("job-2")] == kept
    assert await history.job("job-3") is None
    assert await journal.change(lambda unit: unit.job("job-1")) == kept[0]
    assert await journal.change(lambda unit: unit.job("job-3")) is None
    (later,) = await keep(journal, replace(whole, state=JobState.DONE, done=9, error=None))
    assert await history.job("job-1") == later
    assert later.state is JobState.DONE


async def test_jobs_newest_first(both):
    """By when they were made, then by id; no more than asked for."""
    journal, history = both
    await keep(journal, job(1, created_at=NOON + timedelta(hours=1)), job(2), job(3))
    assert [each.id for each in await history.jobs(limit=9)] == ["job-1", "job-3", "job-2"]
    assert [each.id for each in await history.jobs(limit=2)] == ["job-1", "job-3"]


# --- what they found


def change(number, **more):
    values = {
        "job": "job-1",
        "event_id": f"event-{number}",
        "key": "tiny/acme/p1",
        "row": number,
        "delivery": f"delivery-{number}",
        "kind": "changed",
        "type": "payment.succeeded",
        "provider": "tiny",
        "account": "acme",
        "paths": ("data.payment.amount", "data.payment.metadata.order id"),
        "old": '{"a": 1}',
        "new": '{"a": 2}',
    }
    return Change(**{**values, **more})


async def find(journal, *changes):
    await journal.change(lambda unit: unit.changes.found.extend(changes))


async def test_what_a_job_found(both):
    """Each of its values, in the order of the events' ids, page by page; the last word on an event counts."""
    journal, history = both
    found = [change(1), change(2, kind="new", paths=(), old=None), change(3, new=None, type="refund.failed")]
    await find(journal, *reversed(found), change(1, job="job-2"))
    assert list(await history.changes("job-1", after="", limit=9)) == found
    assert list(await history.changes("job-1", after="", limit=2)) == found[:2]
    assert list(await history.changes("job-1", after="event-1", limit=1)) == found[1:2]
    assert list(await history.changes("job-3", after="", limit=9)) == []
    await find(journal, change(2, new="{}"))
    assert list(await history.changes("job-1", after="event-1", limit=1)) == [change(2, new="{}")]


async def test_what_a_job_found_in_groups(both):
    """What is alike in every respect that shows, the largest group first, with its first one as example."""
    journal, history = both
    fields = {"kind": "gone", "type": "refund.failed", "provider": "other", "account": "b", "paths": ("data.x",)}
    alike = [change(number) for number in range(6)]
    others = [change(10 + number, **{name: value}) for number, (name, value) in enumerate(fields.items())]
    await find(journal, *reversed(alike), *others, change(1, job="job-2"))
    first, *rest = await history.change_groups("job-1")
    assert first == ChangeGroup(
        kind="changed",
        type="payment.succeeded",
        provider="tiny",
        account="acme",
        paths=alike[0].paths,
        count=6,
        example=alike[0],
    )
    assert sorted((group.example.event_id, group.count) for group in rest) == [(f"event-{n}", 1) for n in range(10, 15)]
    assert list(await history.change_groups("job-3")) == []


async def test_what_a_job_found_is_forgotten(both):
    """Up to a delivery, and of this job only."""
    journal, history = both
    await find(journal, *(change(number) for number in (1, 2, 3)), change(1, job="job-2"))
    await journal.change(lambda unit: unit.forget_found("job-1", "delivery-3"))
    assert list(await history.changes("job-1", after="", limit=9)) == [change(3)]
    assert list(await history.changes("job-2", after="", limit=9)) == [change(1, job="job-2")]


# --- acts


async def test_who_did_what(both):
    """Each act as it was told, in order, from any row on; the chain goes on from commit to commit."""
    journal, history = both
    acts = [
        Act(who="ops", action="job.start", target="job-1"),
        Act(who="ops@example", action="quarantine.discard", target="x", detail={"b": [1, None], "a": "ü"}, result="no"),
        Act(who="root", action="body.view", target="y"),
    ]
    for each in acts:
        await journal.change(lambda unit, each=each: unit.audit(each))
    trail = list(await history.audit(after=0, limit=9))
    assert [(each.row, each.act) for each in trail] == list(enumerate(acts, 1))
    assert first_broken(trail) is None
    assert trail[0].at <= trail[1].at <= trail[2].at
    assert list(await history.audit(after=1, limit=1)) == trail[1:2]
    assert list(await history.audit(after=3, limit=9)) == []


async def test_an_act_with_a_time_in_its_detail(both):
    """The chain is of what is stored, whatever form the time has there."""
    journal, history = both
    await journal.change(lambda unit: unit.audit(Act(who="ops", action="x", target="y", detail={"z": 1, "at": NOON})))
    assert first_broken(await history.audit(after=0, limit=9)) is None
