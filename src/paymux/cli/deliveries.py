"""`paymux deliveries`: what came in, and why each became what it became."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click
import orjson

from paymux.cli.stored import as_json, ask, clock, config, delivery_facts, dump, journal, line, time, why
from paymux.errors import NotStored
from paymux.journal.history import Sought
from paymux.statement import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from paymux.journal.history import History, Page, StoredDelivery, StoredItem, StoredRecord, StoredRequest

NEAREST = 5


@click.group()
def deliveries() -> None:
    """What came in, and why each became what it became."""


@deliveries.command("list")
@click.argument("beginning", required=False)
@click.option("--provider")
@click.option("--account")
@click.option("--outcome", type=click.Choice(list(OUTCOMES.values())))
@click.option("--reason", help="Of what is quarantined.")
@click.option("--event-type")
@click.option("--payment", metavar="PROVIDER/ACCOUNT/ID")
@click.option("--since", callback=time, help="RFC 3339, unix seconds, or a time ago: 90m, 6h, 2d.")
@click.option("--until", callback=time)
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
    **sought: Any,
) -> None:
    """Newest first. BEGINNING: of any id, be it a delivery's, an event's, an event key or a payment's."""
    if beginning is not None:
        if any(value is not None for value in sought.values()) or before is not None:
            raise click.UsageError("the beginning of an id is sought alone, without filters")
        found = ask(config, journal, lambda history: history.named(beginning, limit=limit))
        _show(found, None, as_json=as_json)
        return
    page: Page = ask(config, journal, lambda history: history.deliveries(Sought(**sought), limit=limit, before=before))
    _show(page.deliveries, page.next, as_json=as_json)


def _show(found: Sequence[StoredDelivery], following: int | None, *, as_json: bool) -> None:
    for delivery in found:
        click.echo(dump(delivery_facts(delivery)) if as_json else line(delivery))
    if following is not None:
        click.echo(f"more: --before {following}", err=True)
    elif not found:
        click.echo("nothing was found", err=True)


@deliveries.command()
@click.argument("delivery_id")
@click.option("--curl", is_flag=True, help="A command that repeats the request; secrets are not in it.")
@config
@journal
@as_json
def show(
    delivery_id: str,
    curl: bool,  # noqa: FBT001
    config: Path | None,
    journal: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """One delivery, step by step. Exit 1 where there is none."""

    async def question(history: History) -> tuple[StoredDelivery, Sequence[StoredRecord], StoredRequest | None]:
        found = await history.delivery(delivery_id)
        if found is None:
            raise NotStored(await _nothing(history, delivery_id))
        return found, await history.records([found.row]), await history.request(delivery_id)

    found, records, request = ask(config, journal, question)
    if curl:
        if request is None:
            raise NotStored(f"the request of {delivery_id} is not kept any more, or never was")
        click.echo(_curl(request))
    elif as_json:
        events = [_record_facts(record) for record in records]
        click.echo(dump(delivery_facts(found) | {"records": events}))
    else:
        click.echo("\n".join(_explained(found, records, request)))


async def _nothing(history: History, text: str) -> str:
    near = [each.id for each in await history.named(text, limit=NEAREST)]
    if not near and len(text) > NEAREST:
        near = [each.id for each in await history.named(text[: len(text) // 2], limit=NEAREST)]
    return f"there is no delivery {text}" + (f"; the nearest are {', '.join(near)}" if near else "")


def _record_facts(record: StoredRecord) -> dict[str, Any]:
    return {
        "seq": record.seq,
        "topic": record.record.topic,
        "key": record.record.key.decode(),
        "created_at": record.created_at,
        "published": record.is_published,
        "event": orjson.loads(record.record.value),
    }


def _explained(
    delivery: StoredDelivery, records: Sequence[StoredRecord], request: StoredRequest | None
) -> Iterator[str]:
    yield f"delivery   {delivery.id}"
    yield f"received   {clock(delivery.received_at)} UTC, via {delivery.via}{_times(delivery.attempts)}"
    yield f"account    {delivery.provider}/{delivery.account}"
    yield f"proof      {delivery.proof}{_by_secret(delivery.secret)}"
    yield f"body       {_body(delivery)}"
    if request is not None:
        yield f"request    {request.method} {request.path}{'?' + request.query if request.query else ''}"
    for item in delivery.items:
        yield from _item(item)
    for record in records:
        yield from _record(record)
    if not records:
        yield "published  nothing, or it was let go of"


def _times(attempts: int) -> str:
    return f", {attempts} times in all" if attempts > 1 else ""


def _by_secret(secret: int | None) -> str:
    return f", by the account's secret number {secret + 1}" if secret is not None else ""


def _body(delivery: StoredDelivery) -> str:
    size = f"{delivery.size:,} bytes" if delivery.size is not None else "let go of"
    return f"{size}, sha256 {delivery.sha256}"


def _item(item: StoredItem) -> Iterator[str]:
    name = "item" if item.position is None else f"item {item.position}"
    what = f"{item.event_type or '-'} ({item.event_key or 'no event key'})"
    yield f"{name.ljust(9)}  {what}: {item.result}, {item.outcome}"
    if item.reason is not None:
        yield f"           {why(item)}"
    if item.payments:
        yield f"           speaks of {', '.join(item.payments)}"


def _record(record: StoredRecord) -> Iterator[str]:
    event = orjson.loads(record.record.value)
    where = f"{record.record.topic}, key {record.record.key.decode()}, seq {record.seq}"
    state = "on Kafka" if record.is_published else "not known to be on Kafka yet"
    yield f"published  {event['type']} {event['id']}"
    yield f"           {where}: {state}"
    block = event["data"].get(event["data"].get("entity") or "")
    if block:
        yield f"           {block['provider_status']!r} is {block['status'] or 'no status of its own'}{_moved(event)}"


def _moved(event: dict[str, Any]) -> str:
    life = event["data"]["lifecycle"]
    if life is None or life["transition"] is None:
        return ""
    return f", {life['transition']} after {life['previous_status'] or 'nothing'} (sequence {life['sequence']})"


def _curl(request: StoredRequest) -> str:
    url = request.url or f"http://localhost:8080{request.path}"
    words = ["curl", "-X", request.method, url + (f"?{request.query}" if request.query else "")]
    for name, value in request.headers:
        if name.lower() not in (b"host", b"content-length"):
            words += ["-H", f"{name.decode('latin-1')}: {value.decode('latin-1')}"]
    words += ["--data-binary", request.body.decode("utf-8", "backslashreplace")]
    return " ".join(shlex.quote(word) for word in words)
