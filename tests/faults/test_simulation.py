"""The line in the simulation: many seeds, one told twice, and ports that break a promise."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from faults.simulation.broken import BROKEN
from faults.simulation.world import EVENTS, FAULTS, simulate

from paymux.providers import BY_NAME

SEEDS = range(100)
FEW = 40
BESIDE = ("deliveries of several items", "deliveries erased", "events published again", "jobs done")


def test_many_seeds():
    """Crashes at any await, zombies, late and lost answers, commits of unknown outcome, replays and erasures in the
    middle of it: every promise is kept, for every provider.
    """
    outcomes = [simulate(seed) for seed in SEEDS]
    assert [str(outcome) for outcome in outcomes if outcome.violations] == []
    assert min(outcome.events for outcome in outcomes) >= EVENTS
    assert min(sum(outcome.faults.values()) for outcome in outcomes) >= FAULTS
    assert len({name for outcome in outcomes for name in outcome.faults}) >= 20
    told = sum((Counter(outcome.told) for outcome in outcomes), Counter())
    expected = {*(f"events of {provider}" for provider in BY_NAME), *BESIDE}
    assert not [name for name in expected if not told[name]], told


@pytest.mark.parametrize("broken", BROKEN)
def test_a_port_that_breaks_a_promise(broken):
    """It is found within a few seeds that find nothing wrong with the whole one."""
    assert any(simulate(seed, BROKEN[broken]).violations and not simulate(seed).violations for seed in range(FEW))


def test_a_seed_told_again():
    """One command says the same to the last digit, whatever order Python gives its sets."""
    said = [told_again(7, hash_seed) for hash_seed in ("1", "2")]
    assert said[0] == said[1]
    assert str(simulate(7)) in said[0]


def told_again(seed, hash_seed):
    command = (sys.executable, "-m", "faults.simulation", "--seed", str(seed))
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout
