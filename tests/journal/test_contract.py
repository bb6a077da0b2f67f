"""What every journal promises."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid5

import pytest

from paymux.canonical import QUARANTINE, parse_event
from paymux.delivery import ObjectRef, Proof, Verified
from paymux.errors import JournalUnavailable
from paymux.journal import Rejection, Result
from paymux.journal.changes import Rules
from paymux.provider import Account
from paymux.records import Topics
from paymux.signatures.path_token import PathToken
from tests import stories
from tests.journal.stored import deliveries, everything, items, payments, take
from tests.journal.tiny import (
    ACCOUNT,
    CURRENT,
    NOON,
    SECRET,
    TINY,
    answered,
    append,
    batch,
    delivered,
    entry,
    put,
    says,
)
from tests.stories import told

QUARANTINE_TOPIC = "payments.quarantine.v1"


def paid(key="e1", object_id="p1", **fields):
    return says("payment", key, object_id, **{"status": "succeeded", "amount": 4999, **fields})


class FaultyStore:
    """A journal's own store, whose commit something happens to."""

    def __init__(self, store, commit):
        self._store = store
        self._commit = commit

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def commit(self, changes):
        await self._commit(partial(self._store.commit, changes))


@contextmanager
def faulty(journal, commit):
    """For a while, `commit` is called with the real one."""
    commits = journal._commits
    store = commits._store
    commits._store = FaultyStore(store, commit)
    try:
        yield
    finally:
        commits._store = store


async def no_room(commit):
    raise JournalUnavailable("no room")


async def rows(journal, after=0):
    return await journal.read(0, after, 10_000)


async def events(journal):
    return [event.event for event in await told(journal)]


async def quarantined(journal):
    return [json.loads(row.record.value) for row in await rows(journal) if row.record.topic == QUARANTINE_TOPIC]


def results(receipts):
    return [(str(receipt.result), receipt.outcome) for receipt in receipts]


# --- dedupe


async def test_a_delivery_that_is_new(journal):
    """Its event is in the outbox under the id that the receipt names, and it is kept with its body."""
    delivery = batch(paid())
    (receipt,) = await append(journal, delivery)
    (row,) = await rows(journal)
    assert (receipt.result, receipt.outcome, receipt.reason, receipt.unexpected) == (Result.NEW, "events", None, 0)
    assert receipt.event_ids == (row.record.event_id,)
    assert (row.shard, row.seq, row.record.topic, row.record.key) == (0, 1, "payments.events.v1", b"tiny/acme/p1")
    (kept,) = deliveries(journal)
    assert (kept.body, kept.attempts, kept.secret) == (delivery.delivery.body, 1, 0)


async def test_the_same_bytes_again(journal):
    """A duplicate each time: nothing is published or kept, the attempts are counted."""
    for attempt in range(3):
        (receipt,) = await put(journal, paid())
        assert receipt.result is (Result.DUPLICATE if attempt else Result.NEW)
    assert len(await rows(journal)) == 1
    assert [kept.attempts for kept in deliveries(journal)] == [3]
    assert len(items(journal)) == 1


async def test_the_same_event_in_other_bytes(journal):
    """A duplicate that is counted and whose body is kept, since it differs."""
    await put(journal, paid())
    (receipt,) = await put(journal, paid(sent_again=True))
    assert receipt.result is Result.DUPLICATE
    assert len(await rows(journal)) == 1
    first, second = deliveries(journal)
    assert (first.attempts, second.attempts) == (2, 1)
    assert first.body != second.body
    assert [(result, outcome) for _, result, outcome, _ in items(journal)] == [
        ("new", "events"),
        ("duplicate", "events"),
    ]


@pytest.mark.parametrize(
    "change",
    [{"amount": 5000}, {"status": "failed"}, {"id": "p2"}, {"livemode": True}, {"type": "refund"}],
    ids=lambda change: next(iter(change)),
)
async def test_another_content_under_the_same_key(journal, change):
    """A conflict: kept and quarantined once however often it comes, and the payment's state stays."""
    await put(journal, paid())
    for _ in range(2):
        (receipt,) = await put(journal, paid() | change)
        assert (receipt.result, receipt.outcome, receipt.reason) == (Result.CONFLICT, "quarantined", "conflict")
    (record,) = await quarantined(journal)
    assert (record["data"]["reason"], record["data"]["event_key"]) == ("conflict", "e1")
    assert record["data"]["delivery_id"] == deliveries(journal)[1].id
    await put(journal, says("payment", "e2", note="?"))
    state = (await events(journal))[-1]["data"]["lifecycle"]["state"]
    assert (state["status"], state["amount"]["minor"]) == ("succeeded", 4999)
    assert payments(journal) == {"tiny/acme/p1"}
    assert deliveries(journal)[0].attempts == 1


async def test_a_signature_that_comes_again_with_another_body(journal):
    """Where it binds its body weakly: refused, and nothing of it is kept, whatever keys its items have; the first body
    is a duplicate still, and another signature brings another body.
    """

    def once(name: str, *content: dict) -> Verified:
        found = batch(*content)
        return Verified(found.delivery, found.proof, found.secret, name)

    assert [receipt.result for receipt in await append(journal, once("transmission 1", paid()))] == [Result.NEW]
    before = (deliveries(journal), items(journal), payments(journal), await journal.end(0))
    forged = (says("payment", "e2", id="p2", amount=1), says("payment", "e3", id="p3", amount=1))
    receipts = await append(journal, once("transmission 1", *forged))
    assert [(receipt.result, receipt.outcome, receipt.event_ids) for receipt in receipts] == [
        (Result.REFUSED, "rejected", ())
    ] * 2
    assert (deliveries(journal), items(journal), payments(journal), await journal.end(0)) == before
    assert [receipt.result for receipt in await append(journal, once("transmission 1", paid()))] == [Result.DUPLICATE]
    assert [receipt.result for receipt in await append(journal, once("transmission 2", *forged))] == [Result.NEW] * 2


async def test_two_bodies_of_one_signature_in_one_commit(journal):
    """The first one wins, also before anything is written."""
    bodies = [batch(says("payment", f"e{number}", amount=number)) for number in range(1, 9)]
    receipts = await asyncio.gather(
        *(append(journal, Verified(one.delivery, one.proof, one.secret, "transmission 1")) for one in bodies)
    )
    results = [receipt.result for (receipt,) in receipts]
    assert results == [Result.NEW, *[Result.REFUSED] * 7]


