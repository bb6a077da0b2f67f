"""The client against a real HTTP server on loopback that misbehaves in every way a provider's may."""

import asyncio
import gzip
import re
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from pydantic import SecretStr

from paymux.delivery import ObjectRef
from paymux.errors import ApiError, SettingsError
from paymux.provider_api import Pace, ProviderApi, base_url, checked_url, open_session
from paymux.providers import BY_NAME
from paymux.providers.flexportal import FLEXPORTAL
from paymux.providers.flowglad import FLOWGLAD

KEY = "sk_live_do_not_show_this_key"
PAYMENT = ObjectRef(object="payment", id="pym_1")


class Server:
    """What the provider answers is `self.answer`; what it was asked is `self.requests`."""

    def __init__(self, aiohttp_server):
        self._make = aiohttp_server
        self.requests = []
        self.answer = None

    async def start(self):
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._serve)
        server = await self._make(app)
        self.url = str(server.make_url("/api/v1"))
        return self

    async def _serve(self, request):
        self.requests.append(request)
        made = self.answer(request)
        return await made if asyncio.iscoroutine(made) else made


@pytest.fixture
async def server(aiohttp_server):
    return await Server(aiohttp_server).start()


@pytest.fixture
async def session():
    async with open_session() as session:
        yield session


@pytest.fixture
def api(server, session):
    return flowglad(server, session)


def flowglad(server, session, **more):
    return ProviderApi(
        url=server.url,
        key=SecretStr(KEY),
        options={},
        session=session,
        **{"api": FLOWGLAD.api, "pace": Pace(rate=99, burst=99), **more},
    )


async def refusal(api, ref=PAYMENT):
    with pytest.raises(ApiError) as caught:
        await api.get(ref)
    return caught.value


async def test_one_object(server, api):
    """The body comes back byte for byte, with the request that it answers."""
    server.answer = lambda _: web.Response(body=b'{"payment": {} }', content_type="application/json")
    answer = await api.get(PAYMENT)
    assert (answer.path, answer.query, answer.body) == ("/api/v1/payments/pym_1", "", b'{"payment": {} }')
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/api/v1/payments/pym_1")
    assert request.headers["Authorization"] == KEY
    assert request.headers["Accept-Encoding"] == "identity"


async def test_authentication_by_options(server, session):
    """A provider's file makes the headers of the key and the account's options."""
    server.answer = lambda _: web.Response(body=b"{}")
    api = ProviderApi(
        api=FLEXPORTAL.api, url=server.url, key=SecretStr(KEY), options={"tenant_id": "bu_1"}, session=session
    )
    await api.get(ObjectRef(object="payment", id="pay_1"))
    headers = server.requests[0].headers
    assert (headers["Authorization"], headers["Tenant-ID"]) == (f"Bearer {KEY}", "bu_1")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        *((404, "not_found"), (410, "not_found"), (401, "denied"), (403, "denied"), (429, "rate_limited")),
        *((500, "unavailable"), (502, "unavailable"), (503, "unavailable"), (504, "unavailable")),
        *((400, "unavailable"), (422, "unavailable"), (204, "unavailable"), (206, "unavailable"), (304, "unavailable")),
    ],
)
async def test_statuses(server, api, status, reason):
    """Each status has one reason, and the error's body is not read into it."""
    server.answer = lambda _: web.Response(status=status, text=None if status in (204, 304) else f"secret {KEY}")
    error = await refusal(api)
    assert (error.reason, error.detail, error.retry_after) == (reason, f"HTTP {status}", None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects(server, api, status):
    """No redirect is followed, not even to the same host: the key goes nowhere else."""
    server.answer = lambda _: web.Response(status=status, headers={"Location": f"{server.url}/payments/pym_2"})
    assert (await refusal(api)).reason == "unavailable"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("999999", 3600.0),
        ("-5", None),
        ("soon", None),
        ("1.5", None),
        ("", None),
        ("9" * 40, None),
    ],
)
async def test_retry_after_in_seconds(server, api, value, seconds):
    """Whole seconds are taken up to an hour; anything else is as if nothing was said."""
    server.answer = lambda _: web.Response(status=429, headers={"Retry-After": value})
    error = await refusal(api)
    assert (error.reason, error.retry_after) == ("rate_limited", seconds)


