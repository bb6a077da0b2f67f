"""Rows of bodies with one thing wrong, and of card numbers where nobody expects them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from paymux.records import offline_events
from paymux.testing import junk
from paymux.testing.suite.reading import (
    amounts,
    answer_to,
    assert_published,
    combined,
    numbers,
    plausible,
    verifier,
)
from paymux.translate import translate

if TYPE_CHECKING:
    from paymux.provider import Account
    from paymux.testing.junk import Spoiled
    from paymux.testing.suite.cases import Case
    from paymux.testing.suite.reading import Prove
    from paymux.testing.ways import Way


def test_v53_junk_at_every_place(webhook: Case) -> None:
    """Whatever stands wherever: items come out, nothing is raised, and no amount is another one than was said."""
    way = webhook.way
    hold_to_junk(way, way.reader, way.document(webhook.sample.body), verifier(way))


def test_v53_junk_at_every_place_of_an_answer(api_object: Case) -> None:
    """The API's answers are no more trusted than a webhook."""
    way, body = api_object.way, api_object.sample.body
    hold_to_junk(way, way.account(), body, lambda body: answer_to(api_object, body))


def hold_to_junk(way: Way, account: Account, body: bytes, prove: Prove) -> None:
    untouched = translate(account, prove(body))
    assert untouched
    assert all(plausible(item) for item in untouched)
    said = amounts(untouched)
    document = orjson.loads(body)
    for spoiled in junk.spoiled(body):
        proven = prove(spoiled.body)
        items = translate(account, proven)
        if items == untouched:
            continue  # nothing is read there
        case = (spoiled.what, junk.pointer(spoiled.path))
        assert items, case
        assert all(plausible(item) for item in items), (case, items)
        for place, found in amounts(items).items():
            wrong = found - said[place]
            assert not wrong or all(money.minor in _sums(way, document, spoiled) for money in wrong), (
                case,
                place,
                wrong,
            )
        assert_published(account, proven, items)
    assert_published(account, prove(body), untouched)


def _sums(way: Way, document: Any, spoiled: Spoiled) -> set[Decimal]:
    """What an amount may be where a number replaced a number (or a text of digits: some write both) or null, or a flag
    a flag (or the text of one): what now stands there, as it is, in minor units, and added to or subtracted from the
    other numbers. Nothing, where the type is wrong.
    """
    old = junk.leaf(document, spoiled.path)
    if spoiled.what == "true" and str(old).lower() in ("true", "false"):
        new = Decimal(0)
    elif (old is None or type(old) in (int, float) or str(old).isdecimal()) and spoiled.number is not None:
        new = spoiled.number
    else:
        return set()
    return combined(way, numbers(orjson.dumps(document)) | {new})


def test_v53_a_broken_body(webhook: Case) -> None:
    """What a provider signed and yet cannot be read is quarantined for a documented reason, wherever it breaks."""
    account, prove = webhook.way.account(), verifier(webhook.way)
    body = webhook.way.sign_body(webhook.sample.body, webhook.way.secrets[0])
    for broken in _broken(body):
        items = translate(account, prove(broken))
        assert items, broken
        assert all(plausible(item) for item in items), (broken, items)
        assert_published(account, prove(broken), items)


def _broken(body: bytes) -> list[bytes]:
    places = range(0, len(body), max(1, len(body) // 40))
    cut = [body[:place] for place in places]
    flipped = [body[:place] + bytes([body[place] ^ 0x80]) + body[place + 1 :] for place in places]
    return [*cut, *flipped, body + body, body + b"&" + body, body[::-1], b"\xff" + body, body + b"\x00"]


# --- cards


def test_v55_a_card_number_at_every_place(webhook: Case) -> None:
    """Typed anywhere in the payload, it reaches neither an event nor a quarantine record's words."""
    way = webhook.way
    hold_to_masking(way.reader, way.document(webhook.sample.body), verifier(way))


def test_v55_a_card_number_at_every_place_of_an_answer(api_object: Case) -> None:
    """Nor from what the API answers."""
    hold_to_masking(api_object.way.account(), api_object.sample.body, lambda body: answer_to(api_object, body))


def hold_to_masking(account: Account, body: bytes, prove: Prove) -> None:
    for path in junk.paths(orjson.loads(body)):
        proven = prove(junk.replaced(body, path, junk.CARD))
        for item in translate(account, proven):
            told = [*offline_events(account, proven, item), repr(item).encode()]
            assert not any(b"42424242424242" in words or b"4242 4242 4242" in words for words in told), junk.pointer(
                path
            )
