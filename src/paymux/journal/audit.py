"""Who did what: a row for every change that an operator makes and every view of a raw body, each chained to the one
before, so that none can be changed or left out unseen.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """`who` is a token's name or a user of the machine, `action` what was done, like `quarantine.discard`, `target`
    the id that it was done to, `detail` everything else that counts.
    """

    who: str
    action: str
    target: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    result: str = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """An act as it is kept: `row` counts from 1; `chain` stands for this row and all before it."""

    row: int
    at: datetime
    act: Act
    chain: str


def chained(before: str, row: int, at: datetime, act: Act) -> str:
    """A row's chain, from that of the row before it; the first one's is empty."""
    told = orjson.dumps([before, row, at, act], option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)
    return hashlib.sha256(told).hexdigest()


def first_broken(rows: Iterable[Audited], before: Audited | None = None) -> int | None:
    """The number of the first row that is not what was written, or that should be there and is not; None where all
    are whole. `rows` follow `before`, in order.
    """
    last, chain = (before.row, before.chain) if before else (0, "")
    for each in rows:
        if each.row != last + 1:
            return last + 1
        if each.chain != chained(chain, each.row, each.at, each.act):
            return each.row
        last, chain = each.row, each.chain
    return None