@pytest.mark.parametrize(("ahead", "seconds"), [(90, 90.0), (-90, 0.0), (10**6, 3600.0)])
async def test_retry_after_as_a_date(server, api, ahead, seconds):
    """An HTTP date counts from the server's own clock, however wrong that is, and never below zero."""
    theirs = datetime(2031, 5, 5, tzinfo=UTC)
    headers = {
        "Date": format_datetime(theirs, usegmt=True),
        "Retry-After": format_datetime(theirs + timedelta(seconds=ahead), usegmt=True),
    }
    server.answer = lambda _: web.Response(status=503, headers=headers)
    error = await refusal(api)
    assert (error.reason, error.retry_after) == ("unavailable", seconds)


async def test_a_server_that_says_nothing(server, session):
    """The deadline is for the whole request."""
    server.answer = lambda _: asyncio.sleep(5, web.Response())
    error = await refusal(flowglad(server, session, deadline=0.1))
    assert (error.reason, error.detail) == ("unavailable", "no whole answer within 0.1 s")


async def test_a_body_that_drips(server, session):
    """Bytes that keep coming do not move the deadline."""

    async def drip(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)

    server.answer = drip
    assert (await refusal(flowglad(server, session, deadline=0.2))).detail == "no whole answer within 0.2 s"


async def test_half_a_body(server, api):
    """A body shorter than announced is no answer."""

    async def half(request):
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"payment": {}}')
        request.transport.close()
        return response

    server.answer = half
    assert (await refusal(api)).detail == "no whole answer: ClientPayloadError"


async def test_nobody_there(session, unused_tcp_port):
    """A refused connection is the provider being away."""
    api = ProviderApi(
        api=FLOWGLAD.api, url=f"http://127.0.0.1:{unused_tcp_port}", key=SecretStr(KEY), options={}, session=session
    )
    assert (await refusal(api)).reason == "unavailable"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_beyond_the_bound(server, api, chunked):
    """At most a mebibyte is read, announced or not."""
    exact = b'"' + b"x" * (1024 * 1024 - 2) + b'"'

    def respond(body):
        def answer(_):
            response = web.Response(body=body)
            if chunked:
                response.enable_chunked_encoding()
            return response

        return answer

    server.answer = respond(exact)
    assert (await api.get(PAYMENT)).body == exact
    server.answer = respond(exact + b" ")
    assert (await refusal(api)).reason == "shape"


async def test_a_body_that_unpacks_to_more(server, api):
    """A packed body is bounded by what it unpacks to, although it was not asked for."""
    packed = {"Content-Encoding": "gzip"}
    server.answer = lambda _: web.Response(body=gzip.compress(b'{"payment":{}}'), headers=packed)
    assert (await api.get(PAYMENT)).body == b'{"payment":{}}'
    server.answer = lambda _: web.Response(body=gzip.compress(b" " * 64 * 1024 * 1024), headers=packed)
    assert (await refusal(api)).reason == "shape"


async def test_a_body_that_is_packed_badly(server, api):
    """Bytes that are not what their Content-Encoding says are no answer."""
    server.answer = lambda _: web.Response(body=b"not gzip", headers={"Content-Encoding": "gzip"})
    assert (await refusal(api)).reason == "unavailable"


@pytest.mark.parametrize("bad", ["../payments", "pym_a/../b", "pym_", "pym_1?x=1", "pym_%2e", "pym_1#", "", "pym_ü"])
async def test_ids_that_are_none(server, api, bad):
    """An id that is not of the documented form is never asked for."""
    assert (await refusal(api, ObjectRef(object="payment", id=bad))).reason == "shape"
    assert server.requests == []


@pytest.mark.parametrize("dots", [".", "..", "..."])
async def test_an_id_of_dots(server, session, dots):
    """Where a provider's ids may hold dots, one of nothing else is refused: it would climb in the path."""
    payment = replace(FLOWGLAD.api.objects["payment"], id_pattern=re.compile(r"[a-z0-9._]+"))
    api = flowglad(server, session, api=replace(FLOWGLAD.api, objects={"payment": payment}))
    assert (await refusal(api, ObjectRef(object="payment", id=dots))).reason == "shape"
    assert server.requests == []


async def test_an_object_without_endpoint(server, api):
    """What the provider's file has no endpoint for is not asked for."""
    assert (await refusal(api, ObjectRef(object="refund", id="pym_1"))).reason == "shape"
    assert server.requests == []


