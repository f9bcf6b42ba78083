"""How `projection query` prints views: a table, JSON, CSV."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from projection.cli.console import print_json, print_json_lines, print_text, say
from projection.cli.tables import print_table
from projection.lang.printable import printable
from projection.lang.values.codec import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from projection.client.answers import Explanation, Found

_GAP = 2  # between two columns
_LEAST_TEXT = 12  # characters of a text that are shown, where it has as many


def print_lines(views: Iterable[Found]) -> None:
    """One JSON object a line, its numbers digit by digit as they are stored."""
    print_json_lines(encode({"id": found.id, "view": found.view}) + b"\n" for found in views)


def print_views(columns: Sequence[str], views: Iterable[Found]) -> None:
    """A table: the id, and what is at these paths; where the terminal is too narrow for one, a block for each view."""
    head = ("id", *columns)
    rows = [(printable(found.id), *(_at(found.view, column.split(".")) for column in columns)) for found in views]
    cells = [[_shortened(value) for value in row] for row in rows]
    widths = _widths(head, cells)
    if sum(widths) + _GAP * (len(head) - 1) > Console().width:
        _print_blocks(head, rows)
    else:
        print_table(head, [[_cut(cell, width) for cell, width in zip(row, widths, strict=True)] for row in cells])


def _shortened(value: Any) -> Any:
    """A value as a cell of a table."""
    if isinstance(value, list):
        return f"{len(value)} item{'' if len(value) == 1 else 's'}"
    return "{…}" if isinstance(value, dict) else _cell(value)


def _widths(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[int]:
    """How wide the columns are: texts give way down to a dozen characters; heads, ids and numbers do not."""
    wanted, least = [], []
    for at, name in enumerate(head):
        shown = [row[at] if isinstance(row[at], str) else f"{row[at]:,}" for row in rows if row[at] is not None]
        widest = max(map(cell_len, shown), default=0)
        gives_way = at > 0 and any(isinstance(row[at], str) for row in rows)
        wanted.append(max(widest, cell_len(name)))
        least.append(max(min(widest, _LEAST_TEXT) if gives_way else widest, cell_len(name)))
    left = Console().width - sum(least) - _GAP * (len(head) - 1)
    widths = []
    for most, width in zip(wanted, least, strict=True):
        more = max(0, min(most - width, left))
        left -= more
        widths.append(width + more)
    return widths


def _cut(cell: Any, width: int) -> Any:
    if not isinstance(cell, str) or cell_len(cell) <= width:
        return cell
    return set_cell_size(cell, width - 1).rstrip() + "…"


def _print_blocks(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    width = max(map(len, head))
    for place, row in enumerate(rows):
        if place:
            say()
        for name, value in zip(head, row, strict=True):
            cell = _cell(value)
            shown = "" if cell is None else printable(cell) if isinstance(cell, str) else f"{cell:,}"
            say(f"{name:<{width}}  {shown}".rstrip())


def print_csv(columns: Sequence[str], views: Iterable[Found]) -> None:
    """RFC 4180, in UTF-8.

    Lines end with CR LF: a lone CR in a field would else not be quoted, and readers take it for the end of a line.
    """
    import csv
    import io

    line = io.StringIO(newline="")
    writer = csv.writer(line)

    def write(cells: Iterable[object]) -> None:
        writer.writerow(cells)
        print_text(line.getvalue())
        line.seek(0)
        line.truncate()

    write(("id", *columns))
    for found in views:
        cells = (_cell(_at(found.view, column.split("."))) for column in columns)
        write((found.id, *(f"{cell:f}" if isinstance(cell, Decimal) else cell for cell in cells)))


def print_explanation(explanation: Explanation, *, as_json: bool) -> None:
    """How a query is answered, a fact a line."""
    if as_json:
        print_json(explanation)
        return
    told = msgspec.structs.asdict(explanation)
    for unused in told.pop("unused"):
        told[f"not used: {unused.index}"] = unused.why
    width = max(map(len, told))
    for name, value in told.items():
        say(f"{name:<{width}}  {'-' if value is None else value}")


def _at(value: Any, steps: Sequence[str]) -> Any:
    """What is at a path of a view; where a list is on the way, what is in each of its items."""
    for place, step in enumerate(steps):
        if isinstance(value, list):
            return [_at(one, steps[place:]) for one in value]
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _cell(value: Any) -> Any:
    """A value as one cell: numbers and texts as they are, nothing where nothing is, all else as JSON."""
    if value is None or isinstance(value, str) or type(value) in (int, Decimal):
        return value
    return encode(value).decode()
