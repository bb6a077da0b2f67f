"""Rows of what samples say: the same each time, in the contract's words, and nothing that is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from paymux.canonical import EVENT, EVENT_TYPES, Entity
from paymux.records import offline_events
from paymux.statement import Ignored, Item, Lookup, Quarantined
from paymux.testing import junk
from paymux.testing.suite.reading import (
    amounts,
    answer_to,
    answered,
    combined,
    numbers,
    read,
    stated,
    translated,
    verified,
)
from paymux.translate import translate

if TYPE_CHECKING:
    from collections.abc import Callable

    from paymux.testing.suite.cases import Case
    from paymux.testing.ways import Way


def test_a_hint_only_asks(hint: Way) -> None:
    """Nothing of its body is published: each sample asks for an object or is ignored."""
    for sample in hint.samples:
        proven = verified(hint, sample.body)
        for item in translate(hint.account(), proven):
            assert isinstance(item.outcome, Lookup | Ignored)
            assert offline_events(hint.account(), proven, item) == []


def test_what_is_sent_says_the_same(way: Way) -> None:
    """A body says the same however it is written, and its proof adds nothing to it."""
    for sample in way.samples:
        sent = [(item.event_type, item.outcome) for item in translated(way, sample.body)]
        assert [(item.event_type, item.outcome) for item in read(way, way.document(sample.body))] == sent


def test_translating_twice(webhook: Case) -> None:
    """The same bytes give the same items."""
    way, body = webhook.way, webhook.sample.body
    assert translated(way, body) == translated(way, body)


def test_translating_an_answer_twice(answer: Case) -> None:
    """The same answer gives the same items, under the same keys."""
    assert answered(answer, answer.sample.body) == answered(answer, answer.sample.body)


def test_a_samples_events(webhook: Case) -> None:
    """They are valid in strict mode, with every key there, and have types of the published list."""
    account, proven = webhook.way.account(), verified(webhook.way, webhook.sample.body)
    for item in translate(account, proven):
        held_to_the_contract(offline_events(account, proven, item))


def test_an_answers_events(answer: Case) -> None:
    """So are those of the API's answers."""
    account, proven = answer.way.account(), answer_to(answer, answer.sample.body)
    events = [event for item in translate(account, proven) for event in offline_events(account, proven, item)]

    assert events
    held_to_the_contract(events)


def held_to_the_contract(events: list[bytes]) -> None:
    ids = []
    for value in events:
        event = EVENT.validate_json(value, strict=True)
        assert _keys(orjson.loads(value)) == _keys(orjson.loads(orjson.dumps(event)))
        assert event.type in EVENT_TYPES
        assert event.type.startswith(f"{event.data.entity}.")
        blocks = {entity for entity in Entity if getattr(event.data, entity) is not None}
        assert blocks == {event.data.entity}
        assert getattr(event.data, event.data.entity).id == event.subject
        ids.append(event.id)
    assert len(set(ids)) == len(ids)


def _keys(value: Any) -> Any:
    """Every key but those of metadata, whose content is free."""
    if isinstance(value, list):
        return [_keys(each) for each in value]
    if isinstance(value, dict):
        return [(key, None if key == "metadata" else _keys(each)) for key, each in value.items()]
    return None


def test_the_other_mode(webhook: Case) -> None:
    """An event that says live on an account for tests, or the other way round, is quarantined."""
    way, proven = webhook.way, verified(webhook.way, webhook.sample.body)
    for place, item in enumerate(translate(way.account(), proven)):
        if item.livemode is not None and not isinstance(item.outcome, Ignored):
            other = translate(way.account(livemode=not item.livemode), proven)[place]
            assert isinstance(other.outcome, Quarantined)
            assert other.outcome.reason == "wrong_mode"
            assert translate(way.account(livemode=item.livemode), proven)[place].outcome == item.outcome


def test_the_mode_of_the_account(webhook: Case) -> None:
    """Where the payload has no mode, the account's counts."""
    way, proven = webhook.way, verified(webhook.way, webhook.sample.body)
    for place, item in enumerate(translate(way.account(), proven)):
        if item.livemode is None:
            assert translate(way.account(livemode=True), proven)[place].livemode is True


