"""Every row: `from paymux.testing.suite import *` makes each a test of the module, over that module's WAYS."""

from __future__ import annotations

from paymux.testing.suite import the_junk, the_meaning, the_proof, the_value
from paymux.testing.suite.cases import pytest_generate_tests

_ROWS = {
    name: row
    for rows in (the_value, the_meaning, the_proof, the_junk)  # what explains the most comes first
    for name, row in vars(rows).items()
    if name.startswith("test_")
}
globals().update(_ROWS)

__all__ = ["pytest_generate_tests", *_ROWS]  # noqa: PLE0604  # the rows' names
