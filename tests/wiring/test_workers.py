"""The workers beside the listener: what becomes of one that fails, and of a gateway that ends with it."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from paymux import wiring
from paymux.journal.memory import MemoryStore
from paymux.publish.memory import MemoryLog, MemoryPublisher
from paymux.settings import load
from paymux.telemetry import Metrics, configure
from paymux.wiring import Gateway
from paymux.wiring.shown import Overview
from paymux.wiring.workers import Worker
from tests.http.world import STRIPE


class Trouble:
    """Raises these, one in each life; then it goes on."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.steady = asyncio.Event()

    async def run(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.steady.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("error", [RuntimeError("secret words"), asyncio.CancelledError()])
async def test_a_worker_that_fails_is_told_and_started_again(error):
    """Each time; its words stay out of the log, which names its class."""
    stream, metrics, trouble = io.StringIO(), Metrics(), Trouble(error, error)
    configure(stream=stream)
    worker = Worker("relay", trouble.run, metrics, pause=0.01)
    worker.start()
    async with asyncio.timeout(5):
        await trouble.steady.wait()
    assert worker.facts == {"up": True, "restarts": 2, "last_error": type(error).__name__}
    await worker.end()
    assert worker.up is False
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["worker_failed"] * 2
    assert "secret words" not in stream.getvalue()
    assert 'paymux_worker_restarts_total{worker="relay"} 2.0' in metrics.render().decode()


async def test_a_worker_that_returns_has_stopped_on_purpose():
    """A relay that stopped itself waits for somebody to decide."""
    lives = []

    async def once() -> None:
        lives.append(1)

    worker = Worker("relay", once, Metrics(), pause=0.0)
    worker.start()
    await asyncio.sleep(0.05)
    assert (lives, worker.facts) == ([1], {"up": False, "restarts": 0, "last_error": None})
    await worker.end()


async def test_ending_a_worker_never_raises():
    """Not where it was never started, not where its last act is an error."""

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError

    await Worker("lookups", run, Metrics()).end()
    worker = Worker("lookups", run, Metrics(), pause=60.0)
    worker.start()
    await asyncio.sleep(0)
    await asyncio.wait_for(worker.end(), 5)


async def gateway(stream: io.StringIO) -> Gateway:
    settings = load(
        None,
        {
            "PAYMUX_ACCOUNTS": json.dumps([STRIPE]),
            "PAYMUX_JOURNAL__URL": "memory://",
            "PAYMUX_SERVER__LISTEN": "127.0.0.1:0",
            "PAYMUX_SERVER__ADMIN_LISTEN": "127.0.0.1:0",
        },
    )
    log = MemoryLog()
    return await Gateway.start(
        settings, deliveries=configure(stream=stream), publisher=lambda: MemoryPublisher(log, journal="a", shard=0)
    )


async def test_a_gateway_closes_everything_whatever_fails_before():
    """Each step that fails is a line, and the journal and the ports are let go of all the same."""
    stream = io.StringIO()
    running = await gateway(stream)

    async def broken() -> None:
        raise RuntimeError

    running.webhooks.idle = running._hang_up = broken
    host, port = running.address.split(":")
    assert await running.stop() is False
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))
    assert running._session.closed
    assert running.journal._commits._closed
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    steps = [line["step"].rpartition(".")[2] for line in told if line["event"] == "stop_failed"]
    assert steps == ["_refuse", "broken"]


async def test_a_gateway_ends_in_bounded_time_although_a_commit_never_returns(monkeypatch):
    """What hangs is told with its name, and left."""
    monkeypatch.setattr(wiring, "CLOSING_SECONDS", 0.1)
    monkeypatch.setattr(wiring, "PATIENCE_SECONDS", 0.1)
    stream = io.StringIO()
    running = await gateway(stream)
    monkeypatch.setattr(MemoryStore, "commit", lambda *_: asyncio.Event().wait())
    hanging = asyncio.create_task(running.journal._commits.run(lambda _: None))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert await running.stop() is False
    (told,) = [line for line in map(json.loads, stream.getvalue().splitlines()) if line["event"] == "stop_failed"]
    assert (told["step"], told["detail"]) == ("MemoryJournal.close", "it did not end within 0.2 s")
    hanging.cancel()
    running.journal._commits._running.cancel()


async def test_a_gateway_that_ends_well_says_so():
    """Whoever started it exits with 0 then."""
    assert await (await gateway(io.StringIO())).stop() is True


async def test_a_gateway_tells_of_its_workers():
    """In readiness, in the status, and as gauges."""
    running = await gateway(io.StringIO())
    try:
        await asyncio.sleep(0.05)
        overview = Overview(running)
        ready, facts = await overview.ready()
        assert ready
        assert {name: worker["up"] for name, worker in facts["workers"].items()} == {
            "relay": True,
            "lookups": True,
            "retention": True,
            "replays": True,
            "reconciles": True,
            "watch": True,
        }
        assert (await overview.status()).workers == facts["workers"]
        await overview.refresh()
        metrics = running.metrics.render().decode()
        assert 'paymux_worker_up{worker="lookups"} 1.0' in metrics
        assert "paymux_log_errors_total 0.0" in metrics
    finally:
        await running.stop()


async def test_a_gateway_watches_its_accounts():
    """Those that it has now, also after a reload."""
    running = await gateway(io.StringIO())
    for names in (["acme"], ["acme", "other"]):
        environ = {"PAYMUX_ACCOUNTS": json.dumps([{**STRIPE, "name": name} for name in names])}
        running.reload(load(None, environ))
        await running.watch.look()
        assert running.metrics.gauges["paymux_account_silent"] == {("stripe", name): 0.0 for name in names}
    assert await running.stop()
