"""Ports that break a promise, one each: a simulation that finds nothing wrong with them would be no evidence."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from faults.simulation.broker import CHECKPOINTS, PARTITIONS, Place, SimulatedPublisher, within
from faults.simulation.disk import Store
from faults.simulation.surroundings import Ports
from paymux.errors import BrokerUnavailable
from paymux.journal.changes import Overlay
from paymux.publish.partitions import partition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paymux.journal.changes import Changes, Scope, Seen, View
    from paymux.publish import Checkpoint
    from paymux.records import Record


def _by_place(records: Sequence[Record]) -> dict[Place, list[Record | Checkpoint]]:
    batches: dict[Place, list[Record | Checkpoint]] = defaultdict(list)
    for record in records:
        batches[record.topic, partition(record.key, PARTITIONS)].append(record)
    return batches


class CheckpointAfterwards(SimulatedPublisher):
    """A crash in between publishes the batch again."""

    async def publish(self, records: Sequence[Record], checkpoint: Checkpoint) -> None:
        async with within("publishing"):
            await self.send(_by_place(records))
            await self.ask(self.broker.end, self.name, self.epoch)
            await self.ask(self.broker.append, CHECKPOINTS, [checkpoint])


class CheckpointBefore(SimulatedPublisher):
    """A crash in between loses the batch."""

    async def publish(self, records: Sequence[Record], checkpoint: Checkpoint) -> None:
        async with within("publishing"):
            await self.ask(self.broker.append, CHECKPOINTS, [checkpoint])
            await self.send(_by_place(records))
            await self.ask(self.broker.end, self.name, self.epoch)


class NoTransaction(SimulatedPublisher):
    """Half a batch stays, and a zombie writes on."""

    async def publish(self, records: Sequence[Record], checkpoint: Checkpoint) -> None:
        async with within("publishing"):
            for place, batch in _by_place(records).items():
                await self.ask(self.broker.append, place, batch)
            await self.ask(self.broker.append, CHECKPOINTS, [checkpoint])


class CommitTakenForGranted(SimulatedPublisher):
    """Whatever the broker says to the commit, or does not say."""

    async def publish(self, records: Sequence[Record], checkpoint: Checkpoint) -> None:
        async with within("publishing"):
            await self.send({**_by_place(records), CHECKPOINTS: [checkpoint]})
        with suppress(BrokerUnavailable):
            async with within("committing"):
                await self.ask(self.broker.end, self.name, self.epoch)


class Reversed(SimulatedPublisher):
    """A batch in another order than it was committed in."""

    async def publish(self, records: Sequence[Record], checkpoint: Checkpoint) -> None:
        await super().publish(records[::-1], checkpoint)


class ReadsWhatIsOpen(SimulatedPublisher):
    """A checkpoint counts although its transaction may be aborted yet."""

    async def start(self) -> Checkpoint | None:
        log = self.broker.logs[CHECKPOINTS]
        newest = log[-1].record if log else None
        await super().start()
        return newest  # type: ignore[return-value]  # nothing else is there


class _Forgetful(Overlay):
    """It has seen nothing."""

    def seen(self, scope: Scope, dedupe_key: str) -> Seen | None:
        del scope, dedupe_key
        return None


class NoDedupe(Store):
    @property
    def view(self) -> View:
        return _Forgetful(self.disk.tables)


class AckBeforeCommit(Store):
    """What is said to be durable is on its way."""

    async def commit(self, changes: Changes) -> None:
        self._on_its_way = asyncio.ensure_future(super().commit(changes))
        self._on_its_way.add_done_callback(lambda done: done.cancelled() or done.exception())


class RowsDropped(Store):
    """Now and then the first record of a batch is not written."""

    async def commit(self, changes: Changes) -> None:
        if len(changes.outbox) > 1 and self.disk.chance.dice.random() < 0.2:
            del changes.outbox[0]
        await super().commit(changes)


class HalfACommit(Store):
    """What fails was written in part: the records, but not under which keys they came."""

    async def commit(self, changes: Changes) -> None:
        broken = self.disk.chance.dice.random() < 0.05
        await super().commit(replace(changes, seen={}, known={}) if broken else changes)


BROKEN: Final[Mapping[str, Ports]] = {
    "checkpoint after the transaction": Ports(publisher=CheckpointAfterwards),
    "checkpoint before the transaction": Ports(publisher=CheckpointBefore),
    "no transaction": Ports(publisher=NoTransaction),
    "commit taken for granted": Ports(publisher=CommitTakenForGranted),
    "reordered batch": Ports(publisher=Reversed),
    "open checkpoints read": Ports(publisher=ReadsWhatIsOpen),
    "nobody is fenced": Ports(fences=False),
    "no dedupe": Ports(store=NoDedupe),
    "ack before commit": Ports(store=AckBeforeCommit),
    "rows dropped": Ports(store=RowsDropped),
    "half a commit": Ports(store=HalfACommit),
}
