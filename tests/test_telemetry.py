"""Log lines and metrics: one line each, bounded, and silent about what was sent."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from paymux import telemetry
from paymux.telemetry import BOUNDS, Histogram, Metrics, clean, configure, log_failure, logger
from tests.logs import restored_logging

__all__ = ["restored_logging"]


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object():
    """Time, level, event, and the facts."""
    stream = io.StringIO()
    configure(stream=stream)
    logger().info("serving", listen="127.0.0.1:8080", accounts=3)
    (line,) = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert (line["level"], line["event"], line["accounts"]) == ("info", "serving", 3)
    assert str(line["timestamp"]).endswith("Z")


def test_a_stream_that_is_no_terminal_gets_json_and_console_is_for_reading():
    """`auto` decides by the stream."""
    stream = io.StringIO()
    configure(stream=stream, form="console")
    logger().warning("relay_waiting", reason="broker_unavailable")
    assert "relay_waiting" in stream.getvalue()
    assert "{" not in stream.getvalue()


@pytest.mark.parametrize(("level", "expected"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_lines_below_the_level_are_not_written(level, expected):
    """Also those of a delivery, whose facts are not even gathered."""
    stream = io.StringIO()
    deliveries = configure(level=level, stream=stream)
    logger().debug("a")
    logger().info("b")
    logger().warning("c")
    assert len(lines(stream)) == expected
    assert deliveries.wanted is (level in ("debug", "info"))


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_deliverys_line_has_the_form_of_every_other(form):
    """Although it takes a shorter way."""
    stream = io.StringIO()
    deliveries = configure(stream=stream, form=form)
    deliveries.write({"provider": "stripe", "event_type": "a\nb"})
    logger().info("delivery", provider="stripe", event_type="a\nb")
    first, second = stream.getvalue().splitlines()
    if form == "json":
        assert {**json.loads(first), "timestamp": ""} == {**json.loads(second), "timestamp": ""}
    else:
        assert first[13:] == second[13:]


NASTY = ['\n{"level":"fake"}', "\x1b[31mred", "a\u2028b", "a\u0085b", "\x00", "a\r\nb", "\u202eevil", "\ud800"]


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("form", ["json", "console"])
def test_v36_no_text_can_forge_a_line_or_move_the_cursor(text, form):
    """V-36: what does not print is escaped, in facts and in other packages' lines."""
    stream = io.StringIO()
    deliveries = configure(stream=stream, form=form)
    deliveries.write({"event_key": text})
    logger().info("x", detail=text)
    logging.getLogger("other.package").warning("said %s", text)
    assert len(stream.getvalue().splitlines()) == 3
    assert stream.getvalue().replace("\n", "").isprintable()


def test_v36_a_long_text_is_cut():
    """V-36: two hundred characters tell enough."""
    assert clean("x" * 10_000) == "x" * 200
    assert len(clean("\n" * 10_000)) == 200


def test_v55_other_packages_do_not_speak_at_debug():
    """V-55: aiokafka logs whole records at DEBUG, asyncio and aiohttp whole requests."""
    stream = io.StringIO()
    configure(level="debug", stream=stream)
    for name in ("aiokafka", "aiokafka.producer.sender", "aiohttp.server", "aiohttp.web", "asyncio"):
        logging.getLogger(name).debug("canary-record")
        logging.getLogger(name).info("canary-record")
    assert stream.getvalue() == ""


def test_v55_a_failure_tells_class_and_place_only():
    """V-55: its words may quote what was sent; so may the last line of a traceback."""
    stream = io.StringIO()
    configure(level="debug", stream=stream)
    try:
        int("canary-in-words")
    except ValueError as error:
        log_failure("request_failed", error)
        logging.getLogger("aiohttp.server").exception("Unhandled exception")
    assert "canary" not in stream.getvalue()
    assert [line["error"] for line in lines(stream)] == ["ValueError", "ValueError"]
    assert str(lines(stream)[0]["at"]).startswith("test_v55_a_failure_tells")


class Gone(io.StringIO):
    def flush(self) -> None:
        raise BrokenPipeError


class Closed(io.StringIO):
    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        self.close()
        return super().write(text)


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("stream", [Gone, Closed])
def test_a_line_that_cannot_be_written_is_counted_and_raises_nothing(stream, form):
    """Whichever way it takes."""
    deliveries = configure(stream=stream(), form=form)
    deliveries.write({"provider": "stripe"})
    logger().info("x")
    logging.getLogger("other.package").warning("y")
    assert deliveries.errors >= 3


