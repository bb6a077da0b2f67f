"""Card numbers in free text: found and masked, so that none leaves the raw body."""

from __future__ import annotations

import re

# 13 to 19 digits, single blanks or dashes allowed between them, not inside a longer number.
_CANDIDATE = re.compile(r"(?<![0-9])[2-6](?:[ -]?[0-9]){12,18}(?![0-9])")
# First digits of the networks: Visa; Mastercard; American Express, Diners, JCB; Discover, UnionPay, Maestro.
_PREFIX = re.compile(
    r"4|5[0-9]|2(?:2(?:2[1-9]|[3-9])|[3-6]|7(?:[01]|20))|3(?:[47]|0[0-5]|[689]|5(?:2[89]|[3-8]))|6"
)
_SEPARATORS = str.maketrans("", "", " -")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def mask(text: str) -> str:
    """`text` with every card number replaced by asterisks and its last four digits."""
    return _CANDIDATE.sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    digits = match[0].translate(_SEPARATORS)
    if not (_PREFIX.match(digits) and _luhn(digits)):
        return match[0]
    return "*" * (len(digits) - 4) + digits[-4:]


def _luhn(digits: str) -> bool:
    odd = sum(int(d) for d in digits[-1::-2])
    even = sum(_DOUBLED[int(d)] for d in digits[-2::-2])
    return (odd + even) % 10 == 0
