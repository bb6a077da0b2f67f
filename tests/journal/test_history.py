"""What is stored, read back: both journals tell the same."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from paymux.delivery import Proof, Verified, Via
from paymux.journal.history import QuarantineGroup, Retained, Sought, StoredItem
from paymux.journal.memory import MemoryJournal
from paymux.journal.memory.history import MemoryHistory
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite import history as sqlite_history
from paymux.journal.sqlite.history import SqliteHistory
from tests.journal.test_sqlite import rejection
from tests.journal.tiny import ACCOUNT, NOON, append, batch, put, says


@pytest.fixture(params=["memory", "sqlite"])
async def both(request, tmp_path):
    """A journal, and its history."""
    if request.param == "memory":
        journal = MemoryJournal()
        history = MemoryHistory(journal)
    else:
        journal = await SqliteJournal.open(tmp_path / "paymux.db")
        history = SqliteHistory(tmp_path / "paymux.db")
    yield journal, history
    await history.close()
    await journal.close()


def paid(key, object_id, **fields):
    return says("payment", key, object_id, **{"status": "succeeded", "amount": 4999, **fields})


async def keys(history, limit=100, before=None, **sought):
    page = await history.deliveries(Sought(**sought), limit=limit, before=before)
    return [each.items[0].event_key for each in page.deliveries]


async def test_an_empty_journal(both):
    """Nothing is found, and nothing fails."""
    _, history = both
    assert (await history.deliveries(Sought(), limit=10)).deliveries == ()
    assert list(await history.named("x", limit=10)) == []
    assert (await history.delivery("x"), await history.request("x"), await history.payment("tiny/acme/p")) == (
        None,
    ) * 3
    assert (list(await history.quarantine()), list(await history.payments("", limit=9))) == ([], [])
    assert list(await history.records([1])) == []


async def test_a_delivery_as_it_is_stored(both):
    """Its request, what its items became, and what it published."""
    journal, history = both
    verified = batch(paid("e1", "p1"), says("no such type", "e2"), headers=((b"X-Kept", b"yes"),), query="a=1")
    await append(journal, verified)
    await append(journal, verified)
    await journal.advance(0, 1)
    found = await history.delivery(verified.delivery.id)
    assert (found.row, found.provider, found.account, found.attempts) == (1, "tiny", "acme", 2)
    assert (found.received_at, found.via, found.proof, found.secret) == (
        verified.delivery.received_at,
        "webhook",
        "signature",
        0,
    )
    assert found.size == len(verified.delivery.body)
    event, unknown = found.items
    assert (event.outcome, event.event_key, event.payments, event.occurred_at) == (
        "events",
        "e1",
        ("tiny/acme/p1",),
        NOON,
    )
    assert (unknown.outcome, unknown.reason, unknown.position, unknown.payments) == (
        "quarantined",
        "unknown_event_type",
        1,
        (),
    )
    request = await history.request(found.id)
    assert (request.body, request.query, request.headers) == (verified.delivery.body, "a=1", ((b"X-Kept", b"yes"),))
    records = await history.records([found.row])
    assert [(each.seq, each.is_published, each.record.topic) for each in records] == [
        (1, each_published, topic) for each_published, topic in [(records[0].is_published, "payments.events.v1")]
    ] + [(2, False, "payments.quarantine.v1")]


async def fill(journal):
    """Nine deliveries of three payments in two accounts, the last one quarantined."""
    other = ACCOUNT.__class__(provider=ACCOUNT.provider, name="other", checks=ACCOUNT.checks)
    for number in range(8):
        item = paid(f"e{number}", f"p{number % 3}", after=number)
        await append(
            journal, batch(item, account="other" if number == 5 else "acme"), other if number == 5 else ACCOUNT
        )
    await put(journal, says("no such type", "e8"))


async def test_newest_first_page_by_page(both, monkeypatch):
    """Each delivery once, whatever the pages' size, also where a search has to pass over many."""
    monkeypatch.setattr(sqlite_history, "STEP", 2)
    journal, history = both
    await fill(journal)
    for limit in (1, 2, 4, 100):
        found, before = [], None
        while True:
            page = await history.deliveries(Sought(account="acme"), limit=limit, before=before)
            assert len(page.deliveries) <= limit
            found += [each.items[0].event_key for each in page.deliveries]
            if (before := page.next) is None:
                break
        assert found == ["e8", "e7", "e6", "e4", "e3", "e2", "e1", "e0"]


