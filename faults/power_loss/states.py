"""States sampled over a whole recorded run, each judged by what had been promised at that moment."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from faults.power_loss.disk import Disk
from faults.power_loss.recording import Cut, Opened, Removed, Said, SyncBegan, Synced, calls, record
from faults.power_loss.verdict import FILE, Told, broken_promises

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faults.power_loss.recording import Call

# After these something has just become true, or is about to.
_TURNS: Final = (SyncBegan, Synced, Opened, Removed, Cut, Said)
FIRST_FEW: Final = 10  # acknowledgements
_STRICT: Final = '"synchronous = FULL"'
_SOURCE: Final = Path(__file__).parents[2] / "src"
_MEMORY: Final = "/dev/shm"


@dataclass(slots=True, kw_only=True)
class Report:
    """`acked` is what had been acknowledged in all states together, `lossy` the states without something written.

    `failures` are broken promises; `stuck` the states of a first start that does not get any further, where nothing was
    promised yet.
    """

    states: int = 0
    acked: int = 0
    lossy: int = 0
    failures: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.states} states opened, {self.lossy} of them without something that was written, "
            f"{self.acked} acknowledged deliveries looked for, {len(self.failures)} states wrong, "
            f"{len(self.stuck)} first starts that cannot go on"
        )


def recorded(folder: Path, *, deliveries: int, writer: str = "process", synchronous: str = "FULL") -> tuple[Call, ...]:
    """The run whose trace is in `folder`; without one, make it. Raises CannotTrace."""
    folder.mkdir(parents=True, exist_ok=True)
    trace = folder / "trace"
    if not trace.exists():
        code = _SOURCE if synchronous == "FULL" else _lax_copy(folder / "code")
        record(folder, deliveries=deliveries, writer=writer, code=code)
    return calls(trace)


def _lax_copy(code: Path) -> Path:
    """Paymux with synchronous NORMAL, which syncs a commit only at the next checkpoint."""
    shutil.copytree(_SOURCE / "paymux", code / "paymux", ignore=shutil.ignore_patterns("__pycache__"))
    changed = 0
    for file in (code / "paymux" / "journal" / "sqlite").glob("*.py"):
        text = file.read_text()
        changed += text.count(_STRICT)
        file.write_text(text.replace(_STRICT, '"synchronous = NORMAL"').replace("_FULL: Final = 2", "_FULL: Final = 1"))
    if changed != 1:
        raise RuntimeError(f"{changed} places say {_STRICT}: which one is the connection's?")
    return code


async def judge(run: Sequence[Call], *, states: int, seed: int) -> Report:
    """Open `states` states of the disk, chosen by `seed`."""
    dice, report, disk, told = random.Random(seed), Report(), Disk(), Told()
    moments = _moments(run, states, dice)
    for number, call in enumerate(run):
        disk.follow(call)
        if isinstance(call, Said):
            told.hear(call)
        for _ in range(moments[number]):
            await _judge_one(disk, told, dice, report, number)
    return report


async def _judge_one(disk: Disk, told: Told, dice: random.Random, report: Report, number: int) -> None:
    image = disk.crashed(dice)
    folder = Path(tempfile.mkdtemp(prefix="paymux-state-", dir=_scratch()))
    try:
        wrong = await broken_promises(image, told, folder)
    finally:
        shutil.rmtree(folder)
    report.states += 1
    report.acked += len(told.acked)
    report.lossy += any(image.get(name) != content for name, content in disk.complete().items())
    if wrong:
        found = report.failures if told.opened else report.stuck
        found.append(f"after call {number}, {len(told.acked)} acknowledged: {'; '.join(wrong[:3])}")


def _moments(run: Sequence[Call], states: int, dice: random.Random) -> Counter[int]:
    """How many states to make after which call: a third anywhere, one where it matters most, one at the first start."""
    turns = [number for number, call in enumerate(run) if isinstance(call, _TURNS)]
    acked = [number for number, call in enumerate(run) if isinstance(call, Said) and call.word == "acked"]
    pools = (range(len(run)), turns, range(acked[FIRST_FEW]))
    return Counter(dice.choice(pools[number % len(pools)]) for number in range(states))


def without_folder_syncs(run: Sequence[Call]) -> tuple[Call, ...]:
    """The same run if nobody had synced the folder: what the model says of it shows that it knows about names."""
    folders: set[int] = set()
    kept: list[Call] = []
    for call in run:
        if isinstance(call, Opened):
            (folders.discard if call.name else folders.add)(call.handle)
        if not (isinstance(call, SyncBegan | Synced) and call.handle in folders):
            kept.append(call)
    return tuple(kept)


def checkpoints(run: Sequence[Call]) -> int:
    """How often the file itself was synced, after the first acknowledgement and before the journal was closed."""
    names: dict[int, str] = {}
    found = acked = 0
    for call in run:
        match call:
            case Opened():
                names[call.handle] = call.name
            case Synced():
                found += acked > 0 and names[call.handle] == FILE
            case Said(word="acked"):
                acked += 1
            case Said(word="closed"):
                break
    return found


def _scratch() -> str | None:
    """In memory where the system has such a place: the states are about a disk, they need none."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else None
