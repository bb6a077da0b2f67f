"""Reconciling from end to end: what differs, what is put right, and what a job keeps when something breaks off."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from paymux.errors import JobRefused
from paymux.journal.history import Sought
from paymux.journal.jobs import JobState
from paymux.providers import BY_NAME
from tests.reconcile.world import HOUR, NOW, World

LISTING = sorted(name for name, found in BY_NAME.items() if found.api and found.api.payments)
LABELS = {"stripe": "payment_intent"}


def label(provider):
    return LABELS.get(provider, "payment")


@pytest.mark.parametrize("provider", LISTING)
async def test_what_no_webhook_told_is_found_and_put_right(world, provider):
    """Each provider's list: a payment that nobody heard of is missed; with --fix it goes down the line, once."""
    world.account(provider)
    payment = world.put(provider, label(provider))
    job = await world.reconcile(provider)
    assert (job.state, job.error) == (JobState.DONE, None)
    assert await world.found(job) == [("missed", payment)]
    assert await world.events() == []

    fixed = await world.reconcile(provider, fixes=True)
    assert (fixed.counts["missed"], fixed.counts["payments"]) == (1, 1)
    events = await world.events()
    assert {(key, via) for _, key, via in events} == {(payment, "reconcile")}
    assert len(events) == fixed.counts["events"]

    again = await world.reconcile(provider, fixes=True)
    assert await world.found(again) == []
    assert await world.events() == events


@pytest.mark.parametrize("provider", LISTING)
def test_what_is_asked_for_is_what_the_provider_knows(provider):
    """Each list's filters are those of the provider's API, and a list without any has an order."""
    listing = BY_NAME[provider].api.payments
    lists = listing.within(NOW - HOUR, NOW)
    assert lists
    assert all(filters.keys() <= listing.filters for filters in lists)
    assert all(kind in BY_NAME[provider].api.objects for kind in (listing.object, *listing.others))
    assert any(lists) is not bool(listing.order)


@pytest.mark.parametrize(
    ("heard", "status", "found"),
    [(2 * HOUR, "processing", ["status"]), (HOUR / 12, "processing", []), (2 * HOUR, "succeeded", [])],
)
async def test_another_status_in_an_answer_that_knows_no_time_of_change(world, heard, status, found):
    """Stripe's objects keep none: it is told, each time again and never sent, but for what was heard moments ago."""
    world.account("stripe")
    thing = world.made("stripe", "payment_intent", at=world.now - 3 * HOUR)
    payment = world.sandbox.put("stripe", thing)
    await world.hear("stripe", {**thing, "status": status}, occurred_at=world.now - heard)
    before = await world.events()
    for _ in range(2):
        job = await world.reconcile("stripe", fixes=True)
        assert await world.found(job) == [(kind, payment) for kind in found]
    assert await world.events() == before
    assert len((await world.history.deliveries(Sought(), limit=10)).deliveries) == 1


async def test_a_status_that_is_put_right_is_told_once(world):
    """Where the answer is no older, the provider is further: that is all there is to say."""
    world.account("stripe")
    thing = world.made("stripe", "payment_intent", at=world.now - 3 * HOUR)
    payment = world.sandbox.put("stripe", thing)
    await world.hear("stripe", {**thing, "status": "processing"})
    assert await world.found(await world.reconcile("stripe", fixes=True)) == [("behind", payment)]
    assert await world.found(await world.reconcile("stripe", fixes=True)) == []


async def test_without_fixing_nothing_is_appended(world):
    """No delivery, no event, and what is known stays as it is."""
    world.account("flexportal")
    world.put("flexportal")
    job = await world.reconcile("flexportal")
    assert job.counts == {"payments": 1, "missed": 1}
    assert (await world.history.deliveries(Sought(), limit=10)).deliveries == ()
    assert await world.journal.end(0) == 0


async def test_the_provider_is_further_than_what_was_heard(world):
    """A cancellation that no webhook tells: FlexPortal's list has it, and it becomes payment.canceled."""
    world.account("flexportal")
    thing = world.made("flexportal", "payment--failed")
    payment = await world.hear("flexportal", thing)
    later = (world.now - HOUR / 2).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    world.sandbox.put("flexportal", {**thing, "status": "cancelled", "updatedAt": later})
    job = await world.reconcile("flexportal", fixes=True)
    assert await world.found(job) == [("behind", payment)]
    (group,) = await world.history.change_groups(job.id)
    assert (group.type, group.paths) == ("payment.canceled", ("/status",))
    assert json.loads(group.example.old)["status"] == "failed"
    assert json.loads(group.example.new)["status"] == "canceled"
    assert (await world.events())[-1] == ("payment.canceled", payment, "reconcile")


