# ruff: noqa: INP001, E501  # a script of the documentation, not part of the package; paragraphs are one line
"""Write docs/coverage.md: what each published payload becomes that lies in a folder beside the repository.

`python docs/tools/payload_outcomes.py [FOLDER]` after a mapping changed; FOLDER is ../shared/samples, with a folder of payloads
for each provider. A test compares where the folder is there. The payloads themselves stay where they are.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from paymux.delivery import Asked, Delivery, ObjectRef, Via
from paymux.provider import Account
from paymux.providers import ALL
from paymux.records import offline_events
from paymux.signatures import confirmed, trusted
from paymux.statement import OUTCOMES, Ignored, Lookup, Quarantined, worst
from paymux.translate import translate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paymux.delivery import Verified
    from paymux.provider import Provider
    from paymux.statement import Item

DOCS: Final = Path(__file__).parents[1]
PAGE: Final = DOCS / "coverage.md"
PUBLISHED: Final = DOCS.parents[1] / "shared" / "samples"
NOW: Final = datetime(2026, 11, 21, tzinfo=UTC)
ORDER: Final = ("events", "lookup", "ignored", "quarantined")

HEAD: Final = """# Coverage

What published payloads become: examples of the providers' documentation, specifications and SDKs, and of others who published theirs, {count} in all. Written by `docs/tools/payload_outcomes.py`, and compared by a test where the payloads are at hand.

- **events**: translated, with the types of the canonical events. **lookup**: it names an object whose state the provider's API is asked for. **ignored**: known, and not translated by decision.
  **quarantined**: kept, and published with its reason on the quarantine topic, here with the place in the body.
- Some are what an API answers, not webhooks; they are read as such answers where paymux knows the object, and say of which kind in brackets.
- What is quarantined here is so on purpose: placeholders in documentation, words that no table has, shapes that older or other products send. A provider's page says more of its own.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`kind` is the object of an API answer, empty for a webhook."""

    file: str
    kind: str
    outcome: str
    told: str

    def line(self) -> str:
        called = f"{self.outcome} ({self.kind})" if self.kind else self.outcome
        return f"| {self.file} | {called} | {self.told} |"


def page(folder: Path = PUBLISHED) -> str:
    found = {provider.name: _rows(provider, folder / provider.name) for provider in ALL}
    every = [row for rows in found.values() for row in rows]
    parts = [HEAD.format(count=len(every)), "\n".join(_overview(found))]
    parts += ["\n".join(_table(name, rows)) for name, rows in found.items() if rows]
    return "\n".join(parts)


def _overview(found: dict[str, list[Row]]) -> Iterator[str]:
    yield f"| provider | payloads | {' | '.join(ORDER)} |\n| --- | ---: |{' ---: |' * len(ORDER)}"
    for name, rows in found.items():
        counts = Counter(row.outcome for row in rows)
        shown = f"[{name}](#{name})" if rows else name
        yield f"| {shown} | {len(rows)} | {' | '.join(str(counts[outcome]) for outcome in ORDER)} |"
    yield ""


def _table(name: str, rows: list[Row]) -> Iterator[str]:
    yield f"## {name}\n\n| payload | becomes | canonical events, what is asked for, what is ignored, or why not |\n| --- | --- | --- |"
    yield from (row.line() for row in rows)
    yield ""


def _rows(provider: Provider, folder: Path) -> list[Row]:
    return [_row(provider, file.name, file.read_bytes()) for file in sorted(folder.glob("*")) if file.is_file()]


def _row(provider: Provider, file: str, body: bytes) -> Row:
    """As a webhook; what is none as the first kind of answer that it can be."""
    made = _read(provider, file, "", body)
    if made.outcome != "quarantined" or provider.api is None:
        return made
    kinds = [*provider.api.objects, *(["list"] if provider.api.payments else [])]
    answers = (_read(provider, file, kind, body) for kind in kinds)
    return next((answer for answer in answers if answer.outcome == "events"), made)


def _read(provider: Provider, file: str, kind: str, body: bytes) -> Row:
    account = Account(provider=provider, name="acme")
    verified = _verified(provider, kind, body)
    items = translate(account, verified)
    outcome = worst(OUTCOMES[type(item.outcome)] for item in items)
    said = dict.fromkeys(word for item in items for word in _words(account, verified, item))
    return Row(file=file, kind=kind, outcome=outcome, told=", ".join(said))


def _verified(provider: Provider, kind: str, body: bytes) -> Verified:
    delivery = Delivery(id="", provider=provider.name, account="acme", received_at=NOW, body=body)
    if not kind:
        return trusted(delivery)
    asked = Asked(ref=ObjectRef(object=kind, id=_id(provider, kind, body)))
    return confirmed(
        Delivery(id="", provider=provider.name, account="acme", received_at=NOW, body=body, via=Via.LOOKUP, asked=asked)
    )


def _id(provider: Provider, kind: str, body: bytes) -> str:
    endpoint = provider.api and provider.api.objects.get(kind)
    try:
        found = orjson.loads(body)
        for key in endpoint.unwrap if endpoint else ():
            found = found[key]
        return str(found[endpoint.id_key]) if endpoint else ""
    except (ValueError, TypeError, LookupError):
        return ""


def _words(account: Account, verified: Verified, item: Item) -> Iterator[str]:
    match item.outcome:
        case Lookup(objects=objects):
            yield from (f"the {ref.object}" for ref in objects)
        case Quarantined(reason=reason, path=path, detail=detail):
            where = f" at `{path}`" if path else ""
            yield f"`{reason}`{where}" + (f": {_cell(detail)}" if detail else "")
        case Ignored():
            yield f"`{item.event_type}`"
        case _:
            yield from (f"`{orjson.loads(event)['type']}`" for event in offline_events(account, verified, item))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(*map(Path, sys.argv[1:2])), "utf-8")
