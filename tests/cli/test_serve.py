"""`paymux serve` from outside: its one line, its signals, its exit codes."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.cli.gateways import fetch, run, serving
from tests.http.world import BODY, PATH, SECRET, request, signature

if TYPE_CHECKING:
    from pathlib import Path

OTHER_SECRET = "whsec_vutsrqponmlkjihgfedcba9876543210"
CONFIG = """
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
shutdown_timeout = 3
relay_timeout = 1
[kafka]
bootstrap_servers = "127.0.0.1:1"
request_timeout = 1
[[accounts]]
provider = "stripe"
name = "acme"
secrets = ["file:secret"]
"""


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "paymux.toml").write_text(CONFIG)
    (tmp_path / "secret").write_text(SECRET + "\n")
    return tmp_path


def deliver(served, body: bytes = BODY, secret: str = SECRET) -> int:
    return fetch(served.public + PATH, body, Stripe_Signature=signature(body, secret))[0]


def test_it_says_once_that_it_is_ready_with_its_real_ports(room: Path):
    """One JSON line on stdout, whatever the log format; logs on stderr."""
    with serving(room, "--config", "paymux.toml", PAYMUX_LOG__FORMAT="console") as served:
        assert list(served.ready) == ["event", "listen", "admin_listen"]
        assert served.ready["event"] == "ready"
        assert not served.ready["listen"].endswith(":0")
        assert fetch(f"{served.public}/healthz")[0] == 200
        assert fetch(f"{served.private}/healthz")[0] == 200
        assert served.end() == 0
        assert served.process.stdout.read() == b""
        assert "serving" in served.log.read_text()


def test_without_kafka_webhooks_are_taken_and_kept(room: Path):
    """P8: ready, with the relay's trouble as a detail, and the outbox grows."""
    with serving(room) as served:
        assert deliver(served) == 200
        assert served.until("relay_waiting")["reason"] == "broker_unavailable"
        status, body = fetch(f"{served.private}/readyz")
        assert (status, b'"lag_events":1' in body) == (200, True)
        metrics = fetch(f"{served.private}/metrics")[1].decode()
        assert 'paymux_deliveries_total{outcome="events",provider="stripe"} 1.0' in metrics
        assert 'paymux_relay_lag_events{shard="0"} 1.0' in metrics
        assert served.end() == 0
    with serving(room) as served:
        assert deliver(served) == 200
        assert served.until("delivery")["outcome"] == "duplicate"


def test_metrics_and_the_api_are_not_on_the_public_port(room: Path):
    """404 there, whatever the token."""
    with serving(room, PAYMUX_ADMIN__TOKENS='["0123456789abcdef"]') as served:
        bearer = {"Authorization": "Bearer 0123456789abcdef"}
        for page in ("/metrics", "/api/v1/status", "/console"):
            assert fetch(served.public + page, **bearer)[0] == 404
        assert fetch(f"{served.private}/api/v1/status", **bearer)[0] == 200
        assert b"stripe" in fetch(f"{served.private}/api/v1/accounts", **bearer)[1]


def test_sigterm_answers_what_is_in_flight(room: Path):
    """The half of a request that was sent is waited for; new connections are refused; exit code 0."""
    whole = request(BODY, stripe_signature=signature(BODY))
    with serving(room) as served:
        host, port = served.ready["listen"].split(":")
        with socket.create_connection((host, int(port)), timeout=10) as sender:
            sender.sendall(whole[:-20])
            time.sleep(0.3)
            served.process.send_signal(signal.SIGTERM)
            served.until("stopping")
            time.sleep(0.2)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, int(port)), timeout=1)
            sender.sendall(whole[-20:])
            assert sender.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert served.process.wait(10) == 0
        assert served.logged()[-1]["event"] == "stopped"


