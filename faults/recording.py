"""Senders and consumers that write down what they saw, for the checker."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import aiohttp

from faults.facts import Consumed, Look, Sent, consumed, digest
from faults.gateways import ACCOUNT
from faults.readers import read
from faults.senders import Sender

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from faults.gateways import Gateway
    from faults.senders import Webhook


@dataclass(slots=True, kw_only=True)
class Recorder(Sender):
    """Logs each attempt, and looks at the journal's file right after every `look_every`th success. `torn` counts
    answers that ended in the middle.
    """

    look_every: int = 5
    log: list[Sent] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    successes: Iterator[int] = field(default_factory=count)
    torn: int = 0

    async def post(self, webhook: Webhook, secret: str | None = None) -> tuple[int, bytes]:
        sent_at, status, answered_at = time.monotonic(), None, None
        try:
            status, body = await Sender.post(self, webhook, secret)
            answered_at = time.monotonic()
        except aiohttp.ClientPayloadError:
            self.torn += 1
            raise
        finally:
            self.log.append(
                Sent(
                    provider=webhook.provider,
                    account=ACCOUNT,
                    sha256=digest(webhook.body),
                    event_key=webhook.event_key,
                    genuine=secret is None,
                    sent_at=sent_at,
                    answered_at=answered_at,
                    status=status,
                )
            )
        if status == 200 and next(self.successes) % self.look_every == 0:
            self.looks += look(self.gateway.file)
        return status, body


def look(path: Path) -> list[Look]:
    """One look, unless the file cannot be read now. The connection is closed again, or after a kill -9 SQLite would
    have nothing to recover.
    """
    began = time.monotonic()
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0)) as journal:
        return [Look(began=began, row=journal.execute("SELECT max(row) FROM deliveries").fetchone()[0] or 0)]
    return []


async def consume(gateway: Gateway, servers: str) -> list[Consumed]:
    """All that is committed to the gateway's topics of events and of quarantine, by whatever door of the broker."""
    return [
        consumed(record.topic, record.partition, record.offset, record.key.encode(), record.raw)
        for topic in (gateway.events_topic, gateway.quarantine_topic)
        for record in await read(servers, topic)
    ]
