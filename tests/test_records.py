"""Records byte for byte: ids and keys that were published once never change, so their values stand here."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID, uuid5

import pytest

from paymux.canonical import (
    Dispute,
    DisputeStatus,
    Entity,
    Lifecycle,
    Payment,
    PaymentStatus,
    Payout,
    PayoutStatus,
    QuarantineData,
    Refund,
    RefundStatus,
    State,
    Transition,
    parse_event,
)
from paymux.delivery import Delivery, Proof, Verified, Via
from paymux.lifecycle import Announcement
from paymux.money import Money
from paymux.provider import Account
from paymux.records import (
    Spoken,
    Topics,
    entity_key,
    event_id,
    event_record,
    is_snapshot,
    offline_events,
    quarantine_record,
)
from paymux.statement import Fact, Ignored, Item, Lookup, Quarantined, Stated, Statement
from paymux.translate import translate
from tests.journal.tiny import TINY, batch, says

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
ACCOUNT = Account(provider=TINY, name="acme", livemode=True)
DELIVERY = Delivery(
    id="0199c0de-0000-7000-8000-000000000001",
    provider="tiny",
    account="acme",
    received_at=NOON + timedelta(seconds=3, microseconds=120_000),
    body=b"{}",
)
VERIFIED = Verified(DELIVERY, Proof.SIGNATURE, 0)
PAYMENT = Statement(
    block=Payment(id="p1", status=PaymentStatus.SUCCEEDED, amount=Money(4999, "EUR", 2), metadata={"order": "7"}),
    at=NOON,
)
BLOCKS = {
    "payment": PAYMENT.block,
    "refund": Refund(id="r1", payment_id="p1", status=RefundStatus.PENDING),
    "dispute": Dispute(id="d1", payment_id="p1", status=DisputeStatus.LOST),
    "payout": Payout(id="po1", status=PayoutStatus.PAID),
}
STATE = State(
    status=PaymentStatus.SUCCEEDED,
    amount=Money(4999, "EUR", 2),
    captured=None,
    refunded=None,
    refund_state="none",
    disputed=False,
)


def item(statement=PAYMENT, **more):
    values = {
        "position": None,
        "event_key": "evt_1",
        "event_type": "payment",
        "occurred_at": NOON,
        "livemode": True,
        "outcome": Stated(statements=(statement,)),
        "fingerprint": "",
    }
    return Item(**values | more)


def record(statement=PAYMENT, *, verified=VERIFIED, of=None, event_type="payment.succeeded", slot="status", life=None):
    spoken = Spoken(
        account=ACCOUNT, verified=verified, item=of or item(statement), statement=statement, event_key="evt_1"
    )
    life = life or Lifecycle(sequence=3, transition=Transition.ADVANCED, previous_status="processing", state=STATE)
    announcement = Announcement(slot=slot, type=event_type, lifecycle=life)
    return event_record(spoken, announcement, topic="events", key="tiny/acme/p1", payment_id="p1")


# --- golden values: a change here breaks every consumer that remembers ids

GOLDEN_IDS = [
    ("payment", "evt_1", "status", "22b4f408-0936-5016-a32e-a2857b502575"),
    ("payment", "evt_1", "refunded", "75fe8897-3679-5083-9a79-4077eef585d6"),
    ("payment", "evt_2", "status", "d8b3f6cc-b4ca-5387-a3fd-0cd70484e37c"),
    ("refund", "evt_1", "status", "3afa5b7e-a778-57e3-bde7-54aad629e2ca"),
    ("dispute", "evt_1", "funds_withdrawn", "99abe6eb-1c9c-5222-b1ab-5bdfca663bed"),
    ("payout", "evt_1", "status", "e0baf04a-16bc-54f8-9ef5-8977a2208c45"),
]


@pytest.mark.parametrize(("block", "key", "slot", "expected"), GOLDEN_IDS)
def test_event_ids_never_change(block, key, slot, expected):
    """The id published for this statement since the first release."""
    assert event_id(ACCOUNT, key, Statement(block=BLOCKS[block]), slot) == expected


@pytest.mark.parametrize(("block", "key", "slot", "expected"), GOLDEN_IDS)
def test_event_ids_are_what_the_contract_says(block, key, slot, expected):
    """uuid5 over provider, account, event key, entity, entity id and slot, as any other program can make it."""
    namespace = UUID("6f3d2f0e-6a4e-5d0f-9d53-0b6a2b0f7c11")
    parts = ("tiny", "acme", key, block, BLOCKS[block].id, slot)
    assert str(uuid5(namespace, "\n".join(parts))) == expected


@pytest.mark.parametrize(
    ("position", "attempt", "expected"),
    [
        (None, 1, "852a1363-47da-5613-8b49-5d146d20e2c3"),
        (0, 1, "ca280ba8-275e-58d5-bcd7-34c5fba075bf"),
        (2, 1, "a0b72556-aeb3-5a77-b888-36a142b83e3c"),
        (2, 2, "d0deff38-22d7-5235-8a29-81df67344bf0"),
    ],
)
def test_quarantine_ids_never_change(position, attempt, expected):
    """uuid5 over delivery id, item and attempt."""
    data = replace(QUARANTINED, item=position)
    assert quarantine_record(data, topic="quarantine", attempt=attempt).event_id == expected
    namespace = UUID("b8f1c1d4-52b5-5a38-8f2e-6f1f3c0a9e27")
    assert str(uuid5(namespace, f"{DELIVERY.id}\n{position}\n{attempt}")) == expected


def test_keys_never_change():
    """provider/account/payment id; for an entity of its own the entity id. Topics likewise."""
    assert entity_key(ACCOUNT, "pay_q7Mk2Np8Vr4Xt6Yz9Ab3Cd5E") == "tiny/acme/pay_q7Mk2Np8Vr4Xt6Yz9Ab3Cd5E"
    assert Topics() == Topics(events="payments.events.v1", quarantine="payments.quarantine.v1")


def test_an_id_follows_from_what_was_said_alone():
    """Not from the status, the amount, the position, the delivery, or the mapping's version; from all else."""
    same = [
        replace(PAYMENT, block=replace(PAYMENT.block, status=PaymentStatus.FAILED)),
        replace(PAYMENT, block=replace(PAYMENT.block, amount=None), at=None),
        replace(PAYMENT, facts=(Fact(name="settled"),)),
    ]
    first = event_id(ACCOUNT, "evt_1", PAYMENT, "status")
    assert {event_id(ACCOUNT, "evt_1", statement, "status") for statement in same} == {first}
    newer = replace(ACCOUNT, provider=replace(TINY, mapping=9))
    assert event_id(newer, "evt_1", PAYMENT, "status") == first
    others = {
        event_id(replace(ACCOUNT, name="other"), "evt_1", PAYMENT, "status"),
        event_id(replace(ACCOUNT, provider=replace(TINY, name="other")), "evt_1", PAYMENT, "status"),
        event_id(ACCOUNT, "evt_2", PAYMENT, "status"),
        event_id(ACCOUNT, "evt_1", PAYMENT, "settled"),
        event_id(ACCOUNT, "evt_1", replace(PAYMENT, block=replace(PAYMENT.block, id="p2")), "status"),
        event_id(ACCOUNT, "evt_1", Statement(block=replace(BLOCKS["refund"], id="p1")), "status"),
    }
    assert len(others | {first}) == 7


