"""Every provider of ours, held to the suite that `paymux.testing` gives to anybody's. A new one needs samples and a
`Way` in signers.py; nothing here names one.
"""

from __future__ import annotations

from signers import WAYS

from paymux.providers import ALL, BY_NAME
from paymux.testing.suite import *  # noqa: F403  # every row becomes a test here


def test_the_list_of_providers():
    """Each has a name of its own, is found by it, and is in the tests' list of signers."""
    assert set(BY_NAME) == {provider.name for provider in ALL} == {way.provider.name for way in WAYS}
    assert len(BY_NAME) == len(ALL)
    assert [provider.name for provider in ALL] == sorted(BY_NAME)
