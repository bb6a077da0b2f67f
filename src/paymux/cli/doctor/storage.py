"""The journal's disk, its file, and how much of it is kept."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from paymux.cli.doctor.findings import good, note, wrong
from paymux.journal.sqlite.history import SqliteHistory
from paymux.journal.sqlite.outbox import open_to_read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paymux.cli.doctor.findings import Finding, Subject

LEAST_FREE: Final = 256 * 1024 * 1024  # bytes; below, webhooks will soon be answered 503
GOOD_FREE: Final = 2 * 1024 * 1024 * 1024
LARGEST_WAL: Final = 1024 * 1024 * 1024
PATIENCE: Final = 60.0  # seconds, for a quick check
LATE: Final = timedelta(days=2)  # that bodies may be kept beyond the retention

_STEPS: Final = 100_000  # of SQLite's machine between two looks at the clock
_MEGA: Final = 1_000_000


async def disk(subject: Subject) -> list[Finding]:
    return list(await asyncio.to_thread(lambda: list(_disk(subject))))


def _disk(subject: Subject) -> Iterator[Finding]:
    if subject.settings.journal.path is None:
        return
    folder = Path(subject.settings.journal.path).resolve().parent
    free = shutil.disk_usage(folder).free
    if free < GOOD_FREE:
        level = wrong if free < LEAST_FREE else note
        yield level(
            "disk",
            f"{folder} has {free // _MEGA:,} MB left",
            "make room: where a commit fails, webhooks are answered 503 until there is some",
        )
    else:
        yield good("disk", f"{free // _MEGA:,} MB left")
    if subject.file is not None:
        yield from _sizes(subject.file)


def _sizes(file: Path) -> Iterator[Finding]:
    wal = file.with_name(f"{file.name}-wal")
    waiting = wal.stat().st_size if wal.is_file() else 0
    if waiting > LARGEST_WAL:
        yield note(
            "disk",
            f"the journal's WAL has {waiting // _MEGA:,} MB",
            "look for a program that reads the journal for very long: it keeps the WAL from being emptied",
        )
    yield good("journal", f"the file has {file.stat().st_size // _MEGA:,} MB")


async def integrity(subject: Subject) -> list[Finding]:
    if subject.settings.journal.path is None:
        return []
    if subject.file is None:
        return [note("journal", "there is none yet", "`paymux serve` makes it")]
    return [await asyncio.to_thread(_integrity, subject.file, is_full=subject.is_full)]


def _integrity(file: Path, *, is_full: bool) -> Finding:
    ends = time.monotonic() + PATIENCE
    pragma = "integrity_check" if is_full else "quick_check"
    try:
        with closing(open_to_read(file)) as connection:
            if not is_full:
                connection.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
            told = [row[0] for row in connection.execute(f"PRAGMA {pragma}(10)")]
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return note(
                "journal", f"too large to be checked in {PATIENCE:.0f} s", "`paymux doctor --full` takes the time"
            )
        return wrong("journal", f"it cannot be read: {error}", "see docs/operations.md, The journal's file")
    except sqlite3.DatabaseError as error:
        return _damaged(str(error))
    return good("journal", f"{pragma} found nothing wrong") if told == ["ok"] else _damaged("; ".join(told))


def _damaged(told: str) -> Finding:
    return wrong("journal", f"it is damaged: {told[:300]}", "stop serve, keep the file, restore a backup")


async def retention(subject: Subject) -> list[Finding]:
    days = subject.settings.journal.retention_days
    if subject.file is None or not days:
        return []
    history = SqliteHistory(subject.file)
    try:
        found = await history.retained(subject.now - timedelta(days=days) - LATE)
    finally:
        await history.close()
    if found.old_bodies:
        advice = "it is let go of while `paymux serve` runs; `paymux retention --now` does it at once"
        return [note("retention", f"{found.old_bodies:,} bodies are kept beyond {days} days", advice)]
    return [good("retention", f"{found.bodies:,} bodies, none beyond {days} days")]
