"""What every Publisher promises, on a log in memory and on Apache Kafka, read back by another client library."""

from __future__ import annotations

import asyncio
import time

import pytest

from paymux.errors import BrokerUnavailable, RelayStopped
from paymux.publish import Checkpoint
from paymux.publish.memory import Fault
from paymux.publish.partitions import partition
from tests.outboxes import JOURNAL, event

OTHER_JOURNAL = "0199c0de-0000-7000-8000-000000000002"


def checkpoint(seq: int, *, journal: str = JOURNAL, shard: int = 0) -> Checkpoint:
    return Checkpoint(journal=journal, shard=shard, seq=seq, event_id=event(seq).event_id, chain=f"chain {seq}")


def batch(world, first: int, last: int):
    return [event(number, topic=world.events_topic) for number in range(first, last + 1)]


def values(seen) -> list[bytes]:
    return sorted(value for _, _, value in seen)


async def started(world, **options):
    publisher = world.publisher(**options)
    return publisher, await publisher.start()


async def test_first_start_finds_no_checkpoint(world):
    """A topic that never had a checkpoint says so, and never position 0 of something else."""
    publisher, found = await started(world)
    await publisher.abandon()
    assert found is None


async def test_checkpoint_of_the_last_transaction_is_found(world):
    """A new publisher gets exactly what the last committed transaction wrote."""
    publisher, _ = await started(world)
    await publisher.publish(batch(world, 1, 3), checkpoint(3))
    await publisher.publish(batch(world, 4, 5), checkpoint(5))
    await publisher.abandon()
    publisher, found = await started(world)
    await publisher.abandon()
    assert found == checkpoint(5)


async def test_records_arrive_whole_and_in_order(world):
    """Each record lies in its key's partition as murmur2 says, and each key's records in the order given."""
    publisher, _ = await started(world)
    records = batch(world, 1, 200)
    await publisher.publish(records, checkpoint(200))
    await publisher.abandon()
    seen = await world.visible()
    assert values(seen) == sorted(record.value for record in records)
    assert all(number == partition(key, 4) for number, key, _ in seen)
    for key in {record.key for record in records}:
        assert [v for _, k, v in seen if k == key] == [r.value for r in records if r.key == key]


async def test_one_transaction_spans_topics(world):
    """Events and quarantine records of one batch are committed together."""
    publisher, _ = await started(world)
    await publisher.publish([*batch(world, 1, 1), event(2, topic=world.quarantine_topic)], checkpoint(2))
    await publisher.abandon()
    assert len(await world.visible()) == 1
    assert len(await world.visible(world.quarantine_topic)) == 1


@pytest.mark.parametrize(
    ("fault", "position"), [(Fault.PRODUCE, None), (Fault.COMMIT, None), (Fault.COMMITTED, checkpoint(3))]
)
async def test_connection_lost_in_a_transaction(world, fault, position):
    """Whatever the step, the next publisher learns whether it was committed, and there is one copy of each event."""
    publisher, _ = await started(world)
    world.break_at(fault)
    with pytest.raises(BrokerUnavailable):
        await publisher.publish(batch(world, 1, 3), checkpoint(3))
    await publisher.abandon()
    world.heal()

    publisher, found = await started(world)
    assert found == position
    first = found.seq + 1 if found else 1
    await publisher.publish(batch(world, first, 5), checkpoint(5))
    await publisher.abandon()
    assert values(await world.visible()) == sorted(r.value for r in batch(world, 1, 5))


async def test_connection_lost_while_starting(world):
    """A start that fails is BrokerUnavailable, and the next one works."""
    world.break_at(Fault.START)
    publisher = world.publisher()
    with pytest.raises(BrokerUnavailable):
        await publisher.start()
    await publisher.abandon()
    world.heal()
    publisher, found = await started(world)
    await publisher.abandon()
    assert found is None


async def test_zombie_publishes_nothing(world):
    """A publisher that lives on after another took over is fenced, and nothing of it becomes visible."""
    zombie, _ = await started(world)
    await zombie.publish(batch(world, 1, 2), checkpoint(2))
    owner, found = await started(world)
    assert found == checkpoint(2)
    with pytest.raises(BrokerUnavailable) as caught:
        await zombie.publish(batch(world, 3, 4), checkpoint(4))
    assert caught.value.reason == "fenced"
    await zombie.abandon()
    await owner.publish(batch(world, 3, 3), checkpoint(3))
    await owner.abandon()
    assert values(await world.visible()) == sorted(r.value for r in batch(world, 1, 3))
    late, found = await started(world)
    await late.abandon()
    assert found == checkpoint(3)


