"""Every test has its own APIs, and runs on both journals."""

from __future__ import annotations

import pytest

from paymux.journal.memory import MemoryJournal
from paymux.journal.memory.archive import MemoryArchive
from paymux.journal.memory.history import MemoryHistory
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.archive import SqliteArchive
from paymux.journal.sqlite.history import SqliteHistory
from paymux.provider_api import open_session
from paymux.sandbox.apis import Sandbox
from tests.reconcile.world import World


@pytest.fixture
async def sandbox():
    found = Sandbox()
    async with found.running():
        yield found


@pytest.fixture(params=["memory", "sqlite"])
async def world(request, tmp_path, sandbox):
    if request.param == "memory":
        journal = MemoryJournal()
        archive, history = MemoryArchive(journal), MemoryHistory(journal)
    else:
        path = tmp_path / "paymux.db"
        journal = await SqliteJournal.open(path)
        archive, history = SqliteArchive(path), SqliteHistory(path)
    async with open_session() as session:
        yield World(sandbox, session, journal, archive, history)
        await archive.close()
        await history.close()
        await journal.close()
