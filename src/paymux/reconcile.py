"""What webhooks missed: list an account's payments, and send each page down the line as a delivery.

Only what changes the known state is published, so it may be run at any time and as often as wanted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from paymux.delivery import Asked, Delivery, ObjectRef, Via
from paymux.journal import Entry
from paymux.signatures import confirmed
from paymux.translate import translate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime

    from paymux.journal import Journal, Receipt
    from paymux.provider import Account
    from paymux.provider_api import Answer, ProviderApi

PAYMENTS = ObjectRef(object="payments", id="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What became of one page. `payments` counts its objects, `events` the new events, `quarantined` the objects by
    reason.
    """

    number: int
    query: str
    payments: int
    events: int
    quarantined: Mapping[str, int] = field(default_factory=dict)


async def reconcile(
    *,
    account: Account,
    api: ProviderApi,
    journal: Journal,
    filters: Mapping[str, str],
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
) -> AsyncIterator[Page]:
    """One Page after each was appended.

    Raises ApiError, JournalUnavailable, SettingsError (an unknown filter): the pages before were kept.
    """
    number = 0
    async for answer in api.list_payments(filters):
        number += 1
        verified = confirmed(_delivery(account, answer, received_at=clock(), delivery_id=new_id()))
        items = translate(account, verified)
        receipts = await journal.append(Entry(account=account, verified=verified, items=items)) if items else ()
        yield _page(number, answer, receipts)


def _delivery(account: Account, answer: Answer, *, received_at: datetime, delivery_id: str) -> Delivery:
    return Delivery(
        id=delivery_id,
        provider=account.provider.name,
        account=account.name,
        received_at=received_at,
        body=answer.body,
        method="GET",
        path=answer.path,
        query=answer.query,
        via=Via.RECONCILE,
        asked=Asked(ref=PAYMENTS),
    )


def _page(number: int, answer: Answer, receipts: tuple[Receipt, ...]) -> Page:
    quarantined = [receipt for receipt in receipts if receipt.outcome == "quarantined"]
    return Page(
        number=number,
        query=answer.query,
        payments=len(receipts),
        events=sum(len(receipt.event_ids) for receipt in receipts if receipt.outcome == "events"),
        quarantined=Counter(receipt.reason or "" for receipt in quarantined),
    )
