"""Mollie, rule by rule. The shapes are of https://docs.mollie.com/reference; the payloads are the sandbox's own."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bodies import Bodies
from published import moves, published
from pydantic import SecretStr
from signers import WAYS
from uuid_utils import uuid7

from paymux.canonical import (
    DisputeReason,
    DisputeStatus,
    Failure,
    FailureCategory,
    Method,
    PaymentStatus,
    PayoutStatus,
    RefundStatus,
    Settlement,
)
from paymux.delivery import Asked, ObjectRef, Proof, Verified, Via
from paymux.errors import Rejected, Untranslatable
from paymux.journal import Entry
from paymux.journal.memory import MemoryJournal
from paymux.lookup import Client, Lookups
from paymux.money import Money
from paymux.provider_api import ProviderApi, open_session
from paymux.providers.mollie import FAILURES, MOLLIE, SETTLED, STATUSES
from paymux.sandbox.apis import KEYS, Sandbox
from paymux.sandbox.samples import answers, webhook
from paymux.signatures import confirmed, trusted, verify
from paymux.signatures.hint import Hint
from paymux.statement import Fact, Ignored, Item, Lookup, Quarantined, Stated, Statement
from paymux.testing import NOW
from paymux.translate import only_asks, translate
from paymux.wild import parse_json

SIGNED, CLASSIC = (
    next(way for way in WAYS if way.provider is MOLLIE and way.options.get("webhooks", "signed") == kind)
    for kind in ("signed", "classic")
)
ACCOUNT = SIGNED.account()
BODIES = Bodies(way=SIGNED, account=ACCOUNT)
prove, item, one, refused = BODIES.prove, BODIES.item, BODIES.one, BODIES.refused
PAYMENT = "tr_7kWq2Mx9VtB4nZ1cLh5Rj"
REFUND = "re_4xKt7WmV2q"
PUBLISHED = Path(__file__).parents[2] / "../shared/samples/mollie"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def euros(cents: int) -> Money:
    return Money(cents, "EUR", 2)


def sample(label: str, envelope: dict | None = None, **changes: object) -> bytes:
    """A sample's body; `changes` are of the object that it embeds, `...` takes a key away."""
    name, _, variant = label.partition("--")
    body = json.loads(webhook("mollie", name, variant).body)
    if changes:
        _change(body["_embedded"]["entity"], changes)
    return json.dumps(body | (envelope or {})).encode()


def _change(found: dict, changes: dict[str, object]) -> None:
    found.update(changes)
    for key in [key for key, value in changes.items() if value is ...]:
        del found[key]


def hinted(body: bytes) -> tuple[Item, ...]:
    account = CLASSIC.account()
    return translate(account, verify(CLASSIC.delivery(body), account.checks))


def answer(label: str, **changes: object) -> Verified:
    """What the API says when it is asked for this sample's object."""
    name, _, variant = label.partition("--")
    body = next(each.body for each in answers("mollie") if (each.name, each.variant) == (name, variant))
    found = json.loads(body)
    _change(found, changes)
    asked = Asked(ref=ObjectRef(object=name, id=found["id"]))
    sent = SIGNED.sent(json.dumps(found).encode(), ())
    return confirmed(replace(sent, via=Via.LOOKUP, asked=asked))


def stated(verified: Verified) -> tuple[Statement, ...]:
    [found] = translate(ACCOUNT, verified)
    assert isinstance(found.outcome, Stated), found.outcome
    return found.outcome.statements


# --- which of the two


def test_the_option_chooses_the_proof():
    """Signed unless told: an account that has no secret does not start as a classic one by itself."""
    assert MOLLIE.scheme({}).proof is MOLLIE.scheme({"webhooks": "signed"}).proof is Proof.SIGNATURE
    assert MOLLIE.scheme({"webhooks": "classic"}) == Hint()


def test_a_classic_webhook_does_not_pass_for_a_signed_one():
    """What Mollie's SDK calls legacy is refused by an account that expects signatures."""
    with pytest.raises(Rejected) as caught:
        verify(CLASSIC.delivery(webhook("mollie", "payment").body), ACCOUNT.checks)
    assert caught.value.reason == "signature_missing"


