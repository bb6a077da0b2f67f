"""The rules of docs and contract about status, transition, type, fact and state, one table each."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paymux.canonical import (
    FACT_TYPES,
    STATUSES,
    Dispute,
    DisputeStatus,
    Entity,
    Payment,
    PaymentStatus,
    Payout,
    PayoutStatus,
    Refund,
    RefundStatus,
)
from paymux.lifecycle import Heard, Known, announcements, dump, join, load, offline, read, state_of
from paymux.money import Money
from paymux.provider import FINAL, RANKS, Transitions
from paymux.statement import Fact, Statement, refunded

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
MOVES = {
    Entity.PAYMENT: {"failed": frozenset({"processing"}), "succeeded": frozenset({"canceled"})},
    Entity.REFUND: {"succeeded": frozenset({"failed"})},
    Entity.DISPUTE: {"won": frozenset({"needs_response"})},
    Entity.PAYOUT: {"failed": frozenset({"returned"})},
}
BY_TIME = Transitions(moves=MOVES)
BY_RANK = Transitions(orders_by="rank", moves=MOVES)
_keys = itertools.count(1)


def eur(minor):
    return None if minor is None else Money(minor, "EUR", 2)


def at(seconds):
    return None if seconds is None else NOON + timedelta(seconds=seconds)


def payment(status=None, after=0, *, amount=None, captured=None, back=None, facts=(), **more):
    block = Payment(
        id="p1",
        status=None if status is None else PaymentStatus(status),
        amount=eur(amount),
        amount_captured=eur(captured),
        amount_refunded=eur(back),
    )
    return Statement(block=block, at=at(after), facts=tuple(facts), **more)


def refund(status=None, after=0, *, name="r1", amount=None):
    block = Refund(id=name, payment_id="p1", status=status and RefundStatus(status), amount=eur(amount))
    return Statement(block=block, at=at(after), payment_id="p1")


def dispute(status, after=0, *, name="d1", facts=()):
    block = Dispute(id=name, payment_id="p1", status=DisputeStatus(status))
    return Statement(block=block, at=at(after), payment_id="p1", facts=tuple(facts))


def payout(status, after=0):
    return Statement(block=Payout(id="po1", status=PayoutStatus(status)), at=at(after))


MAKERS = {Entity.PAYMENT: payment, Entity.REFUND: refund, Entity.DISPUTE: dispute, Entity.PAYOUT: payout}


def hear(known, statement, transitions=BY_TIME, *, key=None, snapshot=False):
    """What is known afterwards, and the events."""
    heard = Heard(transitions=transitions, event_key=key or f"evt_{next(_keys):06d}", snapshot=snapshot)
    reading = read(known, statement, heard)
    after = join(known, statement, reading, announced=len(reading.events))
    return after, announcements(known, reading, state_of(after, "p1"))


def told(*statements, transitions=BY_TIME, snapshot=False):
    """The events of statements heard one after the other, as (type, transition)."""
    known, found = Known(), []
    for statement in statements:
        known, events = hear(known, statement, transitions, snapshot=snapshot)
        found += [(event.type, event.lifecycle.transition) for event in events]
    return found


def state(*statements, transitions=BY_TIME):
    known = Known()
    for statement in statements:
        known, _ = hear(known, statement, transitions)
    return state_of(known, "p1")


# --- transitions

TRANSITIONS = [
    # statuses as (status, seconds), the last one's type and transition
    ([("pending", 0)], "payment.pending", "first"),
    ([("pending", 0), ("processing", 1)], "payment.processing", "advanced"),
    ([("processing", 0), ("pending", 1)], "payment.pending", "advanced"),
    ([("pending", 0), ("succeeded", 0)], "payment.succeeded", "advanced"),
    ([("succeeded", 0), ("pending", 0)], "payment.updated", "stale"),
    ([("processing", 0), ("processing", 0)], "payment.updated", "repeated"),
    ([("processing", 0), ("processing", 1)], "payment.updated", "repeated"),
    ([("processing", 1), ("processing", 0)], "payment.updated", "stale"),
    ([("processing", 1), ("pending", 0)], "payment.updated", "stale"),
    ([("failed", 0), ("processing", 1)], "payment.processing", "retried"),
    ([("failed", 0), ("succeeded", 1)], "payment.succeeded", "retried"),
    ([("failed", 0), ("pending", 1)], "payment.pending", "unexpected"),
    ([("succeeded", 0), ("canceled", 1)], "payment.canceled", "reversed"),
    ([("succeeded", 0), ("failed", 1)], "payment.failed", "unexpected"),
    ([("canceled", 0), ("succeeded", 1)], "payment.succeeded", "unexpected"),
    ([("expired", 0), ("succeeded", 1)], "payment.succeeded", "unexpected"),
    ([("processing", 0), ("succeeded", None)], "payment.updated", "stale"),
    ([("processing", 0), ("processing", None)], "payment.updated", "stale"),
    ([("processing", None), ("succeeded", 0)], "payment.succeeded", "advanced"),
    ([("succeeded", None), ("processing", 0)], "payment.processing", "unexpected"),
]


@pytest.mark.parametrize(("statuses", "event_type", "transition"), TRANSITIONS, ids=lambda value: str(value)[:60])
def test_how_a_payment_moves_where_time_orders(statuses, event_type, transition):
    """Newer by time, ties by rank; final statuses are left only as the table says, else it is unexpected."""
    assert told(*(payment(*status) for status in statuses))[-1] == (event_type, transition)


BY_RANK_TRANSITIONS = [
    ([("processing", 5), ("pending", 9)], "payment.updated", "stale"),
    ([("pending", 9), ("processing", 5)], "payment.processing", "advanced"),
    ([("pending", None), ("processing", None)], "payment.processing", "advanced"),
    ([("processing", 9), ("processing", 5)], "payment.updated", "repeated"),
    ([("succeeded", 0), ("failed", 9)], "payment.updated", "stale"),
    ([("succeeded", 9), ("canceled", 0)], "payment.canceled", "reversed"),
    ([("failed", 9), ("succeeded", 0)], "payment.succeeded", "retried"),
]


@pytest.mark.parametrize(("statuses", "event_type", "transition"), BY_RANK_TRANSITIONS, ids=str)
def test_how_a_payment_moves_where_rank_orders(statuses, event_type, transition):
    """Times count for nothing."""
    found = told(*(payment(*status) for status in statuses), transitions=BY_RANK)
    assert found[-1] == (event_type, transition)


OTHERS = [
    (refund, "failed", "succeeded", "refund.succeeded", "unexpected"),
    (refund, "succeeded", "failed", "refund.failed", "reversed"),
    (refund, "canceled", "pending", "refund.pending", "unexpected"),
    (refund, "pending", "requires_action", "refund.requires_action", "advanced"),
    (dispute, "won", "needs_response", "dispute.needs_response", "reversed"),
    (dispute, "won", "lost", "dispute.lost", "reversed"),
    (dispute, "lost", "won", "dispute.won", "unexpected"),
    (dispute, "expired", "under_review", "dispute.under_review", "advanced"),
    (dispute, "accepted", "won", "dispute.won", "unexpected"),
    (payout, "paid", "returned", "payout.returned", "advanced"),
    (payout, "failed", "returned", "payout.returned", "retried"),
    (payout, "returned", "paid", "payout.paid", "unexpected"),
]


@pytest.mark.parametrize(("make", "old", "new", "event_type", "transition"), OTHERS, ids=lambda value: str(value)[:20])
def test_how_refunds_disputes_and_payouts_move(make, old, new, event_type, transition):
    """By the same rules, with their own final statuses."""
    assert told(make(old, 0), make(new, 1)) == [
        (f"{event_type.partition('.')[0]}.{old}", "first"),
        (event_type, transition),
    ]


@pytest.mark.parametrize("entity", Entity)
def test_every_pair_of_statuses(entity):
    """A newer status always becomes the status; an older one never does; both say so."""
    make = MAKERS[entity]
    for old, new in itertools.product(STATUSES[entity], repeat=2):
        known, _ = hear(Known(), make(old, 5))
        newer, (event,) = hear(known, make(new, 6))
        name = next(iter(newer.standings))
        assert newer.standings[name].status == new
        assert event.type == (f"{entity}.updated" if old == new else f"{entity}.{new}")
        assert (event.lifecycle.transition == "advanced") == (old not in FINAL[entity] and old != new)
        older, (event,) = hear(known, make(new, 4))
        assert older.standings[name].status == old
        assert (event.type, event.lifecycle.transition) == (f"{entity}.updated", "stale")


@pytest.mark.parametrize("entity", Entity)
def test_at_one_moment_the_rank_decides(entity):
    """Of two statuses of one time the higher rank stays, whichever came first."""
    make = MAKERS[entity]
    for one, other in itertools.combinations(STATUSES[entity], 2):
        highest = max(one, other, key=RANKS[entity].__getitem__)
        for order in ((one, other), (other, one)):
            known = Known()
            for status in order:
                known, _ = hear(known, make(status, 0))
            assert next(iter(known.standings.values())).status == highest


def test_a_status_that_is_left_and_entered_again():
    """It is announced each time that it is entered, and only then."""
    found = told(
        payment("processing", 0),
        payment("failed", 1),
        payment("failed", 2),
        payment("processing", 3),
        payment("failed", 4),
    )
    assert [event_type for event_type, _ in found] == [
        "payment.processing",
        "payment.failed",
        "payment.updated",
        "payment.processing",
        "payment.failed",
    ]


def test_a_microsecond_makes_a_status_newer_as_late_as_times_go():
    """Times are compared exactly, also where a float would not tell them apart."""
    last = datetime.max.replace(tzinfo=UTC)
    before = replace(payment("processing"), at=last - timedelta(microseconds=1))
    assert told(before, replace(payment("pending"), at=last))[-1] == ("payment.pending", "advanced")


def test_a_status_repeated_later_counts_as_that_late():
    """What lies between the two times is stale."""
    assert told(payment("processing", 0), payment("processing", 9), payment("succeeded", 5))[-1] == (
        "payment.updated",
        "stale",
    )


def test_a_status_repeated_at_the_same_moment():
    """It is repeated whatever its event key: only time makes it stale."""
    known, _ = hear(Known(), payment("processing", 0), key="evt_b")
    for key in ("evt_a", "evt_b", "evt_c"):
        _, (event,) = hear(known, payment("processing", 0), key=key)
        assert event.lifecycle.transition == "repeated"


def test_staleness_is_judged_for_each_entity():
    """A refund is not stale because the payment moved on."""
    assert told(payment("succeeded", 100), refund("pending", 1), refund("succeeded", 2), dispute("lost", 0)) == [
        ("payment.succeeded", "first"),
        ("refund.pending", "first"),
        ("refund.succeeded", "advanced"),
        ("dispute.lost", "first"),
    ]


def test_the_status_before_is_the_entitys_own():
    """previous_status is that of the refund, not of its payment; null at first; the same for each event of an item."""
    known, _ = hear(Known(), payment("succeeded", 0))
    known, (first,) = hear(known, refund("pending", 1))
    known, (second,) = hear(known, refund("failed", 2))
    assert (first.lifecycle.previous_status, second.lifecycle.previous_status) == (None, "pending")
    _, both = hear(known, payment("canceled", 3, facts=[Fact(name="attempt_failed")]))
    assert [event.lifecycle.previous_status for event in both] == ["succeeded", "succeeded"]


def test_an_object_without_authority_over_the_status():
    """Its transition is null, it takes no part in newer and stale, and it says payment.updated or a fact."""
    charge = payment(None, 50, speaker="ch_1", facts=refunded(eur(100), full=False))
    found = told(payment("processing", 0), charge, charge, payment("succeeded", 10))
    assert found == [
        ("payment.processing", "first"),
        ("payment.partially_refunded", None),
        ("payment.updated", None),
        ("payment.succeeded", "advanced"),
    ]


def test_tables_lead_through_statuses_that_were_not_seen():
    """`failed` to processing admits failed to succeeded, but nothing before processing."""
    reached = {status for status in PaymentStatus if BY_TIME.allows(Entity.PAYMENT, "failed", status)}
    assert reached == {"processing", "authorized", "partially_captured", "failed", "succeeded", "canceled", "expired"}
    assert not any(
        Transitions().allows(entity, old, new) for entity in Entity for old in FINAL[entity] for new in STATUSES[entity]
    )


# --- types and facts


def test_an_item_says_its_status_first_and_then_its_facts_in_order():
    """In the order of the contract's table, however the mapping lists them; each with its item's transition."""
    facts = [
        Fact(name="settled", says=(1,)),
        Fact(name="refunded", says=(1, 100)),
        Fact(name="overpaid", says=(1,)),
        Fact(name="attempt_failed"),
    ]
    known, events = hear(Known(), payment("succeeded", facts=facts))
    assert [(event.slot, event.type) for event in events] == [
        ("status", "payment.succeeded"),
        ("attempt_failed", "payment.attempt_failed"),
        ("overpaid", "payment.overpaid"),
        ("refunded", "payment.refunded"),
        ("settled", "payment.settled"),
    ]
    assert [event.lifecycle.sequence for event in events] == [1, 2, 3, 4, 5]
    assert {event.lifecycle.transition for event in events} == {"first"}
    assert known.sequence == 5


def test_facts_that_the_name_states_go_out_for_each_event_key():
    """attempt_failed twice is two attempts; a dispute's funds move as often as is said."""
    found = told(
        payment("requires_action", 0, facts=[Fact(name="attempt_failed")]),
        payment("requires_action", 1, facts=[Fact(name="attempt_failed")]),
        dispute("lost", 2, facts=[Fact(name="funds_withdrawn")]),
        dispute("lost", 3, facts=[Fact(name="funds_reinstated")]),
        dispute("lost", 1, facts=[Fact(name="funds_withdrawn")]),
    )
    assert found == [
        ("payment.requires_action", "first"),
        ("payment.attempt_failed", "first"),
        ("payment.attempt_failed", "repeated"),
        ("dispute.lost", "first"),
        ("dispute.funds_withdrawn", "first"),
        ("dispute.funds_reinstated", "repeated"),
        ("dispute.funds_withdrawn", "stale"),
    ]


