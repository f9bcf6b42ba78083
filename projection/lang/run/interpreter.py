"""The interpreter: the executable specification of the core. It knows no price and no operation.

It walks the tree, so what stands in the core is what happens, in the order in which it stands there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from projection.lang import core, failures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from projection.lang.source import Span

    Visitor = Callable[[Any, list[Any], "Meter"], Any]


class Meter:
    """The two ledgers of one computation; what is charged is gone, whatever becomes of the computation."""

    __slots__ = ("alloc", "alloc_limit", "gas", "gas_limit")

    def __init__(self, gas_limit: int, alloc_limit: int) -> None:
        self.gas_limit = self.gas = gas_limit  # what is left
        self.alloc_limit = self.alloc = alloc_limit

    def charge(self, gas: int, alloc: int, span: Span) -> None:
        """Take from both ledgers.

        Raises:
            Failure: O901, O902; the ledger that ran out then holds nothing.
        """
        self.gas -= gas
        if self.gas < 0:
            self.gas = 0
            raise _at(span, failures.out_of_gas())
        self.alloc -= alloc
        if self.alloc < 0:
            self.alloc = 0
            raise _at(span, failures.out_of_alloc())

    @property
    def used(self) -> int:
        """The gas that was charged."""
        return self.gas_limit - self.gas


def _at(span: Span, failure: failures.Failure) -> failures.Failure:
    failure.span = span
    return failure


class Interpreter:
    """Runs the expressions of one program; `functions` are its own."""

    def __init__(self, functions: Mapping[str, core.Function]) -> None:
        self._functions = functions
        # One call a node: each visitor looks its operands' visitors up itself, and reads variables from the frame.
        self._visitors: dict[type, Visitor] = {
            core.Const: self._const,
            core.Local: self._local,
            core.Get: self._get,
            core.Op: self._op,
            core.If: self._if,
            core.Let: self._let,
            core.New: self._new,
            core.Update: self._update,
            core.Call: self._call,
            core.Loop: self._loop,
            core.Fold: self._fold,
            core.Charge: self._charge,
        }

    def run(self, node: core.Core, frame: list[Any], meter: Meter) -> Any:
        """The value of an expression; `frame` holds the variables by slot.

        Raises:
            Failure: with its span; the meter tells what was charged until then.
        """
        return self._visitors[type(node)](node, frame, meter)

    def _const(self, node: core.Const, _frame: list[Any], _meter: Meter) -> Any:
        return node.value

    def _local(self, node: core.Local, frame: list[Any], _meter: Meter) -> Any:
        return frame[node.slot]

    def _get(self, node: core.Get, frame: list[Any], meter: Meter) -> Any:
        base = node.base
        found = frame[base.slot] if type(base) is core.Local else self._visitors[type(base)](base, frame, meter)
        return getattr(found, node.field)

    def _op(self, node: core.Op, frame: list[Any], meter: Meter) -> Any:
        visitors, operation = self._visitors, node.operation
        values = [
            frame[operand.slot] if type(operand) is core.Local else visitors[type(operand)](operand, frame, meter)
            for operand in node.operands
        ]
        if operation.is_sized:
            gas, alloc = operation.gas.sized(values, meter.gas), operation.alloc.sized(values, meter.alloc)
            meter.charge(gas, alloc, node.span)
        try:
            return operation.function(*values)
        except failures.Failure as failure:
            raise _at(node.span, failure) from None

    def _if(self, node: core.If, frame: list[Any], meter: Meter) -> Any:
        chosen = node.yes if self._visitors[type(node.condition)](node.condition, frame, meter) else node.no
        return self._visitors[type(chosen)](chosen, frame, meter)

    def _let(self, node: core.Let, frame: list[Any], meter: Meter) -> Any:
        frame[node.slot] = self._visitors[type(node.value)](node.value, frame, meter)
        return self._visitors[type(node.body)](node.body, frame, meter)

    def _new(self, node: core.New, frame: list[Any], meter: Meter) -> Any:
        return node.record.made()(**self._fields(node, frame, meter))

    def _update(self, node: core.Update, frame: list[Any], meter: Meter) -> Any:
        base = self._visitors[type(node.base)](node.base, frame, meter)
        return replace(base, **self._fields(node, frame, meter))

    def _fields(self, node: core.New | core.Update, frame: list[Any], meter: Meter) -> dict[str, Any]:
        visitors, fields = self._visitors, {}
        for name, value in zip(node.names, node.values, strict=True):
            fields[name] = (
                frame[value.slot] if type(value) is core.Local else visitors[type(value)](value, frame, meter)
            )
        return fields

    def _call(self, node: core.Call, frame: list[Any], meter: Meter) -> Any:
        function = self._functions[node.function]
        inner = [self._visitors[type(argument)](argument, frame, meter) for argument in node.arguments]
        inner += [None] * (function.slots - len(inner))
        return self._visitors[type(function.body)](function.body, inner, meter)

    def _charge(self, node: core.Charge, frame: list[Any], meter: Meter) -> Any:
        meter.charge(node.gas, node.alloc, node.span)
        return self._visitors[type(node.body)](node.body, frame, meter)

    def _loop(self, node: core.Loop, frame: list[Any], meter: Meter) -> list[Any]:
        items = self.run(node.source, frame, meter)
        return [self.run(node.body, frame, meter) for _ in self._taken(node, items, frame, meter)]

    def _fold(self, node: core.Fold, frame: list[Any], meter: Meter) -> Any:
        found = self.run(node.initial, frame, meter)
        items = self.run(node.source, frame, meter)
        for _ in self._taken(node, items, frame, meter):
            frame[node.accumulator] = found
            found = self.run(node.body, frame, meter)
        return found

    def _taken(
        self, node: core.Loop | core.Fold, items: Sequence[Any], frame: list[Any], meter: Meter
    ) -> Iterator[None]:
        """Once for each item that the condition takes, with the item in its slots."""
        meter.charge(len(items) * node.item_gas, len(items) * node.item_alloc, node.span)
        for item in items:
            if len(node.slots) == 1:
                frame[node.slots[0]] = item
            else:
                frame[node.slots[0]], frame[node.slots[1]] = item
            if node.condition is None or self.run(node.condition, frame, meter):
                yield
