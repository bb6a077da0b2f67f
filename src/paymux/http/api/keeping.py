"""What is kept how long, and what is taken out for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from pydantic import Field

from paymux.http.api.fields import PaymentKey, Text
from paymux.http.api.routes import Call, Given, Nothing, Route
from paymux.keeping.erasing import person
from paymux.settings.tokens import Role


class Erase(Given):
    """`key` is provider/account/id: a payment's by any name of it, or a customer's."""

    kind: Literal["payment", "customer"]
    key: PaymentKey
    reason: Text = Field(description="Why; kept in the audit trail.")
    dry_run: bool = Field(default=False, description="Only tell what it would be about.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedFacts:
    """How many deliveries and records hold nothing of it any more, and of which payments they spoke."""

    deliveries: int
    records: int
    payments: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionFacts:
    """`days` is how long bodies, headers and published records are kept, 0 for ever. `old_bodies` and `old_records` are
    old enough to go; `held` are bodies that are, too, and are quarantined, wait for a lookup or are not published.
    """

    days: int
    bodies: int
    oldest: datetime | None
    records: int
    old_bodies: int
    old_records: int
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    rows: int


async def _erase(call: Call[Nothing, Erase]) -> ErasedFacts:
    given, erasing = call.body, call.inside.erasing
    whose = person(given.kind, given.key)
    if given.dry_run:
        done = await erasing.preview(whose)
    else:
        done = await erasing.erase(whose, given.reason, call.who.name)
    return ErasedFacts(deliveries=done.deliveries, records=done.records, payments=done.payments)


async def _retention(call: Call[Nothing, None]) -> RetentionFacts:
    retention = call.inside.retention
    found = await retention.kept(call.inside.history)
    return RetentionFacts(days=retention.days, **{name: getattr(found, name) for name in found.__slots__})


async def _sweep(call: Call[Nothing, None]) -> Swept:
    return Swept(rows=await call.inside.retention.sweep_for(call.who.name))


ROUTES: Final = (
    Route(
        method="POST",
        path="erasures",
        role=Role.PRIVACY,
        name="erase",
        summary="Take a payment's or a customer's data out of the journal. Stands in the audit trail.",
        call=_erase,
        body=Erase,
        answers={200: ErasedFacts},
        problems=("not_stored", "unpublished", "erase_impossible"),
    ),
    Route(
        method="GET",
        path="retention",
        role=Role.VIEWER,
        name="getRetention",
        summary="What is kept how long, and how much of it is old enough to go.",
        call=_retention,
        answers={200: RetentionFacts},
    ),
    Route(
        method="POST",
        path="retention/sweep",
        role=Role.OPERATOR,
        name="sweepRetention",
        summary="Let go of what is old enough now, instead of within the hour. Stands in the audit trail.",
        call=_sweep,
        answers={200: Swept},
    ),
)
