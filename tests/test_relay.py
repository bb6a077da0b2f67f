"""The relay: one loop, one way to recover, and its reasons to stop; the last tests on Apache Kafka, with kill -9."""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from paymux.errors import BrokerUnavailable, JournalUnavailable, RelayStopped
from paymux.journal import OutboxRow, chained
from paymux.publish import Positions
from paymux.publish.kafka import KafkaPublisher, KafkaSettings
from paymux.publish.memory import Fault, MemoryLog, MemoryPublisher
from paymux.relay import INSTRUCTIONS, Lag, Phase, Relay, _Backoff
from tests.outboxes import JOURNAL, STARTED, ListOutbox, event, rows
from tests.publish.worlds import read_committed

OTHER_JOURNAL = "0199c0de-0000-7000-8000-000000000002"
ROOT = Path(__file__).parents[1]


class Watcher:
    def __init__(self) -> None:
        self.states = []
        self.transactions = []

    def entered(self, state) -> None:
        self.states.append(state)

    def published(self, *, shard, events, seconds) -> None:  # noqa: ARG002  # the observer's signature
        self.transactions.append(events)


def relay_of(outbox, log, **options) -> Relay:
    prefix = options.pop("prefix", "paymux")
    accept_partitions = options.pop("accept_partitions", None)

    def publisher() -> MemoryPublisher:
        return MemoryPublisher(
            log, journal=outbox.identity, shard=0, prefix=prefix, accept_partitions=accept_partitions
        )

    return Relay(outbox, publisher, **options)


@asynccontextmanager
async def running(relay):
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        await asyncio.wait([task])


async def drain(relay, seconds: float = 10) -> Relay:
    """Run it until everything is published."""
    async with running(relay), asyncio.timeout(seconds):
        await relay.drained()
    return relay


async def stopped(relay):
    """Run it until it stops itself, and how it explains that."""
    await asyncio.wait_for(relay.run(), 5)
    assert relay.state.phase is Phase.STOPPED
    return relay.state


def numbers(log) -> list[int]:
    return sorted(orjson.loads(record.value)["number"] for _, record in log.committed(log.events_topic))


def assert_in_order(pairs) -> None:
    """Each key's numbers rise."""
    last = defaultdict(int)
    for key, value in pairs:
        number = orjson.loads(value)["number"]
        assert number > last[key], f"{key} {number} after {last[key]}"
        last[key] = number


async def test_everything_once_and_in_order():
    """All rows arrive, once, each key's in order, and the mark follows."""
    log, outbox = MemoryLog(), ListOutbox(rows(1234))
    relay = await drain(relay_of(outbox, log))
    assert numbers(log) == list(range(1, 1235))
    assert_in_order((r.key, r.value) for _, r in log.committed(log.events_topic))
    assert relay.state.position == 1234
    assert outbox.marked == 1234


async def test_rows_that_come_later():
    """A row appended while the relay waits is published at once, not at the next poll."""
    log, outbox = MemoryLog(), ListOutbox(rows(1))
    async with running(relay_of(outbox, log)) as relay:
        await relay.drained()
        await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
        outbox.append(rows(2, first=2))
        await relay.drained()
        assert asyncio.get_running_loop().time() - began < 0.5
    assert numbers(log) == [1, 2, 3]


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("lazy", [True, False], ids=["mark lags", "mark keeps up"])
async def test_connection_lost_at_any_step(fault, lazy):
    """Wherever a transaction breaks, the relay starts over by itself and there is one copy of each event."""
    log, outbox = MemoryLog(), ListOutbox(rows(25), lazy=lazy)
    watcher = Watcher()
    relay = relay_of(outbox, log, batch_rows=10, observer=watcher)
    async with running(relay), asyncio.timeout(5):
        if fault is not Fault.START:
            await relay.drained()
        log.fault = fault
        outbox.append(rows(25, first=26))
        await relay.drained()
    assert numbers(log) == list(range(1, 51))
    assert log.fault is None
    assert [s.reason for s in watcher.states if s.phase is Phase.WAITING] == ["broker_unavailable"]


async def test_restart_with_a_mark_far_behind():
    """The checkpoint is the truth: a mark that was never written causes no second copy."""
    log = MemoryLog()
    await drain(relay_of(ListOutbox(rows(40), lazy=True), log))
    await drain(relay_of(ListOutbox(rows(45), lazy=True), log))
    assert numbers(log) == list(range(1, 46))


