from __future__ import annotations

import pytest

from paymux.journal.memory import MemoryJournal
from paymux.journal.sqlite import SqliteJournal
from tests.http.api.stories import fill
from tests.http.inside import api


@pytest.fixture(params=["memory", "sqlite"])
async def empty(request, tmp_path):
    """A journal with nothing in it, in memory or in a file."""
    journal = MemoryJournal() if request.param == "memory" else await SqliteJournal.open(tmp_path / "paymux.db")
    yield journal
    await journal.close()


@pytest.fixture
async def journal(empty):
    """The stories in it."""
    await fill(empty)
    return empty


@pytest.fixture
async def ask(journal):
    """The API over the stories."""
    async with api(journal) as asked:
        yield asked
