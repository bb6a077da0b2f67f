"""An HMAC of the body, as an operator may configure it."""

from __future__ import annotations

import base64

import pytest
from signed_requests import BODY, hmac_by_hand, request

from paymux.delivery import Proof
from paymux.errors import Rejected
from paymux.signatures.raw_hmac import RawHmac

SECRET = "a secret of the tenant's own"
ENCODE = {"hex": lambda raw: raw.hex().encode(), "base64": base64.b64encode}


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("prefix", ["", "sha256=", "v1="])
def test_every_configuration_accepts_its_own_form_only(algorithm, encoding, prefix):
    """Signed as configured it verifies; in the other encoding, or of another body, it does not."""
    scheme = RawHmac(header=b"x-signature", algorithm=algorithm, encoding=encoding, prefix=prefix)
    key = scheme.key(SECRET)
    raw = hmac_by_hand(SECRET.encode(), BODY, algorithm)
    good = prefix.encode() + ENCODE[encoding](raw)
    (other,) = set(ENCODE) - {encoding}
    assert scheme.verify(request(((b"X-Signature", good),)), [key]) == 0
    with pytest.raises(Rejected, match="of no secret"):
        scheme.verify(request(((b"X-Signature", prefix.encode() + ENCODE[other](raw)),)), [key])
    with pytest.raises(Rejected, match="of no secret"):
        scheme.verify(request(((b"X-Signature", good),), BODY + b" "), [key])
    assert (scheme.proof, scheme.secret_headers) == (Proof.SIGNATURE, frozenset())


def test_a_signature_without_its_prefix_is_malformed():
    """The prefix is part of the form, in its own case."""
    scheme = RawHmac(header=b"x-signature", prefix="sha256=")
    bare = hmac_by_hand(SECRET.encode(), BODY, "sha256").hex().encode()
    for value in (bare, b"SHA256=" + bare, b"sha256:" + bare, b""):
        with pytest.raises(Rejected) as caught:
            scheme.verify(request(((b"X-Signature", value),)), [scheme.key(SECRET)])
        assert caught.value.reason == "signature_malformed"


def test_base64_has_its_own_case():
    """Only hex may change case."""
    scheme = RawHmac(header=b"x-signature", encoding="base64")
    good = base64.b64encode(hmac_by_hand(SECRET.encode(), BODY, "sha256"))
    for value in (good.swapcase(), good.rstrip(b"="), good + b"\n"):
        with pytest.raises(Rejected):
            scheme.verify(request(((b"X-Signature", value),)), [scheme.key(SECRET)])


@pytest.mark.parametrize(
    "wrong", [{"algorithm": "md5"}, {"algorithm": "none"}, {"algorithm": ""}, {"encoding": "raw"}, {"encoding": ""}]
)
def test_an_unknown_algorithm_or_encoding_is_refused_at_once(wrong):
    """A scheme that cannot be is not made."""
    with pytest.raises(ValueError, match="is one of"):
        RawHmac(header=b"x-signature", **wrong)
