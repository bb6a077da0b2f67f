"""Stripe's and Flowlix's header; the pitfalls that all schemes share are in test_vulnerabilities.py."""

from __future__ import annotations

import base64

import pytest
from signed_requests import BODY, DECODED, NOW, STRIPE, replaced, request, value_of

from paymux.delivery import Proof
from paymux.errors import Rejected
from paymux.signatures import verify
from paymux.signatures.timestamped_hmac import TimestampedHmac


def reason(headers, body: bytes = BODY) -> str:
    with pytest.raises(Rejected) as caught:
        STRIPE.check(headers, body)
    return caught.value.reason


def test_a_good_delivery_is_proven_by_its_signature():
    """verify names the proof and the secret, and hands on the delivery itself."""
    delivery = request(STRIPE.headers())
    verified = verify(delivery, ((STRIPE.scheme, (STRIPE.scheme.key(STRIPE.secret),)),))
    assert (verified.delivery, verified.proof, verified.secret) == (delivery, Proof.SIGNATURE, 0)
    assert STRIPE.scheme.secret_headers == frozenset()


@pytest.mark.parametrize(
    "value",
    [b"", b"t", b"t,v1=", b",,", b"t,,", b"i'm not even a real signature header", b"t=1777897815", b"v1=" + b"a" * 64,
     b"t=1777897815,v0=" + b"a" * 64, b"t=1777897815;v1=" + b"a" * 64, b"=,=", b"t==,v1==", b"t=1,t=1,v1=" + b"a" * 64],
)  # fmt: skip
def test_a_header_that_is_not_one_time_and_a_signature_is_malformed(value):
    """Each part is needed, and the time once."""
    assert reason(((b"Stripe-Signature", value),)) == "signature_malformed"


def test_a_second_time_is_refused_even_if_equal():
    """Which time was signed must not be a question."""
    value = value_of(STRIPE.headers(), b"stripe-signature")
    stamp = value.split(b",")[0]
    for twisted in (stamp + b"," + value, value + b"," + stamp, b"t=0," + value):
        assert reason(((b"Stripe-Signature", twisted),)) == "signature_malformed"


def test_the_order_of_the_parts_does_not_matter():
    """v1 may come before t, and schemes of other names between."""
    stamp, entry = value_of(STRIPE.headers(), b"stripe-signature").split(b",")
    assert STRIPE.check(((b"Stripe-Signature", entry + b",v0=abc,x," + stamp),)) == 0


def test_another_secret_or_another_header_does_not_verify():
    """The right signature under the wrong name is as good as none."""
    assert reason(STRIPE.headers(secret=STRIPE.other)) == "signature_mismatch"
    assert reason(((b"Flowlix-Signature", value_of(STRIPE.headers(), b"stripe-signature")),)) == "signature_missing"


def test_a_raw_secret_is_never_decoded_and_a_base64_one_always():
    """The same `whsec_` text stands for two different keys."""
    raw, coded = TimestampedHmac(), TimestampedHmac(secret_encoding="base64")
    assert raw.key(DECODED.secret) == DECODED.secret.encode()
    assert coded.key(DECODED.secret) == base64.b64decode(DECODED.secret.removeprefix("whsec_"))
    headers = ((b"Stripe-Signature", value_of(DECODED.headers(), b"flowlix-signature")),)
    with pytest.raises(Rejected):
        raw.verify(request(headers), [raw.key(DECODED.secret)])
    assert coded.verify(request(headers), [coded.key(DECODED.secret)]) == 0


@pytest.mark.parametrize(
    "secret", ["whsec_not base64 at all!!", "whsec_é" * 9, "whsec_" + "_-" * 20, "whsec_" + "A" * 33]
)
def test_a_base64_secret_that_is_none_makes_no_key(secret):
    """A mistake in the secret is an error at start, not a mismatch for ever."""
    with pytest.raises(ValueError, match="not base64"):
        TimestampedHmac(secret_encoding="base64").key(secret)


def test_blanks_around_a_secret_are_an_error():
    """The line end of a secret file would otherwise become part of the key."""
    for secret in (STRIPE.secret + "\n", " " + STRIPE.secret):
        with pytest.raises(ValueError, match="blank"):
            STRIPE.scheme.key(secret)


def test_the_time_is_signed_too():
    """A fresh time over an old signature is a mismatch."""
    fresh = b"t=%d" % (int(NOW.timestamp()) + 1)
    old = value_of(STRIPE.headers(), b"stripe-signature").split(b",", 1)[1]
    assert reason(replaced(STRIPE.headers(), b"stripe-signature", fresh + b"," + old)) == "signature_mismatch"