def test_metrics_are_prometheus_text():
    """Every family has its help; counters carry their labels; buckets add up."""
    metrics = Metrics()
    metrics.count("paymux_deliveries", "stripe", "events")
    metrics.count("paymux_deliveries", "stripe", "events", by=2)
    metrics.set("paymux_relay_lag_seconds", 1.5, "0")
    for seconds in (0.0005, 0.003, 99.0):
        metrics.observe("paymux_append_seconds", seconds)
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}
    (deliveries,) = families["paymux_deliveries"].samples
    assert (deliveries.labels, deliveries.value) == ({"provider": "stripe", "outcome": "events"}, 3.0)
    assert families["paymux_relay_lag_seconds"].samples[0].value == 1.5
    buckets = {sample.labels.get("le"): sample.value for sample in families["paymux_append_seconds"].samples}
    assert (buckets["0.001"], buckets["0.005"], buckets["+Inf"]) == (1.0, 2.0, 3.0)
    assert all(family.documentation for family in families.values())


def test_a_histogram_counts_a_bound_into_its_own_bucket():
    """`le` is less or equal."""
    histogram = Histogram()
    for bound in BOUNDS:
        histogram.observe(bound)
    assert [count for _, count in histogram.buckets()] == [*range(1, len(BOUNDS) + 1), len(BOUNDS)]


@pytest.fixture
def pipe():
    """A log's stream, and where it is read."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb") as lines:
        yield stream, lines


def test_lines_into_a_pipe_are_all_there_and_in_order(pipe):
    """Whichever way a line takes, and however many there are; when `drain` returns they are written."""
    stream, lines = pipe
    deliveries = configure(stream=stream, form="json")
    found = []
    reader = threading.Thread(target=lambda: found.extend(json.loads(lines.readline()) for _ in range(6_000)))
    reader.start()
    for number in range(3_000):
        deliveries.write({"number": 2 * number})
        logger().info("x", number=2 * number + 1)
    deliveries.drain(10)
    reader.join(10)
    assert [line["number"] for line in found] == list(range(6_000))
    assert deliveries.errors == 0


def test_a_reader_that_does_not_read_stops_nobody(pipe, monkeypatch):
    """Lines wait for it up to a bound, the next ones are dropped and counted; once it reads, those that waited come."""
    monkeypatch.setattr(telemetry, "MOST_WAITING", 500)
    stream, lines = pipe
    deliveries = configure(stream=stream, form="json")
    began = time.monotonic()
    for number in range(5_000):
        deliveries.write({"number": number})
    deliveries.drain(0.1)
    assert time.monotonic() - began < 3
    dropped = deliveries.errors
    assert 1_000 < dropped <= 4_500
    found = [json.loads(lines.readline())["number"] for _ in range(5_000 - dropped)]
    assert found[:500] == list(range(500))
    assert found == sorted(found)
    deliveries.write({"number": "last"})
    assert json.loads(lines.readline())["number"] == "last"


def test_a_reader_that_went_away_is_counted(pipe):
    """Each line that it did not get."""
    stream, lines = pipe
    deliveries = configure(stream=stream, form="json")
    lines.close()
    for number in range(10):
        deliveries.write({"number": number})
    deliveries.drain(5)
    assert deliveries.errors == 10


def test_a_pipe_that_somebody_made_non_blocking(pipe):
    """It is a property of all who share it: lines wait for the reader nonetheless, and none is cut."""
    stream, lines = pipe
    os.set_blocking(stream.fileno(), False)
    deliveries = configure(stream=stream, form="json")
    for number in range(1_000):
        deliveries.write({"number": number, "text": "x" * 200})
    assert [json.loads(lines.readline())["number"] for _ in range(1_000)] == list(range(1_000))
    assert deliveries.errors == 0


ENDING = """
from paymux.telemetry import configure
log = configure(form="json")
for number in range(2000):
    log.write({"number": number})
"""


def test_a_process_that_ends_writes_its_last_lines():
    """All of them, without being asked."""
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, timeout=60, check=True)
    assert [json.loads(line)["number"] for line in done.stderr.splitlines()] == list(range(2000))


def test_a_process_that_ends_does_not_wait_for_a_reader_for_ever(pipe):
    """A second is enough for who reads."""
    stream, _ = pipe
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", ENDING], stderr=stream, timeout=60, check=False)
    assert (done.returncode, time.monotonic() - began < 20) == (0, True)
