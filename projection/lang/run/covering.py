"""Coverage: which parts of a program have run. The parts are the segments that gas is charged by.

Each handler and each function is one; of each condition, the two ways it may turn out; of each comprehension, that some
item got into it. The interpreter runs them as ever, on the same ledgers, and tells of each that it comes to.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from projection.lang import core
from projection.lang.library import FORMS
from projection.lang.run.executors import Interpreted
from projection.lang.run.interpreter import Interpreter
from projection.lang.source import Span  # noqa: TC001 - a NamedTuple's fields are looked at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from projection.lang.run.executors import Routine
    from projection.lang.run.interpreter import Meter


class Part(StrEnum):
    """What a point of a program is."""

    HANDLER = "handler"
    FUNCTION = "function"
    OLD_FORM = "old form"  # of an event: what makes the event of it
    TRUE = "true"  # a condition that was
    FALSE = "false"  # a condition that was not
    NONE = "none"  # a value that was none, where that makes a difference: `x ?? y`, `x?.y`, `x == none`
    PRESENT = "present"  # one that was not
    ITEM = "item"  # of a comprehension, an aggregate or a fold


class Point(NamedTuple):
    """What a run may come to or not; the span is that of the handler, function, condition or comprehension."""

    span: Span
    part: Part


def points(program: core.Program) -> list[Point]:
    """All points of a program, in the order of its text."""
    found = [Point(handler.span, Part.HANDLER) for handler in program.handlers]
    found += [_entered(function) for function in program.functions.values()]
    bodies = [function.body for function in program.functions.values()]
    for handler in program.handlers:
        bodies += [node for node in (handler.source, handler.route, handler.body) if node is not None]
    for body in bodies:
        found += _inside(body)
    return sorted(set(found))


def _inside(node: core.Core) -> Iterator[Point]:
    if isinstance(node, core.If):
        yield from (_outcome(node.condition, holds=holds) for holds in (True, False))
    elif isinstance(node, (core.Loop, core.Fold)):
        yield Point(node.span, Part.ITEM)
    for part in core.parts(node):
        yield from _inside(part)


def _entered(function: core.Function) -> Point:
    return Point(function.body.span, Part.OLD_FORM if function.makes_event else Part.FUNCTION)


def _outcome(condition: core.Core, *, holds: bool) -> Point:
    if isinstance(condition, core.Op) and condition.operation is FORMS["is_none"]:
        return Point(condition.span, Part.NONE if holds else Part.PRESENT)
    return Point(condition.span, Part.TRUE if holds else Part.FALSE)


class Covering(Interpreted):
    """An executor that tells which points its routines come to."""

    def __init__(self, program: core.Program, reached: Callable[[Point], None]) -> None:
        """Tell `reached` of each point, as often as it is come to."""
        super().__init__(program.functions)
        self._interpreter = _Teller(program, reached)
        self._handlers = {id(handler.body): Point(handler.span, Part.HANDLER) for handler in program.handlers}
        self._reached = reached

    def routine(self, node: core.Core, given: int, slots: int) -> Routine:
        """See `Executor.routine`."""
        run = super().routine(node, given, slots)
        if (point := self._handlers.get(id(node))) is None:
            return run

        def told(gas: int, alloc: int, *values: Any) -> tuple[Any, int, int]:
            self._reached(point)
            return run(gas, alloc, *values)

        return told


class _Teller(Interpreter):
    def __init__(self, program: core.Program, reached: Callable[[Point], None]) -> None:
        super().__init__(program.functions)
        self._entered = {name: _entered(function) for name, function in program.functions.items()}
        self._reached = reached

    def _if(self, node: core.If, frame: list[Any], meter: Meter) -> Any:
        holds = self.run(node.condition, frame, meter)
        self._reached(_outcome(node.condition, holds=holds))
        return self.run(node.yes if holds else node.no, frame, meter)

    def _call(self, node: core.Call, frame: list[Any], meter: Meter) -> Any:
        self._reached(self._entered[node.function])
        return super()._call(node, frame, meter)

    def _taken(
        self, node: core.Loop | core.Fold, items: Sequence[Any], frame: list[Any], meter: Meter
    ) -> Iterator[None]:
        for taken in super()._taken(node, items, frame, meter):
            self._reached(Point(node.span, Part.ITEM))
            yield taken