async def test_mark_ahead_of_the_checkpoint():
    """The position never goes behind the journal's own mark, also where Kafka lost its newest checkpoint."""
    log, outbox = MemoryLog(), ListOutbox(rows(10))
    await drain(relay_of(outbox, log, batch_rows=5))
    log.checkpoints.pop()
    outbox.append(rows(5, first=11))
    await drain(relay_of(outbox, log))
    assert numbers(log) == list(range(1, 16))


async def test_two_relays_of_one_shard():
    """They fence each other, slowly, and still every event arrives once."""
    log, outbox = MemoryLog(), ListOutbox(rows(50), lazy=True)
    first, second = Watcher(), Watcher()
    one, two = relay_of(outbox, log, observer=first), relay_of(outbox, log, observer=second)
    async with running(one), running(two), asyncio.timeout(20):
        for start in range(51, 91, 10):
            outbox.append(rows(10, first=start))
            await asyncio.sleep(0.4)
        while len(numbers(log)) < 90:
            await asyncio.sleep(0.05)
    assert numbers(log) == list(range(1, 91))
    starts = [s for s in first.states + second.states if s.phase is Phase.STARTING]
    assert 2 < len(starts) < 12


class FailingOutbox(ListOutbox):
    """Fails to read twice, then works."""

    def __init__(self, content, error) -> None:
        super().__init__(content)
        self.errors = [error, error]

    async def read(self, shard, after, limit):
        if self.errors:
            raise self.errors.pop()
        return await super().read(shard, after, limit)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(JournalUnavailable("disk full"), "journal_unavailable"), (KeyError("unforeseen"), "internal_error")],
)
async def test_journal_that_fails(error, reason):
    """Whatever goes wrong is doubt: wait, start over, and say what it was."""
    log, watcher = MemoryLog(), Watcher()
    await drain(relay_of(FailingOutbox(rows(3), error), log, observer=watcher))
    assert numbers(log) == [1, 2, 3]
    waiting = [s for s in watcher.states if s.phase is Phase.WAITING]
    assert [s.reason for s in waiting] == [reason] * 2
    assert waiting[0].detail == str(error)


# Reasons to stop


async def test_restored_journal():
    """A checkpoint beyond the journal's end stops the relay: going on would skip what comes next under those numbers."""
    log = MemoryLog()
    await drain(relay_of(ListOutbox(rows(10)), log))
    state = await stopped(relay_of(ListOutbox(rows(6), mark=5), log))
    assert state.reason == "journal_restored"
    assert "it ends at 6" in state.detail
    assert f'accept_positions = ["{JOURNAL}/0/10"]' in state.detail
    assert len(numbers(log)) == 10


async def test_restored_journal_that_grew_again():
    """Another event at the checkpoint's place stops the relay, although the numbers fit."""
    log = MemoryLog()
    await drain(relay_of(ListOutbox(rows(10)), log))
    regrown = rows(6) + rows(14, first=7, journal=OTHER_JOURNAL)
    state = await stopped(relay_of(ListOutbox(regrown, mark=5), log))
    assert state.reason == "journal_restored"
    assert "Up to 10 Kafka has other events" in state.detail
    assert len(numbers(log)) == 10


async def test_restored_journal_accepted():
    """With the operator's word for this one checkpoint, all after the mark is published, and the next start is normal."""
    log = MemoryLog()
    await drain(relay_of(ListOutbox(rows(10)), log))
    copy = ListOutbox(rows(6), mark=5)
    await drain(relay_of(copy, log, accept_positions=[f"{JOURNAL}/0/10"]))
    assert numbers(log) == sorted([*range(1, 11), 6])
    copy.append(rows(1, first=7))
    await drain(relay_of(copy, log))
    assert numbers(log) == sorted([*range(1, 11), 6, 7])


async def test_journal_swapped():
    """A journal file that was deleted or exchanged does not publish everything again."""
    log = MemoryLog()
    await drain(relay_of(ListOutbox(rows(10)), log))
    fresh = ListOutbox(rows(3, journal=OTHER_JOURNAL), identity=OTHER_JOURNAL)
    state = await stopped(relay_of(fresh, log))
    assert state.reason == "journal_swapped"
    assert JOURNAL in state.detail
    assert OTHER_JOURNAL in state.detail
    assert "transactional_id_prefix" in state.detail
    assert len(numbers(log)) == 10


async def test_journal_swapped_and_accepted():
    """The operator's word names the old journal's checkpoint; the new journal then starts from its own mark."""
    log = MemoryLog()
    await drain(relay_of(ListOutbox(rows(10)), log))
    fresh = ListOutbox(rows(3, journal=OTHER_JOURNAL), identity=OTHER_JOURNAL)
    await drain(relay_of(fresh, log, accept_positions=[f"{JOURNAL}/0/10"]))
    assert len(numbers(log)) == 13
    state = await stopped(relay_of(ListOutbox(rows(10)), log, accept_positions=[f"{JOURNAL}/0/10"]))
    assert state.reason == "journal_swapped"  # the word was for one case only


