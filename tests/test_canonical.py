"""The published event: what event.md shows is what canonical.py reads and what is written."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime

import orjson
import pytest
from pydantic import ValidationError

from paymux.canonical import (
    EVENT,
    EVENT_TYPES,
    STATUSES,
    Data,
    Dispute,
    Entity,
    Lifecycle,
    Payment,
    PaymentEvent,
    PaymentStatus,
    Payout,
    QuarantineEvent,
    Refund,
    Transition,
    parse_event,
)
from paymux.delivery import Proof, Via
from paymux.money import Money

# The contract's own example, whole.
EXAMPLE = """
{
  "specversion": "1.0",
  "id": "0b0c6f0e-5f0a-5c5e-9d53-0b6a2b0f7c11",
  "source": "/paymux/flowlix/acme",
  "type": "payment.succeeded",
  "subject": "pay_q7Mk2Np8Vr4Xt6Yz9Ab3Cd5E",
  "time": "2024-07-01T00:00:42Z",
  "datacontenttype": "application/json",
  "dataschema": "urn:paymux:payment-event:1",
  "data": {
    "provider": "flowlix", "account": "acme", "livemode": false,
    "entity": "payment", "payment_id": "pay_q7Mk2Np8Vr4Xt6Yz9Ab3Cd5E",
    "payment": {
      "id": "pay_q7Mk2Np8Vr4Xt6Yz9Ab3Cd5E", "purpose": "payment",
      "status": "succeeded", "provider_status": "SUCCEEDED",
      "amount": {"minor": 4999, "currency": "EUR", "exponent": 2},
      "amount_authorized": null, "amount_captured": null, "amount_refunded": {"minor": 0, "currency": "EUR", "exponent": 2},
      "fee": null, "settlement": null, "breakdown": null, "line_items": null,
      "method": {"type": "card", "brand": "visa", "last4": "4242", "wallet": null},
      "customer_id": null, "invoice_id": null, "subscription_id": null, "reference": "ord_1234", "description": null,
      "failure": null,
      "created_at": "2024-07-01T00:00:00Z", "updated_at": null, "due_at": null, "paid_at": null, "settled_at": null, "next_retry_at": null,
      "metadata": {"order_id": "ord_1234"}
    },
    "refund": null, "dispute": null, "payout": null,
    "lifecycle": {
      "sequence": 3, "transition": "advanced", "previous_status": "processing",
      "state": {"status": "succeeded", "amount": {"minor": 4999, "currency": "EUR", "exponent": 2},
                "captured": null, "refunded": {"minor": 0, "currency": "EUR", "exponent": 2}, "refund_state": "none", "disputed": false}
    },
    "origin": {
      "delivery_id": "0190b2a6-0000-7000-8000-000000000001", "event_key": "evt_8Xq2Lw5Rt9Yc3Vn7Bm4Kd6Pa", "event_type": "payment.succeeded",
      "received_at": "2024-07-01T00:00:43.120Z", "via": "webhook", "proof": "signature", "mapping": "flowlix/1",
      "replay_id": null, "corrects": null
    }
  }
}
"""


def changed(*path, to):
    """The example with another value at one place."""
    event = json.loads(EXAMPLE)
    here = event
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = to
    return json.dumps(event).encode()


def keys(value):
    """Every key in the order in which it stands, the keys of nested objects included."""
    if isinstance(value, list):
        return [keys(each) for each in value]
    return [(key, keys(each)) for key, each in value.items()] if isinstance(value, dict) else None


def test_the_contracts_example():
    """It is read in strict mode, into the types that the code works with."""
    event = parse_event(EXAMPLE.encode())

    assert event == EVENT.validate_json(EXAMPLE, strict=True)
    assert event.time == datetime(2024, 7, 1, 0, 0, 42, tzinfo=UTC)
    assert event.data.entity is Entity.PAYMENT
    assert event.data.payment.status is PaymentStatus.SUCCEEDED
    assert event.data.payment.amount == Money(4999, "EUR", 2)
    assert event.data.lifecycle.transition is Transition.ADVANCED
    assert (event.data.origin.via, event.data.origin.proof) == (Via.WEBHOOK, Proof.SIGNATURE)


def test_the_example_written_again():
    """The same keys in the same order, every one of them, and the same values: nothing internal is added."""
    expected = json.loads(EXAMPLE)

    written = orjson.loads(orjson.dumps(parse_event(EXAMPLE.encode()), option=orjson.OPT_UTC_Z))

    assert keys(written) == keys(expected)
    assert written.pop("time") == expected.pop("time")
    assert written["data"]["origin"].pop("received_at") == "2024-07-01T00:00:43.120000Z"
    expected["data"]["origin"].pop("received_at")
    assert written == expected


@pytest.mark.parametrize("block", [Payment, Refund, Dispute, Payout])
def test_a_block_alone(block):
    """Every key is there, what is not known is null, and the entity is not among them: it stands beside the block."""
    written = orjson.loads(orjson.dumps(block(id="x_1")))

    assert list(written) == [field.name for field in fields(block)]
    assert "entity" not in written
    assert {key for key, value in written.items() if value is not None} <= {"id", "purpose"}


def test_the_blocks_of_the_contract():
    """Each entity has a block of its name in `data`."""
    assert {block.entity.value for block in (Payment, Refund, Dispute, Payout)} == {entity.value for entity in Entity}
    assert {entity.value for entity in Entity} <= {field.name for field in fields(Data)}


def test_every_event_type():
    """Each status of each entity, each entity's `updated`, and the facts: the contract's table, and nothing else."""
    statuses = {
        "payment": "pending requires_action processing authorized partially_captured succeeded failed canceled expired",
        "refund": "pending requires_action processing succeeded failed canceled",
        "dispute": "inquiry needs_response under_review accepted expired canceled won lost",
        "payout": "pending in_transit paid failed canceled returned",
    }
    facts = {
        "payment": "attempt_failed overpaid partially_refunded refunded settled",
        "dispute": "funds_withdrawn funds_reinstated",
    }
    expected = [
        f"{entity}.{name}"
        for entity, words in statuses.items()
        for name in [*words.split(), "updated", *facts.get(entity, "").split()]
    ]

    assert list(EVENT_TYPES) == expected
    assert {entity.value: " ".join(STATUSES[entity]) for entity in Entity} == statuses


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("data", "payment", "amount", "minor"), "4999"),
        (("data", "payment", "amount", "minor"), 49.99),
        (("data", "payment", "amount", "minor"), True),
        (("data", "payment", "amount", "currency"), None),
        (("data", "payment", "status"), "SUCCEEDED"),
        (("data", "payment", "status"), "refunded"),
        (("data", "payment", "purpose"), None),
        (("data", "entity"), "invoice"),
        (("data", "livemode"), "false"),
        (("data", "lifecycle", "sequence"), 0),
        (("data", "lifecycle", "sequence"), None),
        (("data", "lifecycle", "transition"), "moved"),
        (("data", "lifecycle", "state", "refund_state"), "some"),
        (("data", "origin", "via"), "email"),
        (("data", "origin", "proof"), None),
        (("data", "origin", "received_at"), None),
        (("id",), None),
        (("source",), None),
        (("type",), None),
        (("time",), "yesterday"),
        (("time",), None),
        (("specversion",), "2.0"),
    ],
)
def test_an_event_that_breaks_the_contract(path, value):
    """The reader refuses it: nothing is converted, and what is never null is not null."""
    with pytest.raises(ValidationError):
        parse_event(changed(*path, to=value))


@pytest.mark.parametrize(
    "path", [("data", "livemode"), ("data", "payment_id"), ("data", "lifecycle"), ("data", "origin", "event_type")]
)
def test_what_may_be_null(path):
    """The contract says where nothing may be known."""
    assert parse_event(changed(*path, to=None)).id


@pytest.mark.parametrize("key", ["id", "source", "type", "subject", "time", "data"])
def test_a_missing_key(key):
    """An envelope without it is no event."""
    event = json.loads(EXAMPLE)
    del event[key]
    with pytest.raises(ValidationError):
        parse_event(json.dumps(event).encode())


def test_the_transitions_of_the_contract():
    """These words and no others."""
    words = "first advanced repeated stale retried reversed unexpected corrected"
    assert " ".join(Transition) == words
    assert {field.name for field in fields(Lifecycle)} == {"sequence", "transition", "previous_status", "state"}


def test_the_constants_of_the_envelope():
    """CloudEvents 1.0, structured mode, with the schema's name."""
    constants = {field.name: field.default for field in fields(PaymentEvent) if isinstance(field.default, str)}
    assert constants == {
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "dataschema": "urn:paymux:payment-event:1",
    }
    assert {field.name: field.default for field in fields(QuarantineEvent)}["type"] == "paymux.quarantined"
