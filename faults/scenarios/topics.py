"""The topics are not what they were: emptied, compacted, held back, deleted, forbidden, too small, grown, shared."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourcePatternType,
    ResourceType,
)

from faults.cluster import PASSWORD, USER
from faults.payments import payments
from faults.readers import read
from faults.recording import consume

if TYPE_CHECKING:
    from faults.lab import Lab, Trial

PAYMENTS = 20
HELD = 4.0  # seconds
TRANSACTIONS = 4
CLEANED = 60.0  # seconds that the log cleaner may take
GONE = 1_000  # partitions of a topic that was deleted are counted from here


async def checkpoints_emptied(lab: Lab) -> None:
    """Somebody empties the checkpoints topic: the relay stops; with the operator's word it goes on from the journal's
    mark, and only what is published after that mark may come twice.
    """
    trial = lab.install()
    await trial.gateway.start()
    for _ in range(lab.cycles):
        await trial.send(PAYMENTS)
        await trial.published()
        await trial.gateway.kill()
        mark = (trial.gateway.rows("SELECT seq FROM marks") or [(0,)])[0][0]
        if mark == 0:
            await trial.gateway.start()
            continue
        topic = trial.gateway.checkpoints_topic
        await _alter(lab, topic, {"cleanup.policy": "delete"})  # else nothing may be deleted
        emptied = lab.cluster.admin.delete_records([TopicPartition(topic, 0, -1)])
        await asyncio.to_thread(next(iter(emptied.values())).result, 10)
        await _alter(lab, topic, {"cleanup.policy": "compact"})
        await trial.gateway.start()
        await trial.send(PAYMENTS)
        page = await trial.stopped("checkpoint_missing")
        trial.explained |= {found for (found,) in trial.gateway.rows(f"SELECT event_id FROM outbox WHERE seq > {mark}")}
        await _accept(trial, page)
    await trial.quiesce()


async def _accept(trial: Trial, page: dict[str, Any]) -> None:
    """What the instructions say, to the letter."""
    found = re.search(r"accept_positions = (\[[^]]*\])", page["detail"])
    assert found, page["detail"]
    trial.configure("kafka", accept_positions=json.loads(found[1]))
    await trial.restart()


async def checkpoints_compacted(lab: Lab) -> None:
    """The log cleaner leaves one checkpoint, and others' records in the same partition: the position is found."""
    trial = lab.install()
    await trial.gateway.start()
    await trial.send(PAYMENTS)
    topic = trial.gateway.checkpoints_topic
    await _alter(lab, topic, {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "min.compaction.lag.ms": "0"})
    for _ in range(lab.cycles):
        for _ in range(TRANSACTIONS):
            await trial.send(2)
            await trial.published()
        await trial.gateway.kill()
        async with asyncio.timeout(CLEANED):
            while await _checkpoints(lab, topic) >= TRANSACTIONS:
                await asyncio.to_thread(_write, lab.cluster.servers, topic, b"somebody-else", 10)
                await asyncio.sleep(0.5)
        await trial.gateway.start()
    await trial.send(PAYMENTS)
    await trial.quiesce()


async def _checkpoints(lab: Lab, topic: str) -> int:
    return sum(b'"journal"' in record.raw for record in await read(lab.cluster.servers, topic))


async def checkpoints_held_back(lab: Lab) -> None:
    """Somebody else's transaction stays open in the checkpoints' partition while the relay is killed: a new one does
    not take the last checkpoint that it can see for the newest; it waits.
    """
    trial = lab.install()
    await trial.gateway.start()
    await trial.send(PAYMENTS)
    await trial.published()
    for _ in range(lab.cycles):
        held = await asyncio.to_thread(_opened, lab.cluster.servers, trial.gateway.checkpoints_topic)
        await trial.send(PAYMENTS)
        await trial.gateway.kill()
        await trial.gateway.start()
        until = time.monotonic() + HELD * lab.chance.random()
        while time.monotonic() < until:
            page = await trial.relay()
            assert page["phase"] != "running", "it published without knowing its position"
            await asyncio.sleep(0.1)
        await asyncio.to_thread(lab.chance.choice((held.abort_transaction, held.commit_transaction)), 10)
        await trial.published()
    await trial.quiesce()


def _write(servers: str, topic: str, key: bytes, count: int) -> None:
    producer = Producer({"bootstrap.servers": servers, "log_level": 0})
    for number in range(count):
        producer.produce(topic, key=key, value=b'{"number": %d}' % number)
    producer.flush(10)


def _opened(servers: str, topic: str) -> Producer:
    producer = Producer({"bootstrap.servers": servers, "transactional.id": f"other-{uuid4().hex}", "log_level": 0})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(topic, key=b"somebody-else", value=b"{}")
    producer.flush(10)
    return producer


async def events_deleted(lab: Lab) -> None:
    """Somebody deletes the topic of events: it is made again, and what comes goes there; what was published stays
    published only once.
    """
    trial = lab.install()
    await trial.gateway.start()
    for _ in range(lab.cycles):
        await trial.send(PAYMENTS)
        await trial.published()
        topic = trial.gateway.events_topic
        trial.before += [
            replace(record, partition=record.partition + GONE + len(trial.before))
            for record in await consume(trial.gateway, lab.cluster.servers)
            if record.topic == topic
        ]
        await asyncio.to_thread(lab.cluster.admin.delete_topics([topic])[topic].result, 10)
        await trial.send(PAYMENTS)
        await trial.published()
    await trial.quiesce()


