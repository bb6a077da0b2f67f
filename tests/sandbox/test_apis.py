"""The sandbox's APIs, asked by the client that asks the real ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import aiohttp
import pytest
from pydantic import SecretStr

from paymux.delivery import Asked, Delivery, ObjectRef, Via
from paymux.errors import ApiError
from paymux.provider import Account
from paymux.provider_api import Pace, ProviderApi, open_session
from paymux.providers import BY_NAME
from paymux.sandbox import samples
from paymux.sandbox.apis import KEYS, TENANT, Sandbox
from paymux.sandbox.shapes import ACCESS_TOKEN
from paymux.signatures import confirmed
from paymux.statement import Stated
from paymux.translate import translate

NAMES = sorted(name for name in BY_NAME if BY_NAME[name].api)
OPTIONS = {"flexportal": {"tenant_id": TENANT}}
OBJECTS = [
    (name, sample) for name in NAMES for sample in samples.answers(name) if sample.name in BY_NAME[name].api.objects
]


@pytest.fixture
async def sandbox():
    sandbox = Sandbox()
    async with sandbox.running():
        yield sandbox


@pytest.fixture
async def session():
    async with open_session() as session:
        yield session


def client(sandbox, session, name, *, key=None, options=None):
    return ProviderApi(
        api=BY_NAME[name].api,
        url=sandbox.url(name),
        key=SecretStr(key or KEYS[name]),
        options=OPTIONS.get(name, {}) if options is None else options,
        session=session,
        pace=Pace(rate=1000, burst=999),
    )


def an_object(name):
    return next(sample for provider, sample in OBJECTS if provider == name)


def put_one(sandbox, name):
    sample = an_object(name)
    return ObjectRef(object=sample.name, id=sandbox.put(name, sample.body))


async def refusal(api, ref):
    with pytest.raises(ApiError) as caught:
        await api.get(ref)
    return caught.value


async def raw(sandbox, session, path, **headers):
    async with session.get(f"{sandbox.base}{path}", headers=headers) as response:
        return response.status, response.headers, await response.read()


@pytest.mark.parametrize(("name", "sample"), OBJECTS, ids=[f"{name}-{sample.label}" for name, sample in OBJECTS])
async def test_an_object_comes_back_as_the_provider_would_give_it(sandbox, session, name, sample):
    """Every API sample, put and got, is the sample; and the provider's file understands the answer."""
    ref = ObjectRef(object=sample.name, id=sandbox.put(name, sample.body))
    answer = await client(sandbox, session, name).get(ref)
    assert json.loads(answer.body, parse_float=str) == json.loads(sample.body, parse_float=str)
    account = Account(provider=BY_NAME[name], name="demo", options=OPTIONS.get(name, {}))
    delivery = Delivery(
        id="1",
        provider=name,
        account="demo",
        received_at=datetime.now(UTC),
        body=answer.body,
        via=Via.LOOKUP,
        asked=Asked(ref=ref),
    )
    [item] = translate(account, confirmed(delivery))
    assert isinstance(item.outcome, Stated), item.outcome


@pytest.mark.parametrize("name", NAMES)
async def test_what_is_not_there(sandbox, session, name):
    """404 for an id that nobody put."""
    ref = put_one(sandbox, name)
    sandbox.remove(name, ref.object, ref.id)
    assert (await refusal(client(sandbox, session, name), ref)).reason == "not_found"


@pytest.mark.parametrize("name", NAMES)
async def test_a_wrong_key(sandbox, session, name):
    """401 for another key."""
    ref = put_one(sandbox, name)
    assert (await refusal(client(sandbox, session, name, key="sk_of_somebody_else"), ref)).reason == "denied"


async def test_another_tenants_key(sandbox, session):
    """FlexPortal answers 403 for a tenant that the key has no access to, 401 without any key."""
    put_one(sandbox, "flexportal")
    path = "/flexportal/v1/payments/pay_1"
    key = f"Bearer {KEYS['flexportal']}"
    status, _, body = await raw(sandbox, session, path, Authorization=key, **{"Tenant-ID": "bu_other"})
    assert (status, json.loads(body)["error"]["code"]) == (403, "NO_TENANT_ACCESS")
    status, _, body = await raw(sandbox, session, path)
    assert (status, json.loads(body)["error"]["code"]) == (401, "INVALID_TOKEN")


async def test_an_object_of_the_other_mode(sandbox, session):
    """Flowlix answers 403 when a test key asks for a live payment."""
    found = json.loads(an_object("flowlix").body) | {"livemode": True}
    ref = ObjectRef(object="payment", id=sandbox.put("flowlix", found))
    assert (await refusal(client(sandbox, session, "flowlix"), ref)).reason == "denied"


