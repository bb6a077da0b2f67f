"""Events and quarantined items as Kafka records: topic, key, value and headers, complete."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson
from uuid_utils import UUID, uuid5

from paymux import lifecycle
from paymux.canonical import CONTENT_TYPE, DATASCHEMA, Entity, QuarantineEvent
from paymux.delivery import Via
from paymux.statement import Stated

if TYPE_CHECKING:
    from paymux.canonical import Lifecycle, QuarantineData
    from paymux.delivery import Verified
    from paymux.provider import Account
    from paymux.statement import Item, Statement

_EVENTS: Final = UUID("6f3d2f0e-6a4e-5d0f-9d53-0b6a2b0f7c11")
_QUARANTINE: Final = UUID("b8f1c1d4-52b5-5a38-8f2e-6f1f3c0a9e27")
_CORRECTIONS: Final = UUID("3a1c3f5e-8f44-5a53-9a3f-5b1ad2d9f0c7")
_NO_REPLAY: Final = b'"replay_id":null'
REPLAY: Final = "paymux_replay"  # the header of a republished record
SEQUENCE: Final = "paymux_sequence"
TRANSITION: Final = "paymux_transition"
EVENT_ID: Final = "ce_id"
ERASED: Final = "paymux_erased"  # that of one whose content is not kept any more; such a one never goes to Kafka
_CONTENT_TYPE: Final = ("content-type", CONTENT_TYPE.encode())
_OPTIONS: Final = orjson.OPT_UTC_Z
_OVERHEAD: Final = 70  # bytes of a record beside key, value and headers, rounded up
_HEADER_OVERHEAD: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    events: str = "payments.events.v1"
    quarantine: str = "payments.quarantine.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record, complete: what the outbox keeps and the relay sends, byte for byte.

    `event_id` is the CloudEvents id inside the value.
    """

    event_id: str
    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    @property
    def size(self) -> int:
        """Bytes on the wire, batch overhead aside."""
        headers = sum(len(name) + len(value) + _HEADER_OVERHEAD for name, value in self.headers)
        return len(self.key) + len(self.value) + headers + _OVERHEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A statement in its context: who said it, in which delivery and item, and under which event key."""

    account: Account
    verified: Verified
    item: Item
    statement: Statement
    event_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Why an event is made from a delivery that was heard before: the replay, and the event that it corrects."""

    replay_id: str
    corrects: str | None = None


def event_record(
    spoken: Spoken,
    announcement: lifecycle.Announcement,
    *,
    topic: str,
    key: str,
    payment_id: str | None,
    again: Again | None = None,
) -> Record:
    """The record of one canonical event."""
    account, life = spoken.account, announcement.lifecycle
    identity = event_id(account, spoken.event_key, spoken.statement, announcement.slot)
    if again is not None and again.corrects is not None:
        identity = correction_id(again.corrects, account.mapping)
    event = _event(spoken, identity, announcement.type, life, payment_id)
    if again is not None:
        event["data"]["origin"] |= {"replay_id": again.replay_id, "corrects": again.corrects}
    headers: tuple[tuple[str, bytes], ...] = (
        _CONTENT_TYPE,
        (EVENT_ID, identity.encode()),
        ("ce_type", announcement.type.encode()),
        ("ce_source", account.source.encode()),
        (SEQUENCE, b"%d" % life.sequence),
    )
    if life.transition is not None:
        headers += ((TRANSITION, life.transition.encode()),)
    return Record(event_id=identity, topic=topic, key=key.encode(), value=_dump(event), headers=headers)


def offline_events(account: Account, verified: Verified, item: Item) -> list[bytes]:
    """The canonical events of an item where nothing is known of its payment: `lifecycle` is null."""
    if not isinstance(item.outcome, Stated):
        return []
    events = []
    for statement in item.outcome.statements:
        spoken = Spoken(
            account=account,
            verified=verified,
            item=item,
            statement=statement,
            event_key=item.event_key or verified.delivery.id,
        )
        events += [
            _dump(
                _event(
                    spoken,
                    event_id(account, spoken.event_key, statement, slot),
                    event_type,
                    None,
                    _payment_id(statement),
                )
            )
            for slot, event_type in lifecycle.offline(statement)
        ]
    return events


