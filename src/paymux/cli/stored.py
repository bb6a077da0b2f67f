"""What commands about stored deliveries share: the journal's file, times, and lines."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from paymux.cli.offline import Unusable, received_at
from paymux.errors import SettingsError
from paymux.explain import dump

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from paymux.explain.deliveries import DeliveryFacts, Knowledge
    from paymux.journal.history import History

__all__ = ["as_json", "ask", "clock", "config", "dump", "journal", "journal_file", "knowledge", "line", "time"]

T = TypeVar("T")

_AGO: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_COLOURS: Final = {"quarantined": "magenta", "events": "green", "lookup": "cyan", "ignored": "bright_black"}

config = click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Default: paymux.toml."
)
journal = click.option(
    "--journal",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A journal's file, instead of the configuration's.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="JSON, one line each.")


def time(_ctx: click.Context, _parameter: click.Parameter, told: str | None) -> datetime | None:
    """An option's callback: RFC 3339, unix seconds or a time ago."""
    if told is None:
        return None
    ago = _AGO.fullmatch(told)
    try:
        return received_at(told) if ago is None else datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    except (Unusable, OverflowError):
        raise click.BadParameter(
            f"{told[:40]!r} is neither RFC 3339, unix seconds nor a time ago like 90m, 6h, 2d"
        ) from None


def ask(config: Path | None, file: Path | None, question: Callable[[History], Awaitable[T]]) -> T:
    """Open the journal's file to read, ask, and let go of it. Works beside a running `serve`."""
    return asyncio.run(_ask(file or journal_file(config), question))


async def _ask(file: Path, question: Callable[[History], Awaitable[T]]) -> T:
    from paymux.journal.sqlite.history import SqliteHistory

    history = SqliteHistory(file)
    try:
        return await question(history)
    finally:
        await history.close()


def journal_file(config: Path | None) -> Path:
    """Raises SettingsError."""
    from paymux.settings import load

    path = load(config).journal.path
    if path is None:
        raise SettingsError("journal.url: memory:// keeps nothing that another process could read")
    file = Path(path)
    if not file.is_file():
        raise SettingsError(f"journal.url: there is no file {file} yet; name another with --journal")
    return file


def knowledge(config: Path | None, file: Path | None) -> Knowledge:
    """What explains a delivery beside the journal. With a journal's file alone each account has its provider's usual
    scheme.
    """
    from paymux.explain.deliveries import Knowledge
    from paymux.providers import installed
    from paymux.settings import load
    from paymux.settings.accounts import scheme_of

    providers = installed()
    usual = {name: provider.scheme({}) for name, provider in providers.items()}
    if file is not None:
        return Knowledge(providers=providers, scheme=lambda provider, _: usual.get(provider))
    accounts = [each for each in load(config).accounts if each.provider in providers]
    own = {(each.provider, each.name): scheme_of(each, providers[each.provider]) for each in accounts}
    return Knowledge(providers=providers, scheme=lambda *name: own.get(name, usual.get(name[0])))


def line(delivery: DeliveryFacts) -> str:
    """One delivery in one line."""
    first = delivery.items[0] if delivery.items else None
    more = f" (+{len(delivery.items) - 1})" if len(delivery.items) > 1 else ""
    columns = (
        clock(delivery.received_at),
        click.style(delivery.outcome.ljust(11), fg=_COLOURS[delivery.outcome]),
        f"{delivery.provider}/{delivery.account}".ljust(20),
        ((first.event_type if first else None) or "-").ljust(30) + more,
        (first.event_key if first else None) or "-",
        delivery.id,
    )
    return "  ".join(columns)


def clock(at: datetime | None) -> str:
    return "-" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
