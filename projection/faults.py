"""Faults of the product: turns an exception that no code foresaw into a report, in this one place.

Such an exception tells nothing of the state behind it. So whoever contains it gives up what it was at, a view type its
batch or a server one answer, and everything else goes on. What is no `Exception` is never contained: a cancellation,
Ctrl-C and `SystemExit` end what they are meant to end.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from projection.errors import OutOfMemoryError, ProductFaultError, ProjectionError

_PACKAGE = Path(__file__).parent
_SHOWN = 200  # characters of its message, which may quote a whole event

_MORE_MEMORY = (
    "give the process more memory, or lower back_pressure.batch_bytes and back_pressure.cached_bytes; the next start "
    "continues after the last commit"
)
REPORT_IT = "please report it, with the lines of the log that name its place"


def contained(error: Exception, doing: str, hint: str = REPORT_IT) -> ProjectionError:
    """Make a report of an exception that was not foreseen where it was caught.

    Args:
        error: an error that was raised on purpose is its own report.
        doing: what was being done, to what, as `folding event 17`.
        hint: what whoever reads the report can do.
    """
    if isinstance(error, ProjectionError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemoryError(f"no memory was left while {doing}, at {place_of(error)}", hint=_MORE_MEMORY)
    text = "".join(one if one.isprintable() else "?" for one in str(error)[:_SHOWN])
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return ProductFaultError(f"a fault of projection itself while {doing}: {what}, at {place_of(error)}", hint=hint)


def place_of(error: BaseException) -> str:
    """Where an exception came from: the last place in this package, as `projection/engine/lane.py:130`."""
    found = "an unknown place"
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if path.is_relative_to(_PACKAGE):
            found = f"{_PACKAGE.name}/{path.relative_to(_PACKAGE).as_posix()}:{frame.lineno}"
    return found