async def test_two_ways_to_differ_under_one_key(journal):
    """Each is quarantined once, and the first content still is a duplicate."""
    for amount in (4999, 1, 2, 1, 4999):
        await put(journal, paid(amount=amount))
    assert len(await quarantined(journal)) == 2
    assert [result for _, result, _, _ in items(journal)] == ["new", "conflict", "conflict", "conflict"]


async def test_a_provider_that_resends_the_object_as_it_is_now(journal):
    """Another status under the same key is a duplicate; another amount is a conflict."""
    account = Account(provider=CURRENT, name="acme")
    outcomes = []
    for item in (paid(status="processing"), paid(status="succeeded"), paid(status="processing", amount=1)):
        (receipt,) = await append(journal, batch(item), account)
        outcomes.append(str(receipt.result))
    assert outcomes == ["new", "duplicate", "conflict"]


async def test_a_key_belongs_to_one_account_of_one_provider(journal):
    """The same event key of another account, or another provider, is new."""
    accounts = [ACCOUNT, replace(ACCOUNT, name="other"), Account(provider=CURRENT, name="acme")]
    receipts = [await append(journal, batch(paid()), account) for account in accounts]
    assert [receipt.result for (receipt,) in receipts] == [Result.NEW] * 3
    assert len({row.record.event_id for row in await rows(journal)}) == 3
    assert len({row.record.key for row in await rows(journal)}) == 3


async def test_what_was_not_understood_may_be_understood_later(journal):
    """An item that a newer mapping understands under a key that was quarantined is no conflict."""
    await append(journal, batch(paid(status="mystery")))
    (receipt,) = await append(journal, batch(paid()))
    assert receipt.result is Result.DUPLICATE
    assert len(await quarantined(journal)) == 1


async def test_another_type_under_the_same_key_is_a_conflict(journal):
    """Also where the one or the other was not understood, or only names an object: nothing is dropped (P6)."""
    await append(journal, batch(paid()))
    (receipt,) = await put(journal, says("brand.new", "e1"))
    assert receipt.result is Result.CONFLICT


async def test_another_object_under_the_same_message_id_is_a_conflict(journal):
    """A thin delivery about another payment must not vanish as a duplicate of the first."""
    first, second = ({"id": f"pym_{name * 21}", "object": "payment", "customer": {"id": "cust_1"}} for name in "ab")
    receipts = [
        (await stories.append(journal, stories.webhook("flowglad", body, key="msg_1")))[0] for body in (first, second)
    ]
    assert [receipt.result for receipt in receipts] == [Result.NEW, Result.CONFLICT]
    assert receipts[1].reason == "conflict"


# --- batches


async def test_a_batch_of_new_known_and_conflicting_items(journal):
    """Each item has its own receipt; the delivery is kept once."""
    await put(journal, paid("e1", "p1"), paid("e2", "p2"))
    receipts = await put(
        journal, paid("e3", "p3"), paid("e1", "p1"), paid("e2", "p2", amount=1), says("ping", "e4"), says("odd", "e5")
    )
    assert results(receipts) == [
        ("new", "events"),
        ("duplicate", "events"),
        ("conflict", "quarantined"),
        ("new", "ignored"),
        ("new", "quarantined"),
    ]
    assert [kept.attempts for kept in deliveries(journal)] == [2, 1]
    assert [record["data"]["item"] for record in await quarantined(journal)] == [2, 4]
    again = await put(
        journal, paid("e3", "p3"), paid("e1", "p1"), paid("e2", "p2", amount=1), says("ping", "e4"), says("odd", "e5")
    )
    assert [str(receipt.result) for receipt in again] == [
        "duplicate",
        "duplicate",
        "conflict",
        "duplicate",
        "duplicate",
    ]
    assert len(await rows(journal)) == 5


async def test_one_key_twice_in_a_batch(journal):
    """The second is a duplicate of the first."""
    receipts = await put(journal, paid(), paid())
    assert results(receipts) == [("new", "events"), ("duplicate", "events")]
    assert len(await rows(journal)) == 1


async def test_an_item_that_breaks_while_it_is_put_into_words(journal):
    """It is quarantined as internal_error without a word of its body, and its neighbours are published."""
    receipts = await put(
        journal, paid("e1", "p1"), paid("e2", "p2", broken=True, note="4242424242424242"), paid("e3", "p3")
    )
    assert [(receipt.outcome, receipt.reason) for receipt in receipts] == [
        ("events", None),
        ("quarantined", "internal_error"),
        ("events", None),
    ]
    (record,) = await quarantined(journal)
    assert (record["data"]["item"], record["data"]["detail"]) == (1, "TypeError")
    assert [event["subject"] for event in await events(journal)] == ["p1", "p3"]
    assert payments(journal) == {"tiny/acme/p1", "tiny/acme/p3"}


async def test_a_record_that_no_broker_would_take(make_journal):
    """The whole item is quarantined as too_large and changes no state; what follows is numbered without a gap."""
    journal = await make_journal(rules=Rules(topics=Topics(), max_record=3000))
    await put(journal, paid("e1", status="processing"))
    receipts = await put(journal, paid("e2", note="x" * 3000, refunded=4999), paid("e3", "p2"))
    assert [(receipt.outcome, receipt.reason) for receipt in receipts] == [
        ("quarantined", "too_large"),
        ("events", None),
    ]
    await put(journal, paid("e4", after=60))
    assert [row.seq for row in await rows(journal)] == [1, 2, 3, 4]
    last = (await events(journal))[-1]["data"]["lifecycle"]
    assert (last["sequence"], last["previous_status"], last["state"]["refunded"]) == (2, "processing", None)
    assert (await put(journal, paid("e2", note="x" * 3000, refunded=4999)))[0].result is Result.DUPLICATE


async def test_a_record_of_exactly_the_largest_size(make_journal):
    """It goes out; one byte less allowed, and it does not."""
    journal = await make_journal()
    await put(journal, paid())
    size = (await rows(journal))[0].record.size
    for allowed, outcome in ((size, "events"), (size - 1, "quarantined")):
        small = await make_journal(rules=Rules(topics=Topics(), max_record=allowed))
        assert (await put(small, paid()))[0].outcome == outcome


# --- quarantine


