"""What every provider is held to, for the tests of a package that brings one; needs the extra `testing`.

In a test module of that package:

    from paymux.testing import Way
    from paymux.testing.suite import *  # every row, as a test of this module

    WAYS = (Way(label="acmepay", provider=ACMEPAY, sign=..., signature=b"acmepay-signature", secrets=(...)),)

docs/adding-a-provider.md leads there.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("paymux.testing.suite")

# Asserts explain themselves only where asked for before.
from paymux.testing.suite.reading import translated  # noqa: E402
from paymux.testing.ways import NOW, Way  # noqa: E402

__all__ = ["NOW", "Way", "translated"]
