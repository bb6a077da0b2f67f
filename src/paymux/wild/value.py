"""One value of an untrusted body: where it stands, and the readers that tame it."""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from paymux import times
from paymux.cards import LONGEST, MOST_DIGITS, SHORTEST, hide, hide_number, mask
from paymux.errors import Untranslatable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from enum import StrEnum

_Status = TypeVar("_Status", bound="StrEnum")

LONGEST_TEXT: Final = 5000

_DECIMAL = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_SHORT = 10 ** (SHORTEST - 1)  # no card number is smaller
_LONGEST_INTEGER = 2**63
# In JSON that orjson wrote: a number with a fraction or an exponent; and, in plain ASCII, a run of as many digits as a
# card number has, shorter ones before it stepped over, so that each character is looked at once.
_FRACTION = re.compile(rb"[:,\[]-?[0-9]+[.e]")
_GAP = rb"(?:[-. _]|\\[tnr]){0,3}+"
_RUN = re.compile(rb"(?:[^0-9]*+[0-9](?:%b[0-9]){0,%d}+(?!%b[0-9]))*+[^0-9]*+[0-9]" % (_GAP, SHORTEST - 2, _GAP))
_DIGITS = bytes([*b"0123456789", *range(0x90, 0x9A)])  # and the last bytes of the wide ones, at most too many
_ID = re.compile(r"[\x21-\x7e]{1,255}")
_MODES: Final = {"live": True, "test": False}


