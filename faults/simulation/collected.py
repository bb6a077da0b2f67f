"""What is left of a world, as the checker wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faults.facts import Consumed, Delivery, Item, consumed, digest
from faults.facts import Disk as Stored
from faults.facts import Stored as Row
from paymux.records import is_erased

if TYPE_CHECKING:
    from faults.simulation.broker import Broker
    from faults.simulation.disk import Disk
    from paymux.journal import OutboxRow


def stored(disk: Disk) -> Stored:
    tables = disk.tables
    return Stored(
        deliveries=tuple(
            Delivery(
                row=row,
                id=kept.delivery.id,
                provider=kept.delivery.provider,
                account=kept.delivery.account,
                via=kept.delivery.via,
                proof=kept.proof,
                sha256=kept.sha256.hex(),
                body_sha256=digest(kept.delivery.body) if kept.delivery.body else None,
                erased=row in tables.erased_rows,
            )
            for row, kept in tables.deliveries.items()
        ),
        items=tuple(
            Item(
                row=kept.delivery,
                event_key=kept.item.event_key,
                outcome=kept.outcome,
                first=kept.dedupe_key is not None or kept.item.event_key is None,
            )
            for kept in tables.items
        ),
        outbox=tuple(_row(seq, tables.outbox[shard, seq]) for shard, seq in sorted(tables.outbox)),
        open_lookups=sum(not row.rounds for row in tables.lookups.values()),
    )


def _row(seq: int, row: OutboxRow) -> Row:
    record = row.record
    seen = consumed(record.topic, 0, seq, record.key, record.value)
    return Row(
        seq=seq,
        event_id=record.event_id,
        topic=record.topic,
        key=seen.key,
        sha256=None if is_erased(record) else seen.sha256,
        delivery_id=seen.delivery_id,
        sequence=seen.sequence,
        replay=seen.replay,
    )


def published(broker: Broker) -> tuple[Consumed, ...]:
    """As a `read_committed` consumer reads it."""
    return tuple(
        consumed(topic, number, offset, record.key, record.value)
        for (topic, number), offset, record in broker.committed()
    )