# --- classic


def test_a_classic_webhook_is_a_question():
    """No key, since the same bytes come each time; the answer has to be one of the statuses that are announced."""
    [found] = hinted(b"id=" + PAYMENT.encode())
    assert (found.event_key, found.event_type, found.livemode) == (None, "payment", None)
    assert found.outcome == Lookup(objects=(ObjectRef(object="payment", id=PAYMENT),), settles=SETTLED)
    assert {PaymentStatus.PENDING, PaymentStatus.PROCESSING}.isdisjoint(SETTLED)


@pytest.mark.parametrize(
    "body",
    [
        b"id=" + PAYMENT.encode(),
        b"id=" + PAYMENT.encode() + b"&testmode=1",
        b"%69d=" + PAYMENT.encode(),
        b'{"id": "' + PAYMENT.encode() + b'"}',
    ],
)
def test_forms_that_name_a_payment(body):
    """Other fields are of no interest."""
    items = hinted(body)
    assert only_asks(items)
    assert items[0].outcome.objects == (ObjectRef(object="payment", id=PAYMENT),)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"id=",
        b"id",
        b"=tr_1",
        b"tr_7kWq2Mx9",
        b"id=tr_1&id=tr_2",
        b"id=tr_1&",
        b"id=tr_",
        b"id=tr_../payments",
        b"id=tr_1%2F..%2Frefunds",
        b"id=tr_1%00",
        b"id=tr_1?x",
        b"id=tr_" + b"a" * 65,
        b"id=TR_1",
        b"id=tr_\xff",
        b"id=tr_%ff",
        b"id=%EF%BD%94r_1",
        b"&".join(b"f%d=1" % n for n in range(200)),
        b'{"id": ["tr_1"]}',
        b"<id>tr_1</id>",
    ],
)
def test_forms_that_name_none(body):
    """Nothing of what a stranger wrote gets anywhere."""
    [found] = hinted(body)
    assert isinstance(found.outcome, Quarantined), found
    assert not only_asks((found,))


@pytest.mark.parametrize("prefix", ["ord", "sub", "pl"])
def test_classic_webhooks_about_something_else(prefix):
    """Unknown on purpose: to such a hint the answer is the acknowledgement, and the operator sees it was not taken."""
    [found] = hinted(f"id={prefix}_8kVt4mWx2q".encode())
    assert found.outcome == Quarantined(reason="unknown_event_type", detail=f"{prefix!r} is in neither list of mollie")


def test_a_signed_event_at_a_classic_account():
    """Nobody checked it, so it only says which payment to ask for."""
    for label in ("payment.paid", "refund.refunded", "chargeback.received"):
        [found] = hinted(sample(label))
        assert found.event_key is None
        assert found.outcome == Lookup(objects=(ObjectRef(object="payment", id=PAYMENT),))
    [found] = hinted(sample("payout.completed"))
    assert [ref.object for ref in found.outcome.objects] == ["event"]


# --- events


def test_the_head_of_an_event():
    """Key, type and time are Mollie's; the mode is the object's."""
    found = item(sample("payment.paid"))
    assert (found.event_key, found.event_type) == ("event_3kT7wQgRyD0sEuAoLp1i", "payment.paid")
    assert found.occurred_at == at("2026-01-09T10:00:05Z")
    assert found.livemode is False
    assert item(sample("payment.paid", mode="live")).livemode is True
    assert item(sample("chargeback.received")).livemode is None


def test_a_mode_that_nobody_knows():
    """It is neither live nor test."""
    assert refused(sample("payment.paid", mode="staging")) == ("shape", "/_embedded/entity/mode")


