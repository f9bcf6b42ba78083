"""Executors: what runs the core. Two, with no semantics of their own, chosen in this one place.

The compiler makes Python functions and serves a running node; the interpreter walks the tree, is the specification that
the compiler is held against, and serves tools that look inside a computation.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from projection.lang.failures import Failure
from projection.lang.run.interpreter import Interpreter, Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from projection.lang import core

    Routine = Callable[..., tuple[Any, int, int]]  # of gas, alloc and the values of the first slots


class Execution(StrEnum):
    """How programs are run; what becomes of a view does not depend on it."""

    COMPILED = "compiled"
    INTERPRETED = "interpreted"


class Executor(Protocol):
    """Makes something callable of a part of a program."""

    def routine(self, node: core.Core, given: int, slots: int) -> Routine:
        """`node` as a function of what is left of gas and of alloc, and of the values of the first `given` slots.

        It returns the value and what is then left of both. It raises `Failure`, with `span` and `left`.
        """


class Interpreted:
    """Runs the core by walking it."""

    def __init__(self, functions: Mapping[str, core.Function]) -> None:
        self._interpreter = Interpreter(functions)

    def routine(self, node: core.Core, given: int, slots: int) -> Routine:
        """See `Executor.routine`."""
        unset = (None,) * (slots - given)

        def run(gas: int, alloc: int, *values: Any) -> tuple[Any, int, int]:
            meter = Meter(gas, alloc)
            try:
                return self._interpreter.run(node, [*values, *unset], meter), meter.gas, meter.alloc
            except Failure as failure:
                failure.left = (meter.gas, meter.alloc)
                raise

        return run


def executor(execution: Execution, functions: Mapping[str, core.Function]) -> Executor:
    """The executor of a program with these functions."""
    if execution is Execution.INTERPRETED:
        return Interpreted(functions)
    from projection.lang.run.compiler import Compiled  # noqa: PLC0415 - tools that only check programs do without

    return Compiled(functions)