# --- the event record


def test_the_headers_of_an_event():
    """They repeat what a consumer filters by, in this order."""
    made = record()
    assert made.headers == (
        ("content-type", b"application/cloudevents+json"),
        ("ce_id", made.event_id.encode()),
        ("ce_type", b"payment.succeeded"),
        ("ce_source", b"/paymux/tiny/acme"),
        ("paymux_sequence", b"3"),
        ("paymux_transition", b"advanced"),
    )
    assert (made.topic, made.key) == ("events", b"tiny/acme/p1")


def test_an_event_without_transition():
    """No header for it: there is nothing to filter by."""
    life = Lifecycle(sequence=1, transition=None, previous_status=None, state=STATE)
    assert "paymux_transition" not in dict(record(life=life).headers)


def test_the_value_of_an_event():
    """Every key is there; what is not known is null; times are UTC with a Z."""
    event = json.loads(record().value)
    assert event["id"] == record().event_id
    assert {key: value for key, value in event.items() if key not in ("id", "data")} == {
        "specversion": "1.0",
        "source": "/paymux/tiny/acme",
        "type": "payment.succeeded",
        "subject": "p1",
        "time": "2026-11-01T12:00:00Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:paymux:payment-event:1",
    }
    data = event["data"]
    assert data["payment"] | {"status": "succeeded"} == data["payment"]
    assert set(data["payment"]) == {field.name for field in fields(Payment)}
    assert (data["refund"], data["dispute"], data["payout"]) == (None, None, None)
    assert data["lifecycle"] == {
        "sequence": 3,
        "transition": "advanced",
        "previous_status": "processing",
        "state": {
            "status": "succeeded",
            "amount": {"minor": 4999, "currency": "EUR", "exponent": 2},
            "captured": None,
            "refunded": None,
            "refund_state": "none",
            "disputed": False,
        },
    }
    assert data["origin"] == {
        "delivery_id": DELIVERY.id,
        "event_key": "evt_1",
        "event_type": "payment",
        "received_at": "2026-11-01T12:00:03.120000Z",
        "via": "webhook",
        "proof": "signature",
        "mapping": "tiny/1",
        "replay_id": None,
        "corrects": None,
    }


