"""acmepay, held to what every provider of paymux is held to; then what is its own."""

from __future__ import annotations

import hashlib
import hmac

from paymux_acmepay import ACMEPAY

from paymux.sandbox import samples
from paymux.testing import Way, translated
from paymux.testing.suite import *  # noqa: F403  # every row becomes a test here


def sign(body, secret):
    """As its documentation has it; there is no SDK."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return ((b"X-Acmepay-Signature", f"sha256={digest}".encode()),)


WAYS = (
    Way(
        label="acmepay",
        provider=ACMEPAY,
        sign=sign,
        signature=b"x-acmepay-signature",
        secrets=("a-secret-of-the-first-kind", "a-secret-of-the-second-kind", "a-secret-of-the-third-kind"),
    ),
)


def test_a_refund_belongs_to_its_payment():
    """It bears the id under which the payment was told, so that both stand in one order."""
    [paid] = translated(WAYS[0], samples.webhook("acmepay", "payment.paid").body)
    [refunded] = translated(WAYS[0], samples.webhook("acmepay", "refund.paid").body)
    assert paid.outcome.statements[0].payment_id == refunded.outcome.statements[0].payment_id == "p_7c31e9b2"
