"""The same deliveries in another order, into a fresh journal: each payment must end in the same state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paymux import lifecycle
from paymux.delivery import Via
from paymux.journal import Entry
from paymux.journal.memory import MemoryJournal, MemoryStore
from paymux.signatures import confirmed, verify
from paymux.translate import translate

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from paymux.canonical import State
    from paymux.delivery import Delivery
    from paymux.provider import Account


async def differing(tables: MemoryStore, accounts: Mapping[tuple[str, str], Account], dice: random.Random) -> list[str]:
    """The keys whose state depends on the order, each with both states. What was erased cannot be told again."""
    stored = [kept.delivery for kept in tables.deliveries.values() if kept.delivery.body]  # hints leave none
    dice.shuffle(stored)
    journal = MemoryJournal()
    for delivery in stored:
        await journal.append(_entry(delivery, accounts[delivery.provider, delivery.account]))
    await journal.close()
    keys = sorted((tables.payments.keys() | journal.store.payments.keys()) - _erased(tables))
    states = {key: (_state(tables, key), _state(journal.store, key)) for key in keys}
    return [f"{key} is {one}, in another order {other}" for key, (one, other) in states.items() if one != other]


def _erased(tables: MemoryStore) -> set[str]:
    """By all of their names."""
    keys = {key for item in tables.items if item.delivery in tables.erased_rows for key in item.payment_keys}
    names = {
        "/".join((*scope, alias)) for (scope, alias), key in tables.links.items() if "/".join((*scope, key)) in keys
    }
    return keys | names


def _entry(delivery: Delivery, account: Account) -> Entry:
    verified = verify(delivery, account.checks) if delivery.via is Via.WEBHOOK else confirmed(delivery)
    return Entry(account=account, verified=verified, items=translate(account, verified))


def _state(tables: MemoryStore, key: str) -> State | None:
    known = tables.known(key)
    return lifecycle.state_of(known, key.split("/", 2)[2]) if known else None
