"""What today's mapping would have said, held against what was published, payment by payment. Nothing is changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from paymux import lifecycle
from paymux.canonical import Transition
from paymux.errors import PaymuxError
from paymux.journal import Result
from paymux.journal.again import UNFILED, unfiled
from paymux.journal.changes import DISCARDED
from paymux.journal.jobs import Change
from paymux.journal.rehearse import as_published, differences, rehearse
from paymux.records import REPLAY, TRANSITION, entity_key, event_id
from paymux.replay.hearing import Breath, heard, unreadable
from paymux.replay.orders import sought_of
from paymux.replay.stories import whole
from paymux.statement import Stated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from paymux.journal import Entry
    from paymux.journal.archive import Archive, Rows, Story
    from paymux.journal.changes import Filed
    from paymux.journal.history import StoredRecord
    from paymux.journal.jobs import Job
    from paymux.journal.rehearse import Rehearsal
    from paymux.journal.speech import Told
    from paymux.replay.hearing import Accounts

CHANGED: Final = "changed"
NEW: Final = "new"
GONE: Final = "gone"
LONGEST_SHOWN: Final = 2000  # characters of a value in a diff

_CORRECTED: Final = Transition.CORRECTED.encode()
_UNHEARD: Final = ("quarantined", "ignored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What came out for some deliveries of a diff. `ahead` are keys of payments that later deliveries speak of, too."""

    counts: Counter[str]
    found: list[Change]
    ahead: frozenset[str] = frozenset()


async def compare(archive: Archive, accounts: Accounts, topic: str, job: Job, rows: Rows) -> Compared:
    """The payments that these deliveries are the first to speak of, as far as the job is about them. Raises
    JournalUnavailable.
    """
    stories = await _begun(archive, job, rows)
    wanted = {*rows.rows, *(told.delivery for story in stories for told in story.heard)}
    kept = await archive.kept(sorted(wanted))
    entries = await heard(kept.values(), accounts)
    counts = unreadable(rows, kept, entries)
    filed = await archive.filed(rows.rows)
    counts[UNFILED] += sum(unfiled(entries[row], filed[row]) for row in rows.rows if row in entries)
    found = list(_understood(job.id, entries, filed))
    breath = Breath()
    for story in stories:
        await breath.taken()
        changes = compared(job.id, story, entries, topic)
        counts["payments" if changes is not None else "payments_unreadable"] += 1
        found += changes or ()
    # Published by another delivery, or before this journal was restored.
    known = await archive.published([change.event_id for change in found if change.kind == NEW])
    found = [change for change in found if change.kind != NEW or change.event_id not in known]
    return Compared(counts=counts + Counter(change.kind for change in found), found=found, ahead=_ahead(stories, rows))


def _ahead(stories: Sequence[Story], rows: Rows) -> frozenset[str]:
    spoken = (story for story in stories if any(told.delivery > rows.reached for told in story.heard))
    return frozenset(key for story in spoken for key in story.keys.union(*(told.keys for told in story.heard)))


async def _begun(archive: Archive, job: Job, rows: Rows) -> list[Story]:
    """Payments of which these deliveries are the first that fit: each is compared once. Those that the job came across
    before are not read again.
    """
    keys = await archive.spoken(rows.rows)
    stories = await whole(archive, keys - await archive.listed(job.id, list(keys)))
    told = {each.delivery for story in stories for each in story.heard if each.delivery >= job.spec["first"]}
    fitting = await archive.fitting(sought_of(job), sorted(told))
    here = set(rows.rows)
    return [
        story
        for story in stories
        if min((each.delivery for each in story.heard if each.delivery in fitting), default=0) in here
    ]


def compared(job_id: str, story: Story, entries: Mapping[int, Entry], topic: str) -> list[Change] | None:
    """What would be said of one payment now and was not, or was otherwise; None where it cannot be told: a body is
    gone, or its account is not configured.
    """
    rehearsal = rehearsed(story, entries)
    if rehearsal is None:
        return None
    published = standing(story, topic)
    rows = {entries[told.delivery].verified.delivery.id: told.delivery for told in story.heard}
    found = []
    for identity, told in rehearsal.told.items():
        record = published.get(identity)
        paths = {} if record is None else differences(record.record.value, as_published(told))
        if record is None or paths:
            row = rows[told.spoken.verified.delivery.id]
            found.append(_change(job_id, identity, told, row, NEW if record is None else CHANGED, paths))
    gone = [record for identity, record in published.items() if identity not in rehearsal.told]
    return [*found, *(_gone(job_id, record) for record in gone)]


def rehearsed(story: Story, entries: Mapping[int, Entry]) -> Rehearsal | None:
    if any(told.delivery not in entries for told in story.heard):
        return None
    try:
        return rehearse((told, entries[told.delivery]) for told in story.heard)
    except PaymuxError:
        return None


def standing(story: Story, topic: str) -> dict[str, StoredRecord]:
    """What was published, by the id first published: the event, or its latest correction."""
    found = {}
    for each in story.records:
        if each.record.topic == topic and REPLAY not in dict(each.record.headers):
            found[_first_id(each)] = each
    return found


def _first_id(stored: StoredRecord) -> str:
    if dict(stored.record.headers).get(TRANSITION) != _CORRECTED:
        return stored.record.event_id
    corrects = orjson.loads(stored.record.value)["data"]["origin"]["corrects"]
    return str(corrects or stored.record.event_id)


def _understood(job_id: str, entries: Mapping[int, Entry], filed: Mapping[int, Sequence[Filed]]) -> Iterator[Change]:
    """What was quarantined or ignored, and says something now."""
    for row, items in filed.items():
        entry = entries.get(row)
        for item, old in zip(entry.items if entry else (), items, strict=False):
            if entry is not None and is_unheard(old) and isinstance(item.outcome, Stated):
                yield from _says(job_id, row, entry, item.event_key, item.outcome)


def is_unheard(filed: Filed) -> bool:
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


def _gone(job_id: str, record: StoredRecord) -> Change:
    event = orjson.loads(record.record.value)
    return Change(
        job=job_id,
        event_id=_first_id(record),
        key=record.record.key.decode(),
        row=record.delivery or 0,
        delivery=event["data"]["origin"]["delivery_id"],
        kind=GONE,
        type=event["type"],
        provider=event["data"]["provider"],
        account=event["data"]["account"],
    )


def _shown(values: Mapping[str, Any]) -> str | None:
    return orjson.dumps(values).decode()[:LONGEST_SHOWN] if values else None
