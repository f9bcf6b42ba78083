"""Text → syntax tree: the one door to Lark, with recovery at the next declaration in column 1."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, cast

from lark import Lark
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from projection.bundled import bundled
from projection.lang import diagnostics as diag
from projection.lang import syntax as syn
from projection.lang.diagnostics import Diagnostic
from projection.lang.expression_trees import integer
from projection.lang.source import Source, Span
from projection.lang.texts import UnreadableError
from projection.lang.tree import Builder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.lang.texts import Node

MAX_SOURCE_BYTES = 64 * 1024

_SURROGATE = re.compile("[\ud800-\udfff]")  # no UTF-8 text holds one, but a Python string may
_NAMED = re.compile(r"(?:event|type|view|fn)\s+([A-Za-z][A-Za-z0-9_]*)")

_WORDS = {
    "NAME": "a name", "INT": "a number", "DECIMAL": "a number", "STRING": "a string", "$END": "the end of the file",
    "COMPARE": "a comparison", "PLUS_MINUS": "`+`", "ADD_ASSIGN": "`+=`",
}  # fmt: skip


@cache
def _lark() -> Lark:
    """The parser, built once a process and only when a program is read (a quarter of a second)."""
    grammar = bundled("grammar/projection.lark").read_text(encoding="utf-8")
    return Lark(
        grammar,
        parser="lalr",
        lexer="contextual",
        start=["program", "declaration", "expr"],
        propagate_positions=True,
        maybe_placeholders=False,
    )


def parse(source: Source) -> tuple[syn.Program, list[Diagnostic]]:
    """The tree of all that could be read, and what could not: a fault in one declaration hides nothing in another."""
    if len(source.text.encode("utf-8", "surrogatepass")) > MAX_SOURCE_BYTES:
        return syn.Program(None, None, ()), [diag.source_too_large(MAX_SOURCE_BYTES)]
    if (match := _SURROGATE.search(source.text)) is not None:
        return syn.Program(None, None, ()), [diag.unknown_character(Span(*match.span()), match[0])]
    try:
        return Builder(_tree, 0).program(_tree(source.text, "program", 0)), []
    except UnreadableError:
        return _recover(source)


def tree_of(source: Source) -> Node:
    """The tree of a text that `parse` reads without a problem, as the grammar has it: for the formatter."""
    return _tree(source.text, "program", 0)


def _recover(source: Source) -> tuple[syn.Program, list[Diagnostic]]:
    """Declaration by declaration."""
    edition: tuple[int, Span] | None = None
    name: tuple[str, Span] | None = None
    declarations, problems, unreadable = list[syn.Declaration](), list[Diagnostic](), set[str]()
    chunks = source.declarations()
    first = chunks[0].start if chunks else len(source.text)
    if (lead := _blank_comments(source.text[:first])).strip():
        start = len(lead) - len(lead.lstrip())
        problems.append(diag.unexpected(Span(start, start + 1), "this", ["a declaration"]))
    for chunk in chunks:
        text = source.text[chunk.start : chunk.end]
        words = _blank_comments(text).split()
        span = Span(chunk.start, chunk.start + len(text.rstrip()))
        try:
            if words[0] == "proj" and len(words) == 2 and words[1].isascii() and words[1].isdigit():
                edition = (integer(words[1]), span)
            elif words[0] == "projection" and len(words) == 2 and words[1].isidentifier():
                name = (words[1], span)
            elif words[0] not in ("proj", "projection"):
                declarations.append(Builder(_tree, chunk.start).declaration(_tree(text, "declaration", chunk.start)))
            else:
                problems.append(diag.unexpected(span, f"`{words[-1]}`", [f"`{words[0]}` and one word"]))
        except UnreadableError as stop:
            problems.append(stop.diagnostic)
            if (match := _NAMED.match(text)) is not None:
                unreadable.add(match[1])
    return syn.Program(edition, name, tuple(declarations), frozenset(unreadable)), problems


def _blank_comments(text: str) -> str:
    return re.sub(r"#[^\n]*", lambda match: " " * len(match[0]), text)


def _tree(text: str, start: str, offset: int) -> Node:
    try:
        return _lark().parse(text, start=start)
    except UnexpectedInput as error:
        raise UnreadableError(_syntax_error(text, error, offset)) from None


def _syntax_error(text: str, error: UnexpectedInput, offset: int) -> Diagnostic:
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        start = cast("int", error.token.start_pos)
        span = Span(offset + start, offset + start + len(error.token))
        return diag.unexpected(span, f"`{error.token}`", _expected(error.accepts or error.expected))
    if isinstance(error, UnexpectedCharacters):
        at = cast("int", error.pos_in_stream)
        span = Span(offset + at, offset + at + 1)
        if text[at] == '"':
            return diag.unterminated_string(span)
        if text[at].isascii() and text[at].isprintable():
            return diag.unexpected(span, f"`{text[at]}`", _expected(error.allowed))
        return diag.unknown_character(span, text[at])
    end = offset + len(text.rstrip())
    expected = error.expected if isinstance(error, (UnexpectedEOF, UnexpectedToken)) else ()
    return diag.unexpected(Span(max(offset, end - 1), end), "the end of the declaration", _expected(expected))


def _expected(terminals: Sequence[str] | set[str] | None) -> list[str]:
    by_name = {terminal.name: terminal.pattern for terminal in _lark().terminals}
    words = set()
    for name in terminals or ():
        if name in _WORDS:
            words.add(_WORDS[name])
        elif name in by_name:
            words.add(f"`{by_name[name].value}`".replace("\\", ""))
    return sorted(words)
