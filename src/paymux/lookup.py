"""The worker that answers lookups: it asks providers' APIs for what thin deliveries only named, and sends the answers
down the line as deliveries of their own.

The rows live in the journal; what is kept here (who is busy, who asked to be left alone) may be lost at any moment.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from paymux.delivery import Delivery, Proof, Via
from paymux.errors import ApiError
from paymux.journal import Entry, Rejection, Result
from paymux.signatures import confirmed
from paymux.statement import Stated
from paymux.translate import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from paymux.journal import Journal, LookupRow, Receipt
    from paymux.provider import Account
    from paymux.provider_api import Answer, ProviderApi
    from paymux.statement import Item

    Name = tuple[str, str]  # provider, account
    Observer = Callable[[str, Mapping[str, str]], None]

AT_ONCE: Final = 4  # requests of one account
SHORTEST_BACKOFF: Final = 1.0
LONGEST_BACKOFF: Final = 300.0
MISSING_AGAIN: Final = timedelta(seconds=2)
NO_API_AGAIN: Final = timedelta(minutes=5)
# When to ask again for an object that has none of the statuses which the delivery may have promised.
ROUNDS: Final = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))

# A provider's objects may be a moment behind its webhooks, so the first 404 of a lookup is not yet an answer.
_GIVES_UP: Final = {"not_found": "lookup_not_found", "denied": "lookup_denied", "shape": "shape"}
_PAUSES: Final = "rate_limited"
# As many may be under way, and as many may start.
_LOOKED_AT: Final = 2 * AT_ONCE
# However often we are woken, we look that rarely: a look costs some milliseconds.
_BREATH: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A configured account. `api` is None where it cannot be asked about, having no `api_key`."""

    account: Account
    api: ProviderApi | None


