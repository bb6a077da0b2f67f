"""What is stored, read back: both journals tell the same."""

from __future__ import annotations

from datetime import timedelta

import pytest

from paymux.journal.history import Sought
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
