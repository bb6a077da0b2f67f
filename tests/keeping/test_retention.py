from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from paymux.errors import JournalUnavailable
from paymux.journal.memory import MemoryJournal
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.writing import WriterProcess, WriterThread
from paymux.keeping import retention
from paymux.keeping.retention import Retention
from tests.journal.stored import deliveries
from tests.journal.tiny import NOON, put, says


async def fill(journal, count, size=2000):
    for number in range(count):
        item = says("payment", f"e{number}", f"p{number}", status="succeeded", amount=1, other="x" * size)
        await put(journal, item)
    await journal.advance(0, count)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 0.0)


async def test_a_sweep_in_many_steps(monkeypatch):
    """All that is older than the days that are kept, and nothing younger."""
    monkeypatch.setattr(retention, "STEP", 4)
    journal = MemoryJournal()
    await fill(journal, 30)
    newest = deliveries(journal)[-1]
    received = journal.store.deliveries[30].delivery.received_at
    swept = Retention(journal, timedelta(days=90), now=lambda: received + timedelta(days=90))
    assert await swept.sweep() >= 29
    assert [bool(kept.body) for kept in deliveries(journal)] == [False] * 29 + [True]
    assert deliveries(journal)[-1] == newest
    assert await swept.sweep() == 0


async def test_a_journal_that_is_away(monkeypatch):
    """It is told, and tried again at the next sweep."""
    monkeypatch.setattr(retention, "SWEEP_SECONDS", 0.01)

    class Away(MemoryJournal):
        calls = 0

        async def expire(self, before, limit):
            self.calls += 1
            if self.calls < 3:
                raise JournalUnavailable("no disk")
            return await super().expire(before, limit)

    journal = Away()
    await fill(journal, 3)
    task = asyncio.create_task(
        Retention(journal, timedelta(days=1), now=lambda: datetime(2100, 1, 1, tzinfo=UTC)).run()
    )
    async with asyncio.timeout(5):
        while any(kept.body for kept in deliveries(journal)):
            await asyncio.sleep(0.01)
    task.cancel()
    assert journal.calls >= 3


@pytest.mark.parametrize("writing", [WriterThread, WriterProcess])
async def test_the_file_shrinks(tmp_path, writing):
    """Empty pages go back to the file system, but for a tenth; webhooks go on meanwhile."""
    path = tmp_path / "paymux.db"
    journal = await SqliteJournal.open(path, writing=writing)
    await fill(journal, 300, size=20_000)
    await journal.close()
    full = path.stat().st_size
    journal = await SqliteJournal.open(path, writing=writing)
    swept = Retention(journal, timedelta(days=1), now=lambda: NOON + timedelta(days=10_000))
    await swept.sweep()
    for number in range(40):
        await put(journal, says("payment", f"more-{number}", "p1", status="succeeded", amount=1))
        await journal.advance(0, 301 + number)
        await swept.sweep()
    await journal.close()
    assert full > 6_000_000
    assert path.stat().st_size < full / 3


async def test_the_wal_stays_small_in_a_sweep(tmp_path, monkeypatch):
    """What is let go of is written, too: thousands of bodies are some checkpoints' worth, not one."""
    monkeypatch.setattr(retention, "STEP", 50)
    path = tmp_path / "paymux.db"
    journal = await SqliteJournal.open(path)
    await fill(journal, 1500, size=6000)
    await journal.close()
    journal = await SqliteJournal.open(path)
    wal, largest = path.with_name("paymux.db-wal"), 0
    sweeping = asyncio.create_task(
        Retention(journal, timedelta(days=1), now=lambda: NOON + timedelta(days=10_000)).sweep()
    )
    while not sweeping.done():
        largest = max(largest, wal.stat().st_size)
        await asyncio.sleep(0.001)
    await journal.close()
    assert await sweeping > 2900
    assert largest < 15_000_000
