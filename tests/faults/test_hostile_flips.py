"""Every single-bit flip of a signed delivery of 2 kB, for each scheme of each provider.

What a flip may do without a rejection stands in one table; both directions are held: nothing beside the table is
accepted, and what is in the table is, with the same translation.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from faults.hostile.flips import CASE, Unsigned, flipped, in_each_bit, unsigned

from paymux.delivery import Proof, Verified
from paymux.errors import Rejected
from paymux.provider import Account
from paymux.providers.flexportal import FLEXPORTAL
from paymux.providers.flexprice import FLEXPRICE
from paymux.providers.stripe import STRIPE
from paymux.sandbox import samples
from paymux.signatures import verify
from paymux.signatures.path_token import PathToken
from paymux.signatures.static_secret import StaticHeader
from paymux.statement import Quarantined
from paymux.translate import translate
from tests.providers.signers import MESSAGE_ID, NOW, PLAIN, SECONDS, WAYS, WHSEC

if TYPE_CHECKING:
    from collections.abc import Callable

    from paymux.delivery import Delivery
    from paymux.provider import Provider
    from tests.providers.signers import Headers, Way

SIZE = 2048
TOKEN = "an-unguessable-path-token"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = "whpk_" + base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()


@dataclass(frozen=True, kw_only=True)
class Case:
    """`covers`: the body is signed. `signature`: the header that holds it, `written` how it stands there."""

    label: str
    account: Account
    delivery: Delivery
    covers: bool = True
    signature: bytes | None = None
    written: re.Pattern[bytes] = re.compile(rb"(?!)")
    decode: Callable[[bytes], bytes] = bytes
    encode: Callable[[bytes], bytes] = bytes


HEX = re.compile(rb"(?:^|v1=)([0-9a-f]{64})")
BASE64 = re.compile(rb"(?:v1a?,|sha512=)([A-Za-z0-9+/]+={0,2})")


def _from_hex(text: bytes) -> bytes:
    return bytes.fromhex(text.decode())


def _to_hex(raw: bytes) -> bytes:
    return raw.hex().encode()


def body_of(provider: Provider) -> bytes:
    """The provider's largest sample that fits, with blanks to the size wanted: they are signed like the rest."""
    bodies = [orjson.dumps(orjson.loads(sample.body)) for sample in samples.webhooks(provider.name)]
    return max((body for body in bodies if len(body) <= SIZE), key=len).ljust(SIZE)


def _case(way: Way) -> Case:
    return _signed(way.label, way.account(), way.delivery(body_of(way.provider)), covers=way.binds)


def _signed(label: str, account: Account, delivery: Delivery, *, covers: bool = True) -> Case:
    """The signature is found in the headers by its form."""
    for written, decode, encode in ((HEX, _from_hex, _to_hex), (BASE64, base64.b64decode, base64.b64encode)):
        for name, value in delivery.headers:
            if covers and written.search(value):
                return Case(
                    label=label, account=account, delivery=delivery, signature=name.lower(), written=written,
                    decode=decode, encode=encode,
                )  # fmt: skip
    return Case(label=label, account=account, delivery=delivery, covers=covers)


def _way(label: str) -> Way:
    return next(way for way in WAYS if way.label == label)


def _among_others(label: str, signature: bytes, more: bytes) -> Case:
    """As the way of that name, with entries of other versions beside the good one."""
    way = _way(label)
    plain = way.delivery(body_of(way.provider))
    headers = tuple((name, value + more if name.lower() == signature else value) for name, value in plain.headers)
    return _signed(f"{label}, among other versions", way.account(), replace(plain, headers=headers))


def _ed25519() -> Case:
    body, scheme = body_of(FLEXPRICE), FLEXPRICE.scheme({})
    signature = PRIVATE.sign(b"%b.%d.%b" % (MESSAGE_ID.encode(), SECONDS, body))
    headers = (
        (b"webhook-id", MESSAGE_ID.encode()),
        (b"webhook-timestamp", str(SECONDS).encode()),
        (b"webhook-signature", b"v1a," + base64.b64encode(signature)),
    )
    account = Account(provider=FLEXPRICE, name="acme", checks=((scheme, (scheme.key(PUBLIC),)),))
    return _signed("flexprice, ed25519", account, _way("flexprice, svix").sent(body, headers))


def _bearer() -> Case:
    scheme = StaticHeader(header=b"authorization")
    account = Account(provider=FLEXPORTAL, name="acme", checks=((scheme, (scheme.key(PLAIN[0]),)),))
    headers: Headers = ((b"Authorization", f"Bearer {PLAIN[0]}".encode()),)
    sent = _way("flexportal, hint").sent(body_of(FLEXPORTAL), headers)
    return Case(label="flexportal, bearer", account=account, delivery=sent, covers=False)


def _path_token() -> Case:
    scheme = PathToken()
    account = Account(provider=FLEXPORTAL, name="acme", checks=((scheme, (scheme.key(TOKEN),)),))
    sent = replace(_way("flexportal, hint").sent(body_of(FLEXPORTAL), ()), path_token=TOKEN)
    return Case(label="flexportal, path token", account=account, delivery=sent, covers=False)


def _signed_and_static() -> Case:
    """A signature and a path token together: each is needed."""
    way, token = _way("stripe"), PathToken()
    checks = (*way.account().checks, (token, (token.key(TOKEN),)))
    delivery = replace(way.delivery(body_of(STRIPE)), path_token=TOKEN)
    return _signed("stripe, path token too", Account(provider=STRIPE, name="acme", checks=checks), delivery)


