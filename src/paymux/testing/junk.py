"""Whole payloads with one thing wrong: every value replaced by everything that it should not be, every key left out."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

# JSON text to put in place of a value.
JUNK = {
    "null": b"null",
    "empty text": b'""',
    "zero": b"0",
    "minus one": b"-1",
    "one and a half": b"1.5",
    "2^63": b"9223372036854775808",
    "2^70": b"1180591620717411303424",
    "a thousandth of a thousandth": b"1e-6",
    "1e400": b"1e400",
    "an exponent without end": b"1e-99999999999999999999",
    "not a number": b"NaN",
    "true": b"true",
    "a list": b"[]",
    "an object": b"{}",
    "a list of junk": b'[null,1,"x",{}]',
    "an object of junk": b'{"id":[],"data":{"x":null},"status":1}',
    "a word": b'"no such word"',
    "blanks": b'" \\n\\t "',
    "control characters": b'"a\\u0000\\u001b[31m\\u2028"',
    "a lone surrogate": b'"\\ud800"',
    "an emoji": b'"\\ud83d\\ude00"',
    "a long text": b'"' + b"x" * 6000 + b'"',
    "a decimal with a comma": b'"10,00"',
    "a decimal with an exponent": b'"1e3"',
    "deep": b"[" * 70 + b"]" * 70,
}
CARD = b'"my card 4242 4242 4242 4242, or 4242424242424242"'

_MARK = "@@ the value that is replaced @@"

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Spoiled:
    """`what` was done at `path`; `number` is the number that stands there now, if it is one."""

    what: str
    path: Path
    body: bytes
    number: Decimal | None = None


def pointer(path: Path) -> str:
    """The path as a JSON pointer."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def paths(value: Any, here: Path = ()) -> Iterator[Path]:
    """Where every value stands, containers too."""
    if here:
        yield here
    if isinstance(value, dict):
        for key, child in value.items():
            yield from paths(child, (*here, key))
    if isinstance(value, list):
        for index, child in enumerate(value):
            yield from paths(child, (*here, index))


def leaf(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document


def replaced(body: bytes, path: Path, text: bytes) -> bytes:
    """The body with other JSON text at a place."""
    document = orjson.loads(body)
    leaf(document, path[:-1])[path[-1]] = _MARK
    return orjson.dumps(document).replace(orjson.dumps(_MARK), text)


def spoiled(body: bytes) -> Iterator[Spoiled]:
    """Each junk at each place, and each place left out."""
    for path in paths(orjson.loads(body)):
        marked = replaced(body, path, orjson.dumps(_MARK))
        for what, text in JUNK.items():
            yield Spoiled(what, path, marked.replace(orjson.dumps(_MARK), text), _number(text))
        yield Spoiled("left out", path, without(body, path))


def without(body: bytes, path: Path) -> bytes:
    document = orjson.loads(body)
    del leaf(document, path[:-1])[path[-1]]
    return orjson.dumps(document)


def _number(text: bytes) -> Decimal | None:
    return Decimal(text.decode()) if text[:1] in b"-0123456789" and len(text) < 24 and b"999999" not in text else None
