# ruff: noqa: INP001, T201  # a script of the documentation, not part of the package
"""Draw the live view of `paymux dev`, from a real run, as an SVG of text: `python docs/tools/live_view.py`.

The run gets a terminal, so that it prints colours; what it prints is drawn line by line, nothing is made up.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TARGET = Path(__file__).parents[1] / "live-view.svg"
COMMAND = (sys.executable, "-m", "paymux", "dev", "--once", "--port", "0", "--admin-port", "0")

WIDTH, HEIGHT, MARGIN = 7.3, 18, 18  # pixels: of a character, of a line, around all
INK, PAPER = "#d8dee9", "#1b1f27"
# SGR foreground -> colour. https://en.wikipedia.org/wiki/ANSI_escape_code#Colors
COLOURS = {
    "31": "#f07178",
    "32": "#a5d66f",
    "33": "#f0c674",
    "35": "#c99df0",
    "36": "#6fc7d6",
    "90": "#6b7585",
    "93": "#ffd866",
}
_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_SHOWN = re.compile(r"\d\d:\d\d:\d\d  |\d+ events of ")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, help="stop after that many events; all stories once, if absent")
    parser.add_argument("--pace", default="0.25", help="seconds between two webhooks")
    told = parser.parse_args()
    count = () if told.count is None else ("--count", str(told.count))
    lines = list(shown(on_a_terminal((*COMMAND, "--pace", told.pace, *count))))
    TARGET.write_text(drawn(["$ make run", "", *lines]), "utf-8")
    print(f"{TARGET}: {len(lines)} lines")


def on_a_terminal(command: Iterable[str]) -> str:
    """What the command prints where its output is a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(list(command), stdout=theirs, stderr=subprocess.DEVNULL) as process:  # noqa: S603  # our own
        os.close(theirs)
        told = b"".join(_chunks(ours))
        os.close(ours)
    if process.returncode:
        raise SystemExit(f"it ended with {process.returncode}")
    return told.decode()


def _chunks(terminal: int) -> Iterator[bytes]:
    """Until the other end is closed, which Linux tells as an error."""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            return
        if not chunk:
            return
        yield chunk


def shown(told: str) -> Iterator[str]:
    """The view's lines and the summary, without what `dev` says first: ports and paths of this one run."""
    for line in told.splitlines():
        if _SHOWN.match(_SGR.sub("", line)):
            yield line


def drawn(lines: list[str]) -> str:
    """An SVG of text, with no font of its own and nothing from elsewhere."""
    longest = max(len(_SGR.sub("", line)) for line in lines)
    width, height = round(longest * WIDTH + 2 * MARGIN), len(lines) * HEIGHT + 2 * MARGIN
    rows = "\n".join(
        f'<text x="{MARGIN}" y="{MARGIN + HEIGHT * (number + 0.75):g}">{_spans(line)}</text>'
        for number, line in enumerate(lines)
        if line
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-label="The live view of paymux dev">\n'
        "<style>text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre; }"
        "</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>\n'
        f'<g fill="{INK}" xml:space="preserve">\n{rows}\n</g>\n</svg>\n'
    )


def _spans(line: str) -> str:
    """One line, its colours as tspans."""
    parts = _SGR.split(line)
    spans, colour = [escape(parts[0])], None
    for codes, text in zip(parts[1::2], parts[2::2], strict=True):
        colour = _colour(codes, colour)
        if text:
            spans.append(f'<tspan fill="{colour}">{escape(text)}</tspan>' if colour else escape(text))
    return "".join(spans)


def _colour(codes: str, before: str | None) -> str | None:
    for code in codes.split(";"):
        if code in ("", "0", "39"):
            before = None
        before = COLOURS.get(code, before)
    return before


if __name__ == "__main__":
    main()
