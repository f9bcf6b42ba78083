"""What a diagnostic is, how it is shown, and what was probably meant by a name that is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from projection.errors import ProgramError
from projection.lang.immutable import Immutable
from projection.lang.printable import columns, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from projection.lang.source import Source, Span

MAX_DIAGNOSTICS = 50
MAX_PROBLEMS = 200  # of one program; each may be compared with all names there are
_MAX_SUGGESTED = 64  # comparing longer names would take longer than it helps
_MAX_EXCERPT = 160  # characters of a line that are shown; of a longer line, those around the place
_LEAD = 40  # of these, at most so many in front of the place


class Diagnostic(Immutable, frozen=True):
    """One thing that is wrong with a program."""

    code: str
    message: str
    span: Span
    label: str = ""  # stands behind the carets
    help: str = ""  # stands below
    severity: str = "error"  # or `warning` or `note`, which stop no program
    related: tuple[tuple[Span, str], ...] = ()  # further places, and what they have to do with it
    fix: tuple[Span, str] | None = None  # a text that put there mends it, without a look

    def moved(self, offset: int) -> Diagnostic:
        """The same, of a stretch of text that begins at this offset."""
        fix = None if self.fix is None else (self.fix[0].moved(offset), self.fix[1])
        return replace(self, span=self.span.moved(offset), fix=fix)

    def render(self, source: Source) -> str:
        """The diagnostic for a terminal: what, where, the line itself, what to do."""
        lines = [source.position(span.start)[0] for span in (self.span, *(span for span, _text in self.related))]
        gutter = " " * len(str(max(lines)))
        rows = [f"{self.severity}[{self.code}]: {printable(self.message)}"]
        rows.append(f"{gutter}--> {printable(source.place(self.span))}")
        rows += _excerpt(source, self.span, self.label, "^", gutter)
        for span, text in self.related:
            rows += _excerpt(source, span, text, "-", gutter)
        if self.help:
            rows.append(f"{gutter} = help: {printable(self.help)}")
        return "\n".join(rows)


def _excerpt(source: Source, span: Span, label: str, mark: str, gutter: str) -> list[str]:
    """The line that a span begins in, with marks below the span."""
    line, column = source.position(span.start)
    text, start = source.line(line).replace("\t", " "), column - 1
    first = max(0, start - _LEAD) if len(text) > _MAX_EXCERPT else 0
    last = min(len(text), first + _MAX_EXCERPT)
    end = min(max(start, span.end - span.start + start), last)
    before, marked, behind = (printable(text[a:b]) for a, b in ((first, start), (start, end), (end, last)))
    before = "…" * (first > 0) + before
    shown = f"{before}{marked}{behind}{'…' * (last < len(text))}"
    marks = " " * columns(before) + mark * max(1, columns(marked)) + (f" {printable(label)}" if label else "")
    return [f"{gutter} |", f"{line:>{len(gutter)}} | {shown}", f"{gutter} | {marks}"]


class TooManyProblemsError(Exception):
    """So much is wrong with a program that the rest is not looked at."""


class Problems(list[Diagnostic]):
    """What is wrong with a program so far."""

    def append(self, problem: Diagnostic) -> None:
        """Add one.

        Raises:
            TooManyProblemsError: it is one too many.
        """
        super().append(problem)
        if len(self) > MAX_PROBLEMS:
            raise TooManyProblemsError


class ProgramInvalidError(ProgramError):
    """A program that does not check; it holds all its diagnostics."""

    default_code = "P100"

    def __init__(self, source: Source, diagnostics: Sequence[Diagnostic]) -> None:
        count = len(diagnostics)
        super().__init__(f"{source.name}: {count} error{'s' if count > 1 else ''}; the first: {diagnostics[0].message}")
        self.source = source
        self.diagnostics = tuple(sorted(diagnostics, key=lambda one: one.span))

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.source, self.diagnostics))

    def render(self) -> str:
        """All diagnostics, for a terminal."""
        shown = [one.render(self.source) for one in self.diagnostics[:MAX_DIAGNOSTICS]]
        if len(self.diagnostics) > MAX_DIAGNOSTICS:
            shown.append(f"… and {len(self.diagnostics) - MAX_DIAGNOSTICS} more")
        return "\n\n".join(shown)


def closest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant: within an edit distance of max(1, a third of the name).

    The distance is smaller than the name is long: a name of one letter has nothing in common with another.
    """
    if len(name) > _MAX_SUGGESTED:
        return None
    best, limit = None, min(max(1, len(name) // 3), len(name) - 1)
    for candidate in sorted(set(candidates)):
        distance = _edit_distance(name, candidate, limit)
        if distance <= limit:
            best, limit = candidate, distance - 1
    return best


def _edit_distance(a: str, b: str, limit: int) -> int:
    """Damerau-Levenstein (adjacent swaps count one); anything above the limit is only known to be above it."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, last, row = row, before, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
