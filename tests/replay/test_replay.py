"""Jobs over stored deliveries, on both journals: what goes out, what does not, and what is counted."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest

from paymux.canonical import EVENT
from paymux.errors import BrokerUnavailable, JobRefused, JournalUnavailable, NotStored
from paymux.journal import Entry
from paymux.journal.audit import first_broken
from paymux.journal.history import Sought
from paymux.journal.jobs import JobState
from paymux.journal.rehearse import differences
from paymux.provider import Account
from paymux.records import correction_id
from paymux.replay.imports import Payload
from paymux.replay.orders import Order
from paymux.statement import Fact
from paymux.translate import translate
from tests.journal.tiny import ACCOUNT, NOON, TINY, append, batch, payment, put, refund, says
from tests.replay.houses import RIGHT, TOPIC, WRONG, account, doubled, life, opened, paid


@pytest.fixture(params=["memory", "sqlite"])
async def house(request):
    async with opened(request.param) as made:
        yield made


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


async def test_a_topic_that_kafka_does_not_have(house):
    """No job is made for it, nor resumed: what is decided for a topic would wait for it, and live traffic behind it."""
    await put(house.journal, paid("e1"))
    topics, away = {"elsewhere"}, False

    async def has_topic(topic):
        if away:
            raise BrokerUnavailable("no broker answers")
        return topic in topics

    house.replays._means = replace(house.replays._means, has_topic=has_topic)
    elsewhere = Order(kind="republish", sought=Sought(), topic="elsewhere")
    job = await house.replays.create(elsewhere, "ops")
    await house.replays.steer(job.id, "pause", "ops")
    topics.clear()
    for refused in (
        house.replays.create(elsewhere, "ops"),
        house.replays.preview(elsewhere),
        house.replays.steer(job.id, "resume", "ops"),
    ):
        with pytest.raises(JobRefused, match="no topic elsewhere"):
            await refused
    away = True
    with pytest.raises(JobRefused, match="no broker answers"):
        await house.replays.create(elsewhere, "ops")
    assert (await house.do("republish")).counts == {"events": 1}
    topics.add("elsewhere")
    away = False
    resumed = await house.replays.steer(job.id, "resume", "ops")
    assert (await house.replays.work(resumed)).counts == {"events": 1}


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


@pytest.mark.parametrize("kind", ["retry", "retranslate"])
async def test_what_is_still_not_understood_stays(house, kind):
    """No second quarantine record under the same reason; one where the reason is another."""
    await put(house.journal, says("no such type", "e1"))
    before = await house.rows()
    assert (await house.do(kind)).counts == {"deliveries": 1, "unchanged": 1}
    assert await house.rows() == before

    def broken(body, _head):
        raise body.untamed("a better body")

    house.account = account(2, **{"no such type": broken})
    assert (await house.do(kind)).counts == {"deliveries": 1, "quarantined": 1}
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


async def test_a_batch_that_is_split_otherwise_now(house):
    """More items or fewer than before: the counts of every job account for each, and only what has a place speaks."""
    house.account = splitting(2)
    items = paid("e1", "p1"), {**paid("e2", "p2"), "type": "odd"}, paid("e3", "p3")
    verified = batch(*items)
    entry = Entry(account=house.account, verified=verified, items=translate(house.account, verified))
    await house.journal.append(entry)
    house.account = splitting(3)
    assert (await house.do("retranslate")).counts == {"deliveries": 1, "unchanged": 2, "unfiled": 1}
    assert (await house.do("retry")).counts == {"deliveries": 1, "unchanged": 1, "unfiled": 1}
    assert (await house.do("diff")).counts == {"deliveries": 1, "payments": 1, "unfiled": 1}
    house.account = splitting(1)
    assert (await house.do("retranslate")).counts == {"deliveries": 1, "unchanged": 2}
    assert [one["subject"] for one in await house.events()] == ["p1"]


async def test_a_batch_that_gained_what_is_of_no_interest(house):
    """It is counted, too, where nothing is to be decided about the rest."""
    house.account = splitting(1)
    verified = batch(paid("e1", "p1"), says("ping", "e2"))
    entry = Entry(account=house.account, verified=verified, items=translate(house.account, verified))
    await house.journal.append(entry)
    house.account = splitting(2)
    assert (await house.do("retranslate")).counts == {"deliveries": 1, "unchanged": 1, "unfiled": 1}


def splitting(most):
    """The mapping that reads so many items of a batch."""
    provider = replace(TINY, split=lambda body: body.children("items")[:most])
    return replace(ACCOUNT, provider=provider)


async def test_a_conflict_beside_what_was_understood(house):
    """A retry counts the items that are quarantined, and no other ones."""
    await put(house.journal, paid("e1", "p1"))
    await put(house.journal, paid("e2", "p2"), paid("e1", "p1", amount=1))
    assert (await house.do("retry")).counts == {"deliveries": 1, "unchanged": 1}
    preview = await house.replays.preview(Order(kind="retry", sought=Sought()))
    assert preview.counts == {"deliveries": 1, "unchanged": 1}


async def test_what_is_erased_while_it_is_looked_at(house):
    """It is counted as erased, not as something that has nothing new to say."""
    await put(house.journal, paid("e1"))
    await put(house.journal, paid("e2", "p2"))
    kept, calls = house.archive.kept, itertools.count()

    async def erasing(rows):
        if next(calls) == 1:  # whether there is something to decide was found out before
            await house.journal.change(lambda unit: unit.erase([1], {}))
        return await kept(rows)

    house.archive.kept = erasing
    assert (await house.do("retranslate")).counts == {"deliveries": 2, "erased": 1, "unchanged": 1}


async def test_what_is_erased_after_it_was_read(house):
    """Nothing of it is published any more."""
    await put(house.journal, {**paid("e1"), "type": "odd"})
    house.account = account(2, odd=payment)
    kept = house.archive.kept

    async def erasing(rows):
        found = await kept(rows)
        await house.journal.change(lambda unit: unit.erase([1], {}))
        return found

    house.archive.kept = erasing
    assert (await house.do("retry")).counts == {"deliveries": 1, "erased": 1}
    assert await house.events() == []


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


async def test_a_payment_of_many_portions_is_read_once(house, monkeypatch):
    """It is compared with its first delivery, and later portions do not read it all again."""
    monkeypatch.setattr("paymux.replay.steps.STEP", 2)
    for number in range(6):
        await append(house.journal, batch(paid(f"e{number}", "hot"), paid(f"f{number}", f"p{number}")), WRONG)
    house.account = RIGHT
    read, about = [], house.archive.about

    async def noting(keys):
        read.append(sorted(keys))
        return await about(keys)

    house.archive.about = noting
    job = await house.do("diff")
    assert (job.counts["payments"], job.counts["deliveries"]) == (7, 6)
    assert len([keys for keys in read if "tiny/acme/hot" in keys]) == 1
    assert await house.archive.listed(job.id, ["tiny/acme/hot"]) == frozenset()
    house.archive.about = about
    assert (await house.accept(job)).counts["published"] == job.counts["changed"]


async def test_a_diff_that_is_canceled_between_portions(house, monkeypatch):
    """What it came across before is forgotten with it."""
    monkeypatch.setattr("paymux.replay.steps.STEP", 1)
    for number in range(2):
        await put(house.journal, paid(f"e{number}", "hot"))
    made = await house.replays.create(Order(kind="diff", sought=Sought()), "ops")
    await house.replays._step(await house.replays._lane._started(made.id))
    assert await house.archive.listed(made.id, ["tiny/acme/hot"]) == {"tiny/acme/hot"}
    await house.replays.steer(made.id, "cancel", "ops")
    assert await house.archive.listed(made.id, ["tiny/acme/hot"]) == frozenset()


async def test_a_dry_run_over_what_was_discarded(house):
    """It stays what it is, and no event of it is promised."""
    await put(house.journal, {**paid("e1"), "type": "odd"})
    await house.replays.discard(Sought(event_type="odd"), "a test of theirs", "ops")
    house.account = account(2, odd=payment)
    preview = await house.replays.preview(Order(kind="retranslate", sought=Sought()))
    assert preview.counts == {"deliveries": 1, "unchanged": 1}
    assert (await house.do("retranslate")).counts == preview.counts


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
    assert (done.state, done.counts["published"]) == (JobState.DONE, 1)
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


@pytest.mark.parametrize("at", [1, 2])
async def test_something_is_heard_while_a_diff_is_accepted(house, at):
    """The correction is made with what came meanwhile, and takes nothing away from it."""
    await append(house.journal, batch(paid("e1", amount=4999)), WRONG)
    house.account = RIGHT
    job = await house.do("diff")
    about, calls = house.archive.about, itertools.count(1)

    async def late(keys):
        found = await about(keys)
        if next(calls) == at:
            late_one = says("refund", "e2", "r1", payment="p1", status="succeeded", amount=100)
            await append(house.journal, batch(late_one), RIGHT)
        return found

    house.archive.about = late
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


async def test_a_job_that_rested_while_many_others_were_made(house, monkeypatch):
    """Resumed, it is worked on, however many are newer."""
    monkeypatch.setattr("paymux.jobs.MOST", 2)
    await put(house.journal, paid("e1"))
    job = await house.replays.create(Order(kind="republish", sought=Sought()), "ops")
    await house.replays.steer(job.id, "pause", "ops")
    for _ in range(3):
        await house.do("republish")
    await house.replays.steer(job.id, "resume", "ops")
    assert [each.id for each in await house.replays._lane.waiting()] == [job.id]


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
        Order(kind="diff", sought=Sought(payment="p1")),
        Order(kind="diff", sought=Sought(payment="tiny/acme/p1", account="other")),
        Order(kind="diff", sought=Sought(reason="shape", outcome="ignored")),
    ],
    ids=[
        "no such kind",
        "topic of a diff",
        "no time between",
        "no rate",
        "retry of events",
        "no payment",
        "of another account",
        "no reason",
    ],
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
        "events_at_most": 1,
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
    assert await house.replays.discard(Sought(event_type="odd"), "a test of theirs", "ops") == 1
    assert [group.event_type for group in await house.history.quarantine()] == ["odd too"]
    assert await house.replays.discard(Sought(event_type="odd too"), "a test of theirs", "ops") == 1
    house.account = account(2, odd=payment)
    assert (await house.do("retry")).counts == {}
    assert (await house.do("retranslate")).counts == {"deliveries": 1, "unchanged": 2}
    (found,) = (await house.history.deliveries(Sought(), limit=1)).deliveries
    assert {(item.outcome, item.reason, item.detail) for item in found.items} == {
        ("ignored", "discarded", "a test of theirs")
    }
    act, _ = [each.act for each in await house.history.audit(after=0, limit=9) if "discard" in each.act.action]
    assert (act.who, act.detail["items"]) == ("ops", 1)


# --- what goes wrong


async def test_which_events_are_published(house):
    """Those of the outbox, and no others."""
    await put(house.journal, paid("e1"))
    (event,) = await house.events()
    assert await house.archive.published([event["id"], "another"]) == {event["id"]}


async def test_retranslating_a_fact_without_its_status(house):
    """An item whose only event was a fact has nothing more to say: not that something was said."""
    await put(house.journal, paid("e1", after=1), paid("e2", after=2, refunded=100))
    before = await house.rows()
    assert (await house.do("retranslate")).counts == {"deliveries": 1, "unchanged": 2}
    assert await house.rows() == before


async def test_a_fact_that_a_mapping_adds_to_what_came_earlier(house):
    """It is published where it belongs: a diff with the same mapping then finds nothing."""

    def silent(body, head):
        return tuple(replace(one, facts=()) for one in payment(body, head))

    old = account(1, payment=silent)
    await append(house.journal, batch(paid("e1", after=1, status="processing", refunded=100)), old)
    await append(house.journal, batch(paid("e2", after=2)), old)
    house.account = RIGHT
    assert (await house.do("retranslate")).counts == {"deliveries": 2, "events": 1, "unchanged": 1}
    assert (await house.do("diff")).counts == {"deliveries": 2, "payments": 1}


async def test_only_what_is_quarantined_is_retried(house):
    """Not what came with it in a batch, nor what is there for another reason or of another type."""

    def silent(body, head):
        return tuple(replace(one, facts=()) for one in payment(body, head))

    old = account(1, payment=silent)
    items = paid("e1", "p1", refunded=100), {**paid("e2", "p2"), "type": "odd"}, {**paid("e3", "p3"), "type": "even"}
    await append(house.journal, batch(*items), old)
    house.account = account(2, odd=payment, even=payment)
    assert (await house.do("retry", Sought(event_type="odd"))).counts == {"deliveries": 1, "events": 1}
    assert [one["subject"] for one in await house.events()] == ["p1", "p2"]
    assert [group.event_type for group in await house.history.quarantine()] == ["even"]


async def test_what_is_still_too_large_stays(house):
    """No second quarantine record says so."""
    await append(house.journal, batch({**paid("e1"), "type": "odd"}))

    def talkative(body, head):
        (right,) = payment(body, head)
        return (replace(right, block=replace(right.block, description="x" * 1_000_000)),)

    house.account = account(2, odd=talkative)
    assert (await house.do("retry")).counts == {"deliveries": 1, "quarantined": 1}
    before = await house.rows()
    assert (await house.do("retry")).counts == {"deliveries": 1, "unchanged": 1}
    assert await house.rows() == before
    (group,) = await house.history.quarantine()
    assert (group.reason, group.count) == ("too_large", 1)


async def test_what_spoke_and_would_be_too_large_now(house):
    """It stays what it is: its events are out."""
    await put(house.journal, paid("e1", refunded=100))

    def talkative(body, head):
        (right,) = payment(body, head)
        return (replace(right, block=replace(right.block, description="x" * 1_000_000), facts=(Fact(name="settled"),)),)

    house.account = account(2, payment=talkative)
    before = await house.rows()
    assert (await house.do("retranslate")).counts == {"deliveries": 1, "unchanged": 1}
    assert await house.rows() == before
    assert list(await house.history.quarantine()) == []


async def test_a_key_that_can_be_read_now_and_came_elsewhere(house):
    """The delivery that had the key keeps it; what is not understood yet stays in quarantine until it is."""

    def keyless(verified, body):
        return replace(TINY.head(verified, body), event_key=None)

    blind = replace(TINY, head=keyless)
    odd = {**paid("e1"), "type": "odd"}
    await append(house.journal, batch(odd, odd), Account(provider=blind, name="acme", checks=ACCOUNT.checks))
    await append(house.journal, batch(odd))

    def broken(body, _head):
        raise body.untamed("a better body")

    house.account = account(2, odd=broken)
    job = await house.do("retry")
    assert (job.state, job.counts) == (JobState.DONE, {"deliveries": 2, "quarantined": 1, "unchanged": 2})
    house.account = account(3, odd=payment)
    assert (await house.do("retry")).counts == {"deliveries": 2, "duplicate": 2, "events": 1}
    assert list(await house.history.quarantine()) == []


async def test_two_items_under_one_key_that_can_be_read_now(house):
    """The first one has it."""

    def keyless(verified, body):
        return replace(TINY.head(verified, body), event_key=None)

    odd = {**paid("e1"), "type": "odd"}
    blind = Account(provider=replace(TINY, head=keyless), name="acme", checks=ACCOUNT.checks)
    await append(house.journal, batch(odd, odd), blind)
    house.account = account(2, odd=payment)
    assert (await house.do("retry")).counts == {"deliveries": 1, "events": 1, "duplicate": 1}
    assert [one["type"] for one in await house.events()] == ["payment.succeeded"]


async def test_a_correction_that_would_be_too_large(house):
    """It is counted and left out whole, and the other payments are corrected."""
    await append(house.journal, batch(paid("e1", "p1"), paid("e2", "p2")), WRONG)

    def talkative(body, head):
        (right,) = payment(body, head)
        note = "x" * 1_000_000 if right.block.id == "p1" else None
        return (replace(right, block=replace(right.block, description=note)),)

    house.account = account(2, payment=talkative)
    job = await house.accept(await house.do("diff"))
    assert (job.state, job.counts["too_large"], job.counts["published"]) == (JobState.DONE, 1, 1)
    assert (job.done, job.total) == (2, 2)
    assert [(one["subject"], life(one)["sequence"]) for one in await house.events()] == [
        ("p1", 1),
        ("p2", 1),
        ("p2", 2),
    ]
    late = says("refund", "e3", "r1", payment="p1", status="succeeded", amount=1)
    await append(house.journal, batch(late), RIGHT)
    assert life((await house.events())[-1])["sequence"] == 2


async def test_another_mapping_between_a_diff_and_its_acceptance(house):
    """What nobody looked at is not published: the job fails and says why."""
    await append(house.journal, batch(paid("e1")), WRONG)
    house.account = RIGHT
    job = await house.do("diff")
    house.account = account(3)
    before = await house.rows()
    failed = await house.accept(job)
    assert (failed.state, await house.rows()) == (JobState.FAILED, before)
    assert failed.error == "the mapping changed since this diff began (tiny/acme from tiny/2 to tiny/3): make another"


async def test_a_mapping_that_comes_back(house):
    """Its correction was published: no second one goes out under the same id, and it is counted."""
    await append(house.journal, batch(paid("e1")), WRONG)
    for mapping in (RIGHT, account(3, payment=doubled)):
        house.account = mapping
        await house.accept(await house.do("diff"))
    house.account = RIGHT
    before = await house.rows()
    job = await house.accept(await house.do("diff"))
    assert (job.state, job.counts["corrected_before"], await house.rows()) == (JobState.DONE, 1, before)


async def test_a_refund_whose_payment_a_mapping_reads_now(house):
    """Its correction keeps the key that it was published under; its payment's state has both, also after the next
    correction.
    """

    def nameless(body, head):
        (right,) = refund(body, head)
        return (replace(right, block=replace(right.block, payment_id=None), payment_id=None, payment_alias="c1"),)

    old = account(1, payment=doubled, refund=nameless)
    await append(house.journal, batch(paid("e1", amount=500)), old)
    await append(house.journal, batch(says("refund", "e2", "r1", payment="p1", status="succeeded", amount=200)), old)
    house.account = RIGHT
    await house.accept(await house.do("diff", Sought(event_type="refund")))
    right = (await house.rows())[-1].record
    assert (right.key, json.loads(right.value)["data"]["payment_id"]) == (b"tiny/acme/r1", "p1")
    assert life(json.loads(right.value))["sequence"] == 2
    await house.accept(await house.do("diff"))
    for amount, key in ((100, "e3"), (200, "e4")):
        late = says("refund", key, f"r{key}", payment="p1", status="succeeded", amount=amount)
        await append(house.journal, batch(late), RIGHT)
        house.account = account(3, payment=payment)
    state = life((await house.events())[-1])["state"]
    assert (state["amount"]["minor"], state["refunded"]["minor"], state["refund_state"]) == (500, 500, "full")
    assert (await house.do("diff")).state is JobState.DONE


async def test_what_a_mapping_no_longer_says_is_not_known_any_more(house):
    """Nothing is published for it, but what is known of the payment is made new."""
    await put(house.journal, paid("e1", amount=500))
    await put(house.journal, says("refund", "e2", "r1", payment="p1", status="succeeded", amount=500))
    house.account = account(2, refund=lambda _body, _head: ())
    job = await house.do("diff")
    assert job.counts["gone"] == 1
    before = await house.rows()
    await house.accept(job)
    assert await house.rows() == before
    await append(house.journal, batch(paid("e3", amount=500, after=9)), house.account)
    assert life((await house.events())[-1])["state"]["refund_state"] == "none"
    assert life((await house.events())[-1])["sequence"] == 3


async def test_a_commit_that_cannot_be_decided(house, monkeypatch):
    """The job fails, rather than hold up all others for ever."""
    await put(house.journal, paid("e1"))

    def broken(*_args, **_more):
        raise ValueError("some content")

    monkeypatch.setattr("paymux.replay.steps.republished", broken)
    job = await house.do("republish")
    assert (job.state, job.error) == (JobState.FAILED, "ValueError")


async def test_metadata_that_looks_like_a_correction(house):
    """What a provider's data is called decides nothing."""

    def odd(body, head):
        (right,) = payment(body, head)
        amount = right.block.amount
        return (replace(right, block=replace(right.block, metadata={"corrects": None}, amount=amount)),)

    await append(house.journal, batch(paid("e1")), WRONG)
    house.account = account(2, payment=odd)
    await house.accept(await house.do("diff"))
    assert (await house.do("diff")).state is JobState.DONE


