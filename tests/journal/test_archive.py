"""What replays read of a journal: both journals tell the same, each value as it was stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from paymux.delivery import Proof, Verified
from paymux.errors import JournalUnavailable
from paymux.journal.archive import Kept, Told
from paymux.journal.changes import Filed
from paymux.journal.history import Sought
from paymux.journal.memory import MemoryJournal
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite import archive as sqlite_archive
from paymux.journal.sqlite.archive import SqliteArchive
from paymux.records import REPLAY, Topics
from paymux.wiring.parts import reading
from tests.journal.stored import take
from tests.journal.tiny import ACCOUNT, NOON, answered, append, batch, delivered, put, says

EVENTS = Topics().events
NAME = ("tiny", "acme")


@pytest.fixture(params=["memory", "sqlite"])
async def both(request, tmp_path):
    """A journal, and its archive."""
    memory = request.param == "memory"
    journal = MemoryJournal() if memory else await SqliteJournal.open(tmp_path / "paymux.db")
    history, archive = reading(journal)
    yield journal, archive
    await history.close()
    await archive.close()
    await journal.close()


def paid(key, object_id="p1", **fields):
    return says("payment", key, object_id, **{"status": "succeeded", "amount": 4999, **fields})


def refund(key, object_id="r1", **fields):
    return says("refund", key, object_id, **{"status": "succeeded", "amount": 100, **fields})


async def fill(journal):
    """Seven deliveries, a second apart: of `acme` all but the fourth, the sixth one quarantined. Their times."""
    other = replace(ACCOUNT, name="other")
    sent = [
        (batch(paid("e1", "p1")), ACCOUNT),
        (batch(paid("e2", "p2"), paid("e3", "p1")), ACCOUNT),
        (batch(refund("e4", "r1", payment="p1")), ACCOUNT),
        (batch(paid("e5", "p1"), account="other"), other),
        (batch(says("ping", "e6")), ACCOUNT),
        (batch(says("odd", "e7")), ACCOUNT),
        (batch(paid("e8", "p2", after=9)), ACCOUNT),
    ]
    for verified, account in sent:
        await append(journal, verified, account)
    return [verified.delivery.received_at for verified, _ in sent]


async def test_a_delivery_comes_back_as_it_was(both):
    """Each of its values, to the microsecond; a webhook and an API's answer, with and without a time in its question."""
    journal, archive = both
    odd = NOON + timedelta(microseconds=123_457)
    webhook = batch(
        paid("e1"),
        headers=((b"X-One", b"1: a"), (b"x-one", b"\xff"), (b"X-Empty", b"")),
        method="PUT",
        query="a=1&b=%20",
        received_at=odd,
    )
    webhook = Verified(webhook.delivery, Proof.STATIC, 3)
    question = answered({"id": "p2", "status": "succeeded"}, occurred_at=odd)
    answer = replace(question.delivery, url="https://api.example/p2")
    unknown = answered({"id": "p3", "status": "succeeded"})
    for verified in (webhook, Verified(answer, Proof.API, None), unknown):
        await append(journal, verified)
    found = await archive.kept([1, 2, 3, 4])
    assert found == {
        1: Kept(row=1, delivery=webhook.delivery, proof=Proof.STATIC, secret=3),
        2: Kept(row=2, delivery=answer, proof=Proof.API, secret=None),
        3: Kept(row=3, delivery=unknown.delivery, proof=Proof.API, secret=0),
    }
    assert await archive.kept([2]) == {2: found[2]}


async def test_a_body_that_was_let_go_of_is_not_kept(both):
    """The others are."""
    journal, archive = both
    await put(journal, paid("e1", "p1"))
    await put(journal, says("odd", "e2"))
    await journal.advance(0, 2)
    await journal.expire(NOON + timedelta(days=9999), 9)
    assert set(await archive.kept([1, 2])) == {2}


async def test_what_items_became(both):
    """Each with its place, its key and why, in the order of its delivery."""
    journal, archive = both
    await put(journal, paid("e1", "p1"))
    await put(journal, paid("e2", amount="many"), paid("e1", "p1"), says("ping", "e3"))
    await put(journal, paid(None, "p9"))
    found = await archive.filed([2, 1, 3, 99])
    shown = Filed(
        row=1,
        delivery=1,
        dedupe_key="e1",
        result="new",
        outcome="events",
        reason=None,
        path=None,
        attempt=1,
        event_type="payment",
    )
    assert list(found) == [2, 1, 3, 99]
    assert list(found[1]) == [shown]
    first, second, third = found[2]
    assert first == replace(
        shown, row=2, delivery=2, dedupe_key="e2", outcome="quarantined", reason="shape", path=first.path
    )
    assert first.path is not None
    assert second == replace(shown, row=3, delivery=2, dedupe_key=None, result="duplicate")
    assert third == replace(shown, row=4, delivery=2, dedupe_key="e3", outcome="ignored", event_type="ping")
    assert list(found[3]) == [replace(shown, row=5, delivery=3, dedupe_key=None)]
    assert list(found[99]) == []


