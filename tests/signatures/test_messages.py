"""What a verdict says, word for word: an operator reads it beside `paymux verify`, or where a setting is refused."""

from __future__ import annotations

import base64
import sys
from dataclasses import dataclass

import pytest
from signed_requests import BODY, DECODED, NOW, RAW, STANDARD_WEBHOOKS, STRIPE, SVIX, TIMED, replaced, request, seconds

from paymux.errors import Rejected
from paymux.signatures import verify
from paymux.signatures.hint import Hint
from paymux.signatures.path_token import PathToken
from paymux.signatures.raw_hmac import RawHmac
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


def of(case, headers, reason, detail):
    return Refusal(case.scheme, case.secret, headers, reason, detail)


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
