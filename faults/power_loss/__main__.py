"""python -m faults.power_loss --help"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from faults.power_loss.recording import CannotTrace
from faults.power_loss.states import judge, recorded


def main() -> int:
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="paymux-power-") as scratch:
        folder = given.recording or Path(scratch)
        try:
            calls = recorded(folder, deliveries=given.deliveries, writer=given.writer, synchronous=given.synchronous)
        except CannotTrace as reason:
            print(f"skipped: {reason}")
            return 0
        report = asyncio.run(judge(calls, states=given.states, seed=given.seed))
    print(f"seed {given.seed}, synchronous {given.synchronous}: {report}")
    for failure in [*report.failures[:10], *report.stuck[:10]]:
        print(failure)
    return 1 if report.failures or report.stuck else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a disk may hold after a power loss, opened with paymux.")
    parser.add_argument("--states", type=int, default=1000, help="how many states to open")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="chooses the states")
    parser.add_argument("--deliveries", type=int, default=240)
    parser.add_argument("--writer", choices=("process", "thread"), default="process")
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL"), default="FULL", help="NORMAL must fail")
    parser.add_argument("--recording", type=Path, help="keep the recorded run here, or use the one that is here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
