"""RSA by the key of a certificate that the delivery names, over its id, its time and a checksum of its body: PayPal's.

Of the body only the CRC-32 is signed. Whoever holds one genuine delivery can make another body of the same checksum, so
its age is bounded, and the journal refuses the same transmission id with another body (`Verified.once`).
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from paymux import times
from paymux.delivery import Proof
from paymux.errors import NeedsCertificate, Rejected
from paymux.signatures import certificates
from paymux.signatures import keys as secrets
from paymux.signatures.headers import check_age, only

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from paymux.delivery import Delivery
    from paymux.signatures.certificates import Certificate

FOUR_DAYS: Final = 4 * 86_400
ALGORITHM: Final = b"SHA256withRSA"

_ID: Final = re.compile(rb"[A-Za-z0-9-]{1,100}")
# No dot, no escape, no query: there is one way to write such a path, and it leads nowhere else.
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_-]{1,200}){1,10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Whose certificates count: those of `name`, fetched below `origin` and `path`."""

    origin: str
    name: str
    path: str


class _Claim(NamedTuple):
    transmission: bytes
    time: bytes
    url: str
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRsa:
    """`prefix` is that of its five headers. `webhook_id` is the endpoint's id with the provider, a part of what is
    signed; where it is empty, the keys are such ids. `ca_pem` are authorities beside the system's.

    `cert_pem` stands for the file that the delivery names, whatever its URL: then `ca_pem` are all the authorities.
    `at_hand` are the certificates that were fetched, by URL; without the one that is named NeedsCertificate is raised.
    """

    prefix: bytes
    sources: tuple[Source, ...]
    webhook_id: str = ""
    tolerance: int = FOUR_DAYS
    ca_pem: str = field(default="", repr=False)
    cert_pem: str = field(default="", repr=False)
    at_hand: Mapping[str, Certificate] = field(default_factory=dict, repr=False, compare=False)

    proof: ClassVar[Proof] = Proof.SIGNATURE
    secret_headers: ClassVar[frozenset[bytes]] = frozenset()

    def key(self, secret: str) -> bytes:
        return secrets.verbatim(secret, 1)

    def given(self, found: Mapping[str, Certificate]) -> CertificateRsa:
        """The same scheme with certificates at hand."""
        return replace(self, at_hand=found)

    def once(self, delivery: Delivery) -> str:
        """What must not come with another body. Of a delivery that was verified."""
        return f"transmission {only(delivery, self.prefix + b'transmission-id').decode()}"

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int | None:
        claim = self._claim(delivery)
        check_age(delivery, _seconds(claim.time), self.tolerance)
        certificate = self._certificate(claim.url, delivery.received_at)
        certificate.check_time(delivery.received_at)
        for index, key in enumerate([self.webhook_id.encode()] if self.webhook_id else keys):
            content = b"%b|%b|%b|%d" % (claim.transmission, claim.time, key, zlib.crc32(delivery.body))
            if certificate.proves(claim.signature, content):
                return None if self.webhook_id else index
        raise Rejected("the signature is not the certificate's over this delivery")

    def _claim(self, delivery: Delivery) -> _Claim:
        signature, transmission, time, url, algorithm = (
            only(delivery, self.prefix + name)
            for name in (b"transmission-sig", b"transmission-id", b"transmission-time", b"cert-url", b"auth-algo")
        )
        if algorithm != ALGORITHM or not _ID.fullmatch(transmission):
            raise Rejected("the headers are not in PayPal's form", reason="signature_malformed")
        return _Claim(transmission, time, url.decode("latin-1"), signature)

    def _certificate(self, url: str, at: datetime) -> Certificate:
        source = next((one for one in self.sources if url.startswith(f"{one.origin}/")), None)
        path = url.removeprefix(source.origin) if source else ""
        if source is None or not _PATH.fullmatch(path):
            raise Rejected("the certificate's URL is not the provider's", reason="certificate_url")
        if self.cert_pem:
            known = certificates.authorities(self.ca_pem)
            return certificates.checked(self.cert_pem.encode(), name=source.name, authorities=known, at=at)
        if not path.startswith(source.path):
            raise Rejected("there are no certificates at that URL", reason="certificate_url")
        if url not in self.at_hand:
            raise NeedsCertificate(url, source.name, self.ca_pem)
        return self.at_hand[url]


def _seconds(time: bytes) -> bytes:
    """RFC 3339 to unix seconds. Raises Rejected(signature_malformed)."""
    try:
        return b"%d" % times.from_rfc3339(time.decode("latin-1")).timestamp()
    except ValueError:
        raise Rejected("the time is none", reason="signature_malformed") from None
