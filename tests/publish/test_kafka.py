"""What only the real client has: topics, rights, deadlines, the search for the newest checkpoint, reading."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace

import aiokafka.producer.sender
import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import ConfigResource, NewTopic

from paymux.errors import BrokerUnavailable, RelayStopped, SettingsError
from paymux.publish import Positions
from paymux.publish.kafka import KafkaPublisher, KafkaSettings, Security, check_topics, consume, positions
from paymux.publish.kafka.connection import let_go, within
from paymux.publish.memory import Fault
from paymux.sandbox.brokers import EmbeddedBroker
from tests.conftest import PASSWORDS
from tests.outboxes import JOURNAL, event
from tests.publish.proxies import ADD_PARTITIONS, API_KEY
from tests.publish.test_publishers import batch, checkpoint, started, values

CLOSED = "127.0.0.1:1"


async def create(kafka, *topics: NewTopic) -> None:
    for future in kafka.admin.create_topics(list(topics)).values():
        await asyncio.to_thread(future.result, 10)


async def refused(settings, *, journal=JOURNAL, shard=0):
    """The error of a publisher that must not start."""
    publisher = KafkaPublisher(settings, journal=journal, shard=shard)
    with pytest.raises((BrokerUnavailable, RelayStopped)) as caught:
        await publisher.start()
    await publisher.abandon()
    return caught.value


# Topics


@pytest.mark.kafka
async def test_missing_topics_are_created(kafka, kafka_world):
    """All three come into being, the checkpoints compacted and with a partition for each shard; a single broker warns."""
    report = await check_topics(kafka_world.settings)
    assert set(report.created) == {
        kafka_world.events_topic,
        kafka_world.quarantine_topic,
        kafka_world.settings.checkpoints_topic,
    }
    assert report.events_partitions == 4
    assert any("one copy" in warning for warning in report.warnings)
    topics = kafka.admin.list_topics().topics
    assert len(topics[kafka_world.settings.checkpoints_topic].partitions) == 2
    resource = ConfigResource("topic", kafka_world.settings.checkpoints_topic)
    config = await asyncio.to_thread(kafka.admin.describe_configs([resource])[resource].result, 10)
    assert config["cleanup.policy"].value == "compact"
    again = await check_topics(kafka_world.settings)
    assert again.created == ()


@pytest.mark.kafka
async def test_topics_that_may_not_be_created(kafka, kafka_world):
    """With create_topics off nothing is created, not even by asking, and the sentence has the commands to run."""
    settings = replace(kafka_world.settings, create_topics=False)
    problem = await refused(settings)
    assert problem.reason == "topic_missing"
    assert f"--create --topic {settings.checkpoints_topic} --partitions 2" in str(problem)
    assert "--config cleanup.policy=compact" in str(problem)
    assert not {settings.events_topic, settings.checkpoints_topic} & set(kafka.admin.list_topics().topics)


@pytest.mark.kafka
async def test_checkpoints_that_kafka_would_delete(kafka, kafka_world):
    """A checkpoints topic without compaction is refused, with the command that puts it right."""
    await create(kafka, NewTopic(kafka_world.settings.checkpoints_topic, 2, 1, config={"cleanup.policy": "delete"}))
    problem = await refused(kafka_world.settings)
    assert problem.reason == "topic_unfit"
    assert "--add-config cleanup.policy=compact" in str(problem)


@pytest.mark.kafka
async def test_fewer_checkpoint_partitions_than_shards(kafka, kafka_world):
    """A shard without a partition of its own is refused, with the command that puts it right."""
    await create(kafka, NewTopic(kafka_world.settings.checkpoints_topic, 1, 1, config={"cleanup.policy": "compact"}))
    problem = await refused(kafka_world.settings)
    assert problem.reason == "topic_unfit"
    assert "--partitions 2" in str(problem)


@pytest.mark.kafka
async def test_risky_events_topic(kafka, kafka_world):
    """Compaction and unclean election on the events topic are warned of, not refused."""
    config = {"cleanup.policy": "compact", "unclean.leader.election.enable": "true"}
    await create(kafka, NewTopic(kafka_world.events_topic, 4, 1, config=config))
    warnings = " ".join((await check_topics(kafka_world.settings)).warnings)
    assert f"{kafka_world.events_topic} is compacted" in warnings
    assert "unclean leader election" in warnings


@pytest.mark.kafka
async def test_partitions_grown_while_running(kafka_world, monkeypatch):
    """A running publisher notices at the next refresh of its metadata, and stops before it sends."""
    monkeypatch.setattr("paymux.publish.kafka.producer._METADATA_MS", 200)
    publisher, _ = await started(kafka_world)
    await publisher.publish(batch(kafka_world, 1, 1), checkpoint(1))
    await kafka_world.grow(6)
    await asyncio.sleep(0.6)
    with pytest.raises(RelayStopped) as caught:
        await publisher.publish(batch(kafka_world, 2, 2), checkpoint(2))
    await publisher.abandon()
    assert caught.value.reason == "partitions_changed"
    assert len(await kafka_world.visible()) == 1


# Credentials


def secured(kafka, world, user: str, password: str) -> KafkaSettings:
    security = Security(
        protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username=user,
        sasl_password=password,
        insecure=True,
    )
    return replace(world.settings, bootstrap_servers=f"127.0.0.1:{kafka.secured}", security=security)


@pytest.mark.kafka
async def test_user_with_rights(kafka, kafka_world):
    """SASL PLAIN works from the first connection to the commit."""
    publisher = KafkaPublisher(secured(kafka, kafka_world, "relay", PASSWORDS["relay"]), journal=JOURNAL, shard=0)
    assert await publisher.start() is None
    await publisher.publish(batch(kafka_world, 1, 2), checkpoint(2))
    await publisher.abandon()
    assert len(await kafka_world.visible()) == 2


@pytest.mark.kafka
async def test_wrong_password(kafka, kafka_world):
    """The sentence says that the credentials are refused, and not what they are."""
    problem = await refused(secured(kafka, kafka_world, "relay", "wrong-password"))
    assert problem.reason == "not_authorized"
    assert "credentials" in str(problem)
    assert "wrong-password" not in str(problem)


@pytest.mark.kafka
async def test_user_who_may_not_create(kafka, kafka_world):
    """Without the right to see or create the topics, the sentence names topics, right and commands."""
    problem = await refused(secured(kafka, kafka_world, "stranger", PASSWORDS["stranger"]))
    assert problem.reason == "topic_missing"
    assert "CREATE" in str(problem)
    assert f"--topic {kafka_world.events_topic}" in str(problem)


@pytest.mark.kafka
async def test_user_who_may_not_write(kafka, kafka_world):
    """Topics that exist and may be seen but not written: not_authorized, which the relay tries again."""
    from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

    await check_topics(kafka_world.settings)
    bindings = [
        AclBinding(
            ResourceType.TOPIC,
            name,
            ResourcePatternType.LITERAL,
            "User:stranger",
            "*",
            AclOperation.DESCRIBE,
            AclPermissionType.ALLOW,
        )
        for name in (kafka_world.events_topic, kafka_world.quarantine_topic, kafka_world.settings.checkpoints_topic)
    ]
    for future in kafka.admin.create_acls(bindings).values():
        await asyncio.to_thread(future.result, 10)
    stranger = secured(kafka, kafka_world, "stranger", PASSWORDS["stranger"])
    async with asyncio.timeout(10):  # until the broker has heard of the new rights itself
        while (problem := await refused(stranger)).reason == "topic_missing":
            await asyncio.sleep(0.1)
    assert (type(problem), problem.reason) == (BrokerUnavailable, "not_authorized")


@pytest.mark.kafka
async def test_partition_that_may_not_be_part_of_the_transaction(kafka_world):
    """Nothing is sent to any partition: where Kafka has yet to write the last commit's marker, it would be committed."""
    publisher, _ = await started(kafka_world)
    await publisher.publish(batch(kafka_world, 1, 4), checkpoint(4))
    kafka_world.proxy.denies = True
    kafka_world.proxy.asked.clear()
    with pytest.raises(BrokerUnavailable) as problem:
        await publisher.publish(batch(kafka_world, 5, 8), checkpoint(8))
    await publisher.abandon()
    assert problem.value.reason == "not_authorized"
    assert ADD_PARTITIONS in kafka_world.proxy.asked
    assert API_KEY[Fault.PRODUCE] not in kafka_world.proxy.asked
    kafka_world.proxy.denies = False
    publisher, found = await started(kafka_world)
    await publisher.abandon()
    assert (found, len(await kafka_world.visible())) == (checkpoint(4), 4)


