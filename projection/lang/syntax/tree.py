"""The parser's tree → the syntax tree of declarations, node for node."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from projection.lang.syntax import nodes as syn
from projection.lang.syntax.expression_trees import ExpressionTrees, child, integer, literal, token, tokens, trees

if TYPE_CHECKING:
    from decimal import Decimal

    from projection.lang.source import Span
    from projection.lang.syntax.lalr import Node, Token


class Builder(ExpressionTrees):
    """Turns the parser's trees into syntax nodes.

    `read` parses a stretch of text from a start symbol, given where it begins in the file: strings hold expressions.
    `offset` is where the stretch begins that is being built.
    """

    def program(self, tree: Node) -> syn.Program:
        """A whole file."""
        head, name, *rest = trees(tree)
        return syn.Program(
            (integer(token(head, 0)), self.span(head)),
            (str(token(name, 0)), self.span(name)),
            tuple(self.declaration(one) for one in rest),
        )

    def declaration(self, tree: Node) -> syn.Declaration:
        """Any declaration."""
        return cast("syn.Declaration", getattr(self, f"_{tree.data}")(tree))

    def _event(self, tree: Node) -> syn.Event:
        name = token(tree, 0)
        of = child(tree, "of")
        aggregate_type = self.plain_text(token(of, 0)) if of is not None else None
        upcasts = tuple(self._upcast(one) for one in trees(tree) if one.data == "upcast")
        return syn.Event(
            self.span(tree), str(name), self.span(name), self._wires(tree), aggregate_type, self._fields(tree), upcasts
        )

    def _upcast(self, tree: Node) -> syn.Upcast:
        name, binding, arms = token(tree, 0), child(tree, "binding"), list[syn.Made]()
        for arm in trees(tree):
            if arm.data != "binding":
                *condition, result = trees(arm)
                test = self.expression(condition[0]) if condition else None
                arms.append(syn.Made(self.span(arm), test, self.expression(result)))
        return syn.Upcast(
            self.span(tree),
            str(name),
            self.span(name),
            str(token(binding, 0)) if binding is not None else None,
            self.span(token(binding, 0)) if binding is not None else None,
            tuple(arms),
        )

    def _record(self, tree: Node) -> syn.Record:
        name = token(tree, 0)
        return syn.Record(self.span(tree), str(name), self.span(name), self._fields(tree))

    def _alias(self, tree: Node) -> syn.Alias:
        name = token(tree, 0)
        return syn.Alias(self.span(tree), str(name), self.span(name), self.type(trees(tree)[0]))

    def _view(self, tree: Node) -> syn.View:
        name = token(tree, 0)
        return syn.View(self.span(tree), str(name), self.span(name), self._fields(tree))

    def _fields(self, tree: Node) -> tuple[syn.Field, ...]:
        return tuple(self._field(one) for one in trees(tree) if one.data == "field")

    def _field(self, tree: Node) -> syn.Field:
        name, *optional = tokens(tree)
        default, type_ = child(tree, "default"), cast("Node", child(tree, "type"))
        value = self.expression(trees(default)[0]) if default is not None else None
        return syn.Field(self.span(tree), str(name), bool(optional), self.type(type_), self._wires(tree), value)

    def _wires(self, tree: Node) -> tuple[str, ...]:
        wires = child(tree, "wires")
        return tuple(self.plain_text(one) for one in tokens(wires)) if wires is not None else ()

    def _index(self, tree: Node) -> syn.Index:
        return syn.Index(self.span(tree), tuple(self._index_key(key) for key in trees(tree)))

    def _index_key(self, tree: Node) -> tuple[tuple[str, ...], bool, Span]:
        path = tuple(str(one) for one in tokens(tree) if one.type == "NAME")
        return path, len(path) < len(tokens(tree)), self.span(tree)

    def _function(self, tree: Node) -> syn.Function:
        name = token(tree, 0)
        *parameters, type_, body = trees(tree)
        built = (syn.Parameter(self.span(p), str(token(p, 0)), self.type(trees(p)[0])) for p in parameters)
        return syn.Function(
            self.span(tree), str(name), self.span(name), tuple(built), self.type(type_), self.expression(body)
        )

    def _handler(self, tree: Node) -> syn.Handler:
        events, binding, each = child(tree, "event_names"), child(tree, "binding"), child(tree, "each")
        *_, id_, body = trees(tree)
        arms = list[syn.Arm]()
        if body.data == "arrow":
            arms.append(syn.Arm(self.span(body), None, self._result(trees(body)[0])))
        for arm in trees(body) if body.data == "arms" else ():
            *condition, result = trees(arm)
            test = self.expression(condition[0]) if condition else None
            arms.append(syn.Arm(self.span(arm), test, self._result(result)))
        return syn.Handler(
            self.span(tree),
            tuple((str(one), self.span(one)) for one in tokens(events)) if events is not None else (),
            str(token(binding, 0)) if binding is not None else None,
            self.span(token(binding, 0)) if binding is not None else None,
            self.loop(each) if each is not None else None,
            str(token(cast("Node", child(tree, "target")), 0)),
            self.expression(id_),
            tuple(arms),
        )

    def _result(self, tree: Node) -> syn.Result:
        if tree.data == "keep":
            return syn.Keep(self.span(tree))
        if tree.data == "delete":
            return syn.Delete(self.span(tree))
        return self.expression(tree)

    # tests

    def _test(self, tree: Node) -> syn.Test:
        name = token(tree, 0)
        steps = (self._given(one) if one.data == "given" else self._expect(one) for one in trees(tree))
        return syn.Test(self.span(tree), self.plain_text(name), self.span(name), tuple(steps))

    def _given(self, tree: Node) -> syn.Given:
        name, whose, headers = token(tree, 0), child(tree, "whose"), child(tree, "headers")
        return syn.Given(
            self.span(tree),
            self._word(name),
            self.span(name),
            name.type == "STRING",
            cast("syn.JsonObject", self._json(trees(tree)[0])),
            None if whose is None else (self.plain_text(token(whose, 0)), self.plain_text(token(whose, 1))),
            self._said(child(tree, "at")),
            self._said(child(tree, "stored_at")),
            self._said(child(tree, "subject")),
            None if headers is None else cast("syn.JsonObject", self._json(trees(headers)[0])),
        )

    def _said(self, tree: Node | None) -> tuple[str, Span] | None:
        """The text that a part of an event is given with."""
        return None if tree is None else (self.plain_text(token(tree, 0)), self.span(token(tree, 0)))

    def _expect(self, tree: Node) -> syn.Expect:
        return syn.Expect(self.span(tree), self.expression(trees(tree)[0]))

    def _json(self, tree: Node) -> syn.Json:
        self.enter(tree)
        span = self.span(tree)
        found: syn.Json
        if tree.data == "json_object":
            found = syn.JsonObject(span, tuple(self._member(one) for one in trees(tree)))
        elif tree.data == "json_list":
            found = syn.JsonList(span, tuple(self._json(one) for one in trees(tree)))
        else:
            found = syn.JsonValue(span, self._json_value(tree))
        self.depth -= 1
        return found

    def _member(self, tree: Node) -> tuple[str, Span, syn.Json]:
        name = token(tree, 0)
        return self._word(name), self.span(name), self._json(trees(tree)[0])

    def _word(self, name: Token) -> str:
        return self.plain_text(name) if name.type == "STRING" else str(name)

    def _json_value(self, tree: Node) -> int | Decimal | str | bool | None:
        *_sign, last = tokens(tree)
        if last.type == "STRING":
            return self.plain_text(last)
        return literal("".join(tokens(tree)), last.type)
