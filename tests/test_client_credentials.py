"""Access tokens, and an API that takes nothing else: against the sandbox of PayPal's on loopback."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from paymux.client_credentials import EARLY, LARGEST, AccessTokens
from paymux.delivery import Delivery, ObjectRef
from paymux.errors import ApiError
from paymux.journal import Entry
from paymux.journal.memory import MemoryJournal
from paymux.lookup import Client, Lookups
from paymux.provider import Account
from paymux.provider_api import ProviderApi, open_session
from paymux.providers.paypal import PAYPAL
from paymux.sandbox import samples
from paymux.sandbox.apis import KEYS, Sandbox
from paymux.signatures import trusted
from paymux.translate import translate

KEY = KEYS["paypal"]
CAPTURE = ObjectRef(object="capture", id="5KJ84213TR790624W")


class Server:
    """Sells tokens, and says to whom."""

    def __init__(self) -> None:
        self.sold = 0
        self.answer: object = None
        self.pieces = 1
        self.seen: list[tuple[str, bytes]] = []

    async def token(self, request: web.Request) -> web.StreamResponse:
        self.sold += 1
        self.seen.append((request.headers.get("Authorization", ""), await request.read()))
        if isinstance(self.answer, web.HTTPException):
            raise self.answer
        if isinstance(self.answer, int):
            return web.Response(status=self.answer, text="secret words")
        told = json.dumps(self.answer or {"access_token": f"token-{self.sold}", "expires_in": 3600}).encode()
        return await self._in_pieces(request, told)

    async def _in_pieces(self, request: web.Request, told: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        size = -(-len(told) // self.pieces)
        for start in range(0, len(told), size):
            await response.write(told[start : start + size])
            await asyncio.sleep(0.02 if self.pieces > 1 else 0)
        await response.write_eof()
        return response


@asynccontextmanager
async def tokens(key: str = KEY):
    server, clock = Server(), [1000.0]
    app = web.Application()
    app.router.add_post("/v1/oauth2/token", server.token)
    app.router.add_post("/v1/oauth2/elsewhere", server.token)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/oauth2/token"
    async with open_session() as session:
        timeout = aiohttp.ClientTimeout(total=1)
        yield (
            AccessTokens(url=url, key=SecretStr(key), session=session, timeout=timeout, clock=lambda: clock[0]),
            server,
            clock,
        )
    await runner.cleanup()


async def test_a_token_is_bought_once_and_kept_until_shortly_before_its_end():
    """By Basic authentication, with the grant's name as a form."""
    async with tokens("id:secret") as (bought, server, clock):
        assert [await bought.get() for _ in range(3)] == ["token-1"] * 3
        assert server.seen == [("Basic aWQ6c2VjcmV0", b"grant_type=client_credentials")]
        clock[0] += 3600 - EARLY - 1
        assert await bought.get() == "token-1"
        clock[0] += 1
        assert await bought.get() == "token-2"


async def test_one_token_is_bought_for_all_who_ask():
    """Those who come while one is bought wait for it."""
    async with tokens() as (bought, server, _clock):
        server.pieces = 2
        assert await asyncio.gather(*(bought.get() for _ in range(5))) == ["token-1"] * 5
        assert server.sold == 1


async def test_a_redirect():
    """It is not followed: the key goes nowhere else, and no token comes from there."""
    async with tokens() as (bought, server, _clock):
        server.answer = web.HTTPTemporaryRedirect("/v1/oauth2/elsewhere")
        with pytest.raises(ApiError) as caught:
            await bought.get()
        assert (caught.value.reason, server.sold) == ("unavailable", 1)


async def test_an_answer_that_comes_in_pieces():
    """It is read to its end."""
    async with tokens() as (bought, server, _clock):
        server.pieces = 3
        assert await bought.get() == "token-1"


async def test_an_answer_beyond_the_bound():
    """It isn't read to its end, and holds no token."""
    async with tokens() as (bought, server, _clock):
        server.answer = {"access_token": "token", "expires_in": 3600, "scope": "x" * LARGEST}
        with pytest.raises(ApiError) as caught:
            await bought.get()
        assert caught.value.reason == "shape"