REFUNDED = [
    # (cumulative, in full) as said one after the other, and the types
    ([(30, False), (30, False)], ["partially_refunded", "updated"]),
    ([(30, False), (50, False)], ["partially_refunded", "partially_refunded"]),
    ([(50, False), (30, False)], ["partially_refunded", "updated"]),
    ([(30, False), (100, True)], ["partially_refunded", "refunded"]),
    ([(100, False), (100, True)], ["partially_refunded", "refunded"]),
    ([(100, True), (30, False)], ["refunded", "updated"]),
    ([(100, True), (100, True)], ["refunded", "updated"]),
    ([(None, True), (None, True)], ["refunded", "updated"]),
    ([(0, False), (None, False)], ["updated", "updated"]),
]


@pytest.mark.parametrize(("said", "types"), REFUNDED, ids=lambda value: str(value)[:60])
def test_a_refunded_amount_goes_out_when_it_is_more_than_before(said, types):
    """A higher cumulative amount, or partial to full; otherwise it counts as an update."""
    statements = [payment("succeeded", 0)]
    statements += [
        payment("succeeded", n, facts=refunded(eur(amount), full=full)) for n, (amount, full) in enumerate(said, 1)
    ]
    assert [event_type for event_type, _ in told(*statements)[1:]] == [f"payment.{name}" for name in types]


