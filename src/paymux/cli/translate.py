"""`paymux translate`: what files would become, offline. No signature is asked for: the operator has the files."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import click
import orjson

from paymux.cli.offline import Unusable, check_options, is_text, known, pairs, provider_named, received_at
from paymux.cli.payloads import payloads
from paymux.delivery import Asked, Delivery, ObjectRef
from paymux.provider import Account
from paymux.statement import OUTCOMES, Item, Lookup, Quarantined, worst

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from paymux.cli.payloads import Payload
    from paymux.delivery import Verified
    from paymux.provider import Provider

UNREADABLE: Final = 2


@click.command()
@click.option("--provider", required=True, metavar="NAME")
@click.option("--account", default="default", show_default=True, metavar="NAME", help="Event ids depend on it.")
@click.option("--object", "kind", metavar="KIND", help="The files are API answers: payment, ..., or list.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="As in the account's options.")
@click.option("--at", metavar="TIME", help="When they were received: RFC 3339 or unix seconds. Now, if absent.")
@click.option("--json", "_json", is_flag=True, expose_value=False, help="What it prints anyway.")
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True), metavar="FILE...")
def translate(
    provider: str, account: str, kind: str | None, options: tuple[str, ...], at: str | None, files: tuple[str, ...]
) -> None:
    """Print what each FILE (- for standard input) becomes, one JSON line each; exit 1 if any is quarantined.

    A FILE may be a folder (all files in it that are not hidden), an archive (.zip, .tar, .tar.gz, .tgz), or hold one
    payload a line (.jsonl, .ndjson); archives are read in place, and only so far.

    A line is {"file", "outcome", "events", "lookups", "reason", "path"}: `outcome` is events, lookup, ignored or
    quarantined, `events` are the canonical CloudEvents. Of a batch `items` has one such object for each item.
    Of a file that cannot be read it is {"file", "error"}, and the exit code is 2 at the end.
    """
    found, time = provider_named(provider), received_at(at)
    if kind is not None:
        known(kind, _kinds(found), f"object of {found.name}")
    if not is_text(account):
        raise Unusable("--account is not UTF-8")
    owner = Account(provider=found, name=account, options=dict(pairs(options, "=")))
    check_options(found, owner.options)
    worst = 0
    for payload in payloads(files):
        code, told = _line(owner, payload, kind, time)
        click.echo(orjson.dumps({"file": payload.name, **told}))
        worst = max(worst, code)
    sys.exit(worst)


def _kinds(provider: Provider) -> list[str]:
    if provider.api is None:
        return []
    return [*provider.api.objects, *(["list"] if provider.api.payments else [])]


def _line(owner: Account, payload: Payload, kind: str | None, at: datetime) -> tuple[int, dict[str, Any]]:
    """The exit code that the payload calls for, and what is told of it."""
    if payload.error is not None:
        return UNREADABLE, {"error": payload.error}
    told = _told(owner, payload.body, kind, at)
    return int(told["outcome"] == "quarantined"), told


def _told(account: Account, body: bytes, kind: str | None, at: datetime) -> dict[str, Any]:
    from paymux.signatures import trusted
    from paymux.translate import translate as items_of

    verified = trusted(
        Delivery(
            id=_delivery_id(body, at),
            provider=account.provider.name,
            account=account.name,
            received_at=at,
            body=body,
            asked=None if kind is None else Asked(ref=ObjectRef(object=kind, id=_id(account.provider, kind, body))),
        )
    )
    items = [_item(account, verified, item) for item in items_of(account, verified)]
    if len(items) == 1 and "index" not in items[0]:
        return items[0]
    return {**_summary(items), "items": items}


def _item(account: Account, verified: Verified, item: Item) -> dict[str, Any]:
    from paymux.records import offline_events

    outcome = item.outcome
    quarantined = outcome if isinstance(outcome, Quarantined) else None
    return {
        **({} if item.position is None else {"index": item.position}),
        "outcome": OUTCOMES[type(outcome)],
        "events": [orjson.Fragment(event) for event in offline_events(account, verified, item)],
        "lookups": list(_lookups(item)),
        "reason": quarantined and quarantined.reason,
        "path": quarantined and quarantined.path,
    }


def _lookups(item: Item) -> Iterator[dict[str, str]]:
    if isinstance(item.outcome, Lookup):
        yield from ({"object": ref.object, "id": ref.id} for ref in item.outcome.objects)


def _summary(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Of a batch: its worst item's outcome and reason, and everything that all items give."""
    outcome = worst(one["outcome"] for one in items)
    first = next((one for one in items if one["outcome"] == outcome), {})
    return {
        "outcome": outcome,
        "events": [event for one in items for event in one["events"]],
        "lookups": [lookup for one in items for lookup in one["lookups"]],
        "reason": first.get("reason"),
        "path": first.get("path"),
    }


def _id(provider: Provider, kind: str, body: bytes) -> str:
    """The id in an API answer: the question that it answers is not in the file. Empty where there is none."""
    endpoint = provider.api and provider.api.objects.get(kind)
    try:
        found = orjson.loads(body)
        for key in endpoint.unwrap if endpoint else ():
            found = found[key]
        return str(found[endpoint.id_key]) if endpoint else ""
    except (ValueError, TypeError, LookupError):
        return ""


def _delivery_id(body: bytes, at: datetime) -> str:
    """A UUIDv7 that the same file at the same time always gets."""
    digest = int.from_bytes(hashlib.sha256(body).digest()[:16])
    variant = (digest & ~(0xF << 76 | 0x3 << 62)) | 0x7 << 76 | 0x2 << 62
    milliseconds = int(at.timestamp() * 1000)
    return str(UUID(int=(variant & (1 << 80) - 1) | milliseconds << 80))
