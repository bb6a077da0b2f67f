"""Requests and times as they are told to commands that work offline: untrusted, so every part is checked."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from paymux import times
from paymux.delivery import Delivery
from paymux.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from paymux.provider import Provider
    from paymux.signatures import Scheme

KEYS: Final = frozenset(
    {"provider", "secrets", "method", "url", "headers", "body", "body_base64", "options", "received_at"}
)

_SECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
_TOLERANCE: Final = re.compile(r"[0-9]{1,10}")


class Unusable(click.UsageError):
    """What was told cannot be used; the message says which part and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    scheme: Scheme
    secrets: tuple[str, ...]
    delivery: Delivery


def read(told: Any) -> Request:
    """A request as a line of `--requests` tells it. Raises Unusable."""
    if not isinstance(told, dict):
        raise Unusable("a request must be a JSON object")
    for name in told.keys() - KEYS:
        _refuse_misspelt(name)
    provider = _text(told, "provider")
    url = told.get("url") and _text(told, "url")
    return Request(
        scheme=scheme_of(provider, _options(told)),
        secrets=_secrets(told),
        delivery=Delivery(
            id="",
            provider=provider,
            account="",
            received_at=received_at(told.get("received_at")),
            body=_body(told),
            headers=_headers(told),
            method=_text(told, "method") if told.get("method") else "POST",
            path=_split(url or "")[0],
            query=_split(url or "")[1],
            url=url,
        ),
    )


def scheme_of(provider: str, options: Mapping[str, str]) -> Scheme:
    """The provider's scheme under these options, or a bare one. Raises Unusable."""
    from paymux.signatures.bare import BARE_SCHEMES

    name = known(provider, (*providers(), *BARE_SCHEMES), "provider")
    found = providers().get(name)
    rest = {key: value for key, value in options.items() if key != "tolerance"}
    check_options(found, rest, "tolerance")
    try:
        scheme = found.scheme(rest) if found else BARE_SCHEMES[name]
    except (ValueError, SettingsError) as error:
        raise Unusable(str(error)) from None
    return _with_tolerance(scheme, options["tolerance"]) if "tolerance" in options else scheme


def check_options(provider: Provider | None, options: Mapping[str, str], *more: str) -> None:
    """Known names (or one of `more`), and one of the choices where there are some. Raises Unusable."""
    told = {option.name: option for option in provider.options} if provider else {}
    for name, value in options.items():
        known(name, (*told, *more), "option")
        if not is_text(value):
            raise Unusable(f"{name} is not UTF-8")
        if told[name].choices:
            known(value, told[name].choices, f"{name}")


def received_at(time: Any) -> datetime:
    """RFC 3339 or unix seconds; None is now. Raises Unusable."""
    if time is None:
        return datetime.now(UTC)
    try:
        if isinstance(time, int | float) and not isinstance(time, bool):
            return datetime.fromtimestamp(time, UTC)
        if isinstance(time, str):
            return _from_seconds(time) if _SECONDS.fullmatch(time) else times.from_rfc3339(time)
    except (ValueError, OverflowError, OSError):
        pass
    raise Unusable(f"{str(time)[:40]!r} is neither RFC 3339 nor unix seconds")


def known(name: str, names: Iterable[str], what: str) -> str:
    """`name`, if it is one of `names`. Raises Unusable with the nearest."""
    listed = sorted(names)
    if name in listed:
        return name
    near = get_close_matches(name, listed, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(listed)}"
    raise Unusable(f"no such {what}: {name[:40]!r}; {hint}")


@cache
def providers() -> Mapping[str, Provider]:
    """Ours and those of installed packages; looked for once, since `--requests` may have a million lines."""
    from paymux.providers import installed

    return installed()


def provider_named(name: str) -> Provider:
    """Raises Unusable."""
    return providers()[known(name, providers(), "provider")]


def pairs(texts: Iterable[str], separator: str) -> list[tuple[str, str]]:
    """`NAME=VALUE` and the like, taken apart. Raises Unusable."""
    found = []
    for text in texts:
        name, separated, value = text.partition(separator)
        if not separated or not name.strip():
            raise Unusable(f"expected NAME{separator}VALUE, found {name[:40]!r}")
        found.append((name.strip(), value.strip()))
    return found


def is_text(argument: str) -> bool:
    """Python holds bytes of the command line that are no UTF-8 as lone surrogates."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


# ---


def _from_seconds(text: str) -> datetime:
    """`1719792042.5`, to the microsecond. Raises ValueError."""
    whole, _, fraction = text.partition(".")
    return times.from_seconds(int(whole)) + timedelta(microseconds=int(f"{fraction:0<6.6}"))


def _refuse_misspelt(key: str) -> None:
    """Keys of the caller's own do no harm; one that nearly is ours is a mistake that would go unseen."""
    if near := get_close_matches(key, KEYS, 1, 0.8):
        raise Unusable(f"no such key: {key!r}; did you mean {near[0]!r}?")


def _with_tolerance(scheme: Any, text: str) -> Scheme:
    """A scheme that knows no age has none to check."""
    if not _TOLERANCE.fullmatch(text):
        raise Unusable(f"tolerance must be whole seconds, up to ten digits, not {text[:40]!r}")
    if "tolerance" not in {one.name for one in fields(scheme)}:
        return scheme  # type: ignore[no-any-return]
    return replace(scheme, tolerance=int(text))  # type: ignore[no-any-return]


def _text(told: Mapping[str, Any], key: str) -> str:
    value = told.get(key)
    if not isinstance(value, str):
        raise Unusable(f"{key} must be text")
    return value


def _secrets(told: Mapping[str, Any]) -> tuple[str, ...]:
    secrets = told.get("secrets")
    if not isinstance(secrets, list) or not all(isinstance(secret, str) for secret in secrets):
        raise Unusable("secrets must be a list of texts")
    if not all(is_text(secret) for secret in secrets):
        raise Unusable("a secret is not UTF-8")
    return tuple(secrets)


def _options(told: Mapping[str, Any]) -> dict[str, str]:
    options = told.get("options")
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise Unusable("options must be an object")
    return {name: str(value) for name, value in options.items() if value is not None}


def _body(told: Mapping[str, Any]) -> bytes:
    if (told.get("body") is None) is (told.get("body_base64") is None):
        raise Unusable("give body or body_base64")
    if told.get("body") is not None:
        return _text(told, "body").encode()
    try:
        return base64.b64decode(_text(told, "body_base64"), validate=True)
    except binascii.Error:
        raise Unusable("body_base64 is not base64") from None


def _headers(told: Mapping[str, Any]) -> tuple[tuple[bytes, bytes], ...]:
    headers = told.get("headers")
    if headers is None:
        return ()
    if not isinstance(headers, dict):
        raise Unusable("headers must be an object")
    listed = [(name, value if isinstance(value, list) else [value]) for name, value in headers.items()]
    if not all(isinstance(value, str) for _, values in listed for value in values):
        raise Unusable("a header's value must be text or a list of texts")
    return tuple((_bytes(name), _bytes(value)) for name, values in listed for value in values)


def _bytes(text: str) -> bytes:
    """As the command line gave it, UTF-8 or not."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raise Unusable("a header is no text") from None


def _split(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Unusable("url is no URL") from None
    return parts.path, parts.query