def test_each_object_counts_what_it_said_itself():
    """What a charge said is no news from that charge again, but from the PaymentIntent it is."""
    more = {"facts": refunded(eur(100), full=False)}
    found = told(
        payment(None, 0, speaker="ch_1", **more), payment("succeeded", 1, **more), payment("succeeded", 2, **more)
    )
    assert [event_type for event_type, _ in found] == [
        "payment.partially_refunded",
        "payment.succeeded",
        "payment.partially_refunded",
        "payment.updated",
    ]


def test_first_heard_of_as_refunded():
    """payment.succeeded, then payment.refunded."""
    assert told(payment("succeeded", 0, facts=refunded(eur(5), full=True))) == [
        ("payment.succeeded", "first"),
        ("payment.refunded", "first"),
    ]


def test_a_fact_says_it_so_there_is_no_update():
    """A repeated status beside a fact that is news makes one event."""
    fact = Fact(name="settled", says=(1,))
    assert told(payment("succeeded", 0), payment("succeeded", 1, facts=[fact])) == [
        ("payment.succeeded", "first"),
        ("payment.settled", "repeated"),
    ]


def test_a_snapshot_that_adds_nothing():
    """Never an update: repeated, stale or without a status, it is silent; news goes out."""
    known, _ = hear(Known(), payment("processing", 5))
    for statement in (payment("processing", 6), payment("pending", 0), payment(None, 9), refund(None, 9)):
        _, events = hear(known, statement, snapshot=True)
        assert events == ()
    known, events = hear(known, payment("succeeded", 7, facts=refunded(eur(5), full=False)), snapshot=True)
    assert [event.type for event in events] == ["payment.succeeded", "payment.partially_refunded"]
    assert hear(known, payment("succeeded", 8, facts=refunded(eur(5), full=False)), snapshot=True)[1] == ()
    assert known.sequence == 3


