"""The relay as a process of its own: a slow or hanging broker keeps out of the webhooks' latency, and a core of its own
does the publishing.

It reads the journal's file and never writes to it. Its parent tells it on stdin where the outbox ends, it tells on
stdout what it published and how it is; when stdin closes, it ends. The settings come as the first line, for they hold
secrets.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import uvloop
from pydantic import TypeAdapter

from paymux.errors import JournalUnavailable
from paymux.journal.sqlite.outbox import SqliteOutbox
from paymux.publish.kafka import KafkaPublisher, KafkaSettings, TopicReport
from paymux.relay import Lag, Phase, Relay, RelayState
from paymux.telemetry import configure

if TYPE_CHECKING:
    from collections.abc import Callable

    from paymux.journal import Outbox
    from paymux.relay import RelayObserver

POLL_SECONDS: Final = 1.0
RESTART_SECONDS: Final = 1.0
LARGEST_LINE: Final = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the process is to do: the first line on its stdin."""

    journal: str
    shard: int
    kafka: KafkaSettings
    accept_positions: tuple[str, ...] = ()
    log_level: str = "info"
    log_form: str = "json"


_ORDER: Final = TypeAdapter(Order)
_STATE: Final = TypeAdapter(RelayState)
_REPORT: Final = TypeAdapter(TopicReport)


class RelayProcess:
    """What a Relay is to the rest of paymux, done by a child process; one that dies is started again."""

    def __init__(
        self,
        outbox: Outbox,
        order: Order,
        *,
        observer: RelayObserver,
        on_topics: Callable[[TopicReport], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._outbox = outbox
        self._order = order
        self._observer = observer
        self._on_topics = on_topics
        self._now = now
        self._moved = asyncio.Event()
        self.state = RelayState(shard=order.shard, phase=Phase.STARTING, since=now())

    async def run(self) -> None:
        """Until cancelled, or until the relay stops itself: then `state` says why."""
        while True:
            detail = "The relay's process ended; it is started again."
            try:
                await self._live()
            except OSError as error:
                detail = f"The relay's process cannot be started: {error}."
            if self.state.phase is Phase.STOPPED:
                return
            self._enter(
                replace(self.state, phase=Phase.WAITING, since=self._now(), reason="process_ended", detail=detail)
            )
            await asyncio.sleep(RESTART_SECONDS)

    async def lag(self) -> Lag:
        """Asks the journal, so not for every event. Raises JournalUnavailable."""
        position = self.state.position
        if position is None:
            position = await self._outbox.mark(self._order.shard)
        end = await self._outbox.end(self._order.shard)
        if end <= position:
            return Lag(events=0, seconds=0.0)
        oldest = await self._outbox.read(self._order.shard, position, 1)
        age = (self._now() - oldest[0].created_at).total_seconds() if oldest else 0.0
        return Lag(events=end - position, seconds=max(age, 0.0))

    async def drained(self) -> None:
        """Return once everything that is committed now is published. The caller sets a deadline."""
        end = await self._outbox.end(self._order.shard)
        while self.state.position is None or self.state.position < end:
            self._moved.clear()
            await self._moved.wait()

    async def _live(self) -> None:
        """One life of the process."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "paymux.relay_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LARGEST_LINE,
            start_new_session=True,  # a terminal's Ctrl-C is for the parent, which drains first
        )
        if process.stdin is None or process.stdout is None:  # Defensive: both were asked for.
            raise RuntimeError("a process without pipes")
        telling = asyncio.create_task(self._tell(process.stdin))
        try:
            while line := await process.stdout.readline():
                await self._hear(orjson.loads(line))
        finally:
            telling.cancel()
            process.stdin.close()
            with suppress(ProcessLookupError):
                process.terminate()
            with suppress(asyncio.CancelledError):
                await telling
            await process.wait()

    async def _tell(self, stdin: asyncio.StreamWriter) -> None:
        """The order, then the end of the outbox each time it moves."""
        shard, told = self._order.shard, -1
        with suppress(ConnectionError):
            stdin.write(_ORDER.dump_json(self._order) + b"\n")
            while True:
                end = await self._outbox.end(shard)
                if end != told:
                    stdin.write(b"%d\n" % end)
                    await stdin.drain()
                    told = end
                with suppress(JournalUnavailable):
                    await self._outbox.wait(shard, told, POLL_SECONDS)

    async def _hear(self, said: dict[str, Any]) -> None:
        for name, value in said.items():
            match name:
                case "state":
                    self._enter(_STATE.validate_python(value, strict=False))
                case "topics":
                    self._on_topics(_REPORT.validate_python(value, strict=False))
                case "published":
                    self._observer.published(**value)
                case "position":
                    await self._outbox.advance(self._order.shard, value)
                    self.state = replace(self.state, position=value)
                    self._moved.set()

    def _enter(self, state: RelayState) -> None:
        self.state = state
        self._observer.entered(state)


# --- the child


class _ToldOutbox(SqliteOutbox):
    """The journal's file, with word from the parent of where it ends."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._told = 0
        self._news = asyncio.Event()

    def told(self, end: int) -> None:
        self._told = end
        self._news.set()

    async def advance(self, shard: int, seq: int) -> None:
        await super().advance(shard, seq)
        _say({"position": seq})

    async def wait(self, shard: int, after: int, timeout: float) -> None:  # noqa: ASYNC109  # a poll, not a deadline
        del shard
        if self._told > after:
            return
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._news.wait()


class _Said:
    """The relay's observer: everything goes to the parent."""

    def entered(self, state: RelayState) -> None:
        _say({"state": asdict(state)})

    def published(self, *, shard: int, events: int, seconds: float) -> None:
        _say({"published": {"shard": shard, "events": events, "seconds": seconds}})


def _say(what: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(what) + b"\n")
    sys.stdout.buffer.flush()


async def _child() -> None:
    reader = asyncio.StreamReader(limit=LARGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    line = await reader.readline()
    if not line:
        return
    order = _ORDER.validate_json(line)
    configure(level=order.log_level, form=order.log_form)
    outbox = _ToldOutbox(Path(order.journal))
    relay = Relay(
        outbox,
        lambda: KafkaPublisher(order.kafka, journal=outbox.identity, shard=order.shard, on_topics=_say_topics),
        shard=order.shard,
        positions=order.kafka.positions,
        accept_positions=order.accept_positions,
        observer=_Said(),
    )
    running = asyncio.create_task(relay.run())
    while line := await reader.readline():
        outbox.told(int(line))
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def _say_topics(report: TopicReport) -> None:
    _say({"topics": asdict(report)})


if __name__ == "__main__":
    gc.freeze()
    uvloop.run(_child())
    sys.stdout.flush()
    os._exit(0)  # no thread of a client that hangs keeps the process alive
