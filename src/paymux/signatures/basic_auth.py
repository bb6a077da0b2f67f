"""HTTP Basic credentials of the operator's own (RFC 7617), alone or beside a signature that leaves fields uncovered."""

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
    from collections.abc import Sequence

    from paymux.delivery import Delivery
    from paymux.signatures import Scheme

_HEADER: Final = b"authorization"
_SCHEME: Final = b"basic "


class Credentials(bytes):
    """What stands after `Basic `. A type of its own, so that it is never the key of an HMAC."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicAuth:
    """A secret is `user:password`; the characters of both count for `shortest`."""

    shortest: int = 16

    proof: ClassVar[Proof] = Proof.STATIC
    secret_headers: ClassVar[frozenset[bytes]] = frozenset({_HEADER})

    def key(self, secret: str) -> Credentials:
        raw = secrets.verbatim(secret, self.shortest)
        user, colon, password = raw.partition(b":")
        if not (user and colon and password):
            raise ValueError("Basic credentials are written user:password")
        return Credentials(binascii.b2a_base64(raw, newline=False))

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int:
        value = only(delivery, _HEADER, missing="static_secret_missing")
        offer = value[len(_SCHEME) :] if value.lower().startswith(_SCHEME) else b""
        for index, key in enumerate(keys):
            if hmac.compare_digest(key, offer):
                return index
        raise Rejected("the header holds no credentials of the account", reason="static_secret_mismatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class AndBasicAuth:
    """A signature and Basic credentials, both needed. Of the account's secrets, those with a colon are credentials."""

    signature: Scheme
    basic: BasicAuth = BasicAuth()

    @property
    def proof(self) -> Proof:
        return self.signature.proof

    @property
    def secret_headers(self) -> frozenset[bytes]:
        return self.signature.secret_headers | self.basic.secret_headers

    def key(self, secret: str) -> bytes:
        _, colon, _ = secret.partition(":")
        return self.basic.key(secret) if colon else self.signature.key(secret)

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int | None:
        """The index of the signature's key."""
        self.basic.verify(delivery, [key for key in keys if isinstance(key, Credentials)])
        places = [place for place, key in enumerate(keys) if not isinstance(key, Credentials)]
        matched = self.signature.verify(delivery, [keys[place] for place in places])
        return None if matched is None else places[matched]
