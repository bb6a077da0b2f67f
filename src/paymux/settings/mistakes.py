"""What is wrong with a setting, in one line that begins with its key and never holds its value."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from paymux.settings.models import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic_core import ErrorDetails


def place(path: Sequence[str | int]) -> str:
    """`("accounts", 1, "secrets", 0)` as `accounts[1].secrets[0]`."""
    told = ""
    for step in path:
        told += f"[{step}]" if isinstance(step, int) else f".{step}" if told else step
    return told


def told(mistake: ErrorDetails) -> str:
    path = mistake["loc"]
    message = mistake["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    if mistake["type"] == "extra_forbidden":
        parent = tuple(step for step in path[:-1] if isinstance(step, str))
        known = SECTIONS[parent].model_fields if parent in SECTIONS else ()
        message = f"there is no such key{suggestion(str(path[-1]), known)}"
    if mistake["type"] == "missing":
        message = "is missing"
    return f"{place(path)}: {message}"


def suggestion(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""