@pytest.mark.parametrize("name", NAMES)
async def test_failures_on_demand(sandbox, session, name):
    """As many as asked for, with the headers asked for, in the provider's shape; then it works again."""
    ref, api = put_one(sandbox, name), client(sandbox, session, name)
    sandbox.fail(name, 429, times=2, headers={"Retry-After": "7"})
    sandbox.fail(name, 503)
    for _ in range(2):
        error = await refusal(api, ref)
        assert (error.reason, error.retry_after) == ("rate_limited", 7.0)
    assert (await refusal(api, ref)).reason == "unavailable"
    await api.get(ref)
    assert sandbox.count(name) == 4


async def test_a_failure_with_a_body_of_ones_own(sandbox, session):
    """For answers that no provider documents."""
    ref = put_one(sandbox, "flowglad")
    sandbox.fail("flowglad", 200, body=b"<html>")
    assert (await client(sandbox, session, "flowglad").get(ref)).body == b"<html>"


async def test_error_bodies(sandbox, session):
    """Each provider's own error shape, as its documentation has it."""
    told = {}
    for name, headers in {
        "flexportal": {"Authorization": f"Bearer {KEYS['flexportal']}", "Tenant-ID": TENANT},
        "flexprice": {"x-api-key": KEYS["flexprice"]},
        "flowglad": {"Authorization": KEYS["flowglad"]},
        "flowlix": {"Authorization": f"Bearer {KEYS['flowlix']}"},
        "gocardless": BY_NAME["gocardless"].api.headers(KEYS["gocardless"], {}),
        "klarna": BY_NAME["klarna"].api.headers(KEYS["klarna"], {}),
        "mollie": {"Authorization": f"Bearer {KEYS['mollie']}"},
        "paypal": {"Authorization": f"Bearer {ACCESS_TOKEN}"},
        "stripe": {"Authorization": f"Bearer {KEYS['stripe']}"},
    }.items():
        place = {
            "flowglad": "/api/v1/payments/pym_1",
            "gocardless": "/payments/PM1",
            "klarna": "/ordermanagement/v1/orders/1",
            "mollie": "/v2/payments/tr_1",
            "paypal": "/v2/payments/captures/1",
            "stripe": "/v1/payment_intents/pi_1",
        }.get(name, "/v1/payments/pay_1")
        status, got, body = await raw(sandbox, session, f"/{name}{place}", **headers)
        assert status == 404
        told[name] = (json.loads(body), got)
    assert told["flexportal"][0]["error"].keys() == {"code", "message", "details"}
    assert told["flexportal"][0]["error"]["code"] == "NOT_FOUND"
    assert told["flexprice"][0] == {"code": "not_found", "message": "No such payment: pay_1", "http_status_code": 404}
    assert told["flowglad"][0].keys() == {"error", "request_id"}
    assert told["flowlix"][0]["error"]["type"] == "invalid_request_error"
    assert "Request-Id" in told["flowlix"][1]
    assert told["gocardless"][0]["error"]["code"] == 404
    assert told["klarna"][0].keys() == {"error_code", "error_messages", "correlation_id"}
    assert told["mollie"][0].keys() == {"status", "title", "detail", "_links"}
    assert told["mollie"][1]["Content-Type"] == "application/hal+json"
    assert told["paypal"][0]["name"] == "RESOURCE_NOT_FOUND"
    assert told["stripe"][0]["error"]["code"] == "resource_missing"
    status, got, body = await raw(sandbox, session, "/flowglad/api/v1/payments/pym_1")
    assert (status, got.getone("Content-Type"), body) == (401, "text/plain", b"Unauthorized")


def many(name, count):
    """`count` objects of which each was created a minute after the one before."""
    sample = next(one for provider, one in OBJECTS if provider == name and one.name in ("payment", "payment_intent"))
    found = json.loads(sample.body)
    for key in BY_NAME[name].api.objects[sample.name].unwrap:
        found = found[key]
    for number in range(count):
        made = {**found}
        made["paymentId" if name == "flexportal" else "id"] = f"{_prefix(name)}{number:024}"
        for key in ("created", "created_at", "createdAt"):
            if isinstance(found.get(key), int):
                made[key] = found[key] + 60 * number
        if name in ("flexprice", "gocardless"):
            made["created_at"] = f"2026-10-01T08:{number:02}:00Z"
        if name == "mollie":
            made["createdAt"] = f"2026-10-01T08:{number:02}:00+00:00"
        yield made


def _prefix(name):
    return {"stripe": "pi_", "flowglad": "pym_", "gocardless": "PM", "mollie": "tr_"}.get(name, "pay_")


def ids(pages, name):
    key = "paymentId" if name == "flexportal" else "id"
    listing = BY_NAME[name].api.payments
    return [one[key] for page in pages for one in listed(listing, page.body)]


