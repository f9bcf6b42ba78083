"""Documents with choices of where lines end, and the printer that makes them: short groups on one line, others not.

A group is printed flat where it fits its limit, and with each of its own lines ended where it does not; groups inside
choose for themselves. Comments end lines, so a group that holds one in its midst is never flat.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 120  # columns of a line
INDENT = 2
_CLINGING = (",", ";")  # stand before the comment that ends their line


@dataclass(frozen=True, slots=True)
class Text:
    """Text without an end of line."""

    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """An end of line in a group that is broken; `flat` in one that is not."""

    flat: str = " "


@dataclass(frozen=True, slots=True)
class Hard:
    """An end of line, whatever group it stands in; with an empty line where `is_gap`."""

    is_gap: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """Printed in a group that is broken; nothing in one that is flat."""

    doc: Doc


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment: `is_own` stands on a line of its own, any other at the end of the line."""

    text: str
    is_own: bool


@dataclass(frozen=True, slots=True)
class Indented:
    """Lines inside begin further to the right."""

    doc: Doc


class Row:
    """Documents one after the other; `breaks` where no group around them can be flat."""

    __slots__ = ("breaks", "parts")

    def __init__(self, *parts: Doc) -> None:
        self.parts = parts
        self.breaks = any(map(_breaks, parts)) or any(
            _ends_with_comment(one) and not isinstance(other, (Line, Broken, Comment)) for one, other in pairwise(parts)
        )


@dataclass(frozen=True, slots=True)
class Group:
    """Flat where it fits within `limit` columns."""

    doc: Doc
    limit: int = WIDTH
    is_broken: bool = False
    breaks: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "breaks", self.is_broken or _breaks(self.doc))


@dataclass(frozen=True, slots=True)
class Hanging:
    """A bracket behind a space: flat where that ends within `limit` columns, else flat on the next line.

    Where it has to be broken anyway, it opens on this line.
    """

    doc: Doc
    limit: int
    breaks: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "breaks", _breaks(self.doc))


Doc = Text | Line | Hard | Broken | Comment | Indented | Row | Group | Hanging


_Waiting: TypeAlias = tuple[int, bool, Doc]  # how far it is indented, whether it is flat, and what is to be printed


def _breaks(doc: Doc) -> bool:
    match doc:
        case Row() | Group() | Hanging():
            return doc.breaks
        case Indented():
            return _breaks(doc.doc)
        case Comment():
            return doc.is_own
        case _:
            return isinstance(doc, Hard)


def _ends_with_comment(doc: Doc) -> bool:
    match doc:
        case Row():
            return bool(doc.parts) and _ends_with_comment(doc.parts[-1])
        case Group() | Indented() | Hanging():
            return _ends_with_comment(doc.doc)
        case _:
            return isinstance(doc, Comment)


def render(doc: Doc) -> str:
    """The text of a document; no line of it ends with a space."""
    return _Printer().run(doc)


class _Printer:
    def __init__(self) -> None:
        self.out: list[str] = []
        self.column = 0
        self.indent: int | None = 0  # of the line that begins here; None within a line
        self.comments: list[str] = []  # that end this line

    def run(self, doc: Doc) -> str:
        stack: list[_Waiting] = [(0, False, doc)]
        while stack:
            indent, flat, one = stack.pop()
            match one:
                case Text():
                    self._text(one.text, indent)
                case Line():
                    if flat:
                        self._text(one.flat, indent)
                    else:
                        self._end_line(indent)
                case Hard():
                    self._end_line(indent, is_gap=one.is_gap)
                case Broken():
                    if not flat:
                        stack.append((indent, flat, one.doc))
                case Comment():
                    self._comment(one, indent)
                case Indented():
                    stack.append((indent + INDENT, flat, one.doc))
                case Row():
                    stack += [(indent, flat, part) for part in reversed(one.parts)]
                case Group():
                    flat = flat or (not one.breaks and self._fits(one.doc, one.limit - self._column(), stack))
                    stack.append((indent, flat, one.doc))
                case Hanging():
                    stack.append(self._hung(one, indent, flat, stack))
        self._end_line(0)
        return "".join(self.out)

    def _text(self, text: str, indent: int) -> None:
        if self.comments and text not in _CLINGING:
            self._end_line(indent)
        if self.indent is not None:
            if not (text := text.lstrip(" ")):
                return
            self.out.append(" " * self.indent)
            self.column, self.indent = self.indent, None
        self.out.append(text)
        self.column += len(text)

    def _comment(self, comment: Comment, indent: int) -> None:
        if comment.is_own:
            self._end_line(indent)
            self._text(comment.text, indent)
            self._end_line(indent)
        else:
            self.comments.append(comment.text)

    def _end_line(self, indent: int, *, is_gap: bool = False) -> None:
        if self.indent is None:
            while self.out and self.out[-1].isspace():
                self.out.pop()
            self.out += [*(f"  {comment}" for comment in self.comments), "\n"]
            self.comments = []
        if is_gap and self.out:
            self.out[-1] = "\n\n"
        self.indent = indent

    def _column(self) -> int:
        return self.column if self.indent is None else self.indent

    def _hung(self, one: Hanging, indent: int, flat: bool, rest: Sequence[_Waiting]) -> _Waiting:
        if flat or (not one.breaks and self._fits(one.doc, one.limit - self._column() - 1, rest)):
            self._text(" ", indent)
            return indent, True, one.doc
        if not one.breaks and self._fits(one.doc, WIDTH - indent - INDENT, rest):
            self._end_line(indent + INDENT)
            return indent + INDENT, True, one.doc
        self._text(" ", indent)
        return indent, False, one.doc

    def _fits(self, doc: Doc, left: int, rest: Sequence[_Waiting]) -> bool:
        """Whether this, flat, and what certainly follows on its line take no more than so many columns."""
        stack: list[tuple[bool, Doc]] = [(True, doc)]
        behind = len(rest)
        while left >= 0:
            if not stack:
                if not behind:
                    return True
                behind -= 1
                stack.append(rest[behind][1:])
            flat, one = stack.pop()
            match one:
                case Text():
                    left -= len(one.text)
                case Line():
                    if not flat:
                        return True
                    left -= len(one.flat)
                case Hard():
                    return True
                case Broken():
                    if not flat:
                        stack.append((flat, one.doc))
                case Comment():
                    if one.is_own:
                        return True
                case Indented() | Group():
                    stack.append((flat, one.doc))
                case Hanging():
                    left -= 1
                    stack.append((flat, one.doc))
                case Row():
                    stack += [(flat, part) for part in reversed(one.parts)]
        return False
