"""The package as a stranger installs it: a wheel in a virtual environment of its own, without any extra."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile

import pytest

from paymux import __version__
from paymux.cli import COMMANDS
from paymux.sandbox import samples
from tests.docs.pages import ROOT

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
# Who builds the wheel and what it depends on come from the package index; without it there is nothing to test.
OFFLINE = ("NewConnectionError", "ConnectionError", "Temporary failure in name resolution", "No matching distribution")


def pip(*arguments) -> None:
    done = subprocess.run([*PIP, *map(str, arguments)], capture_output=True, text=True, timeout=110, check=False)
    if done.returncode and any(word in done.stderr for word in OFFLINE):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    target = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", target, ROOT)
    [found] = target.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A virtual environment with the wheel and what it asks for, and nothing else."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False)
    pip("--python", home / "bin" / "python", "install", "--prefer-binary", wheel)
    return home / "bin" / "paymux"


def test_the_wheel_is_whole(wheel):
    """The typing marker and every sample are in it, the tests are not."""
    assert wheel.name.startswith(f"paymux-{__version__}-")
    names = zipfile.ZipFile(wheel).namelist()
    for provider in ("stripe", "flowlix"):
        for sample in samples.webhooks(provider):
            assert f"paymux/sandbox/samples/{provider}/webhooks/{sample.label}.json" in names
    assert {"paymux/py.typed", "paymux/cli/skeleton/provider.py.txt", "paymux/testing/suite/__init__.py"} <= {*names}
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "docs/"))]


def test_the_script_runs(installed):
    """`paymux --version` says which, and no command needs an extra to explain itself."""
    done = subprocess.run([installed, "--version"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, f"paymux, version {__version__}\n"), done.stderr
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    modules = [module for module, _ in COMMANDS.values()]
    done = subprocess.run(
        [installed.with_name("python"), "-c", code, *modules], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_works_without_extras(installed, tmp_path):
    """A configuration is explained, a file is translated: everything that they import is asked for."""
    (tmp_path / "paymux.toml").write_text('[[accounts]]\nprovider = "stripe"\nname = "a"\nsecrets = ["env:SECRET"]\n')
    environ = {"SECRET": "whsec_0123456789abcdef", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [installed, "check"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    body = tmp_path / "event.json"
    body.write_bytes(samples.webhook("stripe", "payment_intent.succeeded").body)
    done = subprocess.run(
        [installed, "translate", "--provider", "stripe", body],
        env=environ, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"payment.succeeded"' in done.stdout