async def test_whole_copy_under_a_new_identity():
    """A journal restored whole, accepted, goes on exactly at the checkpoint: it holds that event at that place."""
    log = MemoryLog()
    await drain(relay_of(ListOutbox(rows(10), lazy=True), log))
    copy = ListOutbox(rows(12), identity=OTHER_JOURNAL, mark=2)
    await drain(relay_of(copy, log, accept_positions=[f"{JOURNAL}/0/10"]))
    assert numbers(log) == list(range(1, 13))


async def test_installation_with_a_prefix_of_its_own():
    """Another journal beside ours, under another prefix, stops nobody."""
    log = MemoryLog()
    await drain(relay_of(ListOutbox(rows(2)), log))
    await drain(relay_of(ListOutbox(rows(3, journal=OTHER_JOURNAL), identity=OTHER_JOURNAL), log, prefix="other"))
    assert len(numbers(log)) == 5


async def test_overtaken_while_it_reads_its_checkpoint():
    """Another owner publishes in between: the first one is fenced and goes on later, and needs no operator."""
    log, outbox = MemoryLog(), ListOutbox(rows(4))

    class Overtaken(MemoryPublisher):
        async def start(self):
            found = await super().start()
            await drain(relay_of(outbox, log))
            return found

    overtaken = [Overtaken(log, journal=JOURNAL, shard=0)]
    relay = Relay(outbox, lambda: overtaken.pop() if overtaken else MemoryPublisher(log, journal=JOURNAL, shard=0))
    async with running(relay):
        while overtaken or relay.state.phase is not Phase.RUNNING:
            assert relay.state.phase is not Phase.STOPPED, relay.state.detail
            await asyncio.sleep(0.01)
        outbox.append(rows(2, first=5))
        await relay.drained()
    assert numbers(log) == [1, 2, 3, 4, 5, 6]


async def test_restored_and_grown_to_the_same_event():
    """A sender's retry brought the same event to the same place, but not the one before it: still another journal."""
    log = MemoryLog()
    await drain(relay_of(ListOutbox(rows(10)), log))
    grown, chain = rows(8), rows(8)[-1].chain
    for seq, record in ((9, event(99)), (10, event(10))):
        chain = chained(chain, record.event_id)
        grown.append(OutboxRow(shard=0, seq=seq, record=record, created_at=STARTED, chain=chain))
    state = await stopped(relay_of(ListOutbox(grown, mark=8), log))
    assert state.reason == "journal_restored"


async def test_emptied_checkpoints():
    """A mark without any checkpoint stops the relay instead of publishing everything again."""
    log, outbox = MemoryLog(), ListOutbox(rows(10))
    await drain(relay_of(outbox, log))
    log.checkpoints.clear()
    state = await stopped(relay_of(outbox, log))
    assert state.reason == "checkpoint_missing"
    assert f'accept_positions = ["{JOURNAL}/0/10"]' in state.detail
    outbox.append(rows(2, first=11))
    await drain(relay_of(outbox, log, accept_positions=[f"{JOURNAL}/0/10"]))
    assert numbers(log) == list(range(1, 13))


async def test_published_rows_may_be_pruned():
    """A journal that forgot published rows fits its checkpoint all the same."""
    log, outbox = MemoryLog(), ListOutbox(rows(10))
    await drain(relay_of(outbox, log))
    outbox.rows = {seq: row for seq, row in outbox.rows.items() if seq > 10}
    outbox.append(rows(2, first=11))
    await drain(relay_of(outbox, log))
    assert numbers(log) == list(range(1, 13))


async def test_unpublished_rows_gone():
    """A hole after the position stops the relay: those events would be lost silently."""
    log, outbox = MemoryLog(), ListOutbox(rows(3))
    await drain(relay_of(outbox, log))
    outbox.append(rows(2, first=5))
    state = await stopped(relay_of(outbox, log))
    assert state.reason == "rows_missing"
    assert "4" in state.detail


async def test_partitions_grown():
    """It stops in the middle of its work, and goes on with the count that the operator accepted."""
    log, outbox = MemoryLog(partitions=4), ListOutbox(rows(3))
    relay = relay_of(outbox, log)
    task = asyncio.create_task(relay.run())
    await relay.drained()
    log.partitions = 6
    outbox.append(rows(2, first=4))
    await asyncio.wait_for(task, 5)
    assert relay.state.reason == "partitions_changed"
    assert "accept_partitions" in relay.state.detail
    assert (await stopped(relay_of(outbox, log))).reason == "partitions_changed"
    await drain(relay_of(outbox, log, accept_partitions=6))
    assert numbers(log) == [1, 2, 3, 4, 5]


