"""Findings: what `projection check` has to say, each with its place in a file, whatever the file is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from projection.lang.immutable import Immutable

if TYPE_CHECKING:
    from projection.lang.reporting import Diagnostic
    from projection.lang.source import Source, Span


class Place(Immutable, frozen=True, order=True):
    """A stretch of a file: lines and columns from 1, in code points; the end exclusive."""

    file: str  # relative to the current folder where it lies below, with forward slashes
    line: int
    column: int
    end_line: int
    end_column: int


class Related(Immutable, frozen=True):
    """A further place, and what it has to do with a finding."""

    place: Place
    message: str


class Fix(Immutable, frozen=True):
    """A text that mends what was found, put where the place is."""

    place: Place
    text: str


class Finding(Immutable, frozen=True):
    """One thing that is wrong, or a warning."""

    code: str
    severity: str  # "error", "warning" or "note"
    message: str
    place: Place
    label: str = ""  # about the very place
    help: str = ""
    related: tuple[Related, ...] = ()
    fix: Fix | None = None
    excerpt: str = ""  # the lines of the file, marked, as a terminal shows them

    @property
    def is_error(self) -> bool:
        """Whether it is more than a warning."""
        return self.severity == "error"


def in_source(source: Source, diagnostic: Diagnostic) -> Finding:
    """A diagnostic of a text."""
    return Finding(
        diagnostic.code,
        diagnostic.severity,
        diagnostic.message,
        _place(source, diagnostic.span),
        diagnostic.label,
        diagnostic.help,
        tuple(Related(_place(source, span), text) for span, text in diagnostic.related),
        None if diagnostic.fix is None else Fix(_place(source, diagnostic.fix[0]), diagnostic.fix[1]),
        diagnostic.render(source).partition("\n")[2],
    )


def in_line(file: str, line: int, code: str, message: str, help_: str = "", severity: str = "error") -> Finding:
    """A finding about a whole line, which is not shown: it may be long."""
    excerpt = f" --> {file}:{line}:1" + (f"\n  = help: {help_}" if help_ else "")
    return Finding(code, severity, message, Place(file, line, 1, line, 1), help=help_, excerpt=excerpt)


def shown_path(path: Path) -> str:
    """A path as findings name it."""
    here = Path.cwd()
    full = path if path.is_absolute() else here / path
    return full.relative_to(here).as_posix() if full.is_relative_to(here) else full.as_posix()


def _place(source: Source, span: Span) -> Place:
    end = max(span.end, span.start)
    return Place(source.name, *source.position(span.start), *source.position(end))
