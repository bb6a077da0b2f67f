"""`paymux payments`: a payment's whole story in one view."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click
import orjson

from paymux.cli.lines import money
from paymux.cli.stored import as_json, ask, clock, config, dump, journal
from paymux.explain.deliveries import why
from paymux.explain.payments import story

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from paymux.explain.deliveries import DeliveryFacts, RecordFacts
    from paymux.explain.payments import PaymentStory
    from paymux.money import Money


@click.group()
def payments() -> None:
    """A payment's whole story in one view."""


@payments.command()
@click.argument("key", metavar="PROVIDER/ACCOUNT/ID")
@config
@journal
@as_json
def show(key: str, config: Path | None, journal: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Every delivery that spoke of it, what was published, and how it stands. ID may be another name of the payment,
    like a charge's. Exit 1 where nothing is known of it.
    """
    from paymux.providers import installed

    found = ask(config, journal, lambda history: story(history, key, installed()))
    click.echo(dump(found) if as_json else "\n".join(_told(found)))


def _told(found: PaymentStory) -> Iterator[str]:
    yield found.key
    if found.links:
        yield f"  also {', '.join(found.links)}"
    yield from _state(found)
    if not found.complete:
        yield f"  the newest {len(found.deliveries)} of its deliveries:"
    by_delivery: dict[str | None, list[RecordFacts]] = {}
    for record in found.events:
        by_delivery.setdefault(record.delivery, []).append(record)
    for delivery in found.deliveries:
        yield ""
        yield from _delivery(delivery, by_delivery.get(delivery.id, []))
    for gap in found.gaps:
        yield ""
        yield f"  ! {gap}"


def _state(found: PaymentStory) -> Iterator[str]:
    state = found.state
    if state is not None and state.status is not None:
        amounts = (("of", state.amount), ("captured", state.captured), ("refunded", state.refunded))
        told = ", ".join(f"{word} {_money(amount)}" for word, amount in amounts if amount is not None)
        yield f"  payment {state.status}{', ' + told if told else ''}{', disputed' if state.disputed else ''}"
    for standing in found.standings:
        if standing.entity != "payment":
            amount = f", {_money(standing.amount)}" if standing.amount else ""
            yield f"  {standing.entity} {standing.id} {standing.status}{amount}"


def _money(amount: Money) -> str:
    return money(asdict(amount))


def _delivery(delivery: DeliveryFacts, records: Sequence[RecordFacts]) -> Iterator[str]:
    again = f", {delivery.attempts} times" if delivery.attempts > 1 else ""
    by = f" (secret number {delivery.secret + 1})" if delivery.secret is not None else ""
    yield f"  {clock(delivery.received_at)}  {delivery.via} {delivery.id}, proven by {delivery.proof}{by}{again}"
    for item in delivery.items:
        told = f"    {item.event_type or 'state'} {item.event_key or ''}: {item.outcome}"
        yield f"{told}: {why(item)}" if item.reason else told
    for record in records:
        event = orjson.loads(record.event)
        life = event["data"]["lifecycle"] or {}
        state = "" if record.published else " (not known to be on Kafka yet)"
        yield f"    #{life.get('sequence')} {event['type']} {life.get('transition') or ''} {event['id']}{state}"
        yield f"      {record.topic}, seq {record.seq}, {clock(record.created_at)}"
