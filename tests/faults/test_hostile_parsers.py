"""Every parser and mapper under Hypothesis: whatever comes in, the documented kinds of answer come out.

A hundred examples of each here (a fifth of that with a journal); 100,000 with
`pytest --hypothesis-profile=long --timeout=0 tests/faults/test_hostile_parsers.py`.
"""

# ruff: noqa: PT017  # an error is one of two right answers here, and both are looked at

from __future__ import annotations

import asyncio
import json
import re
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlencode
from xml.dom import Node, expatbuilder

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from paymux import money, times
from paymux.canonical import EVENT, QuarantineEvent
from paymux.delivery import REDACTED, Asked, Delivery, ObjectRef, Proof, Verified, Via
from paymux.errors import Rejected, Untranslatable
from paymux.http.addresses import is_in, sender
from paymux.http.limits import neighbourhood
from paymux.journal import Entry
from paymux.journal.memory import MemoryJournal
from paymux.provider import Account
from paymux.providers import BY_NAME
from paymux.records import offline_events
from paymux.sandbox import samples
from paymux.settings.models import split_address
from paymux.signatures import confirmed, verify
from paymux.statement import Ignored, Lookup, Quarantined, Stated
from paymux.translate import translate
from paymux.wild import Wild, parse_form, parse_json, parse_xml
from tests.http.test_limits import TRUSTED
from tests.providers.signers import NOW, WAYS

