"""Standard Webhooks 1.0, as Svix and others send it: HMAC-SHA256 (`v1`) or Ed25519 (`v1a`) over
`{id}.{time}.{raw body}`.

https://www.standardwebhooks.com, https://docs.svix.com/receiving/verifying-payloads/how-manual
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from paymux.delivery import Proof
from paymux.errors import Rejected
from paymux.signatures import ed25519
from paymux.signatures import keys as secrets
from paymux.signatures.headers import check_age, single

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paymux.delivery import Delivery, Verified

MOST_ENTRIES: Final = 16
MOST_ED25519: Final = 4  # of them: each takes as long as a hundred of the others

_HEADERS: Final = (b"id", b"timestamp", b"signature")
_VERSIONS: Final = (b"v1,", b"v1a,")
# Printable ASCII but the dot: it parts what is signed, and an id that holds one could be read as another id.
_ID: Final = re.compile(rb"[\x21-\x2d\x2f-\x7e]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Svix:
    """`prefixes` are the families of header names, in lower case, the first one preferred; `tolerance` in seconds both
    ways, 0 for any age; `shortest` the least bytes of a key (the specification: 24 to 64).
    """

    prefixes: tuple[bytes, ...] = (b"svix-", b"webhook-")
    tolerance: int = 300
    shortest: int = 24

    proof: ClassVar[Proof] = Proof.SIGNATURE
    secret_headers: ClassVar[frozenset[bytes]] = frozenset()

    def key(self, secret: str) -> bytes:
        if secret.startswith(ed25519.PREFIX):
            return ed25519.public_key(secret)
        if secret.startswith("whsk_"):
            raise ValueError("a whsk_ key is the sender's: configure the whpk_ key")
        return secrets.decoded(secret, self.shortest)

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int:
        message, time, header = self._headers(delivery)
        if not _ID.fullmatch(message):
            raise Rejected("the id is not printable ASCII without a dot", reason="signature_malformed")
        check_age(delivery, time, self.tolerance)
        entries = _read(header)
        content = b"%b.%b.%b" % (message, time, delivery.body)
        for index, key in enumerate(keys):
            if _proves(key, content, entries):
                return index
        raise Rejected("no signature is of any secret")

    def _headers(self, delivery: Delivery) -> list[bytes]:
        """Id, time and signatures, of one family. Where both come, they must agree: whoever reads the id later, by
        either name, then reads what was signed.
        """
        sent: dict[bytes, list[bytes]] = {}
        for name, value in delivery.headers:
            if (lower := name.lower()).startswith(self.prefixes):
                sent.setdefault(lower, []).append(value)
        families = [
            (prefix, found)
            for prefix in self.prefixes
            if any(found := [sent.get(prefix + name, []) for name in _HEADERS])
        ]
        if not families:
            raise Rejected("there are no signature headers", reason="signature_missing")
        prefix, first = families[0]
        if any(found != first for _, found in families[1:]):
            raise Rejected("two families of headers disagree", reason="signature_duplicated")
        return [single(values, prefix + name) for name, values in zip(_HEADERS, first, strict=True)]


def message_id(verified: Verified) -> str:
    """The sender's id of the message: signed, and the same on a retry. Of a file without headers, the body's digest."""
    ids = verified.delivery.header(b"svix-id") or verified.delivery.header(b"webhook-id")
    return ids[0].decode("latin-1") if ids else hashlib.sha256(verified.delivery.body).hexdigest()


def _read(header: bytes) -> list[bytes]:
    """The entries of a known version, e.g. `v1,<base64>`; others may stand among them."""
    entries = [entry for entry in header.split(b" ") if entry.startswith(_VERSIONS)]
    if not entries:
        raise Rejected("there is no v1 or v1a signature", reason="signature_malformed")
    return entries[:MOST_ENTRIES]


def _proves(key: bytes, content: bytes, entries: list[bytes]) -> bool:
    if isinstance(key, ed25519.PublicKey):
        signatures = [entry.removeprefix(b"v1a,") for entry in entries if entry.startswith(b"v1a,")]
        return any(ed25519.proves(key, signature, content) for signature in signatures[:MOST_ED25519])
    # As base64, not decoded: only the one canonical form can match, and nothing malformed can raise.
    expected = b"v1," + binascii.b2a_base64(hmac.digest(key, content, "sha256"), newline=False)
    return any(hmac.compare_digest(expected, entry) for entry in entries)
