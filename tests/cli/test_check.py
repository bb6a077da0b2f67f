"""`paymux check`: what an account can prove, where its secrets come from, and what is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from paymux.journal.changes import Rules
from paymux.journal.sqlite import SqliteJournal
from paymux.records import Topics
from tests.cli.gateways import run
from tests.journal.tiny import put, says

SECRET = "whsec_canary_0123456789abcdefghijkl"
CONFIG = """
[admin]
tokens = ["env:ADMIN_TOKEN"]
[kafka]
security_protocol = "SASL_SSL"
sasl_mechanism = "SCRAM-SHA-512"
sasl_username = "paymux"
sasl_password = "env:KAFKA_PASSWORD"
[[accounts]]
provider = "stripe"
name = "acme"
secrets = ["env:STRIPE_SECRET", {value = "file:old", not_after = "2099-01-01T00:00:00Z"}]
api_key = "env:STRIPE_KEY"
livemode = true
[[accounts]]
provider = "flexportal"
name = "rent"
api_key = "env:STRIPE_KEY"
path_token = "env:TOKEN"
livemode = false
[accounts.options]
tenant_id = "100"
"""
ENVIRON = {
    "ADMIN_TOKEN": "canary-admin-token",
    "KAFKA_PASSWORD": "canary-kafka-password",
    "STRIPE_SECRET": SECRET,
    "STRIPE_KEY": "sk_live_canary",
    "TOKEN": "canary-path-token-0123",
}


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "paymux.toml").write_text(CONFIG)
    (tmp_path / "old").write_text(SECRET + "-old\n")
    return tmp_path


def test_a_good_configuration_is_explained_without_a_secret(room: Path):
    """Exit code 0: each account's proof, scheme and sources."""
    ended = run("check", cwd=room, **ENVIRON)
    assert (ended.returncode, ended.stderr) == (0, "")
    for told in (
        "stripe/acme   POST /webhooks/stripe/acme",
        "proven by a signature",
        "TimestampedHmac(header=stripe-signature, tolerance=300",
        "the variable STRIPE_SECRET",
        "the file old, until 2099-01-01 00:00 UTC",
        "flexportal/rent   POST /webhooks/flexportal/rent/{path_token}",
        "proven by a shared secret",
    ):
        assert told in ended.stdout
    assert "canary" not in ended.stdout


def test_as_json_it_says_the_same(room: Path):
    """For programs."""
    ended = run("check", "--json", cwd=room, **ENVIRON)
    found = json.loads(ended.stdout)
    assert (ended.returncode, found["usable"], found["problems"]) == (0, True, [])
    stripe = next(account for account in found["accounts"] if account["provider"] == "stripe")
    assert stripe["proof"] == "signature"
    assert [secret["from"] for secret in stripe["secrets"]] == ["the variable STRIPE_SECRET", "the file old"]
    assert stripe["api_key"] == "the variable STRIPE_KEY"
    assert "canary" not in ended.stdout


PROBLEMS = [
    ({"PAYMUX_SERVER__ADMIN_LISTEN": "0.0.0.0:8081"}, "without admin.tls_certificate tokens go over the wire"),
    ({"PAYMUX_SERVER__ADMIN_LISTEN": "0.0.0.0:8081", "PAYMUX_ADMIN__TOKENS": "[]"}, "and admin.tokens is empty"),
    ({"PAYMUX_JOURNAL__URL": "memory://"}, "memory:// forgets everything"),
    ({"PAYMUX_ACCOUNTS": "[]"}, "accounts: there are none"),
]


@pytest.mark.parametrize(("environ", "message"), PROBLEMS)
def test_what_would_run_but_not_as_it_should_exits_1(room: Path, environ, message):
    """Each with its key."""
    ended = run("check", cwd=room, **(ENVIRON | environ))
    assert ended.returncode == 1
    assert message in ended.stdout


def test_an_expired_secret_is_a_problem(room: Path):
    """To be taken out."""
    (room / "paymux.toml").write_text(CONFIG.replace("2099", "2020"))
    ended = run("check", cwd=room, **ENVIRON)
    assert (ended.returncode, "stripe/acme: secret 1 is past its not_after" in ended.stdout) == (1, True)