@pytest.mark.parametrize("entity", Entity)
def test_offline_a_status_event_carries_its_status(entity):
    """Where nothing is known: the status, then the facts, else an update."""
    make = MAKERS[entity]
    for status in STATUSES[entity]:
        assert offline(make(status)) == [("status", f"{entity}.{status}")]


def test_offline_facts_and_updates():
    """Facts alone for an object without authority; an update where it says neither."""
    assert offline(payment(None, facts=refunded(eur(5), full=False))) == [("refunded", "payment.partially_refunded")]
    assert offline(payment(None)) == [("status", "payment.updated")]
    assert offline(dispute("lost", facts=[Fact(name="funds_withdrawn")])) == [
        ("status", "dispute.lost"),
        ("funds_withdrawn", "dispute.funds_withdrawn"),
    ]


def test_each_object_that_speaks_of_a_payment_counts_its_own_facts():
    """What a second charge gave back is news although it is less; said again by the same charge it is not."""
    back = {"ch_1": refunded(eur(5), full=False), "ch_2": refunded(eur(3), full=False)}
    found = told(*(payment(None, 0, speaker=charge, facts=back[charge]) for charge in ("ch_1", "ch_2", "ch_1", "ch_2")))
    assert [event_type for event_type, _ in found] == ["payment.partially_refunded"] * 2 + ["payment.updated"] * 2


