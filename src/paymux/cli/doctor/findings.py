"""What a check looks at, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from paymux.settings import Settings
    from paymux.settings.accounts import AccountSetup, Name

Level = Literal["good", "note", "wrong"]

LEVELS: Final[tuple[Level, ...]] = ("good", "note", "wrong")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`wrong` is to be put right, `note` good to know. `advice` says what to do."""

    topic: str
    level: Level
    told: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An installation. `file` is its journal's, None where there is none yet; `config` its settings' file, if any.
    `is_full`: take the time that a thorough check needs.
    """

    settings: Settings
    setups: Mapping[Name, AccountSetup]
    file: Path | None
    config: Path | None
    now: datetime
    is_full: bool


def wrong(topic: str, told: str, advice: str = "") -> Finding:
    return Finding(topic=topic, level="wrong", told=told, advice=advice)


def note(topic: str, told: str, advice: str = "") -> Finding:
    return Finding(topic=topic, level="note", told=told, advice=advice)


def good(topic: str, told: str) -> Finding:
    return Finding(topic=topic, level="good", told=told)
