from __future__ import annotations

import pytest

from paymux.journal.memory import MemoryJournal
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.writing import WriterProcess, WriterThread

WRITING = {"sqlite": WriterThread, "sqlite, process": WriterProcess}


@pytest.fixture(params=["memory", *WRITING])
async def make_journal(request, tmp_path):
    """Opens empty journals of each implementation, and closes them."""
    made = []

    async def make(**options):
        if request.param == "memory":
            made.append(MemoryJournal(**options))
        else:
            path = tmp_path / f"paymux-{len(made)}.db"
            made.append(await SqliteJournal.open(path, writing=WRITING[request.param], **options))
        return made[-1]

    yield make
    for journal in made:
        await journal.close()


@pytest.fixture
async def journal(make_journal):
    """Every implementation of the protocol, empty."""
    return await make_journal()