def test_every_fact_has_its_place_in_the_order():
    """No fact that a mapping can state is missing from the table of types."""
    names = {"attempt_failed", "overpaid", "partially_refunded", "refunded", "settled"}
    assert set(FACT_TYPES[Entity.PAYMENT]) == names
    assert FACT_TYPES[Entity.DISPUTE] == ("funds_withdrawn", "funds_reinstated")


# --- state


def test_no_payment_no_state():
    """A payout, or an orphan, has none."""
    known, _ = hear(Known(), payout("paid"))
    assert state_of(known, None) is None


def test_a_payment_of_which_only_a_refund_is_known():
    """Its status and amount are null, not guessed."""
    found = state(refund("succeeded", amount=40))
    assert (found.status, found.amount, found.captured) == (None, None, None)
    assert (found.refunded, found.refund_state) == (eur(40), "unknown")


AMOUNTS = [
    ([payment("pending", 0, amount=10), payment("succeeded", 1, amount=20)], 20),
    ([payment("succeeded", 1, amount=20), payment("pending", 0, amount=10)], 20),
    ([payment("pending", 0, amount=10), payment("succeeded", 1)], 10),
    ([payment("pending", 0, amount=10), payment(None, 9, amount=7, speaker="ch_1")], 10),
    ([payment(None, 9, amount=7, speaker="ch_1")], 7),
    ([payment("pending", 0), payment("failed", 1)], None),
    ([payment("pending", 0, amount=10), payment(None, 0, amount=7)], 10),
    ([payment(None, 0, amount=7), payment("pending", 0, amount=10)], 10),
]


@pytest.mark.parametrize(("statements", "amount"), AMOUNTS, ids=range(len(AMOUNTS)))
def test_the_amount_is_the_newest_that_was_given(statements, amount):
    """By the object with authority over the payment, if that gave one."""
    assert state(*statements).amount == eur(amount)


def test_a_stale_statement_gives_amounts():
    """It changes no status, though its amounts count where none newer is known."""
    found = state(payment("succeeded", 5), payment("pending", 1, amount=10, captured=3))
    assert (found.status, found.amount, found.captured) == ("succeeded", eur(10), eur(3))


CUMULATIVE = [
    (BY_TIME, [(30, 0), (50, 1)], 50),
    (BY_TIME, [(50, 1), (30, 0)], 50),
    (BY_TIME, [(50, 0), (30, 1)], 30),
    (BY_TIME, [(30, 1), (50, 0)], 30),
    (BY_TIME, [(30, 1), (50, 1)], 50),
    (BY_TIME, [(50, 1), (30, 1)], 50),
    (BY_TIME, [(50, None), (30, 0)], 30),
    (BY_RANK, [(50, 0), (30, 1)], 50),
    (BY_RANK, [(30, 1), (50, 0)], 50),
]


