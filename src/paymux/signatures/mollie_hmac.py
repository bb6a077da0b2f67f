"""`X-Mollie-Signature: sha256=<hex>`: HMAC-SHA256 of the raw body. https://docs.mollie.com/reference/webhooks-new

Mollie's own SDK also takes the bare hex. A delivery without the header is Mollie's older, unsigned webhook to that SDK;
to an account that expects signatures it is nothing at all.
"""

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

HEADER: Final = b"x-mollie-signature"
_PREFIX: Final = b"sha256="


@dataclass(frozen=True, slots=True, kw_only=True)
class MollieHmac:
    shortest: int = 16

    proof: ClassVar[Proof] = Proof.SIGNATURE
    secret_headers: ClassVar[frozenset[bytes]] = frozenset()

    def key(self, secret: str) -> bytes:
        return secrets.verbatim(secret, self.shortest)

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int:
        given = only(delivery, HEADER).removeprefix(_PREFIX).lower()
        for index, key in enumerate(keys):
            if hmac.compare_digest(hmac.digest(key, delivery.body, "sha256").hex().encode(), given):
                return index
        raise Rejected("the signature is of no secret")
