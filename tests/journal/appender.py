"""A process of its own that appends to a SQLite journal and says what was acknowledged: to be killed, or to be hit by
errors of the disk.

    python -m tests.journal.appender thread|process FILE PREFIX [COUNT]
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from paymux.errors import JournalUnavailable
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.writing import WriterProcess, WriterThread
from tests.journal.tiny import put, says

if TYPE_CHECKING:
    from collections.abc import Callable

    from paymux.journal.sqlite.writing import Writing

WRITERS = 8
WRITING = {"thread": WriterThread, "process": WriterProcess}


async def main(path: Path, prefix: str, count: int, writing: Callable[[Path, int], Writing]) -> None:
    journal = await SqliteJournal.open(path, writing=writing)
    say("open")
    keys = iter(range(count))

    async def write() -> None:
        for number in keys:
            key = f"{prefix}-{number}"
            await _append(journal, key, number)

    await asyncio.gather(*(write() for _ in range(WRITERS)))
    await journal.close()
    say("closed")


async def _append(journal: SqliteJournal, key: str, number: int) -> None:
    """Until it is acknowledged, as a sender would."""
    item = says("payment", key, f"p{number % 20}", after=number, status="processing", amount=number)
    for _ in range(20):
        try:
            await put(journal, item)
        except JournalUnavailable as error:
            say(f"refused {key} {error}")
            await asyncio.sleep(0.01)
        else:
            say(f"acked {key}")
            return


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    where, path, prefix, *count = sys.argv[1:]
    asyncio.run(main(Path(path), prefix, int(count[0]) if count else 1_000_000, WRITING[where]))