@pytest.mark.parametrize("label", ["payment", "event"])
def test_the_mode_of_an_answer(label):
    """The API's objects say it as those of webhooks do: the account's need not, and another one is not told."""
    verified = answer(label)
    [found] = translate(replace(ACCOUNT, livemode=None), verified)
    assert found.livemode is False
    [found] = translate(replace(ACCOUNT, livemode=True), verified)
    assert found.outcome == Quarantined(reason="wrong_mode", detail="the event's mode is not the account's livemode")


@pytest.mark.parametrize("embedded", [None, {}, {"entity": None}])
def test_a_simple_payload_is_a_question(embedded):
    """About the payment, if it is one; about the event, where only that leads on."""
    envelope = {"_embedded": embedded}
    assert item(sample("payment.paid", envelope)).outcome == Lookup(objects=(ObjectRef(object="payment", id=PAYMENT),))
    found = item(sample("refund.refunded", envelope))
    assert found.outcome == Lookup(objects=(ObjectRef(object="event", id=found.event_key),))


@pytest.mark.parametrize("entity_id", ["", "pl_1", "tr_1/..", None, 7])
def test_a_simple_payload_that_names_no_payment(entity_id):
    """It is kept, not asked for."""
    body = sample("payment.paid", {"_embedded": None, "entityId": entity_id})
    assert refused(body) == ("shape", "/entityId")


@pytest.mark.parametrize("name", sorted(MOLLIE.ignored))
def test_ignored_by_decision(name):
    """Whatever it embeds."""
    assert item(sample("payment-link.paid", {"type": name})).outcome == Ignored()


def test_the_object_counts_where_the_event_names_another():
    """Mollie's published example names a payment link and embeds another one."""
    assert one(sample("payment.paid", {"entityId": "tr_another"})).block.id == PAYMENT


# --- payments


@pytest.mark.parametrize(("word", "status"), STATUSES.items())
def test_a_payments_status(word, status):
    """The object's, not the event's name."""
    found = one(sample("payment.paid", status=word)).block
    assert (found.status, found.provider_status) == (status, word)


@pytest.mark.parametrize(
    ("label", "time"),
    [
        ("payment.paid", "2026-01-09T10:00:04Z"),
        ("payment.authorized", "2026-01-09T10:00:02Z"),
        ("payment.failed", "2026-01-09T10:01:31Z"),
        ("payment.canceled", "2026-01-09T10:05:17Z"),
        ("payment.expired", "2026-01-09T10:13:41Z"),
        ("payment.pending", "2026-01-09T09:58:40Z"),
    ],
)
def test_the_time_of_a_payment_is_that_of_its_status(label, time):
    """The one clock that events and the API's answers share; without one, its creation."""
    assert one(sample(label)).at == at(time)


def test_a_paid_payment_says_all_it_knows():
    """Amounts are exact decimals; `paidAt` and the card are its own."""
    found = one(sample("payment.paid"))
    block = found.block
    assert found.payment_id == block.id == PAYMENT
    assert (block.amount, block.amount_refunded, block.amount_captured) == (euros(8450), euros(0), None)
    assert block.settlement == Settlement(amount=euros(8450))
    assert block.method == Method(type="card", brand="Mastercard", last4="6787")
    assert (block.description, block.metadata) == ("Order 20417: two chairs", {"order": "20417"})
    assert found.facts == ()


def test_a_currency_without_decimals():
    """ "9800" yen, settled in euros, paid by a wallet for a subscription."""
    block = one(sample("payment.paid--yen")).block
    assert block.amount == Money(9800, "JPY", 0)
    assert block.settlement == Settlement(amount=euros(5341))
    assert block.method is not None
    assert block.method.wallet == "applepay"
    assert (block.customer_id, block.subscription_id) == ("cst_8kVt4mWx2q", "sub_5nRx9bTk7w")


@pytest.mark.parametrize(
    ("value", "currency", "reason"),
    [
        ("10.005", "EUR", "inexact_amount"),
        ("9800.5", "JPY", "inexact_amount"),
        ("10.00", "XXX", "unknown_currency"),
        (10, "EUR", "shape"),
        (10.5, "EUR", "shape"),
        ("10,00", "EUR", "shape"),
        ("1e1", "EUR", "shape"),
        ("", "EUR", "shape"),
    ],
)
def test_amounts_that_are_not_read(value, currency, reason):
    """A decimal in a text, no finer than the currency."""
    assert refused(sample("payment.paid", amount={"value": value, "currency": currency}))[0] == reason


