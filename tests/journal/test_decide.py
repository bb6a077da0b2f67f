"""What one commit changes, in detail: what is written of a conflict, of a lookup and of giving up."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid5

import pytest

from paymux.delivery import ObjectRef, Proof
from paymux.journal import Result
from paymux.journal.changes import Rules
from paymux.journal.decide import Unit, shard_of
from paymux.journal.memory import MemoryJournal, MemoryStore
from paymux.records import Topics
from tests.journal.stored import deliveries, items
from tests.journal.test_contract import asks, clock, lookups, paid, quarantined, results, rows  # noqa: F401  # a fixture
from tests.journal.tiny import ACCOUNT, NOON, TINY, answered, append, ask, batch, put, says

QUARANTINE = UUID("b8f1c1d4-52b5-5a38-8f2e-6f1f3c0a9e27")
OTHER = replace(ACCOUNT, name="other")


# --- conflicts and quarantine


async def test_a_conflict_says_so_and_names_its_delivery(journal):
    """The record and the item say why; each further one is kept under its own delivery, unpublished."""
    await put(journal, paid())
    receipts = [(await put(journal, paid(amount=1, again=number)))[0] for number in range(2)]
    (record,) = await rows(journal, after=1)
    assert [receipt.event_ids for receipt in receipts] == [(record.record.event_id,), ()]
    (event,) = await quarantined(journal)
    assert event["data"]["detail"] == "the same event key came before with another content"
    assert items(journal)[:2] == [(1, "new", "events", None), (2, "conflict", "quarantined", "conflict")]
    assert [(row, result) for row, result, _, _ in items(journal)[2:]] == [(3, "conflict")]


async def test_a_conflict_of_one_account_hides_none_of_another(journal):
    """The same key and the same two contents are quarantined once for each account."""
    for account in (ACCOUNT, OTHER):
        for amount in (4999, 1):
            await append(journal, batch(paid(amount=amount)), account)
    assert [event["data"]["account"] for event in await quarantined(journal)] == ["acme", "other"]


async def test_a_quarantined_item_says_where_and_under_which_delivery(journal):
    """The place in the body, as a JSON pointer."""
    await put(journal, paid("e1"))
    await put(journal, paid("e2", amount="many"))
    (event,) = await quarantined(journal)
    assert event["data"]["path"] == "/items/0/amount"
    assert items(journal)[1] == (2, "new", "quarantined", event["data"]["reason"])


@pytest.mark.parametrize(
    ("item", "reason", "detail"),
    [
        (paid("e2", note="x" * 3000), "too_large", "a record would be larger than 3000 bytes"),
        (paid("e2", broken=True), "internal_error", "TypeError"),
    ],
    ids=["too large", "broken"],
)
async def test_an_item_that_cannot_be_published_is_kept_with_the_reason(make_journal, item, reason, detail):
    """Under its delivery, with the id of its record on the receipt."""
    journal = await make_journal(rules=Rules(topics=Topics(), max_record=3000))
    await put(journal, paid("e1"))
    (receipt,) = await put(journal, item)
    (event,) = await quarantined(journal)
    assert (event["data"]["reason"], event["data"]["detail"]) == (reason, detail)
    assert (receipt.reason, receipt.event_ids) == (reason, (event["id"],))
    assert items(journal)[1] == (2, "new", "quarantined", reason)


async def test_a_quarantine_record_has_the_shard_of_its_delivery():
    """Its Kafka key is the delivery's id, and so is what numbers it: also where a lookup was given up."""
    for body in (says("odd", "e1"), asks("p1", key="e1"), paid("e1", broken=True)):
        journal = MemoryJournal(shards=5)
        for number in range(6):
            await put(journal, body | {"key": f"e{number}", "ids": [f"p{number}"]})
        for row in await lookups(journal):
            await journal.give_up(row, reason="lookup_denied", detail="401")
        found = [row for shard in range(5) for row in await journal.read(shard, 0, 99)]
        assert len(found) == 6
        assert all(row.shard == shard_of(row.record.key.decode(), 5) for row in found)


async def test_why_an_item_was_quarantined_is_kept_with_it():
    """Where and what, beside the reason; nothing of the kind where it was published."""
    journal = MemoryJournal()
    await put(journal, paid("e1"), paid("e2", amount="many"))
    (event,) = await quarantined(journal)
    published, kept = journal.store.items
    assert (published.reason, published.path, published.detail) == (None, None, None)
    assert (kept.reason, kept.path, kept.detail) == tuple(event["data"][name] for name in ("reason", "path", "detail"))
    assert kept.path == "/items/1/amount"
    assert kept.detail


# --- what a delivery leaves


async def test_a_duplicate_says_what_its_items_were(journal):
    """Each by its own outcome, although nothing was done."""
    batched = (paid("e1"), asks("p2", key="e2"), says("ping", "e3"), says("odd", "e4"))
    outcomes = ["events", "lookup", "ignored", "quarantined"]
    assert results(await put(journal, *batched)) == [("new", outcome) for outcome in outcomes]
    assert results(await put(journal, *batched)) == [("duplicate", outcome) for outcome in outcomes]


