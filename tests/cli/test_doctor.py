"""`paymux doctor`: each thing that may be wrong is told, with what to do; what is well is no reason to exit 1."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web
from click.testing import CliRunner

from paymux.cli import main
from paymux.cli.doctor import outside, storage
from paymux.delivery import Proof, Verified
from paymux.journal import Entry, Rejection
from paymux.journal.jobs import Job, JobState
from paymux.journal.sqlite import SqliteJournal
from paymux.provider import Account
from paymux.sandbox.apis import KEYS
from paymux.sandbox.brokers import EmbeddedBroker
from paymux.translate import translate
from tests.certificates import Authority
from tests.journal.tiny import TINY, batch, says

CONFIG = """
[journal]
url = "sqlite:///./paymux.db"
[kafka]
bootstrap_servers = "127.0.0.1:1"
request_timeout = 1
[[accounts]]
provider = "flowlix"
name = "acme"
secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_anotherSecretOfTheSameAccount00"]
"""
NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
TOPICS = {"payments.events.v1": 12, "payments.quarantine.v1": 3, "paymux.checkpoints": 1}
NAME = ("flowlix", "acme")


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    configure(tmp_path, CONFIG)
    return tmp_path


def configure(folder, text):
    (folder / "paymux.toml").write_text(text)
    (folder / "paymux.toml").chmod(0o600)
    old = (NOW - timedelta(days=30)).timestamp()
    os.utime(folder / "paymux.toml", (old, old))


def doctor(*arguments, code=None):
    """(topic, level) -> what was told."""
    result = CliRunner().invoke(main, ["doctor", "--json", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    found = [json.loads(line) for line in result.output.splitlines()]
    assert result.exit_code == (1 if any(each["level"] == "wrong" for each in found) else 0)
    if code is not None:
        assert result.exit_code == code
    return {(each["topic"], each["level"]): each for each in found}


def write(*acts):
    """Into the journal, each given it."""

    async def work():
        journal = await SqliteJournal.open(storage.Path("paymux.db"))
        for act in acts:
            await act(journal)
        await journal.close()

    asyncio.run(work())


async def nothing(_journal):
    pass


def test_before_the_first_start(house):
    """There is no journal yet, and no Kafka: only the latter is wrong."""
    found = doctor(code=1)
    assert found["journal", "note"]["told"] == "there is none yet"
    assert "127.0.0.1:1" in found["kafka", "wrong"]["told"]
    assert "broker_unavailable" in found["kafka", "wrong"]["advice"]
    assert [topic for topic, level in found if level == "wrong"] == ["kafka"]


def test_everything_is_well(house):
    """Exit 0, and each topic says so."""
    with EmbeddedBroker(TOPICS) as broker:
        configure(
            house,
            CONFIG.replace("127.0.0.1:1", broker.bootstrap_servers).replace(
                "[kafka]", '[kafka]\npositions = "journal"'
            ),
        )
        write(nothing)
        found = doctor(code=0)
    assert {topic for topic, level in found if level == "good"} >= {
        "disk",
        "journal",
        "retention",
        "lag",
        "silence",
        "quarantine",
    }


def test_a_configuration_that_would_not_start(house):
    """Exit 2, as everywhere."""
    configure(house, CONFIG.replace('provider = "flowlix"', 'provider = "flowlicks"'))
    assert CliRunner().invoke(main, ["doctor"]).exit_code == 2


def test_a_configuration_with_a_problem(house):
    """What `paymux check` tells is told here, too."""
    configure(house, CONFIG.replace("[journal]", '[server]\nadmin_listen = "0.0.0.0:8081"\n[journal]'))
    assert "admin_listen" in doctor()["configuration", "wrong"]["told"]


def test_in_words(house):
    """A line each, the worst first, with what to do below it."""
    result = CliRunner().invoke(main, ["doctor"])
    lines = result.output.splitlines()
    assert lines[0].startswith("WRONG  kafka")
    assert "see docs/reasons.md" in lines[1]
    assert any(line.startswith("good ") for line in lines)


# --- the journal


def test_a_damaged_file(house):
    """It is found, and a backup is what helps."""
    write(*[heard(number) for number in range(200)])
    with (house / "paymux.db").open("r+b") as file:
        file.seek(8 * 4096)
        file.write(os.urandom(4 * 4096))
    found = doctor()["journal", "wrong"]
    assert "damaged" in found["told"]
    assert "restore a backup" in found["advice"]


def test_something_that_is_no_journal(house):
    """It is told, and nothing else breaks off."""
    (house / "paymux.db").write_bytes(b"nothing that SQLite knows" * 1000)
    found = doctor(code=1)
    assert "damaged" in found["journal", "wrong"]["told"]
    assert ("silence", "wrong") in found


def test_a_journal_too_large_for_a_quick_look(house, monkeypatch):
    """It is not claimed to be well; --full takes the time."""
    write(*[heard(number) for number in range(50)])
    monkeypatch.setattr(storage, "PATIENCE", -1.0)
    monkeypatch.setattr(storage, "_STEPS", 10)
    assert "--full" in doctor()["journal", "note"]["advice"]
    assert "integrity_check" in doctor("--full")["journal", "good"]["told"]


@pytest.mark.parametrize(("free", "level"), [(100 * 2**20, "wrong"), (2**30, "note"), (2**40, "good")])
def test_how_much_room_there_is(house, monkeypatch, free, level):
    """Little is a note; so little that commits will soon fail is wrong."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    assert ("disk", level) in doctor()


