"""Tokens → strings: escapes, and the expressions that stand inside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from projection.lang import diagnostics as diag
from projection.lang.source import Span
from projection.lang.steps import tick
from projection.lang.syntax import nodes as syn

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.lang.reporting import Diagnostic
    from projection.lang.syntax.lalr import Node, Token

_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t", "{": "{", "}": "}"}
_PLAIN = re.compile(r"[^\\{}]+")
_BRACES = re.compile(r"[{}#\\]")
_NOT_INSIDE = {"#": "a comment", "\\": "a text"}  # by what it shows by
# A string ends at its next quote, which was perhaps meant to stand inside of the expression.
_NOT_CLOSED = r"close it with }, or write \{ for a brace; a text inside is named before: `let x = …;`"
_UNICODE_ESCAPE = re.compile(r"u\{([0-9A-Fa-f]{1,6})\}")


class UnreadableError(Exception):
    """What stands here is no part of a program; it carries one diagnostic to the next place of recovery."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


class Texts:
    """Reads strings. See `tree.Builder`, which it is a part of."""

    def __init__(self, read: Callable[[str, str, int], Node], offset: int, depth: int = 0) -> None:
        self.read = read
        self.offset = offset
        self.depth = depth

    def expression(self, node: Node | Token) -> syn.Expression:
        """See `ExpressionTrees.expression`."""
        raise NotImplementedError

    def span(self, node: Node | Token) -> Span:
        """The node's place in the file."""
        if isinstance(node, str):
            return Span(self.offset + node.start, self.offset + node.start + len(node))
        return Span(self.offset + node.start, self.offset + node.end)

    def plain_text(self, token: Token) -> str:
        """A string literal where no expression can stand."""
        parts = self.text(token)
        if any(not isinstance(part, str) for part in parts):
            raise UnreadableError(diag.bad_interpolation(self.span(token), "an expression has no place"))
        return "".join(cast("tuple[str, ...]", parts))

    def text(self, token: Token) -> tuple[str | syn.Expression, ...]:
        """The parts of a string literal; expressions are parsed where they stand, so carets land inside the string."""
        start = self.offset + token.start
        body, at, plain = str(token), 1, list[str]()
        parts = list[str | syn.Expression]()
        while at < len(body) - 1:
            tick()
            character = body[at]
            if character == "\\":
                text, length = self._escape(body, at, start)
                plain.append(text)
                at += length
            elif character == "{":
                end = self._end(body, at, start)
                if plain:
                    parts.append("".join(plain))
                plain = []
                tree = self.read(body[at + 1 : end], "expr", start + at + 1)
                parts.append(type(self)(self.read, start + at + 1, self.depth).expression(tree))
                at = end + 1
            elif character == "}":
                raise UnreadableError(diag.bad_interpolation(Span(start + at, start + at + 1), "a lone `}`"))
            else:
                run = cast("re.Match[str]", _PLAIN.match(body, at, len(body) - 1))
                plain.append(run[0])
                at = run.end()
        if plain or not parts:
            parts.append("".join(plain))
        return tuple(parts)

    def _end(self, body: str, at: int, start: int) -> int:
        """Where the expression ends whose `{` stands here: at the `}` that belongs to it."""
        depth = 0
        for match in _BRACES.finditer(body, at):
            here = Span(start + match.start(), start + match.end())
            if match[0] in _NOT_INSIDE:
                raise UnreadableError(diag.not_inside_text(here, _NOT_INSIDE[match[0]]))
            depth += 1 if match[0] == "{" else -1
            if depth == 0:
                if body[at + 1 : match.start()].strip():
                    return match.start()
                break
        here = Span(start + at, start + at + 1)
        if depth:
            raise UnreadableError(diag.bad_interpolation(here, "`{` is not closed", _NOT_CLOSED))
        raise UnreadableError(diag.bad_interpolation(here, "`{` holds no expression"))

    def _escape(self, body: str, at: int, start: int) -> tuple[str, int]:
        if (simple := _ESCAPES.get(body[at + 1])) is not None:
            return simple, 2
        match = _UNICODE_ESCAPE.match(body, at + 1)
        if match and (point := int(match[1], 16)) <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF:
            return chr(point), 1 + len(match[0])
        raise UnreadableError(diag.bad_escape(Span(start + at, start + at + 2), body[at : at + 2]))
