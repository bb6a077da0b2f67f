"""Every single-bit flip of a signed delivery of 2 kB, for each way in which each provider signs.

What a flip may do without a rejection stands in tables; both directions are held: nothing beside the tables is
accepted, and what is in them is, with the same translation, or one that differs in a named field only.

The largest sample that fits is flipped here; every sample of every way is, as it is, with
`pytest --hypothesis-profile=long --timeout=0 tests/faults/test_hostile_flips.py`.
"""

from __future__ import annotations

import base64
import hmac
import inspect
import pkgutil
import re
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509 import load_pem_x509_certificate
from faults.hostile.flips import CASE, Unsigned, differing, flipped, in_each_bit, unsigned
from hypothesis import settings

from paymux import signatures
from paymux.delivery import Proof, Verified
from paymux.errors import NeedsCertificate, Rejected, Untranslatable
from paymux.provider import Account
from paymux.providers.adyen import ADYEN
from paymux.providers.flexportal import FLEXPORTAL
from paymux.providers.flexprice import FLEXPRICE
from paymux.providers.paypal import PAYPAL
from paymux.providers.stripe import STRIPE
from paymux.signatures import verify
from paymux.signatures.certificates import Certificate
from paymux.signatures.path_token import PathToken
from paymux.signatures.static_secret import StaticHeader
from paymux.statement import Quarantined
from paymux.testing import junk
from paymux.translate import translate
from tests.paypal_signing import URL as CERTIFICATE_URL
from tests.providers.signers import HEX, MESSAGE_ID, NOW, PAYPALS, PLAIN, SECONDS, WAYS, WHSEC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from paymux.delivery import Delivery
    from paymux.testing import Way
    from paymux.testing.ways import Change, Headers

SIZE = 2048
LONG = settings().max_examples >= 100_000
TOKEN = "an-unguessable-path-token"
LOGIN = "paymux:a-long-password"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = "whpk_" + base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()


@dataclass(frozen=True, kw_only=True)
class Case:
    """`binds`: the proof is about the body. `signature` is the header that holds it; where the body does, `spoil`
    changes it there, `covers` says what it is about, and `covered` is that of this one. `certificates` are those at hand.
    """

    label: str
    account: Account
    delivery: Delivery
    binds: bool = True
    signature: bytes | None = None
    spoil: Callable[[bytes, Change], bytes] | None = None
    covers: Callable[[bytes], object] | None = None
    covered: object = None
    certificates: Mapping[str, Certificate] = field(default_factory=dict)

    def accepted(self, delivery: Delivery) -> Verified | None:
        try:
            return verify(delivery, self.account.checks, self.certificates)
        except (Rejected, NeedsCertificate):
            return None

    def means_the_same(self, body: bytes) -> bool:
        """Whether all that is signed of the body is as it was, by the provider's SDK or by Python's own parsers."""
        assert self.covers is not None
        try:
            return self.covers(body) == self.covered
        except Exception:  # noqa: BLE001  # covers() may refuse in any way
            return False


# --- the cases


def body_of(way: Way) -> bytes:
    """The largest sample of the way that fits, with blanks to the size wanted: they are signed like the rest. A form
    has no place for them.
    """
    bodies = [_compact(sample.body) for sample in way.samples]
    body = max((body for body in bodies if len(body) <= SIZE), key=len)
    return body.ljust(SIZE) if body.startswith((b"{", b"<")) else body


def _compact(body: bytes) -> bytes:
    return orjson.dumps(orjson.loads(body)) if body.startswith(b"{") else body


def _padded(delivery: Delivery) -> Delivery:
    """Where the proof stands in JSON, writing it drops the blanks. None of them is signed, and none may change."""
    return replace(delivery, body=delivery.body.ljust(SIZE))


def _cases(way: Way) -> list[Case]:
    if not LONG:
        return [_case(way, way.label, body_of(way))]
    return [_case(way, f"{way.label}: {sample.label}", sample.body) for sample in way.samples]


def _case(way: Way, label: str, body: bytes) -> Case:
    sent = way.delivery(body)
    delivery = _padded(sent) if way.spoil and sent.body.startswith(b"{") else sent
    return Case(
        label=label,
        account=way.account(),
        delivery=delivery,
        binds=way.binds,
        signature=way.signature,
        spoil=way.spoil,
        covers=way.covers if way.spoil else None,
        covered=way.covers(delivery.body) if way.spoil else None,
    )


