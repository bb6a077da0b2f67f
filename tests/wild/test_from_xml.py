"""Untrusted XML: elements and text are all that is read, and what could make it more refuses the whole document."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymux.errors import Untranslatable
from paymux.wild import DEEPEST, MOST_ELEMENTS, parse_xml


def read(xml: str | bytes):
    """What the element `a` of a document says."""
    body = xml if isinstance(xml, bytes) else xml.encode()
    return parse_xml(body).value["a"]


def refused(body: bytes) -> Untranslatable:
    with pytest.raises(Untranslatable) as caught:
        parse_xml(body)
    assert caught.value.reason == "shape"
    assert len(caught.value.detail) < 200
    return caught.value


# --- what it means


@pytest.mark.parametrize(
    ("xml", "value"),
    [
        ("<a>text</a>", "text"),
        ("<a> as it stands </a>", " as it stands "),
        ("<a>R&amp;D &lt;3 &#233; &#x1F600;</a>", "R&D <3 é 😀"),
        ("<a><![CDATA[<b>1 & 2</b>]]></a>", "<b>1 & 2</b>"),
        ("<a>one<!-- a remark -->two</a>", "onetwo"),
        ("<a/>", None),
        ("<a></a>", None),
        ("<a>\n   </a>", None),
        ('<a nil="true"/>', None),
        ('<a nil="true">7</a>', None),
        ('<a type="integer" nil="true"></a>', None),
        ('<a nil="false">7</a>', "7"),
        ("<a><b>1</b><c>2</c></a>", {"b": "1", "c": "2"}),
        ("<a>\n  <b>1</b>\n</a>", {"b": "1"}),
        ("<a><add-on>x</add-on><add_on>y</add_on></a>", {"add-on": "x", "add_on": "y"}),
    ],
)
def test_texts_and_objects(xml, value):
    """An element is its text, or its children by name; one that is empty says nothing."""
    assert read(xml) == value


@pytest.mark.parametrize(
    ("xml", "value"),
    [
        ('<a type="integer">42</a>', 42),
        ('<a type="integer"> -7\n</a>', -7),
        ('<a type="integer">999999999999999999</a>', 999999999999999999),
        ('<a type="integer">9999999999999999999</a>', "9999999999999999999"),
        ('<a type="integer">4.2</a>', "4.2"),
        ('<a type="integer">4_2</a>', "4_2"),
        ('<a type="integer">\uff14</a>', "\uff14"),
        ('<a type="integer"></a>', None),
        ('<a type="boolean">true</a>', True),
        ('<a type="boolean">\n  false\n</a>', False),
        ('<a type="boolean">TRUE</a>', "TRUE"),
        ('<a type="boolean"/>', None),
        ('<a type="datetime">2026-01-09T10:00:08Z</a>', "2026-01-09T10:00:08Z"),
        ('<a type="date">2026-01-09</a>', "2026-01-09"),
        ('<a type="decimal">1.10</a>', "1.10"),
        ('<a type="float">1.10</a>', "1.10"),
        ('<a type="no such type">x</a>', "x"),
        ('<a type="array"/>', []),
        ('<a type="array">\n</a>', []),
        ('<a type="array"><item>x</item><item>y</item></a>', ["x", "y"]),
        ('<a type="array"><b><c>1</c></b></a>', [{"c": "1"}]),
        ('<a type="array"><item nil="true"/></a>', [None]),
        ('<a type="array"><x type="array"><y>1</y></x></a>', [["1"]]),
    ],
)
def test_typed_elements(xml, value):
    """`type` makes a number, a flag or a list of what looks like one; anything else stays a text."""
    found = read(xml)
    assert found == value
    assert type(found) is type(value)


def test_a_name_that_comes_again():
    """All that it says, as a list: whoever wants one of them is told that there are more."""
    document = parse_xml(b'<a><b>1</b><b nil="true"/><b>3</b><c type="array"><d>x</d></c><c type="array"/></a>')
    assert document.value == {"a": {"b": ["1", None, "3"], "c": [["x"], []]}}
    with pytest.raises(Untranslatable, match="expected a string, found a list") as caught:
        document.child("a").text("b")
    assert caught.value.path == "/a/b"


def test_the_readers_and_their_paths():
    """It is the Wild that JSON gives: the same readers, the same places."""
    found = parse_xml(
        b"""<?xml version="1.0" encoding="utf-8"?>
        <note><at type="datetime">2026-01-09T10:00:08Z</at><live type="boolean">true</live><on type="date">2026-01-09</on>
        <amount>12.50</amount><count type="integer">3</count><items type="array"><item><id>x1</id></item></items>
        <card>my card 4242424242424242</card></note>"""
    ).child("note")
    assert found.rfc3339("at") == datetime(2026, 1, 9, 10, 0, 8, tzinfo=UTC)
    assert found.date("on") == datetime(2026, 1, 9, tzinfo=UTC)
    assert (found.decimal("amount"), found.flag("live"), found.integer("count")) == (Decimal("12.50"), True, 3)
    assert [item.id("id") for item in found.children("items")] == ["x1"]
    assert found.text("card") == "my card ************4242"
    with pytest.raises(Untranslatable) as caught:
        found.children("items")[0].text("name")
    assert caught.value.path == "/note/items/0/name"


def test_text_beside_elements():
    """No such thing is documented, so it isn't guessed at; the place is named."""
    error = refused(b"<a><b><c>1</c>stray</b></a>")
    assert (error.detail, error.path) == ("the XML has text beside elements", "/a/b")


