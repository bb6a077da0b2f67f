"""Payloads of other programs, read for an import: single ones, lists of events, one a line, or our own export."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from paymux import times
from paymux.cli.offline import Unusable
from paymux.cli.payloads import payloads
from paymux.delivery import Asked, ObjectRef
from paymux.errors import Untranslatable
from paymux.replay.imports import Payload
from paymux.wild import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Name = tuple[str, str]  # provider, account

EXPORTED: Final = "body_base64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """`place` is where it was found; one with an `error` has no payload. `name` is whose it is, where it says."""

    place: str
    payload: Payload | None = None
    name: Name | None = None
    error: str | None = None


def foreign(paths: Iterable[str]) -> Iterator[Foreign]:
    """All that the files, folders and archives hold, in their order."""
    for found in payloads(paths):
        if found.error is not None:
            yield Foreign(place=found.name, error=found.error)
            continue
        try:
            yield from _each(found.name, found.body)
        except (Unusable, Untranslatable, ValueError) as error:
            yield Foreign(place=found.name, error=getattr(error, "message", None) or str(error)[:200])


def _each(place: str, body: bytes) -> Iterator[Foreign]:
    """A list of payloads is as many; a body that is no JSON is one payload, as it is (a form)."""
    if body.lstrip()[:1] == b"[":
        yield from _listed(place, _parsed(body))
        return
    if body.lstrip()[:1] != b"{":
        yield Foreign(place=place, payload=Payload(body=body))
        return
    value = parse_json(body).value  # also says what is wrong with it
    if EXPORTED in value:
        yield _exported(place, value)
    elif value.get("object") == "list" and isinstance(value.get("data"), list):  # as Stripe's API lists events
        yield from _listed(place, _parsed(body)["data"])
    else:
        yield Foreign(place=place, payload=Payload(body=body))


def _listed(place: str, values: Any) -> Iterator[Foreign]:
    for number, value in enumerate(values):
        where = f"{place}#{number}"
        if isinstance(value, dict):
            yield Foreign(place=where, payload=Payload(body=orjson.dumps(value)))
        else:
            yield Foreign(place=where, error="is no object")


def _parsed(body: bytes) -> Any:
    """With the digits of every number. Raises ValueError."""
    try:
        return json.loads(body, parse_float=orjson.Fragment, parse_int=_whole, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def _whole(digits: str) -> Any:
    """Numbers beyond 64 bits keep their digits."""
    value = int(digits)
    return value if -(2**63) <= value < 2**63 else orjson.Fragment(digits)


def _exported(place: str, value: dict[str, Any]) -> Foreign:
    try:
        asked = value.get("asked")
        return Foreign(
            place=place,
            name=(str(value["provider"]), str(value["account"])),
            payload=Payload(
                body=base64.b64decode(value[EXPORTED], validate=True),
                headers=tuple((name.encode("latin-1"), text.encode("latin-1")) for name, text in value["headers"]),
                received_at=times.from_rfc3339(value["received_at"]),
                asked=_asked(asked) if asked else None,
            ),
        )
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error) as error:
        return Foreign(place=place, error=f"is no delivery of an export: {error!s:.80}")


def _asked(told: dict[str, Any]) -> Asked:
    at, ref = told["occurred_at"], told["ref"]
    return Asked(
        ref=ObjectRef(object=str(ref["object"]), id=str(ref["id"])),
        occurred_at=times.from_rfc3339(at) if at else None,
    )
