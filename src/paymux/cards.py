"""Card numbers in free text: found and masked, so that none leaves the raw body."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST = 13
LONGEST = 19
MOST_DIGITS: Final = 400  # of one text, of one object of anything: where there are more, to look into each takes long
_LONGEST_PHONE = 15  # digits after the +, E.164

# What may stand between groups besides blanks and dashes, and digits of another width, as what they are read as: one
# character for one, so that places in the copy are places in the text. No dash for the others: a UUID has plain ones.
_OTHER_SEPARATORS = "._\t\n\r\u00a0\u2007\u2009\u202f\u2010\u2011\u2012\u2013\u2014\u2212"
_WIDE_DIGITS = "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19"
_PLAIN = str.maketrans(_OTHER_SEPARATORS + _WIDE_DIGITS, " " * len(_OTHER_SEPARATORS) + "0123456789")


def _runs(separators: str, wide_digits: str) -> re.Pattern[str]:
    """What comes before the next run, and the run: as many digits as the shortest number has or more, in groups, a few
    blanks or dashes between them, with what stands around the number (an expiry date, a code). Empty at the end.

    UUIDs and shorter runs are stepped over, so that each character is looked at a few times at most, whatever the text.
    """
    digit, hexadecimal, word = f"[0-9{wide_digits}]", f"[0-9A-Fa-f{wide_digits}]", f"0-9A-Za-z{wide_digits}"
    gap = rf"[- {separators}]{{0,3}}+"
    uuid = rf"(?<![{word}]){hexadecimal}{{8}}(?:-{hexadecimal}{{4}}){{3}}-{hexadecimal}{{12}}(?![{word}])"
    long = rf"{digit}(?:{gap}{digit}){{{SHORTEST - 1}}}"
    short = rf"(?!{long}){digit}(?:{gap}(?!{uuid}){digit})*+"
    return re.compile(rf"((?:{uuid}|{short}|[A-Za-z]++|[^{word}]++)*+)({digit}(?:{gap}{digit})*+)?")


def _first_run(separators: str, wide_digits: str) -> re.Pattern[str]:
    """Everything up to the first digit of the first run, UUIDs taken for runs: quickly seen, and few texts have one."""
    digit, other, gap = f"[0-9{wide_digits}]", f"[^0-9{wide_digits}]", rf"[- {separators}]{{0,3}}+"
    short = rf"{digit}(?:{gap}{digit}){{0,{SHORTEST - 2}}}+(?!{gap}{digit})"
    return re.compile(rf"(?:{other}*+{short})*+{other}*+{digit}")


# For ASCII and for any text.
_ASCII, _ANY = (_OTHER_SEPARATORS[:5], ""), (_OTHER_SEPARATORS, _WIDE_DIGITS)
_RUNS: Final = {True: _runs(*_ASCII), False: _runs(*_ANY)}
_FIRST_RUN: Final = {True: _first_run(*_ASCII), False: _first_run(*_ANY)}
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
    """`text` with every card number replaced by asterisks and its last four digits; hidden, where it is nearly all
    digits.
    """
    if len(text) < SHORTEST or not _FIRST_RUN[text.isascii()].match(text):
        return text
    pieces = _pieces(text)
    if sum([len(run) for _, run in pieces]) > MOST_DIGITS:
        return hide(text)
    return "".join([before + _shown(run, before) if run else before for before, run in pieces])


def hide(text: str) -> str:
    """`text`, hidden from the first run on that could hold a card number, but for its last four characters."""
    first = _FIRST_RUN[text.isascii()].match(text) if len(text) >= SHORTEST else None
    if first is None:
        return text
    start = first.end() - 1
    return text[:start] + hide_number(text[start:])


def hide_number(digits: str) -> str:
    """All but the last four."""
    return "*" * (len(digits) - 4) + digits[-4:]


def _pieces(text: str) -> list[tuple[str, str]]:
    """The runs, each with the text before it; then the rest, with none."""
    pieces: list[tuple[str, str]] = _RUNS[text.isascii()].findall(text)
    return pieces


def _shown(run: str, before: str) -> str:
    plain = run.translate(_PLAIN)
    digits = plain.translate(_SEPARATORS)
    numbers = list(_numbers(plain, digits))
    if not numbers or (before.endswith("+") and len(digits) <= _LONGEST_PHONE):
        return run
    shown, done = [], 0
    for start, end in _joined(numbers):
        digits = plain[start:end].translate(_SEPARATORS)
        shown += [run[done:start], "*" * (len(digits) - 4), digits[-4:]]
        done = end
    return "".join([*shown, run[done:]])


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
