"""One run of a scenario, and what became of its promises."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faults.disks import NotPossible
from faults.lab import opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.cluster import Cluster
    from faults.scenarios import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`broken` says what was; nothing: every promise was kept, unless `skipped` says why nothing was tried. `logs` is
    where a broken run left its logs.
    """

    scenario: str
    seed: str
    cycles: int
    seconds: float
    looked_at: str
    broken: tuple[str, ...]
    logs: Path | None
    skipped: str | None = None

    @property
    def again(self) -> str:
        """The command that repeats it."""
        return f"python -m faults --seed {self.seed} --cycles {self.cycles} --only {self.scenario}"

    def __str__(self) -> str:
        if self.skipped:
            return f"{self.scenario}: skipped; {self.skipped}"
        verdict = "BROKEN" if self.broken else "kept"
        return f"{self.scenario}: {verdict}; {self.cycles} cycles in {self.seconds:.0f} s, {self.looked_at}"


def run(
    cluster: Cluster, scenario: Scenario, *, seed: str, cycles: int, say: Callable[[str], None] = lambda _: None
) -> Result:
    """Never raises: what goes wrong is part of the result."""
    room, began = Path(tempfile.mkdtemp(prefix=f"faults-{scenario.name}-")), time.monotonic()
    broken: list[str] = []
    skipped = None
    looked_at = "nothing was looked at"
    try:
        broken, looked_at = asyncio.run(_run(cluster, scenario, room, seed=seed, cycles=cycles, say=say))
    except NotPossible as reason:
        skipped = str(reason)
    except Exception as error:  # noqa: BLE001  # one scenario that fails must not end the others
        broken = traceback.format_exception(error)
    if not broken:
        shutil.rmtree(room, ignore_errors=True)
    return Result(
        scenario=scenario.name,
        seed=seed,
        cycles=cycles,
        seconds=time.monotonic() - began,
        looked_at=looked_at,
        broken=tuple(broken),
        logs=room if broken else None,
        skipped=skipped,
    )


async def _run(
    cluster: Cluster, scenario: Scenario, room: Path, *, seed: str, cycles: int, say: Callable[[str], None]
) -> tuple[list[str], str]:
    async with opened(cluster, room, seed=f"{seed}/{scenario.name}", cycles=cycles, say=say) as lab:
        await scenario.run(lab)
        violations, looked_at = await lab.verdict(room / "logs")
        return list(map(str, violations)), looked_at
