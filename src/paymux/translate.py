"""One verified delivery to what each of its items says. Pure; whatever goes wrong inside becomes a quarantined item."""

from __future__ import annotations

import hashlib
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from paymux.delivery import Proof
from paymux.errors import Untranslatable
from paymux.statement import Head, Ignored, Item, Lookup, Quarantined, Stated
from paymux.wild import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paymux.delivery import Verified
    from paymux.provider import Account, Endpoint
    from paymux.statement import Outcome, Statement
    from paymux.wild import Wild


MOST_UNREADABLE: Final = 64  # items of one batch; the rest would be as many quarantine records


def translate(account: Account, verified: Verified) -> tuple[Item, ...]:
    """At least one item, but for an empty list of an API; never raises. Deliveries with `asked` are API answers, the
    others webhooks.
    """
    try:
        if verified.delivery.asked is not None:
            return _answer(account, verified, parse_json(verified.delivery.body))
        return _webhook(account, verified, account.provider.parse(verified.delivery.body))
    except Untranslatable as error:
        return (_unreadable(account, verified, _why(error), None),)
    except Exception as error:  # noqa: BLE001  # P6: a bug of ours keeps the delivery, too
        return (_unreadable(account, verified, _internal(error), None),)


def only_asks(items: Sequence[Item]) -> bool:
    """Whether a hint is one to take: it names objects to ask for, or is of no interest.

    Anything else would put a stranger's words on the quarantine topic.
    """
    return all(isinstance(item.outcome, Lookup | Ignored) for item in items)


def _webhook(account: Account, verified: Verified, body: Wild) -> tuple[Item, ...]:
    split = account.provider.split
    if split is None:
        return (_item(account, verified, body, None, _webhook_head, _webhook_outcome),)
    items, unreadable = [], 0
    for position, part in enumerate(split(body)):
        items.append(_item(account, verified, part, position, _webhook_head, _webhook_outcome))
        unreadable += items[-1].event_type is None
        if unreadable > MOST_UNREADABLE:
            raise Untranslatable(f"more than {MOST_UNREADABLE} items of the batch cannot be read")
    if not items:
        raise Untranslatable("the batch holds no item")
    return tuple(items)


def _item(
    account: Account,
    verified: Verified,
    body: Wild,
    position: int | None,
    read_head: Callable[[Account, Verified, Wild], Head],
    read: Callable[[Account, Verified, Wild, Head], Outcome],
) -> Item:
    """One item; an error stays its own, so that one bad item of a batch does not take the others along."""
    head: Head | None = None
    outcome: Outcome
    try:
        head = read_head(account, verified, body)
        return _made(account, verified, head, read(account, verified, body, head), position)
    except Untranslatable as error:
        outcome = _why(error)
    except Exception as error:  # noqa: BLE001  # P6: a bug of ours keeps the delivery, too
        outcome = _internal(error)
    if head is None:
        return _unreadable(account, verified, outcome, position)
    return _with_head(account, head, outcome, position, "")


def _webhook_head(account: Account, verified: Verified, body: Wild) -> Head:
    return account.provider.head(verified, body)


def _webhook_outcome(account: Account, verified: Verified, body: Wild, head: Head) -> Outcome:
    provider = account.provider
    if head.event_type in provider.ignored:
        return Ignored()
    extract = provider.events.get(head.event_type or "")
    if extract is None:
        known = f"{head.event_type!r:.80} is in neither list of {provider.name}"
        return Quarantined(reason="unknown_event_type", detail=known)
    if _other_mode(account, head):
        return _WRONG_MODE
    if provider.confirm is not None and account.options.get("confirm") == "api":
        return provider.confirm(body, head)
    found = extract(body, head)
    if isinstance(found, Lookup):
        return found
    if verified.proof is Proof.HINT:
        raise Untranslatable("an unproven body may only name objects", reason="internal_error")
    statements = tuple(found)
    return Stated(statements=statements) if statements else Ignored()


_WRONG_MODE = Quarantined(reason="wrong_mode", detail="the event's mode is not the account's livemode")


def _other_mode(account: Account, head: Head) -> bool:
    return None not in (account.livemode, head.livemode) and account.livemode != head.livemode


