"""From what is proven to what is said: never an exception, never a guess, never a word of the body in an error."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paymux.delivery import Asked, ObjectRef, Proof, Via
from paymux.errors import Untranslatable
from paymux.provider import Listing
from paymux.statement import Ignored, Lookup, Quarantined, Stated
from paymux.translate import only_asks, translate
from tests.journal.tiny import ACCOUNT, NOON, TINY, answered, batch, delivered, payment, says

SINGLE = replace(TINY, split=None)
ONE = replace(ACCOUNT, provider=SINGLE)
LISTING = Listing(path="/payments", items="payments", filters=frozenset(), following=lambda _: None)
LISTED = replace(ACCOUNT, provider=replace(TINY, api=replace(TINY.api, payments=LISTING)))


def single(*, provider=SINGLE, proof=Proof.SIGNATURE, livemode=None, **item):
    (found,) = translate(replace(ONE, provider=provider, livemode=livemode), delivered(item, proof=proof))
    return found


def listed(*payments):
    asked = Asked(ref=ObjectRef(object="payments", id=""))
    return delivered({"payments": payments}, proof=Proof.API, via=Via.RECONCILE, asked=asked)


def with_event(extract):
    return replace(SINGLE, events={**SINGLE.events, "payment": extract})


PAID = {"type": "payment", "key": "e1", "id": "p1", "status": "succeeded", "amount": 5}


# --- three words


def test_an_event_that_is_translated():
    """What the envelope says and what is stated."""
    found = single(**PAID, at=int(NOON.timestamp()), livemode=True)
    assert (found.position, found.event_key, found.event_type) == (None, "e1", "payment")
    assert (found.occurred_at, found.livemode) == (NOON, True)
    assert isinstance(found.outcome, Stated)
    assert [statement.block.id for statement in found.outcome.statements] == ["p1"]


def test_an_event_that_is_ignored():
    """Known, and not so much as read."""
    assert single(type="ping", key="e1", id=7).outcome == Ignored()


@pytest.mark.parametrize("event_type", ["payment.new", "", "Payment", "ping "])
def test_an_event_in_neither_list(event_type):
    """Quarantined by name, never guessed."""
    found = single(type=event_type, key="e1")
    assert found.outcome == Quarantined(
        reason="unknown_event_type", detail=f"{event_type!r} is in neither list of tiny"
    )
    assert found.event_key == "e1"


def test_an_event_type_without_end():
    """The detail shows a part of it."""
    assert len(single(type="x" * 4000, key="e1").outcome.detail) < 150


def test_the_same_delivery_twice():
    """Equal results."""
    verified = batch(says("payment", "e1", status="succeeded"), says("refund", "e2", "r1", status="failed"))
    assert translate(ACCOUNT, verified) == translate(ACCOUNT, verified)


# --- never raises


class Unheard(Exception):
    pass


def broken(*_):
    raise Unheard("4242424242424242 and the customer's name")


def endless(body, head):
    return endless(body, head)


BREAKS = {
    "head": replace(SINGLE, head=broken),
    "extractor": with_event(broken),
    "split": replace(SINGLE, split=broken),
    "resends_current": replace(SINGLE, resends_current=broken),
    "recursion": with_event(endless),
    "no statements": with_event(lambda *_: None),
    "not statements": with_event(lambda *_: (None,)),
    "not a block": with_event(lambda *_: payment),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_bug_of_ours(name):
    """internal_error with the class and place of the error, and none of its words, which may be the body's."""
    found = single(provider=BREAKS[name], **PAID)
    assert found.outcome.reason == "internal_error"
    assert "4242" not in found.outcome.detail
    assert "customer" not in found.outcome.detail
    if name in ("head", "extractor", "split", "resends_current"):
        assert found.outcome.detail.startswith("Unheard in broken:")
    assert found.fingerprint == ""


def test_a_bug_keeps_the_envelope_where_it_was_read():
    """The event key is the provider's, so that a retry is a duplicate; else it is the body's digest."""
    assert single(provider=BREAKS["extractor"], **PAID).event_key == "e1"
    assert single(provider=BREAKS["not statements"], **PAID).event_key == "e1"
    found = single(provider=BREAKS["head"], **PAID)
    assert found.event_key == hashlib.sha256(json.dumps(PAID).encode()).hexdigest()


BODIES = [
    b"",
    b" \n",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"7",
    b"{}",
    b'{"items": 7}',
    b'{"items": [7]}',
    b'{"items": null}',
    b'{"items": []}',
    b'{"items": [], "items": []}',
    b"\xff\xfe",
    b'{"items": "\\ud800"}',
    b'{"a": NaN}',
    b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"a": 1e999999999}',
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20]))
def test_a_body_that_is_no_delivery(body):
    """One item, quarantined with a reason, known by the body's digest."""
    (found,) = translate(ACCOUNT, delivered(body))
    assert found.outcome.reason in ("shape", "duplicate_key")
    assert (found.event_key, found.position) == (hashlib.sha256(body).hexdigest(), None)