async def test_between_which_rows_something_is(both):
    """By the time of receipt: from the first that came then or later, up to the first that came too late."""
    journal, archive = both
    assert await archive.bounds(Sought()) == (0, 0)
    assert await archive.bounds(Sought(since=NOON)) == (0, 0)
    times = await fill(journal)
    step = timedelta(microseconds=1)
    for sought, bounds in (
        (Sought(), (1, 8)),
        (Sought(since=times[0]), (1, 8)),
        (Sought(since=times[0] + step), (2, 8)),
        (Sought(since=times[6]), (7, 8)),
        (Sought(since=times[6] + step), (8, 8)),
        (Sought(until=times[6] + step), (1, 8)),
        (Sought(until=times[6]), (1, 7)),
        (Sought(until=times[0]), (1, 1)),
        (Sought(since=times[2], until=times[4]), (3, 5)),
    ):
        assert await archive.bounds(sought) == bounds, sought


async def searched(archive, sought, *, after=0, end=8, limit=100):
    """Step by step, as a job does: the rows, and how far it looked."""
    found, reached = [], after
    while reached < end - 1:
        step = await archive.rows(sought, after=reached, end=end, limit=limit)
        assert step.reached > reached
        assert len(step.rows) <= limit
        found += step.rows
        reached = step.reached
    assert reached == end - 1
    return found


SEARCHES = (
    (Sought(), [1, 2, 3, 4, 5, 6, 7]),
    (Sought(provider="tiny", account="acme"), [1, 2, 3, 5, 6, 7]),
    (Sought(provider="flowlix"), []),
    (Sought(account="other"), [4]),
    (Sought(outcome="quarantined"), [6]),
    (Sought(reason="unknown_event_type"), [6]),
    (Sought(event_type="payment"), [1, 2, 4, 7]),
    (Sought(event_type="payment", account="acme", outcome="events"), [1, 2, 7]),
    (Sought(payment="tiny/acme/p1"), [1, 2, 3]),
    (Sought(payment="tiny/acme/p1", event_type="refund"), [3]),
)


@pytest.mark.parametrize(("sought", "rows"), SEARCHES, ids=[str(number) for number in range(len(SEARCHES))])
async def test_deliveries_that_fit(both, monkeypatch, sought, rows):
    """Each once and in order, in steps of any size; between two rows, both exclusive."""
    monkeypatch.setattr(sqlite_archive, "STEP", 2)
    journal, archive = both
    await fill(journal)
    for limit in (1, 2, 100):
        assert await searched(archive, sought, limit=limit) == rows
    assert await searched(archive, sought, after=1, end=7) == [row for row in rows if 1 < row < 7]
    assert (await archive.rows(sought, after=7, end=8, limit=9)).rows == ()
    assert await archive.fitting(sought, [1, 3, 6, 99]) == {row for row in rows if row in (1, 3, 6)}
    assert await archive.fitting(sought, []) == frozenset()


async def test_a_search_says_how_far_it_came(both):
    """Up to the last row that it found where there may be more, else up to the end; never back."""
    journal, archive = both
    await fill(journal)
    found = await archive.rows(Sought(account="acme"), after=1, end=8, limit=2)
    assert (found.rows, found.reached, found.erased) == ((2, 3), 3, frozenset())
    assert (await archive.rows(Sought(account="acme"), after=3, end=7, limit=9)).reached == 6
    assert (await archive.rows(Sought(), after=7, end=3, limit=9)).reached == 7
    whole = await archive.rows(Sought(payment="tiny/acme/p1"), after=0, end=8, limit=9)
    assert (whole.rows, whole.reached) == ((1, 2, 3), 7)


async def test_a_search_for_a_payment_is_one_step(tmp_path, monkeypatch):
    """An index finds it: however many deliveries lie in between."""
    monkeypatch.setattr(sqlite_archive, "STEP", 1)
    journal = await SqliteJournal.open(tmp_path / "paymux.db")
    archive = SqliteArchive(tmp_path / "paymux.db")
    await fill(journal)
    assert (await archive.rows(Sought(), after=2, end=8, limit=9)).reached == 3
    assert (await archive.rows(Sought(payment="tiny/acme/p2"), after=0, end=8, limit=9)).rows == (2, 7)
    assert (await archive.naming(NAME, ["p2"], after=2, end=8)).reached == 3
    await archive.close()
    await journal.close()