@pytest.mark.parametrize("entity", Entity)
def test_the_value_is_the_published_contract(entity):
    """A consumer's strict reader takes it, with exactly the block of its entity filled."""
    statement = Statement(block=BLOCKS[entity], at=NOON)
    made = record(statement, event_type=f"{entity}.updated")
    event = parse_event(made.value)
    filled = [name for name in ("payment", "refund", "dispute", "payout") if getattr(event.data, name) is not None]
    assert filled == [entity]
    assert event.subject == BLOCKS[entity].id
    assert event.data.entity is entity


@pytest.mark.parametrize(
    ("occurred_at", "at", "expected"),
    [
        (NOON, NOON + timedelta(hours=1), "2026-11-01T12:00:00Z"),
        (None, NOON + timedelta(hours=1), "2026-11-01T13:00:00Z"),
        (None, None, "2026-11-01T12:00:03.120000Z"),
        (NOON.astimezone(timezone(timedelta(hours=5))), None, "2026-11-01T17:00:00+05:00"),
    ],
)
def test_the_time_of_an_event(occurred_at, at, expected):
    """The provider's time of the event, else the object's, else that of receipt."""
    statement = replace(PAYMENT, at=at)
    made = record(statement, of=item(statement, occurred_at=occurred_at))
    assert json.loads(made.value)["time"] == expected


def test_metadata_with_numbers_that_no_64_bits_hold():
    """Their digits stay; what no JSON can hold breaks loudly, so that it is quarantined."""
    exact = {"big": Decimal(2**70), "rate": Decimal("0.1234567890123456789012345")}
    made = record(replace(PAYMENT, block=replace(PAYMENT.block, metadata=exact)))
    assert b'"big":1180591620717411303424,"rate":0.1234567890123456789012345' in made.value
    for wrong in (Decimal("NaN"), Decimal("Infinity"), object(), {1, 2}):
        with pytest.raises(TypeError):
            record(replace(PAYMENT, block=replace(PAYMENT.block, metadata={"wrong": wrong})))


def test_the_size_of_a_record():
    """Never less than what a broker counts: key, value, headers, and what frames them."""
    made = record()
    contents = len(made.key) + len(made.value) + sum(len(name) + len(value) for name, value in made.headers)
    framing = 5 + 1 + 10 + 5 + 5 + 5 + 5 + len(made.headers) * 10  # varints of a record, the longest they can be
    assert made.size >= contents + framing


