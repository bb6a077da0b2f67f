"""Reconciling by itself: when, what is asked for, and that nothing between two runs is missed."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from paymux.journal.jobs import Job, JobState
from paymux.reconcile.orders import order_of
from paymux.reconcile.schedule import OVERLAP, REACH, due_at, following, standing_id
from tests.reconcile.world import HOUR, NOW

NAME = ("flowlix", "acme")
QUARTER = timedelta(minutes=15)


def ran(order, at, state=JobState.DONE, **cursor):
    return Job(
        id=standing_id(NAME),
        kind="reconcile",
        state=state,
        created_at=at,
        created_by="schedule",
        updated_at=at,
        spec={**order.spec(), "first": 0, "end": 0},
        cursor=cursor,
    )


def test_the_first_run_looks_at_everything():
    """As far back as a payment may still move."""
    order = following(None, NAME, NOW)
    assert (order.since, order.until, order.fixes, order.only_open) == (NOW - REACH, NOW, True, True)


def test_each_run_begins_before_the_end_of_the_last():
    """However long it is since, no moment is left out."""
    for later in (QUARTER, 3 * HOUR, 20 * HOUR):
        before = following(None, NAME, NOW)
        order = following(ran(before, NOW), NAME, NOW + later)
        assert order.since == before.until - OVERLAP < before.until - 6 * HOUR  # Flowglad gives a payment up then
        assert order.until == NOW + later


def test_once_a_day_everything_is_looked_at():
    """Late retries, cancellations and refunds are of payments made long before."""
    order, at, whole = following(None, NAME, NOW), NOW, 0
    for _ in range(3 * 96):
        at += QUARTER
        order = following(ran(order, at - QUARTER, kept={"cursor": "c"}), NAME, at)
        assert (order.start is None) is (order.whole_at == at)
        whole += order.whole_at == at
    assert whole == 3


def test_nothing_ran_for_long():
    """It goes on from the end of the last run, however far back a whole run looks otherwise."""
    before = following(None, NAME, NOW)
    later = NOW + REACH + timedelta(days=10)
    assert following(ran(before, NOW), NAME, later).since == before.until


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELED])
def test_a_run_that_did_not_end_well_is_asked_again(state):
    """From where it began, until now: what it did not reach is not lost."""
    first = following(None, NAME, NOW)
    second = following(ran(first, NOW, kept={"cursor": "c"}), NAME, NOW + QUARTER)
    third = following(ran(second, NOW + QUARTER, state), NAME, NOW + 3 * HOUR)
    assert (third.since, third.until, third.start) == (second.since, NOW + 3 * HOUR, None)


def test_runs_are_spread():
    """Around the time that was asked for, never the same for all accounts, and the same whoever asks."""
    jobs = [ran(following(None, NAME, NOW), NOW + number * HOUR) for number in range(200)]
    waits = [(due_at(job, QUARTER) - job.created_at) / QUARTER for job in jobs]
    assert min(waits) >= 0.9
    assert max(waits) <= 1.1
    assert max(waits) - min(waits) > 0.15
    assert [due_at(job, QUARTER) for job in jobs] == [due_at(job, QUARTER) for job in jobs]


def test_an_order_comes_back_from_its_job():
    """All that a job must know of it is in its spec."""
    order = replace(following(None, NAME, NOW), start={"cursor": "x"})
    assert order_of(ran(order, NOW)) == order


# --- running


async def one_run(world):
    """Until the standing job has ended once more."""
    job_id = standing_id(NAME)
    before = await world.history.job(job_id)
    async with world.running(10):
        while True:
            job = await world.history.job(job_id)
            is_new = job is not None and (before is None or job.created_at != before.created_at)
            if is_new and job.state in (JobState.DONE, JobState.FAILED):
                return job
            await asyncio.sleep(0.01)


async def test_what_webhooks_never_tell_is_healed(world):
    """Run after run, each difference goes out once; what a run told is in the job's counts."""
    world.account("flowlix")
    world.every[NAME] = QUARTER
    first = world.put("flowlix", at=world.now - HOUR)
    assert (await one_run(world)).counts["missed"] == 1
    world.now += 2 * QUARTER
    second = world.put("flowlix", at=world.now - QUARTER)
    assert (await one_run(world)).counts["missed"] == 1
    world.now += 2 * QUARTER
    assert "missed" not in (await one_run(world)).counts
    assert [payment for payment, _ in itertools.groupby(await world.events(), lambda event: event[1])] == [
        first,
        second,
    ]
    assert len(await world.history.jobs(limit=10)) == 1
    assert len(await world.found(await world.history.job(standing_id(NAME)))) == 2


