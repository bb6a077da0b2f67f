"""Settings in the environment, laid over those of the file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from paymux.errors import SettingsError
from paymux.settings.mistakes import suggestion
from paymux.settings.models import SECTIONS, Settings
from paymux.settings.secret import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX: Final = "PAYMUX_"

_JSON_KINDS: Final = frozenset({int, float, bool, tuple})


def overridden(data: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """`data` with every setting of the environment in its place. Raises SettingsError for an unknown one."""
    for variable, value in sorted(environ.items()):
        if variable == f"{PREFIX}ACCOUNTS":
            data["accounts"] = _json(variable, value)
        elif variable.startswith(PREFIX) and "__" in variable.removeprefix(PREFIX):
            _override(data, variable, value)
    return data


def _override(data: dict[str, Any], variable: str, value: str) -> None:
    section, _, key = variable.removeprefix(PREFIX).lower().partition("__")
    if section not in _names():
        raise SettingsError(f"{variable}: there is no section {section!r}{suggestion(section, _names())}")
    fields = SECTIONS[section,].model_fields
    if key not in fields:
        raise SettingsError(f"{variable}: [{section}] has no key {key!r}{suggestion(key, fields)}")
    table = data.setdefault(section, {})
    if isinstance(table, dict):
        table[key] = _json(variable, value) if _is_json(fields[key].annotation) else Text(value)


def _names() -> Iterable[str]:
    return [name for name in Settings.model_fields if name != "accounts"]


def _is_json(annotation: Any) -> bool:
    """Whether a field holds something else than a text, a word of a list or a secret."""
    return not _JSON_KINDS.isdisjoint({annotation, get_origin(annotation), *get_args(annotation)})


def _json(variable: str, value: str) -> Any:
    try:
        found = json.loads(value)
    except ValueError:
        raise SettingsError(f"{variable}: should be JSON, like 30, true or [...]") from None
    return _marked(found)


def _marked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _marked(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_marked(inner) for inner in value]
    return Text(value) if isinstance(value, str) else value