async def test_erased_deliveries(both):
    """A search says which they are; they are no more among those that spoke of a payment."""
    journal, archive = both
    await fill(journal)
    await journal.change(lambda unit: unit.erase([1, 4], {}))
    found = await archive.rows(Sought(), after=0, end=8, limit=9)
    assert (found.rows, found.erased) == ((1, 2, 3, 4, 5, 6, 7), {1, 4})
    assert list(await archive.spoke(["tiny/acme/p1"])) == [2, 3]
    assert set(await archive.kept([1, 2])) == {2}


async def test_who_spoke_of_what(both):
    """Deliveries by keys, in order and once each; keys by deliveries."""
    journal, archive = both
    await fill(journal)
    assert list(await archive.spoke(["tiny/acme/p2", "tiny/acme/p1", "tiny/acme/p9"])) == [1, 2, 3, 7]
    assert list(await archive.spoke([])) == []
    assert await archive.spoken([2, 4]) == {"tiny/acme/p1", "tiny/acme/p2", "tiny/other/p1"}
    assert await archive.spoken([5, 6, 99]) == frozenset()


async def test_an_item_that_speaks_of_others_now(both):
    """Those keys find its delivery, besides the ones from before."""
    journal, archive = both
    await fill(journal)
    spoken = ("tiny/acme/p8", "tiny/acme/p9")
    await journal.change(lambda unit: unit.changes.respoken.update({1: (1, spoken)}))
    assert await archive.spoken([1]) == set(spoken)
    assert list(await archive.spoke(spoken)) == [1]


async def test_what_is_known_under_keys(both):
    """Of those that something is known of."""
    journal, archive = both
    await fill(journal)
    found = await archive.known(["tiny/acme/p1", "tiny/acme/nobody"])
    assert list(found) == ["tiny/acme/p1"]
    assert found["tiny/acme/p1"].sequence == 3
    assert found["tiny/acme/p1"].standings["payment/p1"].status == "succeeded"


async def named(archive, *names, after=0, end=99):
    return (await archive.naming(NAME, names, after=after, end=end)).rows


async def test_deliveries_that_name_an_id(both):
    """In the body or the query, as a word and not as a part of a longer one, whatever became of them; of one account."""
    journal, archive = both
    await append(journal, batch(paid("e1", "p1")))
    await append(journal, batch(paid("e2", "p10")))
    await append(journal, batch(says("odd", "e3", "x"), query="of=p1"))
    await append(journal, batch(says("odd", "e4", "x"), query="of=xp1"))
    await append(journal, delivered(b"{ p1"))
    await append(journal, batch(paid("e6", "p1"), account="other"), replace(ACCOUNT, name="other"))
    assert await named(archive, "p1") == (1, 3, 5)
    assert await named(archive, "p10", "e3") == (2, 3)
    assert await named(archive, "nobody") == ()
    assert await named(archive, "p1", after=1, end=5) == (3,)
    assert (await archive.naming(NAME, ["p1"], after=1, end=5)).reached == 4
    assert (await archive.naming(NAME, ["p1"], after=9, end=5)).reached == 9
    await journal.change(lambda unit: unit.erase([1], {}))
    assert await named(archive, "p1") == (3, 5)


async def test_the_story_of_a_payment(both):
    """All that was heard of it, also under a key that joined it later, with what was published, in order."""
    journal, archive = both
    await put(journal, refund("e1", by="c1", status="pending"))
    await put(journal, says("ping", "e2"), paid("e3", "p2"), paid("e4", "p1", aliases=["c1"]))
    await put(journal, refund("e5", by="c1", after=9), says("odd", "e6"))
    await put(journal, paid("e7", "p3"))
    (story,) = await archive.stories([3])
    r1, p1 = "tiny/acme/r1", "tiny/acme/p1"
    assert (story.key, story.keys) == (p1, {p1, r1})
    assert list(story.heard) == [
        Told(delivery=1, index=0, place=1, keys=frozenset({r1})),
        Told(delivery=2, index=2, place=4, keys=frozenset({p1})),
        Told(delivery=3, index=0, place=5, keys=frozenset({p1, r1})),
    ]
    published = [(each.seq, each.delivery, each.record.key.decode()) for each in story.records]
    assert published == [(1, 1, r1), (3, 2, p1), (4, 3, r1)]
    assert [each.record for each in story.records] == [
        row.record for row in await journal.read(0, 0, 9) if row.seq in (1, 3, 4)
    ]
    assert not any(each.is_published for each in story.records)
    assert await archive.about([r1]) == [story] == await archive.about({p1, r1})
    others = await archive.about(["tiny/acme/p2", "tiny/acme/p3"])
    assert sorted((each.key, len(each.heard), len(each.records)) for each in others) == [
        ("tiny/acme/p2", 1, 1),
        ("tiny/acme/p3", 1, 1),
    ]
    (nobody,) = await archive.about(["tiny/acme/nobody"])
    assert (nobody.key, nobody.keys, nobody.heard, nobody.records) == (
        "tiny/acme/nobody",
        {"tiny/acme/nobody"},
        (),
        (),
    )
    assert list(await archive.stories([])) == []


