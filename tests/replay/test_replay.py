"""Jobs over stored deliveries, on both journals: what goes out, what does not, and what is counted."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from paymux.canonical import EVENT
from paymux.errors import JobRefused, JournalUnavailable, NotStored
from paymux.journal.audit import first_broken
from paymux.journal.history import Sought
from paymux.journal.jobs import JobState
from paymux.journal.memory import MemoryJournal
from paymux.journal.memory_archive import MemoryArchive
from paymux.journal.memory_history import MemoryHistory
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.archive import SqliteArchive
from paymux.journal.sqlite.history import SqliteHistory
from paymux.money import Money
from paymux.provider import Account
from paymux.records import correction_id
from paymux.replay import Replays
from paymux.replay.orders import Order
from paymux.replay.steps import Means
from tests.journal.tiny import ACCOUNT, NOON, TINY, append, batch, payment, put, refund, says

TOPIC = "payments.events.v1"


def doubled(body, head):
    """The mapping with a bug: every amount twice."""
    (right,) = payment(body, head)
    amount = right.block.amount
    wrong = Money(amount.minor * 2, amount.currency, amount.exponent) if amount else None
    return (replace(right, block=replace(right.block, amount=wrong)),)


def account(mapping, **events):
    provider = replace(TINY, mapping=mapping, events={**TINY.events, **events})
    return Account(provider=provider, name="acme", checks=ACCOUNT.checks)


WRONG = account(1, payment=doubled)
RIGHT = account(2)


class House:
    """A journal, what reads it, and the jobs over it; `account` is what today's mapping is."""

    def __init__(self, journal, archive, history):
        self.journal, self.archive, self.history = journal, archive, history
        self.account = ACCOUNT
        ids = itertools.count(1)
        means = Means(journal=journal, archive=archive, topic=TOPIC, accounts=lambda: {("tiny", "acme"): self.account})
        self.waiting = 0
        self.replays = Replays(
            means,
            history,
            clock=lambda: NOON,
            new_id=lambda: f"job-{next(ids)}",
            backlog=self.backlog,
        )

    async def backlog(self):
        return self.waiting

    async def do(self, kind, sought=None, **more):
        """Make a job and work on it."""
        job = await self.replays.create(Order(kind=kind, sought=sought or Sought(), **more), "ops")
        return await self.replays.work(job)

    async def accept(self, job):
        return await self.replays.work(await self.replays.steer(job.id, "accept", "ops"))

    async def events(self, after=0):
        rows = await self.journal.read(0, after, 1000)
        return [json.loads(row.record.value) for row in rows if row.record.topic == TOPIC]

    async def rows(self, after=0):
        return await self.journal.read(0, after, 1000)


@pytest.fixture(params=["memory", "sqlite"])
async def house(request, tmp_path):
    if request.param == "memory":
        journal = MemoryJournal()
        made = House(journal, MemoryArchive(journal), MemoryHistory(journal))
    else:
        path = tmp_path / "paymux.db"
        journal = await SqliteJournal.open(path)
        made = House(journal, SqliteArchive(path), SqliteHistory(path))
    yield made
    await made.archive.close()
    await made.history.close()
    await journal.close()


def paid(key, object_id="p1", **fields):
    return says("payment", key, object_id, **{"status": "succeeded", "amount": 4999, **fields})


def life(event):
    return event["data"]["lifecycle"]


# --- republish


async def test_stored_events_are_published_again(house):
    """Under their own ids and keys, in order, marked by a header; quarantine records are not."""
    await put(house.journal, paid("e1"), says("no such type", "e2"))
    await put(house.journal, says("refund", "e3", "r1", payment="p1", status="succeeded", amount=100))
    before = await house.rows()

    job = await house.do("republish", topic="elsewhere")

    again = (await house.rows())[len(before) :]
    originals = [row.record for row in before if row.record.topic == TOPIC]
    assert [(row.record.event_id, row.record.key) for row in again] == [(one.event_id, one.key) for one in originals]
    assert {row.record.topic for row in again} == {"elsewhere"}
    assert all(dict(row.record.headers)["paymux_replay"] == b"job-1" for row in again)
    for one, other in zip(originals, again, strict=True):
        event, repeated = json.loads(one.value), json.loads(other.record.value)
        assert repeated["data"]["origin"].pop("replay_id") == "job-1"
        del event["data"]["origin"]["replay_id"]
        assert repeated == event
    assert (job.state, job.counts) == (JobState.DONE, {"events": 2})


