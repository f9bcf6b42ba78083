"""The ids of an event that its program cannot take: what routes read of it, and where they lead all the same.

This runs only where decoding or routing has failed, so the events that are taken pay nothing for it. An event whose
amount is a text still says whose it is, and that view must wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from msgspec.structs import replace

from projection.lang import core
from projection.lang import types as ty
from projection.lang.values.structs import build_structs

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    Path: TypeAlias = tuple[str, ...]  # of an event's fields; EACH stands for the items of a list

MAX_KNOWN_IDS = 4_096  # as many as a manifest may allow for an event
EACH = "[]"  # no field is called so

Tree: TypeAlias = "dict[str, Tree] | None"  # the fields that are read, and what of them; None: all


class KnownIds(NamedTuple):
    """The views that an event is for, as far as that can be said of one that fails."""

    ids: tuple[str, ...]
    complete: bool  # whether there are no others


def reduced(event: ty.Record, handler: core.Handler) -> ty.Record | None:
    """A record with only those fields of the event that the handler's route reads; None where it reads none.

    Where a route hands on a record as a whole, all of it counts as read.
    """
    tree = _Reads().of(handler)
    if tree == {}:
        return None
    record: ty.Record = _reduced(event, tree)
    build_structs([record])
    return record


def _reduced(type_: ty.Type, tree: Tree) -> Any:
    if tree is None:
        return type_
    match type_:
        case ty.Optional():
            return ty.Optional(_reduced(type_.inner, tree))
        case ty.List() if EACH in tree:
            return replace(type_, item=_reduced(type_.item, tree[EACH]))
        case ty.Record():
            fields = {
                name: replace(field, type=_reduced(field.type, tree[name]))
                for name, field in type_.fields.items()
                if name in tree
            }
            return ty.Record(type_.name, type_.kind, fields, type_.line, asked=type_.asked & fields.keys())
        case _:
            return type_


class _Reads:
    """Finds what a route reads of its event. A value that stands for a place in the event is followed, not read."""

    def __init__(self) -> None:
        self._places: dict[int, Path] = {core.EVENT: ()}  # by slot
        self._read: set[Path] = set()

    def of(self, handler: core.Handler) -> Tree:
        if handler.source is not None and (item := self._item(handler.source)) is not None:
            self._places[core.ITEM] = item
        self._reads(handler.route)
        return _tree(self._read)

    def _item(self, source: core.Core) -> Path | None:
        """The place of the items of a `for`, with its `if` or without."""
        source = _uncharged(source)
        if not isinstance(source, core.Loop) or not _is_filter(source):
            place = self._place(source)
            return None if place is None else self._each(place)
        place = self._place(source.source)
        item = None if place is None else self._each(place)
        self._bind(source.slots[0], item)
        if source.condition is not None:
            self._reads(source.condition)
        return item

    def _each(self, items: Path) -> Path:
        self._read.add((*items, EACH, ""))  # that it is a list, and of how many items
        return (*items, EACH)

    def _reads(self, node: core.Core) -> None:
        if (place := self._place(node)) is not None:
            self._read.add(place)

    def _place(self, node: core.Core) -> Path | None:
        """The place that a node leads to; None where it computes a value, whose parts are then read."""
        match node:
            case core.Local():
                return self._places.get(node.slot)
            case core.Get():
                base = self._place(node.base)
                return None if base is None else (*base, node.field)
            case core.Charge():
                return self._place(node.body)
            case core.Let():
                place = self._place(node.value)
                self._bind(node.slot, place)
                return self._place(node.body)
            case core.Loop():
                self._computed((node.source,), node.slots)
            case core.Fold():
                self._computed((node.initial, node.source), (node.accumulator, *node.slots))
        for part in core.parts(node):
            self._reads(part)
        return None

    def _computed(self, sources: Sequence[core.Core], slots: Sequence[int]) -> None:
        """Of a loop: these slots hold computed values once its sources are known."""
        for source in sources:
            self._reads(source)
        for slot in slots:
            self._bind(slot, None)

    def _bind(self, slot: int, place: Path | None) -> None:
        if place is None:
            self._places.pop(slot, None)
        else:
            self._places[slot] = place


def _uncharged(node: core.Core) -> core.Core:
    while isinstance(node, core.Charge):
        node = node.body
    return node


def _is_filter(loop: core.Loop) -> bool:
    """Whether a loop hands on the items that it takes as they are."""
    body = _uncharged(loop.body)
    return isinstance(body, core.Local) and loop.slots == (body.slot,)


def _tree(paths: Collection[Path]) -> Tree:
    """The paths as one tree; the empty name at a path's end says that nothing below it need be known."""
    if () in paths:
        return None
    below: dict[str, set[Path]] = {}
    for first, *rest in paths:
        below.setdefault(first, set()).add(tuple(rest))
    return {name: _tree(rests) for name, rests in below.items() if name}
