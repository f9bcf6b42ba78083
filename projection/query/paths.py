"""Paths into a view: from the steps that a query writes to what is there, with its type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from projection.lang import types as ty
from projection.lang.reporting import closest
from projection.lang.values.numbers import parse_int
from projection.query.errors import QueryInvalidError
from projection.query.form import ID
from projection.query.values import read_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.query.form import Steps

MAX_EACH = 3  # steps of one path that mean any item of a list


class Field(NamedTuple):
    """A field of a record."""

    name: str


class Item(NamedTuple):
    """An item of a list, by its number from 0; there may be none. Also of json."""

    number: int


class Key(NamedTuple):
    """An entry of a map, by its key; there may be none. Also a member of json, by its name."""

    key: Any


class Each(NamedTuple):
    """Any item of a list."""


Step: TypeAlias = Field | Item | Key | Each


@dataclass(frozen=True, slots=True)
class ViewPath:
    """A path that leads somewhere.

    Args:
        steps: from the view on; none for the view's id.
        type: of what is there, without bounds; never optional.
        is_optional: whether nothing may be there.
        is_multi: whether it leads to as many values as a list has items.
        names: the fields on the way, as the keys of indexes have them; None where no index leads there.
    """

    steps: tuple[Step, ...]
    type: ty.Type
    is_optional: bool
    is_multi: bool
    names: tuple[str, ...] | None

    @property
    def is_id(self) -> bool:
        """Whether the view's id is meant."""
        return not self.steps

    @property
    def field(self) -> str | None:
        """The view's own field that it goes through; None for the id."""
        first = self.steps[0] if self.steps else None
        return first.name if isinstance(first, Field) else None

    def read(self, view: Any) -> Any:
        """What is there in a decoded view; None where nothing is.

        Raises:
            TypeError: it leads to more than one value, or to the id.
        """
        here = view
        for step in self.steps:
            if here is None:
                return None
            match step:
                case Field():
                    here = getattr(here, step.name)
                case Key():
                    here = here.get(step.key) if isinstance(here, dict) else None
                case Item():
                    here = here[step.number] if isinstance(here, list) and step.number < len(here) else None
                case Each():
                    raise TypeError("the path leads to more than one value")
        return here


def resolved(record: ty.Record, written: Steps) -> ViewPath:
    """The path into a record that these steps are.

    Raises:
        QueryInvalidError: they lead nowhere.
    """
    if written == (ID,):
        return ViewPath((), ty.TEXT, is_optional=False, is_multi=False, names=(ID,))
    way = _Way(record)
    for position, step in enumerate(written):
        way.go(step, ".".join(map(str, written[:position])))
    lists = sum(isinstance(step, Each) for step in way.steps)
    if lists > MAX_EACH:
        raise QueryInvalidError(f"the path leads through more than {MAX_EACH} lists")
    by_fields = all(isinstance(step, (Field, Each)) for step in way.steps)
    names = tuple(step.name for step in way.steps if isinstance(step, Field)) if by_fields else None
    return ViewPath(tuple(way.steps), ty.loosened(way.here), way.is_optional, bool(lists), names)


class _Way:
    """A path as far as it has come."""

    def __init__(self, record: ty.Record) -> None:
        self.here: ty.Type = record
        self.is_optional = False
        self.steps: list[Step] = []

    def go(self, step: str | int, so_far: str) -> None:
        """One step further; `so_far` is the way to here, for messages."""
        index = _index(step)
        while isinstance(self.here, (ty.List, ty.Set)) and not (isinstance(self.here, ty.List) and index is not None):
            self._take(Each(), self.here.item)
        match self.here:
            case ty.Record():
                self._field(str(step), self.here, so_far)
            case ty.List() if index is not None:
                self._take(Item(index), ty.Optional(self.here.item))
            case ty.Map():
                key = read_value(_as_key(step, self.here.key), self.here.key)
                self._take(Key(key), ty.Optional(self.here.value))
            case ty.Json():
                self._take(Item(step) if isinstance(step, int) else Key(step), ty.Optional(ty.JSON))
            case _:
                raise QueryInvalidError(
                    f"`{_short(so_far)}` is {self.here}: nothing is inside it, so `{_short(step)}` leads nowhere"
                )

    def _take(self, step: Step, found: ty.Type) -> None:
        self.steps.append(step)
        self.is_optional |= isinstance(found, ty.Optional)
        self.here = found.inner if isinstance(found, ty.Optional) else found

    def _field(self, name: str, record: ty.Record, so_far: str) -> None:
        if (field := record.fields.get(name)) is not None:
            self._take(Field(name), field.type)
            return
        near = closest(name, [*record.fields, *([ID] if not so_far else [])])
        hint = f"did you mean `{near}`?" if near else "there are: " + _listed(list(record.fields))
        raise QueryInvalidError(f"{record} has no field `{_short(name)}`", hint=hint)


def _index(step: str | int) -> int | None:
    """The number of an item; None where the step is none."""
    if isinstance(step, int):
        return step
    return int(step) if step.isascii() and step.isdigit() and len(step) <= 10 else None


def _as_key(step: str | int, key: ty.Type) -> str | int:
    """A step as the JSON that a map's key would be as a value."""
    if isinstance(key, ty.Int):
        number = step if isinstance(step, int) else parse_int(step)
        return step if number is None else number
    return str(step)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:20]) + (", …" if len(names) > 20 else "")


def _short(step: object) -> str:
    text = str(step)
    return text if len(text) <= 80 else text[:79] + "…"