@pytest.mark.parametrize(("transitions", "said", "expected"), CUMULATIVE, ids=range(len(CUMULATIVE)))
def test_cumulative_amounts(transitions, said, expected):
    """The newest by time; ties, and providers ordered by rank, by maximum."""
    refunds = [payment("succeeded", after, back=amount) for amount, after in said]
    captures = [payment("succeeded", after, captured=amount) for amount, after in said]
    assert state(*refunds, transitions=transitions).refunded == eur(expected)
    assert state(*captures, transitions=transitions).captured == eur(expected)


REFUNDS = [
    # statements, refunded, refund_state
    ([payment("succeeded", amount=100)], None, "none"),
    ([payment("succeeded", amount=100, back=0)], 0, "none"),
    ([payment("succeeded", amount=100, back=1)], 1, "partial"),
    ([payment("succeeded", amount=100, back=40)], 40, "partial"),
    ([payment("succeeded", amount=100, back=100)], 100, "full"),
    ([payment("succeeded", amount=100, captured=60, back=60)], 60, "full"),
    ([payment("succeeded", amount=100), refund("succeeded", amount=40)], 40, "partial"),
    ([payment("succeeded", amount=100), refund("pending", amount=40)], None, "none"),
    ([payment("succeeded", amount=100, back=0), refund("failed", amount=40)], 0, "none"),
    (
        [payment("succeeded", amount=100), refund("succeeded", amount=40), refund("succeeded", name="r2", amount=60)],
        100,
        "full",
    ),
    ([payment("succeeded", amount=100, back=40), refund("succeeded", amount=40)], 40, "partial"),
    ([payment("succeeded", amount=100, back=10), refund("succeeded", amount=40)], 40, "partial"),
    ([payment("succeeded", amount=100, back=70), refund("succeeded", amount=40)], 70, "partial"),
    ([payment("succeeded", refund_state="full"), payment("succeeded", refund_state="partial")], None, "full"),
    ([payment("succeeded", amount=100), refund("succeeded", 1, amount=40), refund("failed", 2)], None, "none"),
    ([payment("succeeded", amount=100), refund("failed", 2), refund("succeeded", 1, amount=40)], None, "none"),
    ([payment("succeeded", amount=100), refund("succeeded")], None, "unknown"),
    ([payment("succeeded", amount=100, back=40), refund("succeeded")], None, "unknown"),
    ([payment("succeeded", amount=100), refund("succeeded", 1), refund("pending", 0, amount=40)], 40, "partial"),
    ([payment("succeeded"), refund("succeeded", amount=40)], 40, "unknown"),
    ([payment("succeeded", amount=100, refund_state="full")], None, "full"),
    ([payment("succeeded", amount=100, back=40, refund_state="full")], 40, "full"),
    ([payment("succeeded", amount=100, back=100, refund_state="partial")], 100, "partial"),
    ([payment("succeeded", 0, refund_state="partial"), payment("succeeded", 1, refund_state="full")], None, "full"),
    ([payment("succeeded", 1, refund_state="full"), payment("succeeded", 0, refund_state="partial")], None, "full"),
    ([payment("succeeded", 0, refund_state="full"), payment("succeeded", 1, refund_state="partial")], None, "partial"),
    ([payment("succeeded", 1, refund_state="partial"), payment("succeeded", 0, refund_state="full")], None, "partial"),
]


@pytest.mark.parametrize(("statements", "amount", "refund_state"), REFUNDS, ids=range(len(REFUNDS)))
def test_what_was_refunded(statements, amount, refund_state):
    """The larger of the payment's own amount and its succeeded refunds; a refunded status if given, else computed."""
    found = state(*statements)
    assert (found.refunded, found.refund_state) == (eur(amount), refund_state)


def test_refunds_of_another_currency():
    """Nothing is compared across currencies: unknown, not guessed."""
    dollars = refund("succeeded")
    dollars = replace(dollars, block=replace(dollars.block, amount=Money(40, "USD", 2)))
    found = state(payment("succeeded", amount=100), dollars)
    assert (found.refunded, found.refund_state) == (Money(40, "USD", 2), "unknown")
    found = state(payment("succeeded", amount=100, back=10), dollars)
    assert (found.refunded, found.refund_state) == (None, "unknown")


DISPUTES = [
    (["inquiry"], True),
    (["needs_response"], True),
    (["under_review"], True),
    (["accepted"], True),
    (["expired"], True),
    (["lost"], True),
    (["won"], False),
    (["canceled"], False),
    (["needs_response", "won"], False),
    (["won", "needs_response"], True),
    ([], False),
]


