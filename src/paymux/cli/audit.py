"""`paymux audit`: who did what, and whether the trail is whole."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from paymux.cli.stored import as_json, ask, clock, config, dump, journal
from paymux.explain.audit import verified

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from paymux.journal.audit import Audited
    from paymux.journal.history import History

PAGE = 1000


@click.group()
def audit() -> None:
    """Who did what: every change that an operator made and every view of a raw body."""


@audit.command("list")
@click.option("--after", type=click.IntRange(0), default=0, help="Rows after this one.")
@click.option("--action", metavar="BEGINNING", default="", help="Only what begins so, like job. or erase.")
@config
@journal
@as_json
def list_(after: int, action: str, config: Path | None, journal: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """In order, the oldest first."""
    found = [each for each in ask(config, journal, lambda history: _all(history, after)) if _begins(each, action)]
    for each in found:
        click.echo(dump(_facts(each)) if as_json else "\n".join(_told(each)))
    if not found:
        click.echo("nothing was found", err=True)


@audit.command()
@config
@journal
@as_json
def verify(config: Path | None, journal: Path | None, as_json: bool) -> None:  # noqa: FBT001  # a flag
    """Whether every row is what was written. Exit 1 where one is not, with the first."""
    verdict = ask(config, journal, verified)
    if as_json:
        click.echo(dump(verdict))
    elif verdict.first_broken is None:
        click.echo(f"{verdict.rows:,} rows, all of them whole; the last one's chain is {verdict.chain or '-'}")
    else:
        click.echo(f"row {verdict.first_broken} is not what was written, or is missing")
    sys.exit(0 if verdict.first_broken is None else 1)


async def _all(history: History, after: int) -> list[Audited]:
    found: list[Audited] = []
    while page := await history.audit(after=found[-1].row if found else after, limit=PAGE):
        found += page
    return found


def _begins(each: Audited, action: str) -> bool:
    return each.act.action.startswith(action)


def _facts(each: Audited) -> dict[str, object]:
    act = each.act
    return {
        "row": each.row,
        "at": each.at,
        **{name: getattr(act, name) for name in ("who", "action", "target", "detail", "result")},
        "chain": each.chain,
    }


def _told(each: Audited) -> Iterator[str]:
    act = each.act
    yield f"{each.row:>6}  {clock(each.at)}  {act.who}  {act.action}  {act.target}  {act.result}"
    if act.detail:
        yield f"{'':>8}{dump(act.detail).decode()}"