async def test_what_is_republished_is_not_republished_again(house):
    """A second job sends the same events once, not twice."""
    await put(house.journal, paid("e1"))
    await house.do("republish")
    job = await house.do("republish")
    assert job.counts == {"events": 1}
    assert len(await house.rows()) == 3


async def test_only_what_fits_is_republished(house):
    """By payment, type and time of receipt."""
    for number in range(6):
        await put(house.journal, paid(f"e{number}", f"p{number % 2}"))
    assert (await house.do("republish", Sought(payment="tiny/acme/p1"))).counts == {"events": 3}
    first = await house.history.delivery((await house.events())[3]["data"]["origin"]["delivery_id"])
    assert (await house.do("republish", Sought(since=first.received_at))).counts == {"events": 3}
    assert (await house.do("republish", Sought(event_type="refund"))).counts == {}


async def test_many_are_republished_in_steps(house):
    """More than one commit takes, each event once."""
    for number in range(0, 450, 10):
        await put(house.journal, *(paid(f"e{each}", f"p{each}") for each in range(number, number + 10)))
    job = await house.do("republish")
    again = (await house.rows(450))[:450]
    assert len({row.record.event_id for row in again}) == len(again) == 450
    assert (job.done, job.total, job.counts) == (450, 450, {"events": 450})


# --- retranslate and retry


async def test_nothing_new_with_the_same_mapping(house):
    """Everything is unchanged, and nothing is published."""
    await put(house.journal, paid("e1"), says("refund", "e2", "r1", payment="p1", status="succeeded", amount=100))
    await put(house.journal, paid("e1"))
    before = await house.rows()
    job = await house.do("retranslate")
    assert await house.rows() == before
    assert (job.state, job.counts["unchanged"]) == (JobState.DONE, 3)


async def test_what_was_quarantined_is_understood_now(house):
    """The retry publishes it under its ordinary id, numbered on, and it is no longer in quarantine."""
    await put(house.journal, says("payout", "e1", "po1", status="paid"), paid("e2"))
    house.account = account(1, odd=payment)
    odd = batch({**paid("e3", after=5, amount=5000), "type": "odd"})
    await append(house.journal, odd)
    assert [group.count for group in await house.history.quarantine()] == [1]

    job = await house.do("retry")

    (event,) = [one for one in await house.events() if one["data"]["origin"]["event_key"] == "e3"]
    assert (life(event)["sequence"], life(event)["transition"]) == (2, "repeated")
    assert event["data"]["origin"]["replay_id"] == job.id
    assert event["data"]["origin"]["delivery_id"] == odd.delivery.id
    assert job.counts == {"deliveries": 1, "events": 1}
    assert list(await house.history.quarantine()) == []
    EVENT.validate_python(event)
    again = await house.do("retry")
    assert again.counts == {}
    late = await append(house.journal, batch({**paid("e3", after=5, amount=5000), "type": "odd"}), house.account)
    assert late[0].result == "duplicate"


async def test_what_is_still_not_understood_stays(house):
    """No second quarantine record under the same reason; one where the reason is another."""
    await put(house.journal, says("no such type", "e1"))
    before = await house.rows()
    assert (await house.do("retry")).counts == {"deliveries": 1, "unchanged": 1}
    assert await house.rows() == before

    def broken(body, _head):
        raise body.untamed("a better body")

    house.account = account(2, **{"no such type": broken})
    assert (await house.do("retry")).counts == {"deliveries": 1, "quarantined": 1}
    (group,) = await house.history.quarantine()
    assert (group.reason, group.count) == ("shape", 1)
    first, second = (row.record for row in await house.rows())
    assert first.event_id != second.event_id
    assert first.key == second.key


