"""What a disk may hold after a power loss, opened with paymux: a sample of the thousands of states of the long form."""

import pytest
from faults.power_loss import states
from faults.power_loss.recording import CannotTrace

DELIVERIES = 160
SEED = 20_261_121


def recorded(folder, synchronous, deliveries=DELIVERIES):
    try:
        return states.recorded(folder, deliveries=deliveries, synchronous=synchronous)
    except CannotTrace as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("full"), "FULL")


def test_the_recorded_run_has_what_the_model_is_about(run):
    """Its file is made, checkpointed between two acknowledgements, closed and opened again."""
    words = [call.word for call in run if isinstance(call, states.Said)]
    assert words.count("acked") == DELIVERIES
    assert words.count("opened") == words.count("closed") == 2
    assert words.count("read") >= 2
    assert states.checkpoints(run) >= 1


async def test_the_power_goes_away_at_any_moment(run):
    """Every delivery acknowledged until then is there byte for byte, its events too, and the journal goes on."""
    report = await states.judge(run, states=90, seed=SEED)
    assert report.failures == []
    assert report.stuck == []
    assert report.states == 90
    assert report.lossy > 20
    assert report.acked > 3000


async def test_the_power_goes_away_with_synchronous_normal(tmp_path):
    """The same test fails: a commit that nobody synced is lost, so the model would convict us too."""
    report = await states.judge(recorded(tmp_path / "normal", "NORMAL", deliveries=80), states=40, seed=SEED)
    assert len(report.failures) >= 5
    assert any("is lost" in failure or "not in the outbox" in failure for failure in report.failures)


async def test_the_power_goes_away_before_the_folder_was_synced(run):
    """Without SQLite's syncs of the folder whole files would be missing: their names are part of what is durable."""
    report = await states.judge(states.without_folder_syncs(run), states=60, seed=SEED)
    assert len(report.failures) >= 3