async def test_what_is_sought(both):
    """Everything that is given must fit."""
    journal, history = both
    await fill(journal)
    received = (await history.deliveries(Sought(), limit=100)).deliveries[::-1]
    assert await keys(history, account="other") == ["e5"]
    assert await keys(history, provider="stripe") == []
    assert await keys(history, outcome="quarantined") == ["e8"]
    assert await keys(history, reason="unknown_event_type", account="other") == []
    assert await keys(history, event_type="payment", limit=2) == ["e7", "e6"]
    assert await keys(history, payment="tiny/acme/p1") == ["e7", "e4", "e1"]
    assert await keys(history, payment="tiny/acme/p1", outcome="quarantined") == []
    assert await keys(history, since=received[6].received_at) == ["e8", "e7", "e6"]
    assert await keys(history, until=received[2].received_at) == ["e1", "e0"]
    assert await keys(history, since=received[3].received_at, until=received[5].received_at) == ["e4", "e3"]
    assert await keys(history, since=received[8].received_at + timedelta(days=1)) == []


async def test_by_the_beginning_of_any_id(both):
    """Of a delivery, an event key, an event, a payment or another name of it."""
    journal, history = both
    await fill(journal)
    await put(journal, paid("z1", "pay_123456", aliases=["ch_999"]))
    newest = (await history.deliveries(Sought(), limit=1)).deliveries[0]
    (record,) = await history.records([newest.row])
    for text in (
        newest.id,
        "z",
        "ch_9",
        "z1",
        "pay_123",
        "tiny/acme/pay_1",
        record.record.event_id,
        record.record.event_id[:13],
    ):
        assert [each.id for each in await history.named(text, limit=5)] == [newest.id], text
    assert [each.items[0].event_key for each in await history.named("p1", limit=2)] == ["e7", "e4"]
    assert list(await history.named("nothing like it", limit=5)) == []
    assert list(await history.named("100%_", limit=5)) == []


async def test_a_payment_by_all_of_its_names(both):
    """By its key and by a link; what is known of it comes along."""
    journal, history = both
    await put(journal, paid("e1", "p1", aliases=["ch_1", "ch_2"]))
    found = await history.payment("tiny/acme/p1")
    assert found.known.standings["payment/p1"].status == "succeeded"
    assert await history.payment("tiny/acme/ch_2") == found
    assert await history.payment("tiny/acme/nobody") is None
    assert await history.payment("nonsense") is None
    assert list(await history.payments("p", limit=9)) == ["tiny/acme/p1"]
    assert list(await history.payments("tiny/acme/", limit=9)) == ["tiny/acme/p1"]
    assert list(await history.payments("q", limit=9)) == []


async def test_quarantine_in_groups(both):
    """Ten thousand of one kind are one line, the largest first."""
    journal, history = both
    for number in range(4):
        await put(journal, says("renamed", f"r{number}"))
    await put(journal, says("payment", "bad", "p1", status="no such status"))
    first, second = await history.quarantine()
    assert (first.event_type, first.reason, first.count) == ("renamed", "unknown_event_type", 4)
    assert (second.event_type, second.count, second.first) == ("payment", 1, second.last)
    newest = await history.delivery(first.delivery)
    assert (newest.items[0].event_key, newest.received_at) == ("r3", first.last)
    assert first.first < first.last


async def test_a_body_that_was_let_go_of(both):
    """The delivery is told without its size, its request no more."""
    journal, history = both
    await put(journal, paid("e1", "p1"))
    await journal.advance(0, 1)
    await journal.expire(NOON + timedelta(days=10_000), 10)
    (found,) = (await history.deliveries(Sought(), limit=1)).deliveries
    assert found.size is None
    assert await history.request(found.id) is None


