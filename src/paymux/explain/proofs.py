"""How a delivery was proven, in words: which scheme, over which bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from paymux.delivery import Proof

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paymux.signatures import Scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """`scheme` is the name of the account's scheme, null where none signed; `over` says what is proven by it, in words;
    `secret` is the index of the account's secret that matched.
    """

    scheme: str | None
    over: str
    secret: int | None


# Scheme -> what it signs, or what stands for a signature.
OVER: Final[Mapping[str, str]] = {
    "AdyenHmac": "HMAC-SHA256 over eight fields of each item; over the raw body where it stands in a header",
    "AndBasicAuth": "a signature, and Basic credentials beside it",
    "BasicAuth": "Basic credentials in a header: no byte of the body is signed",
    "CertificateRsa": "RSA over the transmission's id and time, the webhook's id and the CRC-32 of the raw body",
    "Hint": "nothing is signed: the provider's API is asked instead",
    "MollieHmac": "HMAC-SHA256 over the raw body",
    "PathToken": "the URL's last segment is the secret: no byte of the body is signed",
    "RawHmac": "HMAC over the raw body",
    "SignedForm": "HMAC-SHA1 over the form's bt_payload, as it was sent",
    "StaticHeader": "a header is the secret: no byte of the body is signed",
    "Svix": "HMAC-SHA256 or Ed25519 over the message's id, its time and the raw body, with dots between them",
    "TimestampedHmac": "HMAC-SHA256 over the header's time, a dot and the raw body",
    "UrlHmac": "HMAC-SHA256 over the account's public_url and the raw body",
}

# Proof without a scheme -> what it rests on.
_WITHOUT: Final[Mapping[str, str]] = {
    Proof.API: "the provider's API answered, over TLS, to a question of ours",
    Proof.TRUSTED: "an operator vouched for it",
    Proof.HINT: "nothing: it only named an object to ask the provider's API for",
}


def proven(proof: str, secret: int | None, scheme: Scheme | None) -> Proven:
    """`scheme` is the account's as it is configured now; another kind of proof than that is told as such."""
    if proof in _WITHOUT:
        return Proven(scheme=None, over=_WITHOUT[proof], secret=secret)
    if scheme is None or scheme.proof != proof:
        return Proven(scheme=None, over=f"a {proof}, as the account was configured then", secret=secret)
    name = type(scheme).__name__
    return Proven(scheme=name, over=OVER.get(name, f"as {name} does"), secret=secret)
