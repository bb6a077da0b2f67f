"""What a run asked of the disk, call by call, from a trace that strace wrote. Linux only."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRACED: Final = (
    *("clone", "clone3", "fork", "vfork", "execve"),
    *("openat", "open", "creat", "close", "dup", "dup2", "dup3"),
    *("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "splice"),
    *("ftruncate", "truncate", "fallocate", "fsync", "fdatasync", "sync_file_range", "msync", "io_uring_setup"),
    *("mmap", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "mkdir", "mkdirat"),
)
_ROOT: Final = Path(__file__).parents[2]
_LINE: Final = re.compile(r"(\d+) +(?:<\.\.\. \w+ resumed>(?P<rest>.*)|(?P<name>\w+)\((?P<args>.*))")
_UNFINISHED: Final = "<unfinished ...>"
_RESULT: Final = re.compile(r"(?P<args>.*)\) += (?P<result>-?\d+)(?: .*)?")
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_STDOUT: Final = 1

# SQLite maps this file into memory, which no trace shows; it never trusts what it finds in it.
INDEX: Final = "-shm"


class CannotTrace(Exception):
    """There is no strace here, or it may not trace; the message says which."""


class Unmodelled(Exception):
    """The run did something to its files that the model does not know: the model is to be extended, not the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file of this name is there from now on, under `handle`; made by this call if it was not."""

    name: str
    handle: int
    empties: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrote:
    handle: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The file is `size` bytes long from now on."""

    handle: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncBegan:
    """`thread` tells concurrent ones apart."""

    handle: int
    thread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    handle: int
    thread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    handle: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A line of the run's own, at this place between its calls."""

    word: str
    facts: dict[str, Any]


Call = Opened | Wrote | Cut | SyncBegan | Synced | Removed | Closed | Said


def record(folder: Path, *, deliveries: int, writer: str, code: Path) -> Path:
    """Run the workload in `folder`, with the paymux that `code` holds, and return the trace. Raises CannotTrace."""
    strace = shutil.which("strace")
    if strace is None:
        raise CannotTrace("strace is not installed: what a run writes and syncs cannot be recorded")
    trace, journal = folder / "trace", folder / "traced"
    journal.mkdir()
    options = ("-f", "-qq", "-xx", "-s", "10000000", "-e", f"trace={','.join(TRACED)}", "-e", "signal=none")
    workload = (sys.executable, "-m", "faults.power_loss.workload", journal / "paymux.db", str(deliveries), writer)
    done = subprocess.run(
        [strace, *options, "-o", trace, *workload],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(code)},
        capture_output=True,
        check=False,
        timeout=300,
    )
    complaint = done.stderr.decode(errors="replace")
    if "ptrace" in complaint.lower():
        raise CannotTrace("this system lets nobody trace a process: what a run writes and syncs cannot be recorded")
    if done.returncode:
        raise RuntimeError(f"the recorded run failed: {complaint[-2000:]}")
    return trace


def calls(trace: Path) -> tuple[Call, ...]:
    """What the run did to the files of its folder, in order. Raises Unmodelled."""
    return tuple(_Reader(str(trace.parent / "traced")).read(trace))


@dataclass(slots=True)
class _Process:
    """The file descriptors that its threads share: of files in the folder, and of the folder, which has no name."""

    handles: dict[int, tuple[int, str]] = field(default_factory=dict)


