"""A secret last segment of the URL."""

from __future__ import annotations

import pytest
from signed_requests import request

from paymux.delivery import Proof
from paymux.errors import Rejected
from paymux.signatures import verify
from paymux.signatures.path_token import PathToken

TOKEN, OTHER = "Zr8vN1xYtB7mC-5WJ2kPq", "older_token~2025.abcdef"


def test_the_right_token_is_a_static_proof():
    """Any of the tokens; the index tells which."""
    scheme = PathToken()
    checks = ((scheme, (scheme.key(TOKEN), scheme.key(OTHER))),)
    for index, token in enumerate((TOKEN, OTHER)):
        verified = verify(request(path_token=token), checks)
        assert (verified.proof, verified.secret) == (Proof.STATIC, index)
    assert scheme.secret_headers == frozenset()


@pytest.mark.parametrize(
    "token", [None, "", TOKEN[:-1], TOKEN + "a", TOKEN.lower(), TOKEN + "/", "é", "\udc80", "\x00"]
)
def test_another_token_or_none_is_a_mismatch(token):
    """The whole token, in its case; text that no encoding knows is a mismatch too."""
    with pytest.raises(Rejected) as caught:
        PathToken().verify(request(path_token=token), [PathToken().key(TOKEN)])
    assert caught.value.reason == "path_token_mismatch"


@pytest.mark.parametrize(
    "token", ["a/token/with/slashes", "token%20percent%20x", "token?with=query", "tökens-are-ascii-only"]
)
def test_a_token_that_a_path_would_escape_makes_no_key(token):
    """There is one way to write a token in a URL."""
    with pytest.raises(ValueError, match="has only letters"):
        PathToken().key(token)
