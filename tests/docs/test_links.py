"""Links within the repository lead somewhere."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, anchors, prose

LINK = re.compile(r"!?\[(?:[^\]\\]|\\.)*\]\(([^)\s]+)\)")
ELSEWHERE = re.compile(r"[a-z]+:")


def links():
    for page in PAGES:
        for target in LINK.findall(prose(page.read_text("utf-8"))):
            if not ELSEWHERE.match(target):
                yield pytest.param(page, target, id=f"{page.relative_to(ROOT)} {target}")


@pytest.mark.parametrize(("page", "target"), list(links()))
def test_a_link(page, target):
    """The file is there, within the repository, and has the heading."""
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    assert file.exists(), target
    assert file.is_relative_to(ROOT)
    if anchor:
        assert anchor in anchors(file.read_text("utf-8")), sorted(anchors(file.read_text("utf-8")))


def test_every_page_is_linked_to():
    """From another page: nobody has to guess that it exists."""
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in LINK.findall(page.read_text("utf-8"))
        if not ELSEWHERE.match(target) and not target.startswith("#")
    }
    assert set(DOCS.rglob("*.md")) <= linked


def test_the_links_are_found():
    """In each form that Markdown has here."""
    assert LINK.findall("[a](b.md) ![c](d.svg) [`e`](f.md#g) [x\\_y](z.py)") == ["b.md", "d.svg", "f.md#g", "z.py"]