def quarantine_record(data: QuarantineData, *, topic: str, attempt: int | str = 1) -> Record:
    """The record that says why an item could not be translated; `attempt` tells its translations apart."""
    event_id = str(uuid5(_QUARANTINE, f"{data.delivery_id}\n{data.item}\n{attempt}"))
    source = f"/paymux/{data.provider}/{data.account}"
    event = QuarantineEvent(id=event_id, source=source, subject=data.delivery_id, time=data.received_at, data=data)
    headers = (
        _CONTENT_TYPE,
        (EVENT_ID, event_id.encode()),
        ("ce_type", event.type.encode()),
        ("ce_source", source.encode()),
        ("paymux_reason", data.reason.encode()),
    )
    return Record(event_id=event_id, topic=topic, key=data.delivery_id.encode(), value=_dump(event), headers=headers)


def event_id(account: Account, event_key: str, statement: Statement, slot: str) -> str:
    """The same for the same statement however often it is made: not the status, the position or the count decide."""
    block = statement.block
    parts = (account.provider.name, account.name, event_key, block.entity, block.id, slot)
    return str(uuid5(_EVENTS, "\n".join(parts)))


def correction_id(event_id: str, mapping: str) -> str:
    """Of what a mapping says instead of an event: the same however often it is made."""
    return str(uuid5(_CORRECTIONS, f"{event_id}\n{mapping}"))


def republished(record: Record, *, replay_id: str, topic: str | None) -> Record:
    """An event once more, under its own id: marked as such, and otherwise byte for byte what it was."""
    value = record.value
    if value.count(_NO_REPLAY) == 1:  # metadata may hold anything; then the header alone says it
        value = value.replace(_NO_REPLAY, b'"replay_id":"%b"' % replay_id.encode())
    headers = tuple((name, each) for name, each in record.headers if name != REPLAY)
    return Record(
        event_id=record.event_id,
        topic=topic or record.topic,
        key=record.key,
        value=value,
        headers=(*headers, (REPLAY, replay_id.encode())),
    )


def erased(record: Record) -> Record:
    """What is kept of a published record when a person's data is erased: ids, times, type and lifecycle, no word of
    the provider's about anybody.
    """
    event = orjson.loads(record.value)
    event["data"] |= {name: None for name in (*Entity, "detail") if name in event["data"]}
    return replace(record, value=_dump(event), headers=(*record.headers, (ERASED, b"1")))


def is_erased(record: Record) -> bool:
    return ERASED in dict(record.headers)


def entity_key(account: Account, entity_id: str) -> str:
    """The Kafka key of a payment, or of an entity that belongs to none."""
    return f"{account.provider.name}/{account.name}/{entity_id}"


def is_snapshot(verified: Verified) -> bool:
    """API answers, and imports like them, publish only what changes the known state."""
    return verified.delivery.via is not Via.WEBHOOK


def _event(
    spoken: Spoken, identity: str, event_type: str, life: Lifecycle | None, payment_id: str | None
) -> dict[str, Any]:
    """canonical.PaymentEvent as a dictionary, which costs a third; every event of the tests is held to that class."""
    account, delivery, item = spoken.account, spoken.verified.delivery, spoken.item
    block = spoken.statement.block
    provider = account.provider
    data: dict[str, Any] = {
        "provider": provider.name,
        "account": account.name,
        "livemode": item.livemode,
        "entity": block.entity,
        "payment_id": payment_id,
        "payment": None,
        "refund": None,
        "dispute": None,
        "payout": None,
        "lifecycle": life,
        "origin": _origin(spoken),
    }
    data[block.entity] = block
    return {
        "specversion": "1.0",
        "id": identity,
        "source": account.source,
        "type": event_type,
        "subject": block.id,
        "time": item.occurred_at or spoken.statement.at or delivery.received_at,
        "datacontenttype": "application/json",
        "dataschema": DATASCHEMA,
        "data": data,
    }


def _origin(spoken: Spoken) -> dict[str, Any]:
    verified = spoken.verified
    return {
        "delivery_id": verified.delivery.id,
        "event_key": spoken.event_key,
        "event_type": spoken.item.event_type,
        "received_at": verified.delivery.received_at,
        "via": verified.delivery.via,
        "proof": verified.proof,
        "mapping": spoken.account.mapping,
        "replay_id": None,
        "corrects": None,
    }


def _payment_id(statement: Statement) -> str | None:
    return statement.block.id if statement.block.entity is Entity.PAYMENT else statement.payment_id


def _dump(event: dict[str, Any] | QuarantineEvent) -> bytes:
    return orjson.dumps(event, default=_exact, option=_OPTIONS)


def _exact(value: Any) -> orjson.Fragment:
    """Numbers of metadata that no 64-bit integer holds keep their digits."""
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} has no place in an event")
