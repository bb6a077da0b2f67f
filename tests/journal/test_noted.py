"""What the journal notes beside the line, on both journals: what jobs came across, and which secrets prove deliveries."""

from __future__ import annotations

from datetime import timedelta

import pytest

from paymux.delivery import Proof, Verified, Via
from paymux.journal import Entry
from paymux.journal.memory import MemoryJournal
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.history import SAMPLE, SAMPLES
from paymux.translate import translate
from paymux.wiring.parts import reading
from tests.journal.tiny import ACCOUNT, NOON, batch, put, says

NAME = ("tiny", "acme")


@pytest.fixture(params=["memory", "sqlite"])
async def house(request, tmp_path):
    journal = MemoryJournal() if request.param == "memory" else await SqliteJournal.open(tmp_path / "paymux.db")
    history, archive = reading(journal)
    yield journal, history, archive
    await history.close()
    await archive.close()
    await journal.close()


async def test_what_a_job_came_across(house):
    """It is known until the job ends; another job's is its own."""
    journal, _, archive = house
    await journal.change(lambda unit: unit.remember("one", ["a", "b", "a"]))
    await journal.change(lambda unit: unit.remember("two", ["b", "c"]))
    assert await archive.listed("one", ["a", "b", "c"]) == {"a", "b"}
    await journal.change(lambda unit: unit.forget("one"))
    assert await archive.listed("one", ["a", "b", "c"]) == frozenset()
    assert await archive.listed("two", ["a", "b", "c"]) == {"b", "c"}
    assert await archive.listed("two", []) == frozenset()


async def test_what_is_forgotten_and_remembered_in_one_commit(house):
    """A job that begins anew knows nothing of before."""
    journal, _, archive = house
    await journal.change(lambda unit: unit.remember("one", ["a"]))

    def decide(unit):
        unit.remember("one", ["b"])
        unit.forget("one")

    await journal.change(decide)
    assert await archive.listed("one", ["a", "b"]) == frozenset()


async def test_of_which_payments_deliveries_spoke(house):
    """Theirs and those of what is in them; what was not understood spoke of none."""
    journal, _, archive = house
    await put(journal, says("payment", "e1", "p1", status="succeeded"), says("payment", "e2", "p2", status="failed"))
    await put(journal, says("no such type", "e3", "p3"))
    await put(journal, says("refund", "e4", "r1", payment="p1", status="succeeded", amount=1))
    assert await archive.spoken([1, 2]) == {"tiny/acme/p1", "tiny/acme/p2"}
    assert await archive.spoken([2]) == frozenset()
    assert await archive.spoken([3]) == {"tiny/acme/p1"}


async def hear(journal, number, *, secret, **more):
    verified = batch(says("payment", f"e{number}", f"p{number}", status="failed"), **more)
    again = Verified(verified.delivery, Proof.SIGNATURE, secret)
    await journal.append(Entry(account=ACCOUNT, verified=again, items=translate(ACCOUNT, again)))


async def test_which_secrets_prove_deliveries(house):
    """Webhooks only, and since then only."""
    journal, history, _ = house
    for number, secret in enumerate([0, 1, 1, None, 1]):
        await hear(journal, number, secret=secret, received_at=NOON + timedelta(minutes=number))
    await hear(journal, 9, secret=0, received_at=NOON + timedelta(minutes=9), via=Via.IMPORT)
    assert await history.secrets_used(NOON) == {NAME: {0: 1, 1: 3}}
    assert await history.secrets_used(NOON + timedelta(minutes=2)) == {NAME: {1: 2}}
    assert await history.secrets_used(NOON + timedelta(hours=1)) == {}


async def test_very_many_deliveries_are_sampled(tmp_path, monkeypatch):
    """Spread over the whole time: a secret that was used at its beginning only is found as well."""
    monkeypatch.setattr("paymux.journal.sqlite.history.SAMPLES", 5)
    monkeypatch.setattr("paymux.journal.sqlite.history.SAMPLE", 4)
    assert SAMPLES * SAMPLE == 20_000
    journal = await SqliteJournal.open(tmp_path / "paymux.db")
    history, archive = reading(journal)
    for number in range(100):
        await hear(journal, number, secret=int(number > 30), received_at=NOON + timedelta(minutes=number))
    (counts,) = (await history.secrets_used(NOON)).values()
    assert counts == {0: 8, 1: 12}
    await history.close()
    await archive.close()
    await journal.close()
