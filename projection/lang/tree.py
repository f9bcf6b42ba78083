"""Lark's tree → the syntax tree, node for node."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from projection.lang import diagnostics as diag
from projection.lang import syntax as syn
from projection.lang.source import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lark import Token, Tree

    from projection.lang.diagnostics import Diagnostic

    Node = Tree[Token]

MAX_DEPTH = 64
MAX_OPERANDS = 100  # of one chain such as a + b + c: executors go as deep as it is long

_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t", "{": "{", "}": "}"}
_UNICODE_ESCAPE = re.compile(r"u\{([0-9A-Fa-f]{1,6})\}")


class UnreadableError(Exception):
    """What stands here is no part of a program; it carries one diagnostic to the next place of recovery."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


def _trees(tree: Node) -> list[Node]:
    return [child for child in tree.children if not isinstance(child, str)]


def _tokens(tree: Node) -> list[Token]:
    return [child for child in tree.children if isinstance(child, str)]


def _token(tree: Node, index: int) -> Token:
    return _tokens(tree)[index]


def _child(tree: Node, data: str) -> Node | None:
    return next((child for child in _trees(tree) if child.data == data), None)


def integer(text: str) -> int:
    """The number that digits are; of one that no place takes only so much that it stays too large."""
    digits = int(text.lstrip("-0")[:40] or "0")
    return -digits if text.startswith("-") else digits