async def test_the_key_stays_here(server, session, unused_tcp_port):
    """No error and no repr holds the key, nor anything that an error was made of."""
    api = flowglad(server, session)
    assert KEY not in repr(api)
    server.answer = lambda request: web.Response(status=401, text=request.headers["Authorization"])
    errors = [await refusal(api)]
    away = ProviderApi(
        api=FLOWGLAD.api, url=f"http://127.0.0.1:{unused_tcp_port}", key=SecretStr(KEY), options={}, session=session
    )
    errors.append(await refusal(away))
    for error in errors:
        assert (error.__context__, error.__cause__) == (None, None)
        assert KEY not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("key", ["", " ", "a\nb", "a\r\nX-Evil: 1", "schlüssel", "\x00", " padded "])
async def test_keys_that_no_header_holds(session, key):
    """A key that would break the request is a mistake in the configuration, told without the key."""
    with pytest.raises(SettingsError, match="api_key") as caught:
        ProviderApi(api=FLOWGLAD.api, url="https://x.example", key=SecretStr(key), options={}, session=session)
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://api.example",
            "http://10.0.0.1/v1",
            "ftp://api.example",
            "api.example",
            "https://",
            "",
            "https://x:99999",
        ),
        *(
            "https://user:pw@api.example",
            "https://api.example/?a=1",
            "https://api.example/#a",
            "http://127.0.0.1.example",
        ),
    ],
)
def test_urls_that_are_refused(url):
    """Anything but https, or http to loopback, is refused by the setting's name."""
    with pytest.raises(SettingsError, match="api_url"):
        checked_url(url)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://api.example/v1/", "https://api.example/v1"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/api", "http://[::1]:8080/api"),
        ("http://localhost:1/", "http://localhost:1"),
    ],
)
def test_urls_that_are_taken(url, base):
    """A slash at the end changes nothing."""
    assert checked_url(url) == base


def test_which_host():
    """The account's own URL goes before its region, that before the provider's."""
    assert base_url(FLEXPORTAL.api, {}, None) == "https://api-eu.flexportal.io"
    assert base_url(FLEXPORTAL.api, {"region": "qatar"}, None) == "https://api-qatar.flexportal.io"
    assert base_url(FLEXPORTAL.api, {"region": "us"}, "http://127.0.0.1:1") == "http://127.0.0.1:1"
    assert base_url(FLOWGLAD.api, {}, None) == "https://app.flowglad.com/api/v1"


@pytest.mark.parametrize(
    ("provider", "path"),
    [("flexportal", ""), ("flexprice", "/v1"), ("flowglad", "/api/v1"), ("flowlix", "/v1"), ("stripe", "")],
)
def test_a_url_without_a_path(provider, path):
    """A bare host gets the path of the provider's own URL; a path of one's own is left alone."""
    api = BY_NAME[provider].api
    assert urlsplit(base_url(api, {}, None)).path == path
    assert base_url(api, {}, "https://api.example") == f"https://api.example{path}"
    assert base_url(api, {}, "http://127.0.0.1:8080/") == f"http://127.0.0.1:8080{path}"
    assert base_url(api, {}, "https://api.example/payments-api/") == "https://api.example/payments-api"


@pytest.mark.parametrize(("provider", "a_minute"), [("flexportal", 100), ("flowlix", 500)])
def test_a_documented_rate(provider, a_minute):
    """A minute that begins with a burst stays within what the provider allows."""
    api = BY_NAME[provider].api
    assert api.rate * 60 + api.burst <= a_minute


async def test_a_client_at_its_providers_rate(session):
    """The first requests go at once, as many as the burst; the next one waits for its token."""
    api = ProviderApi(
        api=FLEXPORTAL.api,
        url="http://127.0.0.1:1",
        key=SecretStr(KEY),
        options={"tenant_id": "bu_1"},
        session=session,
    )
    waits = [api.pace.reserve() for _ in range(FLEXPORTAL.api.burst + 1)]
    assert set(waits[:-1]) == {0.0}
    assert waits[-1] == pytest.approx(1 / 1.5, abs=0.1)


