"""`paymux doctor`: what is wrong with an installation, and what to do. It only looks, also beside a running `serve`.

Exit codes: 0 nothing is wrong; 1 something is; 2 the configuration would not start.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import orjson

from paymux.cli.check import examine
from paymux.cli.doctor import outside, storage, traffic
from paymux.cli.doctor.findings import LEVELS, Finding, Subject, good, note, wrong
from paymux.cli.serve import config
from paymux.errors import PaymuxError
from paymux.providers import installed
from paymux.settings import DEFAULT_FILE, load
from paymux.settings.accounts import build_accounts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from paymux.settings import Settings

WRONG: Final = 1


async def _configuration(subject: Subject) -> list[Finding]:
    """As `paymux check` has it."""
    found = await asyncio.to_thread(examine, subject.settings)
    problems = [wrong("configuration", told) for told in found.problems]
    notes = [note("configuration", told) for told in found.notes]
    return problems + notes or [good("configuration", f"{len(subject.setups)} accounts")]


CHECKS: Final[Sequence[Callable[[Subject], Awaitable[list[Finding]]]]] = (
    _configuration,
    storage.disk,
    storage.integrity,
    storage.retention,
    outside.kafka,
    outside.rights,
    outside.clocks,
    outside.certificates,
    traffic.lag,
    traffic.silence,
    traffic.refusals,
    traffic.jobs,
    traffic.secrets,
)


@click.command()
@config
@click.option("--full", is_flag=True, help="Check the whole journal, however long that takes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line for each finding.")
def doctor(file: Path | None, *, full: bool, as_json: bool) -> None:
    """What is wrong with an installation, and what to do."""
    settings = load(file)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what fails comes as an error of ours
    found = asyncio.run(examined(_subject(settings, file, is_full=full)))
    for each in found:
        click.echo(orjson.dumps(each) if as_json else _line(each))
    sys.exit(WRONG if any(each.level == "wrong" for each in found) else 0)


async def examined(subject: Subject) -> list[Finding]:
    """What every check found, the worst first. One that fails is a finding itself."""
    found = await asyncio.gather(*(_checked(check, subject) for check in CHECKS))
    return sorted((each for some in found for each in some), key=lambda each: -LEVELS.index(each.level))


async def _checked(check: Callable[[Subject], Awaitable[list[Finding]]], subject: Subject) -> list[Finding]:
    try:
        return await check(subject)
    except (PaymuxError, OSError) as error:
        return [wrong(getattr(check, "__name__", "").strip("_"), f"it could not be looked at: {error}")]


def _subject(settings: Settings, file: Path | None, *, is_full: bool) -> Subject:
    journal = Path(settings.journal.path) if settings.journal.path is not None else None
    config = file or DEFAULT_FILE
    return Subject(
        settings=settings,
        setups=build_accounts(settings, installed()),
        file=journal if journal is not None and journal.is_file() else None,
        config=config if config.is_file() else None,
        now=datetime.now(UTC),
        is_full=is_full,
    )


_MARKS: Final = {"wrong": ("WRONG", "red"), "note": ("note ", "yellow"), "good": ("good ", "green")}


def _line(found: Finding) -> str:
    mark, colour = _MARKS[found.level]
    told = f"{click.style(mark, fg=colour)}  {found.topic:<14}{found.told}"
    return f"{told}\n{'':>21}{found.advice}" if found.advice else told
