"""What is known of the JSON of events before it is declared: the shapes that schemas and samples are read into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Single:
    """A value whose type is written as it stands here: `int`, `decimal(2)`, `enum(a, b, ...)`, `json`."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A `list` or a `set`."""

    kind: str
    item: Shape
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Entries:
    """A map."""

    key: str  # its type, as programs write it
    value: Shape
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with known fields."""

    name: str  # what its type may be called, in any spelling
    fields: tuple[FieldShape, ...]
    doc: str = ""


Shape: TypeAlias = Single | Items | Entries | Fields


@dataclass(frozen=True, slots=True)
class FieldShape:
    """A field of an object."""

    wire: str
    shape: Shape
    is_optional: bool = False
    default: str = ""  # as programs write it; empty where there is none
    note: str = ""  # what was guessed, or could not be said
    doc: str = ""


@dataclass(frozen=True, slots=True)
class EventShape:
    """An event by its type on the wire."""

    wire: str
    payload: Fields
    note: str = ""


JSON = Single("json")