def test_a_digest_does_not_depend_on_the_layout():
    """Two documents that say the same have one digest, another word gives another."""
    one = parse_xml(b"<a>\n  <b>1</b>\n  <c>2</c>\n</a>").digest()
    assert one == parse_xml(b'<?xml version="1.0"?><a><c>2</c><b>1</b></a>').digest()
    assert one != parse_xml(b"<a><b>1</b><c>3</c></a>").digest()


# --- what is no XML


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n ",
        b"text",
        b"{}",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        b"<a/>text",
        b"<a b=1/>",
        b"<a b='1' b='2'/>",
        b"<a>&nbsp;</a>",
        b"<a>&undefined;</a>",
        b"<a>\x00</a>",
        b"<a\x00/>",
        b"<a>&#0;</a>",
        b"<a>\x1b[31m</a>",
        b"<a>&#xD800;</a>",
        b"<a>&#x110000;</a>",
        b"<a>\xed\xa0\x80</a>",
        b"<a>\xff\xfe</a>",
        b"<a>\xc0\xaf</a>",
        b"<a>" + "é".encode("latin-1") + b"</a>",
        b"<1/>",
        b'<?xml version="1.0"?>',
        b'<a/><?xml version="1.0"?>',
        b"<a><![CDATA[</a>",
        b"<a><!-- -- --></a>",
    ],
)
def test_not_xml(body):
    """Whatever is wrong with it: quarantined as a shape, nothing else is raised."""
    refused(body)


def test_an_error_quotes_no_body():
    """Names of elements may be what a stranger wants to read in a log."""
    assert "4242" not in refused(b"<a><card4242424242424242></b></a>").detail


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp037"])
def test_another_encoding(codec):
    """UTF-8 is the only one, whatever the bytes look like."""
    refused("<a>é+ADw-</a>".encode(codec, "xmlcharrefreplace") if codec != "utf-7" else b"+ADw-a/+AD4-")


@pytest.mark.parametrize("name", ["iso-8859-1", "utf-16", "UTF-7", "us-ascii", "windows-1252", "x-no-such-thing"])
def test_another_declared_encoding(name):
    """A document that says it is something else is refused: the same bytes must not mean two things."""
    refused(b'<?xml version="1.0" encoding="%b"?><a>caf\xc3\xa9</a>' % name.encode())


@pytest.mark.parametrize("name", ["utf-8", "UTF-8", "Utf-8"])
def test_the_declared_encoding(name):
    """UTF-8 may be said, in any case."""
    assert read(b'<?xml version="1.0" encoding="%b"?><a>caf\xc3\xa9</a>' % name.encode()) == "café"


def test_a_byte_order_mark():
    """That of UTF-8 is no character of the document."""
    assert read(b"\xef\xbb\xbf<a>x</a>") == "x"


# --- what XML can do besides

