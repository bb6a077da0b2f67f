"""`paymux backup`: a checked copy of the journal, made beside a running paymux."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paymux.cli.stored import as_json, config, dump, journal, journal_file

if TYPE_CHECKING:
    from paymux.journal.sqlite.copies import Copy, Progress


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@config
@journal
@as_json
def backup(file: Path, config: Path | None, journal: Path | None, as_json: bool) -> None:  # noqa: FBT001  # a flag
    """Copy the journal to FILE, which must not exist. Works beside a running `serve`, which does not wait for it.

    The copy is looked through from end to end before it gets its name. It holds everything that the journal does, raw
    bodies too: it is readable by this user alone.
    """
    from paymux.keeping.backup import back_up

    found = back_up(journal or journal_file(config), file, progress("copying"))
    click.echo(dump({"file": str(file), **facts(found)}) if as_json else f"{file}: {line(found)}")


def progress(doing: str) -> Progress:
    """A line on stderr where somebody looks; it is wiped out when all is done."""
    shows = sys.stderr.isatty()

    def told(done: int, total: int) -> None:
        if shows:
            share = f"{doing}: {100 * done / total:.0f} %" if done < total else ""
            click.echo(f"\r\x1b[K{share}", nl=False, err=True)

    return told


def facts(found: Copy) -> dict[str, object]:
    return {name: getattr(found, name) for name in found.__slots__}


def line(found: Copy) -> str:
    return (
        f"whole, {found.bytes:,} bytes, {found.deliveries:,} deliveries, {found.payments:,} payments, "
        f"outbox up to {found.end} (published up to {found.mark}), journal {found.identity}"
    )