class Wild:
    """One untrusted value of a body. The readers take a key of the object that it must be.

    `text("id")` must be there and be a string; `maybe_text("id")` may be absent or null. Each raises
    Untranslatable(shape) with the path of what it found instead.
    """

    __slots__ = ("_exact", "_key", "_parent", "value")

    def __init__(self, value: Any, key: str | int, parent: Wild | None, exact: Callable[[], Any]) -> None:
        """`exact` gives the whole body's value again, without any float."""
        self.value = value
        self._key = key
        self._parent = parent
        self._exact = exact

    def __contains__(self, key: str) -> bool:
        return self._object().get(key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._object())

    @property
    def path(self) -> str:
        """A JSON pointer; the empty string is the whole body."""
        if self._parent is None:
            return ""
        key = self._key
        token = key if type(key) is int else mask(str(key))[:64].replace("~", "~0").replace("/", "~1")
        return f"{self._parent.path}/{token}"

    @property
    def root(self) -> Wild:
        """The whole body: what an item of a batch leaves to its envelope."""
        here = self
        while here._parent is not None:
            here = here._parent
        return here

    def at(self, key: str | int) -> Wild:
        """The value under a key whatever it is, None where there is none: for its path."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return Wild(value, key, self, self._exact)

    def untamed(self, wanted: str, *, reason: str = "shape") -> Untranslatable:
        """The error that says what was wanted here."""
        return Untranslatable(f"expected {wanted}, found {_kind(self.value)}", reason=reason, path=self.path)

    def unknown(self, what: str, *, reason: str) -> Untranslatable:
        """The error for a word that no table has."""
        shown = mask(str(self.value))[:80]
        return Untranslatable(f"{shown!r} is no {what} that is known", reason=reason, path=self.path)

    # --- containers

    def child(self, *keys: str) -> Wild:
        """The object at the end of `keys`."""
        here = self
        for key in keys:
            here = here.at(key)
            if type(here.value) is not dict:
                raise here.untamed("an object")
        return here

    def maybe_child(self, *keys: str) -> Wild | None:
        here = self
        for key in keys:
            value = here._object().get(key)  # its own kind
            if value is None:
                return None
            if type(value) is not dict:
                raise here.at(key).untamed("an object")
            here = Wild(value, key, here, self._exact)
        return here

    def children(self, key: str) -> list[Wild]:
        """The objects in a list; an absent or null list is empty."""
        listed = self._object().get(key)
        for index, one in enumerate(listed if type(listed) is list else ()):
            if type(one) is not dict:
                raise Wild(one, index, self.at(key), self._exact).untamed("an object")
        return self.elements(key)

    def elements(self, key: str) -> list[Wild]:
        """The same, whatever stands in the list: for a batch, of which a bad item must not take the others along."""
        found = self.at(key)
        if self._object().get(key) is None:
            return []
        if type(found.value) is not list:
            raise found.untamed("a list")
        return [Wild(value, index, found, self._exact) for index, value in enumerate(found.value)]

    # --- leaves

    def text(self, key: str) -> str:
        """A string, with card numbers masked: also a word's place may hold what a person typed."""
        value = self._object().get(key)
        if type(value) is not str or len(value) > LONGEST_TEXT:
            raise self.at(key).untamed("a string")
        return value if len(value) < SHORTEST else mask(value)

    def maybe_text(self, key: str) -> str | None:
        return None if self._object().get(key) is None else self.text(key)

    def id(self, key: str) -> str:
        """An identifier: printable ASCII without blanks, at most 255 characters."""
        value = self._object().get(key)
        if type(value) is not str or not _ID.fullmatch(value):
            raise self.at(key).untamed("an id")
        return value

    def maybe_id(self, key: str) -> str | None:
        """An identifier; the empty string counts as none."""
        return None if self._object().get(key) in (None, "") else self.id(key)

    def matching(self, key: str, pattern: re.Pattern[str], wanted: str) -> str:
        """A string of this form, as it stands: what is to be asked for by it must fit into a URL."""
        value = self._object().get(key)
        if type(value) is not str or not pattern.fullmatch(value):
            raise self.at(key).untamed(wanted)
        return value

    def free_text(self, key: str) -> str | None:
        """What a person may have typed: absent, null or a string, with card numbers masked."""
        return self.maybe_text(key)

    def status(self, key: str, table: Mapping[str, _Status]) -> _Status:
        """What the table says of a word. Raises Untranslatable(unknown_status) for one that it does not have."""
        status = table.get(self.text(key))
        if status is None:
            raise self.at(key).unknown(key.replace("_", " "), reason="unknown_status")
        return status

    def integer(self, key: str) -> int:
        value = self._object().get(key)
        if type(value) is not int:
            raise self.at(key).untamed("an integer")
        return value

    def maybe_integer(self, key: str) -> int | None:
        return None if self._object().get(key) is None else self.integer(key)

    def number(self, key: str) -> Decimal:
        """A JSON number, exactly as its digits stand in the body."""
        value = self._object().get(key)
        if type(value) is int:
            return Decimal(value)
        if type(value) is float:
            value = self._reread(key)
            if isinstance(value, int | Decimal):
                return Decimal(value)
        raise self.at(key).untamed("a number")

    def maybe_number(self, key: str) -> Decimal | None:
        return None if self._object().get(key) is None else self.number(key)

    def decimal(self, key: str) -> Decimal:
        """A string that holds a plain decimal number: no exponent, no blanks, no separators."""
        value = self._object().get(key)
        if type(value) is not str or not _DECIMAL.fullmatch(value):
            raise self.at(key).untamed("a decimal number in a string")
        try:
            return Decimal(value)
        except InvalidOperation:  # Defensive: the pattern admits only what Decimal reads.
            raise self.at(key).untamed("a decimal number in a string") from None

    def maybe_decimal(self, key: str) -> Decimal | None:
        return None if self._object().get(key) is None else self.decimal(key)

    def flag(self, key: str) -> bool:
        value = self._object().get(key)
        if type(value) is not bool:
            raise self.at(key).untamed("true or false")
        return value

    def maybe_flag(self, key: str) -> bool | None:
        return None if self._object().get(key) is None else self.flag(key)

    def maybe_live(self, key: str) -> bool | None:
        """Whether it says `live`; False for `test`, None if absent."""
        word = self.maybe_text(key)
        if word is not None and word not in _MODES:
            raise self.at(key).untamed("live or test")
        return _MODES.get(word or "")

    def seconds(self, key: str) -> datetime:
        """A time in unix seconds."""
        return self._time(key, self.integer(key), times.from_seconds)

    def maybe_seconds(self, key: str) -> datetime | None:
        return None if self._object().get(key) is None else self.seconds(key)

    def rfc3339(self, key: str) -> datetime:
        return self._time(key, self.text(key), times.from_rfc3339)

    def maybe_rfc3339(self, key: str) -> datetime | None:
        return None if self._object().get(key) is None else self.rfc3339(key)

    def date(self, key: str) -> datetime:
        """An RFC 3339 time, or a date alone (midnight in UTC)."""
        return self._time(key, self.text(key), times.from_iso_date)

    def maybe_date(self, key: str) -> datetime | None:
        return None if self._object().get(key) is None else self.date(key)

    def milliseconds_or_rfc3339(self, key: str) -> datetime:
        """A time in unix milliseconds, or as text."""
        if type(self._object().get(key)) is int:
            return self._time(key, self.integer(key), times.from_milliseconds)
        return self.rfc3339(key)

    def maybe_milliseconds_or_rfc3339(self, key: str) -> datetime | None:
        return None if self._object().get(key) is None else self.milliseconds_or_rfc3339(key)

    def json(self, key: str) -> dict[str, Any] | None:
        """An object of anything (metadata), card numbers masked in its keys and texts; None if absent.

        Numbers that are no 64-bit integers keep their digits.
        """
        value = self._object().get(key)
        if value is None:
            return None
        if type(value) is not dict:
            raise self.at(key).untamed("an object")
        written = orjson.dumps(value)
        if _FRACTION.search(written):
            value = self._reread(key)
        elif written.isascii() and not _RUN.match(written):
            return dict(value)
        digits = len(written) - len(written.translate(None, _DIGITS))
        masked: dict[str, Any] = (_MASKED if digits <= MOST_DIGITS else _HIDDEN)(value)
        return masked

    def json_object(self, key: str) -> dict[str, Any] | None:
        """The same; None where anything but an object stands: for providers that let metadata be of any kind."""
        return self.json(key) if isinstance(self.at(key).value, dict) else None

    def digest(self) -> str:
        """The sha256 of the value, the same however its keys are ordered and spaced."""
        return hashlib.sha256(orjson.dumps(self.value, option=orjson.OPT_SORT_KEYS)).hexdigest()

    # ---

    def _object(self) -> dict[str, Any]:
        if type(self.value) is not dict:
            raise self.untamed("an object")
        return self.value

    def _time(self, key: str, value: Any, read: Callable[[Any], datetime]) -> datetime:
        try:
            return read(value)
        except (ValueError, OverflowError) as error:
            raise Untranslatable(str(error)[:80], path=self.at(key).path) from None

    def _reread(self, key: str) -> Any:
        keys: list[str | int] = [key]
        here: Wild | None = self
        while here is not None and here._parent is not None:  # noqa: SLF001
            keys.append(here._key)  # noqa: SLF001
            here = here._parent  # noqa: SLF001
        value = self._exact()
        for step in reversed(keys):
            value = value[step]
        return value


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return {bool: "a boolean", int: "a number", float: "a number", dict: "an object", list: "a list"}.get(
        type(value), "another string"
    )


def _masking(text: Callable[[str], str], number: Callable[[str], str]) -> Callable[[Any], Any]:
    """A function that copies a value, its keys, texts and numbers masked. Little is done for each list or object."""

    def masked(value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return text(value) if len(value) >= SHORTEST else value
        if kind is list:
            return list(map(masked, value))
        if kind is dict:
            return {text(key) if len(key) >= SHORTEST else key: masked(child) for key, child in value.items()}
        if kind is Decimal or (kind is int and not -_SHORT < value < _SHORT):
            return _masked_number(value, number)
        return value

    return masked


def _masked_number(value: int | Decimal, masked: Callable[[str], str]) -> int | Decimal | str:
    digits = str(value)
    if "E" in digits and isinstance(value, Decimal) and abs(value.adjusted()) <= LONGEST:
        digits = f"{value:f}"
    if len(digits) >= SHORTEST and (shown := masked(digits)) != digits:
        return shown
    return Decimal(value) if type(value) is int and abs(value) >= _LONGEST_INTEGER else value


_MASKED: Final = _masking(mask, mask)
_HIDDEN: Final = _masking(hide, hide_number)
