"""`paymux quarantine`: what was proven and not understood, grouped."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from paymux.cli.jobs import detach, filters, sought, token
from paymux.cli.operate import operator
from paymux.cli.replay import order
from paymux.cli.stored import as_json, ask, clock, config, dump, journal
from paymux.explain.deliveries import facts
from paymux.explain.deliveries import why as reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from paymux.explain.deliveries import DeliveryFacts
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
    for text in map(dump, groups) if as_json else _lines(groups):
        click.echo(text)
    if not groups:
        click.echo("nothing is quarantined", err=True)


@quarantine.command()
@filters
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@config
@journal
@as_json
def show(limit: int, config: Path | None, journal: Path | None, as_json: bool, **told: Any) -> None:  # noqa: FBT001  # a flag
    """The newest deliveries that are quarantined, each with its reason. `paymux deliveries show` tells one in full."""
    from paymux.replay.orders import in_quarantine

    wanted = in_quarantine(sought(told))
    page = ask(config, journal, lambda history: history.deliveries(wanted, limit=limit))
    for delivery in map(facts, page.deliveries):
        click.echo(dump(delivery) if as_json else "\n".join(_told(delivery)))
    if not page.deliveries:
        click.echo("nothing that fits is quarantined", err=True)
        sys.exit(1)


def _told(delivery: DeliveryFacts) -> Iterator[str]:
    yield f"{clock(delivery.received_at)}  {delivery.provider}/{delivery.account}  {delivery.id}"
    for item in delivery.items:
        if item.outcome == "quarantined":
            yield f"  {item.event_type or '-'} {item.event_key or ''}: {reason_of(item)}"


@quarantine.command()
@filters
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="At most so many deliveries a second.")
@click.option("--dry-run", is_flag=True, help="Only tell what would become of it.")
@detach
@token
@config
@as_json
def retry(**told: Any) -> None:
    """Translate what is quarantined once more, after a fix: what is understood now goes down the line."""
    order("retry", told)


@quarantine.command()
@filters
@click.option("--why", required=True, help="Kept with it, and in the audit trail.")
@token
@config
@as_json
def discard(why: str, **told: Any) -> None:
    """Take what fits out of quarantine for good, unpublished. Its body stays as long as any."""
    wanted = sought(told)

    async def work() -> int:
        async with operator(told["config"], told["token"]) as found:
            return await found.discard(wanted, why)

    count = asyncio.run(work())
    click.echo(dump({"discarded": count}) if told["as_json"] else f"{count:,} discarded")
    sys.exit(0 if count else 1)


def _lines(groups: Sequence[QuarantineGroup]) -> Iterator[str]:
    for group in groups:
        place = f"{group.provider}/{group.account}"
        what = f"{group.event_type or '-'}: {group.reason}{' ' + group.path if group.path else ''}"
        yield f"{group.count:>8,}  {place.ljust(20)}  {what}"
        yield f"{'':>8}  {clock(group.first)} to {clock(group.last)}, newest {group.delivery}"
