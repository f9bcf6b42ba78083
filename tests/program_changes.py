"""Programs said otherwise, and programs that say something else: what the tests of the digest compare."""

from __future__ import annotations

import random
import re
from itertools import chain
from typing import TYPE_CHECKING, Any

from projection.lang.immutable import Immutable
from projection.lang.source import Source, Span
from projection.lang.syntax import nodes as syn
from projection.lang.syntax.parser import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEXT = r'"(?:[^"\\\n]|\\.)*"'
_LAYOUT = re.compile(rf"({_TEXT})|#[^\n]*|\s+")
_TOKEN = re.compile(
    rf"(?P<text>{_TEXT})|(?P<skip>#[^\n]*|\s+)|(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|[smhd])?\b"
    r"|(?P<name>[A-Za-z]\w*)|(?P<sign>==|!=|<=|>=|=>|->|\?\?|\+=|-=|\?\.|\.\.\.|.)"
)
_SIGNS = {
    "+": "-", "-": "+", "*": "+", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+=": "-=",
    "-=": "+=", "?": "",
}  # fmt: skip
_WORDS = {
    "and": "or", "or": "and", "creates": "updates", "updates": "to", "to": "creates", "keep": "delete",
    "delete": "keep", "true": "false", "false": "true", "not": "", "if": "if not",
}  # fmt: skip


# --- the same meaning ------------------------------------------------------------------------------------------------


def laid_out_otherwise(text: str) -> str:
    """Without comments, each token on a line of its own."""
    return _LAYOUT.sub(lambda match: match[1] or "\n\t ", text).strip()


def reordered(text: str) -> str:
    """Events, types, functions, indexes and tests the other way round, and behind the handlers, which keep their order."""
    source = Source("p", text)
    parts = [text[span.start : span.end].rstrip() + "\n" for span in source.declarations()]
    head = [part for part in parts if re.match(r"proj\b|projection\b", part)]
    handlers = [part for part in parts if re.match(r"on\b", part)]
    rest = [part for part in parts if part not in head and part not in handlers]
    return "".join(chain(head, handlers, reversed(rest)))


def renamed(text: str) -> str:
    """With other names for all variables, parameters and functions."""
    program, problems = parse(Source("p", text))
    assert not problems
    names = set(_bound(program))
    edits = sorted(set(_renames(program, names)), reverse=True)
    for span, new in edits:
        text = text[: span.start] + new + text[span.end :]
    return text


def _nodes(value: Any) -> Iterator[Any]:
    if isinstance(value, Immutable):
        yield value
        for name in value.__struct_fields__:
            yield from _nodes(getattr(value, name))
    elif isinstance(value, tuple) and not isinstance(value, Span):
        for one in value:
            yield from _nodes(one)


def _binders(node: Any) -> Iterator[tuple[str, Span]]:
    match node:
        case syn.Let() | syn.Fold() | syn.Function():
            yield node.name, node.name_span
        case syn.Loop():
            yield from zip(node.names, node.name_spans, strict=True)
        case syn.Parameter():
            yield node.name, Span(node.span.start, node.span.start + len(node.name))
        case syn.Handler(name=str() as name, name_span=Span() as span):
            yield name, span
        case syn.Pattern(name=str() as name):
            yield name, node.span


def _bound(program: syn.Program) -> Iterator[str]:
    for node in _nodes(program):
        yield from (name for name, _span in _binders(node) if name != "_")


def _renames(program: syn.Program, names: set[str]) -> Iterator[tuple[Span, str]]:
    short = set()
    for node in _nodes(program):
        if (isinstance(node, syn.FieldValue) and isinstance(node.value, syn.Name) and node.value.span == node.span) or (
            isinstance(node, syn.Update) and isinstance(node.value, syn.Name) and node.value.span == node.span
        ):
            short.add(node.span)
        for name, span in _binders(node):
            if name in names:
                yield span, f"{name}_otherwise"
        if isinstance(node, syn.Call) and node.name in names:
            yield node.name_span, f"{node.name}_otherwise"
        if isinstance(node, syn.Name) and node.name in names:
            yield node.span, f"{node.name}: {node.name}_otherwise" if node.span in short else f"{node.name}_otherwise"


# --- another meaning -------------------------------------------------------------------------------------------------


def changed(text: str, seed: int) -> Iterator[tuple[str, str]]:
    """Each token of what runs changed, one at a time: what was changed, and the text. Not all of them are programs."""
    random_ = random.Random(seed)
    source = Source("p", text)
    for declaration in source.declarations():
        part = text[declaration.start : declaration.end]
        if re.match(r"proj\b|projection\b|index\b|test\b", part):
            continue
        words = sorted(set(re.findall(r"[A-Za-z]\w*", _LAYOUT.sub(lambda _match: " ", text))))
        for match in _TOKEN.finditer(part):
            new = _other(match, random_, words)
            if new is not None:
                start = declaration.start + match.start()
                place = source.place(Span(start, start))
                yield f"{place}: {match[0]} → {new}", text[:start] + new + text[start + len(match[0]) :]


def _other(match: re.Match[str], random_: random.Random, words: list[str]) -> str | None:
    found = match[0]
    if match["text"] is not None:
        return '"x' + found[1:]
    if match["number"] is not None:
        return str(int(match["number"]) + 1) + (match["unit"] or "") if "." not in found else found + "1"
    if match["sign"] is not None:
        return _SIGNS.get(found)
    if match["name"] is not None:
        return _WORDS[found] if found in _WORDS else random_.choice([word for word in words if word != found])
    return None
