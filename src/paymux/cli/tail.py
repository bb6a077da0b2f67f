"""`paymux tail`: the events topic as a consumer reads it, `read_committed`, one line for each event."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

if TYPE_CHECKING:
    from paymux.cli.lines import Lines
    from paymux.publish.kafka import Consumed, KafkaSettings


@click.command()
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Default: paymux.toml.")
@click.option("--bootstrap-servers", metavar="HOST:PORT", help="Instead of the configuration's.")
@click.option("--from-beginning", is_flag=True, help="Everything that Kafka still has, not only what comes now.")
@click.option("--count", type=click.IntRange(1), help="Stop after that many.")
@click.option("--json", "as_json", is_flag=True, help="The events themselves, one JSON line each.")
def tail(
    config: Path | None,
    bootstrap_servers: str | None,
    from_beginning: bool,  # noqa: FBT001  # flags of the command line
    count: int | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Follow the events topic. Ctrl-C ends it."""
    from paymux.cli.lines import Lines

    # Its errors come to us as ours; what it would say beside them is said once, and readably.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    lines = None if as_json else Lines(colour=sys.stdout.isatty())
    try:
        asyncio.run(_follow(_kafka(config, bootstrap_servers), lines, count, from_beginning=from_beginning))
    except KeyboardInterrupt:
        sys.exit(0)


def _kafka(config: Path | None, servers: str | None) -> KafkaSettings:
    from paymux.publish.kafka import KafkaSettings

    if servers is not None and config is None:
        return KafkaSettings(bootstrap_servers=servers)
    from paymux.settings import load
    from paymux.wiring.parts import kafka_settings

    found = load(config).kafka
    return kafka_settings(found if servers is None else found.model_copy(update={"bootstrap_servers": servers}))


async def _follow(kafka: KafkaSettings, lines: Lines | None, count: int | None, *, from_beginning: bool) -> None:
    from paymux.publish.kafka import consume

    seen = 0
    async with aclosing(consume(kafka, [kafka.events_topic], from_beginning=from_beginning)) as records:
        async for record in records:
            click.echo(_line(record, lines))
            seen += 1
            if seen == count:
                return


def _line(record: Consumed, lines: Lines | None) -> str | bytes:
    """A record that is no event of ours is named by its place."""
    value = record.value or b""
    try:
        event = orjson.loads(value)
        return value if lines is None else lines.event(event)
    except (ValueError, LookupError, TypeError):
        place = f"{record.topic}/{record.partition}@{record.offset}"
        return orjson.dumps({"unreadable": place}) if lines is None else f"unreadable record at {place}"
