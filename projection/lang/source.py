"""A program's text, and places in it."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_ACCEPT = re.compile(r"#+\s*accept((?:\s+[A-Z]\d{3})+)")
# Recovery resumes at these, in column 1 (docs/language.md).
_DECLARATION = re.compile(r"^(?:proj|projection|event|type|view|index|fn|on|test)\b", re.MULTILINE)


class Span(NamedTuple):
    """A stretch of the text: character offsets, the end exclusive."""

    start: int
    end: int

    def moved(self, offset: int) -> Span:
        """The same stretch, further on by so many characters."""
        return Span(self.start + offset, self.end + offset)


@dataclass(frozen=True)
class Source:
    """A program's text under the name that diagnostics give it."""

    name: str
    text: str
    _line_starts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = (0, *(match.end() for match in re.finditer("\n", self.text)))
        object.__setattr__(self, "_line_starts", starts)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from 1."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def place(self, span: Span) -> str:
        """`name:line:column` of a span's start."""
        line, column = self.position(span.start)
        return f"{self.name}:{line}:{column}"

    def line(self, number: int) -> str:
        """A line's text without its end."""
        start = self._line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : len(self.text) if end < 0 else end].rstrip("\r")

    def declarations(self) -> list[Span]:
        """The stretches that begin with a declaration's keyword in column 1."""
        starts = [match.start() for match in _DECLARATION.finditer(self.text)]
        return [Span(a, b) for a, b in pairwise([*starts, len(self.text)])]

    def doc(self, offset: int) -> str:
        """The doc comment (`##` lines) right above the line of this offset."""
        return "\n".join(reversed([text[2:].strip() for text in self._above(offset, "##")]))

    def accepts(self, offset: int, code: str) -> bool:
        """Whether a comment right above the line of this offset accepts a warning: `# accept CODE`."""
        return any(code in match[1].split() for text in self._above(offset, "#") if (match := _ACCEPT.match(text)))

    def _above(self, offset: int, sign: str) -> Iterator[str]:
        """The lines right above the line of this offset that begin with a sign, upwards."""
        line = self.position(offset)[0] - 1
        while line >= 1 and (text := self.line(line).strip()).startswith(sign):
            yield text
            line -= 1
