"""What commands that make jobs share: filters, and watching one to its end."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from paymux.cli.stored import dump, time
from paymux.journal.history import Sought, impossible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paymux.cli.operate import Operator

LOOK_SECONDS: Final = 0.3
RESTING: Final = ("done", "failed", "canceled", "paused", "ready")

token = click.option(
    "--token", envvar="PAYMUX_TOKEN", show_envvar=True, help="For the private API of a running paymux."
)
detach = click.option("--detach", is_flag=True, help="Do not wait for its end; only where a paymux runs.")

_FILTERS: Final = (
    click.option("--provider", metavar="NAME"),
    click.option("--account", metavar="NAME"),
    click.option("--payment", metavar="PROVIDER/ACCOUNT/ID", help="Deliveries that spoke of it."),
    click.option("--event-type", metavar="TYPE", help="In the provider's words."),
    click.option("--outcome", type=click.Choice(["events", "lookup", "ignored", "quarantined"])),
    click.option("--reason", metavar="SLUG", help="Why it was quarantined."),
    click.option("--since", callback=time, metavar="TIME", help="Received then or later: RFC 3339, or 6h, 2d ago."),
    click.option("--until", callback=time, metavar="TIME", help="Received before."),
)


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """All that is given must fit."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def sought(told: Mapping[str, Any]) -> Sought:
    """Raises UsageError where nothing could ever fit."""
    found = Sought(**{name: value for name, value in told.items() if name in Sought.__dataclass_fields__})
    if (why := impossible(found)) is not None:
        raise click.UsageError(why)
    return found


async def watch(operator: Operator, job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Until it rests, with a line of progress where somebody looks."""
    shows = sys.stderr.isatty()
    while job["state"] not in RESTING:
        if shows:
            click.echo(f"\r\x1b[K{line(job)}", nl=False, err=True)
        await asyncio.sleep(LOOK_SECONDS)
        job = await operator.job(job["id"])
    if shows:
        click.echo("\r\x1b[K", nl=False, err=True)
    return job


def tell(job: Mapping[str, Any], *, as_json: bool) -> int:
    """Print it; the exit code."""
    click.echo(dump(job) if as_json else line(job))
    if job["state"] == "done" and not job["counts"]:
        click.echo("nothing fits", err=True)
        return 1
    if not as_json and job["state"] == "ready":
        click.echo(f"nothing is published yet: look with `paymux replay changes {job['id']}`, then accept or cancel")
    return 1 if job["state"] == "failed" else 0


def line(job: Mapping[str, Any]) -> str:
    total = job["total"]
    share = f"{100 * job['done'] / total:.0f} %" if total else "-"
    left = f", {_span(job['remaining_seconds'])} left" if job["remaining_seconds"] and job["state"] == "running" else ""
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in sorted(job["counts"].items()))
    why = f"  {job['error']}" if job["error"] else ""
    return f"{job['id']}  {job['kind']}  {job['state']}  {share}{left}  {counts or 'nothing yet'}{why}"


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
