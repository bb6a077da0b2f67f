"""Logs and metrics: structlog to stderr, one wide line for each delivery, Prometheus counters.

What a stranger or a provider sent comes into a line only as a short printable text, and never into a label.
"""

from __future__ import annotations

import atexit
import logging
import os
import platform
import sys
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import SimpleQueue
from select import select
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO, cast

import orjson
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from paymux import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

LONGEST_TEXT: Final = 200
LEVELS: Final = {name: getattr(logging, name.upper()) for name in ("debug", "info", "warning", "error")}

# Below these levels they log records, requests and answers whole (V-55). What aiokafka calls an error is one line for
# each try to connect: the relay says it once.
TALKATIVE: Final = {"aiohttp": logging.WARNING, "aiokafka": logging.CRITICAL, "asyncio": logging.WARNING}

MOST_WAITING: Final = 10_000  # lines: some 5 MB
GATHER_SECONDS: Final = 0.01  # to wake for each line would cost more than writing it
ENDING_SECONDS: Final = 1.0

_OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE

# --- logs


class Lines(Protocol):
    """Where lines go that may get lost: a full disk, or a reader that went away or does not read, must not change what
    is answered. `errors` counts those that could not be written.
    """

    errors: int

    def write(self, text: str) -> None: ...

    def flush(self) -> None: ...

    def isatty(self) -> bool: ...

    def put(self, line: bytes) -> None:
        """Write one line that is whole."""
        ...

    def drain(self, seconds: float) -> None:
        """Wait until all is written, but not longer."""
        ...


class Unfailing:
    """Lines of a stream in memory, each written at once."""

    def __init__(self, stream: TextIO) -> None:
        self.errors = 0
        self._stream = stream

    def put(self, line: bytes) -> None:
        self.write(line.decode())
        self.flush()

    def drain(self, seconds: float) -> None:
        """There is nothing to wait for."""

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            self.errors += 1

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self.errors += 1

    def isatty(self) -> bool:
        return self._stream.isatty()


class Unblocked:
    """Lines of a file, a pipe or a terminal, written by a thread: one that does not take them stops nobody. They wait
    for it up to MOST_WAITING, the next ones are dropped. What waits at the end gets ENDING_SECONDS.
    """

    def __init__(self, stream: TextIO) -> None:
        """The stream is kept as well: were it closed, its number might soon be the journal's."""
        self.errors = 0
        self._stream = stream
        self._file = stream.fileno()
        self._waiting: SimpleQueue[bytes | Event] = SimpleQueue()
        self._thread: Thread | None = None

    def put(self, line: bytes) -> None:
        if self._thread is None:
            self._start()
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(line)
        else:
            self.errors += 1

    def write(self, text: str) -> None:
        self.put(text.encode("utf-8", "backslashreplace"))

    def flush(self) -> None:
        """The thread writes as soon as it can."""

    def isatty(self) -> bool:
        return os.isatty(self._file)

    def drain(self, seconds: float) -> None:
        if self._thread is not None:
            written = Event()
            self._waiting.put(written)
            written.wait(seconds)

    def _start(self) -> None:
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.drain, ENDING_SECONDS)

    def _run(self) -> None:
        while True:
            found = [self._waiting.get()]
            found += [self._waiting.get() for _ in range(self._waiting.qsize())]
            lines = [line for line in found if isinstance(line, bytes)]
            try:
                self._write_all(b"".join(lines))
            except OSError:
                self.errors += len(lines)
            for written in found:
                if isinstance(written, Event):
                    written.set()
            time.sleep(GATHER_SECONDS)

    def _write_all(self, rest: bytes) -> None:
        while rest:
            try:
                rest = rest[os.write(self._file, rest) :]
            except BlockingIOError:  # somebody who shares it made it non-blocking
                select((), (self._file,), ())


def _lines(stream: TextIO) -> Lines:
    try:
        return Unblocked(stream)
    except (AttributeError, OSError, ValueError):
        return Unfailing(stream)


