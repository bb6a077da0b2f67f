"""`paymux payments`: a payment's whole story in one view."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
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
@click.option("--kafka", "on_kafka", is_flag=True, help="Look on Kafka, too: partition, offset and time of each event.")
@config
@journal
@as_json
def show(
    key: str,
    on_kafka: bool,  # noqa: FBT001  # flags of the command line
    config: Path | None,
    journal: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Every delivery that spoke of it, what was published, and how it stands. ID may be another name of the payment,
    like a charge's. Exit 1 where nothing is known of it.
    """
    from paymux.providers import installed

    found = ask(config, journal, lambda history: story(history, key, installed()))
    places = _places(found, config) if on_kafka else None
    if as_json:
        more = {} if places is None else {"places": places}
        click.echo(dump({each.name: getattr(found, each.name) for each in fields(found)} | more))
    else:
        click.echo("\n".join(_told(found, places)))


def _places(found: PaymentStory, config: Path | None) -> Places:
    """By event id, all that Kafka still has of it, republished ones too."""
    from paymux.publish.kafka import places
    from paymux.settings import load
    from paymux.wiring.parts import kafka_settings

    if not found.events:
        return {}
    kafka = kafka_settings(load(config).kafka)
    ids = [orjson.loads(record.event)["id"] for record in found.events]
    since = min(record.created_at for record in found.events)
    records = asyncio.run(places(kafka, {record.topic for record in found.events}, ids, since))
    return {
        event_id: [
            Place(
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
                replay=dict(record.headers).get("paymux_replay", b"").decode() or None,
            )
            for record in records[event_id]
        ]
        for event_id in ids
        if event_id in records
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Of a record on Kafka, by Kafka's clock; `replay` is the job that published it again."""

    topic: str
    partition: int
    offset: int
    at: datetime
    replay: str | None


Places = dict[str, list[Place]]


def _told(found: PaymentStory, places: Places | None) -> Iterator[str]:
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
        yield from _delivery(delivery, by_delivery.get(delivery.id, []), places)
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


def _delivery(delivery: DeliveryFacts, records: Sequence[RecordFacts], places: Places | None) -> Iterator[str]:
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
        if places is not None:
            yield from _where(places.get(event["id"], []))


def _where(places: Sequence[Place]) -> Iterator[str]:
    if not places:
        yield "      Kafka does not have it (any more)"
    for place in places:
        again = f", again by job {place.replay}" if place.replay else ""
        spot = f"{place.topic} partition {place.partition} offset {place.offset}"
        yield f"      on Kafka: {spot}, {clock(place.at)}{again}"
