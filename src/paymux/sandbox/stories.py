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
)