async def test_a_retry_that_came_meanwhile_as_a_webhook(house):
    """The provider sent it again after the fix: the retry publishes nothing twice."""
    late = {**paid("e1"), "type": "odd"}
    await append(house.journal, batch(late))
    house.account = account(2, odd=payment)
    await append(house.journal, batch({**late, "note": "again"}), house.account)
    before = await house.rows()
    job = await house.do("retry")
    ids = [row.record.event_id for row in await house.rows()]
    assert len(set(ids)) == len(ids)
    assert len(ids) - len(before) == job.counts.get("events", 0)
    assert list(await house.history.quarantine()) == []


async def test_what_was_ignored_may_speak_now(house):
    """A mapping that translates more publishes what the old one passed over."""
    await put(house.journal, {**paid("e1"), "type": "ping"})
    provider = replace(TINY, ignored=frozenset(), events={**TINY.events, "ping": payment})
    house.account = Account(provider=provider, name="acme", checks=ACCOUNT.checks)
    assert (await house.do("retranslate")).counts == {"deliveries": 1, "events": 1}
    assert [one["type"] for one in await house.events()] == ["payment.succeeded"]


async def test_one_item_of_a_batch_is_understood_now(house):
    """The other ones stay as they are, and all keep their places."""
    await put(house.journal, paid("e1", "p1"), {**paid("e2", "p2"), "type": "odd"}, paid("e3", "p3"))
    house.account = account(2, odd=payment)
    assert (await house.do("retranslate")).counts == {"deliveries": 1, "events": 1, "unchanged": 2}
    assert (await house.do("retranslate")).counts == {"deliveries": 1, "unchanged": 3}
    assert [one["subject"] for one in await house.events()] == ["p1", "p3", "p2"]


async def test_bodies_that_are_gone(house):
    """They are counted, and the job goes on."""
    await put(house.journal, paid("e1"))
    await house.journal.advance(0, 1)
    await house.journal.expire(NOON + timedelta(days=9), 100)
    await put(house.journal, paid("e2"))
    assert (await house.do("retranslate")).counts == {"deliveries": 2, "body_gone": 1, "unchanged": 1}


async def test_an_account_that_is_not_configured_any_more(house):
    """Its deliveries are counted, too."""
    await put(house.journal, paid("e1"))
    house.account = None
    house.replays._means = replace(house.replays._means, accounts=dict)
    assert (await house.do("retranslate")).counts == {"deliveries": 1, "account_gone": 1}


# --- diff and corrections


async def test_the_same_mapping_differs_in_nothing(house):
    """Whatever was heard, in whatever order: no change, and nothing to accept."""
    await put(house.journal, says("refund", "e1", "r1", by="c1", status="succeeded", amount=100))
    await put(house.journal, paid("e3", after=9, refunded=300), paid("e2", after=3, refunded=200))
    await put(house.journal, paid("e4", aliases=["c1"], after=1))
    await put(house.journal, says("refund", "e5", "r1", by="c1", status="failed", after=30))
    await put(house.journal, says("dispute", "e6", "d1", payment="p1", status="lost", fact="funds_withdrawn"))
    await put(house.journal, says("payout", "e7", "po", status="paid"))
    before = await house.rows()

    job = await house.do("diff")

    assert list(await house.history.changes(job.id, after="", limit=100)) == []
    assert (job.state, job.counts["payments"]) == (JobState.DONE, 2)
    assert await house.rows() == before


