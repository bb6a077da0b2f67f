"""A disk with a cache that forgets: follows the calls of a run and makes the states that a power loss may leave.

What a completed sync covers is there for sure; of what was written since, anything may be: all, nothing, the first
part, any subset, single sectors of a write. A file that grew may have its new length with nothing in it. A file's name
is there for sure only once its folder was synced; until then each creation and removal may have happened or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeVar

from faults.power_loss.recording import INDEX, Closed, Cut, Opened, Removed, Said, SyncBegan, Synced, Unmodelled, Wrote

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from faults.power_loss.recording import Call

Image = dict[str, bytes]  # the files of the folder
Change = Wrote | Cut
T = TypeVar("T")

INDEX_SIZE: Final = 32_768
SECTORS: Final = (512, 4096)


@dataclass(slots=True)
class File:
    """`durable` is its content as of the last sync, `pending` what was done to it since, in order."""

    durable: bytes = b""
    pending: list[Change] = field(default_factory=list)
    syncing: dict[int, int] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return _applied(self.durable, self.pending)

    def forced(self, count: int) -> None:
        """The first `count` pending changes are durable."""
        self.durable = _applied(self.durable, self.pending[:count])
        del self.pending[:count]
        self.syncing = {thread: max(0, began - count) for thread, began in self.syncing.items()}

    def crashed(self, dice: random.Random, garbage: bytes) -> bytes:
        """One of the contents that it may be left with; `garbage` is what else the disk has in its blocks."""
        kept = dice.choice(_SURVIVALS)(self.pending, dice)
        base = self.durable
        grown = len(self.content) - len(base)
        if grown > 0 and dice.random() < 0.5:
            base += dice.choice((bytes(grown), (garbage * (grown // len(garbage) + 1))[:grown]))
        return _applied(base, kept)


@dataclass(frozen=True, slots=True)
class Entry:
    """A change of the folder: this name now means this file, or nothing."""

    name: str
    file: File | None


class Disk:
    """One folder."""

    def __init__(self) -> None:
        self._names: dict[str, File] = {}
        self._durable_names: dict[str, File] = {}
        self._renamed: list[Entry] = []
        self._handles: dict[int, File | None] = {}  # None: the folder
        self._syncing: dict[int, int] = {}
        self._removed = b""

    def follow(self, call: Call) -> None:
        match call:
            case Opened():
                self._open(call)
            case Wrote() | Cut():
                self._file(call.handle).pending.append(call)
            case SyncBegan():
                self._sync_began(call)
            case Synced():
                self._synced(call)
            case Removed():
                self._remove(call.name)
            case Closed():
                del self._handles[call.handle]
            case Said():
                pass

    def crashed(self, dice: random.Random) -> Image:
        """One of the states that the disk may be left in now."""
        names = dict(self._durable_names)
        _rename(names, dice.choice(_SURVIVALS)(self._renamed, dice))
        garbage = dice.choice((dice.randbytes(4096), self._removed or bytes(4096)))
        return {name: self._left(name, file, dice, garbage) for name, file in sorted(names.items())}

    def complete(self) -> Image:
        """Everything that was asked for."""
        return {name: file.content for name, file in self._names.items() if not name.endswith(INDEX)}

    def _left(self, name: str, file: File, dice: random.Random, garbage: bytes) -> bytes:
        if name.endswith(INDEX):
            return dice.choice((b"", bytes(INDEX_SIZE), dice.randbytes(INDEX_SIZE)))
        return file.crashed(dice, garbage)

    def _file(self, handle: int) -> File:
        file = self._handles[handle]
        if file is None:
            raise Unmodelled("a write to the folder itself")
        return file

    def _open(self, call: Opened) -> None:
        if not call.name:
            self._handles[call.handle] = None
            return
        if call.name not in self._names:
            self._names[call.name] = File()
            self._renamed.append(Entry(call.name, self._names[call.name]))
        file = self._handles[call.handle] = self._names[call.name]
        if call.empties:
            file.pending.append(Cut(handle=call.handle, size=0))

    def _remove(self, name: str) -> None:
        self._removed = self._names.pop(name).content or self._removed
        self._renamed.append(Entry(name, None))

    def _sync_began(self, call: SyncBegan) -> None:
        file = self._handles[call.handle]
        if file is None:
            self._syncing[call.thread] = len(self._renamed)
        else:
            file.syncing[call.thread] = len(file.pending)

    def _synced(self, call: Synced) -> None:
        file = self._handles[call.handle]
        if file is not None:
            file.forced(file.syncing.pop(call.thread))
            return
        count = self._syncing.pop(call.thread)
        _rename(self._durable_names, self._renamed[:count])
        del self._renamed[:count]


def _rename(names: dict[str, File], entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.file is None:
            names.pop(entry.name, None)
        else:
            names[entry.name] = entry.file


def _applied(content: bytes, changes: Sequence[Change]) -> bytes:
    if not changes:
        return content
    result = bytearray(content)
    for change in changes:
        if isinstance(change, Cut):
            del result[change.size :]
            result.extend(bytes(change.size - len(result)))
            continue
        result.extend(bytes(max(0, change.offset - len(result))))
        result[change.offset : change.offset + len(change.data)] = change.data
    return bytes(result)


# --- what may survive of changes that no sync covers


def _everything(changes: Sequence[T], _dice: random.Random) -> Sequence[T]:
    return changes


def _nothing(_changes: Sequence[T], _dice: random.Random) -> Sequence[T]:
    return ()


def _first(changes: Sequence[T], dice: random.Random) -> Sequence[T]:
    return changes[: dice.randint(0, len(changes))]


def _all_but_one(changes: Sequence[T], dice: random.Random) -> Sequence[T]:
    lost = dice.randrange(len(changes)) if changes else 0
    return (*changes[:lost], *changes[lost + 1 :])


def _some(changes: Sequence[T], dice: random.Random) -> Sequence[T]:
    share = dice.random()
    return [change for change in changes if dice.random() < share]


def _torn(changes: Sequence[T], dice: random.Random) -> Sequence[T]:
    """Of each write any of its sectors."""
    sector, share = dice.choice(SECTORS), dice.random()
    kept: list[T] = []
    for change in changes:
        pieces = _sectors(change, sector) if isinstance(change, Wrote) else [change]
        kept += [piece for piece in pieces if dice.random() < share]
    return kept


def _torn_last(changes: Sequence[T], dice: random.Random) -> Sequence[T]:
    """As if the current went away within a write, and all before it made it."""
    first = _first(changes, dice)
    return (*first[:-1], *_torn(first[-1:], dice))


def _sectors(change: T, sector: int) -> Iterator[T]:
    if not isinstance(change, Wrote):  # Defensive: only writes have sectors
        return
    start, end = change.offset, change.offset + len(change.data)
    while start < end:
        stop = min(end, start - start % sector + sector)
        yield replace(change, offset=start, data=change.data[start - change.offset : stop - change.offset])
        start = stop


_SURVIVALS: Final = (_everything, _nothing, _first, _all_but_one, _some, _torn, _torn_last)
