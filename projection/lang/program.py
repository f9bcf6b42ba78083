"""A program as the engine uses it: which events it takes, where each goes, what becomes of a view."""

from __future__ import annotations

from datetime import datetime
from decimal import getcontext, localcontext, setcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from projection.inputs import open_input
from projection.lang import core, failures
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.checker import CheckedProgram, check
from projection.lang.cost import costs
from projection.lang.cost.node_counts import nodes
from projection.lang.immutable import Immutable
from projection.lang.reaction import Reaction
from projection.lang.reporting import ProgramInvalidError
from projection.lang.routes import MAX_KNOWN_IDS
from projection.lang.run.executors import Execution, Executor, executor
from projection.lang.source import Source
from projection.lang.syntax.parser import MAX_SOURCE_BYTES
from projection.lang.values.codec import Codec, declared_fields, largest
from projection.lang.values.numbers import EXACT
from projection.lang.values.plain import plain_text
from projection.lang.values.structs import build_structs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from projection.lang.run.executors import Routine

_META = ty.Record("meta", "meta", {name: one for name, one in ty.META.fields.items() if name not in ty.OF_MESSAGE})
build_structs([_META])
ty.META.struct = Meta = _META.made()  # of an event, made from its fields by name
# The same with the parts of the message that a program may read besides: see `projection.lang.message_parts`.
MessageMeta = msgspec.defstruct(
    "meta",
    [("_headers", dict[str, str]), ("_stored_at", datetime | None), ("_subject", str)],
    bases=(Meta,),
    kw_only=True,
    gc=False,
)

_ONCE = (None,)  # the items of a handler without `for`
_LEDGERS = ("O901", "O902")  # out of gas, out of memory: nothing more can be computed
_EXPLOSIVE = 64  # times the limit of a view's JSON: so much may be made to find that it is too much


class Limits(Immutable, frozen=True):
    """What one event may take; a manifest may change them within its caps."""

    gas: int = 200_000  # per event and view id
    route_gas: int = 10_000  # per event
    alloc: int = 1_000_000  # per event and view id, units of the second ledger
    ids_per_event: int = 64
    view_bytes: int = 1024 * 1024  # of a view's JSON


class Runnable:
    """One handler, ready to run: what an executor made of its three parts."""

    def __init__(self, handler: core.Handler, made: Executor) -> None:
        self.handler = handler
        # Of the view before the handler runs: whether its absence (True) or its presence (False) is a failure.
        self.existence = {"updates": True, "creates": False}.get(handler.target)
        self.source: Routine | None = None  # of the event and meta: the items of `for`
        if handler.source is not None:
            self.source = made.routine(handler.source, core.ITEM, handler.slots)
        self.goes_straight = handler.source is None and _is_a_field(handler.route)
        self.route: Routine = made.routine(handler.route, core.FIRST_FREE, handler.slots)
        self.body: Routine = made.routine(handler.body, core.FIRST_FREE, handler.slots)


Step = tuple[Runnable, Any]  # one handler that an event runs on one view, and the item of its `for`


class Applied(msgspec.Struct, frozen=True, gc=False):
    """What became of a view: itself (None where it is gone), its JSON where that was made anyway, and both ledgers."""

    view: Any
    data: bytes | None
    gas: int
    alloc: int


