"""A copy takes the place of a journal that was lost: with a real broker, and without one."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from confluent_kafka import TopicPartition

from paymux.errors import BrokerUnavailable, CopyRefused, JournalUnusable
from paymux.journal.changes import Rules
from paymux.journal.jobs import Job, JobState
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite import __name__ as _sqlite
from paymux.journal.sqlite.history import SqliteHistory
from paymux.keeping import restoring
from paymux.keeping.backup import back_up
from paymux.keeping.restoring import Wish, restore
from paymux.publish import Positions
from paymux.publish.kafka import KafkaPublisher, KafkaSettings
from paymux.records import Topics
from paymux.relay import Phase, Relay
from tests.journal.tiny import NOON, put, says
from tests.publish.worlds import read_committed

UNREACHABLE = KafkaSettings(bootstrap_servers="127.0.0.1:1", request_timeout=0.2)


def silent(_doing):
    return lambda _done, _total: None


async def brought_back(copy, place, kafka=None, **wish):
    wish = Wish(kafka=kafka, who="ops", **wish)
    return await restore(copy, place, wish, now=lambda: datetime.now(UTC), progress=silent)


def meta(path):
    with closing(sqlite3.connect(path)) as opened:
        return dict(opened.execute("SELECT name, value FROM meta").fetchall())


def told(number, payment="p1", **fields):
    return says("payment", f"e{number}", payment, after=number, **{"status": "processing", "amount": 1, **fields})


@pytest.fixture
async def copy(tmp_path):
    """Of a journal with three events and a job, in a folder of its own."""
    (tmp_path / "copies").mkdir()
    path = tmp_path / "copies" / "paymux.db"
    journal = await SqliteJournal.open(path)
    await put(journal, *(told(number) for number in range(3)))
    job = Job(id="job-1", kind="diff", state=JobState.RUNNING, created_at=NOON, created_by="ops", updated_at=NOON)
    await journal.change(lambda unit: unit.keep_job(job))
    await journal.close()
    back_up(path, tmp_path / "copies" / "copy.db", lambda *_: None)
    return tmp_path / "copies" / "copy.db"


# --- the file


async def test_without_kafka(copy, tmp_path):
    """A new identity that knows its parent's, jobs that rest, and an act in the audit trail; the copy stays."""
    before = copy.read_bytes()
    done = await brought_back(copy, tmp_path / "paymux.db")
    assert (done.parent, done.deliveries, done.end, done.position) == (meta(copy)["identity"], 1, 3, 0)
    found = meta(tmp_path / "paymux.db")
    assert (found["identity"], found["parent"]) == (done.identity, done.parent)
    assert done.identity != done.parent
    assert copy.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copies", "paymux.db", "paymux.db.lock"]
    assert (tmp_path / "paymux.db").stat().st_mode & 0o777 == 0o600
    history = SqliteHistory(tmp_path / "paymux.db")
    assert [job.state for job in await history.jobs(limit=9)] == [JobState.PAUSED]
    (act,) = await history.audit(after=0, limit=9)
    assert (act.act.who, act.act.action, act.act.target) == ("ops", "journal.restore", done.identity)
    await history.close()
    journal = await SqliteJournal.open(tmp_path / "paymux.db")
    assert journal.identity == done.identity
    assert [row.seq for row in await journal.read(0, 0, 9)] == [1, 2, 3]
    assert (await put(journal, told(1)))[0].result == "duplicate"
    await journal.close()


async def test_a_place_that_is_taken(copy, tmp_path):
    """Nothing is written over: by force, what is there gets another name and stays whole."""
    place = tmp_path / "paymux.db"
    journal = await SqliteJournal.open(place)
    await put(journal, told(9))
    identity = journal.identity
    await journal.close()
    with pytest.raises(CopyRefused, match="--force"):
        await brought_back(copy, place)
    done = await brought_back(copy, place, moves_aside=True)
    assert meta(place)["identity"] == done.identity
    assert meta(done.aside)["identity"] == identity
    assert done.aside.startswith(f"{place}.2")


