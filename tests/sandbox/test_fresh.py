"""Samples made new."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from paymux.providers import BY_NAME
from paymux.sandbox import samples
from paymux.sandbox.fresh import Fresh, renewed, shifted
from paymux.wild import parse_form, parse_json, parse_xml

NOW = datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC)
ALL = [sample for name in BY_NAME for sample in (*samples.webhooks(name), *samples.answers(name))]


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, child in value.items():
            yield from leaves(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from leaves(child, (*path, index))
    else:
        yield path, value


def document(body):
    """What a body says, however it is written."""
    return {b"{": parse_json, b"<": parse_xml}.get(body.lstrip()[:1], parse_form)(body).value


def test_ids_change_and_agree():
    """One id becomes one other of the same form, in every body of a story; two stories share none."""
    body = b'{"id": "evt_1Ab2cD3", "object": {"id": "pi_9Zz8yY7", "latest": "pi_9Zz8yY7", "secret": "pi_9Zz8yY7_secret_x"}}'
    story = Fresh()
    first, second = json.loads(story.renamed(body)), json.loads(story.renamed(body))
    assert first == second
    assert first["object"]["id"] == first["object"]["latest"] != "pi_9Zz8yY7"
    assert first["object"]["secret"] == f"{first['object']['id']}_secret_x"
    assert [len(first["id"]), first["id"][:4]] == [11, "evt_"]
    assert json.loads(Fresh().renamed(body)) != first


def test_words_that_look_like_ids_stay():
    """Event types, statuses and codes are no ids; customers keep theirs."""
    body = b'{"a": "payment_intent", "b": "refund_destination", "c": "py_expired", "d": "cus_Ab1Cd2Ef", "e": "re_requested"}'
    assert Fresh().renamed(body) == body


def test_united_ids_become_one():
    """Two samples' payments can be one payment in a story."""
    story = Fresh()
    story.unite(["pi_Aa1Bb2Cc", "pi_Xx9Yy8Zz"])
    assert story.renamed(b"pi_Aa1Bb2Cc") == story.renamed(b"pi_Xx9Yy8Zz")


def test_every_time_moves_by_the_same():
    """The envelope's own time becomes the one asked for; all others stay as far from it as they were."""
    body = b"""{"created_at": 1700000000, "ms": 1700000001500, "text": "2023-11-14T22:13:25.123Z", "day": "2023-11-14",
        "offset": "2023-11-15T00:13:20+02:00", "amount": 12900, "rate": 1.10, "note": "2023"}"""
    by = NOW - datetime.fromtimestamp(1700000000, UTC)
    assert json.loads(shifted(body, NOW)) == {
        "created_at": int(NOW.timestamp()),
        "ms": int(NOW.timestamp()) * 1000 + 1500,
        "text": "2030-05-06T07:08:14.123Z",
        "day": (datetime(2023, 11, 14, tzinfo=UTC) + by).strftime("%Y-%m-%d"),
        "offset": "2030-05-06T07:08:09Z",
        "amount": 12900,
        "rate": 1.10,
        "note": "2023",
    }
    assert b'"rate":1.10' in shifted(body, NOW)


@pytest.mark.parametrize("sample", ALL, ids=[f"{sample.provider}-{sample.label}" for sample in ALL])
def test_a_fresh_sample_differs_in_ids_and_times_only(sample):
    """Nothing but identities and times is touched: no key, no amount, no word."""
    before = dict(leaves(document(sample.body)))
    after = dict(leaves(document(Fresh(sample.provider).body(sample.body, NOW))))
    assert before.keys() == after.keys()
    changed = {path for path in before if before[path] != after[path]}
    for path in changed:
        if isinstance(before[path], int):
            assert before[path] > 1_500_000_000, path
        else:
            assert len(before[path]) <= len(after[path]) + 6, path
    assert not any(str(path[-1]).lower().endswith(("amount", "total", "currency", "status")) for path in changed)


def test_the_latest_time_of_a_body_without_envelope_time_is_its_own():
    """Flexprice says only when the payment got its status."""
    body = samples.webhook("flexprice", "payment.updated").body
    found = json.loads(shifted(body, NOW))["payment"]["succeeded_at"]
    assert abs(datetime.fromisoformat(found) - NOW) < timedelta(seconds=1)


def test_an_envelope_can_say_something_else():
    """Other keys stay as they are, number by number."""
    assert renewed(b'{"type": "a", "amount": 1.10}', {"type": "b"}) == b'{"type":"b","amount":1.10}'
    assert renewed(b'{ "type": "a" }', {}) == b'{ "type": "a" }'
