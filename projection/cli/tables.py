"""Tables for people, on a terminal or in a file."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING

from projection.lang.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]], *, last_folds: bool = False) -> None:
    """Write a table to stdout, as wide as the terminal; numbers to the right, their points one below the other.

    Args:
        head: a word or two for each column.
        rows: a value for each column; texts of any origin are shown harmless.
        last_folds: whether the last column takes what room there is, in several lines.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = []
    for at, name in enumerate(head):
        shown, *cells = _column(name, [row[at] for row in rows])
        columns.append(cells)
        table.add_column(
            Text(shown),
            overflow="fold",
            no_wrap=last_folds and at < len(head) - 1 and name != "view id",
        )
    for row in zip(*columns, strict=True):
        table.add_row(*map(Text, row))
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        sys.stdout.write(f"{line.rstrip()}\n")  # as it is: head and cells are escaped, a terminal is to obey the rest


def _column(name: str, values: Sequence[object]) -> list[str]:
    """A column's head and cells as they are shown; in one of numbers, some may be missing (None)."""
    name = printable(name)
    given = [value for value in values if value is not None]
    if not given or any(type(value) not in (int, Decimal) for value in given):
        return [name, *("" if value is None else printable(str(value)) for value in values)]
    shown = ["" if value is None else f"{value:,f}" if isinstance(value, Decimal) else f"{value:,}" for value in values]
    behind = [len(one) - one.rfind(".") if "." in one else 0 for one in shown]  # the point and the digits after it
    aligned = [one + " " * (max(behind) - tail) for one, tail in zip(shown, behind, strict=True)]
    width = max(map(len, (name, *aligned)))
    return [one.rjust(width) for one in (name, *aligned)]  # not by the table, which takes the blanks at an end away


def size(count: int) -> str:
    """A number of bytes as people read it."""
    left = float(count)
    for unit in ("B", "KiB", "MiB"):
        if left < 1024:
            return f"{left:,.0f} {unit}"
        left /= 1024
    return f"{left:,.1f} GiB"


def duration(seconds: float) -> str:
    """How long something takes, about, as people read it."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:,.0f} s" if seconds >= 1 else "less than 1 s"
