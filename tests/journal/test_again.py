"""A stored delivery heard again with another mapping: what both journals make of its items."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from paymux.journal import Result
from paymux.journal.again import discard, hear_again, is_spoken, might_say
from paymux.journal.changes import Filed
from paymux.journal.memory import MemoryJournal
from paymux.journal.sqlite import SqliteJournal
from paymux.provider import Account
from paymux.wiring.parts import reading
from tests.journal import tiny
from tests.journal.stored import items
from tests.journal.tiny import ACCOUNT, NOON, TINY, append, batch, entry, says
from tests.stories import told


def mapped(ignored=(), **events):
    """The account, its provider's mapping changed."""
    provider = replace(TINY, events={**TINY.events, **events}, ignored=TINY.ignored.union(ignored))
    return Account(provider=provider, name="acme", checks=ACCOUNT.checks)


class House:
    def __init__(self, journal, archive):
        self.journal, self.archive = journal, archive

    async def hear(self, verified, account, row=1, picks=lambda _: True):
        """What became of its items, as counted."""
        again = entry(verified, account)
        return await self.journal.change(lambda unit: hear_again(unit, again, row, "job-1", picks=picks), (again,))

    async def filed(self, row=1):
        found = (await self.archive.filed([row]))[row]
        return [(each.outcome, each.reason, each.dedupe_key, each.attempt) for each in found]

    async def lookups(self):
        return [row.ref.id for row in await self.journal.due_lookups(NOON + timedelta(days=9999), 9)]


@pytest.fixture(params=["memory", "sqlite"])
async def house(request, tmp_path):
    memory = request.param == "memory"
    journal = MemoryJournal() if memory else await SqliteJournal.open(tmp_path / "paymux.db")
    history, archive = reading(journal)
    yield House(journal, archive)
    await history.close()
    await archive.close()
    await journal.close()


def odd(key, object_id="p1", **fields):
    return says("odd", key, object_id, **{"status": "succeeded", "amount": 4999, **fields})


UNKNOWN = "unknown_event_type"


async def test_what_is_understood_now(house):
    """It is published, marked as a replay's, and stands last in the order of what was heard; a copy is a duplicate."""
    first = batch(odd("e1", note="as it came"))
    await append(house.journal, first)
    await append(house.journal, batch(says("payment", "e2", after=9, status="succeeded", amount=4999)))
    account = mapped(odd=tiny.payment)
    assert await house.hear(first, account) == Counter(events=1)
    assert await house.filed() == [("events", None, "e1", 2)]
    assert items(house.journal) == [(2, "new", "events", None), (1, "new", "events", None)]
    last = (await told(house.journal))[-1]
    assert (last.type, last.sequence, last.transition) == ("payment.updated", 2, "stale")
    assert last.event["data"]["origin"]["replay_id"] == "job-1"
    assert list(await house.archive.spoke(["tiny/acme/p1"])) == [1, 2]
    assert [receipt.result for receipt in await append(house.journal, first, account)] == [Result.DUPLICATE]
    before = await house.journal.end(0)
    assert await house.hear(first, account) == Counter(unchanged=1)
    assert await house.journal.end(0) == before


async def test_what_is_ignored_now(house):
    """It is filed so, and nothing goes out."""
    first = batch(odd("e1"), says("ping", "e2"))
    await append(house.journal, first)
    assert await house.hear(first, mapped(ignored=["odd"])) == Counter(ignored=1, unchanged=1)
    assert await house.filed() == [("ignored", None, "e1", 2), ("ignored", None, "e2", 1)]
    assert await house.journal.end(0) == 1


async def test_what_asks_now(house):
    """Its lookup waits; heard again, it stays what it is."""
    first = batch(odd("e1", ids=["p7"]))
    await append(house.journal, first)
    assert await house.hear(first, mapped(odd=tiny.ask)) == Counter(asked=1)
    assert await house.filed() == [("lookup", None, "e1", 2)]
    assert await house.lookups() == ["p7"]
    assert await house.hear(first, mapped(odd=tiny.payment)) == Counter(unchanged=1)


async def test_what_is_quarantined_for_another_reason_now(house):
    """That is told once more, as a record of its own; for the same one, nothing is."""
    first = batch(odd("e1", amount="many"))
    await append(house.journal, first)
    assert await house.hear(first, ACCOUNT) == Counter(unchanged=1)
    account = mapped(odd=tiny.payment)
    assert await house.hear(first, account) == Counter(quarantined=1)
    assert await house.filed() == [("quarantined", "shape", "e1", 2)]
    assert await house.hear(first, account) == Counter(unchanged=1)
    rows = await house.journal.read(0, 0, 9)
    assert [dict(row.record.headers)["paymux_reason"] for row in rows] == [UNKNOWN.encode(), b"shape"]
    assert len({row.record.event_id for row in rows}) == 2


async def test_what_says_more_now(house):
    """Only that goes out; the item keeps its place."""
    first = batch(says("payment", "e1", status="succeeded", amount=4999, refunded=100))
    reading_less = mapped(payment=lambda body, head: (replace(tiny.payment(body, head)[0], facts=()),))
    await append(house.journal, first, reading_less)
    await append(house.journal, batch(says("payment", "e2", "p2", status="succeeded")))
    assert await house.hear(first, ACCOUNT) == Counter(events=1)
    assert await house.filed() == [("events", None, "e1", 2)]
    assert [delivery for delivery, *_ in items(house.journal)] == [1, 2]
    found = [(event.type, event.sequence) for event in await told(house.journal) if event.key == "tiny/acme/p1"]
    assert found == [("payment.succeeded", 1), ("payment.partially_refunded", 2)]
    assert await house.hear(first, mapped(ignored=["payment"])) == Counter(unchanged=1)


