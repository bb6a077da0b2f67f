"""What is stored, taken out as lines; and payloads from elsewhere, taken in."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from aiohttp import web
from pydantic import Field

from paymux.delivery import Asked, ObjectRef
from paymux.explain import exports
from paymux.http.api.fields import Filters, Text, Time, sought
from paymux.http.api.problems import NEVER_STORED, Problem
from paymux.http.api.routes import Call, Given, Route
from paymux.journal.audit import Act
from paymux.replay.imports import Payload
from paymux.settings.tokens import Role

LINES: Final = "application/x-ndjson"
MOST_PAYLOADS: Final = 500
LONGEST_BODY: Final = 2_800_000  # base64 of 2 MiB
LARGEST_IMPORT: Final = 4 * 1024 * 1024  # of all payloads of a request


class Question(Given):
    """Of the provider's API."""

    object: Text
    id: Annotated[str, Field(max_length=512)]
    occurred_at: Time | None = None


class Foreign(Given):
    """One payload; `headers` where the event's id is one of them."""

    body_base64: Annotated[str, Field(max_length=LONGEST_BODY)]
    headers: Annotated[tuple[tuple[Text, str], ...], Field(max_length=100, strict=False)] = ()
    received_at: Time | None = None
    asked: Question | None = Field(default=None, description="What it is the API's answer to.")


class Import(Given):
    """`trust`: no signature can be checked, so somebody has to vouch for it."""

    provider: Text
    account: Text
    trust: Literal[True]
    payloads: Annotated[tuple[Foreign, ...], Field(min_length=1, max_length=MOST_PAYLOADS, strict=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of how many items; `published` counts events."""

    counts: Mapping[str, int]


async def _import(call: Call[Given, Import]) -> Imported:
    given = call.body
    payloads = [_payload(index, each) for index, each in enumerate(given.payloads)]
    name = (given.provider, given.account)
    return Imported(counts=dict(await call.inside.replays.take(name, payloads, call.who.name)))


def _payload(index: int, given: Foreign) -> Payload:
    asked = given.asked
    question = (
        None if asked is None else Asked(ref=ObjectRef(object=asked.object, id=asked.id), occurred_at=asked.occurred_at)
    )
    try:
        return Payload(
            body=base64.b64decode(given.body_base64, validate=True),
            headers=tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in given.headers),
            received_at=given.received_at,
            asked=question,
        )
    except ValueError:
        raise Problem("impossible", f"payloads.{index}: no base64, or a header that is none") from None


async def _deliveries(call: Call[Filters, None]) -> web.StreamResponse:
    return await _lines(call, "deliveries", exports.deliveries(call.inside.archive, sought(call.query)))


async def _events(call: Call[Filters, None]) -> web.StreamResponse:
    topic = call.inside.replays.topic
    return await _lines(call, "events", exports.events(call.inside.archive, sought(call.query), topic))


async def _lines(call: Call[Filters, None], what: str, lines: AsyncIterator[bytes]) -> web.StreamResponse:
    """Written down before the first line goes out."""
    told = call.query.model_dump(mode="json", exclude_none=True)
    act = Act(who=call.who.name, action=f"export.{what}", target=what, detail=told)
    await call.inside.journal.change(lambda unit: unit.audit(act))
    response = web.StreamResponse(headers={**NEVER_STORED, "Content-Type": LINES})
    await response.prepare(call.request)
    async for line in lines:
        await response.write(line)
    await response.write_eof()
    return response


ROUTES: Final[Sequence[Route]] = (
    Route(
        method="POST",
        path="imports",
        role=Role.OPERATOR,
        name="importPayloads",
        summary="Payloads from elsewhere, down the line as deliveries with via=import. Stands in the audit trail.",
        call=_import,
        body=Import,
        largest=LARGEST_IMPORT,
        answers={200: Imported},
        problems=("impossible", "job_impossible"),
    ),
    Route(
        method="GET",
        path="exports/deliveries",
        role=Role.PRIVACY,
        name="exportDeliveries",
        summary="Deliveries with their bodies, oldest first, one JSON object a line. Stands in the audit trail.",
        call=_deliveries,
        query=Filters,
        answers={200: None},
        media=LINES,
        problems=("impossible",),
    ),
    Route(
        method="GET",
        path="exports/events",
        role=Role.VIEWER,
        name="exportEvents",
        summary="Canonical events as they were published, one JSON object a line. Stands in the audit trail.",
        call=_events,
        query=Filters,
        answers={200: None},
        media=LINES,
        problems=("impossible",),
    ),
)