LAUGHS = b"".join(b'<!ENTITY l%d "%b">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
BOMBS = {
    "billion laughs": b'<!DOCTYPE a [<!ENTITY l0 "ha">' + LAUGHS + b"]><a>&l9;</a>",
    "quadratic blowup": b'<!DOCTYPE a [<!ENTITY x "' + b"x" * 50_000 + b'">]><a>' + b"&x;" * 50_000 + b"</a>",
    "entity that is never used": b'<!DOCTYPE a [<!ENTITY x "y">]><a>1</a>',
    "external file": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "external host": b'<!DOCTYPE a [<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]><a>&x;</a>',
    "external by name": b'<!DOCTYPE a [<!ENTITY x PUBLIC "-//x" "http://127.0.0.1:9/x">]><a>&x;</a>',
    "external document type": b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><a/>',
    "public document type": b'<!DOCTYPE a PUBLIC "-//W3C//DTD XHTML 1.0//EN" "http://127.0.0.1:9/x"><a/>',
    "parameter entity": b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;]><a/>',
    "entity in an attribute": b'<!DOCTYPE a [<!ENTITY x "integer">]><a type="&x;">1</a>',
    "default of an attribute": b'<!DOCTYPE a [<!ATTLIST a nil CDATA "true">]><a>1</a>',
    "empty document type": b"<!DOCTYPE a><a/>",
    "unparsed entity": b'<!DOCTYPE a [<!NOTATION n SYSTEM "x"><!ENTITY x SYSTEM "y" NDATA n>]><a/>',
    "stylesheet": b'<?xml-stylesheet href="http://127.0.0.1:9/x.xsl"?><a/>',
    "instruction inside": b"<a><?php system('id') ?></a>",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_nothing_is_expanded_or_fetched(bomb):
    """Refused where it begins, in no time: no entity is known, no file or host is asked for."""
    started = time.process_time()
    error = refused(BOMBS[bomb])
    assert time.process_time() - started < 0.5
    assert "the XML holds" in error.detail or "the body is not XML" in error.detail


@pytest.mark.parametrize("bomb", ["external file", "billion laughs", "parameter entity"])
def test_it_is_the_document_type_that_is_refused(bomb):
    """Not its consequences: the first handler is asked before anything in it is read."""
    assert refused(BOMBS[bomb]).detail == "the XML holds a document type"


def test_an_xinclude_is_an_element_like_any_other():
    """Names with a colon are names: nothing is included."""
    body = b'<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd" parse="text"/></a>'
    assert read(body) == {"xi:include": None}


# --- how much of it


def nested(depth: int) -> bytes:
    return b"<a>" * depth + b"</a>" * depth


def test_v52_nested_as_deep_as_allowed():
    """The document's element counts as one."""
    assert parse_xml(nested(DEEPEST))


@pytest.mark.parametrize("depth", [DEEPEST + 1, 1000, 150_000])
def test_v52_nested_too_deep(depth):
    """Refused at the depth, not at the end, and no stack overflows."""
    assert "deeper" in refused(b"<a>" * depth).detail
    assert "deeper" in refused(nested(depth)).detail


def test_as_many_elements_as_allowed():
    """One more is refused."""
    most = b"<a>" + b"<b/>" * (MOST_ELEMENTS - 1) + b"</a>"
    assert len(read(most)["b"]) == MOST_ELEMENTS - 1
    assert "elements" in refused(most.replace(b"</a>", b"<b/></a>")).detail


HUGE = {
    "text": b"<a>" + b"x" * 1_000_000 + b"</a>",
    "attribute": b'<a b="' + b"x" * 1_000_000 + b'"/>',
    "many attributes": b"<a " + b" ".join(b'b%d="1"' % n for n in range(70_000)) + b"/>",
    "attributes of many": b"<a>" + b'<b type="integer" nil="false">1</b>' * 29_000 + b"</a>",
    "name": b"<" + b"x" * 1_000_000 + b"/>",
    "comment": b"<a><!--" + b"x" * 1_000_000 + b"--></a>",
    "comments": b"<a>" + b"<!---->" * 140_000 + b"</a>",
    "sections": b"<a>" + b"<![CDATA[x]]>" * 76_000 + b"</a>",
    "references": b"<a>" + b"&#65;" * 200_000 + b"</a>",
    "blanks among elements": b"<a>" + (b"<b/>" + b" " * 24) * 35_000 + b"</a>",
    "names that differ": b"<a>" + b"".join(b"<b%d/>" % n for n in range(35_000)) + b"</a>",
    "array": b'<a type="array">' + b"<b>1</b>" * 39_000 + b"</a>",
}


@pytest.mark.parametrize("what", HUGE)
def test_a_megabyte_of_one_thing(what):
    """As long as a body may be, and read in a time that grows with its length only."""
    started = time.process_time()
    document = parse_xml(HUGE[what])
    assert time.process_time() - started < 1.5
    assert len(document.value) == 1


def test_a_long_text_is_no_text_that_anybody_reads():
    """The readers bound it, as they do in JSON."""
    with pytest.raises(Untranslatable, match="expected a string"):
        parse_xml(b"<a><b>" + b"x" * 6000 + b"</b></a>").child("a").text("b")


# --- against another reader

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)
NAMES = st.sampled_from(["id", "kind", "amount", "add-on", "x1"])
DOCUMENTS = st.recursive(WORDS, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=4), max_leaves=20)


def written(name: str, value) -> str:
    inner = "".join(written(*pair) for pair in value.items()) if isinstance(value, dict) else escape(value)
    return f"<{name}>{inner}</{name}>"


def meant(element: ET.Element):
    if len(element):
        return {child.tag: meant(child) for child in element}
    return element.text if (element.text or "").strip() else None


@given(DOCUMENTS)
def test_any_document_reads_as_elementtree_reads_it(value):
    """Objects and texts, whatever characters XML can hold."""
    xml = written("a", value)
    assert read(xml) == meant(ET.fromstring(xml))


@given(st.binary(max_size=60))
def test_any_bytes(body):
    """A Wild or Untranslatable(shape): nothing else comes out."""
    try:
        found = parse_xml(b"<a>" + body + b"</a>")
    except Untranslatable as error:
        reason = error.reason
    else:
        reason = "shape" if list(found.value) == ["a"] else "another element"
    assert reason == "shape"