# --- what is not known

NO_EVENT_TYPES = ("payment.exploded", "PAYMENT.SUCCEEDED", "", " ", "payment", "null", "x" * 4000)


@pytest.mark.parametrize("word", NO_EVENT_TYPES)
def test_an_unknown_event_type(typed: Way, word: str) -> None:
    """V-54: it is quarantined under that reason, whatever else the body says; the other items of a batch are not."""
    way = typed
    for sample in way.samples:
        document = way.document(sample.body)
        place, before = _type_at(way, document, sample.name), read(way, document)
        changed = read(way, junk.replaced(document, place, orjson.dumps(word)))
        if changed[0].event_type in {*way.provider.events, *way.provider.ignored}:
            continue
        assert isinstance(changed[0].outcome, Quarantined)
        assert changed[0].outcome.reason in {"unknown_event_type", *([] if word.strip() else ["shape"])}
        assert len(changed[0].outcome.detail or "") < 200
        assert [_without_key(item) for item in changed[1:]] == [_without_key(item) for item in before[1:]]


def _type_at(way: Way, document: bytes, event_type: str) -> junk.Path:
    if way.type_at is not None:
        return way.type_at
    found = orjson.loads(document)
    [place] = [path for path in junk.paths(found) if len(path) == 1 and junk.leaf(found, path) == event_type]
    return place


def _without_key(item: Item) -> Item:
    """Where the event key is a digest of the body, it is another one."""
    return replace(item, event_key=None)


def test_an_unknown_status(webhook: Case) -> None:
    """V-54: a status that no table has is quarantined with its place, also in another case or with a blank."""
    way = webhook.way
    unknown_statuses(way, way.document(webhook.sample.body), lambda body: read(way, body))


def test_an_unknown_status_in_an_answer(answer: Case) -> None:
    """V-54: in what the API says, too."""
    unknown_statuses(answer.way, answer.sample.body, lambda body: answered(answer, body))


def unknown_statuses(way: Way, body: bytes, reads: Callable[[bytes], tuple[Item, ...]]) -> None:
    before = reads(body)
    document = orjson.loads(body)
    words = {statement.block.provider_status for statement in stated(before)} - {None}
    found = set()
    for path in junk.paths(document):
        word = junk.leaf(document, path)
        if not way.status_words & {*str(path[-1]).split("_")} or not isinstance(word, str) or word not in words:
            continue
        for unknown in ("no_such_status", word.swapcase(), word + " ", word + "\u0000"):
            changed = reads(junk.replaced(body, path, orjson.dumps(unknown)))
            if tuple(map(_without_key, changed)) == tuple(map(_without_key, before)):
                break  # another object's status, of which nothing is read
            quarantined = [item.outcome for item in changed if isinstance(item.outcome, Quarantined)]
            assert quarantined, path
            for outcome in quarantined:
                assert (outcome.reason, outcome.path) == ("unknown_status", junk.pointer(path))
                found.add(word)
    types = {item.event_type or "" for item in before if way.type_is_status}
    assert found | {word for word in words for kind in types if word and (word in kind or kind in word)} == words


# --- money


def test_v51_amounts_stand_in_the_body(webhook: Case) -> None:
    """Each amount that is said is, digit for digit, one that the payload holds, or the sum or difference of two."""
    document = webhook.way.document(webhook.sample.body)
    amounts_stand_in(webhook.way, document, read(webhook.way, document))


def test_v51_amounts_stand_in_the_answer(answer: Case) -> None:
    """So is each amount that is read from the API's answers."""
    amounts_stand_in(answer.way, answer.sample.body, answered(answer, answer.sample.body))


def amounts_stand_in(way: Way, body: bytes, items: tuple[Item, ...]) -> None:
    held = combined(way, numbers(body))
    for place, found in amounts(items).items():
        assert {money.minor for money in found} <= held, place
