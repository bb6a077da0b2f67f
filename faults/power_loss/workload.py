"""A run of the real journal, to be traced: python -m faults.power_loss.workload FILE DELIVERIES WRITER.

WRITER is thread or process. The run says on its standard output what it is about to send, what was acknowledged and
what a reader saw; the trace puts those lines between the calls to the disk. The file is made, checkpointed under load,
closed and opened once more.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from uuid_utils import uuid7

from paymux.delivery import Delivery
from paymux.journal import Entry
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.outbox import SqliteOutbox
from paymux.journal.sqlite.writing import WriterProcess, WriterThread
from paymux.provider import Account
from paymux.providers import BY_NAME
from paymux.sandbox import samples
from paymux.sandbox.fresh import Fresh, renewed
from paymux.sandbox.signing import signed
from paymux.signatures import verify
from paymux.translate import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from paymux.journal.sqlite.writing import Writing

PROVIDER: Final = BY_NAME["stripe"]
SECRET: Final = "whsec_0123456789abcdefghijklmnopqrstuv"
ACCOUNT: Final = Account(
    provider=PROVIDER,
    name="acme",
    checks=((PROVIDER.signature, (PROVIDER.signature.key(SECRET),)),),
)
WRITING: Final[dict[str, Callable[[Path, int], Writing]]] = {"thread": WriterThread, "process": WriterProcess}
WRITERS: Final = 8
SAMPLES: Final = ("payment_intent.created", "payment_intent.succeeded", "charge.succeeded", "charge.refunded")
LARGEST: Final = 60_000  # bytes added to some bodies, so that a few hundred deliveries fill a WAL


async def main(path: Path, deliveries: int, writing: Callable[[Path, int], Writing]) -> None:
    """Three quarters of the deliveries, a clean stop, and the rest."""
    everything = bodies(random.Random(deliveries))
    for share in (deliveries * 3 // 4, deliveries // 4):
        journal = await SqliteJournal.open(path, writing=writing)
        say("opened", identity=journal.identity)
        reader = asyncio.create_task(_read(path, journal))
        todo = iter(range(share))
        await asyncio.gather(*(_write(journal, todo, everything) for _ in range(WRITERS)))
        reader.cancel()
        await asyncio.wait([reader])
        await journal.close()
        say("closed")


async def _write(journal: SqliteJournal, todo: Iterator[int], everything: Iterator[bytes]) -> None:
    for _ in todo:
        delivery = delivered(next(everything))
        headers = [[name.decode(), value.decode()] for name, value in delivery.headers]
        body = base64.b64encode(delivery.body).decode()
        say("sent", id=delivery.id, received_at=delivery.received_at.isoformat(), headers=headers, body=body)
        receipts = await journal.append(entry(delivery))
        say("acked", id=delivery.id, event_ids=[name for receipt in receipts for name in receipt.event_ids])


async def _read(path: Path, journal: SqliteJournal) -> None:
    """As a relay's process does: what it reads may be on Kafka a moment later."""
    outbox = SqliteOutbox(path, poll=0.01)
    seen = 0
    try:
        while True:
            await outbox.wait(0, seen, 10.0)
            rows = await outbox.read(0, seen, 500)
            if rows:
                seen = rows[-1].seq
                say("read", seq=seen, event_id=rows[-1].record.event_id, identity=outbox.identity)
                await journal.advance(0, seen)
    finally:
        await outbox.close()


def bodies(dice: random.Random) -> Iterator[bytes]:
    """Stories of four events each, some with bodies that fill many pages."""
    found = {name: samples.webhook("stripe", name).body for name in SAMPLES}
    while True:
        fresh = Fresh()
        for name in SAMPLES:
            padding = dice.randbytes(dice.choice((0, 0, 200, LARGEST)) // 2).hex()
            yield renewed(fresh.body(found[name], datetime.now(UTC)), {"padding": padding})


def delivered(body: bytes) -> Delivery:
    """As the gateway makes one of a request."""
    at = datetime.now(UTC)
    headers = signed(PROVIDER.signature, secret=SECRET, body=body, message="", at=at).headers
    return Delivery(
        id=str(uuid7()),
        provider=PROVIDER.name,
        account=ACCOUNT.name,
        received_at=at,
        body=body,
        headers=tuple((name.encode(), value.encode()) for name, value in headers.items()),
        path=f"/webhooks/{PROVIDER.name}/{ACCOUNT.name}",
    )


def entry(delivery: Delivery) -> Entry:
    verified = verify(delivery, ACCOUNT.checks)
    return Entry(account=ACCOUNT, verified=verified, items=translate(ACCOUNT, verified))


def say(word: str, **facts: Any) -> None:
    """One line, in one call."""
    os.write(1, word.encode() + b" " + orjson.dumps(facts) + b"\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), WRITING[sys.argv[3]]))