async def test_a_decline_that_no_webhook_tells(world):
    """Flowglad sends nothing for a declined card: its list has the failed payment."""
    world.account("flowglad")
    payment = world.put("flowglad", "payment--failed")
    job = await world.reconcile("flowglad", fixes=True)
    assert await world.found(job) == [("missed", payment)]
    assert await world.events() == [("payment.failed", payment, "reconcile")]


async def test_the_amount_differs(world):
    """It is told with both amounts, each time again: no API answer may announce another amount."""
    world.account("flowlix")
    thing = world.made("flowlix")
    payment = await world.hear("flowlix", {**thing, "amount": thing["amount"] + 100})
    world.sandbox.put("flowlix", thing)
    before = await world.events()
    for _ in range(2):
        job = await world.reconcile("flowlix", fixes=True)
        assert await world.found(job) == [("amount", payment)]
    (group,) = await world.history.change_groups(job.id)
    old, new = json.loads(group.example.old), json.loads(group.example.new)
    assert old["amount"]["minor"] == new["amount"]["minor"] + 100
    assert group.paths == ("/amount",)
    assert await world.events() == before


async def test_amounts_that_differ_beside_what_was_missed(world):
    """On one page of the list: what was missed is put right, and the amounts stay what they were, told each time again.
    Each payment goes by itself then.
    """
    world.account("flowlix")
    differ = {}
    for _ in range(8):
        thing = world.made("flowlix")
        differ[await world.hear("flowlix", {**thing, "amount": thing["amount"] + 100})] = thing["amount"] + 100
        world.sandbox.put("flowlix", thing)
    missed = world.put("flowlix")
    job = await world.reconcile("flowlix", fixes=True)
    told = sorted([("missed", missed), *(("amount", payment) for payment in differ)])
    assert (await world.found(job), job.counts["payments"]) == (told, 9)
    again = await world.reconcile("flowlix", fixes=True)
    assert await world.found(again) == [each for each in told if each[0] == "amount"]
    assert {payment for _, payment, via in await world.events() if via == "reconcile"} == {missed}
    known = await world.archive.known([f"flowlix/acme/{payment}" for payment in differ])
    assert {key.split("/")[2]: each.amount[1].minor for key, each in known.items()} == differ


async def test_what_is_known_is_newer_than_the_list(world):
    """A list that lags behind is no difference, and changes nothing."""
    world.account("flexportal")
    thing = world.made("flexportal", "payment--failed", at=world.now - 2 * HOUR)
    updated = (world.now - HOUR).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    newer = {**thing, "status": "paid", "updatedAt": updated, "total": 10.5, "amount": 10.5}
    await world.hear("flexportal", newer)
    world.sandbox.put("flexportal", thing)
    job = await world.reconcile("flexportal", fixes=True)
    assert job.counts == {"payments": 1}


async def test_a_payment_that_the_provider_does_not_have(world):
    """Ours, heard of in that time, in no list, and not found by its id."""
    world.account("flowlix")
    payment = await world.hear("flowlix", world.made("flowlix"))
    job = await world.reconcile("flowlix")
    assert await world.found(job) == [("unknown", payment)]
    assert job.counts == {"payments": 1, "unknown": 1}


async def test_a_payment_that_was_made_before(world):
    """Heard of in that time and made before it, so that no list has it: it is asked for by its id."""
    world.account("flowlix")
    thing = world.made("flowlix", at=world.now - 300 * HOUR)
    payment = await world.hear("flowlix", thing)
    world.sandbox.put("flowlix", thing)
    job = await world.reconcile("flowlix")
    assert await world.found(job) == []
    assert world.sandbox.asked("flowlix", payment) == 1


async def test_only_what_may_still_move_is_asked_for(world):
    """As the schedule does: a payment that is final is left alone."""
    world.account("flowlix")
    payment = await world.hear("flowlix", world.made("flowlix", at=world.now - 300 * HOUR))
    job = await world.reconcile("flowlix", only_open=True)
    assert await world.found(job) == []
    assert world.sandbox.asked("flowlix", payment) == 0