def _way(label: str) -> Way:
    return next(way for way in WAYS if way.label == label)


def _among_others(label: str, signature: bytes, more: bytes) -> Case:
    """As the way of that name, with entries of other versions beside the good one."""
    case = _case(_way(label), f"{label}, among other versions", body_of(_way(label)))
    headers = tuple(
        (name, value + more if name.lower() == signature else value) for name, value in case.delivery.headers
    )
    return replace(case, delivery=replace(case.delivery, headers=headers))


def _ed25519() -> Case:
    body, scheme = body_of(_way("flexprice, svix")), FLEXPRICE.scheme({})
    signature = PRIVATE.sign(b"%b.%d.%b" % (MESSAGE_ID.encode(), SECONDS, body))
    headers = (
        (b"webhook-id", MESSAGE_ID.encode()),
        (b"webhook-timestamp", str(SECONDS).encode()),
        (b"webhook-signature", b"v1a," + base64.b64encode(signature)),
    )
    account = Account(provider=FLEXPRICE, name="acme", checks=((scheme, (scheme.key(PUBLIC),)),))
    delivery = _way("flexprice, svix").sent(body, headers)
    return Case(label="flexprice, ed25519", account=account, delivery=delivery, signature=b"webhook-signature")


def _bearer() -> Case:
    scheme = StaticHeader(header=b"authorization")
    account = Account(provider=FLEXPORTAL, name="acme", checks=((scheme, (scheme.key(PLAIN[0]),)),))
    headers: Headers = ((b"Authorization", f"Bearer {PLAIN[0]}".encode()),)
    sent = _way("flexportal, hint").sent(body_of(_way("flexportal, hint")), headers)
    return Case(label="flexportal, bearer", account=account, delivery=sent, binds=False)


def _path_token() -> Case:
    scheme = PathToken()
    account = Account(provider=FLEXPORTAL, name="acme", checks=((scheme, (scheme.key(TOKEN),)),))
    sent = replace(_way("flexportal, hint").sent(body_of(_way("flexportal, hint")), ()), path_token=TOKEN)
    return Case(label="flexportal, path token", account=account, delivery=sent, binds=False)


def _signed_and_static() -> Case:
    """A signature and a path token together: each is needed."""
    token = PathToken()
    case = _case(_way("stripe"), "stripe, path token too", body_of(_way("stripe")))
    account = replace(case.account, checks=(*case.account.checks, (token, (token.key(TOKEN),))))
    return replace(case, account=account, delivery=replace(case.delivery, path_token=TOKEN))


def _signed_with_credentials() -> Case:
    """A signature over the whole body and Basic credentials together: each is needed."""
    scheme = ADYEN.scheme({"authentication": "hmac-and-basic"})
    case = _case(_way("adyen, platform"), "adyen, platform and basic", body_of(_way("adyen, platform")))
    account = replace(case.account, checks=((scheme, tuple(map(scheme.key, (HEX[0], LOGIN)))),))
    login = (b"Authorization", b"Basic " + base64.b64encode(LOGIN.encode()))
    return replace(case, account=account, delivery=replace(case.delivery, headers=(*case.delivery.headers, login)))


def _fetched_certificate() -> Case:
    """PayPal's certificate as it is fetched: at hand under the URL that the delivery names, and under no other."""
    scheme, way = PAYPAL.scheme({}), _way("paypal")
    found = load_pem_x509_certificate(PAYPALS.pem.encode())
    known = Certificate(key=found.public_key(), begins=found.not_valid_before_utc, ends=found.not_valid_after_utc)
    case = _case(way, "paypal, certificate by its URL", body_of(way))
    account = Account(provider=PAYPAL, name="acme", checks=((scheme, (scheme.key(way.secrets[0]),)),))
    return replace(case, account=account, certificates={CERTIFICATE_URL: known})


CASES = (
    *(case for way in WAYS for case in _cases(way)),
    _among_others("stripe", b"stripe-signature", b",v0=" + b"5f" * 32),
    _among_others("flowglad, svix", b"svix-signature", b" v2,c29tZXRoaW5n v1a,bm90aGluZw=="),
    _ed25519(),
    _bearer(),
    _path_token(),
    _signed_and_static(),
    _signed_with_credentials(),
    _fetched_certificate(),
)  # fmt: skip

