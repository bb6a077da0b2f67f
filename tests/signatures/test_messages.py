"""What a verdict says, word for word: an operator reads it beside `paymux verify`, or where a setting is refused."""

from __future__ import annotations

import base64
import sys
from dataclasses import dataclass

import pytest
from signed_requests import (
    ADYEN,
    BODY,
    DECODED,
    MOLLIE,
    NOW,
    RAW,
    SQUARE,
    STANDARD_WEBHOOKS,
    STRIPE,
    SVIX,
    TIMED,
    replaced,
    request,
    seconds,
)

from paymux.errors import Rejected
from paymux.providers.paypal import PAYPAL
from paymux.signatures import verify
from paymux.signatures.adyen_hmac import AdyenHmac
from paymux.signatures.basic_auth import AndBasicAuth, BasicAuth
from paymux.signatures.hint import Hint
from paymux.signatures.path_token import PathToken
from paymux.signatures.raw_hmac import RawHmac
from paymux.signatures.signed_form import SignedForm
from paymux.signatures.static_secret import StaticHeader
from paymux.signatures.svix import Svix
from paymux.signatures.timestamped_hmac import TimestampedHmac

STATIC = StaticHeader(header=b"x-api-key")
TOKEN = "Zr8vN1xYtB7mC-5WJ2kPq"
OLDER = replaced(SVIX.headers(), b"svix-id", b"msg_older")
BOTH = SVIX.headers() + tuple((name.replace(b"svix-", b"webhook-"), value) for name, value in OLDER)
TWICE = "the x-api-key header stands there more than once"
NO_V1 = "the header is not one t and at least one v1"


@dataclass(frozen=True)
class Refusal:
    """A request that is not proven; `scheme` and `secret` are what it is held against."""

    scheme: object
    secret: str | None
    headers: tuple
    reason: str
    detail: str
    body: bytes = BODY
    path_token: str | None = None


def of(case, headers, reason, detail, body=BODY):
    return Refusal(case.scheme, case.secret, headers, reason, detail, body)


def of_a_form(body, reason, detail):
    return Refusal(SignedForm(public_keys=("public",)), TOKEN, (), reason, detail, body)


def of_paypal(reason, detail, **changed):
    """What stands in PayPal's headers but for those that are changed; None leaves one out."""
    told = {
        "transmission-id": "3d0f5a10-3f1e-11f1-9f2b-7b1c2e6a8d40",
        "transmission-time": NOW.isoformat(),
        "transmission-sig": "c2ln",
        "cert-url": "https://api.paypal.com/v1/notifications/certs/CERT-1",
        "auth-algo": "SHA256withRSA",
    } | {name.replace("_", "-"): value for name, value in changed.items()}
    headers = tuple((b"paypal-" + name.encode(), value.encode()) for name, value in told.items() if value is not None)
    return Refusal(PAYPAL.scheme({}), "6MX37520HR194683L", headers, reason, detail)


TWO_WAYS = "the signed fields of an item can be read in two ways"
NO_PAYLOAD = "the payload is not base64 text, or as short as a challenge"
PAYLOAD = b"bt_payload=" + b"A" * 40
ELSEWHERE = "the certificate's URL is not the provider's"


def _adyen_item(fields):
    return b'{"notificationItems":[{"NotificationRequestItem":{"additionalData":{"hmacSignature":"x"},%b}}]}' % fields