async def test_a_payment_that_is_not_understood(world):
    """It is told with its reason, and quarantined with --fix, once; the others are not held up."""
    world.account("flexportal")
    world.put("flexportal", status="paid")
    world.put("flexportal", tenantId="bu_somebody_else")
    job = await world.reconcile("flexportal")
    assert job.counts == {"payments": 2, "missed": 1, "unreadable": 1}
    fixed = await world.reconcile("flexportal", fixes=True)
    assert fixed.counts == {"payments": 2, "missed": 1, "unreadable": 1, "events": 1}
    (group,) = await world.history.quarantine()
    assert (group.reason, group.count) == ("wrong_tenant", 1)
    assert (await world.reconcile("flexportal", fixes=True)).counts == {"payments": 2}


@pytest.mark.parametrize("provider", LISTING)
async def test_every_page_is_read(world, provider):
    """Some more than two pages, each payment counted once, whatever the order of the list."""
    world.account(provider)
    count = BY_NAME[provider].api.payments.page_size[1] * 2 + 3
    thing = world.made(provider, label(provider))
    key = BY_NAME[provider].api.objects[BY_NAME[provider].api.payments.object].id_key
    for number in range(count):
        ref = thing[key][: -len(f"{number:05d}")] + f"{number:05d}"
        world.sandbox.put(provider, {**thing, key: ref})
    job = await world.reconcile(provider)
    assert job.counts == {"payments": count, "missed": count}


async def test_a_list_that_knows_no_times(world):
    """What did not change in that time is passed over."""
    world.account("flowglad")
    world.put("flowglad", at=world.now - 300 * HOUR)
    payment = world.put("flowglad", at=world.now - HOUR)
    job = await world.reconcile("flowglad")
    assert await world.found(job) == [("missed", payment)]
    assert job.counts["payments"] == 1


async def test_a_list_without_times_and_what_came_later(world):
    """What was made after the time that was asked for is no part of it."""
    world.account("flowglad")
    payment = world.put("flowglad", at=world.now - 3 * HOUR)
    world.put("flowglad", at=world.now - HOUR)
    job = await world.reconcile("flowglad", until=world.now - 2 * HOUR)
    assert (await world.found(job), job.counts["payments"]) == ([("missed", payment)], 1)


async def test_a_list_newest_first_is_left_where_it_is_older(world):
    """Mollie's list ends where a page holds only payments of before."""
    world.account("mollie")
    for number in range(600):
        thing = world.made("mollie", at=world.now - (number + 1) * HOUR)
        world.sandbox.put("mollie", {**thing, "id": f"tr_{number:010d}"})
    job = await world.reconcile("mollie", since=world.now - 10 * HOUR)
    assert job.counts == {"payments": 10, "missed": 10}
    assert world.sandbox.count("mollie") == 2


# --- what goes wrong


@pytest.mark.parametrize(
    ("status", "more", "told"),
    [
        (503, {"times": 2}, "HTTP 503"),
        (429, {"times": 2, "headers": {"Retry-After": "0"}}, "HTTP 429"),
        (401, {}, "HTTP 401"),
        (301, {"times": 2, "headers": {"Location": "/v1/payments"}}, "HTTP 301"),
        (200, {"body": b"<html>Down for maintenance</html>"}, "the page does not say where the next one is"),
        (200, {"body": b'{"data": {"id": "pay_1"}, "has_more": false}'}, "expected a list"),
    ],
)
async def test_a_list_that_breaks_off(world, status, more, told):
    """What was found before stays, the error says where and why, and it goes on from there once all is well."""
    world.account("flowlix")
    for _ in range(150):
        world.put("flowlix")
    job = await world.reconciles.create(world.order("flowlix"), "ops")
    step = world.reconciles._step
    await world.journal.change(lambda unit: unit.keep_job(running(job)))
    await step(await world.history.job(job.id))
    world.sandbox.fail("flowlix", status, **more)
    ended = await world.reconciles.work(await world.history.job(job.id))
    assert ended.state is JobState.FAILED
    assert ended.error.startswith("the API of flowlix broke off after 100 payments: ")
    assert told in ended.error
    assert ended.counts == {"payments": 100, "missed": 100}
    assert world.seen == {"payments": 100, "missed": 100, "failed": 1}

    await world.replays.steer(job.id, "resume", "ops")
    resumed = await world.reconciles.work(job)
    assert (resumed.state, resumed.error) == (JobState.DONE, None)
    assert resumed.counts == {"payments": 150, "missed": 150}


