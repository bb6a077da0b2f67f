"""The private listener: health and metrics for all, the API for who has a token and comes under our name."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web

from paymux.http.api import ROUTES
from paymux.http.private import application
from paymux.settings.tokens import Role
from tests.http.inside import NOW, TOKENS, bearer, client, inside, token, token_of

OPEN = {"/metrics", "/healthz", "/readyz"}
PAGE = "/api/v1/status"
OF_ROLE = {Role.VIEWER: "looker", Role.OPERATOR: "ops", Role.PRIVACY: "guardian"}


def slug(problem):
    return problem["type"].removeprefix("urn:paymux:problem:")


def every_route():
    """Of the router itself: whatever was added to it, by whatever way."""
    found = [(route.method, route.resource.canonical) for route in application(inside()).router.routes()]
    return [(method, path) for method, path in found if path not in OPEN]


def filled(path):
    for name in ("id", "provider", "account"):
        path = path.replace(f"{{{name}}}", "x")
    return path


async def test_health_and_metrics_need_no_token():
    """A probe and Prometheus have none."""
    async with client(inside()) as asked:
        assert await (await asked.get("/healthz")).json() == {"status": "ok"}
        assert (await asked.get("/readyz")).status == 200
        metrics = await asked.get("/metrics")
        assert metrics.content_type == "text/plain"
        assert "paymux_build_info" in await metrics.text()


async def test_readiness_is_503_with_its_reasons():
    """The journal decides; the rest are details."""
    async with client(inside(ready=False)) as asked:
        got = await asked.get("/readyz")
        assert (got.status, await got.json()) == (503, {"ready": False, "journal": False})


# --- tokens and roles


@pytest.mark.parametrize(("method", "path"), every_route())
async def test_no_route_without_authorization(method, path):
    """Each route of the router, but for health and metrics: no token and a wrong one are 401, and no body helps."""
    async with client(inside()) as asked:
        for headers in ({}, {"Authorization": "Bearer certainly-not-this-one"}):
            got = await asked.request(method, filled(path), headers=headers, json={})
            assert (got.status, slug(await got.json())) == (401, "unauthorized")


def test_every_route_of_the_table_is_in_the_router():
    """And nothing else is below /api/v1, so the table's roles are those that count."""
    assert sorted(every_route()) == sorted((route.method, route.url) for route in ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_every_route_asks_for_its_role(route):
    """Who has another role is 403; operators and privacy may do what viewers may, but not each other's."""
    allowed = {"admin"} | {name for role, name in OF_ROLE.items() if role is route.role or route.role is Role.VIEWER}
    async with client(inside()) as asked:
        for name in TOKENS:
            if name in allowed and route.path == "tail":
                continue  # it does not end
            headers = bearer(name, **{"Content-Type": "application/json"})
            got = await asked.request(route.method, filled(route.url), headers=headers, data=b"[]")
            assert (got.status == 403) == (name not in allowed), (name, got.status)
            if got.status == 403:
                assert slug(await got.json()) == "forbidden"


def test_what_changes_something_or_shows_a_body_is_not_for_viewers():
    """Only GET is, and no raw body."""
    for route in ROUTES:
        if route.method != "GET" or route.path.endswith("raw"):
            assert route.role is not Role.VIEWER


async def test_the_api_wants_a_token():
    """Any of several does; none, a wrong one, one that is cut off and another scheme do not."""
    async with client(inside()) as asked:
        for name in TOKENS:
            assert (await asked.get(PAGE, headers=bearer(name))).status == 200
        offered = token_of("admin")
        for value in (f"Bearer {offered[:-1]}", f"Bearer {offered}\xe9", f"Basic {offered}", "Bearer ", offered):
            assert (await asked.get(PAGE, headers={"Authorization": value})).status == 401


async def test_a_token_may_be_configured_by_its_digest():
    """The same token is let in, and the digest itself is no token."""
    import hashlib

    text = f"sha256:{hashlib.sha256(token_of('ops').encode()).hexdigest()}"
    async with client(inside(tokens=[token("ops", value=text)])) as asked:
        assert (await asked.get(PAGE, headers=bearer("ops"))).status == 200
        assert (await asked.get(PAGE, headers={"Authorization": f"Bearer {text}"})).status == 401


async def test_a_token_that_is_past_its_time():
    """It is told so, as it is known; a moment before it was good."""
    end = NOW + timedelta(seconds=1)
    shown = inside(tokens=[token("ops", not_after=end.isoformat())])
    async with client(shown) as asked:
        assert (await asked.get(PAGE, headers=bearer("ops"))).status == 200
    async with client(replace(shown, now=lambda: end)) as asked:
        got = await asked.get(PAGE, headers=bearer("ops"))
        assert (got.status, slug(await got.json())) == (401, "token_expired")


async def test_without_tokens_the_api_is_closed():
    """There is no open state to forget."""
    async with client(inside(tokens=[])) as asked:
        got = await asked.get(PAGE, headers={"Authorization": "Bearer "})
        assert (got.status, slug(await got.json())) == (403, "no_tokens")


async def test_v59_another_name_is_refused():
    """V-59: a page in somebody's browser that was rebound to our address comes under its own name."""
    async with client(inside()) as asked:
        got = await asked.get(PAGE, headers=bearer(Host="evil.example"))
        assert (got.status, slug(await got.json())) == (403, "unknown_host")
        for none in ("[x", "[", "a:b", "a:99999999", "a b", "x]:1", ""):
            assert (await asked.get(PAGE, headers=bearer(Host=none))).status == 403
        assert (await asked.get(PAGE, headers=bearer(Host="paymux.internal:8081"))).status == 200
        assert (await asked.get(PAGE, headers=bearer(Host="localhost:8081"))).status == 200


async def test_v59_no_other_origin_is_let_in():
    """V-59: no CORS header at all, and a preflight is refused."""
    async with client(inside()) as asked:
        got = await asked.get(PAGE, headers=bearer(Origin="https://evil.example"))
        assert not [name for name in got.headers if name.lower().startswith("access-control")]
        assert (await asked.options(PAGE, headers=bearer(Origin="https://evil.example"))).status == 405


async def test_v59_fifty_wrong_tokens_are_slowed_down():
    """V-59: 429 after the first few, and the right one still works."""
    async with client(inside()) as asked:
        statuses = [(await asked.get(PAGE, headers={"Authorization": f"Bearer wrong-{n}"})).status for n in range(50)]
        assert (await asked.get(PAGE, headers=bearer())).status == 200
    assert statuses[:10] == [401] * 10
    assert statuses[-1] == 429


# --- problems


async def test_an_unknown_page_is_a_problem_too():
    """No page of aiohttp's own; below /api/v1 a stranger does not even learn that."""
    async with client(inside()) as asked:
        got = await asked.get("/nothing")
        assert (got.status, got.content_type, slug(await got.json())) == (404, "application/problem+json", "not_found")
        assert (await asked.get("/api/v1/nothing")).status == 401
        got = await asked.get("/api/v1/nothing", headers=bearer())
        assert (got.status, slug(await got.json())) == (404, "not_found")


async def test_another_method_is_a_problem_too():
    """With the methods that there are, also outside of the API."""
    async with client(inside()) as asked:
        got = await asked.delete("/api/v1/jobs", headers=bearer())
        assert (got.status, slug(await got.json()), got.headers["Allow"]) == (405, "method_not_allowed", "GET,POST")
        got = await asked.post("/healthz")
        assert (got.status, slug(await got.json()), got.headers["Allow"]) == (405, "method_not_allowed", "GET,HEAD")


async def test_an_unforeseen_error_tells_nothing(capsys):
    """500 with one word; the log has its class and place."""

    async def broken():
        raise RuntimeError("canary-in-an-error")

    async with client(inside(status=broken)) as asked:
        got = await asked.get(PAGE, headers=bearer())
        told = await got.json()
        assert (got.status, slug(told), told["detail"]) == (500, "internal_error", None)
    assert "canary" not in capsys.readouterr().err


async def test_a_route_without_the_guard_shows_nothing():
    """Defence in depth: where nobody was let in, there is no page."""
    from paymux.http.api.serving import INSIDE, served

    bare = web.Application()
    bare[INSIDE] = inside()
    bare.add_routes(served(ROUTES))
    from aiohttp.test_utils import TestClient, TestServer

    async with TestClient(TestServer(bare)) as asked:
        assert (await asked.get(PAGE, headers=bearer())).status == 500
