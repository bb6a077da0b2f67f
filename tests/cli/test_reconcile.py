"""`paymux reconcile`: by the command itself, and by a running `serve` that it asks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from paymux.cli import main
from paymux.journal.sqlite import SqliteJournal
from paymux.sandbox import samples
from paymux.sandbox.apis import KEYS, Sandbox
from paymux.sandbox.fresh import Fresh

TOKEN = "a-token-of-the-operators-of-these-tests"
CONFIG = """
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
relay_timeout = 0.1
[admin]
tokens = [{{name = "ops", role = ["operator"], token = "{token}"}}]
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
api_key = "{key}"
api_url = "{url}"
{more}
"""


@pytest.fixture
def apis():
    """The providers' APIs, served by a thread of their own."""
    sandbox, ready, ended = Sandbox(), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve():
        async with sandbox.running():
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    yield sandbox
    loop.call_soon_threadsafe(ended.set)
    thread.join(10)
    loop.close()


def put(sandbox, hours=1):
    body = next(sample.body for sample in samples.answers("flowlix") if sample.label == "payment")
    return sandbox.put("flowlix", Fresh().body(body, datetime.now(UTC) - timedelta(hours=hours)))


def furnish(folder, sandbox, more=""):
    told = CONFIG.format(token=TOKEN, key=KEYS["flowlix"], url=sandbox.url("flowlix"), more=more)
    (folder / "paymux.toml").write_text(told)
    (folder / "paymux.toml").chmod(0o600)
    asyncio.run(_made(folder / "paymux.db"))


async def _made(file):
    journal = await SqliteJournal.open(file)
    await journal.close()


@pytest.fixture(params=["here", "by serve"])
def run(request, tmp_path, monkeypatch, apis):
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path, apis)
    serve = None
    if request.param == "by serve":
        serve = subprocess.Popen(
            [sys.executable, "-m", "paymux", "serve"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        ready = json.loads(serve.stdout.readline())
        monkeypatch.setenv("PAYMUX_SERVER__ADMIN_LISTEN", ready["admin_listen"])
        monkeypatch.setenv("PAYMUX_TOKEN", TOKEN)

    def invoke(*arguments, code=0):
        result = CliRunner().invoke(main, ["reconcile", *arguments])
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    yield invoke
    if serve is not None:
        os.kill(serve.pid, signal.SIGTERM)
        assert serve.wait(30) == 0
        serve.stdout.close()


def rows(sql):
    with closing(sqlite3.connect("paymux.db")) as connection:
        return connection.execute(sql).fetchall()


def test_a_payment_that_was_missed(run, apis):
    """Told with an example and exit 1; put right with --fix, and then nothing differs."""
    payment = put(apis)
    told = run("flowlix/acme", "--since", "1d", code=1)
    assert "missed entirely" in told.output
    assert f"flowlix/acme/{payment}  - -> succeeded 89.90 EUR" in told.output
    assert rows("SELECT * FROM deliveries") == []

    fixed = json.loads(run("flowlix/acme", "--since", "1d", "--fix", "--json").output)
    assert (fixed["job"]["state"], fixed["job"]["counts"]["missed"]) == ("done", 1)
    assert [group["kind"] for group in fixed["groups"]] == ["missed"]
    assert rows("SELECT via, count(*) FROM deliveries GROUP BY via") == [("reconcile", 1)]

    assert "nothing differs" in run("flowlix/acme", "--since", "1d").output


def test_a_list_that_breaks_off(run, apis):
    """Exit 1, with what the provider's API answered."""
    apis.fail("flowlix", 403)
    assert "broke off after 0 payments: HTTP 403" in run("flowlix/acme", "--since", "1d", code=1).output


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("flowlix", "--since", "1d"), 2, "expected PROVIDER/ACCOUNT"),
        (("flowlix/acme",), 2, "--since"),
        (("flowlix/acme", "--since", "never"), 2, "neither RFC 3339"),
        (("flowlix/other", "--since", "1d"), 1, "there is no account flowlix/other"),
        (("flowlix/acme", "--since", "1d", "--until", "2d"), 1, "until should be later than since"),
    ],
)
def test_what_cannot_be_asked_for(run, arguments, code, told):
    """One sentence, and no job."""
    assert told in run(*arguments, code=code).output
    assert rows("SELECT * FROM jobs") == []


def test_by_schedule(tmp_path, monkeypatch, apis):
    """`reconcile_every` lets `serve` do it by itself: what no webhook told goes out, and its job is one among the jobs."""
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path, apis, more='reconcile_every = "1m"')
    put(apis)
    serve = subprocess.Popen(
        [sys.executable, "-m", "paymux", "serve"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    serve.stdout.readline()
    deadline = datetime.now(UTC) + timedelta(seconds=30)
    while rows("SELECT state FROM jobs") != [("done",)] and datetime.now(UTC) < deadline:
        threading.Event().wait(0.1)
    os.kill(serve.pid, signal.SIGTERM)
    assert serve.wait(30) == 0
    serve.stdout.close()
    assert rows("SELECT id, state, created_by FROM jobs") == [("scheduled:flowlix:acme", "done", "schedule")]
    assert rows("SELECT count(*) > 0 FROM outbox") == [(1,)]


@pytest.mark.parametrize(
    ("every", "told"),
    [("10s", "from a minute to 30 days"), ("soon", "from a minute to 30 days"), (15, "from a minute to 30 days")],
)
def test_a_schedule_that_cannot_be_kept(tmp_path, monkeypatch, apis, every, told):
    """Exit 2, naming the key."""
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path, apis, more=f"reconcile_every = {json.dumps(every)}")
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 2
    assert "reconcile_every" in result.output
    assert told in result.output


def test_a_schedule_without_a_key(tmp_path, monkeypatch, apis):
    """The provider's API could not be asked."""
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path, apis, more='reconcile_every = "15m"')
    text = (tmp_path / "paymux.toml").read_text().replace(f'api_key = "{KEYS["flowlix"]}"', "")
    (tmp_path / "paymux.toml").write_text(text)
    assert "reconcile_every: needs api_key" in CliRunner().invoke(main, ["check"]).output