async def test_rejections(both):
    """Newest first, once they went along with a commit."""
    journal, history = both
    for number in range(3):
        journal.reject(rejection(number))
    await put(journal, paid("e1", "p1"))
    assert [each.size for each in await history.rejections(2)] == [2, 1]


async def test_an_import_of_old_payloads_keeps_them(both):
    """A body is old by when it came to us, whatever an import says of when somebody else received it; then it goes,
    with what came before it.
    """
    journal, history = both
    day = timedelta(days=1)
    await append(journal, batch(paid("e1", "p1"), received_at=NOON))
    for number in range(1, 4):
        came = UUID(int=(int((NOON + number * day).timestamp() * 1000) << 80) | 7 << 76 | 2 << 62)
        old = batch(paid(f"i{number}", f"q{number}"), id=str(came), via=Via.IMPORT, received_at=NOON - 400 * day)
        await append(journal, old)
    await journal.advance(0, 5)
    await append(journal, batch(paid("e2", "p2"), received_at=NOON + 4 * day))  # stores the mark, too
    sweeps = {}
    for days in (-300, 1.5, 3.5, 9):
        before = NOON + days * day
        told = await history.retained(before)
        sweeps[days] = (told.old_bodies, told.held)
        await journal.expire(before, 100)
        assert (await history.retained(NOON)).bodies == 5 - sum(old for old, _ in sweeps.values())
    assert sweeps == {-300: (0, 0), 1.5: (2, 0), 3.5: (2, 0), 9: (1, 0)}


# --- what is kept, and since when


async def test_what_is_kept(both):
    """Bodies and records, and what of them is old enough to go and may; nothing, of nothing."""
    journal, history = both
    later = NOON + timedelta(days=9999)
    assert await history.retained(later) == Retained(
        bodies=0, oldest=None, records=0, old_bodies=0, old_records=0, held=0
    )
    odd = batch(says("odd", "q1"))
    await append(journal, odd)
    for number in range(1, 5):
        await put(journal, paid(f"e{number}", f"p{number}"))
    await journal.advance(0, 3)
    await put(journal, paid("e5", "p5"))  # the mark goes along with a commit
    await settled(history, 1)
    assert await history.retained(later) == Retained(
        bodies=6, oldest=odd.delivery.received_at, records=6, old_bodies=2, old_records=1, held=4
    )
    assert (await history.retained(NOON)).held == 0


async def settled(history, row):
    """Once the mark is stored, which reads from outside wait for."""
    while not (await history.records([row]))[0].is_published:
        await asyncio.sleep(0.01)


async def test_in_which_minutes_a_provider_was_heard(both):
    """By hours, one bit for each minute, from the hour of a time on; each account's are its own."""
    journal, history = both
    for minutes in (0, 0, 5, 59, 61, 125):
        number = minutes + 1000
        await append(
            journal,
            batch(paid(f"e{number}", f"p{number}"), received_at=NOON + timedelta(minutes=minutes)),
        )
    first = int(NOON.timestamp()) // 3600
    every = {first: 1 | 1 << 5 | 1 << 59, first + 1: 1 << 1, first + 2: 1 << 5}
    assert await history.heard(("tiny", "acme"), NOON) == every
    assert list(await history.heard(("tiny", "acme"), NOON)) == sorted(every)
    assert await history.heard(("tiny", "acme"), NOON + timedelta(minutes=119)) == {
        hour: minutes for hour, minutes in every.items() if hour > first
    }
    assert await history.heard(("tiny", "other"), NOON) == {}
    assert await history.heard(("other", "acme"), NOON) == {}


