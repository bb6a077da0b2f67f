"""The private API: one file for each resource, one table of routes."""

from __future__ import annotations

from functools import cache
from typing import Final

from aiohttp import web

from paymux.explain import dump
from paymux.http.api import (
    audit,
    deliveries,
    jobs,
    keeping,
    payments,
    quarantine,
    reconciles,
    rejections,
    status,
    tail,
    transfers,
)
from paymux.http.api.openapi import described
from paymux.http.api.problems import NEVER_STORED
from paymux.http.api.routes import JSON, Call, Nothing, Route
from paymux.settings.tokens import Role


async def _openapi(_call: Call[Nothing, None]) -> web.Response:
    return web.Response(body=_document(), content_type=JSON, headers=NEVER_STORED)


@cache
def _document() -> bytes:
    return dump(described(ROUTES))


ROUTES: Final[tuple[Route, ...]] = (
    *status.ROUTES,
    *deliveries.ROUTES,
    *payments.ROUTES,
    *quarantine.ROUTES,
    *jobs.ROUTES,
    *reconciles.ROUTES,
    *rejections.ROUTES,
    *audit.ROUTES,
    *keeping.ROUTES,
    *tail.ROUTES,
    *transfers.ROUTES,
    Route(
        method="GET",
        path="openapi.json",
        role=Role.VIEWER,
        name="getOpenApi",
        summary="This document.",
        call=_openapi,
        answers={200: dict},
    ),
)
