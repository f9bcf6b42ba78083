"""Partitions: which ways of splitting a log among lanes leave every view what it is.

A view is right only if one lane sees all events that touch it, in order. There are three ways to split:

- `tenant`: by the tenant. Always right: an event belongs to one tenant, and so does a view.
- `view`: every lane reads all events and keeps the view ids that are its own. Always right.
- `subject`: by the tenant and the aggregate id, which stand in an event's subject, so that a lane needs to read its own
  events only. Right if the aggregate id can be read off the view id: then two events that touch one view are of one
  aggregate id. It is not enough that a route is computed from the subject's tokens: `"all"` is, and
  `"{meta.aggregate_type}-{meta.aggregate_id}"` cannot be taken apart when ids hold hyphens. Nor is it needed:
  `key(meta.aggregate_id, e.line)` reads the payload, and its first part is the aggregate id.

The aggregate type takes no part in the split: events of Order A1 and Invoice A1 both touch view A1 where the route is
`meta.aggregate_id`, so they must meet in one lane.

An id can be read off a route that is `meta.aggregate_id`, alone or between constant texts, or a `key(…)` with it as one
of its parts. That must hold for all routes of a program together: where two routes can yield the same text, they must
hold the id at the same place. A `key` is told from another by its constant parts and by how many parts it has.
"""

from __future__ import annotations

from enum import Enum
from itertools import combinations, product
from math import prod
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang.library import key_part, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from projection.lang.check.checker import CheckedProgram
    from projection.lang.operations import Operation
    from projection.lang.reporting import Diagnostic
    from projection.lang.source import Span

PartitionBy = Literal["tenant", "subject", "view"]

_TOKENS = {"tenant_id": "tenant", "aggregate_type": "type", "aggregate_id": "id"}  # of a subject, by field of `meta`
_MAX_SHAPES = 16  # that one route may have
_MAX_COMPARED = 512  # shapes of all routes together; each is compared with each
_MAX_CONTEXTS = 16  # in which one function is looked at


class _Hole(Enum):
    """A part of a text that is no constant."""

    ID = "the aggregate id"
    ANY = "any text"


class _Shape(NamedTuple):
    """What a view id can look like: parts one after another, or those of a `key`, escaped as they stand in it."""

    is_key: bool
    parts: tuple[str | _Hole, ...]

    @property
    def has_id(self) -> bool:
        """Whether the aggregate id can be read off such a text, if it is known to be one."""
        if self.is_key:
            return _Hole.ID in self.parts
        return [part for part in self.parts if isinstance(part, _Hole)] == [_Hole.ID]

    @property
    def ends(self) -> tuple[str, str]:
        """The constant texts that such a text begins and ends with."""
        first, last = self.parts[0], self.parts[-1]
        head, tail = (part if isinstance(part, str) else "" for part in (first, last))
        if not self.is_key:
            return head, tail
        joint = ":" if len(self.parts) > 1 else ""
        return head and head + joint, tail and joint + tail

    def clashes(self, other: _Shape) -> bool:
        """Whether a text can be of both shapes, with another id in each."""
        if self.is_key and other.is_key:
            if len(self.parts) != len(other.parts):
                return False
            both = list(zip(self.parts, other.parts, strict=True))
            if any(isinstance(a, str) and isinstance(b, str) and a != b for a, b in both):
                return False
            return (_Hole.ID, _Hole.ID) not in both
        if self.is_key == other.is_key and self.ends == other.ends:
            return False
        (head, tail), (their_head, their_tail) = self.ends, other.ends
        heads_meet = head.startswith(their_head) or their_head.startswith(head)
        tails_meet = tail.endswith(their_tail) or their_tail.endswith(tail)
        return heads_meet and tails_meet

    def id_in(self, text: str) -> str | None:
        """The aggregate id that a text of this shape shows; None where the text is not of it."""
        if not self.is_key:
            head, tail = self.ends
            is_such = len(text) >= len(head) + len(tail) and text.startswith(head) and text.endswith(tail)
            return text[len(head) : len(text) - len(tail)] if is_such else None
        found = text.split(":")
        if len(found) != len(self.parts) or any(
            isinstance(part, str) and part != one for part, one in zip(self.parts, found, strict=True)
        ):
            return None
        return key_part(found[self.parts.index(_Hole.ID)])


class _Flow(NamedTuple):
    """What a value comes from: tokens of the subject, other things, and what it looks like (None: like anything)."""

    tokens: frozenset[str] = frozenset()
    other: Span | None = None  # the first place that reads something else
    shapes: frozenset[_Shape] | None = None
    is_meta: bool = False

    def also(self, *others: _Flow) -> _Flow:
        """This value, where others decide about it, too."""
        other = next((flow.other for flow in (self, *others) if flow.other is not None), None)
        return self._replace(tokens=self.tokens.union(*(flow.tokens for flow in others)), other=other)


