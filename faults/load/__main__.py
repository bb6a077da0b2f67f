"""Put a gateway under load, one scenario after the other, and say what it took."""

from __future__ import annotations

import argparse
import sys

from faults.load.scenarios import BY_NAME, measure


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.load", description=__doc__)
    parser.add_argument("--long", action="store_true", help="minutes to hours instead of seconds")
    parser.add_argument("--only", action="append", choices=sorted(BY_NAME), metavar="NAME", help="may come repeatedly")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    wanted = parser.parse_args()
    if wanted.list:
        print("\n".join(f"{name}: {scenario.__doc__}" for name, scenario in BY_NAME.items()))
        return 0
    broken = 0
    for name in wanted.only or BY_NAME:
        found = measure(name, long=wanted.long)
        broken += bool(found.broken)
        print(f"{name}: {'BROKEN' if found.broken else 'held'}")
        lines = [f"  {fact}: {value}" for fact, value in found.facts.items()]
        print("\n".join([*lines, *(f"  BROKEN: {bound}" for bound in found.broken)]), flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