async def test_what_was_imported_is_found_by_when_it_came(house):
    """An import keeps the time at which somebody else received it; it hides nothing that came before it."""
    for number in range(4):
        await put(house.journal, paid(f"e{number}"))
    came = f"{int((NOON + timedelta(days=30)).timestamp() * 1000):012x}"
    ids = (f"{came[:8]}-{came[8:]}-7000-8000-{number:012d}" for number in itertools.count())
    house.replays._new_id = lambda: next(ids)
    old = [
        Payload(
            body=json.dumps({"items": [paid(f"i{number}", after=9)]}).encode(), received_at=NOON - timedelta(days=9)
        )
        for number in range(20)
    ]
    await house.replays.take(("tiny", "acme"), old, "ops")
    order = Order(kind="retranslate", sought=Sought(since=NOON - timedelta(days=1)))
    assert (await house.replays.preview(order)).counts["deliveries"] == 24
    order = Order(kind="retranslate", sought=Sought(until=NOON + timedelta(days=9)))
    assert (await house.replays.preview(order)).counts["deliveries"] == 4


def test_metadata_that_is_named_like_what_is_left_aside():
    """A difference in it is one; what the journal decided is none."""

    def value(word, sequence):
        payment = {"metadata": {"a": "b", "lifecycle": word, "origin": ',"lifecycle":'}}
        data = {"payment": payment, "refund": None, "lifecycle": {"sequence": sequence}, "origin": {"mapping": word}}
        return orjson.dumps({"subject": "p1", "time": "t", "data": data})

    assert differences(value("x", 1), value("y", 1)) == {"/payment/metadata/lifecycle": ("x", "y")}
    assert differences(value("x", 1), value("x", 2)) == {}
