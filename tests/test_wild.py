"""Untrusted JSON: what is read is exactly what the bytes say, and everything else is an error with its place."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paymux.canonical import PaymentStatus
from paymux.cards import MOST_DIGITS
from paymux.errors import Untranslatable
from paymux.wild import DEEPEST, DENSEST, LONGEST_TEXT, MOST_DENSE, Wild, parse_json


def wild(**members):
    return parse_json(json.dumps(members).encode())


def refused(body, reason="shape"):
    with pytest.raises(Untranslatable) as caught:
        parse_json(body)
    assert caught.value.reason == reason
    return caught.value


# --- bodies that are no JSON object


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n\t ",
        b"{",
        b"{}{}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 01}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\udc00\\ud800"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xff"}',
        b'{"\xc0\xaf": 1}',
        b'{"a": "\x00"}',
        b'{"a": "line\nbreak"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        '{"a": 1}'.encode("utf-32"),
        b"a=1&b=2",
        b"<xml/>",
        b'{"a": ' + b"9" * 5000 + b"}",
        b"{" * 1_000_000,
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_not_json(body):
    """It is refused with the reason `shape` and without a place."""
    assert refused(body).path is None


@pytest.mark.parametrize("body", [b"[]", b"[{}]", b"1", b"1.5", b'"text"', b"null", b"true"])
def test_json_but_no_object(body):
    """The place is the whole body."""
    assert refused(body).path == ""


def test_an_error_quotes_no_body():
    """A parser's message says where, not what stood there."""
    assert "s3cr3t" not in refused(b'{"card": s3cr3t}').detail


# --- V-52: depth


def nested(depth, opening, closing, core=b""):
    return b'{"deep":' + opening * (depth - 1) + core + closing * (depth - 1) + b"}"


@pytest.mark.parametrize("depth", [2, 63, 64])
@pytest.mark.parametrize("core", [b"", b"1"], ids=["empty", "with a number"])
def test_v52_nested_as_deep_as_allowed(depth, core):
    """64 objects or lists inside one another are read."""
    assert "deep" in parse_json(nested(depth, b"[", b"]", core))


@pytest.mark.parametrize("depth", [65, 255, 256, 1023, 1024, 1025, 1_000_000])
@pytest.mark.parametrize(
    ("opening", "closing", "core"), [(b"[", b"]", b"1"), (b'{"a":', b"}", b"{}"), (b"[[", b"]]", b"")]
)
def test_v52_nested_too_deep(depth, opening, closing, core):
    """One more is refused, long before anything recursive sees it."""
    refused(nested(depth, opening, closing, core))


def test_v52_depth_does_not_depend_on_the_neighbours():
    """A body of the allowed depth stays allowed however many shallow lists stand beside."""
    deepest = nested(DEEPEST, b"[", b"]", b"1")[:-1]

    assert "deep" in parse_json(deepest + b',"wide":[' + b",".join([b"{}"] * 500) + b"]}")


def test_v52_brackets_in_texts_are_no_depth():
    """A thousand brackets in a string are a string."""
    assert parse_json(b'{"a":"' + b"[{" * 1000 + b'"}').text("a") == "[{" * 1000


# --- bodies of little but commas and brackets

SIZE = 4 * DENSEST * MOST_DENSE


