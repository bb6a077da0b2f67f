"""Deliveries a second on one core, for each provider: verify and translate, then what the journal decides of them.

The yardstick is what no gateway can leave out: one HMAC-SHA256 over the same bodies and one orjson parse of each (of
the same content as JSON, where a provider sends a form or XML). Both take turns in one process, over every whole sample
of a provider, and its own CPU time is what counts. `decide` is dedupe, lifecycle and the finished Kafka record, over
the journal in memory, 32 deliveries a commit.
"""

from __future__ import annotations

import gc
import hmac
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

import orjson

from benchmarks import traffic
from benchmarks.report import Cell, Report, Spread, arguments, progress, show
from paymux import signatures
from paymux.cli.serve import GARBAGE_THRESHOLDS
from paymux.delivery import Asked, Delivery, ObjectRef, Via
from paymux.journal import Entry
from paymux.journal.changes import Counters, Rules
from paymux.journal.decide import Unit
from paymux.journal.memory import MemoryStore
from paymux.provider import Account
from paymux.providers import ALL
from paymux.providers.stripe import STRIPE
from paymux.records import Topics
from paymux.sandbox import samples
from paymux.sandbox.accounts import demo_account
from paymux.sandbox.sender import Sender
from paymux.translate import translate
from paymux.wild import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paymux.delivery import Verified
    from paymux.provider import Provider

NOW: Final = datetime.now(UTC)
SMALL_COMMIT: Final = 32