async def test_wrong_amounts_are_found_and_corrected(house):
    """Nothing goes out before the diff is accepted; then a correction for each event, with the state made new."""
    await append(house.journal, batch(paid("e1", amount=4999)), WRONG)
    await append(house.journal, batch(says("refund", "e2", "r1", payment="p1", status="succeeded", amount=4999)), WRONG)
    house.account = RIGHT
    before = await house.rows()

    job = await house.do("diff")

    assert (job.state, job.counts["changed"], await house.rows()) == (JobState.READY, 1, before)
    (group,) = await house.history.change_groups(job.id)
    assert (group.kind, group.count, group.paths) == ("changed", 1, ("/payment/amount",))
    assert json.loads(group.example.old) == {"/payment/amount": {"minor": 9998, "currency": "EUR", "exponent": 2}}
    assert json.loads(group.example.new) == {"/payment/amount": {"minor": 4999, "currency": "EUR", "exponent": 2}}
    wrong, _ = await house.events()
    assert life(wrong)["state"]["refund_state"] == "none"

    done = await house.accept(job)

    (right,) = (await house.events())[2:]
    assert right["id"] == correction_id(wrong["id"], "tiny/2")
    assert right["type"] == "payment.succeeded"
    assert right["data"]["payment"]["amount"]["minor"] == 4999
    assert (life(right)["transition"], life(right)["sequence"]) == ("corrected", 3)
    assert life(right)["state"]["refund_state"] == "full"
    assert right["data"]["origin"] == {
        **wrong["data"]["origin"],
        "mapping": "tiny/2",
        "corrects": wrong["id"],
        "replay_id": job.id,
    }
    EVENT.validate_python(right)
    assert (done.state, done.counts["published"]) == (JobState.DONE, 1)


async def test_what_is_corrected_is_known(house):
    """A second diff finds nothing, a second correction is compared with the first, and live events go on from it."""
    await append(house.journal, batch(paid("e1", amount=4999)), WRONG)
    house.account = RIGHT
    await house.accept(await house.do("diff"))
    assert (await house.do("diff")).state is JobState.DONE

    await append(house.journal, batch(says("refund", "e2", "r1", payment="p1", status="succeeded", amount=999)), RIGHT)
    assert life((await house.events())[-1])["state"]["amount"]["minor"] == 4999
    assert life((await house.events())[-1])["sequence"] == 3

    house.account = account(3, payment=doubled)
    job = await house.do("diff")
    await house.accept(job)
    original, _, _, third = await house.events()
    assert third["id"] == correction_id(original["id"], "tiny/3")
    assert third["data"]["origin"]["corrects"] == original["id"]
    assert third["data"]["payment"]["amount"]["minor"] == 9998


async def test_an_event_that_only_the_new_mapping_makes(house):
    """It has its ordinary id, and its number follows."""

    def silent(body, head):
        return tuple(replace(one, facts=()) for one in payment(body, head))

    await append(house.journal, batch(paid("e1", refunded=4999)), account(1, payment=silent))
    house.account = RIGHT
    job = await house.do("diff")
    assert [(change.kind, change.type) for change in await house.history.changes(job.id, after="", limit=9)] == [
        ("new", "payment.refunded")
    ]
    await house.accept(job)
    _, second = await house.events()
    assert (second["type"], life(second)["sequence"]) == ("payment.refunded", 2)
    assert second["data"]["origin"]["corrects"] is None
    assert (await house.do("retranslate")).counts == {"deliveries": 1, "unchanged": 1}


async def test_an_event_that_the_new_mapping_no_longer_makes(house):
    """It is listed, and nothing is published for it."""
    await put(house.journal, paid("e1", refunded=4999))

    def silent(body, head):
        return tuple(replace(one, facts=()) for one in payment(body, head))

    house.account = account(2, payment=silent)
    job = await house.do("diff")
    assert [(change.kind, change.type) for change in await house.history.changes(job.id, after="", limit=9)] == [
        ("gone", "payment.refunded")
    ]
    before = await house.rows()
    done = await house.accept(job)
    assert await house.rows() == before
    assert (done.state, done.counts.get("published", 0)) == (JobState.DONE, 0)


async def test_what_was_quarantined_is_part_of_a_diff(house):
    """What the mapping understands now is new: accepted, it goes down the line, and what it changes is corrected."""
    await put(house.journal, {**paid("e1", "p1"), "type": "odd"}, paid("e2", "p2"))
    house.account = account(2, odd=payment)
    job = await house.do("diff")
    assert job.counts["new"] == 1
    done = await house.accept(job)
    assert [one["subject"] for one in await house.events()] == ["p2", "p1"]
    assert done.state is JobState.DONE
    assert list(await house.history.quarantine()) == []
    assert (await house.do("diff")).state is JobState.DONE


