"""Certificates that a delivery names: is this one of whom it should be, and is a signature its key's?

Pure: PEM, authorities and a time in, a verdict out. Needs the `paypal` extra (the `cryptography` package).
"""

from __future__ import annotations

import binascii
import hmac
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final

from paymux.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

LARGEST: Final = 65_536  # bytes of a file of certificates
LONGEST_CHAIN: Final = 8
SHORTEST_KEY: Final = 2048  # bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One that was checked. It counts from `begins` to `ends`."""

    key: RSAPublicKey
    begins: datetime
    ends: datetime

    def check_time(self, at: datetime) -> None:
        """Raises Rejected."""
        if not self.begins <= at <= self.ends:
            raise Rejected("the certificate had ended, or had not begun", reason="certificate_untrusted")

    def proves(self, signature: bytes, content: bytes) -> bool:
        """Whether `signature`, in canonical base64, is the key's over `content`: PKCS #1 v1.5 with SHA-256."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            raw = binascii.a2b_base64(signature, strict_mode=True)
            self.key.verify(raw, content, PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return False
        # The last characters of base64 have bits to spare: only one way to write them counts.
        return hmac.compare_digest(binascii.b2a_base64(raw, newline=False), signature)


def checked(pem: bytes, *, name: str, authorities: Sequence[x509.Certificate], at: datetime) -> Certificate:
    """The first certificate of a file, whose others may lead on to one of the authorities.

    Raises Rejected(certificate_untrusted): it is none, not of `name`, not of that time, of no authority, of a weak key.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.x509 import DNSName
    from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

    chain = _loaded(pem)
    if not authorities:
        raise Rejected("no authority is known", reason="certificate_untrusted")
    moment = at.astimezone(UTC).replace(tzinfo=None)
    try:
        verifier = PolicyBuilder().store(Store(list(authorities))).time(moment).build_server_verifier(DNSName(name))
        verifier.verify(chain[0], chain[1:])
    except (VerificationError, ValueError) as error:
        raise Rejected(
            f"the certificate is not to be trusted: {str(error)[:200]}", reason="certificate_untrusted"
        ) from None
    key = chain[0].public_key()
    if not isinstance(key, RSAPublicKey) or key.key_size < SHORTEST_KEY:
        raise Rejected(f"the certificate's key is not RSA of {SHORTEST_KEY} bits", reason="certificate_untrusted")
    return Certificate(key=key, begins=chain[0].not_valid_before_utc, ends=chain[0].not_valid_after_utc)


def authorities(pem: str) -> tuple[x509.Certificate, ...]:
    """Raises ValueError: not certificates in PEM, or the package is not installed."""
    try:
        from cryptography.x509 import load_pem_x509_certificates
    except ImportError:
        raise ValueError("certificates need the cryptography package: install paymux[paypal]") from None
    return tuple(load_pem_x509_certificates(pem.encode())) if pem else ()


def _loaded(pem: bytes) -> list[x509.Certificate]:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        chain = load_pem_x509_certificates(pem[: LARGEST + 1])
    except ValueError:
        chain = []
    if not 1 <= len(chain) <= LONGEST_CHAIN or len(pem) > LARGEST:
        raise Rejected("the file does not hold certificates", reason="certificate_untrusted")
    return chain
