# ruff: noqa: INP001  # a script of the documentation, not part of the package
"""Write the facts that the code knows into the provider pages: what stands between the two markers.

`python docs/tools/provider_facts.py` after a provider changed; a test compares.
"""

from __future__ import annotations

import textwrap
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paymux.cli.providers import answers, describe
from paymux.providers import ALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DOCS = Path(__file__).parents[1]
BEGIN = "<!-- from the code: python docs/tools/provider_facts.py -->"
END = "<!-- end -->"


def main() -> None:
    for page, facts in pages().items():
        page.write_text(replaced(page.read_text("utf-8"), facts), "utf-8")


def pages() -> dict[Path, str]:
    """Each page and the facts that belong into it."""
    told = [describe(provider) for provider in ALL]
    found = {DOCS / "providers.md": "\n".join(_overview(told))}
    return found | {DOCS / "providers" / f"{one['name']}.md": "\n".join(_page(one)) for one in told}


def replaced(page: str, facts: str) -> str:
    """The page with these facts. Raises ValueError where it has no place for them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no markers")
    return f"{before}{BEGIN}\n{facts}\n{END}{after}"


def _overview(told: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield ""
    yield "| provider | proof | translated | ignored by decision | API | provider's documentation |"
    yield "| --- | --- | ---: | ---: | --- | --- |"
    for one in told:
        yield (
            f"| [{one['name']}](providers/{one['name']}.md) | {one['proof']['kind']} | {len(one['translated'])} "
            f"| {len(one['ignored'])} | {_asked(one['api'])} | <{one['docs']}> |"
        )
    yield ""


def _asked(api: Mapping[str, Any] | None) -> str:
    if api is None:
        return "none"
    return f"get {', '.join(api['get'])}" + ("; list payments" if api["list"] is not None else "")


def _page(one: Mapping[str, Any]) -> Iterator[str]:
    yield from _facts(one)
    yield from _section("Translated", _families(one["translated"]))
    yield from _section("Ignored by decision", _families(one["ignored"]))
    yield from _section("Statuses", _statuses(one["statuses"]))
    yield from _section("Ways out of final statuses", _moves(one["leaves_final"]))


def _facts(one: Mapping[str, Any]) -> Iterator[str]:
    rows = {
        "documentation": f"<{one['docs']}>",
        "mapping": f"`{one['mapping']}`",
        "proof, without options": f"{one['proof']['kind']} (`{one['proof']['scheme']}`)",
        **answers(one),
        "what makes a status newer": f"its {one['orders_by']}",
        "API": _asked(one["api"]) + (f", at <{one['api']['url']}>" if one["api"] else ""),
    }
    yield "\n| | |\n| --- | --- |"
    yield from (f"| {name} | {value} |" for name, value in rows.items())


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"\n### {title}\n"
    yield "\n".join(lines) or "None."


def _families(names: Iterable[str]) -> Iterator[str]:
    """One line for each first word, so that six hundred names can be looked through."""
    found = defaultdict(list)
    for name in names:
        found[name.partition(".")[0]].append(f"`{name}`")
    for family in sorted(found):
        yield textwrap.fill(
            f"- {', '.join(found[family])}",
            width=118,
            subsequent_indent="  ",
            break_on_hyphens=False,
            break_long_words=False,
        )


def _statuses(tables: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for title, table in tables.items():
        yield f"| {title} | canonical |\n| --- | --- |"
        yield from (f"| `{word}` | `{status}` |" for word, status in table.items())
        yield ""


def _moves(moves: Mapping[str, Mapping[str, list[str]]]) -> Iterator[str]:
    for entity, table in moves.items():
        for old, new in table.items():
            yield f"- {entity}: `{old}` to {', '.join(f'`{word}`' for word in new)}"


if __name__ == "__main__":
    main()
