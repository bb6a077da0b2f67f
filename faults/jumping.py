"""`paymux serve` whose clock is as many seconds off as the file `clock` says."""

from __future__ import annotations

import runpy
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from paymux import wiring
from paymux.http.webhooks import Webhooks

COMMAND = (sys.executable, "-m", "faults.jumping", "serve")
OFF = Path("clock").absolute()


def now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=float(OFF.read_text() or 0))


if __name__ == "__main__":
    wiring._now = now  # noqa: SLF001  # what the composition root gives to the parts
    wiring.Webhooks = partial(Webhooks, now=now)  # type: ignore[assignment,attr-defined]
    sys.argv[0] = "paymux"
    runpy.run_module("paymux", run_name="__main__", alter_sys=True)
