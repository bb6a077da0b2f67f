"""Amounts convert exactly or are refused; no float on any path."""

from __future__ import annotations

import ast
import time
from decimal import Decimal, localcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymux.errors import Untranslatable
from paymux.money import EXPONENTS, LARGEST, Money, from_major, from_minor
from paymux.wild import parse_json

SOURCE = Path(__file__).parents[1] / "src/paymux"

# https://docs.stripe.com/currencies#special-cases
STRIPE = {"ISK": 2, "UGX": 2, "MGA": 0}

currencies = st.sampled_from(sorted(EXPONENTS))
minors = st.integers(min_value=-LARGEST, max_value=LARGEST)


def refused(reason, make, *arguments):
    with pytest.raises(Untranslatable) as caught:
        make(*arguments)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("major", "currency", "minor", "exponent"),
    [
        ("500", "JPY", 500, 0),
        ("500.00", "KRW", 500, 0),
        ("79.90", "EUR", 7990, 2),
        ("0.01", "USD", 1, 2),
        ("1.234", "KWD", 1234, 3),
        ("10", "BHD", 10_000, 3),
        ("1.2345", "CLF", 12_345, 4),
        ("1", "UYW", 10_000, 4),
        ("5", "ISK", 5, 0),
        ("-3.5", "GBP", -350, 2),
        ("1E2", "EUR", 10_000, 2),
    ],
)
def test_each_class_of_exponent(major, currency, minor, exponent):
    """Major units become minor units of ISO 4217, whose exponent travels with the amount."""
    assert from_major(Decimal(major), currency) == Money(minor, currency, exponent)


