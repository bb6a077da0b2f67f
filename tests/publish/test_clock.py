"""What the brokers' clock says, asked of real Kafka and of one that does not tell."""

from __future__ import annotations

import time

import pytest

from paymux.errors import BrokerUnavailable
from paymux.publish.kafka import KafkaSettings, broker_clock
from paymux.sandbox.brokers import EmbeddedBroker


@pytest.mark.kafka
async def test_the_brokers_clock(kafka):
    """It runs on this machine, so it says what this one says."""
    before = time.time()
    told = await broker_clock(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers))
    assert told is not None
    assert before - 1 <= told <= time.time() + 1


async def test_a_broker_that_does_not_tell():
    """One that does not know the question: nothing is said, and nothing is wrong."""
    with EmbeddedBroker({"t": 1}) as broker:
        assert await broker_clock(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)) is None


async def test_brokers_that_are_away():
    """That is told as everywhere."""
    with pytest.raises(BrokerUnavailable):
        await broker_clock(KafkaSettings(bootstrap_servers="127.0.0.1:1", request_timeout=0.5))


@pytest.mark.kafka
async def test_brokers_that_know_the_question_in_other_versions(kafka, monkeypatch):
    """As those from before Kafka 3.3 do: nothing is said, and nothing is wrong."""
    monkeypatch.setattr("paymux.publish.kafka.clock._Question.API_VERSION", 99)
    assert await broker_clock(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)) is None