# --- what may flip

# What no scheme of ours signs, or reads in two ways. Base64 is not in it: spare bits and padding are held to one form.
EVERYWHERE = (
    Unsigned(what="the case of a header's name", part="name", where=re.compile(rb"[A-Za-z]"), bits=CASE),
    Unsigned(what="a header that no scheme reads", part="name", header=rb"content-type"),
    Unsigned(what="a header that no scheme reads", part="value", header=rb"content-type"),
)
_HEX_LETTERS = re.compile(rb"[a-f](?=[0-9a-f]*(?:,|$))")
_HEX_CASE = partial(Unsigned, what="the case of hex digits", part="value", where=_HEX_LETTERS, bits=CASE)
_CASE = partial(Unsigned, what="the case of a word", part="value", header=rb"authorization", bits=CASE)


def _unread(header: bytes) -> tuple[Unsigned, Unsigned]:
    """A header that the provider sends and that proves nothing."""
    what = "a header that no scheme reads"
    return Unsigned(what=what, part="name", header=header), Unsigned(what=what, part="value", header=header)


_BODY = Unsigned(what="the body, which the proof says nothing about", part="body")
_ANY_FILE = Unsigned(
    what="which file, where the certificate that the configuration holds stands for all of them",
    part="value",
    header=rb"paypal-cert-url",
    still=re.compile(rb"https://api\.sandbox\.paypal\.com(/[A-Za-z0-9_-]+)+"),
)
# Label of the way or case -> what else may flip.
ALONE = {
    "adyen, platform": _unread(rb"protocol"),
    "adyen, platform and basic": (*_unread(rb"protocol"), _CASE(where=re.compile(rb"^(Basic)"))),
    "adyen, basic": (_BODY, _CASE(where=re.compile(rb"^(Basic)"))),
    "checkout": (_HEX_CASE(header=rb"cko-signature"),),
    "gocardless": (_HEX_CASE(header=rb"webhook-signature"),),
    "klarna, hint": (_BODY,),
    "klarna, network in hex": (_HEX_CASE(header=rb"klarna-signature"), *_unread(rb"klarna-signing-key-id")),
    "klarna, network in base64": _unread(rb"klarna-signing-key-id"),
    "mollie": (_HEX_CASE(header=rb"x-mollie-signature"),),
    "mollie, bare hex": (_HEX_CASE(header=rb"x-mollie-signature"),),
    "mollie, classic": (_BODY,),
    "paypal": (_ANY_FILE, *_unread(rb"paypal-auth-version")),
    "paypal, certificate by its URL": _unread(rb"paypal-auth-version"),
    "paystack": (_HEX_CASE(header=rb"x-paystack-signature"),),
    "razorpay": (_HEX_CASE(header=rb"x-razorpay-signature"), *_unread(rb"x-razorpay-event-id")),
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
    "flexportal, bearer": (_BODY, _CASE(where=re.compile(rb"^(Bearer)"))),
    "flexportal, path token": (_BODY,),
    "stripe, path token too": (_HEX_CASE(header=rb"stripe-signature"),),
}

# Label -> what the proof in the body leaves uncovered, as pointers without positions, and why it may be so. Adyen signs
# eight fields of an item: its references, the merchant's account and reference, value, currency, event and success.
_ITEM = "/notificationItems/NotificationRequestItem"
_EXTRA = f"{_ITEM}/additionalData"
UNSIGNED_FIELDS = {
    "adyen, standard notifications": {
        "/live": "the mode: an account whose configuration says its own quarantines the other one",
        f"{_ITEM}/eventDate": "the time orders events, and the key of the event is signed",
        f"{_ITEM}/paymentMethod": "the method is shown, nothing follows from it",
        f"{_ITEM}/reason": "words beside the outcome, which is signed",
        f"{_EXTRA}/cardSummary": "the method, too",
        f"{_EXTRA}/chargebackReasonCode": "the reason of a dispute, not its amount",
        f"{_EXTRA}/defensePeriodEndsAt": "until when to answer",
        f"{_EXTRA}/disputeStatus": "the outcome of a dispute where the event code leaves it open: Adyen says it here only",
        f"{_EXTRA}/metadata.channel": "the merchant's own words",
        f"{_EXTRA}/metadata.order_id": "the merchant's own words",
        f"{_EXTRA}/modification.action": "whether CANCEL_OR_REFUND was a cancellation: Adyen says it here only",
        f"{_EXTRA}/refusalReasonRaw": "words beside the outcome, which is signed",
        f"{_EXTRA}/rfiReasonCode": "the reason of an inquiry",
        f"{_EXTRA}/shopperReference": "the merchant's own name for the customer",
    },
}

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)