COLUMNS: Final = {
    "": "",
    "samples": "d",
    "bytes": ".0f",
    "deliveries/s": ",.0f",
    "us": ".1f",
    "hmac + parse us": ".1f",
    "of hmac + parse": ".2f",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured: `once` goes over all deliveries, `yardstick` over the same bodies and `documents`."""

    name: str
    deliveries: Sequence[Delivery]
    documents: Sequence[bytes]
    once: Callable[[], None]

    @property
    def bytes(self) -> float:
        return sum(len(delivery.body) for delivery in self.deliveries) / len(self.deliveries)

    def yardstick(self) -> None:
        for delivery, document in zip(self.deliveries, self.documents, strict=True):
            hmac.digest(_KEY, delivery.body, "sha256")
            orjson.loads(document)

    def row(self, rounds: int, seconds: float) -> dict[str, Cell]:
        progress(self.name)
        pairs = [
            (_each(self.yardstick, seconds) / len(self.deliveries), _each(self.once, seconds) / len(self.deliveries))
            for _ in range(rounds)
        ]
        return {
            "": self.name,
            "samples": len(self.deliveries),
            "bytes": self.bytes,
            "deliveries/s": Spread.of(1 / own for _, own in pairs),
            "us": Spread.of(own * 1e6 for _, own in pairs),
            "hmac + parse us": Spread.of(bare * 1e6 for bare, _ in pairs),
            "of hmac + parse": Spread.of(bare / own for bare, own in pairs),
        }


_KEY: Final = b"any key of an ordinary length"


def _each(once: Callable[[], None], seconds: float) -> float:
    """CPU seconds of one call."""
    once()
    calls, began = 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        once()
        calls += 1
    return spent / calls


# --- subjects


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A provider's demo account, and the sender that signs for it."""

    account: Account
    sender: Sender

    @classmethod
    def of(cls, provider: Provider) -> Self:
        demo = demo_account(provider.name)
        scheme = provider.scheme(demo.options)
        keys = (scheme.key(demo.secret),) if demo.secret else ()
        sender = Sender(
            base="http://127.0.0.1",
            provider=provider,
            account=demo.provider,
            secret=demo.secret,
            options=demo.options,
            public_url=demo.public_url,
        )
        account = Account(provider=provider, name="bench", checks=((scheme, keys),), options=demo.options)
        return cls(account=account, sender=sender)

    def delivery(self, body: bytes) -> Delivery:
        """As it is sent: signed now."""
        sent = self.sender.signed(body, "msg_benchmark", NOW)
        return Delivery(
            id="delivery",
            provider=self.account.provider.name,
            account="bench",
            received_at=NOW,
            body=sent.body,
            headers=tuple((name.encode(), value.encode()) for name, value in sent.headers.items()),
            url=self.sender.public_url,
        )


def webhooks(provider: Provider) -> Subject:
    """Every webhook sample, as sent."""
    endpoint = Endpoint.of(provider)
    deliveries = [endpoint.delivery(sample.body) for sample in samples.webhooks(provider.name)]
    mine = endpoint.account

    def once() -> None:
        for delivery in deliveries:
            translate(mine, signatures.verify(delivery, mine.checks))

    documents = [_document(provider, delivery.body) for delivery in deliveries]
    return Subject(name=f"{provider.name} webhooks", deliveries=deliveries, documents=documents, once=once)


def _document(provider: Provider, body: bytes) -> bytes:
    return body if provider.parse is parse_json else orjson.dumps(provider.parse(body).value)


def answers(provider: Provider) -> Subject:
    """Every API answer: nothing to verify, it came over our own connection."""
    mine = Endpoint.of(provider).account
    deliveries = [_answer(provider, sample) for sample in samples.answers(provider.name)]
    confirmed = [signatures.confirmed(delivery) for delivery in deliveries]

    def once() -> None:
        for answer in confirmed:
            translate(mine, answer)

    return Subject(name=f"{provider.name} API answers", deliveries=deliveries, documents=_bodies(deliveries), once=once)


def _bodies(deliveries: Sequence[Delivery]) -> list[bytes]:
    return [delivery.body for delivery in deliveries]


def payment_intents(count: int) -> tuple[Account, list[Delivery]]:
    """The same distinct events that `benchmarks.ingest` sends."""
    mine = Account(provider=STRIPE, name="bench", checks=((STRIPE.signature, (STRIPE.signature.key(traffic.SECRET),)),))
    return mine, [
        Delivery(
            id=f"delivery-{number}",
            provider=STRIPE.name,
            account=mine.name,
            received_at=NOW,
            body=event.body,
            headers=((b"Content-Type", b"application/json"), (b"Stripe-Signature", event.signature)),
        )
        for number, event in enumerate(traffic.events(0, count))
    ]


def one_event() -> Subject:
    mine, deliveries = payment_intents(SMALL_COMMIT)

    def once() -> None:
        for delivery in deliveries:
            translate(mine, signatures.verify(delivery, mine.checks))

    return Subject(name="stripe PaymentIntent", deliveries=deliveries, documents=_bodies(deliveries), once=once)


def decisions() -> Subject:
    """Entries that were translated before; nothing is written, so each commit finds payments nobody has heard of."""
    mine, deliveries = payment_intents(SMALL_COMMIT)
    entries = [entry(mine, signatures.verify(delivery, mine.checks)) for delivery in deliveries]
    store, rules = MemoryStore(), Rules(topics=Topics())

    def once() -> None:
        unit = Unit(store.view, Counters(), rules, NOW)
        for entry in entries:
            unit.append(entry)

    return Subject(name="stripe PaymentIntent: decide", deliveries=deliveries, documents=_bodies(deliveries), once=once)


def entry(mine: Account, verified: Verified) -> Entry:
    return Entry(account=mine, verified=verified, items=translate(mine, verified))


def _answer(provider: Provider, sample: samples.Sample) -> Delivery:
    inner, endpoint = orjson.loads(sample.body), provider.api and provider.api.objects.get(sample.name)
    for key in endpoint.unwrap if endpoint else ():
        inner = inner[key]
    return Delivery(
        id="delivery",
        provider=provider.name,
        account="bench",
        received_at=NOW,
        body=sample.body,
        method="GET",
        via=Via.LOOKUP,
        asked=Asked(ref=ObjectRef(object=sample.name, id=str(inner[endpoint.id_key]) if endpoint else "")),
    )


def main() -> None:
    options = arguments(__doc__, rounds=5, seconds=0.3).parse_args()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)  # as `serve` does
    subjects = [
        one_event(),
        decisions(),
        *map(webhooks, ALL),
        *(answers(provider) for provider in ALL if provider.api),
    ]
    rows = [subject.row(options.rounds, options.seconds) for subject in subjects]
    show(Report(name="translate", columns=COLUMNS, rows=rows, arguments=vars(options)), as_json=options.json)


if __name__ == "__main__":
    main()