CASES = (
    *map(_case, WAYS),
    _among_others("stripe", b"stripe-signature", b",v0=" + b"5f" * 32),
    _among_others("flowglad, svix", b"svix-signature", b" v2,c29tZXRoaW5n v1a,bm90aGluZw=="),
    _ed25519(),
    _bearer(),
    _path_token(),
    _signed_and_static(),
)  # fmt: skip

# What no scheme of ours signs, or reads in two ways. Base64 is not in it: spare bits and padding are held to one form.
EVERYWHERE = (
    Unsigned(what="the case of a header's name", part="name", where=re.compile(rb"[A-Za-z]"), bits=CASE),
    Unsigned(what="a header that no scheme reads", part="name", header=rb"content-type"),
    Unsigned(what="a header that no scheme reads", part="value", header=rb"content-type"),
)
_HEX_LETTERS = re.compile(rb"[a-f](?=[0-9a-f]*(?:,|$))")
_HEX_CASE = partial(Unsigned, what="the case of hex digits", part="value", where=_HEX_LETTERS, bits=CASE)
_BODY = Unsigned(what="the body, which the proof says nothing about", part="body")
# Label -> what else may flip.
ALONE = {
    "flexportal, hint": (_BODY,),
    "flexportal, static header": (_BODY,),
    "flexportal, hmac": (_HEX_CASE(header=rb"x-signature"),),
    "flexprice, native": (_BODY,),
    "flowlix": (_HEX_CASE(header=rb"flowlix-signature"),),
    "flowlix, base64": (_HEX_CASE(header=rb"flowlix-signature"),),
    "stripe": (_HEX_CASE(header=rb"stripe-signature"),),
    "stripe, among other versions": (
        _HEX_CASE(header=rb"stripe-signature"),
        Unsigned(what="an entry of another version", part="value", where=re.compile(rb",(v0=.*)")),
    ),
    "flowglad, svix, among other versions": (
        Unsigned(what="an entry of another version", part="value", where=re.compile(rb" (v2,.*)")),
    ),
    "flexportal, bearer": (
        _BODY,
        Unsigned(
            what="the case of Bearer",
            part="value",
            header=rb"authorization",
            where=re.compile(rb"^(Bearer)"),
            bits=CASE,
        ),
    ),
    "flexportal, path token": (_BODY,),
    "stripe, path token too": (_HEX_CASE(header=rb"stripe-signature"),),
}

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)


def accepted(account: Account, delivery: Delivery) -> Verified | None:
    try:
        return verify(delivery, account.checks)
    except Rejected:
        return None


def test_each_scheme_and_provider_is_here():
    """Every scheme of the package but for combinations, and every way in which a provider signs."""
    schemes = {type(scheme).__name__ for case in CASES for scheme, _ in case.account.checks}
    assert schemes == {"TimestampedHmac", "Svix", "RawHmac", "StaticHeader", "PathToken", "Hint"}
    assert {way.label for way in WAYS} < {case.label for case in CASES}
    assert set(ALONE) <= {case.label for case in CASES}


@every_case
def test_one_flipped_bit(case):
    """A flip is rejected, or it is in the table and means the same; every one of the table is accepted."""
    free = unsigned(case.delivery, (*EVERYWHERE, *ALONE.get(case.label, ())))
    proven = accepted(case.account, case.delivery)
    assert proven is not None
    same = translate(case.account, proven)
    assert not any(isinstance(item.outcome, Quarantined) for item in same)
    tried = 0
    for place, delivery in flipped(case.delivery):
        tried += 1
        proven = accepted(case.account, delivery)
        assert (proven is not None) == (place in free), f"{place} {free.get(place, 'is signed')}"
        if proven is None:
            continue
        items = translate(case.account, proven)
        assert items == same or place.part == "body", place
        assert all(getattr(item.outcome, "reason", "") != "internal_error" for item in items), place
    assert tried > SIZE * 8


@pytest.mark.parametrize("case", [case for case in CASES if case.signature], ids=lambda case: case.label)
def test_one_flipped_bit_of_the_decoded_signature(case):
    """Decoded, flipped, written again as it should be written: rejected, whichever bit."""
    [(name, value)] = [(name, value) for name, value in case.delivery.headers if name.lower() == case.signature]
    start, end = case.written.search(value).span(1)
    raw = case.decode(value[start:end])
    assert case.encode(raw) == value[start:end]
    for other in in_each_bit(raw):
        written = value[:start] + case.encode(other) + value[end:]
        headers = tuple((key, written if key == name else old) for key, old in case.delivery.headers)
        assert accepted(case.account, replace(case.delivery, headers=headers)) is None


def test_a_binding_proof_is_of_a_signature():
    """What signs the body is a signature, what does not is a shared secret or a hint: no third kind."""
    for case in CASES:
        assert case.covers == (case.account.checks[0][0].proof is Proof.SIGNATURE), case.label
        assert case.covers == (case.signature is not None), case.label


def test_the_test_sees_a_bit_that_is_not_signed():
    """A sender that signs all of the body but its last byte is found out by the flips of that byte."""

    class Careless(type(STRIPE.signature)):
        def verify(self, delivery, keys):
            return super().verify(replace(delivery, body=delivery.body[:-1]), keys)

    body = body_of(STRIPE)
    digest = hmac.new(WHSEC[0].encode(), b"%d." % SECONDS + body[:-1], "sha256").hexdigest()
    headers: Headers = ((b"Stripe-Signature", f"t={SECONDS},v1={digest}".encode()),)
    careless = Careless()
    account = Account(provider=STRIPE, name="acme", checks=((careless, (WHSEC[0].encode(),)),))
    case = Case(label="careless", account=account, delivery=_way("stripe").sent(body, headers))
    assert case.delivery.received_at == NOW
    with pytest.raises(AssertionError, match=r"Place\(part='body', header=b'', byte=2047, bit=1\) is signed"):
        test_one_flipped_bit(case)
