"""A program for the formatter: all its tokens with their comments, in the order of the text and in the tree's shape."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from projection.lang.syntax.lalr import Node

_SCAN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    | (?P<space>[ \t\r\n]+)
    | "(?:[^"\\\n]|\\.)*"
    | [0-9]+(?:\.[0-9]+)?[A-Za-z]*
    | [A-Za-z_][A-Za-z0-9_]*
    | \.\.\. | => | -> | == | != | <= | >= | \+= | -= | \?\? | \?\.
    | .
    """,
    re.VERBOSE,
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_OPENING = frozenset(("(", "[", "{", "=>", "="))  # no empty line comes right behind them

_CALLS = frozenset(("call", "aggregate", "fold", "view_of", "function"))


class CommentAbove(NamedTuple):
    """A comment on a line of its own, above a token."""

    text: str
    has_gap: bool  # an empty line is above it
    is_indented: bool


@dataclass(slots=True)
class Token:
    """A token with the comments that belong to it."""

    text: str
    start: int
    above: list[CommentAbove] = field(default_factory=list)
    behind: str | None = None
    has_gap: bool = False  # an empty line is right above it

    @property
    def is_name(self) -> bool:
        """Whether it is a name, or a word of the language."""
        return self.text[:1].isalpha()


@dataclass(frozen=True, slots=True)
class Bracket:
    """What stands between two brackets, and they."""

    opening: Token
    inside: tuple[Element, ...]
    closing: Token
    is_applied: bool  # to a name or a value right before it; else it makes a value or groups


@dataclass(frozen=True, slots=True)
class Part:
    """A node of the tree with what stands in it, itself in brackets where it has any."""

    rule: str
    inside: tuple[Element, ...]


Element: TypeAlias = Token | Bracket | Part


def tokens_of(text: str, ends: Container[int] = ()) -> list[Token]:
    """The tokens, and a last one without text that holds the comments at the end; `ends` are those of nodes."""
    found: list[Token] = []
    above: list[CommentAbove] = []
    lines = 2  # ends of lines since the last token or comment

    def has_gap() -> bool:
        return lines > 1 and (bool(above) or not found or found[-1].text not in _OPENING)

    for match in _SCAN.finditer(text):
        if match["space"] is not None:
            lines += match[0].count("\n")
        elif match["comment"] is not None:
            comment = match[0].rstrip()
            if lines == 0:
                found[-1].behind = comment
            else:
                is_indented = match.start() > 0 and text[match.start() - 1] != "\n"
                above.append(CommentAbove(comment, has_gap(), is_indented))
            lines = 0
        else:
            found.append(Token(match[0], match.start(), above, None, has_gap()))
            above, lines = [], 0
            if match[0] == ">=" and match.start() + 1 in ends:  # `x: list<int>= []`
                found[-1].text = ">"
                found.append(Token("=", match.start() + 1))
    found.append(Token("", len(text), above))
    for one, comma, following in zip(found, found[1:], found[2:], strict=False):
        if comma.text in (",", ";"):
            _move_comments(one, comma, following)
    return found


def _move_comments(one: Token, comma: Token, following: Token) -> None:
    """A comma clings to what is before it: of the comments around it the first ends its line, the others come below."""
    if one.behind is not None or comma.above:
        below = [] if comma.behind is None else [CommentAbove(comma.behind, has_gap=False, is_indented=True)]
        following.above[:0] = [*comma.above, *below]
        one.behind, comma.behind, comma.above = None, one.behind, []


def comments_of(tokens: Sequence[Token]) -> list[str]:
    """All comments, in order."""
    return [comment for token in tokens for comment in (*(one.text for one in token.above), token.behind) if comment]


def part_of(tree: Node, tokens: Sequence[Token]) -> Part:
    """A node with all its tokens: those that the tree leaves out stand between its children."""
    starts = [token.start for token in tokens]

    def elements(tree: Node) -> Iterator[Element]:
        at, end = bisect_left(starts, tree.start), bisect_left(starts, tree.end)
        for child in tree.children:
            if isinstance(child, str):
                continue
            first = bisect_left(starts, child.start)
            yield from tokens[at:first]
            yield built(child)
            at = bisect_left(starts, child.end)
        yield from tokens[at:end]

    def built(tree: Node) -> Part:
        return Part(tree.data, _in_brackets(elements(tree), tree.data))

    return built(tree)


def _in_brackets(elements: Iterator[Element], rule: str) -> tuple[Element, ...]:
    levels: list[list[Element]] = [[]]
    for element in elements:
        if isinstance(element, Token) and element.text in _CLOSING:
            levels.append([element])
        elif isinstance(element, Token) and len(levels) > 1 and element.text in _CLOSING.values():
            opening, *inside = levels.pop()
            is_applied = _is_applied(cast("Token", opening), levels[-1][-1:], rule)
            levels[-1].append(Bracket(cast("Token", opening), tuple(inside), element, is_applied))
        else:
            levels[-1].append(element)
    return tuple(levels[0])


def _is_applied(opening: Token, before: Sequence[Element], rule: str) -> bool:
    if opening.text == "(":
        return rule == "type_sizes" or (
            rule in _CALLS and any(isinstance(one, Token) and one.is_name for one in before)
        )
    return opening.text == "[" and rule in ("at", "at_optional", "path_key")


def first_token(element: Element) -> Token:
    """The token that an element begins with."""
    while not isinstance(element, Token):
        element = element.opening if isinstance(element, Bracket) else element.inside[0]
    return element


def last_token(element: Element) -> Token:
    """The token that an element ends with."""
    while not isinstance(element, Token):
        element = element.closing if isinstance(element, Bracket) else element.inside[-1]
    return element
