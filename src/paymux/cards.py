"""Card numbers in free text: found and masked, so that none leaves the raw body."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST = 13
LONGEST = 19
_LONGEST_RUN = 400  # digits; nobody types more, and to look into it would take long: it is masked whole
_LONGEST_PHONE = 15  # digits after the +, E.164

# What may stand between groups besides blanks and dashes, and digits of another width, as what they are read as: one
# character for one, so that places in the copy are places in the text. No dash for the others: a UUID has plain ones.
_OTHER_SEPARATORS = "._\t\n\r\u00a0\u2007\u2009\u202f\u2010\u2011\u2012\u2013\u2014\u2212"
_WIDE_DIGITS = "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19"
_PLAIN = str.maketrans(_OTHER_SEPARATORS + _WIDE_DIGITS, " " * len(_OTHER_SEPARATORS) + "0123456789")


def _runs(separators: str, wide_digits: str) -> re.Pattern[str]:
    """A UUID, to step over it; or a run of as many digits as the shortest number has or more, in groups, a few blanks
    or dashes between them, with what stands around the number (an expiry date, a code).
    """
    digit, hexadecimal, other = f"[0-9{wide_digits}]", f"[0-9A-Fa-f{wide_digits}]", f"[0-9A-Za-z{wide_digits}]"
    return re.compile(
        rf"(?<!{other}){hexadecimal}{{8}}(?:-{hexadecimal}{{4}}){{3}}-{hexadecimal}{{12}}(?!{other})"
        rf"|(?<!{digit})(?P<run>{digit}(?:[- {separators}]{{0,3}}{digit}){{{SHORTEST - 1},}})"
    )


# For ASCII and for any text: few texts hold a run, and to see that takes a seventh of the time for ASCII.
_ASCII_RUN = _runs(_OTHER_SEPARATORS[:5], "")
_ANY_RUN = _runs(_OTHER_SEPARATORS, _WIDE_DIGITS)
_POSSIBLE = re.compile(rf"[0-9](?:[-. _\t\n\r]{{0,3}}[0-9]){{{SHORTEST - 1}}}")
_GROUP = re.compile(r"[0-9]+")
# First digits of the networks: Visa; Mastercard, Maestro; Mir, Mastercard; American Express, Diners, JCB; Discover,
# UnionPay, Maestro.
_PREFIX = re.compile(
    r"4|5|2(?:20[0-4]|2(?:2[1-9]|[3-9])|[3-6]|7(?:[01]|20))|3(?:[47]|0[0-59]|[689]|5(?:2[89]|[3-8]))|6"
)
_SEPARATORS = str.maketrans("", "", " -")
_VALUES = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED = bytes.maketrans(bytes(range(10)), bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))


def mask(text: str) -> str:
    """`text` with every card number replaced by asterisks and its last four digits."""
    if len(text) < SHORTEST:
        return text
    is_ascii = text.isascii()
    if is_ascii and not _POSSIBLE.search(text):
        return text
    shown, done = [], 0
    for start, end, digits in _found(text, _ASCII_RUN if is_ascii else _ANY_RUN):
        shown += [text[done:start], "*" * (len(digits) - 4), digits[-4:]]
        done = end
    return "".join([*shown, text[done:]]) if done else text


def _found(text: str, runs: re.Pattern[str]) -> Iterator[tuple[int, int, str]]:
    """Where to mask, in order, and the digits that stand there."""
    for match in runs.finditer(text):
        if match["run"] is None:
            continue
        run = match["run"].translate(_PLAIN)
        digits = run.translate(_SEPARATORS)
        numbers = list(_numbers(run, digits)) if len(digits) <= _LONGEST_RUN else [(0, len(run))]
        if numbers and not _is_phone(match, digits):
            for start, end in _joined(numbers):
                yield match.start() + start, match.start() + end, run[start:end].translate(_SEPARATORS)


def _is_phone(match: re.Match[str], digits: str) -> bool:
    start = match.start()
    return match.string[start - 1 : start] == "+" and len(digits) <= _LONGEST_PHONE


def _numbers(run: str, digits: str) -> Iterator[tuple[int, int]]:
    """Where card numbers stand: whole groups that make 13 to 19 digits with a known prefix and a right check digit."""
    groups = [found.span() for found in _GROUP.finditer(run)]
    counts = [0, *accumulate(end - start for start, end in groups)]
    sums: tuple[list[int], list[int]] | None = None
    for first, before in enumerate(counts[:-1]):
        if not _PREFIX.match(digits, before):
            continue
        shortest = bisect_left(counts, before + SHORTEST, first)
        for last in range(shortest, bisect_right(counts, before + LONGEST, shortest)):
            sums = sums or _luhn_sums(digits)
            line = sums[counts[last] % 2]
            if (line[counts[last]] - line[before]) % 10 == 0:
                yield groups[first][0], groups[last - 1][1]


def _luhn_sums(digits: str) -> tuple[list[int], list[int]]:
    """Running sums in which the digits at even places are doubled, and those at odd places.

    The last digit of a number counts plain, so a number that ends before an even place takes the first line.
    """
    even = bytearray(digits.encode().translate(_VALUES))
    odd = even[:]
    even[0::2], odd[1::2] = even[0::2].translate(_DOUBLED), odd[1::2].translate(_DOUBLED)
    return [0, *accumulate(even)], [0, *accumulate(odd)]


def _joined(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans in order of their start, those that overlap as one."""
    start, end = spans[0]
    for next_start, next_end in spans[1:]:
        if next_start < end:
            end = max(end, next_end)
        else:
            yield start, end
            start, end = next_start, next_end
    yield start, end
