"""`paymux replay` and `paymux quarantine`: by the command itself, and by a running `serve` that it asks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from click.testing import CliRunner

from paymux.cli import main
from paymux.delivery import Delivery, Proof
from paymux.journal import Entry
from paymux.journal.sqlite import SqliteJournal
from paymux.provider import Account
from paymux.providers.flowlix import FLOWLIX
from paymux.sandbox import samples
from paymux.signatures import remembered
from paymux.translate import translate
from tests.journal.tiny import NOON

TOKEN = "a-token-of-the-operators-of-these-tests"
CONFIG = f"""
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
relay_timeout = 0.1
[admin]
tokens = [{{name = "ops", role = ["operator", "privacy"], token = "{TOKEN}"}}]
[journal]
url = "sqlite:///./paymux.db"
writer = "thread"
[kafka]
bootstrap_servers = "127.0.0.1:1"
[relay]
mode = "inline"
[[accounts]]
provider = "flowlix"
name = "acme"
secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
"""
GOOD = samples.webhook("flowlix", "payment.succeeded").body
UNKNOWN = GOOD.replace(b'"payment.succeeded"', b'"payment.teleported"').replace(b'"evt_', b'"evt_9')


@pytest.fixture(params=["here", "by serve"])
def run(request, tmp_path, monkeypatch):
    """Runs a command in a folder with two stored deliveries, of which one is quarantined."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paymux.toml").write_text(CONFIG)
    (tmp_path / "paymux.toml").chmod(0o600)
    asyncio.run(_fill(tmp_path / "paymux.db"))
    serve = None
    if request.param == "by serve":
        serve = subprocess.Popen(
            [sys.executable, "-m", "paymux", "serve"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        ready = json.loads(serve.stdout.readline())
        monkeypatch.setenv("PAYMUX_SERVER__ADMIN_LISTEN", ready["admin_listen"])
        monkeypatch.setenv("PAYMUX_TOKEN", TOKEN)

    def invoke(*arguments, code=0):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    invoke.who = "ops" if serve else None
    yield invoke
    if serve is not None:
        os.kill(serve.pid, signal.SIGTERM)
        assert serve.wait(30) == 0
        serve.stdout.close()


async def _fill(path):
    journal = await SqliteJournal.open(path)
    account = Account(provider=FLOWLIX, name="acme")
    for number, body in enumerate((GOOD, UNKNOWN)):
        delivery = Delivery(
            id=f"0190b2a6-0000-7000-8000-{number:012d}",
            provider="flowlix",
            account="acme",
            received_at=NOON,
            body=body,
        )
        verified = remembered(delivery, Proof.SIGNATURE, 0)
        await journal.append(Entry(account=account, verified=verified, items=translate(account, verified)))
    await journal.close()


def rows(sql):
    with closing(sqlite3.connect("paymux.db")) as connection:
        return connection.execute(sql).fetchall()


def test_from_the_order_to_the_trail(run):
    """Counted first, then done, listed, shown, and written down under whoever asked."""
    assert json.loads(run("replay", "republish", "--dry-run").stdout) == {"kind": "republish", "counts": {"events": 1}}
    job = json.loads(run("replay", "republish", "--json").stdout)
    assert (job["state"], job["counts"]) == ("done", {"events": 1})
    assert rows("SELECT count(*), count(DISTINCT event_id) FROM outbox WHERE topic LIKE '%events%'") == [(2, 1)]
    assert job["id"] in run("replay", "list").stdout
    assert json.loads(run("replay", "show", job["id"], "--json").stdout)["counts"] == {"events": 1}
    ((who, action, target),) = rows("SELECT who, action, target FROM audit")
    assert (action, target) == ("job.republish", job["id"])
    assert who == run.who if run.who else who.startswith("user ")


def test_a_wrong_amount_is_corrected(run):
    """Diff, look, accept."""
    with closing(sqlite3.connect("paymux.db", isolation_level=None)) as connection:
        ((value,),) = connection.execute("SELECT value FROM outbox WHERE seq = 1").fetchall()
        wrong = value.replace(b'"minor":8990', b'"minor":1')
        connection.execute("UPDATE outbox SET value = ? WHERE seq = 1", (wrong,))
    job = json.loads(run("replay", "diff", "--json").stdout)
    assert (job["state"], job["counts"]["changed"]) == ("ready", 1)
    assert "/payment/amount" in run("replay", "changes", job["id"]).stdout
    assert "changed" in run("replay", "changes", job["id"], "--all").stdout
    assert "nothing is published yet" in run("replay", "show", job["id"]).stdout
    assert rows("SELECT count(*) FROM outbox") == [(2,)]
    assert json.loads(run("replay", "accept", job["id"], "--json").stdout)["state"] == "done"
    (value,) = rows("SELECT value FROM outbox ORDER BY seq DESC LIMIT 1")[0]
    event = json.loads(value)
    assert event["data"]["lifecycle"]["transition"] == "corrected"
    assert event["data"]["payment"]["amount"]["minor"] == 8990
    assert run("replay", "cancel", job["id"], code=1).output.endswith("it cannot cancel\n")


def test_quarantine_is_retried_and_discarded(run):
    """Still not understood it stays; discarded it is gone, with a reason in the trail."""
    dry = json.loads(run("quarantine", "retry", "--dry-run").stdout)
    assert dry == {"kind": "retry", "counts": {"deliveries": 1, "quarantined to quarantined": 1}}
    told = json.loads(run("quarantine", "retry", "--json").stdout)
    assert told["counts"] == {"deliveries": 1, "unchanged": 1}
    assert json.loads(run("quarantine", "list", "--json").stdout)["count"] == 1
    shown = run("quarantine", "show", "--reason", "unknown_event_type").stdout
    assert "flowlix/acme" in shown
    assert "payment.teleported" in shown
    assert "unknown_event_type" in shown
    assert json.loads(run("quarantine", "show", "--json").stdout)["items"][0]["reason"] == "unknown_event_type"
    assert "nothing that fits" in run("quarantine", "show", "--reason", "shape", code=1).output
    assert "at least one" in run("quarantine", "discard", "--why", "all", code=1).output
    told = run("quarantine", "discard", "--why", "a test of theirs", "--event-type", "payment.teleported", "--json")
    assert json.loads(told.stdout) == {"discarded": 1}
    assert run("quarantine", "list").stdout == ""
    assert rows("SELECT outcome, reason, detail FROM items WHERE delivery = 2") == [
        ("ignored", "discarded", "a test of theirs")
    ]


def test_an_export_and_an_import(run):
    """Also through the private API: what goes out is taken back as duplicates."""
    run("export", "deliveries", "--to", "out.jsonl")
    told = run("replay", "--from-file", "out.jsonl", "--trust", "--json")
    assert json.loads(told.stdout) == {"duplicate": 2}
    assert [action for (action,) in rows("SELECT action FROM audit ORDER BY row")] == ["export.deliveries", "import"]


# What is asked for, the exit code, and a word of what is said.
IMPOSSIBLE = {
    "replay republish --provider paypal": (1, "nothing fits"),
    "replay republish --topic no/topic": (1, "topic"),
    "replay republish --rate 0": (2, "--rate"),
    "replay republish --rate inf": (1, "rate"),
    "replay republish --rate nan": (1, "rate"),
    "replay diff --since 1h --until 2h": (2, "until"),
    "replay pause nope": (1, "no job nope"),
    "replay show nope": (1, "no job nope"),
    "replay changes nope": (1, "no job nope"),
    "replay changes nope --all": (1, "no job nope"),
    "replay teleport": (2, "No such command"),
    "quarantine show --outcome events": (1, "not quarantined"),
    "quarantine retry --outcome events": (1, "not quarantined"),
    "quarantine discard --outcome lookup --provider flowlix --why x": (1, "quarantined"),
    "quarantine discard --outcome events --reason shape --why x": (2, "no reason"),
    "deliveries list --payment p1": (2, "PROVIDER/ACCOUNT/ID"),
    "deliveries list --since 1h --until 2h": (2, "until"),
}


def test_an_order_that_cannot_be(run):
    """A clear word, the documented exit code, and nothing published."""
    for told, (code, says) in IMPOSSIBLE.items():
        assert says in run(*told.split(), code=code).output, told
    assert rows("SELECT count(*) FROM outbox") == [(2,)]


def test_a_job_that_is_not_there(run):
    """The nearest ones are named."""
    job = json.loads(run("replay", "republish", "--json").stdout)
    for command in ("show", "changes", "resume"):
        for told in (job["id"][:9], job["id"][:-1] + "x"):
            assert f"the nearest are {job['id']}" in run("replay", command, told, code=1).output


@pytest.mark.parametrize("run", ["by serve"], indirect=True)
def test_a_token_that_is_none(run, monkeypatch):
    """The running paymux refuses it, and what is needed is said."""
    monkeypatch.setenv("PAYMUX_TOKEN", "wrong")
    assert "valid token" in run("replay", "republish", code=1).output.lower()
    monkeypatch.delenv("PAYMUX_TOKEN")
    assert "PAYMUX_TOKEN" in run("replay", "republish", code=2).output