async def test_a_quarantine_record(journal):
    """Every field of the contract, an id that follows from the delivery, its item and the attempt, never the body."""
    delivery = batch(says("ping", "e0"), says("odd", "e1", livemode=False, note="secret-word"))
    await append(journal, delivery)
    (row,) = await rows(journal)
    event = QUARANTINE.validate_json(row.record.value, strict=True)
    namespace = UUID("b8f1c1d4-52b5-5a38-8f2e-6f1f3c0a9e27")
    assert event.id == str(uuid5(namespace, f"{delivery.delivery.id}\n1\n1"))
    assert (event.type, event.source, event.subject) == (
        "paymux.quarantined",
        "/paymux/tiny/acme",
        delivery.delivery.id,
    )
    assert event.time == delivery.delivery.received_at
    assert json.loads(row.record.value)["data"] == {
        "provider": "tiny",
        "account": "acme",
        "livemode": False,
        "delivery_id": delivery.delivery.id,
        "item": 1,
        "reason": "unknown_event_type",
        "path": None,
        "detail": "'odd' is in neither list of tiny",
        "event_key": "e1",
        "event_type": "odd",
        "received_at": delivery.delivery.received_at.isoformat().replace("+00:00", "Z"),
    }
    assert row.record.key == delivery.delivery.id.encode()
    assert dict(row.record.headers)["paymux_reason"] == b"unknown_event_type"
    assert b"secret-word" not in row.record.value


async def test_a_body_that_cannot_be_read(journal):
    """It is kept and quarantined once however often it comes."""
    for _ in range(2):
        await append(journal, delivered(b"{"))
    (record,) = await quarantined(journal)
    assert (record["data"]["reason"], record["data"]["item"]) == ("shape", None)
    assert [kept.body for kept in deliveries(journal)] == [b"{"]


# --- concurrency and order


async def test_64_copies_of_one_delivery_at_once(journal):
    """Exactly one event, one new and 63 duplicates; nobody is answered before the commit."""
    may_commit = asyncio.Event()

    async def later(commit):
        await may_commit.wait()
        await commit()

    with faulty(journal, later):
        delivery = batch(paid())
        copies = [asyncio.create_task(append(journal, delivery)) for _ in range(64)]
        asyncio.get_running_loop().call_later(5, may_commit.set)
        done, _ = await asyncio.wait(copies, timeout=0.2)
        assert not done
        assert await journal.end(0) == 0
        assert await journal.chain(0, 1) is None
        assert list(await rows(journal)) == []
        may_commit.set()
        found = [str(receipt.result) for (receipt,) in await asyncio.gather(*copies)]
    assert sorted(found) == ["duplicate"] * 63 + ["new"]
    assert len(await rows(journal)) == 1
    assert [kept.attempts for kept in deliveries(journal)] == [64]


async def test_a_reader_beside_many_writers(journal):
    """It sees 1, 2, 3 ... without gaps, each row once and for ever the same, and everything at the end."""
    seen = []

    async def read():
        while len(seen) < 300:
            await journal.wait(0, len(seen), 1)
            found = await journal.read(0, len(seen), 7)
            assert [row.seq for row in found] == list(range(len(seen) + 1, len(seen) + 1 + len(found)))
            seen.extend(found)

    reader = asyncio.create_task(read())
    await asyncio.gather(*(put(journal, paid(f"e{n}", f"p{n % 10}", after=n)) for n in range(300)))
    await asyncio.wait_for(reader, 10)
    assert list(await rows(journal)) == seen
    assert await journal.end(0) == 300
    sequences = {}
    for event in await events(journal):
        sequences.setdefault(event["subject"], []).append(event["data"]["lifecycle"]["sequence"])
    assert sequences == {f"p{n}": list(range(1, 31)) for n in range(10)}


async def test_what_an_answered_caller_sees(journal):
    """Its own event is readable and counted at the moment of the answer."""

    async def check(number):
        (receipt,) = await put(journal, paid(f"e{number}", f"p{number}"))
        end = await journal.end(0)
        found = await journal.read(0, 0, end)
        assert receipt.event_ids[0] in {row.record.event_id for row in found}

    await asyncio.gather(*(check(number) for number in range(50)))


async def test_shards_are_numbered_each_on_its_own():
    """A memory journal of four shards: each key stays in one, each shard counts 1, 2, 3 ..."""
    from paymux.journal.memory import MemoryJournal

    journal = MemoryJournal(shards=4)
    for number in range(40):
        await put(journal, paid(f"e{number}", f"p{number % 8}", after=number))
    found = [row for shard in range(4) for row in await journal.read(shard, 0, 100)]
    assert len(found) == 40
    assert len({(row.shard, row.record.key) for row in found}) == 8
    for shard in range(4):
        assert [row.seq for row in found if row.shard == shard] == list(range(1, await journal.end(shard) + 1))
    assert sum([await journal.end(shard) for shard in range(4)]) == 40


async def test_every_event_is_of_the_published_form(journal):
    """Whatever entity speaks, the record is one that a consumer's strict reader takes."""
    await put(
        journal,
        paid(aliases=["c1"]),
        says("refund", "e2", "r1", by="c1", status="succeeded", amount=5),
        says("dispute", "e3", "d1", payment="p1", status="needs_response", fact="funds_withdrawn"),
        says("payout", "e4", "po1", status="paid"),
    )
    found = [parse_event(row.record.value) for row in await rows(journal)]
    assert [event.type for event in found] == [
        "payment.succeeded",
        "refund.succeeded",
        "dispute.needs_response",
        "dispute.funds_withdrawn",
        "payout.paid",
    ]
    assert [event.data.lifecycle.sequence for event in found] == [1, 2, 3, 4, 1]
    assert found[-1].data.lifecycle.state is None
    assert found[-1].data.payment_id is None


async def test_an_append_that_makes_no_event_wakes_nobody_in_vain(journal):
    """wait() comes back at its timeout when only duplicates were appended."""
    await put(journal, paid())
    began = time.monotonic()
    waiting = asyncio.create_task(journal.wait(0, 1, 0.3))
    await put(journal, paid())
    await waiting
    assert time.monotonic() - began >= 0.28


async def test_waiting_for_rows(journal):
    """It returns at once when there are rows, at the append when they come, and at the timeout when none do."""
    waiting = [asyncio.create_task(journal.wait(0, 0, 30)) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in waiting)
    await put(journal, paid())
    await asyncio.wait_for(asyncio.gather(*waiting), 2)
    await asyncio.wait_for(journal.wait(0, 0, 30), 2)
    began = time.monotonic()
    await journal.wait(0, 1, 0.1)
    assert 0.09 <= time.monotonic() - began < 2


