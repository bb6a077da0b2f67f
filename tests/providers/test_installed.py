"""Providers of other packages: what the entry-point group `paymux.providers` brings, or what is wrong with it."""

from __future__ import annotations

import sys

import pytest

from paymux.errors import SettingsError
from paymux.providers import ALL, installed

SOUND = """
from dataclasses import replace
from paymux.providers.flowlix import FLOWLIX
ACMEPAY = replace(FLOWLIX, name="acmepay")
FLOWLIX_TOO = replace(FLOWLIX, docs="https://example.com")
NONSENSE = {"name": "acmepay"}
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs a package as pip leaves it: a module, and a dist-info beside it that names the entry points."""

    def install(*points: str, module: str = SOUND) -> None:
        (tmp_path / "acmepay_module.py").write_text(module)
        info = tmp_path / "acmepay-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acmepay\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[paymux.providers]\n" + "\n".join(points) + "\n")
        monkeypatch.syspath_prepend(tmp_path)

    yield install
    sys.modules.pop("acmepay_module", None)


def test_nothing_installed():
    """There are the ones listed by hand."""
    assert {name: installed()[name] for name in installed()} == {provider.name: provider for provider in ALL}


def test_a_provider_of_another_package(package):
    """It is there beside ours, under its own name."""
    package("acmepay = acmepay_module:ACMEPAY")

    found = installed()

    assert set(found) == {provider.name for provider in ALL} | {"acmepay"}
    assert found["acmepay"].name == "acmepay"


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (["x = acmepay_module:FLOWLIX_TOO"], "'flowlix', but there is one already"),
        (["x = acmepay_module:ACMEPAY", "y = acmepay_module:ACMEPAY"], "'acmepay', but there is one already"),
        (["x = acmepay_module:NONSENSE"], "is dict, not a paymux.provider.Provider"),
        (["x = acmepay_module:MISSING"], "does not load: AttributeError"),
        (["x = no_such_module_at_all:X"], "does not load: ModuleNotFoundError"),
    ],
)
def test_a_provider_that_cannot_be_used(package, points, said):
    """It is a mistake in the installation that a sentence explains, with the package's name: nothing is left out in silence."""
    package(*points)

    with pytest.raises(SettingsError, match="of acmepay") as caught:
        installed()
    assert said in str(caught.value)


def test_a_module_that_breaks_while_it_loads(package):
    """What it raised is named, not passed on."""
    package("x = acmepay_module:X", module="raise ZeroDivisionError('at home')\n")

    with pytest.raises(SettingsError, match="does not load: ZeroDivisionError: at home"):
        installed()