async def test_when_something_was_quarantined(both):
    """A time for each item, newest first, from a time on."""
    journal, history = both
    times = []
    for number in range(3):
        sent = batch(says("odd", f"a{number}"), says("odd", f"b{number}"), paid(f"e{number}", f"p{number}"))
        times.append(sent.delivery.received_at)
        await append(journal, sent)
        await put(journal, paid(f"f{number}", f"g{number}"))
    newest, middle, oldest = reversed(times)
    assert list(await history.quarantined_at(NOON)) == [newest, newest, middle, middle, oldest, oldest]
    assert list(await history.quarantined_at(middle)) == [newest, newest, middle, middle]
    assert list(await history.quarantined_at(newest + timedelta(seconds=9))) == []


async def test_a_delivery_with_every_value_that_shows(both):
    """Its digest and each item's own words too; an item of which nothing is known says so."""
    journal, history = both
    sent = batch(
        paid("e1", "p1", livemode=True, after=7),
        paid("e2", "p2", livemode=False, amount="many"),
        says("ping", None, after=None),
        url="https://pay.example/hook",
        method="PUT",
    )
    await append(journal, Verified(sent.delivery, Proof.STATIC, None))
    await put(journal, paid("e1", "p1", livemode=True, after=7))
    found = await history.delivery(sent.delivery.id)
    assert (found.sha256, found.proof, found.secret) == (
        hashlib.sha256(sent.delivery.body).hexdigest(),
        "static",
        None,
    )
    understood, unknown, ignored = found.items
    assert understood == StoredItem(
        position=0,
        event_key="e1",
        event_type="payment",
        occurred_at=NOON + timedelta(seconds=7),
        livemode=True,
        result="new",
        outcome="events",
        reason=None,
        path=None,
        detail=None,
        payments=("tiny/acme/p1",),
    )
    assert (unknown.event_key, unknown.livemode, unknown.outcome) == ("e2", False, "quarantined")
    assert (unknown.reason, unknown.path) == ("shape", "/items/1/amount")
    assert unknown.detail is not None
    assert not found.erased
    assert ignored == replace(
        understood,
        position=2,
        event_key=None,
        event_type="ping",
        occurred_at=None,
        livemode=None,
        outcome="ignored",
        payments=(),
    )
    request = await history.request(sent.delivery.id)
    assert (request.method, request.path, request.url) == ("PUT", "/webhooks/tiny/acme", "https://pay.example/hook")
    other = await history.delivery((await history.deliveries(Sought(), limit=1)).deliveries[0].id)
    assert [each.result for each in other.items] == ["duplicate"]


async def test_records_of_deliveries(both):
    """Those that the outbox has of them, in order, each as it goes out."""
    journal, history = both
    for number in range(3):
        await put(journal, paid(f"e{number}", f"p{number}"))
    rows = await journal.read(0, 0, 9)
    found = await history.records([3, 1])
    assert [(each.seq, each.delivery, each.created_at, each.record) for each in found] == [
        (row.seq, row.seq, row.created_at, row.record) for row in rows if row.seq != 2
    ]


async def test_the_links_of_a_payment(both):
    """All other names of it, in order; another payment's are not among them."""
    journal, history = both
    await put(journal, paid("e1", "p1", aliases=["c2", "c1"]), paid("e2", "p2", aliases=["c3"]))
    assert (await history.payment("tiny/acme/c1")).key == "tiny/acme/p1"
    assert (await history.payment("tiny/acme/c1")).links == ("c1", "c2")
    assert (await history.payment("tiny/acme/p2")).links == ("c3",)


async def test_payments_in_order_and_no_more_than_asked_for(both):
    """By the beginning of their keys."""
    journal, history = both
    await put(journal, *(paid(f"e{number}", f"p{number}") for number in (3, 1, 2)))
    assert list(await history.payments("p", limit=2)) == ["tiny/acme/p1", "tiny/acme/p2"]
    assert list(await history.payments("tiny/acme/p", limit=9)) == [f"tiny/acme/p{number}" for number in (1, 2, 3)]