def listed(listing, body):
    found = json.loads(body)
    for step in (*listing.unwrap, listing.items):
        found = found[step]
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if BY_NAME[name].api.payments])
async def test_pages_lead_to_the_end(sandbox, session, name):
    """Following the provider's own paging gives every payment once, in the provider's order."""
    expected = [sandbox.put(name, one) for one in many(name, 5)]
    everything = [page async for page in client(sandbox, session, name).list_payments({})]
    newest_first = name in ("flowlix", "stripe", "flexprice", "gocardless", "mollie")
    assert ids(everything, name) == (expected[::-1] if newest_first else expected)


@pytest.mark.parametrize(
    ("name", "query", "pages"),
    [
        ("flexportal", "limit=2", "startAfter"),
        ("flowlix", "limit=2", "starting_after"),
        ("stripe", "limit=2", "starting_after"),
        ("flowglad", "limit=2", "cursor"),
        ("flexprice", "limit=2", "offset"),
        ("gocardless", "limit=2", "after"),
        ("mollie", "limit=2", "from"),
    ],
)
async def test_a_page_at_a_time(sandbox, session, name, query, pages):
    """Two at a time, five payments are three pages; a cursor that never was is a 400."""
    expected = {sandbox.put(name, one) for one in many(name, 5)}
    listing = BY_NAME[name].api.payments
    prefix = sandbox.url(name).removeprefix(sandbox.base)
    headers = BY_NAME[name].api.headers(KEYS[name], OPTIONS.get(name, {}))
    found, following, count = [], {}, 0
    while following is not None:
        more = "".join(f"&{key}={value}" for key, value in following.items())
        status, _, body = await raw(sandbox, session, f"{prefix}{listing.path}?{query}{more}", **headers)
        assert status == 200, body
        found += [one.get("paymentId", one.get("id")) for one in listed(listing, body)]
        following, count = _following(listing, body), count + 1
    assert (set(found), len(found), count) == (expected, 5, 3)
    if pages != "offset":
        status, _, _ = await raw(sandbox, session, f"{prefix}{listing.path}?{pages}=nobody", **headers)
        assert status == 400
    status, _, _ = await raw(sandbox, session, f"{prefix}{listing.path}?limit=100000", **headers)
    assert status == 400


def _following(listing, body):
    from paymux.wild import parse_json

    return listing.following(parse_json(body))


async def test_a_missing_version(sandbox, session):
    """GoCardless answers 400 where no version of its API is named, and Klarna has no list."""
    ref = put_one(sandbox, "gocardless")
    status, _, _ = await raw(
        sandbox, session, f"/gocardless/payments/{ref.id}", Authorization=f"Bearer {KEYS['gocardless']}"
    )
    assert status == 400
    headers = BY_NAME["klarna"].api.headers(KEYS["klarna"], {})
    status, _, _ = await raw(sandbox, session, "/klarna/ordermanagement/v1/orders", **headers)
    assert status == 404


async def test_filters(sandbox, session):
    """Status and time of Flowlix, status and due date of FlexPortal, as documented."""
    first = [sandbox.put("flowlix", one) for one in many("flowlix", 3)]
    created = next(iter(many("flowlix", 1)))["created_at"]
    listing = client(sandbox, session, "flowlix").list_payments({"created[gte]": str(created + 60)})
    assert ids([page async for page in listing], "flowlix") == first[:0:-1]
    for number, one in enumerate(many("flexportal", 3)):
        sandbox.put(
            "flexportal", {**one, "dueDate": f"2026-02-0{number + 1}", "status": ["paid", "failed", "paid"][number]}
        )
    api = client(sandbox, session, "flexportal")
    due = [page async for page in api.list_payments({"dueDateFrom": "2026-02-02", "dueDateTo": "2026-02-03"})]
    assert len(ids(due, "flexportal")) == 2
    failed = [page async for page in api.list_payments({"status": "failed"})]
    assert len(ids(failed, "flexportal")) == 1


async def test_a_payment_of_any_id(sandbox, session):
    """`pretend` answers for every id that nobody put, with a copy that bears it."""
    sandbox.pretend("flowglad", an_object("flowglad").body)
    answer = await client(sandbox, session, "flowglad").get(ObjectRef(object="payment", id="pym_never_put"))
    assert json.loads(answer.body)["payment"]["id"] == "pym_never_put"


async def test_no_such_provider_and_no_such_path(sandbox, session):
    """Anything else is a 404, and POST is no way in."""
    assert (await raw(sandbox, session, "/teleport/v1/payments/1"))[0] == 404
    key = f"Bearer {KEYS['flowlix']}"
    assert (await raw(sandbox, session, "/flowlix/v1/teleports", Authorization=key))[0] == 404
    async with aiohttp.ClientSession() as other, other.post(f"{sandbox.base}/flowlix/v1/payments") as response:
        assert response.status == 405
