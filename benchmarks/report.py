"""Figures of several rounds as a small table, or as JSON."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What several rounds gave."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        found = list(values)
        return cls(median=median(found), least=min(found), most=max(found))

    def text(self, form: str) -> str:
        if math.isnan(self.median):
            return "-"
        return f"{self.median:{form}} ({self.least:{form}}..{self.most:{form}})"


Cell = Spread | str | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`columns` gives each column's number format; `notes` are sentences below the table; `failed` what went wrong."""

    name: str
    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Cell]]
    arguments: Mapping[str, object]
    notes: Sequence[str] = ()
    failed: Sequence[str] = field(default=())

    def table(self) -> str:
        lines = [list(self.columns)]
        lines += [[_text(row.get(name), form) for name, form in self.columns.items()] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        body = ["  ".join(map(_placed, line, widths, range(len(line)))).rstrip() for line in lines]
        return "\n".join([*body, "", *self.notes, *(f"FAILED: {what}" for what in self.failed)])

    def as_json(self) -> str:
        found = {
            "benchmark": self.name,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"cpus": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
            "arguments": dict(self.arguments),
            "rows": [{name: _plain(cell) for name, cell in row.items()} for row in self.rows],
            "notes": list(self.notes),
            "failed": list(self.failed),
        }
        return json.dumps(found, default=str)


def show(report: Report, *, as_json: bool) -> None:
    """Print it, and exit 1 if something was wrong with what was measured."""
    print(report.as_json() if as_json else report.table())
    if report.failed:
        sys.exit(1)


def arguments(about: str | None, *, rounds: int, seconds: float | None = None) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=rounds, help="turns of yardstick and paymux (default %(default)s)"
    )
    if seconds is not None:
        parser.add_argument("--seconds", type=float, default=seconds, help="of each measurement (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser


def progress(what: str) -> None:
    print(what, file=sys.stderr)


def _text(cell: Cell, form: str) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, Spread):
        return cell.text(form)
    return cell if isinstance(cell, str) else f"{cell:{form}}"


def _plain(cell: Cell) -> object:
    if isinstance(cell, Spread):
        return {"median": cell.median, "min": cell.least, "max": cell.most}
    return cell


def _placed(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column == 0 else text.rjust(width)