async def test_record_refused():
    """A broker that takes less than it did stops the relay loudly, with what to raise; nothing is skipped."""
    log, outbox = MemoryLog(max_message_bytes=100), ListOutbox(rows(3))
    state = await stopped(relay_of(outbox, log))
    assert state.reason == "record_refused"
    assert "max.message.bytes" in state.detail
    assert outbox.marked == 0
    assert numbers(log) == []


def test_every_reason_says_what_to_do():
    """Each reason to stop that errors.py names has instructions."""
    named = RelayStopped.__doc__.split("Reasons:")[1].replace(".", "").split(",")
    assert {name.strip() for name in named} - {"not_authorized"} <= set(INSTRUCTIONS)


# Without transactions


async def test_positions_of_the_journal():
    """On a broker without real transactions the mark is the position, and no checkpoint is asked for."""
    log = MemoryLog()
    outbox = ListOutbox(rows(10), mark=4)
    await drain(relay_of(outbox, log, positions=Positions.JOURNAL))
    assert numbers(log) == list(range(5, 11))
    log.checkpoints.clear()
    outbox.append(rows(1, first=11))
    await drain(relay_of(outbox, log, positions=Positions.JOURNAL))
    assert numbers(log) == list(range(5, 12))


# How rows are gathered


class Visited(MemoryPublisher):
    """Rows arrive while the first transaction is under way: one when it begins, four later."""

    visitors: ListOutbox | None = None

    async def publish(self, records, checkpoint) -> None:
        if outbox := self.visitors:
            self.visitors = None
            outbox.append(rows(1, first=2))
            await asyncio.sleep(0.02)
            outbox.append(rows(4, first=3))
        await super().publish(records, checkpoint)


async def test_rows_that_come_during_a_transaction():
    """All of them go into the next one, however early the first of them came."""
    log, outbox, watcher = MemoryLog(), ListOutbox(rows(1)), Watcher()
    publisher = Visited(log, journal=JOURNAL, shard=0)
    publisher.visitors = outbox
    async with running(Relay(outbox, lambda: publisher, observer=watcher)), asyncio.timeout(5):
        while len(numbers(log)) < 6:
            await asyncio.sleep(0.01)
    assert watcher.transactions == [1, 5]


async def test_rows_that_trickle_in(monkeypatch):
    """A transaction for each would cost the broker more than they are worth: they wait for company."""
    monkeypatch.setattr("paymux.relay.PACE_SECONDS", 0.1)
    log, outbox, watcher = MemoryLog(), ListOutbox([]), Watcher()
    async with running(relay_of(outbox, log, observer=watcher)) as relay, asyncio.timeout(5):
        began = time.perf_counter()
        for number in range(1, 31):
            outbox.append(rows(1, first=number))
            await asyncio.sleep(0.01)
        await relay.drained()
        most = (time.perf_counter() - began) / 0.1 + 2
    assert numbers(log) == list(range(1, 31))
    assert len(watcher.transactions) <= most


async def test_a_row_after_a_quiet_time(monkeypatch):
    """It waits for no company."""
    monkeypatch.setattr("paymux.relay.PACE_SECONDS", 0.4)
    log, outbox = MemoryLog(), ListOutbox(rows(1))
    async with running(relay_of(outbox, log)) as relay, asyncio.timeout(5):
        await relay.drained()
        await asyncio.sleep(0.5)
        began = time.perf_counter()
        outbox.append(rows(1, first=2))
        await relay.drained()
    assert time.perf_counter() - began < 0.2


async def test_a_backlog(monkeypatch):
    """Rows that wait already are not held back."""
    monkeypatch.setattr("paymux.relay.PACE_SECONDS", 60.0)
    log, watcher = MemoryLog(), Watcher()
    await drain(relay_of(ListOutbox(rows(95)), log, batch_rows=10, observer=watcher), seconds=5)
    assert watcher.transactions == [10] * 9 + [5]


# What it tells


async def test_states_and_transactions_are_told():
    """An observer hears each phase, and each transaction with its size."""
    log, watcher = MemoryLog(), Watcher()
    await drain(relay_of(ListOutbox(rows(25)), log, batch_rows=10, observer=watcher))
    assert [s.phase for s in watcher.states] == [Phase.STARTING, Phase.RUNNING]
    assert watcher.transactions == [10, 10, 5]