async def test_a_move_that_its_provider_should_not_make_is_counted(journal):
    """On the receipt: that is how an operator hears of it."""
    await put(journal, paid("e1"))
    (receipt,) = await put(journal, paid("e2", status="failed", after=1))
    assert (receipt.outcome, receipt.unexpected) == ("events", 1)


async def test_of_a_hint_only_what_was_asked_for_is_kept(journal):
    """A stranger's words are nobody's evidence: no body, no headers, no query; of proven ones all three."""
    said = {"headers": ((b"X-Stranger", b"words"),), "query": "a=1"}
    await append(journal, batch(asks("p1"), proof=Proof.HINT, **said))
    await append(journal, batch(paid("e1"), **said))
    hint, proven = deliveries(journal)
    assert (hint.headers, hint.query, hint.body) == (b"", "", b"")
    assert (proven.headers, proven.query) == (b"X-Stranger:words", "a=1")
    assert proven.body


# --- the chain


def chained_by_hand(found, before=""):
    """What each row's chain should be, of rows from the first on."""
    for row in found:
        before = hashlib.sha256(f"{before}\n{row.record.event_id}".encode()).hexdigest()
        yield before


async def test_a_rows_chain_stands_for_all_the_rows_before_it(journal):
    """Within a commit and from one to the next: a restored file that grew again differs from its first other row on."""
    await put(journal, paid("e1"), paid("e2", "p2"), says("odd", "e3"))
    await put(journal, paid("e4", "p3"))
    found = await rows(journal)
    assert len(found) == 4
    assert [row.chain for row in found] == list(chained_by_hand(found))
    assert [await journal.chain(0, row.seq) for row in found] == [row.chain for row in found]


async def test_each_shard_has_a_chain_of_its_own():
    """The rows of one shard tell nothing of another's."""
    journal = MemoryJournal(shards=3)
    for number in range(40):
        await put(journal, paid(f"e{number}", f"p{number}"))
    for shard in range(3):
        found = await journal.read(shard, 0, 99)
        assert len(found) > 1
        assert [row.chain for row in found] == list(chained_by_hand(found))


# --- giving up


async def test_giving_up_each_object_of_a_delivery(journal):
    """A record for each, with an id of its own that follows from the object and the count of askers."""
    await put(journal, asks("p2", key="e0"))
    asking = batch(asks("p1", "p2", key="e1", livemode=True))
    await append(journal, asking)
    delivery = asking.delivery
    for row in await lookups(journal):
        await journal.give_up(row, reason="lookup_denied", detail="401")
    found = {event["id"]: event["data"] for event in await quarantined(journal)}
    assert set(found) == {
        str(uuid5(QUARANTINE, f"{delivery.id}\nNone\npayment {name} {asked}")) for name, asked in (("p1", 1), ("p2", 2))
    }
    for data in found.values():
        assert data == {
            "provider": "tiny",
            "account": "acme",
            "livemode": None,
            "delivery_id": delivery.id,
            "item": None,
            "reason": "lookup_denied",
            "path": None,
            "detail": "401",
            "event_key": "e1",
            "event_type": "ask",
            "received_at": delivery.received_at.isoformat().replace("+00:00", "Z"),
        }


# --- lookups


async def test_each_object_has_a_lookup_of_its_own_number(journal):
    """1, 2, 3, also across deliveries: an answer names its lookup by it."""
    await put(journal, asks("p1", "p2", key="e1"))
    await put(journal, asks("p3", key="e2"))
    assert [(row.id, row.ref.id) for row in await lookups(journal)] == [(1, "p1"), (2, "p2"), (3, "p3")]


async def test_a_hint_that_says_nothing_new_is_a_lookup_all_the_same(journal):
    """Its receipt names what it turned out to be."""
    receipts = [(await put(journal, asks("p1"), proof=Proof.HINT))[0] for _ in range(2)]
    assert results(receipts) == [("new", "lookup"), ("duplicate", "lookup")]


async def test_a_proven_delivery_about_an_object_that_waits_is_kept(journal):
    """It is new and its body stays, whether a hint or a proven delivery asked before it: only hints repeat in vain."""
    await put(journal, asks("p1"), proof=Proof.HINT)
    for number, key in enumerate(("e1", "e2"), start=2):
        assert results(await put(journal, asks("p1", key=key))) == [("new", "lookup")]
        assert len(deliveries(journal)) == len(items(journal)) == number


async def test_askers_that_know_no_time(journal):
    """Two of them leave the time unknown, a third one tells it."""
    for key, after, known in (("e1", None, None), ("e2", None, None), ("e3", 7, NOON + timedelta(seconds=7))):
        await put(journal, asks("p1", key=key, after=after))
        (row,) = await lookups(journal)
        assert row.occurred_at == known


