"""Which comparisons in a source file touch what is derived from a key or a signature: over the syntax tree.

Names are followed through assignments, loops and calls inside one function; what comes from outside is known by its
name, or by the call that gave it.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Names, as a whole or a part between underscores, that stand for a key or a signature wherever they come from.
_SECRETIVE = re.compile(
    r"(?:^|_)(?:keys?|sig|signatures?|mac|hmac|digests?|secrets?|tokens?|expected|offers?|offered|credentials?)(?:_|$)"
)
# Calls and attributes that give one: a request's headers, the codes, the settings' secrets.
_GIVING = {"only", "single", "hexdigest", "get_secret_value", "verbatim", "decoded"}
_HEADERS = {"header", "headers"}  # of a delivery
# What holds one: a header, a field of a body.
_HOLDING = re.compile(r"authorization|.*signature|.*-sig|.*hmac", re.IGNORECASE)
_FILLING = {"add", "append", "extend", "insert", "setdefault", "update"}
# Calls whose result tells nothing but a length, a type, or what was compared as it should be.
_TELLING_NOTHING = {"len", "isinstance", "type", "compare_digest"}
_FINDING = {"index", "find", "count", "__eq__", "__ne__", "__contains__", "eq", "ne", "contains"}
_COMPARING = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True, slots=True)
class Comparison:
    line: int
    text: str


def leaky(source: str) -> list[Comparison]:
    """Every ==, !=, in, not in, match, index, find and count on a value derived from a key or a signature."""
    tree = ast.parse(source)
    scopes = [list(_own(tree)), *(list(ast.walk(node)) for node in ast.walk(tree) if isinstance(node, _FUNCTIONS))]
    found = {node for scope in scopes for node in _in_scope(scope, _derived(scope))}
    return sorted((Comparison(node.lineno, ast.unparse(node)) for node in found), key=lambda one: (one.line, one.text))


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """What runs with the module itself: functions are scopes of their own."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _FUNCTIONS):
            yield from _own(child)


def _in_scope(scope: list[ast.AST], derived: set[str]) -> Iterator[ast.expr | ast.Match]:
    for node in scope:
        if isinstance(node, ast.Compare) and any(isinstance(op, _COMPARING) for op in node.ops):
            operands = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            operands = [node.subject]
        elif isinstance(node, ast.Call) and _called(node) in _FINDING:
            operands = [node.func, *node.args] if _called(node) != "count" else [node.func]  # so do the metrics
        else:
            continue
        if any(_touches(operand, derived) for operand in operands):
            yield node


def _derived(scope: list[ast.AST]) -> set[str]:
    """The names in a scope that hold what is derived, until no assignment adds one."""
    derived: set[str] = set()
    while True:
        more = {name for target, value in _bound(scope) if _touches(value, derived) for name in _names(target)}
        if more <= derived:
            return derived
        derived |= more


def _bound(scope: list[ast.AST]) -> Iterator[tuple[ast.expr, ast.expr]]:
    for node in scope:
        if isinstance(node, ast.Assign):
            yield from ((target, node.value) for target in node.targets)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value is not None:
            yield node.target, node.value
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            yield node.target, node.iter
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            yield node.optional_vars, node.context_expr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _FILLING:
            yield from ((node.func.value, argument) for argument in node.args)


def _touches(node: ast.AST, derived: set[str]) -> bool:
    if isinstance(node, ast.Call) and _called(node) in _TELLING_NOTHING:
        return False
    if isinstance(node, ast.Name | ast.Attribute):
        name = node.id if isinstance(node, ast.Name) else node.attr
        if name in derived or name in _GIVING or _SECRETIVE.search(name) or _is_header(node):
            return True
    if isinstance(node, ast.Call) and any(_holds_one(argument) for argument in node.args):
        return True
    if isinstance(node, ast.Subscript) and _holds_one(node.slice):
        return True
    return any(_touches(child, derived) for child in ast.iter_child_nodes(node))


def _is_header(node: ast.Name | ast.Attribute) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in _HEADERS and getattr(node.value, "id", "") == "delivery"


def _holds_one(node: ast.AST) -> bool:
    value = node.value if isinstance(node, ast.Constant) else None
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return isinstance(text, str) and _HOLDING.fullmatch(text) is not None


def _called(node: ast.Call) -> str:
    return str(getattr(node.func, "id", getattr(node.func, "attr", "")))


def _names(target: ast.AST) -> list[str]:
    return [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]
