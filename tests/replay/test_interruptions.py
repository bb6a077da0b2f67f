"""A journal that fails at any commit of a job, before or after it is durable: the job goes on as if nothing had been."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from paymux.errors import JournalUnavailable
from paymux.journal.jobs import JobState
from paymux.replay import correcting, steps
from tests.journal.tiny import append, batch, payment, says
from tests.replay.houses import TOPIC, WRONG, account, life, opened, paid

TODAY = account(2, odd=payment)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """So that a few deliveries take several commits."""
    monkeypatch.setattr(steps, "STEP", 2)
    monkeypatch.setattr(steps, "HEARD", 1)
    monkeypatch.setattr(steps, "REPEATED", 1)
    monkeypatch.setattr(correcting, "PAGE", 2)


class Failing:
    """A journal's `change` that fails once, at the n-th commit."""

    def __init__(self, journal, at, *, is_durable):
        self.change, self.calls = journal.change, itertools.count()
        self.at, self.is_durable, self.failed = at, is_durable, False
        journal.change = self

    async def __call__(self, decide, entries=()):
        if next(self.calls) != self.at:
            return await self.change(decide, entries)
        self.failed = True
        if self.is_durable:
            await self.change(decide, entries)
        raise JournalUnavailable("the disk is full")


async def furnish(house):
    """Wrong amounts, what is not understood yet, a batch, and a refund that came before its payment."""
    house.account = WRONG
    refund = {"status": "succeeded", "amount": 100}
    for items in (
        [says("refund", "r1", "r1", by="c1", **refund)],
        [paid("e1", "p1", aliases=["c1"]), {**paid("e2", "p2"), "type": "odd"}, paid("e3", "p3")],
        [{**paid("e4", "p4"), "type": "odd"}],
        [paid("e5", "p2", after=5)],
        [says("refund", "r2", "r2", payment="p1", **refund)],
        [{**paid("e6", "p1", after=9), "type": "odd"}],
    ):
        await append(house.journal, batch(*items), WRONG)
    house.account = TODAY


async def done(house, kind):
    job = await house.do(kind)
    return await house.accept(job) if job.state is JobState.READY else job


async def told(house):
    """All records in order; what is quarantined is known by its reason, for its ids follow the deliveries'."""
    return [
        (row.record.event_id, row.record.key)
        if row.record.topic == TOPIC
        else dict(row.record.headers)["paymux_reason"]
        for row in await house.rows()
    ]


async def stubborn(house, work):
    """Go on after each failure, as `run` does."""
    while True:
        try:
            return await work
        except JournalUnavailable:
            (job, *_) = await house.history.jobs(limit=1)
            work = house.replays.work(job) if job.state is not JobState.READY else house.accept(job)


@pytest.mark.parametrize("is_durable", [False, True], ids=["before it is durable", "after it is durable"])
@pytest.mark.parametrize("kind", ["republish", "retranslate", "retry", "diff"])
@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_a_journal_that_fails_at_any_commit(store, kind, is_durable):
    """Whichever it is: the same events go out, once each and numbered without a gap, and the counts are the same."""
    async with opened(store) as house:
        await furnish(house)
        expected = await done(house, kind)
        records = await told(house)
    for at in itertools.count(1):  # the first one makes the job
        async with opened(store) as house:
            await furnish(house)
            failing = Failing(house.journal, at, is_durable=is_durable)
            job = await stubborn(house, done(house, kind))
            if job.state is JobState.READY:
                job = await house.accept(job)
            if not failing.failed:
                assert at > 2  # there were commits to fail at
                return
            assert await told(house) == records
            assert (job.state, job.counts, job.done) == (expected.state, expected.counts, expected.done)
            await assert_gap_free(house)


async def assert_gap_free(house):
    numbers = {}
    for row in await house.rows():
        if row.record.topic == TOPIC and "paymux_replay" not in dict(row.record.headers):
            numbers.setdefault(row.record.key, []).append(int(dict(row.record.headers)["paymux_sequence"]))
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values()), numbers


@pytest.mark.parametrize("kind", ["republish", "retranslate", "retry", "diff"])
@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_webhooks_between_any_two_reads_and_commits(store, kind):
    """Payments that a job works on go on: nothing is doubled, no number is left out, and what came counts."""
    async with opened(store) as house:
        await furnish(house)
        numbers = itertools.count()

        async def meanwhile(*args, **kwargs):
            number = next(numbers)
            if number < 40:
                late = says(
                    "refund",
                    f"late{number}",
                    f"late{number}",
                    payment=f"p{1 + number % 4}",
                    status="succeeded",
                    amount=1,
                )
                await append(house.journal, batch(late), TODAY)

        for place, name in [
            (house.archive, "kept"),
            (house.archive, "about"),
            (house.archive, "records"),
            (house.journal, "change"),
        ]:
            setattr(place, name, _after(getattr(place, name), meanwhile))
        job = await done(house, kind)
        assert job.state is JobState.DONE
        ids = [row.record.event_id for row in await house.rows() if "paymux_replay" not in dict(row.record.headers)]
        assert [each for each, count in Counter(ids).items() if count > 1] == []
        await assert_gap_free(house)
        late = next(numbers)
        assert late > 3
        refunded = {}
        for number in range(min(late, 40)):
            refunded[f"p{1 + number % 4}"] = refunded.get(f"p{1 + number % 4}", 0) + 1
        await append(
            house.journal, batch(says("refund", "last", "last", payment="p3", status="succeeded", amount=1)), TODAY
        )
        assert life((await house.events())[-1])["state"]["refunded"]["minor"] == refunded["p3"] + 1


def _after(call, then):
    async def both(*args, **kwargs):
        found = await call(*args, **kwargs)
        await then()
        return found

    return both