async def test_a_token_that_was_refused_is_forgotten():
    """Another one is bought."""
    async with tokens() as (bought, _, _clock):
        assert await bought.get() == "token-1"
        bought.forget()
        assert await bought.get() == "token-2"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (400, "denied"),
        (401, "denied"),
        (429, "rate_limited"),
        (500, "unavailable"),
        (302, "unavailable"),
        ({"access_token": 7, "expires_in": 3600}, "shape"),
        ({"access_token": "a b", "expires_in": 3600}, "shape"),
        ({"access_token": "token\r\nX: y", "expires_in": 3600}, "shape"),
        ({"access_token": "token", "expires_in": "soon"}, "shape"),
        ({"error": "none"}, "shape"),
        (["token"], "shape"),
    ],
)
async def test_no_token_is_had(answer, reason):
    """The reason is one of an API's, and neither the key nor what the server wrote is in the error."""
    async with tokens("client-id:client-secret") as (bought, server, _):
        server.answer = answer
        with pytest.raises(ApiError) as caught:
            await bought.get()
        assert caught.value.reason == reason
        assert "client-secret" not in repr(caught.value) + repr(caught.value.__context__)
        assert "secret words" not in str(caught.value)


async def test_a_server_that_is_away():
    """Unavailable, within the deadline."""
    async with open_session() as session:
        bought = AccessTokens(
            url="http://127.0.0.1:1/token", key=SecretStr(KEY), session=session, timeout=aiohttp.ClientTimeout(total=1)
        )
        with pytest.raises(ApiError) as caught:
            await bought.get()
    assert caught.value.reason == "unavailable"


# --- the API behind it


@asynccontextmanager
async def api(key: str = KEY):
    sandbox = Sandbox()
    for sample in samples.answers("paypal"):
        sandbox.put("paypal", sample.body)
    async with sandbox.running(), open_session() as session:
        yield (
            ProviderApi(api=PAYPAL.api, url=sandbox.url("paypal"), key=SecretStr(key), options={}, session=session),
            sandbox,
        )


@pytest.mark.parametrize("sample", samples.answers("paypal"), ids=lambda sample: sample.name)
async def test_every_object_is_got_with_a_token(sample):
    """Each kind from its own place."""
    endpoint = PAYPAL.api.objects[sample.name]
    async with api() as (client, sandbox):
        ref = sandbox.named("paypal", sample.body)
        found = await client.get(ObjectRef(object=sample.name, id=ref))
    assert found.path == f"/paypal{endpoint.path.replace('{id}', ref)}"


async def test_a_wrong_key_is_denied():
    """The token is, and so is what needs it."""
    async with api("id:wrong") as (client, _):
        with pytest.raises(ApiError) as caught:
            await client.get(CAPTURE)
    assert caught.value.reason == "denied"


async def test_a_token_that_the_api_took_back():
    """A 401 is answered with another token, once: a second one is an answer."""
    async with api() as (client, sandbox):
        await client.get(CAPTURE)
        sandbox.fail("paypal", 401)
        assert (await client.get(CAPTURE)).body
        assert [seen.path for seen in sandbox.requests].count("/v1/oauth2/token") == 2
        sandbox.fail("paypal", 401, times=2)
        with pytest.raises(ApiError) as caught:
            await client.get(CAPTURE)
    assert caught.value.reason == "denied"


async def test_a_delivery_that_is_confirmed_by_the_api():
    """`confirm = "api"`: what a webhook claims is not published, what the API answers is."""
    journal = MemoryJournal()
    async with api() as (client, _):
        account = Account(provider=PAYPAL, name="acme", options={"confirm": "api"})
        lookups = Lookups(
            journal=journal,
            clients={("paypal", "acme"): Client(account=account, api=client)},
            clock=lambda: datetime.now(UTC),
            new_id=lambda: "0190b2a6-0000-7000-8000-000000000002",
        )
        body = samples.webhook("paypal", "PAYMENT.CAPTURE.COMPLETED").body.replace(b'"129.90"', b'"999999.00"')
        verified = trusted(_delivery(body))
        await journal.append(Entry(account=account, verified=verified, items=translate(account, verified)))
        [row] = await journal.due_lookups(datetime.now(UTC), 10)
        await lookups._ask(row)
    values = [row.record.value for row in await journal.read(0, 0, 10)]
    await journal.close()
    assert b"999999" not in b"".join(values)
    assert [b'"proof":"api"' in value for value in values] == [True, True]
    assert b'"minor":12990' in values[0]


def _delivery(body: bytes):
    return Delivery(
        id="0190b2a6-0000-7000-8000-000000000001",
        provider="paypal",
        account="acme",
        received_at=datetime.now(UTC),
        body=body,
    )
