"""`paymux quarantine`: what was proven and not understood, grouped."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from paymux.cli.jobs import detach, filters, sought, tell, token
from paymux.cli.operate import operator
from paymux.cli.stored import as_json, ask, clock, config, dump, journal
from paymux.explain.quarantine import quarantined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from paymux.explain.quarantine import QuarantineFacts


@click.group()
def quarantine() -> None:
    """What was proven and not understood, grouped."""


@quarantine.command("list")
@config
@journal
@as_json
def list_(config: Path | None, journal: Path | None, as_json: bool) -> None:  # noqa: FBT001  # a flag
    """One line for all that are alike, the most first. Exit 0 also where nothing is quarantined."""
    groups = ask(config, journal, quarantined)
    for text in map(dump, groups) if as_json else _lines(groups):
        click.echo(text)
    if not groups:
        click.echo("nothing is quarantined", err=True)


@quarantine.command()
@filters
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="At most so many deliveries a second.")
@detach
@token
@config
@as_json
def retry(**told: Any) -> None:
    """Translate what is quarantined once more, after a fix: what is understood now goes down the line."""
    from paymux.cli.replay import made
    from paymux.replay.orders import Order

    order = Order(kind="retry", sought=sought(told), rate=told["rate"])
    sys.exit(tell(asyncio.run(made(order, told)), as_json=told["as_json"]))


@quarantine.command()
@filters
@click.option("--why", required=True, help="Kept with it, and in the audit trail.")
@token
@config
@as_json
def discard(why: str, **told: Any) -> None:
    """Take what fits out of quarantine for good, unpublished. Its body stays as long as any."""

    async def work() -> int:
        async with operator(told["config"], told["token"]) as found:
            return await found.discard(sought(told), why)

    count = asyncio.run(work())
    click.echo(dump({"discarded": count}) if told["as_json"] else f"{count:,} discarded")
    sys.exit(0 if count else 1)


def _lines(groups: Sequence[QuarantineFacts]) -> Iterator[str]:
    for group in groups:
        place = f"{group.provider}/{group.account}"
        what = f"{group.event_type or '-'}: {group.reason}{' ' + group.path if group.path else ''}"
        yield f"{group.count:>8,}  {place.ljust(20)}  {what}"
        yield f"{'':>8}  {clock(group.first)} to {clock(group.last)}, newest {group.delivery}"
