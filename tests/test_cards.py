"""Card numbers are found and masked wherever a person may have typed one, and ids are left alone."""

from __future__ import annotations

import random
import string
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymux.cards import mask

# Published test numbers of the networks.
TEST_NUMBERS = {
    "Visa": "4242424242424242",
    "Visa debit": "4000056655665556",
    "Visa, 13 digits": "4222222222222",
    "Visa, 19 digits": "4000000000000000006",
    "Mastercard": "5555555555554444",
    "Mastercard, series 2": "2223003122003222",
    "Mastercard, first of series 2": "2221000000000009",
    "Mastercard, last of series 2": "2720990000000007",
    "American Express": "378282246310005",
    "American Express, 34": "343434343434343",
    "Diners Club": "3056930009020004",
    "Diners Club, 14 digits": "36227206271667",
    "JCB": "3566002020360505",
    "Discover": "6011111111111117",
    "UnionPay": "6200000000000005",
    "UnionPay, 19 digits": "6205500000000000004",
    "Maestro": "6759649826438453",
    "Mir": "2200000000000053",
}

ALPHANUMERIC = string.ascii_letters + string.digits
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@pytest.mark.parametrize("number", TEST_NUMBERS.values(), ids=TEST_NUMBERS)
def test_a_networks_test_number(number):
    """Only the last four digits stay."""
    assert mask(number) == "*" * (len(number) - 4) + number[-4:]


@pytest.mark.parametrize("number", TEST_NUMBERS.values(), ids=TEST_NUMBERS)
@pytest.mark.parametrize("separator", [" ", "-"], ids=["blanks", "dashes"])
def test_groups_of_four(number, separator):
    """The separators go with the digits, and none of the hidden ones is left."""
    written = separator.join(number[i : i + 4] for i in range(0, len(number), 4))

    assert mask(f"card {written}.") == f"card {'*' * (len(number) - 4)}{number[-4:]}."


SEPARATORS = {
    "dots": ".",
    "underscores": "_",
    "no-break blanks": "\u00a0",
    "narrow no-break blanks": "\u202f",
    "en dashes": "\u2013",
    "em dashes": "\u2014",
    "two blanks": "  ",
    "dashes in blanks": " - ",
    "line feeds": "\n",
    "Windows' line feeds": "\r\n",
}


@pytest.mark.parametrize("separator", SEPARATORS.values(), ids=SEPARATORS)
def test_groups_with_anything_between_that_people_type(separator):
    """What stands around the number stays as it was written."""
    written = separator.join(["4242"] * 4)

    assert mask(f"a\u00a0_card.{written}\u2013b.") == "a\u00a0_card.************4242\u2013b."


def test_digits_of_full_width():
    """As an East Asian keyboard types them; other text of that width stays."""
    assert mask("\uff23 " + "\uff14\uff12" * 8) == "\uff23 ************4242"
    wrong = "\uff14\uff12" * 7 + "\uff14\uff11"
    assert mask(wrong) == wrong


@pytest.mark.parametrize("number", ["3782 822463 10005", "3782-822463-10005", "3622 720627 1667"])
def test_groups_as_american_express_and_diners_print_them(number):
    """Groups of any length make a number."""
    digits = number.replace(" ", "").replace("-", "")

    assert mask(number) == "*" * (len(digits) - 4) + digits[-4:]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("4242 4242 4242 4242 12/27", "************4242 12/27"),
        ("4242424242424242 123", "************4242 123"),
        ("23 4242424242424242", "23 ************4242"),
        ("order 5 4242-4242-4242-4242 2027-01", "order 5 ************4242 2027-01"),
        ("4242424242424242 5555555555554444", "************4242 ************4444"),
        ("4242424242424242,5555555555554444;", "************4242,************4444;"),
        ("pan=4242424242424242exp", "pan=************4242exp"),
        ("+4242424242424242", "+************4242"),
    ],
)
def test_a_number_among_other_digits(text, shown):
    """What stands beside a card number (a date, a code, another number) does not hide it."""
    assert mask(text) == shown