async def test_what_an_operator_discards(house):
    """It is ignored for that reason, with why; the others stay, and so does it when it is heard again."""
    first = batch(odd("e1"), says("ping", "e2"), odd("e3"))
    await append(house.journal, first)
    wanted = lambda filed: filed.dedupe_key != "e3"  # noqa: E731  # what is picked is a function

    def decide(unit):
        return discard(unit, 1, "not ours", picks=wanted), discard(unit, 1, "none", picks=lambda _: False)

    assert await house.journal.change(decide) == (1, 0)
    discarded = ("ignored", "discarded", "e1", 1)
    assert await house.filed() == [discarded, ("ignored", None, "e2", 1), ("quarantined", UNKNOWN, "e3", 1)]
    assert await house.hear(first, mapped(odd=tiny.payment)) == Counter(events=1, unchanged=2)
    assert discarded in await house.filed()


async def test_only_what_is_picked_is_heard(house):
    """The others are not counted either."""
    first = batch(odd("e1"), odd("e2", "p2"))
    await append(house.journal, first)
    account = mapped(odd=tiny.payment)
    assert await house.hear(first, account, picks=lambda filed: filed.dedupe_key == "e2") == Counter(events=1)
    assert await house.filed() == [("quarantined", UNKNOWN, "e1", 1), ("events", None, "e2", 2)]


async def test_a_batch_of_another_length_now(house):
    """More items than before have no place; fewer leave the rest as they were."""
    first = batch(odd("e1"), odd("e2", "p2"))
    await append(house.journal, first)
    account = mapped(ignored=["odd"])
    whole = entry(first, account)
    for made, counts in (
        (replace(whole, items=whole.items[:1]), Counter(ignored=1, unchanged=1)),
        (replace(whole, items=(*whole.items, *whole.items)), Counter(ignored=1, unchanged=1, unfiled=2)),
    ):
        heard = await house.journal.change(lambda unit, made=made: hear_again(unit, made, 1, "j", picks=lambda _: True))
        assert heard == counts


async def test_a_key_that_another_delivery_took_meanwhile(house):
    """What can be read only now came under it before: that was first, this is a duplicate; not understood, it stays."""
    unreadable = replace(TINY, head=lambda verified, body: replace(tiny.head(verified, body), event_key=None))
    first = batch(odd("e1"))
    await append(house.journal, first, Account(provider=unreadable, name="acme", checks=ACCOUNT.checks))
    await append(house.journal, batch(odd("e1")), mapped(odd=tiny.payment))
    assert await house.hear(first, mapped(odd=tiny.payment, more=tiny.payment)) == Counter(duplicate=1)
    assert await house.filed() == [("events", None, None, 2)]
    assert items(house.journal)[-1][1] == "duplicate"


async def test_duplicates_and_conflicts_stay_what_they_are(house):
    """Whatever today's mapping makes of them."""
    await append(house.journal, batch(odd("e1")))
    second = batch(odd("e1"), odd("e1", more=True), odd("e2"))
    await append(house.journal, second)
    before = await house.filed(2)
    assert [result for _, result, _, _ in items(house.journal)] == ["new", "duplicate", "duplicate", "new"]
    assert await house.hear(second, mapped(odd=tiny.payment), 2) == Counter(events=1, unchanged=2)
    assert [each for each in await house.filed(2) if each in before] == before[:2]


async def test_an_item_without_a_key(house):
    """Nothing can have come under it: it is understood now."""
    first = batch(odd(None))
    await append(house.journal, first)
    assert await house.hear(first, mapped(odd=tiny.payment)) == Counter(events=1)
    assert await house.filed() == [("events", None, None, 2)]


async def test_a_copy_in_the_same_commit(house):
    """It is a duplicate of what was understood just before."""
    account, first = mapped(odd=tiny.payment), batch(odd("e1"))
    await append(house.journal, first)
    again = entry(first, account)

    def decide(unit):
        hear_again(unit, again, 1, "job-1", picks=lambda _: True)
        return unit.append(again)

    (receipt,) = await house.journal.change(decide, (again,))
    assert receipt.result is Result.DUPLICATE
    assert [delivery for delivery, *_ in items(house.journal)] == [1]


async def test_what_breaks_while_it_is_put_into_words_now(house):
    """It is quarantined for that."""
    first = batch(odd("e1", broken=True))
    await append(house.journal, first)
    assert await house.hear(first, mapped(odd=tiny.payment)) == Counter(quarantined=1)
    assert await house.filed() == [("quarantined", "internal_error", "e1", 2)]


FILED = Filed(
    row=1,
    delivery=1,
    dedupe_key="e1",
    result="new",
    outcome="quarantined",
    reason=None,
    path=None,
    attempt=1,
    event_type=None,
)


@pytest.mark.parametrize(
    ("result", "outcome", "spoken"),
    [
        ("new", "events", True),
        ("new", "quarantined", False),
        ("new", "ignored", False),
        ("duplicate", "events", True),
        ("conflict", "quarantined", True),
    ],
)
def test_whether_an_item_said_what_it_had_to_say(result, outcome, spoken):
    """Its events, or nothing ever: another item's word counts."""
    assert is_spoken(replace(FILED, result=result, outcome=outcome)) is spoken


async def test_what_an_item_might_say(house):
    """The ids of its events as they are published, with an event key and without; of what states nothing, none."""
    for key in ("e1", None):
        made = entry(batch(says("payment", key, "p1", status="succeeded", amount=2, refunded=1), says("ping", "e2")))
        said, ignored = made.items
        (receipt, _) = await house.journal.append(made)
        assert len(receipt.event_ids) in (1, 2)
        assert set(receipt.event_ids) <= set(might_say(made, said))
        assert might_say(made, ignored) == []