async def test_a_wal_that_was_left_behind(copy, tmp_path):
    """SQLite would take it for the copy's own."""
    (tmp_path / "paymux.db-wal").write_bytes(b"left")
    with pytest.raises(CopyRefused, match=r"paymux\.db-wal"):
        await brought_back(copy, tmp_path / "paymux.db")
    await brought_back(copy, tmp_path / "paymux.db", moves_aside=True)
    assert [each.read_bytes() for each in tmp_path.glob("paymux.db.2*-wal")] == [b"left"]


async def test_while_a_paymux_holds_the_journal(copy, tmp_path, monkeypatch):
    """Refused, by force too."""
    monkeypatch.setattr(f"{_sqlite}.HOLD_PATIENCE", 0.1)
    journal = await SqliteJournal.open(tmp_path / "paymux.db")
    with pytest.raises(JournalUnusable, match="stop it first"):
        await brought_back(copy, tmp_path / "paymux.db", moves_aside=True)
    await journal.close()


async def test_a_copy_that_is_damaged(copy, tmp_path):
    """Refused, and nothing is left of the try."""
    with closing(sqlite3.connect(copy)) as opened:
        opened.execute("UPDATE outbox SET event_id = 'x' WHERE seq = 2")
        opened.commit()
    with pytest.raises(CopyRefused, match="row 2 of the outbox"):
        await brought_back(copy, tmp_path / "paymux.db")
    with pytest.raises(CopyRefused, match="own place"):
        await brought_back(copy, copy, moves_aside=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copies", "paymux.db.lock"]


async def test_kafka_that_cannot_be_reached(copy, tmp_path):
    """It says so, and nothing is changed."""
    with pytest.raises(BrokerUnavailable):
        await brought_back(copy, tmp_path / "paymux.db", UNREACHABLE)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copies", "paymux.db.lock"]


async def test_a_journal_that_took_over_nothing_asks_nothing(copy, tmp_path):
    """The line costs no query more than before; one that did leaves out what is taken, and counts on."""
    await brought_back(copy, tmp_path / "paymux.db")
    journal = await SqliteJournal.open(tmp_path / "paymux.db")
    assert journal._store.view.is_taken is None
    (receipt,) = await put(journal, told(7, "p7"))
    taken = receipt.event_ids
    await journal.close()
    await brought_back(copy, tmp_path / "paymux.db", moves_aside=True)
    with closing(sqlite3.connect(tmp_path / "paymux.db")) as opened:
        opened.execute("INSERT INTO taken VALUES (?)", taken)
        opened.commit()
    journal = await SqliteJournal.open(tmp_path / "paymux.db")
    (receipt,) = await put(journal, told(7, "p7"))
    assert (receipt.result, receipt.outcome, receipt.event_ids) == ("new", "events", ())
    assert await journal.end(0) == 3
    (receipt,) = await put(journal, told(8, "p7"))
    row = (await journal.read(0, 3, 9))[0]
    assert dict(row.record.headers)["paymux_sequence"] == b"1"
    await journal.close()


# --- with Kafka


@dataclass
class Site:
    """An installation: a journal's place, topics of its own, and a relay that is started when something is to go out."""

    place: object
    settings: KafkaSettings
    bootstrap: str

    @property
    def rules(self):
        return Rules(topics=Topics(events=self.settings.events_topic, quarantine=self.settings.quarantine_topic))

    async def hear(self, *items, place=None):
        """Each in a delivery of its own, and published."""
        journal = await SqliteJournal.open(place or self.place, rules=self.rules)
        for item in items:
            await put(journal, item)
        await self.relay(journal)
        await journal.close()

    async def keep(self, *items):
        """Stored, and not published."""
        journal = await SqliteJournal.open(self.place, rules=self.rules)
        for item in items:
            await put(journal, item)
        await journal.close()

    async def relay(self, journal):
        relay = Relay(
            journal,
            lambda: KafkaPublisher(self.settings, journal=journal.identity, shard=0),
            positions=self.settings.positions,
        )
        running = asyncio.create_task(relay.run())
        async with asyncio.timeout(30):
            drained = asyncio.create_task(relay.drained())
            await asyncio.wait({running, drained}, return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()
        running.cancel()
        await asyncio.gather(running, drained, return_exceptions=True)
        assert relay.state.phase is Phase.RUNNING, relay.state

    def lose(self):
        for left in self.place.parent.glob(f"{self.place.name}*"):
            if not left.name.endswith(".lock"):
                left.unlink()

    def events(self):
        """What a consumer reads: by key, the event keys with their numbers, in order."""
        found = {}
        for _, key, value in read_committed(self.bootstrap, self.settings.events_topic):
            event = json.loads(value)
            line = (event["data"]["lifecycle"]["sequence"], event["data"]["origin"]["event_key"])
            found.setdefault(key.decode().removeprefix("tiny/acme/"), []).append(line)
        return found


@pytest.fixture
async def site(kafka, tmp_path):
    mark = uuid4().hex[:8]
    settings = KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        events_topic=f"events-{mark}",
        quarantine_topic=f"quarantine-{mark}",
        checkpoints_topic=f"checkpoints-{mark}",
        transactional_id_prefix=f"paymux-{mark}",
        events_partitions=3,
        request_timeout=5.0,
    )
    return Site(tmp_path / "paymux.db", settings, kafka.bootstrap_servers)


STORY = [told(number, f"p{number % 3}") for number in range(12)]
WHOLE = {f"p{each}": [(n + 1, f"e{each + 3 * n}") for n in range(4)] for each in range(3)}


async def everything_comes_again(site):
    """What was told before goes out no more, in whatever order it comes; what is new does."""
    await site.hear(*reversed(STORY[:9]))
    assert {key: len(lines) for key, lines in site.events().items()} == {"p0": 3, "p1": 3, "p2": 3}
    await site.hear(*STORY)
    assert site.events() == WHOLE


@pytest.mark.kafka
async def test_everything_comes_again_in_another_order(site, tmp_path):
    """Nothing goes out twice; what the copy had and Kafka did not goes out; numbers have no gap."""
    copy = tmp_path / "copy.db"
    await site.hear(*STORY[:3])
    back_up(site.place, copy, lambda *_: None)
    await site.hear(*STORY[3:9])
    site.lose()
    done = await brought_back(copy, site.place, site.settings)
    assert (done.position, done.end, done.taken, done.ahead) == (3, 3, 6, 3)
    await everything_comes_again(site)


@pytest.mark.kafka
async def test_positions_that_only_the_journal_has(site, tmp_path):
    """With `positions = "journal"`, too: what is on Kafka is not published again, and what the copy had beyond it is;
    the next start goes on from the copy's own mark.
    """
    site.settings = replace(site.settings, positions=Positions.JOURNAL)
    copy = tmp_path / "copy.db"
    await site.hear(*STORY[:3])
    await site.keep(*STORY[3:6])
    back_up(site.place, copy, lambda *_: None)
    await site.hear(*STORY[6:9])
    site.lose()
    done = await brought_back(copy, site.place, site.settings)
    assert (done.position, done.end, done.taken, done.ahead) == (6, 6, 3, 3)
    await everything_comes_again(site)


@pytest.mark.kafka
async def test_a_copy_with_rows_that_never_went_out(site, tmp_path):
    """Nothing newer is on Kafka: they are published once the journal is back, and nothing else is."""
    await site.hear(*STORY[:6])
    await site.keep(*STORY[6:9])
    back_up(site.place, tmp_path / "copy.db", lambda *_: None)
    await site.keep(*STORY[9:])
    site.lose()
    done = await brought_back(tmp_path / "copy.db", site.place, site.settings)
    assert (done.position, done.end, done.taken) == (6, 9, 0)
    await site.hear()
    assert {key: len(lines) for key, lines in site.events().items()} == {"p0": 3, "p1": 3, "p2": 3}
    await site.hear(*STORY)
    assert site.events() == WHOLE


@pytest.mark.kafka
async def test_no_copy_of_that_journal(site, tmp_path):
    """One that went its own way under the same identity, and one of another installation: refused, and the place stays
    free. The right one is taken afterwards.
    """
    await site.hear(*STORY[:3])
    shutil.copy(site.place, tmp_path / "astray.db")
    back_up(site.place, tmp_path / "copy.db", lambda *_: None)
    await site.hear(*STORY[3:9])
    site.lose()
    shutil.move(tmp_path / "astray.db", site.place)
    await site.keep(told(90, "p0"), told(91, "p1"))
    shutil.move(site.place, tmp_path / "astray.db")
    site.lose()
    stranger = await SqliteJournal.open(tmp_path / "stranger.db")
    await stranger.close()
    for wrong, words in (("astray.db", "row 4 of the copy is not on Kafka"), ("stranger.db", "the newest checkpoint")):
        with pytest.raises(CopyRefused, match=words) as refused:
            await brought_back(tmp_path / wrong, site.place, site.settings)
        assert refused.value.reason == "copy_of_another"
        assert not site.place.exists()
    done = await brought_back(tmp_path / "copy.db", site.place, site.settings)
    assert done.taken == 6
    await site.hear(*STORY)
    assert site.events() == WHOLE


@pytest.mark.kafka
async def test_somebody_still_publishes_for_the_lost_journal(site, tmp_path, monkeypatch):
    """That is found out, and nothing takes its place; once it is stopped, the restore works, and the copy knows of what
    went out meanwhile.
    """
    await site.hear(*STORY[:3])
    back_up(site.place, tmp_path / "copy.db", lambda *_: None)
    zombie = tmp_path / "zombie.db"
    shutil.move(site.place, zombie)
    site.lose()
    begin = restoring._Restoring._begin

    async def late(self, kafka, first):
        await site.hear(*STORY[3:9], place=zombie)
        await begin(self, kafka, first)

    with monkeypatch.context() as patched:
        patched.setattr(restoring._Restoring, "_begin", late)
        with pytest.raises(CopyRefused, match="still runs"):
            await brought_back(tmp_path / "copy.db", site.place, site.settings)
    assert not site.place.exists()
    done = await brought_back(tmp_path / "copy.db", site.place, site.settings)
    assert done.taken == 6
    await site.hear(*STORY)
    assert site.events() == WHOLE


@pytest.mark.kafka
async def test_a_restored_journal_is_lost_too(site, tmp_path):
    """The same copy again, instead of the journal that it became: what either of them published is known."""
    await site.hear(*STORY[:3])
    back_up(site.place, tmp_path / "copy.db", lambda *_: None)
    await site.hear(*STORY[3:6])
    site.lose()
    first = await brought_back(tmp_path / "copy.db", site.place, site.settings)
    await site.hear(*STORY[6:9])
    site.lose()
    with pytest.raises(CopyRefused, match=f"add --instead-of {first.identity}"):
        await brought_back(tmp_path / "copy.db", site.place, site.settings)
    done = await brought_back(tmp_path / "copy.db", site.place, site.settings, instead_of=first.identity)
    assert (done.parent, done.taken) == (first.parent, 6)
    await site.hear(*STORY)
    assert site.events() == WHOLE


@pytest.mark.kafka
async def test_kafka_let_go_of_what_was_published(site, kafka, tmp_path):
    """Nobody can tell which ids are taken: refused, unless doubles are accepted."""
    await site.hear(*STORY[:3])
    back_up(site.place, tmp_path / "copy.db", lambda *_: None)
    await site.hear(*STORY[3:9])
    site.lose()
    gone = [TopicPartition(site.settings.events_topic, number, -1) for number in range(3)]
    for deleted in kafka.admin.delete_records(gone).values():
        await asyncio.to_thread(deleted.result, 20)
    with pytest.raises(CopyRefused, match="let go of records") as refused:
        await brought_back(tmp_path / "copy.db", site.place, site.settings)
    assert refused.value.reason == "kafka_incomplete"
    done = await brought_back(tmp_path / "copy.db", site.place, site.settings, accepts_doubles=True)
    assert (done.position, done.taken) == (3, 0)
    await site.hear(*STORY[3:6])
    assert site.events() == {f"p{each}": [(2, f"e{each + 3}")] for each in range(3)}


@pytest.mark.kafka
async def test_a_cluster_without_our_topics(site, tmp_path):
    """None is made by the way."""
    journal = await SqliteJournal.open(tmp_path / "lost.db")
    await put(journal, told(0))
    await journal.close()
    with pytest.raises(CopyRefused, match="the right cluster") as refused:
        await brought_back(tmp_path / "lost.db", site.place, site.settings)
    assert refused.value.reason == "kafka_incomplete"
    with pytest.raises(CopyRefused, match="the right cluster"):
        await brought_back(tmp_path / "lost.db", site.place, site.settings)


@pytest.mark.kafka
async def test_another_cluster(site, tmp_path):
    """Kafka knows nothing of a journal that has published: refused, unless doubles are accepted."""
    await site.hear(*STORY[:3])
    back_up(site.place, tmp_path / "copy.db", lambda *_: None)
    elsewhere = replace(site.settings, checkpoints_topic=f"{site.settings.checkpoints_topic}-new")
    nobody = KafkaPublisher(elsewhere, journal="nobody", shard=0)
    await nobody.start()  # makes the topic
    await nobody.abandon()
    with pytest.raises(CopyRefused) as refused:
        await brought_back(tmp_path / "copy.db", tmp_path / "new.db", elsewhere)
    assert refused.value.reason == "kafka_incomplete"
    done = await brought_back(tmp_path / "copy.db", tmp_path / "new.db", elsewhere, accepts_doubles=True)
    assert done.position == 3


KILLED = """
import asyncio, json, os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from paymux.keeping import restoring
from paymux.publish.kafka import KafkaPublisher, KafkaSettings, Security

owner, name, when = sys.argv[4:7]
owner = {"restoring": restoring, "file": restoring.RestoredFile, "self": restoring._Restoring, "path": Path,
         "publisher": KafkaPublisher}[owner]
work = getattr(owner, name)

def die(*arguments, **more):
    if when == "after":
        work(*arguments, **more)
    os.kill(os.getpid(), signal.SIGKILL)

async def die_later(*arguments, **more):
    if when == "after":
        await work(*arguments, **more)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, die_later if asyncio.iscoroutinefunction(work) else die)
told = json.loads(sys.argv[3])
kafka = KafkaSettings(**{**told, "security": Security()})
wish = restoring.Wish(kafka=kafka, who="ops")
asyncio.run(restoring.restore(Path(sys.argv[1]), Path(sys.argv[2]), wish, now=lambda: datetime.now(UTC),
                              progress=lambda _: lambda *_: None))
"""
STEPS = [
    ("restoring", "copy", "before"),
    ("restoring", "copy", "after"),
    ("self", "_fence_lost", "after"),
    ("file", "rename", "after"),
    ("file", "keep", "after"),
    ("publisher", "publish", "before"),
    ("publisher", "publish", "after"),
    ("path", "rename", "before"),
]


@pytest.mark.kafka
async def test_killed_at_each_step(site, tmp_path):
    """Whatever was done, it can be done again from the beginning, and the outcome is the same."""
    await site.hear(*STORY[:3])
    back_up(site.place, tmp_path / "copy.db", lambda *_: None)
    await site.hear(*STORY[3:9])
    site.lose()
    settings = asdict(site.settings)
    del settings["security"]
    for step in STEPS:
        script = (sys.executable, "-c", KILLED, tmp_path / "copy.db", site.place, json.dumps(settings), *step)
        done = await asyncio.to_thread(subprocess.run, script, capture_output=True, check=False, timeout=60)
        assert done.returncode == -signal.SIGKILL, (step, done.stderr.decode())
        assert not site.place.exists()
    done = await brought_back(tmp_path / "copy.db", site.place, site.settings)
    assert (done.position, done.taken) == (3, 6)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "paymux.db", "paymux.db.lock"]
    await site.hear(*STORY)
    assert site.events() == WHOLE
