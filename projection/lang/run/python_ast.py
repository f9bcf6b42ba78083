"""Pieces of Python's `ast`, and templates: Python expressions over operands, as records of operations write them."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING, TypeVar, cast

from projection.lang.steps import tick

if TYPE_CHECKING:
    from collections.abc import Sequence

    Node = TypeVar("Node", bound=ast.AST)


def load(name: str) -> ast.Name:
    """A variable, read."""
    return ast.Name(name, ast.Load())


def number(value: int) -> ast.Constant:
    """A number."""
    return ast.Constant(value)


def assign(name: str, value: ast.expr) -> ast.Assign:
    """A variable, set."""
    return ast.Assign([ast.Name(name, ast.Store())], value)


def is_pure(node: ast.expr) -> bool:
    """Whether computing it later, or twice, is the same: variables, constants, fields of variables, lists of those."""
    if isinstance(node, ast.List):
        return not _has_starred(node) and all(map(is_pure, node.elts))
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, (ast.Name, ast.Constant))


def again(node: ast.expr) -> ast.expr:
    """A second node of something pure."""
    match node:
        case ast.Attribute():
            return ast.Attribute(again(node.value), node.attr, ast.Load())
        case ast.Name():
            return load(node.id)
        case ast.Constant():
            return ast.Constant(node.value)
        case ast.List():
            return ast.List([again(part) for part in node.elts], ast.Load())
    raise AssertionError(ast.dump(node))


def placed(node: Node, line: int) -> Node:
    """The node, and all in it that has no place yet, at this line."""
    waiting: list[ast.AST] = [node]
    while waiting:
        tick()
        part = waiting.pop()
        if isinstance(part, _PLACED):
            if hasattr(part, "lineno"):
                continue  # and so has all inside
            part.lineno = part.end_lineno = line
            part.col_offset = part.end_col_offset = 0
        for name in part._fields:
            inside = getattr(part, name, None)
            if isinstance(inside, list):
                waiting += [one for one in inside if isinstance(one, ast.AST)]
            elif isinstance(inside, ast.AST) and not isinstance(inside, _SHARED):
                waiting.append(inside)
    return node


_PLACED = (ast.stmt, ast.expr, ast.excepthandler, ast.keyword, ast.arg)  # what has a line
_SHARED = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)  # what has neither that nor parts


class Template:
    """A Python expression over operands: `{0} + {1}`.

    `{_}` is a variable of its own, `{...}` stands for all operands and may only be listed: `[{...}]`, `[*{...}]`. For
    `{0:n}`, an int does as well as the decimal that it is made into.
    """

    def __init__(self, text: str) -> None:
        self._text = re.sub(r"\{(\d+|_|\.\.\.)(:n)?\}", _placeholder, text)
        self._numbers = frozenset(int(position) for position in re.findall(r"\{(\d+):n\}", text))
        self._tree = ast.parse(self._text, mode="eval").body
        found = _order(self._tree)
        # Operands that are computed for certain, once each and in order, are computed as if they were arguments.
        self.is_in_order = found in (["operands"], [f"operand{position}" for position in range(len(found or ()))])

    def filled(self, operands: Sequence[ast.expr], own: str = "") -> ast.expr:
        """The expression with these operands, and a variable of its own called so."""
        bare = [_bare_int(operand) if index in self._numbers else None for index, operand in enumerate(operands)]
        if sum(one is not None for one in bare) == 1:  # of two, none would be left a decimal
            operands = [one if one is not None else operand for one, operand in zip(bare, operands, strict=True)]
        return cast("ast.expr", _Filling(operands, own).visit(self._tree))


def _placeholder(match: re.Match[str]) -> str:
    return {"_": "own", "...": "operands"}.get(match[1], f"operand{match[1]}")


def _bare_int(node: ast.expr) -> ast.expr | None:
    match node:
        case ast.Call(func=ast.Name(id="Decimal"), args=[number]):
            return number
    return None


def _order(node: ast.AST) -> list[str] | None:
    """The operands in the order in which they are computed; None where one may be left out, or comes again."""
    if isinstance(node, ast.Name):
        return [node.id] if node.id.startswith("operand") else []
    certain = list(ast.iter_child_nodes(node))
    match node:
        case ast.IfExp():
            certain = [node.test]
        case ast.Compare():
            certain = [node.left, node.comparators[0]]
        case ast.BoolOp():
            certain = [node.values[0]]
        case ast.ListComp() | ast.GeneratorExp() | ast.Lambda():
            certain = []
    rest = [child for child in ast.iter_child_nodes(node) if child not in certain]
    found = [_order(child) for child in certain]
    if any(one is None for one in found) or any(_order(child) != [] for child in rest):
        return None
    return [name for one in found for name in one or ()]


class _Filling(ast.NodeVisitor):
    """Copies a template's tree, without its places and with the operands in theirs."""

    def __init__(self, operands: Sequence[ast.expr], own: str) -> None:
        self._operands = operands
        self._own = own
        self._used: set[int] = set()

    def generic_visit(self, node: ast.AST) -> ast.AST:
        return type(node)(*[self._copied(getattr(node, name)) for name in node._fields])

    def _copied(self, part: object) -> object:
        if isinstance(part, list):
            return [self._copied(one) for one in part]
        return self.visit(part) if isinstance(part, ast.AST) and not isinstance(part, _SHARED) else part

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if not node.id.startswith("operand"):
            return ast.Name(self._own if node.id == "own" else node.id, node.ctx)
        position = int(node.id[7:])
        operand = self._operands[position]
        if position in self._used:
            return again(operand)
        self._used.add(position)
        return operand

    def visit_List(self, node: ast.List) -> ast.expr:
        return ast.List(self._listed(node.elts), ast.Load())

    def visit_Tuple(self, node: ast.Tuple) -> ast.expr:
        return ast.Tuple(self._listed(node.elts), ast.Load())

    def _listed(self, parts: Sequence[ast.expr]) -> list[ast.expr]:
        """The parts of a list, with all operands in place of theirs; a spread list that is written out is its items."""
        found: list[ast.expr] = []
        for part in parts:
            match part:
                case ast.Name(id="operands"):
                    found += self._operands
                case ast.Starred(value=ast.Name(id="operands")):
                    for operand in self._operands:
                        found += operand.elts if isinstance(operand, ast.List) else [ast.Starred(operand, ast.Load())]
                case _:
                    found.append(cast("ast.expr", self.visit(part)))
        return found

    def visit_Call(self, node: ast.Call) -> ast.AST:
        filled = self.generic_visit(node)
        match filled:  # a length that is known already
            case ast.Call(func=ast.Name(id="len"), args=[ast.Constant(value=str() | bytes() as text)]):
                return number(len(text))
            case ast.Call(func=ast.Name(id="len"), args=[ast.List() as listed]) if is_pure(listed):
                return number(len(listed.elts))
        return filled


def _has_starred(listed: ast.List) -> bool:
    return any(isinstance(part, ast.Starred) for part in listed.elts)


@cache
def template(text: str) -> Template:
    """The template of a text, looked at once."""
    return Template(text)
