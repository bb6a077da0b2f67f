"""Standard Webhooks; the pitfalls that all schemes share are in test_vulnerabilities.py."""

from __future__ import annotations

import base64
import hashlib
import sys

import pytest
from signed_requests import BODY, MESSAGE, NOW, STANDARD_WEBHOOKS, SVIX, hmac_by_hand, replaced, request, value_of

from paymux.errors import Rejected
from paymux.signatures.bare import BARE_SCHEMES
from paymux.signatures.svix import Svix

STAMP = str(int(NOW.timestamp())).encode()


def reason(headers, secret: str = SVIX.secret, scheme=SVIX.scheme) -> str:
    with pytest.raises(Rejected) as caught:
        scheme.verify(request(headers), [scheme.key(secret)])
    return caught.value.reason


def renamed(headers, family: bytes):
    return tuple(
        (family + name.lower().removeprefix(b"svix-").removeprefix(b"webhook-"), value) for name, value in headers
    )


def signed_by_hand(message: bytes, body: bytes = BODY):
    signature = hmac_by_hand(SVIX.scheme.key(SVIX.secret), message + b"." + STAMP + b"." + body, "sha256")
    return (
        (b"svix-id", message),
        (b"svix-timestamp", STAMP),
        (b"svix-signature", b"v1," + base64.b64encode(signature)),
    )


@pytest.mark.parametrize("name", ["svix", "standard-webhooks"])
def test_a_bare_scheme_reads_either_family_of_headers(name):
    """`paymux verify` takes what the svix and the standardwebhooks SDKs sign, by either name."""
    scheme = BARE_SCHEMES[name]
    for case in (SVIX, STANDARD_WEBHOOKS):
        assert scheme.verify(request(case.headers()), [scheme.key(case.secret)]) == 0


@pytest.mark.parametrize("name", ["svix", "standard-webhooks"])
def test_both_families_with_the_same_values_are_accepted(name):
    """A sender in the middle of a change of names says everything twice."""
    scheme = BARE_SCHEMES[name]
    headers = SVIX.headers() + renamed(SVIX.headers(), b"webhook-")
    assert scheme.verify(request(headers), [scheme.key(SVIX.secret)]) == 0


@pytest.mark.parametrize("part", [b"id", b"timestamp", b"signature"])
@pytest.mark.parametrize("signed", [b"svix-", b"webhook-"])
def test_families_that_disagree_are_rejected(part, signed):
    """An unsigned id beside a signed one would be a new event key for an old delivery: neither family is believed."""
    (other,) = {b"svix-", b"webhook-"} - {signed}
    good = renamed(SVIX.headers(), signed)
    forged = replaced(renamed(SVIX.headers(), other), other + part, b"msg_other")
    for headers in (good + forged, forged + good, (*good, (other + part, b"msg_other")), good + forged[:1]):
        for scheme in BARE_SCHEMES.values():
            assert reason(headers, scheme=scheme) == "signature_duplicated"


def test_a_set_mixed_of_two_families_is_no_set():
    """Complete only across the families is not complete."""
    svix, webhook = SVIX.headers(), renamed(SVIX.headers(), b"webhook-")
    for mixed in ((svix[0], webhook[1], webhook[2]), (webhook[0], svix[1], svix[2]), (svix[0], svix[1], webhook[2])):
        assert reason(mixed) == "signature_duplicated"


@pytest.mark.parametrize("message", [b"msg_1", b"!", b"~" * 255, b"evt:9/a,b=c"])
def test_an_id_of_printable_ascii_is_accepted(message):
    """Up to 255 characters."""
    assert SVIX.scheme.verify(request(signed_by_hand(message)), [SVIX.scheme.key(SVIX.secret)]) == 0


@pytest.mark.parametrize(
    "message", [b"", b" ", b"msg 1", b"msg.1", b"a" * 256, "msg_é".encode(), b"msg\x00", b"msg\x7f", b"msg\n"]
)
def test_any_other_id_is_malformed_however_well_signed(message):
    """A dot parts what is signed; other bytes have no place in an event key."""
    assert reason(signed_by_hand(message)) == "signature_malformed"