@pytest.mark.parametrize("metadata", ['{"order":1}', "text", None, ["x"], 7, ...])
def test_metadata_that_is_no_object(metadata):
    """Mollie keeps anything; only an object has keys."""
    assert one(sample("payment.paid", metadata=metadata)).block.metadata is None


@pytest.mark.parametrize(("reason", "category"), [*FAILURES.items(), ("unknown_reason", "unknown")])
def test_why_a_card_failed(reason, category):
    """In `details`, with words for the customer."""
    details = {"failureReason": reason, "failureMessage": "It did not work."}
    failure = one(sample("payment.failed", details=details)).block.failure
    assert failure == Failure(category=FailureCategory(category), code=reason, message="It did not work.")


def test_why_a_terminal_failed():
    """In `statusReason`; of an iDEAL payment nothing is said."""
    failure = one(sample("payment.failed--terminal")).block.failure
    assert failure == Failure(
        category=FailureCategory.DECLINED,
        code="insufficient_funds",
        message="The account has insufficient funds.",
    )
    assert one(sample("payment.failed", details=None, method="ideal")).block.failure is None


# --- refunds, chargebacks, captures, payouts


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("queued", RefundStatus.PENDING),
        ("pending", RefundStatus.PENDING),
        ("processing", RefundStatus.PROCESSING),
        ("refunded", RefundStatus.SUCCEEDED),
        ("failed", RefundStatus.FAILED),
        ("canceled", RefundStatus.CANCELED),
    ],
)
def test_a_refund(word, status):
    """Its only time is its creation, so that an event and the API's answer agree."""
    found = one(sample(f"refund.{word}"))
    assert (found.block.status, found.block.provider_status) == (status, word)
    assert (found.payment_id, found.block.amount) == (PAYMENT, euros(3990))
    assert found.at == at("2026-01-10T08:30:00Z")


def test_a_chargeback_takes_the_money_at_once():
    """No status and no case: lost, unless it is reversed."""
    found = one(sample("chargeback.received"))
    assert (found.block.status, found.block.provider_status) == (DisputeStatus.LOST, None)
    assert (found.block.id, found.payment_id, found.block.amount) == ("chb_7tWx4KvM2q", PAYMENT, euros(8450))
    assert found.block.reason == DisputeReason(code="AC01")
    assert found.facts == (Fact(name="funds_withdrawn", says=(8450,)),)
    assert one(sample("chargeback.received--card")).block.reason is None


def test_a_chargeback_that_is_reversed():
    """The money is back."""
    found = one(sample("chargeback.reversed"))
    assert (found.block.status, found.at) == (DisputeStatus.WON, at("2026-02-03T07:01:40Z"))
    assert found.facts == (Fact(name="funds_reinstated", says=(8450,)),)


@pytest.mark.parametrize("word", ["succeeded", "failed"])
def test_a_capture_speaks_for_no_status(word):
    """The payment alone says what was captured in all."""
    found = one(sample(f"capture.{word}"))
    assert (found.block.id, found.speaker) == ("tr_9xTb4Wm2KqV7nR1zHc6Lj", "cpt_2mWx8TvK4q")
    assert (found.block.status, found.block.provider_status, found.block.amount_captured) == (None, word, None)


@pytest.mark.parametrize(
    ("label", "status", "code"),
    [
        ("initiated", PayoutStatus.IN_TRANSIT, None),
        ("processing-at-bank", PayoutStatus.IN_TRANSIT, None),
        ("completed", PayoutStatus.PAID, None),
        ("canceled", PayoutStatus.CANCELED, None),
        ("failed", PayoutStatus.FAILED, "insufficient_funds"),
        ("failed--returned", PayoutStatus.RETURNED, "returned"),
    ],
)
def test_a_payout(label, status, code):
    """`failed` may be a return by the bank: the reason says so."""
    found = one(sample(f"payout.{label}"))
    assert (found.block.status, found.block.amount, found.payment_id) == (status, euros(231040), None)
    assert (found.block.failure.code if found.block.failure else None) == code
    assert found.at == item(sample(f"payout.{label}")).occurred_at