def test_sigterm_does_not_wait_for_ever(room: Path):
    """A sender that never finishes is left after shutdown_timeout."""
    with serving(room, PAYMUX_SERVER__SHUTDOWN_TIMEOUT="0.5") as served:
        host, port = served.ready["listen"].split(":")
        with socket.create_connection((host, int(port)), timeout=10) as sender:
            sender.sendall(request(BODY, stripe_signature=signature(BODY))[:-20])
            time.sleep(0.2)
            began = time.monotonic()
            assert served.end() == 0
    assert time.monotonic() - began < 6


def test_a_second_sigterm_ends_it_at_once(room: Path):
    """T-20: nothing that was acknowledged is lost by it."""
    with serving(room, PAYMUX_SERVER__DRAIN_DELAY="30") as served:
        assert deliver(served) == 200
        served.process.send_signal(signal.SIGTERM)
        served.until("stopping")
        assert fetch(f"{served.public}/readyz")[0] == 503
        assert deliver(served, BODY.replace(b'"evt_', b'"evt_2')) == 200
        began = time.monotonic()
        assert served.end() != 0
    assert time.monotonic() - began < 5
    with serving(room) as served:
        assert deliver(served) == 200
        assert served.until("delivery")["outcome"] == "duplicate"


def test_sighup_takes_new_secrets_without_dropping_a_request(room: Path):
    """Rotation: old alone, both, new alone; the request under way ends as it began."""
    with serving(room) as served:
        assert (deliver(served), deliver(served, secret=OTHER_SECRET)) == (200, 401)
        host, port = served.ready["listen"].split(":")
        whole = request(BODY, stripe_signature=signature(BODY))
        with socket.create_connection((host, int(port)), timeout=10) as sender:
            sender.sendall(whole[:-20])
            time.sleep(0.3)
            (room / "secret").write_text(OTHER_SECRET)
            served.process.send_signal(signal.SIGHUP)
            served.until("reloaded")
            sender.sendall(whole[-20:])
            assert sender.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert (deliver(served), deliver(served, secret=OTHER_SECRET)) == (401, 200)
        assert served.end() == 0


def test_sighup_with_a_mistake_changes_nothing_and_says_why(room: Path):
    """One line with every mistake; the old secrets go on."""
    with serving(room) as served:
        (room / "paymux.toml").write_text(CONFIG.replace("secrets", "secretz"))
        served.process.send_signal(signal.SIGHUP)
        refused = served.until("reload_refused")
        assert refused["mistakes"] == ["accounts[0].secretz: there is no such key; did you mean 'secrets'?"]
        assert deliver(served) == 200
        assert served.end() == 0


def test_sighup_says_what_needs_a_restart(room: Path):
    """Accounts are taken over, a listener is not."""
    with serving(room) as served:
        (room / "paymux.toml").write_text(CONFIG.replace("shutdown_timeout = 3", "shutdown_timeout = 4"))
        served.process.send_signal(signal.SIGHUP)
        assert served.until("reloaded")["restart_needed_for"] == ["server"]


def test_sighup_does_not_fill_an_accounts_quota(room: Path):
    """Who has used it up has to wait all the same, also with another secret."""
    (room / "paymux.toml").write_text(CONFIG + "rate_limit = 0.01\n")
    with serving(room) as served:
        assert [deliver(served), deliver(served)] == [200, 429]
        (room / "secret").write_text(OTHER_SECRET)
        served.process.send_signal(signal.SIGHUP)
        served.until("reloaded")
        assert deliver(served, secret=OTHER_SECRET) == 429
        assert served.end() == 0