async def test_a_refund_that_was_published_under_its_own_key(house):
    """Its correction keeps that key, and its payment's state is told with it."""

    def tenfold(body, head):
        (right,) = refund(body, head)
        amount = right.block.amount
        return (replace(right, block=replace(right.block, amount=replace(amount, minor=amount.minor * 10))),)

    wrong = account(1, refund=tenfold)
    await append(house.journal, batch(says("refund", "e1", "r1", by="c1", status="succeeded", amount=100)), wrong)
    await append(house.journal, batch(paid("e2", aliases=["c1"])), wrong)
    house.account = RIGHT
    await house.accept(await house.do("diff"))
    right = (await house.rows())[-1].record
    event = json.loads(right.value)
    assert (right.key, event["data"]["refund"]["amount"]["minor"]) == (b"tiny/acme/r1", 100)
    assert event["data"]["payment_id"] is None
    payment_now = await house.history.payment("tiny/acme/p1")
    assert (await house.archive.known(["tiny/acme/p1"]))["tiny/acme/p1"] == payment_now.known
    await append(house.journal, batch(says("refund", "e9", "r2", payment="p1", status="succeeded", amount=1)), RIGHT)
    assert life((await house.events())[-1])["state"]["refunded"]["minor"] == 101


async def test_something_is_heard_while_a_diff_is_accepted(house):
    """The correction is made with what came meanwhile, and takes nothing away from it."""
    await append(house.journal, batch(paid("e1", amount=4999)), WRONG)
    house.account = RIGHT
    job = await house.do("diff")
    stories, told = house.archive.stories, []

    async def late(rows):
        found = await stories(rows)
        if not told and len(found) == 1:
            told.append(True)
            late_one = says("refund", "e2", "r1", payment="p1", status="succeeded", amount=100)
            await append(house.journal, batch(late_one), RIGHT)
        return found

    house.archive.stories = late
    await house.accept(job)
    right = (await house.events())[-1]
    assert (life(right)["transition"], life(right)["sequence"]) == ("corrected", 3)
    assert life(right)["state"]["refunded"]["minor"] == 100


async def test_many_payments_are_corrected_in_steps(house):
    """Each once, whatever the steps."""
    for number in range(0, 460, 20):
        await append(
            house.journal, batch(*(paid(f"e{each}", f"p{each}") for each in range(number, number + 20))), WRONG
        )
    house.account = RIGHT
    job = await house.accept(await house.do("diff"))
    corrections = [one for one in await house.events(460) if life(one)["transition"] == "corrected"]
    assert len(corrections) == len({one["id"] for one in corrections}) == job.counts["published"] == 460
    assert {life(one)["sequence"] for one in corrections} == {2}


# --- steering


async def test_a_job_is_paused_resumed_and_canceled(house):
    """Paused it does nothing, resumed it ends, ended it cannot be steered; each is in the audit trail."""
    await put(house.journal, paid("e1"))
    job = await house.replays.create(Order(kind="republish", sought=Sought()), "ops")
    await house.replays.steer(job.id, "pause", "ann")
    assert (await house.replays.work(job)).state is JobState.PAUSED
    assert len(await house.rows()) == 1
    resumed = await house.replays.steer(job.id, "resume", "ann")
    assert (await house.replays.work(resumed)).state is JobState.DONE
    with pytest.raises(JobRefused, match="is done"):
        await house.replays.steer(job.id, "cancel", "ann")
    with pytest.raises(NotStored):
        await house.replays.steer("job-99", "cancel", "ann")
    audit = await house.history.audit(after=0, limit=10)
    assert [(each.act.who, each.act.action) for each in audit] == [
        ("ops", "job.republish"),
        ("ann", "job.pause"),
        ("ann", "job.resume"),
    ]
    assert first_broken(audit) is None


async def test_a_job_that_is_canceled_in_the_middle(house):
    """What is under way changes nothing any more."""
    await put(house.journal, paid("e1"))
    job = await house.replays.create(Order(kind="republish", sought=Sought()), "ops")
    records = house.archive.records

    async def canceling(*args, **kwargs):
        await house.replays.steer(job.id, "cancel", "ops")
        return await records(*args, **kwargs)

    house.archive.records = canceling
    assert (await house.replays.work(job)).state is JobState.CANCELED
    assert len(await house.rows()) == 1


