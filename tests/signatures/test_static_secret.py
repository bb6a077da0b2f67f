"""A header that holds the secret itself."""

from __future__ import annotations

import pytest
from signed_requests import request

from paymux.delivery import REDACTED, Proof
from paymux.errors import Rejected
from paymux.signatures import verify
from paymux.signatures.static_secret import StaticHeader

SECRET, OTHER = "0a1b2c3d4e5f60718293", "an older one: \u00e9\u00e8 and long"


def reason(scheme, headers) -> str:
    with pytest.raises(Rejected) as caught:
        scheme.verify(request(headers), [scheme.key(SECRET), scheme.key(OTHER)])
    return caught.value.reason


def test_the_secret_in_its_header_is_a_static_proof():
    """Any of the secrets, the header's name in any case; the index tells which."""
    scheme = StaticHeader(header=b"x-webhook-key")
    checks = ((scheme, (scheme.key(SECRET), scheme.key(OTHER))),)
    for index, secret in enumerate((SECRET, OTHER)):
        verified = verify(request(((b"X-Webhook-Key", secret.encode()),)), checks)
        assert (verified.proof, verified.secret) == (Proof.STATIC, index)


def test_the_header_is_named_as_a_secret_and_its_value_is_never_stored():
    """Redacting by the scheme's own list leaves nothing of the secret."""
    scheme = StaticHeader(header=b"x-webhook-key")
    stored = request(((b"X-Webhook-Key", SECRET.encode()),)).redacted(scheme.secret_headers)
    assert stored.header(b"x-webhook-key") == [REDACTED]


@pytest.mark.parametrize(
    "value",
    [b"", b" ", SECRET[:-1].encode(), SECRET.encode() + b"0", SECRET.upper().encode(), b" " + SECRET.encode(), b"\xff" * 20,
     b"Bearer " + SECRET.encode(), REDACTED],
)  # fmt: skip
def test_any_other_value_is_a_mismatch(value):
    """The value must be the secret, whole and alone; Bearer belongs to another header."""
    assert reason(StaticHeader(header=b"x-webhook-key"), ((b"X-Webhook-Key", value),)) == "static_secret_mismatch"


def test_a_missing_or_repeated_header_proves_nothing():
    """None is missing, two are one too many even if both are right."""
    scheme = StaticHeader(header=b"x-webhook-key")
    assert reason(scheme, ()) == "static_secret_missing"
    assert (
        reason(scheme, ((b"X-Webhook-Key", SECRET.encode()), (b"x-webhook-key", SECRET.encode())))
        == "signature_duplicated"
    )


@pytest.mark.parametrize("scheme_name", [b"Bearer ", b"bearer ", b"BEARER ", b""])
def test_an_authorization_header_may_say_bearer(scheme_name):
    """`Bearer <secret>` and the bare secret are both the secret."""
    scheme = StaticHeader(header=b"authorization")
    value = scheme_name + SECRET.encode()
    assert scheme.verify(request(((b"Authorization", value),)), [scheme.key(SECRET)]) == 0


@pytest.mark.parametrize(
    "value",
    [
        b"Basic " + SECRET.encode(),
        b"Bearer",
        b"Bearer ",
        b"Bearer  " + SECRET.encode(),
        b"Bearer Bearer " + SECRET.encode(),
    ],
)
def test_another_authorization_is_a_mismatch(value):
    """Only one Bearer, one blank, and the secret."""
    assert reason(StaticHeader(header=b"authorization"), ((b"Authorization", value),)) == "static_secret_mismatch"


def test_a_whole_authorization_value_may_be_the_secret():
    """An operator who configures `Basic ...` or `Bearer ...` whole is understood."""
    scheme = StaticHeader(header=b"authorization")
    for whole in ("Basic dXNlcjpwYXNzd29yZA==", "Bearer " + SECRET):
        assert scheme.verify(request(((b"Authorization", whole.encode()),)), [scheme.key(whole)]) == 0
