"""Every order of arrival, and every repetition, ends in the same state."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paymux import lifecycle
from paymux.journal import Entry
from paymux.journal.changes import Counters, Rules
from paymux.journal.decide import Unit
from paymux.journal.memory import MemoryStore
from paymux.records import Topics
from paymux.translate import translate
from tests.journal.test_stories import flexprice, flexprice_refund, sample, stripe
from tests.stories import account, answer, webhook

NOW = datetime(2026, 11, 1, tzinfo=UTC)
INTENT = "pi_3T7KcyQm4Rw8LxHb0gYt6ZpA"
_INTENT_ID = re.compile(r"\bpi_[A-Za-z0-9]{20,30}\b")


def flexprice_story():
    bodies = [
        flexprice("payment.created", "INITIATED"),
        flexprice("payment.pending", "PENDING"),
        flexprice("payment.updated", "PROCESSING"),
        flexprice("payment.updated", "SUCCEEDED"),
        flexprice_refund("refund.created", "PENDING", "re_1", "GATEWAY"),
        flexprice_refund("refund.failed", "FAILED", "re_1", "GATEWAY"),
        flexprice_refund("refund.succeeded", "SUCCEEDED", "re_2", "WALLET"),
        flexprice("payment.updated", "PARTIALLY_REFUNDED"),
        flexprice("payment.updated", "REFUNDED"),
    ]
    return [webhook("flexprice", body, key=f"msg_{number}") for number, body in enumerate(bodies)]


def stripe_story():
    names = [
        ("payment_intent.created", 1_793_534_390),
        ("payment_intent.requires_action", 1_793_534_395),
        ("payment_intent.payment_failed", 1_793_534_396),
        ("payment_intent.processing", 1_793_534_397),
        ("charge.succeeded", 1_793_534_400),
        ("payment_intent.succeeded", 1_793_534_401),
        ("charge.refunded", 1_793_620_800),
        ("refund.created", 1_793_620_800),
        ("refund.updated", 1_793_620_801),
        ("charge.dispute.created", 1_793_707_200),
        ("charge.dispute.funds_withdrawn", 1_793_707_201),
        ("charge.dispute.closed", 1_794_312_000),
    ]
    bodies = [stripe(name, f"evt_{number}", created) for number, (name, created) in enumerate(names)]
    return [webhook("stripe", json.loads(_INTENT_ID.sub(INTENT, json.dumps(body)))) for body in bodies]


def stripe_refund_by_charge():
    """A refund and a dispute that name only their charge, and the charge that tells whose it is."""
    refund = stripe("refund.updated", "evt_r", 1_793_620_801)
    refund["data"]["object"] |= {"payment_intent": None}
    return [
        webhook("stripe", refund),
        webhook("stripe", stripe("charge.succeeded", "evt_c", 1_793_534_400)),
        webhook("stripe", stripe("payment_intent.succeeded", "evt_p", 1_793_534_401)),
    ]


def flexportal_story():
    failed = sample("flexportal/api/payment--failed.json")
    object_id = failed["payment"]["paymentId"]
    steps = [
        ("pending", "2026-11-01T08:00:00Z"),
        ("processing", "2026-11-02T08:00:00Z"),
        ("failed", "2026-11-02T08:01:00Z"),
        ("processing", "2026-11-05T08:00:00Z"),
        ("paid", "2026-11-05T08:02:00Z"),
    ]
    bodies = [{**failed, "payment": failed["payment"] | {"status": s, "updatedAt": at}} for s, at in steps]
    return [answer("flexportal", "payment", object_id, body) for body in bodies]


STORIES = {
    "flexprice": flexprice_story(),
    "stripe": stripe_story(),
    "stripe_refund_by_charge": stripe_refund_by_charge(),
    "flexportal": flexportal_story(),
}


def run(deliveries):
    """The store after these deliveries, one commit each, and the published events."""
    store, counters, rules, events = MemoryStore(), Counters(), Rules(topics=Topics()), []
    for verified in deliveries:
        unit = Unit(store, counters, rules, NOW)
        of = account(verified.delivery.provider)
        unit.append(Entry(account=of, verified=verified, items=translate(of, verified)))
        store.apply(unit.changes)
        events += [json.loads(row.record.value) for row in unit.changes.outbox]
    return store, events


def final_states(store):
    """What is known of each payment; of an entity under a key of its own only its amounts and status join."""
    payments = {
        name: known
        for name, known in store.payments.items()
        if any(standing.startswith("payment/") for standing in known.standings)
    }
    return {name: lifecycle.state_of(known, name.rsplit("/", 1)[1]) for name, known in payments.items()}


@pytest.mark.parametrize("story", STORIES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_order_of_arrival_ends_in_the_same_state(story, data):
    """Permuted and with repetitions: equal final state, gap-free sequences, each status announced at most once
    for each time it is entered.
    """
    deliveries = STORIES[story]
    arrival = data.draw(st.permutations(deliveries)) + data.draw(st.lists(st.sampled_from(deliveries), max_size=4))
    store, events = run(arrival)
    assert final_states(store) == final_states(run(deliveries)[0])
    assert len(final_states(store)) == 1
    _check_sequences(events)
    _check_announcements(events, deliveries)


def _check_sequences(events):
    by_key: dict[str, list[int]] = {}
    for event in events:
        assert event["type"].partition(".")[0] in {"payment", "refund", "dispute"}, event
        data = event["data"]
        own = data["entity"] != "payment" and data["lifecycle"]["state"] is None
        by_key.setdefault(event["subject"] if own else data["payment_id"], []).append(data["lifecycle"]["sequence"])
    for sequences in by_key.values():
        assert sequences == list(range(1, len(sequences) + 1)), by_key


def _check_announcements(events, deliveries):
    entered = Counter((e["subject"], e["type"]) for e in events if _is_status(e))
    stated = Counter()
    for verified in deliveries:
        for item in translate(account(verified.delivery.provider), verified):
            for statement in getattr(item.outcome, "statements", ()):
                block = statement.block
                stated[block.id, f"{block.entity}.{block.status}"] += 1
    for name, count in entered.items():
        assert count <= stated[name], name


def _is_status(event) -> bool:
    block = event["data"][event["data"]["entity"]]
    return event["type"] == f"{event['data']['entity']}.{block['status']}"


def test_ids_do_not_depend_on_the_order_of_arrival():
    """The same statement has the same event id, whatever came before."""
    deliveries = STORIES["stripe"]
    ids = [{(e["id"], e["subject"]) for e in run(order)[1]} for order in (deliveries, deliveries[::-1])]
    common = ids[0] & ids[1]
    assert len(common) >= len(deliveries) - 2