class Route(NamedTuple):
    """One route: what it is a function of, and whether the aggregate id can be read off its value."""

    span: Span
    text: str
    reads: Literal["tenant", "subject", "event"]  # no more than that; `event` is all that a route can read
    because: Span | None  # the first place that reads something other than the subject
    names_aggregate: bool


class Partitioning(NamedTuple):
    """The ways in which a program's events may be split, and what speaks against the others."""

    allowed: tuple[PartitionBy, ...]
    routes: tuple[Route, ...]
    against: tuple[tuple[Span, str], ...]  # `subject`: the places, with the reasons
    shapes: tuple[_Shape, ...] = ()  # of the view ids, where `subject` is allowed

    def aggregate_ids(self, view_id: str) -> frozenset[str] | None:
        """The aggregates whose events can touch a view, at most; None where its id does not tell."""
        if "subject" not in self.allowed:
            return None
        return frozenset(found for shape in self.shapes if (found := shape.id_in(view_id)) is not None)

    def sentence(self, checked: CheckedProgram) -> str:
        """What `check` says about it."""
        said = f"partition_by allowed: {', '.join(self.allowed)}"
        if not self.against:
            return said
        (span, why), *more = self.against
        others = f" (and {len(more)} more)" if more else ""
        return f"{said}; not subject, because `{_text(checked, span)}` at {checked.source.place(span)} {why}{others}"


def partitioning(checked: CheckedProgram) -> Partitioning:
    """The ways in which a program's events may be split."""
    flows, routes = _Flows(checked.core.functions), list[Route]()
    shaped: dict[_Shape, Span] = {}  # with the first route that has it
    against: dict[Span, str] = {}
    for handler in checked.core.handlers:
        route, value = _route(checked, handler, flows)
        routes.append(route)
        if not route.names_aggregate:
            against[route.span] = _why(checked, value)
        for shape in value.shapes or () if route.names_aggregate else ():
            shaped.setdefault(shape, route.span)
        if len(shaped) > _MAX_COMPARED:
            against[route.span] = "is one of more different routes than are compared"
            shaped.clear()
    for (shape, one), (their, other) in combinations(shaped.items(), 2):
        if shape.clashes(their) and other not in against:
            place = checked.source.place(one)
            against[other] = f"can name the same view for another aggregate than `{_text(checked, one)}` at {place}"
    reasons = tuple(sorted(against.items()))
    allowed: tuple[PartitionBy, ...] = ("tenant", "view") if reasons else ("tenant", "subject", "view")
    return Partitioning(allowed, tuple(routes), reasons, () if reasons else tuple(shaped))


def problems(checked: CheckedProgram, partition_by: PartitionBy | None) -> list[Diagnostic]:
    """S412 at each route that does not allow what the manifest says."""
    found = partitioning(checked)
    if partition_by is None or partition_by in found.allowed:
        return []
    return [diag.route_against_partitions(span, _text(checked, span), why) for span, why in found.against]


def _route(checked: CheckedProgram, handler: core.Handler, flows: _Flows) -> tuple[Route, _Flow]:
    frame = {core.META: _Flow(frozenset(_TOKENS.values()), handler.route.span, is_meta=True)}
    source = _Flow() if handler.source is None else flows.of(handler.source, dict(frame))
    value = flows.of(handler.route, {**frame, core.ITEM: source._replace(shapes=None)})
    whole = value.also(source)
    reads: Literal["tenant", "subject", "event"] = "tenant" if whole.tokens <= {"tenant"} else "subject"
    names = value.shapes is not None and all(shape.has_id for shape in value.shapes)
    span = handler.route.span
    return Route(span, _text(checked, span), reads if whole.other is None else "event", whole.other, names), value


def _why(checked: CheckedProgram, value: _Flow) -> str:
    if "id" in value.tokens:
        return "does not show where in it the aggregate id stands"
    if value.other is not None:
        return f"reads `{_text(checked, value.other)}`"
    return "does not name the aggregate"


def _text(checked: CheckedProgram, span: Span) -> str:
    return " ".join(checked.source.text[span.start : span.end].split())


# --- what values come from -------------------------------------------------------------------------------------------


