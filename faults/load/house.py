"""A `paymux serve` under load, in a process of its own, and what it takes: memory, disk, and what it tells."""

from __future__ import annotations

import json
import os
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from benchmarks.processes import Program

from paymux.sandbox.brokers import EmbeddedBroker

if TYPE_CHECKING:
    from collections.abc import Iterable

SECRETS: Final = {"loud": "whsec_loud0loud0loud0loud0loud0loud", "quiet": "whsec_quiet0quiet0quiet0quiet0quiet"}

_TOKEN: Final = "token-of-the-load-scenarios"
# librdkafka's mock cluster: it has no transactions to speak of, which is not what is looked at here.
_TOPICS: Final = {"payments.events.v1": 4, "payments.quarantine.v1": 1, "paymux.checkpoints": 1}
_CONFIGURATION: Final = """
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
{server}
[admin]
tokens = ["env:TOKEN"]
[journal]
url = "sqlite:///{journal}"
[kafka]
bootstrap_servers = "{bootstrap}"
positions = "journal"
[log]
level = "warning"
[[accounts]]
provider = "stripe"
name = "loud"
secrets = ["env:LOUD"]
{loud}
[[accounts]]
provider = "stripe"
name = "quiet"
secrets = ["env:QUIET"]
"""


class _Served(Program):
    @property
    def pid(self) -> int:
        return self._process.pid


class House:
    """`server` and `loud` are lines for [server] and for the account of that name."""

    def __init__(self, *, server: str = "", loud: str = "") -> None:
        self._server, self._loud = server, loud
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.home = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="paymux-load-")))
        broker = self._stack.enter_context(EmbeddedBroker(_TOPICS))
        configuration = self.home / "paymux.toml"
        configuration.write_text(
            _CONFIGURATION.format(
                server=self._server,
                journal=self.home / "paymux.db",
                bootstrap=broker.bootstrap_servers,
                loud=self._loud,
            )
        )
        environment = {name.upper(): secret for name, secret in SECRETS.items()} | {"TOKEN": _TOKEN}
        arguments = ["-m", "paymux", "serve", "--config", str(configuration)]
        program = _Served(arguments, errors=self.home / "serve.log", environment=environment)
        self._program = self._stack.enter_context(program)
        self.port = int(program.ready["listen"].rpartition(":")[2])
        self._private = str(program.ready["admin_listen"])
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def alive(self) -> bool:
        return bool(self._get("healthz"))

    def rss(self) -> int:
        """MiB of the gateway's own process; its relay is a child that never sees a request."""
        return resident(self._program.pid) // 2**20

    def disk(self) -> int:
        """KiB of the journal, its WAL included."""
        return sum(path.stat().st_size for path in self.home.glob("paymux.db*")) // 1024

    def log(self) -> int:
        """KiB of the log."""
        return (self.home / "serve.log").stat().st_size // 1024

    def counted(self, metric: str, *labels: str) -> int:
        """The sum of a metric's samples that have all of these labels."""
        lines = [line for line in self._get("metrics").splitlines() if line.startswith(metric)]
        return int(sum(float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in labels)))

    def rejections(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self._get("api/v1/rejections?limit=1000"))["rejections"]
        return found

    def _get(self, path: str) -> str:
        asked = urllib.request.Request(f"http://{self._private}/{path}", headers={"Authorization": f"Bearer {_TOKEN}"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return str(answer.read().decode())


def resident(pid: int) -> int:
    """https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html: the second number, in pages."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def slope(samples: Iterable[tuple[float, float]]) -> float:
    """Least squares, per unit of the first."""
    points = list(samples)
    x_mean = sum(x for x, _ in points) / len(points)
    y_mean = sum(y for _, y in points) / len(points)
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / sum((x - x_mean) ** 2 for x, _ in points)
