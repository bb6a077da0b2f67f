"""Untrusted forms: every field once, as UTF-8."""

from __future__ import annotations

import time

import pytest

from paymux.errors import Untranslatable
from paymux.wild import MOST_FIELDS, parse_form


def test_fields():
    """Texts, decoded once: plus is a blank, an escaped plus is a plus, and a blank field is there."""
    form = parse_form(b"id=tr_7UhSN1zuXS&note=a+b%2Bc%0Ad&empty=&caf%C3%A9=%F0%9F%98%80&twice=%2541")
    assert form.value == {"id": "tr_7UhSN1zuXS", "note": "a b+c\nd", "empty": "", "café": "😀", "twice": "%41"}
    assert form.id("id") == "tr_7UhSN1zuXS"
    with pytest.raises(Untranslatable) as caught:
        form.id("note")
    assert caught.value.path == "/note"


@pytest.mark.parametrize(
    "body", [b"", b" \n", b"id", b"id=1&", b"id=1&&b=2", b"&", b'{"id":"1"}', b"<id/>", b"id=\xff", b"id=%ff", b"a=1&b"]
)
def test_no_form(body):
    """Odd fields and other encodings than UTF-8 are refused."""
    with pytest.raises(Untranslatable) as caught:
        parse_form(body)
    assert caught.value.reason == "shape"


@pytest.mark.parametrize("body", [b"id=1&id=2", b"id=1&id=1", b"id=1&%69d=2", b"a=1&id=&b=2&id="])
def test_a_field_that_comes_twice(body):
    """However it is written: which of them counts would be a guess."""
    with pytest.raises(Untranslatable) as caught:
        parse_form(body)
    assert caught.value.reason == "duplicate_key"


def test_many_fields():
    """As many as allowed; more are refused before they are read."""
    fields = [b"f%d=1" % n for n in range(MOST_FIELDS)]
    assert len(parse_form(b"&".join(fields)).value) == MOST_FIELDS
    with pytest.raises(Untranslatable):
        parse_form(b"&".join([*fields, b"more=1"]))


@pytest.mark.parametrize("body", [b"a=" + b"%41" * 300_000, b"a=" + b"+" * 1_000_000, b"a=" + b"%zz" * 300_000])
def test_a_megabyte(body):
    """Read in a time that grows with its length only."""
    started = time.process_time()
    assert len(parse_form(body).value) == 1
    assert time.process_time() - started < 1.5


def test_a_megabyte_of_separators():
    """Refused in no time."""
    started = time.process_time()
    with pytest.raises(Untranslatable):
        parse_form(b"&" * 1_000_000)
    assert time.process_time() - started < 0.5