async def test_batches_are_bounded_in_bytes(monkeypatch):
    """A transaction takes as many rows as fit, and one that fits nowhere goes alone."""
    monkeypatch.setattr("paymux.relay.BATCH_BYTES", 1000)
    content = [
        replace(row, record=replace(row.record, value=orjson.dumps({"number": row.seq, "pad": "x" * 300})))
        for row in rows(7)
    ]
    content[3] = replace(
        content[3], record=replace(content[3].record, value=orjson.dumps({"number": 4, "pad": "x" * 5000}))
    )
    log, watcher = MemoryLog(), Watcher()
    await drain(relay_of(ListOutbox(content), log, observer=watcher))
    assert watcher.transactions == [2, 1, 1, 2, 1]
    assert numbers(log) == [1, 2, 3, 4, 5, 6, 7]


async def test_lag():
    """Events and age of the oldest, also before the position is known; nothing once all is published."""
    log, outbox = MemoryLog(fault=Fault.START), ListOutbox(rows(10), mark=4)
    relay = relay_of(outbox, log, now=lambda: STARTED + timedelta(seconds=90), positions=Positions.JOURNAL)
    lag = await relay.lag()
    assert (lag.events, lag.seconds) == (6, 90.0)
    await drain(relay)
    lag = await relay.lag()
    assert (lag.events, lag.seconds) == (0, 0.0)


def test_backoff_grows_and_comes_back():
    """0.1 s, doubled, never beyond 2 s, so that publishing goes on soon after the longest outage; a transaction that
    worked resets it.
    """
    backoff = _Backoff()
    delays = [backoff.after("broker_unavailable") for _ in range(12)]
    assert 0.05 <= delays[0] <= 0.1
    assert delays[4] > delays[0]
    assert 1 <= delays[-1] <= 2
    backoff.started()
    backoff.published()
    assert backoff.after("broker_unavailable") <= 0.1


def test_backoff_of_the_fenced():
    """Being fenced again and again waits longer each time, although something was published in between."""
    backoff = _Backoff()
    delays = []
    for _ in range(6):
        backoff.started()
        backoff.published()
        delays.append(backoff.after("fenced"))
    assert delays[0] >= 0.5
    assert delays[-1] >= 7.5


# How it waits


@pytest.fixture
def without_jitter(monkeypatch):
    """Each wait as long as it may be."""
    monkeypatch.setattr("paymux.relay.random.uniform", lambda _, most: most)


def test_each_wait_is_twice_the_one_before(without_jitter):
    """From 0.1 s to 2 s, and again from 0.1 s once something was published."""
    backoff = _Backoff()
    delays = [backoff.after("broker_unavailable") for _ in range(7)]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])
    backoff.published()
    assert backoff.after(None) == pytest.approx(0.1)


def test_each_wait_of_the_fenced_is_twice_the_one_before(without_jitter, monkeypatch):
    """From 1 s to 15 s; publishing counts for nothing until a publisher has lived for more than a minute."""
    now = 1000.0
    monkeypatch.setattr("paymux.relay.time.monotonic", lambda: now)
    backoff = _Backoff()
    delays = []
    for lived in (0, 30, 59, 1, 60, 0):
        backoff.started()
        now += lived
        backoff.published()
        delays.append(backoff.after("fenced"))
    assert delays == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    backoff.started()
    now += 61
    backoff.published()
    assert [backoff.after("fenced"), backoff.after("fenced")] == [1.0, 2.0]


def test_a_wait_is_between_half_and_whole(monkeypatch):
    """Two owners must not take turns in step."""
    asked = []
    monkeypatch.setattr("paymux.relay.random.uniform", lambda *bounds: asked.append(bounds) or 1.0)
    _Backoff().after("fenced")
    assert asked == [(0.5, 1.0)]


async def test_a_relay_that_was_fenced_waits_longer(without_jitter):
    """A second before it tries again, where any other trouble takes a tenth."""
    for reason, starts in (("fenced", 1), ("broker_unavailable", 2)):
        watcher = Watcher()

        def refuse(reason=reason):
            raise BrokerUnavailable("not now", reason=reason)

        async with running(Relay(ListOutbox(rows(1)), refuse, observer=watcher)):
            await asyncio.sleep(0.25)
        assert [state.phase for state in watcher.states].count(Phase.STARTING) == starts


async def test_a_row_of_which_nobody_told_is_found_at_the_next_poll(monkeypatch):
    """Another process may append it; an idle relay goes on with the same publisher."""
    monkeypatch.setattr("paymux.relay.POLL_SECONDS", 0.02)
    log, outbox, watcher = MemoryLog(), ListOutbox(rows(1)), Watcher()
    async with running(relay_of(outbox, log, observer=watcher)) as relay, asyncio.timeout(5):
        await relay.drained()
        await asyncio.sleep(0.1)
        outbox.rows.update({row.seq: row for row in rows(1, first=2)})
        await relay.drained()
    assert numbers(log) == [1, 2]
    assert [state.phase for state in watcher.states] == [Phase.STARTING, Phase.RUNNING]


