"""The stories of the contract, record by record, told to every journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paymux.delivery import Proof
from tests.stories import answer, listed, tell, webhook

SAMPLES = Path(__file__).parents[2] / "src/paymux/sandbox/samples"


def sample(name: str) -> dict[str, Any]:
    return json.loads((SAMPLES / name).read_bytes())


def told_as(events) -> list[tuple[str, int]]:
    return [(event.type, event.sequence) for event in events]


def flexprice(event_type: str, status: str, **more: str) -> dict[str, Any]:
    payment = {
        "id": "pay_01K8ZQ3V5N7D2E4F6G8H0J1K2M",
        "destination_type": "INVOICE",
        "destination_id": "inv_01K8ZQ3V5N7D2E4F6G8H0J1K2N",
        "payment_method_type": "CARD",
        "amount": "120.5",
        "currency": "eur",
        "payment_status": status,
        "payment_gateway": "stripe",
        "invoice_number": "INV-2026-0042",
    }
    return {"event_type": event_type, "payment": payment | more}


def flexprice_refund(event_type: str, status: str, refund_id: str, destination: str, **more: Any) -> dict[str, Any]:
    refund = {
        "id": refund_id,
        "invoice_id": "inv_01K8ZQ3V5N7D2E4F6G8H0J1K2N",
        "payment_id": "pay_01K8ZQ3V5N7D2E4F6G8H0J1K2M",
        "amount": "120.5",
        "settled_amount": "0",
        "currency": "eur",
        "refund_status": status,
        "refund_reason": "SERVICE_ISSUE",
        "refund_destination": destination,
        "payment_gateway": "stripe",
        "attempt": 0,
    }
    return {"event_type": event_type, "refund": refund | more}


async def test_flexprice_payment_refunded_to_a_wallet_after_a_failed_refund(journal):
    """Seven events, sequences 1 to 7, though SUCCEEDED came twice and names disagree with statuses."""
    succeeded = flexprice("payment.updated", "SUCCEEDED", succeeded_at="2026-11-01T12:00:05Z")
    deliveries = [
        webhook("flexprice", flexprice("payment.pending", "PENDING"), key="msg_1"),
        webhook("flexprice", flexprice("payment.updated", "PROCESSING"), key="msg_2"),
        webhook("flexprice", succeeded, key="msg_3"),
        webhook("flexprice", succeeded, key="msg_3"),
        webhook("flexprice", flexprice_refund("refund.created", "PENDING", "re_1", "GATEWAY"), key="msg_4"),
        webhook("flexprice", flexprice_refund("refund.failed", "FAILED", "re_1", "GATEWAY"), key="msg_5"),
        webhook(
            "flexprice",
            flexprice_refund("refund.succeeded", "SUCCEEDED", "re_2", "WALLET", metadata={"retry_of": "re_1"}),
            key="msg_6",
        ),
        webhook("flexprice", flexprice("payment.updated", "REFUNDED"), key="msg_7"),
    ]
    events = await tell(journal, deliveries)
    assert told_as(events) == [
        ("payment.pending", 1),
        ("payment.processing", 2),
        ("payment.succeeded", 3),
        ("refund.pending", 4),
        ("refund.failed", 5),
        ("refund.succeeded", 6),
        ("payment.refunded", 7),
    ]
    assert {event.key for event in events} == {"flexprice/acme/pay_01K8ZQ3V5N7D2E4F6G8H0J1K2M"}
    wallet = events[5].event["data"]
    assert wallet["refund"]["destination"] == "wallet"
    assert wallet["refund"]["retry_of"] == "re_1"
    last = events[-1].event["data"]["lifecycle"]
    assert last["transition"] == "repeated"
    assert last["state"]["status"] == "succeeded"
    assert last["state"]["refund_state"] == "full"
    assert last["state"]["refunded"] == {"minor": 12050, "currency": "EUR", "exponent": 2}


async def test_flexportal_payment_that_failed_and_was_collected_later(journal):
    """The hint publishes nothing; GET says failed, then paid; the list afterwards adds nothing."""
    failed, paid = sample("flexportal/api/payment--failed.json"), sample("flexportal/api/payment--failed.json")
    paid["payment"] |= {"status": "paid", "paidAt": "2026-11-03T08:00:00Z", "updatedAt": "2026-11-03T08:00:01Z"}
    object_id = failed["payment"]["paymentId"]
    hint = sample("flexportal/webhooks/payment.failed.json")
    page = {"success": True, "payments": [paid["payment"]], "count": 1, "hasMore": False, "nextCursor": None}
    events = await tell(
        journal,
        [
            webhook("flexportal", hint, proof=Proof.HINT),
            answer("flexportal", "payment", object_id, failed),
            webhook("flexportal", hint, proof=Proof.HINT),
            answer("flexportal", "payment", object_id, paid),
            listed("flexportal", page),
        ],
    )
    assert [(e.type, e.sequence, e.transition) for e in events] == [
        ("payment.failed", 1, "first"),
        ("payment.succeeded", 2, "retried"),
    ]
    assert {e.event["data"]["origin"]["proof"] for e in events} == {"api"}


def stripe(name: str, event_id: str, created: int) -> dict[str, Any]:
    return sample(f"stripe/webhooks/{name}.json") | {"id": event_id, "created": created}


async def test_stripe_payment_disputed_and_lost(journal):
    """The PaymentIntent speaks for the status, its charge gives facts; eight events, sequences 1 to 8."""
    names = [
        ("charge.succeeded", 1_793_534_400),
        ("payment_intent.succeeded", 1_793_534_401),
        ("payment_intent.created", 1_793_534_390),
        ("charge.refunded", 1_793_620_800),
        ("refund.updated", 1_793_620_801),
        ("charge.dispute.created", 1_793_707_200),
        ("charge.dispute.funds_withdrawn", 1_793_707_201),
        ("charge.dispute.closed", 1_794_312_000),
    ]
    deliveries = [
        webhook("stripe", stripe(name, f"evt_{number}", created)) for number, (name, created) in enumerate(names)
    ]
    events = await tell(journal, deliveries)
    assert [(e.type, e.sequence, e.transition) for e in events] == [
        ("payment.updated", 1, None),
        ("payment.succeeded", 2, "first"),
        ("payment.updated", 3, "stale"),
        ("payment.partially_refunded", 4, None),
        ("refund.succeeded", 5, "first"),
        ("dispute.needs_response", 6, "first"),
        ("dispute.funds_withdrawn", 7, "repeated"),
        ("dispute.lost", 8, "advanced"),
    ]
    assert len({e.key for e in events}) == 1
    assert events[-1].event["data"]["lifecycle"]["state"]["disputed"] is True


async def test_flowglad_payment_partly_refunded_later(journal):
    """A webhook is only an id; two answers of the API make two events."""
    head = sample("flowglad/webhooks/payment.succeeded.json")
    succeeded = sample("flowglad/api/payment.json")
    refunded = sample("flowglad/api/payment--partially-refunded.json")
    object_id = succeeded["payment"]["id"]
    assert refunded["payment"]["id"] == object_id
    events = await tell(
        journal,
        [
            webhook("flowglad", head, key="msg_1"),
            webhook("flowglad", head, key="msg_1"),
            answer("flowglad", "payment", object_id, succeeded),
            answer("flowglad", "payment", object_id, succeeded),
            answer("flowglad", "payment", object_id, refunded),
        ],
    )
    assert told_as(events) == [("payment.succeeded", 1), ("payment.partially_refunded", 2)]
    assert events[-1].event["data"]["lifecycle"]["state"]["refund_state"] == "partial"