def test_password_is_not_in_the_repr():
    """Settings can be logged whole."""
    security = Security(
        protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", sasl_username="u", sasl_password="secret-word"
    )
    assert "secret-word" not in repr(KafkaSettings(bootstrap_servers=CLOSED, security=security))


@pytest.mark.parametrize(
    ("security", "key"),
    [
        ({"protocol": "TLS"}, "security_protocol"),
        ({"protocol": "SASL_SSL"}, "sasl_mechanism"),
        ({"protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "u"}, "sasl_password"),
        (
            {"protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "u", "sasl_password": "p"},
            "insecure",
        ),
        ({"sasl_username": "u"}, "security_protocol"),
        ({"ssl_cafile": "ca.pem"}, "security_protocol"),
        ({"protocol": "SSL", "ssl_keyfile": "key.pem"}, "ssl_certfile"),
    ],
)
def test_security_that_cannot_be_meant(security, key):
    """A mistake in [kafka] names the key."""
    with pytest.raises(SettingsError, match=key):
        Security(**security)


@pytest.mark.parametrize("name", ["ssl_cafile", "ssl_certfile"])
def test_certificate_file_that_is_not_there(name, tmp_path):
    """The file and its key are named when the connection is prepared."""
    security = Security(protocol="SSL", **{name: str(tmp_path / "absent.pem")})
    with pytest.raises(SettingsError, match=name):
        security.arguments()


# Deadlines


async def test_no_broker():
    """A closed port is BrokerUnavailable at once, with the address, and abandoning it is quick."""
    began = time.monotonic()
    problem = await refused(KafkaSettings(bootstrap_servers=CLOSED, request_timeout=1.0))
    assert problem.reason == "broker_unavailable"
    assert CLOSED in str(problem)
    assert time.monotonic() - began < 5


async def test_client_that_fails_to_close():
    """Letting go of a client is bounded and silent, also where it never ends, or lets a cancellation of its own out."""

    async def cancelled_inside():
        raise asyncio.CancelledError

    async def broken():
        raise KeyError("unforeseen")

    began = time.monotonic()
    for closing in (cancelled_inside(), broken(), asyncio.sleep(60)):
        await let_go(closing)
    assert time.monotonic() - began < 3


async def test_client_cancelled_from_inside():
    """A CancelledError that nobody asked for is doubt, not the end of the relay; ours goes through."""
    with pytest.raises(BrokerUnavailable):
        async with within(5, "trying"):
            raise asyncio.CancelledError

    async def long():
        async with within(5, "trying"):
            await asyncio.sleep(5)

    task = asyncio.create_task(long())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.kafka
async def test_black_hole_at_start(kafka_world):
    """A broker that accepts and never answers holds up a start no longer than its deadline."""
    kafka_world.proxy.silence()
    began = time.monotonic()
    problem = await refused(replace(kafka_world.settings, request_timeout=0.5))
    assert isinstance(problem, BrokerUnavailable)
    assert time.monotonic() - began < 5


@pytest.mark.kafka
async def test_black_hole_while_publishing(kafka_world):
    """A broker that falls silent holds up a transaction, and letting go of it, no longer than their deadlines."""
    publisher = kafka_world.publisher(request_timeout=1.0)
    await publisher.start()
    await publisher.publish(batch(kafka_world, 1, 1), checkpoint(1))
    kafka_world.proxy.silence()
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        await publisher.publish(batch(kafka_world, 2, 2), checkpoint(2))
    assert time.monotonic() - began < 2
    await publisher.abandon()
    assert time.monotonic() - began < 5
    kafka_world.heal()
    publisher, found = await started(kafka_world)
    await publisher.abandon()
    assert found == checkpoint(1)


# Records


@pytest.mark.kafka
async def test_more_than_a_batch_for_one_partition(kafka_world):
    """What does not fit into one batch goes in several, in order, and a record larger than a batch goes alone."""
    publisher, _ = await started(kafka_world)
    big = [
        replace(event(n, topic=kafka_world.events_topic, payments=1), value=b"%04d" % n + bytes(40_000))
        for n in range(20)
    ]
    big[7] = replace(big[7], value=b"0007" + bytes(900_000))
    await publisher.publish(big, checkpoint(20))
    await publisher.abandon()
    assert [value for _, _, value in await kafka_world.visible()] == [record.value for record in big]


@pytest.mark.kafka
async def test_record_larger_than_the_topic_takes(kafka, kafka_world):
    """It stops the relay loudly, and nothing of its transaction is visible."""
    await create(kafka, NewTopic(kafka_world.events_topic, 4, 1, config={"max.message.bytes": "20000"}))
    publisher, _ = await started(kafka_world)
    large = replace(event(2, topic=kafka_world.events_topic), value=bytes(30_000))
    with pytest.raises(RelayStopped) as caught:
        await publisher.publish([event(1, topic=kafka_world.events_topic), large], checkpoint(2))
    await publisher.abandon()
    assert caught.value.reason == "record_refused"
    publisher, found = await started(kafka_world)
    await publisher.abandon()
    assert found is None
    assert await kafka_world.visible() == []


@pytest.mark.kafka
async def test_batches_fit_what_the_topic_takes(kafka, kafka_world):
    """Where the topic takes less than our batches, they are made smaller: small records are never refused for company."""
    await create(kafka, NewTopic(kafka_world.events_topic, 4, 1, config={"max.message.bytes": "20000"}))
    publisher, _ = await started(kafka_world)
    many = [replace(event(n, topic=kafka_world.events_topic), value=b"%04d" % n + bytes(3_000)) for n in range(100)]
    await publisher.publish(many, checkpoint(100))
    await publisher.abandon()
    assert len(await kafka_world.visible()) == 100


def test_the_wait_between_transactions():
    """aiokafka still has the constant that we shorten."""
    assert aiokafka.producer.sender.BACKOFF_OVERRIDE == 0.001


# Finding the newest checkpoint


async def newest(world, shard=0, prefix="paymux"):
    async with asyncio.timeout(10):
        found = await positions.newest(replace(world.settings, transactional_id_prefix=prefix), shard)
    return found.checkpoint if found else None


@pytest.mark.kafka
async def test_found_every_time(kafka_world):
    """The consumer's own reset to the end never wins against our seek (it did, now and then, with seek_to_beginning)."""
    publisher, _ = await started(kafka_world)
    await publisher.publish(batch(kafka_world, 1, 1), checkpoint(1))
    await publisher.abandon()
    assert {await newest(kafka_world) for _ in range(15)} == {checkpoint(1)}


@pytest.mark.kafka
async def test_our_checkpoint_far_behind_others(kafka_world, monkeypatch):
    """It is found below any number of another installation's, window by window, and never more than once read."""
    monkeypatch.setattr(positions, "_WINDOWS", (3, 9))
    ours, _ = await started(kafka_world, prefix="ours")
    await ours.publish(batch(kafka_world, 1, 1), checkpoint(1))
    await ours.publish(batch(kafka_world, 2, 2), checkpoint(2))
    await ours.abandon()
    theirs, _ = await started(kafka_world, prefix="theirs")
    for seq in range(1, 12):
        await theirs.publish(batch(kafka_world, seq, seq), checkpoint(seq))
    await theirs.abandon()
    assert await newest(kafka_world, prefix="ours") == checkpoint(2)
    assert await newest(kafka_world, prefix="theirs") == checkpoint(11)
    assert await newest(kafka_world, prefix="nobody") is None


@pytest.mark.kafka
async def test_aborted_transactions_at_the_end(kafka_world):
    """Aborted checkpoints and control records at the end of the topic are passed over."""
    publisher, _ = await started(kafka_world)
    await publisher.publish(batch(kafka_world, 1, 1), checkpoint(1))
    await publisher.abandon()
    publisher, _ = await started(kafka_world)
    kafka_world.break_at(Fault.COMMIT)
    with pytest.raises(BrokerUnavailable):
        await publisher.publish(batch(kafka_world, 2, 2), checkpoint(2))
    await publisher.abandon()
    kafka_world.heal()
    publisher, found = await started(kafka_world)
    await publisher.abandon()
    assert found == checkpoint(1)


@pytest.mark.kafka
async def test_foreign_transaction_open_below_ours(kafka_world):
    """A checkpoint above somebody's open transaction cannot be read yet: the start waits, and fails at its deadline."""
    await check_topics(kafka_world.settings)
    stranger = AIOKafkaProducer(bootstrap_servers=kafka_world.kafka.bootstrap_servers, transactional_id="stranger")
    await stranger.start()
    await stranger.begin_transaction()
    await stranger.send_and_wait(kafka_world.settings.checkpoints_topic, b"{}", key=b"k", partition=0)
    publisher = kafka_world.publisher(request_timeout=0.7)
    with pytest.raises(BrokerUnavailable, match="no answer"):
        await publisher.start()
    await publisher.abandon()
    await stranger.abort_transaction()
    await stranger.stop()
    publisher, found = await started(kafka_world)
    await publisher.abandon()
    assert found is None


@pytest.mark.kafka
async def test_junk_among_the_checkpoints(kafka_world):
    """What others wrote is passed over; a checkpoint of ours in an unknown form stops the relay."""
    publisher, _ = await started(kafka_world)
    await publisher.publish(batch(kafka_world, 1, 1), checkpoint(1))
    await publisher.abandon()
    async with AIOKafkaProducer(bootstrap_servers=kafka_world.kafka.bootstrap_servers) as stranger:
        for junk in (b"\xff", b"[]", b'{"prefix":"other"}', None):
            await stranger.send_and_wait(kafka_world.settings.checkpoints_topic, junk, key=b"k", partition=0)
        assert await newest(kafka_world) == checkpoint(1)
        await stranger.send_and_wait(
            kafka_world.settings.checkpoints_topic, b'{"prefix":"paymux","seq":"7"}', key=b"k", partition=0
        )
    problem = await refused(kafka_world.settings)
    assert (type(problem), problem.reason) == (RelayStopped, "checkpoint_unreadable")


# Reading


async def take(stream, count: int) -> list:
    async with asyncio.timeout(10), contextlib.aclosing(stream):
        found = []
        async for record in stream:
            found.append(record)
            if len(found) == count:
                break
        return found


@pytest.mark.kafka
async def test_reading_from_the_beginning_and_from_now(kafka_world):
    """Everything committed, with key, value and headers; or only what is committed after the reader began."""
    publisher, _ = await started(kafka_world)
    await publisher.publish(batch(kafka_world, 1, 3), checkpoint(3))
    from_now = asyncio.ensure_future(take(consume(kafka_world.settings, [kafka_world.events_topic]), 1))
    await asyncio.sleep(1)
    await publisher.publish(batch(kafka_world, 4, 4), checkpoint(4))
    await publisher.abandon()
    (late,) = await from_now
    assert late.value == event(4).value
    whole = await take(consume(kafka_world.settings, [kafka_world.events_topic], from_beginning=True), 4)
    assert values((r.partition, r.key, r.value) for r in whole) == sorted(r.value for r in batch(kafka_world, 1, 4))
    assert dict(whole[0].headers)["content-type"] == b"application/cloudevents+json"


@pytest.mark.kafka
async def test_reading_a_topic_that_is_not_there(kafka, kafka_world):
    """It is a sentence, and the topic is not created by asking."""
    with pytest.raises(BrokerUnavailable, match="no-such-topic"):
        await take(consume(kafka_world.settings, ["no-such-topic"]), 1)
    assert "no-such-topic" not in kafka.admin.list_topics().topics


# The embedded broker


async def test_embedded_broker():
    """Our publisher works on it with the journal's positions, and what it published can be read."""
    topics = {"payments.events.v1": 3, "payments.quarantine.v1": 1, "paymux.checkpoints": 1}
    with EmbeddedBroker(topics) as broker:
        settings = KafkaSettings(
            bootstrap_servers=broker.bootstrap_servers,
            positions=Positions.JOURNAL,
            events_partitions=3,
            request_timeout=3.0,
        )
        publisher = KafkaPublisher(settings, journal=JOURNAL, shard=0)
        assert await publisher.start() is None
        await publisher.publish([event(1), event(2)], checkpoint(2))
        await publisher.abandon()
        whole = await take(consume(settings, ["payments.events.v1"], from_beginning=True), 2)
        assert values((r.partition, r.key, r.value) for r in whole) == sorted([event(1).value, event(2).value])