def _answer(account: Account, verified: Verified, body: Wild) -> tuple[Item, ...]:
    asked, api = verified.delivery.asked, account.provider.api
    if asked is None or api is None:  # Defensive: only an API's answer comes here.
        raise Untranslatable("an answer without an API", reason="internal_error")
    listing = api.payments
    if asked.ref.object in api.objects:
        endpoint = api.objects[asked.ref.object]
        return (_snapshot(account, verified, endpoint, body.child(*endpoint.unwrap), None),)
    if listing is None:  # Defensive
        raise Untranslatable("a list that the provider does not have", reason="internal_error")
    endpoint = api.objects[listing.object]
    return tuple(
        _snapshot(account, verified, endpoint, found, index)
        for index, found in enumerate(body.child(*listing.unwrap).children(listing.items))
    )


def _snapshot(account: Account, verified: Verified, endpoint: Endpoint, found: Wild, position: int | None) -> Item:
    return _item(account, verified, found, position, partial(_snapshot_head, endpoint), partial(_state, endpoint))


def _snapshot_head(endpoint: Endpoint, account: Account, verified: Verified, found: Wild) -> Head:
    del account, verified
    return Head(
        event_key=f"{found.id(endpoint.id_key)}:{found.digest()}",
        event_type=None,
        livemode=endpoint.livemode(found),
    )


def _state(endpoint: Endpoint, account: Account, verified: Verified, found: Wild, head: Head) -> Outcome:
    asked = verified.delivery.asked
    if asked is None:  # Defensive
        raise Untranslatable("an answer to no question", reason="internal_error")
    single = account.provider.api is not None and asked.ref.object in account.provider.api.objects
    if single and found.id(endpoint.id_key) != asked.ref.id:
        return Quarantined(reason="answer_mismatch", detail="the answer is about another object")
    if endpoint.check is not None:
        endpoint.check(found, account.options)
    if _other_mode(account, head):
        return _WRONG_MODE
    return Stated(statements=endpoint.state(found, asked))


def _made(account: Account, verified: Verified, head: Head, outcome: Outcome, position: int | None) -> Item:
    narrow = account.provider.resends_current(verified)
    return _with_head(account, head, outcome, position, _fingerprint(head, outcome, narrow))


def _with_head(account: Account, head: Head, outcome: Outcome, position: int | None, fingerprint: str) -> Item:
    return Item(
        position=position,
        event_key=head.event_key,
        event_type=head.event_type,
        occurred_at=head.occurred_at,
        livemode=head.livemode if head.livemode is not None else account.livemode,
        outcome=outcome,
        fingerprint=fingerprint,
    )


def _unreadable(account: Account, verified: Verified, outcome: Outcome, position: int | None) -> Item:
    """An item whose head could not be read: its body's digest stands for the event key."""
    digest = _digest(verified.delivery.body)
    return Item(
        position=position,
        event_key=digest if position is None else f"{digest}/{position}",
        event_type=None,
        occurred_at=None,
        livemode=account.livemode,
        outcome=outcome,
        fingerprint="",
    )


@lru_cache(maxsize=1)
def _digest(body: bytes) -> str:
    """Once for all items of a batch."""
    return hashlib.sha256(body).hexdigest()


def _fingerprint(head: Head, outcome: Outcome, narrow: bool) -> str:  # noqa: FBT001  # internal
    """What must stay the same under one event key: a line for type and mode, and one for what it is about. A line is
    empty where there is nothing to compare: what nobody understood, or what this provider may change in a retry.
    """
    about = [word for statement in _statements(outcome) for word in _about(statement, narrow)]
    if isinstance(outcome, Lookup):
        about = sorted(f"{ref.object} {ref.id}" for ref in outcome.objects)
    return f"{'' if narrow else head.event_type}|{'' if narrow else head.livemode}\n{'|'.join(about)}"


def _statements(outcome: Outcome) -> tuple[Statement, ...]:
    return outcome.statements if isinstance(outcome, Stated) else ()


def _about(statement: Statement, narrow: bool) -> tuple[str, ...]:  # noqa: FBT001  # internal
    block, amount = statement.block, statement.block.amount
    identity = (block.entity, block.id, f"{amount.minor} {amount.currency}" if amount else "")
    return identity if narrow else (*identity, str(block.provider_status))


def _why(error: Untranslatable) -> Quarantined:
    return Quarantined(reason=error.reason, path=error.path, detail=error.detail or None)


def _internal(error: Exception) -> Quarantined:
    """The class and place of an error of ours; its words may quote the body, so they stay out."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace else ""
    return Quarantined(reason="internal_error", detail=f"{type(error).__name__}{where}")
