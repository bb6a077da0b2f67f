"""Every delivery that differs from a given one in a single bit, and which bits a scheme does not sign."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from paymux.delivery import Delivery

BITS: Final = tuple(1 << number for number in range(8))
CASE: Final = 0x20  # the bit between an upper and a lower letter of ASCII


class Place(NamedTuple):
    """A bit: `part` is `body`, `token`, or `name` or `value` of a header, whose lower-case name is `header`."""

    part: str
    header: bytes
    byte: int
    bit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """Bits that may flip: those of `bits` in the bytes that `where` matches (its first group, if it has one), where the
    whole is then as `still` says.
    """

    what: str
    part: str
    header: bytes = b".*"
    where: re.Pattern[bytes] = re.compile(rb"(?s:.+)")
    still: re.Pattern[bytes] = re.compile(rb"(?s:.*)")
    bits: int = 0xFF


def flipped(delivery: Delivery) -> Iterator[tuple[Place, Delivery]]:
    """Every single-bit flip of the body, of the path token, and of each header's name and value."""
    for byte, bit, body in _flips(delivery.body):
        yield Place("body", b"", byte, bit), replace(delivery, body=body)
    if delivery.path_token is not None:
        for byte, bit, token in _flips(delivery.path_token.encode()):
            text = token.decode(errors="surrogateescape")
            yield Place("token", b"", byte, bit), replace(delivery, path_token=text)
    for index, (name, value) in enumerate(delivery.headers):
        before, after = delivery.headers[:index], delivery.headers[index + 1 :]
        for byte, bit, other in _flips(name):
            yield Place("name", name.lower(), byte, bit), replace(delivery, headers=(*before, (other, value), *after))
        for byte, bit, other in _flips(value):
            yield Place("value", name.lower(), byte, bit), replace(delivery, headers=(*before, (name, other), *after))


def unsigned(delivery: Delivery, rules: Iterable[Unsigned]) -> dict[Place, str]:
    """The bits that the rules name, each with the words of its rule."""
    return {place: rule.what for rule in rules for place in _places(delivery, rule)}


def in_each_bit(signature: bytes) -> Iterator[bytes]:
    return (other for _, _, other in _flips(signature))


def differing(one: object, other: object, here: str = "") -> Iterator[str]:
    """Where one JSON value differs from another, as pointers without the positions in lists."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key, value in one.items():
            yield from differing(value, other.get(key, Ellipsis), f"{here}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for pair in zip(one, other, strict=True):
            yield from differing(*pair, here)
    elif one != other:
        yield here


def _flip(data: bytes, byte: int, bit: int) -> bytes:
    return data[:byte] + bytes([data[byte] ^ bit]) + data[byte + 1 :]


def _flips(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    changed = bytearray(data)
    for byte, old in enumerate(data):
        for bit in BITS:
            changed[byte] = old ^ bit
            yield byte, bit, bytes(changed)
        changed[byte] = old


def _places(delivery: Delivery, rule: Unsigned) -> Iterator[Place]:
    for part, header, data in _parts(delivery):
        if part != rule.part or not re.fullmatch(rule.header, header):
            continue
        for match in rule.where.finditer(data):
            for byte, bit in product(range(*match.span(rule.where.groups and 1)), BITS):
                if bit & rule.bits and rule.still.fullmatch(_flip(data, byte, bit)):
                    yield Place(part, header, byte, bit)


def _parts(delivery: Delivery) -> Sequence[tuple[str, bytes, bytes]]:
    headers = [
        (part, name.lower(), data)
        for name, value in delivery.headers
        for part, data in (("name", name), ("value", value))
    ]
    return [("body", b"", delivery.body), ("token", b"", (delivery.path_token or "").encode()), *headers]
