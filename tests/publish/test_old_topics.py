"""Records that were decided for a topic which is not configured any more, or not there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paymux.errors import BrokerUnavailable
from paymux.publish.kafka import KafkaPublisher
from tests.outboxes import JOURNAL, event
from tests.publish.test_publishers import checkpoint, started


@pytest.mark.kafka
async def test_a_record_goes_to_the_topic_that_it_was_decided_for(kafka_world):
    """Also when [kafka] names another one by now."""
    old = kafka_world.events_topic
    publisher, _ = await started(kafka_world)
    await publisher.abandon()
    renamed = replace(kafka_world.settings, events_topic=f"{old}-new")
    publisher = KafkaPublisher(renamed, journal=JOURNAL, shard=0)
    await publisher.start()
    await publisher.publish([event(1, topic=old), event(2, topic=renamed.events_topic)], checkpoint(2))
    await publisher.abandon()
    assert [value for _, _, value in await kafka_world.visible(old)] == [event(1).value]
    assert [value for _, _, value in await kafka_world.visible(renamed.events_topic)] == [event(2).value]


@pytest.mark.kafka
async def test_a_topic_that_is_gone_is_named(kafka_world):
    """The relay waits with a reason of its own and says what to create."""
    publisher, _ = await started(kafka_world)
    with pytest.raises(BrokerUnavailable) as caught:
        await publisher.publish([event(1, topic="payments.gone")], checkpoint(1))
    await publisher.abandon()
    assert caught.value.reason == "topic_missing"
    assert str(caught.value).startswith("Missing on Kafka: payments.gone. ")
