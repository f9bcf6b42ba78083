"""The interpreter: the executable specification of the core. It knows no price and no operation.

It walks the tree, so what stands in the core is what happens, in the order in which it stands there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from projection.lang import core
from projection.lang import diagnostics as diag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projection.lang.source import Span


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
            raise _at(span, diag.out_of_gas(self.gas_limit))
        self.alloc -= alloc
        if self.alloc < 0:
            self.alloc = 0
            raise _at(span, diag.out_of_alloc(self.alloc_limit))

    @property
    def used(self) -> int:
        """The gas that was charged."""
        return self.gas_limit - self.gas


def _at(span: Span, failure: diag.Failure) -> diag.Failure:
    failure.span = span
    return failure


class Interpreter:
    """Runs the expressions of one program; `functions` are its own."""

    def __init__(self, functions: Mapping[str, core.Function]) -> None:
        self._functions = functions

    def run(self, node: core.Core, frame: list[Any], meter: Meter) -> Any:
        """The value of an expression; `frame` holds the variables by slot.

        Raises:
            Failure: with its span; the meter tells what was charged until then.
        """
        run = self.run
        if type(node) is core.Local:
            return frame[node.slot]
        if type(node) is core.Get:
            return getattr(run(node.base, frame, meter), node.field)
        if type(node) is core.Op:
            return self._operate(node, [run(one, frame, meter) for one in node.operands], meter)
        if type(node) is core.Const:
            return node.value
        return self._run(node, frame, meter)

    def _operate(self, node: core.Op, values: list[Any], meter: Meter) -> Any:
        operation = node.operation
        gas, alloc = operation.gas.sized, operation.alloc.sized
        if gas is not None or alloc is not None:
            meter.charge(gas(values) if gas else 0, alloc(values) if alloc else 0, node.span)
        try:
            return operation.function(*values)
        except diag.Failure as failure:
            raise _at(node.span, failure) from None

    def _run(self, node: core.Core, frame: list[Any], meter: Meter) -> Any:
        run = self.run
        match node:
            case core.Charge():
                meter.charge(node.gas, node.alloc, node.span)
                return run(node.body, frame, meter)
            case core.If():
                return run(node.yes if run(node.condition, frame, meter) else node.no, frame, meter)
            case core.Let():
                frame[node.slot] = run(node.value, frame, meter)
                return run(node.body, frame, meter)
            case core.Update():
                base = run(node.base, frame, meter)
                return replace(base, **{n: run(v, frame, meter) for n, v in zip(node.names, node.values, strict=True)})
            case core.New():
                fields = {n: run(v, frame, meter) for n, v in zip(node.names, node.values, strict=True)}
                return node.record.struct(**fields)  # type: ignore[misc]
            case core.Call():
                function = self._functions[node.function]
                inner = [run(argument, frame, meter) for argument in node.arguments]
                inner += [None] * (function.slots - len(inner))
                return run(function.body, inner, meter)
            case core.Loop():
                return self._loop(node, frame, meter)
            case _:
                return run(node, frame, meter)

    def _loop(self, node: core.Loop, frame: list[Any], meter: Meter) -> list[Any]:
        items = self.run(node.source, frame, meter)
        meter.charge(len(items) * node.item_gas, len(items) * node.item_alloc, node.span)
        found = []
        for item in items:
            if len(node.slots) == 1:
                frame[node.slots[0]] = item
            else:
                frame[node.slots[0]], frame[node.slots[1]] = item
            if node.condition is None or self.run(node.condition, frame, meter):
                found.append(self.run(node.body, frame, meter))
        return found
