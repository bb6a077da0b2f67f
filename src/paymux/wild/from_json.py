"""JSON. orjson reads the body, once.

What it would get wrong is caught before anything is read: repeated keys (it keeps the last), nesting too deep to write
again, and numbers it turned into floats. A leaf that became a float is read again from the bytes as a Decimal, so that
no float is ever used.
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
LONGEST_NUMBER: Final = 1000


def parse_json(body: bytes) -> Wild:
    """The body's top-level object.

    Raises Untranslatable(shape): not JSON, not an object, nested too deep; (duplicate_key).
    """
    if not body.strip():
        raise Untranslatable("the body is empty")
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


def _depth(value: Any) -> int:
    """How many objects and lists stand inside one another."""
    level, depth = [value], 0
    while containers := [one for one in level if type(one) is dict or type(one) is list]:
        depth += 1
        level = []
        for container in containers:
            level += container.values() if type(container) is dict else container
    return depth


def _refuse_repeated_keys(body: bytes, value: Any) -> None:
    """A key that orjson dropped took its quotes along: the value written anew has fewer. Counting is cheap.

    A quote written as an escape would be written anew as a quote, so a body with one is read slowly.
    """
    if b"\\u0022" not in body and body.count(b'"') == orjson.dumps(value).count(b'"'):
        return
    _exact(body)


def _exact(body: bytes) -> Any:
    try:
        return json.loads(
            body, object_pairs_hook=unique, parse_float=Decimal, parse_int=_integer, parse_constant=_constant
        )
    except InvalidOperation:
        raise Untranslatable("a number's exponent is out of range") from None


def _integer(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise Untranslatable(f"a number has more than {LONGEST_NUMBER} digits")
    return int(text)


def _constant(text: str) -> Any:
    raise Untranslatable(f"{text} is not a JSON number")


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
