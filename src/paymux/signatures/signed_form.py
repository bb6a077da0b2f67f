"""A form that carries its own signature: `bt_payload`, base64 text, and `bt_signature`, pairs of `public key|hex`, with
`&` between them. The hex is the HMAC-SHA1 of the payload's text, keyed with the SHA-1 of the private key.

Braintree's scheme: https://developer.paypal.com/braintree/docs/guides/webhooks/parse
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from paymux.delivery import Proof
from paymux.errors import Rejected, Untranslatable
from paymux.signatures import keys as secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paymux.delivery import Delivery

MOST_PAIRS: Final = 16
MOST_FIELDS: Final = 16
SIGNATURE: Final = b"bt_signature"
PAYLOAD: Final = b"bt_payload"

# All that a form has to write in another way here. Decoding whatever a stranger may escape would take fifty times as
# long as the HMAC.
_ESCAPED: Final = {
    spelled: sign
    for sign in (b"+", b"/", b"=", b"\n", b"|", b"&")
    for spelled in (b"%%%02X" % ord(sign), b"%%%02x" % ord(sign))
}
_PAYLOAD: Final = re.compile(rb"[A-Za-z0-9+=/\n]+")
_CHALLENGE: Final = re.compile(r"[0-9a-f]{20,32}")
# Anyone may have a challenge signed, with the key of the webhooks: what is as short as one is no payload.
_LONGEST_CHALLENGE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedForm:
    """`public_keys` name the pairs that count, the first one also the account in the answer to a challenge; `shortest`
    the least a private key may have.
    """

    public_keys: tuple[str, ...] = ()
    shortest: int = 16

    proof: ClassVar[Proof] = Proof.SIGNATURE
    secret_headers: ClassVar[frozenset[bytes]] = frozenset()

    def key(self, secret: str) -> bytes:
        return hashlib.sha1(secrets.verbatim(secret, self.shortest), usedforsecurity=False).digest()

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int:
        signature, payload = _fields(delivery.body)
        offers = self._offers(signature)
        for index, key in enumerate(keys):
            # Braintree signs the text with the newline that ends it, which is easily lost on the way.
            for signed in (payload, payload + b"\n"):
                expected = hmac.digest(key, signed, "sha1").hex().encode()
                if any(hmac.compare_digest(expected, offer) for offer in offers):
                    return index
        raise Rejected("no signature of the public key is of any secret")

    def answer(self, challenge: str, key: bytes) -> bytes | None:
        """What proves to the provider that the endpoint has the keys; None for what is no challenge."""
        if not self.public_keys or not _CHALLENGE.fullmatch(challenge):
            return None
        return f"{self.public_keys[0]}|{hmac.digest(key, challenge.encode(), 'sha1').hex()}".encode()

    def _offers(self, signature: bytes) -> list[bytes]:
        """The signatures of the account's public keys."""
        pairs = [pair.partition(b"|") for pair in signature.split(b"&", MOST_PAIRS)[:MOST_PAIRS]]
        if not any(separator for _, separator, _ in pairs):
            raise Rejected("there is no public key with a signature", reason="signature_malformed")
        return [text for name, separator, text in pairs if separator and self._is_ours(name)]

    def _is_ours(self, name: bytes) -> bool:
        return any(hmac.compare_digest(ours.encode(), name) for ours in self.public_keys)


def payload_of(body: bytes) -> bytes:
    """The payload of a form, as it was signed. Raises Untranslatable."""
    try:
        return _fields(body)[1]
    except Rejected as error:
        raise Untranslatable(error.detail) from None


def _fields(body: bytes) -> tuple[bytes, bytes]:
    """Signature and payload, each there once, and nothing beside them. Raises Rejected."""
    pairs = [field.partition(b"=") for field in body.split(b"&", MOST_FIELDS)]
    signature, payload = (
        _only([value for name, _, value in pairs if name == wanted]) for wanted in (SIGNATURE, PAYLOAD)
    )
    if len(pairs) > len((SIGNATURE, PAYLOAD)):
        raise Rejected("the form has other fields than a signature and a payload", reason="signature_malformed")
    if not _PAYLOAD.fullmatch(payload) or len(payload.strip()) <= _LONGEST_CHALLENGE:
        raise Rejected("the payload is not base64 text, or as short as a challenge", reason="signature_malformed")
    return signature, payload


def _only(values: list[bytes]) -> bytes:
    if len(values) > 1:
        raise Rejected("a field of the form stands there more than once", reason="signature_duplicated")
    if not values or not values[0]:
        raise Rejected("the form lacks its signature or its payload", reason="signature_missing")
    value = values[0].replace(b"+", b" ")
    for spelled, sign in _ESCAPED.items():
        value = value.replace(spelled, sign)
    return value
