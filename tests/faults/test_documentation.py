"""The page about reliability names what is broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.checker import ASSERTIONS
from faults.scenarios import BY_NAME

PAGE = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()


@pytest.mark.parametrize("name", BY_NAME)
def test_every_scenario_has_a_row(name):
    """By the name that `--only` takes."""
    assert f"`{name}`" in PAGE


def test_every_assertion_is_listed():
    """As many as the checker has."""
    assert f"{len(ASSERTIONS)}. nobody" in PAGE
    assert f"{len(ASSERTIONS) + 1}. " not in PAGE