QUARANTINE = TypeAdapter(QuarantineEvent)
hostile = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
slower = settings(hostile, max_examples=settings().max_examples // 5)

# --- times

INTEGERS = st.integers() | st.integers(-(2**64), 2**64) | st.integers(0, 300_000_000_000)
TIME_PIECES = ["2026", "0000", "9999", "-", "02", "29", "30", "13", "T", "t", " ", "23", "60", ":", ".", "123456789", "Z", "z", "+14:00", "-00:00", "+99:99", "\u0661", "\n", "\x00", "W01", "001"]  # fmt: skip
TIME_TEXTS = (
    st.lists(st.sampled_from(TIME_PIECES), max_size=14).map("".join)
    | st.from_regex(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d:\d\d(\.\d{1,13})?([Zz]|[+-]\d\d:\d\d))?\s?")
    | st.text(max_size=40)
)


@hostile
@given(INTEGERS)
def test_any_integer_as_a_time(value):
    """A moment in UTC from 1970 to 9999, or ValueError."""
    for read, unit in ((times.from_seconds, 1), (times.from_milliseconds, 1000)):
        try:
            found = read(value)
        except ValueError:
            assert not 0 <= value <= 253402300799 * unit
        else:
            assert found.tzinfo is UTC
            assert round(found.timestamp() * unit) == value


@hostile
@given(TIME_TEXTS)
def test_any_text_as_a_time(text):
    """A moment in UTC, the same one when it is written out and read again; or ValueError."""
    for read in (times.from_rfc3339, times.from_iso_date):
        try:
            found = read(text)
        except ValueError:
            continue
        assert found.tzinfo is UTC
        assert text.isascii()
        assert read(found.isoformat()) == found


# --- money

CURRENCIES = st.sampled_from(
    [*sorted(money.EXPONENTS), "eur", "Usd", "XXX", "EURO", "", "U\u017fD", "\u20ac"]
) | st.text(max_size=4)
REASONS_OF_MONEY = {"unknown_currency", "inexact_amount", "shape"}


@hostile
@given(value=INTEGERS, currency=CURRENCIES, decimals=st.none() | st.integers(0, 6))
def test_any_minor_units(value, currency, decimals):
    """Exactly the same amount in units of ISO 4217, however many the provider counts in; or a reason."""
    exceptions = {} if decimals is None else {currency.upper(): decimals}
    try:
        found = money.from_minor(value, currency, exceptions)
    except Untranslatable as error:
        assert error.reason in REASONS_OF_MONEY
        return
    theirs = exceptions.get(found.currency, found.exponent)
    assert found.minor * 10**theirs == value * 10**found.exponent
    assert abs(found.minor) < 2**63
    assert (found.currency, found.exponent) == (currency.upper(), money.EXPONENTS[found.currency])


@hostile
@given(
    value=st.decimals(allow_nan=True, allow_infinity=True) | st.decimals(-(10**15), 10**15, places=4),
    currency=CURRENCIES,
)
def test_any_major_units(value, currency):
    """Exactly the same amount, within 64 bits; or a reason."""
    try:
        found = money.from_major(value, currency)
    except Untranslatable as error:
        assert error.reason in REASONS_OF_MONEY
        return
    assert Decimal(found.minor).scaleb(-found.exponent) == value
    assert abs(found.minor) < 2**63


# --- untrusted JSON

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["2026-01-09T10:00:00Z", "12.50", "EUR", "id_1", "", "4242424242424242", "\u0000", "\ud7ff"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
READERS = sorted(name for name in vars(Wild) if not name.startswith("_") and callable(getattr(Wild, name)))
WITHOUT_KEY = {"digest", "untamed", "unknown", "at"}
ARGUMENTS = {"status": ({"EUR": "known"},), "matching": (re.compile("[a-z]{1,9}"), "a short word")}


@hostile
@given(
    value=JSON, reader=st.sampled_from(sorted(set(READERS) - WITHOUT_KEY)), key=st.sampled_from(["k", "", "a/b", "~"])
)
def test_any_reader_on_any_value(value, reader, key):
    """What was asked for, or Untranslatable with a documented reason, the place, and no quoted body."""
    root = parse_json(json.dumps({key: value, "other": 1}).encode())
    try:
        getattr(root, reader)(key, *ARGUMENTS.get(reader, ()))
    except Untranslatable as error:
        assert error.reason == "shape" or (reader, error.reason) == ("status", "unknown_status")
        assert error.path is not None
        assert error.path.startswith("/")


@hostile
@given(st.data())
def test_any_bytes_as_json(data):
    """An object whose every value is what Python's exact reading says, or Untranslatable."""
    body = data.draw(st.binary(max_size=40) | SAMPLES.flatmap(mangled))
    try:
        found = parse_json(body)
    except Untranslatable as error:
        assert error.reason in {"shape", "duplicate_key"}
        return
    assert found.value == json.loads(body.decode())


SAMPLES = st.sampled_from([sample.body for name in BY_NAME for sample in samples.webhooks(name)])
TOKENS = [b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b"null", b"1", b"-", b"e9", b".5", b"\\u0022", b"\\ud800", b"\xff", b"\x00", b" ", b'"id":"x",']  # fmt: skip


@st.composite
def mangled(draw, body, tokens=TOKENS):
    """A body cut, doubled and overwritten in up to four places."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 40)))
        body = body[:start] + draw(st.sampled_from([*tokens, b"", body[start:end] * 2])) + body[end:]
    return body


# --- untrusted forms and XML

FIELDS = st.lists(
    st.sampled_from(
        [b"id", b"tr_7UhSN1zuXS", b"=", b"=", b"&", b"&", b"%", b"%3D", b"%26", b"%41", b"%zz", b"%ff", b"%C3%A9", b"+", b";",
         b"\xc3\xa9", b"\xff", b"\x00", b"a=1&a=2", b"[]"]
    ),
    max_size=14,
).map(b"".join)  # fmt: skip
ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")


def decoded(text):
    """By hand: plus is a blank, two hex digits are a byte, and a percent sign before anything else is one."""
    plain = ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), text.replace(b"+", b" "))
    return plain.decode()


@hostile
@given(st.binary(max_size=40) | FIELDS)
def test_any_bytes_as_a_form(body):
    """An object of texts, each field once, as it reads by hand; or Untranslatable. Written anew, it says the same."""
    try:
        found = parse_form(body)
    except Untranslatable as error:
        assert error.reason in {"shape", "duplicate_key"}
        assert len(error.detail) < 200
        return
    pairs = [field.split(b"=", 1) for field in body.split(b"&")]
    assert found.value == {decoded(name): decoded(value) for name, value in pairs}
    assert len(found.value) == len(pairs)
    assert parse_form(urlencode(found.value).encode()).value == found.value


DOCUMENTS = st.sampled_from([sample.body for sample in samples.webhooks("braintree") if len(sample.body) < 1000])
MARKUP = [
    b"<a>", b"</a>", b"<a/>", b"<b type='integer'>", b"</b>", b" nil='true'", b"7", b"&amp;", b"&#65;", b"&x;", b"<!-- -->",
    b"<![CDATA[", b"]]>", b"<?xml version='1.0'?>", b"<?x?>", b"<!DOCTYPE a>", b"<!DOCTYPE a [<!ENTITY x 'y'>]>", b"\xff", b"\x00",
    b"\xef\xbb\xbf", b" ", b"\n", b"type='array'", b"xmlns='urn:x'", b"encoding='utf-16'",
]  # fmt: skip
PROLOGS = [
    b"", b"", b"\n", b"\xef\xbb\xbf", b"<?xml version='1.0' encoding='utf-8'?>", b"<?xml version='1.0' encoding='utf-16'?>",
    b"<!-- -->", b"<?x y?>", b"<!DOCTYPE a>", b"<!DOCTYPE a SYSTEM 'x'>", b"<!DOCTYPE a [<!ENTITY x 'y'>]>",
    b"<!DOCTYPE a [<!ATTLIST a nil CDATA 'true'>]>",
]  # fmt: skip


@hostile
@given(st.data())
def test_any_bytes_as_xml(data):
    """An object with the document's element, which another reader finds there too; or Untranslatable. What was read held
    no document type and no instruction.
    """
    soup = st.lists(st.sampled_from(MARKUP), max_size=12).map(b"".join)
    wrapped = st.tuples(st.sampled_from(PROLOGS), soup).map(lambda parts: parts[0] + b"<a>" + parts[1] + b"</a>")
    body = data.draw(soup | wrapped | DOCUMENTS.flatmap(lambda document: mangled(document, MARKUP)))
    try:
        found = parse_xml(body)
    except Untranslatable as error:
        assert error.reason == "shape"
        assert len(error.detail) < 200
        return
    document = expatbuilder.parseString(body, namespaces=False)
    assert list(found.value) == [document.documentElement.tagName]
    assert {node.nodeType for node in nodes(document)} <= HARMLESS_NODES
    assert found.digest() == parse_xml(body).digest()


HARMLESS_NODES = {Node.DOCUMENT_NODE, Node.ELEMENT_NODE, Node.TEXT_NODE, Node.CDATA_SECTION_NODE, Node.COMMENT_NODE}


def nodes(node):
    yield node
    for child in node.childNodes:
        yield from nodes(child)


# --- headers and addresses

NAMES = st.sampled_from(
    [b"Authorization", b"AUTHORIZATION", b"x-api-key", b"Cookie", b"X-Own", b"x-own", b"Via"]
) | st.binary(max_size=8)


@hostile
@given(headers=st.lists(st.tuples(NAMES, st.binary(max_size=30)), max_size=6), token=st.none() | st.text(max_size=8))
def test_any_headers(headers, token):
    """No value of a secret header, and no path token, is left in what may be stored; nothing else changes its place."""
    delivery = Delivery(
        id="d", provider="p", account="a", received_at=NOW, body=b"", headers=tuple(headers), path_token=token, query=token or ""
    )  # fmt: skip
    stored = delivery.redacted([b"x-own"])
    assert [name for name, _ in stored.headers] == [name for name, _ in headers]
    assert stored.path_token is None
    for (name, value), (_, old) in zip(stored.headers, headers, strict=True):
        if name.lower() in {b"authorization", b"x-api-key", b"cookie", b"x-own"}:
            assert value == REDACTED
        elif not token:
            assert value == old
    if token and token not in REDACTED.decode():
        assert token not in stored.query


ADDRESSES = (
    st.ip_addresses().map(str)
    | st.sampled_from(["", "::1%eth0", "1.2.3", "[::1]", "::ffff:10.0.0.1", "10.0.0.01"])
    | st.text(max_size=12)
)


@hostile
@given(
    peer=ADDRESSES, forwarded=st.lists(ADDRESSES.map(lambda text: text.encode()) | st.binary(max_size=30), max_size=4)
)
def test_any_address(peer, forwarded):
    """The peer, unless a trusted proxy says another; a name for the limits in any case."""
    found = sender(peer, forwarded, TRUSTED)
    assert found == peer or is_in(peer, TRUSTED)
    assert neighbourhood(neighbourhood(found)) or not found


@hostile
@given(
    st.text(max_size=30)
    | st.lists(st.sampled_from(["[", "]", "::1", ":", "80", "65536", "127.0.0.1", " "]), max_size=6).map("".join)
)
def test_any_address_to_listen_on(text):
    """Host and port, or ValueError."""
    try:
        host, port = split_address(text)
    except ValueError:
        return
    assert host
    assert 0 <= port <= 65535


# --- signature headers

SIGNED_BODY = b'{"id":"evt_1","amount":4999}'
ways_with_headers = pytest.mark.parametrize(
    "way", [way for way in WAYS if way.sign(SIGNED_BODY, way.secrets[0])], ids=lambda way: way.label
)


@ways_with_headers
@hostile
@given(data=st.data())
def test_signature_headers_of_any_shape(way, data):
    """Pieces of genuine headers put together anew: Rejected, or the proof really stands in them."""
    genuine = way.delivery(SIGNED_BODY).headers
    names = st.sampled_from([name for name, _ in genuine])
    pieces = st.sampled_from(
        [piece for _, value in genuine for piece in _pieces(value)] + TOKENS + [b"v1=", b"v1,", b"t=", b"="]
    )
    values = st.lists(pieces, max_size=6).map(b"".join) | st.sampled_from([value for _, value in genuine])
    headers = tuple(data.draw(st.lists(st.tuples(names, values), max_size=5)))
    try:
        verified = verify(way.sent(SIGNED_BODY, headers), way.account().checks)
    except Rejected as error:
        assert error.reason.startswith(("signature_", "static_secret_", "too_", "hint_"))
        return
    assert verified.proof is way.proof
    if way.signature:
        [proof] = [value for name, value in genuine if name.lower() == way.signature]
        [given_] = [value for name, value in headers if name.lower() == way.signature]
        assert all(piece in given_.lower() for piece in re.split(rb"[ ,=]", proof.lower()) if len(piece) > 20)


def _pieces(value):
    return [
        value,
        value[: len(value) // 2],
        value[len(value) // 2 :],
        *value.split(b","),
        *value.split(b"="),
        value.upper(),
        value.lower(),
    ]


@pytest.mark.parametrize("way", [way for way in WAYS if way.spoil], ids=lambda way: way.label)
@hostile
@given(data=st.data())
def test_signed_bodies_of_any_shape(way, data):
    """A proof that stands in a body, and a body that was changed around it: Rejected, or all that it covers is as it was
    in the genuine one, and stands there once.
    """
    genuine = way.delivery(min((sample.body for sample in way.samples), key=len)).body
    tokens = [*TOKENS, b"&", b"=", b"%", b"+", *SIGNED_WORDS, genuine, genuine[: len(genuine) // 2]]
    more = st.sampled_from([b"", b"", b"&", b"&x=1", b"x=1&", b" ", b"\n", b"{}", b"&bt_payload=x", b"bt_signature=x&"])
    body = data.draw(more) + data.draw(mangled(genuine, tokens) | st.just(genuine)) + data.draw(more)
    try:
        verified = verify(way.sent(body, ()), way.account().checks)
    except Rejected as error:
        assert error.reason.startswith("signature_")
        return
    assert verified.proof is way.proof
    assert way.covers(body) == way.covers(genuine)


SIGNED_WORDS = [
    b"bt_signature=", b"bt_payload=", b"k7p2w9x4r5t8n3qb|", b'"notificationItems":[],', b'"NotificationRequestItem":{},',
    b'"hmacSignature":"",', b'"success":"true",', b'"pspReference":"x",',
]  # fmt: skip


# --- providers

ONE_EACH = tuple({way.provider.name: way for way in WAYS}.values())
WORDS = {
    way.provider.name: sorted(
        {word for table in way.provider.statuses.values() for word in table} | set(way.provider.events)
    )
    for way in ONE_EACH
}
REASONS = {
    "shape", "duplicate_key", "unknown_event_type", "unknown_status", "unknown_currency", "inexact_amount", "wrong_mode",
    "wrong_tenant", "answer_mismatch",
}  # fmt: skip


def places(value, here=()):
    if here:
        yield here
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(child, (*here, key))


@st.composite
def changed(draw, body, words):
    """A body in which up to four values became others, moved, or went; always JSON."""
    document = orjson.loads(body)
    for _ in range(draw(st.integers(1, 4))):
        found = list(places(document))
        if not found:
            break
        path = draw(st.sampled_from(found))
        inner = document
        for step in path[:-1]:
            inner = inner[step]
        match draw(st.sampled_from(["replace", "word", "remove", "swap", "double"])):
            case "replace":
                inner[path[-1]] = draw(JSON)
            case "word":
                inner[path[-1]] = draw(st.sampled_from(words))
            case "remove":
                del inner[path[-1]]
            case "swap":
                other = document
                for step in draw(st.sampled_from(found)):
                    other = other[step] if isinstance(other, dict | list) else other
                inner[path[-1]] = deepcopy(other)
            case "double":
                inner[path[-1]] = [inner[path[-1]], inner[path[-1]]]
    return json.dumps(document).encode()


def understood(account, verified):
    """The items, the same twice; each with a documented outcome, and events that keep the contract."""
    items = translate(account, verified)
    assert items == translate(account, verified)
    for item in items:
        assert isinstance(item.outcome, Stated | Lookup | Ignored | Quarantined)
        if isinstance(item.outcome, Quarantined):
            assert item.outcome.reason in REASONS, item.outcome
        if isinstance(item.outcome, Stated):
            for event in offline_events(account, verified, item):
                EVENT.validate_json(event, strict=True)
    return items


every_provider = pytest.mark.parametrize("way", ONE_EACH, ids=lambda way: way.provider.name)


def drawn(data, way, body):
    """The body changed, or mangled."""
    changes = changed(body, WORDS[way.provider.name])
    return data.draw(changes if data.draw(st.integers(0, 4)) else mangled(body))


def document(data, way):
    """What the provider's file reads of one of its samples, as JSON."""
    return way.document(data.draw(st.sampled_from(way.samples)).body)


@every_provider
@hostile
@given(data=st.data())
def test_any_webhook(way, data):
    """A changed sample is understood or quarantined; no bug of ours, no event outside the contract."""
    body = drawn(data, way, document(data, way))
    for proof in {way.proof, Proof.SIGNATURE}:
        understood(way.reader, Verified(way.sent(body, ()), proof))


@every_provider
@slower
@given(data=st.data())
def test_any_mangled_body(way, data):
    """In whatever it is written: the same holds for a body with other bytes in it, the signed ones of a form too."""
    body = data.draw(mangled(data.draw(st.sampled_from(way.samples)).body))
    for sent in (body, way.sign_body(body, way.secrets[0]) if way.provider.parse is not parse_json else body):
        understood(way.account(), Verified(way.sent(sent, ()), Proof.SIGNATURE))


@pytest.mark.parametrize("way", [way for way in ONE_EACH if way.provider.api], ids=lambda way: way.provider.name)
@hostile
@given(data=st.data())
def test_any_answer(way, data):
    """So is a changed answer of the provider's API."""
    sample = data.draw(st.sampled_from(samples.answers(way.provider.name)))
    body = drawn(data, way, sample.body)
    endpoint = way.provider.api.objects.get(sample.name)
    ref = ObjectRef(object="payments", id="")
    if endpoint is not None:
        found = orjson.loads(sample.body)
        for key in endpoint.unwrap:
            found = found[key]
        ref = ObjectRef(object=sample.name, id=found[endpoint.id_key])
    sent = replace(way.sent(body, ()), via=Via.LOOKUP, asked=Asked(ref=ref, occurred_at=NOW))
    understood(way.account(), confirmed(sent))


@every_provider
@slower
@given(data=st.data())
def test_any_webhooks_in_a_journal(way, data):
    """Genuine and changed deliveries of the same payments, one after the other: each is appended, and every record that
    it leaves for Kafka keeps the contract.
    """
    bodies = [
        document(data, way) if data.draw(st.booleans()) else drawn(data, way, document(data, way))
        for _ in range(data.draw(st.integers(1, 6)))
    ]
    asyncio.run(_appended(replace_proof(way), way, bodies))


def replace_proof(way):
    """An account of the provider's whose deliveries are proven: a hint's would only ask."""
    return Account(provider=way.reader.provider, name="acme", options=way.options)


async def _appended(account, way, bodies):
    journal = MemoryJournal(now=lambda: datetime(2026, 1, 9, 10, 0, 9, tzinfo=UTC))
    try:
        for number, body in enumerate(bodies):
            sent = replace(way.sent(body, ()), id=f"0190b2a6-0000-7000-8000-{number:012d}")
            verified = Verified(sent, Proof.SIGNATURE)
            items = translate(account, verified)
            receipts = await journal.append(Entry(account=account, verified=verified, items=items))
            assert len(receipts) == len(items)
        for row in await journal.read(0, 0, 1000):
            if row.record.topic.startswith("payments.events"):
                EVENT.validate_json(row.record.value, strict=True)
            else:
                QUARANTINE.validate_json(row.record.value, strict=True)
    finally:
        await journal.close()
