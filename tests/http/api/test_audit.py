"""The audit trail, and whether it is whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paymux.explain import audit as explained
from paymux.http.private import application
from paymux.journal.audit import Act
from paymux.journal.memory import MemoryJournal
from tests.http.inside import api

ACTS = 7


@pytest.fixture
async def ask(empty):
    for n in range(ACTS):
        act = Act(who="ops", action="delivery.raw", target=f"d{n}", detail={"n": n})
        await empty.change(lambda unit, act=act: unit.audit(act))
    async with api(empty) as asked:
        yield asked


async def test_in_order_page_by_page(ask):
    """Oldest first; `next` leads to the rest."""
    got = await ask.get("audit?limit=3", who="looker")
    seen = got.body["acts"]
    while got.body["next"] is not None:
        got = await ask.get(got.body["next"].removeprefix("/api/v1/"))
        seen += got.body["acts"]
    assert [(act["row"], act["target"], act["detail"]) for act in seen] == [
        (n + 1, f"d{n}", {"n": n}) for n in range(7)
    ]


async def test_a_whole_trail(ask, monkeypatch):
    """No row is named; also where it takes several readings."""
    monkeypatch.setattr(explained, "STEP", 3)
    got = await ask.get("audit/verify", who="looker")
    last = (await ask.get("audit")).body["acts"][-1]
    assert (got.status, got.body) == (200, {"rows": ACTS, "first_broken": None, "chain": last["chain"]})


@pytest.mark.parametrize("row", [1, 3, 4, 7])
async def test_the_first_broken_row_is_named(row, monkeypatch):
    """Whoever changed a row behind the journal's back is seen, at whatever place of a reading it stands."""
    monkeypatch.setattr(explained, "STEP", 3)
    journal = MemoryJournal()
    for n in range(ACTS):
        await journal.change(lambda unit, n=n: unit.audit(Act(who="ops", action="delivery.raw", target=f"d{n}")))
    kept = journal.store.audit
    kept[row - 1] = replace(kept[row - 1], act=replace(kept[row - 1].act, who="nobody"))
    async with api(journal) as ask:
        assert (await ask.get("audit/verify")).body["first_broken"] == row


async def test_a_row_that_was_taken_away(monkeypatch):
    """It is the one that is named."""
    journal = MemoryJournal()
    for n in range(ACTS):
        await journal.change(lambda unit, n=n: unit.audit(Act(who="ops", action="delivery.raw", target=f"d{n}")))
    del journal.store.audit[4]
    async with api(journal) as ask:
        assert (await ask.get("audit/verify")).body["first_broken"] == 5


def test_reading_the_trail_is_not_part_of_it():
    """Its routes are GET only."""
    paths = [route for route in application(None).router.routes() if "audit" in route.resource.canonical]
    assert {route.method for route in paths} == {"GET"}