def test_moving_the_dots_of_what_is_signed_makes_no_other_delivery():
    """The same signed bytes, cut at another dot, are rejected."""
    body = b"1777897815.{}"
    good = signed_by_hand(b"msg", body)
    assert SVIX.scheme.verify(request(good, body), [SVIX.scheme.key(SVIX.secret)]) == 0
    moved = ((b"svix-id", b"msg." + STAMP), (b"svix-timestamp", b"1777897815"), good[2])
    with pytest.raises(Rejected, match="dot"):
        SVIX.scheme.verify(request(moved, b"{}"), [SVIX.scheme.key(SVIX.secret)])


def test_the_id_is_signed():
    """Another id with the same signature is a mismatch."""
    assert reason(replaced(SVIX.headers(), b"svix-id", MESSAGE.encode() + b"x")) == "signature_mismatch"


@pytest.mark.parametrize("size", [24, 25, 26, 32, 64])
def test_a_secret_may_lack_its_prefix_or_its_padding(size):
    """All spellings of a secret are one key."""
    key = bytes(range(size))
    text = base64.b64encode(key).decode()
    assert {
        SVIX.scheme.key(spelled) for spelled in (text, text.rstrip("="), "whsec_" + text, "whsec_" + text.rstrip("="))
    } == {key}


@pytest.mark.parametrize(
    "secret",
    ["whsec_" + "!" * 40, "whsec_" + "_-" * 20, "whsec_" + "é" * 40, "whsec_" + "AAAA\n" * 12 + "AAAA", "A" * 41],
)
def test_a_secret_that_is_not_base64_makes_no_key(secret):
    """Junk in a secret is an error, not a shorter key."""
    with pytest.raises(ValueError, match="not base64"):
        SVIX.scheme.key(secret)


def test_the_senders_private_key_is_refused_by_name():
    """A whsk_ key does not belong here, and the message says which one does."""
    with pytest.raises(ValueError, match="whpk_"):
        SVIX.scheme.key("whsk_" + base64.b64encode(bytes(64)).decode())


# ---- Ed25519


@pytest.fixture
def pair():
    ed25519 = pytest.importorskip(
        "cryptography.hazmat.primitives.asymmetric.ed25519", reason="the ed25519 extra is not installed"
    )
    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return private, "whpk_" + base64.b64encode(private.public_key().public_bytes_raw()).decode()


def signed_by(private):
    signature = private.sign(MESSAGE.encode() + b"." + STAMP + b"." + BODY)
    return replaced(SVIX.headers(), b"svix-signature", b"v1a," + base64.b64encode(signature))


def test_an_ed25519_signature_verifies_with_the_public_key(pair):
    """Alone, after junk, and beside an HMAC secret, whose index is another."""
    private, public = pair
    scheme = Svix()
    good = signed_by(private)
    assert scheme.verify(request(good), [scheme.key(public)]) == 0
    assert scheme.verify(request(good), [scheme.key(SVIX.secret), scheme.key(public)]) == 1
    assert scheme.verify(request(SVIX.headers()), [scheme.key(public), scheme.key(SVIX.secret)]) == 1
    entry = value_of(good, b"svix-signature")
    crowded = replaced(good, b"svix-signature", b"v1a,abc v1a, v1,x v2,y " + entry)
    assert scheme.verify(request(crowded), [scheme.key(public)]) == 0


@pytest.mark.parametrize(("before", "proven"), [(3, True), (4, False)])
def test_only_the_first_four_ed25519_signatures_are_looked_at(pair, before, proven):
    """Each takes long: a stranger's header must not make it sixteen. Entries of the other kind do not count."""
    private, public = pair
    good = signed_by(private)
    junk = b"v1a," + base64.b64encode(bytes(64)) + b" v1,x "
    crowded = replaced(good, b"svix-signature", junk * before + value_of(good, b"svix-signature"))
    if proven:
        assert SVIX.scheme.verify(request(crowded), [SVIX.scheme.key(public)]) == 0
    else:
        assert reason(crowded, public) == "signature_mismatch"


