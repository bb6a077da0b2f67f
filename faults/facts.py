"""What is known of a run when it is over: what was sent, what the disk holds, what a consumer reads, who looked when.

Each log is a list of values and a file of JSON Lines, so that a run can be judged again later.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One attempt to deliver, or (`via` lookup) one answer of a provider's API. Times by the monotonic clock.

    `genuine`: signed as the provider signs, or an answer of its API. `sha256` is the body's. `status` None: no answer
    came, and nobody can say what became of it.
    """

    provider: str
    account: str
    sha256: str
    sent_at: float
    genuine: bool = True
    via: str = "webhook"
    event_key: str | None = None
    answered_at: float | None = None
    status: int | None = None

    @property
    def acked(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A stored delivery: `sha256` as the journal has it, `body_sha256` of the bytes that are there; none are of a hint,
    nor of what was `erased`.
    """

    row: int
    id: str
    provider: str
    account: str
    via: str
    proof: str
    sha256: str
    body_sha256: str | None
    erased: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A stored item of delivery `row`; `first` if nothing stored has its key before it."""

    row: int
    event_key: str | None
    outcome: str
    first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A row of the outbox: what is to be published, in commit order, with the payment's `sequence`. `sha256` None: what
    it said was erased. `replay` is the job that published it again.
    """

    seq: int
    event_id: str
    topic: str
    key: str
    sha256: str | None
    delivery_id: str
    sequence: int | None
    replay: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The journal's file. `open_lookups` are objects that were not answered for even once."""

    deliveries: tuple[Delivery, ...] = ()
    items: tuple[Item, ...] = ()
    outbox: tuple[Stored, ...] = ()
    open_lookups: int = 0
    sound: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """A committed record, in the order in which a consumer of its partition reads it."""

    topic: str
    partition: int
    offset: int
    key: str
    event_id: str
    sha256: str
    delivery_id: str
    proof: str | None
    sequence: int | None
    replay: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Somebody else read the journal's file: `row` was its newest delivery in a read that began at `began`."""

    began: float
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All logs of one run. `explained` are event ids of which an operator's decision may have made further copies;
    `quiesced` says that the gateway was given the time to publish everything. `lost` are files that were lost, one
    after the other, each replaced by a copy of an earlier state of it.
    """

    client: Sequence[Sent] = ()
    disk: Disk = field(default_factory=Disk)
    consumer: Sequence[Consumed] = ()
    looks: Sequence[Look] = ()
    explained: frozenset[str] = frozenset()
    quiesced: bool = True
    lost: Sequence[Disk] = ()

    @property
    def disks(self) -> tuple[Disk, ...]:
        """All that ever stood on it, the one that is there last."""
        return (*self.lost, self.disk)


# --- from the disk and from Kafka


def read_disk(path: Path) -> Disk:
    """The file as it stands, read as any other program may."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as journal:
        journal.execute("BEGIN")  # one state for all reads
        return Disk(
            deliveries=tuple(_delivery(*row) for row in journal.execute(_DELIVERIES)),
            items=tuple(
                Item(row=row, event_key=key, outcome=outcome, first=bool(first))
                for row, key, outcome, first in journal.execute(_ITEMS)
            ),
            outbox=tuple(
                _stored(*row) for row in journal.execute("SELECT seq, event_id, topic, key, value FROM outbox")
            ),
            open_lookups=journal.execute("SELECT count(*) FROM lookups WHERE rounds = 0").fetchone()[0],
            sound=journal.execute("PRAGMA integrity_check").fetchall() == [("ok",)],
        )


_DELIVERIES = "SELECT row, id, provider, account, via, proof, sha256, body FROM deliveries ORDER BY row"
_ITEMS = "SELECT delivery, event_key, outcome, dedupe_key IS NOT NULL OR event_key IS NULL FROM items ORDER BY row"


def _delivery(
    row: int, identity: str, provider: str, account: str, via: str, proof: str, sha256: bytes, body: bytes | None
) -> Delivery:
    return Delivery(
        row=row,
        id=identity,
        provider=provider,
        account=account,
        via=via,
        proof=proof,
        sha256=sha256.hex(),
        body_sha256=None if body is None or (proof == "hint" and not body) else digest(body),
    )


def _stored(seq: int, event_id: str, topic: str, key: bytes, value: bytes) -> Stored:
    data = orjson.loads(value)["data"]
    return Stored(
        seq=seq,
        event_id=event_id,
        topic=topic,
        key=key.decode(),
        sha256=digest(value),
        delivery_id=_delivery_id(data),
        sequence=_sequence(data),
        replay=_replay(data),
    )


def consumed(topic: str, partition: int, offset: int, key: bytes, value: bytes) -> Consumed:
    event = orjson.loads(value)
    data = event["data"]
    return Consumed(
        topic=topic,
        partition=partition,
        offset=offset,
        key=key.decode(),
        event_id=event["id"],
        sha256=digest(value),
        delivery_id=_delivery_id(data),
        proof=data["origin"]["proof"] if "origin" in data else None,
        sequence=_sequence(data),
        replay=_replay(data),
    )


def _delivery_id(data: dict[str, Any]) -> str:
    found: str = data["origin"]["delivery_id"] if "origin" in data else data["delivery_id"]
    return found


def _replay(data: dict[str, Any]) -> str | None:
    return (data.get("origin") or {}).get("replay_id")


def _sequence(data: dict[str, Any]) -> int | None:
    return (data.get("lifecycle") or {}).get("sequence")


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


# --- as files


def write(room: Path, facts: Facts) -> None:
    """One file for each log; the disk has one for each of its tables."""
    room.mkdir(parents=True, exist_ok=True)
    disk = facts.disk
    logs: dict[str, Iterable[Any]] = {
        "client": facts.client,
        "consumer": facts.consumer,
        "looks": facts.looks,
        "deliveries": disk.deliveries,
        "items": disk.items,
        "outbox": disk.outbox,
        "run": [
            {
                "explained": sorted(facts.explained),
                "quiesced": facts.quiesced,
                "open_lookups": disk.open_lookups,
                "sound": disk.sound,
            }
        ],
    }
    for name, lines in logs.items():
        (room / f"{name}.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    for number, lost in enumerate(facts.lost):
        write(room / f"lost-{number}", Facts(disk=lost))


def read(room: Path) -> Facts:
    (run,) = _lines(room / "run.jsonl", dict[str, Any])
    disk = Disk(
        deliveries=tuple(_lines(room / "deliveries.jsonl", Delivery)),
        items=tuple(_lines(room / "items.jsonl", Item)),
        outbox=tuple(_lines(room / "outbox.jsonl", Stored)),
        open_lookups=run["open_lookups"],
        sound=run["sound"],
    )
    return Facts(
        client=_lines(room / "client.jsonl", Sent),
        disk=disk,
        consumer=_lines(room / "consumer.jsonl", Consumed),
        looks=_lines(room / "looks.jsonl", Look),
        explained=frozenset(run["explained"]),
        quiesced=run["quiesced"],
        lost=[read(each).disk for each in sorted(room.glob("lost-*"))],
    )


def _lines(file: Path, kind: type[T]) -> list[T]:
    adapter = TypeAdapter(kind)
    return [adapter.validate_json(line) for line in file.read_bytes().splitlines()]
