"""What emitted code may name, and how: variables, constants, functions, fields; and the lines that stand for spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from projection.lang.source import Span


class Names:
    """The names of one program's emitted code; `values` is the namespace that it runs in.

    A name is a letter for its kind and a number: `s7` is slot 7, `t8` a value on the way, `n9` a variable of an inline
    form, `k10` a constant, `c11` a class, `o12` an operation's function, `l13` that of a cost, `f14` a function of the
    program, `r15` a routine.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.fields: set[str] = set()
        self.functions: dict[str, str] = {}  # of the program, that were emitted: their emitted names
        self._spans: list[Span] = []
        self._lines: dict[Span, int] = {}
        self._numbers: dict[tuple[str, int], str] = {}
        self._kept: list[object] = []  # what `_numbers` knows by identity stays itself
        self._count = 0

    def unique(self, kind: str) -> str:
        """A name that nothing else has."""
        self._count += 1
        return f"{kind}{self._count}"

    def value(self, kind: str, value: object) -> str:
        """The name of something that the namespace holds."""
        key = (kind, id(value))
        if key not in self._numbers:
            self._numbers[key] = self.unique(kind)
            self._kept.append(value)
            self.values[self._numbers[key]] = value
        return self._numbers[key]

    def constant(self, value: object) -> str:
        """A name for a constant, each time another: which values are one object differs between versions of Python."""
        name = self.unique("k")
        self.values[name] = value
        return name

    def field(self, name: str) -> str:
        """A field that emitted code may read or write."""
        self.fields.add(name)
        return name

    def line(self, span: Span) -> int:
        """The line number that stands for a span."""
        if span not in self._lines:
            self._spans.append(span)
            self._lines[span] = len(self._spans)
        return self._lines[span]

    def span(self, line: int) -> Span:
        """The span that a line number stands for."""
        return self._spans[line - 1]
