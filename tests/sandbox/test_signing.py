"""What `paymux send` signs is what the providers' own SDKs accept, and what our schemes accept."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import standardwebhooks
import stripe
import svix

from paymux.delivery import Delivery
from paymux.errors import Rejected
from paymux.providers import BY_NAME
from paymux.sandbox.signing import signed
from paymux.signatures.path_token import PathToken
from paymux.signatures.raw_hmac import RawHmac

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = json.dumps({"id": "evt_1", "object": "event", "amount": 4999}).encode()

WAYS = [
    ("stripe", {}),
    ("flowlix", {}),
    ("flowlix", {"secret_encoding": "base64"}),
    ("flowglad", {}),
    ("flexprice", {}),
    ("flexprice", {"delivery": "native", "native_header": "X-Api-Key"}),
    ("flexportal", {"static_header": "X-Shared-Secret"}),
    ("flexportal", {"hmac_header": "X-Signature"}),
    ("flexportal", {"hmac_header": "X-Signature", "hmac_algorithm": "sha512", "hmac_encoding": "base64"}),
    ("flexportal", {"hmac_header": "X-Signature", "hmac_prefix": "sha256="}),
]
IDS = ["-".join((name, *options.values())) for name, options in WAYS]


def sign(scheme, *, secret=SECRET, body=BODY):
    return signed(scheme, secret=secret, body=body, message="msg_1", at=datetime.now(UTC)).headers


def arrived(headers, body=BODY):
    return Delivery(
        id="",
        provider="",
        account="",
        received_at=datetime.now(UTC),
        body=body,
        headers=tuple((name.encode(), value.encode()) for name, value in headers.items()),
    )


@pytest.mark.parametrize(("provider", "options"), WAYS, ids=IDS)
def test_our_scheme_accepts_it_and_nothing_else(provider, options):
    """The account's secret opens it, another does not, and another body does not where the body is signed."""
    scheme = BY_NAME[provider].scheme(options)
    headers = sign(scheme)
    assert scheme.verify(arrived(headers), [scheme.key(SECRET)]) == 0
    with pytest.raises(Rejected):
        scheme.verify(arrived(headers), [scheme.key(SECRET[:-4] + "AAAA")])
    if scheme.proof == "signature":
        with pytest.raises(Rejected):
            scheme.verify(arrived(headers, BODY + b" "), [scheme.key(SECRET)])


def test_stripe_accepts_it():
    """stripe-python reads our header as one of Stripe's."""
    header = sign(BY_NAME["stripe"].scheme({}))["Stripe-Signature"]
    assert stripe.WebhookSignature.verify_header(BODY.decode(), header, SECRET, 300)


@pytest.mark.parametrize("provider", ["flowglad", "flexprice"])
def test_svix_accepts_it(provider):
    """svix reads our headers as Svix's, and standardwebhooks the same under its own names."""
    headers = sign(BY_NAME[provider].scheme({}))
    svix.Webhook(SECRET).verify(BODY, headers)
    with pytest.raises(svix.WebhookVerificationError):
        svix.Webhook(SECRET).verify(BODY + b" ", headers)
    renamed = {name.replace("svix-", "webhook-"): value for name, value in headers.items()}
    assert standardwebhooks.Webhook(SECRET).verify(BODY.decode(), renamed) == json.loads(BODY)


def test_a_hint_and_a_path_token_have_no_headers():
    """FlexPortal sends nothing that proves anything; a token stands in the URL."""
    assert sign(BY_NAME["flexportal"].scheme({})) == {}
    assert sign(PathToken()) == {}


def test_a_raw_hmac_in_every_form():
    """Every algorithm and encoding that an operator may choose."""
    for algorithm in ("sha1", "sha256", "sha512"):
        for encoding in ("hex", "base64"):
            scheme = RawHmac(header=b"x-signature", algorithm=algorithm, encoding=encoding, prefix="v=")
            assert scheme.verify(arrived(sign(scheme)), [scheme.key(SECRET)]) == 0


def test_a_scheme_of_somebody_elses():
    """It says that it cannot sign for it."""

    class Other:
        pass

    with pytest.raises(ValueError, match="nothing here signs for Other"):
        sign(Other())
