"""What is stored, as operators are told it: commands and the private API say the same, from here.

The classes are plain frozen dataclasses; pydantic reads them to describe the API.
"""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import WithJsonSchema

# JSON that goes through as it is: a number that no 64 bits hold keeps its digits.
Json = Annotated[bytes, WithJsonSchema({})]
JsonObject = Annotated[bytes, WithJsonSchema({"type": "object"})]


def dump(value: Any) -> bytes:
    """As JSON; bytes in it are JSON already."""
    return orjson.dumps(value, default=_as_it_is, option=orjson.OPT_UTC_Z)


def _as_it_is(value: Any) -> orjson.Fragment:
    if isinstance(value, bytes):
        return orjson.Fragment(value)
    raise TypeError(f"{type(value).__name__} has no place in an answer")
