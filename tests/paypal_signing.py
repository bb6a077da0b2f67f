"""PayPal's side, by its documentation: an authority, certificates, and deliveries signed by their keys.

None of this shares code with the verifier. https://developer.paypal.com/api/rest/webhooks/rest/#verify-by-hand
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from paymux.sandbox.authority import CA_USAGE

NAME = "messageverificationcerts.sandbox.paypal.com"
URL = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-5a29d60b"
WEBHOOK_ID = "6MX37520HR194683L"
TRANSMISSION = "3d0f5a10-3f1e-11f1-9f2b-7b1c2e6a8d40"


@dataclass(frozen=True)
class Signer:
    """A key and the PEM of its certificate, with what leads on to the authority."""

    key: object
    pem: str

    def headers(
        self,
        body: bytes,
        at: datetime,
        *,
        webhook_id: str = WEBHOOK_ID,
        transmission: str = TRANSMISSION,
        url: str = URL,
        **changed: str,
    ) -> tuple[tuple[bytes, bytes], ...]:
        time = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        content = f"{transmission}|{time}|{webhook_id}|{binascii.crc32(body) & 0xFFFFFFFF}"
        signature = base64.b64encode(self.key.sign(content.encode(), PKCS1v15(), hashes.SHA256())).decode()
        told = {
            "PAYPAL-TRANSMISSION-ID": transmission,
            "PAYPAL-TRANSMISSION-TIME": time,
            "PAYPAL-TRANSMISSION-SIG": signature,
            "PAYPAL-CERT-URL": url,
            "PAYPAL-AUTH-ALGO": "SHA256withRSA",
            "PAYPAL-AUTH-VERSION": "v2",
        } | {f"PAYPAL-{name.replace('_', '-').upper()}": value for name, value in changed.items()}
        return tuple((name.encode(), value.encode()) for name, value in told.items())


@dataclass
class Authority:
    """Valid, as are its certificates unless told, from 30 days before `now` to 30 days after."""

    now: datetime
    name: str = "an authority"
    key: object = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.certificate = self._signed(self, self.key.public_key(), self.name, ca=True)
        self.pem = self.certificate.public_bytes(Encoding.PEM).decode()

    def between(self, name: str = "an intermediate") -> Authority:
        """One that this one vouches for."""
        other = Authority(self.now, name)
        other.certificate = self._signed(self, other.key.public_key(), name, ca=True)
        other.pem = other.certificate.public_bytes(Encoding.PEM).decode()
        return other

    def issue(self, name: str = NAME, *, key: object = None, ended: timedelta = -timedelta(days=30)) -> Signer:
        """`ended`: how long before now; below zero it still counts."""
        key = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = self._signed(self, key.public_key(), name, ends=self.now - ended)
        return Signer(key=key, pem=certificate.public_bytes(Encoding.PEM).decode())

    def _signed(self, issuer: Authority, key: object, name: str, *, ca: bool = False, ends: datetime | None = None):
        def called(common: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

        builder = (
            x509.CertificateBuilder()
            .subject_name(called(name))
            .issuer_name(called(issuer.name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now.astimezone(UTC) - timedelta(days=30))
            .not_valid_after(ends or self.now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        )
        if ca:
            builder = builder.add_extension(CA_USAGE, critical=True)
        else:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        return builder.sign(issuer.key, hashes.SHA256())


def with_the_checksum_of(body: bytes, forged: bytes) -> bytes:
    """`forged` and four bytes more that give it the CRC-32 of `body`."""
    table = [crc_step(index) for index in range(256)]
    wanted, register = binascii.crc32(body) ^ 0xFFFFFFFF, binascii.crc32(forged) ^ 0xFFFFFFFF
    picked = []
    for _ in range(4):
        index = next(index for index in range(256) if table[index] >> 24 == wanted >> 24)
        picked.append(index)
        wanted = ((wanted ^ table[index]) << 8) & 0xFFFFFFFF
    tail = bytearray()
    for index in reversed(picked):
        tail.append(index ^ (register & 0xFF))
        register = table[index] ^ (register >> 8)
    assert binascii.crc32(forged + bytes(tail)) == binascii.crc32(body)
    return forged + bytes(tail)


def crc_step(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
    return value