REFUSALS = {
    "svix, another secret": of(
        SVIX, SVIX.headers(secret=SVIX.other), "signature_mismatch", "no signature is of any secret"
    ),
    "svix, an id with a dot": of(
        SVIX,
        replaced(SVIX.headers(), b"svix-id", b"msg.1"),
        "signature_malformed",
        "the id is not printable ASCII without a dot",
    ),
    "svix, no header": of(SVIX, (), "signature_missing", "there are no signature headers"),
    "svix, two families": of(SVIX, BOTH, "signature_duplicated", "two families of headers disagree"),
    "svix, no version that is known": of(
        SVIX,
        replaced(SVIX.headers(), b"svix-signature", b"v2,abc"),
        "signature_malformed",
        "there is no v1 or v1a signature",
    ),
    "svix, no time": of(SVIX, SVIX.headers()[::2], "signature_missing", "there is no svix-timestamp header"),
    "webhook, no id": of(
        STANDARD_WEBHOOKS, STANDARD_WEBHOOKS.headers()[1:], "signature_missing", "there is no webhook-id header"
    ),
    "svix, a time twice": of(
        SVIX,
        (*SVIX.headers(), SVIX.headers()[1]),
        "signature_duplicated",
        "the svix-timestamp header stands there more than once",
    ),
    "svix, a time in words": of(
        SVIX,
        replaced(SVIX.headers(), b"svix-timestamp", b"noon"),
        "signature_malformed",
        "the time is no number of seconds",
    ),
    "stripe, another secret": of(
        STRIPE, STRIPE.headers(secret=STRIPE.other), "signature_mismatch", "no v1 signature is of any secret"
    ),
    "stripe, no header": of(STRIPE, (), "signature_missing", "there is no stripe-signature header"),
    "stripe, no v1": of(STRIPE, ((b"Stripe-Signature", b"t=1,v0=a"),), "signature_malformed", NO_V1),
    "flowlix, two times": of(DECODED, ((b"Flowlix-Signature", b"t=1,t=1,v1=a"),), "signature_malformed", NO_V1),
    "raw, another secret": of(
        RAW, RAW.headers(secret=RAW.other), "signature_mismatch", "the signature is of no secret"
    ),
    "raw, no prefix": of(
        RAW, ((b"X-Signature", b"sha1=00"),), "signature_malformed", "the signature's prefix is not there"
    ),
    "static, another secret": Refusal(
        STATIC,
        TOKEN,
        ((b"X-Api-Key", b"another"),),
        "static_secret_mismatch",
        "the header holds no secret of the account",
    ),
    "static, no header": Refusal(STATIC, TOKEN, (), "static_secret_missing", "there is no x-api-key header"),
    "static, twice": Refusal(STATIC, TOKEN, ((b"X-Api-Key", TOKEN.encode()),) * 2, "signature_duplicated", TWICE),
    "path, another token": Refusal(
        PathToken(),
        TOKEN,
        (),
        "path_token_mismatch",
        "the URL does not end in a token of the account",
        path_token="another",
    ),
    "adyen, another key": of(
        ADYEN, ADYEN.headers(secret=ADYEN.other), "signature_mismatch", "a signature is of no secret"
    ),
    "adyen, no header": of(ADYEN, (), "signature_missing", "there is no hmacsignature header"),
    "adyen, no items": of(
        ADYEN,
        ADYEN.headers(),
        "signature_missing",
        "there is no item that could be signed",
        b'{"notificationItems":[]}',
    ),
    "adyen, items that are none": of(
        ADYEN, ADYEN.headers(), "signature_malformed", "notificationItems is no list", b'{"notificationItems":{}}'
    ),
    "adyen, an item without a signature": of(
        ADYEN,
        ADYEN.headers(),
        "signature_missing",
        "an item has no hmacSignature",
        b'{"notificationItems":[{"NotificationRequestItem":{}}]}',
    ),
    "adyen, a colon": of(
        ADYEN, (), "signature_malformed", TWO_WAYS, _adyen_item(b'"pspReference":"a:b","success":"true"')
    ),
    "adyen, an outcome that is none": of(ADYEN, (), "signature_malformed", TWO_WAYS, _adyen_item(b'"success":"maybe"')),
    "adyen, a field that is no text": of(
        ADYEN,
        (),
        "signature_malformed",
        "pspReference is neither text nor a whole number",
        _adyen_item(b'"pspReference":[1]'),
    ),
    "basic, no header": Refusal(
        BasicAuth(), "user:" + TOKEN, (), "static_secret_missing", "there is no authorization header"
    ),
    "basic, another password": Refusal(
        BasicAuth(),
        "user:" + TOKEN,
        ((b"Authorization", b"Basic dXNlcjpvdGhlcg=="),),
        "static_secret_mismatch",
        "the header holds no credentials of the account",
    ),
    "mollie, another secret": of(
        MOLLIE, MOLLIE.headers(secret=MOLLIE.other), "signature_mismatch", "the signature is of no secret"
    ),
    "mollie, no header": of(MOLLIE, (), "signature_missing", "there is no x-mollie-signature header"),
    "square, another key": of(
        SQUARE,
        SQUARE.headers(secret=SQUARE.other),
        "signature_mismatch",
        "the signature is of no secret over this URL and body",
    ),
    "square, no body": of(
        SQUARE, SQUARE.headers(b""), "signature_mismatch", "without a URL and a body nothing was signed", b""
    ),
    "form, no fields": of_a_form(b"", "signature_missing", "the form lacks its signature or its payload"),
    "form, a field twice": of_a_form(
        b"bt_signature=a&bt_signature=a&" + PAYLOAD,
        "signature_duplicated",
        "a field of the form stands there more than once",
    ),
    "form, a field more": of_a_form(
        b"bt_signature=a&x=1&" + PAYLOAD,
        "signature_malformed",
        "the form has other fields than a signature and a payload",
    ),
    "form, a payload that is none": of_a_form(
        b"bt_signature=a&bt_payload=" + b"!" * 40, "signature_malformed", NO_PAYLOAD
    ),
    "form, as short as a challenge": of_a_form(
        b"bt_signature=a&bt_payload=" + b"a" * 32, "signature_malformed", NO_PAYLOAD
    ),
    "form, no pair": of_a_form(
        b"bt_signature=public&" + PAYLOAD, "signature_malformed", "there is no public key with a signature"
    ),
    "form, of another public key": of_a_form(
        b"bt_signature=other|00&" + PAYLOAD,
        "signature_mismatch",
        "no signature of the public key is of any secret",
    ),
    "paypal, no time": of_paypal(
        "signature_missing", "there is no paypal-transmission-time header", transmission_time=None
    ),
    "paypal, a time that is none": of_paypal("signature_malformed", "the time is none", transmission_time="noon"),
    "paypal, a time long ago": of_paypal(
        "too_old", "signed more than 345600 seconds before it came", transmission_time="2020-01-01T00:00:00Z"
    ),
    "paypal, another algorithm": of_paypal(
        "signature_malformed", "the headers are not in PayPal's form", auth_algo="NONEwithRSA"
    ),
    "paypal, another host": of_paypal(
        "certificate_url", ELSEWHERE, cert_url="https://paypal.example/v1/notifications/certs/C"
    ),
    "paypal, another path": of_paypal(
        "certificate_url", "there are no certificates at that URL", cert_url="https://api.paypal.com/v2/CERT-1"
    ),
    "hint, a long one": Refusal(
        Hint(limit=10), None, (), "hint_malformed", "a hint is at most 10 bytes", body=b"x" * 11
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_request_that_is_not_proven_says_what_is_wrong_with_it(refusal):
    """The reason is the slug of the metric, the detail a sentence that names the header but never a value."""
    keys = [] if refusal.secret is None else [refusal.scheme.key(refusal.secret)]
    with pytest.raises(Rejected) as caught:
        verify(request(refusal.headers, refusal.body, path_token=refusal.path_token), ((refusal.scheme, keys),))
    assert (caught.value.reason, caught.value.detail) == (refusal.reason, refusal.detail)


@pytest.mark.parametrize("case", TIMED, ids=lambda case: case.name)
@pytest.mark.parametrize(("shift", "reason", "when"), [(-301, "too_old", "before"), (301, "too_new", "after")])
def test_a_request_of_another_time_says_the_tolerance(case, shift, reason, when):
    """Both ways, with the number of seconds that the setting allows."""
    with pytest.raises(Rejected) as caught:
        case.check(case.headers(at=seconds(NOW, shift)))
    assert (caught.value.reason, caught.value.detail) == (reason, f"signed more than 300 seconds {when} it came")


UNUSABLE = {
    "empty": (SVIX.scheme, "whsec_", "the secret is empty"),
    "blank around it": (STRIPE.scheme, " " + STRIPE.secret, "the secret begins or ends with a blank"),
    "blank after it": (SVIX.scheme, SVIX.secret + "\n", "the secret begins or ends with a blank"),
    "short, as it stands": (STRIPE.scheme, "s" * 15, "the secret is shorter than 16 characters"),
    "short, decoded": (SVIX.scheme, "whsec_AAAA", "the secret is shorter than 24 bytes once decoded"),
    "no text": (STRIPE.scheme, "s" * 16 + "\udc80", "the secret is not text"),
    "no base64": (SVIX.scheme, "whsec_" + "!" * 40, "the secret is not base64"),
    "padding in front": (SVIX.scheme, "whsec_=" + "A" * 43, "the secret is not base64"),
    "the sender's own key": (SVIX.scheme, "whsk_AAAA", "a whsk_ key is the sender's: configure the whpk_ key"),
    "a token to escape": (
        PathToken(),
        "a/token/with/slashes",
        "a path token has only letters, digits, dot, dash, underscore and tilde",
    ),
    "an odd number of hex digits": (AdyenHmac(), "5e" * 16 + "5", "the secret is not pairs of hex digits"),
    "no hex": (AdyenHmac(), "5g" * 16, "the secret is not pairs of hex digits"),
    "short, in hex": (AdyenHmac(), "5e" * 15, "the secret is shorter than 16 bytes once read as hex"),
    "no password": (BasicAuth(), "a-user-without-one:", "Basic credentials are written user:password"),
    "no colon": (BasicAuth(), "a-user-without-one", "Basic credentials are written user:password"),
    "a key beside credentials": (
        AndBasicAuth(signature=AdyenHmac()),
        "no-hex-and-no-colon",
        "the secret is not pairs of hex digits",
    ),
    "no webhook id": (PAYPAL.scheme({}), "", "the secret is empty"),
    "of a hint": (
        Hint(),
        TOKEN,
        "webhooks of this provider are not signed: leave the secret out, or choose a scheme",
    ),
}


@pytest.mark.parametrize(("scheme", "secret", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_secret_that_makes_no_key_says_why(scheme, secret, message):
    """One sentence, the same for every such secret."""
    with pytest.raises(ValueError) as caught:
        scheme.key(secret)
    assert str(caught.value) == message


def test_a_public_key_of_another_length_says_what_one_is():
    """31 bytes are no Ed25519 key."""
    pytest.importorskip("cryptography", reason="the ed25519 extra is not installed")
    with pytest.raises(ValueError) as caught:
        Svix().key("whpk_" + base64.b64encode(bytes(31)).decode())
    assert str(caught.value) == "the whpk_ key is not the 32 bytes of an Ed25519 public key"


def test_a_public_key_without_the_package_says_what_to_install(monkeypatch):
    """The extra by its name."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(ValueError) as caught:
        Svix().key("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=")
    assert str(caught.value) == "a whpk_ key needs the cryptography package: install paymux[ed25519]"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"algorithm": "md5"}, "the algorithm is one of sha256, sha1, sha512, not 'md5'"),
        ({"encoding": "raw"}, "the encoding is one of hex, base64, not 'raw'"),
    ],
    ids=["algorithm", "encoding"],
)
def test_a_scheme_that_cannot_be_names_the_choices(wrong, message):
    """All of them, and what was configured instead."""
    with pytest.raises(ValueError) as caught:
        RawHmac(header=b"x-signature", **wrong)
    assert str(caught.value) == message


def test_a_header_is_named_as_it_is_configured():
    """A header of the operator's own choice, in lower case."""
    scheme = TimestampedHmac(header=b"x-pay")
    with pytest.raises(Rejected) as caught:
        scheme.verify(request(), [scheme.key(TOKEN)])
    assert caught.value.detail == "there is no x-pay header"
