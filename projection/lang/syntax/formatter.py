"""`projection fmt`: the one layout of a program. Only spaces, ends of lines and trailing commas change, never a token.

The tree says what belongs together, the tokens what stands there. Brackets break with one item a line, and stay broken
where they end in a comma; a handler's body has a line of its own unless the whole is short; comments stay before or
behind the token that they stand at; of empty lines in succession one is kept.
"""

from __future__ import annotations

from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, cast

from projection.lang.diagnostics import source_too_large
from projection.lang.immutable import Immutable
from projection.lang.reporting import ProgramInvalidError
from projection.lang.source import Source, Span
from projection.lang.syntax import parser
from projection.lang.syntax.elements import (
    Bracket,
    Element,
    Part,
    Token,
    comments_of,
    first_token,
    last_token,
    part_of,
    tokens_of,
)
from projection.lang.syntax.layout import Broken, Comment, Doc, Group, Hanging, Hard, Indented, Line, Row, Text, render
from projection.lang.syntax.texts import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SHORT = 80  # columns of a handler, an arm or a function that stands on one line

_NO_SPACE_BEFORE = frozenset((",", ";", ":", ".", "?.", "?", "!"))
_NO_SPACE_BEHIND = frozenset((".", "?.", "..."))
_TIGHT = frozenset((
    "type", "path", "path_field", "path_key", "get", "get_optional", "at_optional", "assert_present", "negative",
    "pattern", "json_value",
))  # fmt: skip
_CHAINS = frozenset(("or", "and", "sum", "product", "coalesce", "compare", "membership"))
_HUGGED = frozenset((
    "braces", "list", "list_for", "map_for", "call", "aggregate", "fold", "match", "with", "json_object", "json_list",
))  # fmt: skip
_BRACKETS = frozenset(("braces", "list", "list_for", "map_for"))
_CLAUSES = frozenset(("sort", "loop"))  # of a comprehension


class MeaningChangedError(Exception):
    """The laid-out text would not mean the same: a fault of the formatter, which leaves the program alone then."""


def formatted(source: Source) -> str:
    """The program's text in its one layout.

    Raises:
        ProgramInvalidError: with every syntax error; what cannot be read is not laid out.
        MeaningChangedError: the layout does not mean the same.
    """
    before, problems = parser.parse(source)
    if problems:
        raise ProgramInvalidError(source, problems)
    try:
        tree = parser.tree_of(source)
    except UnreadableError as stop:  # its first lines are missing
        raise ProgramInvalidError(source, [stop.diagnostic]) from None
    tokens = tokens_of(source.text, {one.end for one in tree.subtrees()})
    comments = comments_of(tokens)
    text = render(_Layout().program(part_of(tree, tokens), tokens[-1]))
    if len(text.encode()) > parser.MAX_SOURCE_BYTES:  # it has more spaces than before
        raise ProgramInvalidError(source, [source_too_large(parser.MAX_SOURCE_BYTES)])
    after, problems = parser.parse(Source(source.name, text))
    if problems or _plain(after) != _plain(before) or comments != comments_of(tokens_of(text)):
        raise MeaningChangedError(source.name)
    return text


def _plain(node: object) -> object:
    """A syntax tree without its places."""
    if isinstance(node, Span):
        return None
    if isinstance(node, tuple):
        return tuple(map(_plain, node))
    if isinstance(node, Immutable):
        return (type(node), *(_plain(getattr(node, one)) for one in node.__struct_fields__))
    return node


# --- from elements to documents --------------------------------------------------------------------------------------


def _comments_above(token: Token) -> list[Doc]:
    docs: list[Doc] = []
    for one in token.above:
        docs += [Hard(is_gap=True)] * one.has_gap
        docs.append(Comment(one.text, is_own=True))
    if token.above and token.has_gap:
        docs.append(Hard(is_gap=True))
    return docs


def _token(token: Token) -> Doc:
    parts = [*_comments_above(token), Text(token.text)]
    if token.behind is not None:
        parts.append(Comment(token.behind, is_own=False))
    return Row(*parts) if len(parts) > 1 else parts[0]


