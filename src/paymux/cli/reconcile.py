"""`paymux reconcile`: a provider's list of payments, compared with what was heard of them."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from paymux.cli.jobs import detach, line, token, watch
from paymux.cli.operate import operator
from paymux.cli.stored import as_json, ask, config, dump, time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from paymux.journal.jobs import ChangeGroup
    from paymux.reconcile.orders import Order

WRONG: Final = 1
# What to say of each kind of difference, and what --fix does not put right.
_KINDS: Final[Mapping[str, str]] = {
    "missed": "missed entirely",
    "behind": "state behind",
    "status": "status differs",
    "amount": "amount differs",
    "unknown": "unknown to the provider",
    "unreadable": "not understood",
}
_LEFT: Final = frozenset({"amount", "unknown", "unreadable"})


@click.command()
@click.argument("account", metavar="PROVIDER/ACCOUNT")
@click.option("--since", required=True, callback=time, metavar="TIME", help="RFC 3339, or 6h, 2d ago.")
@click.option("--until", callback=time, metavar="TIME", help="Default: now.")
@click.option("--fix", is_flag=True, help="Let what differs go down the line; without it nothing is appended.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="At most so many payments a second.")
@detach
@token
@config
@as_json
def reconcile(**told: Any) -> None:
    """Page through a provider's list of payments and compare it with the journal.

    Exit 1 where something differs that is not put right. A job that breaks off keeps what it found; `paymux replay
    show` tells how far a detached one is.
    """
    order = _order(told)
    job = asyncio.run(_made(order, told["config"], told["token"], detach=told["detach"]))
    groups = ask(told["config"], None, lambda history: history.change_groups(job["id"]))
    click.echo(_json(job, groups) if told["as_json"] else _text(job, groups))
    sys.exit(WRONG if _is_wrong(job, fixes=order.fixes) else 0)


async def _made(order: Order, config: Path | None, token: str | None, *, detach: bool) -> Mapping[str, Any]:
    async with operator(config, token) as found:
        job = await found.reconcile(order)
        return job if detach else await watch(found, job)


def _order(told: Mapping[str, Any]) -> Order:
    from datetime import UTC, datetime

    from paymux.reconcile.orders import Order

    provider, slash, account = told["account"].partition("/")
    if not (provider and slash and account):
        raise click.BadParameter("expected PROVIDER/ACCOUNT, like flowlix/acme", param_hint="ACCOUNT")
    until: datetime = told["until"] or datetime.now(UTC)
    return Order(
        provider=provider,
        account=account,
        since=told["since"],
        until=until,
        fixes=told["fix"],
        rate=told["rate"],
    )


def _is_wrong(job: Mapping[str, Any], *, fixes: bool) -> bool:
    counts = job["counts"]
    left = _LEFT if fixes else _KINDS.keys()
    return job["state"] == "failed" or any(counts.get(kind) for kind in left)


def _json(job: Mapping[str, Any], groups: Sequence[ChangeGroup]) -> bytes:
    return dump({"job": job, "groups": groups})


def _text(job: Mapping[str, Any], groups: Sequence[ChangeGroup]) -> str:
    lines = [line(job)]
    for group in groups:
        about = group.type or " ".join(group.paths)
        lines.append(f"{group.count:>8,}  {_KINDS.get(group.kind, group.kind):<24}{about}")
        lines.append(f"{'':>10}{group.example.key}  {_told(group.example.old)} -> {_told(group.example.new)}")
    if not groups and job["state"] == "done":
        lines.append("nothing differs")
    return "\n".join(lines)


def _told(value: str | None) -> str:
    """`succeeded 49.99 EUR`, or - for nothing."""
    if value is None:
        return "-"
    found = orjson.loads(value)
    amount = found.get("amount")
    money = f"{Decimal(amount['minor']).scaleb(-amount['exponent'])} {amount['currency']}" if amount else ""
    return " ".join(filter(None, [found.get("status"), money, found.get("reason"), found.get("detail")])) or "-"
