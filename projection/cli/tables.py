"""Tables for people, on a terminal or in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]], *, last_folds: bool = False) -> None:
    """Write a table to stdout, as wide as the terminal; numbers to the right.

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
    for at, name in enumerate(head):
        is_number = bool(rows) and all(isinstance(row[at], int) for row in rows)
        table.add_column(
            name,
            justify="right" if is_number else "left",
            overflow="fold",
            no_wrap=last_folds and at < len(head) - 1 and name != "view id",
        )
    for row in rows:
        table.add_row(*(Text(f"{cell:,}" if type(cell) is int else printable(str(cell))) for cell in row))
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())


def printable(text: str) -> str:
    """A text with nothing in it that a terminal would obey."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
