"""Adyen's two signatures, both base64 of an HMAC-SHA256 by a key that is configured in hex.

- A standard notification carries one for each item, in its `additionalData.hmacSignature`, over eight fields joined by
  colons, without escaping: https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures
- Every other webhook carries one in the `HmacSignature` header, over the raw body.

What the body is decides which one counts, so that neither stands in for the other: a body with `notificationItems`
needs the signature of every item, whatever its headers say; any other body needs the header's.
"""

from __future__ import annotations

import binascii
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from paymux.delivery import Proof
from paymux.errors import Rejected, Untranslatable
from paymux.signatures import keys as secrets
from paymux.signatures.headers import only
from paymux.wild import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from paymux.delivery import Delivery

ITEMS: Final = "notificationItems"
ITEM: Final = "NotificationRequestItem"

# How a JSON value is written among the signed fields.
_WRITTEN: Final[Mapping[type, Callable[[Any], str]]] = {
    str: str,
    int: str,
    bool: lambda value: "true" if value else "false",
    type(None): lambda _: "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdyenHmac:
    header: bytes = b"hmacsignature"
    shortest: int = 16

    proof: ClassVar[Proof] = Proof.SIGNATURE
    secret_headers: ClassVar[frozenset[bytes]] = frozenset()

    def key(self, secret: str) -> bytes:
        return secrets.from_hex(secret, self.shortest)

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int:
        """The index of the key that signed the first item, or the body."""
        items = _items(delivery.body)
        if items is None:
            return _signer(keys, delivery.body, only(delivery, self.header))
        signers = [_signer(keys, *_signed(item)) for item in items]
        if not signers:
            raise Rejected("there is no item that could be signed", reason="signature_missing")
        return signers[0]


def _items(body: bytes) -> list[Any] | None:
    """The items of a standard notification, None for any other webhook. `translate` reads it alike, so that what cannot
    be read here is no notification there.
    """
    try:
        found = parse_json(body)
    except Untranslatable:
        return None
    if ITEMS not in found:
        return None
    items = found.value[ITEMS]
    if not isinstance(items, list):
        raise Rejected(f"{ITEMS} is no list", reason="signature_malformed")
    return items


def _signed(wrapper: Any) -> tuple[bytes, bytes]:
    """What is signed of an item, and its signature."""
    item = _part(wrapper, ITEM)
    signature = _part(item, "additionalData").get("hmacSignature")
    if not isinstance(signature, str) or not signature:
        raise Rejected("an item has no hmacSignature", reason="signature_missing")
    return _content(item), signature.encode()


def _content(item: dict[str, Any]) -> bytes:
    """The eight fields. Nothing is escaped, so the split is kept to one reading: a colon stands in the merchant's own
    reference or nowhere, and what stands last is an outcome, as it never does in a JSON body that was signed whole.
    """
    amount = _part(item, "amount")
    references = [_text(item, name) for name in ("pspReference", "originalReference", "merchantAccountCode")]
    outcome = [_text(amount, "value"), _text(amount, "currency"), _text(item, "eventCode"), _text(item, "success")]
    if any(":" in text for text in references + outcome) or outcome[-1] not in ("true", "false"):
        raise Rejected("the signed fields of an item can be read in two ways", reason="signature_malformed")
    return ":".join([*references, _text(item, "merchantReference"), *outcome]).encode()


def _text(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    written = _WRITTEN.get(type(value))
    if written is None:
        raise Rejected(f"{name} is neither text nor a whole number", reason="signature_malformed")
    return written(value)


def _part(holder: Any, name: str) -> dict[str, Any]:
    """The object under a key; an empty one where there is none, since Adyen leaves out what is empty."""
    part = holder.get(name) if isinstance(holder, dict) else None
    return part if isinstance(part, dict) else {}


def _signer(keys: Sequence[bytes], content: bytes, signature: bytes) -> int:
    # As base64, not decoded: only the one canonical form can match, and nothing malformed can raise.
    for index, key in enumerate(keys):
        expected = binascii.b2a_base64(hmac.digest(key, content, "sha256"), newline=False)
        if hmac.compare_digest(expected, signature):
            return index
    raise Rejected("a signature is of no secret")
