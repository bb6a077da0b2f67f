"""What went wrong is said in a sentence, wherever it comes from."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from paymux.sandbox.brokers import free_ports
from tests.cli.gateways import PATIENCE, PAYMUX, fetch, run

if TYPE_CHECKING:
    from pathlib import Path


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    """Exit code 1, no traceback."""
    (tmp_path / "file").write_text("")
    ended = run("schemas", "--write", "file/below", cwd=tmp_path)
    assert (ended.returncode, "file/below: Not a directory" in ended.stderr) == (1, True)
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://h/?q=1"])
def test_a_url_that_is_none_is_not_posted_to(tmp_path: Path, url):
    """Exit code 2, and what it should look like."""
    ended = run(
        "send", "--provider", "stripe", "--account", "a", "--url", url, "--secret", "whsec_0123456789", cwd=tmp_path
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--url should be like http://127.0.0.1:8080" in ended.stderr


def test_several_mistakes_stand_below_one_another(tmp_path: Path):
    """`serve` tells them as `check` does."""
    (tmp_path / "paymux.toml").write_text('[server]\nlisten = "x"\n[servr]\n')
    ended = run("serve", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "Error: several mistakes:",
        '  server.listen: should be "host:port"',
        "  servr: there is no such key; did you mean 'server'?",
    ]


def test_closed_standard_streams_do_not_end_it(tmp_path: Path):
    """A supervisor may start it without any: the event loop must not get their numbers for its own files."""
    public, private = free_ports(2)
    (tmp_path / "paymux.toml").write_text(
        f'[server]\nlisten = "127.0.0.1:{public}"\nadmin_listen = "127.0.0.1:{private}"\n'
        '[kafka]\nbootstrap_servers = "127.0.0.1:1"\n'
    )
    command = f"exec {' '.join(PAYMUX)} serve <&- >&- 2>&-"
    with subprocess.Popen(["/bin/sh", "-c", command], cwd=tmp_path) as process:
        try:
            assert answers(f"http://127.0.0.1:{public}/healthz")
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def answers(url: str) -> bool:
    """Within PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(OSError):
            return fetch(url)[0] == 200
        time.sleep(0.1)
    return False
