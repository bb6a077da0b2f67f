"""`paymux dev` as a stranger runs it, on the embedded broker; `send` and `tail` against it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from paymux import contracts
from paymux.cli.view import Seen, expected
from paymux.sandbox.stories import STORIES

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "paymux"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PAYMUX_KAFKA__BOOTSTRAP_SERVERS": "not.there:1"}
PORTS = ["--port", "0", "--admin-port", "0"]


def paymux(*arguments, **more):
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=90, check=False, env=ENVIRONMENT, **more
    )


def events_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_story_once():
    """Exactly the events of the stories come out of Kafka, each as the contract has it, each payment's in order."""
    done = paymux("dev", "--once", "--json", "--pace", "0.01", *PORTS)
    assert done.returncode == 0, done.stderr
    events = events_of(done)
    told = sorted(line for story in STORIES for line in story.tells if " " not in line)
    assert sorted(event["type"] for event in events) == told
    validator = Draft202012Validator(contracts.event_schema())
    numbered = defaultdict(list)
    for event in events:
        validator.validate(event)
        numbered[event["data"]["payment_id"] or event["subject"]].append(event["data"]["lifecycle"]["sequence"])
    assert all(sequences == list(range(1, len(sequences) + 1)) for sequences in numbered.values()), numbered
    assert {event["data"]["provider"] for event in events} == {story.provider for story in STORIES}
    beside = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [one["data"]["reason"] for one in beside if "data" in one] == ["unknown_event_type"]
    assert [one["rejected"]["reason"] for one in beside if "rejected" in one] == ["signature_mismatch"]


def test_a_number_of_events():
    """It stops by itself, with as many lines on stdout."""
    done = paymux("dev", "--count", "20", "--json", "--pace", "0.01", *PORTS)
    assert done.returncode == 0, done.stderr
    assert len(events_of(done)) == 20


def test_lines_for_people():
    """Without --json: what it runs, how to try it, one line for each event, and what it was in the end."""
    done = paymux("dev", "--count", "5", "--pace", "0.01", *PORTS)
    assert done.returncode == 0, done.stderr
    assert "exactly-once needs a real broker" in done.stdout
    for account in ("flexportal/demo  hint", "stripe/demo  signature"):
        assert account in done.stdout
    lines = [
        line
        for line in done.stdout.splitlines()
        if re.match(r"\d\d:\d\d:\d\d  (payment|refund|dispute|payout)\.", line)
    ]
    assert len(lines) == 5
    assert "\n5 events of " in done.stdout
    assert "\x1b[" not in done.stdout


class Running:
    """`paymux dev` without traffic of its own, and what it said at first."""

    def __init__(self):
        self.process = subprocess.Popen(
            [*COMMAND, "dev", "--quiet", *PORTS],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        self.said = ""
        while "in memory" not in self.said:
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            self.said += line

    def after(self, word):
        return next(line.strip() for line in self.said.splitlines() if line.strip().startswith(word))

    def end(self, by=signal.SIGINT):
        self.process.send_signal(by)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, self.said + out, err


@pytest.fixture
def running():
    running = Running()
    yield running
    if running.process.poll() is None:
        running.process.kill()
    running.process.communicate()


def test_what_it_prints_works_as_it_stands(running):
    """The send line and the curl line are accepted, and the events are read back by `paymux tail`."""
    send = shlex.split(running.after("paymux send"))[1:]
    done = paymux(*send)
    assert (done.returncode, done.stdout[:3]) == (0, "200"), done.stderr
    expected_events = 1
    if shutil.which("curl"):
        curl = shlex.split(running.after("curl"))
        answered = subprocess.run([*curl, "-sS"], capture_output=True, text=True, timeout=30, check=True)
        assert json.loads(answered.stdout) == {"received": True}
        expected_events = 2
    others = {
        "flowglad": "payment",
        "flexportal": "payment.succeeded",
        "flexprice": "payment.updated",
        "gocardless": "payments.confirmed",
        "mollie": "payment",
    }
    for provider, event_type in others.items():
        done = paymux(*[provider if word == "stripe" else word for word in send], "--event", event_type)
        assert (done.returncode, done.stdout[:3]) == (0, "204" if provider == "gocardless" else "200"), done.stderr
        expected_events += 1
    servers = running.after("kafka").split()[1]
    tailed = paymux(
        "tail", "--bootstrap-servers", servers, "--from-beginning", "--count", str(expected_events), "--json"
    )
    assert tailed.returncode == 0, tailed.stderr
    assert {event["type"] for event in events_of(tailed)} == {"payment.succeeded"}
    assert len(events_of(tailed)) == expected_events
    plain = paymux("tail", "--bootstrap-servers", servers, "--from-beginning", "--count", "1")
    assert "payment.succeeded" in plain.stdout
    code, said, err = running.end()
    assert (code, err) == (0, "")
    assert f"\n{expected_events} events of {expected_events} payments" in said


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it(running, by):
    """Exit 0, no traceback, and nothing stays behind."""
    home = Path(running.after("config").split()[1]).parent
    assert (home / "paymux.db").exists()
    assert (home / "paymux.toml").stat().st_mode & 0o077 == 0
    code, said, err = running.end(by)
    assert (code, err) == (0, "")
    assert said.endswith("0 events of 0 payments and payouts, 0 quarantined, 0 rejected.\n")
    assert not home.exists()


def test_a_port_in_use():
    """A sentence with the address, no traceback, exit 1."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = paymux("dev", "--quiet", "--port", str(port), "--admin-port", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_story_is_expected_to_give():
    """Events, quarantined and rejected ones are counted apart, and one more of any is noticed."""
    wanted = expected(STORIES)
    assert (wanted.quarantined, wanted.rejected) == (1, 1)
    assert wanted.reaches(wanted)
    assert not Seen(events=wanted.events, quarantined=1).reaches(wanted)
    assert Seen(events=wanted.events + 1, quarantined=1, rejected=1).reaches(wanted)


@pytest.mark.kafka
def test_on_a_real_broker():
    """--kafka tells the same stories on Apache Kafka."""
    done = paymux("dev", "--kafka", "--once", "--json", "--pace", "0.01", *PORTS)
    assert done.returncode == 0, done.stderr
    assert len(events_of(done)) == expected(STORIES).events
    assert "exactly-once holds" in done.stderr
