"""What each kind of job does in one step: a bounded portion, committed together with how far the job came.

A job that was paused or canceled meanwhile changes nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from paymux.jobs import Progress, advance, is_on
from paymux.journal.again import UNCHANGED, hear_again, is_spoken, might_say
from paymux.journal.jobs import JobState
from paymux.records import republished
from paymux.replay.hearing import heard, unreadable
from paymux.replay.orders import is_quarantined, sought_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from paymux.journal import Entry, Journal
    from paymux.journal.archive import Archive, Kept, Rows
    from paymux.journal.changes import Filed
    from paymux.journal.decide import Unit
    from paymux.journal.jobs import Change, Job
    from paymux.replay.hearing import Accounts
    from paymux.replay.pool import Pool

STEP: Final = 200  # deliveries or records of a step
HEARD: Final = 50  # deliveries of a commit about which something is to be decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a step works with. `topic` is that of the events, `pool` where diffs are compared; None: right here."""

    journal: Journal
    archive: Archive
    accounts: Accounts
    topic: str
    pool: Pool | None = None


async def republish(means: Means, job: Job) -> int:
    """The stored events once more, in the order in which they were published; how many."""
    after, end = job.cursor.get("after", 0), job.spec["end"]
    found = await means.archive.records(sought_of(job), topic=means.topic, after=after, end=end, limit=STEP)
    last = found[-1].seq if len(found) == STEP else end - 1

    def decide(unit: Unit) -> None:
        if not is_on(unit, job):
            return
        gone = unit.overlay.reworded([each.seq for each in found])
        whole = [each for each in found if each.seq not in gone]
        for each in whole:
            record = republished(each.record, replay_id=job.id, topic=job.spec["topic"])
            unit.publish(record.key.decode(), record, each.delivery)
        into = JobState.DONE if len(found) < STEP else None
        counts = Counter(events=len(whole), erased=len(found) - len(whole))
        advance(unit, job.id, Progress(cursor={"after": last}, done=last - after, counts=counts, into=into))

    await means.journal.change(decide)
    return len(found)


async def retranslate(means: Means, job: Job) -> int:
    """Today's mapping over the stored bodies; only what was never published goes out. How many deliveries."""
    rows = await portion(means, job)
    kept = await means.archive.kept(rows.rows)
    entries = await heard(kept.values(), means.accounts)
    settled = await _settled(means.archive, entries)
    for part in _parts(rows, entries.keys() - settled.keys()):
        here = {row: entries[row] for row in part.rows if row in entries}
        told = tuple(entry for row, entry in here.items() if row not in settled)
        await means.journal.change(partial(_hear, job, part, kept, here, settled), told)
        job = replace(job, cursor={"after": part.reached})
    return len(rows.rows)


def _hear(
    job: Job, rows: Rows, kept: Mapping[int, Kept], entries: Mapping[int, Entry], settled: Mapping[int, int], unit: Unit
) -> None:
    if not is_on(unit, job):
        return
    gone = unit.overlay.erased(rows.rows)
    readable = {row: entry for row, entry in entries.items() if row not in gone}
    counts = unreadable(replace(rows, erased=gone), kept, readable)
    for row, entry in readable.items():
        if row in settled:
            counts[UNCHANGED] += settled[row]
        else:
            counts.update(hear_again(unit, entry, row, job.id, picks=partial(_is_meant, job)))
    advance(unit, job.id, reached(job, rows, counts, JobState.DONE))


async def _settled(archive: Archive, entries: Mapping[int, Entry]) -> dict[int, int]:
    """Deliveries of which every event that they might make is published, with how many items they have: nothing is to
    be decided about them, which is most of the work.
    """
    filed = await archive.filed(list(entries))
    ids = {
        row: might_say(entry)
        for row, entry in entries.items()
        if len(entry.items) <= len(filed[row]) and all(is_spoken(each) for each in filed[row])
    }
    published = await archive.published([each for found in ids.values() for each in found])
    return {row: len(entries[row].items) for row, found in ids.items() if published.issuperset(found)}


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


async def portion(means: Means, job: Job) -> Rows:
    """The next deliveries of a job."""
    after = job.cursor.get("after", job.spec["first"] - 1)
    return await means.archive.rows(sought_of(job), after=after, end=job.spec["end"], limit=STEP)


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
