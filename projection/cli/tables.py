"""Tables for people, on a terminal or in a file."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

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
    for at, name in enumerate(head):
        is_number = _are_numbers([row[at] for row in rows])
        table.add_column(
            name,
            justify="right" if is_number else "left",
            overflow="fold",
            no_wrap=last_folds and at < len(head) - 1 and name != "view id",
        )
    columns = [_cells([row[at] for row in rows]) for at in range(len(head))]
    for cells in zip(*columns, strict=True):
        table.add_row(*map(Text, cells))
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())


def _are_numbers(values: Sequence[object]) -> bool:
    """Whether a column is one of numbers; what is missing (None) may be among them."""
    given = [value for value in values if value is not None]
    return bool(given) and all(type(value) in (int, Decimal) for value in given)


def _cells(values: Sequence[object]) -> list[str]:
    """A column as it is shown."""
    if not _are_numbers(values):
        return [printable(str(value)) for value in values]
    shown = ["" if value is None else f"{value:,f}" if isinstance(value, Decimal) else f"{value:,}" for value in values]
    behind = [len(one) - one.rfind(".") if "." in one else 0 for one in shown]  # the point and the digits after it
    return [one + " " * (max(behind) - tail) for one, tail in zip(shown, behind, strict=True)]


def printable(text: str) -> str:
    """A text with nothing in it that a terminal would obey."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
