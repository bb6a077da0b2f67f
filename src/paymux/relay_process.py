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
import re
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
import uvloop
from pydantic import TypeAdapter, ValidationError

from paymux.errors import JournalUnavailable
from paymux.journal.sqlite.outbox import SqliteOutbox
from paymux.publish.kafka import KafkaPublisher, KafkaSettings, TopicReport
from paymux.relay import Phase, Progress, Relay, RelayState
from paymux.telemetry import configure

if TYPE_CHECKING:
    from collections.abc import Callable

    from paymux.journal import Outbox
    from paymux.relay import RelayObserver

POLL_SECONDS: Final = 1.0
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
STEADY_SECONDS: Final = 60.0
END_SECONDS: Final = 3.0
UNUSABLE_ORDER: Final = 2
LARGEST_LINE: Final = 1_048_576
GARBAGE_THRESHOLDS: Final = (20_000, 20, 50)  # rows refer to no one but what they are made of


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the process is to do: the first line on its stdin."""

    journal: str
    shard: int
    kafka: KafkaSettings
    accept_positions: tuple[str, ...] = ()
    log_level: str = "info"
    log_form: str = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    events: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What the process says: a line of its stdout."""

    state: RelayState | None = None
    topics: TopicReport | None = None
    published: Published | None = None
    position: int | None = None


_ORDER: Final = TypeAdapter(Order)
_REPORTED: Final = TypeAdapter(Reported)
# What a Kafka client and Python may need; no secret of another setting goes along.
_ENVIRONMENT: Final = re.compile(r"PATH|HOME|LANG|LC_.*|TZ|TMPDIR|PYTHON.*|SSL_CERT_.*|VIRTUAL_ENV")


class RelayProcess(Progress):
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
        super().__init__(outbox, order.shard, observer, now)
        self._order = order
        self._on_topics = on_topics
        self._pause = FIRST_PAUSE

    async def run(self) -> None:
        """Until cancelled, or until the relay stops itself: then `state` says why."""
        while True:
            began = time.monotonic()
            try:
                why = f"The relay's process ended with exit code {await self._live()}"
            except Exception as error:  # noqa: BLE001  # whatever it is, start over
                why = f"The relay's process was let go of: {error!r:.200}"
            if self.state.phase is Phase.STOPPED:
                return
            steady = time.monotonic() - began > STEADY_SECONDS
            self._pause = FIRST_PAUSE if steady else min(self._pause * 2, LONGEST_PAUSE)
            detail = f"{why}; it is started again in {self._pause:g} s."
            self._enter(Phase.WAITING, reason="process_ended", detail=detail)
            await asyncio.sleep(self._pause)

    async def _live(self) -> int:
        """One life of the process; its exit code."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # nothing is imported from the working directory
            "-m",
            "paymux.relay_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LARGEST_LINE,
            env={name: value for name, value in os.environ.items() if _ENVIRONMENT.fullmatch(name)},
            start_new_session=True,  # a terminal's Ctrl-C is for the parent, which drains first
        )
        if process.stdin is None or process.stdout is None:  # Defensive: both were asked for.
            raise RuntimeError("a process without pipes")
        telling = asyncio.create_task(self._tell(process.stdin))
        try:
            while line := await process.stdout.readline():
                await self._hear(line)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            await _ended(process)
        return process.returncode or 0

    async def _tell(self, stdin: asyncio.StreamWriter) -> None:
        """The order, then the end of the outbox each time it moves."""
        told = -1
        stdin.write(_ORDER.dump_json(self._order) + b"\n")
        while True:
            try:
                end = await self._outbox.end(self._shard)
                if end != told:
                    stdin.write(b"%d\n" % end)
                    await stdin.drain()
                    told = end
                await self._outbox.wait(self._shard, told, POLL_SECONDS)
            except JournalUnavailable:
                await asyncio.sleep(POLL_SECONDS)

    async def _hear(self, line: bytes) -> None:
        """A line that is no report (a library that prints) is passed over."""
        try:
            said = _REPORTED.validate_json(line)
        except ValidationError:
            return
        if said.topics is not None:
            self._on_topics(said.topics)
        if said.published is not None:
            self._observer.published(shard=self._shard, events=said.published.events, seconds=said.published.seconds)
        if said.position is not None:
            await self._outbox.advance(self._shard, said.position)
            self._move_to(said.position)
        if said.state is not None:
            self._take(said.state)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Its stdin's end ends it, transaction and all; if not soon, it is killed, and the broker ends the transaction."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


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
        _say(Reported(position=seq))

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
        _say(Reported(state=state))

    def published(self, *, shard: int, events: int, seconds: float) -> None:
        del shard
        _write(Reported(published=Published(events=events, seconds=seconds)))  # it goes out with the position


def _say(what: Reported) -> None:
    _write(what)
    sys.stdout.buffer.flush()


def _write(what: Reported) -> None:
    sys.stdout.buffer.write(orjson.dumps(what) + b"\n")


async def _child() -> int:
    reader = asyncio.StreamReader(limit=LARGEST_LINE)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _nothing)  # the parent is told, drains, and closes stdin
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        order = _ORDER.validate_json(await reader.readline())
    except ValidationError as error:
        places = ", ".join(".".join(map(str, mistake["loc"])) for mistake in error.errors(include_input=False))
        sys.stderr.write(f"the relay's process cannot read its order: {places}\n")
        return UNUSABLE_ORDER
    log = configure(level=order.log_level, form=order.log_form)
    outbox = _ToldOutbox(Path(order.journal))
    relay = Relay(
        outbox,
        lambda: KafkaPublisher(order.kafka, journal=outbox.identity, shard=order.shard, on_topics=_say_topics),
        shard=order.shard,
        positions=order.kafka.positions,
        accept_positions=order.accept_positions,
        observer=_Said(),
    )
    running, listening = asyncio.create_task(relay.run()), asyncio.create_task(_listen(reader, outbox))
    await asyncio.wait({running, listening}, return_when=asyncio.FIRST_EXCEPTION)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    log.drain()
    return 0 if listening.done() else 1


async def _listen(reader: asyncio.StreamReader, outbox: _ToldOutbox) -> None:
    """Until stdin ends; that is an exception, so that it is waited for together with the relay's."""
    while line := await reader.readline():
        outbox.told(int(line))
    raise EOFError


def _say_topics(report: TopicReport) -> None:
    _say(Reported(topics=report))


def _nothing() -> None: ...


if __name__ == "__main__":
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    code = uvloop.run(_child())
    sys.stdout.flush()
    os._exit(code)  # no thread of a client that hangs keeps the process alive