def test_the_table_of_currencies():
    """The currencies with other than two decimals are those of ISO 4217, and nothing without a minor unit is there."""
    by_exponent = {n: {code for code, exponent in EXPONENTS.items() if exponent == n} for n in (0, 3, 4)}
    assert " ".join(sorted(by_exponent[0])) == "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
    assert by_exponent[3] == {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
    assert by_exponent[4] == {"CLF", "UYW"}
    assert {len(code) for code in EXPONENTS} == {3}
    assert not {"XXX", "XTS", "XAU", "XDR", "BTC"} & set(EXPONENTS)


@pytest.mark.parametrize("written", ["eur", "EUR", "Eur"])
def test_a_currency_in_any_case(written):
    """It is published in upper case."""
    assert from_minor(1, written) == Money(1, "EUR", 2)


@pytest.mark.parametrize(
    "written", ["", "EU", "EURO", "XXX", "EUR ", "ZZZ", "u\u017fd", "\uff25\uff35\uff32", "E\x00R", "€"]
)
def test_an_unknown_currency(written):
    """It is refused, also where Unicode would make a known one of it in upper case."""
    refused("unknown_currency", from_minor, 1, written)
    refused("unknown_currency", from_major, Decimal(1), written)


# --- a provider's own minor units


@pytest.mark.parametrize(
    ("theirs", "currency", "ours"),
    [
        (500, "ISK", 5),
        (0, "UGX", 0),
        (-1200, "UGX", -12),
        (7, "MGA", 700),
        (-7, "MGA", -700),
        (7, "EUR", 7),
        (7, "JPY", 7),
    ],
)
def test_a_providers_exceptions(theirs, currency, ours):
    """More decimals than ISO's are divided away, fewer are multiplied, others stay."""
    assert from_minor(theirs, currency, STRIPE) == Money(ours, currency, EXPONENTS[currency])


@pytest.mark.parametrize("theirs", [1, 99, 101, -1, -150, 2**62 + 1])
def test_an_exception_that_does_not_divide(theirs):
    """Nothing is rounded: half an Icelandic crown is refused."""
    refused("inexact_amount", from_minor, theirs, "ISK", STRIPE)


def test_a_number_of_a_thousand_digits_that_does_not_divide():
    """It is refused with a short message."""
    with pytest.raises(Untranslatable) as caught:
        from_minor(10**999 + 1, "ISK", STRIPE)
    assert len(caught.value.detail) < 120


@given(minor=st.integers(min_value=-(LARGEST // 100), max_value=LARGEST // 100), currency=currencies)
def test_a_providers_minor_units_and_back(minor, currency):
    """What goes into a provider's units and back is itself, in both directions of an exception."""
    exponent = EXPONENTS[currency]
    wider = from_minor(minor * 100, currency, {currency: exponent + 2})
    assert wider == Money(minor, currency, exponent)
    if exponent >= 1:
        assert from_minor(minor, currency, {currency: exponent - 1}) == Money(minor * 10, currency, exponent)


# --- decimals


@given(minor=minors, currency=currencies)
def test_major_and_minor_units_are_inverse(minor, currency):
    """Minor units written as a decimal are read as the same minor units."""
    made = from_minor(minor, currency)
    with localcontext(prec=60):
        major = Decimal(made.minor).scaleb(-made.exponent)

    assert from_major(major, currency) == made == Money(minor, currency, EXPONENTS[currency])


@given(minor=minors, currency=currencies, zeros=st.integers(min_value=0, max_value=60))
def test_trailing_zeros(minor, currency, zeros):
    """They say nothing: 79.90 and 79.90000 are one amount."""
    sign, digits = "-" if minor < 0 else "", str(abs(minor)).rjust(EXPONENTS[currency] + 1, "0")
    cut = len(digits) - EXPONENTS[currency]
    written = f"{sign}{digits[:cut]}.{digits[cut:]}{'0' * zeros}"

    assert from_major(Decimal(written), currency).minor == minor


@given(minor=minors, currency=currencies, digits=st.text("0123456789", max_size=60), last=st.sampled_from("123456789"))
def test_a_decimal_too_many(minor, currency, digits, last):
    """However far behind the point it stands: refused, never rounded."""
    text = f"{abs(minor)}.{'0' * EXPONENTS[currency]}{digits}{last}"

    with pytest.raises(Untranslatable):
        from_major(Decimal(text), currency)


@pytest.mark.parametrize(
    "text", ["1e-99999999", "-1e-99999999", "1e99999999", "9" * 30, "1e19", "NaN", "sNaN", "Infinity"]
)
def test_decimals_out_of_range(text):
    """Refused at once, without writing out the digits."""
    begun = time.perf_counter()
    refused("shape", from_major, Decimal(text), "EUR")
    assert time.perf_counter() - begun < 0.1


@pytest.mark.parametrize("text", ["0", "-0", "0.000", "-0.0", "0e99999999", "0e-99999999"])
def test_zero(text):
    """It is zero in every spelling, without a sign."""
    made = from_major(Decimal(text), "EUR")
    assert (made.minor, str(made.minor)) == (0, "0")


def test_the_largest_amount():
    """2^63 - 1 minor units are the most that a signed 64-bit consumer can take; one more is refused."""
    assert from_minor(2**63 - 1, "EUR").minor == 2**63 - 1
    assert from_minor(-(2**63 - 1), "EUR").minor == -(2**63 - 1)
    assert from_major(Decimal("92233720368547758.07"), "EUR").minor == 2**63 - 1
    for value in (2**63, -(2**63), 2**64, 2**70, 10**999):
        refused("shape", from_minor, value, "EUR")
    refused("shape", from_major, Decimal("92233720368547758.08"), "EUR")
    refused("shape", from_minor, LARGEST // 100 + 1, "MGA", STRIPE)


# --- V-51: as they come in JSON


def number(text):
    return parse_json(b'{"amount":' + text.encode() + b"}").number("amount")


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("10.10", 1010),
        ("79.90", 7990),
        ("0.1", 10),
        ("1e3", 100_000),
        ("1E+2", 10_000),
        ("-0", 0),
        ("-0.0", 0),
        ("9007199254740993", 900719925474099300),
        ("90071992547409.93", 9007199254740993),
        ("4.35", 435),
        ("1.15", 115),
        ("0.29", 29),
    ],
)
def test_v51_json_numbers_that_convert(text, minor):
    """The digits that stand in the body count, not the float that a parser makes of them."""
    assert from_major(number(text), "EUR").minor == minor


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1.005", "inexact_amount"),
        ("0.30000000000000004", "inexact_amount"),
        ("0.1000000000000000055511151231257827", "inexact_amount"),
        ("9223372036854775808", "shape"),
        ("18446744073709551616", "shape"),
        ("1e300", "shape"),
    ],
)
def test_v51_json_numbers_that_do_not(text, reason):
    """1.005, 0.1 + 0.2 in floats, 2^63, 2^64: refused."""
    refused(reason, lambda: from_major(number(text), "EUR"))


@pytest.mark.parametrize(
    "text", ["1e400", "-1e400", "NaN", "Infinity", "-Infinity", "0x10", "1_000", "01", "+1", ".5", "1."]
)
def test_v51_not_json_numbers(text):
    """The body is refused as a whole."""
    refused("shape", number, text)


@pytest.mark.parametrize(
    "text",
    [
        "10,00",
        "1.000,00",
        "1e3",
        " 1",
        "1 ",
        "+1",
        "",
        "-",
        ".5",
        "1.",
        "0x10",
        "1_000",
        "NaN",
        "Infinity",
        "١٢",
        "1" * 41,
    ],
)
def test_v51_strings_that_are_no_plain_decimal(text):
    """A decimal in a string has digits and at most one point: nothing else is read."""
    wild = parse_json(('{"amount":"' + text + '"}').encode())
    refused("shape", wild.decimal, "amount")


@pytest.mark.parametrize(
    ("text", "minor"), [("10.10", 1010), ("-3.50", -350), ("0", 0), ("007.10", 710), ("1." + "0" * 40, 100)]
)
def test_v51_strings_that_are(text, minor):
    """Digits are taken exactly."""
    assert from_major(parse_json(('{"amount":"' + text + '"}').encode()).decimal("amount"), "EUR").minor == minor


# --- no float


@pytest.mark.parametrize("value", [1.0, 1.5, 0.0, True, False, "1", None, Decimal(1)])
def test_anything_but_an_integer_as_minor_units(value):
    """A bug of ours that brings a float here is found at once, also for a whole number and for zero."""
    with pytest.raises(TypeError):
        from_minor(value, "EUR")


@pytest.mark.parametrize("value", [1.0, 0.0, 0, 1, True, "1", None])
def test_anything_but_a_decimal_as_major_units(value):
    """A bug of ours that brings a float here is found at once."""
    with pytest.raises(TypeError):
        from_major(value, "EUR")


def test_the_source_uses_no_float_where_money_passes():
    """Neither a float literal, nor float() or round(), stands in money.py, wild or any provider's file."""
    files = [SOURCE / "money.py", *sorted((SOURCE / "wild").glob("*.py")), *sorted((SOURCE / "providers").glob("*.py"))]
    assert len(files) > 7
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            assert not (isinstance(node, ast.Constant) and type(node.value) is float), (file.name, node.lineno)
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            assert called not in {"float", "round"}, (file.name, node.lineno)
