"""A program as the engine uses it: which events it takes, where each goes, what becomes of a view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from projection.lang import core, failures
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.checker import CheckedProgram, check
from projection.lang.codec import Codec, build_structs, encode, largest
from projection.lang.costs import nodes
from projection.lang.interpreter import Interpreter, Meter
from projection.lang.parser import MAX_SOURCE_BYTES
from projection.lang.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

build_structs([ty.META])

_EXPLOSIVE = 64  # times the limit of a view's JSON: so much may be made to find that it is too much


@dataclass(frozen=True, slots=True)
class Limits:
    """What one event may take; a manifest may change them within its caps."""

    gas: int = 200_000  # per event and view id
    route_gas: int = 10_000  # per event
    alloc: int = 1_000_000  # per event and view id, units of the second ledger
    ids_per_event: int = 64
    view_bytes: int = 1024 * 1024  # of a view's JSON


class Step(NamedTuple):
    """One handler that an event runs on one view."""

    handler: core.Handler
    item: Any  # of the handler's `for`


class Applied(NamedTuple):
    """What became of a view: itself (None where it is gone), its JSON where that was made anyway, and both ledgers."""

    view: Any
    data: bytes | None
    gas: int
    alloc: int


class Program:
    """One checked program and its limits. It holds no state: views go in and come out."""

    def __init__(self, checked: CheckedProgram, limits: Limits | None = None) -> None:
        self.checked = checked
        self.name = checked.name
        self.digest = checked.digest
        self.limits = limits or Limits()
        self._interpreter = Interpreter(checked.core.functions)
        self._view_codec = Codec(checked.view)
        # Where the schema itself keeps a view small, its size need not be looked at event by event; where it lets a
        # view grow without measure, not even its JSON may be made before it has been looked at.
        self._is_small = largest(checked.view) <= self.limits.view_bytes
        self._may_explode = largest(checked.view) > _EXPLOSIVE * self.limits.view_bytes
        self._reactions: dict[tuple[str, str], Reaction | None] = {}

    @classmethod
    def load(cls, path: Path, limits: Limits | None = None, name: str | None = None) -> Program:
        """Read and check a program; `name` is what diagnostics call the file.

        Raises:
            ProgramInvalidError: with every diagnostic.
            OSError: the file cannot be read.
        """
        with path.open("rb") as file:
            data = file.read(MAX_SOURCE_BYTES + 1)
        problem = diag.source_too_large(MAX_SOURCE_BYTES) if len(data) > MAX_SOURCE_BYTES else None
        try:
            text = "" if problem else data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            problem = diag.not_utf8(error.start)
        if problem:
            raise diag.ProgramInvalidError(Source(name or str(path), "?"), [problem])
        return cls(check(Source(name or str(path), text)), limits)

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
            for name, event in self.checked.event_declarations.items():
                if event.aggregate_type == of and event_type in (event.wires or (name,)):
                    handlers = [handler for handler in self.checked.core.handlers if name in handler.events]
                    return Reaction(self, name, handlers) if handlers else None
        return None

    def telling_fields(self) -> list[str]:
        """The view's numbers and enums that are always there, in the order of their declaration: what fits a table."""
        fields = self.checked.view.fields.items()
        return [name for name, field in fields if isinstance(field.type, (ty.Int, ty.Decimal, ty.Enum))]

    def decode_view(self, data: bytes) -> Any:
        """A view from its JSON.

        Raises:
            DecodeError: these bytes are no such view.
        """
        return self._view_codec.decode(data)

    @staticmethod
    def encode_view(view: Any) -> bytes:
        """A view's JSON; equal views are equal bytes."""
        return encode(view)

    def apply(self, view_id: str, steps: Sequence[Step], event: Any, meta: Any, view: Any) -> Applied:
        """Run the steps on one view, each starting from what the last left, on one budget.

        Raises:
            Failure: nothing of what the steps did is to be kept.
        """
        meter = Meter(self.limits.gas, self.limits.alloc)
        try:
            view, data = self._run(view_id, steps, event, meta, view, meter)
        except failures.Failure as failure:
            failure.gas = meter.used
            raise
        return Applied(view, data, meter.used, meter.alloc_limit - meter.alloc)

    def _run(
        self, view_id: str, steps: Sequence[Step], event: Any, meta: Any, view: Any, meter: Meter
    ) -> tuple[Any, bytes | None]:
        for handler, item in steps:
            if handler.target == "updates" and view is None:
                raise _located(failures.view_missing(view_id), handler)
            if handler.target == "creates" and view is not None:
                raise _located(failures.view_exists(view_id), handler)
            frame = [view, view_id, event, meta, item, *handler.unset]
            result = self._interpreter.run(handler.body, frame, meter)
            if result is core.DELETE:
                view = None
            elif result is not core.KEEP:
                view = result
        data = None
        if view is not None and not self._is_small:
            limit = self.limits.view_bytes
            if not (self._may_explode and nodes(view, limit) > limit):  # a node takes a byte at least
                data = encode(view)
            if data is None or len(data) > limit:
                raise _located(failures.view_too_large(limit), steps[-1].handler)
        return view, data

    def route(self, handlers: Sequence[core.Handler], event: Any, meta: Any) -> tuple[dict[str, list[Step]], int]:
        """The views that an event touches, each with its steps in source order; and the gas.

        Raises:
            Failure: the event reaches no view at all.
        """
        meter = Meter(self.limits.route_gas, self.limits.alloc)
        try:
            return self._targets(handlers, event, meta, meter), meter.used
        except failures.Failure as failure:
            failure.gas = meter.used
            raise

    def _targets(self, handlers: Sequence[core.Handler], event: Any, meta: Any, meter: Meter) -> dict[str, list[Step]]:
        targets: dict[str, list[Step]] = {}
        for handler in handlers:
            frame = [None, None, event, meta, None, *handler.unset]
            items = [None] if handler.source is None else self._interpreter.run(handler.source, frame, meter)
            for item in items:
                frame[core.ITEM] = item
                view_id = self._interpreter.run(handler.route, frame, meter)
                if view_id is None:
                    continue
                if not view_id:
                    raise _located(failures.empty_id(), handler)
                targets.setdefault(view_id, []).append(Step(handler, item))
                if len(targets) > self.limits.ids_per_event:
                    raise _located(failures.too_many_ids(self.limits.ids_per_event), handler)
        return targets

    def place(self, failure: failures.Failure) -> str | None:
        """`file:line:column` of a failure."""
        return None if failure.span is None else self.checked.source.place(failure.span)


class Reaction:
    """What a program does with one type of event."""

    def __init__(self, program: Program, event: str, handlers: Sequence[core.Handler]) -> None:
        self._program = program
        self._handlers = handlers
        self._codec = Codec(program.checked.events[event])

    def decode(self, payload: Any) -> Any:
        """The event from its payload's JSON.

        Raises:
            DecodeError: D105, the payload does not fit the declared event.
        """
        return self._codec.decode(payload)

    def route(self, event: Any, meta: Any) -> tuple[dict[str, list[Step]], int]:
        """See `Program.route`."""
        return self._program.route(self._handlers, event, meta)


def make_meta(**fields: Any) -> Any:
    """The `meta` of an event, from its fields by name."""
    return ty.META.made()(**fields)


def only_deletes(steps: Sequence[Step]) -> bool:
    """Whether all that the steps can do is to delete the view: erasure does not wait behind parked events."""
    return all(step.handler.only_deletes for step in steps)


def _located(failure: failures.Failure, handler: core.Handler) -> failures.Failure:
    failure.span = handler.span
    return failure
