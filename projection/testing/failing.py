"""How a test fails: one exception for both runners, and a program's line shown with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.errors import ErrorClass, ProjectionError
from projection.lang.printable import printable, printable_lines
from projection.lang.reporting import ProgramInvalidError

if TYPE_CHECKING:
    from projection.lang.source import Source, Span


class ExpectationError(ProjectionError):
    """Something else came of the events than a test expects; the message says all that differs."""

    error_class = ErrorClass.PROGRAM
    default_code = "test.failed"


def shown_line(source: Source, span: Span) -> str:
    """`file:line`, and the lines of the program there."""
    first, _ = source.position(span.start)
    last, _ = source.position(max(span.start, span.end - 1))
    width = len(str(last))
    rows = "".join(f"\n{number:>{width}} | {printable(source.line(number))}" for number in range(first, last + 1))
    return f"{source.name}:{first}{rows}"


def failure_text(error: ProjectionError) -> str:
    """What a runner prints for a test that failed with this error: no traceback, for none of it is the author's."""
    if isinstance(error, ProgramInvalidError):
        return error.render()
    return printable_lines(f"{error.message}\nhint: {error.hint}" if error.hint else error.message)
