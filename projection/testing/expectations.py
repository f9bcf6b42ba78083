"""What differs between what a scenario expects and what came of it, in sentences."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from projection.model.problems import did_you_mean
from projection.testing.folding import described
from projection.testing.snapshots import gas_by_type, parked_fields, scalar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from projection.testing.folding import Folded
    from projection.testing.scenarios import Expect, ViewsByType


def unmet(expect: Expect, folded: Folded) -> list[str]:
    """A line for each difference, and below those of a view the event and the handlers that changed it last."""
    found: dict[str, ViewsByType] = {}
    for tenant, kind, view_id, view in folded.all_views():
        found.setdefault(tenant, {}).setdefault(kind, {})[view_id] = view
    lines = list(_views("views", "", expect.views, found, folded))
    for tenant, views in expect.tenants.items():
        lines += _views(f"tenants.{tenant}", tenant, views, found, folded)
    lines += _parked(expect, folded)
    lines += _halted(expect, folded)
    return lines + list(_gas(expect, folded))


def _views(
    path: str, tenant: str, expected: ViewsByType, found: Mapping[str, ViewsByType], folded: Folded
) -> Iterator[str]:
    types = [str(one.entry.view_type) for one in folded.projection.deployed]
    for kind, views in expected.items():
        if kind not in types:
            yield f"{path}.{kind}: there is no such view type; {did_you_mean(kind, types)}"
            continue
        here = found.get(tenant, {}).get(kind, {})
        for view_id, fields in views.items():
            place = f"{path}.{kind}.{view_id}"
            if fields is None and view_id in here:
                yield f"{place}: expected to be absent, but it is there"
            elif fields is not None and view_id not in here:
                yield f"{place}: expected, but there is no such view; {did_you_mean(view_id, here)}"
            elif lines := list(differences(place, fields, here.get(view_id))):
                yield from lines
            else:
                continue
            yield from (f"  {line}" for line in folded.last_change(tenant, kind, view_id))


def _parked(expect: Expect, folded: Folded) -> Iterator[str]:
    parked = folded.parked()
    for index, (expected, one) in enumerate(zip(expect.parked, parked, strict=False)):
        yield from differences(f"parked[{index}]", expected, parked_fields(one))
    for one in parked[len(expect.parked) :]:
        yield f"parked: not expected, but {described(one)}"
    for expected in expect.parked[len(parked) :]:
        shown = ", ".join(f"{name} {scalar(value)}" for name, value in expected.items())
        yield f"parked: expected an event with {shown}, but {len(parked)} are parked"


def _halted(expect: Expect, folded: Folded) -> Iterator[str]:
    code = None if folded.halted is None else folded.halted.code
    if code != expect.halted:
        said = "" if folded.halted is None else f": {folded.halted.message}"
        yield f"halted: expected {scalar(expect.halted)}, found {scalar(code)}{said}"


def _gas(expect: Expect, folded: Folded) -> Iterator[str]:
    used = gas_by_type(folded)
    for kind, limit in expect.gas.items():
        if kind not in used:
            yield f"gas.{kind}: there is no such view type; {did_you_mean(kind, used)}"
        elif used[kind] > limit:
            yield f"gas.{kind}: expected at most {limit}, found {used[kind]}"


def differences(path: str, expected: Any, found: Any) -> Iterator[str]:
    """Where a value is not what was expected; a mapping may have more fields, a list may not have more items."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name, value in expected.items():
            if name in found:
                yield from differences(f"{path}.{name}", value, found[name])
            elif value is not None:
                known = did_you_mean(name, found)
                yield f"{path}.{name}: expected {scalar(value)}, but there is no such field; {known}"
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from differences(f"{path}[{index}]", one, other)
    elif not _same(expected, found):
        yield f"{path}: expected {scalar(expected)}, found {scalar(found)}"


def _same(expected: Any, found: Any) -> bool:
    """Equal as values of JSON: true is not 1, and 1.0 is 1.00."""
    numbers = (int, Decimal)
    if isinstance(expected, numbers) and isinstance(found, numbers):
        return isinstance(expected, bool) == isinstance(found, bool) and expected == found
    return type(expected) is type(found) and bool(expected == found)
