"""What webhooks missed: an account's payments at its provider, compared with what was heard of them, and put right."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from paymux.errors import JobRefused, JournalUnavailable
from paymux.jobs import Lane
from paymux.journal.audit import Act
from paymux.journal.history import Sought, first_id
from paymux.journal.jobs import ENDED, Job, JobState
from paymux.reconcile.orders import KIND, Order, checked
from paymux.reconcile.schedule import due_at, following, standing_id, told_since
from paymux.reconcile.steps import step
from paymux.telemetry import log_failure, logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime, timedelta

    from paymux.journal.decide import Unit
    from paymux.journal.history import History
    from paymux.reconcile.steps import Means

    Name = tuple[str, str]  # provider, account

POLL_SECONDS: Final = 5.0
BY_SCHEDULE: Final = "schedule"
FAILED: Final = "failed"


class Reconciles:
    """Their jobs: one at a time for each account. `schedule` says which accounts are reconciled how often, and is read
    anew each time.
    """

    def __init__(
        self,
        means: Means,
        history: History,
        *,
        backlog: Callable[[], Awaitable[int]],
        schedule: Callable[[], Mapping[Name, timedelta]] = dict,
        poll: float = POLL_SECONDS,
    ) -> None:
        self._means = means
        self._history = history
        self._schedule = schedule
        self._poll = poll
        self._lane = Lane(means.journal, history, {KIND: self._step}, backlog=backlog)
        self._tasks: dict[Name, asyncio.Task[Job]] = {}
        self._news = asyncio.Event()

    async def create(self, order: Order, who: str) -> Job:
        """Raises JobRefused(job_impossible), JournalUnavailable."""
        order = checked(order, self._means.clock())
        if (why := self._impossible(order.name)) is not None:
            raise JobRefused(why, reason="job_impossible")
        job = await self._job(order, self._means.new_id(), who)
        act = Act(who=who, action=f"job.{KIND}", target=job.id, detail=job.spec)

        def decide(unit: Unit) -> None:
            unit.keep_job(job)
            unit.audit(act)

        await self._means.journal.change(decide)
        self._news.set()
        return job

    async def work(self, job: Job) -> Job:
        """Until it ends or is paused. Raises JournalUnavailable."""
        ended = await self._lane.work(job)
        if ended.state is JobState.FAILED:  # by schedule that happens while nobody looks
            self._means.observe((job.spec["provider"], job.spec["account"]), {FAILED: 1})
        return ended

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._news.clear()
                try:
                    await self._begin()
                except JournalUnavailable as error:
                    logger().warning("jobs_postponed", detail=error.detail)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll):
                        await self._news.wait()
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ---

    async def _step(self, job: Job) -> int:
        return await step(self._means, job)

    async def _begin(self) -> None:
        """Start what is to be done and not under way."""
        await self._order_due()
        for job in await self._lane.waiting():
            name = (job.spec["provider"], job.spec["account"])
            if name not in self._tasks:
                task = asyncio.create_task(self.work(job), name=f"reconcile {'/'.join(name)}")
                self._tasks[name] = task
                task.add_done_callback(partial(self._ended, name))

    def _ended(self, name: Name, task: asyncio.Task[Job]) -> None:
        """The next one of this account has its turn."""
        del self._tasks[name]
        with suppress(asyncio.CancelledError):
            error = task.exception()
            if error is not None:
                log_failure("jobs_postponed", error, provider=name[0], account=name[1])
                return
        self._news.set()

    def _impossible(self, name: Name) -> str | None:
        """What keeps an account from being reconciled."""
        client = self._means.clients.get(name)
        if client is None:
            return f"there is no account {'/'.join(name)}"
        api = client.account.provider.api
        if api is None or api.payments is None:
            return f"paymux knows no list of payments of {name[0]}"
        return f"{'/'.join(name)} has no api_key" if client.api is None else None

    async def _order_due(self) -> None:
        """Let the accounts' standing jobs begin anew, where it is time."""
        now = self._means.clock()
        for name, every in self._schedule().items():
            before = await self._history.job(standing_id(name))
            if before is not None and (before.state not in ENDED or now < due_at(before, every)):
                continue
            if self._impossible(name) is not None:
                continue
            order = following(before, name, now)
            job = await self._job(order, standing_id(name), BY_SCHEDULE)
            await self._means.journal.change(partial(_begin_anew, job, told_since(order)))

    async def _job(self, order: Order, job_id: str, who: str) -> Job:
        sought = Sought(since=order.since, until=order.until)
        first, end = await self._means.archive.bounds(sought)
        now = self._means.clock()
        return Job(
            id=job_id,
            kind=KIND,
            state=JobState.QUEUED,
            created_at=now,
            created_by=who,
            updated_at=now,
            spec={**order.spec(), "first": first, "end": end},
            rate=order.rate,
        )


def _begin_anew(job: Job, since: datetime | None, unit: Unit) -> None:
    before = unit.job(job.id)
    if before is None or before.state in ENDED:
        unit.forget(job.id)
        unit.keep_job(job)
        if since is not None:
            unit.forget_found(job.id, first_id(since))
