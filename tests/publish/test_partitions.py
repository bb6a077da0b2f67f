"""Kafka's murmur2, against the Java client's own test vectors and aiokafka's implementation."""

from __future__ import annotations

import aiokafka.partitioner
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymux.publish.partitions import murmur2, partition

# org.apache.kafka.common.utils.UtilsTest.testMurmur2
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("data", JAVA)
def test_java_vector(data):
    """The Java client's hash of the same bytes, as a signed number there."""
    assert murmur2(data) == JAVA[data] % 2**32


@given(st.binary(max_size=200), st.integers(1, 1000))
def test_same_as_aiokafka(key, count):
    """Any key goes to the partition that aiokafka's default partitioner, and so any producer, picks."""
    everywhere = list(range(count))
    assert partition(key, count) == aiokafka.partitioner.DefaultPartitioner()(key, everywhere, everywhere)
