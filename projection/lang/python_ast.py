"""Pieces of Python's `ast`, and templates: Python expressions over operands, as records of operations write them."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING, TypeVar, cast

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
    """Whether computing it later, or twice, is the same: variables, constants and fields of variables."""
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
    raise AssertionError(ast.dump(node))


def placed(node: Node, line: int) -> Node:
    """The node, and all in it that has no place yet, at this line."""
    waiting: list[ast.AST] = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, (ast.stmt, ast.expr, ast.excepthandler, ast.keyword, ast.arg)):
            if hasattr(part, "lineno"):
                continue  # and so has all inside
            part.lineno = part.end_lineno = line
            part.col_offset = part.end_col_offset = 0
        waiting += ast.iter_child_nodes(part)
    return node


class Template:
    """A Python expression over operands: `{0} + {1}`; `{_}` is a variable of its own."""

    def __init__(self, text: str) -> None:
        text = re.sub(r"\{(\d+|_)\}", lambda match: "own" if match[1] == "_" else f"operand{match[1]}", text)
        self._text = text
        tree = self._tree()
        children = [child.id for child in ast.iter_child_nodes(tree) if isinstance(child, ast.Name)]
        below = [name for name in children if name.startswith("operand")]
        every = [part.id for part in ast.walk(tree) if isinstance(part, ast.Name) and part.id.startswith("operand")]
        # Operands that stand right below the root, each once and in order, are computed as if they were arguments.
        self.is_in_order = below == every == [f"operand{position}" for position in range(len(below))]

    def _tree(self) -> ast.expr:
        return ast.parse(self._text, mode="eval").body

    def filled(self, operands: Sequence[ast.expr], own: str) -> ast.expr:
        """The expression with these operands, and a variable of its own called so."""
        return cast("ast.expr", _Filling(operands, own).visit(self._tree()))


class _Filling(ast.NodeTransformer):
    def __init__(self, operands: Sequence[ast.expr], own: str) -> None:
        self._operands = operands
        self._own = own
        self._used: set[int] = set()

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name in ("lineno", "end_lineno", "col_offset", "end_col_offset"):
            if hasattr(node, name):
                delattr(node, name)
        return super().generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if not node.id.startswith("operand"):
            return ast.Name(self._own if node.id == "own" else node.id, node.ctx)
        position = int(node.id[7:])
        operand = self._operands[position]
        if position in self._used:
            return again(operand)
        self._used.add(position)
        return operand


@cache
def template(text: str) -> Template:
    """The template of a text, looked at once."""
    return Template(text)
