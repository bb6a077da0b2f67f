"""Erasing and retention over HTTP: who may, what it answers, what stays in the trail."""

from __future__ import annotations

from datetime import timedelta

import pytest

from paymux.keeping.retention import Retention
from tests.http.api.stories import NOON, payment
from tests.http.inside import NOW, api

KEY = f"stripe/acme/{payment()}"


def told(**more):
    return {"kind": "payment", "key": KEY, "reason": "asked by letter", **more}


async def test_only_privacy_erases(ask):
    """Operators and viewers may not, and nothing is changed by their asking."""
    for who in ("ops", "looker"):
        assert (await ask.post("erasures", told(), who=who)).status == 403
    assert (await ask.get("audit")).body["acts"] == []


async def test_a_payment_is_erased(ask, journal):
    """Counted first; then its bodies are gone, and the trail says by whom and why."""
    await journal.advance(0, await journal.end(0))
    counted = await ask.post("erasures", told(dry_run=True), who="guardian")
    done = await ask.post("erasures", told(), who="guardian")
    assert (counted.status, done.status) == (200, 200)
    assert done.body == counted.body
    assert KEY in done.body["payments"]
    assert done.body["deliveries"] >= 3
    (act,) = (await ask.get("audit")).body["acts"]
    assert (act["who"], act["action"], act["target"]) == ("guardian", "erase.payment", KEY)
    assert act["detail"]["why"] == "asked by letter"
    delivery = (await ask.get(f"deliveries?payment={KEY}")).body["deliveries"][0]
    assert (delivery["size"], delivery["body"]) == (None, "erased")
    raw = await ask.get(f"deliveries/{delivery['id']}/raw", who="guardian")
    assert (raw.status, "was erased" in raw.body["detail"]) == (410, True)
    shown = await ask.get(f"deliveries/{delivery['id']}")
    assert shown.body["records"][0]["event"]["data"]["payment"] is None
    assert (await ask.get(f"payments/{KEY}")).status == 200


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (told(), 409, "unpublished"),
        (told(key="stripe/acme/pi_of_nobody_at_all"), 404, "not_stored"),
        (told(kind="customer", key="stripe/acme/cus_of_nobody_at_all"), 404, "not_stored"),
        (told(reason="  "), 422, "erase_impossible"),
        (told(key="pi_1"), 400, "bad_request"),
        (told(key="stripe/acme/"), 422, "erase_impossible"),
        (told(kind="everything"), 400, "bad_request"),
        (told(why="x"), 400, "bad_request"),
    ],
)
async def test_what_is_not_erased(ask, body, status, slug):
    """With the reason."""
    got = await ask.post("erasures", body, who="guardian")
    assert (got.status, got.body["type"]) == (status, f"urn:paymux:problem:{slug}"), got.body


async def published(journal):
    """And stored as such: the mark goes along with a commit."""
    await journal.advance(0, await journal.end(0))
    await journal.change(lambda _: None)


async def test_retention(journal):
    """What is kept, and what is old enough; operators may let go of it now, and that stands in the trail."""
    await published(journal)
    later = Retention(journal, timedelta(days=1), now=lambda: NOON + timedelta(days=1, minutes=2))
    async with api(journal, retention=later) as ask:
        before = (await ask.get("retention", who="looker")).body
        assert (before["days"], before["bodies"], before["old_bodies"], before["held"]) == (1, 5, 2, 0)
        assert before["oldest"] == NOON.isoformat().replace("+00:00", "Z")
        assert (await ask.post("retention/sweep", who="looker")).status == 403
        swept = await ask.post("retention/sweep", who="ops")
        assert (swept.status, swept.body["rows"] >= 2) == (200, True)
        after = (await ask.get("retention", who="looker")).body
        assert (after["bodies"], after["old_bodies"]) == (3, 0)
        assert [act["action"] for act in (await ask.get("audit")).body["acts"]] == ["retention.sweep"]


async def test_what_is_old_and_stays(journal):
    """What is quarantined keeps its body, and is counted apart."""
    await published(journal)
    later = Retention(journal, timedelta(days=1), now=lambda: NOW + timedelta(days=30))
    async with api(journal, retention=later) as ask:
        found = (await ask.get("retention")).body
        assert (found["bodies"], found["old_bodies"], found["held"]) == (5, 3, 2)