@pytest.mark.parametrize(("statuses", "disputed"), DISPUTES, ids=str)
def test_disputed(statuses, disputed):
    """While some dispute's latest status is neither won nor canceled."""
    assert state(payment("succeeded"), *(dispute(s, n) for n, s in enumerate(statuses))).disputed is disputed


def test_one_of_two_disputes_is_open():
    """One that was won does not hide the other."""
    assert state(dispute("won"), dispute("lost", name="d2")).disputed is True


# --- properties

_payments = st.builds(
    payment,
    st.sampled_from([None, *PaymentStatus]),
    st.sampled_from([None, 0, 1, 2, 3]),
    amount=st.sampled_from([None, 100, 90]),
    captured=st.sampled_from([None, 0, 50, 100]),
    back=st.sampled_from([None, 0, 40, 100]),
    refund_state=st.sampled_from([None, None, "partial", "full"]),
    facts=st.sampled_from(
        [(), (Fact(name="attempt_failed"),), (Fact(name="settled", says=(1,)),), refunded(eur(40), full=False)]
    ),
)
_charges = st.builds(
    payment, st.none(), st.sampled_from([0, 2]), amount=st.sampled_from([None, 80]), speaker=st.just("ch_1")
)
_refunds = st.builds(
    refund,
    st.sampled_from([None, *RefundStatus]),
    st.sampled_from([None, 0, 1, 2]),
    name=st.sampled_from(["r1", "r2"]),
    amount=st.sampled_from([None, 40, 60]),
)
_disputes = st.builds(
    dispute, st.sampled_from(list(DisputeStatus)), st.sampled_from([None, 0, 1]), name=st.sampled_from(["d1", "d2"])
)
STATEMENTS = st.lists(st.one_of(_payments, _charges, _refunds, _disputes), max_size=8)


@pytest.mark.parametrize("transitions", [BY_TIME, BY_RANK], ids=["time", "rank"])
@settings(max_examples=400, deadline=None)
@given(statements=STATEMENTS, data=st.data())
def test_every_order_of_arrival_ends_in_the_same_state(transitions, statements, data):
    """Each statement with a key of its own, in any order: one state; sequences 1, 2, 3 ...; stored and read back equal."""
    keyed = [(f"evt_{number}", statement) for number, statement in enumerate(statements)]
    states = []
    for order in (keyed, data.draw(st.permutations(keyed))):
        known, sequences = Known(), []
        for key, statement in order:
            snapshot = data.draw(st.booleans())
            known, events = hear(known, statement, transitions, key=key, snapshot=snapshot)
            sequences += [event.lifecycle.sequence for event in events]
            assert load(dump(known)) == known
        assert sequences == list(range(1, known.sequence + 1))
        states.append(state_of(known, "p1"))
    assert states[0] == states[1]


@settings(max_examples=300, deadline=None)
@given(statements=st.lists(_payments, max_size=8))
def test_a_status_is_announced_once_each_time_it_is_entered(statements):
    """Between two announcements of one status another was announced; the last announced is the one that stands."""
    known, announced = Known(), []
    for statement in statements:
        known, events = hear(known, statement)
        for event in events:
            if event.type == f"payment.{statement.block.status}":
                assert announced[-1:] != [event.type]
                announced.append(event.type)
    standing = state_of(known, "p1").status
    assert announced[-1:] == ([f"payment.{standing}"] if standing else [])


@settings(max_examples=200, deadline=None)
@given(statements=STATEMENTS)
def test_heard_twice_is_known_once(statements):
    """The same statement under the same key again changes no state."""
    known = Known()
    for number, statement in enumerate(statements):
        known, _ = hear(known, statement, key=f"evt_{number}")
        again, events = hear(known, statement, key=f"evt_{number}")
        assert state_of(again, "p1") == state_of(known, "p1")
        assert again.standings == known.standings
        assert not [event for event in events if event.lifecycle.transition == "unexpected"]


def test_the_largest_amounts_are_stored_exactly():
    """64 bits, negative amounts and times before 1970 come back as they were."""
    known, _ = hear(Known(), payment("succeeded", -3e9, amount=2**63 - 1, captured=-5, back=-(2**63 - 1)))
    assert load(dump(known)) == known
