"""A provider's answer held against what is known: what would be published of it, and which amounts differ. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from paymux import lifecycle
from paymux.canonical import Entity, Payment
from paymux.errors import JournalError
from paymux.journal.changes import Overlay
from paymux.journal.jobs import Change
from paymux.journal.speech import Speech
from paymux.lifecycle import Heard, standing_name
from paymux.records import entity_key
from paymux.statement import Quarantined, Stated

if TYPE_CHECKING:
    from paymux.journal import Entry
    from paymux.journal.changes import View
    from paymux.lifecycle import Known
    from paymux.statement import Item, Statement

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# Kinds of differences.
MISSED: Final = "missed"  # nothing was heard of the payment
BEHIND: Final = "behind"  # the provider is further than what was heard
STATUS: Final = "status"  # another one than what was heard later, in an answer that does not tell since when
AMOUNT: Final = "amount"
UNKNOWN: Final = "unknown"  # of ours, and the provider does not have it
UNREADABLE: Final = "unreadable"

KINDS: Final = (MISSED, BEHIND, STATUS, AMOUNT, UNKNOWN, UNREADABLE)
# What goes down the line to be put right: no API answer may announce another amount or move a status without a time,
# and what the provider does not have says nothing.
MENDED: Final = frozenset({MISSED, BEHIND, UNREADABLE})
SETTLED: Final = timedelta(minutes=10)  # what was said since then may not stand in the list yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One object of an answer. `key` is its payment's; None where it cannot be read."""

    key: str | None
    found: tuple[Change, ...]

    @property
    def is_mended(self) -> bool:
        return any(change.kind in MENDED for change in self.found)


def compare(view: View, entry: Entry, item: Item, job_id: str) -> Compared:
    """Raises nothing but what the view does; the changes name no delivery yet."""
    match item.outcome:
        case Stated(statements=statements):
            return _stated(view, entry, item, statements, job_id)
        case Quarantined(reason=reason, detail=detail):
            scope = (entry.account.provider.name, entry.account.name)
            if item.event_key is None or view.seen(scope, item.event_key) is not None:
                return Compared(key=None, found=())
            told = {"reason": reason, "detail": detail}
            change = _change(entry, job_id, UNREADABLE, item.event_key, reason, new=told)
            return Compared(key=None, found=(change,))
        case _:  # Defensive: an answer is read or it is not
            return Compared(key=None, found=())


def unknown(entry_key: str, known: Known, job_id: str) -> Change:
    """A payment of ours that the provider does not have."""
    provider, account, payment_id = entry_key.split("/", 2)
    return Change(
        job=job_id,
        event_id=f"{entry_key} {UNKNOWN}",
        key=entry_key,
        row=0,
        delivery="",
        kind=UNKNOWN,
        type=_status(known, payment_id) or "",
        provider=provider,
        account=account,
        old=_text(_ours(known, payment_id)),
    )


def payment_of(item: Item) -> Statement | None:
    """What an item says of its payment itself."""
    if not isinstance(item.outcome, Stated):
        return None
    return next((each for each in item.outcome.statements if each.block.entity is Entity.PAYMENT), None)


def newest(statement: Statement) -> datetime | None:
    """The last time that the payment says something of."""
    block = statement.block
    times = [statement.at, *((block.created_at, block.updated_at) if isinstance(block, Payment) else ())]
    return max((at for at in times if at is not None), default=None)


# ---


def _stated(view: View, entry: Entry, item: Item, statements: tuple[Statement, ...], job_id: str) -> Compared:
    payment = payment_of(item)
    if payment is None:
        return Compared(key=None, found=())
    block = payment.block
    key = entity_key(entry.account, block.id)
    known = view.known(key)
    said = Speech(overlay=Overlay(view))
    try:
        said.say(entry, item, statements)
    except JournalError:  # it could not be read: no fault of the answer
        raise
    except Exception as error:  # noqa: BLE001  # an error of ours holds up no other payment
        told = {"reason": "internal_error", "detail": type(error).__name__}
        return Compared(key=key, found=(_change(entry, job_id, UNREADABLE, key, "internal_error", new=told),))
    types = [told.announcement.type for told in said.told]
    is_heard = known is not None and _status(known, block.id) is not None
    found = []
    if types:
        kind = BEHIND if is_heard else MISSED
        found.append(_differs(entry, job_id, kind, key, types[0], known, payment))
    elif known is not None and _statuses_differ(known, payment, entry):
        found.append(_differs(entry, job_id, STATUS, key, "", known, payment))
    if known is not None and _amounts_differ(known, payment, entry, item):
        found.append(_differs(entry, job_id, AMOUNT, key, "", known, payment))
    return Compared(key=key, found=tuple(found))


def _statuses_differ(known: Known, statement: Statement, entry: Entry) -> bool:
    """Where nothing would be published, of objects that keep no time of change: what is known counts as newer, for
    good.
    """
    block = statement.block
    if not isinstance(block, Payment) or block.updated_at is not None:
        return False
    standing = known.standings.get(standing_name(block))
    if standing is None or block.status in (None, standing.status):
        return False
    heard_at = _EPOCH + timedelta(microseconds=standing.order[0])
    return heard_at < entry.verified.delivery.received_at - SETTLED


def _amounts_differ(known: Known, statement: Statement, entry: Entry, item: Item) -> bool:
    """What it is worth, unless what is known is newer. How much is captured or refunded moves with the status."""
    block = statement.block
    if not isinstance(block, Payment) or block.amount is None or known.amount is None:
        return False
    (_, known_order), amount = known.amount
    heard = Heard(transitions=entry.account.provider.transitions, event_key=item.event_key or "", snapshot=True)
    return amount != block.amount and lifecycle.read(known, statement, heard).order[0] >= known_order[0]


def _differs(
    entry: Entry, job_id: str, kind: str, key: str, event_type: str, known: Known | None, payment: Statement
) -> Change:
    block = payment.block
    amount = block.amount if isinstance(block, Payment) else None
    new = {"status": block.status, "amount": amount}
    old = None if known is None else _ours(known, block.id)
    return _change(entry, job_id, kind, key, event_type, old=old, new=new)


def _change(
    entry: Entry,
    job_id: str,
    kind: str,
    key: str,
    event_type: str,
    *,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
) -> Change:
    names = {*(old or {}), *(new or {})} if old and new else set[str]()
    return Change(
        job=job_id,
        event_id=f"{key} {kind}",
        key=key,
        row=0,
        delivery="",
        kind=kind,
        type=event_type,
        provider=entry.account.provider.name,
        account=entry.account.name,
        paths=tuple(f"/{name}" for name in sorted(names) if (old or {}).get(name) != (new or {}).get(name)),
        old=_text(old),
        new=_text(new),
    )


def _ours(known: Known, payment_id: str) -> dict[str, Any]:
    return {"status": _status(known, payment_id), "amount": known.amount[1] if known.amount else None}


def _status(known: Known, payment_id: str) -> str | None:
    standing = known.standings.get(f"payment/{payment_id}")
    return standing.status if standing else None


def _text(value: dict[str, Any] | None) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
