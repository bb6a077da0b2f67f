"""A diff as a job: compared first, and once it is accepted, corrected."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from paymux.errors import JournalError, PaymuxError
from paymux.jobs import Progress, advance, is_on
from paymux.journal.again import EVENTS, hear_again
from paymux.journal.jobs import JobState
from paymux.journal.rehearse import Correction, correct
from paymux.replay.comparing import CHANGED, GONE, NEW, Compared, compare, is_unheard, rehearsed, standing
from paymux.replay.hearing import Breath, heard
from paymux.replay.orders import same_mappings
from paymux.replay.steps import joined, pool_of, portions, reached
from paymux.replay.stories import whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from paymux.journal import Entry
    from paymux.journal.archive import Rows, Story
    from paymux.journal.decide import Unit
    from paymux.journal.history import History
    from paymux.journal.jobs import Change, Job
    from paymux.journal.rehearse import Rehearsal
    from paymux.lifecycle import Known
    from paymux.replay.steps import Means

BUSY_SECONDS: Final = 0.05
PAGE: Final = 50  # changes of a commit: no webhook waits for many


async def diff(means: Means, job: Job) -> int:
    """Compare the payments of some deliveries; how many deliveries. Nothing is published. Raises JobRefused."""
    same_mappings(job, means.accounts())
    parts = await portions(means, job)
    results = await asyncio.gather(*(_compared(means, job, rows) for rows in parts))
    rows = joined(parts)
    counts = sum((each.counts for each in results), Counter[str]())
    found = [change for each in results for change in each.found]
    ahead = frozenset().union(*(each.ahead for each in results))

    def decide(unit: Unit) -> None:
        # What was erased since it was read is compared again, without it.
        if is_on(unit, job) and not unit.overlay.erased([change.row for change in found]):
            progress = reached(job, rows, counts, _after(job, found), found)
            advance(unit, job.id, progress)
            if progress.into is None:
                unit.remember(job.id, ahead)
            else:
                unit.forget(job.id)

    await means.journal.change(decide)
    return len(rows.rows)


async def _compared(means: Means, job: Job, rows: Rows) -> Compared:
    if pool := pool_of(means, job):
        return await pool.run(compare, job, rows, means.accounts(), means.topic)
    return await compare(means.archive, means.accounts, means.topic, job, rows)


async def accept(means: Means, history: History, job: Job) -> int:
    """Publish some of what a diff found; how many changes were looked at. Raises JobRefused."""
    same_mappings(job, means.accounts())
    after = job.cursor["accepted"]
    page = await history.changes(job.id, after=after, limit=PAGE)
    await _hear(means, job, sorted({change.row for change in page if change.kind != GONE}))
    while not await _correct(means, job, page):  # noqa: ASYNC110  # as long as webhooks come
        await asyncio.sleep(BUSY_SECONDS)  # something was heard of these payments meanwhile
    return len(page)


async def _hear(means: Means, job: Job, rows: Sequence[int]) -> None:
    """What was not understood before goes down the line; what follows from it is then known."""
    filed = await means.archive.filed(rows)
    unheard = [row for row in rows if any(is_unheard(each) for each in filed[row])]
    entries = await heard((await means.archive.kept(unheard)).values(), means.accounts)

    def decide(unit: Unit) -> None:
        gone = unit.overlay.erased(unheard)
        if is_on(unit, job):
            counts: Counter[str] = Counter()
            for row, entry in entries.items():
                if row not in gone:
                    counts += hear_again(unit, entry, row, job.id, picks=is_unheard)
            advance(unit, job.id, Progress(cursor=job.cursor, done=0, counts={"published": counts[EVENTS]}))

    if entries:
        await means.journal.change(decide, tuple(entries.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Telling:
    """Payments told anew, and what was known of them before anything of it was read; `unreadable` are those of which
    some delivery cannot be translated.
    """

    known: Mapping[str, Known]
    rehearsals: Sequence[tuple[Story, Rehearsal]]
    deliveries: frozenset[int]
    unreadable: int

    def is_late(self, unit: Unit) -> bool:
        """Whether something was heard of these payments since, or was erased."""
        keys = {key for story, rehearsal in self.rehearsals for key in _reach(story, rehearsal)}
        heard = any(unit.overlay.known(key) != self.known.get(key) for key in keys)
        return heard or bool(unit.overlay.erased(sorted(self.deliveries)))


async def _correct(means: Means, job: Job, page: Sequence[Change]) -> bool:
    """Whether it could be done: nothing was heard of these payments since they were read."""
    accepted = {change.event_id: change for change in page}
    telling = await _told(means, sorted({change.row for change in page}))

    def decide(unit: Unit) -> bool:
        if not is_on(unit, job):
            return True
        if telling.is_late(unit):
            return False
        counts = Counter(payments_unreadable=telling.unreadable)
        for story, rehearsal in telling.rehearsals:
            counts += _corrected(unit, story, rehearsal, accepted, job.id, means.topic)
        cursor = {"accepted": page[-1].event_id if page else job.cursor["accepted"]}
        into = JobState.DONE if len(page) < PAGE else None
        advance(unit, job.id, Progress(cursor=cursor, done=len(page), counts=counts, into=into))
        return True

    return await means.journal.change(decide)


async def _told(means: Means, rows: Sequence[int]) -> _Telling:
    """The payments that these deliveries spoke of, with every other one that today's mapping says they speak of: what
    is known of a payment is made from all that was heard of it.
    """
    bonds: list[frozenset[str]] = []
    while True:
        keys = await means.archive.spoken(rows)
        known = await means.archive.known(
            {key for story in await whole(means.archive, keys, bonds) for key in story.keys}
        )
        stories = await whole(means.archive, keys, bonds)
        kept = await means.archive.kept(sorted({told.delivery for story in stories for told in story.heard}))
        entries = await heard(kept.values(), means.accounts)
        told = [each async for each in _rehearsals(stories, entries)]
        wider = [_reach(*each) for each in told if not _reach(*each) <= each[0].keys]
        if not wider or all(each in bonds for each in wider):
            return _Telling(
                known=known, rehearsals=told, deliveries=frozenset(entries), unreadable=len(stories) - len(told)
            )
        bonds += wider


async def _rehearsals(stories: Sequence[Story], entries: Mapping[int, Entry]) -> AsyncIterator[tuple[Story, Rehearsal]]:
    breath = Breath()
    for story in stories:
        await breath.taken()
        if (rehearsal := rehearsed(story, entries)) is not None:
            yield story, rehearsal


def _reach(story: Story, rehearsal: Rehearsal) -> frozenset[str]:
    return story.keys.union(rehearsal.changes.known)


def _corrected(
    unit: Unit, story: Story, rehearsal: Rehearsal, accepted: Mapping[str, Change], job_id: str, topic: str
) -> Counter[str]:
    published = standing(story, topic)
    if accepted.keys().isdisjoint({*published, *rehearsal.told}):
        return Counter()
    wanted = {
        identity: change.row
        for identity in rehearsal.told
        if (change := accepted.get(identity)) is not None
        and (change.kind == CHANGED or not unit.overlay.is_published(identity))
    }
    keys = {identity: record.record.key.decode() for identity, record in published.items()}
    correction = Correction(rehearsal=rehearsal, wanted=wanted, keys=keys, replay_id=job_id)
    try:
        records = correct(unit, correction)
    except JournalError:
        raise
    except PaymuxError as error:
        return Counter({error.reason: len(wanted)})
    return Counter(published=len(records), corrected_before=len(wanted) - len(records))


def _after(job: Job, found: Sequence[Change]) -> JobState:
    """A diff that found nothing has nothing to be accepted."""
    return JobState.READY if found or set(job.counts) & {CHANGED, NEW, GONE} else JobState.DONE
