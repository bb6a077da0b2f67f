"""The clock jumps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from faults import jumping

if TYPE_CHECKING:
    from pathlib import Path

    from faults.lab import Lab

FURTHEST = 900.0  # seconds
TOLERANCE = 300.0


async def clock_jumps(lab: Lab) -> None:
    """Forward and back, within a signature's tolerance and beyond it: what is too old or too new is answered 401 and
    taken once the clock is right again; nothing else changes.
    """
    trial = lab.install(mode="process")
    trial.gateway.command = jumping.COMMAND
    trial.sender.retried |= {401, 429}  # too many of an address's requests are not proven then
    clock = trial.gateway.room / "clock"
    clock.write_text("0")
    await trial.gateway.start()
    refused = 0
    async with trial.sending(pause=0.02, at_once=4):
        for _ in range(lab.cycles):
            off = FURTHEST * (2 * lab.chance.random() - 1)
            before = len(trial.sender.log)
            _set(clock, off)
            await asyncio.sleep(0.2 + lab.chance.random())
            said = [sent for sent in trial.sender.log[before:] if sent.genuine and sent.provider == "stripe"]
            refused += sum(sent.status == 401 for sent in said)
            _set(clock, 0.0)
            await asyncio.sleep(0.2)
            if abs(off) < TOLERANCE - 10:
                assert not [sent for sent in said if sent.status == 401], f"refused with a clock {off:.0f} s off"
    lab.say(f"{refused} refused while the clock was wrong")
    assert refused or lab.cycles < 3, "it was to jump beyond the tolerance"
    await trial.quiesce()


def _set(clock: Path, off: float) -> None:
    """In one step: it is read at any time."""
    clock.with_suffix(".new").write_text(str(off))
    clock.with_suffix(".new").rename(clock)
