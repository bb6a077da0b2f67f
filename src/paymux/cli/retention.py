"""`paymux retention`: what is kept how long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from paymux.cli.jobs import token
from paymux.cli.operate import operator
from paymux.cli.stored import as_json, ask, clock, config, dump

if TYPE_CHECKING:
    from pathlib import Path

    from paymux.journal.history import Retained


@click.command()
@click.option("--now", "sweeps", is_flag=True, help="Let go of what is old enough, instead of within the hour.")
@click.option("--dry-run", is_flag=True, help="Only count; so it does without --now.")
@token
@config
@as_json
def retention(
    sweeps: bool,  # noqa: FBT001  # flags
    dry_run: bool,  # noqa: FBT001
    token: str | None,
    config: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """What is kept, how long, and how much of it is old enough to go."""
    from paymux.settings import load

    if sweeps and not dry_run:
        rows = asyncio.run(_swept(config, token))
        click.echo(dump({"rows": rows}) if as_json else f"let go of {rows:,} rows")
        return
    from datetime import UTC, datetime, timedelta

    from paymux.keeping.retention import NEVER

    days = load(config).journal.retention_days
    before = datetime.now(UTC) - timedelta(days=days) if days else NEVER
    found = ask(config, None, lambda history: history.retained(before))
    click.echo(dump(_facts(found, days)) if as_json else "\n".join(_told(found, days)))


async def _swept(config: Path | None, token: str | None) -> int:
    async with operator(config, token) as found:
        return await found.sweep()


def _facts(found: Retained, days: int) -> dict[str, Any]:
    return {"days": days, **{name: getattr(found, name) for name in found.__slots__}}


def _told(found: Retained, days: int) -> list[str]:
    return [
        f"bodies, headers and published records are kept {f'{days} days' if days else 'for ever'}, the rest for ever",
        f"{found.bodies:,} bodies, the oldest of {clock(found.oldest)}; {found.records:,} records",
        f"old enough to go: {found.old_bodies:,} bodies, {found.old_records:,} records",
        f"old, and kept since quarantined, waiting for a lookup or not published: {found.held:,} bodies",
    ]
