"""An HMAC of the raw body in a header: the form most providers choose, with every choice left to the operator."""

from __future__ import annotations

import binascii
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from paymux.delivery import Proof
from paymux.errors import Rejected
from paymux.signatures import keys as secrets
from paymux.signatures.headers import only

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paymux.delivery import Delivery

ALGORITHMS: Final = ("sha256", "sha1", "sha512")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawHmac:
    """`header` in lower case; `prefix` is what stands before the signature (`sha256=`).

    Raises ValueError for an algorithm other than sha256, sha1, sha512, an encoding other than hex, base64.
    """

    header: bytes
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""
    shortest: int = 16

    proof: ClassVar[Proof] = Proof.SIGNATURE
    secret_headers: ClassVar[frozenset[bytes]] = frozenset()

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"the algorithm is one of {', '.join(ALGORITHMS)}, not {self.algorithm!r}")
        if self.encoding not in _ENCODINGS:
            raise ValueError(f"the encoding is one of {', '.join(_ENCODINGS)}, not {self.encoding!r}")

    def key(self, secret: str) -> bytes:
        return secrets.verbatim(secret, self.shortest)

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int:
        value, prefix = only(delivery, self.header), self.prefix.encode()
        if not value.startswith(prefix):
            raise Rejected("the signature's prefix is not there", reason="signature_malformed")
        encoded, as_given = _ENCODINGS[self.encoding]
        given = as_given(value.removeprefix(prefix))
        for index, key in enumerate(keys):
            if hmac.compare_digest(encoded(hmac.digest(key, delivery.body, self.algorithm)), given):
                return index
        raise Rejected("the signature is of no secret")


def _hex(raw: bytes) -> bytes:
    return raw.hex().encode()


def _base64(raw: bytes) -> bytes:
    return binascii.b2a_base64(raw, newline=False)


# Encoding -> how the expected signature is written, and how the given one is brought to that form: hex in either case,
# base64 as it stands.
_ENCODINGS: Final[dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]]] = {
    "hex": (_hex, bytes.lower),
    "base64": (_base64, bytes),
}
