"""`t=<unix seconds>,v1=<hex>[,v1=<hex>...]`: HMAC-SHA256 over `{t}.{raw body}`.

Stripe's scheme (https://docs.stripe.com/webhooks/signature), also Flowlix's
(https://docs.flowlix.dev/guides/webhooks).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from paymux.delivery import Proof
from paymux.errors import Rejected
from paymux.signatures import keys as secrets
from paymux.signatures.headers import check_age, only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paymux.delivery import Delivery

MOST_ENTRIES: Final = 16

_KEYS: Final = {"raw": secrets.verbatim, "base64": secrets.decoded}


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampedHmac:
    """`header` in lower case; `tolerance` in seconds both ways, 0 for any age; `shortest` the least a key may have.

    `secret_encoding`: the key is the secret verbatim, `whsec_` included, or the base64 after `whsec_`.
    """

    header: bytes = b"stripe-signature"
    tolerance: int = 300
    secret_encoding: Literal["raw", "base64"] = "raw"  # noqa: S105  # no secret, the form of one
    shortest: int = 16

    proof: ClassVar[Proof] = Proof.SIGNATURE
    secret_headers: ClassVar[frozenset[bytes]] = frozenset()

    def key(self, secret: str) -> bytes:
        return _KEYS[self.secret_encoding](secret, self.shortest)

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int:
        time, entries = _read(only(delivery, self.header))
        check_age(delivery, time, self.tolerance)
        signed = b"%b.%b" % (time, delivery.body)
        for index, key in enumerate(keys):
            expected = hmac.digest(key, signed, "sha256").hex().encode()
            for entry in entries:
                if hmac.compare_digest(expected, entry):
                    return index
        raise Rejected("no v1 signature is of any secret")


def _read(header: bytes) -> tuple[bytes, list[bytes]]:
    """The time, and the v1 entries. Other schemes count for nothing: `v0` is for Stripe's test events."""
    parts = header.split(b",")
    # Blanks count for finding a second time, as in two headers that a proxy joined, but not for reading one.
    times = [part[2:] for part in parts if part.lstrip().startswith(b"t=")]
    entries = [part[3:].lower() for part in parts if part.startswith(b"v1=")]
    if len(times) != 1 or not entries:
        raise Rejected("the header is not one t and at least one v1", reason="signature_malformed")
    return times[0], entries[:MOST_ENTRIES]