async def test_what_was_found_is_told_for_a_while(world):
    """What was put right stays for thirty days, with its delivery; what differs is told as long as it does. So the
    standing job's findings do not grow for ever.
    """
    world.account("flowlix")
    world.every[NAME] = QUARTER
    missed = world.put("flowlix", at=world.now - HOUR)
    thing = world.made("flowlix", at=world.now - HOUR)
    differs = await world.hear("flowlix", {**thing, "amount": thing["amount"] + 1})
    world.sandbox.put("flowlix", thing)
    ordered = await world.reconcile("flowlix")
    job, told = await one_run(world), {}
    for day in range(33):
        told[day] = await world.found(job)
        if not day:
            by = {change.key.split("/")[-1]: change.delivery for change in await changes(world, job)}
            world.sandbox.put("flowlix", {**thing, "amount": thing["amount"] + 1})
        world.now += timedelta(days=1)
        job = await one_run(world)
    assert told[0] == sorted([("missed", missed), ("amount", differs)])
    assert (await world.history.delivery(by[missed])).via == "reconcile"
    assert by[differs] == ""
    assert told[1] == told[29] == [("missed", missed)]
    assert told[32] == []
    assert len(await world.found(ordered)) == 2  # what somebody ordered is theirs


async def changes(world, job):
    return await world.history.changes(job.id, after="", limit=100)


async def test_before_its_time_nothing_is_asked(world):
    """A restart is no reason to ask again."""
    world.account("flowlix")
    world.every[NAME] = HOUR
    await one_run(world)
    count = world.sandbox.count("flowlix")
    world.now += timedelta(minutes=30)
    task = asyncio.create_task(world.reconciles.run())
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.sandbox.count("flowlix") == count


async def test_a_run_that_failed_is_made_good(world):
    """The provider was away for a whole run: the next one has what happened meanwhile."""
    world.account("flowlix")
    world.every[NAME] = QUARTER
    await one_run(world)
    world.now += 40 * HOUR
    missed = world.put("flowlix", at=world.now - HOUR)
    world.sandbox.fail("flowlix", 500, times=2)
    assert (await one_run(world)).state is JobState.FAILED
    world.now += QUARTER * 2
    assert (await one_run(world)).state is JobState.DONE
    assert {payment for _, payment, _ in await world.events()} == {missed}


async def test_the_place_in_a_list_without_times_is_kept(world):
    """Flowglad's list begins with the oldest: the quick runs leave out the pages where all is older than they ask."""
    name = ("flowglad", "acme")
    world.account("flowglad")
    numbers = itertools.count()
    for _ in range(250):
        thing = world.made("flowglad", at=world.now - 90 * 24 * HOUR)
        world.sandbox.put("flowglad", {**thing, "id": f"pym_old{next(numbers):018d}"})
    new = world.put("flowglad", at=world.now - HOUR)
    requests = []
    for _ in range(3):
        before = world.sandbox.count("flowglad")
        job = await world.reconciles._job(
            following(await world.history.job(standing_id(name)), name, world.now), standing_id(name), "schedule"
        )
        await world.journal.change(lambda unit, job=job: unit.keep_job(job))
        assert (await world.reconciles.work(job)).state is JobState.DONE
        requests.append(world.sandbox.count("flowglad") - before)
        world.now += QUARTER
    assert requests == [3 + 1, 1, 1]  # pages, and the one payment that differs by itself
    (found,) = await changes(world, job)
    assert (await world.history.delivery(found.delivery)).via == "reconcile"
    assert [payment for _, payment, _ in await world.events()] == [new]


async def test_an_account_without_an_api_is_passed_over(world):
    """Its schedule harms nobody else's."""
    world.account("paypal")
    world.account("flowlix")
    world.every = {("paypal", "acme"): QUARTER, NAME: QUARTER}
    world.reconciles._schedule = lambda: world.every
    assert (await one_run(world)).state is JobState.DONE
