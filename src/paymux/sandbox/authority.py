"""A certificate of one's own, for providers that sign by one: made anew in each process that asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@cache
def certificate(name: str, at: datetime | None = None) -> tuple[str, str]:
    """PEM of a certificate for `name` with its private key, and of the authority that signed it. Valid for a year,
    from the day before `at`; None: now.
    """
    since = (at or datetime.now(UTC)) - timedelta(days=1)
    authority_key, key = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    authority, own = _called("paymux sandbox"), _called(name)
    by_itself = _certificate(authority, authority, authority_key.public_key(), authority_key, since)
    root = _signed(
        by_itself.add_extension(_AUTHORITY, critical=True).add_extension(CA_USAGE, critical=True), authority_key
    )
    leaf = _certificate(own, authority, key.public_key(), authority_key, since).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return _signed(leaf, authority_key) + secret, root


_AUTHORITY = x509.BasicConstraints(ca=True, path_length=0)
CA_USAGE: Final = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _called(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, authority: rsa.RSAPrivateKey, since: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + timedelta(days=366))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: rsa.RSAPrivateKey) -> str:
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()
