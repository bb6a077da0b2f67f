"""What credentials may do, as a broker with access control tells it, and one without."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from paymux.publish.kafka import KafkaSettings, missing_rights
from paymux.sandbox.brokers import EmbeddedBroker
from tests.publish.test_kafka import PASSWORDS, secured

pytestmark = pytest.mark.kafka


def grant(kafka, user, topic, operation):
    binding = AclBinding(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{user}", "*", operation, AclPermissionType.ALLOW
    )
    for future in kafka.admin.create_acls([binding]).values():
        future.result(10)


async def test_rights_that_are_missing(kafka, kafka_world):
    """Each by its name: all where nothing is granted, and fewer with each grant."""
    name = uuid4().hex[:8]
    topics = {"events_topic": f"e-{name}", "quarantine_topic": f"q-{name}", "checkpoints_topic": f"c-{name}"}
    for future in kafka.admin.create_topics([NewTopic(topic, 1) for topic in topics.values()]).values():
        future.result(10)
    stranger = replace(secured(kafka, kafka_world, "stranger", PASSWORDS["stranger"]), **topics)
    assert await missing_rights(stranger) == [f"DESCRIBE on topic {topic}" for topic in topics.values()]

    grant(kafka, "stranger", f"e-{name}", AclOperation.WRITE)
    grant(kafka, "stranger", f"q-{name}", AclOperation.ALL)
    grant(kafka, "stranger", f"c-{name}", AclOperation.WRITE)
    grant(kafka, "stranger", f"c-{name}", AclOperation.DESCRIBE_CONFIGS)
    left = [f"DESCRIBE_CONFIGS on topic e-{name}", f"READ on topic c-{name}"]
    async with asyncio.timeout(10):  # until the broker has heard of the new rights itself
        while await missing_rights(stranger) != left:
            await asyncio.sleep(0.1)

    assert await missing_rights(replace(kafka_world.settings, **topics)) == []


async def test_a_topic_that_is_not_there(kafka):
    """It says nothing of rights, and asking does not create it."""
    name = uuid4().hex[:8]
    settings = KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        events_topic=f"e-{name}",
        quarantine_topic=f"q-{name}",
        checkpoints_topic=f"c-{name}",
    )
    assert await missing_rights(settings) == []
    assert not {f"e-{name}", f"q-{name}", f"c-{name}"} & set(kafka.admin.list_topics(timeout=10).topics)


async def test_a_broker_that_does_not_tell():
    """Nothing is missing, as far as anybody knows."""
    with EmbeddedBroker({"payments.events.v1": 1, "payments.quarantine.v1": 1, "paymux.checkpoints": 1}) as broker:
        assert await missing_rights(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)) == []


async def test_a_broker_that_knows_the_question_in_other_versions(monkeypatch):
    """As one from before Kafka 2.3 does: it does not tell either."""
    monkeypatch.setattr("paymux.publish.kafka.rights._Question.API_VERSION", 99)
    with EmbeddedBroker({"payments.events.v1": 1}) as broker:
        assert await missing_rights(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)) == []