class _Flows:
    """Follows values through the expressions of one program."""

    def __init__(self, functions: Mapping[str, core.Function]) -> None:
        self._functions = functions
        self._called: dict[str, dict[tuple[_Flow, ...], _Flow]] = {}

    def of(self, node: core.Core, frame: dict[int, _Flow]) -> _Flow:
        """What a value comes from; a slot that the frame does not hold is the payload's."""
        match node:
            case core.Const():
                return _Flow(shapes=_constant(node.value))
            case core.Local():
                return frame.get(node.slot, _Flow(other=node.span))
            case core.Get():
                return self._get(node, self.of(node.base, frame))
            case core.Op():
                return _operated(node, [self.of(operand, frame) for operand in node.operands])
            case core.If():
                condition, yes, no = (self.of(part, frame) for part in (node.condition, node.yes, node.no))
                shapes = None if yes.shapes is None or no.shapes is None else _few(yes.shapes | no.shapes)
                return _Flow(shapes=shapes).also(condition, yes, no)
            case core.Let():
                frame[node.slot] = self.of(node.value, frame)
                return self.of(node.body, frame)
            case core.Call():
                return self._call(node.function, tuple(self.of(argument, frame) for argument in node.arguments))
            case core.Loop() | core.Fold():
                return self._repeated(node, frame)
            case core.Charge():
                return self.of(node.body, frame)
            case _:
                return _Flow().also(*(self.of(part, frame) for part in core.parts(node)))

    def _get(self, node: core.Get, base: _Flow) -> _Flow:
        if not base.is_meta:
            return _Flow(base.tokens, base.other and node.span)
        if (token := _TOKENS.get(node.field)) is None:
            return _Flow(other=node.span)
        return _Flow(frozenset({token}), None, frozenset({_Shape(False, (_hole(token),))}))

    def _call(self, name: str, arguments: tuple[_Flow, ...]) -> _Flow:
        known = self._called.setdefault(name, {})
        if arguments not in known:
            if len(known) == _MAX_CONTEXTS:
                return _Flow().also(*arguments)  # a function reads nothing but its arguments
            known[arguments] = self.of(self._functions[name].body, dict(enumerate(arguments)))
        return known[arguments]

    def _repeated(self, node: core.Loop | core.Fold, frame: dict[int, _Flow]) -> _Flow:
        first = self.of(node.initial, frame) if isinstance(node, core.Fold) else _Flow()
        source = self.of(node.source, frame)
        whole = _Flow().also(first, source)
        frame.update(dict.fromkeys(node.slots, whole))
        if isinstance(node, core.Fold):
            frame[node.accumulator] = whole  # what a step adds comes from items or from outside, which is counted below
        inside = [node.body] if node.condition is None else [node.condition, node.body]
        return whole.also(*(self.of(part, frame) for part in inside))


def _hole(token: str) -> _Hole:
    return _Hole.ID if token == "id" else _Hole.ANY  # noqa: S105 - a place of a subject, no secret


def _constant(value: Any) -> frozenset[_Shape] | None:
    if value is None:
        return frozenset()  # a route of none touches nothing
    if isinstance(value, (list, tuple, dict)) or hasattr(value, "__struct_fields__"):
        return None
    return frozenset({_Shape(False, (text_of(value),))})


def _few(shapes: frozenset[_Shape]) -> frozenset[_Shape] | None:
    return shapes if len(shapes) <= _MAX_SHAPES else None


def _operated(node: core.Op, operands: Sequence[_Flow]) -> _Flow:
    return _Flow(shapes=_operated_shapes(node.operation, operands)).also(*operands)


def _operated_shapes(operation: Operation, operands: Sequence[_Flow]) -> frozenset[_Shape] | None:
    name, signature = operation.name, operation.signature
    if signature.endswith("never"):
        return frozenset()
    if name in ("asserted", "bounded_string", "text_of", "text"):
        return operands[0].shapes  # the same text, or none at all
    if name == "key":
        return _combined(operands, lambda shapes: _Shape(True, tuple(_key_part(operation, one) for one in shapes)))
    if name == "joined_text" or (name == "+" and signature == "string, string -> string"):
        return _combined(operands, _joined)
    return None


def _combined(operands: Sequence[_Flow], combine: Callable[[tuple[_Shape, ...]], _Shape]) -> frozenset[_Shape] | None:
    """The shapes of what is made of some operands, each of which may have several."""
    anything = frozenset({_Shape(False, (_Hole.ANY,))})
    choices = [anything if flow.shapes is None else flow.shapes for flow in operands]
    if prod(map(len, choices)) > _MAX_SHAPES:
        return None
    return frozenset(map(combine, product(*choices)))


def _key_part(operation: Operation, shape: _Shape) -> str | _Hole:
    if shape.is_key or len(shape.parts) > 1:
        return _Hole.ANY
    (part,) = shape.parts
    return part if isinstance(part, _Hole) else str(operation.function(part))


def _joined(shapes: tuple[_Shape, ...]) -> _Shape:
    if len(shapes) == 1:
        return shapes[0]
    parts: list[str | _Hole] = []
    for shape in shapes:
        for part in (_Hole.ANY,) if shape.is_key else shape.parts:
            if isinstance(part, str) and parts and isinstance(parts[-1], str):
                parts[-1] += part
            elif part or not parts:
                parts.append(part)
    return _Shape(False, tuple(parts))
