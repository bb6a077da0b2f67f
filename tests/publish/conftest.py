from __future__ import annotations

import pytest

from tests.publish.proxies import Proxy
from tests.publish.worlds import KafkaWorld, MemoryWorld


@pytest.fixture
async def kafka_world(kafka):
    """Topics of its own on the real broker, behind a proxy that can break."""
    async with Proxy(port=kafka.proxy, target=kafka.behind_proxy) as proxy:
        yield KafkaWorld(kafka, proxy)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
async def world(request):
    """Each of the brokers that a Publisher must behave the same on."""
    if request.param == "memory":
        yield MemoryWorld()
        return
    kafka = request.getfixturevalue("kafka")
    async with Proxy(port=kafka.proxy, target=kafka.behind_proxy) as proxy:
        yield KafkaWorld(kafka, proxy)
