"""The core: what a checked program means, without sugar. Executors run these nodes and know nothing else.

Expressions are trees of the twelve kinds below. Evaluation is strictly left to right, innermost first; only `If` leaves
something out. Local variables are numbered slots of a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import field
from msgspec.structs import replace

from projection.lang.immutable import Immutable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from projection.lang.operations import Operation
    from projection.lang.source import Span
    from projection.lang.types import Record


class Const(Immutable, frozen=True):
    """A value known beforehand."""

    span: Span
    value: Any


class Local(Immutable, frozen=True):
    """A variable's value."""

    span: Span
    slot: int


class Get(Immutable, frozen=True):
    """A field of a record."""

    span: Span
    base: Core
    field: str


class Op(Immutable, frozen=True):
    """An operation of the library on its operands."""

    span: Span
    operation: Operation
    operands: tuple[Core, ...]


class If(Immutable, frozen=True):
    """One of two."""

    span: Span
    condition: Core
    yes: Core
    no: Core


class Let(Immutable, frozen=True):
    """A value kept in a slot while the body is computed."""

    span: Span
    slot: int
    value: Core
    body: Core


class New(Immutable, frozen=True):
    """A record of all its fields; `names` in the order in which their values are computed."""

    span: Span
    record: Record
    names: tuple[str, ...]
    values: tuple[Core, ...]


class Update(Immutable, frozen=True):
    """A record with some fields changed."""

    span: Span
    record: Record
    base: Core
    names: tuple[str, ...]
    values: tuple[Core, ...]


class Call(Immutable, frozen=True):
    """A function of the program."""

    span: Span
    function: str
    arguments: tuple[Core, ...]


class Loop(Immutable, frozen=True):
    """A list made of another: the body for each item that the condition takes.

    One slot takes an item; two take the halves of a pair. `item_gas` and `item_alloc` are charged for all items at
    entry.
    """

    span: Span
    source: Core
    slots: tuple[int, ...]
    condition: Core | None
    body: Core
    item_gas: int = 0
    item_alloc: int = 0


class Fold(Immutable, frozen=True):
    """A value carried through a list: the body makes the next one for each item that the condition takes.

    `initial` is computed first, then `source`; the result is what `accumulator` holds in the end. Slots and charges
    are as those of a `Loop`.
    """

    span: Span
    accumulator: int
    initial: Core
    source: Core
    slots: tuple[int, ...]
    condition: Core | None
    body: Core
    item_gas: int = 0
    item_alloc: int = 0


class Charge(Immutable, frozen=True):
    """The head of a segment: what all that is certain to be computed in it costs, before any of it is."""

    span: Span
    gas: int
    alloc: int
    body: Core


Core = Const | Local | Get | Op | If | Let | New | Update | Call | Loop | Fold | Charge


def parts(node: Core) -> tuple[Core, ...]:
    """What a node computes inside, in order."""
    match node:
        case Const() | Local():
            return ()
        case Get():
            return (node.base,)
        case Op():
            return node.operands
        case If():
            return node.condition, node.yes, node.no
        case Let():
            return node.value, node.body
        case New():
            return node.values
        case Update():
            return node.base, *node.values
        case Call():
            return node.arguments
        case Loop():
            return (node.source, *(() if node.condition is None else (node.condition,)), node.body)
        case Fold():
            condition = () if node.condition is None else (node.condition,)
            return (node.initial, node.source, *condition, node.body)
        case Charge():
            return (node.body,)


class Verdict:
    """A handler's result that is no value: `keep` or `delete`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        return self.name


KEEP = Verdict("KEEP")
DELETE = Verdict("DELETE")


class Function(Immutable, frozen=True):
    """A function: its first slots are its parameters."""

    name: str
    slots: int
    body: Core

    @property
    def makes_event(self) -> bool:
        """Whether it makes an event of its old form and of `meta`; no function that a program calls has such a name."""
        return " was " in self.name


# The slots of a handler's frame that are filled before it runs.
VIEW, ID, EVENT, META, ITEM, FIRST_FREE = range(6)


class Handler(Immutable, frozen=True):
    """One `on`: where its events go and what becomes of the view there.

    No events stand for all types without a handler of their own; the event is then json.
    """

    span: Span
    events: tuple[str, ...]
    target: str  # `to`, `creates` or `updates`
    source: Core | None  # of `for`: a list; the route and the body are computed once for each of its items
    route: Core
    body: Core
    slots: int
    only_deletes: bool = False
    # The functions that make the event that it is over of the one that is stored, from that one on; of the events that
    # are taken as they are, none.
    via: tuple[str, ...] = ()

    def rebuilt(self, change: Callable[[Core], Core]) -> Handler:
        """The same handler with each of its computations changed."""
        source = None if self.source is None else change(self.source)
        return replace(self, source=source, route=change(self.route), body=change(self.body))

    def made_by(self, functions: Mapping[str, Function]) -> tuple[Span, ...]:
        """Where it is written how its event is made of the one that is stored; nowhere, where they are one."""
        return tuple(functions[name].body.span for name in self.via)

    @property
    def unset(self) -> tuple[None, ...]:
        """What the free slots of a frame hold at first."""
        return (None,) * (self.slots - FIRST_FREE)


class Program(Immutable, frozen=True):
    """All of a checked program that executors need."""

    functions: dict[str, Function]
    handlers: tuple[Handler, ...]
    calls: dict[str, frozenset[str]] = field(default_factory=dict)
