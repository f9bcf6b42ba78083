"""Tracing: a program run by the interpreter, with every value and every charge written down where it came about.

Nothing else changes: the same visitors run in the same order on the same ledgers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from projection.lang.failures import Failure
from projection.lang.run.executors import Interpreted
from projection.lang.run.interpreter import Interpreter, Meter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projection.lang import core
    from projection.lang.run.executors import Routine
    from projection.lang.run.interpreter import Visitor

MAX_STEPS = 20_000  # of one routine; what comes later is computed and not written down


@dataclass(slots=True)
class Step:
    """The computation of one node: its value or its failure, what it was charged, and the steps inside."""

    node: core.Core
    value: Any = None
    failure: Failure | None = None
    gas: int = 0  # with what is inside
    alloc: int = 0
    steps: list[Step] = field(default_factory=list)


class _Tracer(Interpreter):
    """Interprets and writes down."""

    def __init__(self, functions: Mapping[str, core.Function]) -> None:
        super().__init__(functions)
        self._visitors = {kind: self._traced(visit) for kind, visit in self._visitors.items()}
        self.open: list[Step] = []
        self.count = 0

    def _traced(self, visit: Visitor) -> Visitor:
        def traced(node: Any, frame: list[Any], meter: Meter) -> Any:
            if self.count >= MAX_STEPS:
                return visit(node, frame, meter)
            self.count += 1
            step, gas, alloc = Step(node), meter.gas, meter.alloc
            self.open[-1].steps.append(step)
            self.open.append(step)
            try:
                step.value = visit(node, frame, meter)
            except Failure as failure:
                step.failure = failure
                raise
            finally:
                step.gas, step.alloc = gas - meter.gas, alloc - meter.alloc
                self.open.pop()
            return step.value

        return traced


class Tracing(Interpreted):
    """An executor that keeps the steps of each routine it has run, in order."""

    def __init__(self, functions: Mapping[str, core.Function]) -> None:
        super().__init__(functions)
        self._interpreter = self._tracer = _Tracer(functions)
        self.runs: list[Step] = []

    def routine(self, node: core.Core, given: int, slots: int) -> Routine:
        """See `Executor.routine`."""
        run = super().routine(node, given, slots)

        def traced(gas: int, alloc: int, *values: Any) -> tuple[Any, int, int]:
            whole = Step(node)
            self.runs.append(whole)
            self._tracer.open, self._tracer.count = [whole], 0
            try:
                whole.value, gas_left, alloc_left = run(gas, alloc, *values)
            except Failure as failure:
                whole.failure, (gas_left, alloc_left) = failure, failure.left or (gas, alloc)
                raise
            finally:
                whole.gas, whole.alloc = gas - gas_left, alloc - alloc_left
            return whole.value, gas_left, alloc_left

        return traced
