"""Emission: the statements and expressions of one Python function, from core nodes."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from projection.lang import core
from projection.lang.run.free_slots import free_slots
from projection.lang.run.python_ast import again, assign, is_pure, load, number, placed, template
from projection.lang.steps import tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from projection.lang.cost.costs import Shape
    from projection.lang.run.names import Names
    from projection.lang.source import Span

    Define = Callable[[str, Sequence[str], core.Core, "Outlines"], None]

MAX_BLOCKS = 8  # loops that one Python function nests; CPython itself takes 20


MAX_NODES = 640  # of a branch, before it becomes a function of its own


class Outlines:
    """The branches inside a node that become functions of their own: the smallest that are large.

    CPython compiles a function in one go, in which nothing else runs: 1,000 nodes take some ten milliseconds.
    """

    def __init__(self, node: core.Core) -> None:
        waiting, order = [node], list[core.Core]()
        while waiting:
            tick()
            one = waiting.pop()
            order.append(one)
            waiting += core.parts(one)
        sizes: dict[int, int] = {}
        self._large = set[int]()  # by identity, as the rest
        self._free: dict[int, frozenset[int]] = {}
        for one in reversed(order):
            tick()
            size = 1 + sum(sizes[id(part)] for part in core.parts(one))
            if size > MAX_NODES and isinstance(one, core.If):
                self._large.add(id(one))
                size = 1
            sizes[id(one)] = size

    def __contains__(self, node: core.If) -> bool:
        return id(node) in self._large

    def free(self, node: core.Core) -> frozenset[int]:
        """The variables that a node takes; what is inside of it is looked at once, however often it is asked."""
        return free_slots(node, self._free)


class Body:
    """The statements of one function, in the order in which they are emitted."""

    def __init__(self, names: Names, define: Define, outlines: Outlines, blocks: int = 0) -> None:
        """A function's body.

        Args:
            names: of the program that it belongs to.
            define: emits a function of its own, of a name, its parameters and a node.
            outlines: the branches that become functions of their own.
            blocks: how many loops it stands in.
        """
        self.names = names
        self._define = define
        self.statements: list[ast.stmt] = []
        self.blocks = blocks
        self._outlines = outlines

    def name(self, kind: str) -> str:
        """A variable of its own."""
        return self.names.unique(kind)

    def _emit(self, span: Span, *statements: ast.stmt) -> None:
        self.statements += [placed(statement, self.names.line(span)) for statement in statements]

    def _at(self, span: Span, node: ast.expr) -> ast.expr:
        return placed(node, self.names.line(span))

    # expressions

    def whole(self, node: core.Core) -> ast.expr:
        """The value of the node whose function this is."""
        return self._if(node) if isinstance(node, core.If) else self.expression(node)

    def expression(self, node: core.Core) -> ast.expr:
        """The node's value; what must happen before it is emitted as statements."""
        tick()
        match node:
            case core.Const():
                return self._at(node.span, self._constant(node.value))
            case core.Local():
                return self._at(node.span, load(f"s{node.slot}"))
            case core.Get():
                base = self.expression(node.base)
                return self._at(node.span, ast.Attribute(base, self.names.field(node.field), ast.Load()))
            case core.Op():
                return self._op(node)
            case core.If():
                return self._outlined(node) if node in self._outlines else self._if(node)
            case core.Let():
                value = self.expression(node.value)
                self._emit(node.span, assign(f"s{node.slot}", value))
                return self.expression(node.body)
            case core.New():
                made = load(self.names.value("c", node.record.made()))
                return self._at(node.span, ast.Call(made, [], self._keywords(node.names, self.each(node.values))))
            case core.Update():
                base, *values = self.each((node.base, *node.values))
                return self._at(node.span, ast.Call(load("replace"), [base], self._keywords(node.names, values)))
            case core.Call():
                return self._call(node)
            case core.Loop():
                return self._loop(node)
            case core.Fold():
                return self._fold(node)
            case core.Charge():
                self._charge(node.span, number(node.gas), number(node.alloc))
                return self.expression(node.body)
        raise AssertionError(node)

    def each(self, nodes: Iterable[core.Core]) -> list[ast.expr]:
        """The values of some nodes in order: where a later one takes statements, earlier ones are kept before them."""
        values: list[ast.expr] = []
        for node in nodes:
            before = len(self.statements)
            value = self.expression(node)
            if len(self.statements) > before:
                later, self.statements[before:] = self.statements[before:], []
                values = [one if is_pure(one) else self.kept(one) for one in values]
                self.statements += later
            values.append(value)
        return values

    def kept(self, value: ast.expr) -> ast.expr:
        """The value in a variable, unless it is one or a constant."""
        if isinstance(value, (ast.Name, ast.Constant)):
            return value
        name = self.name("t")
        self.statements.append(placed(assign(name, value), value.lineno))
        return placed(load(name), value.lineno)

    def _constant(self, value: Any) -> ast.expr:
        if value is None or type(value) in (bool, int, str, bytes):
            return ast.Constant(value)
        return load(self.names.constant(value))

    def _keywords(self, names: Sequence[str], values: Sequence[ast.expr]) -> list[ast.keyword]:
        return [ast.keyword(self.names.field(name), value) for name, value in zip(names, values, strict=True)]

    def _op(self, node: core.Op) -> ast.expr:
        operation, line = node.operation, self.names.line(node.span)
        operands = self.each(node.operands)
        form = None if operation.inline is None else template(operation.inline)
        if operation.is_sized or (form is not None and not form.is_in_order):
            operands = [self._settled(operand) for operand in operands]
        if operation.is_sized:
            gas = self._sized(node, operation.gas, operands, "g")
            self._charge(node.span, gas, self._sized(node, operation.alloc, operands, "a"))
        if form is None:
            function = load(self.names.value("o", operation.function))
            return self._at(node.span, ast.Call(function, operands, []))
        return placed(form.filled(operands, self.name("n")), line)

    def _settled(self, value: ast.expr) -> ast.expr:
        """The value, computed by now: what is charged for it comes next. Of a list that is written out, its items."""
        if is_pure(value):
            return value
        if isinstance(value, ast.List) and not any(isinstance(part, ast.Starred) for part in value.elts):
            value.elts = [part if is_pure(part) else self.kept(part) for part in value.elts]
            return value
        return self.kept(value)

    def _sized(self, node: core.Op, shape: Shape, operands: Sequence[ast.expr], ledger: str) -> ast.expr:
        """The part of a cost that depends on sizes; the operands are computed by now."""
        if not shape.is_sized:
            return number(0)
        if (text := node.operation.template_of(shape, len(operands))) is not None:
            return template(text.replace("{left}", ledger)).filled([again(one) for one in operands])
        sized = load(self.names.value("l", shape.sized))
        return ast.Call(sized, [ast.Tuple([again(one) for one in operands], ast.Load()), load(ledger)], [])

    def _charge(self, span: Span, gas: ast.expr, alloc: ast.expr) -> None:
        """Take from both ledgers; where one is overdrawn, `settled` finds out which, given what was taken last."""
        taken = [
            (ledger, amount)
            for ledger, amount in (("g", gas), ("a", alloc))
            if not (isinstance(amount, ast.Constant) and amount.value == 0)
        ]
        if len(taken) == 2 and not isinstance(alloc, ast.Constant):  # it is asked for again below
            name = self.name("t")
            self._emit(span, assign(name, alloc))
            taken[1] = ("a", load(name))
        empty: list[ast.expr] = [ast.Compare(load(ledger), [ast.Lt()], [number(0)]) for ledger, _amount in taken]
        for ledger, amount in taken:
            self._emit(span, ast.AugAssign(ast.Name(ledger, ast.Store()), ast.Sub(), amount))
        if taken:
            back = again(taken[1][1]) if len(taken) == 2 else number(0)
            spent = ast.Raise(ast.Call(load("spent"), [load("g"), load("a"), back], []), None)
            test = empty[0] if len(empty) == 1 else ast.BoolOp(ast.Or(), empty)
            self._emit(span, ast.If(test, [spent], []))

    def _if(self, node: core.If) -> ast.expr:
        condition = self.expression(node.condition)
        yes, no = (Body(self.names, self._define, self._outlines, self.blocks) for _ in range(2))
        values = yes.expression(node.yes), no.expression(node.no)
        if not yes.statements and not no.statements:
            return self._at(node.span, ast.IfExp(condition, *values))
        name = self.name("t")
        for branch, value in zip((yes, no), values, strict=True):
            branch.statements.append(placed(assign(name, value), value.lineno))
        self._emit(node.span, ast.If(condition, yes.statements, no.statements))
        return self._at(node.span, load(name))

    def _call(self, node: core.Call) -> ast.expr:
        arguments = self.each(node.arguments)
        return self._called(node.span, self.names.functions[node.function], arguments)

    def _called(self, span: Span, function: str, arguments: Sequence[ast.expr]) -> ast.expr:
        arguments = [self.kept(argument) for argument in arguments]  # what they cost is known before the call
        name = self.name("t")
        target = ast.Tuple([ast.Name(each, ast.Store()) for each in (name, "g", "a")], ast.Store())
        called = ast.Call(load(function), [load("g"), load("a"), *arguments], [])
        self._emit(span, ast.Assign([target], called))
        return self._at(span, load(name))

    # loops

    def _entered(self, node: core.Loop | core.Fold, source: ast.expr) -> ast.expr:
        """The items of a loop, charged for."""
        items = self.kept(source)
        gas, alloc = (
            ast.BinOp(ast.Call(load("len"), [again(items)], []), ast.Mult(), number(each)) if each else number(0)
            for each in (node.item_gas, node.item_alloc)
        )
        self._charge(node.span, gas, alloc)
        return again(items)

    def _target(self, slots: Sequence[int]) -> ast.expr:
        names: list[ast.expr] = [ast.Name(f"s{slot}", ast.Store()) for slot in slots]
        return names[0] if len(names) == 1 else ast.Tuple(names, ast.Store())

    def _outlined(self, node: core.Loop | core.Fold | core.If) -> ast.expr:
        """The node as a function of its own: CPython nests only so many blocks, and compiles a function in one go."""
        slots = [f"s{slot}" for slot in sorted(self._outlines.free(node))]
        name = self.name("f")
        self._define(name, slots, node, self._outlines)
        return self._called(node.span, name, [load(slot) for slot in slots])

    def _loop(self, node: core.Loop) -> ast.expr:
        if self.blocks >= MAX_BLOCKS:
            return self._outlined(node)
        items = self._entered(node, self.expression(node.source))
        condition, body, inner, tested = self._item(node)
        target = self._target(node.slots)
        if not inner.statements:
            tests = [] if condition is None else [condition]
            return self._at(node.span, ast.ListComp(body, [ast.comprehension(target, items, tests, 0)]))
        found = self.name("t")
        take = ast.Expr(ast.Call(ast.Attribute(load(found), "append", ast.Load()), [body], []))
        steps = self._steps(inner, tested, condition, placed(take, body.lineno))
        self._emit(node.span, assign(found, ast.List([], ast.Load())), ast.For(target, items, steps, []))
        return self._at(node.span, load(found))

    def _fold(self, node: core.Fold) -> ast.expr:
        if self.blocks >= MAX_BLOCKS:
            return self._outlined(node)
        initial, source = self.each((node.initial, node.source))
        self._emit(node.span, assign(f"s{node.accumulator}", initial))
        items = self._entered(node, source)
        condition, body, inner, tested = self._item(node)
        carry = placed(assign(f"s{node.accumulator}", body), body.lineno)
        self._emit(
            node.span,
            ast.For(self._target(node.slots), items, self._steps(inner, tested, condition, carry), []),
        )
        return self._at(node.span, load(f"s{node.accumulator}"))

    def _item(self, node: core.Loop | core.Fold) -> tuple[ast.expr | None, ast.expr, Body, int]:
        """Condition and body of a loop, their statements, and how many of these belong to the condition."""
        inner = Body(self.names, self._define, self._outlines, self.blocks + 1)
        condition = None if node.condition is None else inner.expression(node.condition)
        tested = len(inner.statements)
        return condition, inner.expression(node.body), inner, tested

    def _steps(self, inner: Body, tested: int, condition: ast.expr | None, last: ast.stmt) -> list[ast.stmt]:
        """One round of a loop: the statements of the condition, then, where it holds, those of the body."""
        taken = [*inner.statements[tested:], last]
        if condition is not None:
            taken = [placed(ast.If(condition, taken, []), condition.lineno)]
        return [*inner.statements[:tested], *taken]
