"""How `projection query` prints views: a table, JSON, CSV."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from projection.cli.console import print_json
from projection.cli.tables import print_table
from projection.lang.values.codec import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from projection.client.answers import Explanation, Found


def print_lines(views: Iterable[Found]) -> None:
    """One JSON object a line, its numbers digit by digit as they are stored."""
    for found in views:
        sys.stdout.buffer.write(encode({"id": found.id, "view": found.view}) + b"\n")


def print_views(columns: Sequence[str], views: Iterable[Found]) -> None:
    """A table: the id, and what is at these paths."""
    rows = [(found.id, *(_cell(_at(found.view, column.split("."))) for column in columns)) for found in views]
    print_table(("id", *columns), rows)


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
        sys.stdout.buffer.write(line.getvalue().encode())
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
        print(f"{name:<{width}}  {'-' if value is None else value}")


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
