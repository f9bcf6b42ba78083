"""Where the operations of edition 1 are kept, and how one is added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.lang.cost.costs import Shape, constant
from projection.lang.operations import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.lang.cost.sizes import Size
    from projection.lang.types import Type

    Scale = Callable[[Sequence[Type], Sequence[Any]], int | None]
    Extent = Callable[[Sequence[Size]], Size]

FREE = constant(0)

OPERATORS: dict[str, list[Operation]] = {}  # by symbol; the first that takes the operands is meant
BUILTINS: dict[str, list[Operation]] = {}  # by name
FORMS: dict[str, Operation] = {}  # what the checker inserts; programs cannot name them


def operator(
    symbol: str,
    signature: str,
    *,
    gas: Shape,
    alloc: Shape,
    function: Callable[..., Any],
    scale: Scale | None = None,
    size: Extent | None = None,
    inline: str | None = None,
) -> None:
    """Add what a symbol means for operands of some types."""
    operation = Operation(symbol, signature, gas, alloc, function, "", (), scale, size, inline)
    OPERATORS.setdefault(symbol, []).append(operation)


def builtin(
    name: str,
    signature: str,
    *,
    gas: Shape,
    alloc: Shape,
    function: Callable[..., Any],
    doc: str,
    examples: Sequence[tuple[str, str]],
    scale: Scale | None = None,
    size: Extent | None = None,
    inline: str | None = None,
) -> None:
    """Add what a name means for operands of some types; an example may also yield `fails CODE`.

    Raises:
        TypeError: it says nothing about itself, or shows nothing.
    """
    if not doc or not examples:
        raise TypeError(f"`{name}` needs a doc and an example")
    operation = Operation(name, signature, gas, alloc, function, doc, tuple(examples), scale, size, inline)
    BUILTINS.setdefault(name, []).append(operation)


def form(
    name: str,
    signature: str,
    *,
    gas: Shape,
    alloc: Shape,
    function: Callable[..., Any],
    size: Extent | None = None,
    inline: str | None = None,
) -> None:
    """Add an operation that the checker inserts."""
    FORMS[name] = Operation(name, signature, gas, alloc, function, "", (), None, size, inline)
