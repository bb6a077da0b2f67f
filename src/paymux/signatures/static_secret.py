"""A header whose value is the secret itself: for providers that sign nothing but send headers of the operator's."""

from __future__ import annotations

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

_BEARER: Final = b"bearer "


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticHeader:
    """`header` in lower case. In `authorization`, `Bearer <secret>` counts as the secret too."""

    header: bytes
    shortest: int = 16

    proof: ClassVar[Proof] = Proof.STATIC

    @property
    def secret_headers(self) -> frozenset[bytes]:
        return frozenset({self.header})

    def key(self, secret: str) -> bytes:
        return secrets.verbatim(secret, self.shortest)

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int:
        offers = self._offers(only(delivery, self.header, missing="static_secret_missing"))
        for index, key in enumerate(keys):
            if any(hmac.compare_digest(key, offer) for offer in offers):
                return index
        raise Rejected("the header holds no secret of the account", reason="static_secret_mismatch")

    def _offers(self, value: bytes) -> tuple[bytes, ...]:
        if self.header == b"authorization" and value.lower().startswith(_BEARER):
            return value, value[len(_BEARER) :]
        return (value,)