def heard(number, event_type="payment", at=None, secret=0):
    async def act(journal):
        verified = batch(says(event_type, f"e{number}", f"p{number}", status="succeeded", amount=1))
        delivery = replace(verified.delivery, provider="flowlix", received_at=at or NOW - HOUR)
        provider = replace(TINY, name="flowlix")
        account = Account(provider=provider, name="acme")
        again = Verified(delivery, Proof.SIGNATURE, secret)
        await journal.append(Entry(account=account, verified=again, items=translate(account, again)))

    return act


def test_bodies_that_are_kept_too_long(house):
    """Retention runs inside serve; where that did not run for long, it is told."""

    async def published(journal):
        await journal.advance(0, await journal.end(0))

    write(heard(1, at=NOW - timedelta(days=100)), published)
    assert "1 bodies" in doctor()["retention", "note"]["told"]


async def test_beside_a_running_serve(house):
    """The journal is held and written to: it is looked at all the same, and nothing is changed."""
    journal = await SqliteJournal.open(house / "paymux.db")
    await heard(1)(journal)
    before = await journal.end(0)
    found = await asyncio.to_thread(doctor, code=1)  # no Kafka
    assert ("journal", "good") in found
    await heard(2)(journal)
    assert await journal.end(0) == before + 1
    await journal.close()


# --- what comes and goes


def test_events_that_wait(house):
    """Just now is well, for long is wrong."""
    write(heard(1))
    assert "1 events wait" in doctor()["lag", "good"]["told"]
    with closing(sqlite3.connect("paymux.db", isolation_level=None)) as connection:
        connection.execute("UPDATE outbox SET created_at = created_at - 3600 * 1000000")
    assert "1 events wait" in doctor()["lag", "wrong"]["told"]


def test_a_quarantine(house):
    """What waits there is a note; where it grows, it is wrong."""
    write(heard(0, "no such type", at=NOW - 5 * HOUR))
    assert "1 items" in doctor()["quarantine", "note"]["told"]
    write(*[heard(number, "no such type", at=NOW - HOUR / 2) for number in range(1, 20)])
    assert "20 items" in doctor()["quarantine", "wrong"]["told"]


def test_rejections_that_rise(house):
    """With the most frequent reason, and its hint."""

    async def reject(journal):
        for number in range(30):
            at = NOW - timedelta(seconds=number)
            journal.reject(
                Rejection(
                    at=at, provider="flowlix", account="acme", reason="too_old", address="192.0.2.1", size=1, sha256=""
                )
            )

    write(reject, heard(1))
    found = doctor()["rejections", "wrong"]
    assert "too_old of flowlix/acme" in found["told"]
    assert "clock" in found["advice"]