async def test_shards_do_not_touch_each_other(world):
    """Two shards of a journal publish side by side, and each finds its own checkpoint."""
    (one, _), (two, _) = await started(world, shard=0), await started(world, shard=1)
    await asyncio.gather(
        one.publish(batch(world, 1, 5), checkpoint(5)), two.publish(batch(world, 6, 9), checkpoint(9, shard=1))
    )
    await asyncio.gather(one.abandon(), two.abandon())
    (one, first), (two, second) = await started(world, shard=0), await started(world, shard=1)
    await asyncio.gather(one.abandon(), two.abandon())
    assert (first, second) == (checkpoint(5), checkpoint(9, shard=1))
    assert len(await world.visible()) == 9


async def test_installations_with_prefixes_of_their_own(world):
    """Two prefixes share the topics: neither fences the other nor takes its checkpoint for its own."""
    (ours, _), (theirs, _) = await started(world, prefix="ours"), await started(world, prefix="theirs")
    await theirs.publish(batch(world, 1, 2), checkpoint(2))
    await ours.publish(batch(world, 3, 4), checkpoint(4))
    await theirs.publish(batch(world, 5, 6), checkpoint(6))
    await asyncio.gather(ours.abandon(), theirs.abandon())
    (ours, mine), (theirs, other) = await started(world, prefix="ours"), await started(world, prefix="theirs")
    await asyncio.gather(ours.abandon(), theirs.abandon())
    assert (mine, other) == (checkpoint(4), checkpoint(6))
    assert len(await world.visible()) == 6


async def test_checkpoint_of_another_journal(world):
    """The newest checkpoint under the prefix is told, also where another journal wrote it: the relay must see that."""
    theirs, _ = await started(world, journal=OTHER_JOURNAL)
    await theirs.publish(batch(world, 1, 2), checkpoint(2, journal=OTHER_JOURNAL))
    await theirs.abandon()
    ours, found = await started(world)
    await ours.abandon()
    assert found == checkpoint(2, journal=OTHER_JOURNAL)


async def test_partitions_grown_while_stopped(world):
    """A start on an events topic that grew since the last checkpoint stops: keys would move."""
    publisher, _ = await started(world)
    await publisher.publish(batch(world, 1, 1), checkpoint(1))
    await publisher.abandon()
    await world.grow(6)
    publisher = world.publisher()
    with pytest.raises(RelayStopped) as caught:
        await publisher.start()
    await publisher.abandon()
    assert caught.value.reason == "partitions_changed"
    assert "4" in str(caught.value)
    assert "6" in str(caught.value)


async def test_partitions_accepted(world):
    """The count that the operator accepted is used from then on, and remembered without the setting."""
    publisher, _ = await started(world)
    await publisher.publish(batch(world, 1, 1), checkpoint(1))
    await publisher.abandon()
    await world.grow(6)
    publisher, found = await started(world, accept_partitions=6)
    assert found == checkpoint(1)
    await publisher.publish(batch(world, 2, 60), checkpoint(60))
    await publisher.abandon()
    publisher, found = await started(world)
    await publisher.abandon()
    assert found == checkpoint(60)
    late = [(number, key) for number, key, value in await world.visible() if value != event(1).value]
    assert all(number == partition(key, 6) for number, key in late)


async def test_emptied_checkpoints_topic(world):
    """With its checkpoints gone the publisher says None; what that means, the relay knows from the journal."""
    publisher, _ = await started(world)
    await publisher.publish(batch(world, 1, 1), checkpoint(1))
    await publisher.abandon()
    await world.forget_checkpoints()
    publisher, found = await started(world)
    await publisher.abandon()
    assert found is None


async def test_abandon_at_any_time(world):
    """Abandoning is quick and silent: before the start, after it, and twice."""
    fresh = world.publisher()
    began = time.monotonic()
    await fresh.abandon()
    publisher, _ = await started(world)
    await publisher.abandon()
    await publisher.abandon()
    assert time.monotonic() - began < 5
