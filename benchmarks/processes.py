"""Programs under measurement, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STOP_SECONDS: Final = 20.0
_PROC: Final = Path("/proc")
_TICK: Final = os.sysconf("SC_CLK_TCK")


class Program:
    """A Python program that says on stdout, in one JSON line, that it is ready; `errors` takes its stderr."""

    def __init__(self, arguments: Sequence[str], *, errors: Path, environment: Mapping[str, str] | None = None) -> None:
        with errors.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **(environment or {})},
            )
        try:
            self.ready = self.hear()
        except RuntimeError:
            self.stop()
            raise RuntimeError(f"{' '.join(arguments)} did not start: {errors.read_text()[-2000:]}") from None

    def tell(self, command: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the program said nothing and ended")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def cpu_seconds(self) -> float:
        """What it and its children used so far, user and system; nan where the system has no /proc."""
        return _cpu_seconds(self._process.pid) if _PROC.is_dir() else float("nan")

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _cpu_seconds(pid: int) -> float:
    """https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: utime and stime, after the name in brackets."""
    with suppress(FileNotFoundError):
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        own = (int(fields[11]) + int(fields[12])) / _TICK
        return own + sum(map(_cpu_seconds, _children(pid)))
    return 0.0


def _children(pid: int) -> list[int]:
    tasks = (_PROC / str(pid) / "task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]