@pytest.mark.parametrize("reloaded", [False, True])
def test_v15_a_secret_ends_at_its_not_after(room: Path, reloaded):
    """V-15: before it 200, after it 401, by itself; also where a reload brought the date."""
    ends = time.time() + 4
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends))
    secrets = f'[{{value = "file:secret", not_after = "{at}"}}, "env:OTHER"]'
    dated = CONFIG.replace('["file:secret"]', secrets)
    (room / "paymux.toml").write_text(CONFIG if reloaded else dated)
    with serving(room, OTHER=OTHER_SECRET) as served:
        if reloaded:
            (room / "paymux.toml").write_text(dated)
            served.process.send_signal(signal.SIGHUP)
            served.until("reloaded")
        assert deliver(served) == 200
        time.sleep(max(0.0, ends - time.time()) + 0.3)
        assert (deliver(served), deliver(served, secret=OTHER_SECRET)) == (401, 200)
        metrics = fetch(f"{served.private}/metrics")[1].decode()
        assert 'paymux_secret_matches_total{account="acme",provider="stripe",secret="1"} 1.0' in metrics


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"PAYMUX_SERVER__LISTN": "x"}, "PAYMUX_SERVER__LISTN: [server] has no key 'listn'; did you mean 'listen'?"),
        (
            {"PAYMUX_ACCOUNTS": '[{"provider": "stripe", "name": "a", "secrets": [""]}]'},
            "accounts[0].secrets[0]: is empty",
        ),
        ({"PAYMUX_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"}, "sasl_mechanism"),
        ({"PAYMUX_JOURNAL__URL": "postgresql://db"}, "PostgreSQL is not in this release"),
    ],
)
def test_a_configuration_mistake_exits_2_before_a_port_opens(room: Path, environ, message):
    """A sentence on stderr, no traceback, nothing on stdout, no journal file."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run("serve", cwd=room, **({"PAYMUX_SERVER__LISTEN": listen} | environ))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(room.glob("*.db*"))


def test_a_log_that_nobody_reads_changes_nothing(room: Path):
    """stderr is a pipe whose reader went away: deliveries are answered, what was lost is counted, and it ends well."""
    reader, writer = os.pipe()
    with serving(room, stderr=writer) as served:
        os.close(writer)
        os.close(reader)
        assert [deliver(served), deliver(served), deliver(served, secret=OTHER_SECRET)] == [200, 200, 401]
        deadline = time.monotonic() + 10
        while lost_lines(served) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert served.end() == 0


def lost_lines(served) -> float:
    metrics = fetch(f"{served.private}/metrics")[1].decode()
    return float(re.search(r"^paymux_log_errors_total (.+)$", metrics, re.MULTILINE)[1])


def test_a_port_in_use_is_a_sentence(room: Path):
    """Exit code 1: the settings are fine."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run("serve", cwd=room, PAYMUX_SERVER__LISTEN=listen)
    assert ended.returncode == 1
    assert f"cannot listen on {listen}: another program listens there" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_address_that_is_not_ours_is_a_sentence(room: Path):
    """TEST-NET-1 belongs to nobody."""
    ended = run("serve", cwd=room, PAYMUX_SERVER__LISTEN="192.0.2.1:8080")
    assert (ended.returncode, "this machine has no such address" in ended.stderr) == (1, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_is_a_sentence(room: Path):
    """Exit code 1, and the path."""
    (room / "locked").mkdir(mode=0o500)
    ended = run("serve", cwd=room, PAYMUX_JOURNAL__URL="sqlite:///locked/p.db")
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)


def test_a_journal_in_a_folder_that_is_not_there_is_a_sentence(room: Path):
    """Exit code 1, and the path."""
    ended = run("serve", cwd=room, PAYMUX_JOURNAL__URL="sqlite:///nowhere/p.db")
    assert (ended.returncode, "nowhere/p.db" in ended.stderr) == (1, True)
    assert "Traceback" not in ended.stderr


def test_a_second_one_on_the_same_journal_is_a_sentence(room: Path):
    """The first one goes on."""
    with serving(room) as served:
        ended = run("serve", cwd=room)
        assert ended.returncode == 1
        assert "another paymux holds the journal" in ended.stderr
        assert deliver(served) == 200


# A program that does something to paymux first, then is `paymux`.
CHANGED = """
import os, signal, sys, time
{change}
from paymux.cli import main
main()
"""