def of_values(piece, values, size=SIZE):
    """An object of `size` bytes: a list that holds `values` values in all, and a text that fills up the rest."""
    each = sum(map(piece.count, (b",", b"[", b"{")))
    listed = piece * ((values - 4) // each)
    return b'{"list":[%b0],"rest":"%b"}' % (listed, b"x" * (size - len(listed) - 23))


@pytest.mark.parametrize("piece", [b"1,", b"1.5,", b'"",', b"[],", b"{},", b'{"a":1},', b"[[[]]],"])
def test_a_body_as_dense_as_allowed_and_a_little_more(piece):
    """One value in 9 bytes is read; from then on it is refused before it is read."""
    assert parse_json(of_values(piece, SIZE // DENSEST)).text
    assert "values" in refused(of_values(piece, SIZE // DENSEST + 16)).detail


def test_a_small_body_may_be_dense():
    """The first 2000 values may stand as they like."""
    assert parse_json(b'{"list":[' + b"1," * (MOST_DENSE - 4) + b"0]}")
    refused(b'{"list":[' + b"1," * MOST_DENSE + b"0]}")


@pytest.mark.parametrize("text", [rb",", rb"[{", rb"\",[", rb"\\\",{", rb"\\\\,["], ids=repr)
def test_commas_and_brackets_in_texts_are_no_values(text):
    """Whatever a text is made of, quotes and backslashes among it, it is one value."""
    assert parse_json(b'{"a":"' + text * MOST_DENSE * 2 + b'"}')


def test_a_text_between_dense_lists_hides_no_value():
    """What ends in an escaped backslash or quote ends there, and the list behind it counts."""
    for text in (rb'"\\"', rb'"\\\""', b'"["'):
        refused(b'{"a":' + text + b',"list":[' + b"1," * 3 * MOST_DENSE + b"0]}")


# --- V-50: repeated keys


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount":1,"amount":100}',
        b'{"amount":1,"amount":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"\\u0061":1,"a":2}',
        b'{"a\\/b":1,"a/b":2}',
        b'{"a" :1,"a" :2}',
        b'{"a"\n:1,"a"\t:2}',
        b'{"a"\r:1,"a":2}',
        b'{"data":{"object":{"id":"1","id":"2"}}}',
        b'{"list":[1,{"x":{}},{"id":"1","id":"2"}]}',
        b'{"a":{"b":1},"a":{"b":1}}',
        b'{"":1,"":2}',
        b'{"a":null,"a":1}',
        b'{"a":1,"b":2,"a":{"c":3,"c":4}}',
        b'{"a":1.5,"a":2.5}',
    ],
)
def test_v50_a_repeated_key(body):
    """At any depth, in any spelling, also with the same value: refused."""
    refused(body, "duplicate_key")


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2,"x":"\\u0022:"}',
        b'{"a":1,"a":2,"x":"\\"\\u003a"}',
        b'{"a":1,"a":2,"x":"\\"\\u003A"}',
        b'{"a":1,"a":2,"x":"\\u003a"}',
        b'{"a":1,"a":2,"x":"\\u003A and more"}',
        b'{"a":1,"a":2,"\\u003a":3}',
        b'{"a":1,"a":2,"x\\u0022\\u003a":""}',
        b'{"a":1,"a":2,"x" :"\\":"}',
        b'{"a":"\\":","a":"","x":"\\u0022:\\u0022:"}',
        b'{"a":1,"a":2,"x":"\\\\u0022\\\\u0022"}',
        b'{"a":1,"a":2,"x":"\\\\\\u0022\\u0022\\\\"}',
    ],
)
def test_v50_a_repeated_key_that_something_else_makes_up_for(body):
    """A quote or a colon written as an escape appears only when the value is written anew: it balances no count."""
    refused(body, "duplicate_key")


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"\\":","b":":\\":"}',
        b'{"a":"\\u0022:","b":2}',
        b'{"a":":","b":" :","c" : "\\" :"}',
        b'{"a":{"id":1},"b":{"id":1},"c":[{"id":1},{"id":1}]}',
        b'{"a":1,"A":2,"a ":3,"\\u0000a":4}',
        b'{"a\\u0022:":1,"a":2}',
        b'{"a":"\\\\u0022","b":"\\\\\\u0022","c":"\\\\\\\\u0022\\u0022\\""}',
        b'{"caf\xc3\xa9":1,"cafe\xcc\x81":2}',
        b'{\n  "a": 1,\n  "b"  :  [ ]\n}',
    ],
)
def test_v50_keys_that_only_look_repeated(body):
    """The same key in another object, or another spelling that is another key, is read."""
    assert parse_json(body).value == json.loads(body)


def test_v50_the_key_in_the_message_is_short_and_masked():
    """A card number as a key does not reach the quarantine topic."""
    detail = refused(b'{"4242424242424242":1,"4242424242424242":2}', "duplicate_key").detail
    assert "4242424242424242" not in detail
    key = b"x" * 60 + b"4242424242424242"
    assert "42424" not in refused(b'{"%s":1,"%s":2}' % (key, key), "duplicate_key").detail


def test_v50_a_repeated_key_among_thousands_of_objects():
    """It is refused without its name: to look for that one would take longer than all the rest."""
    body = b'{"a":1,"a":2,"list":[' + b'{"some_key":"value"},' * (MOST_DENSE + 1) + b"0]}"
    assert "'" not in refused(body, "duplicate_key").detail


