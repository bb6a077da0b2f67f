"""What `paymux send` signs is what the providers' own SDKs accept, and what our schemes accept."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import braintree
import pytest
import standardwebhooks
import stripe
import svix
from Adyen.util import is_valid_hmac_notification, is_valid_hmac_payload
from square.utils.webhooks_helper import verify_signature

from paymux.delivery import Delivery
from paymux.errors import Rejected
from paymux.providers import BY_NAME
from paymux.sandbox.accounts import demo_account
from paymux.sandbox.samples import webhooks
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


def test_adyen_accepts_it():
    """Adyen's SDK reads each sample as one of Adyen's: by the item's own signature, or by the header."""
    key = "0f" * 32
    scheme = BY_NAME["adyen"].scheme({})
    for sample in webhooks("adyen"):
        sent = signed(scheme, secret=key, body=sample.body, message="msg_1", at=datetime.now(UTC))
        if sent.headers:
            assert is_valid_hmac_payload(sent.headers["Hmacsignature"], key, sent.body)
        else:
            assert is_valid_hmac_notification(json.loads(sent.body), key)
        assert scheme.verify(arrived(sent.headers, sent.body), [scheme.key(key)]) == 0


def test_basic_credentials():
    """They are written as RFC 7617 has it."""
    login = "Aladdin:open sesame"
    headers = sign(BY_NAME["adyen"].scheme({"authentication": "basic"}), secret=login)
    assert headers == {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}


def test_square_accepts_it():
    """squareup reads our header as one of Square's, for this URL and no other."""
    url = "https://pay.example/webhooks/square/demo"
    scheme = BY_NAME["square"].scheme({})
    sent = signed(scheme, secret=SECRET, body=BODY, message="msg_1", at=datetime.now(UTC), url=url)
    [signature] = sent.headers.values()
    assert verify_signature(
        request_body=BODY.decode(), signature_header=signature, signature_key=SECRET, notification_url=url
    )
    assert replace(arrived(sent.headers), url=url) != arrived(sent.headers)
    assert scheme.verify(replace(arrived(sent.headers), url=url), [scheme.key(SECRET)]) == 0


def test_a_certificate_of_the_sandboxs_own():
    """What is signed for PayPal is what our scheme accepts, by the certificate that stands beside the key."""
    account = demo_account("paypal")
    scheme = BY_NAME["paypal"].scheme(account.options)
    assert scheme.verify(arrived(sign(scheme)), []) is None
    with pytest.raises(Rejected):
        scheme.verify(arrived(sign(scheme), BODY + b" "), [])
    with pytest.raises(ValueError, match=r"PEM|key"):
        sign(BY_NAME["paypal"].scheme({"webhook_id": "x"}))


def test_braintree_accepts_it():
    """braintree reads our form as one of Braintree's, by the first public key and by the second."""
    scheme = BY_NAME["braintree"].scheme({"public_key": "the_first the_second"})
    body = b"<notification><kind>check</kind><subject><check type='boolean'>true</check></subject></notification>"
    sent = signed(scheme, secret=SECRET, body=body, message="msg_1", at=datetime.now(UTC))
    fields = dict(parse_qsl(sent.body.decode()))
    for public_key in ("the_first", "the_second"):
        gateway = braintree.BraintreeGateway(
            braintree.Configuration(
                environment=braintree.Environment.Sandbox, merchant_id="m", public_key=public_key, private_key=SECRET
            )
        )
        assert gateway.webhook_notification.parse(fields["bt_signature"], fields["bt_payload"]).kind == "check"
    assert scheme.verify(arrived(sent.headers, sent.body), [scheme.key(SECRET)]) == 0


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
