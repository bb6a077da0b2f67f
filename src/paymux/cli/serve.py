"""`paymux serve`: take webhooks, publish events, until told to stop.

SIGTERM or SIGINT: answer what is in flight and end; once more: end at once. SIGHUP: read accounts and secrets again.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import orjson
import uvloop

from paymux.errors import SettingsError
from paymux.settings import load
from paymux.telemetry import configure, log_failure, logger
from paymux.wiring import Gateway

if TYPE_CHECKING:
    from paymux.settings import Settings
    from paymux.telemetry import DeliveryLog

GARBAGE_THRESHOLDS: Final = (20_000, 20, 50)
AT_ONCE: Final = 1  # the exit code of one who did not wait
UNCLEAN: Final = 1

config = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The settings (default: paymux.toml here, if there is one).",
)


@click.command()
@config
def serve(file: Path | None) -> None:
    """Take webhooks, publish events."""
    settings = load(file)
    uvloop.run(_serve(settings, file))


async def _serve(settings: Settings, file: Path | None) -> None:
    deliveries = configure(level=settings.log.level, form=settings.log.format)
    ended, reload_wanted = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, ended, deliveries)
    loop.add_signal_handler(signal.SIGHUP, reload_wanted.set)
    gateway = await Gateway.start(settings, deliveries=deliveries)
    loop.add_signal_handler(signal.SIGHUP, _reload, gateway, file)
    if reload_wanted.is_set():
        _reload(gateway, file)
    _settle()
    _say_ready(gateway)
    await ended.wait()
    logger().info("stopping")
    if not await gateway.stop():
        _abandon(deliveries)
    logger().info("stopped")


def _settle() -> None:
    """What lives as long as the process is not searched for garbage any more, and little of what comes is any: values
    refer to no one but what they are made of.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def _say_ready(gateway: Gateway) -> None:
    """The one line on stdout, which other programs wait for."""
    ready = {"event": "ready", "listen": gateway.address, "admin_listen": gateway.admin_address}
    click.echo(orjson.dumps(ready))
    logger().info("serving", listen=gateway.address, admin_listen=gateway.admin_address, accounts=len(gateway.setups))


def _end(ended: asyncio.Event, deliveries: DeliveryLog) -> None:
    if ended.is_set():
        deliveries.drain()
        os._exit(AT_ONCE)
    ended.set()


def _abandon(deliveries: DeliveryLog) -> None:
    """What hangs, e.g. on a disk that does not answer, would keep Python from ending for as long."""
    logger().error(
        "stopped_hard",
        detail="Not everything could be closed, see stop_failed above. What was acknowledged is in the journal, and "
        "the next start goes on from there.",
    )
    deliveries.drain()
    os._exit(UNCLEAN)


def _reload(gateway: Gateway, file: Path | None) -> None:
    """A file with a mistake changes nothing."""
    try:
        gateway.reload(load(file))
        gateway.metrics.count("paymux_reloads", "done")
    except SettingsError as error:
        gateway.metrics.count("paymux_reloads", "refused")
        logger().error("reload_refused", mistakes=str(error).splitlines())
    except Exception as error:  # noqa: BLE001  # a reload must not end what serves
        gateway.metrics.count("paymux_reloads", "refused")
        log_failure("reload_refused", error)