# A text as JSON may spell it: each character plain or escaped.
SPELLED = st.lists(
    st.tuples(st.sampled_from('ab":\\ /é\n{}'), st.booleans()).map(
        lambda drawn: (
            f"\\u{ord(drawn[0]):04{'xX'[drawn[1]]}}" if drawn[1] else json.dumps(drawn[0], ensure_ascii=False)[1:-1]
        )
    ),
    max_size=4,
).map("".join)
BLANKS = st.text(alphabet=" \n\t\r", max_size=1)


@st.composite
def objects(draw, inner):
    """An object as text; its keys come from few letters, so that some repeat."""
    members = draw(st.lists(st.tuples(BLANKS, SPELLED, BLANKS, BLANKS, inner, BLANKS), max_size=4))
    return "{" + ",".join(f'{a}"{key}"{b}:{c}{value}{d}' for a, key, b, c, value, d in members) + "}"


LEAVES = st.one_of(
    SPELLED.map(lambda text: f'"{text}"'),
    st.sampled_from(["0", "-0", "1.5", "1e2", "true", "null", "[]", "{}", "18446744073709551616"]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(objects(inner), st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")),
    max_leaves=8,
)


def repeats_a_key(text):
    """The slow truth, by a parser that shows every pair."""
    found = []

    def pairs(members):
        keys = [key for key, _ in members]
        found.append(len(set(keys)) < len(keys))
        return dict(members)

    json.loads(text, object_pairs_hook=pairs)
    return any(found)


@settings(max_examples=max(400, settings.default.max_examples))
@given(objects(VALUES))
def test_v50_the_cheap_check_agrees_with_the_slow_one(text):
    """Over texts with any blanks and escapes: refused exactly where some object repeats a key."""
    try:
        parse_json(text.encode())
        refusal = None
    except Untranslatable as error:
        refusal = error.reason

    assert refusal == ("duplicate_key" if repeats_a_key(text) else None)


# --- numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("79.90", "79.90"),
        ("0.1", "0.1"),
        ("1e2", "1E+2"),
        ("1E-7", "1E-7"),
        ("-0.0", "-0.0"),
        ("12345678901234567.89", "12345678901234567.89"),
        ("18446744073709551616", "18446744073709551616"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("9007199254740993", "9007199254740993"),
        ("7", "7"),
        ("1e-99999999", "1E-99999999"),
    ],
)
def test_a_number_has_the_digits_of_the_body(text, value):
    """No float changes one, wherever in the body it stands."""
    [_, found] = parse_json(b'{"a":[{},{"b":{"n":' + text.encode() + b"}}]}").children("a")

    assert str(found.child("b").number("n")) == value
    assert str(parse_json(b'{"n":' + text.encode() + b"}").number("n")) == value


@pytest.mark.parametrize("text", ["1e-9999999999999999999999", "0.5e-99999999999999999999"])
def test_a_number_whose_exponent_no_decimal_holds(text):
    """It is refused by the reader that wants it, as a wrong shape."""
    body = parse_json(b'{"n":' + text.encode() + b',"id":"x"}')

    assert body.id("id") == "x"
    with pytest.raises(Untranslatable, match="exponent") as caught:
        body.number("n")
    assert caught.value.reason == "shape"


def test_many_exact_numbers_in_a_large_body():
    """The bytes are read again once, not once for each number."""
    lines = b",".join(b'{"amount":%d.10}' % i for i in range(20_000))
    begun = time.perf_counter()

    found = [line.number("amount") for line in parse_json(b'{"lines":[' + lines + b"]}").children("lines")]

    assert found[19_999] == Decimal("19999.10")
    assert time.perf_counter() - begun < 5


def test_an_integer_beyond_64_bits():
    """It is no integer to a reader of integers, and exact to a reader of numbers."""
    body = parse_json(b'{"n":18446744073709551616}')

    with pytest.raises(Untranslatable):
        body.integer("n")
    assert body.number("n") == 2**64


# --- V-53: wrong types at every reader

KINDS = {
    "nothing": "null",
    "a boolean": "true",
    "a number": "7",
    "a decimal": "7.5",
    "a large number": "18446744073709551616",
    "a string": '"?"',
    "a long string": '"' + "x" * (LONGEST_TEXT + 1) + '"',
    "a list": "[1]",
    "an object": '{"a":1}',
}
INTEGERS = {"a number"}
NUMBERS = {"a number", "a decimal", "a large number"}
TEXTS = {"a string"}
# reader -> the kinds that it takes
READERS = {
    "text": TEXTS,
    "id": TEXTS,
    "decimal": set(),
    "integer": INTEGERS,
    "number": NUMBERS,
    "flag": {"a boolean"},
    "seconds": INTEGERS,
    "rfc3339": set(),
    "date": set(),
    "milliseconds_or_rfc3339": INTEGERS,
    "child": {"an object"},
}
OPTIONAL = {
    "maybe_text": TEXTS,
    "maybe_id": TEXTS,
    "free_text": TEXTS,
    "maybe_decimal": set(),
    "maybe_integer": INTEGERS,
    "maybe_number": NUMBERS,
    "maybe_flag": {"a boolean"},
    "maybe_seconds": INTEGERS,
    "maybe_rfc3339": set(),
    "maybe_date": set(),
    "maybe_milliseconds_or_rfc3339": INTEGERS,
    "maybe_child": {"an object"},
    "json": {"an object"},
    "children": set(),
    "elements": {"a list"},
}


def test_every_reader_is_in_the_tables():
    """A new reader cannot be forgotten here."""
    public = {name for name, value in vars(Wild).items() if callable(value) and not name.startswith("_")}

    assert public - {"at", "untamed", "unknown", "digest", "status", "matching", "maybe_live", "json_object"} == set(
        READERS
    ) | set(OPTIONAL)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", [*READERS, *OPTIONAL])
def test_v53_a_wrong_type(reader, kind):
    """Untranslatable, with a JSON pointer to the leaf: nothing is converted, nothing else is raised."""
    taken = READERS.get(reader) or OPTIONAL.get(reader, set())
    [holder] = parse_json(b'{"data":[{"a/b":' + KINDS[kind].encode() + b"}]}").children("data")
    read = getattr(holder, reader)
    if kind in taken:
        assert read("a/b") is not None
    elif reader in OPTIONAL and kind == "nothing":
        assert not read("a/b")
    else:
        with pytest.raises(Untranslatable) as caught:
            read("a/b")
        assert caught.value.reason == "shape"
        assert caught.value.path == ("/data/0/a~1b/0" if (reader, kind) == ("children", "a list") else "/data/0/a~1b")


@pytest.mark.parametrize("value", ["pay_1\n", "pay/1", "", "PAY_1", 1, None, ["pay_1"], {"id": "pay_1"}])
def test_what_does_not_match(value):
    """It is refused at its place, with what was wanted there."""
    with pytest.raises(Untranslatable) as caught:
        wild(id=value).matching("id", re.compile("[a-z]{3}_[0-9]+"), "a payment id")
    assert (caught.value.reason, caught.value.path) == ("shape", "/id")
    assert "a payment id" in caught.value.detail


def test_what_matches():
    """As it stands, also where its digits could be a card's: it is asked for by it."""
    found = wild(id="pay_4242424242424242")
    assert found.matching("id", re.compile("[a-z]{3}_[0-9]+"), "a payment id") == "pay_4242424242424242"


@pytest.mark.parametrize(("value", "live"), [("live", True), ("test", False), (None, None)])
def test_a_mode_by_its_word(value, live):
    """Two words, or none."""
    assert wild(mode=value).maybe_live("mode") is live


@pytest.mark.parametrize("value", ["LIVE", "sandbox", "", True, 1])
def test_a_mode_that_is_none(value):
    """Whether money is real is not guessed."""
    with pytest.raises(Untranslatable) as caught:
        wild(mode=value).maybe_live("mode")
    assert (caught.value.reason, caught.value.path) == ("shape", "/mode")


@pytest.mark.parametrize(("value", "read"), [({"a": 1}, {"a": 1}), ({}, {}), ("", None), (0, None), ([1], None)])
def test_metadata_of_any_kind(value, read):
    """An object is read; what else a merchant may have put there is not."""
    assert wild(metadata=value).json_object("metadata") == read


def test_a_status_by_its_word():
    """What the table says of it; a word that it does not have is `unknown_status` at its place, no word is `shape`."""
    body = parse_json(b'{"payment_state":"PAID","other":"paid","number":1}')
    table = {"PAID": PaymentStatus.SUCCEEDED}
    assert body.status("payment_state", table) is PaymentStatus.SUCCEEDED
    for key, reason, words in (
        ("other", "unknown_status", "'paid' is no other that is known"),
        ("number", "shape", "expected a string, found a number"),
        ("gone", "shape", "expected a string, found nothing"),
    ):
        with pytest.raises(Untranslatable, match=words) as caught:
            body.status(key, table)
        assert (caught.value.reason, caught.value.path) == (reason, f"/{key}")


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_key(reader):
    """What must be there and is not has a place, too."""
    with pytest.raises(Untranslatable) as caught:
        getattr(wild(), reader)("gone")
    assert caught.value.path == "/gone"


@pytest.mark.parametrize("reader", OPTIONAL)
def test_a_missing_key_that_may_be_missing(reader):
    """None, or an empty list."""
    assert not getattr(wild(), reader)("gone")


@pytest.mark.parametrize("reader", [*READERS, *OPTIONAL])
@pytest.mark.parametrize("value", [None, True, 7, 7.5, "text", [1]])
def test_v53_no_object_to_read_from(reader, value):
    """A reader on what is no object says where the object should be."""
    holder = wild(data=value).at("data")

    with pytest.raises(Untranslatable) as caught:
        getattr(holder, reader)("x")
    assert caught.value.reason == "shape"
    assert caught.value.path in {"/data", "/data/x"}


# --- leaves


def test_a_path_is_a_json_pointer():
    """Tilde and slash are escaped, card numbers masked, long keys cut."""
    assert wild(**{"~": {"/": 1}}).child("~").at("/").path == "/~0/~1"
    assert wild().path == ""
    assert wild(a=1).at("4242424242424242").path == "/************4242"
    assert "42424" not in wild(a=1).at("x" * 51 + "4242424242424242").path
    assert len(wild(a=1).at("x" * 1000).path) == 65


@pytest.mark.parametrize("value", ["pay_1", "a", "x" * 255, "evt/1:2", "~"])
def test_an_id(value):
    """Printable ASCII without blanks, at most 255 characters."""
    assert wild(id=value).id("id") == value


@pytest.mark.parametrize("value", ["", "a b", "a\n", "a\x00", "x" * 256, "pay_é", "\u202eabc"])
def test_not_an_id(value):
    """What a URL, a Kafka key or a log could trip over is no id."""
    with pytest.raises(Untranslatable) as caught:
        wild(id=value).id("id")
    assert caught.value.path == "/id"


def test_an_empty_id():
    """Where an id may be missing, the empty string counts as none; zero doesn't."""
    assert wild(id="").maybe_id("id") is None
    with pytest.raises(Untranslatable):
        wild(id=0).maybe_id("id")


def test_a_text_as_long_as_allowed():
    """The bound is inclusive."""
    assert len(wild(a="x" * LONGEST_TEXT).text("a")) == LONGEST_TEXT


def test_free_text():
    """Card numbers are masked."""
    assert wild(a="my card is 4242 4242 4242 4242").free_text("a") == "my card is ************4242"


def test_an_unknown_word():
    """The message shows it, short and masked."""
    assert (
        wild(status="LATE").at("status").unknown("status", reason="unknown_status").detail
        == "'LATE' is no status that is known"
    )
    long = wild(status="x" * 70 + "4242424242424242").at("status").unknown("status", reason="unknown_status")
    assert (long.reason, long.path) == ("unknown_status", "/status")
    assert "42424" not in long.detail


@pytest.mark.parametrize(("reader", "value"), [("seconds", 1719792042), ("milliseconds_or_rfc3339", 1719792042000)])
def test_a_time_in_numbers(reader, value):
    """In the unit that the reader names."""
    assert getattr(wild(t=value), reader)("t") == datetime(2024, 7, 1, 0, 0, 42, tzinfo=UTC)


@pytest.mark.parametrize("reader", ["rfc3339", "date", "milliseconds_or_rfc3339"])
def test_a_time_in_words(reader):
    """RFC 3339, in UTC."""
    assert getattr(wild(t="2024-07-01T02:00:42+02:00"), reader)("t") == datetime(2024, 7, 1, 0, 0, 42, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        ("seconds", -1),
        ("seconds", 2**62),
        ("milliseconds_or_rfc3339", -1),
        ("milliseconds_or_rfc3339", 2**63),
        ("rfc3339", "2024-13-01T00:00:00Z"),
        ("rfc3339", "0001-01-01T00:00:00+14:00"),
        ("date", "2024-02-30"),
    ],
)
def test_a_time_that_is_none(reader, value):
    """The error has the place."""
    with pytest.raises(Untranslatable) as caught:
        getattr(wild(t=value), reader)("t")
    assert (caught.value.reason, caught.value.path) == ("shape", "/t")


