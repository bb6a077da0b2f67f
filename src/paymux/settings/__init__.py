"""The only reader of paymux.toml and of the environment.

A key `[server] listen` can be overridden as `PAYMUX_SERVER__LISTEN`, every other one likewise; `PAYMUX_ACCOUNTS` holds
all accounts as JSON. Values for keys that are no text are read as JSON (`30`, `true`, `["10.0.0.0/8"]`). A variable
with `__` after `PAYMUX_` is a setting, and unknown ones are errors as in the file; other names are free for secrets.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from paymux.errors import SettingsError
from paymux.settings.environment import PREFIX, overridden
from paymux.settings.mistakes import told
from paymux.settings.models import AccountSettings, Settings
from paymux.settings.secret import Origin, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AccountSettings", "Secret", "Settings", "load"]

DEFAULT_FILE: Final = Path("paymux.toml")


def load(file: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in `file` (default: paymux.toml here, if there is one) and in the environment.

    Raises SettingsError with every mistake, one a line, each with its key; never with a secret.
    """
    environ = os.environ if environ is None else environ
    file = _chosen(file, environ)
    data = overridden(_read(file) if file else {}, environ)
    # The error is raised outside of `except`: pydantic's carries what was given.
    try:
        return Settings.model_validate(data, context=Origin(file=file, environ=environ))
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False, include_context=False)
    raise SettingsError("\n".join(dict.fromkeys(map(told, mistakes))))


def _chosen(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    if file is not None:
        return file
    if DEFAULT_FILE.exists():
        return DEFAULT_FILE
    if f"{PREFIX}ACCOUNTS" in environ:
        return None
    raise SettingsError(f"there is no {DEFAULT_FILE} here: name a file with --config, or set {PREFIX}ACCOUNTS")


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {os.strerror(error.errno or 0)}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file} is not TOML: {_place_of(error)}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8") from None


def _place_of(error: tomllib.TOMLDecodeError) -> str:
    """Line and column; the rest may quote a character of a secret."""
    place = re.search(r"at line \d+, column \d+|at end of document", str(error))
    return f"there is a mistake {place[0]}" if place else "it cannot be parsed"
