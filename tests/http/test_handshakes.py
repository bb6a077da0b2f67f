"""The GET by which a provider asks whose endpoint this is, on a real connection."""

from __future__ import annotations

import asyncio

import braintree
import pytest

from tests.http.world import STRIPE, answer, request, running

PUBLIC, PRIVATE = "k7p2w9x4r5t8n3qb", "5f1d0e7c9b3a4826d7f0c1e2a3b4c5d6"
ACCOUNT = {
    "provider": "braintree",
    "name": "acme",
    "secrets": [PRIVATE, "a-private-key-that-was-used-before"],
    "options": {"public_key": PUBLIC},
}
PATH = "/webhooks/braintree/acme"
CHALLENGE = "20f9f8ed05f77439fe955c977e4c8a53"
ASKED = f"{PATH}?bt_challenge={CHALLENGE}"


def expected() -> bytes:
    """What Braintree's SDK answers."""
    configuration = braintree.Configuration(
        environment=braintree.Environment.Sandbox, merchant_id="m", public_key=PUBLIC, private_key=PRIVATE
    )
    return braintree.BraintreeGateway(configuration).webhook_notification.verify(CHALLENGE).encode()


async def test_a_challenge_is_answered():
    """The provider's own words as text, on a connection that is closed then; nothing is stored or counted as refused."""
    async with running(ACCOUNT) as world:
        got = await world.send(request(path=ASKED, method="GET"))
        assert (world.kept, await world.reasons()) == (0, [])
    assert (got.status, got.body) == (200, expected())
    assert got.headers["content-type"] == "text/plain"
    assert got.headers["connection"] == "close"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?bt_challenge",
        "?bt_challenge=",
        "?bt_challenge=short",
        f"?bt_challenge={'A' * 20}",
        f"?bt_challenge={CHALLENGE}&bt_challenge={CHALLENGE}",
        f"?bt_challenge={CHALLENGE}&{'x' * 1024}",
        "?bt_challenge=%3Cscript%3E",
        "?" + "&" * 1000,
        "?" + "%" * 1000,
    ],
)
async def test_no_challenge(query):
    """Every other GET is what it was: not allowed."""
    async with running(ACCOUNT) as world:
        got = await world.send(request(path=PATH + query, method="GET"))
    assert (got.status, got.body) == (405, b'{"error":"method_not_allowed"}')
    assert got.headers["allow"] == "post"  # the world reads headers in lower case


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_another_method(method):
    """Only a GET asks."""
    async with running(ACCOUNT) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(request(path=ASKED, method=method))
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert b" 405 " in head


async def test_a_provider_without_handshake():
    """Its accounts have no GET, whatever is asked; nor has an account that is not there."""
    async with running(STRIPE, ACCOUNT) as world:
        asked = f"?bt_challenge={CHALLENGE}"
        assert (await world.send(request(path=f"/webhooks/stripe/acme{asked}", method="GET"))).status == 405
        assert (await world.send(request(path=f"/webhooks/braintree/other{asked}", method="GET"))).status == 404
        assert (await world.send(request(path=f"/{asked}", method="GET"))).status == 404


async def test_the_first_of_several_secrets_answers():
    """As the first public key says whose it is."""
    turned = {**ACCOUNT, "secrets": ACCOUNT["secrets"][::-1]}
    async with running(turned) as world:
        got = await world.send(request(path=ASKED, method="GET"))
    assert got.status == 200
    assert got.body != expected()
    assert got.body.startswith(f"{PUBLIC}|".encode())


async def test_a_path_token_is_asked_for():
    """Without it, or with another one, nobody learns that there is a handshake."""
    token = "token-0123456789abcdef"
    query = f"?bt_challenge={CHALLENGE}"
    async with running({**ACCOUNT, "path_token": token}) as world:
        good = await world.send(request(path=f"{PATH}/{token}{query}", method="GET"))
        wrong = await world.send(request(path=f"{PATH}/{token[:-1]}X{query}", method="GET"))
        missing = await world.send(request(path=f"{PATH}{query}", method="GET"))
    assert (good.status, good.body) == (200, expected())
    assert [(one.status, one.body) for one in (wrong, missing)] == [(405, b'{"error":"method_not_allowed"}')] * 2


async def test_from_elsewhere_than_allowed():
    """`allow_from` holds for questions, too."""
    async with running({**ACCOUNT, "allow_from": ["203.0.113.0/24"]}) as world:
        got = await world.send(request(path=ASKED, method="GET"))
    assert got.status == 405


async def test_a_flood_of_questions():
    """Each counts against its address as an unproven request does; then it is told to come later."""
    async with running(ACCOUNT, unverified_rate=2.0) as world:
        got = [await world.send(request(path=ASKED, method="GET")) for _ in range(8)]
    statuses = [one.status for one in got]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    assert got[-1].headers["retry-after"]


async def test_a_body_that_comes_with_it():
    """It is not read, and nothing of it is taken for another request."""
    body = request(path=PATH, method="POST", x="y")
    async with running(ACCOUNT) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(request(body, path=ASKED, method="GET"))
        first = await answer(reader)
        rest = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert world.kept == 0
    assert (first.status, rest) == (200, b"")


async def test_a_signed_challenge_is_refused_as_a_delivery():
    """What anybody can have signed by asking for it proves nothing: no record of it reaches a topic."""
    async with running(ACCOUNT) as world:
        signature = (await world.send(request(path=ASKED, method="GET"))).body.decode().replace("|", "%7C")
        for payload in (CHALLENGE, CHALLENGE + "%0A"):
            got = await world.post(f"bt_signature={signature}&bt_payload={payload}".encode(), PATH)
            assert got.status == 401
        assert world.kept == 0
        assert await world.reasons() == ["signature_malformed"] * 2