# --- metadata


def test_metadata_without_card_numbers():
    """It stays as it is, nested and typed."""
    metadata = {"order": "ord_1", "n": 7, "deep": [{"flag": True, "nothing": None}], "empty": {}}

    assert wild(metadata=metadata).json("metadata") == metadata
    assert wild(metadata={}).json("metadata") == {}


def test_card_numbers_in_metadata():
    """They are masked in keys, in texts and as numbers, at any depth."""
    body = (
        b'{"m":{"pan":"4242 4242 4242 4242","4242424242424242":1,"n":4242424242424242,"list":[{"deep":5555555555554444}],'
        b'"f":4242424242424242.0,"e":4.242424242424242E+15,"negative":-4242424242424242,'
        b'"tabs":"4242\\t4242\\n4242\\r4242","zeros":4.00000000000100E+15}}'
    )

    found = parse_json(body).json("m")

    assert found == {
        "pan": "************4242",
        "************4242": 1,
        "n": "************4242",
        "list": [{"deep": "************4444"}],
        "f": "************4242.0",
        "e": "************4242",
        "negative": "-************4242",
        "tabs": "************4242",
        "zeros": "************1000",
    }
    assert "424242424242" not in repr(found)
    assert parse_json(b'{"m":{"tabs":"4242\\t4242\\n4242\\r4242"}}').json("m") == {"tabs": "************4242"}