async def test_a_journal_that_fails_in_the_middle(house):
    """The job is where its last commit left it, and goes on from there without a double."""
    for number in range(0, 450, 10):
        await put(house.journal, *(paid(f"e{each}", f"p{each}") for each in range(number, number + 10)))
    job = await house.replays.create(Order(kind="republish", sought=Sought()), "ops")
    change, calls = house.journal.change, itertools.count()

    async def failing(decide, entries=()):
        if next(calls) == 3:
            raise JournalUnavailable("the disk is full")
        return await change(decide, entries)

    house.journal.change = failing
    with pytest.raises(JournalUnavailable):
        await house.replays.work(job)
    assert (await house.history.job(job.id)).state is JobState.RUNNING
    await house.replays.work(job)
    again = await house.rows(450)
    assert len({row.record.event_id for row in again}) == len(again) == 450


async def test_a_job_that_breaks(house):
    """It fails with a word of why, and the next one is worked on."""
    await put(house.journal, paid("e1"))
    job = await house.replays.create(Order(kind="republish", sought=Sought()), "ops")

    async def broken(*args, **kwargs):
        raise ValueError("some content")

    records, house.archive.records = house.archive.records, broken
    failed = await house.replays.work(job)
    assert (failed.state, failed.error) == (JobState.FAILED, "ValueError")
    house.archive.records = records
    assert (await house.do("republish")).state is JobState.DONE


@pytest.mark.parametrize(
    "order",
    [
        Order(kind="teleport", sought=Sought()),
        Order(kind="diff", sought=Sought(), topic="x"),
        Order(kind="diff", sought=Sought(since=NOON, until=NOON)),
        Order(kind="republish", sought=Sought(), rate=0),
        Order(kind="retry", sought=Sought(outcome="events")),
    ],
    ids=["no such kind", "topic of a diff", "no time between", "no rate", "retry of events"],
)
async def test_an_order_that_cannot_be(house, order):
    """It is refused with what is wrong, and nothing is kept."""
    with pytest.raises(JobRefused) as caught:
        await house.replays.create(order, "ops")
    assert caught.value.reason == "job_impossible"
    assert list(await house.history.jobs(limit=9)) == []


async def test_what_an_order_would_do(house):
    """Counted beforehand, without a change."""
    await put(house.journal, paid("e1"), {**paid("e2", "p2"), "type": "odd"})
    house.account = account(2, odd=payment)
    before = await house.rows()
    order = Order(kind="retranslate", sought=Sought())
    assert dict((await house.replays.preview(order)).counts) == {
        "deliveries": 1,
        "events to events": 1,
        "quarantined to events": 1,
    }
    assert dict((await house.replays.preview(Order(kind="republish", sought=Sought()))).counts) == {"events": 1}
    assert await house.rows() == before
    assert list(await house.history.jobs(limit=9)) == []


async def test_discarding(house):
    """What an operator gives up leaves quarantine with a reason, is audited, and no retry brings it back."""
    await put(house.journal, {**paid("e1"), "type": "odd"}, says("odd too", "e2"))
    with pytest.raises(JobRefused, match="say why"):
        await house.replays.discard(Sought(event_type="odd"), " ", "ops")
    with pytest.raises(JobRefused, match="say which"):
        await house.replays.discard(Sought(outcome="quarantined"), "all of it", "ops")
    assert await house.replays.discard(Sought(event_type="odd"), "a test of theirs", "ops") == 2
    assert list(await house.history.quarantine()) == []
    house.account = account(2, odd=payment)
    assert (await house.do("retry")).counts == {}
    assert (await house.do("retranslate")).counts == {"deliveries": 1, "unchanged": 2}
    (found,) = (await house.history.deliveries(Sought(), limit=1)).deliveries
    assert {(item.outcome, item.reason, item.detail) for item in found.items} == {
        ("ignored", "discarded", "a test of theirs")
    }
    (act,) = [each.act for each in await house.history.audit(after=0, limit=9) if "discard" in each.act.action]
    assert (act.who, act.detail["items"]) == ("ops", 2)
