"""`paymux rejections`: what was not accepted, why, how often and from where."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from paymux.cli.stored import as_json, ask, clock, config, dump, journal
from paymux.explain.rejections import grouped
from paymux.journal import RING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from paymux.explain.rejections import RejectionGroup

SHOWN_ADDRESSES: Final = 3


@click.command()
@config
@journal
@as_json
def rejections(config: Path | None, journal: Path | None, as_json: bool) -> None:  # noqa: FBT001  # a flag
    """What was not accepted, grouped, the most first. The newest 1000 are kept, without their bodies."""
    groups = grouped(ask(config, journal, lambda history: history.rejections(RING)))
    for text in map(dump, groups) if as_json else _lines(groups):
        click.echo(text)
    if not groups:
        click.echo("nothing was rejected", err=True)


def _lines(groups: Iterable[RejectionGroup]) -> Iterator[str]:
    for group in groups:
        yield f"{group.count:>8,}  {f'{group.provider}/{group.account}'.ljust(20)}  {group.reason}"
        if group.hint is not None:
            yield f"{'':>8}  {group.hint}"
        shown = islice(group.addresses.items(), SHOWN_ADDRESSES)
        most = ", ".join(f"{address} ({count})" for address, count in shown)
        more = len(group.addresses) - SHOWN_ADDRESSES
        yield f"{'':>8}  {clock(group.first)} to {clock(group.last)}, from {most}{f' and {more} more' * (more > 0)}"