@pytest.mark.parametrize("first", [Proof.HINT, Proof.SIGNATURE])
async def test_a_lookup_is_known_by_its_newest_proven_asker(journal, first):
    """Delivery, key, type, time of receipt and proof are all of the one delivery."""
    account = replace(ACCOUNT, provider=replace(TINY, events={**TINY.events, "ask.again": ask}))
    await append(journal, batch(asks("p1", key="e1"), proof=first), account)
    newest = batch(asks("p1", key="e2") | {"type": "ask.again"})
    await append(journal, newest, account)
    (row,) = await lookups(journal)
    assert (row.delivery_id, row.received_at) == (newest.delivery.id, newest.delivery.received_at)
    assert (row.event_key, row.event_type, row.proof) == ("e2", "ask.again", Proof.SIGNATURE)


async def test_an_answer_ends_the_waiting_for_errors(make_journal, clock):  # noqa: F811  # the fixture
    """Attempts count errors in a row: an answer begins anew, whether it asks again or somebody else did meanwhile."""
    journal = await make_journal(now=clock)
    await put(journal, asks("p1", "p2", key="e1", settles=["succeeded"]))
    until = NOON + timedelta(minutes=1)
    for row in await lookups(journal):
        await journal.postpone(row, until)
    first, second = await lookups(journal)
    assert (first.attempts, second.attempts) == (1, 1)
    body = {"status": "processing"}
    await append(journal, answered(body | {"id": "p1"}), answers=first.id, asked=first.asked, again_at=until)
    await put(journal, asks("p2", key="e2"))
    await append(journal, answered(body | {"id": "p2"}), answers=second.id, asked=second.asked)
    found = {row.ref.id: (row.attempts, row.rounds, row.due_at) for row in await lookups(journal)}
    assert found == {"p1": (0, 1, until), "p2": (0, 0, NOON)}


async def test_rounds_begin_anew_where_somebody_asked_meanwhile(journal):
    """An object that stayed open and is asked for again is new."""
    await put(journal, asks("p1", key="e1"))
    (row,) = await lookups(journal)
    body = {"id": "p1", "status": "processing"}
    await append(journal, answered(body), answers=row.id, asked=row.asked, again_at=NOON)
    (row,) = await lookups(journal)
    assert row.rounds == 1
    await append(journal, answered(body | {"at": 1793534405}), answers=row.id, asked=0)
    assert [row.rounds for row in await lookups(journal)] == [0]


async def test_postponing_a_lookup_that_is_gone(journal):
    """Nothing comes back, and the next lookup for the same object is not held up by it."""
    await put(journal, asks("p1", key="e1"), asks("p2", key="e2"))
    old, _ = await lookups(journal)
    await append(journal, answered({"id": "p1", "status": "succeeded"}), answers=old.id, asked=old.asked)
    until = NOON + timedelta(days=5000)
    await journal.postpone(old, until)
    assert [row.ref.id for row in await lookups(journal)] == ["p2"]
    await put(journal, asks("p1", key="e3"))
    await journal.postpone(old, until)
    assert [(row.ref.id, row.attempts) for row in await lookups(journal)] == [("p2", 0), ("p1", 0)]


def test_two_runs_of_the_retention_in_one_commit():
    """Both count: neither takes the place of the other."""
    store = MemoryStore()
    unit = Unit(store.view, store.counters(), Rules(topics=Topics()), NOON)
    unit.expire([1], [(0, 1)])
    unit.expire([2, 3], [(0, 2)])
    assert (unit.changes.expired, unit.changes.forgotten) == ([1, 2, 3], [(0, 1), (0, 2)])


def test_a_key_has_one_shard_for_ever():
    """Where it goes must not change from one release to the next: the first eight bytes of its SHA-256, big end first."""
    assert [shard_of(key, 1000) for key in ("stripe/acme/pi_1", "stripe/acme/pi_2")] == [977, 642]
    assert {shard_of(f"stripe/acme/pi_{number}", 2) for number in range(20)} == {0, 1}
    assert shard_of("anything", 1) == 0


async def test_a_second_item_for_an_object_asks_again_in_the_same_commit(journal):
    """One lookup, two askers."""
    receipts = await put(journal, asks("p1", key="e1"), asks("p1", key="e2"))
    assert [receipt.result for receipt in receipts] == [Result.NEW, Result.NEW]
    (row,) = await lookups(journal)
    assert (row.ref, row.asked, row.event_key) == (ObjectRef(object="payment", id="p1"), 2, "e2")


async def test_a_dispute_with_its_payments_id():
    """An entity that shares an id with a payment is not taken for it: its events come, under its payment's key."""
    journal = MemoryJournal()
    await put(journal, says("payment", "e1", "p1", status="succeeded", amount=4999), says("payment", "e2", "p2"))
    await put(journal, says("dispute", "e3", "p1", payment="p1", status="lost"))
    await put(journal, says("refund", "e4", "p2", payment="p1", status="succeeded", amount=100))
    await put(journal, says("dispute", "e5", "p1", payment="p1", status="won", after=9))
    events = [json.loads(row.record.value) for row in await journal.read(0, 2, 10)]
    assert [(event["type"], event["data"]["lifecycle"]["sequence"]) for event in events] == [
        ("dispute.lost", 2),
        ("refund.succeeded", 3),
        ("dispute.won", 4),
    ]