async def test_an_id_that_reads_like_several(both):
    """Slashes are a part of it; what joined the payment later speaks of both."""
    journal, archive = both
    await put(journal, refund("e1", "r/1", by="c1"))
    await put(journal, paid("e2", "p/1/b", aliases=["c1"]))
    (story,) = await archive.about(["tiny/acme/r/1"])
    assert story.keys == {"tiny/acme/p/1/b", "tiny/acme/r/1"}
    assert [told.keys for told in story.heard] == [{"tiny/acme/r/1"}, {"tiny/acme/p/1/b"}]
    assert await archive.spoken([2]) == {"tiny/acme/p/1/b"}


async def test_a_story_whose_records_were_let_go_of(both):
    """What was heard is told still."""
    journal, archive = both
    await put(journal, paid("e1"))
    await put(journal, paid("e2", after=1))
    await journal.advance(0, 2)
    await journal.expire(NOON + timedelta(days=9999), 9)
    (story,) = await archive.about(["tiny/acme/p1"])
    assert [told.delivery for told in story.heard] == [1, 2]
    assert [record.seq for record in story.records] == [2]


async def test_the_same_names_in_two_accounts(both):
    """Each account's orphans belong to its own payments."""
    journal, archive = both
    other = replace(ACCOUNT, name="other")
    for account in (ACCOUNT, other):
        await append(journal, batch(refund("e1", by="c1"), account=account.name), account)
    await put(journal, paid("e2", "p1", aliases=["c1"]))
    (mine,) = await archive.about(["tiny/acme/p1"])
    assert mine.keys == {"tiny/acme/p1", "tiny/acme/r1"}
    (theirs,) = await archive.about(["tiny/other/r1"])
    assert theirs.keys == {"tiny/other/r1"}


async def test_which_events_are_out(both):
    """Those of the outbox, and those that another journal published."""
    journal, archive = both
    take(journal, ["another's"])
    await put(journal, paid("e1"))
    (row,) = await journal.read(0, 0, 9)
    assert await archive.published([row.record.event_id, "another's", "nobody's"]) == {
        row.record.event_id,
        "another's",
    }
    assert await archive.published([]) == frozenset()


async def test_records_to_send_again(both):
    """In order, between two places; of fitting deliveries and one topic; none that was sent again already."""
    journal, archive = both
    assert await archive.end() == 1
    times = await fill(journal)  # their records: 1; 2, 3; 4; 5; -; 6 on the quarantine topic; 7
    first = (await journal.read(0, 0, 1))[0].record
    again = replace(first, headers=(*first.headers, (REPLAY, b"job-1")))
    await journal.change(lambda unit: unit.publish("tiny/acme/p1", again, 1))
    assert await archive.end() == 9

    async def records(sought, topic=EVENTS, after=0, end=99, limit=99):
        found = await archive.records(sought, topic=topic, after=after, end=end, limit=limit)
        assert not any(each.is_published for each in found)
        return [(each.seq, each.delivery) for each in found]

    assert await records(Sought()) == [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (7, 7)]
    assert await records(Sought(), after=1, end=7, limit=2) == [(2, 2), (3, 2)]
    assert await records(Sought(), after=4, end=7) == [(5, 4)]
    assert await records(Sought(account="other")) == [(5, 4)]
    assert await records(Sought(payment="tiny/acme/p2")) == [(2, 2), (3, 2), (7, 7)]
    assert await records(Sought(since=times[2], until=times[6])) == [(4, 3), (5, 4)]
    assert await records(Sought(), topic=Topics().quarantine) == [(6, 6)]


async def test_an_archive_that_cannot_be_read(tmp_path):
    """It is said of which journal, and why; closing works all the same."""
    archive = SqliteArchive(tmp_path / "nowhere.db")
    with pytest.raises(JournalUnavailable) as caught:
        await archive.end()
    assert caught.value.detail == f"the journal {tmp_path / 'nowhere.db'} cannot be read: unable to open database file"
    await archive.close()
