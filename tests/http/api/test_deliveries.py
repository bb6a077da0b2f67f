"""What came in: searched, explained, and shown byte for byte to who may see it."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest

from paymux.delivery import Proof
from paymux.errors import JournalUnavailable
from paymux.http.api.fields import cursor_of
from paymux.sandbox import samples
from paymux.statement import OUTCOMES
from tests.http.api.stories import STORY, delivery_id, payment, take
from tests.http.inside import api


def numbers(got):
    return [int(each["id"][-1]) for each in got.body["deliveries"]]


def slug(got):
    return got.body["type"].removeprefix("urn:paymux:problem:")


async def test_newest_first(ask):
    """With what each became, and no word of its body."""
    got = await ask.get("deliveries", who="looker")
    assert (got.status, numbers(got), got.body["next"]) == (200, [4, 3, 2, 1, 0], None)
    first = got.body["deliveries"][0]
    assert (first["outcome"], first["items"][0]["reason"]) == ("quarantined", "unknown_event_type")
    assert (first["received_at"], first["body"]) == ("2026-11-20T12:04:00Z", "kept")


async def test_page_by_page(ask):
    """`next` is an address that goes on with the same filters, until it is null."""
    got = await ask.get("deliveries", params={"limit": "2", "provider": "stripe"})
    seen = numbers(got)
    while got.body["next"] is not None:
        assert got.body["next"].startswith("/api/v1/deliveries?")
        assert "provider=stripe" in got.body["next"]
        got = await ask.get(got.body["next"].removeprefix("/api/v1/"))
        seen += numbers(got)
    assert seen == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"outcome": "quarantined"}, [4, 3]),
        ({"reason": "unknown_event_type"}, [4, 3]),
        ({"event_type": "charge.refunded"}, [2]),
        ({"since": "2026-11-20T12:03:00Z"}, [4, 3]),
        ({"until": "2026-11-20T13:01:00+01:00"}, [0]),
        ({"provider": "stripe", "account": "acme"}, [4, 3, 2, 1, 0]),
        ({"account": "nobody"}, []),
        ({"payment": "PAYMENT"}, [2, 1, 0]),
        ({"id": "evt_4"}, [4]),
        ({"id": delivery_id(2)}, [2]),
        ({"id": "PAYMENT_ID"}, [2, 1, 0]),
    ],
)
async def test_what_is_sought(ask, filters, found):
    """Every filter, and the beginning of any id."""
    words = {"PAYMENT": f"stripe/acme/{payment()}", "PAYMENT_ID": payment()}
    got = await ask.get("deliveries", params={name: words.get(value, value) for name, value in filters.items()})
    assert (got.status, numbers(got)) == (200, found)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("limit=1e2", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=1", "limit"),
        ("limitt=1", "limitt"),
        ("cursor=5", "cursor"),
        ("cursor=ffffffffffffffff", "cursor"),
        ("since=yesterday", "since"),
        ("since=1763640000", "since"),
        ("since=2026-11-20T12:00:00", "since"),
        ("outcome=eventz", "outcome"),
        ("payment=pi_1", "payment"),
        ("provider=", "provider"),
        (f"reason={'x' * 513}", "reason"),
    ],
)
async def test_a_parameter_that_cannot_be_used(ask, query, name):
    """400, naming it; what was given is not repeated."""
    got = await ask.get(f"deliveries?{query}")
    assert (got.status, slug(got)) == (400, "bad_request")
    assert [(each["place"], each["name"]) for each in got.body["errors"]] == [("query", name)]
    assert got.body["detail"].startswith(f"{name}: ")


@pytest.mark.parametrize(
    "query",
    [
        "since=2026-11-20T12:00:00Z&until=2026-11-20T12:00:00Z",
        "reason=shape&outcome=events",
        "payment=stripe/acme/pi_1&provider=flowlix",
        "payment=stripe/acme/pi_1&account=other",
        "id=evt&outcome=events",
        "id=evt&cursor=0000000000000001",
    ],
)
async def test_what_nothing_can_fit(ask, query):
    """422 with a sentence, not an empty page that looks like an answer."""
    got = await ask.get(f"deliveries?{query}")
    assert (got.status, slug(got)) == (422, "impossible")
    assert got.body["detail"]


async def test_every_filter_at_its_longest(ask):
    """There is room for them in a request line, percent-encoded as they are."""
    longest = "\U0001f4b8" * 512
    filters = dict.fromkeys(("provider", "account", "event_type", "reason"), longest)
    got = await ask.get("deliveries", params=filters | {"outcome": "quarantined"})
    assert (got.status, numbers(got)) == (200, [])


def test_the_outcomes_are_those_that_there_are():
    """The parameter's words are the line's."""
    from paymux.http.api.fields import Filters

    schema = Filters.model_json_schema()["properties"]["outcome"]["anyOf"][0]
    assert sorted(schema["enum"]) == sorted(OUTCOMES.values())


async def test_one_delivery_step_by_step(ask):
    """Which secret, over which bytes, which table said what, what was published where; headers without secrets."""
    got = await ask.get(f"deliveries/{delivery_id(1)}", who="looker")
    body = got.body
    assert (got.status, body["delivery"]["outcome"], body["delivery"]["secret"]) == (200, "events", 0)
    assert body["proven"]["scheme"] == "TimestampedHmac"
    assert "raw body" in body["proven"]["over"]
    (record,) = body["records"]
    assert (record["topic"], record["seq"], record["published"]) == ("payments.events.v1", 2, False)
    assert record["event"]["type"] == "payment.succeeded"
    assert record["mapped"]["word"] == "succeeded"
    assert "PaymentIntent.status" in record["mapped"]["tables"]
    assert "Refund.status" not in record["mapped"]["tables"]
    assert ["Authorization", "[redacted]"] in body["request"]["headers"]


async def test_why_one_was_quarantined(ask):
    """The reason stands with its item, and its record says the same."""
    got = await ask.get(f"deliveries/{delivery_id(3)}")
    assert got.body["delivery"]["items"][0]["reason"] == "unknown_event_type"
    assert got.body["records"][0]["event"]["data"]["reason"] == "unknown_event_type"
    assert got.body["records"][0]["mapped"] is None


async def test_one_that_is_not_there(ask):
    """404 with the nearest, however strange the id."""
    got = await ask.get(f"deliveries/{delivery_id(3)[:-2]}")
    assert (got.status, slug(got)) == (404, "not_stored")
    assert delivery_id(3) in got.body["detail"]
    for strange in ("%00", "%FF", "%C3%A9", "..%2F..", "a%0Ab", "%F0%9F%92%B8", "x" * 5000):
        assert (await ask.get(f"deliveries/{strange}")).status == 404


async def test_a_raw_body(ask):
    """Byte for byte, as a file that no browser opens; and it stands in the audit trail."""
    got = await ask.get(f"deliveries/{delivery_id(1)}/raw", who="guardian")
    sent = samples.webhook("stripe", STORY[1]).body
    assert (got.status, got.body) == (200, sent)
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert got.headers["Content-Disposition"] == f'attachment; filename="{delivery_id(1)}.bin"'
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    explained = (await ask.get(f"deliveries/{delivery_id(1)}")).body
    assert explained["delivery"]["sha256"] == hashlib.sha256(got.body).hexdigest()
    (act,) = (await ask.get("audit")).body["acts"]
    assert (act["who"], act["action"], act["target"]) == ("guardian", "delivery.raw", delivery_id(1))


async def test_a_raw_body_that_nobody_wrote_down_does_not_go_out(journal):
    """Where the audit trail cannot be written, there is no body: 503."""
    async with api(journal) as asked:
        change, journal.change = journal.change, unwritable
        got = await asked.get(f"deliveries/{delivery_id(1)}/raw")
        journal.change = change
    assert (got.status, slug(got)) == (503, "journal_unavailable")
    assert "Retry-After" in got.headers
    assert b"pi_" not in str(got.body).encode()


async def unwritable(decide):
    raise JournalUnavailable("the disk is full")


async def test_a_raw_body_that_is_gone(ask, journal):
    """410: known, and not kept any more; the rest of the story stays. What was not seen is not in the trail."""
    from datetime import UTC, datetime

    await journal.advance(0, 10)
    while await journal.expire(datetime(2027, 1, 1, tzinfo=UTC), 100):
        pass
    got = await ask.get(f"deliveries/{delivery_id(1)}/raw")
    assert (got.status, slug(got)) == (410, "body_gone")
    assert "retention_days" in got.body["detail"]
    explained = (await ask.get(f"deliveries/{delivery_id(1)}")).body
    assert (explained["delivery"]["size"], explained["request"], explained["records"]) == (None, None, [])
    assert explained["delivery"]["body"] == "let_go"
    assert (await ask.get("audit")).body["acts"] == []


async def test_a_body_that_was_never_kept(ask, journal):
    """410: what a hint says proves nothing."""
    await take(journal, 7, b'{"id": "1"}', proof=Proof.HINT)
    assert (await ask.get(f"deliveries/{delivery_id(7)}")).body["delivery"]["body"] == "never_kept"
    got = await ask.get(f"deliveries/{delivery_id(7)}/raw")
    assert (got.status, "never kept" in got.body["detail"]) == (410, True)


async def test_operators_see_no_raw_body(ask):
    """The role is another one."""
    for who in ("ops", "looker"):
        got = await ask.get(f"deliveries/{delivery_id(1)}/raw", who=who)
        assert (got.status, slug(got)) == (403, "forbidden")
    assert (await ask.get("audit")).body["acts"] == []


def test_every_cursor_that_fits_its_form_is_one():
    """The form is documented, so whatever has it must be answered."""
    from paymux.http.api.fields import row_of

    assert row_of(cursor_of(0)) == 0
    assert row_of("7" + "f" * 15) == 2**63 - 1
    with suppress(OverflowError):
        assert len(cursor_of(2**63 - 1)) == 16


async def test_the_farthest_cursor(ask):
    """Past everything is the beginning, before everything is the end."""
    assert numbers(await ask.get("deliveries?cursor=7fffffffffffffff")) == [4, 3, 2, 1, 0]
    assert numbers(await ask.get("deliveries?cursor=0000000000000000")) == []
