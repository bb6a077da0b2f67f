"""Jobs as resources: made, previewed, steered, looked at; quarantine retried and discarded. All of it audited."""

from __future__ import annotations

import pytest

from paymux.journal.jobs import Change
from tests.http.api.stories import delivery_id
from tests.http.inside import bearer


def slug(got):
    return got.body["type"].removeprefix("urn:paymux:problem:")


async def worked(ask, job_id):
    """As serve's worker would."""
    return await ask.inside.replays.work(await ask.inside.history.job(job_id))


async def acts(ask):
    return [(act["who"], act["action"], act["target"]) for act in (await ask.get("audit")).body["acts"]]


async def test_a_job_from_its_order_to_its_end(ask):
    """201 with its place; then how far it is, and what became of how many."""
    got = await ask.post("jobs", {"kind": "republish", "topic": "elsewhere", "rate": 5000}, who="ops")
    job = got.body
    assert (got.status, job["state"], job["created_by"], job["progress"]) == (201, "queued", "ops", 0.0)
    assert got.headers["Location"] == f"/api/v1/jobs/{job['id']}"
    assert await acts(ask) == [("ops", "job.republish", job["id"])]
    await worked(ask, job["id"])
    shown = (await ask.get(f"jobs/{job['id']}", who="looker")).body
    assert (shown["state"], shown["counts"]) == ("done", {"events": 3})
    assert (shown["progress"], shown["remaining_seconds"]) == (1.0, None)
    assert [each["id"] for each in (await ask.get("jobs", who="looker")).body["jobs"]] == [job["id"]]
    topics = [row.record.topic for row in await ask.inside.journal.read(0, 5, 100)]
    assert topics == ["elsewhere"] * 3


async def test_a_dry_run(ask):
    """200 with counts; nothing was made, nothing is in the trail."""
    told = {"kind": "retranslate", "filters": {"outcome": "events"}, "dry_run": True}
    got = await ask.post("jobs", told)
    assert (got.status, got.body["kind"], got.body["counts"]["deliveries"]) == (200, "retranslate", 3)
    assert (await ask.get("jobs")).body["jobs"] == []
    assert await acts(ask) == []


async def test_a_job_is_steered(ask):
    """Paused, resumed, canceled; what its state does not allow is 409 with a sentence."""
    job = (await ask.post("jobs", {"kind": "retranslate"})).body["id"]
    assert (await ask.post(f"jobs/{job}/pause")).body["state"] == "paused"
    got = await ask.post(f"jobs/{job}/pause")
    assert (got.status, slug(got)) == (409, "job_state")
    assert "paused" in got.body["detail"]
    assert (await ask.post(f"jobs/{job}/resume")).body["state"] == "queued"
    assert (await ask.post(f"jobs/{job}/accept")).status == 409
    assert (await ask.post(f"jobs/{job}/cancel")).body["state"] == "canceled"
    assert (await ask.post(f"jobs/{job}/resume")).status == 409
    assert [action for _, action, _ in await acts(ask)] == [
        "job.retranslate",
        "job.pause",
        "job.resume",
        "job.cancel",
    ]


@pytest.mark.parametrize("path", ["", "/changes", "/changes/groups"])
async def test_a_job_that_is_not_there(ask, path):
    """404, looked at or steered."""
    got = await ask.get(f"jobs/nothing{path}")
    assert (got.status, slug(got)) == (404, "not_stored")
    assert (await ask.post("jobs/nothing/pause")).status == 404


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({}, "kind"),
        ({"kind": "replay"}, "kind"),
        ({"kind": "diff", "rates": 1}, "rates"),
        ({"kind": "diff", "rate": 0}, "rate"),
        ({"kind": "diff", "rate": "5"}, "rate"),
        ({"kind": "diff", "dry_run": 1}, "dry_run"),
        ({"kind": "diff", "filters": {"sinse": "x"}}, "filters.sinse"),
        ({"kind": "diff", "filters": {"since": "yesterday"}}, "filters.since"),
        ({"kind": "diff", "filters": {"since": 1763640000}}, "filters.since"),
        ({"kind": "republish", "topic": "no topic"}, "topic"),
    ],
)
async def test_an_order_that_cannot_be_read(ask, told, name):
    """400, naming the field."""
    got = await ask.post("jobs", told)
    assert (got.status, slug(got)) == (400, "bad_request")
    assert [(each["place"], each["name"]) for each in got.body["errors"]] == [("body", name)]


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"null", b"\xff", b'"\\ud800"', b"[" * 10_000, b'{"kind": NaN}'])
async def test_a_body_that_is_no_order(ask, raw):
    """400, whatever it is."""
    got = await ask("POST", "jobs", data=raw, skip_auto_headers=["Content-Type"])
    assert got.status == 415
    async with ask.asked.post(
        "/api/v1/jobs", data=raw, headers={**bearer(), "Content-Type": "application/json"}
    ) as answer:
        assert (answer.status, (await answer.json(content_type=None))["status"]) == (400, 400)


