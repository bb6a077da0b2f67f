"""`python -m benchmarks`: the list, from the modules' own first lines."""

from __future__ import annotations

from importlib import import_module

COMMANDS = ("ingest", "translate", "hostile", "relay", "latency", "find", "replay")


def main() -> None:
    for name in COMMANDS:
        module = import_module(f"benchmarks.{name}")
        first = (module.__doc__ or "").partition("\n")[0]
        print(f"python -m benchmarks.{name:<10} {first}")
    print("\nEach takes --json, --rounds and --help.")


if __name__ == "__main__":
    main()