# --- the API's answers


def test_an_answer_states_refunds_and_chargebacks_too():
    """The refunds oldest first, though Mollie lists the newest first."""
    payment, first, second = stated(answer("payment--partially-refunded"))
    assert payment.facts == (Fact(name="refunded", says=(0, 3990)),)
    assert (first.block.id, first.block.status) == (REFUND, RefundStatus.SUCCEEDED)
    assert (second.block.id, second.block.status) == ("re_9bTn5RxK7w", RefundStatus.PROCESSING)
    assert first.payment_id == second.payment_id == payment.block.id == PAYMENT
    _, chargeback = stated(answer("payment--charged-back"))
    assert chargeback.block.status is DisputeStatus.LOST


def test_a_payment_that_was_refunded_beyond_its_amount():
    """Return costs: in full, and more."""
    [payment] = stated(answer("payment", amountRefunded={"value": "90.00", "currency": "EUR"}))
    assert payment.facts == (Fact(name="refunded", says=(1, 9000)),)


@pytest.mark.parametrize(
    ("label", "entity", "own_id"),
    [
        ("event", "refund", REFUND),
        ("event--payment", "payment", PAYMENT),
        ("event--chargeback", "dispute", "chb_7tWx4KvM2q"),
        ("event--capture", "payment", "tr_9xTb4Wm2KqV7nR1zHc6Lj"),
        ("event--payout", "payout", "payout_4kVx8TwM2qZ7nRb1Jc9Lh"),
    ],
)
def test_an_event_that_is_asked_for_states_its_object(label, entity, own_id):
    """As the signed webhook with a full payload does."""
    [statement] = stated(answer(label))
    assert (statement.block.entity, statement.block.id) == (entity, own_id)


def test_an_event_about_something_else():
    """The API may answer with anything; what nobody asked for is not read."""
    [found] = translate(ACCOUNT, answer("event", type="sales-invoice.paid"))
    assert found.outcome.reason == "unknown_event_type"


@pytest.mark.parametrize("kind", ["refund", "chargeback", None])
def test_an_answer_that_is_no_payment(kind):
    """A refund has an id, a status and an amount as well, and must not be taken for a payment."""
    [found] = translate(ACCOUNT, answer("payment", resource=kind))
    assert (found.outcome.reason, found.outcome.path) == ("shape", "/resource")


@pytest.mark.parametrize(("value", "purpose"), [("0.00", "verification"), ("0.01", "payment")])
def test_a_payment_of_nothing(value, purpose):
    """It sets up a mandate, and is no revenue."""
    amount = {"currency": "EUR", "value": value}
    assert one(sample("payment.paid", amount=amount)).block.purpose == purpose


def test_an_answer_without_its_embedded_objects():
    """Lists have none: the payment alone speaks."""
    [payment] = stated(answer("payment--partially-refunded", _embedded=...))
    assert payment.block.amount_refunded == euros(3990)


def test_the_request_embeds_what_classic_webhooks_are_about():
    """Refunds and chargebacks come with the payment; the key is a bearer's."""
    assert MOLLIE.api.objects["payment"].query == (("embed", "refunds,chargebacks"),)
    assert MOLLIE.api.headers("test_key", {}) == {"Authorization": "Bearer test_key"}


def page(following: object) -> bytes:
    found = {"count": 0, "_embedded": {"payments": []}, "_links": {"next": following}}
    return json.dumps(found).encode()


