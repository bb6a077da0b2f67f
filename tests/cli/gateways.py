"""`paymux serve` as a process of its own, as people run it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAYMUX = (sys.executable, "-m", "paymux")
PATIENCE = 20.0


@dataclass(slots=True, kw_only=True)
class Served:
    process: subprocess.Popen[bytes]
    ready: dict[str, str]
    log: Path

    @property
    def public(self) -> str:
        return f"http://{self.ready['listen']}"

    @property
    def private(self) -> str:
        return f"http://{self.ready['admin_listen']}"

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def until(self, event: str) -> dict[str, Any]:
        """The first line of that event, once it is there."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in self.logged():
                if line["event"] == event:
                    return line
            time.sleep(0.05)
        raise AssertionError(f"no {event} in {self.log.read_text()}")

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def fetch(url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    asked = urllib.request.Request(url, data=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def run(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [*PAYMUX, *arguments], cwd=cwd, env=_environ(environ), capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def serving(
    cwd: Path, *arguments: str, stderr: int | None = None, program: tuple[str, ...] = PAYMUX, **environ: str
) -> Iterator[Served]:
    """Until it says that it is ready; it is killed if the test leaves it running. `program`: what stands for paymux."""
    log = cwd / "serve.log"
    log.unlink(missing_ok=True)  # a relay's process that outlives its parent for a moment writes to the old one
    with log.open("ab") as lines:
        process = subprocess.Popen(
            [*program, "serve", *arguments],
            cwd=cwd,
            env=_environ(environ),
            stdout=subprocess.PIPE,
            stderr=lines if stderr is None else stderr,
        )
    try:
        yield Served(process=process, ready=_ready(process, log), log=log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _ready(process: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], PATIENCE)
    line = process.stdout.readline() if readable else b""
    if not line:
        raise AssertionError(f"it did not get ready: {log.read_text()}")
    found: dict[str, str] = json.loads(line)
    return found


def _environ(more: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PAYMUX_")}
    return kept | more