def _lead(element: Element) -> list[Doc]:
    """The comments above an element, taken from it: they are no reason to break it."""
    first = first_token(element)
    comments, first.above = _comments_above(first), []
    return comments


def _new_line(following: Element) -> Doc:
    """An end of line, and the comments above what follows."""
    comments = _lead(following)
    return Row(Hard(is_gap=first_token(following).has_gap and not comments), *comments)


def _trailing(following: Token) -> list[Doc]:
    """The indented comments below a declaration, which are its own, as an arm is that somebody commented out."""
    own = list(takewhile(lambda one: one.is_indented, following.above))
    following.above = following.above[len(own) :]
    return [Indented(Row(Hard(is_gap=one.has_gap), Comment(one.text, is_own=True))) for one in own]


class _Layout:
    """The document of each kind of node; what has no rule of its own is a row of words with brackets in it."""

    def __init__(self) -> None:
        self._rules: dict[str, Callable[[Part], Doc]] = {
            "if": self._if,
            "let": self._let,
            "loop": self._loop,
            "event_names": self._filled,
            "function": self._body,
            "event": self._event,
            "upcast": self._upcast,
            **dict.fromkeys(("becomes", "becomes_when", "becomes_else"), self._body),
            "handler": self._handler,
            "arms": self._arms,
            "arm": self._body,
            "otherwise": self._body,
            "test": self._test,
            "given": self._given,
            **dict.fromkeys(("default", "field_value", "key_value", "case", "set_path", "add_path"), self._assigned),
            **dict.fromkeys(_CHAINS, self._chain),
        }

    def program(self, part: Part, end: Token) -> Doc:
        """A whole file; `end` holds its last comments."""
        rows: list[Doc] = []
        for one in part.inside:
            rows += [*_trailing(first_token(one)), Row(_new_line(one), self.doc(one, part.rule))]
        return Row(*rows, *_trailing(end), _token(end))

    def doc(self, element: Element, rule: str) -> Doc:
        """The document of an element that stands in a node of this rule."""
        match element:
            case Token():
                return _token(element)
            case Bracket():
                return self._bracket(element, rule)
            case Part():
                return self._rules.get(element.rule, self._row)(element)

    def _row(self, part: Part) -> Doc:
        return self._words(part.inside, part.rule)

    def _words(self, elements: Sequence[Element], rule: str) -> Doc:
        """Elements on one line, with spaces where they belong."""
        docs = [*_lead(elements[0]), self.doc(elements[0], rule)]
        for one, other in pairwise(elements):
            if not _is_tight(one, other, rule):
                docs.append(Text(" "))
            docs += [*_lead(other), self.doc(other, rule)]
        return Row(*docs)

    # brackets

    def _bracket(self, bracket: Bracket, rule: str) -> Doc:
        opening, comments, closing = _token(bracket.opening), Row(*_lead(bracket.closing)), _token(bracket.closing)
        if not bracket.inside:
            return Row(opening, Indented(comments), closing)
        items = _items(bracket.inside)
        has_comma = isinstance(bracket.inside[-1], Token) and bracket.inside[-1].text == ","
        docs: list[Doc] = []
        for index, (item, comma) in enumerate(items):
            if index:
                docs.append(Line())
            if first_token(item[0]).has_gap and not first_token(item[0]).above:
                docs.append(Broken(Hard(is_gap=True)))
            docs.append(self._item(item, rule))
            if comma is not None:
                docs.append(_token(comma))
        if not has_comma and _takes_comma(bracket, rule):
            docs.append(Broken(Text(",")))
        padding = Line(_padding(bracket))
        return Group(Row(opening, Indented(Row(padding, *docs, comments)), padding, closing), is_broken=has_comma)

    def _item(self, elements: Sequence[Element], rule: str) -> Doc:
        """One item of a bracket; the clauses of a comprehension begin lines of their own."""
        at = next((i for i, one in enumerate(elements) if isinstance(one, Part) and one.rule in _CLAUSES), None)
        if not at:
            return self._words(elements, rule)
        docs = [self._words(elements[:at], rule)]
        for one in elements[at:]:
            is_clause = isinstance(one, Part) and one.rule in _CLAUSES
            docs += [Line() if is_clause else Text(" "), self.doc(one, rule)]
        return Row(*docs)

    def _loop(self, part: Part) -> Doc:
        last = part.inside[-1]
        if isinstance(last, Part) and last.rule == "filter":
            return Row(self._words(part.inside[:-1], part.rule), Line(), self.doc(last, part.rule))
        return self._row(part)

    # expressions

    def _chain(self, part: Part) -> Doc:
        """Operands with their operators before them."""
        first, *rest = part.inside
        docs: list[Doc] = []
        for one, other in pairwise((first, *rest)):
            starts_line = isinstance(other, Token) and not (isinstance(one, Token) and other.text == "in")
            docs += [Line() if starts_line else Text(" "), self.doc(other, part.rule)]
        return Group(Row(self.doc(first, part.rule), Indented(Row(*docs))))

    def _if(self, part: Part) -> Doc:
        return Group(Row(*self._branches(part)))

    def _branches(self, part: Part) -> Iterator[Doc]:
        """`if a then b`, and each `else`; a chain of them is one group."""
        at = {token.text: index for index, token in enumerate(part.inside) if isinstance(token, Token)}
        condition = self._words(part.inside[: at["then"]], part.rule)
        yes = self._words(part.inside[at["then"] : at["else"]], part.rule)
        yield Group(Row(condition, Indented(Row(Line(), yes))))
        yield Line()
        word, *no = part.inside[at["else"] :]
        if len(no) == 1 and isinstance(no[0], Part) and no[0].rule == "if":
            yield Row(self.doc(word, part.rule), Text(" "))
            yield from self._branches(no[0])
        else:
            yield self._words((word, *no), part.rule)

    def _let(self, part: Part) -> Doc:
        end = next(i for i, one in enumerate(part.inside) if isinstance(one, Token) and one.text == ";")
        body = part.inside[end + 1 :]
        value = self._assigned(Part(part.rule, part.inside[:end]))
        return Row(value, _token(cast("Token", part.inside[end])), _new_line(body[0]), self._words(body, part.rule))

    def _assigned(self, part: Part) -> Doc:
        """`name = value`: a value in brackets begins beside the sign, any other that does not fit below it."""
        signs = (":", "=", "=>", "+=", "-=")
        at = max(i for i, one in enumerate(part.inside) if isinstance(one, Token) and one.text in signs)
        head, value = part.inside[: at + 1], part.inside[at + 1 :]
        left, right = self._words(head, part.rule), self._words(value, part.rule)
        if len(value) == 1 and isinstance(value[0], Part) and value[0].rule in _HUGGED:
            return Row(left, Text(" "), right)
        return Row(left, Group(Indented(Row(Line(), right))))

    # declarations

    def _filled(self, part: Part) -> Doc:
        """Names with commas, as many to a line as fit."""
        docs: list[Doc] = []
        for index, (item, comma) in enumerate(_items(part.inside)):
            name = Row(self._words(item, part.rule), *([] if comma is None else [_token(comma)]))
            docs.append(Group(Row(Line(), name)) if index else name)
        return Row(*docs)

    def _body(self, part: Part) -> Doc:
        """A head up to `=>` or `=`, and what follows from it, on a line of its own where the whole is not short."""
        at = next(i for i, one in enumerate(part.inside) if isinstance(one, Token) and one.text in ("=>", "="))
        return self._below(self._words(part.inside[: at + 1], part.rule), part.inside[at + 1 :], part.rule)

    def _below(self, head: Doc, body: Sequence[Element], rule: str) -> Doc:
        if (
            len(body) == 1
            and isinstance(body[0], Part)
            and body[0].rule in _BRACKETS
            and not first_token(body[0]).above
        ):
            return Row(head, Hanging(self.doc(body[0], rule), SHORT))
        return Group(Row(head, Indented(Row(Line(), self._words(body, rule)))), SHORT)

    def _event(self, part: Part) -> Doc:
        """A declaration, and its old forms on lines of their own."""
        olds = [one for one in part.inside if isinstance(one, Part) and one.rule == "upcast"]
        head = self._words(part.inside[: len(part.inside) - len(olds)], part.rule)
        return Row(head, Indented(Row(*(Row(_new_line(one), self.doc(one, part.rule)) for one in olds))))

    def _upcast(self, part: Part) -> Doc:
        at = next(i for i, one in enumerate(part.inside) if isinstance(one, Part) and one.rule != "binding")
        head, arms = self._words(part.inside[:at], part.rule), part.inside[at:]
        if isinstance(first := arms[0], Part) and first.rule == "becomes":
            sign, *result = first.inside
            return self._below(Row(head, Text(" "), self.doc(sign, first.rule)), result, first.rule)
        return Row(head, Indented(Row(*(Row(_new_line(one), self.doc(one, part.rule)) for one in arms))))

    def _handler(self, part: Part) -> Doc:
        word, names, *rest, body = part.inside
        clauses = [i for i, one in enumerate(rest) if isinstance(one, Part) and one.rule in ("each", "target")]
        starts = sorted({0, *clauses})
        docs: list[Doc] = []
        for start, end in pairwise((*starts, len(rest))):
            docs += [Line(), self._words(rest[start:end], part.rule)]
        head = Group(Row(self.doc(word, part.rule), Text(" "), Indented(Row(self.doc(names, part.rule), *docs))))
        if not isinstance(body, Part) or body.rule == "arms":
            return Row(head, self.doc(body, part.rule))
        sign, *result = body.inside
        return self._below(Row(head, Text(" "), self.doc(sign, body.rule)), result, body.rule)

    def _arms(self, part: Part) -> Doc:
        return Indented(Row(*(Row(_new_line(one), self.doc(one, part.rule)) for one in part.inside)))

    def _test(self, part: Part) -> Doc:
        *head, block = part.inside
        bracket = cast("Bracket", block)
        rows = [Row(_new_line(one), self.doc(one, part.rule)) for one in bracket.inside]
        comments = _lead(bracket.closing)
        end = [Hard()] if rows or comments else []
        inside = Indented(Row(*rows, *comments))
        return Row(
            self._words(head, part.rule),
            Text(" "),
            _token(bracket.opening),
            inside,
            *end,
            _token(bracket.closing),
        )

    def _given(self, part: Part) -> Doc:
        """An event of a test; what is said of its message stands on the same line, or below it."""
        clauses = ("stored_at", "subject", "headers")
        of_message = [i for i, one in enumerate(part.inside) if isinstance(one, Part) and one.rule in clauses]
        if not of_message:
            return self._row(part)
        head, rest = part.inside[: of_message[0]], part.inside[of_message[0] : -1]
        docs = [Row(Line(), *_lead(one), self.doc(one, part.rule)) for one in rest]
        return Group(Row(self._words(head, part.rule), Indented(Row(*docs)), self.doc(part.inside[-1], part.rule)))