class _Reader:
    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._threads: dict[int, _Process] = {}
        self._begun: dict[int, tuple[str, str]] = {}
        self._speaker: _Process | None = None
        self._numbers = itertools.count()

    def read(self, trace: Path) -> Iterator[Call]:
        with trace.open() as lines:
            for line in lines:
                found = _LINE.fullmatch(line.rstrip("\n"))
                if found is not None:
                    yield from self._line(int(found[1]), found)

    def _line(self, thread: int, found: re.Match[str]) -> Iterator[Call]:
        process = self._process(thread)
        if found["name"] is None:
            name, args = self._begun.pop(thread)
            args += found["rest"]
        else:
            name, args = found["name"], found["args"]
            if name in _SYNCS and (handle := self._handle(process, args)) is not None:
                yield SyncBegan(handle=handle, thread=thread)
            if args.endswith(_UNFINISHED):
                self._begun[thread] = (name, args.removesuffix(_UNFINISHED))
                return
        ended = _RESULT.fullmatch(args)
        if ended is not None and int(ended["result"]) >= 0:
            read = _READERS.get(name, _Reader._unknown)
            yield from read(self, process, ended["args"], int(ended["result"]), thread)

    # --- processes

    def _process(self, thread: int) -> _Process:
        """A thread may speak before the call that made it has returned."""
        if thread not in self._threads:
            makers = [(name, args, self._threads[maker]) for maker, (name, args) in self._begun.items()]
            making = [(args, process) for name, args, process in makers if _READERS.get(name) is _Reader._made]
            self._threads[thread] = _born(*making[-1]) if making else _Process()
            self._speaker = self._speaker or self._threads[thread]
        return self._threads[thread]

    def _made(self, process: _Process, args: str, result: int, _thread: int) -> Iterator[Call]:
        self._threads.setdefault(result, _born(args, process))
        return iter(())

    def _replaced(self, _process: _Process, _args: str, _result: int, thread: int) -> Iterator[Call]:
        """Python and SQLite open everything so that the next program does not have it."""
        if self._threads[thread] is not self._speaker:
            self._threads[thread] = _Process()
        return iter(())

    # --- files

    def _open(self, process: _Process, args: str, result: int, _thread: int) -> Iterator[Call]:
        path = _text(args).decode(errors="surrogateescape")
        if path != self._folder and not path.startswith(f"{self._folder}/"):
            return
        name = path.removeprefix(self._folder).removeprefix("/")
        handle = next(self._numbers)
        process.handles[result] = (handle, name)
        yield Opened(name=name, handle=handle, empties="O_TRUNC" in args.split('"')[2])

    def _close(self, process: _Process, args: str, _result: int, _thread: int) -> Iterator[Call]:
        handle, _ = process.handles.pop(_number(args), (None, ""))
        if handle is not None and not any(
            handle == one for other in self._threads.values() for one, _ in other.handles.values()
        ):
            yield Closed(handle=handle)

    def _pwrite(self, process: _Process, args: str, result: int, _thread: int) -> Iterator[Call]:
        handle = self._handle(process, args)
        if handle is not None:
            yield Wrote(handle=handle, offset=int(args.rpartition(",")[2]), data=_text(args)[:result])

    def _write(self, process: _Process, args: str, result: int, _thread: int) -> Iterator[Call]:
        if self._handle(process, args) is not None:
            self._unknown(process, args, result, _thread)
        if process is self._speaker and _number(args) == _STDOUT:
            word, _, facts = _text(args).partition(b" ")
            yield Said(word=word.decode(), facts=orjson.loads(facts))

    def _ftruncate(self, process: _Process, args: str, _result: int, _thread: int) -> Iterator[Call]:
        handle = self._handle(process, args)
        if handle is not None:
            yield Cut(handle=handle, size=int(args.rpartition(",")[2]))

    def _sync(self, process: _Process, args: str, _result: int, thread: int) -> Iterator[Call]:
        handle = self._handle(process, args)
        if handle is not None:
            yield Synced(handle=handle, thread=thread)

    def _unlink(self, _process: _Process, args: str, _result: int, _thread: int) -> Iterator[Call]:
        path = _text(args).decode(errors="surrogateescape")
        if path.startswith(f"{self._folder}/"):
            yield Removed(name=path.removeprefix(f"{self._folder}/"))

    def _mmap(self, process: _Process, args: str, _result: int, _thread: int) -> Iterator[Call]:
        """SQLite shares its index with other processes in memory, and nothing else."""
        _, _, access, sharing, number, _ = args.split(", ")
        _, name = process.handles.get(int(number), (None, ""))
        if "PROT_WRITE" in access and "MAP_SHARED" in sharing and name and not name.endswith(INDEX):
            raise Unmodelled(f"{name} is written through memory")
        return iter(())

    def _unknown(self, process: _Process, args: str, _result: int, _thread: int) -> Iterator[Call]:
        named = any(self._folder.encode() in bytes.fromhex(text.replace(r"\x", "")) for text in _TEXT.findall(args))
        if named or self._handle(process, args) is not None:
            raise Unmodelled(f"a call on a file of the journal: {args[:200]}")
        return iter(())

    def _is_held(self, handle: int) -> bool:
        """By a child that was born with it."""
        return any(handle == other for process in self._threads.values() for other, _ in process.handles.values())

    def _handle(self, process: _Process, args: str) -> int | None:
        return process.handles.get(_number(args), (None, ""))[0]


def _born(args: str, maker: _Process) -> _Process:
    return maker if "CLONE_FILES" in args else _Process(dict(maker.handles))


def _number(args: str) -> int:
    """The first argument, where that is a number."""
    found = re.match(r"\d+(?=[,)\s]|$)", args)
    return int(found[0]) if found else -1


def _text(args: str) -> bytes:
    """The first string among the arguments."""
    found = _TEXT.search(args)
    return bytes.fromhex(found[1].replace(r"\x", "")) if found else b""


_SYNCS: Final = frozenset({"fsync", "fdatasync"})
_READERS: Final[dict[str, Callable[[_Reader, _Process, str, int, int], Iterator[Call]]]] = {
    **dict.fromkeys(("clone", "clone3", "fork", "vfork"), _Reader._made),  # noqa: SLF001  # the table is the class's own
    "execve": _Reader._replaced,  # noqa: SLF001  # as above
    "openat": _Reader._open,  # noqa: SLF001  # as above
    "close": _Reader._close,  # noqa: SLF001  # as above
    "pwrite64": _Reader._pwrite,  # noqa: SLF001  # as above
    "write": _Reader._write,  # noqa: SLF001  # as above
    "ftruncate": _Reader._ftruncate,  # noqa: SLF001  # as above
    "fsync": _Reader._sync,  # noqa: SLF001  # as above
    "fdatasync": _Reader._sync,  # noqa: SLF001  # as above
    "mmap": _Reader._mmap,  # noqa: SLF001  # as above
    "unlink": _Reader._unlink,  # noqa: SLF001  # as above
}
