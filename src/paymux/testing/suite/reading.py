"""Samples, proven and translated: what the rows are about."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any

import orjson

from paymux.canonical import EVENT
from paymux.delivery import Asked, ObjectRef, Verified, Via
from paymux.money import Money
from paymux.records import offline_events
from paymux.signatures import confirmed, remembered
from paymux.statement import Ignored, Item, Lookup, Quarantined, Stated, Statement
from paymux.testing import junk
from paymux.testing.ways import NOW, Way
from paymux.translate import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from paymux.provider import Account, Endpoint
    from paymux.testing.suite.cases import Case

    Prove = Callable[[bytes], Verified]

_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")

PAYMENTS = ObjectRef(object="payments", id="")

# The reasons that a delivery's own content may have.
REASONS = {
    "shape",
    "duplicate_key",
    "unknown_event_type",
    "unknown_status",
    "unknown_currency",
    "inexact_amount",
    "wrong_mode",
    "wrong_tenant",
    "answer_mismatch",
}


def verifier(way: Way) -> Prove:
    """Bodies as verified: what verification says is held elsewhere; junk need not be signed to be translated."""
    proven = way.prove(way.delivery(way.samples[0].body), way.account())
    return lambda body: remembered(replace(proven.delivery, body=body), proven.proof, proven.secret)


def verified(way: Way, body: bytes) -> Verified:
    """A body as the provider sends it."""
    return verifier(way)(way.sign_body(body, way.secrets[0]))


def translated(way: Way, body: bytes) -> tuple[Item, ...]:
    return translate(way.account(), verified(way, body))


def read(way: Way, document: bytes) -> tuple[Item, ...]:
    """What the provider's file says of a document, as `Way.document` makes them."""
    return translate(way.reader, verifier(way)(document))


def answer_to(case: Case, body: bytes) -> Verified:
    """An answer of the provider's API to the question that the sample answers."""
    api = case.way.provider.api
    endpoint = api.objects.get(case.sample.name) if api else None
    ref = PAYMENTS if endpoint is None else ObjectRef(object=case.sample.name, id=own_id(endpoint, case.sample.body))
    asked = Asked(ref=ref, occurred_at=NOW)
    return confirmed(replace(case.way.sent(body, ()), via=Via.LOOKUP, asked=asked))


def answered(case: Case, body: bytes) -> tuple[Item, ...]:
    return translate(case.way.account(), answer_to(case, body))


def own_id(endpoint: Endpoint, body: bytes) -> str:
    found: Any = orjson.loads(body)
    for key in endpoint.unwrap:
        found = found[key]
    own: str = found[endpoint.id_key]
    return own


def stated(items: tuple[Item, ...]) -> list[Statement]:
    return [statement for item in items if isinstance(item.outcome, Stated) for statement in item.outcome.statements]


def plausible(item: Item) -> bool:
    """An item with one of the four outcomes; a bug of ours (`internal_error`) is none."""
    return isinstance(item, Item) and (
        isinstance(item.outcome, Stated | Lookup | Ignored)
        or (isinstance(item.outcome, Quarantined) and item.outcome.reason in REASONS)
    )


def amounts(items: tuple[Item, ...]) -> dict[tuple[str, ...], set[Money]]:
    """Every amount that is said, by entity and field."""
    found: dict[tuple[str, ...], set[Money]] = defaultdict(set)
    for statement in stated(items):
        for place, money in _moneys(statement.block):
            found[statement.block.entity.value, *place].add(money)
    return found


def numbers(body: bytes) -> set[Decimal]:
    """Every number in the body, those in strings too."""
    document = json.loads(body, parse_float=Decimal)
    values = {junk.leaf(document, path) for path in junk.paths(document) if _is_leaf(junk.leaf(document, path))}
    return {Decimal(value) for value in values if _NUMBER.fullmatch(str(value))}


def combined(way: Way, found: set[Decimal]) -> set[Decimal]:
    """What amounts may be made of these numbers: one, the sum of two different ones, or the difference of two, as
    minor units and as major units, with the exponents that occur.
    """
    pairs = list(product(found, found | {Decimal(0)}))
    sums = {a + b for a, b in pairs if a != b} | {a - b for a, b in pairs}
    made = {one.scaleb(shift) for one in sums for shift in (-2, 0, 2, 3)}
    return made | {-one for one in made} if way.negates else made


def _is_leaf(value: Any) -> bool:
    return isinstance(value, int | Decimal | str) and not isinstance(value, bool)


def assert_published(account: Account, proven: Verified, items: tuple[Item, ...]) -> None:
    """Whatever events come of them are as the contract says."""
    for item in items:
        for event in offline_events(account, proven, item):
            EVENT.validate_json(event, strict=True)


def _moneys(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Money]]:
    if isinstance(value, Money):
        yield place, value
    elif is_dataclass(value):
        for each in fields(value):
            yield from _moneys(getattr(value, each.name), (*place, each.name))
    elif isinstance(value, tuple):
        for member in value:
            yield from _moneys(member, place)
