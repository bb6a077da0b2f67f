"""Lookups that wait, many of them: each account gets its turn, and hints leave no more than their bound."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from paymux.delivery import ObjectRef, Proof
from paymux.errors import JournalUnavailable, LookupsFull
from paymux.journal.lookups import RECOUNT_SECONDS, Hints
from tests.journal.tiny import ACCOUNT, NOON, append, batch, entry, put, says

LATER = NOON + timedelta(days=10_000)
OTHERS = [replace(ACCOUNT, name=name) for name in ("aaa", "other", "zzz")]


def asks(*ids, key=None):
    return says("ask", key, "-", ids=list(ids))


async def hint(journal, *ids, account=ACCOUNT):
    return await append(journal, batch(asks(*ids), proof=Proof.HINT), account)


async def waiting(journal):
    return {row.ref.id for row in await journal.due_lookups(LATER, 100)}


async def test_each_account_has_its_turn_however_many_of_another_wait(journal):
    """The oldest few of each account, and of no account more than asked for."""
    await put(journal, asks(*(f"p{number:03}" for number in range(300)), key="e1"))
    for account in OTHERS:
        await append(journal, batch(asks("q1", "q2", key=f"e-{account.name}")), account)
    rows = await journal.due_lookups(LATER, 4)
    assert Counter(row.account for row in rows) == {"acme": 4, "aaa": 2, "other": 2, "zzz": 2}
    assert [row.ref.id for row in rows if row.account == "acme"] == ["p000", "p001", "p002", "p003"]
    assert [(row.due_at, row.id) for row in rows] == sorted((row.due_at, row.id) for row in rows)


async def test_what_is_not_due_takes_nobodys_turn(journal):
    """A postponed lookup stands behind those that are due, in its own account too."""
    await put(journal, asks("p1", "p2", "p3", key="e1"))
    for row in await journal.due_lookups(LATER, 2):
        await journal.postpone(row, LATER + timedelta(days=1))
    assert [row.ref.id for row in await journal.due_lookups(LATER, 2)] == ["p3"]
    assert await journal.due_lookups(NOON - timedelta(days=1), 2) == []


@pytest.mark.parametrize("proof", [Proof.SIGNATURE, Proof.HINT])
async def test_giving_up_says_whether_it_was(journal, proof):
    """No where a delivery asked meanwhile: it keeps the lookup. Yes for the row as it is now; no once it is gone."""
    await put(journal, asks("p1", key="e1"), proof=proof)
    (before,) = await journal.due_lookups(LATER, 9)
    await put(journal, asks("p1", key="e2"), proof=proof)
    assert await journal.give_up(before, reason="lookup_not_found", detail="404") is False
    (now,) = await journal.due_lookups(LATER, 9)
    assert await journal.give_up(now, reason="lookup_not_found", detail="404") is True
    assert await journal.give_up(now, reason="lookup_not_found", detail="404") is False


async def test_hints_leave_no_more_to_look_up_than_their_bound(make_journal):
    """One about a new object is refused then; one about an object that waits already is taken, and so is proof."""
    journal = await make_journal(max_hints=3)
    await hint(journal, "p1", "p2")
    await hint(journal, "p3")
    with pytest.raises(LookupsFull):
        await hint(journal, "p4")
    with pytest.raises(LookupsFull):
        await hint(journal, "p1", "p4")
    await hint(journal, "p2")
    await put(journal, asks("p5", key="e1"))
    assert await waiting(journal) == {"p1", "p2", "p3", "p5"}


async def test_the_bound_is_each_accounts_own(make_journal):
    """Hints of one account do not use up another's room."""
    journal = await make_journal(max_hints=1)
    for account in (ACCOUNT, *OTHERS):
        await hint(journal, f"p-{account.name}", account=account)
    with pytest.raises(LookupsFull):
        await hint(journal, "p9", account=OTHERS[1])
    assert len(await waiting(journal)) == 4


async def test_hints_about_one_object_do_not_use_up_the_room(make_journal):
    """They are coalesced, so what they leave is one row."""
    journal = await make_journal(max_hints=2)
    for _ in range(10):
        await hint(journal, "p1")
    await hint(journal, "p2")
    assert await waiting(journal) == {"p1", "p2"}


class Rows:
    """What waits, as a journal that commits nothing would tell it."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.counts = 0

    async def hinted(self, _scope) -> int:
        self.counts += 1
        return len(self.ids)

    async def is_asked(self, _scope, ref: ObjectRef) -> bool:
        return ref.id in self.ids


async def test_there_is_room_again_once_lookups_were_answered():
    """Rows are counted only where the bound may be reached, and then once a second, however many hints come."""
    rows, now = Rows(), [0.0]
    hints = Hints(rows, 2, clock=lambda: now[0])
    named = [entry(batch(asks(f"p{number}"), proof=Proof.HINT)) for number in range(4)]
    await hints.let_in(named[0])
    await hints.let_in(named[1])
    rows.ids = {"p0", "p1"}
    assert rows.counts == 1
    now[0] += RECOUNT_SECONDS
    for _ in range(5):
        with pytest.raises(LookupsFull):
            await hints.let_in(named[2])
    assert rows.counts == 2
    rows.ids = {"p1"}
    now[0] += RECOUNT_SECONDS
    await hints.let_in(named[2])
    assert rows.counts == 3


def test_being_full_is_being_unavailable():
    """Whoever does not know it answers 503 with Retry-After, and never 2xx."""
    assert issubclass(LookupsFull, JournalUnavailable)
    assert LookupsFull.reason == "lookups_full"
