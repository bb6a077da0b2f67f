"""docs/standard-webhooks.md as somebody follows it: its commands, and its provider held to what its table says."""

from __future__ import annotations

import base64
import json
import shlex
from datetime import UTC, datetime

import pytest
import standardwebhooks
from click.testing import CliRunner

from paymux.cli import main
from paymux.delivery import Delivery
from paymux.errors import Rejected, SettingsError
from paymux.settings import load
from paymux.settings.accounts import build_accounts
from paymux.signatures import verify
from paymux.statement import Stated
from paymux.translate import translate
from tests.docs.pages import fenced, read

PAGE = read("docs/standard-webhooks.md")
NOW = datetime(2026, 5, 4, 12, 30, 15, tzinfo=UTC)
BODY = json.dumps(
    {
        "type": "payment.paid",
        "timestamp": "2026-05-04T12:30:10Z",
        "data": {"id": "p_1", "status": "paid", "amount": 4999, "currency": "EUR"},
    }
)
HMAC = ["whsec_" + base64.b64encode(bytes([letter]) * 32).decode() for letter in b"ab"]


def test_its_commands_print_what_it_shows(tmp_path, monkeypatch):
    """Each `paymux verify` of the page, on the body that it writes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "body.json").write_bytes(b'{"test": 2432232314}')
    [script] = fenced(PAGE, "sh")
    commands = [line for line in script.replace("\\\n", " ").splitlines() if line.startswith("paymux ")]
    printed = [CliRunner().invoke(main, shlex.split(command)[1:]).stdout.strip() for command in commands]
    assert printed == fenced(PAGE, "json")[0].split()
    assert '{"test": 2432232314}' in script


@pytest.fixture(scope="module")
def provider():
    """The page's own, run as it stands."""
    [source] = fenced(PAGE, "python")
    names: dict = {}
    exec(source, names)
    return names["HARBOURPAY"]


def account(provider, *secrets: str, **options: str):
    settings = load(
        None,
        {
            "PAYMUX_ACCOUNTS": json.dumps(
                [{"provider": provider.name, "name": "acme", "secrets": secrets, "options": options}]
            )
        },
    )
    return build_accounts(settings, {provider.name: provider})[provider.name, "acme"].account


def delivery(signature: str, prefix: str = "webhook-", at: datetime = NOW, body: str = BODY) -> Delivery:
    told = {"id": "msg_1", "timestamp": str(int(at.timestamp())), "signature": signature}
    return Delivery(
        id="0196a0f0-0000-7000-8000-000000000001",
        provider="harbourpay",
        account="acme",
        received_at=NOW,
        body=body.encode(),
        headers=tuple((f"{prefix}{name}".encode(), value.encode()) for name, value in told.items()),
    )


def by_hmac(secret: str, at: datetime = NOW) -> str:
    return standardwebhooks.Webhook(secret).sign("msg_1", at, BODY)


@pytest.fixture(scope="module")
def pair():
    """A signer of `v1a`, and the public key to configure."""
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    content = f"msg_1.{int(NOW.timestamp())}.{BODY}".encode()
    signature = "v1a," + base64.b64encode(private.sign(content)).decode()
    return signature, "whpk_" + base64.b64encode(private.public_key().public_bytes_raw()).decode()


def test_the_providers_payment(provider):
    """Signed by the reference library: proven, translated, with the message's id as the event key."""
    acme = account(provider, HMAC[0])
    [item] = translate(acme, verify(delivery(by_hmac(HMAC[0])), acme.checks))
    assert isinstance(item.outcome, Stated)
    [statement] = item.outcome.statements
    assert (statement.block.id, statement.block.status, statement.block.amount.minor) == ("p_1", "succeeded", 4999)
    assert item.event_key == "msg_1"


def test_a_rotation_from_one_kind_of_key_to_the_other(provider, pair):
    """Old and new HMAC secret and a public key in one account: which one proved it is known each time."""
    signature, public = pair
    acme = account(provider, *HMAC, public)
    sent = [by_hmac(HMAC[0]), by_hmac(HMAC[1]), signature, f"v1,AAAA v9,x {signature} {by_hmac(HMAC[0])}"]
    assert [verify(delivery(one), acme.checks).secret for one in sent] == [0, 1, 2, 0]
    only = account(provider, public)
    for other in sent[:2]:
        with pytest.raises(Rejected):
            verify(delivery(other), only.checks)


def test_its_family_of_headers(provider):
    """The provider names one, so the other counts for nothing."""
    acme = account(provider, HMAC[0])
    with pytest.raises(Rejected) as caught:
        verify(delivery(by_hmac(HMAC[0]), "svix-"), acme.checks)
    assert caught.value.reason == "signature_missing"


def test_its_age(provider):
    """300 seconds, or what the account says."""
    late = datetime.fromtimestamp(NOW.timestamp() - 400, UTC)
    with pytest.raises(Rejected) as caught:
        verify(delivery(by_hmac(HMAC[0], late), at=late), account(provider, HMAC[0]).checks)
    assert caught.value.reason == "too_old"
    patient = account(provider, HMAC[0], tolerance="500")
    assert verify(delivery(by_hmac(HMAC[0], late), at=late), patient.checks).secret == 0


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whpk_",
        "whpk_" + base64.b64encode(bytes(31)).decode(),
        "whpk_" + base64.b64encode(bytes(33)).decode(),
        "whpk_" + base64.b64encode(bytes(64)).decode(),
        "whpk_" + base64.b64encode(bytes(32)).decode(),
        "whsk_" + base64.b64encode(bytes(64)).decode(),
    ],
)
def test_secrets_that_do_not_start(provider, secret):
    """Empty, too short, of the wrong size, of no worth, or the sender's own: an error of the configuration, which shows
    no secret; `paymux verify` answers that it is unusable, but for short ones.
    """
    with pytest.raises(SettingsError) as caught:
        account(provider, secret)
    assert secret.partition("_")[2] not in str(caught.value) or secret in ("whsec_", "whpk_")
    for name in ("standard-webhooks", "svix"):
        asked = {"provider": name, "secrets": [secret], "headers": {}, "body": "{}"}
        line = CliRunner().invoke(main, ["verify", "--requests", "-"], input=json.dumps(asked)).stdout
        is_short = secret.startswith("whsec_") and len(secret) > 6
        assert json.loads(line)["reason"] == ("signature_missing" if is_short else "secret_unusable")
