"""The picture in the README: drawn from what was printed, as text, with nothing from elsewhere."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET

from tests.docs.pages import DOCS, ROOT

sys.path.insert(0, str(DOCS / "tools"))
import live_view

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in ET.fromstring(svg).iter(f"{SVG}text")]


def test_lines_with_colours_are_drawn():
    """Every character of a line, escaped, in the colour that the terminal was told."""
    svg = live_view.drawn(["\x1b[90m16:01:04\x1b[0m  \x1b[32mpayment.succeeded\x1b[0m  <a & b>", "", "plain"])
    assert texts(svg) == ["16:01:04  payment.succeeded  <a & b>", "plain"]
    [first, second] = ET.fromstring(svg).iter(f"{SVG}tspan")
    assert (first.text, first.get("fill")) == ("16:01:04", live_view.COLOURS["90"])
    assert (second.text, second.get("fill")) == ("payment.succeeded", live_view.COLOURS["32"])


def test_what_dev_says_first_is_left_out():
    """Ports and paths are of one run; the events and the summary stay."""
    told = (
        "paymux 0.1.0\r\n  kafka     127.0.0.1:40253\r\n\r\n"
        "\x1b[90m16:01:04\x1b[0m  payment.failed\r\n\r\n"
        "12 events of 4 payments and payouts, 0 quarantined, 0 rejected.\r\n"
    )
    assert list(live_view.shown(told)) == [
        "\x1b[90m16:01:04\x1b[0m  payment.failed",
        "12 events of 4 payments and payouts, 0 quarantined, 0 rejected.",
    ]


def test_a_command_that_thinks_it_has_a_terminal():
    """So that it prints colours."""
    code = "import sys; print(sys.stdout.isatty(), '\\x1b[31mred\\x1b[0m')"
    assert live_view.on_a_terminal([sys.executable, "-c", code]) == "True \x1b[31mred\x1b[0m\r\n"


def test_the_picture_is_text_alone():
    """Events, a quarantine, a rejection and the summary; no script, no image, no font or link to fetch."""
    svg = (ROOT / "docs" / "live-view.svg").read_text("utf-8")
    lines = texts(svg)
    assert len([line for line in lines if re.match(r"\d\d:\d\d:\d\d  (payment|refund|dispute|payout)\.", line)]) > 20
    assert any("quarantined" in line for line in lines)
    assert any("rejected (401)" in line for line in lines)
    assert re.fullmatch(r"\d+ events of .*", lines[-1])
    assert {one.tag.removeprefix(SVG) for one in ET.fromstring(svg).iter()} == {
        "svg",
        "style",
        "rect",
        "g",
        "text",
        "tspan",
    }
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in svg
    assert "/tmp" not in svg


def test_it_is_what_the_readme_shows():
    """By a relative link."""
    assert "](docs/live-view.svg)" in (ROOT / "README.md").read_text("utf-8")
