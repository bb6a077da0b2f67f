"""Logs and metrics: structlog to stderr, one wide line for each delivery, Prometheus counters.

What a stranger or a provider sent comes into a line only as a short printable text, and into a label never.
"""

from __future__ import annotations

import logging
import platform
import sys
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

import orjson
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from paymux import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

LONGEST_TEXT: Final = 200
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
OTHER: Final = "other"

# Below WARNING they log records, requests and answers whole.
TALKATIVE: Final = ("aiohttp", "aiokafka", "asyncio", "kafka", "urllib3")


# --- logs


def clean(value: str) -> str:
    """One line, printable, bounded: what may stand in a log line."""
    if len(value) <= LONGEST_TEXT and value.isprintable():
        return value
    short = value[:LONGEST_TEXT]
    return short if short.isprintable() else short.encode("unicode_escape").decode("ascii")[:LONGEST_TEXT]


class Log:
    """Lines to a stream. A line is built only when its level is wanted: ask `wants` before gathering the facts."""

    def __init__(self, *, level: str = "info", console: bool = False, stream: TextIO | None = None) -> None:
        self._least = LEVELS[level]
        self._stream = stream or sys.stderr
        self._render = _console(self._stream) if console else _json

    def wants(self, level: str) -> bool:
        return LEVELS[level] >= self._least

    def write(self, level: str, event: str, facts: Mapping[str, Any]) -> None:
        if LEVELS[level] < self._least:
            return
        line = {"timestamp": datetime.now(UTC), "level": level, "event": event}
        line |= {key: clean(value) if type(value) is str else value for key, value in facts.items()}
        self._stream.write(self._render(line))
        self._stream.flush()

    def debug(self, event: str, **facts: Any) -> None:
        self.write("debug", event, facts)

    def info(self, event: str, **facts: Any) -> None:
        self.write("info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        self.write("warning", event, facts)

    def error(self, event: str, **facts: Any) -> None:
        self.write("error", event, facts)

    def failure(self, event: str, error: BaseException, **facts: Any) -> None:
        """An error that was not foreseen: its class and place. Its words may quote what was sent."""
        self.write("error", event, {"error": type(error).__name__, "at": place(error), **facts})


def place(error: BaseException) -> str:
    """The function and line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace else ""


def _json(line: dict[str, Any]) -> str:
    return orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z).decode()


def _console(stream: TextIO) -> Callable[[dict[str, Any]], str]:
    renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty())

    def render(line: dict[str, Any]) -> str:
        line["timestamp"] = line["timestamp"].strftime("%H:%M:%S.%f")[:-3]
        return f"{renderer(None, '', line)}\n"

    return render