async def test_a_body_that_is_too_large(ask):
    """413, and it is not read to its end."""
    got = await ask.post("jobs", {"kind": "diff", "x": "x" * 70_000})
    assert (got.status, slug(got)) == (413, "too_large")


async def test_a_body_of_another_kind(ask):
    """415: neither another type nor a compressed one is read."""
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/json", "Content-Encoding": "gzip"}):
        async with ask.asked.post("/api/v1/jobs", data=b'{"kind": "diff"}', headers=bearer() | headers) as answer:
            assert answer.status == 415


@pytest.mark.parametrize(
    "told",
    [
        {"kind": "diff", "topic": "elsewhere"},
        {"kind": "retry", "filters": {"outcome": "events"}},
        {"kind": "diff", "filters": {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}},
        {"kind": "diff", "filters": {"reason": "shape", "outcome": "ignored"}},
    ],
)
async def test_an_order_that_makes_no_sense(ask, told):
    """422 with a sentence, also as a dry run."""
    for more in ({}, {"dry_run": True}):
        got = await ask.post("jobs", told | more)
        assert (got.status, bool(got.body["detail"])) == (422, True)
    assert (await ask.get("jobs")).body["jobs"] == []


# --- what a diff found


@pytest.fixture
async def diff(ask):
    """A job that found five changes of two sorts."""
    job = (await ask.post("jobs", {"kind": "diff"})).body["id"]
    changes = [
        Change(
            job=job,
            event_id=f"event-{n}",
            key="stripe/acme/p",
            row=1,
            delivery=delivery_id(0),
            kind="changed" if n else "gone",
            type="payment.succeeded",
            provider="stripe",
            account="acme",
            paths=("/payment/amount",) if n else (),
            old='{"/payment/amount":1}' if n else None,
            new='{"/payment/amount":2}' if n else None,
        )
        for n in range(5)
    ]
    await ask.inside.journal.change(lambda unit: unit.changes.found.extend(changes))
    return job


async def test_changes_page_by_page(ask, diff):
    """By event id, with what was and what would be."""
    got = await ask.get(f"jobs/{diff}/changes?limit=2", who="looker")
    seen = got.body["changes"]
    while got.body["next"] is not None:
        got = await ask.get(got.body["next"].removeprefix("/api/v1/"))
        seen += got.body["changes"]
    assert [each["event_id"] for each in seen] == [f"event-{n}" for n in range(5)]
    assert (seen[1]["old"], seen[1]["new"]) == ('{"/payment/amount":1}', '{"/payment/amount":2}')


async def test_changes_in_groups(ask, diff):
    """Those that are alike are one, the largest first, with an example."""
    first, second = (await ask.get(f"jobs/{diff}/changes/groups", who="looker")).body["groups"]
    assert (first["count"], first["kind"], first["paths"]) == (4, "changed", ["/payment/amount"])
    assert (second["count"], second["kind"], second["example"]["event_id"]) == (1, "gone", "event-0")


# --- quarantine


async def test_quarantine_is_retried(ask):
    """A job like any other; without a fix everything stays where it is."""
    got = await ask.post("quarantine/retry", {"filters": {"reason": "unknown_event_type"}}, who="ops")
    assert (got.status, got.body["kind"]) == (201, "retry")
    done = await worked(ask, got.body["id"])
    assert (done.state, done.counts["unchanged"]) == ("done", 2)
    dry = await ask.post("quarantine/retry", {"dry_run": True})
    assert (dry.status, dry.body["counts"]["deliveries"]) == (200, 2)


async def test_quarantine_is_discarded_with_a_reason(ask):
    """It is counted, audited with the reason, and no more in quarantine."""
    told = {"filters": {"event_type": "payment_intent.teleported"}, "reason": "a test of the provider's"}
    got = await ask.post("quarantine/discard", told, who="ops")
    assert (got.status, got.body) == (200, {"discarded": 2})
    assert (await ask.get("quarantine")).body["groups"] == []
    (act,) = (await ask.get("audit")).body["acts"]
    assert (act["who"], act["action"], act["detail"]["why"]) == ("ops", "quarantine.discard", told["reason"])


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"reason": "x"}, 400),
        ({"filters": {"reason": "shape"}}, 400),
        ({"filters": {"reason": "shape"}, "reason": ""}, 400),
        ({"filters": {"outcome": "events"}, "reason": "x"}, 400),
        ({"filters": {}, "reason": "x"}, 422),
        ({"filters": {"outcome": "quarantined"}, "reason": "x"}, 422),
        ({"filters": {"reason": "shape"}, "reason": "  "}, 422),
    ],
)
async def test_nobody_discards_by_mistake(ask, told, status):
    """A reason and something that says which: without them nothing is changed."""
    assert (await ask.post("quarantine/discard", told)).status == status
    assert (await ask.get("quarantine")).body["groups"][0]["count"] == 2
