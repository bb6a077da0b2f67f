"""Break everything, one scenario after the other, and say what the checker says."""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path

from faults import facts
from faults.checker import check
from faults.cluster import running
from faults.runs import run
from faults.scenarios import BY_NAME, SCENARIOS

SHOWN = 20  # lines of what is broken


def main() -> int:
    wanted = _arguments()
    if wanted.list:
        return _list()
    if wanted.check:
        return _check(wanted.check)
    print(f"seed {wanted.seed}", flush=True)
    results = []
    chosen = [BY_NAME[name] for name in wanted.only or BY_NAME]
    with running(_say) as cluster:
        for scenario in chosen:
            cycles = wanted.cycles or (scenario.long if wanted.long else scenario.cycles)
            result = run(cluster, scenario, seed=wanted.seed, cycles=cycles, say=_say)
            results.append(result)
            print(result, flush=True)
            if result.broken:
                print(*(f"  {line.rstrip()}" for line in result.broken[-SHOWN:]), sep="\n")
                print(f"  {len(result.broken)} lines; logs: {result.logs}; again: {result.again}", flush=True)
    broken = [result.scenario for result in results if result.broken]
    skipped = [result.scenario for result in results if result.skipped]
    print(f"{len(results)} scenarios; broken: {', '.join(broken) or 'none'}; skipped: {', '.join(skipped) or 'none'}")
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--seed", default=str(secrets.randbelow(10**9)), help="repeats a run's faults and their times")
    parser.add_argument("--cycles", type=int, help="instead of each scenario's own number")
    parser.add_argument("--long", action="store_true", help="each scenario's larger number of cycles")
    parser.add_argument("--only", action="append", choices=sorted(BY_NAME), metavar="NAME", help="may come repeatedly")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("--check", type=Path, metavar="DIR", help="judge the logs that a broken run left, once more")
    return parser.parse_args()


def _list() -> int:
    for scenario in SCENARIOS:
        print(f"{scenario.name} ({scenario.cycles} cycles, --long {scenario.long}): {scenario.about}")
    return 0


def _check(logs: Path) -> int:
    violations = check(facts.read(logs))
    print("\n".join(map(str, violations)) or "every assertion holds")
    return 1 if violations else 0


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
