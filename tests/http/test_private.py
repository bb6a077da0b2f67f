"""The private listener: health and metrics for all, the API for who has a token and comes under our name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from paymux.http.private import Inside, application
from paymux.journal import Rejection
from paymux.journal.memory import MemoryJournal
from paymux.settings.models import AdminToken
from paymux.settings.secret import Origin
from paymux.telemetry import Metrics

TOKEN = "a-token-of-the-operators"
PAGES = ["/api/v1/status", "/api/v1/accounts", "/api/v1/rejections"]


def inside(*, tokens: tuple[str, ...] = (TOKEN,), ready: bool = True, journal: MemoryJournal | None = None) -> Inside:
    async def refresh() -> None:
        pass

    async def is_ready() -> tuple[bool, dict[str, Any]]:
        return ready, {"journal": ready}

    async def status() -> dict[str, Any]:
        return {"version": "1"}

    return Inside(
        journal=journal or MemoryJournal(),
        metrics=Metrics(),
        tokens=[
            AdminToken.model_validate(
                {"token": "env:TOKEN", "name": f"t{n}"}, context=Origin(file=None, environ={"TOKEN": token})
            )
            for n, token in enumerate(tokens)
        ],
        hosts=frozenset({"paymux.internal"}),
        refresh=refresh,
        ready=is_ready,
        status=status,
        accounts=lambda: [{"name": "acme"}],
    )


def client(shown: Inside) -> TestClient:
    return TestClient(TestServer(application(shown)))


def bearer(token: str = TOKEN, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **headers}


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


@pytest.mark.parametrize("page", PAGES)
async def test_the_api_wants_a_token(page):
    """Any of several does; none, a wrong one and another scheme do not."""
    async with client(inside(tokens=("the-first-of-the-tokens", TOKEN))) as asked:
        assert (await asked.get(page, headers=bearer())).status == 200
        assert (await asked.get(page, headers=bearer("the-first-of-the-tokens"))).status == 200
        assert (await asked.get(page)).status == 401
        assert (await asked.get(page, headers=bearer(TOKEN[:-1]))).status == 401
        assert (await asked.get(page, headers=bearer(TOKEN + "\xe9"))).status == 401
        assert (await asked.get(page, headers={"Authorization": f"Basic {TOKEN}"})).status == 401


async def test_without_tokens_the_api_is_closed():
    """There is no open state to forget."""
    async with client(inside(tokens=())) as asked:
        assert (await asked.get(PAGES[0], headers=bearer(""))).status == 403


async def test_v59_another_name_is_refused():
    """V-59: a page in somebody's browser that was rebound to our address comes under its own name."""
    async with client(inside()) as asked:
        assert (await asked.get(PAGES[0], headers=bearer(Host="evil.example"))).status == 403
        assert (await asked.get(PAGES[0], headers=bearer(Host="paymux.internal:8081"))).status == 200
        assert (await asked.get(PAGES[0], headers=bearer(Host="localhost:8081"))).status == 200


async def test_v59_no_other_origin_is_let_in():
    """V-59: no CORS header at all, and a preflight is refused."""
    async with client(inside()) as asked:
        got = await asked.get(PAGES[0], headers=bearer(Origin="https://evil.example"))
        assert not [name for name in got.headers if name.lower().startswith("access-control")]
        assert (await asked.options(PAGES[0], headers=bearer(Origin="https://evil.example"))).status == 405


async def test_v59_fifty_wrong_tokens_are_slowed_down():
    """V-59: 429 after the first few, and the right one still works."""
    async with client(inside()) as asked:
        statuses = [(await asked.get(PAGES[0], headers=bearer(f"wrong-{n}"))).status for n in range(50)]
        assert (await asked.get(PAGES[0], headers=bearer())).status == 200
    assert statuses[:10] == [401] * 10
    assert statuses[-1] == 429


async def test_rejections_are_listed_newest_first():
    """When, who, why, how much."""
    journal = MemoryJournal()
    for reason in ("too_old", "signature_mismatch"):
        journal.reject(
            Rejection(
                at=datetime(2026, 1, 9, tzinfo=UTC),
                provider="stripe",
                account="acme",
                reason=reason,
                address="192.0.2.1",
                size=3,
                sha256="00",
            )
        )
    async with client(inside(journal=journal)) as asked:
        found = (await (await asked.get("/api/v1/rejections?limit=2", headers=bearer())).json())["rejections"]
        assert [rejection["reason"] for rejection in found] == ["signature_mismatch", "too_old"]
        assert found[0]["at"] == "2026-01-09T00:00:00Z"


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1e9", "99999999999999999999", "٣"])
async def test_an_unusable_limit_is_400(limit):
    """Bounded, in ASCII digits."""
    async with client(inside()) as asked:
        assert (await asked.get("/api/v1/rejections", params={"limit": limit}, headers=bearer())).status == 400


async def test_an_unknown_page_is_json_too():
    """No page of aiohttp's own."""
    async with client(inside()) as asked:
        got = await asked.get("/nothing")
        assert (got.status, await got.json()) == (404, {"error": "not found"})
        assert (await asked.get("/api/v1/nothing")).status == 401


async def test_an_unforeseen_error_tells_nothing(capsys):
    """500 with one word; the log has its class and place."""

    async def broken() -> dict[str, Any]:
        raise RuntimeError("canary-in-an-error")

    async with client(replace(inside(), status=broken)) as asked:
        got = await asked.get("/api/v1/status", headers=bearer())
        assert (got.status, await got.json()) == (500, {"error": "internal error"})
    assert "canary" not in capsys.readouterr().err
