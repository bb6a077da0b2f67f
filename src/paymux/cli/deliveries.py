"""`paymux deliveries`: what came in, and why each became what it became."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click
import orjson

from paymux.cli.jobs import filters, sought, token
from paymux.cli.operate import operator
from paymux.cli.stored import as_json, ask, clock, config, dump, journal, knowledge, line
from paymux.explain.deliveries import GONE, curl, explained, facts, stored_request, why

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from paymux.explain.deliveries import DeliveryFacts, Explained, RecordFacts
    from paymux.journal.history import Page, StoredDelivery, StoredItem


@click.group()
def deliveries() -> None:
    """What came in, and why each became what it became."""


@deliveries.command("list")
@click.argument("beginning", required=False)
@filters
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@click.option("--before", type=click.IntRange(1), help="The `next` of the page before.")
@config
@journal
@as_json
def list_(
    beginning: str | None,
    limit: int,
    before: int | None,
    config: Path | None,
    journal: Path | None,
    as_json: bool,  # noqa: FBT001  # a flag of the command line
    **told: Any,
) -> None:
    """Newest first. BEGINNING: of any id, be it a delivery's, an event's, an event key or a payment's."""
    if beginning is not None:
        if any(value is not None for value in told.values()) or before is not None:
            raise click.UsageError("the beginning of an id is sought alone, without filters")
        found = ask(config, journal, lambda history: history.named(beginning, limit=limit))
        _show(found, None, as_json=as_json)
        return
    wanted = sought(told)
    page: Page = ask(config, journal, lambda history: history.deliveries(wanted, limit=limit, before=before))
    _show(page.deliveries, page.next, as_json=as_json)


def _show(found: Sequence[StoredDelivery], following: int | None, *, as_json: bool) -> None:
    for delivery in map(facts, found):
        click.echo(dump(delivery) if as_json else line(delivery))
    if following is not None:
        click.echo(f"more: --before {following}", err=True)
    elif not found:
        click.echo("nothing was found", err=True)


@deliveries.command()
@click.argument("delivery_id")
@click.option("--curl", "as_curl", is_flag=True, help="A command that repeats the request; secrets are not in it.")
@config
@journal
@as_json
def show(
    delivery_id: str,
    as_curl: bool,  # noqa: FBT001
    config: Path | None,
    journal: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """One delivery, step by step. Exit 1 where there is none."""
    if as_curl:
        click.echo(curl(ask(config, journal, lambda history: stored_request(history, delivery_id))))
        return
    known = knowledge(config, journal)
    found = ask(config, journal, lambda history: explained(history, delivery_id, known))
    click.echo(dump(found) if as_json else "\n".join(_told(found)))


@deliveries.command()
@click.argument("delivery_id")
@click.option("--output", type=click.File("wb"), default="-", help="Where to; standard output, if absent.")
@token
@config
def raw(delivery_id: str, output: BinaryIO, token: str | None, config: Path | None) -> None:
    """A delivery's body, byte for byte. That it was looked at is written into the audit trail first."""

    async def work() -> bytes:
        async with operator(config, token) as found:
            return await found.raw(delivery_id)

    output.write(asyncio.run(work()))


def _told(found: Explained) -> Iterator[str]:
    delivery, request = found.delivery, found.request
    yield f"delivery   {delivery.id}"
    yield f"received   {clock(delivery.received_at)} UTC, via {delivery.via}{_times(delivery.attempts)}"
    yield f"account    {delivery.provider}/{delivery.account}"
    yield f"proof      {delivery.proof}{_by_secret(delivery.secret)}"
    yield f"           {found.proven.over}"
    yield f"body       {_body(delivery)}"
    if request is not None:
        yield f"request    {request.method} {request.path}{'?' + request.query if request.query else ''}"
    for item in delivery.items:
        yield from _item(item)
    for record in found.records:
        yield from _record(record)
    if not found.records:
        yield "published  nothing, or it was let go of"


def _times(attempts: int) -> str:
    return f", {attempts} times in all" if attempts > 1 else ""


def _by_secret(secret: int | None) -> str:
    return f", by the account's secret number {secret + 1}" if secret is not None else ""


def _body(delivery: DeliveryFacts) -> str:
    told = f"{delivery.size:,} bytes" if delivery.body == "kept" else GONE[delivery.body]
    return f"{told}; sha256 {delivery.sha256}"


def _item(item: StoredItem) -> Iterator[str]:
    name = "item" if item.position is None else f"item {item.position}"
    what = f"{item.event_type or '-'} ({item.event_key or 'no event key'})"
    yield f"{name.ljust(9)}  {what}: {item.result}, {item.outcome}"
    if item.reason is not None:
        yield f"           {why(item)}"
    if item.payments:
        yield f"           speaks of {', '.join(item.payments)}"


def _record(record: RecordFacts) -> Iterator[str]:
    event = orjson.loads(record.event)
    state = "on Kafka" if record.published else "not known to be on Kafka yet"
    yield f"published  {event['type']} {event['id']}"
    yield f"           {record.topic}, key {record.key}, seq {record.seq}: {state}"
    block = event["data"].get(event["data"].get("entity") or "")
    if block:
        yield f"           {block['provider_status']!r} is {_status(block, record)}{_moved(event)}"


def _status(block: dict[str, Any], record: RecordFacts) -> str:
    tables = " and ".join(record.mapped.tables) if record.mapped else ""
    return f"{block['status'] or 'no status of its own'}{f', by the table of {tables}' if tables else ''}"


def _moved(event: dict[str, Any]) -> str:
    life = event["data"]["lifecycle"]
    if life is None or life["transition"] is None:
        return ""
    return f", {life['transition']} after {life['previous_status'] or 'nothing'} (sequence {life['sequence']})"
