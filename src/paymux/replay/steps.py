"""What each kind of job does in one step: a bounded portion, committed together with how far the job came.

A job that was paused or canceled meanwhile changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from paymux.jobs import Progress, advance, is_on
from paymux.journal.again import UNCHANGED, hear_again, is_spoken, might_say
from paymux.journal.archive import Rows
from paymux.journal.jobs import JobState
from paymux.records import republished
from paymux.replay.hearing import Breath, heard, unreadable
from paymux.replay.orders import is_quarantined, sought_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from paymux.journal import Entry, Journal
    from paymux.journal.archive import Archive, Kept
    from paymux.journal.changes import Filed
    from paymux.journal.decide import Unit
    from paymux.journal.history import StoredRecord
    from paymux.journal.jobs import Change, Job
    from paymux.records import Record
    from paymux.replay.hearing import Accounts
    from paymux.replay.pool import Pool

    _Again = tuple[StoredRecord, Record]

STEP: Final = 200  # deliveries or records of a step
REPEATED: Final = 100  # records of a commit: webhooks that come meanwhile wait for it
HEARD: Final = 50  # deliveries of a commit about which something is to be decided
MANY: Final = 2000  # deliveries


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a step works with. `topic` is that of the events, `pool` where diffs are compared; None: right here.
    `has_topic` asks Kafka; None where there is none.
    """

    journal: Journal
    archive: Archive
    accounts: Accounts
    topic: str
    pool: Pool | None = None
    has_topic: Callable[[str], Awaitable[bool]] | None = None


async def republish(means: Means, job: Job) -> int:
    """The stored events once more, in the order in which they were published; how many."""
    after, end = job.cursor.get("after", 0), job.spec["end"]
    found = await means.archive.records(sought_of(job), topic=means.topic, after=after, end=end, limit=STEP)
    again: list[_Again] = []
    breath = Breath()
    for each in found:
        again.append((each, republished(each.record, replay_id=job.id, topic=job.spec["topic"])))
        await breath.taken()
    for start in range(0, max(len(again), 1), REPEATED):
        part, is_last = again[start : start + REPEATED], start + REPEATED >= len(again)
        last = end - 1 if is_last and len(found) < STEP else part[-1][0].seq
        await means.journal.change(partial(_repeat, job, part, last))
        job = replace(job, cursor={"after": last})
    return len(found)


def _repeat(job: Job, part: Sequence[_Again], last: int, unit: Unit) -> None:
    if not is_on(unit, job):
        return
    gone = unit.overlay.reworded([each.seq for each, _ in part])
    for each, record in part:
        if each.seq not in gone:
            unit.publish(record.key.decode(), record, each.delivery)
    into = JobState.DONE if last >= job.spec["end"] - 1 else None
    counts = Counter(events=len(part) - len(gone), erased=len(gone))
    before = job.cursor.get("after", 0)
    advance(unit, job.id, Progress(cursor={"after": last}, done=last - before, counts=counts, into=into))


async def retranslate(means: Means, job: Job) -> int:
    """Today's mapping over the stored bodies; only what was never published goes out. How many deliveries."""
    found = await portions(means, job)
    # What is quarantined has something to be decided about.
    looked = [] if job.kind == "retry" else await asyncio.gather(*(_looked(means, job, rows) for rows in found))
    settled = {row: items for each in looked for row, items in each.items()}
    rows = joined(found)
    kept = await means.archive.kept([row for row in rows.rows if row not in settled])
    entries = await heard(kept.values(), means.accounts)
    for part in _parts(rows, entries.keys()):
        here = {row: entries[row] for row in part.rows if row in entries}
        await means.journal.change(partial(_hear, job, part, kept, here, settled), tuple(here.values()))
        job = replace(job, cursor={"after": part.reached})
    return len(rows.rows)


def _hear(
    job: Job, rows: Rows, kept: Mapping[int, Kept], entries: Mapping[int, Entry], settled: Mapping[int, int], unit: Unit
) -> None:
    if not is_on(unit, job):
        return
    gone = unit.overlay.erased(rows.rows)
    here = {row: items for row in rows.rows if row not in gone and (items := settled.get(row)) is not None}
    rest = tuple(row for row in rows.rows if row not in here)
    readable = {row: entry for row, entry in entries.items() if row not in gone}
    counts = unreadable(replace(rows, rows=rest, erased=gone), kept, readable)
    counts[UNCHANGED] += sum(here.values())
    for row, entry in readable.items():
        counts.update(hear_again(unit, entry, row, job.id, picks=partial(_is_meant, job)))
    advance(unit, job.id, reached(job, rows, counts, JobState.DONE))


async def _looked(means: Means, job: Job, rows: Rows) -> Mapping[int, int]:
    if pool := pool_of(means, job):
        return await pool.run(settled, job, rows, means.accounts(), means.topic)
    return await settled(means.archive, means.accounts, means.topic, job, rows)


async def settled(archive: Archive, accounts: Accounts, _topic: str, _job: Job, rows: Rows) -> Mapping[int, int]:
    """Deliveries of which every event that they might make is published, with how many items they have: nothing is to
    be decided about them, which is most of the work.
    """
    entries = await heard((await archive.kept(rows.rows)).values(), accounts)
    filed = await archive.filed(list(entries))
    ids = {
        row: [each for item in entry.items for each in might_say(entry, item)]
        for row, entry in entries.items()
        if len(entry.items) <= len(filed[row]) and all(is_spoken(each) for each in filed[row])
    }
    published = await archive.published([each for found in ids.values() for each in found])
    return {row: len(filed[row]) for row, found in ids.items() if published.issuperset(found)}


def _parts(rows: Rows, unsettled: AbstractSet[int]) -> Iterator[Rows]:
    """So many unsettled ones at once: a commit is decided without a pause, and webhooks wait for it."""
    part: list[int] = []
    heavy = 0
    for row in rows.rows:
        if heavy == HEARD:
            yield replace(rows, rows=tuple(part), reached=part[-1])
            part, heavy = [], 0
        part.append(row)
        heavy += row in unsettled
    yield replace(rows, rows=tuple(part))


def _is_meant(job: Job, filed: Filed) -> bool:
    """A retry is about what is quarantined, not about what came with it."""
    return job.kind != "retry" or is_quarantined(sought_of(job), filed)


async def portions(means: Means, job: Job) -> list[Rows]:
    """The next deliveries of a job: as many portions as can be looked at beside one another."""
    after, end = job.cursor.get("after", job.spec["first"] - 1), job.spec["end"]
    pool = pool_of(means, job)
    found: list[Rows] = []
    for _ in range(pool.size if pool else 1):
        found.append(await means.archive.rows(sought_of(job), after=after, end=end, limit=STEP))
        after = found[-1].reached
        if after >= end - 1:
            break
    return found


def joined(found: Sequence[Rows]) -> Rows:
    """They follow one another."""
    return Rows(rows=tuple(row for each in found for row in each.rows), reached=found[-1].reached)


def pool_of(means: Means, job: Job) -> Pool | None:
    """Processes take a second to start: what is small is done by then."""
    return means.pool if (job.total or 0) >= MANY else None


def reached(job: Job, rows: Rows, counts: Counter[str], last: JobState, found: Sequence[Change] = ()) -> Progress:
    """After that portion; `last` is the job's state after the last one."""
    before = job.cursor.get("after", job.spec["first"] - 1)
    is_last = rows.reached >= job.spec["end"] - 1
    return Progress(
        cursor={"after": rows.reached},
        done=rows.reached - before,
        counts=counts + Counter(deliveries=len(rows.rows)),
        into=last if is_last else None,
        found=found,
    )
