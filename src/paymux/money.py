"""Money as integers: minor units of ISO 4217, whose exponent travels with the amount.

A provider may count in units of its own (Stripe's ISK has two decimals, ISO's has none); `exponents` names
those, and what does not convert exactly is refused. No float is accepted anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from paymux.errors import Untranslatable

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST: Final = 2**63 - 1
_DIGITS = 19  # of a 64-bit number

_ZERO = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_TWO = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF "
    "CHE CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ "
    "GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK "
    "MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB "
    "SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN "
    "UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
)
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_FOUR = "CLF UYW"

# ISO 4217 (list one, 2025): currency -> exponent.
EXPONENTS: Final[Mapping[str, int]] = MappingProxyType(
    {code: exponent for exponent, codes in ((0, _ZERO), (2, _TWO), (3, _THREE), (4, _FOUR)) for code in codes.split()}
)
NO_EXCEPTIONS: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Money:
    """`minor` units of `currency` (ISO 4217, upper case), which has `exponent` decimals."""

    minor: int
    currency: str
    exponent: int


def from_minor(value: int, currency: str, exponents: Mapping[str, int] = NO_EXCEPTIONS) -> Money:
    """An amount that the provider counts in its own minor units.

    Raises Untranslatable: unknown_currency, inexact_amount, shape (beyond 64 bits); TypeError for a float.
    """
    if type(value) is not int:
        raise TypeError("minor units are integers")
    code, exponent = _currency(currency)
    theirs = exponents.get(code, exponent)
    if theirs == exponent:
        return _bounded(value, code, exponent)
    if theirs < exponent:
        return _bounded(value * 10 ** (exponent - theirs), code, exponent)
    whole, rest = divmod(value, 10 ** (theirs - exponent))
    if rest:
        raise Untranslatable(f"{str(value)[:40]} is no whole number of minor units of {code}", reason="inexact_amount")
    return _bounded(whole, code, exponent)


def from_major(value: Decimal, currency: str) -> Money:
    """An amount in major units, as an exact decimal.

    Raises Untranslatable: unknown_currency, inexact_amount, shape (not finite, beyond 64 bits); TypeError for a float.
    """
    if type(value) is not Decimal:
        raise TypeError("major units are decimals")
    code, exponent = _currency(currency)
    if not value:
        return Money(0, code, exponent)
    if not value.is_finite() or not -_DIGITS < value.adjusted() < _DIGITS:
        raise Untranslatable("an amount is out of range", reason="shape")
    minor = value.scaleb(exponent).to_integral_value()
    if minor.scaleb(-exponent) != value:
        raise Untranslatable(f"{str(value)[:40]} has more decimals than {code}", reason="inexact_amount")
    return _bounded(int(minor), code, exponent)


def _currency(text: str) -> tuple[str, int]:
    code = text.upper() if text.isascii() else text  # "\u017f".upper() is "S"
    exponent = EXPONENTS.get(code)
    if exponent is None:
        raise Untranslatable(f"{text[:12]!r} is no currency of ISO 4217", reason="unknown_currency")
    return code, exponent


def _bounded(minor: int, code: str, exponent: int) -> Money:
    if not -LARGEST <= minor <= LARGEST:
        raise Untranslatable("an amount is beyond 64 bits", reason="shape")
    return Money(minor, code, exponent)