def configure(*, level: str = "info", form: str = "auto", stream: TextIO | None = None) -> DeliveryLog:
    """Set up structlog and the standard library's loggers; `form` is json, console or auto (console on a terminal)."""
    lines = _lines(stream or sys.stderr)
    console = form == "console" or (form == "auto" and lines.isatty())
    structlog.configure(
        cache_logger_on_first_use=False,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        processors=[structlog.processors.add_log_level, _stamped, _cleaned, *_renderers(lines, console=console)],
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", lines)),
    )
    _capture_stdlib(level)
    wanted = LEVELS[level] <= logging.INFO
    return DeliveryLog(wanted=wanted, stream=lines, by_structlog=console)


class DeliveryLog:
    """The wide line of each delivery. As JSON it is made here, in the same form as every other line: structlog takes
    four times as long, which is a tenth of a delivery's time.
    """

    def __init__(self, *, wanted: bool, stream: Lines | None, by_structlog: bool = True) -> None:
        self.wanted = wanted
        self._stream = stream
        self._by_structlog = by_structlog

    @property
    def errors(self) -> int:
        """How often any line could not be written."""
        return self._stream.errors if self._stream is not None else 0

    def write(self, facts: dict[str, Any]) -> None:
        """Ask `wanted` before gathering the facts."""
        if self._by_structlog or self._stream is None:
            logger().info("delivery", **facts)
            return
        line = {"timestamp": datetime.now(UTC), "level": "info", "event": "delivery"}
        line |= {key: clean(value) if type(value) is str else value for key, value in facts.items()}
        self._stream.put(orjson.dumps(line, option=_OPTIONS))

    def drain(self, seconds: float = ENDING_SECONDS) -> None:
        """Before a process ends in a hurry: wait until all lines are written, but not longer."""
        if self._stream is not None:
            self._stream.drain(seconds)


SILENT: Final = DeliveryLog(wanted=False, stream=None)


def logger() -> FilteringBoundLogger:
    found: FilteringBoundLogger = structlog.get_logger()
    return found


def log_failure(event: str, error: BaseException, **facts: Any) -> None:
    """Something that was not foreseen: its class and place. Its words may quote what was sent, so they stay out."""
    logger().error(event, error=type(error).__name__, at=place(error), **facts)


def place(error: BaseException) -> str:
    """The function and line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace else ""


def clean(value: str) -> str:
    """One line, printable, bounded: what may stand in a log line (V-36)."""
    if len(value) <= LONGEST_TEXT and value.isprintable():
        return value
    short = value[:LONGEST_TEXT]
    return short if short.isprintable() else short.encode("unicode_escape").decode("ascii")[:LONGEST_TEXT]


def _stamped(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {"timestamp": datetime.now(UTC), "level": event.pop("level"), "event": event.pop("event"), **event}


def _cleaned(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: clean(value) if isinstance(value, str) else value for key, value in event.items()}


def _renderers(stream: Lines, *, console: bool) -> list[Callable[..., Any]]:
    if not console:
        return [_json]
    return [_short_time, structlog.dev.ConsoleRenderer(colors=stream.isatty())]


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_UTC_Z).decode()


def _short_time(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = event["timestamp"].strftime("%H:%M:%S.%f")[:-3]
    return event


class _Captured(logging.Handler):
    """Lines of other packages, without tracebacks: their last line may quote what was sent."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower() if record.levelname.lower() in LEVELS else "error"
        error = record.exc_info[1] if record.exc_info else None
        facts = {"error": type(error).__name__, "at": place(error)} if error else {}
        getattr(logger(), level)(record.getMessage(), logger=record.name, **facts)


def _capture_stdlib(level: str) -> None:
    root = logging.getLogger()
    root.handlers = [_Captured()]
    root.setLevel(LEVELS[level])
    for name, least in TALKATIVE.items():
        logging.getLogger(name).setLevel(least)


# --- metrics

# Seconds.
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """Counts of seconds by bucket; observing takes a fraction of what the client library's own takes."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus has them."""
        reached, found = 0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            reached += count
            found.append((bound, float(reached)))
        return found


