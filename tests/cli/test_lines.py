"""One readable line for each event."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from paymux.cli.lines import Lines, money

PLAIN = Lines(colour=False)


def an_event(**changes):
    data = {
        "provider": "flowlix",
        "account": "acme",
        "entity": "payment",
        "payment_id": "pay_1",
        "payment": {
            "amount": {"minor": 4999, "currency": "EUR", "exponent": 2},
            "amount_refunded": {"minor": 1500, "currency": "EUR", "exponent": 2},
        },
        "refund": {"amount": {"minor": 5, "currency": "BHD", "exponent": 3}},
        "lifecycle": {"sequence": 3, "transition": "advanced"},
    }
    event = {"type": "payment.succeeded", "time": "2026-11-21T12:00:42.120Z", "subject": "pay_1"}
    return {
        **event,
        **{k: v for k, v in changes.items() if k not in data},
        "data": {**data, **{k: v for k, v in changes.items() if k in data}},
    }


@pytest.mark.parametrize(
    ("minor", "exponent", "text"),
    [
        (4999, 2, "49.99 XXX"),
        (5, 2, "0.05 XXX"),
        (0, 2, "0.00 XXX"),
        (-5, 2, "-0.05 XXX"),
        (-4200, 2, "-42.00 XXX"),
        (4999, 0, "4999 XXX"),
        (1, 3, "0.001 XXX"),
        (12345, 4, "1.2345 XXX"),
        (2**63 - 1, 2, "92233720368547758.07 XXX"),
    ],
)
def test_an_amount_is_exact(minor, exponent, text):
    """Digits and a point, from the exponent; no float rounds it."""
    assert money({"minor": minor, "currency": "XXX", "exponent": exponent}) == text


def test_an_event():
    """Time, type, provider and account, payment, amount, sequence, transition."""
    assert PLAIN.event(an_event()).split() == [
        "2026-11-21",
        "12:00:42",
        "payment.succeeded",
        "flowlix/acme",
        "pay_1",
        "49.99",
        "EUR",
        "#3",
        "advanced",
    ]


def test_what_was_refunded_and_a_refund():
    """The payment's refunded amount where the event says it was refunded; a refund's own amount."""
    assert " 15.00 EUR " in PLAIN.event(an_event(type="payment.partially_refunded"))
    assert " 0.005 BHD " in PLAIN.event(an_event(type="refund.succeeded", entity="refund", subject="re_1"))


def test_what_is_not_known():
    """No payment: the subject. No amount, no lifecycle, no transition: nothing breaks."""
    line = PLAIN.event(an_event(payment_id=None, subject="po_1", payment={"amount": None}, lifecycle=None))
    assert line.split()[-2:] == ["flowlix/acme", "po_1"]
    assert PLAIN.event(an_event(lifecycle={"sequence": 7, "transition": None})).endswith("#7   -")


def test_colours_only_where_asked_for():
    """A terminal gets them, a file does not; without them the text is the same."""
    coloured = Lines(colour=True).event(an_event(lifecycle={"sequence": 1, "transition": "reversed"}))
    plain = PLAIN.event(an_event(lifecycle={"sequence": 1, "transition": "reversed"}))
    assert "\x1b[" in coloured
    assert "\x1b[" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_quarantined_and_rejected():
    """Why, in one line each."""
    event = {
        "time": "2026-11-21T12:00:42Z",
        "data": {
            "provider": "flowlix",
            "account": "acme",
            "reason": "unknown_status",
            "path": "/a",
            "detail": "no such word",
            "event_type": "payment.x",
        },
    }
    assert "quarantined" in PLAIN.quarantined(event)
    assert PLAIN.quarantined(event).endswith("payment.x: unknown_status /a no such word")
    at = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    line = PLAIN.rejected(at=at, provider="flowlix", account="acme", reason="signature_mismatch")
    assert line.split() == ["2026-11-21", "12:00:00", "rejected", "(401)", "flowlix/acme", "signature_mismatch"]