async def test_pages(server, api):
    """Each page is asked for with the cursor that the one before gave, and the size that the provider allows."""
    pages = [b'{"data":[],"hasMore":true,"nextCursor":"a+b/c="}', b'{"data":[],"hasMore":false,"nextCursor":null}']
    server.answer = lambda _: web.Response(body=pages[len(server.requests) - 1])
    answers = [answer async for answer in api.list_payments({"cursor": "old"})]
    assert [answer.body for answer in answers] == pages
    assert [dict(request.query) for request in server.requests] == [
        {"limit": "100", "cursor": "old"},
        {"limit": "100", "cursor": "a+b/c="},
    ]
    assert answers[0].query == "limit=100&cursor=old"


async def test_every_filter_of_flexportal(server, session):
    """All filters that the page lists are sent, on every page."""
    filters = {
        "status": "failed",
        "customerId": "cust_1",
        "rentalId": "sub_1",
        "billingGroupId": "bg_1",
        "dueDateFrom": "2026-01-01",
        "dueDateTo": "2026-01-31",
    }
    more = b'{"success":true,"payments":[],"count":0,"hasMore":true,"nextCursor":"pay_9"}'
    last = b'{"success":true,"payments":[],"count":0,"hasMore":false,"nextCursor":null}'
    server.answer = lambda _: web.Response(body=more if len(server.requests) == 1 else last)
    api = ProviderApi(
        api=FLEXPORTAL.api, url=server.url, key=SecretStr(KEY), options={"tenant_id": "bu_1"}, session=session
    )
    assert len([answer async for answer in api.list_payments(filters)]) == 2
    assert dict(server.requests[0].query) == {"limit": "100", **filters}
    assert dict(server.requests[1].query) == {"limit": "100", **filters, "startAfter": "pay_9"}


async def test_a_filter_that_is_none(server, api):
    """A filter that the provider does not have is refused before anything is asked."""
    with pytest.raises(SettingsError, match="createdAfter"):
        await anext(api.list_payments({"createdAfter": "2026-01-01"}))
    assert server.requests == []


@pytest.mark.parametrize(
    "body", [b"<html>", b'{"data":[]}', b'{"data":[],"hasMore":true}', b'{"data":[],"hasMore":"no"}']
)
async def test_a_page_that_leads_nowhere(server, api, body):
    """The page itself is given; that the next one cannot be found is an error."""
    server.answer = lambda _: web.Response(body=body)
    pages = api.list_payments({})
    assert (await anext(pages)).body == body
    with pytest.raises(ApiError, match="next one") as caught:
        await anext(pages)
    assert caught.value.reason == "shape"


async def test_pages_in_a_circle(server, api):
    """A cursor that comes again ends the list."""
    server.answer = lambda _: web.Response(body=b'{"data":[],"hasMore":true,"nextCursor":"a"}')
    with pytest.raises(ApiError, match="lead back"):
        _ = [page async for page in api.list_payments({})]
    assert len(server.requests) == 2


async def test_a_large_page(server, api):
    """A page may be sixteen times as large as an object."""
    body = b'{"hasMore":false,"pad":"' + b"x" * 8_000_000 + b'"}'
    server.answer = lambda _: web.Response(body=body)
    assert (await anext(api.list_payments({}))).body == body


def test_the_pace():
    """A burst goes at once; after it each request waits for its own token, in order; tokens come back up to the burst."""
    now = [100.0]
    pace = Pace(rate=2.0, burst=3, clock=lambda: now[0])
    assert [pace.reserve() for _ in range(5)] == [0, 0, 0, 0.5, 1.0]
    now[0] += 1.0
    assert pace.reserve() == 0.5
    now[0] += 1000
    assert [pace.reserve() for _ in range(4)] == [0, 0, 0, 0.5]


async def test_requests_keep_the_pace(server, session):
    """Requests beyond the burst are spread over time."""
    server.answer = lambda _: web.Response(body=b"{}")
    api = flowglad(server, session, pace=Pace(rate=20.0, burst=1))
    started = asyncio.get_running_loop().time()
    await asyncio.gather(*(api.get(PAYMENT) for _ in range(4)))
    assert asyncio.get_running_loop().time() - started >= 0.14


async def test_cookies_stay_with_nobody(server, session):
    """What one answer sets is not sent with the next: accounts share the session."""
    server.url = server.url.replace("127.0.0.1", "localhost")  # aiohttp keeps no cookies of bare addresses
    api = flowglad(server, session)
    server.answer = lambda _: web.Response(body=b"{}", headers={"Set-Cookie": "who=acme; Path=/"})
    await api.get(PAYMENT)
    await api.get(PAYMENT)
    assert "Cookie" not in server.requests[1].headers
