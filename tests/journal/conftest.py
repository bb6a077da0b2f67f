from __future__ import annotations

import pytest

from paymux.journal.memory import MemoryJournal
from paymux.journal.sqlite import SqliteJournal


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request, tmp_path):
    """Every implementation of the protocol, empty."""
    made = MemoryJournal() if request.param == "memory" else await SqliteJournal.open(tmp_path / "paymux.db")
    yield made
    await made.close()
