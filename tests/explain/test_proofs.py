"""How a delivery was proven, in words."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from paymux import signatures
from paymux.delivery import Proof
from paymux.explain.proofs import OVER, proven
from paymux.providers import ALL
from paymux.signatures.hint import Hint
from paymux.signatures.timestamped_hmac import TimestampedHmac


def schemes():
    """Every class of the package that verifies."""
    for path in Path(signatures.__file__).parent.glob("*.py"):
        if path.stem != "__init__":
            module = import_module(f"paymux.signatures.{path.stem}")
            for value in vars(module).values():
                if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "verify"):
                    yield value.__name__


def test_every_scheme_has_its_words():
    """And no words are of a scheme that is gone."""
    assert set(schemes()) - {"Certificate"} == set(OVER)


@pytest.mark.parametrize("provider", ALL, ids=lambda provider: provider.name)
def test_every_providers_scheme_is_explained(provider):
    """By name, and over what."""
    told = proven(provider.signature.proof, 1, provider.signature)
    assert told.over
    assert told.secret == 1


def test_a_proof_that_needs_no_scheme():
    """An API's answer, an import, a hint."""
    for proof in (Proof.API, Proof.TRUSTED, Proof.HINT):
        told = proven(proof.value, None, TimestampedHmac())
        assert (told.scheme, bool(told.over)) == (None, True)


def test_an_account_that_is_configured_otherwise_by_now():
    """Nothing is claimed of a scheme that cannot have been it."""
    assert proven("signature", 0, Hint()).scheme is None
    assert proven("signature", 0, None).over == "a signature, as the account was configured then"


def test_a_scheme_of_somebody_elses():
    """By its name."""

    class Ours:
        proof = Proof.SIGNATURE

    assert proven("signature", 0, Ours()).over == "as Ours does"
