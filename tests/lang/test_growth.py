"""Every phase takes time in proportion to the source: each form of the grammar, nested and repeated, is counted.

What is counted are lines of Python that run, so the machine does not matter. A form that is in no family fails.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from projection.lang.check.checker import check
from projection.lang.compatibility import changes, reasons
from projection.lang.cost.bounds import problems
from projection.lang.partition import partitioning
from projection.lang.program import Limits, Program
from projection.lang.run.executors import Execution
from projection.lang.source import Source
from projection.lang.syntax.formatter import formatted
from projection.lang.syntax.parser import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from growth_support import Family

MOST = 2.3  # times as much for twice the text
MODULE = "projection"


def counted(work: Callable[[], object]) -> int:
    """How many lines of Python a piece of work runs."""
    count = 0

    def line(_frame: FrameType, event: str, _argument: object) -> object:
        nonlocal count
        count += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def phases(text: str) -> dict[str, int]:
    """What each phase takes for a program."""
    source, found = Source("p.proj", text), {}
    found["parse"] = counted(lambda: parse(source))
    checked = check(source)
    found["check"] = counted(lambda: check(source)) - found["parse"]
    found["bounds"] = counted(lambda: problems(checked, Limits()))
    found["partition"] = counted(lambda: partitioning(checked))
    found["compile"] = counted(lambda: compiled(checked))
    found["compare"] = counted(lambda: (changes(checked, checked), reasons(checked, checked)))
    found["format"] = counted(lambda: formatted(source))
    return found


def compiled(checked):
    program = Program(checked, Limits(), Execution.COMPILED)
    for event in checked.event_declarations.values():
        program.reaction(event.aggregate_type or "O", (event.wires or (event.name,))[0])


def growth(family: Family) -> dict[str, float]:
    """How much more each phase takes where the text grows twice as much as before."""
    few, some, many = (phases(family.of(size)) for size in family.sizes)
    return {name: (many[name] - some[name]) / max(some[name] - few[name], 200) for name in few}
