"""JSON. orjson reads the body, once.

What it would get wrong is caught before anything is read: repeated keys (it keeps the last), nesting too deep to write
again, and numbers it turned into floats. A leaf that became a float is read again from the bytes as a Decimal, so that
no float is ever used. What costs much for its size, because it is nothing but commas and brackets, is not read at all.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from paymux.cards import mask
from paymux.errors import Untranslatable
from paymux.wild.value import Wild

DEEPEST: Final = 64
DENSEST: Final = 9  # bytes for each value, on the average; of 800 payloads of all providers, the densest has 15
MOST_DENSE: Final = 2000  # values of a body that may stand as densely as they like


def parse_json(body: bytes) -> Wild:
    """The body's top-level object.

    Raises Untranslatable(shape): not JSON, not an object, nested too deep, too many values for its length;
    (duplicate_key).
    """
    if not body.strip():
        raise Untranslatable("the body is empty")
    if len(body) > MOST_DENSE:
        _refuse_dense(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Untranslatable(f"the body is not JSON: {str(error)[:120]}") from None
    if body.count(b"{") + body.count(b"[") > DEEPEST and _depth(value) > DEEPEST:
        raise Untranslatable(f"the body is nested deeper than {DEEPEST}")
    _refuse_repeated_keys(body, value)
    root = Wild(value, "", None, _Exact(body))
    if not isinstance(value, dict):
        raise root.untamed("an object")
    return root


def _refuse_dense(body: bytes) -> None:
    """A body that is little but commas and brackets takes ten times as long as others of its length."""
    most = max(MOST_DENSE, len(body) // DENSEST)
    if _values(body) > most and _values(_without_texts(body)) > most:
        raise Untranslatable(f"the body holds more than {most} values in {len(body)} bytes")


def _values(text: bytes) -> int:
    """Each stands behind a comma or an opening bracket."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _without_texts(body: bytes) -> bytes:
    return b"".join(_without_escapes(body).replace(rb"\"", b"").split(b'"')[::2])


def _without_escapes(body: bytes) -> bytes:
    """Without escaped backslashes, so that what follows a backslash is what it escapes."""
    return body.replace(rb"\\", b"")


def _depth(value: Any) -> int:
    """How many objects and lists stand inside one another; one more than the most is counted no further."""
    level, depth = [value], 0
    while depth <= DEEPEST and (containers := [one for one in level if type(one) is dict or type(one) is list]):
        depth += 1
        level = []
        for container in containers:
            level += container.values() if type(container) is dict else container
    return depth


def _refuse_repeated_keys(body: bytes, value: Any) -> None:
    r"""A key that orjson dropped took its quotes along: the value written anew has fewer. Counting is cheap, to find
    the key is not. A quote that stood there as `\u0022` is written anew as a quote, too.
    """
    quotes = body.count(b'"')
    if b"\\" in body:
        quotes += _without_escapes(body).count(rb"\u0022")
    if quotes == orjson.dumps(value).count(b'"'):
        return
    if body.count(b"{") <= MOST_DENSE:
        json.loads(body, object_pairs_hook=unique)
    raise Untranslatable("a key stands twice in one object", reason="duplicate_key")


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as an object. Raises Untranslatable(duplicate_key)."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
    raise Untranslatable(f"the key {mask(repeated)[:64]!r} stands twice in one object", reason="duplicate_key")


class _Exact:
    """The bytes that a value was read from, and their exact reading once a leaf needed it."""

    __slots__ = ("_body", "_value")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._value: Any = None

    def __call__(self) -> Any:
        if self._value is None:
            self._value = _exact(self._body)
        return self._value


def _exact(body: bytes) -> Any:
    try:
        return json.loads(body, parse_float=Decimal)
    except InvalidOperation:
        raise Untranslatable("a number's exponent is out of range") from None
