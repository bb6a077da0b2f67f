"""A few scenarios of `make faults`, each with a few cycles: what breaks there breaks here first."""

from __future__ import annotations

import asyncio

import pytest
from faults.cluster import Cluster
from faults.runs import run
from faults.scenarios import BY_NAME

pytestmark = pytest.mark.kafka

SEED = "20261121"
FEW = {
    "killed_at_random": 2,
    "killed_at_each_step": 2,
    "a_zombie_comes_back": 1,
    "errors_of_the_broker": 3,
    "apis_fail": 4,
}


@pytest.mark.parametrize("name", FEW)
async def test_every_promise_is_kept(name, kafka):
    """Nothing lost, doubled, disordered, unproven or answered too early, by the one checker."""
    cluster = Cluster(
        broker=kafka.broker,
        admin=kafka.admin,
        proxy=kafka.proxy,
        behind_proxy=kafka.behind_proxy,
        secured=kafka.secured,
    )
    result = await asyncio.to_thread(run, cluster, BY_NAME[name], seed=SEED, cycles=FEW[name], say=print)
    assert not result.broken, f"{result}\n" + "\n".join(result.broken) + f"\nagain: {result.again}"