def _items(elements: Sequence[Element]) -> list[tuple[list[Element], Token | None]]:
    """The items that commas part, each with its comma."""
    found: list[tuple[list[Element], Token | None]] = []
    item: list[Element] = []
    for element in elements:
        if isinstance(element, Token) and element.text == ",":
            found.append((item, element))
            item = []
        else:
            item.append(element)
    return [*found, (item, None)] if item else found


def _takes_comma(bracket: Bracket, rule: str) -> bool:
    """Whether the grammar allows a comma behind the last item."""
    last = bracket.inside[-1]
    if last_token(last).text == "..." or any(isinstance(one, Part) and one.rule in _CLAUSES for one in bracket.inside):
        return False
    match bracket.opening.text:
        case "(":
            return bracket.is_applied and rule != "view_of"
        case "[":
            return rule in ("list", "json_list")
        case _:
            return True


def _padding(bracket: Bracket) -> str:
    """Records have a space inside their braces; maps, of `[key]: value` and `...map`, have none."""
    first = first_token(bracket.inside[0]).text
    return " " if bracket.opening.text == "{" and first not in ("[", "...") else ""


def _is_tight(one: Element, other: Element, rule: str) -> bool:
    if rule in _TIGHT or first_token(other).text in _NO_SPACE_BEFORE or last_token(one).text in _NO_SPACE_BEHIND:
        return True
    if isinstance(other, Bracket) and other.is_applied:
        return True
    return rule == "type_arguments" and ((isinstance(one, Token) and one.text == "<") or first_token(other).text == ">")