class Program:
    """One checked program and its limits. It holds no state: views go in and come out."""

    def __init__(
        self,
        checked: CheckedProgram,
        limits: Limits | None = None,
        execution: Execution | Executor = Execution.COMPILED,
    ) -> None:
        self.checked = checked
        self.name = checked.name
        self.digest = checked.digest
        # What is read of messages besides events; None where nothing is.
        self.message_parts = None if checked.message_parts.are_none else checked.message_parts
        self.limits = limits or Limits()
        self._gas, self._alloc = self.limits.gas, self.limits.alloc
        made = executor(execution, checked.core.functions) if isinstance(execution, Execution) else execution
        self._made = made
        self._runnables: dict[int, Runnable] = {}  # by the handler's place; made when first needed
        codec = Codec(checked.view)
        self.decode_view = codec.decode  # a view from its JSON; raises DecodeError
        self.encode_view = codec.encode  # a view's JSON; equal views are equal bytes
        self._view_gas = costs.VIEW + declared_fields(checked.view)
        # Where the schema itself keeps a view small, its size need not be looked at event by event; where it lets a
        # view grow without measure, not even its JSON may be made before it has been looked at.
        self._is_measured = largest(checked.view) > min(costs.SMALL_VIEW, self.limits.view_bytes)
        self._may_explode = largest(checked.view) > _EXPLOSIVE * self.limits.view_bytes
        self._reactions: dict[tuple[str, str], Reaction | None] = {}

    @classmethod
    def load(
        cls,
        path: Path,
        limits: Limits | None = None,
        name: str | None = None,
        execution: Execution = Execution.COMPILED,
    ) -> Program:
        """Read and check a program; `name` is what diagnostics call the file.

        Raises:
            ProgramInvalidError: with every diagnostic.
            OSError: the file cannot be read.
        """
        with open_input(path) as file:
            data = file.read(MAX_SOURCE_BYTES + 1)
        problem = diag.source_too_large(MAX_SOURCE_BYTES) if len(data) > MAX_SOURCE_BYTES else None
        try:
            text = "" if problem else data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            problem = diag.not_utf8(error.start)
        if problem:
            raise ProgramInvalidError(Source(name or str(path), "?"), [problem])
        return cls(check(Source(name or str(path), text)), limits, execution)

    def reaction(self, aggregate_type: str, event_type: str) -> Reaction | None:
        """What the program does with events of this type; None where it takes none."""
        key = (aggregate_type, event_type)
        if key not in self._reactions:
            if len(self._reactions) >= 10_000:  # types that come from outside may not fill the memory
                self._reactions.clear()
            self._reactions[key] = self._react(aggregate_type, event_type)
        return self._reactions[key]

    def _react(self, aggregate_type: str, event_type: str) -> Reaction | None:
        for of in (aggregate_type, None):
            name = self._handled.get((of, event_type))
            if name is not None:
                return Reaction(self, self.checked.events[name], self._runs(name))
        runs = self._runs(None)
        return Reaction(self, None, runs) if runs else None

    @cached_property
    def _handled(self) -> dict[tuple[str | None, str], str]:
        """The declared events that a handler takes, by aggregate type and name on the wire."""
        events = self.checked.event_declarations.items()
        return {
            (event.aggregate_type, wire): name
            for name, event in events
            if name in self._places
            for wire in event.wires or (name,)
        }

    @cached_property
    def _places(self) -> dict[str | None, list[int]]:
        """Where the handlers of each event stand, and those of all others (None)."""
        found: dict[str | None, list[int]] = {}
        for place, handler in enumerate(self.checked.core.handlers):
            for event in handler.events or (None,):
                found.setdefault(event, []).append(place)
        return found

    def _runs(self, event: str | None) -> list[Runnable]:
        """The handlers of a declared event, or of all others (`on *`), in source order, ready to run."""
        found = []
        for place in self._places.get(event, ()):
            if place not in self._runnables:
                self._runnables[place] = Runnable(self.checked.core.handlers[place], self._made)
            found.append(self._runnables[place])
        return found

    def telling_fields(self) -> list[str]:
        """The view's numbers and enums that are always there, in the order of their declaration: what fits a table."""
        fields = self.checked.view.fields.items()
        return [name for name, field in fields if isinstance(field.type, (ty.Int, ty.Decimal, ty.Enum))]

    def apply(
        self, view_id: str, steps: Sequence[Step], event: Any, meta: Any, view: Any, view_bytes: int = 0
    ) -> Applied:
        """Run the steps on one view, each starting from what the last left, on one budget.

        Args:
            view_id: whose view.
            steps: as `route` found them.
            event: decoded.
            meta: of the event.
            view: as it is; None where there is none.
            view_bytes: of that view's JSON; only looked at where `is_measured`.

        Raises:
            Failure: nothing of what the steps did is to be kept.
        """
        gas, alloc, found, data, view_id = self._gas, self._alloc, view, None, plain_text(view_id)
        around = getcontext()
        if around is not EXACT:
            setcontext(EXACT)
        try:
            if view is not None:
                gas -= self._view_gas + (view_bytes >> costs.VIEW_SHIFT if self._is_measured else 0)
                if gas < 0:
                    raise _located(failures.out_of_gas(), steps[0][0].handler, 0, alloc)
            for run, item in steps:
                if run.existence is (found is None):
                    failure = failures.view_missing(view_id) if found is None else failures.view_exists(view_id)
                    raise _located(failure, run.handler, gas, alloc)
                result, gas, alloc = run.body(gas, alloc, found, view_id, event, meta, item)
                if result is core.DELETE:
                    found = None
                elif result is not core.KEEP:
                    found = result
            if found is not view and found is not None:
                gas -= self._view_gas
                if gas < 0:
                    raise _located(failures.out_of_gas(), steps[-1][0].handler, 0, alloc)
                if self._is_measured:
                    data, gas = self._measured(found, steps[-1][0].handler, gas, alloc)
        except failures.Failure as failure:
            failure.gas = self._gas - failure.left[0] if failure.left else 0
            failures.name_limits(failure, self._gas, "gas", self._alloc)
            raise
        finally:
            if around is not EXACT:
                setcontext(around)
        return Applied(found, data, self._gas - gas, self._alloc - alloc)

    def _measured(self, view: Any, handler: core.Handler, gas: int, alloc: int) -> tuple[bytes, int]:
        """The JSON of a view that has changed and may be large, and what gas is left once its size is paid for."""
        limit, data = self.limits.view_bytes, b""
        fits = not (self._may_explode and nodes(view, limit) > limit)  # a node takes a byte at least
        if fits:
            data = self.encode_view(view)
        if not fits or len(data) > limit:
            raise _located(failures.view_too_large(limit), handler, gas, alloc)
        gas -= len(data) >> costs.VIEW_SHIFT
        if gas < 0:
            raise _located(failures.out_of_gas(), handler, 0, alloc)
        return data, gas

    def route(self, runs: Sequence[Runnable], event: Any, meta: Any) -> tuple[dict[str, list[Step]], int]:
        """The views that an event touches, each with its steps in source order; and the gas.

        Raises:
            Failure: the event reaches no view at all.
        """
        around = getcontext()
        if around is not EXACT:
            setcontext(EXACT)
        targets: dict[str, list[Step]] = {}
        gas, alloc, most = self.limits.route_gas, self.limits.alloc, self.limits.ids_per_event
        try:
            for run in runs:
                items: Sequence[Any] = _ONCE
                if run.source is not None:
                    items, gas, alloc = run.source(gas, alloc, None, None, event, meta)
                for item in items:
                    view_id, gas, alloc = run.route(gas, alloc, None, None, event, meta, item)
                    if view_id is None:
                        continue
                    if not view_id:
                        raise _located(failures.empty_id(), run.handler, gas, alloc)
                    if view_id in targets:
                        targets[view_id].append((run, item))
                        continue
                    targets[view_id] = [(run, item)]
                    if len(targets) > most:
                        raise _located(failures.too_many_ids(most), run.handler, gas, alloc)
        except failures.Failure as failure:
            failure.gas = self.limits.route_gas - (failure.left[0] if failure.left else 0)
            failures.name_limits(failure, self.limits.route_gas, "route_gas", self.limits.alloc)
            raise
        finally:
            if around is not EXACT:
                setcontext(around)
        return targets, self.limits.route_gas - gas

    def add_known_ids(self, run: Runnable, event: Any, meta: Any, found: dict[str, None]) -> bool:
        """Add the views that one handler takes an event to, past what fails on the way; whether these are all.

        Each handler has the gas of a whole route: that another one has used it up says nothing of this one's ids.
        """
        gas, alloc, complete = self.limits.route_gas, self.limits.alloc, True
        with localcontext(EXACT):
            items: Sequence[Any] = _ONCE
            if run.source is not None:
                try:
                    items, gas, alloc = run.source(gas, alloc, None, None, event, meta)
                except failures.Failure:
                    return False
            for item in items:
                try:
                    view_id, gas, alloc = run.route(gas, alloc, None, None, event, meta, item)
                except failures.Failure as failure:
                    if failure.left is None or failure.code in _LEDGERS:
                        return False
                    gas, alloc = failure.left
                    complete = False
                    continue
                if view_id is None:
                    continue
                if not view_id:
                    complete = False
                elif view_id not in found:
                    if len(found) == MAX_KNOWN_IDS:
                        return False
                    found[view_id] = None
        return complete

    def place(self, failure: failures.Failure) -> str | None:
        """`file:line:column` of a failure."""
        return None if failure.span is None else self.checked.source.place(failure.span)


def payload_gas(payload: Any) -> int:
    """What it costs to check a payload; how long one may be is limited in bytes, before it comes here."""
    return costs.EVENT + len(payload)


def only_deletes(steps: Sequence[Step]) -> bool:
    """Whether all that the steps can do is to delete the view: erasure does not wait behind parked events."""
    return all(run.handler.only_deletes for run, _item in steps)


def _is_a_field(route: core.Core) -> bool:
    """Whether a route only reads: then it fails in no way but for want of gas, and computes with no decimals."""
    node = route.body if isinstance(route, core.Charge) else route
    while isinstance(node, core.Get):
        node = node.base
    return isinstance(node, core.Local)


def _located(failure: failures.Failure, handler: core.Handler, gas: int, alloc: int) -> failures.Failure:
    failure.span, failure.left = handler.span, (gas, alloc)
    return failure
