"""Jobs over what is stored: published again, translated anew, compared and corrected. They outlive a restart, and what
they publish goes through the outbox like everything else.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from paymux.errors import BrokerUnavailable, JobRefused, JournalUnavailable
from paymux.jobs import Lane
from paymux.journal.again import discard
from paymux.journal.audit import Act
from paymux.journal.history import Sought
from paymux.journal.jobs import ENDED, Job, JobState, stored_job
from paymux.replay.comparing import CHANGED, GONE, NEW
from paymux.replay.correcting import accept, diff
from paymux.replay.imports import taken
from paymux.replay.orders import KINDS, Order, checked, in_quarantine, is_quarantined, mappings
from paymux.replay.previews import Preview, foreseen
from paymux.replay.steps import STEP, Means, republish, retranslate
from paymux.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from paymux.journal.decide import Unit
    from paymux.journal.history import History
    from paymux.replay.imports import Payload

Action = Literal["pause", "resume", "cancel", "accept"]

IDLE_SECONDS: Final = 5.0

_STEPS: Final[Mapping[str, Callable[[Means, Job], Awaitable[int]]]] = {
    "republish": republish,
    "retranslate": retranslate,
    "retry": retranslate,
    "diff": diff,
}

# From which states an action leads where.
_ACTIONS: Final[Mapping[str, tuple[frozenset[JobState], JobState]]] = {
    "pause": (frozenset({JobState.QUEUED, JobState.RUNNING}), JobState.PAUSED),
    "resume": (frozenset({JobState.PAUSED, JobState.FAILED}), JobState.QUEUED),
    "cancel": (frozenset(JobState) - ENDED, JobState.CANCELED),
    "accept": (frozenset({JobState.READY}), JobState.QUEUED),
}


class Replays:
    """One job at a time, the oldest first. `backlog` says how many events wait to be published: live traffic goes
    first.
    """

    def __init__(
        self,
        means: Means,
        history: History,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        backlog: Callable[[], Awaitable[int]],
    ) -> None:
        self._means = means
        self._history = history
        self._clock = clock
        self._new_id = new_id
        self._lane = Lane(means.journal, history, dict.fromkeys(KINDS, self._step), backlog=backlog)
        self._news = asyncio.Event()

    @property
    def topic(self) -> str:
        """Of the events."""
        return self._means.topic

    async def create(self, order: Order, who: str) -> Job:
        """Raises JobRefused, JournalUnavailable."""
        order = checked(order)
        await self._is_there(order.topic)
        now = self._clock()
        bounds = await self._bounds(order)
        job = Job(
            id=self._new_id(),
            kind=order.kind,
            state=JobState.QUEUED,
            created_at=now,
            created_by=who,
            updated_at=now,
            spec={**order.spec(), **bounds, **self._mappings(order)},
            total=max(bounds["end"] - bounds["first"], 0),
            rate=order.rate,
        )
        act = Act(who=who, action=f"job.{order.kind}", target=job.id, detail=job.spec)
        await self._means.journal.change(lambda unit: _keep(unit, job, act))
        self._news.set()
        return job

    async def steer(self, job_id: str, action: Action, who: str) -> Job:
        """Raises NotStored, JobRefused(job_state), JournalUnavailable."""
        before, into = _ACTIONS[action]
        if action == "resume":
            await self._is_there((await stored_job(self._history, job_id)).spec.get("topic"))

        def decide(unit: Unit) -> Job | None:
            job = unit.job(job_id)
            if job is None or job.state not in before:
                return job
            begun = _from_the_first(job) if action == "accept" else job
            steered = replace(begun, state=into, error=None)
            _keep(unit, steered, Act(who=who, action=f"job.{action}", target=job_id))
            if into in ENDED:
                unit.forget(job_id)
            return None

        refused = await self._means.journal.change(decide)
        job = await stored_job(self._history, job_id)
        if refused is not None:
            raise JobRefused(f"job {job_id} is {refused.state.value}: it cannot {action}")
        self._news.set()
        return job

    async def discard(self, sought: Sought, why: str, who: str) -> int:
        """Take what fits out of quarantine; how many items that were. Raises JobRefused, JournalUnavailable."""
        if not why.strip():
            raise JobRefused("say why it is discarded", reason="job_impossible")
        if replace(sought, outcome=None) == Sought():
            raise JobRefused("say which, by at least one filter", reason="job_impossible")
        sought, total = in_quarantine(sought), 0
        first, end = await self._means.archive.bounds(sought)
        after = first - 1
        while after < end - 1:
            found = await self._means.archive.rows(sought, after=after, end=end, limit=STEP)
            total += await self._discarded(found.rows, sought, why, who)
            after = found.reached
        return total

    async def take(self, name: tuple[str, str], payloads: Sequence[Payload], who: str) -> Mapping[str, int]:
        """Payloads from elsewhere, for one account. Raises JobRefused, JournalUnavailable."""
        return await taken(self._means, name, payloads, who=who, now=self._clock(), new_id=self._new_id)

    async def preview(self, order: Order) -> Preview:
        """Nothing is changed. Raises JobRefused, JournalUnavailable."""
        order = checked(order)
        await self._is_there(order.topic)
        bounds, counts = await self._bounds(order), Counter[str]()
        after, end = bounds["first"] - 1, bounds["end"]
        while after < end - 1:
            after, found = await foreseen(self._means, order, after, end)
            counts += found
            await asyncio.sleep(0)
        return Preview(kind=order.kind, counts=dict(counts))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._news.clear()
            try:
                if waiting := await self._lane.waiting():
                    await self.work(waiting[0])
                    continue
            except JournalUnavailable as error:
                logger().warning("jobs_postponed", detail=error.detail)
            await self._idle()

    async def work(self, job: Job) -> Job:
        """Until it ends, is paused, or waits for somebody. Raises JournalUnavailable."""
        return await self._lane.work(job)

    async def close(self) -> None:
        """Let go of the processes that compare."""
        await asyncio.sleep(0)
        if self._means.pool is not None:
            self._means.pool.close()

    # ---

    async def _step(self, job: Job) -> int:
        if "accepted" in job.cursor:
            return await accept(self._means, self._history, job)
        return await _STEPS[job.kind](self._means, job)

    async def _is_there(self, topic: str | None) -> None:
        """What is decided for a topic waits for it, and all that comes after waits, too. Raises JobRefused."""
        if topic is None or self._means.has_topic is None:
            return
        try:
            there = await self._means.has_topic(topic)
        except BrokerUnavailable as error:
            raise JobRefused(f"nobody can tell whether Kafka has {topic}: {error}", reason="job_impossible") from None
        if not there:
            raise JobRefused(f"Kafka has no topic {topic}: create it first", reason="job_impossible")

    def _mappings(self, order: Order) -> dict[str, Any]:
        """A diff is accepted with the mappings that it was made with."""
        return {"mappings": mappings(self._means.accounts())} if order.kind == "diff" else {}

    async def _bounds(self, order: Order) -> dict[str, int]:
        """What is there now: what comes later is not part of it."""
        if order.kind == "republish":
            return {"first": 1, "end": await self._means.archive.end()}
        first, end = await self._means.archive.bounds(order.sought)
        return {"first": first, "end": end}

    async def _discarded(self, rows: tuple[int, ...], sought: Sought, why: str, who: str) -> int:
        def decide(unit: Unit) -> int:
            count = sum(discard(unit, row, why, picks=partial(is_quarantined, sought)) for row in rows)
            if count:
                detail = {"why": why, "items": count, "rows": rows}
                unit.audit(Act(who=who, action="quarantine.discard", target=f"{rows[0]}-{rows[-1]}", detail=detail))
            return count

        return await self._means.journal.change(decide) if rows else 0

    async def _idle(self) -> None:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._news.wait()
        except TimeoutError:
            return


def _from_the_first(job: Job) -> Job:
    """Of the changes that were found."""
    total = sum(job.counts.get(kind, 0) for kind in (CHANGED, NEW, GONE))
    return replace(job, cursor={"accepted": ""}, done=0, total=total)


def _keep(unit: Unit, job: Job, act: Act) -> None:
    unit.keep_job(job)
    unit.audit(act)