async def test_marks_never_move_back(journal):
    """The largest that was told counts; another shard's is its own."""
    assert await journal.mark(0) == 0
    for seq in (3, 7, 5):
        await journal.advance(0, seq)
    assert await journal.mark(0) == 7
    assert await journal.mark(1) == 0


# --- faults


async def test_a_commit_that_fails_and_was_made_nonetheless(journal):
    """The caller is refused; numbering goes on after what is stored, and the retry is a duplicate."""
    await put(journal, paid("e0", "p0"))

    async def doubtful(commit):
        await commit()
        raise JournalUnavailable("who knows")

    with faulty(journal, doubtful), pytest.raises(JournalUnavailable):
        await put(journal, paid("e1", "p1"))
    assert await journal.end(0) == 2
    assert (await put(journal, paid("e1", "p1")))[0].result is Result.DUPLICATE
    assert (await put(journal, paid("e2", "p2")))[0].result is Result.NEW
    assert [row.seq for row in await rows(journal)] == [1, 2, 3]
    assert [event["subject"] for event in await events(journal)] == ["p0", "p1", "p2"]


async def test_a_writer_that_is_interrupted(journal):
    """Those under way and those waiting are refused, nobody hangs, and the journal goes on."""
    committing = asyncio.Event()

    async def stuck(commit):
        committing.set()
        await asyncio.Event().wait()

    with faulty(journal, stuck):
        first = asyncio.create_task(put(journal, paid("e1", "p1")))
        await committing.wait()
        second = asyncio.create_task(put(journal, paid("e2", "p2")))
        await asyncio.sleep(0)
        journal._commits._running.cancel()
        for task in (first, second):
            with pytest.raises(JournalUnavailable):
                await asyncio.wait_for(task, 2)
    before = await journal.end(0)
    await put(journal, paid("e3", "p3"))
    assert [row.seq for row in await rows(journal)] == list(range(1, before + 2))