def test_an_empty_batch():
    """It is not dropped: quarantined."""
    (found,) = translate(ACCOUNT, batch())
    assert found.outcome == Quarantined(reason="shape", path=None, detail="the batch holds no item")


def test_where_in_the_body():
    """The path of what was found instead is a JSON pointer, of the item's own place in its batch."""
    items = translate(ACCOUNT, batch(says("payment", "e1", status="succeeded"), says("payment", "e2", amount="5")))
    assert items[1].outcome == Quarantined(
        reason="shape", path="/items/1/amount", detail="expected an integer, found another string"
    )
    assert isinstance(items[0].outcome, Stated)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(body=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_at_all(body):
    """At least one item, and no exception."""
    assert len(translate(ACCOUNT, delivered(body))) >= 1
    assert len(translate(ONE, delivered(body))) == 1


@settings(max_examples=400, deadline=None)
@given(
    item=st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["payment", "refund", "dispute", "payout", "ask", "ping"]) | JSON,
            **{
                name: st.sampled_from(["p1", "succeeded", 5, True]) | JSON
                for name in ("key", "id", "at", "livemode", "status", "amount", "refunded", "aliases", "ids", "by")
            },
        },
    )
)
def test_anything_at_any_leaf(item):
    """An outcome for the item, and its neighbour in the batch is untouched."""
    found = translate(ACCOUNT, batch(item, says("payment", "e2", status="succeeded")))
    assert len(found) == 2
    assert isinstance(found[1].outcome, Stated)


# --- batches


def test_a_batch_is_split_into_items():
    """Each with its position, its own key and its own outcome; one that cannot be read has a key from the body."""
    verified = batch(says("payment", "e1"), {"type": 7}, says("ping", "e3"), says("ask", "e4", ids=["p9"]))
    items = translate(ACCOUNT, verified)
    digest = hashlib.sha256(verified.delivery.body).hexdigest()
    assert [item.position for item in items] == [0, 1, 2, 3]
    assert [item.event_key for item in items] == ["e1", f"{digest}/1", "e3", "e4"]
    assert [type(item.outcome) for item in items] == [Stated, Quarantined, Ignored, Lookup]


def test_a_batch_of_what_nobody_can_read():
    """Each bad item is its own, up to a number; beyond, the delivery is one item, not as many quarantine records."""
    few = translate(ACCOUNT, delivered({"items": [{"odd": 1}] * 64}))
    assert {item.outcome.reason for item in few} == {"shape"}
    assert len({item.event_key for item in few}) == len(few) == 64
    (many,) = translate(ACCOUNT, delivered({"items": [{"odd": 1}] * 65}))
    assert (many.outcome.reason, many.outcome.detail) == ("shape", "more than 64 items of the batch cannot be read")


def test_a_bug_in_one_item_of_a_batch():
    """The others are translated."""
    provider = replace(TINY, events={**TINY.events, "refund": broken, "payout": lambda *_: (None,)})
    account = replace(ACCOUNT, provider=provider)
    items = translate(
        account, batch(says("payment", "e1"), says("refund", "e2"), says("payout", "e3"), says("payment", "e4"))
    )
    assert [type(item.outcome) for item in items] == [Stated, Quarantined, Quarantined, Stated]


# --- modes


@pytest.mark.parametrize(
    ("account", "event", "kept"),
    [
        (True, True, True),
        (False, False, False),
        (None, True, True),
        (None, None, None),
        (True, None, True),
        (False, None, False),
    ],
)
def test_the_mode_of_an_event(account, event, kept):
    """The provider's word, else the account's, else null."""
    found = single_mode(account, event)
    assert isinstance(found.outcome, Stated)
    assert found.livemode is kept


def single_mode(account, event):
    (found,) = translate(replace(ONE, livemode=account), delivered({**PAID, "livemode": event}))
    return found


@pytest.mark.parametrize("account", [True, False])
def test_an_event_of_the_other_mode(account):
    """Quarantined as wrong_mode, in a webhook and in an API answer; an ignored one stays ignored."""
    assert single_mode(account, not account).outcome.reason == "wrong_mode"
    body = {"id": "p1", "status": "succeeded", "livemode": not account}
    (found,) = translate(replace(ACCOUNT, livemode=account), answered(body))
    assert found.outcome.reason == "wrong_mode"
    assert found.livemode is (not account)
    (found,) = translate(replace(ONE, livemode=account), delivered({"type": "ping", "livemode": not account}))
    assert found.outcome == Ignored()


# --- hints


def test_an_unproven_body_states_nothing():
    """Whatever it says, only the names of objects are taken from it."""
    found = single(proof=Proof.HINT, **PAID)
    assert found.outcome == Quarantined(reason="internal_error", detail="an unproven body may only name objects")
    assert not only_asks([found])


HINTS = [
    ({"type": "ask", "ids": ["p1"]}, True),
    ({"type": "ping"}, True),
    ({"type": "unknown"}, False),
    ({"type": 7}, False),
    ({}, False),
    ({"type": "ask", "ids": 7}, False),
    ({"type": "payment", "id": "p1"}, False),
]


