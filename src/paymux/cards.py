"""Card numbers in free text: found and masked, so that none leaves the raw body."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST = 13
LONGEST = 19
_LONGEST_PHONE = 15  # digits after the +, E.164

# What may stand between groups besides blanks and dashes, and digits of another width, as what they are read as: one
# character for one, so that places in the copy are places in the text. No dash for the others: a UUID has plain ones.
_PLAIN = str.maketrans(
    "._\t\n\r\u00a0\u2007\u2009\u202f\u2010\u2011\u2012\u2013\u2014\u2212"
    "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19",
    " " * 15 + "0123456789",
)
_BETWEEN = "[ -]{0,3}"
# As many digits as the shortest number has: few texts hold them, and to see that needs no copy.
_POSSIBLE = re.compile(rf"[0-9](?:[-. _\t\n\r]{{0,3}}[0-9]){{{SHORTEST - 1}}}")
# A UUID, to step over it; or a run of digits in groups, a few blanks or dashes between them, with what stands around
# the number (an expiry date, a code).
_RUN = re.compile(
    r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])"
    rf"|(?<![0-9])(?P<run>[0-9](?:{_BETWEEN}[0-9]){{12,}})"
)
_GROUP = re.compile(r"[0-9]+")
# First digits of the networks: Visa; Mastercard, Maestro; Mir, Mastercard; American Express, Diners, JCB; Discover,
# UnionPay, Maestro.
_PREFIX = re.compile(
    r"4|5|2(?:20[0-4]|2(?:2[1-9]|[3-9])|[3-6]|7(?:[01]|20))|3(?:[47]|0[0-59]|[689]|5(?:2[89]|[3-8]))|6"
)
_SEPARATORS = str.maketrans("", "", " -")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def mask(text: str) -> str:
    """`text` with every card number replaced by asterisks and its last four digits."""
    if len(text) < SHORTEST:
        return text
    if text.isascii() and not _POSSIBLE.search(text):
        return text
    plain = text.translate(_PLAIN)
    shown, done = [], 0
    for start, end in _found(plain):
        digits = plain[start:end].translate(_SEPARATORS)
        shown += [text[done:start], "*" * (len(digits) - 4), digits[-4:]]
        done = end
    return "".join([*shown, text[done:]])


def _found(plain: str) -> Iterator[tuple[int, int]]:
    """Where to mask, in order."""
    for match in _RUN.finditer(plain):
        run = match["run"]
        numbers = list(_numbers(run)) if run is not None else []
        if numbers and not _is_phone(match):
            yield from ((match.start() + start, match.start() + end) for start, end in _joined(numbers))


def _is_phone(match: re.Match[str]) -> bool:
    digits = match["run"].translate(_SEPARATORS)
    start = match.start()
    return match.string[start - 1 : start] == "+" and len(digits) <= _LONGEST_PHONE


def _numbers(run: str) -> Iterator[tuple[int, int]]:
    """Where card numbers stand: whole groups that make 13 to 19 digits with a known prefix and a right check digit."""
    digits = run.translate(_SEPARATORS)
    sums = _luhn_sums(digits)
    groups = [found.span() for found in _GROUP.finditer(run)]
    counts = [0, *accumulate(end - start for start, end in groups)]
    for first, (start, _) in enumerate(groups):
        before = counts[first]
        if not _PREFIX.match(digits, before):
            continue
        for last in range(first, len(groups)):
            after = counts[last + 1]
            if after - before > LONGEST:
                break
            line = sums[after % 2]
            if after - before >= SHORTEST and (line[after] - line[before]) % 10 == 0:
                yield start, groups[last][1]


def _luhn_sums(digits: str) -> tuple[list[int], list[int]]:
    """Running sums in which the digits at even places are doubled, and those at odd places.

    The last digit of a number counts plain, so a number that ends before an even place takes the first line.
    """
    plain = [int(digit) for digit in digits]
    doubled = [_DOUBLED[digit] for digit in plain]
    even = [doubled[i] if i % 2 == 0 else plain[i] for i in range(len(plain))]
    odd = [plain[i] if i % 2 == 0 else doubled[i] for i in range(len(plain))]
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
