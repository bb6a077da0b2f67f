"""python -m faults.simulation --seed N for one seed, --seeds COUNT [--first N] for many."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from faults.simulation.broken import BROKEN
from faults.simulation.surroundings import Ports
from faults.simulation.world import simulate


def main() -> int:
    given = _arguments()
    ports = BROKEN[given.broken] if given.broken else Ports()
    seeds = [given.seed] if given.seed is not None else range(given.first, given.first + given.seeds)
    events, faults, told, failed = 0, Counter[str](), Counter[str](), 0
    for seed in seeds:
        outcome = simulate(seed, ports)
        events += outcome.events
        faults.update(outcome.faults)
        told.update(outcome.told)
        failed += bool(outcome.violations)
        if outcome.violations or given.seed is not None:
            print(outcome, flush=True)
            for violation in outcome.violations:
                print(f"  {violation}")
    print(f"{len(seeds)} seeds, {events} events, {faults.total()} faults, {failed} seeds with something wrong")
    for name, count in (*sorted(faults.items()), *sorted(told.items())):
        print(f"  {count:6} {name}")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The line, its journal, relay and broker, simulated from a seed.")
    parser.add_argument("--seed", type=int, help="one run, told in full")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many runs")
    parser.add_argument("--first", type=int, default=0, help="the first of their seeds")
    parser.add_argument("--broken", choices=sorted(BROKEN), help="with a port that breaks a promise")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