@pytest.mark.parametrize(("body", "taken"), HINTS, ids=json.dumps)
def test_which_hints_are_taken(body, taken):
    """Those that name objects, or are of no interest; anything else would put a stranger's words on a topic."""
    assert only_asks(translate(ONE, delivered(body, proof=Proof.HINT))) is taken


def test_a_hint_of_which_one_item_is_not_to_be_taken():
    """None of it is."""
    items = translate(ACCOUNT, batch(says("ask", None, ids=["p1"]), says("odd", None), proof=Proof.HINT))
    assert not only_asks(items)
    assert only_asks(items[:1])


def test_a_hint_of_the_other_mode():
    """It is not taken."""
    (found,) = translate(
        replace(ONE, livemode=True), delivered({"type": "ask", "ids": ["p1"], "livemode": False}, proof=Proof.HINT)
    )
    assert not only_asks([found])


# --- answers of the API


def test_an_answer_is_a_snapshot():
    """Its key is the object's id and digest, however its keys are ordered; it has no event type; its time is its own."""
    body = {"id": "p1", "status": "succeeded", "at": int(NOON.timestamp())}
    (found,) = translate(ACCOUNT, answered(body))
    (again,) = translate(ACCOUNT, answered(dict(reversed(body.items()))))
    assert found.event_key == again.event_key
    assert found.event_key.startswith("p1:")
    assert (found.event_type, found.occurred_at) == (None, None)
    assert found.outcome.statements[0].at == NOON
    (other,) = translate(ACCOUNT, answered(body | {"status": "failed"}))
    assert other.event_key != found.event_key


def test_an_answer_without_a_time_of_its_own():
    """It is as new as the event that asked."""
    (found,) = translate(ACCOUNT, answered({"id": "p1", "status": "succeeded"}, occurred_at=NOON))
    assert found.outcome.statements[0].at == NOON


def test_an_answer_about_another_object():
    """Quarantined: the API said something that was not asked."""
    verified = answered({"id": "p1", "status": "succeeded"})
    other = replace(verified.delivery, asked=Asked(ref=ObjectRef(object="payment", id="p2")))
    (found,) = translate(ACCOUNT, type(verified)(other, Proof.API))
    assert found.outcome == Quarantined(reason="answer_mismatch", detail="the answer is about another object")


def test_an_answer_about_another_tenants_object():
    """The endpoint's own check refuses it."""

    def check(found, options):
        raise Untranslatable("another tenant's", reason="wrong_account")

    endpoint = replace(TINY.api.objects["payment"], check=check)
    provider = replace(TINY, api=replace(TINY.api, objects={"payment": endpoint}))
    (found,) = translate(replace(ACCOUNT, provider=provider), answered({"id": "p1", "status": "succeeded"}))
    assert found.outcome.reason == "wrong_account"


def test_an_answer_of_a_provider_without_an_api():
    """Quarantined, since nothing says how to read it."""
    (found,) = translate(replace(ACCOUNT, provider=replace(TINY, api=None)), answered({"id": "p1"}))
    assert found.outcome.reason == "internal_error"


def test_a_list_is_split_into_items():
    """Each object of the page is a snapshot of its own; one that is unreadable does not take the others along."""
    items = translate(
        LISTED, listed({"id": "p1", "status": "succeeded"}, {"id": 7}, {"id": "p3", "status": "nonsense"})
    )
    assert [item.position for item in items] == [0, 1, 2]
    assert [type(item.outcome) for item in items] == [Stated, Quarantined, Quarantined]
    assert items[0].event_key == translate(LISTED, answered({"id": "p1", "status": "succeeded"}))[0].event_key


def test_an_empty_list():
    """No item: there is nothing to say."""
    assert translate(LISTED, listed()) == ()


def test_a_list_of_a_provider_that_has_none():
    """Quarantined."""
    (found,) = translate(ACCOUNT, listed({"id": "p1"}))
    assert found.outcome.reason == "internal_error"


# --- what makes a conflict


FINGERPRINTS = [
    ({"amount": 6}, True),
    ({"status": "failed"}, True),
    ({"id": "p2"}, True),
    ({"livemode": True}, True),
    ({"note": "other words"}, False),
    ({"at": int(datetime(2026, 12, 1, tzinfo=UTC).timestamp())}, False),
]


@pytest.mark.parametrize(("change", "differs"), FINGERPRINTS, ids=lambda value: str(value)[:20])
def test_what_must_not_differ_under_one_key(change, differs):
    """Type, object id, status, amount, currency and mode; nothing else."""
    assert (single_body(PAID) != single_body(PAID | change)) is differs


def single_body(body, provider=SINGLE):
    (found,) = translate(replace(ONE, provider=provider), delivered(body))
    assert found.fingerprint
    return found.fingerprint


def test_what_may_differ_where_the_current_object_is_sent():
    """Status and mode, but not identity and amount."""
    provider = replace(SINGLE, resends_current=lambda _: True)
    first = single_body(PAID, provider)
    assert single_body(PAID | {"status": "failed", "livemode": True}, provider) == first
    assert single_body(PAID | {"amount": 6}, provider) != first
    assert single_body(PAID | {"id": "p2"}, provider) != first
