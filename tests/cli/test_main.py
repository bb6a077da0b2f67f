"""The command line as a whole, run as a stranger runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from paymux import __version__
from paymux.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]


def paymux(*arguments, stdin="", **more):
    return subprocess.run(
        [sys.executable, "-m", "paymux", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        **more,
    )


def test_the_version():
    """`paymux --version` says the package's."""
    done = paymux("--version")
    assert (done.returncode, done.stdout) == (0, f"paymux, version {__version__}\n")


def test_the_overview_names_every_command():
    """Also without importing a single one of them."""
    done = paymux("--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("name", [*COMMANDS])
def test_every_command_explains_itself(name):
    """--help works for each, and says what it is for."""
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert len(result.output) > 150


def test_a_command_that_is_none():
    """Exit 2, with the nearest."""
    done = paymux("verfy")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'verify'?" in done.stderr


def test_a_configuration_that_is_missing_is_a_sentence(tmp_path):
    """No traceback, exit 2."""
    done = paymux("tail", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: there is no paymux.toml here")


def test_a_broker_that_is_not_there_is_a_sentence(tmp_path):
    """No traceback, exit 1, and aiokafka's own words stay away."""
    done = paymux("tail", "--bootstrap-servers", "127.0.0.1:1", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: No Kafka broker can be reached at 127.0.0.1:1")
    assert len(done.stderr.splitlines()) == 1


def test_verify_starts_fast():
    """It imports neither the server, nor Kafka, nor pydantic's settings."""
    code = "import sys; from paymux.cli import main; main(['verify', '--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": "src"},
        cwd=ROOT,
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"aiohttp", "aiokafka", "asyncio", "structlog", "paymux.settings", "paymux.providers", "uvloop"}


def test_a_reader_that_goes_away_is_no_noise():
    """`paymux providers stripe | head -1` prints no traceback."""
    command = f"{sys.executable} -m paymux providers stripe | head -1"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": "src"},
        cwd=ROOT,
    )
    assert (done.stdout.split()[0], done.stderr) == ("stripe", "")


# A shell's background jobs, and what they start, ignore SIGINT.
INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("paymux", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_is_no_noise():
    """A command that waits for its input ends without a traceback."""
    running = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "verify", "--requests", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "src"},
        cwd=ROOT,
    )
    running.stdin.write("{}\n")
    running.stdin.flush()
    assert running.stdout.readline().startswith('{"error"')
    time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=20)
    assert (running.returncode, said.strip()) == (130, "")
