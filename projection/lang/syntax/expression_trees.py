"""The parser's tree → the syntax tree of expressions, node for node."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from projection.lang import diagnostics as diag
from projection.lang.failures import Failure
from projection.lang.source import Span
from projection.lang.steps import tick
from projection.lang.syntax import nodes as syn
from projection.lang.syntax.texts import Texts, UnreadableError
from projection.lang.values.times import checked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.lang.syntax.lalr import Node, Token

MAX_DEPTH = 64
MAX_OPERANDS = 100  # of one chain such as a + b + c: executors go as deep as it is long

_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def trees(tree: Node) -> list[Node]:
    """The children that are trees."""
    return [child for child in tree.children if not isinstance(child, str)]


def tokens(tree: Node) -> list[Token]:
    """The children that are tokens."""
    return [child for child in tree.children if isinstance(child, str)]


def token(tree: Node, index: int) -> Token:
    """One of the children that are tokens."""
    return tokens(tree)[index]


def child(tree: Node, data: str) -> Node | None:
    """The first child of this kind."""
    return next((one for one in trees(tree) if one.data == data), None)


def integer(text: str) -> int:
    """The number that digits are; of one that no place takes only so much that it stays too large."""
    digits = int(text.lstrip("-0")[:40] or "0")
    return -digits if text.startswith("-") else digits


def literal(text: str, kind: str) -> int | Decimal | bool | None:
    """What a literal's text means; `kind` is its last token's."""
    if kind in ("INT", "DECIMAL"):
        return integer(text) if kind == "INT" else Decimal(text)
    return {"true": True, "false": False, "none": None}[text]


class ExpressionTrees(Texts):
    """Builds types and expressions. See `tree.Builder`, which it is a part of."""

    def type(self, tree: Node) -> syn.TypeName:
        """A type as it was written."""
        self.enter(tree)
        arguments, sizes = child(tree, "type_arguments"), child(tree, "type_sizes")
        found = tuple(self.type(one) for one in trees(arguments)) if arguments is not None else ()
        values = list[int | str]()
        is_open = False
        for one in tokens(sizes) if sizes is not None else ():
            if one.type == "INT":
                values.append(integer(one))
            elif one.type == "OPEN":
                is_open = True
            else:
                values.append(self.plain_text(one) if one.type == "STRING" else str(one))
        optional = any(one.type == "OPTIONAL" for one in tokens(tree))
        self.depth -= 1
        return syn.TypeName(self.span(tree), str(token(tree, 0)), found, tuple(values), is_open, optional)

    def enter(self, node: Node | Token) -> None:
        """One level deeper.

        Raises:
            UnreadableError: that is too deep.
        """
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnreadableError(diag.nested_too_deeply(self.span(node), MAX_DEPTH))

    def expression(self, node: Node | Token) -> syn.Expression:
        """Any expression."""
        tick()
        self.enter(node)
        tree = cast("Node", node)
        built = cast("syn.Expression", getattr(self, f"_x_{tree.data}")(tree, self.span(tree)))
        self.depth -= 1
        return built

    def _two(self, tree: Node) -> Iterator[syn.Expression]:
        return (self.expression(one) for one in trees(tree))

    def _x_let(self, tree: Node, span: Span) -> syn.Let:
        name, children = token(tree, 0), trees(tree)
        type_ = self.type(children[0]) if len(children) == 3 else None
        value, body = (self.expression(one) for one in children[-2:])
        return syn.Let(span, str(name), self.span(name), type_, value, body)

    def _x_if(self, tree: Node, span: Span) -> syn.If:
        condition, yes, no = self._two(tree)
        return syn.If(span, condition, yes, no)

    def _x_with(self, tree: Node, span: Span) -> syn.With:
        base, *updates = trees(tree)
        return syn.With(span, self.expression(base), tuple(self._update(update) for update in updates))

    def _update(self, tree: Node) -> syn.Update:
        span = self.span(tree)
        if tree.data == "set_short":
            name = str(token(tree, 0))
            return syn.Update(span, (name,), (span,), ":", syn.Name(span, name))
        children = trees(tree)
        path, spans = self._path(children[0])
        if tree.data == "drop_path":
            return syn.Update(span, path, spans, "drop", None)
        operator = ":" if tree.data == "set_path" else str(token(tree, 0))
        return syn.Update(span, path, spans, operator, self.expression(children[1]))

    def _path(self, tree: Node) -> tuple[tuple[str | syn.Expression, ...], tuple[Span, ...]]:
        first = self.span(token(tree, 0))
        steps = (
            str(token(step, 0)) if step.data == "path_field" else self.expression(trees(step)[0])
            for step in trees(tree)
        )
        spans = (Span(first.start, self.span(step).end) for step in trees(tree))
        return (str(token(tree, 0)), *steps), (first, *spans)

    def _chain(self, tree: Node, span: Span, operators: tuple[str, ...]) -> syn.Chain:
        operands = tuple(self._two(tree))
        if len(operands) > MAX_OPERANDS:
            raise UnreadableError(diag.nested_too_deeply(span, MAX_OPERANDS))
        return syn.Chain(span, operators, operands)

    def _x_or(self, tree: Node, span: Span) -> syn.Chain:
        return self._chain(tree, span, ("or",) * (len(trees(tree)) - 1))

    def _x_and(self, tree: Node, span: Span) -> syn.Chain:
        return self._chain(tree, span, ("and",) * (len(trees(tree)) - 1))

    def _x_sum(self, tree: Node, span: Span) -> syn.Chain:
        return self._chain(tree, span, tuple(str(one) for one in tokens(tree)))

    def _x_product(self, tree: Node, span: Span) -> syn.Chain:
        return self._chain(tree, span, ("*",) * (len(trees(tree)) - 1))

    def _x_not(self, tree: Node, span: Span) -> syn.Unary:
        return syn.Unary(span, "not", self.expression(trees(tree)[0]))

    def _x_negative(self, tree: Node, span: Span) -> syn.Unary:
        return syn.Unary(span, "-", self.expression(trees(tree)[0]))

    def _x_compare(self, tree: Node, span: Span) -> syn.Compare:
        left, right = self._two(tree)
        return syn.Compare(span, str(token(tree, 0)), left, right)

    def _x_membership(self, tree: Node, span: Span) -> syn.Compare:
        left, right = self._two(tree)
        return syn.Compare(span, "not in" if tokens(tree) else "in", left, right)

    def _x_coalesce(self, tree: Node, span: Span) -> syn.Coalesce:
        left, right = self._two(tree)
        return syn.Coalesce(span, left, right)

    def _x_get(self, tree: Node, span: Span, *, optional: bool = False) -> syn.Get:
        name = token(tree, -1)
        return syn.Get(span, self.expression(trees(tree)[0]), str(name), self.span(name), optional)

    def _x_get_optional(self, tree: Node, span: Span) -> syn.Get:
        return self._x_get(tree, span, optional=True)

    def _x_at(self, tree: Node, span: Span, *, optional: bool = False) -> syn.At:
        base, key = self._two(tree)
        return syn.At(span, base, key, optional)

    def _x_at_optional(self, tree: Node, span: Span) -> syn.At:
        return self._x_at(tree, span, optional=True)

    def _x_assert_present(self, tree: Node, span: Span) -> syn.Present:
        return syn.Present(span, self.expression(trees(tree)[0]))

    def _x_int(self, tree: Node, span: Span) -> syn.Literal:
        return syn.Literal(span, integer(token(tree, 0)))

    def _x_decimal(self, tree: Node, span: Span) -> syn.Literal:
        return syn.Literal(span, Decimal(token(tree, 0)))

    def _x_duration(self, tree: Node, span: Span) -> syn.Literal:
        text = str(token(tree, 0))
        number = text.rstrip("dhms")
        try:
            return syn.Literal(span, checked(timedelta(**{_UNITS[text[len(number) :]]: integer(number)})))
        except (OverflowError, Failure):
            raise UnreadableError(diag.duration_too_long(span)) from None

    def _x_true(self, _tree: Node, span: Span) -> syn.Literal:
        return syn.Literal(span, value=True)

    def _x_false(self, _tree: Node, span: Span) -> syn.Literal:
        return syn.Literal(span, value=False)

    def _x_none(self, _tree: Node, span: Span) -> syn.Literal:
        return syn.Literal(span, None)

    def _x_name(self, tree: Node, span: Span) -> syn.Name:
        return syn.Name(span, str(token(tree, 0)))

    def _x_view_name(self, _tree: Node, span: Span) -> syn.Name:
        return syn.Name(span, "view")

    def _x_call(self, tree: Node, span: Span) -> syn.Call:
        name = token(tree, 0)
        return syn.Call(span, str(name), self.span(name), tuple(self._two(tree)))

    def _x_view_of(self, tree: Node, span: Span) -> syn.Call:
        return syn.Call(span, "view", Span(span.start, span.start + len("view")), tuple(self._two(tree)))

    def _x_aggregate(self, tree: Node, span: Span) -> syn.Aggregate:
        name = token(tree, 0)
        body, *_keys, loop = trees(tree)
        return syn.Aggregate(span, str(name), self.span(name), self.expression(body), self._sort(tree), self.loop(loop))

    def _x_fold(self, tree: Node, span: Span) -> syn.Fold:
        word, name = tokens(tree)
        if word != "fold":
            raise UnreadableError(diag.unexpected(self.span(word), f"`{word}(… = …)`", ["`fold`"]))
        initial, loop, body = trees(tree)
        return syn.Fold(
            span, str(name), self.span(name), self.expression(initial), self.loop(loop), self.expression(body)
        )

    def _sort(self, tree: Node) -> tuple[syn.SortKey, ...]:
        sort = child(tree, "sort")
        keys = trees(sort) if sort is not None else ()
        return tuple(syn.SortKey(self.span(key), self.expression(trees(key)[0]), bool(tokens(key))) for key in keys)

    def loop(self, tree: Node) -> syn.Loop:
        """`for … in … if …`."""
        source, *condition = trees(tree)
        test = self.expression(trees(condition[0])[0]) if condition else None
        names = tokens(tree)
        spans = tuple(self.span(name) for name in names)
        return syn.Loop(self.span(tree), tuple(map(str, names)), spans, self.expression(source), test)

    def _x_list_for(self, tree: Node, span: Span) -> syn.ListFor:
        body, *_keys, loop = trees(tree)
        return syn.ListFor(span, self.expression(body), self._sort(tree), self.loop(loop))

    def _x_map_for(self, tree: Node, span: Span) -> syn.MapFor:
        key, value, loop = trees(tree)
        return syn.MapFor(span, self.expression(key), self.expression(value), self.loop(loop))

    def _x_match(self, tree: Node, span: Span) -> syn.Match:
        subject, *cases = trees(tree)
        return syn.Match(span, self.expression(subject), tuple(self._case(case) for case in cases))

    def _case(self, tree: Node) -> syn.Case:
        patterns = tuple(self._pattern(one) for one in trees(tree) if one.data == "pattern")
        guard = child(tree, "filter")
        test = self.expression(trees(guard)[0]) if guard is not None else None
        return syn.Case(self.span(tree), patterns, test, self.expression(trees(tree)[-1]))

    def _pattern(self, tree: Node) -> syn.Pattern:
        span = self.span(tree)
        text = "".join(tokens(tree))
        kind = tokens(tree)[-1].type
        if kind == "STRING":
            return syn.Pattern(span, syn.Text(span, (self.plain_text(token(tree, 0)),)), None)
        if kind in ("INT", "DECIMAL", "TRUE", "FALSE", "NONE"):
            return syn.Pattern(span, syn.Literal(span, literal(text, kind)), None)
        return syn.Pattern(span, None, None if text == "_" else text)

    def _x_braces(self, tree: Node, span: Span) -> syn.Braces:
        entries: list[syn.FieldValue | syn.KeyValue | syn.Spread] = []
        for entry in trees(tree):
            at = self.span(entry)
            if entry.data == "field_value":
                entries.append(syn.FieldValue(at, str(token(entry, 0)), self.expression(trees(entry)[0])))
            elif entry.data == "field_short":
                entries.append(syn.FieldValue(at, str(token(entry, 0)), syn.Name(at, str(token(entry, 0)))))
            elif entry.data == "key_value":
                key, value = self._two(entry)
                entries.append(syn.KeyValue(at, key, value))
            else:
                entries.append(syn.Spread(at, self.expression(trees(entry)[0])))
        return syn.Braces(span, tuple(entries))

    def _x_list(self, tree: Node, span: Span) -> syn.ListOf:
        items = (
            syn.Spread(self.span(item), self.expression(trees(item)[0]))
            if item.data == "spread"
            else self.expression(item)
            for item in trees(tree)
        )
        return syn.ListOf(span, tuple(items))

    def _x_string(self, tree: Node, span: Span) -> syn.Text:
        return syn.Text(span, self.text(token(tree, 0)))
