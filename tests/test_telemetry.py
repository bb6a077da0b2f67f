"""Log lines and metrics: one line each, bounded, and silent about what was sent."""

from __future__ import annotations

import io
import json
import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families

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
