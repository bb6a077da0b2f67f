"""`paymux erase`: a payment's or a customer's data, out of the journal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from paymux.cli.jobs import token
from paymux.cli.operate import operator
from paymux.cli.stored import as_json, config, dump

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from paymux.keeping.erasing import Kind


@click.command()
@click.option("--payment", metavar="PROVIDER/ACCOUNT/ID", help="By any name of it, like a charge's.")
@click.option("--customer", metavar="PROVIDER/ACCOUNT/ID", help="All payments of theirs, and what else names them.")
@click.option("--why", required=True, help="Kept in the audit trail.")
@click.option("--dry-run", is_flag=True, help="Only count what it would be about.")
@token
@config
@as_json
def erase(
    payment: str | None,
    customer: str | None,
    why: str,
    dry_run: bool,  # noqa: FBT001  # flags
    token: str | None,
    config: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Take bodies, headers, queries and what events said of them out of the journal, for good.

    Ids, digests, times, outcomes and amounts stay. Kafka keeps what it has until its own retention ends, and copies of
    the journal what they had.
    """
    if (payment is None) == (customer is None):
        raise click.UsageError("say whose: either --payment or --customer")
    kind: Kind = "customer" if payment is None else "payment"

    async def work() -> Mapping[str, Any]:
        async with operator(config, token) as found:
            return await found.erase(kind, payment or customer or "", why, dry_run=dry_run)

    done = asyncio.run(work())
    click.echo(dump(done) if as_json else _told(done, "would be erased" if dry_run else "erased"))


def _told(done: Mapping[str, Any], word: str) -> str:
    return (
        f"{done['deliveries']:,} deliveries and {done['records']:,} records {word}, of {len(done['payments']):,} "
        "payments; what Kafka has stays there until its retention ends"
    )