def changed(change: str) -> tuple[str, ...]:
    return (sys.executable, "-c", CHANGED.format(change=change))


SIGHUP_WHILE_IMPORTING = """
import paymux.cli
found = paymux.cli.import_module
paymux.cli.import_module = lambda name: (os.kill(os.getpid(), signal.SIGHUP), found(name))[1]
"""
SIGHUP_WHILE_STARTING = """
from paymux.settings.accounts import build_accounts
import paymux.wiring
def built(*arguments, **more):
    found = build_accounts(*arguments, **more)
    if not os.path.exists("hung_up"):
        open("hung_up", "w").close()
        open("secret", "w").write("{secret}")
        os.kill(os.getpid(), signal.SIGHUP)
    return found
paymux.wiring.build_accounts = built
"""


def test_a_sighup_before_the_settings_are_read(room: Path):
    """There is nothing to read again, and nothing to end for."""
    with serving(room, program=changed(SIGHUP_WHILE_IMPORTING)) as served:
        assert deliver(served) == 200
        assert served.end() == 0
        assert "reloaded" not in [line["event"] for line in served.logged()]


def test_a_sighup_while_it_starts(room: Path):
    """What changed since the settings were read is taken over before it says that it is ready."""
    with serving(room, program=changed(SIGHUP_WHILE_STARTING.format(secret=OTHER_SECRET))) as served:
        assert (deliver(served), deliver(served, secret=OTHER_SECRET)) == (401, 200)
        assert served.until("reloaded")["accounts"] == 1
        assert served.end() == 0


COMMIT_THAT_NEVER_RETURNS = """
from paymux.journal.sqlite.writer import Writer
Writer.commit = lambda self, batch: time.sleep(3600)
import paymux.wiring
paymux.wiring.CLOSING_SECONDS = paymux.wiring.PATIENCE_SECONDS = 0.5
"""


def test_a_commit_that_never_returns_does_not_keep_it_from_ending(room: Path):
    """A disk that does not answer: it ends in bounded time, not with exit code 0, and says what hung."""
    environ = {
        "PAYMUX_JOURNAL__WRITER": "thread",
        "PAYMUX_RELAY__MODE": "inline",
        "PAYMUX_SERVER__SHUTDOWN_TIMEOUT": "0.3",
    }
    with serving(room, program=changed(COMMIT_THAT_NEVER_RETURNS), **environ) as served:
        host, port = served.ready["listen"].split(":")
        with socket.create_connection((host, int(port)), timeout=10) as sender:
            sender.sendall(request(BODY, stripe_signature=signature(BODY)))
            time.sleep(0.3)
            began = time.monotonic()
            assert served.end() == 1
        assert time.monotonic() - began < 15
        told = {line["event"]: line for line in served.logged()}
        assert told["stop_failed"]["step"] == "SqliteJournal.close"
        assert "could be closed" in told["stopped_hard"]["detail"]
        assert "stopped" not in told


def test_a_log_that_nobody_reads_stops_no_webhook(room: Path):
    """A pipe that is full: webhooks are answered, lines are dropped and counted, and it ends as always."""
    reading, writing = os.pipe()
    try:
        with serving(room, stderr=writing, program=changed(FEW_LINES_WAIT)) as served:
            fill(writing)
            for number in range(20):
                assert deliver(served, BODY.replace(b'"evt_', b'"evt_%d' % number)) == 200
            metrics = fetch(f"{served.private}/metrics")[1].decode()
            assert int(float(re.search(r"^paymux_log_errors_total (\S+)", metrics, re.MULTILINE)[1])) > 0
            assert served.end() == 0
    finally:
        os.close(reading)
        os.close(writing)


FEW_LINES_WAIT = """
import paymux.telemetry
paymux.telemetry.MOST_WAITING = 5
"""


def fill(pipe: int) -> None:
    """Until it takes no more; the flag is everybody's who shares the pipe, so it is as it was afterwards."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x" * 65536)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x")
    os.set_blocking(pipe, True)
