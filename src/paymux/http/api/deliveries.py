"""What came in, and why each became what it became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from paymux.explain.deliveries import DeliveryFacts, Explained, explained, facts, viewed
from paymux.http.api.fields import FILTERS, Cursor, Digits, Filters, Text, cursor_of, following, row_of, sought
from paymux.http.api.problems import NEVER_STORED, Problem
from paymux.http.api.routes import Call, Nothing, Route
from paymux.settings.tokens import Role

BYTES: Final = "application/octet-stream"


class Search(Filters):
    id: Text | None = Field(
        default=None,
        description="The beginning of an id: a delivery's, an event's, an event key, a payment's or another name of "
        "it. Sought alone; the newest that fit, on one page.",
    )
    limit: Annotated[int, Field(ge=1, le=500), Digits] = 50
    cursor: Cursor | None = Field(default=None, description="Of the page before, as its `next` has it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """Newest first. `next` is the address of the following page, null at the end; a page may be short, or empty, where
    much had to be passed over to fill it.
    """

    deliveries: Sequence[DeliveryFacts]
    next: str | None


async def _list(call: Call[Search, None]) -> Deliveries:
    query, history = call.query, call.inside.history
    if query.id is not None:
        if any(getattr(query, name) is not None for name in (*FILTERS, "cursor")):
            raise Problem("impossible", "id: the beginning of an id is sought alone, without filters")
        found = await history.named(query.id, limit=query.limit)
        return Deliveries(deliveries=[facts(each) for each in found], next=None)
    page = await history.deliveries(sought(query), limit=query.limit, before=row_of(query.cursor))
    cursor = None if page.next is None else cursor_of(page.next)
    return Deliveries(deliveries=[facts(each) for each in page.deliveries], next=following(call.request, cursor))


async def _show(call: Call[Nothing, None]) -> Explained:
    return await explained(call.inside.history, call.path["id"], call.inside.knowledge)


async def _raw(call: Call[Nothing, None]) -> web.Response:
    delivery_id, inside = call.path["id"], call.inside
    request = await viewed(inside.history, inside.journal, delivery_id, call.who.name)
    # The id is that of a delivery that is stored, so it is one of ours: a UUID.
    disposition = {"Content-Disposition": f'attachment; filename="{delivery_id}.bin"'}
    return web.Response(body=request.body, content_type=BYTES, headers={**NEVER_STORED, **disposition})


ROUTES: Final = (
    Route(
        method="GET",
        path="deliveries",
        role=Role.VIEWER,
        name="listDeliveries",
        summary="What came in, newest first.",
        call=_list,
        query=Search,
        answers={200: Deliveries},
        problems=("impossible",),
    ),
    Route(
        method="GET",
        path="deliveries/{id}",
        role=Role.VIEWER,
        name="getDelivery",
        summary="One delivery, step by step: how it was proven, what each item became and why, what was published.",
        call=_show,
        answers={200: Explained},
        problems=("not_stored",),
    ),
    Route(
        method="GET",
        path="deliveries/{id}/raw",
        role=Role.PRIVACY,
        name="getRawBody",
        summary="The body, byte for byte. Stands in the audit trail.",
        call=_raw,
        answers={200: None},
        media=BYTES,
        problems=("not_stored", "body_gone"),
    ),
)
