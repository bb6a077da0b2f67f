"""What happens to payments, as data: the traffic of `paymux dev`, and of the tests.

Each story is about payments of its own, told with the samples; `fresh` gives them new ids and times.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from paymux.sandbox import samples
from paymux.sandbox.fresh import Fresh, renewed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A webhook, sent `at` seconds into the story by the provider's clock.

    The same step twice is a retry: the same bytes under the same message id; `message` tells two deliveries of the
    same body apart. `says` replaces keys of the envelope. A forged one is signed with a secret of somebody else's.
    """

    sample: str
    at: int
    message: int = 0
    says: Mapping[str, Any] = field(default_factory=dict)
    forged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """The provider's API has this object from now on."""

    sample: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """`tells` is what the topics say of it, in order: event types, `quarantined <reason>`, `rejected <reason>`.

    `same` are ids that different samples give to what is one payment here.
    """

    title: str
    provider: str
    steps: tuple[Post | Put, ...]
    tells: tuple[str, ...]
    same: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A delivery to make; `message` is the sender's id of it, the same for a retry."""

    event_type: str
    message: str
    body: bytes
    forged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An answer that the provider's API now gives."""

    body: bytes


def told(story: Story, now: datetime) -> Iterator[Webhook | Held]:
    """The story's steps in order, with ids that are new and times of which the latest is `now`."""
    fresh = Fresh(story.provider)
    fresh.unite(story.same)
    start = now - timedelta(seconds=max(step.at for step in story.steps))
    for step in story.steps:
        at = start + timedelta(seconds=step.at)
        if isinstance(step, Put):
            yield Held(body=fresh.body(_sample(samples.answers(story.provider), step.sample), at))
        else:
            yield _webhook(story, step, fresh, at)


def every_sample(provider: str) -> Story:
    """For a provider that has no story of its own; what it tells is not known here."""
    steps = (Post(sample=sample.label, at=at) for at, sample in enumerate(samples.webhooks(provider)))
    return Story(title=f"every sample of {provider}", provider=provider, steps=tuple(steps), tells=())


def _webhook(story: Story, step: Post, fresh: Fresh, at: datetime) -> Webhook:
    body = renewed(fresh.body(_sample(samples.webhooks(story.provider), step.sample), at), step.says)
    # A message id is the digest of what it is the message of, so that the same step is the same message.
    digest = hashlib.sha256(b"%d %b" % (step.message, fresh.salt + step.sample.encode())).hexdigest()
    return Webhook(event_type=step.sample, message=f"msg_{digest[:24]}", body=body, forged=step.forged)


def _sample(found: tuple[samples.Sample, ...], label: str) -> bytes:
    return next(sample.body for sample in found if sample.label == label)