async def test_each_transaction_is_told_with_its_shard_and_how_long_it_took():
    """A metric needs both."""
    told = []

    class Timed(Watcher):
        def published(self, **transaction) -> None:
            told.append(transaction)

    await drain(relay_of(ListOutbox(rows(3)), MemoryLog(), observer=Timed()))
    [transaction] = told
    assert 0 <= transaction.pop("seconds") < 5
    assert transaction == {"shard": 0, "events": 3}


@pytest.mark.parametrize(("room", "transactions"), [(0, [5, 1]), (1, [6])])
async def test_a_batch_of_exactly_the_largest_size_goes_whole(monkeypatch, room, transactions):
    """One byte more than there is room for waits for the next transaction."""
    content = rows(6)
    size = sum(len(row.record.value) + len(row.record.key) for row in content)
    monkeypatch.setattr("paymux.relay.BATCH_BYTES", size - 1 + room)
    watcher = Watcher()
    await drain(relay_of(ListOutbox(content), MemoryLog(), observer=watcher))
    assert watcher.transactions == transactions


# Which shard


class ThirdShard(ListOutbox):
    """It knows shard 3 and no other."""

    async def mark(self, shard):
        assert shard == 3
        return await super().mark(shard)

    async def advance(self, shard, seq):
        assert shard == 3
        await super().advance(shard, seq)

    async def end(self, shard):
        assert shard == 3
        return await super().end(shard)

    async def read(self, shard, after, limit):
        assert shard == 3
        assert limit
        return await super().read(shard, after, limit)

    async def chain(self, shard, seq):
        assert shard == 3
        return await super().chain(shard, seq)

    async def wait(self, shard, after, timeout):
        assert shard == 3
        await super().wait(shard, after, timeout)


async def test_a_relay_asks_for_its_own_shard_only(monkeypatch):
    """To publish, to wait, to find its place again, to measure its lag, and to accept another journal's checkpoint."""
    monkeypatch.setattr("paymux.relay.POLL_SECONDS", 0.02)
    log, watcher = MemoryLog(), Watcher()

    def relay(outbox, **options):
        made = lambda: MemoryPublisher(log, journal=outbox.identity, shard=3)  # noqa: E731
        return Relay(outbox, made, shard=3, observer=watcher, **options)

    outbox = ThirdShard(rows(3))
    first = relay(outbox)
    assert (first.state.shard, first.state.phase) == (3, Phase.STARTING)
    assert (await first.lag()).events == 3
    await drain(first)
    outbox.append(rows(2, first=4))
    async with running(relay(outbox)) as again, asyncio.timeout(5):
        await again.drained()
        await asyncio.sleep(0.1)
    assert (await again.lag()).events == 0
    copy = ThirdShard(rows(6), identity=OTHER_JOURNAL, mark=2)
    await drain(relay(copy, accept_positions=[f"{JOURNAL}/3/5"]))
    assert numbers(log) == [1, 2, 3, 4, 5, 6]
    assert {state.shard for state in watcher.states} == {3}
    assert Phase.WAITING not in {state.phase for state in watcher.states}


# On the edge


async def test_a_restart_with_nothing_new():
    """A checkpoint at the very end of the journal fits it: nothing is published, and nothing stops."""
    log, outbox = MemoryLog(), ListOutbox(rows(10))
    await drain(relay_of(outbox, log))
    relay = await drain(relay_of(outbox, log))
    assert (relay.state.phase, relay.state.position) == (Phase.RUNNING, 10)
    assert len(numbers(log)) == 10


async def test_another_event_at_a_place_that_was_published():
    """A mark beyond the checkpoint explains a row that is gone, not one that is another's."""
    log = MemoryLog()
    await drain(relay_of(ListOutbox(rows(10)), log))
    state = await stopped(relay_of(ListOutbox(rows(20, journal=OTHER_JOURNAL), mark=15), log))
    assert state.reason == "journal_restored"


async def test_a_row_that_is_gone_before_it_was_published():
    """Nothing at the checkpoint's place, and a mark that never came so far: that is no pruning."""
    log = MemoryLog()
    await drain(relay_of(ListOutbox(rows(10)), log))
    holed = ListOutbox([row for row in rows(20) if row.seq != 10], mark=5)
    assert (await stopped(relay_of(holed, log))).reason == "journal_restored"


