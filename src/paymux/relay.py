"""The outbox to Kafka, one loop for each shard. Starting it is also the only way to recover: there is no other.

1. Start a publisher: it fences every other owner and reads the newest checkpoint.
2. The position is the larger of the checkpoint and the journal's mark; what does not fit together stops the relay.
3. Publish the next rows and their checkpoint in one transaction, advance the mark, again.
4. On any error, timeout or doubt: throw the publisher away and go to 1.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from paymux.errors import PaymuxError, RelayStopped
from paymux.publish import Checkpoint, Positions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from paymux.journal import Outbox, OutboxRow
    from paymux.publish import Publisher

BATCH_ROWS: Final = 500
BATCH_BYTES: Final = 1_048_576
POLL_SECONDS: Final = 1.0
# A transaction costs the broker, the relay and every consumer about as much for one row as for ten. So the next one
# waits for company, unless rows wait already that did not fit into this one.
PACE_SECONDS: Final = 0.008
FIRST_BACKOFF: Final = 0.1
LONGEST_BACKOFF: Final = 2.0  # after an outage of Kafka however long, publishing goes on that soon
# Two owners of one shard fence each other at every start; slowly, it does no harm.
FENCED_BACKOFF: Final = 1.0
LONGEST_FENCED: Final = 15.0
STEADY_SECONDS: Final = 60.0

INSTRUCTIONS: Final = {
    "journal_swapped": (
        "Bring back that journal's file, or give this installation a transactional_id_prefix of its own."
    ),
    "journal_restored": "Bring back the newer file; if it is lost, bring back a copy by `paymux restore`.",
    "checkpoint_missing": (
        "Put right what was changed: was the topic emptied or replaced, or transactional_id_prefix changed?"
    ),
    "partitions_changed": (
        "With another number of partitions keys move, and consumers may see events of one payment out of order. Let "
        "them read to the end first, then set [kafka] accept_partitions to the new number and restart."
    ),
    "record_refused": (
        "Raise max.message.bytes of the topic (message.max.bytes of the broker) above the largest record, then restart."
    ),
    "rows_missing": "Rows that were not published are gone from the journal: restore it from a copy that has them.",
    "checkpoint_unreadable": "Run the version of paymux that wrote it, or use another transactional_id_prefix.",
}
_ACCEPT: Final = (
    'If that is impossible, set [kafka] accept_positions = ["{claim}"] and restart: everything after {mark}, the '
    "journal's own mark, is then published, and what of it is on Kafka already stands there twice, with the same ids."
)


class Phase(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayState:
    """What a readiness page shows. `position` is the seq up to which everything is published, None until known;
    `detail` is for people and says what to do.
    """

    shard: int
    phase: Phase
    since: datetime
    position: int | None = None
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What is committed and not published: how many events, and the oldest one's age."""

    events: int
    seconds: float


class RelayObserver(Protocol):
    """Called in the loop: it must be quick and must not raise."""

    def entered(self, state: RelayState) -> None: ...

    def published(self, *, shard: int, events: int, seconds: float) -> None:
        """One transaction and how long it took."""
        ...


class Unobserved:
    def entered(self, state: RelayState) -> None:
        pass

    def published(self, *, shard: int, events: int, seconds: float) -> None:
        pass


class Progress:
    """How far one shard's relay is, wherever it runs; `state` is its newest."""

    def __init__(self, outbox: Outbox, shard: int, observer: RelayObserver, now: Callable[[], datetime]) -> None:
        self._outbox = outbox
        self._shard = shard
        self._observer = observer
        self._now = now
        self._moved = asyncio.Event()
        self.state = RelayState(shard=shard, phase=Phase.STARTING, since=now())

    async def lag(self) -> Lag:
        """Asks the journal, so not for every event. Raises JournalUnavailable."""
        position = self.state.position
        if position is None:
            position = await self._outbox.mark(self._shard)
        end = await self._outbox.end(self._shard)
        if end <= position:
            return Lag(events=0, seconds=0.0)
        oldest = await self._outbox.read(self._shard, position, 1)
        age = (self._now() - oldest[0].created_at).total_seconds() if oldest else 0.0
        return Lag(events=end - position, seconds=max(age, 0.0))

    async def drained(self) -> None:
        """Return once everything that is committed now is published. The caller sets a deadline."""
        end = await self._outbox.end(self._shard)
        while self.state.position is None or self.state.position < end:
            self._moved.clear()
            await self._moved.wait()

    def _enter(self, phase: Phase, reason: str | None = None, detail: str | None = None) -> None:
        self._take(replace(self.state, phase=phase, since=self._now(), reason=reason, detail=detail))

    def _take(self, state: RelayState) -> None:
        self.state = state
        self._moved.set()
        self._observer.entered(state)

    def _move_to(self, position: int) -> int:
        self.state = replace(self.state, position=position)
        self._moved.set()
        return position


