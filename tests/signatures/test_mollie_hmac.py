"""Mollie's signature: hex with or without `sha256=`. The fixed ones are of test_vectors.py."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from signed_requests import BODY, request

from paymux.delivery import Proof
from paymux.errors import Rejected
from paymux.signatures.mollie_hmac import MollieHmac

SCHEME = MollieHmac()
SECRETS = ("webhook-secret-of-may", "webhook-secret-of-june")
KEYS = [SCHEME.key(secret) for secret in SECRETS]


def digest(body=BODY, secret=SECRETS[0]) -> bytes:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()


def judged(*values: bytes, body=BODY) -> int:
    return SCHEME.verify(request(tuple((b"X-Mollie-Signature", value) for value in values), body), KEYS)


def reason(*values: bytes, body=BODY) -> str:
    with pytest.raises(Rejected) as caught:
        judged(*values, body=body)
    return caught.value.reason


@pytest.mark.parametrize("prefix", [b"sha256=", b""])
@pytest.mark.parametrize("case", [bytes.lower, bytes.upper])
def test_hex_with_and_without_the_prefix(prefix, case):
    """Mollie's SDK takes both, and hex in either case."""
    assert judged(prefix + case(digest())) == 0
    assert SCHEME.proof is Proof.SIGNATURE


def test_any_of_two_secrets():
    """While the secret is changed, which one matched is known."""
    assert judged(b"sha256=" + digest(secret=SECRETS[1])) == 1


def test_no_header_is_no_classic_webhook():
    """What Mollie's SDK calls a legacy webhook is refused where signatures are expected."""
    assert reason() == "signature_missing"


def test_two_headers():
    """Even where one of them is right: which one was checked would be a guess for whoever reads it later."""
    assert reason(b"sha256=" + digest(), b"sha256=" + digest()) == "signature_duplicated"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"sha256=",
        b"sha1=" + digest(),
        b"SHA256=" + digest(),
        b"sha256=sha256=" + digest(),
        b"sha256= " + digest(),
        b"sha256=" + digest() + b",sha256=" + digest(),
        b"sha256=" + digest()[:-1],
        b"sha256=" + digest(secret="somebody-else's-secret"),
        b"\xff" * 64,
    ],
)
def test_what_is_no_signature_of_it(value):
    """One prefix, once, then the whole digest."""
    assert reason(value) == "signature_mismatch"


def test_another_body():
    """The bytes are signed, not what they mean."""
    assert reason(b"sha256=" + digest(), body=BODY + b"\n") == "signature_mismatch"


@pytest.mark.parametrize(("secret", "wrong"), [("", "empty"), ("k3y", "shorter than 16"), (" " + "x" * 20, "blank")])
def test_a_secret_that_cannot_be_used(secret, wrong):
    """It does not start, and the message does not hold it."""
    with pytest.raises(ValueError, match=wrong) as caught:
        SCHEME.key(secret)
    assert not secret.strip() or secret not in str(caught.value)