def running(job):
    return replace(job, state=JobState.RUNNING)


async def test_a_provider_that_is_away_for_a_moment(world):
    """It is asked again."""
    world.account("flowlix")
    world.put("flowlix")
    world.sandbox.fail("flowlix", 429, headers={"Retry-After": "0"})
    job = await world.reconcile("flowlix")
    assert job.counts == {"payments": 1, "missed": 1}


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"data": 7, "has_more": false}', b""])
async def test_garbage_in_place_of_a_page(world, body):
    """The job fails, and says that it was no list."""
    world.account("flowlix")
    world.sandbox.fail("flowlix", 200, body=body)
    job = await world.reconcile("flowlix", fixes=True)
    assert job.state is JobState.FAILED
    assert job.error.startswith("the API of flowlix broke off after 0 payments: ")
    assert await world.events() == []


async def test_pages_that_lead_back(world):
    """A provider whose next page is always the same one does not keep a job going for ever."""
    world.account("flowlix")
    thing = world.made("flowlix")
    page = json.dumps({"data": [thing], "has_more": True}).encode()
    world.sandbox.fail("flowlix", 200, times=20, body=page)
    job = await world.reconcile("flowlix")
    assert (job.state, job.counts) == (JobState.FAILED, {"payments": 1, "missed": 1})
    assert "lead back" in job.error


async def test_pages_that_shift_underneath(world):
    """A payment that stands on two pages, since others came before it meanwhile, is counted and put right once."""
    world.account("flowlix")
    first, second, third = (world.made("flowlix") for _ in range(3))
    for page, has_more in (([first, second], True), ([second, third], False)) * 2:
        body = json.dumps({"data": page, "has_more": has_more}).encode()
        world.sandbox.fail("flowlix", 200, body=body)
    assert (await world.reconcile("flowlix")).counts == {"payments": 3, "missed": 3}
    job = await world.reconcile("flowlix", fixes=True)
    assert (job.counts["payments"], job.counts["missed"]) == (3, 3)
    assert {payment for _, payment, _ in await world.events()} == {first["id"], second["id"], third["id"]}


async def test_pages_with_nothing_new(world):
    """Each page names another next one, and shows the same payments."""
    world.account("flowglad")
    thing = world.made("flowglad")
    for number in range(20):
        page = {"data": [thing], "hasMore": True, "nextCursor": f"c{number}", "total": 1}
        world.sandbox.fail("flowglad", 200, body=json.dumps(page).encode())
    job = await world.reconcile("flowglad")
    assert (job.state, job.counts) == (JobState.FAILED, {"payments": 1, "missed": 1})
    assert "lead back" in job.error


async def test_an_error_of_ours(world):
    """A payment that a bug keeps from being compared is told as such, and holds up no other one."""
    account = world.account("flowlix")
    world.put("flowlix")
    broken = replace(account.provider.transitions, ranks={})
    provider = replace(account.provider, transitions=broken)
    world.clients["flowlix", "acme"] = replace(
        world.clients["flowlix", "acme"], account=replace(account, provider=provider)
    )
    job = await world.reconcile("flowlix")
    assert (job.state, job.counts) == (JobState.DONE, {"payments": 1, "unreadable": 1})
    (group,) = await world.history.change_groups(job.id)
    assert group.type == "internal_error"


async def test_a_wrong_key(world):
    """It fails at once: asking again would not help."""
    world.account("flowlix")
    world.sandbox.keys = {**world.sandbox.keys, "flowlix": "api_test_sk_another0000000000"}
    job = await world.reconcile("flowlix")
    assert (job.state, world.sandbox.count("flowlix")) == (JobState.FAILED, 1)
    assert "401" in job.error


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"since": 1}, "later than since"),
        ({"since": 5, "until": 9}, "in the past"),
        ({"rate": 0.0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": float("inf")}, "rate"),
    ],
)
async def test_what_cannot_be_asked_for(world, more, told):
    """Refused with what is wrong, before there is a job."""
    world.account("flowlix")
    hours = {name: world.now + HOUR * value for name, value in more.items() if name != "rate"}
    with pytest.raises(JobRefused, match=told):
        await world.reconciles.create(world.order("flowlix", **{**more, **hours}), "ops")
    assert await world.history.jobs(limit=5) == []


