"""`application/x-www-form-urlencoded`."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from paymux.errors import Untranslatable
from paymux.wild.from_json import unique
from paymux.wild.value import Wild

MOST_FIELDS: Final = 100


def parse_form(body: bytes) -> Wild:
    """The fields of an `application/x-www-form-urlencoded` body, as an object of texts.

    Raises Untranslatable(shape): no such form, not UTF-8, more than MOST_FIELDS; (duplicate_key).
    """
    if not body.strip():
        raise Untranslatable("the body is empty")
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:  # UnicodeDecodeError is one
        raise Untranslatable("the body is no form") from None
    fields = unique(pairs)
    return Wild(fields, "", None, lambda: fields)
