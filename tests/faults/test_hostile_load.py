"""What the load scenarios are made of; they themselves run by `python -m faults.load`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from faults.load.house import SECRETS, slope
from faults.load.requests import forged, quarantined, signed
from faults.load.scenarios import BY_NAME
from faults.load.senders import paced

from tests.http.world import running

ACCOUNTS = [{"provider": "stripe", "name": name, "secrets": [secret]} for name, secret in SECRETS.items()]
ROOT = Path(__file__).parents[2]


async def test_the_ready_made_requests_are_what_they_are_called():
    """Genuine ones are taken, also at 1 MiB, the unknown is quarantined, the forged is rejected: each once for each
    number.
    """
    sent = [
        *signed("loud", 0, 3),
        *signed("quiet", 0, 2),
        *signed("loud", 3, 1, size=2**20),
        *quarantined("quiet", 2, 2),
        *forged("loud", 9, 4),
    ]
    async with running(*ACCOUNTS) as world:
        latency = await paced(world.port, sent, rate=1000)
        outcomes = sorted(item.outcome for item in world.journal.store.items)
        assert await world.reasons() == ["signature_mismatch"] * 4
    assert latency.statuses == {"200": 8, "401": 4}
    assert outcomes == ["events"] * 6 + ["quarantined"] * 2
    assert 0 < latency.p50 <= latency.p99 <= latency.worst


@pytest.mark.parametrize(("samples", "expected"), [([(0, 5), (1, 5), (2, 5)], 0), ([(0, 1), (2, 7), (1, 4)], 3)])
def test_the_slope_of_samples(samples, expected):
    """Of what stays, none; of what grows by three, three."""
    assert slope(samples) == pytest.approx(expected)


def test_every_scenario_is_listed():
    """With a sentence that says what it does."""
    command = [sys.executable, "-m", "faults.load", "--list"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    for name, scenario in BY_NAME.items():
        assert f"{name}: {scenario.__doc__}" in listed


@pytest.mark.parametrize("arguments", [[], ["no-such-target"]])
def test_the_fuzzer_says_how_to_use_it(arguments):
    """Without a target it explains itself."""
    command = [sys.executable, "-m", "faults.fuzz", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "python -m faults.fuzz translate" in done.stderr