async def test_every_publisher_is_let_go():
    """Before the next one starts, and at the end: a producer that is left behind keeps its connections."""
    log, outbox, living = MemoryLog(fault=Fault.START), ListOutbox(rows(3)), []

    class Counted(MemoryPublisher):
        async def start(self):
            living.append(self)
            return await super().start()

        async def abandon(self):
            living.remove(self)
            await super().abandon()

    def publisher():
        assert living == []
        return Counted(log, journal=JOURNAL, shard=0)

    async with running(Relay(outbox, publisher)) as relay, asyncio.timeout(5):
        await relay.drained()
        assert len(living) == 1
    assert living == []
    assert numbers(log) == [1, 2, 3]


# What it says


async def test_a_state_says_since_when_and_while_starting_again_why():
    """The clock of the moment it was entered; what went wrong stays shown until it runs."""
    ticks = itertools.count()
    watcher = Watcher()
    log = MemoryLog(fault=Fault.START)
    relay = relay_of(ListOutbox(rows(1)), log, observer=watcher, now=lambda: STARTED + timedelta(seconds=next(ticks)))
    assert (relay.state.shard, relay.state.phase, relay.state.since) == (0, Phase.STARTING, STARTED)
    await drain(relay)
    trouble = ("broker_unavailable", watcher.states[1].detail)
    assert trouble[1]
    assert [(s.phase, s.reason, s.detail) for s in watcher.states] == [
        (Phase.STARTING, None, None),
        (Phase.WAITING, *trouble),
        (Phase.STARTING, *trouble),
        (Phase.RUNNING, None, None),
    ]
    assert [s.since for s in watcher.states] == [STARTED + timedelta(seconds=n) for n in range(1, 5)]


async def test_an_error_without_a_message_is_named():
    """A detail is never empty."""
    watcher = Watcher()
    await drain(relay_of(FailingOutbox(rows(1), ValueError()), MemoryLog(), observer=watcher))
    assert watcher.states[2].detail == "ValueError()"


ACCEPT = (
    'If that is impossible, set [kafka] accept_positions = ["{claim}"] and restart: everything after {mark}, the '
    "journal's own mark, is then published, and what of it is on Kafka already stands there twice, with the same ids."
)
REGROWN = rows(20, journal=OTHER_JOURNAL)
STOPS = {
    "ends too early": (
        ListOutbox(rows(6), mark=5),
        "journal_restored",
        "Kafka has this journal's events up to 10, but it ends at 6: it was restored from a copy.",
        5,
    ),
    "grew again": (
        ListOutbox(REGROWN, mark=5),
        "journal_restored",
        "Up to 10 Kafka has other events than this journal: it was restored from a copy.",
        5,
    ),
    "another journal": (
        ListOutbox(rows(3), identity=OTHER_JOURNAL),
        "journal_swapped",
        f"The newest checkpoint on Kafka is journal {JOURNAL}'s; this is {OTHER_JOURNAL}.",
        0,
    ),
}


@pytest.mark.parametrize(("outbox", "reason", "fact", "mark"), STOPS.values(), ids=STOPS)
async def test_a_stop_says_the_fact_what_to_do_and_what_else_would_work(outbox, reason, fact, mark):
    """Three sentences, word for word: an operator decides by them."""
    log = MemoryLog()
    await drain(relay_of(ListOutbox(rows(10)), log))
    state = await stopped(relay_of(outbox, log))
    last = ACCEPT.format(claim=f"{JOURNAL}/0/10", mark=mark)
    assert (state.reason, state.detail) == (reason, f"{fact} {INSTRUCTIONS[reason]} {last}")


async def test_a_stop_without_a_checkpoint_says_how_far_the_journal_was():
    """The claim is the journal's own."""
    state = await stopped(relay_of(ListOutbox(rows(10), mark=4), MemoryLog()))
    fact = "This journal has published up to 4, but the checkpoints topic has no checkpoint of it."
    last = ACCEPT.format(claim=f"{JOURNAL}/0/4", mark=4)
    assert state.detail == f"{fact} {INSTRUCTIONS['checkpoint_missing']} {last}"


async def test_a_stop_that_leaves_no_choice_says_the_fact_and_what_to_do():
    """Nothing to accept where rows are gone."""
    log, outbox = MemoryLog(), ListOutbox(rows(3))
    await drain(relay_of(outbox, log))
    outbox.append(rows(2, first=5))
    state = await stopped(relay_of(outbox, log))
    assert state.detail == f"The journal has no row 4. {INSTRUCTIONS['rows_missing']}"