class Relay(Progress):
    """One shard's relay. `publisher` makes a fresh one; `accept_positions` are an operator's answers to a stop,
    each `journal/shard/seq` as the instructions print it, so that each is good for one case only.
    """

    def __init__(
        self,
        outbox: Outbox,
        publisher: Callable[[], Publisher],
        *,
        shard: int = 0,
        positions: Positions = Positions.CHECKPOINT,
        accept_positions: Collection[str] = (),
        observer: RelayObserver | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        super().__init__(outbox, shard, observer or Unobserved(), now)
        self._publisher = publisher
        self._positions = positions
        self._accept_positions = frozenset(accept_positions)
        self._batch_rows = batch_rows
        self._backoff = _Backoff()

    async def run(self) -> None:
        """Until cancelled, or until it stops itself: then `state` says why, and only a restart goes on."""
        while True:
            self._enter(Phase.STARTING, self.state.reason, self.state.detail)
            publisher: Publisher | None = None
            try:
                publisher = self._publisher()
                await self._relay(publisher)
            except RelayStopped as stop:
                self._enter(Phase.STOPPED, stop.reason, _instructions(stop))
                return
            except Exception as problem:  # noqa: BLE001  # rule 4: whatever it is, start over
                reason = problem.reason if isinstance(problem, PaymuxError) else PaymuxError.reason
                self._enter(Phase.WAITING, reason, str(problem) or repr(problem))
            finally:
                if publisher is not None:
                    await publisher.abandon()
            await asyncio.sleep(self._backoff.after(self.state.reason))

    async def _relay(self, publisher: Publisher) -> None:
        # The mark first: an owner that overtakes us between the two moves it, and our checkpoint would seem to be gone.
        mark = await self._outbox.mark(self._shard)
        position = self._move_to(await self._find_position(mark, await publisher.start()))
        self._backoff.started()
        self._enter(Phase.RUNNING)
        began = 0.0
        ahead: Sequence[OutboxRow] = ()
        while True:
            rows = ahead or await self._next(position, began + PACE_SECONDS)
            if rows[0].seq != position + 1:
                raise RelayStopped(f"The journal has no row {position + 1}.", reason="rows_missing")
            began, batch = time.perf_counter(), _fitting(rows)
            if len(batch) < len(rows) or len(rows) >= self._batch_rows:
                ahead = await self._publish_reading_ahead(publisher, batch)
            else:  # What was read now would be too little for the next transaction: more rows come meanwhile.
                await self._publish(publisher, batch)
                ahead = ()
            position = self._move_to(batch[-1].seq)
            await self._outbox.advance(self._shard, position)

    async def _next(self, position: int, not_before: float) -> Sequence[OutboxRow]:
        """The rows after it, once there are any."""
        await asyncio.sleep(not_before - time.perf_counter())
        while not (rows := await self._outbox.read(self._shard, position, self._batch_rows)):
            await self._outbox.wait(self._shard, position, POLL_SECONDS)
        return rows

    async def _publish_reading_ahead(self, publisher: Publisher, batch: Sequence[OutboxRow]) -> Sequence[OutboxRow]:
        """While the broker is busy with these rows, read the ones after them."""
        ahead = asyncio.create_task(self._outbox.read(self._shard, batch[-1].seq, self._batch_rows))
        try:
            await self._publish(publisher, batch)
            return await ahead
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    async def _publish(self, publisher: Publisher, batch: Sequence[OutboxRow]) -> None:
        last = batch[-1]
        checkpoint = Checkpoint(
            journal=self._outbox.identity,
            shard=self._shard,
            seq=last.seq,
            event_id=last.record.event_id,
            chain=last.chain,
        )
        began = time.perf_counter()
        await publisher.publish([row.record for row in batch], checkpoint)
        self._backoff.published()
        self._observer.published(shard=self._shard, events=len(batch), seconds=time.perf_counter() - began)

    async def _find_position(self, mark: int, found: Checkpoint | None) -> int:
        if self._positions is Positions.JOURNAL:
            return mark
        claim = _claim(found) if found else f"{self._outbox.identity}/{self._shard}/{mark}"
        misfit = await self._misfit(found, mark)
        if misfit is None:
            return max(mark, found.seq if found else 0)
        if claim in self._accept_positions:
            return await self._accepted_position(found, mark)
        reason, fact = misfit
        stop = RelayStopped(fact, reason=reason)
        stop.add_note(_ACCEPT.format(claim=claim, mark=mark))
        raise stop

    async def _misfit(self, found: Checkpoint | None, mark: int) -> tuple[str, str] | None:
        """The reason and the fact, where checkpoint and journal do not belong together."""
        if found is None:
            fact = f"This journal has published up to {mark}, but the checkpoints topic has no checkpoint of it."
            return ("checkpoint_missing", fact) if mark else None
        if found.journal != self._outbox.identity:
            fact = f"The newest checkpoint on Kafka is journal {found.journal}'s; this is {self._outbox.identity}."
            return "journal_swapped", fact
        end = await self._outbox.end(self._shard)
        if found.seq > end:
            fact = (
                f"Kafka has this journal's events up to {found.seq}, but it ends at {end}: it was restored from a copy."
            )
            return "journal_restored", fact
        here = await self._outbox.chain(self._shard, found.seq)
        if here == found.chain or (here is None and found.seq <= mark):  # published rows may be pruned
            return None
        fact = f"Up to {found.seq} Kafka has other events than this journal: it was restored from a copy."
        return "journal_restored", fact

    async def _accepted_position(self, found: Checkpoint | None, mark: int) -> int:
        """The mark; or the checkpoint of another journal that this one is a whole copy of."""
        if found and await self._outbox.chain(self._shard, found.seq) == found.chain:
            return max(mark, found.seq)
        return mark


class _Backoff:
    """0.1 s, doubled up to 2 s, with jitter; from the start again once something was published. Being fenced waits
    longer, and counts on until a publisher has lived for a minute: else two owners would take turns at every event.
    """

    def __init__(self) -> None:
        self._attempts = 0
        self._fenced = 0
        self._started_at = 0.0

    def started(self) -> None:
        self._started_at = time.monotonic()

    def published(self) -> None:
        self._attempts = 0
        if time.monotonic() - self._started_at > STEADY_SECONDS:
            self._fenced = 0

    def after(self, reason: str | None) -> float:
        """Seconds to wait."""
        if reason == "fenced":
            delay = min(FENCED_BACKOFF * 2.0**self._fenced, LONGEST_FENCED)
            self._fenced = min(self._fenced + 1, 10)
        else:
            delay = min(FIRST_BACKOFF * 2.0**self._attempts, LONGEST_BACKOFF)
            self._attempts = min(self._attempts + 1, 10)
        return delay * random.uniform(0.5, 1.0)  # noqa: S311  # no secret


def _instructions(stop: RelayStopped) -> str:
    """The fact, what to do, and what else would work."""
    return " ".join([str(stop), INSTRUCTIONS.get(stop.reason, ""), *getattr(stop, "__notes__", ())]).strip()


def _claim(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.journal}/{checkpoint.shard}/{checkpoint.seq}"


def _fitting(rows: Sequence[OutboxRow]) -> Sequence[OutboxRow]:
    """As many of the first rows as BATCH_BYTES holds, at least one."""
    size = 0
    for count, row in enumerate(rows):
        size += len(row.record.value) + len(row.record.key)
        if size > BATCH_BYTES:
            return rows[: max(count, 1)]
    return rows
