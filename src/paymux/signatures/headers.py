"""What every scheme asks of the headers it reads: there once, and signed at about the time of receipt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from paymux.errors import Rejected

if TYPE_CHECKING:
    from paymux.delivery import Delivery

# int() alone would also take blanks, signs, underscores and the digits of other scripts.
_SECONDS = re.compile(rb"[0-9]{1,12}")


def only(delivery: Delivery, name: bytes, *, missing: str = "signature_missing") -> bytes:
    """The value of a header that stands there exactly once. Raises Rejected: `missing`, signature_duplicated."""
    return single(delivery.header(name), name, missing=missing)


def single(values: list[bytes], name: bytes, *, missing: str = "signature_missing") -> bytes:
    """The one value. Raises Rejected: `missing`, signature_duplicated."""
    if not values:
        raise Rejected(f"there is no {name.decode()} header", reason=missing)
    if len(values) > 1:
        raise Rejected(f"the {name.decode()} header stands there more than once", reason="signature_duplicated")
    return values[0]


def check_age(delivery: Delivery, seconds: bytes, tolerance: int) -> None:
    """Unix `seconds`, as signed, against the time of receipt, both ways; a `tolerance` of 0 admits any age.

    Raises Rejected: signature_malformed, too_old, too_new.
    """
    if not _SECONDS.fullmatch(seconds):
        raise Rejected("the time is no number of seconds", reason="signature_malformed")
    if not tolerance:
        return
    age = delivery.received_at.timestamp() - int(seconds)
    if age > tolerance:
        raise Rejected(f"signed more than {tolerance} seconds before it came", reason="too_old", age=round(age))
    if age < -tolerance:
        raise Rejected(f"signed more than {tolerance} seconds after it came", reason="too_new", age=round(age))
