"""A configured secret: where it comes from may be told, what it is may not."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

from pydantic import PlainValidator, SecretStr, ValidationInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Reader = Callable[[str, "Origin"], "Secret"]

LARGEST_FILE: Final = 65536
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Secret(SecretStr):
    """`origin` says where it was found: a variable's or a file's name. It cannot be pickled."""

    def __init__(self, value: str, *, origin: str = "given", not_after: datetime | None = None) -> None:
        super().__init__(value)
        self.origin = origin
        self.not_after = not_after

    def __repr__(self) -> str:
        return f"Secret(from {self.origin})"

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        raise TypeError("a secret is not to be written anywhere")

    def expired(self, now: datetime) -> bool:
        return self.not_after is not None and self.not_after <= now


class Text(str):
    """A text that came from the environment: it may be a literal secret, as no file shows it to others."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where settings come from: what a secret's `env:` and literals are judged by."""

    file: Path | None
    environ: Mapping[str, str]

    @property
    def is_private(self) -> bool:
        return self.file is not None and not self.file.stat().st_mode & _OTHERS


def resolve(entry: Any, origin: Origin, readers: Mapping[str, Reader] | None = None) -> Secret:
    """`env:NAME`, `file:/path`, a literal, or `{value = one of these, not_after = a time}`. `readers`: by the word
    before the colon, where there are other ones.

    Raises ValueError, which names the variable or file and never holds the secret.
    """
    if isinstance(entry, dict):
        return _dated(entry, origin, readers)
    if not isinstance(entry, str):
        raise ValueError('should be "env:NAME", "file:/path" or a table with value and not_after')  # noqa: TRY004
    if not entry.strip():
        raise ValueError("is empty")
    kind, colon, name = entry.partition(":")
    reader = (readers or READERS).get(kind) if colon else None
    found = reader(name, origin) if reader else _literal(entry, origin)
    if not found.get_secret_value().strip():
        raise ValueError(f"{found.origin} is empty")
    return found


def _dated(entry: Mapping[str, Any], origin: Origin, readers: Mapping[str, Reader] | None) -> Secret:
    unknown = entry.keys() - {"value", "not_after"}
    if unknown or "value" not in entry:
        raise ValueError(f"a secret's table has value and not_after, not {', '.join(sorted(unknown)) or 'less'}")
    found = resolve(entry["value"], origin, readers)
    return Secret(found.get_secret_value(), origin=found.origin, not_after=_moment(entry.get("not_after")))


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError('not_after should be a time like "2026-12-01T00:00:00Z"') from None
    if moment.tzinfo is None:
        raise ValueError("not_after needs a time zone, like Z")
    return moment.astimezone(UTC)


def _from_environment(name: str, origin: Origin) -> Secret:
    # What does not look like a name may be a secret by mistake, so it is not repeated.
    if not _VARIABLE.fullmatch(name):
        raise ValueError("after env: comes the name of a variable")
    if name not in origin.environ:
        raise ValueError(f"the variable {name} is not set")
    return Secret(origin.environ[name], origin=f"the variable {name}")


def _from_file(name: str, _origin: Origin) -> Secret:
    try:
        with Path(name).open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
        text = raw.decode()
    except OSError as error:
        raise ValueError(f"the file {name} cannot be read: {os.strerror(error.errno or 0)}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the file {name} is not text") from None
    if len(raw) > LARGEST_FILE:
        raise ValueError(f"the file {name} is larger than any secret")
    return Secret(text.rstrip("\r\n"), origin=f"the file {name}")


def _literal(value: str, origin: Origin) -> Secret:
    if isinstance(value, Text):
        return Secret(value, origin="the environment")
    if origin.file is None or not origin.is_private:
        raise ValueError(
            f"a literal secret, in {origin.file}, which others can read: use env:NAME or file:/path, "
            f"or take the right to read it away (chmod 600 {origin.file})"
        )
    return Secret(value, origin=f"a literal in {origin.file}")


READERS: Final[Mapping[str, Reader]] = {"env": _from_environment, "file": _from_file}


def _validated(entry: Any, info: ValidationInfo[Origin]) -> Secret:
    return resolve(entry, info.context)


SecretField = Annotated[Secret, PlainValidator(_validated)]
