"""Base64 of an HMAC-SHA256 over the URL that the sender calls, then the raw body."""

from __future__ import annotations

import binascii
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from paymux.delivery import Proof
from paymux.errors import Rejected
from paymux.signatures import keys as secrets
from paymux.signatures.headers import only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paymux.delivery import Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlHmac:
    """`header` in lower case.

    The URL is `Delivery.url`, as configured, character for character: the Host header and the path of a request are
    the sender's own words, and a proxy may have changed them.
    """

    header: bytes
    shortest: int = 16

    proof: ClassVar[Proof] = Proof.SIGNATURE
    secret_headers: ClassVar[frozenset[bytes]] = frozenset()

    def key(self, secret: str) -> bytes:
        return secrets.verbatim(secret, self.shortest)

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int:
        given = only(delivery, self.header)
        if not delivery.url or not delivery.body:
            raise Rejected("without a URL and a body nothing was signed")
        # surrogatepass: whatever a command line held, comparing it never raises.
        signed = delivery.url.encode(errors="surrogatepass") + delivery.body
        for index, key in enumerate(keys):
            expected = binascii.b2a_base64(hmac.digest(key, signed, "sha256"), newline=False)
            if hmac.compare_digest(expected, given):
                return index
        raise Rejected("the signature is of no secret over this URL and body")
