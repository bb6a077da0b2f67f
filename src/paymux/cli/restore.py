"""`paymux restore`: a copy of the journal takes the place of one that was lost."""

from __future__ import annotations

import asyncio
import getpass
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from paymux.cli.backup import progress
from paymux.cli.stored import as_json, config, dump
from paymux.errors import BrokerUnavailable, SettingsError

if TYPE_CHECKING:
    from paymux.keeping.restoring import Restored


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Give the file at the journal's place another name, with the time.")
@click.option("--without-kafka", is_flag=True, help="Do not ask Kafka what was published: it may be again.")
@click.option("--accept-doubles", is_flag=True, help="Go on where Kafka cannot tell all that was published.")
@click.option("--instead-of", metavar="JOURNAL", help="Another journal that is lost as well, as the refusal names it.")
@config
@as_json
def restore(
    file: Path,
    force: bool,  # noqa: FBT001  # flags
    without_kafka: bool,  # noqa: FBT001
    accept_doubles: bool,  # noqa: FBT001
    instead_of: str | None,
    config: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Bring back a copy that `paymux backup` made: FILE stays as it is.

    Nothing may hold the journal. What was published after the copy was made is read from Kafka, so that nothing of it
    is published again when providers send it once more. Killed at any moment, it can be done again.
    """
    from paymux.keeping.restoring import Wish, restore
    from paymux.settings import load
    from paymux.wiring.parts import kafka_settings

    if without_kafka and (accept_doubles or instead_of):
        raise click.UsageError("--accept-doubles and --instead-of are about what Kafka says, which is not asked")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what fails comes as an error of ours
    settings = load(config)
    if settings.journal.path is None:
        raise SettingsError("journal.url: memory:// has no file that could be brought back")
    wish = Wish(
        kafka=None if without_kafka else kafka_settings(settings.kafka),
        who=f"user {getpass.getuser()}",
        moves_aside=force,
        accepts_doubles=accept_doubles,
        instead_of=instead_of,
    )
    place = Path(settings.journal.path)
    try:
        done = asyncio.run(restore(file, place, wish, now=lambda: datetime.now(UTC), progress=progress))
    except BrokerUnavailable as error:
        more = "nothing was changed; --without-kafka does not ask what was published"
        raise BrokerUnavailable(f"{error} ({more})", reason=error.reason) from None
    click.echo(dump(_facts(done)) if as_json else "\n".join(_told(done, place, asked=not without_kafka)))


def _facts(done: Restored) -> dict[str, object]:
    return {name: getattr(done, name) for name in done.__slots__}


def _told(done: Restored, place: Path, *, asked: bool) -> list[str]:
    lines = [
        f"{place} is journal {done.identity} now, in place of {done.parent}: {done.deliveries:,} deliveries",
        f"published up to {done.position} of {done.end}",
        *(line.format(done=done) for line in (_ASKED if asked else _UNASKED)),
    ]
    return [*lines, f"what was there is {done.aside} now"] if done.aside else lines


_ASKED: Final = (
    "the rest goes out when `paymux serve` starts",
    "{done.taken:,} events on Kafka are newer than the copy: they are not published again",
    "{done.ahead:,} payments go on with the numbers that Kafka has",
)
_UNASKED: Final = (
    "Kafka was not asked: what was published since is not known, and is published again when it comes again",
    "where Kafka has the old journal's checkpoint, `paymux serve` says how to go on before it publishes anything",
)