# Name -> what it counts, its labels.
COUNTERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "paymux_deliveries": ("Verified deliveries answered, by outcome", ("provider", "outcome")),
    "paymux_rejections": ("Deliveries that were not accepted, by reason", ("provider", "reason")),
    "paymux_quarantined": ("Items quarantined, by reason", ("provider", "reason")),
    "paymux_unexpected_transitions": ("Status changes that no table of the provider allows", ("provider",)),
    "paymux_secret_matches": (
        "Deliveries by which of the account's secrets proved them",
        ("provider", "account", "secret"),
    ),
    "paymux_lookups": ("Questions to providers' APIs, by what came of them", ("provider", "result", "outcome")),
    "paymux_refused_connections": ("Connections beyond max_connections, or beyond one address's share", ()),
    "paymux_bad_requests": ("Requests that are not HTTP as it should be", ()),
    "paymux_internal_errors": ("Errors that were not foreseen, by where", ("where",)),
    "paymux_published": ("Records published", ("shard",)),
    "paymux_relay_failures": ("How often the relay had to start over or stopped, by reason", ("shard", "reason")),
    "paymux_reconciled": ("Differences that reconciling found, and jobs that failed", ("provider", "account", "kind")),
    "paymux_worker_restarts": ("Workers that failed and were started again", ("worker",)),
    "paymux_log_errors": ("Log lines that could not be written", ()),
    "paymux_reloads": ("Reloads of the configuration, by outcome", ("outcome",)),
}
GAUGES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "paymux_relay_lag_events": ("Committed and not yet published", ("shard",)),
    "paymux_relay_lag_seconds": ("Age of the oldest that is not published", ("shard",)),
    "paymux_relay_phase": ("1 for the phase that the relay is in", ("shard", "phase")),
    "paymux_worker_up": ("Whether the worker runs", ("worker",)),
    "paymux_lookups_waiting": ("Objects still to be asked for", ()),
    "paymux_journal_up": ("Whether the journal can commit", ()),
    "paymux_account_silent": ("1 while the provider is silent for longer than usual", ("provider", "account")),
    "paymux_alarm": ("1 while something is to be looked at", ("alarm",)),
    "paymux_accounts": ("Configured accounts", ()),
    "paymux_connections": ("Open connections of the public listener", ()),
}
HISTOGRAMS: Final[Mapping[str, str]] = {
    "paymux_append_seconds": "From a delivery's translation to its commit",
    "paymux_publish_seconds": "One Kafka transaction",
}


@dataclass(slots=True, eq=False)
class Metrics(Collector):
    """Plain numbers, read when they are asked for: counting on the way of a delivery is an addition and nothing else.

    Label values are slugs and configured names only.
    """

    counters: dict[str, Counter[tuple[str, ...]]] = field(
        default_factory=lambda: {name: Counter() for name in COUNTERS}
    )
    gauges: dict[str, dict[tuple[str, ...], float]] = field(default_factory=lambda: {name: {} for name in GAUGES})
    histograms: dict[str, Histogram] = field(default_factory=lambda: {name: Histogram() for name in HISTOGRAMS})

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        self.counters[name][labels] += by

    def total(self, name: str, value: int, *labels: str) -> None:
        """Of a counter that somebody else keeps."""
        self.counters[name][labels] = value

    def set(self, name: str, value: float, *labels: str) -> None:
        self.gauges[name][labels] = value

    def observe(self, name: str, seconds: float) -> None:
        self.histograms[name].observe(seconds)

    def render(self) -> bytes:
        """The Prometheus text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        yield _build_info()
        for name, (about, labels) in COUNTERS.items():
            yield _family(CounterMetricFamily(name, about, labels=labels), self.counters[name])
        for name, (about, labels) in GAUGES.items():
            yield _family(GaugeMetricFamily(name, about, labels=labels), self.gauges[name])
        for name, about in HISTOGRAMS.items():
            histogram = self.histograms[name]
            yield HistogramMetricFamily(name, about, buckets=histogram.buckets(), sum_value=histogram.total)


def _family(family: Any, values: Mapping[tuple[str, ...], float]) -> Metric:
    for labels, value in values.items():
        family.add_metric(labels, value)
    found: Metric = family
    return found


def _build_info() -> Metric:
    labels: Sequence[str] = ("version", "python")
    return _family(
        GaugeMetricFamily("paymux_build_info", "What runs here", labels=labels),
        {(__version__, platform.python_version()): 1.0},
    )
