"""Every run of every test of the language is held against its static bound: min ≤ actual ≤ max."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.lang import core
from projection.lang import types as ty
from projection.lang.cost import costs
from projection.lang.cost.abstract import Abstract
from projection.lang.cost.bounds import bounds_of, payload_gas, view_gas
from projection.lang.cost.sizes import Size, Sizes
from projection.lang.cost.tally import Range, Tally
from projection.lang.program import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from projection.lang.program import Program, Step
    from projection.lang.run.interpreter import Meter


class ExpressionBound:
    """The bound of one expression over an event, and over nothing else."""

    def __init__(self, node: core.Core, functions: Mapping[str, core.Function], event: ty.Record) -> None:
        sizes, self.tally = Sizes(), Tally()
        frame: dict[int, Size | None] = {core.EVENT: sizes.of(event), core.META: sizes.of(ty.META)}
        self.size = Abstract(functions, Limits().alloc).run(node, frame, self.tally)

    def holds_for_failure(self, meter: Meter) -> None:
        """The most holds for a run that failed."""
        assert meter.used <= self.tally.gas.most
        assert meter.alloc_limit - meter.alloc <= self.tally.alloc.most

    def holds_for(self, value: Any, meter: Meter) -> None:
        """Both ends hold for a run that came to its end, and what is known of the value's size."""
        self.holds_for_failure(meter)
        assert self.tally.gas.least <= meter.used
        assert self.tally.alloc.least <= meter.alloc_limit - meter.alloc
        assert self.size is not None
        assert fits(value, self.size), (value, self.size)


def fits(value: Any, size: Size) -> bool:
    """Whether a value is as large as its size says, through and through."""
    if not (
        size.least <= costs.length(value) <= size.most and size.nodes[0] <= costs.nodes(value, 10**9) <= size.nodes[1]
    ):
        return False
    if size.is_unknown or value is None:
        return True
    if isinstance(value, (list, tuple)) and size.fields:
        return all(fits(part, of) for part, (_name, of) in zip(value, size.fields, strict=True))
    if isinstance(value, (list, tuple)):
        return all(size.item is not None and fits(item, size.item) for item in value)
    if isinstance(value, dict):
        values_fit = all(size.item is not None and fits(item, size.item) for item in value.values())
        return values_fit and all(size.key is not None and fits(key, size.key) for key in value)
    if hasattr(value, "__struct_fields__"):
        return all(fits(getattr(value, name), size.get(name)) for name in value.__struct_fields__)
    return size.number is None or (type(value) is int and size.number[0] <= value <= size.number[1])


class ProgramBounds:
    """The bounds of a program's handlers."""

    def __init__(self, program: Program) -> None:
        bounds = bounds_of(program.checked, program.limits)
        self._bounds = {(bound.span, bound.events, bound.via): bound for bound in bounds}
        self._view = view_gas(program.checked.view, program.limits)

    def holds_for_route(self, handlers: Iterable[core.Handler], used: int, *, failed: bool = False) -> None:
        """What decoding and routing one event took."""
        found = payload_gas()
        for handler in handlers:
            found = found.plus(self._bounds[handler.span, handler.events, handler.via].route.gas)
        assert used <= found.most
        assert failed or found.least <= used

    def holds_for_steps(self, steps: Sequence[Step], gas: int, alloc: int | None, *, failed: bool = False) -> None:
        """What one event took on one view; how much was allocated is not known of what failed."""
        found, allocated, count = Range(0, 2 * self._view.most), Range(), dict[Any, int]()
        for run, _item in steps:
            key = (run.handler.span, run.handler.events, run.handler.via)
            bound = self._bounds[key]
            found, allocated = found.plus(bound.body.gas), allocated.plus(bound.body.alloc)
            count[key] = count.get(key, 0) + 1
            assert count[key] <= bound.runs.most
        assert gas <= found.most
        assert failed or found.least <= gas
        assert gas <= 2 * self._view.most + sum(self._bounds[key].apply().gas.most for key in count)
        if alloc is not None:
            assert alloc <= allocated.most
            assert failed or allocated.least <= alloc