class Builder:
    """Turns Lark's trees into syntax nodes.

    `read` parses a stretch of text from a start symbol, given where it begins in the file: strings hold expressions.
    `offset` is where the stretch begins that is being built.
    """

    def __init__(self, read: Callable[[str, str, int], Node], offset: int, depth: int = 0) -> None:
        self.read = read
        self.offset = offset
        self.depth = depth

    def span(self, node: Node | Token) -> Span:
        """The node's place in the file."""
        if isinstance(node, str):
            start = cast("int", node.start_pos)
            return Span(self.offset + start, self.offset + start + len(node))
        return Span(self.offset + node.meta.start_pos, self.offset + node.meta.end_pos)

    # declarations

    def program(self, tree: Node) -> syn.Program:
        """A whole file."""
        head, name, *rest = _trees(tree)
        return syn.Program(
            (integer(_token(head, 0)), self.span(head)),
            (str(_token(name, 0)), self.span(name)),
            tuple(self.declaration(one) for one in rest),
        )

    def declaration(self, tree: Node) -> syn.Declaration:
        """Any declaration."""
        return cast("syn.Declaration", getattr(self, f"_{tree.data}")(tree))

    def _event(self, tree: Node) -> syn.Event:
        name = _token(tree, 0)
        of = _child(tree, "of")
        aggregate_type = self._plain_text(_token(of, 0)) if of is not None else None
        return syn.Event(
            self.span(tree), str(name), self.span(name), self._wires(tree), aggregate_type, self._fields(tree)
        )

    def _record(self, tree: Node) -> syn.Record:
        name = _token(tree, 0)
        return syn.Record(self.span(tree), str(name), self.span(name), self._fields(tree))

    def _alias(self, tree: Node) -> syn.Alias:
        name = _token(tree, 0)
        return syn.Alias(self.span(tree), str(name), self.span(name), self.type(_trees(tree)[0]))

    def _view(self, tree: Node) -> syn.View:
        name = _token(tree, 0)
        return syn.View(self.span(tree), str(name), self.span(name), self._fields(tree))

    def _fields(self, tree: Node) -> tuple[syn.Field, ...]:
        return tuple(self._field(child) for child in _trees(tree) if child.data == "field")

    def _field(self, tree: Node) -> syn.Field:
        tokens = _tokens(tree)
        default, type_ = _child(tree, "default"), cast("Node", _child(tree, "type"))
        value = self.expression(_trees(default)[0]) if default is not None else None
        return syn.Field(self.span(tree), str(tokens[0]), len(tokens) > 1, self.type(type_), self._wires(tree), value)

    def _wires(self, tree: Node) -> tuple[str, ...]:
        wires = _child(tree, "wires")
        return tuple(self._plain_text(token) for token in _tokens(wires)) if wires is not None else ()

    def _index(self, tree: Node) -> syn.Index:
        keys = ((str(_token(key, 0)), len(_tokens(key)) > 1, self.span(key)) for key in _trees(tree))
        return syn.Index(self.span(tree), tuple(keys))

    def type(self, tree: Node) -> syn.TypeName:
        """A type as it was written."""
        self._enter(tree)
        arguments, sizes = _child(tree, "type_arguments"), _child(tree, "type_sizes")
        found = tuple(self.type(child) for child in _trees(arguments)) if arguments is not None else ()
        values = list[int | str]()
        is_open = False
        for token in _tokens(sizes) if sizes is not None else ():
            if token.type == "INT":
                values.append(integer(token))
            elif token.type == "OPEN":
                is_open = True
            else:
                values.append(self._plain_text(token) if token.type == "STRING" else str(token))
        optional = any(token.type == "OPTIONAL" for token in _tokens(tree))
        self.depth -= 1
        return syn.TypeName(self.span(tree), str(_token(tree, 0)), found, tuple(values), is_open, optional)

    def _function(self, tree: Node) -> syn.Function:
        name = _token(tree, 0)
        *parameters, type_, body = _trees(tree)
        built = (syn.Parameter(self.span(p), str(_token(p, 0)), self.type(_trees(p)[0])) for p in parameters)
        return syn.Function(
            self.span(tree), str(name), self.span(name), tuple(built), self.type(type_), self.expression(body)
        )

    def _handler(self, tree: Node) -> syn.Handler:
        events, binding, each = cast("Node", _child(tree, "event_names")), _child(tree, "binding"), _child(tree, "each")
        *_, id_, body = _trees(tree)
        arms = list[syn.Arm]()
        if body.data == "arrow":
            arms.append(syn.Arm(self.span(body), None, self._result(_trees(body)[0])))
        for arm in _trees(body) if body.data == "arms" else ():
            *condition, result = _trees(arm)
            test = self.expression(condition[0]) if condition else None
            arms.append(syn.Arm(self.span(arm), test, self._result(result)))
        return syn.Handler(
            self.span(tree),
            tuple((str(token), self.span(token)) for token in _tokens(events)),
            str(_token(binding, 0)) if binding is not None else None,
            self._loop(each) if each is not None else None,
            str(_token(cast("Node", _child(tree, "target")), 0)),
            self.expression(id_),
            tuple(arms),
        )

    def _result(self, tree: Node) -> syn.Result:
        if tree.data == "keep":
            return syn.Keep(self.span(tree))
        if tree.data == "delete":
            return syn.Delete(self.span(tree))
        return self.expression(tree)

    # expressions

    def _enter(self, node: Node | Token) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnreadableError(diag.nested_too_deeply(self.span(node), MAX_DEPTH))

    def expression(self, node: Node | Token) -> syn.Expression:
        """Any expression."""
        self._enter(node)
        tree = cast("Node", node)
        built = cast("syn.Expression", getattr(self, f"_x_{tree.data}")(tree, self.span(tree)))
        self.depth -= 1
        return built

    def _two(self, tree: Node) -> Iterator[syn.Expression]:
        return (self.expression(child) for child in _trees(tree))

    def _x_let(self, tree: Node, span: Span) -> syn.Let:
        name, children = _token(tree, 0), _trees(tree)
        type_ = self.type(children[0]) if len(children) == 3 else None
        value, body = (self.expression(child) for child in children[-2:])
        return syn.Let(span, str(name), self.span(name), type_, value, body)

    def _x_if(self, tree: Node, span: Span) -> syn.If:
        condition, yes, no = self._two(tree)
        return syn.If(span, condition, yes, no)

    def _x_with(self, tree: Node, span: Span) -> syn.With:
        base, *updates = _trees(tree)
        return syn.With(span, self.expression(base), tuple(self._update(update) for update in updates))

    def _update(self, tree: Node) -> syn.Update:
        span = self.span(tree)
        if tree.data == "set_short":
            name = str(_token(tree, 0))
            return syn.Update(span, (name,), (span,), ":", syn.Name(span, name))
        children = _trees(tree)
        path, spans = self._path(children[0])
        if tree.data == "drop_path":
            return syn.Update(span, path, spans, "drop", None)
        operator = ":" if tree.data == "set_path" else str(_token(tree, 0))
        return syn.Update(span, path, spans, operator, self.expression(children[1]))

    def _path(self, tree: Node) -> tuple[tuple[str | syn.Expression, ...], tuple[Span, ...]]:
        first = self.span(_token(tree, 0))
        steps = (
            str(_token(step, 0)) if step.data == "path_field" else self.expression(_trees(step)[0])
            for step in _trees(tree)
        )
        spans = (Span(first.start, self.span(step).end) for step in _trees(tree))
        return (str(_token(tree, 0)), *steps), (first, *spans)

    def _chain(self, tree: Node, span: Span, operators: tuple[str, ...]) -> syn.Chain:
        operands = tuple(self._two(tree))
        if len(operands) > MAX_OPERANDS:
            raise UnreadableError(diag.nested_too_deeply(span, MAX_OPERANDS))
        return syn.Chain(span, operators, operands)

    def _x_or(self, tree: Node, span: Span) -> syn.Chain:
        return self._chain(tree, span, ("or",) * (len(_trees(tree)) - 1))

    def _x_and(self, tree: Node, span: Span) -> syn.Chain:
        return self._chain(tree, span, ("and",) * (len(_trees(tree)) - 1))

    def _x_sum(self, tree: Node, span: Span) -> syn.Chain:
        return self._chain(tree, span, tuple(str(token) for token in _tokens(tree)))

    def _x_product(self, tree: Node, span: Span) -> syn.Chain:
        return self._chain(tree, span, ("*",) * (len(_trees(tree)) - 1))

    def _x_not(self, tree: Node, span: Span) -> syn.Unary:
        return syn.Unary(span, "not", self.expression(_trees(tree)[0]))

    def _x_negative(self, tree: Node, span: Span) -> syn.Unary:
        return syn.Unary(span, "-", self.expression(_trees(tree)[0]))

    def _x_compare(self, tree: Node, span: Span) -> syn.Compare:
        left, right = self._two(tree)
        return syn.Compare(span, str(_token(tree, 0)), left, right)

    def _x_membership(self, tree: Node, span: Span) -> syn.Compare:
        left, right = self._two(tree)
        return syn.Compare(span, "not in" if _tokens(tree) else "in", left, right)

    def _x_coalesce(self, tree: Node, span: Span) -> syn.Coalesce:
        left, right = self._two(tree)
        return syn.Coalesce(span, left, right)

    def _x_get(self, tree: Node, span: Span, *, optional: bool = False) -> syn.Get:
        name = _token(tree, -1)
        return syn.Get(span, self.expression(_trees(tree)[0]), str(name), self.span(name), optional)

    def _x_get_optional(self, tree: Node, span: Span) -> syn.Get:
        return self._x_get(tree, span, optional=True)

    def _x_at(self, tree: Node, span: Span) -> syn.At:
        base, key = self._two(tree)
        return syn.At(span, base, key)

    def _x_assert_present(self, tree: Node, span: Span) -> syn.Present:
        return syn.Present(span, self.expression(_trees(tree)[0]))

    def _x_int(self, tree: Node, span: Span) -> syn.Literal:
        return syn.Literal(span, integer(_token(tree, 0)))

    def _x_decimal(self, tree: Node, span: Span) -> syn.Literal:
        return syn.Literal(span, Decimal(_token(tree, 0)))

    def _x_true(self, _tree: Node, span: Span) -> syn.Literal:
        return syn.Literal(span, value=True)

    def _x_false(self, _tree: Node, span: Span) -> syn.Literal:
        return syn.Literal(span, value=False)

    def _x_none(self, _tree: Node, span: Span) -> syn.Literal:
        return syn.Literal(span, None)

    def _x_name(self, tree: Node, span: Span) -> syn.Name:
        return syn.Name(span, str(_token(tree, 0)))

    def _x_view_name(self, _tree: Node, span: Span) -> syn.Name:
        return syn.Name(span, "view")

    def _x_call(self, tree: Node, span: Span) -> syn.Call:
        name = _token(tree, 0)
        return syn.Call(span, str(name), self.span(name), tuple(self._two(tree)))

    def _x_aggregate(self, tree: Node, span: Span) -> syn.Aggregate:
        name = _token(tree, 0)
        body, loop = _trees(tree)
        return syn.Aggregate(span, str(name), self.span(name), self.expression(body), self._loop(loop))

    def _loop(self, tree: Node) -> syn.Loop:
        source, *condition = _trees(tree)
        test = self.expression(_trees(condition[0])[0]) if condition else None
        names = tuple(str(token) for token in _tokens(tree))
        return syn.Loop(self.span(tree), names, self.expression(source), test)

    def _x_list_for(self, tree: Node, span: Span) -> syn.ListFor:
        body, loop = _trees(tree)
        return syn.ListFor(span, self.expression(body), self._loop(loop))

    def _x_map_for(self, tree: Node, span: Span) -> syn.MapFor:
        key, value, loop = _trees(tree)
        return syn.MapFor(span, self.expression(key), self.expression(value), self._loop(loop))

    def _x_match(self, tree: Node, span: Span) -> syn.Match:
        subject, *cases = _trees(tree)
        return syn.Match(span, self.expression(subject), tuple(self._case(case) for case in cases))

    def _case(self, tree: Node) -> syn.Case:
        patterns = tuple(self._pattern(child) for child in _trees(tree) if child.data == "pattern")
        guard = _child(tree, "filter")
        test = self.expression(_trees(guard)[0]) if guard is not None else None
        return syn.Case(self.span(tree), patterns, test, self.expression(_trees(tree)[-1]))

    def _pattern(self, tree: Node) -> syn.Pattern:
        span = self.span(tree)
        text = "".join(_tokens(tree))
        kind = _tokens(tree)[-1].type
        if kind == "STRING":
            return syn.Pattern(span, syn.Text(span, (self._plain_text(_token(tree, 0)),)), None)
        if kind in ("INT", "DECIMAL"):
            return syn.Pattern(span, syn.Literal(span, integer(text) if kind == "INT" else Decimal(text)), None)
        if text in ("true", "false", "none"):
            return syn.Pattern(span, syn.Literal(span, {"true": True, "false": False, "none": None}[text]), None)
        return syn.Pattern(span, None, None if text == "_" else text)

    def _x_braces(self, tree: Node, span: Span) -> syn.Braces:
        entries: list[syn.FieldValue | syn.KeyValue | syn.Spread] = []
        for entry in _trees(tree):
            at = self.span(entry)
            if entry.data == "field_value":
                entries.append(syn.FieldValue(at, str(_token(entry, 0)), self.expression(_trees(entry)[0])))
            elif entry.data == "field_short":
                entries.append(syn.FieldValue(at, str(_token(entry, 0)), syn.Name(at, str(_token(entry, 0)))))
            elif entry.data == "key_value":
                key, value = self._two(entry)
                entries.append(syn.KeyValue(at, key, value))
            else:
                entries.append(syn.Spread(at, self.expression(_trees(entry)[0])))
        return syn.Braces(span, tuple(entries))

    def _x_list(self, tree: Node, span: Span) -> syn.ListOf:
        items = (
            syn.Spread(self.span(item), self.expression(_trees(item)[0]))
            if item.data == "spread"
            else self.expression(item)
            for item in _trees(tree)
        )
        return syn.ListOf(span, tuple(items))

    # strings

    def _plain_text(self, token: Token) -> str:
        parts = self._text(token)
        if any(not isinstance(part, str) for part in parts):
            raise UnreadableError(diag.bad_interpolation(self.span(token), "an expression has no place"))
        return "".join(cast("tuple[str, ...]", parts))

    def _x_string(self, tree: Node, span: Span) -> syn.Text:
        return syn.Text(span, self._text(_token(tree, 0)))

    def _text(self, token: Token) -> tuple[str | syn.Expression, ...]:
        """The parts of a string literal; expressions are parsed where they stand, so carets land inside the string."""
        start = self.offset + cast("int", token.start_pos)
        body, at, plain = str(token), 1, ""
        parts = list[str | syn.Expression]()
        while at < len(body) - 1:
            character = body[at]
            if character == "\\":
                text, length = self._escape(body, at, start)
                plain, at = plain + text, at + length
            elif character == "{":
                if (end := body.find("}", at)) < 0 or not body[at + 1 : end].strip():
                    raise UnreadableError(
                        diag.bad_interpolation(Span(start + at, start + at + 1), "`{` holds no expression")
                    )
                if plain:
                    parts.append(plain)
                plain = ""
                tree = self.read(body[at + 1 : end], "expr", start + at + 1)
                parts.append(Builder(self.read, start + at + 1, self.depth).expression(tree))
                at = end + 1
            elif character == "}":
                raise UnreadableError(diag.bad_interpolation(Span(start + at, start + at + 1), "a lone `}`"))
            else:
                plain, at = plain + character, at + 1
        if plain or not parts:
            parts.append(plain)
        return tuple(parts)

    def _escape(self, body: str, at: int, start: int) -> tuple[str, int]:
        if (simple := _ESCAPES.get(body[at + 1])) is not None:
            return simple, 2
        match = _UNICODE_ESCAPE.match(body, at + 1)
        if match and (point := int(match[1], 16)) <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF:
            return chr(point), 1 + len(match[0])
        raise UnreadableError(diag.bad_escape(Span(start + at, start + at + 2), body[at : at + 2]))
