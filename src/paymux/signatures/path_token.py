"""An unguessable last segment of the URL, known to the operator and the provider only."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from paymux.delivery import Proof
from paymux.errors import Rejected
from paymux.signatures import keys as secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paymux.delivery import Delivery

# RFC 3986, unreserved: what needs no escaping in a path, so that there is one way to write it.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathToken:
    shortest: int = 16

    proof: ClassVar[Proof] = Proof.STATIC
    secret_headers: ClassVar[frozenset[bytes]] = frozenset()

    def key(self, secret: str) -> bytes:
        key = secrets.verbatim(secret, self.shortest)
        if not _TOKEN.fullmatch(secret):
            raise ValueError("a path token has only letters, digits, dot, dash, underscore and tilde")
        return key

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int:
        # surrogatepass: whatever a URL decodes to, comparing it never raises.
        offer = (delivery.path_token or "").encode(errors="surrogatepass")
        for index, key in enumerate(keys):
            if hmac.compare_digest(key, offer):
                return index
        raise Rejected("the URL does not end in a token of the account", reason="path_token_mismatch")
