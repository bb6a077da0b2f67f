"""`paymux send`, to a server that checks what it gets with the providers' own SDKs."""

from __future__ import annotations

import asyncio
import json

import pytest
import stripe
import svix
from aiohttp import web
from click.testing import CliRunner

from paymux.cli import main

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """A gateway of somebody else's: it keeps what came, and answers 401 unless an SDK says that it is genuine."""

    def __init__(self):
        self.got = []

    async def take(self, request):
        body = await request.read()
        self.got.append((request.path, dict(request.headers), body))
        try:
            self._check(request, body)
        except (stripe.SignatureVerificationError, svix.WebhookVerificationError, KeyError):
            return web.json_response({"error": "unverified"}, status=401)
        return web.json_response({"received": True})

    def _check(self, request, body):
        if request.match_info["provider"] == "stripe":
            stripe.WebhookSignature.verify_header(body.decode(), request.headers["Stripe-Signature"], SECRET, 300)
        elif request.match_info["provider"] in ("flowglad", "flexprice"):
            svix.Webhook(SECRET).verify(body, dict(request.headers))


@pytest.fixture
async def receiver(aiohttp_server):
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/webhooks/{provider}/{account}", receiver.take)
    app.router.add_post("/webhooks/{provider}/{account}/{token}", receiver.take)
    server = await aiohttp_server(app)
    receiver.url = str(server.make_url("/")).rstrip("/")
    return receiver


async def send(*arguments, env=None):
    return await asyncio.to_thread(CliRunner(env=env).invoke, main, ["send", *map(str, arguments)])


def common(receiver, provider="stripe"):
    return ("--provider", provider, "--account", "acme", "--url", receiver.url)


async def test_one_sample(receiver):
    """A payment's success, correctly signed, to the account's URL; the answer is printed."""
    result = await send(*common(receiver), "--secret", SECRET)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("200  stripe/acme  payment_intent.succeeded  ")
    [(path, headers, body)] = receiver.got
    assert (path, headers["Content-Type"]) == ("/webhooks/stripe/acme", "application/json")
    assert json.loads(body)["type"] == "payment_intent.succeeded"


async def test_a_number_of_one_event(receiver):
    """Each is a new event of a new payment, at the time of now, as JSON lines."""
    result = await send(
        *common(receiver), "--event", "charge.refunded", "--count", 3, "--json", env={"PAYMUX_SECRET": SECRET}
    )
    assert result.exit_code == 0, result.output
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["status"], one["event"]) for one in told] == [(200, "charge.refunded")] * 3
    bodies = [json.loads(body) for _, _, body in receiver.got]
    assert len({body["id"] for body in bodies}) == len({body["data"]["object"]["id"] for body in bodies}) == 3
    assert all(
        abs(body["created"] - int(stripe_time(headers))) <= 2
        for body, (_, headers, _) in zip(bodies, receiver.got, strict=True)
    )


def stripe_time(headers):
    return headers["Stripe-Signature"].split(",")[0].removeprefix("t=")


async def test_the_same_again(receiver):
    """--same posts one delivery repeatedly: same body, and the same message id where there is one."""
    result = await send(*common(receiver, "flexprice"), "--secret", SECRET, "--count", 3, "--same")
    assert result.exit_code == 0, result.output
    assert len({(headers["svix-id"], body) for _, headers, body in receiver.got}) == 1
    assert len(receiver.got) == 3


@pytest.mark.parametrize("secret", ["", " "])
@pytest.mark.parametrize("provider", ["stripe", "flexportal"])
async def test_an_empty_secret(receiver, provider, secret):
    """A mistake in a script, like a variable that is not set: nothing is signed with it, nothing is posted."""
    result = await send(*common(receiver, provider), "--secret", secret)
    assert result.exit_code == 2
    assert "--secret is empty" in result.output
    assert receiver.got == []


async def test_a_file(receiver, tmp_path):
    """Its bytes go out as they stand."""
    file = tmp_path / "body"
    file.write_bytes(b'{ "any": 1.10 }')
    result = await send(*common(receiver), "--secret", SECRET, "--file", file)
    assert result.exit_code == 0, result.output
    assert receiver.got[0][2] == b'{ "any": 1.10 }'


async def test_samples_follow_one_another(receiver):
    """Without --event: one after the other, all of a provider's in turn."""
    result = await send(*common(receiver, "flowglad"), "--secret", SECRET, "--count", 4, "--json")
    assert len({json.loads(line)["event"] for line in result.stdout.splitlines()}) == 4


async def test_secret_and_options_of_a_configuration(receiver, tmp_path):
    """--config takes them from the account, its path token too."""
    file = tmp_path / "paymux.toml"
    file.write_text(
        f'[[accounts]]\nprovider = "flexprice"\nname = "acme"\nsecrets = ["{SECRET}"]\npath_token = "tok_0123456789abcdef"\n'
        '[accounts.options]\ndelivery = "native"\nnative_header = "X-Api-Key"\n'
    )
    file.chmod(0o600)
    result = await send(*common(receiver, "flexprice"), "--config", file)
    assert result.stdout.startswith("401  "), "a native delivery has no Svix signature"
    [(path, headers, _)] = receiver.got
    assert (path, headers["X-Api-Key"]) == ("/webhooks/flexprice/acme/tok_0123456789abcdef", SECRET)


async def test_what_is_refused(receiver):
    """A wrong secret is 401, and the exit code says so; the secret is not in what it prints."""
    result = await send(*common(receiver), "--secret", "whsec_of_somebody_else", "--count", 2)
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["401", "401"]
    assert "somebody" not in result.output


async def test_nobody_there():
    """One line that says so, exit 1."""
    result = await send("--provider", "stripe", "--account", "a", "--url", "http://127.0.0.1:1", "--secret", SECRET)
    assert result.exit_code == 1
    assert result.stdout.startswith("no answer  stripe/a  payment_intent.succeeded")
    assert "connection refused" in result.stdout


async def test_a_hint_needs_no_secret(receiver):
    """FlexPortal signs nothing."""
    result = await send(*common(receiver, "flexportal"))
    assert result.exit_code == 0, result.output
    assert "signature" not in " ".join(receiver.got[0][1]).lower()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--provider", "strype"), "did you mean 'stripe'?"),
        (
            ("--provider", "stripe", "--event", "payment.teleported"),
            "no such sample of stripe: 'payment.teleported'",
        ),
        (("--provider", "stripe", "--event", "x", "--file", "-"), "--file goes without --event"),
        (("--provider", "stripe", "--count", "0"), "not in the range"),
    ],
)
async def test_unusable_input(arguments, says):
    """A sentence, exit 2."""
    result = await send("--account", "a", "--url", "http://127.0.0.1:1", "--secret", SECRET, *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
