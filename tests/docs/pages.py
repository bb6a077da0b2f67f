"""The documentation as the tests read it: pages, headings with their anchors, tables, fenced blocks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*DOCS.rglob("*.md"), *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"))]
)

_HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def prose(text: str) -> str:
    """Without the fenced blocks."""
    return _FENCE.sub("", text)


def headings(text: str) -> list[tuple[int, str]]:
    """(level, title as written)."""
    return [(len(marks), title) for marks, title in _HEADING.findall(prose(text))]


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    found: list[str] = []
    for _, title in headings(text):
        bare = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.append(f"{bare}-{found.count(bare)}" if bare in found else bare)
    return set(found)


def section(text: str, title: str) -> str:
    """What stands below a heading, up to the next one that is as high."""
    start = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert start, f"no heading {title!r}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", _blank_fences(rest), re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, without the heads."""
    found = []
    lines = text.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("| ") and not line.startswith("| ---") and not _is_head(lines, line, before):
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))])
    return found


def fenced(text: str, language: str) -> list[str]:
    return [body for found, body in _FENCE.findall(text) if found == language]


def coded(cell: str) -> list[str]:
    """The words in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def _is_head(lines: list[str], line: str, before: str) -> bool:
    place = lines.index(line)
    return not before.startswith("|") and place + 1 < len(lines) and lines[place + 1].startswith("| ---")


def _blank_fences(text: str) -> str:
    """The same length, with nothing in the fenced blocks."""
    return _FENCE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
