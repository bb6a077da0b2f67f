"""Every reason slug that the source can say, read from its syntax: nothing has to be registered anywhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[2] / "src" / "paymux"

SLUG = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
# Names under which a slug is given: keyword arguments, attributes, parameters with a default.
NAMES = frozenset({"reason", "missing"})
# Calls whose argument at this place is one.
CALLS = {"_Refused": 0, "counted": 1, "_postpone": 2}
# Tables whose keys or values are.
KEYS = frozenset({"INSTRUCTIONS", "_SENTENCES"})
VALUES = frozenset({"_UNREAD", "_GIVES_UP", "_REASONS"})


def said() -> dict[str, str]:
    """Slug -> a file that says it."""
    return {
        word: path.relative_to(SOURCE).as_posix()
        for path in sorted(SOURCE.rglob("*.py"))
        for word in in_source(path.read_text("utf-8"))
    }


def in_source(source: str) -> set[str]:
    return {word for node in ast.walk(ast.parse(source)) for word in _of(node) if SLUG.fullmatch(word)}


def _of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call():
            yield from _of_call(node)
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            yield from _of_assignment(name, value)
        case ast.FunctionDef(args=arguments) | ast.AsyncFunctionDef(args=arguments):
            pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            yield from (word for one, default in pairs if one.arg in NAMES for word in _texts(default))
        case ast.Dict():
            # {"verified": False, "reason": "..."}
            pairs = zip(node.keys, node.values, strict=True)
            yield from (word for key, value in pairs if set(_texts(key)) & NAMES for word in _texts(value))


def _of_call(node: ast.Call) -> Iterator[str]:
    for keyword in node.keywords:
        if keyword.arg in NAMES:
            yield from _texts(keyword.value)
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name in CALLS and len(node.args) > CALLS[name]:
        yield from _texts(node.args[CALLS[name]])


def _of_assignment(name: str, value: ast.expr) -> Iterator[str]:
    if name in NAMES:
        yield from _texts(value)
    if isinstance(value, ast.Dict) and name in KEYS:
        yield from (word for key in value.keys for word in _texts(key))
    if isinstance(value, ast.Dict) and name in VALUES:
        yield from (word for one in value.values for word in _texts(one))
        yield from (word for key in value.keys for word in _texts(key))


def _texts(node: ast.AST | None) -> Iterator[str]:
    """A text, or those of `a if b else c` and `a or b`."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from _texts(one)
            yield from _texts(other)
        case ast.BoolOp(values=values):
            for value in values:
                yield from _texts(value)
