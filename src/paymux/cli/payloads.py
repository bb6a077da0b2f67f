"""Stored payloads as they lie around: files, folders, archives, one a line. Read in place, bounded, never unpacked.

Nothing is written anywhere, so a member's name is only shown. What a member, and what a whole archive may hold, is
bounded by what was really decompressed, not by what it says of itself.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Protocol

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Reader = Callable[[str, IO[bytes]], Iterator["Payload"]]

    class Readable(Protocol):
        def read(self, size: int = ..., /) -> bytes: ...


LARGEST: Final = 16 * 2**20  # bytes of one payload of an archive
MOST_BYTES: Final = 256 * 2**20  # of all of them, decompressed
MOST_PAYLOADS: Final = 100_000

# What broken, encrypted and odd archives raise.
_BROKEN: Final = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, RuntimeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """`name` leads to it: `FILE`, `FOLDER/FILE`, `ARCHIVE:MEMBER`, `FILE.jsonl:LINE`. An `error` has no body."""

    name: str
    body: bytes = b""
    error: str | None = None


class _TooMuchError(Exception):
    """An archive is given up; the text says at which bound."""


def payloads(paths: Iterable[str]) -> Iterator[Payload]:
    """In the order of `paths`, of folders and archives in their own; "-" is standard input."""
    for path in paths:
        yield from _folder(path) if path != "-" and Path(path).is_dir() else _file(path)


def _folder(path: str) -> Iterator[Payload]:
    """Every file in it, by name; hidden ones and links to folders are passed over, pipes too: one would never end."""
    errors: list[OSError] = []
    files = sorted(_files(path, errors.append))
    for error in errors:
        yield Payload(name=click.format_filename(error.filename), error=os.strerror(error.errno or 0))
    if not files and not errors:
        yield Payload(name=click.format_filename(path), error="holds no file")
    for file in files:
        yield from _file(file)


def _files(path: str, refused: Callable[[OSError], None]) -> Iterator[str]:
    for folder, inner, names in os.walk(path, onerror=refused):
        inner[:] = [name for name in inner if not name.startswith(".")]
        files = (str(Path(folder, name)) for name in names if not name.startswith("."))
        yield from (file for file in files if Path(file).is_file())


def _file(path: str) -> Iterator[Payload]:
    name = click.format_filename(path)
    try:
        with click.open_file(path, "rb") as file:
            yield from _reader(path)(name, file)
    except _BROKEN as error:
        yield Payload(name=name, error=f"is no such archive, or broken: {error!s:.120}")
    except _TooMuchError as error:
        yield Payload(name=name, error=str(error))
    except OSError as error:
        yield Payload(name=name, error=os.strerror(error.errno or 0))


def _reader(name: str) -> Reader:
    return next((reader for suffix, reader in _READERS.items() if name.lower().endswith(suffix)), _whole)


def _whole(name: str, file: IO[bytes]) -> Iterator[Payload]:
    yield Payload(name=name, body=file.read())


def _lines(name: str, file: IO[bytes]) -> Iterator[Payload]:
    number = 0
    while line := file.readline(LARGEST + 1):
        number += 1
        if len(line) > LARGEST:
            raise _TooMuchError(f"line {number} has more than {LARGEST} bytes")
        if line.strip():
            yield Payload(name=f"{name}:{number}", body=line.strip())


# --- archives


def _zip(name: str, file: IO[bytes]) -> Iterator[Payload]:
    bound = _Bound()
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            try:
                with archive.open(member) as opened:
                    found = list(_member(f"{name}:{_text(member.filename)}", _Counted(opened, bound), bound))
            except _BROKEN as error:
                found = [Payload(name=f"{name}:{_text(member.filename)}", error=f"cannot be read: {error!s:.120}")]
            yield from found


def _tar(name: str, file: Readable) -> Iterator[Payload]:
    bound = _Bound()
    with tarfile.open(fileobj=_Counted(file, bound), mode="r|") as archive:
        for member in archive:
            opened = archive.extractfile(member) if member.isreg() else None
            if opened is not None:
                yield from _member(f"{name}:{_text(member.name)}", opened, bound)
            elif not member.isdir():
                yield Payload(name=f"{name}:{_text(member.name)}", error="is a link or a device")


def _tar_gz(name: str, file: IO[bytes]) -> Iterator[Payload]:
    with gzip.GzipFile(fileobj=file) as bare:
        yield from _tar(name, bare)


def _member(name: str, opened: Readable, bound: _Bound) -> Iterator[Payload]:
    bound.count()
    reader = _reader(name)
    if reader not in (_whole, _lines):
        yield Payload(name=name, error="is an archive in an archive")
        return
    body = opened.read(LARGEST + 1)
    if len(body) > LARGEST:
        yield Payload(name=name, error=f"has more than {LARGEST} bytes")
        return
    yield from reader(name, io.BytesIO(body))


class _Bound:
    """What one archive has given so far."""

    def __init__(self) -> None:
        self._payloads = self._bytes = 0

    def count(self) -> None:
        self._payloads += 1
        if self._payloads > MOST_PAYLOADS:
            raise _TooMuchError(f"holds more than {MOST_PAYLOADS} payloads")

    def take(self, count: int) -> None:
        self._bytes += count
        if self._bytes > MOST_BYTES:
            raise _TooMuchError(f"holds more than {MOST_BYTES} bytes")


class _Counted(io.RawIOBase):
    """A file that nobody reads more of than the bound admits."""

    def __init__(self, file: Readable, bound: _Bound) -> None:
        self._file = file
        self._bound = bound

    def read(self, size: int = -1, /) -> bytes:
        found = self._file.read(size)
        self._bound.take(len(found))
        return found


def _text(name: str) -> str:
    """A member's name as it can be shown."""
    return name.encode(errors="replace").decode()


# How a file is called -> what it holds; anything else is one payload.
_READERS: Final[Mapping[str, Reader]] = {
    ".zip": _zip,
    ".tar": _tar,
    ".tar.gz": _tar_gz,
    ".tgz": _tar_gz,
    ".jsonl": _lines,
    ".ndjson": _lines,
}
