"""Ed25519 signatures by a `whpk_` public key; needs the `ed25519` extra (the `cryptography` package)."""

from __future__ import annotations

import binascii
import hmac
from typing import TYPE_CHECKING, Final

from paymux.signatures.keys import unpadded_base64

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PREFIX: Final = "whpk_"

_FIELD: Final = 2**255 - 19
# Points of small order, all zeros among them, by their y, which may be written above the field, too: with one of those
# as the key anybody makes signatures that verify. https://eprint.iacr.org/2020/1244, section 5
_SMALL_ORDER: Final = frozenset(
    {
        *(0, 1, _FIELD - 1, _FIELD, _FIELD + 1),
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    }
)


class PublicKey(bytes):
    """A type of its own, so that what everybody may know is never the key of an HMAC."""

    __slots__ = ()


def public_key(secret: str) -> PublicKey:
    """Raises ValueError: not the base64 of an Ed25519 public key, or one for which anybody can sign; the package is not
    installed.
    """
    key = PublicKey(unpadded_base64(secret.removeprefix(PREFIX)))
    try:
        _loaded(key)
    except ImportError:
        raise ValueError("a whpk_ key needs the cryptography package: install paymux[ed25519]") from None
    except ValueError:
        raise ValueError("the whpk_ key is not the 32 bytes of an Ed25519 public key") from None
    if _has_small_order(key):
        raise ValueError("the whpk_ key is no key: anybody could sign for it")
    return key


def _has_small_order(point: bytes) -> bool:
    y = int.from_bytes(point, "little") & (2**255 - 1)  # the highest bit is the sign of x
    return y in _SMALL_ORDER


def proves(key: PublicKey, signature: bytes, content: bytes) -> bool:
    """Whether `signature`, in canonical base64, is the key's over `content`. Never raises."""
    from cryptography.exceptions import InvalidSignature

    try:
        raw = binascii.a2b_base64(signature, strict_mode=True)
        _loaded(key).verify(raw, content)
    except (InvalidSignature, ValueError):
        return False
    # The last characters of base64 have bits to spare: only one way to write them counts.
    return hmac.compare_digest(binascii.b2a_base64(raw, newline=False), signature)


def _loaded(key: PublicKey) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(key)