class Lookups:
    """`clients` is read anew each time: it may change while the worker runs.

    `observe` is told what happened as (name, facts): lookup_answered {outcome, and the reason if it was quarantined},
    lookup_postponed {reason}, lookup_given_up {reason}, lookup_failed {error}; each with provider and account, and with
    the object, its id, and the delivery that asked with its proof.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        clients: Mapping[Name, Client],
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        observe: Observer = lambda _name, _labels: None,
        jitter: Callable[[], float] = random.random,
        poll: float = 1.0,
    ) -> None:
        self._journal = journal
        self._clients = clients
        self._clock = clock
        self._new_id = new_id
        self._observe = observe
        self._jitter = jitter
        self._poll = poll
        self._wakeup = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._busy: dict[Name, int] = {}
        self._held: dict[Name, datetime] = {}
        self._missed: set[int] = set()

    def wake(self) -> None:
        """There may be something to ask: for those who append."""
        self._wakeup.set()

    async def run(self) -> None:
        """Until cancelled; requests under way are given up then, and their rows stay."""
        try:
            while True:
                await self._step()
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _step(self) -> None:
        self._wakeup.clear()
        try:
            for row in await self._journal.due_lookups(self._clock(), _LOOKED_AT):
                self._start(row)
            pause = await self._pause()
        except Exception as error:  # noqa: BLE001  # one bad moment of the journal must not end the worker
            self._observe("lookup_failed", {"provider": "", "account": "", "error": type(error).__name__})
            pause = self._poll
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await asyncio.sleep(_BREATH)
                await self._wakeup.wait()

    # --- choosing

    def _start(self, row: LookupRow) -> None:
        name = row.scope
        if row.id in self._tasks or self._busy.get(name, 0) >= AT_ONCE or self._is_held(name):
            return
        self._busy[name] = self._busy.get(name, 0) + 1
        task = asyncio.create_task(self._answer(row), name=f"lookup {row.id}")
        self._tasks[row.id] = task
        task.add_done_callback(lambda _: self._done(row))

    def _done(self, row: LookupRow) -> None:
        del self._tasks[row.id]
        self._busy[row.scope] -= 1
        self.wake()

    def _is_held(self, name: Name) -> bool:
        until = self._held.get(name)
        if until is not None and until <= self._clock():
            del self._held[name]
            return False
        return until is not None

    async def _pause(self) -> float:
        """To the next row that will be due. What is due and was not started waits for a wake-up, or the poll."""
        next_at = await self._journal.next_lookup_at()
        if next_at is None:
            return self._poll
        seconds = (next_at - self._clock()).total_seconds()
        return min(seconds, self._poll) if seconds > 0 else self._poll

    # --- asking

    async def _answer(self, row: LookupRow) -> None:
        """One row; nothing is raised, since the row stays until the journal says otherwise."""
        try:
            await self._ask(row)
        except Exception as error:  # noqa: BLE001  # as above
            self._tell("lookup_failed", row, error=type(error).__name__)
            with suppress(Exception):
                await self._journal.postpone(row, self._later(row, None))
            await asyncio.sleep(self._poll)

    async def _ask(self, row: LookupRow) -> None:
        client = self._clients.get(row.scope)
        if client is None:
            await self._postpone(row, self._clock() + NO_API_AGAIN, "no_api")
            return
        if client.api is None:
            await self._give_up(row, ApiError("the account has no api_key", reason="denied"))
            return
        try:
            answer = await client.api.get(row.ref)
        except ApiError as error:
            await self._unanswered(row, error)
            return
        await self._append(row, client.account, answer)
        self._missed.discard(row.id)

    async def _append(self, row: LookupRow, account: Account, answer: Answer) -> None:
        now = self._clock()
        verified = confirmed(
            Delivery(
                id=self._new_id(),
                provider=row.provider,
                account=row.account,
                received_at=now,
                body=answer.body,
                method="GET",
                path=answer.path,
                query=answer.query,
                via=Via.LOOKUP,
                asked=row.question,
            )
        )
        items = translate(account, verified)
        again_at = now + ROUNDS[row.rounds] if _asks_again(row, items) else None
        entry = Entry(
            account=account, verified=verified, items=items, answers=row.id, asked=row.asked, again_at=again_at
        )
        receipts = await self._journal.append(entry)
        self._tell("lookup_answered", row, outcome=receipts[0].outcome, **_refusal(receipts[0]))

    async def _unanswered(self, row: LookupRow, error: ApiError) -> None:
        if error.reason == "not_found" and row.id not in self._missed:
            self._missed.add(row.id)
            await self._postpone(row, self._clock() + MISSING_AGAIN, error.reason)
        elif error.reason in _GIVES_UP:
            await self._give_up(row, error)
        else:
            until = self._later(row, error.retry_after)
            if error.reason == _PAUSES:
                self._held[row.scope] = until
            await self._postpone(row, until, error.reason)

    async def _postpone(self, row: LookupRow, until: datetime, reason: str) -> None:
        await self._journal.postpone(row, until)
        self._tell("lookup_postponed", row, reason=reason)

    async def _give_up(self, row: LookupRow, error: ApiError) -> None:
        reason = _GIVES_UP[error.reason]
        dropped = await self._journal.give_up(row, reason=reason, detail=error.detail)
        self._missed.discard(row.id)
        if not dropped:  # somebody asked meanwhile, so it is asked again at once
            self._tell("lookup_postponed", row, reason=error.reason)
            return
        if row.proof is Proof.HINT:
            self._journal.reject(_rejection(row, reason, self._clock()))
        self._tell("lookup_given_up", row, reason=reason)

    def _later(self, row: LookupRow, retry_after: float | None) -> datetime:
        """Twice as long each time, each spread over half of it; never sooner than the provider asked."""
        longest = min(LONGEST_BACKOFF, SHORTEST_BACKOFF * 2.0 ** min(row.attempts, 10))
        backoff = longest * (1 + self._jitter()) / 2
        return self._clock() + timedelta(seconds=max(backoff, retry_after or 0.0))

    def _tell(self, name: str, row: LookupRow, **more: str) -> None:
        facts = {
            "provider": row.provider,
            "account": row.account,
            "object": row.ref.object,
            "id": row.ref.id,
            "delivery_id": row.delivery_id,
            "proof": row.proof.value,
        }
        self._observe(name, facts | more)


def _asks_again(row: LookupRow, items: Sequence[Item]) -> bool:
    return bool(row.settles) and row.rounds < len(ROUNDS) and any(_is_unsettled(row, item) for item in items)


def _is_unsettled(row: LookupRow, item: Item) -> bool:
    """Of the object itself: what is nested in it was not promised, and a status of None says nothing."""
    if not isinstance(item.outcome, Stated):
        return False
    statuses = {statement.block.status for statement in item.outcome.statements if statement.block.id == row.ref.id}
    return not statuses <= {None, *row.settles}


def _refusal(receipt: Receipt) -> dict[str, str]:
    """Why it was quarantined, the first time."""
    return {"reason": receipt.reason} if receipt.reason and receipt.result is not Result.DUPLICATE else {}


def _rejection(row: LookupRow, reason: str, at: datetime) -> Rejection:
    """A hint about nothing: of the request itself nothing is known any more."""
    return Rejection(at=at, provider=row.provider, account=row.account, reason=reason, address="", size=0, sha256="")
