"""`paymux payments`: a payment's whole story in one view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from paymux import lifecycle
from paymux.cli.lines import money
from paymux.cli.stored import as_json, ask, clock, config, delivery_facts, dump, journal, outcome, why
from paymux.errors import NotStored
from paymux.journal.history import Sought

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from paymux.journal.history import History, StoredDelivery, StoredPayment, StoredRecord

MOST: Final = 500  # deliveries of a story
NEAREST: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Deliveries in order of arrival."""

    payment: StoredPayment
    deliveries: tuple[StoredDelivery, ...]
    records: tuple[StoredRecord, ...]


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
    story = ask(config, journal, lambda history: _story(history, key))
    click.echo(dump(_facts(story)) if as_json else "\n".join(_told(story)))


async def _story(history: History, key: str) -> Story:
    payment = await history.payment(key)
    if payment is None:
        raise NotStored(await _nothing(history, key))
    page = await history.deliveries(Sought(payment=payment.key), limit=MOST)
    deliveries = page.deliveries[::-1]
    records = await history.records([each.row for each in deliveries])
    own = tuple(record for record in records if record.record.key == payment.key.encode())
    return Story(payment=payment, deliveries=deliveries, records=own)


async def _nothing(history: History, key: str) -> str:
    """Also without its account, and with less of the id."""
    name = key.rpartition("/")[2]
    for beginning in (key, name, name[: max(len(name) // 2, 3)]):
        near = await history.payments(beginning, limit=NEAREST) if beginning else ()
        if near:
            return f"nothing is known of {key}; the nearest are {', '.join(near)}"
    return f"nothing is known of {key}"


def _facts(story: Story) -> dict[str, Any]:
    state = lifecycle.state_of(story.payment.known, story.payment.key.split("/", 2)[2])
    return {
        "key": story.payment.key,
        "links": story.payment.links,
        "state": state,
        "gaps": list(_gaps(story)),
        "deliveries": [delivery_facts(each) for each in story.deliveries],
        "events": [
            {"seq": each.seq, "published": each.is_published, "event": orjson.loads(each.record.value)}
            for each in story.records
        ],
    }


def _told(story: Story) -> Iterator[str]:
    yield story.payment.key
    if story.payment.links:
        yield f"  also {', '.join(story.payment.links)}"
    yield from _state(story)
    by_delivery: dict[int | None, list[StoredRecord]] = {}
    for record in story.records:
        by_delivery.setdefault(record.delivery, []).append(record)
    for delivery in story.deliveries:
        yield ""
        yield from _delivery(delivery, by_delivery.get(delivery.row, []))
    for gap in _gaps(story):
        yield ""
        yield f"  ! {gap}"


def _state(story: Story) -> Iterator[str]:
    known = story.payment.known
    state = lifecycle.state_of(known, story.payment.key.split("/", 2)[2])
    if state is not None and state.status is not None:
        amounts = (("of", state.amount), ("captured", state.captured), ("refunded", state.refunded))
        told = ", ".join(f"{word} {_money(amount)}" for word, amount in amounts if amount is not None)
        yield f"  payment {state.status}{', ' + told if told else ''}{', disputed' if state.disputed else ''}"
    for name, standing in known.standings.items():
        if not name.startswith("payment/"):
            entity, _, own_id = name.partition("/")
            yield f"  {entity} {own_id} {standing.status}{_refunded(standing)}"


def _refunded(standing: lifecycle.Standing) -> str:
    return f", {_money(standing.amount[1])}" if standing.amount else ""


def _money(amount: Any) -> str:
    return money({"minor": amount.minor, "currency": amount.currency, "exponent": amount.exponent})


def _delivery(delivery: StoredDelivery, records: Sequence[StoredRecord]) -> Iterator[str]:
    again = f", {delivery.attempts} times" if delivery.attempts > 1 else ""
    yield f"  {clock(delivery.received_at)}  {delivery.via} {delivery.id}, proven by {delivery.proof}{again}"
    for item in delivery.items:
        told = f"    {item.event_type or 'state'} {item.event_key or ''}: {item.outcome}"
        yield f"{told}: {why(item)}" if item.reason else told
    for record in records:
        event = orjson.loads(record.record.value)
        life = event["data"]["lifecycle"] or {}
        state = "" if record.is_published else " (not known to be on Kafka yet)"
        yield f"    #{life.get('sequence')} {event['type']} {life.get('transition') or ''} {event['id']}{state}"


def _gaps(story: Story) -> Iterator[str]:
    """What was heard of without what must have been before it."""
    known = story.payment.known
    kinds = {name.partition("/")[0] for name in known.standings}
    if "payment" not in kinds and kinds:
        yield f"{' and '.join(sorted(kinds))} known, the payment itself was never heard of"
    if "refund" in kinds and known.captured is None:
        yield "refund known, no capture seen"
    if any(outcome(each) == "quarantined" for each in story.deliveries):
        yield "one of its deliveries is quarantined"
