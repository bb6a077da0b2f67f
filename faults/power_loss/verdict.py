"""A state of the disk is opened with paymux and held to what the run had been told until then."""

from __future__ import annotations

import base64
import sqlite3
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from faults.power_loss.workload import ACCOUNT, entry
from paymux.delivery import Delivery
from paymux.errors import JournalError
from paymux.journal import Result
from paymux.journal.sqlite import SqliteJournal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from faults.power_loss.disk import Image
    from faults.power_loss.recording import Said
    from paymux.journal import OutboxRow

FILE: Final = "paymux.db"


@dataclass(slots=True)
class Told:
    """What the outside knows. `seen` is what a relay may have put on Kafka: seq -> event id."""

    sent: dict[str, Delivery] = field(default_factory=dict)
    acked: dict[str, Sequence[str]] = field(default_factory=dict)
    seen: dict[int, str] = field(default_factory=dict)
    identity: str | None = None
    opened: bool = False

    def hear(self, said: Said) -> None:
        _HEAR[said.word](self, said.facts)

    def _sent(self, facts: dict[str, Any]) -> None:
        self.sent[facts["id"]] = Delivery(
            id=facts["id"],
            provider=ACCOUNT.provider.name,
            account=ACCOUNT.name,
            received_at=datetime.fromisoformat(facts["received_at"]),
            body=base64.b64decode(facts["body"]),
            headers=tuple((name.encode(), value.encode()) for name, value in facts["headers"]),
            path=f"/webhooks/{ACCOUNT.provider.name}/{ACCOUNT.name}",
        )

    def _acked(self, facts: dict[str, Any]) -> None:
        self.acked[facts["id"]] = facts["event_ids"]

    def _read(self, facts: dict[str, Any]) -> None:
        self.seen[facts["seq"]] = facts["event_id"]
        self.identity = facts["identity"]

    def _opened(self, _facts: dict[str, Any]) -> None:
        self.opened = True

    def _closed(self, _facts: dict[str, Any]) -> None:
        """What was true stays true."""


_HEAR: Final = {
    "sent": Told._sent,  # noqa: SLF001  # the table is the class's own
    "acked": Told._acked,  # noqa: SLF001  # as above
    "read": Told._read,  # noqa: SLF001  # as above
    "opened": Told._opened,  # noqa: SLF001  # as above
    "closed": Told._closed,  # noqa: SLF001  # as above
}


async def broken_promises(image: Image, told: Told, folder: Path) -> list[str]:
    """What is wrong with this state, in sentences; none is what should be."""
    for name, content in image.items():
        (folder / name).write_bytes(content)
    try:
        journal = await SqliteJournal.open(folder / FILE)
    except JournalError as error:
        return [f"the journal cannot be opened: {error}"]
    try:
        rows = await journal.read(0, 0, 1_000_000)
        wrong = [*_outbox(rows, told), *_deliveries(folder / FILE, rows, told)]
        if told.seen and journal.identity != told.identity:
            wrong.append("the journal has another identity than the one whose events were read")
        return wrong or await _goes_on(journal, told, len(rows))
    except (JournalError, sqlite3.Error) as error:
        return [f"the journal cannot be read or written: {error}"]
    finally:
        await journal.close()


def _outbox(rows: Sequence[OutboxRow], told: Told) -> Iterator[str]:
    """Gap-free, with all that was acknowledged and all that was read, and nothing of what was never sent."""
    if [row.seq for row in rows] != list(range(1, len(rows) + 1)):
        yield "the outbox has a gap"
    there = {row.record.event_id for row in rows}
    for delivery, events in told.acked.items():
        if missing := set(events) - there:
            yield f"acknowledged delivery {delivery}: {len(missing)} of its events are not in the outbox"
    for seq, event_id in told.seen.items():
        if seq > len(rows) or rows[seq - 1].record.event_id != event_id:
            yield f"row {seq} was read, and may be on Kafka, but is not in the outbox as it was"


def _deliveries(path: Path, rows: Sequence[OutboxRow], told: Told) -> Iterator[str]:
    """Byte for byte as they were sent; a delivery has all of its parts or none."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        damage = connection.execute("PRAGMA integrity_check").fetchall()
        stored = {name: (headers, body) for name, headers, body in connection.execute(_STORED)}
        items = {name for (name,) in connection.execute(_WITH_ITEMS)}
    finally:
        connection.close()
    if damage != [("ok",)]:
        yield f"the file is damaged: {damage[0][0]}"
    for name in told.acked.keys() - stored.keys():
        yield f"acknowledged delivery {name} is lost"
    for name, (headers, body) in stored.items():
        sent = told.sent.get(name)
        lines = b"\n".join(key + b":" + value for key, value in sent.headers) if sent else b""
        if sent is None or body != sent.body or headers != lines:
            yield f"delivery {name} is not what was sent"
    spoken = {orjson.loads(row.record.value)["data"]["origin"]["delivery_id"] for row in rows}
    if not stored.keys() == items >= spoken:
        yield "a delivery is there in part"


_STORED: Final = "SELECT id, headers, body FROM deliveries"
_WITH_ITEMS: Final = "SELECT DISTINCT d.id FROM deliveries d JOIN items i ON i.delivery = d.row"


async def _goes_on(journal: SqliteJournal, told: Told, end: int) -> list[str]:
    """The provider sends what was not acknowledged again, and what was acknowledged counts as known."""
    wrong = []
    for name in list(told.acked)[-1:]:
        receipts = await journal.append(entry(told.sent[name]))
        if receipts[0].result is not Result.DUPLICATE:
            wrong.append(f"acknowledged delivery {name} is not known any more")
    for name in list(told.sent.keys() - told.acked.keys())[-1:]:
        receipts = await journal.append(entry(told.sent[name]))
        added = [row.record.event_id for row in await journal.read(0, end, 100)]
        if added != list(receipts[0].event_ids):
            wrong.append(f"delivery {name} came again, and the outbox does not go on with its events")
    return wrong
