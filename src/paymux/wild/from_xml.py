"""XML of the kind that is JSON in other clothes: elements, texts, and attributes that say what a text stands for.

expat reads it, and is told of nothing but elements and text. A document type, an entity of one's own, a processing
instruction, an encoding other than UTF-8: each refuses the whole document at the place where it begins, so that nothing
is ever expanded or fetched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from xml.parsers import expat

from paymux.errors import Untranslatable
from paymux.wild.from_json import DEEPEST
from paymux.wild.value import Wild

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ELEMENTS: Final = 40_000  # one line each, more than a megabyte

_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
_FLAGS: Final = {"true": True, "false": False}


def parse_xml(body: bytes) -> Wild:
    """An object with the document's element, under its name.

    An element is a text, or an object of its children. `type` makes another of it: `array` the list of its children,
    `integer` a number, `boolean` a flag; what does not look like one stays a text, and so does every other type. Empty
    or `nil="true"`, it is null. A name that stands there more than once is a list of all that it says.

    Raises Untranslatable(shape): no XML, not UTF-8, nested too deep, too many elements, more than elements and text.
    """
    if not body.strip():
        raise Untranslatable("the body is empty")
    if b"\0" in body:  # expat would take UTF-16 for what it is, whatever it was told
        raise Untranslatable("the XML is not UTF-8, or holds a NUL")
    reading = _Reading()
    try:
        _parser(reading).Parse(body, True)  # noqa: FBT003  # positional only: this is all of it
    except expat.ExpatError as error:
        words = expat.ErrorString(error.code)
        raise Untranslatable(f"the body is not XML: {words} in line {error.lineno}") from None
    document = reading.document.named()
    return Wild(document, "", None, lambda: document)


def _parser(reading: _Reading) -> expat.XMLParserType:
    parser = expat.ParserCreate("UTF-8")
    parser.buffer_text = True
    parser.StartElementHandler = reading.begin
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    parser.XmlDeclHandler = _only_utf8
    parser.StartDoctypeDeclHandler = _refusing("a document type")
    parser.EntityDeclHandler = _refusing("an entity")
    parser.ExternalEntityRefHandler = _refusing("an external entity")
    parser.SkippedEntityHandler = _refusing("an entity")
    parser.ProcessingInstructionHandler = _refusing("a processing instruction")
    return parser


def _refusing(what: str) -> Callable[..., Any]:
    def refuse(*_: object) -> None:
        raise Untranslatable(f"the XML holds {what}")

    return refuse


def _only_utf8(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.upper() != "UTF-8":
        raise Untranslatable("the XML is not UTF-8")


@dataclass(slots=True)
class _Element:
    """One that has begun; `told` are its attributes."""

    name: str
    told: dict[str, str]
    children: list[tuple[str, Any]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.words)

    def value(self) -> Any:
        kind = self.told.get("type", "")
        if self.told.get("nil") == "true":
            return None
        if kind == "array":
            return [value for _, value in self.children]
        return self.named() if self.children else _LEAVES.get(kind, _text)(self.text)

    def named(self) -> dict[str, Any]:
        """The children by name."""
        found: dict[str, list[Any]] = {}
        for name, value in self.children:
            found.setdefault(name, []).append(value)
        return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


class _Reading:
    """The elements that have begun, from the document down to the innermost."""

    def __init__(self) -> None:
        self.document = _Element("", {})
        self._open = [self.document]
        self._count = 0

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MOST_ELEMENTS:
            raise Untranslatable(f"the XML has more than {MOST_ELEMENTS} elements")
        if len(self._open) > DEEPEST:
            raise Untranslatable(f"the XML is nested deeper than {DEEPEST}")
        self._open.append(_Element(name, attributes))

    def text(self, words: str) -> None:
        self._open[-1].words.append(words)

    def end(self, name: str) -> None:
        element = self._open.pop()
        if element.children and element.text.strip():
            raise Untranslatable("the XML has text beside elements", path=self._path(name))
        self._open[-1].children.append((name, element.value()))

    def _path(self, name: str) -> str:
        here = Wild(None, "", None, dict)
        for step in (*(element.name for element in self._open[1:]), name):
            here = here.at(step)
        return here.path


def _text(words: str) -> str | None:
    """As it stands; blanks alone are the layout of an element that says nothing."""
    return words if words.strip() else None


def _integer(words: str) -> int | str | None:
    bare = words.strip()
    return int(bare) if _INTEGER.fullmatch(bare) else _text(words)


def _flag(words: str) -> bool | str | None:
    return _FLAGS.get(words.strip(), _text(words))


_LEAVES: Final[dict[str, Callable[[str], Any]]] = {"integer": _integer, "boolean": _flag}
