"""Is it genuine? One small file per scheme; pure: bytes, keys and the time of receipt in, a verdict out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from paymux.delivery import Proof, Verified, Via
from paymux.errors import Rejected
from paymux.signatures.certificate_rsa import CertificateRsa

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paymux.delivery import Delivery
    from paymux.signatures.certificates import Certificate


class Scheme(Protocol):
    """How a provider proves a delivery. Implementations are frozen values."""

    @property
    def proof(self) -> Proof: ...

    @property
    def secret_headers(self) -> frozenset[bytes]:
        """Lower-case names of the headers whose values are secrets themselves: never stored or shown."""
        ...

    def key(self, secret: str) -> bytes:
        """The key that a configured secret stands for.

        Raises ValueError with what is wrong with it (empty, too short, not base64), never the secret.
        """
        ...

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int | None:
        """The index of the key that matched; None for a scheme without keys. Raises Rejected."""
        ...


def verify(
    delivery: Delivery,
    checks: Sequence[tuple[Scheme, Sequence[bytes]]],
    certificates: Mapping[str, Certificate] | None = None,
) -> Verified:
    """Every check must pass; the first one names the proof. `certificates` are those at hand, by URL.

    Raises Rejected; NeedsCertificate, to be asked again with that one.
    """
    if not checks:  # Defensive: the settings refuse an account without a means of proof.
        raise Rejected("nothing could prove it")
    matched = [_with(certificates or {}, scheme).verify(delivery, keys) for scheme, keys in checks]
    strongest = checks[0][0]
    once = strongest.once(delivery) if isinstance(strongest, CertificateRsa) else None
    return Verified(delivery, strongest.proof, matched[0], once)


def _with(certificates: Mapping[str, Certificate], scheme: Scheme) -> Scheme:
    return scheme.given(certificates) if certificates and isinstance(scheme, CertificateRsa) else scheme


def confirmed(delivery: Delivery) -> Verified:
    """An answer of the provider's own API, fetched by paymux over its own connection."""
    if delivery.via not in (Via.LOOKUP, Via.RECONCILE):
        raise ValueError("only an answer of the provider's API confirms itself")
    return Verified(delivery, Proof.API)


def remembered(delivery: Delivery, proof: Proof, secret: int | None) -> Verified:
    """One that was proven when it came, read back from the journal."""
    return Verified(delivery, proof, secret)


def trusted(delivery: Delivery) -> Verified:
    """A file that an operator vouches for."""
    return Verified(replace(delivery, via=Via.IMPORT), Proof.TRUSTED)