@pytest.mark.parametrize(
    ("following", "query"),
    [
        (None, None),
        ({"href": "https://api.mollie.com/v2/payments?from=tr_SDkzMggpvx&limit=5"}, {"from": "tr_SDkzMggpvx"}),
        ({"href": "https://evil.example/?from=tr_1"}, {"from": "tr_1"}),
    ],
)
def test_the_next_page(following, query):
    """Only the id is taken out of the link: where it leads is of no interest."""
    assert MOLLIE.api.payments.following(parse_json(page(following))) == query


@pytest.mark.parametrize("href", ["https://api.mollie.com/v2/payments", "?from=tr_1&from=tr_2", "", "::"])
def test_a_link_that_leads_nowhere(href):
    """It is no end of the list, either."""
    with pytest.raises(Untranslatable):
        MOLLIE.api.payments.following(parse_json(page({"href": href})))


def test_a_list_is_translated_payment_by_payment():
    """They stand in `_embedded.payments`."""
    body = next(each.body for each in answers("mollie") if each.label == "list--page2")
    asked = Asked(ref=ObjectRef(object="payments", id=""))
    items = translate(ACCOUNT, confirmed(replace(SIGNED.sent(body, ()), via=Via.RECONCILE, asked=asked)))
    assert [each.outcome.statements[0].block.status for each in items] == ["failed", "succeeded"]
    assert len({each.event_key for each in items}) == 2


# --- stories


async def test_a_payments_life_by_signed_events():
    """Authorized and captured; the capture itself is no status."""
    hotel = {"id": "tr_9xTb4Wm2KqV7nR1zHc6Lj", "amountCaptured": {"value": "312.00", "currency": "EUR"}}
    paid = sample("payment.paid", **hotel, paidAt="2026-01-10T11:00:00+00:00")
    bodies = (sample("payment.authorized"), sample("capture.succeeded"), paid)
    assert moves(await published(ACCOUNT, map(prove, bodies))) == [
        ("payment.authorized", "first"),
        ("payment.updated", None),
        ("payment.succeeded", "advanced"),
    ]


async def test_refunds_and_chargebacks_by_signed_events():
    """A refund that comes back from the bank, and a chargeback that is reversed."""
    refund = {"id": REFUND}
    bodies = (
        sample("payment.paid"),
        sample("refund.queued"),
        sample("refund.pending"),
        sample("refund.refunded"),
        sample("refund.failed", **refund),
        sample("chargeback.received"),
        sample("chargeback.reversed"),
    )
    records = await published(ACCOUNT, map(prove, bodies))
    assert moves(records) == [
        ("payment.succeeded", "first"),
        ("refund.pending", "first"),
        ("refund.updated", "repeated"),
        ("refund.succeeded", "advanced"),
        ("refund.failed", "reversed"),
        ("dispute.lost", "first"),
        ("dispute.funds_withdrawn", "first"),
        ("dispute.won", "reversed"),
        ("dispute.funds_reinstated", "reversed"),
    ]
    states = [record["data"]["lifecycle"]["state"] for record in records]
    assert [state["refund_state"] for state in states[2:5]] == ["none", "partial", "none"]
    assert [state["disputed"] for state in states] == [False] * 5 + [True, True, False, False]


async def test_a_payments_life_by_the_answers_to_classic_webhooks():
    """The same questions again and again; only what is new is said."""
    labels = ("payment--open", "payment", "payment", "payment--partially-refunded", "payment--charged-back")
    records = await published(ACCOUNT, [answer(label) for label in labels])
    assert moves(records) == [
        ("payment.pending", "first"),
        ("payment.succeeded", "advanced"),
        ("payment.partially_refunded", "repeated"),
        ("refund.succeeded", "first"),
        ("refund.processing", "first"),
        ("dispute.lost", "first"),
        ("dispute.funds_withdrawn", "first"),
    ]
    assert {record["data"]["origin"]["proof"] for record in records} == {"api"}


async def test_an_answer_after_the_events_adds_nothing():
    """Both order by the object's own times, and say the same."""
    events = [prove(sample(label)) for label in ("payment.paid", "refund.refunded", "chargeback.received")]
    before = await published(ACCOUNT, events)
    after = await published(ACCOUNT, [*events, answer("payment--charged-back"), answer("event")])
    assert moves(after) == moves(before)