async def test_a_listener_that_breaks(journal, monkeypatch):
    """What is durable is acknowledged, once, and the error goes to the loop's handler."""
    heard = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: heard.append(context["exception"]))
    monkeypatch.setattr(journal._commits, "_committed", lambda _: 1 // 0)
    tasks = [asyncio.create_task(put(journal, paid("e0", "p0")))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(put(journal, paid(f"e{n}", f"p{n}"))) for n in range(1, 5)]
    answers = await asyncio.gather(*tasks)
    assert [receipt.result for (receipt,) in answers] == [Result.NEW] * 5
    assert [kept.attempts for kept in deliveries(journal)] == [1] * 5
    assert {type(error) for error in heard} == {ZeroDivisionError}


async def test_a_decision_that_breaks_takes_no_other_along(journal):
    """The others of its batch are committed; it alone is refused."""

    def bug(unit):
        raise KeyError("a bug")

    tasks = [asyncio.create_task(put(journal, paid(f"e{n}", f"p{n}"))) for n in range(4)]
    broken = asyncio.create_task(journal._commits.run(bug))
    tasks += [asyncio.create_task(put(journal, paid(f"e{n}", f"p{n}"))) for n in range(4, 8)]
    with pytest.raises(JournalUnavailable, match="KeyError"):
        await broken
    assert [receipt.result for (receipt,) in await asyncio.gather(*tasks)] == [Result.NEW] * 8
    assert [row.seq for row in await rows(journal)] == list(range(1, 9))


async def test_refusals_are_told_to_each_caller_in_an_exception_of_its_own(journal):
    """Callers of one batch do not share an exception, whose frames would pile up."""

    with faulty(journal, no_room):
        found = await asyncio.gather(*(put(journal, paid(f"e{n}")) for n in range(3)), return_exceptions=True)
    assert [(type(error), str(error)) for error in found] == [(JournalUnavailable, "no room")] * 3
    assert len({id(error) for error in found}) == 3


async def test_a_caller_that_is_gone(journal):
    """Its delivery is committed all the same, and its retry is a duplicate."""
    task = asyncio.create_task(put(journal, paid()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await put(journal, paid()))[0].result is Result.DUPLICATE


async def test_closing_with_deliveries_under_way(journal):
    """They are answered; what comes later is refused; closing twice does nothing."""
    tasks = [asyncio.create_task(put(journal, paid(f"e{n}", f"p{n}"))) for n in range(10)]
    await asyncio.sleep(0)
    await journal.close()
    assert [receipt.result for (receipt,) in await asyncio.gather(*tasks)] == [Result.NEW] * 10
    with pytest.raises(JournalUnavailable, match="closed"):
        await put(journal, paid("late"))
    await journal.close()


async def test_a_healthy_journal(journal):
    """It says nothing; after a refusal it tries a commit and says whether that works."""

    await journal.healthy()
    if not hasattr(journal, "_failing"):
        return  # a journal in memory does not fail
    with faulty(journal, no_room):
        with pytest.raises(JournalUnavailable):
            await put(journal, paid())
        with pytest.raises(JournalUnavailable, match="no room"):
            await journal.healthy()
    await journal.healthy()


# --- links: who belongs to which payment


def refund(key, object_id="r1", **fields):
    return says("refund", key, object_id, **{"status": "succeeded", "amount": 100, **fields})


async def test_a_refund_by_charge_after_its_payment(journal):
    """The link is known: it speaks under the payment's key, in the payment's sequence."""
    await put(journal, paid(aliases=["c1"]))
    await put(journal, refund("e2", by="c1", after=9))
    first, second = await told(journal)
    assert (first.key, second.key) == ("tiny/acme/p1", "tiny/acme/p1")
    assert (first.sequence, second.sequence) == (1, 2)
    assert second.event["data"]["payment_id"] == "p1"
    assert second.event["data"]["lifecycle"]["state"]["refunded"]["minor"] == 100


async def test_a_refund_by_charge_before_its_payment(journal):
    """It keeps its own key and sequence for good; once the link is known it names its payment, whose state counts it."""
    await put(journal, refund("e1", by="c1", status="pending"))
    await put(journal, paid("e2", aliases=["c1"]))
    await put(journal, refund("e3", by="c1", after=9))
    await put(journal, says("payment", "e4", after=10))
    found = await told(journal)
    assert [(event.type, event.key, event.sequence) for event in found] == [
        ("refund.pending", "tiny/acme/r1", 1),
        ("payment.succeeded", "tiny/acme/p1", 1),
        ("refund.succeeded", "tiny/acme/r1", 2),
        ("payment.updated", "tiny/acme/p1", 2),
    ]
    assert [event.event["data"]["payment_id"] for event in found] == [None, "p1", "p1", "p1"]
    states = [event.event["data"]["lifecycle"]["state"] for event in found]
    assert states[0] is None
    assert (states[1]["refunded"], states[1]["refund_state"]) == (None, "none")
    assert [(state["refunded"]["minor"], state["refund_state"]) for state in states[2:]] == [(100, "partial")] * 2


async def test_a_succeeded_refund_that_came_before_its_payment(journal):
    """The payment's first event already counts it."""
    await put(journal, refund("e1", by="c1"))
    await put(journal, paid("e2", aliases=["c1"]))
    state = (await events(journal))[-1]["data"]["lifecycle"]["state"]
    assert (state["refunded"]["minor"], state["refund_state"]) == (100, "partial")


async def test_an_entity_that_names_both_tells_the_link(journal):
    """A refund with payment and charge is enough for a dispute by charge alone to find its payment."""
    await put(journal, refund("e1", payment="p1", aliases=["c1"]))
    await put(journal, says("dispute", "e2", "d1", by="c1", status="needs_response", after=5))
    found = await told(journal)
    assert [(event.key, event.sequence) for event in found] == [("tiny/acme/p1", 1), ("tiny/acme/p1", 2)]
    assert found[1].event["data"]["payment_id"] == "p1"
    assert found[1].event["data"]["lifecycle"]["state"]["disputed"] is True


async def test_an_orphan_that_says_more_after_it_named_its_payment_once(journal):
    """Whatever it says, and in whatever order the link is heard of, the newest word counts for the payment."""
    steps = [
        refund("e1", by="c1", status="pending", after=1),
        refund("e2", payment="p1", status="processing", after=2),
        refund("e3", by="c1", status="succeeded", after=3),
        paid("e4", aliases=["c1"], after=0),
    ]
    for step in steps:
        await put(journal, step)
    state = (await events(journal))[-1]["data"]["lifecycle"]["state"]
    assert state["refunded"] == {"minor": 100, "currency": "EUR", "exponent": 2}


async def test_two_orphans_of_one_charge(journal):
    """Both join the payment, each under a key of its own."""
    await put(journal, refund("e1", "r1", by="c1"), refund("e2", "r2", by="c1"), refund("e3", "r3", by="c2"))
    await put(journal, paid("e4", aliases=["c1"]))
    found = await told(journal)
    assert [event.key for event in found] == ["tiny/acme/r1", "tiny/acme/r2", "tiny/acme/r3", "tiny/acme/p1"]
    assert found[-1].event["data"]["lifecycle"]["state"]["refunded"]["minor"] == 200


async def test_the_first_link_counts(journal):
    """A name that was once heard for one payment is not taken over by another."""
    await put(journal, paid("e1", "p1", aliases=["c1"]), paid("e2", "p2", aliases=["c1"]), refund("e3", by="c1"))
    assert (await events(journal))[-1]["data"]["payment_id"] == "p1"


async def test_a_refund_that_names_nobody(journal):
    """It has a key and a sequence of its own, and no payment."""
    await put(journal, refund("e1", status="pending"), refund("e2", after=1))
    found = await told(journal)
    assert [(event.key, event.sequence, event.transition) for event in found] == [
        ("tiny/acme/r1", 1, "first"),
        ("tiny/acme/r1", 2, "advanced"),
    ]
    assert {event.event["data"]["payment_id"] for event in found} == {None}


# --- snapshots


async def test_an_api_answer_that_adds_nothing(journal):
    """It is kept, it is an event of its own, and it publishes nothing; one that adds something publishes that."""
    await put(journal, paid(status="processing", after=5))
    await append(journal, answered({"id": "p1", "status": "processing", "amount": 4999, "at": 1793534405}))
    assert len(await rows(journal)) == 1
    (receipt,) = await append(journal, answered({"id": "p1", "status": "succeeded", "amount": 4999, "at": 1793534406}))
    assert (receipt.result, len(receipt.event_ids)) == (Result.NEW, 1)
    last = (await told(journal))[-1]
    assert (last.type, last.transition, last.sequence) == ("payment.succeeded", "advanced", 2)
    assert last.event["data"]["origin"]["event_type"] is None
    assert (last.event["data"]["origin"]["via"], last.event["data"]["origin"]["proof"]) == ("lookup", "api")


async def test_a_webhook_that_adds_nothing_is_an_update(journal):
    """Something was said: payment.updated, repeated or stale."""
    await put(journal, paid("e1", after=5))
    await put(journal, paid("e2", after=6), paid("e3", after=1, status="processing"))
    found = await told(journal)
    assert [(event.type, event.transition) for event in found[1:]] == [
        ("payment.updated", "repeated"),
        ("payment.updated", "stale"),
    ]


# --- lookups


def asks(*ids, key=None, after=0, **fields):
    return says("ask", key, "-", after=after, ids=list(ids), **fields)


async def lookups(journal, at=None):
    return list(await journal.due_lookups(at or NOON + timedelta(days=10_000), 100))


@pytest.fixture
def clock():
    """A clock that tests turn by hand."""

    class Clock:
        now = NOON

        def __call__(self):
            return self.now

    return Clock()


async def test_a_thin_delivery(make_journal, clock):
    """It publishes nothing and leaves one lookup, due now, known by the delivery that asked."""
    journal = await make_journal(now=clock)
    delivery = batch(asks("p1", key="e1", after=3))
    (receipt,) = await append(journal, delivery)
    assert (receipt.result, receipt.outcome) == (Result.NEW, "lookup")
    assert list(await rows(journal)) == []
    (row,) = await lookups(journal, NOON)
    assert (row.ref, row.asked, row.attempts, row.rounds) == (ObjectRef(object="payment", id="p1"), 1, 0, 0)
    assert (row.due_at, row.delivery_id, row.event_key, row.event_type) == (NOON, delivery.delivery.id, "e1", "ask")
    assert (row.received_at, row.proof) == (delivery.delivery.received_at, Proof.SIGNATURE)
    assert row.question.occurred_at == NOON + timedelta(seconds=3)
    assert await journal.next_lookup_at() == NOON
    assert await journal.lookups_waiting() == 1


async def test_many_deliveries_about_one_object(journal):
    """One lookup, that counts them and knows the newest and the time of the newest event."""
    await put(journal, asks("p1", key="e1", after=50))
    newest = batch(asks("p1", key="e2", after=20))
    await append(journal, newest)
    (row,) = await lookups(journal)
    assert (row.asked, row.delivery_id, row.event_key) == (2, newest.delivery.id, "e2")
    assert row.occurred_at == NOON + timedelta(seconds=50)


async def test_the_same_hint_again_and_again(journal):
    """Each asks, and only the first leaves a row of its own: a stranger must not fill the disk."""
    first = batch(asks("p1"), proof=Proof.HINT)
    found = [(await append(journal, first))[0].result]
    found += [(await put(journal, asks("p1"), proof=Proof.HINT))[0].result for _ in range(2)]
    assert found == [Result.NEW, Result.DUPLICATE, Result.DUPLICATE]
    (row,) = await lookups(journal)
    assert (row.asked, row.proof, row.delivery_id) == (3, Proof.HINT, first.delivery.id)
    assert len(deliveries(journal)) == 1
    await put(journal, asks("p1", "p2"), proof=Proof.HINT)
    assert len(deliveries(journal)) == 2


async def test_an_answer_ends_its_lookup(journal):
    """The answer goes down the line, and the row is gone."""
    await put(journal, asks("p1", key="e1"))
    (row,) = await lookups(journal)
    await append(journal, answered({"id": "p1", "status": "succeeded"}), answers=row.id, asked=row.asked)
    assert await lookups(journal) == []
    assert await journal.next_lookup_at() is None
    assert [event["type"] for event in await events(journal)] == ["payment.succeeded"]


async def test_a_delivery_that_asks_while_the_request_is_on_its_way(make_journal, clock):
    """One more request, at once and only one: the answer may have been made before it."""
    journal = await make_journal(now=clock)
    await put(journal, asks("p1", key="e1"))
    (row,) = await lookups(journal)
    await put(journal, asks("p1", key="e2"), asks("p1", key="e3"))
    clock.now = NOON + timedelta(seconds=2)
    await append(journal, answered({"id": "p1", "status": "processing"}), answers=row.id, asked=row.asked)
    (again,) = await lookups(journal)
    assert (again.id, again.asked, again.due_at, again.attempts, again.rounds) == (row.id, 3, clock.now, 0, 0)
    await append(journal, answered({"id": "p1", "status": "processing"}), answers=again.id, asked=again.asked)
    assert await lookups(journal) == []


async def test_an_answer_to_a_lookup_that_is_gone(journal):
    """It changes no other lookup."""
    await put(journal, asks("p1", key="e1"))
    (row,) = await lookups(journal)
    await append(journal, answered({"id": "p1", "status": "processing"}), answers=row.id + 7, asked=9)
    await append(journal, answered({"id": "p2", "status": "processing"}), answers=row.id, asked=9)
    assert await lookups(journal) == [row]


async def test_an_object_that_is_still_open(make_journal, clock):
    """It is asked for again when the answer says, round by round."""
    journal = await make_journal(now=clock)
    await put(journal, asks("p1", key="e1", settles=["succeeded", "failed"]))
    (row,) = await lookups(journal)
    again_at = NOON + timedelta(minutes=1)
    body = {"id": "p1", "status": "processing"}
    await append(journal, answered(body), answers=row.id, asked=row.asked, again_at=again_at)
    (row,) = await lookups(journal)
    assert (row.settles, row.rounds, row.attempts, row.due_at) == ({"succeeded", "failed"}, 1, 0, again_at)
    assert await lookups(journal, NOON) == []
    assert await journal.next_lookup_at() == again_at
    await append(journal, answered(body), answers=row.id, asked=row.asked, again_at=again_at)
    assert (await lookups(journal))[0].rounds == 2
    await put(journal, asks("p1", key="e2"))
    (row,) = await lookups(journal, NOON)
    assert (row.settles, row.rounds, row.due_at) == ({"succeeded", "failed"}, 0, NOON)


async def test_an_outcome_and_a_later_one(journal):
    """The newest delivery that promised something says what is waited for."""
    await put(journal, asks("p1", key="e1"))
    assert (await lookups(journal))[0].settles == frozenset()
    await put(journal, asks("p1", key="e2", settles=["failed"]))
    await put(journal, asks("p1", key="e3", settles=["succeeded"]))
    await put(journal, asks("p1", key="e4"))
    assert (await lookups(journal))[0].settles == {"succeeded"}


async def test_a_lookup_that_backs_off(make_journal, clock):
    """Attempts are counted, and a delivery that asks meanwhile does not make it due."""
    journal = await make_journal(now=clock)
    await put(journal, asks("p1", key="e1"))
    until = NOON + timedelta(seconds=30)
    for attempt in (1, 2):
        (row,) = await lookups(journal)
        await journal.postpone(row, until)
        (row,) = await lookups(journal)
        assert (row.attempts, row.due_at) == (attempt, until)
    await put(journal, asks("p1", key="e2"))
    (row,) = await lookups(journal)
    assert (row.asked, row.attempts, row.due_at) == (2, 2, until)
    assert await lookups(journal, NOON + timedelta(seconds=29)) == []


async def test_lookups_come_oldest_first_and_no_more_than_asked_for(make_journal, clock):
    """By the time they are due, then by age."""
    journal = await make_journal(now=clock)
    await put(journal, asks("p1", "p2", "p3", key="e1"))
    for row in await lookups(journal):
        if row.ref.id != "p3":
            await journal.postpone(row, NOON + timedelta(seconds={"p1": 9, "p2": 4}[row.ref.id]))
    found = await journal.due_lookups(NOON + timedelta(seconds=60), 2)
    assert [row.ref.id for row in found] == ["p3", "p2"]


async def test_giving_up_what_a_signed_delivery_asked_for(journal):
    """Its delivery is quarantined with the reason, and the lookup is gone."""
    delivery = batch(asks("p1", key="e1"), paid("e2", "p2"))
    await append(journal, delivery)
    (row,) = await lookups(journal)
    await journal.give_up(row, reason="lookup_denied", detail="401 of the API")
    assert await lookups(journal) == []
    (record,) = await quarantined(journal)
    data = record["data"]
    assert (data["reason"], data["detail"], data["delivery_id"]) == (
        "lookup_denied",
        "401 of the API",
        delivery.delivery.id,
    )
    assert (data["event_key"], data["event_type"], data["item"]) == ("e1", "ask", None)
    assert items(journal) == [(1, "new", "quarantined", "lookup_denied"), (1, "new", "events", None)]


async def test_giving_up_a_hint(journal):
    """Nothing that a stranger said is published; the lookup is gone."""
    await put(journal, asks("p1"), proof=Proof.HINT)
    (row,) = await lookups(journal)
    await journal.give_up(row, reason="lookup_not_found", detail="404")
    assert await lookups(journal) == []
    assert list(await rows(journal)) == []


async def test_giving_up_while_another_delivery_asks(make_journal, clock):
    """That one keeps the lookup, due at once."""
    journal = await make_journal(now=clock)
    await put(journal, asks("p1", key="e1"))
    (row,) = await lookups(journal)
    await journal.postpone(row, NOON + timedelta(hours=1))
    (row,) = await lookups(journal)
    await put(journal, asks("p1", key="e2"))
    await journal.give_up(row, reason="lookup_not_found", detail="404")
    (kept,) = await lookups(journal)
    assert (kept.asked, kept.attempts, kept.due_at) == (2, 0, NOON)
    assert list(await rows(journal)) == []


async def test_a_hint_about_what_a_signed_delivery_asked_for(journal):
    """The lookup stays the signed delivery's: nothing of the hint can get into its quarantine record."""
    signed = batch(asks("p1", key="e1"))
    await append(journal, signed)
    await put(journal, asks("p1", type="forged") | {"type": "ask"}, proof=Proof.HINT)
    (row,) = await lookups(journal)
    assert (row.asked, row.proof, row.delivery_id, row.event_key) == (2, Proof.SIGNATURE, signed.delivery.id, "e1")
    await put(journal, asks("p2"), proof=Proof.HINT)
    proven = batch(asks("p2", key="e3"))
    await append(journal, proven)
    assert (await lookups(journal))[1].delivery_id == proven.delivery.id


async def test_a_lookup_of_another_account(journal):
    """The same object id there is another lookup."""
    other = replace(ACCOUNT, name="other")
    await put(journal, asks("p1", key="e1"))
    await append(journal, batch(asks("p1", key="e1")), other)
    assert [(row.account, row.asked) for row in await lookups(journal)] == [("acme", 1), ("other", 1)]


# --- rejections and secrets


def rejection(number):
    return Rejection(
        at=NOON + timedelta(milliseconds=number),
        provider="tiny",
        account="acme",
        reason="signature_mismatch",
        address="192.0.2.1",
        size=number,
        sha256="00" * 32,
    )


async def test_rejections_are_a_bounded_ring(journal):
    """The newest thousand, newest first, through commits in between; none costs a row of the outbox."""
    for number in range(1500):
        journal.reject(rejection(number))
        if number in (600, 1300):
            await put(journal, paid(f"e{number}"))
    found = await journal.rejections(5000)
    assert [kept.size for kept in found] == list(range(1499, 499, -1))
    assert found[0] == rejection(1499)
    assert [kept.size for kept in await journal.rejections(2)] == [1499, 1498]
    assert len(await rows(journal)) == 2


async def test_rejections_of_a_commit_that_failed(journal):
    """They are not lost: the next commit takes them along."""

    journal.reject(rejection(1))
    with faulty(journal, no_room), pytest.raises(JournalUnavailable):
        await put(journal, paid("e1"))
    journal.reject(rejection(2))
    assert [kept.size for kept in await journal.rejections(10)] == [2, 1]
    await put(journal, paid("e2"))
    assert [kept.size for kept in await journal.rejections(10)] == [2, 1]


async def test_secrets_of_a_request_are_not_stored(journal):
    """Values of authorization, cookies, the scheme's own header, and the path token; every other value is kept."""
    checks = (*ACCOUNT.checks, (PathToken(), (b"the-token-in-the-path",)))
    account = replace(ACCOUNT, checks=checks)
    headers = (
        (b"X-Tiny-Secret", SECRET),
        (b"authorization", b"Bearer hidden-1"),
        (b"Cookie", b"hidden-2"),
        (b"X-Api-Key", b"hidden-3"),
        (b"User-Agent", b"Tiny/1.0"),
        (b"x-sig", b"a"),
        (b"x-sig", b"b"),
    )
    delivery = batch(paid(), headers=headers, path_token="the-token-in-the-path")
    await append(journal, delivery, account)
    (kept,) = deliveries(journal)
    assert kept.headers.split(b"\n") == [
        b"X-Tiny-Secret:[redacted]",
        b"authorization:[redacted]",
        b"Cookie:[redacted]",
        b"X-Api-Key:[redacted]",
        b"User-Agent:Tiny/1.0",
        b"x-sig:a",
        b"x-sig:b",
    ]
    stored = everything(journal)
    assert b"Tiny/1.0" in stored
    for secret in (SECRET, b"hidden-", b"the-token-in-the-path"):
        assert secret not in stored


async def test_a_url_that_is_no_text(journal):
    """Bytes that are no UTF-8 are spelled out; the delivery is kept like any other."""
    (receipt,) = await put(journal, paid(), query="x=\udcff&y=é")
    assert receipt.result is Result.NEW
    if not hasattr(journal, "store"):
        assert deliveries(journal)[0].query == "x=\\udcff&y=é"


# --- replay


async def test_the_same_bytes_in_another_journal(make_journal):
    """The same event ids, values aside from what only the new delivery knows (P9)."""
    one, other = await make_journal(), await make_journal()
    sent = [
        batch(paid("e1", status="processing"), refund("e2", payment="p1")),
        batch(paid("e3", after=5, refunded=4999)),
        batch(says("odd", "e4")),
        answered({"id": "p2", "status": "succeeded", "amount": 1, "at": 1793534406}),
    ]
    for journal in (one, other):
        for verified in sent:
            await append(journal, verified)
    first, second = await rows(one), await rows(other)
    assert [row.record for row in first] == [row.record for row in second]
    assert len({row.record.event_id for row in first}) == 6
    assert one.identity != other.identity


async def test_ids_do_not_follow_the_place_in_a_batch(make_journal):
    """The same items in another order and another delivery have the same event ids."""
    one, other = await make_journal(), await make_journal()
    batched = [paid("e1", "p1"), paid("e2", "p2"), refund("e3", payment="p1")]
    await put(one, *batched)
    for item in reversed(batched):
        await put(other, item)
    assert {row.record.event_id for row in await rows(one)} == {row.record.event_id for row in await rows(other)}


async def test_an_empty_list_of_an_api(journal):
    """No item, no receipt, no event."""
    nothing = replace(entry(batch(paid())), items=())
    assert await journal.append(nothing) == ()
    assert list(await rows(journal)) == []


def test_the_tiny_provider_is_what_the_tests_think():
    """Its secret header is one that the journal must hide."""
    assert TINY.signature.secret_headers == {b"x-tiny-secret"}


# --- retention

LATER = NOON + timedelta(days=10_000)


async def left(journal):
    """Whether each delivery, in order of arrival, has its body."""
    return [bool(kept.body) for kept in deliveries(journal)]


async def test_old_bodies_are_let_go_of(journal):
    """With their headers and query; keys, digests, outcomes and payment states stay, so that a copy is a duplicate."""
    old = batch(paid("e1", status="processing"), headers=((b"X-Old", b"1"),), query="q=1")
    await append(journal, old)
    await put(journal, paid("e2", after=1))
    await journal.advance(0, 2)
    before = old.delivery.received_at + timedelta(seconds=0.5)
    assert await journal.expire(before, 100) == 1
    assert await journal.expire(before, 100) == 0
    assert await left(journal) == [False, True]
    (kept, _) = deliveries(journal)
    assert (kept.body or b"", kept.headers, kept.query) == (b"", b"", "")
    assert (await append(journal, old))[0].result is Result.DUPLICATE
    await put(journal, paid("e3", status="processing", after=2))
    assert (await told(journal))[-1].transition == "unexpected"


async def test_of_what_was_published_the_newest_stays(make_journal, clock):
    """The relay finds the record of its position again; younger and unpublished records stay."""
    journal = await make_journal(now=clock)
    for number in range(5):
        await put(journal, paid(f"e{number}", f"p{number}"))
        clock.now += timedelta(days=1)
    await journal.advance(0, 3)
    assert await journal.expire(NOON + timedelta(days=9), 100) >= 2
    assert [await journal.chain(0, seq) is not None for seq in (1, 2, 3)] == [False, False, True]
    assert [row.seq for row in await journal.read(0, 3, 9)] == [4, 5]
    await journal.advance(0, 5)
    assert await journal.expire(NOON + timedelta(days=3, hours=1), 100) >= 1
    assert [await journal.chain(0, seq) is not None for seq in (3, 4, 5)] == [False, False, True]
    assert (await journal.end(0), (await put(journal, paid("e9", "p9")))[0].result) == (5, Result.NEW)
    assert [row.seq for row in await journal.read(0, 5, 9)] == [6]


async def test_a_body_goes_together_with_what_was_published_of_it(journal):
    """In one step, of which the number is told; the newest record stays, and so does that of a body that stays."""
    await put(journal, paid("e0", "p0"), says("no such type", "q0"))
    for number in range(1, 4):
        await put(journal, paid(f"e{number}", f"p{number}"))
    await journal.advance(0, 5)
    assert [await journal.expire(LATER, 100) for _ in range(2)] == [5, 0]
    kept = [await journal.chain(0, seq) is not None for seq in range(1, 6)]
    assert kept == [True, True, False, False, True]


async def test_what_is_needed_keeps_its_body(journal):
    """Quarantined, waiting for a lookup, or not published yet."""
    await put(journal, says("no such type", "q1"))
    await put(journal, asks("p7", key="a1"))
    await put(journal, paid("e1", "p1"))
    await put(journal, paid("e2", "p2"))
    await journal.advance(0, 2)
    await journal.expire(LATER, 100)
    assert await left(journal) == [True, True, False, True]
    await journal.advance(0, 3)
    await journal.expire(LATER, 100)
    assert await left(journal) == [True, True, False, False]


async def test_a_clock_that_was_wrong_for_a_while(journal):
    """What came between rows of another time keeps its body until its own time is old."""
    for days in (0, 1, -9000, 2):
        await append(journal, batch(paid(f"e{days}", f"p{days}"), received_at=NOON + timedelta(days=days)))
    await journal.advance(0, 4)
    await journal.expire(NOON + timedelta(days=0.5), 100)
    assert await left(journal) == [False, True, False, True]


async def test_bodies_are_let_go_of_in_steps(journal):
    """The oldest first, no more than asked for."""
    for number in range(7):
        await put(journal, paid(f"e{number}", f"p{number}"))
    await journal.advance(0, 7)
    await journal.expire(LATER, 3)
    assert await left(journal) == [False] * 3 + [True] * 4
    while await journal.expire(LATER, 3):
        pass
    assert await left(journal) == [False] * 7


async def test_the_same_conflict_again_and_again(journal):
    """One record on the quarantine topic; every copy is kept as what it is."""
    await put(journal, paid("e1"))
    for number in range(3):
        (receipt,) = await put(journal, paid("e1", amount=1, again=number))
        assert (receipt.result, receipt.outcome, receipt.reason) == (Result.CONFLICT, "quarantined", "conflict")
    assert items(journal)[1:] == [(row, "conflict", "quarantined", "conflict") for row in (2, 3, 4)]
    assert len(await quarantined(journal)) == 1


async def test_an_event_that_a_lost_journal_published(make_journal):
    """It changes what is known and goes out no more; what comes after it does, under the next number."""
    (lost,) = await put(await make_journal(), paid(status="processing"))
    journal = await make_journal()
    take(journal, lost.event_ids)
    (heard,) = await put(journal, paid(status="processing"))
    assert (heard.result, heard.outcome, heard.event_ids) == (Result.NEW, "events", ())
    (after,) = await put(journal, paid("e2", after=9))
    (row,) = await rows(journal)
    assert after.event_ids == (row.record.event_id,)
    life = json.loads(row.record.value)["data"]["lifecycle"]
    assert (life["sequence"], life["transition"], life["previous_status"]) == (1, "advanced", "processing")
    assert results(await put(journal, paid(status="processing"))) == [("duplicate", "events")]
