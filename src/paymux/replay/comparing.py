"""What today's mapping would have said, held against what was published, payment by payment; and corrections."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import orjson

from paymux import lifecycle
from paymux.errors import PaymuxError
from paymux.journal import Result
from paymux.journal.again import hear_again
from paymux.journal.changes import DISCARDED
from paymux.journal.jobs import Change, JobState
from paymux.journal.rehearse import as_published, correct, differences, rehearse
from paymux.records import REPLAY, entity_key, event_id
from paymux.replay.hearing import heard
from paymux.replay.orders import sought_of
from paymux.replay.steps import STEP, Progress, advance, is_on, portion, reached, unreadable
from paymux.statement import Stated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from paymux.journal import Entry
    from paymux.journal.archive import Rows, Story
    from paymux.journal.changes import Filed
    from paymux.journal.decide import Unit
    from paymux.journal.history import History, StoredRecord
    from paymux.journal.jobs import Job
    from paymux.journal.rehearse import Rehearsal
    from paymux.journal.speech import Told
    from paymux.replay.steps import Means

CHANGED: Final = "changed"
NEW: Final = "new"
GONE: Final = "gone"
BUSY_SECONDS: Final = 0.05
LONGEST_SHOWN: Final = 2000  # characters of a value in a diff

_NO_CORRECTION: Final = b'"corrects":null'
_UNHEARD: Final = ("quarantined", "ignored")


async def diff(means: Means, job: Job) -> int:
    """Compare the payments of some deliveries; how many deliveries. Nothing is published."""
    rows = await portion(means, job)
    stories = await _begun(means, job, rows)
    wanted = {*rows.rows, *(told.delivery for story in stories for told in story.heard)}
    kept = await means.archive.kept(sorted(wanted))
    entries = await heard(kept.values(), means.accounts)
    counts = unreadable(rows, kept, entries)
    found = list(_understood(job.id, entries, await means.archive.filed(rows.rows)))
    for story in stories:
        changes = compared(job.id, story, entries, means.topic)
        counts["payments" if changes is not None else "payments_unreadable"] += 1
        found += changes or ()
    counts += Counter(change.kind for change in found)

    def decide(unit: Unit) -> None:
        # What was erased since it was read is compared again, without it.
        if is_on(unit, job) and not unit.overlay.erased([change.row for change in found]):
            advance(unit, job.id, reached(job, rows, counts, _after(job, found), found))

    await means.journal.change(decide)
    return len(rows.rows)


async def _begun(means: Means, job: Job, rows: Rows) -> list[Story]:
    """Payments of which these deliveries are the first that fit: each is compared once."""
    stories = await means.archive.stories(rows.rows)
    told = {each.delivery for story in stories for each in story.heard if each.delivery >= job.spec["first"]}
    fitting = await means.archive.fitting(sought_of(job), sorted(told))
    here = set(rows.rows)
    return [
        story
        for story in stories
        if min((each.delivery for each in story.heard if each.delivery in fitting), default=0) in here
    ]


async def accept(means: Means, history: History, job: Job) -> int:
    """Publish some of what a diff found; how many changes were looked at."""
    after = job.cursor["accepted"]
    page = await history.changes(job.id, after=after, limit=STEP)
    await _hear(means, job, sorted({change.row for change in page if change.kind != GONE}))
    while not await _correct(means, job, page):  # noqa: ASYNC110  # as long as webhooks come
        await asyncio.sleep(BUSY_SECONDS)  # something was heard of these payments meanwhile
    return len(page)


async def _hear(means: Means, job: Job, rows: Sequence[int]) -> None:
    """What was not understood before goes down the line; what follows from it is then known."""
    filed = await means.archive.filed(rows)
    unheard = [row for row in rows if any(_is_unheard(each) for each in filed[row])]
    entries = await heard((await means.archive.kept(unheard)).values(), means.accounts)

    def decide(unit: Unit) -> None:
        gone = unit.overlay.erased(unheard)
        if is_on(unit, job):
            for row, entry in entries.items():
                if row not in gone:
                    hear_again(unit, entry, row, job.id)

    if entries:
        await means.journal.change(decide, tuple(entries.values()))


async def _correct(means: Means, job: Job, page: Sequence[Change]) -> bool:
    """Whether it could be done: nothing was heard of these payments since they were read."""
    wanted = {change.event_id: change for change in page if change.kind != GONE}
    rows = sorted({change.row for change in wanted.values()})
    payments = [story.key for story in await means.archive.stories(rows)]
    known = dict(await means.archive.known(payments))
    stories = await means.archive.stories(rows)
    kept = await means.archive.kept(sorted({told.delivery for story in stories for told in story.heard}))
    entries = await heard(kept.values(), means.accounts)

    def decide(unit: Unit) -> bool:
        if not is_on(unit, job):
            return True
        if any(unit.overlay.known(story.key) != known.get(story.key) for story in stories):
            return False
        if unit.overlay.erased(list(entries)):
            return False
        counts: Counter[str] = Counter()
        for story in stories:
            counts += _corrected(unit, story, entries, wanted, job.id)
        cursor = {"accepted": page[-1].event_id if page else job.cursor["accepted"]}
        into = JobState.DONE if len(page) < STEP else None
        advance(unit, job.id, Progress(cursor=cursor, done=len(page), counts=counts, into=into))
        return True

    return await means.journal.change(decide)


def compared(job_id: str, story: Story, entries: Mapping[int, Entry], topic: str) -> list[Change] | None:
    """What would be said of one payment now and was not, or was otherwise; None where it cannot be told: a body is
    gone, or its account is not configured.
    """
    rehearsal = rehearsed(story, entries)
    if rehearsal is None:
        return None
    published = _published(story.records, topic)
    rows = {entries[told.delivery].verified.delivery.id: told.delivery for told in story.heard}
    found = []
    for identity, told in rehearsal.told.items():
        record = published.get(identity)
        paths = {} if record is None else differences(record.record.value, as_published(told))
        if record is None or paths:
            row = rows[told.spoken.verified.delivery.id]
            found.append(_change(job_id, identity, told, row, NEW if record is None else CHANGED, paths))
    gone = [record for identity, record in published.items() if identity not in rehearsal.told]
    return [*found, *(_gone(job_id, record, story) for record in gone)]


def rehearsed(story: Story, entries: Mapping[int, Entry]) -> Rehearsal | None:
    if any(told.delivery not in entries for told in story.heard):
        return None
    try:
        return rehearse(
            (entries[told.delivery], entries[told.delivery].items[told.index])
            for told in story.heard
            if told.index < len(entries[told.delivery].items)
        )
    except PaymuxError:
        return None


def _corrected(
    unit: Unit, story: Story, entries: Mapping[int, Entry], accepted: Mapping[str, Change], job_id: str
) -> Counter[str]:
    rehearsal = rehearsed(story, entries)
    if rehearsal is None:
        return Counter(payments_unreadable=1)
    wanted = {
        identity: change.row
        for identity in rehearsal.told
        if (change := accepted.get(identity)) is not None
        and (change.kind == CHANGED or not unit.overlay.is_published(identity))
    }
    return Counter(published=len(correct(unit, rehearsal, wanted, job_id)) if wanted else 0)


def _published(records: Iterable[StoredRecord], topic: str) -> dict[str, StoredRecord]:
    """What stands, by the id first published: the event, or its latest correction."""
    found = {}
    for each in records:
        if each.record.topic == topic and REPLAY not in dict(each.record.headers):
            found[_first_id(each)] = each
    return found


def _first_id(stored: StoredRecord) -> str:
    if _NO_CORRECTION in stored.record.value:
        return stored.record.event_id
    corrects = orjson.loads(stored.record.value)["data"]["origin"]["corrects"]
    return str(corrects or stored.record.event_id)


def _understood(job_id: str, entries: Mapping[int, Entry], filed: Mapping[int, Sequence[Filed]]) -> Iterator[Change]:
    """What was quarantined or ignored, and says something now."""
    for row, items in filed.items():
        entry = entries.get(row)
        for item, old in zip(entry.items if entry else (), items, strict=False):
            if entry is not None and _is_unheard(old) and isinstance(item.outcome, Stated):
                yield from _says(job_id, row, entry, item.event_key, item.outcome)


def _is_unheard(filed: Filed) -> bool:
    return filed.outcome in _UNHEARD and filed.result == Result.NEW and filed.reason != DISCARDED


def _says(job_id: str, row: int, entry: Entry, key: str | None, stated: Stated) -> Iterator[Change]:
    account, delivery = entry.account, entry.verified.delivery
    for statement in stated.statements:
        for slot, event_type in lifecycle.offline(statement):
            yield Change(
                job=job_id,
                event_id=event_id(account, key or delivery.id, statement, slot),
                key=entity_key(account, statement.payment_id or statement.block.id),
                row=row,
                delivery=delivery.id,
                kind=NEW,
                type=event_type,
                provider=account.provider.name,
                account=account.name,
            )


def _change(
    job_id: str, identity: str, told: Told, row: int, kind: str, paths: Mapping[str, tuple[Any, Any]]
) -> Change:
    account = told.spoken.account
    return Change(
        job=job_id,
        event_id=identity,
        key=told.key,
        row=row,
        delivery=told.spoken.verified.delivery.id,
        kind=kind,
        type=told.announcement.type,
        provider=account.provider.name,
        account=account.name,
        paths=tuple(paths),
        old=_shown({path: old for path, (old, _) in paths.items()}),
        new=_shown({path: new for path, (_, new) in paths.items()}),
    )


def _gone(job_id: str, record: StoredRecord, story: Story) -> Change:
    event = orjson.loads(record.record.value)
    return Change(
        job=job_id,
        event_id=_first_id(record),
        key=story.key,
        row=record.delivery or 0,
        delivery=event["data"]["origin"]["delivery_id"],
        kind=GONE,
        type=event["type"],
        provider=event["data"]["provider"],
        account=event["data"]["account"],
    )


def _shown(values: Mapping[str, Any]) -> str | None:
    return orjson.dumps(values).decode()[:LONGEST_SHOWN] if values else None


def _after(job: Job, found: Sequence[Change]) -> JobState:
    """A diff that found nothing has nothing to be accepted."""
    return JobState.READY if found or set(job.counts) & {CHANGED, NEW, GONE} else JobState.DONE