def of(table: Mapping[str, object], case: Case, default: object) -> object:
    """What a table says of the case, or of the way whose sample it is."""
    return table.get(case.label, table.get(case.label.partition(": ")[0], default))


def may_differ(case: Case, delivery: Delivery) -> bool:
    """Whether a body with one flipped bit is to be accepted, beside what the tables name."""
    return case.covers is not None and case.means_the_same(delivery.body) and _is_read(case, delivery.body)


def _is_read(case: Case, body: bytes) -> bool:
    """What paymux cannot read it cannot find a signature in."""
    try:
        return bool(case.account.provider.parse(body))
    except Untranslatable:
        return False


def test_each_scheme_and_provider_is_here():
    """Every scheme of the package, alone or in another, and every way in which a provider signs."""
    found = {type(scheme).__name__ for case in CASES for scheme, _ in case.account.checks}
    assert found == {scheme.__name__ for scheme in schemes()}
    assert {way.label for way in WAYS} <= {case.label.partition(": ")[0] for case in CASES}
    assert {*ALONE, *UNSIGNED_FIELDS} <= {
        name for case in CASES for name in (case.label, case.label.partition(": ")[0])
    }


@pytest.mark.skipif(LONG, reason="the long form takes every sample as it is")
def test_the_deliveries_are_of_two_kilobytes():
    """But for the one that is an id in a form."""
    assert {case.label for case in CASES if len(case.delivery.body) < SIZE} == {"mollie, classic"}


def schemes() -> set[type]:
    """Every class in the room of the schemes that verifies."""
    names = [f"{signatures.__name__}.{found.name}" for found in pkgutil.iter_modules(signatures.__path__)]
    classes = {one for name in names for one in vars(import_module(name)).values() if inspect.isclass(one)}
    return {one for one in classes if hasattr(one, "verify") and one.__module__ in names}


@every_case
def test_one_flipped_bit(case):
    """A flip is rejected, or it is in the tables and means the same; every one of the tables is accepted."""
    free = unsigned(case.delivery, (*EVERYWHERE, *of(ALONE, case, ())))
    proven = case.accepted(case.delivery)
    assert proven is not None
    same = translate(case.account, proven)
    assert not any(isinstance(item.outcome, Quarantined) for item in same)
    tried, fields = 0, set()
    for place, delivery in flipped(case.delivery):
        tried += 1
        proven = case.accepted(delivery)
        is_free = place in free or (place.part == "body" and may_differ(case, delivery))
        assert (proven is not None) == is_free, f"{place} {free.get(place, 'is signed')}"
        if proven is None:
            continue
        items = translate(case.account, proven)
        assert all(getattr(item.outcome, "reason", "") != "internal_error" for item in items), place
        if items != same:
            fields |= fields_that_differ(case, place, delivery, items, same)
    assert fields <= set(of(UNSIGNED_FIELDS, case, ()))
    assert tried > len(case.delivery.body) * 8


def fields_that_differ(case, place, delivery, items, same) -> set[str]:
    """Where a translation differs from the genuine one's, the flip is in the body. Where that is signed, the proof does
    not cover the field, which is given, and what is understood keeps its event key: it is no second event.
    """
    assert place.part == "body", place
    if not case.binds:
        return set()
    for item, genuine in zip(items, same, strict=True):
        assert item.event_key == genuine.event_key or isinstance(item.outcome, Quarantined), place
    return set(differing(orjson.loads(case.delivery.body), orjson.loads(delivery.body)))


UNSIGNED = [(label, place) for label, places in UNSIGNED_FIELDS.items() for place in places]


