"""`paymux serve` from outside, as an operator has it: a configuration, a process, signals, its private pages."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import aiohttp

from paymux.sandbox.apis import KEYS, TENANT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from paymux.sandbox.apis import Sandbox

ACCOUNT = "acme"
MODES = ("inline", "process")
SERVE = (sys.executable, "-m", "paymux", "serve")
PATIENCE = 40.0
POLL = 0.05
SECRETS = {
    "flexprice": "whsec_ZmxleHByaWNlLXNlY3JldC1mb3ItdGVzdHM=",
    "flowglad": "whsec_Zmxvd2dsYWQtc2VjcmV0LWZvci10ZXN0cw==",
    "flowlix": "whsec_flowlix-secret-for-tests",
    "stripe": "whsec_stripe-secret-for-tests",
}
PROVIDERS = (*SECRETS, "flexportal")
CONFIG = """
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
shutdown_timeout = 5
relay_timeout = 20
[admin]
tokens = ["file:admin"]
[journal]
url = "sqlite:///./paymux.db"
[kafka]
bootstrap_servers = "{servers}"
events_topic = "events-{name}"
quarantine_topic = "quarantine-{name}"
checkpoints_topic = "checkpoints-{name}"
transactional_id_prefix = "paymux-{name}"
request_timeout = 3
[relay]
mode = "{mode}"
[log]
level = "{level}"
format = "json"
"""
ACCOUNT_CONFIG = """
[[accounts]]
provider = "{provider}"
name = "{account}"
livemode = false
api_key = "file:{provider}.key"
api_url = "{url}"
hint_rate = 1000
{more}
"""
ADMIN_TOKEN = "admin-token-of-the-acceptance-tests"


@dataclass(slots=True, kw_only=True)
class Gateway:
    """One installation: a directory that lives through many processes."""

    room: Path
    servers: str
    name: str
    environ: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = SERVE
    journal: str = "paymux.db"
    process: asyncio.subprocess.Process | None = None
    up: asyncio.Event = field(default_factory=asyncio.Event)
    public: str = ""
    private: str = ""
    heard: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def events_topic(self) -> str:
        return f"events-{self.name}"

    @property
    def quarantine_topic(self) -> str:
        return f"quarantine-{self.name}"

    @property
    def checkpoints_topic(self) -> str:
        return f"checkpoints-{self.name}"

    @property
    def file(self) -> Path:
        """The journal's."""
        return self.room / self.journal

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def _environ(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("PAYMUX_")} | self.environ

    def url(self, provider: str) -> str:
        return f"{self.public}/webhooks/{provider}/{ACCOUNT}"

    # --- life

    async def start(self) -> None:
        """Until its one line on stdout."""
        with (self.room / "serve.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                cwd=self.room,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        assert line, f"it did not get ready: {(self.room / 'serve.log').read_text()[-3000:]}"
        ready = json.loads(line)
        self.public, self.private = f"http://{ready['listen']}", f"http://{ready['admin_listen']}"
        self.up.set()

    async def run(self, *arguments: str) -> dict[str, Any]:
        """A command of paymux, in its directory; the JSON that it prints."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "paymux", *arguments, "--json"),
            cwd=self.room,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, errors.decode()
        found: dict[str, Any] = json.loads(out)
        return found

    def lose(self) -> None:
        """The journal's file, and what lies beside it."""
        for left in self.file.parent.glob(f"{self.file.name}*"):
            left.unlink()

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        return await self._end(signal.SIGTERM)

    def hang_up(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    async def _end(self, number: int) -> int:
        assert self.process is not None
        self.up.clear()
        if self.process.returncode is None:
            self.process.send_signal(number)
        out, _ = await asyncio.wait_for(self.process.communicate(), PATIENCE)
        assert out == b"", "more than one line on stdout"
        code = self.process.returncode
        assert code is not None
        return code

    async def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            await self.kill()

    # --- what it tells

    def lines(self) -> list[dict[str, Any]]:
        """Of its log, all processes' together; only what is new is read."""
        if self.process is None:
            return self.log
        with (self.room / "serve.log").open("rb") as log:
            log.seek(self.heard)
            for line in log:
                if line.endswith(b"\n"):
                    with suppress(ValueError):  # a process that was killed in the middle of its line
                        self.log.append(json.loads(line))
                    self.heard += len(line)
        return self.log

    def said(self, event: str, **facts: Any) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] == event and line.items() >= facts.items()]

    async def until_said(self, event: str, count: int = 1, **facts: Any) -> dict[str, Any]:
        await until(lambda: len(self.said(event, **facts)) >= count, lambda: f"no {event} {facts} in {self.lines()}")
        return self.said(event, **facts)[count - 1]

    async def page(self, path: str) -> tuple[int, bytes]:
        bearer = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        async with aiohttp.ClientSession() as session, session.get(self.private + path, headers=bearer) as answer:
            return answer.status, await answer.read()

    async def published(self) -> None:
        """Return once Kafka has everything, and every lookup was answered once: open payments are asked for again."""
        relay = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    relay = json.loads((await self.page("/readyz"))[1])["relay"]
                    waiting = self.rows("SELECT object_id FROM lookups WHERE rounds = 0")
                    if (relay["phase"], relay["lag_events"], waiting) == ("running", 0, []):
                        return
                    await asyncio.sleep(POLL)
        except TimeoutError:
            raise AssertionError(f"relay: {relay}, waiting: {waiting}") from None

    async def child(self, *, other_than: int = 0) -> int:
        """The process id of its relay, once it has one."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = [child for child in children(self.pid, "relay_process") if child != other_than]
                if found:
                    return found[0]
                await asyncio.sleep(POLL)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """From the journal's file, read as any other program may."""
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as journal:
            return journal.execute(query).fetchall()


def children(pid: int, program: str = "") -> list[int]:
    """Those whose command line holds `program`."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [
        int(child)
        for child, parent, command in rows
        if int(parent) == pid and program in command and "defunct" not in command
    ]


def state(pid: int) -> str:
    """The first letter of what ps says of it: T stands still, Z has ended; empty: it is gone."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return said.stdout.strip()[:1]


async def until(condition: Callable[[], bool], why: Callable[[], str], patience: float = PATIENCE) -> None:
    """For what can only be looked at."""
    try:
        async with asyncio.timeout(patience):
            while not condition():
                await asyncio.sleep(POLL)
    except TimeoutError:
        raise AssertionError(why()) from None


def say(text: str) -> None:
    """What was measured: shown where a test fails, and with -s."""
    sys.stdout.write(f"{text}\n")


def furnish(room: Path, servers: str, sandbox: Sandbox, *, mode: str, level: str = "info") -> Gateway:
    """An installation with an account for each provider. Everything secret is in a file of its own."""
    name = uuid4().hex[:12]
    text = CONFIG.format(servers=servers, name=name, mode=mode, level=level)
    (room / "admin").write_text(ADMIN_TOKEN)
    for provider in PROVIDERS:
        (room / f"{provider}.key").write_text(KEYS[provider])
        text += ACCOUNT_CONFIG.format(
            provider=provider, account=ACCOUNT, url=sandbox.url(provider), more=_more(room, provider)
        )
    (room / "paymux.toml").write_text(text)
    return Gateway(room=room, servers=servers, name=name)


def _more(room: Path, provider: str) -> str:
    if provider not in SECRETS:
        return f'options = {{tenant_id = "{TENANT}"}}'
    (room / f"{provider}.secret").write_text(SECRETS[provider])
    return f'secrets = ["file:{provider}.secret"]'


@asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[Gateway]:
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.close()
