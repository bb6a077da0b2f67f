"""Basic credentials, alone and beside a signature."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from Adyen.util import generate_payload_sig

from paymux.delivery import Delivery, Proof
from paymux.errors import Rejected
from paymux.signatures import verify
from paymux.signatures.adyen_hmac import AdyenHmac
from paymux.signatures.basic_auth import AndBasicAuth, BasicAuth

LOGIN, OTHER = "paymux:a-long-password", "paymux:another-password"
HEX, OTHER_HEX = "0f" * 32, "a1" * 32
BODY = b'{"type":"merchant.created","environment":"test"}'
BOTH = AndBasicAuth(signature=AdyenHmac())


def basic(login: str = LOGIN, name: bytes = b"Authorization", scheme: bytes = b"Basic ") -> tuple[bytes, bytes]:
    return (name, scheme + base64.b64encode(login.encode()))


def signed(secret: str = HEX) -> tuple[bytes, bytes]:
    return (b"HmacSignature", generate_payload_sig(BODY, secret))


def request(*headers: tuple[bytes, bytes]) -> Delivery:
    return Delivery(
        id="0190b2a6-0000-7000-8000-000000000001",
        provider="adyen",
        account="acme",
        received_at=datetime(2026, 1, 9, tzinfo=UTC),
        body=BODY,
        headers=headers,
    )


def check(scheme, secrets: tuple[str, ...], *headers: tuple[bytes, bytes]) -> int | None:
    return scheme.verify(request(*headers), [scheme.key(secret) for secret in secrets])


def reason(scheme, secrets: tuple[str, ...], *headers: tuple[bytes, bytes]) -> str:
    with pytest.raises(Rejected) as caught:
        check(scheme, secrets, *headers)
    assert not any(secret in str(caught.value) for secret in secrets)
    return caught.value.reason


def test_the_right_credentials():
    """Any of the account's, whatever the case of the scheme's name (RFC 7235)."""
    assert check(BasicAuth(), (LOGIN, OTHER), basic()) == 0
    assert check(BasicAuth(), (LOGIN, OTHER), basic(OTHER, scheme=b"BASIC ")) == 1
    assert check(BasicAuth(), ("user:pass:wörd-of-some-length",), basic("user:pass:wörd-of-some-length")) == 0


@pytest.mark.parametrize(
    "header",
    [
        basic(OTHER),
        basic(LOGIN + "x"),
        basic(LOGIN[:-1]),
        basic(scheme=b"Bearer "),
        basic(scheme=b""),
        (b"Authorization", LOGIN.encode()),
        (b"Authorization", b"Basic"),
        (b"Authorization", b"Basic "),
        (b"Authorization", b""),
        (b"Authorization", b"Basic \xff\xfe"),
        (b"Authorization", b"Basic  " + basic()[1][6:]),
        (b"Authorization", basic()[1] + b"="),
    ],
)
def test_other_credentials(header):
    """Rejected as what they are, and nothing else is raised."""
    assert reason(BasicAuth(), (LOGIN,), header) == "static_secret_mismatch"


def test_no_credentials_or_two():
    """The header stands there exactly once."""
    assert reason(BasicAuth(), (LOGIN,)) == "static_secret_missing"
    assert reason(BasicAuth(), (LOGIN,), basic(), basic(name=b"AUTHORIZATION")) == "signature_duplicated"


@pytest.mark.parametrize(
    "secret", ["", "paymux", "paymux:", ":a-long-password-alone", "a:b", " paymux:a-long-password"]
)
def test_credentials_that_are_none(secret):
    """Empty, without a user or a password, too short, with blanks around: it does not start."""
    with pytest.raises(ValueError, match=r"empty|user:password|shorter|blank"):
        BasicAuth().key(secret)


def test_they_prove_little_and_are_never_kept():
    """The proof is static, and the header is one whose value is replaced before anything is stored."""
    proven = verify(request(basic()), ((BasicAuth(), (BasicAuth().key(LOGIN),)),))
    assert proven.proof is Proof.STATIC
    kept = request(basic()).redacted(BasicAuth.secret_headers)
    assert kept.headers == ((b"Authorization", b"[redacted]"),)


def test_both_are_needed():
    """A right signature without the credentials is rejected, and the other way round."""
    secrets = (LOGIN, HEX)
    assert check(BOTH, secrets, signed(), basic()) == 1
    assert reason(BOTH, secrets, signed()) == "static_secret_missing"
    assert reason(BOTH, secrets, basic()) == "signature_missing"
    assert reason(BOTH, secrets, signed(OTHER_HEX), basic()) == "signature_mismatch"
    assert reason(BOTH, secrets, signed(), basic(OTHER)) == "static_secret_mismatch"


def test_the_place_of_the_key_that_signed():
    """It counts all of the account's secrets, so that an operator finds it in the list."""
    secrets = (OTHER, OTHER_HEX, LOGIN, HEX)
    assert check(BOTH, secrets, signed(), basic()) == 3
    assert check(BOTH, secrets, signed(OTHER_HEX), basic(OTHER)) == 1
    assert BOTH.proof is Proof.SIGNATURE
    assert b"authorization" in BOTH.secret_headers


@pytest.mark.parametrize("secrets", [(), (LOGIN,), (HEX,)])
def test_one_kind_of_secret_alone(secrets):
    """Where one is missing, nothing is accepted."""
    assert reason(BOTH, secrets, signed(), basic()) in {"static_secret_mismatch", "signature_mismatch"}


def test_credentials_are_no_key():
    """What everybody who may post knows signs nothing."""
    login = "0f:" + "0f" * 16
    stolen = (b"HmacSignature", generate_payload_sig(BODY, BasicAuth().key(login).hex()))
    assert reason(BOTH, (login, HEX), stolen, basic(login)) == "signature_mismatch"