def test_v06_an_hmac_by_the_public_key_is_rejected(pair):
    """What everybody may know signs nothing: not as v1, not as v1a."""
    _, public = pair
    known = base64.b64decode(public.removeprefix("whpk_"))
    content = MESSAGE.encode() + b"." + STAMP + b"." + BODY
    for key in (known, public.encode(), public.removeprefix("whpk_").encode()):
        forged = base64.b64encode(hmac_by_hand(key, content, "sha256"))
        for version in (b"v1,", b"v1a,"):
            assert reason(replaced(SVIX.headers(), b"svix-signature", version + forged), public) == "signature_mismatch"


def test_v06_an_ed25519_signature_never_counts_for_an_hmac_secret(pair):
    """A v1a entry, whoever made it, is not looked at with a whsec_ secret."""
    private, _ = pair
    assert reason(signed_by(private)) == "signature_mismatch"


def test_an_ed25519_signature_is_rejected_when_anything_changed(pair):
    """Another byte, a cut, another form of the base64, or the v1 label."""
    private, public = pair
    good = value_of(signed_by(private), b"svix-signature")
    other_bits = good[:-3] + bytes([good[-3] + 1]) + b"=="
    assert base64.b64decode(other_bits[4:]) == base64.b64decode(good[4:])
    changed = [good[:length] for length in range(4, len(good))]
    changed += [
        other_bits,
        good + b"=",
        b"v1," + good[4:],
        b"v1a,!" + good[4:],
        good.swapcase().replace(b"V1A", b"v1a"),
        b"v1a,\xff",
    ]
    for value in changed:
        assert reason(replaced(SVIX.headers(), b"svix-signature", value), public) == "signature_mismatch"


@pytest.mark.parametrize(
    "text", ["", "AAAA", "!" * 43, base64.b64encode(bytes(31)).decode(), base64.b64encode(bytes(33)).decode()]
)
def test_what_is_no_public_key_makes_no_key(pair, text):
    """32 bytes of base64, or an error."""
    with pytest.raises(ValueError, match=r"whpk_ key is not|not base64"):
        Svix().key("whpk_" + text)


# The eight points of small order in every form that their bytes can have.
NO_KEYS = [
    f"{y}{end}"
    for y, ends in {
        "00" * 31: ("00", "80"),
        "01" + "00" * 30: ("00", "80"),
        "ec" + "ff" * 30: ("7f", "ff"),
        "ed" + "ff" * 30: ("7f", "ff"),
        "ee" + "ff" * 30: ("7f", "ff"),
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03": ("7a", "fa"),
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc": ("05", "85"),
    }.items()
    for end in ends
]


@pytest.mark.parametrize("key", NO_KEYS)
def test_a_key_that_anybody_can_sign_for(pair, key):
    """A placeholder of zeros is one: refused when it is configured."""
    with pytest.raises(ValueError, match="anybody could sign"):
        Svix().key("whpk_" + base64.b64encode(bytes.fromhex(key)).decode())


def test_why_such_a_key_is_refused(pair):
    """Somebody else's signature, made without any key, verifies for the point of order one."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    private, _ = pair
    scalar = bytearray(hashlib.sha512(private.private_bytes_raw()).digest()[:32])
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    order = 2**252 + 27742317777372353535851937790883648493
    forged = private.public_key().public_bytes_raw() + (int.from_bytes(scalar, "little") % order).to_bytes(32, "little")
    Ed25519PublicKey.from_public_bytes(b"\x01" + bytes(31)).verify(forged, b"whatever it says")


def test_without_the_package_a_public_key_says_what_to_install(monkeypatch):
    """The extra is optional, and its absence an error of the configuration, never of a delivery."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(ValueError, match=r"install paymux\[ed25519\]"):
        Svix().key("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=")
