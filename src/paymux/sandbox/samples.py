"""Whole payloads of our own, one file each: the examples of the tests, of `paymux send` and of `paymux dev`.

`samples/<provider>/webhooks/<event type>[--<variant>].json` (or .form, .xml) is the body of a webhook,
`samples/<provider>/api/<object>[--<variant>].json` what the provider's API answers to a GET, `list` what it answers
when asked for payments.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Literal

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
    return _read(provider, "webhooks")


def answers(provider: str) -> tuple[Sample, ...]:
    """What the provider's API answers, in the same order."""
    return _read(provider, "api")


def webhook(provider: str, event_type: str, variant: str = "") -> Sample:
    """Raises LookupError with the samples that there are."""
    found = webhooks(provider)
    for sample in found:
        if (sample.name, sample.variant) == (event_type, variant):
            return sample
    known = ", ".join(sample.label for sample in found) or "none"
    raise LookupError(f"{provider} has no sample of {event_type!r}; there are: {known}")


def _read(provider: str, shelf: Literal["webhooks", "api"]) -> tuple[Sample, ...]:
    room = _ROOM / provider / shelf
    if not room.is_dir():
        return ()
    found = [_sample(provider, file.name, file.read_bytes()) for file in room.iterdir() if file.name.endswith(_KINDS)]
    return tuple(sorted(found, key=lambda sample: (sample.name, sample.variant)))


def _sample(provider: str, file: str, body: bytes) -> Sample:
    name, _, variant = file.rpartition(".")[0].partition("--")
    return Sample(provider=provider, name=name, variant=variant, body=body)
