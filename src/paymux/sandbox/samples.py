"""Whole payloads, one file each: the examples of the tests, of `paymux send` and of `paymux dev`.

`samples/<provider>/webhooks/<event type>[--<variant>].json` (or .form, .xml) is the body of a webhook,
`samples/<provider>/api/<object>[--<variant>].json` what the provider's API answers to a GET, `list` what it answers
when asked for payments. Ours are beside this file, those of a provider of another package beside its module.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from paymux.providers import BY_NAME, GROUP, installed

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from importlib.resources.abc import Traversable

    Shelf = Literal["webhooks", "api"]

LIST: Final = "list"
_KINDS: Final = (".json", ".form", ".xml")

_ROOM = files("paymux.sandbox") / "samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One payload, byte for byte.

    `name` is the event type of a webhook, the kind of object of an API answer, or `list`. `variant` is empty for the
    plain one.
    """

    provider: str
    name: str
    variant: str
    body: bytes

    @property
    def label(self) -> str:
        return f"{self.name}--{self.variant}" if self.variant else self.name


def webhooks(provider: str) -> tuple[Sample, ...]:
    """In order of name, the plain ones first; none for a provider that came without samples."""
    return _shelf(provider, "webhooks")


def answers(provider: str) -> tuple[Sample, ...]:
    """What the provider's API answers, in the same order."""
    return _shelf(provider, "api")


def webhook(provider: str, event_type: str, variant: str = "") -> Sample:
    """Raises LookupError with the samples that there are."""
    found = webhooks(provider)
    for sample in found:
        if (sample.name, sample.variant) == (event_type, variant):
            return sample
    known = ", ".join(sample.label for sample in found) or "none"
    raise LookupError(f"{provider} has no sample of {event_type!r}; there are: {known}")


def _shelf(provider: str, shelf: Shelf) -> tuple[Sample, ...]:
    try:
        return _read(provider, shelf)
    except LookupError:
        return ()


@cache
def _read(provider: str, shelf: Shelf) -> tuple[Sample, ...]:
    """Raises LookupError where there is no such provider, or nothing on its shelf: that may change."""
    room = _room(provider) / shelf
    if not room.is_dir():
        raise LookupError(provider)
    found = [_sample(provider, file.name, file.read_bytes()) for file in room.iterdir() if file.name.endswith(_KINDS)]
    return tuple(sorted(found, key=lambda sample: (sample.name, sample.variant)))


def _sample(provider: str, file: str, body: bytes) -> Sample:
    name, _, variant = file.rpartition(".")[0].partition("--")
    return Sample(provider=provider, name=name, variant=variant, body=body)


def _room(provider: str) -> Traversable:
    if provider in BY_NAME:
        return _ROOM / provider
    brought = installed()[provider]
    return next(_beside(point) for point in entry_points(group=GROUP) if point.load() is brought) / provider


def _beside(point: EntryPoint) -> Traversable:
    """The `samples` of the package that the module stands in, or beside a module that stands alone."""
    package = getattr(sys.modules[point.module].__spec__, "parent", "")
    return (files(package) if package else Path(str(sys.modules[point.module].__file__)).parent) / "samples"
