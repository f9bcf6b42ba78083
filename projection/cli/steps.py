"""The steps of a computation as lines: for each the line of the program, the gas, the source text and the value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from projection.lang import core

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.lang.run.tracing import Step
    from projection.lang.source import Source, Span

INSIDE_A_LOOP = 8  # steps of a loop that are shown
_LEAST = 20  # columns of a value, however deep its step
_LET = re.compile(r"let\s+(\w+)")


def shortened(text: str, width: int) -> str:
    """A text on one line, and at most so long."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: max(1, width - 1)] + "…"


def shown_value(value: Any) -> str:
    """A value as JSON; `keep` and `delete` as they are written, and both halves of a pair."""
    from projection.lang.values.codec import encode

    if isinstance(value, core.Verdict):
        return repr(value).lower()
    return encode(value).decode()


class StepLines:
    """Lines of so many columns for the steps of one program."""

    def __init__(self, source: Source, width: int) -> None:
        self._source = source
        self._width = width
        self._gas = 0  # charged since the last line

    def lines(self, step: Step, depth: int = 1) -> Iterator[str]:
        """A step and all inside, outermost first; the gas in front is charged at that line, before what is inside."""
        self._gas += step.gas - sum(one.gas for one in step.steps)
        match step.node:
            case core.Charge():
                for one in step.steps:
                    yield from self.lines(one, depth)
            case core.If(span=span, condition=core.Op() as test) if _is_inserted(test, span):
                yield from self._default(step, depth)
            case core.If(span=span, condition=condition) if span == _without_charge(condition).span:  # an arm
                for one in step.steps:
                    yield from self.lines(one, depth)
            case core.Let():
                yield from self._let(step, depth)
            case core.Const(value=value) if not isinstance(value, core.Verdict):
                return
            case _:
                yield self._line(self._text(step.node), step, depth)
                yield from self._inside(step, depth)

    def _default(self, step: Step, depth: int) -> Iterator[str]:
        """What `??` and `?.` come to, and what was computed instead of none; that they look for it is known."""
        test, *chosen = step.steps
        self._gas += test.gas
        yield self._line(self._text(step.node), step, depth)
        for one in chosen:
            if isinstance(_without_charge(one.node), core.Local):
                self._gas += one.gas
            else:
                yield from self.lines(one, depth + 1)

    def _let(self, step: Step, depth: int) -> Iterator[str]:
        name = _LET.match(self._source.text, step.node.span.start)
        if name is None or not step.steps:  # what the checker put in
            for one in step.steps:
                if not isinstance(one.node, core.Local):
                    yield from self.lines(one, depth)
            return
        value, *body = step.steps
        self._gas += value.gas - sum(one.gas for one in value.steps)
        text = self._source.text[value.node.span.start : value.node.span.end]
        yield self._line(f"let {name[1]} = {text}", value, depth)
        if not isinstance(value.node, core.Local):
            yield from self._inside(value, depth)
        for one in body:
            yield from self.lines(one, depth)

    def _inside(self, step: Step, depth: int) -> Iterator[str]:
        steps: Sequence[Step] = step.steps
        is_loop = isinstance(step.node, (core.Loop, core.Fold))
        for one in steps[:INSIDE_A_LOOP] if is_loop else steps:
            if isinstance(_without_charge(one.node), core.Local):
                self._gas += one.gas
                continue  # a variable is known
            is_same = one.node.span == step.node.span and not isinstance(one.node, core.Charge)
            if is_same and one.failure is None and not isinstance(step.node, core.Update):
                self._gas += one.gas - sum(inner.gas for inner in one.steps)
                yield from self._inside(one, depth)
            else:
                yield from self.lines(one, depth + 1)
        if is_loop and len(steps) > INSIDE_A_LOOP:
            self._gas += sum(one.gas for one in steps[INSIDE_A_LOOP:])
            yield self._row(step.node.span, f"… {len(steps) - INSIDE_A_LOOP} more steps", "", depth + 1)

    def _line(self, text: str, step: Step, depth: int) -> str:
        if step.failure is None:
            value = shown_value(step.value)
        elif any(one.failure is not None for one in step.steps):
            value = "failed"
        else:
            value = f"failed: {step.failure.code} {step.failure.message}"
        return self._row(step.node.span, text, value, depth)

    def _row(self, span: Span, text: str, value: str, depth: int) -> str:
        line = self._source.position(span.start)[0]
        gas, self._gas = self._gas, 0
        left = f"{line:>5} {gas or '':>6} │{'  ' * depth}"
        middle = max(len(left) + _LEAST, self._width // 2)
        head = f"{left}{shortened(text, middle - len(left) - 2):<{middle - len(left)}}"
        return f"{head}{shortened(value, max(_LEAST, self._width - len(head)))}".rstrip()

    def _text(self, node: core.Core) -> str:
        if isinstance(node, core.Update):
            return f"with {{ {', '.join(node.names)} }}"
        return self._source.text[node.span.start : node.span.end]


def _is_inserted(test: core.Op, span: Span) -> bool:
    """Whether a test for none is the checker's own, of a `??` or `?.` that stands there."""
    return test.operation.name == "is_none" and test.span == span


def _without_charge(node: core.Core) -> core.Core:
    return node.body if isinstance(node, core.Charge) else node