def test_every_card_number_of_a_long_text():
    """All of them are masked, and what stands between stays."""
    text = " and ".join(TEST_NUMBERS.values())

    masked = mask(text)

    assert masked.count(" and ") == len(TEST_NUMBERS) - 1
    assert not any(number in masked for number in TEST_NUMBERS.values())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242",
        "4242424242424241",
        "4242 4242 4242 4241",
        "8171999900000018",
        "8000000000000008",
        "1719792042000",
        "1719792042",
        "20240701000042",
        "+49 30 901820",
        "+4915112345678",
        "+1 (212) 555-0100",
        "0049 30 901820",
        "4242424242424242424242424242",
        "00004242424242424242000",
        "550e8400-e29b-41d4-a716-446655440000",
        "55008400-2291-4114-9716-446655440000",
        "7",
        "€ 1.234.567,89",
    ],
)
def test_other_numbers(text):
    """A wrong check digit, an unknown prefix, a time, a phone number, a longer number or a UUID is no card number."""
    assert mask(text) == text


def test_a_uuid_that_would_pass_as_a_card_number():
    """Its digits have a known prefix and a right check digit, and it stays as it is."""
    text = "42424242-4242-4242-8242-424242424242"

    assert mask(text) == text
    assert mask(text[:19]) != text[:19]


def test_ids_in_the_forms_that_providers_use():
    """Of 100,000 random ids none is taken for a card number."""
    chance = random.Random(20240701)
    made = [
        lambda: "pay_" + "".join(chance.choices(ALPHANUMERIC, k=24)),
        lambda: "pi_3" + "".join(chance.choices(ALPHANUMERIC, k=23)),
        lambda: "pym_" + "".join(chance.choices(ALPHANUMERIC, k=21)),
        lambda: "".join(chance.choices(CROCKFORD, k=26)),
        lambda: str(uuid.UUID(int=chance.getrandbits(128), version=4)),
    ]
    ids = [make() for _ in range(20_000) for make in made]

    assert [text for text in ids if mask(text) != text] == []


@given(st.text(max_size=200))
def test_any_text(text):
    """Masking never raises, never lengthens, and is done after once."""
    masked = mask(text)

    assert len(masked) <= len(text)
    assert mask(masked) == masked


@given(
    before=st.text(alphabet=" -ab12", max_size=12),
    number=st.sampled_from(sorted(TEST_NUMBERS.values())),
    after=st.text(alphabet=" -ab12", max_size=12),
)
def test_a_card_number_between_anything_but_digits(before, number, after):
    """It is masked wherever it stands, as long as no digit touches it."""
    text = f"{before}#{number} {after}"

    assert number not in mask(text)


@given(
    st.lists(
        st.sampled_from(
            [*TEST_NUMBERS.values(), "4242", "4", "1", " ", "-", ".", "_", "\n", "a", "+", str(uuid.UUID(int=7))]
        )
    )
)
def test_the_same_text_beside_a_letter_that_is_not_ascii(parts):
    """ASCII takes a shorter way to the same result."""
    text = "".join(parts)

    assert mask(f"\u00e9 {text}") == f"\u00e9 {mask(text)}"


@pytest.mark.parametrize("unit", ["4", "123456789012 ", "123456789012x", "4 2 4 2 4 2 4 2 4 2 4 2 x", "a1", "\u00e9"])
def test_a_long_text_is_looked_at_without_a_step_for_each_digit(unit):
    """A megabyte in one text must not stop the event loop: less than one line of Python for each character."""
    text = unit * (10_000 // len(unit))

    assert lines_run(lambda: mask(text)) < len(text)


def lines_run(work):
    """How many lines of Python it takes."""
    count = 0

    def seen(_frame, event, _argument):
        nonlocal count
        count += event == "line"
        return seen

    before = sys.gettrace()
    sys.settrace(seen)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_a_few_digits_before_a_uuid():
    """They do not take the beginning of it for their own."""
    text = "12 1bcdef12-4242-4242-4242-424242424242"
    assert mask(text) == text


def test_card_numbers_after_a_uuid_and_after_few_digits():
    """What was stepped over ends where it ends."""
    text = f"{uuid.UUID(int=7)} 4242424242424242, 12 boxes x4242-4242-4242-4242"
    assert mask(text) == f"{uuid.UUID(int=7)} ************4242, 12 boxes x************4242"


def test_a_megabyte_of_digits():
    """The time grows with the length alone: a hostile text is not a way to stop the line."""
    for text in ("4" * 1_000_000, "4242 " * 200_000, "4-" * 500_000, "+42424242424242, " * 60_000):
        assert isinstance(mask(text), str)


def test_more_digits_than_anybody_types():
    """A run that would take long to look into is masked whole, but for its last four digits."""
    assert mask("9" * 300) == "9" * 300
    assert mask("9" * 500) == "*" * 496 + "9999"
    assert mask("order " + "4242424242424242, " * 30) == "order " + "*" * 536 + "42, "