def test_an_account_that_fell_silent(house):
    """With when it was heard last."""

    async def rhythm(journal):
        def decide(unit):
            for minute in range(0, 14 * 24 * 60, 2):
                hour, bit = divmod(int((NOW - 3 * HOUR).timestamp()) // 60 - minute, 60)
                unit.changes.heard[NAME, hour] = unit.changes.heard.get((NAME, hour), 0) | 1 << bit

        await journal.change(decide)

    write(rhythm)
    found = doctor()["silence", "wrong"]
    assert found["told"].startswith(f"flowlix/acme was heard last at {NOW - 3 * HOUR:%Y-%m-%d %H:%M}")
    assert "paymux reconcile" in found["advice"]


def test_a_job_that_failed(house):
    """For a day, with its error."""

    async def fail(journal):
        job = Job(
            id="job-1",
            kind="reconcile",
            state=JobState.FAILED,
            created_at=NOW,
            created_by="ops",
            updated_at=NOW,
            error="HTTP 503",
        )
        await journal.change(lambda unit: unit.keep_job(job))

    write(fail)
    assert "HTTP 503" in doctor()["jobs", "note"]["told"]


def test_a_secret_that_matches_nothing(house):
    """While another one does, for a week; not where the settings were changed meanwhile, nor where little came."""
    write(*[heard(number, at=NOW - timedelta(days=6) + number * HOUR) for number in range(19)])
    assert ("secrets", "note") not in doctor()
    write(heard(19, at=NOW - HOUR))
    assert "secret 1" in doctor()["secrets", "note"]["told"]
    os.utime(house / "paymux.toml", (NOW.timestamp(), NOW.timestamp()))
    assert ("secrets", "note") not in doctor()


def test_secrets_that_all_match(house):
    """A rotation under way is none to be told of."""
    write(*[heard(number, at=NOW - timedelta(days=6) + number * HOUR, secret=number % 2) for number in range(40)])
    assert ("secrets", "note") not in doctor()


# --- outside


@pytest.fixture
def provider():
    """A host whose clock is off by `skew`."""
    skew, loop, ready = [timedelta()], asyncio.new_event_loop(), threading.Event()

    async def answer(_request):
        return web.Response(status=404, headers={"Date": format_datetime(datetime.now(UTC) + skew[0], usegmt=True)})

    async def serve():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ready.port = runner.addresses[0][1]
        ready.set()
        return runner

    runner = loop.run_until_complete(serve())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield skew, f"http://127.0.0.1:{ready.port}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.run_until_complete(runner.cleanup())
    loop.close()


@pytest.mark.parametrize(
    ("skew", "level"),
    [
        (timedelta(), "good"),
        (timedelta(seconds=20), "note"),
        (timedelta(minutes=5), "wrong"),
        (-timedelta(minutes=5), "wrong"),
    ],
)
def test_this_clock_against_a_providers(house, provider, skew, level):
    """By the Date of its answer, whatever that answer is; the key is not sent."""
    skews, url = provider
    skews[0] = skew
    configure(house, CONFIG + f'api_key = "{KEYS["flowlix"]}"\napi_url = "{url}"\n')
    told = doctor()["clock", level]["told"]
    assert url in told
    if level != "good":
        assert ("behind" if skew > timedelta() else "ahead of") in told


def test_a_provider_that_is_away(house):
    """Nothing is said of its clock."""
    configure(house, CONFIG + f'api_key = "{KEYS["flowlix"]}"\napi_url = "http://127.0.0.1:1"\n')
    assert {level for topic, level in doctor() if topic == "clock"} == set()


@pytest.mark.parametrize(
    ("later", "level"), [(-timedelta(days=40), "good"), (timedelta(), "note"), (2 * HOUR, "wrong")]
)
def test_certificates_that_end(house, later, level):
    """Soon is a note, over is wrong."""
    files = Authority(house).issue("listener", "localhost")  # valid for an hour
    (found,) = outside._ends("admin.tls_certificate", files.certificate, NOW + later)
    assert (found.topic, found.level) == ("certificates", level)


def test_the_certificate_of_the_private_listener(house):
    """It is one of those that are looked at."""
    files = Authority(house).issue("listener", "localhost")
    tls = f'[admin]\ntls_certificate = "{files.certificate}"\ntls_key = "{files.key}"\n'
    configure(house, tls + CONFIG)
    assert "admin.tls_certificate" in doctor()["certificates", "note"]["told"]


def test_a_certificate_that_cannot_be_read(house):
    """It is told by its key."""
    (house / "none.pem").write_text("nothing")
    (found,) = outside._ends("kafka.ssl_cafile", house / "none.pem", NOW)
    assert (found.level, "kafka.ssl_cafile" in found.told) == ("wrong", True)
