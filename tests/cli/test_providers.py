"""`paymux providers`: the tables that the gateway runs on, printed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from paymux.cli import main, providers
from paymux.providers import BY_NAME


def run(*arguments):
    return CliRunner().invoke(main, ["providers", *arguments])


def test_the_overview():
    """One line for each provider: its proof, its coverage, its documentation."""
    result = run()
    assert result.exit_code == 0
    for name, provider in BY_NAME.items():
        [line] = [line for line in result.stdout.splitlines() if line.startswith(f"{name} ")]
        assert line.split()[2:] == [str(len(provider.events)), str(len(provider.ignored)), provider.docs]


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_one_in_full(name):
    """Every event, every ignored one, every status word with what it becomes, every option."""
    page = run(name).stdout
    provider = BY_NAME[name]
    for event in (*provider.events, *provider.ignored):
        assert f"\n  {event}\n" in f"{page}\n"
    for table in provider.statuses.values():
        for word, status in table.items():
            assert any(line.split() == [word, str(status)] for line in page.splitlines()), word
    for option in provider.options:
        assert f"\n  {option.name} " in page


def test_answers_and_redelivery():
    """What it is answered with, whose endpoint it asks for, how long it waits and how often it comes again."""
    lines = run("braintree").stdout.splitlines()
    for line in (
        "  acknowledged with: 200",
        "  refused with: 401",
        "  handshake: `?bt_challenge=<hex>` is answered by `<public key>|<HMAC of the challenge>`.",
        "  waits for an answer: 30 s",
        "  comes again: for 24 hours; every hour; in the sandbox for 3 hours",
    ):
        assert line in lines
    told = json.loads(run("braintree", "--json").stdout)
    assert told["redelivery"]["window"] == 86_400
    assert told["handshake"]


def test_what_is_not_known_of_redelivery():
    """It says so."""
    lines = run("flowlix").stdout.splitlines()
    assert {"  handshake: none", "  waits for an answer: not known", "  comes again: not known"} <= set(lines)


@pytest.mark.parametrize(
    ("seconds", "told"), [(30, "30 s"), (60, "60 s"), (600, "10 minutes"), (86_400, "24 hours"), (259_200, "3 days")]
)
def test_spans(seconds, told):
    """Whole units that one would say."""
    assert providers._span(seconds) == told


def test_as_json():
    """The same, for programs; of all, or of one."""
    told = json.loads(run("--json").stdout)
    assert told.keys() == BY_NAME.keys()
    flexprice = json.loads(run("flexprice", "--json").stdout)
    assert flexprice == told["flexprice"]
    assert set(flexprice["translated"]) == set(BY_NAME["flexprice"].events)
    assert flexprice["orders_by"] == "rank"
    assert told["flexportal"]["proof"]["kind"] == "hint"
    assert told["flexportal"]["options"]["tenant_id"]["required"] is True


def test_a_provider_that_is_none():
    """Exit 2, with the nearest."""
    result = run("flexprize")
    assert result.exit_code == 2
    assert "did you mean 'flexprice'?" in result.stderr
