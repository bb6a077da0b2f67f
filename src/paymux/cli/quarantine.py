"""`paymux quarantine`: what was proven and not understood, grouped."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from paymux.cli.stored import as_json, ask, clock, config, dump, journal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from paymux.journal.history import QuarantineGroup


@click.group()
def quarantine() -> None:
    """What was proven and not understood, grouped."""


@quarantine.command("list")
@config
@journal
@as_json
def list_(config: Path | None, journal: Path | None, as_json: bool) -> None:  # noqa: FBT001  # a flag
    """One line for all that are alike, the most first. Exit 0 also where nothing is quarantined."""
    groups = ask(config, journal, lambda history: history.quarantine())
    for text in map(_facts, groups) if as_json else _lines(groups):
        click.echo(text)
    if not groups:
        click.echo("nothing is quarantined", err=True)


def _facts(group: QuarantineGroup) -> bytes:
    return dump(asdict(group))


def _lines(groups: Sequence[QuarantineGroup]) -> Iterator[str]:
    for group in groups:
        place = f"{group.provider}/{group.account}"
        what = f"{group.event_type or '-'}: {group.reason}{' ' + group.path if group.path else ''}"
        yield f"{group.count:>8,}  {place.ljust(20)}  {what}"
        yield f"{'':>8}  {clock(group.first)} to {clock(group.last)}, newest {group.delivery}"
