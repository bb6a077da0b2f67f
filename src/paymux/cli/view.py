"""The live view of `paymux dev`: what comes out, line by line, and how much of each it was."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paymux.cli.lines import Lines
    from paymux.journal import Rejection
    from paymux.sandbox.stories import Story


@dataclass(slots=True, kw_only=True)
class Seen:
    events: int = 0
    quarantined: int = 0
    rejected: int = 0

    def reaches(self, other: Seen) -> bool:
        return self.events >= other.events and self.quarantined >= other.quarantined and self.rejected >= other.rejected


def expected(stories: Iterable[Story]) -> Seen:
    """What the topics say once every story is told."""
    told = [line for story in stories for line in story.tells]
    return Seen(
        events=sum(" " not in line for line in told),
        quarantined=sum(line.startswith("quarantined ") for line in told),
        rejected=sum(line.startswith("rejected ") for line in told),
    )


@dataclass(slots=True, kw_only=True)
class View:
    """`lines` None: JSON, with the events alone on stdout. `limit` is after how many events to stop."""

    lines: Lines | None
    limit: int | None = None
    seen: Seen = field(default_factory=Seen)
    payments: set[str] = field(default_factory=set)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, text: str | bytes) -> None:
        """Anything but an event."""
        click.echo(text, err=self.lines is None)

    def event(self, value: bytes) -> None:
        if self.seen.events == self.limit:
            return
        event = orjson.loads(value)
        self.seen.events += 1
        self.payments.add(event["data"]["payment_id"] or event["subject"])
        click.echo(value if self.lines is None else self.lines.event(event))
        if self.seen.events == self.limit:
            self.ended.set()

    def quarantine(self, value: bytes) -> None:
        self.seen.quarantined += 1
        self.say(value if self.lines is None else self.lines.quarantined(orjson.loads(value)))

    def rejection(self, rejection: Rejection) -> None:
        self.seen.rejected += 1
        told = {"provider": rejection.provider, "account": rejection.account, "reason": rejection.reason}
        if self.lines is None:
            self.say(orjson.dumps({"rejected": {"at": rejection.at, **told}}))
        else:
            self.say(self.lines.rejected(at=rejection.at, **told))

    def summary(self) -> str:
        seen = self.seen
        return (
            f"{seen.events} events of {len(self.payments)} payments and payouts, {seen.quarantined} quarantined, "
            f"{seen.rejected} rejected."
        )
