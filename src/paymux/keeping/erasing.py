"""A payment's or a customer's data taken out of the journal: bodies, headers, queries, and what events said of them.

What stays says that something was there: ids, digests, times, outcomes, amounts, and the order in which it was
published. What Kafka has, Kafka keeps.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import orjson

from paymux.errors import EraseRefused, JournalUnavailable, NotStored
from paymux.journal.audit import Act
from paymux.journal.history import Sought
from paymux.records import erased, is_erased

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Sequence

    from paymux.journal import Journal
    from paymux.journal.archive import Archive
    from paymux.journal.changes import Scope
    from paymux.journal.decide import Unit
    from paymux.journal.history import History, StoredRecord

Kind = Literal["payment", "customer"]

STEP: Final = 200  # deliveries of a commit
PAGE: Final = 500  # records that are looked through at once
SCRUBS: Final = 10  # tries to empty the WAL, beside readers
SCRUB_SECONDS: Final = 0.5

# What is somebody's although nobody is known by it: `null`, `usd` and `2026` stand in everybody's bodies.
_TELLING: Final = re.compile(r"(?=\D*\d)[^\s\"'\\{}\[\]]{6,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whose data: `key` is provider/account/id, of a payment (by any name of it) or of a customer."""

    kind: Kind
    key: str

    @property
    def scope(self) -> Scope:
        provider, account, _ = self.key.split("/", 2)
        return provider, account

    @property
    def id(self) -> str:
        return self.key.split("/", 2)[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Where it stands: rows of deliveries that are not erased yet, and what events of these payments the outbox has.
    `names` are the ids by which objects of theirs are asked for.
    """

    payments: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    deliveries: tuple[int, ...] = ()
    records: tuple[StoredRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """How many deliveries and records hold nothing of it any more, and of which payments they spoke."""

    deliveries: int
    records: int
    payments: tuple[str, ...]


def person(kind: Kind, key: str) -> Person:
    """Raises EraseRefused unless it is provider/account/id."""
    if key.count("/") < 2 or not all(key.split("/", 2)):  # noqa: PLR2004  # three parts
        raise EraseRefused(f"{key[:100]!r} should be PROVIDER/ACCOUNT/ID")
    return Person(kind=kind, key=key)


class Erasing:
    def __init__(self, journal: Journal, history: History, archive: Archive, *, topic: str) -> None:
        """`topic` is that of the events."""
        self._journal = journal
        self._history = history
        self._archive = archive
        self._topic = topic

    async def preview(self, whose: Person) -> Erased:
        """What `erase` would do. Raises what it does."""
        return _count(await self._found(whose))

    async def erase(self, whose: Person, why: str, who: str) -> Erased:
        """Durable, and gone from the journal's files, when it returns.

        Raises NotStored where nothing is known of it; EraseRefused: not everything is published yet, no reason is
        given, or the id could be anybody's; JournalUnavailable, after which it can be done again.
        """
        if not why.strip():
            raise EraseRefused("say why it is erased")
        found = await self._found(whose)
        for start in range(0, len(found.deliveries), STEP):
            await self._erase(whose, found, found.deliveries[start : start + STEP], why, who)
        await self._scrub()
        return _count(found)

    # --- looking

    async def _found(self, whose: Person) -> Traces:
        found = await (self._of_payment(whose) if whose.kind == "payment" else self._of_customer(whose))
        mark = await self._journal.mark(0)
        waiting = sum(each.seq > mark for each in found.records)
        if waiting:
            raise EraseRefused(
                f"{waiting} of its records are not known to be on Kafka yet; erase it once they are",
                reason="unpublished",
            )
        return found

    async def _of_payment(self, whose: Person) -> Traces:
        payment = await self._history.payment(whose.key)
        names = [whose.id] if payment is None else [payment.key.split("/", 2)[2], *payment.links]
        keys = set() if payment is None else await self._keys_of(payment.key)
        rows = {*await self._archive.spoke(keys), *await self._naming(whose.scope, names)}
        if payment is None:
            _check_named(whose, rows)
        return replace(await self._traces(rows, keys), names=tuple(names))

    async def _of_customer(self, whose: Person) -> Traces:
        """All of their payments, whole: what came later of one may name nobody, and tell about them all the same."""
        told = {each.delivery async for each in self._events_of(whose)} - {None}
        rows = {row for row in told if row is not None} | set(await self._naming(whose.scope, [whose.id]))
        if not told:
            _check_named(whose, rows)
        keys: set[str] = set()
        for row in sorted(rows):
            stories = await self._archive.stories([row])
            own = [
                each for each in stories if len(stories) == 1 or any(_is_of(record, whose) for record in each.records)
            ]
            keys |= {key for story in own for key in story.keys}
        found = await self._traces(rows | set(await self._archive.spoke(keys)), keys)
        return replace(found, names=tuple(key.split("/", 2)[2] for key in sorted(keys)))

    async def _keys_of(self, payment: str) -> set[str]:
        """The payment's own, and those of what joined it later."""
        rows = await self._archive.spoke([payment])
        stories = await self._archive.stories(rows)
        return {payment, *(key for story in stories if story.key == payment for key in story.keys)}

    async def _naming(self, scope: Scope, names: Sequence[str]) -> list[int]:
        """Also what was not understood, ignored, or came twice."""
        first, end = await self._archive.bounds(Sought())
        found: list[int] = []
        after = first - 1
        while after < end - 1:
            rows = await self._archive.naming(scope, names, after=after, end=end)
            found += rows.rows
            after = rows.reached
        return found

    async def _events_of(self, whose: Person) -> AsyncIterator[StoredRecord]:
        """A body may say it in a form that cannot be searched; the events do not."""
        provider, account = whose.scope
        sought, end, after = Sought(provider=provider, account=account), await self._archive.end(), 0
        while page := await self._archive.records(sought, topic=self._topic, after=after, end=end, limit=PAGE):
            for each in page:
                if _is_of(each, whose):
                    yield each
            after = page[-1].seq

    async def _traces(self, rows: Iterable[int], keys: set[str]) -> Traces:
        deliveries = tuple(sorted(rows))
        records = [
            each
            for start in range(0, len(deliveries), STEP)
            for each in await self._history.records(deliveries[start : start + STEP])
            if not is_erased(each.record) and self._is_theirs(each, keys)
        ]
        return Traces(payments=tuple(sorted(keys)), deliveries=deliveries, records=tuple(records))

    def _is_theirs(self, stored: StoredRecord, keys: set[str]) -> bool:
        """A batch's delivery goes whole; of its events, those of other payments stay."""
        key = stored.record.key.decode()
        return key in keys or "/" not in key  # what was quarantined has its delivery's id as key

    # --- doing

    async def _erase(self, whose: Person, found: Traces, rows: Sequence[int], why: str, who: str) -> None:
        here = set(rows)
        records = {(0, each.seq): erased(each.record) for each in found.records if each.delivery in here}
        detail = {"why": why, "deliveries": list(rows), "records": [seq for _, seq in records]}
        act = Act(who=who, action=f"erase.{whose.kind}", target=whose.key, detail=detail)

        def decide(unit: Unit) -> None:
            unit.erase(rows, records, found.names)
            unit.audit(act)

        await self._journal.change(decide)

    async def _scrub(self) -> None:
        """Readers are in the way for moments only."""
        for _ in range(SCRUBS):
            with suppress(JournalUnavailable):
                await self._journal.scrub()
                return
            await asyncio.sleep(SCRUB_SECONDS)
        await self._journal.scrub()


def _check_named(whose: Person, rows: Collection[int]) -> None:
    """Nobody is known by the id: bodies of these rows have it as a word. Raises NotStored, EraseRefused."""
    if not rows:
        raise NotStored(f"nothing is kept that names {whose.key[:200]}")
    if not _TELLING.fullmatch(whose.id):
        raise EraseRefused(
            f"no {whose.kind} is known as {whose.id[:100]!r}; {len(rows)} bodies have it as a word, which may be "
            "anybody's: an id that only they have is of six characters, one of them a digit, without blanks or quotes"
        )


def _is_of(stored: StoredRecord, whose: Person) -> bool:
    if whose.id.encode() not in stored.record.value:
        return False
    block = orjson.loads(stored.record.value)["data"].get("payment") or {}
    return block.get("customer_id") == whose.id


def _count(found: Traces) -> Erased:
    return Erased(deliveries=len(found.deliveries), records=len(found.records), payments=found.payments)
