"""A copy of the journal beside a running paymux: whole, of one moment, checked, and under its name only when it is."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from paymux.errors import CopyRefused
from paymux.journal.sqlite.copies import Copy, copy, examined, synced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from paymux.journal.sqlite.copies import Progress


def back_up(journal: Path, file: Path, progress: Progress) -> Copy:
    """For this user alone, and durable, when it returns. What is half written is removed.

    Raises CopyRefused: there is such a file already, the copy cannot be written, or it is not whole.
    """
    _check_free(file)
    with _begun(file.with_name(f"{file.name}.partial")) as partial:
        copy(journal, partial, progress)
        found = examined(partial)
        _check_free(file)
        partial.rename(file)
    synced(file)
    return found


def _check_free(file: Path) -> None:
    if file.exists():
        raise CopyRefused(f"{file} is there already: a copy is never written over another file")
    if not file.absolute().parent.is_dir():
        raise CopyRefused(f"there is no folder {file.parent}")


def beside(file: Path) -> tuple[Path, ...]:
    """What SQLite may leave beside a file; it would take it for the file's own."""
    return tuple(file.with_name(file.name + end) for end in ("-journal", "-wal", "-shm"))


def removed(*files: Path) -> None:
    for file in files:
        with suppress(FileNotFoundError):
            file.unlink()


@contextmanager
def _begun(partial: Path) -> Iterator[Path]:
    """An empty file to fill, which nobody else fills; gone afterwards, unless it has another name by then. One that a
    copy which was killed left behind is begun anew.
    """
    opened = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CopyRefused(f"another paymux is writing {partial}") from None
        os.fchmod(opened, 0o600)
        os.truncate(opened, 0)
        removed(*beside(partial))
        try:
            yield partial
        finally:
            removed(partial, *beside(partial))
    finally:
        os.close(opened)