@pytest.mark.parametrize(("label", "place"), UNSIGNED, ids=str)
def test_a_field_that_is_not_signed(label, place):
    """Some sample has it; with one bit of it flipped, that one is accepted and says something else. No entry of the
    table outlives its reason.
    """
    way = _way(label)
    account = way.account()

    def said(delivery: Delivery) -> list[object]:
        return [item.outcome for item in translate(account, way.prove(delivery, account))]

    genuine = [way.delivery(sample.body) for sample in way.samples]
    assert any(said(other) != said(one) for one in genuine for other in _flipped_at(one, place))


def _flipped_at(delivery: Delivery, place: str) -> Iterator[Delivery]:
    """The delivery with one bit of a text flipped, wherever the pointer leads to one."""
    for path in junk.paths(orjson.loads(delivery.body)):
        if junk.pointer(tuple(step for step in path if isinstance(step, str))) != place:
            continue
        text = junk.leaf(orjson.loads(delivery.body), path)
        for at, letter in enumerate(text):
            other = text[:at] + chr(ord(letter) ^ 1) + text[at + 1 :]
            yield replace(delivery, body=junk.replaced(delivery.body, path, orjson.dumps(other)))


@dataclass(frozen=True)
class Form:
    """How a signature is written."""

    written: re.Pattern[bytes]
    decode: Callable[[bytes], bytes]
    encode: Callable[[bytes], bytes]


FORMS = (
    Form(
        re.compile(rb"(?:^|v1=|sha256=|\|)([0-9a-f]{40,128})(?:,|$)"),
        lambda text: bytes.fromhex(text.decode()),
        lambda raw: raw.hex().encode(),
    ),
    Form(re.compile(rb"(?:^|v1a?,|sha512=)([A-Za-z0-9+/]{40,}={1,2})(?: |$)"), base64.b64decode, base64.b64encode),
)


def respelled(case: Case, change: Change) -> Delivery:
    """The delivery with another text for its proof."""
    if case.spoil is not None:
        return replace(case.delivery, body=case.spoil(case.delivery.body, change))
    headers = tuple(
        (name, change(old) if name.lower() == case.signature else old) for name, old in case.delivery.headers
    )
    return replace(case.delivery, headers=headers)


@pytest.mark.parametrize("case", [case for case in CASES if case.binds], ids=lambda case: case.label)
def test_one_flipped_bit_of_the_decoded_signature(case):
    """Decoded, flipped, written again as it should be written: rejected, whichever bit."""
    texts = []
    respelled(case, lambda text: texts.append(text) or text)
    [(form, found)] = [(form, found) for form in FORMS if (found := form.written.search(texts[0]))]
    start, end = found.span(1)
    raw = form.decode(found[1])
    assert form.encode(raw) == found[1]
    for other in in_each_bit(raw):
        written = texts[0][:start] + form.encode(other) + texts[0][end:]
        assert case.accepted(respelled(case, lambda _, written=written: written)) is None
    assert case.accepted(respelled(case, lambda text: text)) is not None


def test_a_binding_proof_is_of_a_signature():
    """What signs the body is a signature, what does not is a shared secret or a hint: no third kind."""
    for case in CASES:
        assert case.binds == (case.account.checks[0][0].proof is Proof.SIGNATURE), case.label
        assert not case.binds or (case.signature is not None) != (case.spoil is not None), case.label


def test_the_test_sees_a_bit_that_is_not_signed():
    """A sender that signs all of the body but its last byte is found out by the flips of that byte."""

    class Careless(type(STRIPE.signature)):
        def verify(self, delivery, keys):
            return super().verify(replace(delivery, body=delivery.body[:-1]), keys)

    body = body_of(_way("stripe"))
    digest = hmac.new(WHSEC[0].encode(), b"%d." % SECONDS + body[:-1], "sha256").hexdigest()
    headers: Headers = ((b"Stripe-Signature", f"t={SECONDS},v1={digest}".encode()),)
    account = Account(provider=STRIPE, name="acme", checks=((Careless(), (WHSEC[0].encode(),)),))
    case = Case(label="careless", account=account, delivery=_way("stripe").sent(body, headers))
    assert case.delivery.received_at == NOW
    with pytest.raises(AssertionError, match=r"Place\(part='body', header=b'', byte=2047, bit=1\) is signed"):
        test_one_flipped_bit(case)
