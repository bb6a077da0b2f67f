"""A delivery that proves nothing."""

from __future__ import annotations

import pytest
from signed_requests import request

from paymux.delivery import Proof
from paymux.errors import Rejected
from paymux.signatures import verify
from paymux.signatures.hint import Hint


@pytest.mark.parametrize("size", [0, 1, 65535, 65536])
def test_a_small_body_passes_and_is_called_a_hint(size):
    """It is let through as a hint, never as a proof, and names no secret."""
    verified = verify(request(body=b"x" * size), ((Hint(), ()),))
    assert (verified.proof, verified.secret) == (Proof.HINT, None)


def test_a_larger_body_is_rejected():
    """One byte over the limit."""
    for scheme, size in ((Hint(), 65537), (Hint(limit=10), 11)):
        with pytest.raises(Rejected) as caught:
            scheme.verify(request(body=b"x" * size), ())
        assert caught.value.reason == "hint_malformed"


def test_a_secret_for_a_hint_is_a_mistake():
    """A secret that nothing would check is refused rather than ignored."""
    with pytest.raises(ValueError, match="not signed"):
        Hint().key("a secret that nobody checks")
