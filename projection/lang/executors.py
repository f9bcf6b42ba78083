"""Executors: what runs the core. Two, with no semantics of their own, chosen in this one place.

The compiler makes Python functions and serves a running node; the interpreter walks the tree, is the specification that
the compiler is held against, and serves tools that look inside a computation.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from projection.lang.compiler import Compiled
from projection.lang.interpreter import Interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from projection.lang import core

    Routine = Callable[..., Any]  # a meter, then the values of the first slots


class Execution(StrEnum):
    """How programs are run; what becomes of a view does not depend on it."""

    COMPILED = "compiled"
    INTERPRETED = "interpreted"


class Executor(Protocol):
    """Makes something callable of a part of a program."""

    def routine(self, node: core.Core, given: int, slots: int) -> Routine:
        """`node` as a function of a meter and the values of the first `given` of `slots` slots.

        The function raises `Failure`, with its span; the meter then tells what was charged until there.
        """


class Interpreted:
    """Runs the core by walking it."""

    def __init__(self, functions: Mapping[str, core.Function]) -> None:
        self._interpreter = Interpreter(functions)

    def routine(self, node: core.Core, given: int, slots: int) -> Routine:
        """See `Executor.routine`."""
        run, unset = self._interpreter.run, (None,) * (slots - given)
        return lambda meter, *values: run(node, [*values, *unset], meter)


def executor(execution: Execution, functions: Mapping[str, core.Function]) -> Executor:
    """The executor of a program with these functions."""
    return Compiled(functions) if execution is Execution.COMPILED else Interpreted(functions)
