"""Payments, quarantine and rejections: what commands tell, the API tells too."""

from __future__ import annotations

from tests.http.api.stories import NOON, delivery_id, payment


async def test_a_payments_story(ask):
    """Every delivery in order with its events, and how it stands; also by another name of it."""
    got = await ask.get(f"payments/stripe/acme/{payment()}", who="looker")
    body = got.body
    assert (got.status, body["complete"]) == (200, True)
    assert [each["id"] for each in body["deliveries"]] == [delivery_id(n) for n in (0, 1, 2)]
    assert [each["event"]["data"]["lifecycle"]["sequence"] for each in body["events"]] == [1, 2, 3]
    assert [each["delivery"] for each in body["events"]] == [delivery_id(n) for n in (0, 1, 2)]
    assert body["state"]["status"] == "succeeded"
    assert ("payment", "succeeded") in [(each["entity"], each["status"]) for each in body["standings"]]
    (link, *_) = body["links"]
    assert (await ask.get(f"payments/stripe/acme/{link}")).body == body


async def test_a_payment_that_nobody_heard_of(ask):
    """404 with the nearest, also where the account is wrong."""
    got = await ask.get(f"payments/stripe/other/{payment()[:9]}")
    assert got.status == 404
    assert f"the nearest are stripe/acme/{payment()}" in got.body["detail"]
    for strange in ("payments/a/b/c%2Fd", "payments/%00/%FF/%C3%A9", "payments/a/b/%F0%9F%92%B8"):
        assert (await ask.get(strange)).status == 404


async def test_quarantine_in_groups(ask):
    """One for all that are alike."""
    got = await ask.get("quarantine", who="looker")
    (group,) = got.body["groups"]
    assert (group["count"], group["reason"], group["delivery"]) == (2, "unknown_event_type", delivery_id(4))
    assert group["event_type"] == "payment_intent.teleported"


async def test_rejections_in_groups_and_one_by_one(ask):
    """How often, from where, where to look first; and the newest of them."""
    got = await ask.get("rejections?limit=1", who="looker")
    first, second = got.body["groups"]
    assert (first["reason"], first["count"], first["addresses"]) == (
        "too_old",
        3,
        {"192.0.2.0": 1, "192.0.2.1": 1, "192.0.2.2": 1},
    )
    assert "clock" in first["hint"]
    assert (second["reason"], second["hint"]) == ("body_timeout", None)
    (newest,) = got.body["newest"]
    assert (newest["reason"], newest["at"]) == ("body_timeout", NOON.strftime("%Y-%m-%dT%H:%M:03Z"))


async def test_accounts_and_status(ask):
    """Everybody with a token sees them."""
    assert (await ask.get("accounts", who="looker")).body["accounts"][0]["name"] == "acme"
    assert (await ask.get("status", who="looker")).body["journal"]["healthy"] is True
