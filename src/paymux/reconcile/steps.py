"""What a reconcile does in one step: a page of the provider's list, or some payments of ours that no list had."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from paymux.canonical import Entity
from paymux.delivery import Asked, Delivery, ObjectRef, Via
from paymux.errors import ApiError, PaymuxError
from paymux.journal import Entry
from paymux.journal.history import Sought
from paymux.journal.jobs import JobState
from paymux.provider import FINAL
from paymux.reconcile.commits import Found, keep
from paymux.reconcile.comparing import compare, newest, payment_of, unknown
from paymux.reconcile.orders import order_of
from paymux.signatures import confirmed
from paymux.translate import translate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from paymux.journal import Journal
    from paymux.journal.archive import Archive
    from paymux.journal.decide import Unit
    from paymux.journal.jobs import Job
    from paymux.lifecycle import Known
    from paymux.lookup import Client
    from paymux.provider import Account, Listing
    from paymux.provider_api import Answer, ProviderApi
    from paymux.reconcile.orders import Order
    from paymux.statement import Item

PAYMENTS: Final = "payments"  # what a page answers
OURS: Final = 50  # deliveries whose payments are asked for in one step
MOST_REPEATED: Final = 10  # pages in a row on which nothing is new
# Seconds to wait after an answer that is none; then the job fails.
PAUSES: Final = (1.0, 5.0, 20.0, 60.0)
LONGEST_WAIT: Final = 300.0  # seconds, whatever the provider asks for

_AGAIN: Final = frozenset({"unavailable", "rate_limited"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a step works with. `clients` is read anew each time. `observe` is told after each step: the account, and how
    much of what was found.
    """

    journal: Journal
    archive: Archive
    clients: Mapping[tuple[str, str], Client]
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    observe: Callable[[tuple[str, str], Mapping[str, int]], None]
    pauses: Sequence[float] = PAUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a job is: in the `index`-th list, at a page. `repeated` counts pages on which nothing was new, `kept` is
    the place before which all is older than what was asked for.
    """

    index: int
    page: Mapping[str, str]
    repeated: int = 0
    kept: Mapping[str, str] | None = None

    def cursor(self) -> dict[str, Any]:
        return {"list": self.index, "page": self.page, "repeated": self.repeated, "kept": self.kept}


async def step(means: Means, job: Job) -> int:
    """How many payments were looked at. Raises ApiError, PaymuxError; JournalUnavailable."""
    order = order_of(job)
    client = means.clients.get(order.name)
    if client is None or client.api is None:
        raise PaymuxError(f"the account {order.provider}/{order.account} is not configured with an api_key any more")
    work = _Work(means=means, job=job, order=order, account=client.account, api=client.api)
    try:
        return await (work.ask_ours() if "ours" in job.cursor else work.read_page())
    except ApiError as error:
        told = f"the API of {order.provider} broke off after {job.done} payments: {error.detail or error.reason}"
        raise ApiError(told, reason=error.reason) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    means: Means
    job: Job
    order: Order
    account: Account
    api: ProviderApi

    # --- the lists

    async def read_page(self) -> int:
        lists = self._listing.within(self.order.since, self.order.until)
        place = self._place()
        answer = await self._patiently(lambda: self.api.page(lists[place.index], place.page))
        following = self.api.following(answer)
        entry = self._entry(answer, ObjectRef(object=PAYMENTS, id=""))
        if any(item.position is None for item in entry.items):
            raise ApiError("what it answered is no list of payments", reason="shape")
        keys = [f"{self._prefix}{each.block.id}" for item in entry.items if (each := payment_of(item)) is not None]
        before = await self.means.archive.listed(self.job.id, keys)
        after = self._after(place, entry.items, following, len(lists), is_new=not before.issuperset(keys))
        if after.get("repeated", 0) >= MOST_REPEATED:
            raise ApiError("its pages lead back to payments that were listed before", reason="shape")
        wanted = [item for item in entry.items if self._is_asked_for(item)]
        found = Found(cursor=after, keys=keys, read=[(entry, wanted)], before=before)
        if len(wanted) < len(entry.items) or not await self._commit(found):
            await self._commit(replace(found, mends=await self._one_by_one(entry, wanted)))
        return len(wanted)

    async def _one_by_one(self, page: Entry, wanted: Sequence[Item]) -> dict[str, Entry]:
        """What is to be put right of a page that holds more than that: each payment by itself."""
        if not self.order.fixes:
            return {}

        def decide(unit: Unit) -> list[str]:
            compared = [compare(unit.overlay, page, item, self.job.id) for item in wanted]
            return [each.key for each in compared if each.key is not None and each.is_mended]

        differing = await self.means.journal.change(decide, [page])
        answers = {key: await self._asked(key.removeprefix(self._prefix)) for key in differing}
        return {key: entry for key, entry in answers.items() if entry is not None}

    def _place(self) -> _Place:
        cursor = self.job.cursor
        if not cursor:
            return _Place(index=0, page=self.order.start or {}, kept=self.order.start)
        return _Place(index=cursor["list"], page=cursor["page"], repeated=cursor["repeated"], kept=cursor.get("kept"))

    def _after(
        self,
        place: _Place,
        items: Sequence[Item],
        following: Mapping[str, str] | None,
        lists: int,
        *,
        is_new: bool,
    ) -> dict[str, Any]:
        """Where the job goes on."""
        made = [at for item in items if (at := _made_at(item)) is not None]
        if self._listing.order == "newest" and made and max(made) < self.order.since:
            following = None
        if following is None:
            ends = {"ours": self.job.spec["first"] - 1, "kept": place.kept}
            return ends if place.index + 1 >= lists else _Place(index=place.index + 1, page={}).cursor()
        kept = following if self._listing.order == "oldest" and made and max(made) < self.order.since else place.kept
        repeated = 0 if is_new else place.repeated + 1
        return replace(place, page=following, repeated=repeated, kept=kept).cursor()

    def _is_asked_for(self, item: Item) -> bool:
        """A list that knows no times holds more than what was asked for."""
        statement = payment_of(item)
        if self._listing.order is None or statement is None:
            return True
        last, made = newest(statement), _made_at(item)
        return (last is None or last >= self.order.since) and (made is None or made < self.order.until)

    # --- ours

    async def ask_ours(self) -> int:
        """Payments that were heard of in that time and stand in no list: made before, or not the provider's."""
        order, archive = self.order, self.means.archive
        sought = Sought(provider=order.provider, account=order.account)
        after, end = self.job.cursor["ours"], self.job.spec["end"]
        rows = await archive.rows(sought, after=after, end=end, limit=OURS)
        keys = sorted(await archive.spoken(rows.rows))
        listed = await archive.listed(self.job.id, keys)
        known = await archive.known([key for key in keys if key not in listed])
        asked = [(key, each) for key, each in sorted(known.items()) if self._is_to_ask(key, each)]
        entries, gone = [], []
        for key, each in asked:
            entry = await self._asked(key.removeprefix(self._prefix))
            if entry is None:
                gone.append(unknown(key, each, self.job.id))
            else:
                entries.append((entry, entry.items))
        is_last = rows.reached >= end - 1
        cursor = {"kept": self.job.cursor["kept"]} if is_last else {**self.job.cursor, "ours": rows.reached}
        into = JobState.DONE if is_last else None
        keys = [key for key, _ in asked]
        await self._commit(Found(cursor=cursor, keys=keys, read=entries, gone=gone, into=into))
        return len(asked)

    def _is_to_ask(self, key: str, known: Known) -> bool:
        payment_id = key.removeprefix(self._prefix)
        standing = known.standings.get(f"payment/{payment_id}")
        if standing is None or self._kind(payment_id) is None:
            return False
        return not self.order.only_open or standing.status not in FINAL[Entity.PAYMENT]

    def _kind(self, payment_id: str) -> str | None:
        """By what the provider calls such an id."""
        api = self.account.provider.api
        kinds = (self._listing.object, *self._listing.others)
        objects = api.objects if api else {}
        return next((kind for kind in kinds if objects[kind].id_pattern.fullmatch(payment_id)), None)

    async def _asked(self, payment_id: str) -> Entry | None:
        """None: the provider does not have it."""
        ref = ObjectRef(object=self._kind(payment_id) or "", id=payment_id)
        try:
            answer = await self._patiently(lambda: self.api.get(ref))
        except ApiError as error:
            if error.reason != "not_found":
                raise
            return None
        return self._entry(answer, ref)

    # --- both

    @property
    def _listing(self) -> Listing:
        api = self.account.provider.api
        if api is None or api.payments is None:  # Defensive: the order was checked
            raise PaymuxError(f"{self.order.provider} has no list of payments")
        return api.payments

    @property
    def _prefix(self) -> str:
        return f"{self.order.provider}/{self.order.account}/"

    def _entry(self, answer: Answer, ref: ObjectRef) -> Entry:
        delivery = Delivery(
            id=self.means.new_id(),
            provider=self.order.provider,
            account=self.order.account,
            received_at=self.means.clock(),
            body=answer.body,
            method="GET",
            path=answer.path,
            query=answer.query,
            via=Via.RECONCILE,
            asked=Asked(ref=ref),
        )
        verified = confirmed(delivery)
        return Entry(account=self.account, verified=verified, items=translate(self.account, verified))

    async def _commit(self, found: Found) -> bool:
        counts = await keep(self.means.journal, self.job, self.order, found)
        if counts is not None:
            self.means.observe(self.order.name, counts)
        return counts is not None

    async def _patiently(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """What is only away for the moment is asked again, a few times."""
        for pause in self.means.pauses:
            try:
                return await ask()
            except ApiError as error:
                if error.reason not in _AGAIN:
                    raise
                await asyncio.sleep(max(pause, min(error.retry_after or 0.0, LONGEST_WAIT)))
        return await ask()


def _made_at(item: Item) -> datetime | None:
    statement = payment_of(item)
    return getattr(statement.block, "created_at", None) if statement is not None else None
