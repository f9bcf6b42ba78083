"""How two types differ, as those who write and read values of them see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projection.lang import types as ty

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Difference:
    """How two types differ in one respect."""

    what: str
    wider: bool  # whether there are values of the new type that the old one does not take
    narrower: bool  # the other way round
    asked: bool = False  # whether a query that was right may be refused


def bound_differs(old: int | None, new: int | None, default: int, unit: str) -> Iterator[Difference]:
    """How the bounds of two strings or containers differ; None stands for the default."""
    was, now = old or default, new or default
    if was != now:
        yield Difference(f"may have up to {now:,} {unit} instead of {was:,}", now > was, now < was)


def _enums(old: ty.Enum, new: ty.Enum) -> Iterator[Difference]:
    gone, more = (
        ", ".join(f"`{member}`" for member in one.members if member not in other.members)
        for one, other in ((old, new), (new, old))
    )
    if more:
        yield Difference(f"may also be {more}", wider=not old.open, narrower=False)
    if gone:
        yield Difference(f"has no {gone} any more", wider=False, narrower=not new.open, asked=not new.open)
    if old.open != new.open:
        how = "may be any other text, too" if new.open else "may no longer be any other text"
        yield Difference(how, wider=new.open, narrower=old.open, asked=old.open)


def single_differs(old: ty.Type, new: ty.Type) -> Iterator[Difference]:
    """How types differ that hold no others, or that have nothing to do with one another."""
    match old, new:
        case (ty.String(), ty.String()):
            yield from bound_differs(old.max, new.max, ty.DEFAULT_STRING, "code points")
            return
        case (ty.Bytes(), ty.Bytes()):
            yield from bound_differs(old.max, new.max, ty.DEFAULT_BYTES, "bytes")
            return
        case (ty.Decimal(), ty.Decimal()) if old != new:
            was, now = (ty.MAX_SCALE + 1 if one.scale is None else one.scale for one in (old, new))
            yield Difference(_becomes(old, new), wider=now > was, narrower=now < was)
            return
        case (ty.Enum(), ty.Enum()):
            yield from _enums(old, new)
            return
    if old == new:
        return
    wider, narrower, asked = True, True, True
    match old, new:
        case (ty.Int(), ty.Decimal()) | (_, ty.Json()):
            narrower = False
        case (ty.Decimal(), ty.Int()) | (ty.Json(), _):
            wider, asked = False, isinstance(old, ty.Json)
        case (ty.Enum(), ty.String()):
            longest = ty.DEFAULT_STRING if old.open else max(map(len, old.members))
            narrower = longest > (new.max or ty.DEFAULT_STRING)
        case (ty.String(), ty.Enum()):
            narrower = not new.open
    yield Difference(_becomes(old, new), wider, narrower, asked)


def _becomes(old: ty.Type, new: ty.Type) -> str:
    return f"is {written(new)} instead of {written(old)}"


def written(type_: ty.Type | None) -> str:
    """A type as programs write it; nothing of none."""
    return "" if type_ is None else str(type_).replace("…", "...")