def test_numbers_in_metadata_keep_their_digits():
    """What is no 64-bit integer comes as a Decimal, and no float is there."""
    found = parse_json(b'{"m":{"a":79.90,"b":[18446744073709551616],"c":9223372036854775807,"d":0.1}}').json("m")

    assert found == {"a": Decimal("79.90"), "b": [Decimal(2**64)], "c": 2**63 - 1, "d": Decimal("0.1")}
    assert str(found["a"]) == "79.90"
    assert type(found["c"]) is int


def test_more_digits_in_metadata_than_anybody_writes():
    """Each run that could hold a card number is hidden, as a text or a number; everything else stays."""
    metadata = {"ids": ["1" * 13] * (MOST_DIGITS // 13 - 2), "n": 1700000000000, "f": 7, "note": "12 boxes", "x": 1.5}
    assert wild(metadata=metadata).json("metadata")["n"] == 1700000000000

    found = wild(metadata=metadata | {"pan": "x 4242 4242 4242 4242", "4242424242424242": [None]}).json("metadata")

    assert found["ids"] == ["*********1111"] * len(metadata["ids"])
    assert (found["n"], found["f"], found["note"], found["x"]) == ("*********0000", 7, "12 boxes", Decimal("1.5"))
    assert (found["pan"], found["************4242"]) == ("x ***************4242", [None])


def test_as_many_digits_of_full_width_in_metadata():
    """They count, too."""
    wide = str.maketrans("0123456789", "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19")
    found = wild(metadata={"ids": [("1" * 13).translate(wide)] * 40}).json("metadata")
    assert found["ids"][0].startswith("*********")


# --- digest


def test_a_digest():
    """The order of keys and the blanks do not count, every value does."""
    plain = parse_json(b'{"a":1,"b":{"c":[1,2],"d":null}}').digest()

    assert parse_json(b'{ "b" : {"d":null, "c":[1, 2]},\n"a":1}').digest() == plain
    assert (
        len(
            {
                plain,
                parse_json(b'{"a":2,"b":{"c":[1,2],"d":null}}').digest(),
                parse_json(b'{"a":1,"b":{"c":[2,1],"d":null}}').digest(),
            }
        )
        == 3
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=12,
    )
)
def test_any_json_parses_as_it_was_written(value):
    """What orjson writes is read back; nothing else than Untranslatable is raised for what it cannot hold."""
    try:
        body = orjson.dumps({"v": value})
    except (TypeError, orjson.JSONEncodeError):
        body = json.dumps({"v": value}).encode()
    try:
        found = parse_json(body)
    except Untranslatable:
        return
    assert found.value == orjson.loads(body)


def test_the_elements_of_a_batch():
    """Whatever stands in the list comes with its path, so that a bad one raises by itself; absent and null are empty."""
    found = parse_json(b'{"events":[{"id":"EV1"},7,null]}').elements("events")
    assert [each.path for each in found] == ["/events/0", "/events/1", "/events/2"]
    assert found[0].id("id") == "EV1"
    with pytest.raises(Untranslatable) as caught:
        found[1].id("id")
    assert caught.value.path == "/events/1"
    assert parse_json(b'{"events":null}').elements("events") == parse_json(b"{}").elements("events") == []
    with pytest.raises(Untranslatable):
        parse_json(b'{"events":{}}').elements("events")
