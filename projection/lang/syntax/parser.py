"""Text → syntax tree, with recovery at the next declaration in column 1."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from projection.bundled import bundled
from projection.lang import diagnostics as diag
from projection.lang.reporting import Diagnostic
from projection.lang.source import Source, Span
from projection.lang.syntax import nodes as syn
from projection.lang.syntax import tables
from projection.lang.syntax.expression_trees import MAX_DEPTH, integer
from projection.lang.syntax.lalr import END, Parser, UnexpectedError
from projection.lang.syntax.syntax_errors import explained
from projection.lang.syntax.texts import UnreadableError
from projection.lang.syntax.tree import Builder

if TYPE_CHECKING:
    from projection.lang.syntax.lalr import Node

MAX_SOURCE_BYTES = 64 * 1024

SURROGATE = re.compile("[\ud800-\udfff]")  # no UTF-8 text holds one, but a Python string may
MAX_BRACKETS = 2 * MAX_DEPTH  # inside one another: as many as expressions nest, and as many again that only group
_BRACKETS = re.compile(r'[()\[\]{}]|"(?:[^"\\\n]|\\.)*"|#[^\n]*')
_MAX_LEFT_OUT = 10  # of one declaration: each costs to read all of it once more
_PIECE = re.compile(r"^[ \t]+(?:when|else|event|expect)\b", re.MULTILINE)
_HEAD = re.compile(r"projection\b(?:\s+(?P<name>[A-Za-z][A-Za-z0-9_]*)\b)?|proj\b(?:\s+(?P<edition>[0-9]+)\b)?")
_NAMED = re.compile(r"(?:event|type|view|fn)\s+([A-Za-z][A-Za-z0-9_]*)")


@cache
def _parser() -> Parser:
    """The parser, made once a process and only when a program is read: of the tables that the installation holds."""
    grammar = bundled("grammar/projection.lark").read_text(encoding="utf-8")
    try:
        dumped = bundled("grammar/tables.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return Parser(tables.build(grammar))
    return Parser(tables.load(grammar, dumped) or tables.build(grammar))


def parse(source: Source) -> tuple[syn.Program, list[Diagnostic]]:
    """The tree of all that could be read, and what could not: a fault in one declaration hides nothing in another."""
    if len(source.text.encode("utf-8", "surrogatepass")) > MAX_SOURCE_BYTES:
        return syn.Program(None, None, ()), [diag.source_too_large(MAX_SOURCE_BYTES)]
    if (match := SURROGATE.search(source.text)) is not None:
        return syn.Program(None, None, ()), [diag.unknown_character(Span(*match.span()), match[0])]
    try:
        program = Builder(_tree, 0).program(_tree(source.text, "program", 0))
    except UnreadableError:
        return _recover(source)
    if (deep := _beyond_brackets(source.text)) is not None:
        return program, [diag.nested_too_deeply(deep, MAX_BRACKETS)]
    return program, []


def _beyond_brackets(text: str) -> Span | None:
    """The bracket that is inside of more others than allowed: those that only group are no nesting in the tree."""
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += (match[0] in ("(", "[", "{")) - (match[0] in (")", "]", "}"))
        if depth > MAX_BRACKETS:
            return Span(*match.span())
    return None


def tree_of(source: Source) -> Node:
    """The tree of a text that `parse` reads without a problem, as the grammar has it: for the formatter."""
    return _tree(source.text, "program", 0)


def parse_expression(text: str, offset: int) -> syn.Expression:
    """The expression that a text is, which begins at this place of some program's text.

    Raises:
        UnreadableError: with what is wrong.
    """
    return Builder(_tree, offset).expression(_tree(text, "expr", offset))


def _recover(source: Source) -> tuple[syn.Program, list[Diagnostic]]:
    """Declaration by declaration."""
    edition: tuple[int, Span] | None = None
    name: tuple[str, Span] | None = None
    declarations, problems, unreadable = list[syn.Declaration](), list[Diagnostic](), set[str]()
    chunks = source.declarations()
    first = chunks[0].start if chunks else len(source.text)
    problems += _stray(source.text[:first], 0, 0, "DECLARATION")
    for chunk in chunks:
        text = source.text[chunk.start : chunk.end]
        if (head := _HEAD.match(text)) is None:
            try:
                declarations.append(_declaration(text, chunk.start, problems))
            except UnreadableError as stop:
                problems.append(stop.diagnostic)
                if (match := _NAMED.match(text)) is not None:
                    unreadable.add(match[1])
            continue
        span = Span(*head.span()).moved(chunk.start)
        if head["edition"] is not None:
            edition = (integer(head["edition"]), span)
        elif head["name"] is not None:
            name = (head["name"], span)
        missing = "INT" if head[0] == "proj" else "NAME" if head[0] == "projection" else "DECLARATION"
        problems += _stray(text, head.end(), chunk.start, missing)
    return syn.Program(edition, name, tuple(declarations), frozenset(unreadable)), problems


def _stray(text: str, at: int, offset: int, expected: str) -> list[Diagnostic]:
    """What stands in a text from `at` on and begins no declaration; its place is `offset` further on."""
    found = re.compile(r"\w+|\S").search(_blank_comments(text), at)
    if found is not None:
        return [explained(text, found.start(), found[0], {expected}, {}).moved(offset)]
    if expected == "DECLARATION":
        return []
    return [explained(text, len(text.rstrip()), None, {expected}, {}).moved(offset)]


def _declaration(text: str, offset: int, problems: list[Diagnostic]) -> syn.Declaration:
    """A declaration; an arm or a step of a test that cannot be read is reported and left out.

    Raises:
        UnreadableError: what is wrong lies elsewhere.
    """
    starts = [match.start() for match in _PIECE.finditer(text)]
    read_until, left = 0, _MAX_LEFT_OUT
    first: UnreadableError | None = None
    while True:
        try:
            declaration = Builder(_tree, offset).declaration(_tree(text, "declaration", offset))
        except UnreadableError as stop:
            at = stop.diagnostic.span.start - offset
            begun = [start for start in starts if start < at]  # what is unfinished is noticed where the next begins
            if not begun or at < read_until or not left:
                raise first or stop from None
            if first is not None:
                problems.append(first.diagnostic)
            first, left = stop, left - 1
            read_until = next((start for start in starts if start >= at), len(text))
            piece = text[begun[-1] : read_until]
            text = text[: begun[-1]] + re.sub(r"[^\n]", " ", piece) + text[read_until:]
        else:
            if first is not None:
                problems.append(first.diagnostic)
            return declaration


def _blank_comments(text: str) -> str:
    return re.sub(r"#[^\n]*", lambda match: " " * len(match[0]), text)


def _tree(text: str, start: str, offset: int) -> Node:
    try:
        return _parser().parse(text, start)
    except UnexpectedError as error:
        raise UnreadableError(_syntax_error(text, error, offset)) from None


def _syntax_error(text: str, error: UnexpectedError, offset: int) -> Diagnostic:
    at, found = error.at, error.token
    if found is None:
        span, character = Span(offset + at, offset + at + 1), text[at]
        if character == '"':
            return diag.unterminated_string(span)
        if not (character.isascii() and character.isprintable()):
            return diag.unknown_character(span, character)
        return explained(text, at, character, error.accepted, _parser().names).moved(offset)
    if found.type == END:
        return explained(text, len(text.rstrip()), None, error.accepted, _parser().names).moved(offset)
    return explained(text, at, str(found), error.accepted, _parser().names).moved(offset)