async def test_a_quarantine_group_with_every_value(both):
    """What is alike in every respect that shows is one group; the newest delivery stands for it."""
    journal, history = both
    other = replace(ACCOUNT, name="other")
    sent = [batch(says("odd", f"e{number}")) for number in range(3)]
    for each in sent:
        await append(journal, each)
    await append(journal, batch(says("odd", "e9"), account="other"), other)
    first, second = await history.quarantine()
    assert first == QuarantineGroup(
        provider="tiny",
        account="acme",
        event_type="odd",
        reason="unknown_event_type",
        path=None,
        count=3,
        first=sent[0].delivery.received_at,
        last=sent[2].delivery.received_at,
        delivery=sent[2].delivery.id,
    )
    assert (second.account, second.count) == ("other", 1)


async def test_rejections_with_every_value(both):
    """As they were told."""
    journal, history = both
    journal.reject(rejection(1))
    await put(journal, paid("e1", "p1"))
    assert list(await history.rejections(9)) == [rejection(1)]


async def test_a_search_that_passes_over_much(both, monkeypatch):
    """A page may be short; the following ones have the rest. A payment's deliveries are found at once."""
    monkeypatch.setattr(sqlite_history, "STEP", 1)
    monkeypatch.setattr(sqlite_history, "MOST_STEPS", 2)
    journal, history = both
    await fill(journal)
    assert await keys(history, payment="tiny/acme/p1") == ["e7", "e4", "e1"]
    found, before, pages = [], None, 0
    while True:
        page = await history.deliveries(Sought(event_type="payment"), limit=100, before=before)
        found += [each.items[0].event_key for each in page.deliveries]
        pages += 1
        if (before := page.next) is None:
            break
    assert found == [f"e{number}" for number in range(7, -1, -1)]
    assert pages == (1 if isinstance(journal, MemoryJournal) else 5)


async def test_what_an_operator_erased(both):
    """It says so; the others do not."""
    journal, history = both
    await put(journal, paid("e1", "p1"))
    await put(journal, paid("e2", "p2"))
    await journal.change(lambda unit: unit.erase([1], {}))
    newest, oldest = (await history.deliveries(Sought(), limit=9)).deliveries
    assert ((newest.erased, newest.size is None), (oldest.erased, oldest.size)) == ((False, False), (True, None))


async def test_an_item_that_speaks_of_two(both):
    """A refund that was heard of before its payment speaks of both."""
    journal, history = both
    await put(journal, says("refund", "e1", "r1", status="pending", by="c1"))
    await put(journal, paid("e2", "p1", aliases=["c1"]))
    sent = batch(says("refund", "e3", "r1", status="succeeded", by="c1", after=9))
    await append(journal, sent)
    (item,) = (await history.delivery(sent.delivery.id)).items
    assert set(item.payments) == {"tiny/acme/r1", "tiny/acme/p1"}


async def test_where_in_a_body_it_was_quarantined(both):
    """A group for each place."""
    journal, history = both
    await put(journal, paid("e1", "p1", amount="many"), paid("e2", "p2", refunded="some"))
    groups = await history.quarantine()
    assert sorted((group.reason, group.path, group.count) for group in groups) == [
        ("shape", "/items/0/amount", 1),
        ("shape", "/items/1/refunded", 1),
    ]


async def test_a_payment_whose_id_has_slashes(both):
    """They are a part of it."""
    journal, history = both
    await put(journal, paid("e1", "p/1/b", aliases=["c/1"]))
    assert (await history.payment("tiny/acme/p/1/b")).links == ("c/1",)
    assert (await history.payment("tiny/acme/c/1")).key == "tiny/acme/p/1/b"


async def test_which_records_are_known_to_be_published(both):
    """None at first; then those up to the mark, itself included."""
    journal, history = both
    for number in range(3):
        await put(journal, paid(f"e{number}", f"p{number}"))
    assert [record.is_published for record in await history.records([1, 2, 3])] == [False] * 3
    await journal.advance(0, 2)
    await put(journal, paid("e9", "p9"))  # stores the mark
    assert [record.is_published for record in await history.records([1, 2, 3])] == [True, True, False]
