"""The checker fails where a gateway breaks its promise, and only there: one that never fails would prove nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
from faults.checker import ASSERTIONS, check
from faults.facts import Consumed, Delivery, Disk, Facts, Sent, Stored, consumed, read, read_disk, write
from faults.gateways import furnish
from faults.payments import payments
from faults.recording import Recorder, consume
from faults.senders import at_once

from paymux import wiring
from paymux.http import webhooks as line
from paymux.journal import sqlite
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.store import SqliteStore
from paymux.publish.memory import MemoryLog, MemoryPublisher
from paymux.relay import Phase
from paymux.sandbox.apis import Sandbox
from paymux.settings import load
from paymux.signatures import verify
from paymux.telemetry import configure
from paymux.wiring import parts
from paymux.wiring.parts import kafka_settings
from tests.faults import broken
from tests.logs import restored_logging

__all__ = ["restored_logging"]

PAYMENTS = 12
SETTLED = 1.0  # seconds without news


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """What is swapped, and the assertions that must fail then."""

    name: str
    fails: frozenset[str] = frozenset()
    store: type[SqliteStore] = SqliteStore
    journal: type[SqliteJournal] = SqliteJournal
    publisher: type[Any] = MemoryPublisher
    verify: Any = verify


def breaking(name: str, *fails: str, **swapped: Any) -> Break:
    return Break(name=name, fails=frozenset(fails), **swapped)


ON_KAFKA = pytest.mark.kafka
BREAKS = (
    breaking("nothing"),
    breaking("acks without storing", "acked_is_stored", journal=broken.AcksAndForgets),
    breaking("acks before the commit", "acked_after_commit", journal=broken.AcksBeforeCommit),
    breaking("skips dedupe", "published_once", store=broken.SkipsDedupe),
    breaking("drops a row", "stored_is_published", store=broken.DropsRow),
    breaking("drops a record", "stored_is_published", publisher=broken.DropsRecord),
    breaking("reorders a batch", "in_commit_order", publisher=broken.Reorders),
    breaking("rewrites bodies", "bytes_are_kept", store=broken.Rewrites),
    breaking("believes everyone", "published_is_proven", verify=broken.believes_everyone),
    breaking("nothing, interrupted", publisher=broken.Interrupted),
    breaking("checkpoint outside of the transaction", "published_once", publisher=broken.CheckpointOutside),
    breaking("no transaction", "published_once", publisher=broken.NoTransaction),
)


def test_each_assertion_has_a_gateway_that_breaks_it():
    """All seven are proved to fail."""
    assert {name for case in BREAKS for name in case.fails} == set(ASSERTIONS)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name.replace(" ", "_"), marks=ON_KAFKA if _real else ())
        for case in BREAKS
        for _real in [issubclass(case.publisher, broken.KafkaPublisher)]
    ],
)
async def test_a_gateway_that(case: Break, tmp_path, monkeypatch, request):
    """Breaks one promise: exactly the assertions about it fail; breaks none: none does."""
    real = issubclass(case.publisher, broken.KafkaPublisher)
    servers = request.getfixturevalue("kafka").bootstrap_servers if real else "127.0.0.1:1"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(line, "verify", case.verify)
    world = World(case=case, gateway=furnish(tmp_path, servers, Sandbox(base="http://127.0.0.1:1"), mode="inline"))
    monkeypatch.setattr(sqlite, "SqliteStore", case.store)
    monkeypatch.setattr(parts, "SqliteJournal", case.journal)
    async with world.serving(), aiohttp.ClientSession() as session:
        sender = Recorder(gateway=world.gateway, session=session, look_every=1)
        work = payments(PAYMENTS)
        await at_once(4, work, sender)
        for webhook in (webhooks[0] for webhooks in work):
            await sender.deliver(webhook)  # the provider comes again
        await sender.post(payments(1, ["stripe"])[0][0], "whsec_somebody-elses-secret")
        await world.settled()
        facts = Facts(
            client=sender.log,
            disk=read_disk(tmp_path / "paymux.db"),
            consumer=await consume(world.gateway, servers) if real else world.consumed(),
            looks=sender.looks,
        )
    violations = check(facts)
    assert case.fails <= {violation.assertion for violation in violations}, list(map(str, violations))
    assert bool(case.fails) == bool(violations), list(map(str, violations))
    write(tmp_path / "logs", facts)
    assert check(read(tmp_path / "logs")) == violations


@dataclass(slots=True, kw_only=True)
class World:
    """A gateway in this process, with what the case swaps."""

    case: Break
    gateway: Any
    made: Any = None
    log: Any = None

    def publisher(self):
        journal = self.made.journal.identity
        if self.log is not None:
            return self.case.publisher(self.log, journal=journal, shard=0)
        return self.case.publisher(kafka_settings(self.settings.kafka), journal=journal, shard=0)

    @property
    def settings(self):
        return load(self.gateway.room / "paymux.toml", {})

    @asynccontextmanager
    async def serving(self):
        if issubclass(self.case.publisher, MemoryPublisher):
            self.log = MemoryLog(events_topic=self.gateway.events_topic)
        else:
            self.case.publisher.batches = 0
        self.made = await wiring.Gateway.start(
            self.settings, deliveries=configure(level="error"), publisher=self.publisher
        )
        self.gateway.public = f"http://{self.made.address}"
        self.gateway.up.set()
        try:
            yield
        finally:
            await self.made.stop()

    async def settled(self):
        """Until the relay has caught up, or has not moved for a while: a broken one never does."""
        await asyncio.gather(*getattr(self.made.journal, "late", ()))
        relay, end, moved = self.made.relay, await self.made.journal.end(0), None
        while relay.state.position != end and (relay.state.position, relay.state.phase) != (moved, Phase.RUNNING):
            if relay.state.phase is Phase.STOPPED:
                return
            moved = relay.state.position
            await asyncio.sleep(SETTLED)

    def consumed(self):
        return [
            consumed(topic, number, offset, record.key, record.value)
            for topic in (self.gateway.events_topic, self.gateway.quarantine_topic)
            for offset, (number, record) in enumerate(self.log.committed(topic))
        ]


def stored(seq, name):
    return Stored(
        seq=seq, event_id=name, topic="events", key="k", sha256=name, delivery_id="", sequence=int(name.split("-")[1])
    )


def read_as(*names):
    return [
        Consumed(
            topic="events",
            partition=0,
            offset=place,
            key="k",
            event_id=name,
            sha256=name,
            delivery_id="",
            proof=None,
            sequence=int(name.split("-")[1]),
        )
        for place, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("consumer", "fails"),
    [
        (("e-1", "e-2", "e-3", "f-4", "f-5"), set()),
        (("e-1", "e-2", "f-4", "e-3", "f-5"), {"in_commit_order"}),  # what the lost file published came before
        (("e-1", "e-2", "e-3", "f-4", "f-5", "e-3"), {"published_once"}),
        (("e-1", "e-2", "e-3", "f-4"), {"stored_is_published"}),
        (("e-1", "e-2", "e-3", "f-4", "f-5", "g-6"), {"stored_is_published"}),  # in neither file
    ],
)
def test_a_file_that_a_copy_took_the_place_of(consumer, fails):
    """Rows that the copy has keep their place, those that only the lost file had come after them, and then what came
    since, though its rows have numbers that the lost ones had.
    """
    lost = Disk(
        outbox=(stored(1, "e-1"), stored(2, "e-2"), stored(3, "e-3"), stored(4, "f-5"))
    )  # the last never went out
    now = Disk(outbox=(stored(1, "e-1"), stored(2, "e-2"), stored(3, "f-4"), stored(4, "f-5")))
    facts = Facts(consumer=read_as(*consumer), disk=now, lost=(lost,))
    ours = {"in_commit_order", "published_once", "stored_is_published"}
    assert {violation.assertion for violation in check(facts)} & ours == fails


@pytest.mark.parametrize(
    ("again", "fails"),
    [
        ([(1, "e-1"), (2, "e-2")], set()),
        ([(2, "e-2")], set()),  # what was erased is left out
        ([(1, "e-1"), (2, "e-2"), (3, "e-1")], {"published_once"}),
        ([(1, "e-2"), (2, "e-1")], {"in_commit_order"}),
    ],
)
def test_a_replay(again, fails):
    """Each of its records comes once and in order, as the events themselves did."""
    rows = [stored(1, "e-1"), stored(2, "e-2")]
    rows += [replace(stored(3, "e-1"), replay="job"), replace(stored(4, "e-2"), replay="job")]
    records = [
        *read_as("e-1", "e-2"),
        *(replace(read_as(name)[0], offset=1 + place, replay="job") for place, name in again),
    ]
    facts = Facts(consumer=records, disk=Disk(outbox=tuple(rows)), quiesced=False)
    ours = {"in_commit_order", "published_once"}
    assert {violation.assertion for violation in check(facts)} & ours == fails


def test_a_replay_that_is_not_marked():
    """It is a second copy."""
    facts = Facts(consumer=read_as("e-1", "e-1"), disk=Disk(outbox=(stored(1, "e-1"),)))
    assert "published_once" in {violation.assertion for violation in check(facts)}


@pytest.mark.parametrize(("body", "fails"), [(None, set()), ("e-1", {"bytes_are_kept"})])
def test_what_was_erased(body, fails):
    """Its body is gone, and only its body: the record must have been published, whatever it said."""
    delivery = Delivery(
        row=1,
        id="d",
        provider="p",
        account="a",
        via="webhook",
        proof="signature",
        sha256="e-1",
        body_sha256=body,
        erased=True,
    )
    disk = Disk(deliveries=(delivery,), outbox=(replace(stored(1, "e-1"), sha256=None),))
    sent = Sent(provider="p", account="a", sha256="e-1", sent_at=0.0)
    ours = {"bytes_are_kept", "stored_is_published"}
    seen = check(Facts(client=[sent], disk=disk, consumer=read_as("e-1")))
    assert {violation.assertion for violation in seen} & ours == fails
    lost = check(Facts(client=[sent], disk=disk))
    assert {violation.assertion for violation in lost} & ours == fails | {"stored_is_published"}


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({}, set()),
        ({"sha256": "other"}, {"stored_is_published"}),
        ({"key": "other"}, {"stored_is_published", "in_commit_order"}),
        ({"topic": "other"}, {"stored_is_published", "in_commit_order"}),
        ({"sequence": 3}, {"in_commit_order"}),
        ({"partition": 1, "offset": 0}, {"in_commit_order"}),
        ({"offset": 0}, {"published_once"}),
    ],
)
def test_a_record_that_is_not_what_was_stored(change, fails):
    """Whatever of it differs is found, by the assertion that is about it."""
    first, second = read_as("e-1", "e-2")
    disk = Disk(outbox=(stored(1, "e-1"), stored(2, "e-2")))
    ours = {"in_commit_order", "published_once", "stored_is_published"}
    seen = check(Facts(consumer=[first, replace(second, **change)], disk=disk))
    assert {violation.assertion for violation in seen} & ours == fails


def test_records_without_a_sequence_in_another_order():
    """Rows tell the order of what belongs to no payment."""
    rows = tuple(replace(row, sequence=None) for row in (stored(1, "e-1"), stored(2, "e-2")))
    records = [replace(record, sequence=None) for record in read_as("e-2", "e-1")]
    assert "in_commit_order" in {each.assertion for each in check(Facts(consumer=records, disk=Disk(outbox=rows)))}