async def test_a_stop_of_an_unknown_reason_says_the_fact_alone():
    """A publisher may stop the relay for a reason that has no instructions."""

    def refuse():
        raise RelayStopped("Somebody said no.", reason="not_authorized")

    assert (await stopped(Relay(ListOutbox(rows(1)), refuse))).detail == "Somebody said no."


async def test_the_lag_is_counted_from_what_is_published():
    """Not from a mark that lags; and no age is below zero, nor any where the rows are gone."""
    outbox = ListOutbox(rows(10), lazy=True)
    relay = await drain(relay_of(outbox, MemoryLog(), now=lambda: STARTED - timedelta(seconds=5)))
    assert await relay.lag() == Lag(events=0, seconds=0.0)
    outbox.append(rows(2, first=11))
    assert await relay.lag() == Lag(events=2, seconds=0.0)

    class Forgetful(ListOutbox):
        async def end(self, shard):  # noqa: ARG002  # one shard
            return 12

    empty = relay_of(Forgetful([]), MemoryLog(), now=lambda: STARTED + timedelta(seconds=90))
    assert await empty.lag() == Lag(events=12, seconds=0.0)


# On Apache Kafka


def kafka_settings(kafka, **options) -> KafkaSettings:
    mark = uuid4().hex[:8]
    return KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        events_topic=f"events-{mark}",
        quarantine_topic=f"quarantine-{mark}",
        checkpoints_topic=f"checkpoints-{mark}",
        events_partitions=4,
        **options,
    )


async def seen_from_outside(settings) -> list[tuple[bytes, bytes]]:
    """Another client library's view: (key, value)."""
    seen = await asyncio.to_thread(read_committed, settings.bootstrap_servers, settings.events_topic)
    return [(key, value) for _, key, value in seen]


def assert_exactly_once(seen, count: int) -> None:
    assert sorted(orjson.loads(value)["number"] for _, value in seen) == list(range(1, count + 1))
    assert_in_order(seen)


@pytest.mark.kafka
async def test_broker_killed_in_the_middle_of_a_drain(kafka):
    """kill -9 of the broker and a restart: nothing lost, nothing twice, each key in order, with nobody's help."""
    settings = kafka_settings(kafka, request_timeout=1.0)
    outbox, watcher = ListOutbox(rows(6000, topic=settings.events_topic), lazy=True), Watcher()
    relay = Relay(outbox, lambda: KafkaPublisher(settings, journal=JOURNAL, shard=0), observer=watcher, batch_rows=50)
    async with running(relay), asyncio.timeout(90):
        while (relay.state.position or 0) < 1000:
            await asyncio.sleep(0.005)
        await asyncio.to_thread(kafka.broker.kill)
        assert relay.state.position < 6000
        while relay.state.phase is not Phase.WAITING:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(kafka.broker.start)
        await relay.drained()
    assert_exactly_once(await seen_from_outside(settings), 6000)


@pytest.mark.kafka
async def test_relay_killed_again_and_again(kafka):
    """kill -9 of the relay's process at random moments, with a mark that was never written: still exactly once."""
    settings = kafka_settings(kafka)
    topics = (settings.events_topic, settings.quarantine_topic, settings.checkpoints_topic)
    command = (sys.executable, "-m", "tests.relaying", settings.bootstrap_servers, *topics, "8000")
    chance, kills = random.Random(7), 0
    async with asyncio.timeout(100):
        while True:
            process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
            try:
                # Later each time, so that it gets to the end.
                code = await asyncio.wait_for(process.wait(), 0.8 + chance.uniform(0, 0.3) + 0.1 * kills)
            except TimeoutError:
                process.kill()
                await process.wait()
                kills += 1
            else:
                assert code == 0
                break
    assert kills >= 3
    assert_exactly_once(await seen_from_outside(settings), 8000)


@pytest.mark.kafka
async def test_broker_that_comes_later(kafka):
    """A relay started without a broker waits, says why, and publishes when there is one."""
    settings = kafka_settings(kafka, request_timeout=1.0)
    away = replace(settings, bootstrap_servers="127.0.0.1:1")
    current = away

    outbox, watcher = ListOutbox(rows(20, topic=settings.events_topic)), Watcher()
    relay = Relay(outbox, lambda: KafkaPublisher(current, journal=JOURNAL, shard=0), observer=watcher)
    async with running(relay), asyncio.timeout(30):
        while relay.state.phase is not Phase.WAITING:
            await asyncio.sleep(0.01)
        assert relay.state.reason == BrokerUnavailable.reason
        assert "127.0.0.1:1" in relay.state.detail
        current = settings
        await relay.drained()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "something was left behind"
    assert_exactly_once(await seen_from_outside(settings), 20)
