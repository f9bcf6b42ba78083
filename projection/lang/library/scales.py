"""The scales of decimal results, from the types and the constants of the operands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.lang import types as ty
from projection.lang.operations import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _scale_of(type_: ty.Type) -> int | None:
    return type_.scale if isinstance(type_, ty.Decimal) else 0


def _scales(operands: Sequence[ty.Type]) -> list[int] | None:
    scales = [scale for operand in operands if (scale := _scale_of(operand)) is not None]
    return scales if len(scales) == len(operands) else None


def largest(operands: Sequence[ty.Type], _constants: Sequence[Any]) -> int | None:
    """That of a sum."""
    scales = _scales(operands)
    return None if scales is None else max(scales)


def summed(operands: Sequence[ty.Type], _constants: Sequence[Any]) -> int | None:
    """That of a product."""
    scales = _scales(operands)
    return None if scales is None else sum(scales)


def common(operands: Sequence[ty.Type], _constants: Sequence[Any]) -> int | None:
    """That of one of the operands, whichever it is."""
    scales = _scales(operands)
    return scales[0] if scales and len(set(scales)) == 1 else None


def own(operands: Sequence[ty.Type], _constants: Sequence[Any]) -> int | None:
    """That of the first operand."""
    return _scale_of(operands[0])


def of_items(operands: Sequence[ty.Type], _constants: Sequence[Any]) -> int | None:
    """That of the items of the first operand."""
    item = operands[0].item if isinstance(operands[0], ty.List) else ty.NEVER
    return None if isinstance(item, ty.Never) else _scale_of(item)


def named(position: int) -> Callable[[Sequence[ty.Type], Sequence[Any]], int | None]:
    """That which an operand says, if it is a constant."""

    def scale(_operands: Sequence[ty.Type], constants: Sequence[Any]) -> int | None:
        return constants[position] if constants[position] is not ABSENT else None

    return scale