async def test_accounts_that_cannot_be_reconciled(world):
    """One that is not there, one without a key, a provider without a list."""
    with pytest.raises(JobRefused, match="there is no account flowlix/acme"):
        await world.reconcile("flowlix")
    world.account("flowlix")
    world.clients["flowlix", "acme"] = replace(world.clients["flowlix", "acme"], api=None)
    with pytest.raises(JobRefused, match="no api_key"):
        await world.reconcile("flowlix")
    world.account("paypal")
    with pytest.raises(JobRefused, match="no list of payments of paypal"):
        await world.reconcile("paypal")


# --- going on


async def test_each_step_is_taken_once(world):
    """A job that is begun anew after each of its steps, as after kill -9, finds what one in one go finds."""
    world.account("flowlix")
    for number in range(250):
        world.put("flowlix", at=world.now - HOUR - timedelta(seconds=number))
    for _ in range(60):
        await world.hear("flowlix", world.made("flowlix"))
    whole = await world.reconcile("flowlix")

    job = await world.reconciles.create(world.order("flowlix"), "ops")
    await world.journal.change(lambda unit: unit.keep_job(running(job)))
    steps = 0
    while (now := await world.history.job(job.id)).state is JobState.RUNNING:
        world = replace_jobs(world)
        await world.reconciles._step(now)
        steps += 1
    assert now.counts == whole.counts == {"payments": 310, "missed": 250, "unknown": 60}
    assert now.done == 310
    assert steps == 5
    first = (await world.history.changes(job.id, after="", limit=1))[0]
    assert await world.archive.listed(job.id, [first.key]) == frozenset()  # needed no longer


def replace_jobs(world):
    """Nothing is remembered but what the journal holds."""
    fresh = World(world.sandbox, world.session, world.journal, world.archive, world.history)
    fresh.account("flowlix")
    return fresh


async def test_a_job_that_is_paused_in_the_middle_of_a_step(world):
    """What the step would have said is not said; resumed, it is."""
    world.account("flowlix")
    world.put("flowlix")
    job = await world.reconciles.create(world.order("flowlix", fixes=True), "ops")
    await world.journal.change(lambda unit: unit.keep_job(running(job)))
    begun = await world.history.job(job.id)
    await world.journal.change(lambda unit: unit.keep_job(replace(begun, state=JobState.PAUSED)))
    await world.reconciles._step(begun)
    assert await world.events() == []
    await world.journal.change(lambda unit: unit.keep_job(replace(begun, state=JobState.QUEUED)))
    assert (await world.reconciles.work(begun)).counts["missed"] == 1


async def test_two_jobs_of_an_account_take_turns(world):
    """The second one begins when the first one ended."""
    world.account("flowlix")
    for number in range(400):
        world.put("flowlix", at=world.now - HOUR - timedelta(seconds=number))
    first = await world.reconciles.create(world.order("flowlix"), "ops")
    second = await world.reconciles.create(world.order("flowlix"), "ops")
    at_once = await run_until_rest(world, [first, second])
    assert {first.id, second.id} not in at_once
    assert {first.id} in at_once


@pytest.mark.parametrize("turns", range(6))
async def test_it_is_stopped_while_news_arrives(world, turns):
    """It ends, however many turns of the loop lie between the two: a stop is never lost."""
    task = asyncio.create_task(world.reconciles.run())
    while not world.reconciles._news._waiters:
        await asyncio.sleep(0)
    world.reconciles._news.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()


async def run_until_rest(world, jobs):
    """Which of them ran at the same time."""
    at_once = []
    async with world.running(20):
        while True:
            states = {job.id: (await world.history.job(job.id)).state for job in jobs}
            at_once.append({name for name, state in states.items() if state is JobState.RUNNING})
            if set(states.values()) == {JobState.DONE}:
                return at_once
            await asyncio.sleep(0.002)


async def test_it_is_written_down_who_asked(world):
    """Each order of a person is in the audit trail."""
    world.account("flowlix")
    job = await world.reconcile("flowlix")
    (act,) = [each.act for each in await world.history.audit(after=0, limit=10)]
    assert (act.who, act.action, act.target) == ("ops", "job.reconcile", job.id)