async def test_a_classic_webhook_to_the_end():
    """The form, the question over HTTP, the answer: `open` is asked for again, and what is paid meanwhile comes out."""
    now = [NOW]
    account, journal, sandbox = CLASSIC.account(), MemoryJournal(now=lambda: now[0]), Sandbox()
    async with sandbox.running(), open_session() as session:
        api = ProviderApi(
            api=MOLLIE.api, url=sandbox.url("mollie"), key=SecretStr(KEYS["mollie"]), options={}, session=session
        )
        worker = Lookups(
            journal=journal,
            clients={("mollie", "acme"): Client(account=account, api=api)},
            clock=lambda: now[0],
            new_id=lambda: str(uuid7()),
            poll=0.02,
        )
        sandbox.put("mollie", answer("payment--open").delivery.body)
        verified = verify(CLASSIC.delivery(b"id=" + PAYMENT.encode()), account.checks)
        await journal.append(Entry(account=account, verified=verified, items=translate(account, verified)))
        task = asyncio.create_task(worker.run())
        await until(lambda: sandbox.asked("mollie", PAYMENT) == 1 and journal_size(journal) == 1)
        sandbox.put("mollie", answer("payment--partially-refunded").delivery.body)
        now[0] += timedelta(minutes=2)
        await until(lambda: journal_size(journal) == 5)
        task.cancel()
    records = [json.loads(row.record.value) for row in await journal.read(0, 0, 10)]
    await journal.close()
    assert [record["type"] for record in records] == [
        "payment.pending",
        "payment.succeeded",
        "payment.partially_refunded",
        "refund.succeeded",
        "refund.processing",
    ]
    assert [seen.query for seen in sandbox.requests] == [{"embed": "refunds,chargebacks"}] * 2


def journal_size(journal: MemoryJournal) -> int:
    return len(journal.store.outbox)


async def until(holds) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


# --- what Mollie and others publish


def published_sample(name: str) -> bytes:
    if not PUBLISHED.exists():
        pytest.skip("the collected samples are beside the repository, and they are not here")
    return (PUBLISHED / name).read_bytes()


@pytest.mark.parametrize("name", ["nextgen-payment-link.paid.json", "openapi-event-get-webhook-event-200.json"])
def test_published_events(name):
    """Payment links name no payment."""
    assert item(published_sample(name)).outcome == Ignored()


@pytest.mark.parametrize("name", ["classic-webhook.form", "hyperswitch-cypress-mollie_payment_webhook.json"])
def test_published_hints(name):
    """Both name a payment, as a form and as JSON."""
    [found] = hinted(published_sample(name))
    assert [ref.object for ref in found.outcome.objects] == ["payment"]


@pytest.mark.parametrize(
    ("name", "status", "minor"),
    [
        ("sdk-payment_canceled.json", PaymentStatus.CANCELED, 1000),
        ("sdk-payment_single.json", PaymentStatus.PENDING, 1000),
        ("sdk-payment_single_no_links.json", PaymentStatus.PENDING, 1000),
    ],
)
def test_published_payments_as_answers(name, status, minor):
    """What the API answers to a classic webhook."""
    body = published_sample(name)
    asked = Asked(ref=ObjectRef(object="payment", id="tr_7UhSN1zuXS"))
    [payment] = stated(confirmed(replace(SIGNED.sent(body, ()), via=Via.LOOKUP, asked=asked)))
    assert (payment.block.status, payment.block.amount) == (status, euros(minor))


@pytest.mark.parametrize(
    "name", ["openapi-get-refund.json", "openapi-list-chargebacks.json", "sdk-payment_rejected.json"]
)
def test_published_answers_that_are_no_webhooks(name):
    """Imported as webhooks they are kept with a reason, never half read."""
    [found] = translate(ACCOUNT, trusted(SIGNED.sent(published_sample(name), ())))
    assert isinstance(found.outcome, Quarantined)
    assert found.outcome.reason in {"shape", "unknown_event_type"}