# --- card numbers


def test_no_card_number_reaches_a_record():
    """Sent as an event type that nobody knows, it is masked in the quarantine record."""
    card = "4242 4242 4242 4242"
    (found,) = translate(ACCOUNT, batch(says(f"odd {card}", "e2", note=card)))
    assert isinstance(found.outcome, Quarantined)
    data = replace(QUARANTINED, detail=found.outcome.detail, event_type=found.event_type)
    value = quarantine_record(data, topic="quarantine").value
    assert b"odd ************4242" in value
    assert b"4242 4242" not in value


# --- quarantine

QUARANTINED = QuarantineData(
    provider="tiny",
    account="acme",
    livemode=None,
    delivery_id=DELIVERY.id,
    item=None,
    reason="shape",
    path="/data/amount",
    detail="expected an integer, found a string",
    event_key="evt_1",
    event_type="payment",
    received_at=NOON,
)


def test_a_quarantine_record():
    """Key and subject are the delivery id; no sequence."""
    made = quarantine_record(QUARANTINED, topic="quarantine")
    assert (made.topic, made.key) == ("quarantine", DELIVERY.id.encode())
    assert made.headers == (
        ("content-type", b"application/cloudevents+json"),
        ("ce_id", made.event_id.encode()),
        ("ce_type", b"paymux.quarantined"),
        ("ce_source", b"/paymux/tiny/acme"),
        ("paymux_reason", b"shape"),
    )
    event = json.loads(made.value)
    assert (event["subject"], event["type"], event["time"]) == (
        DELIVERY.id,
        "paymux.quarantined",
        "2026-11-01T12:00:00Z",
    )
    assert event["data"] == {
        "provider": "tiny",
        "account": "acme",
        "livemode": None,
        "delivery_id": DELIVERY.id,
        "item": None,
        "reason": "shape",
        "path": "/data/amount",
        "detail": "expected an integer, found a string",
        "event_key": "evt_1",
        "event_type": "payment",
        "received_at": "2026-11-01T12:00:00Z",
    }


# --- offline


def test_offline_events():
    """lifecycle is null, the ids are those that the journal would give, and the form is the contract's."""
    statement = replace(PAYMENT, facts=(Fact(name="settled", says=(1,)),))
    events = [parse_event(value) for value in offline_events(ACCOUNT, VERIFIED, item(statement))]
    assert [event.type for event in events] == ["payment.succeeded", "payment.settled"]
    assert [event.id for event in events] == [
        event_id(ACCOUNT, "evt_1", statement, "status"),
        event_id(ACCOUNT, "evt_1", statement, "settled"),
    ]
    assert {event.data.lifecycle for event in events} == {None}
    assert {event.data.payment_id for event in events} == {"p1"}


def test_offline_events_of_others():
    """A refund names its payment; a payout has none; an item without a key is known by its delivery."""
    (refund,) = offline_events(ACCOUNT, VERIFIED, item(Statement(block=BLOCKS["refund"], payment_id="p1")))
    (payout,) = offline_events(ACCOUNT, VERIFIED, item(Statement(block=BLOCKS["payout"]), event_key=None))
    assert parse_event(refund).data.payment_id == "p1"
    assert parse_event(payout).data.payment_id is None
    assert parse_event(payout).data.origin.event_key == DELIVERY.id


@pytest.mark.parametrize(
    "outcome", [Ignored(), Quarantined(reason="shape"), Lookup(objects=())], ids=lambda o: type(o).__name__
)
def test_offline_nothing_is_stated(outcome):
    """No event."""
    assert offline_events(ACCOUNT, VERIFIED, item(outcome=outcome)) == []


@pytest.mark.parametrize("via", Via)
def test_what_is_a_snapshot(via):
    """Everything but a webhook publishes only what changes the known state."""
    assert is_snapshot(Verified(replace(DELIVERY, via=via), Proof.API)) is (via is not Via.WEBHOOK)
