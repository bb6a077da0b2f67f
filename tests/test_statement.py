"""The small rules that providers' files share when they make statements."""

from __future__ import annotations

import pytest

from paymux.money import Money
from paymux.statement import Fact, in_full, purpose, refunded, worst


def eur(minor):
    return None if minor is None else Money(minor, "EUR", 2)


@pytest.mark.parametrize(
    ("amount", "returned", "full"),
    [(500, 500, True), (500, 600, True), (500, 499, False), (500, 0, False), (500, None, False), (0, 0, False)],
)
def test_what_is_refunded_in_full(amount, returned, full):
    """All of it or more (return costs); nothing of nothing, which a payment that checks a card says, is none."""
    assert in_full(eur(amount), eur(returned)) is full


@pytest.mark.parametrize(
    ("amount", "full", "says"),
    [(500, True, (1, 500)), (200, False, (0, 200)), (None, True, (1, 0)), (None, False, None), (0, False, None)],
)
def test_the_fact_of_a_refund(amount, full, says):
    """How much in all, and in full or not; none where nothing was refunded."""
    assert refunded(eur(amount), full=full) == (() if says is None else (Fact(name="refunded", says=says),))


def test_what_a_payment_is_for():
    """One of nothing only checks the method."""
    assert (purpose(Money(0, "EUR", 2)), purpose(Money(1, "EUR", 2))) == ("verification", "payment")


def test_a_delivery_is_called_by_its_worst_item():
    """What was not understood before all else; of no item, nothing was to be done."""
    assert worst(["ignored", "quarantined", "events"]) == "quarantined"
    assert worst(["ignored", "events", "lookup"]) == "lookup"
    assert worst([]) == "ignored"
