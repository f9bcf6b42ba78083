"""Reading plain values as structs: what a field takes is its annotation, and all that is wrong is told at once.

This is what pydantic does, for the documents that every command reads: importing pydantic and making its models took
half of the time of `projection check`. Settings and what the server is asked are pydantic's.

    class Limits(Struct, frozen=True, kw_only=True):
        gas: Annotated[int, Meta(ge=1)] = 200_000

A struct may have a class method `short`, which makes a mapping of what else may stand for one. Both this and
`__post_init__` raise ValueError for what does not fit.
"""

from __future__ import annotations

from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import structs

from projection.model.problems import Problem, did_you_mean, kind_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from projection.model.problems import FieldPath

_PLAIN = {str: "a valid string", bool: "a valid boolean", int: "a valid integer"}  # in order: truth values are ints


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """A value: frozen, equal by content, copyable, picklable."""

    def replaced(self, **given: Any) -> Self:
        """The same with other values of some fields."""
        return structs.replace(self, **given)


S = TypeVar("S", bound=Struct)


class FieldsInvalidError(ValueError):
    """What was read says something that is not allowed; `problems` are all that is wrong."""

    def __init__(self, problems: Collection[Problem]) -> None:
        super().__init__("; ".join(f"field {one.field}: {one.text}" if one.path else one.text for one in problems))
        self.problems = tuple(problems)


def read_struct(kind: type[S], value: object) -> S:
    """Make a struct of a mapping of plain values; nothing is converted on the quiet.

    Args:
        kind: its fields are texts, numbers, truth values, literals, enums, other structs, and lists and mappings of
            these; in `Annotated`, a `msgspec.Meta` bounds the value, and a function takes it and gives what is kept.
        value: as a YAML, TOML or JSON file holds it.

    Raises:
        FieldsInvalidError: it does not fit.
    """
    wrong = list[Problem]()
    found: S = _read(kind, value, (), wrong)
    if wrong:
        raise FieldsInvalidError(wrong)
    return found


def _read(kind: Any, value: Any, at: FieldPath, wrong: list[Problem]) -> Any:
    """The value as a field of this kind keeps it; where it does not fit, nobody uses what is returned."""
    origin, arguments = get_origin(kind), get_args(kind)
    try:
        if origin is Annotated:
            return _bounded(*arguments, value=value, at=at, wrong=wrong)
        if origin in (Union, UnionType):
            return (
                None if value is None and NoneType in arguments else _read(_fitting(arguments, value), value, at, wrong)
            )
        if origin is Literal:
            return _chosen(arguments, value)
        if origin in (list, tuple):
            if not isinstance(value, list):
                raise _unfit(value, "a valid list")
            items = [_read(arguments[0], one, (*at, number), wrong) for number, one in enumerate(value)]
            return origin(items)
        if origin is dict:
            return dict(_entries(*arguments, value=value, at=at, wrong=wrong))
        if isinstance(kind, type) and issubclass(kind, Struct):
            return _struct(kind, value, at, wrong)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(_chosen([one.value for one in kind], value))
        if kind is Any:
            return value
        plain = next(one for one in _PLAIN if issubclass(kind, one))
        if type(value) is not plain:
            raise _unfit(value, _PLAIN[plain])
        return value if kind is plain else kind(value)
    except FieldsInvalidError as error:
        wrong += (Problem((*at, *one.path), one.text) for one in error.problems)
    except ValueError as error:
        wrong.append(Problem(at, str(error)))
    return None


def _struct(kind: type[Struct], value: Any, at: FieldPath, wrong: list[Problem]) -> Any:
    if (short := getattr(kind, "short", None)) is not None:
        value = short(value)
    value = _mapping(value)
    known, before, found = {one.name: one for one in structs.fields(kind)}, len(wrong), {}
    for name, one in known.items():
        if name in value:
            found[name] = _read(one.type, value[name], (*at, name), wrong)
        elif one.required:
            wrong.append(Problem((*at, name), "is missing"))
    wrong += (Problem((*at, name), f"is not known; {did_you_mean(name, known)}") for name in value if name not in known)
    return kind(**found) if len(wrong) == before else None


def _entries(key: Any, item: Any, *, value: Any, at: FieldPath, wrong: list[Problem]) -> Iterator[tuple[Any, Any]]:
    for name, one in _mapping(value).items():
        yield _read(key, name, (*at, name), wrong), _read(item, one, (*at, name), wrong)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"must be a mapping, not {kind_of(value)}")  # noqa: TRY004 - what does not fit is a ValueError
    return value


def _bounded(kind: Any, *rules: Any, value: Any, at: FieldPath, wrong: list[Problem]) -> Any:
    before = len(wrong)
    found = _read(kind, value, at, wrong)
    for rule in rules if len(wrong) == before else ():
        if not isinstance(rule, msgspec.Meta):
            found = rule(found)
            continue
        if rule.ge is not None and found < rule.ge:
            raise _unfit(value, f"greater than or equal to {rule.ge}")
        if rule.le is not None and found > rule.le:
            raise _unfit(value, f"less than or equal to {rule.le}")
        if rule.min_length is not None and len(found) < rule.min_length:
            raise ValueError("must not be empty")
        if rule.max_length is not None and len(found) > rule.max_length:
            raise ValueError(f"is {len(found):,} long; {rule.max_length:,} are allowed")
    return found


def _fitting(kinds: Collection[Any], value: Any) -> Any:
    """Which of several kinds a value is meant to be."""
    kinds = [one for one in kinds if one is not NoneType]
    return (
        kinds[0]
        if len(kinds) == 1
        else next((one for one in kinds if isinstance(value, get_origin(one) or one)), kinds[0])
    )


def _chosen(known: Collection[Any], value: Any) -> Any:
    if any(type(one) is type(value) and one == value for one in known):
        return value
    *most, last = map(repr, known)
    raise _unfit(value, f"{', '.join(most)} or {last}" if most else last)


def _unfit(value: Any, needed: str) -> ValueError:
    shown = kind_of(value) if isinstance(value, (dict, list)) else f"{value!r:.80}"
    return ValueError(f"{shown} is not allowed; it must be {needed}")
