"""`paymux token`: tokens for the private API."""

from __future__ import annotations

import secrets
from typing import Final

import click

from paymux.cli.stored import as_json, dump
from paymux.settings.tokens import HASHED, digest

RANDOM_BYTES: Final = 32


@click.group()
def token() -> None:
    """Tokens for the private API."""


@token.command()
@as_json
def new(as_json: bool) -> None:  # noqa: FBT001  # a flag of the command line
    """Make one: the token goes to its holder, its digest into [admin] tokens. Neither is kept here."""
    made = secrets.token_urlsafe(RANDOM_BYTES)
    kept = HASHED + digest(made).hex()
    if as_json:
        click.echo(dump({"token": made, "digest": kept}))
        return
    click.echo(f"{made}\n{kept}")
    click.echo("The first line is the token; the second one goes into [admin] tokens.", err=True)