async def rights_taken_away(lab: Lab) -> None:
    """The right to write to a topic is taken away and given back: webhooks are taken, nothing is lost."""
    trial = lab.install(servers=f"127.0.0.1:{lab.cluster.secured}")
    gateway = trial.gateway
    trial.configure(
        "kafka",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username=USER,
        sasl_password="file:kafka.password",
        insecure=True,
    )
    (gateway.room / "kafka.password").write_text(PASSWORD)
    prefix = _right(ResourceType.TRANSACTIONAL_ID, f"paymux-{gateway.name}-", ResourcePatternType.PREFIXED)
    topics = (gateway.events_topic, gateway.quarantine_topic, gateway.checkpoints_topic)
    rights = {topic: _right(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL) for topic in topics}
    await _grant(lab, prefix, *rights.values())
    await gateway.start()
    async with trial.sending(pause=0.02, at_once=4):
        for topic in lab.taken(rights, lab.cycles):
            await trial.until(lambda page: page["phase"] == "running")
            await _revoke(lab, rights[topic])
            await asyncio.sleep(3 * lab.chance.random())
            await _grant(lab, rights[topic])
    await trial.quiesce()


def _right(kind: ResourceType, name: str, pattern: ResourcePatternType) -> AclBinding:
    return AclBinding(kind, name, pattern, f"User:{USER}", "*", AclOperation.ALL, AclPermissionType.ALLOW)


async def _grant(lab: Lab, *rights: AclBinding) -> None:
    for future in lab.cluster.admin.create_acls(list(rights)).values():
        await asyncio.to_thread(future.result, 10)


async def _revoke(lab: Lab, right: AclBinding) -> None:
    same = AclBindingFilter(
        right.restype,
        right.name,
        right.resource_pattern_type,
        right.principal,
        right.host,
        right.operation,
        right.permission_type,
    )
    for future in lab.cluster.admin.delete_acls([same]).values():
        await asyncio.to_thread(future.result, 10)


async def records_too_large(lab: Lab) -> None:
    """The topic takes less than our records have: the relay stops and says so; with a larger limit it goes on."""
    trial = lab.install()
    await trial.gateway.start()
    for _ in range(lab.cycles):
        await trial.send(PAYMENTS)
        await trial.published()
        await _alter(lab, trial.gateway.events_topic, {"max.message.bytes": str(lab.chance.randint(200, 900))})
        await trial.send(PAYMENTS)
        await trial.stopped("record_refused")
        await _alter(lab, trial.gateway.events_topic, {"max.message.bytes": "1048588"})
        await trial.restart()
    await trial.quiesce()


async def partitions_added(lab: Lab) -> None:
    """The topic of events grows: the relay stops; with the operator's word, given when all is read, it goes on."""
    trial = lab.install()
    trial.configure("kafka", events_partitions=2)
    await trial.gateway.start()
    for cycle in range(lab.cycles):
        await trial.send(PAYMENTS)
        await trial.published()
        await _grow(lab, trial.gateway.events_topic, 3 + cycle)
        if lab.chance.random() < 0.5:
            await trial.restart()
        while (await trial.relay())["phase"] != "stopped":  # until the client knows, keys stay where they were
            await trial.sender.deliver(payments(1, ["flowlix"])[0][0])  # a whole payment: no key moves in its middle
        await trial.stopped("partitions_changed")
        trial.configure("kafka", accept_partitions=3 + cycle)
        await trial.restart()
        await trial.published()
    await trial.quiesce()


async def _grow(lab: Lab, topic: str, partitions: int) -> None:
    futures = lab.cluster.admin.create_partitions([NewPartitions(topic, partitions)])
    await asyncio.to_thread(futures[topic].result, 10)


async def _alter(lab: Lab, topic: str, config: dict[str, str]) -> None:
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in config.items()]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    await asyncio.to_thread(lab.cluster.admin.incremental_alter_configs([resource])[resource].result, 10)


async def two_installations(lab: Lab) -> None:
    """Two installations publish to the same topics, each under a prefix of its own, and are killed in turn."""
    first, second = lab.install(mode="process"), lab.install()
    second.gateway.name = first.gateway.name
    second.configure(
        "kafka",
        events_topic=first.gateway.events_topic,
        quarantine_topic=first.gateway.quarantine_topic,
        checkpoints_topic=first.gateway.checkpoints_topic,
        transactional_id_prefix="another",
    )
    first.neighbours, second.neighbours = [second], [first]
    await asyncio.gather(first.gateway.start(), second.gateway.start())
    async with first.sending(at_once=4), second.sending(at_once=4):
        for _ in range(lab.cycles):
            trial = lab.chance.choice((first, second))
            await asyncio.sleep(lab.chance.random())
            await trial.gateway.kill()
            await trial.gateway.start()
    await asyncio.gather(first.quiesce(), second.quiesce())