STORIES: Final[tuple[Story, ...]] = (
    Story(
        title="a payment partly refunded, then disputed and lost; everything about it arrives in another order",
        provider="stripe",
        steps=(
            Post(sample="charge.succeeded", at=3),
            Post(sample="payment_intent.succeeded", at=4),
            Post(sample="payment_intent.created", at=0),
            Post(sample="charge.refunded", at=10),
            Post(sample="refund.updated", at=11),
            Post(sample="charge.dispute.created", at=20),
            Post(sample="charge.dispute.funds_withdrawn", at=21),
            Post(sample="charge.dispute.closed", at=30),
        ),
        tells=(
            "payment.updated",
            "payment.succeeded",
            "payment.updated",
            "payment.partially_refunded",
            "refund.succeeded",
            "dispute.needs_response",
            "dispute.funds_withdrawn",
            "dispute.lost",
        ),
    ),
    Story(
        title="an invoice paid, a refund that fails and goes to the wallet instead; the success comes twice",
        provider="flexprice",
        steps=(
            Post(sample="payment.pending", at=0),
            Post(sample="payment.updated--processing", at=1),
            Post(sample="payment.updated", at=2),
            Post(sample="payment.updated", at=2),
            Post(sample="refund.created", at=10),
            Post(sample="refund.failed--with-fallback", at=11),
            Post(sample="refund.succeeded--wallet-after-failure", at=12),
            Post(sample="payment.updated--refunded", at=13),
        ),
        tells=(
            "payment.pending",
            "payment.processing",
            "payment.succeeded",
            "refund.pending",
            "refund.failed",
            "refund.succeeded",
            "payment.refunded",
        ),
    ),
    Story(
        title="a rent payment fails, and the retry collects it; the webhooks prove nothing, the API answers for them",
        provider="flexportal",
        steps=(
            Put(sample="payment--failed", at=0),
            Post(sample="payment.failed", at=1),
            Put(sample="payment", at=5),
            Post(sample="payment.succeeded", at=6),
        ),
        tells=("payment.failed", "payment.succeeded"),
    ),
    Story(
        title="a customer has to act, fails, and pays at the second attempt",
        provider="stripe",
        steps=(
            Post(sample="payment_intent.created", at=0),
            Post(sample="payment_intent.requires_action", at=5),
            Post(sample="payment_intent.payment_failed", at=40),
            Post(sample="payment_intent.succeeded", at=90),
        ),
        tells=(
            "payment.pending",
            "payment.requires_action",
            "payment.pending",
            "payment.attempt_failed",
            "payment.succeeded",
        ),
        same=("pi_3T7KcyQm4Rw8LxHb0gYt6ZpA", "pi_3T7LxRQm4Rw8LxHb1aWd7KtS"),
    ),
    Story(
        title="two chairs paid by card and one of them sent back; the first webhook is repeated late",
        provider="flowlix",
        steps=(
            Post(sample="payment.succeeded", at=0),
            Post(sample="refund.succeeded", at=60),
            Post(sample="payment.succeeded", at=0),
        ),
        tells=("payment.succeeded", "refund.succeeded"),
    ),
    Story(
        title="a subscription paid, announced twice by an id alone; a part of it is refunded later",
        provider="flowglad",
        steps=(
            Put(sample="payment", at=0),
            Post(sample="payment", at=1),
            Post(sample="payment", at=1),
            Put(sample="payment--partially-refunded", at=30),
            Post(sample="payment", at=31, message=1),
        ),
        tells=("payment.succeeded", "payment.partially_refunded"),
    ),
    Story(
        title="a declined card",
        provider="flowlix",
        steps=(Post(sample="payment.failed", at=0),),
        tells=("payment.failed",),
    ),
    Story(
        title="a forged success, signed with a secret that is not ours",
        provider="flowlix",
        steps=(Post(sample="payment.succeeded", at=0, forged=True),),
        tells=("rejected signature_mismatch",),
    ),
    Story(
        title="a payout that was on its way, then paid, then sent back by the bank",
        provider="stripe",
        steps=(
            Post(sample="payout.created", at=0),
            Post(sample="payout.paid", at=10),
            Post(sample="payout.failed", at=20),
        ),
        tells=("payout.pending", "payout.paid", "payout.failed"),
    ),
    Story(
        title="an event type that nobody has documented",
        provider="flowlix",
        steps=(Post(sample="payment.succeeded", at=0, says={"type": "payment.teleported"}),),
        tells=("quarantined unknown_event_type",),
    ),
    Story(
        title="an order captured in two parts and refunded in part; the capture of the rest arrives before the first",
        provider="checkout",
        steps=(
            Post(sample="payment_approved", at=0),
            Post(sample="payment_captured", at=60),
            Post(sample="payment_captured--partial", at=30),
            Post(sample="payment_refund_pending", at=90),
            Post(sample="payment_refunded", at=100),
            Post(sample="dispute_evidence_required", at=200),
            Post(sample="dispute_won", at=300),
        ),
        tells=(
            "payment.authorized",
            "payment.succeeded",
            "payment.updated",
            "refund.pending",
            "payment.partially_refunded",
            "refund.succeeded",
            "dispute.needs_response",
            "dispute.won",
        ),
    ),
    Story(
        title="a direct debit collected, paid out, and charged back by the customer's bank; each told by an id alone",
        provider="gocardless",
        steps=(
            Put(sample="payment--submitted", at=0),
            Post(sample="payments.submitted", at=1),
            Put(sample="payment", at=20),
            Post(sample="payments.confirmed", at=21),
            Put(sample="payment--paid-out", at=40),
            Post(sample="payments.paid_out", at=41),
            Put(sample="payment--charged-back", at=60),
            Post(sample="payments.charged_back", at=61),
            Post(sample="payments.chargeback_settled", at=70),
        ),
        tells=(
            "payment.processing",
            "payment.succeeded",
            "payment.settled",
            "dispute.lost",
            "dispute.funds_withdrawn",
        ),
    ),
    Story(
        title="an order under review, accepted; the webhook proves nothing, the API answers for it",
        provider="klarna",
        steps=(
            Put(sample="order", at=0),
            Post(sample="FRAUD_RISK_ACCEPTED", at=1),
        ),
        tells=("payment.authorized",),
    ),
    Story(
        title="captured, refunded in part, and the refund comes back days later; then the cardholder disputes the rest",
        provider="adyen",
        steps=(
            Post(sample="AUTHORISATION", at=0),
            Post(sample="CAPTURE", at=60),
            Post(sample="AUTHORISATION", at=0),
            Post(sample="REFUND", at=100),
            Post(sample="REFUND_FAILED", at=200),
            Post(sample="CHARGEBACK", at=300),
            Post(sample="CHARGEBACK_REVERSED", at=400),
            Post(sample="SECOND_CHARGEBACK", at=500),
        ),
        tells=(
            "payment.authorized",
            "payment.succeeded",
            "refund.succeeded",
            "refund.failed",
            "dispute.needs_response",
            "dispute.funds_withdrawn",
            "dispute.under_review",
            "dispute.funds_reinstated",
            "dispute.lost",
            "dispute.funds_withdrawn",
        ),
    ),
    Story(
        title="a bank debit that settled, a refund of a part of it, and the customer's bank takes the money back",
        provider="braintree",
        steps=(
            Post(sample="transaction_settled", at=0),
            Post(sample="transaction_settled--refund", at=50),
            Post(sample="transaction_settlement_declined", at=90),
            Post(sample="transaction_settled", at=0),
        ),
        tells=("payment.succeeded", "refund.succeeded", "payment.failed"),
    ),
    Story(
        title="an order authorized, captured and announced as paid; a part goes back to the customer a day later",
        provider="razorpay",
        steps=(
            Post(sample="payment.captured", at=5),
            Post(sample="payment.authorized", at=0),
            Post(sample="order.paid", at=5),
            Post(sample="payment.captured", at=5),
            Post(sample="refund.created", at=100),
            Post(sample="refund.processed", at=220),
        ),
        tells=(
            "payment.succeeded",
            "payment.updated",
            "payment.updated",
            "refund.pending",
            "refund.succeeded",
        ),
    ),
    Story(
        title="a transaction, refunded in part, and a dispute that nobody answers",
        provider="paystack",
        steps=(
            Post(sample="charge.success", at=0),
            Post(sample="refund.pending", at=60),
            Post(sample="refund.processed", at=90),
            Post(sample="charge.dispute.create", at=100),
            Post(sample="charge.dispute.remind", at=160),
            Post(sample="charge.dispute.resolve--nobody-answered", at=200),
        ),
        tells=(
            "payment.succeeded",
            "refund.pending",
            "refund.succeeded",
            "dispute.needs_response",
            "dispute.updated",
            "dispute.accepted",
        ),
    ),
    Story(
        title="lunch, authorized and captured; a dish never came, and the bank asks for the rest",
        provider="square",
        steps=(
            Post(sample="payment.updated", at=398),
            Post(sample="payment.created", at=0),
            Post(sample="refund.created", at=500),
            Post(sample="payment.updated--partially-refunded", at=700),
            Post(sample="refund.updated", at=700),
            Post(sample="dispute.created", at=800),
            Post(sample="dispute.state.updated", at=900),
        ),
        tells=(
            "payment.succeeded",
            "payment.updated",
            "refund.pending",
            "payment.partially_refunded",
            "refund.succeeded",
            "dispute.needs_response",
            "dispute.won",
        ),
    ),
    Story(
        title="captured by an e-check that clears a minute later; part of it is refunded, the rest lost to a dispute",
        provider="paypal",
        steps=(
            Post(sample="PAYMENT.CAPTURE.PENDING", at=140),
            Post(sample="PAYMENT.CAPTURE.COMPLETED", at=200),
            Post(sample="PAYMENT.CAPTURE.REFUNDED", at=300),
            Post(sample="PAYMENT.CAPTURE.COMPLETED", at=200),
            Post(sample="CUSTOMER.DISPUTE.CREATED", at=400),
            Post(sample="CUSTOMER.DISPUTE.RESOLVED--lost", at=500),
        ),
        tells=(
            "payment.pending",
            "payment.succeeded",
            "refund.succeeded",
            "dispute.inquiry",
            "dispute.lost",
        ),
    ),
    Story(
        title="paid, told by an id alone; then a refund, and a chargeback that the bank takes back",
        provider="mollie",
        steps=(
            Put(sample="payment", at=0),
            Post(sample="payment.paid--simple", at=1),
            # As far apart as in the samples: a refund is ordered by its creation, which has to stay the same.
            Post(sample="refund.pending", at=86_400),
            Post(sample="refund.refunded", at=86_400 + 172_802),
            Post(sample="chargeback.received", at=900_000),
            Post(sample="chargeback.reversed", at=2_000_000),
        ),
        tells=(
            "payment.succeeded",
            "refund.pending",
            "refund.succeeded",
            "dispute.lost",
            "dispute.funds_withdrawn",
            "dispute.won",
            "dispute.funds_reinstated",
        ),
    ),
)