NOTES = [
    ("livemode = true\n", "", "stripe/acme: livemode is not set"),
    ('path_token = "env:TOKEN"\n', "", "flexportal/rent: allow_from or path_token would keep strangers"),
    ('tokens = ["env:ADMIN_TOKEN"]\n', "", "admin.tokens: there are none"),
]


@pytest.mark.parametrize(("old", "new", "message"), NOTES)
def test_what_is_good_to_know_is_told_and_exits_0(room: Path, old, new, message):
    """Nothing has to be done about it."""
    (room / "paymux.toml").write_text(CONFIG.replace(old, new))
    ended = run("check", cwd=room, **ENVIRON)
    assert (ended.returncode, message in ended.stdout) == (0, True)


@pytest.mark.parametrize("url", ["sqlite:///./not/there.db", "sqlite:///paymux.toml/journal.db"])
def test_a_journal_without_a_folder_exits_2(room: Path, url):
    """`serve` could not make its file there."""
    ended = run("check", cwd=room, **(ENVIRON | {"PAYMUX_JOURNAL__URL": url}))
    assert ended.returncode == 2
    assert "  journal.url: there is no folder " in ended.stderr


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_journal_that_is_a_folder(room: Path, command):
    """A sentence with a name that would do, from both commands, and nothing is left behind."""
    (room / "state").mkdir()
    ended = run(command, cwd=room, **(ENVIRON | {"PAYMUX_JOURNAL__URL": "sqlite:///./state"}))
    assert ended.returncode == {"check": 2, "serve": 1}[command]
    assert f"{room / 'state'} is a folder; name a file in it" in ended.stderr
    assert f"{room / 'state' / 'paymux.db'}" in ended.stderr
    assert not (room / "state.lock").exists()


def test_records_for_a_topic_that_is_not_configured_any_more(room: Path):
    """They go where they were decided to go, so that topic is told."""
    asyncio.run(journal_with_an_event(room / "paymux.db", topic="payments.old"))
    ended = run("check", cwd=room, **ENVIRON)
    assert ended.returncode == 0
    assert "were decided for topic payments.old, and go there" in ended.stdout
    told = run("check", cwd=room, **(ENVIRON | {"PAYMUX_KAFKA__EVENTS_TOPIC": "payments.old"}))
    assert "were decided for topic" not in told.stdout


async def journal_with_an_event(path: Path, *, topic: str) -> None:
    journal = await SqliteJournal.open(path, rules=Rules(topics=Topics(events=topic)))
    await put(journal, says("payment", "e1", "p1", status="succeeded", amount=4999))
    await journal.close()


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_journal_that_may_not_be_written_exits_2(what):
    """The sentence names the folder or the file."""
    if os.getuid() != 0:
        pytest.skip("another user's rights can only be tried by root")
    program = """
import os
from paymux.cli import main
import paymux.cli.check
os.setgid(65534)
os.setuid(65534)
main(["check"])
"""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "paymux.db").touch(mode=0o600 if what == "file" else 0o666)
        folder.chmod(0o777 if what == "file" else 0o555)
        ended = subprocess.run(
            [sys.executable, "-c", program],
            cwd=folder,
            env=os.environ | {"PAYMUX_ACCOUNTS": "[]"},
            capture_output=True,
            text=True,
            check=False,
        )
    named = folder / "paymux.db" if what == "file" else folder
    assert ended.returncode == 2
    assert f"  journal.url: this user may not write to {named}\n" in ended.stderr


MISTAKES = [
    ('livemode = "yes"', "accounts[0].livemode: should be a valid boolean"),
    ("livemod = true", "accounts[0].livemod: there is no such key; did you mean 'livemode'?"),
    ('secrets = ["env:NOT_SET"]', "accounts[0].secrets[0]: the variable NOT_SET is not set"),
]


@pytest.mark.parametrize(("line", "message"), MISTAKES)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_mistake_exits_2_with_its_key(room: Path, line, message, form):
    """As `serve` would; --json on stdout, else on stderr."""
    secrets = "" if "secrets" in line else 'secrets = ["env:STRIPE_SECRET"]'
    (room / "paymux.toml").write_text(f'[[accounts]]\nprovider = "stripe"\nname = "acme"\n{line}\n{secrets}\n')
    ended = run("check", *form, cwd=room, **ENVIRON)
    assert ended.returncode == 2
    if form:
        assert json.loads(ended.stdout) == {"usable": False, "mistakes": [message]}
    else:
        assert f"  {message}\n" in ended.stderr
