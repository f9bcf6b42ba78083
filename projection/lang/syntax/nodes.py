"""The syntax tree: what was written, node for node, with its place; nothing of what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from datetime import timedelta
    from decimal import Decimal

    from projection.lang.source import Span

# --- types -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TypeName:
    """`name<arguments>(sizes…)?`; `sizes` holds numbers, names and texts as they were written."""

    span: Span
    name: str
    arguments: tuple[TypeName, ...]
    sizes: tuple[int | str, ...]
    open: bool
    optional: bool


# --- expressions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a duration, `true`, `false` or `none`."""

    span: Span
    value: int | Decimal | bool | timedelta | None


@dataclass(frozen=True, slots=True)
class Text:
    """A string: fixed texts and interpolated expressions in turn."""

    span: Span
    parts: tuple[str | Expression, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    span: Span
    name: str


@dataclass(frozen=True, slots=True)
class Get:
    """`base.field`, or `base?.field`."""

    span: Span
    base: Expression
    field: str
    field_span: Span
    optional: bool


@dataclass(frozen=True, slots=True)
class At:
    """`base[key]`, or `base?[key]`."""

    span: Span
    base: Expression
    key: Expression
    optional: bool


@dataclass(frozen=True, slots=True)
class Present:
    """`base!`."""

    span: Span
    base: Expression


@dataclass(frozen=True, slots=True)
class Chain:
    """Operands and the operators between them, from left to right: `+ - *`, `and`, `or`."""

    span: Span
    operators: tuple[str, ...]
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """`left operator right`; also `in` and `not in`."""

    span: Span
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Coalesce:
    """`left ?? right`."""

    span: Span
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Unary:
    """`-x` or `not x`."""

    span: Span
    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class If:
    """`if condition then yes else no`."""

    span: Span
    condition: Expression
    yes: Expression
    no: Expression


@dataclass(frozen=True, slots=True)
class Let:
    """`let name: type = value; body`."""

    span: Span
    name: str
    name_span: Span
    type: TypeName | None
    value: Expression
    body: Expression


@dataclass(frozen=True, slots=True)
class Pattern:
    """A literal, `_`, or a name that takes what is there."""

    span: Span
    literal: Literal | Text | None
    name: str | None


@dataclass(frozen=True, slots=True)
class Case:
    """`pattern | pattern if guard => body`."""

    span: Span
    patterns: tuple[Pattern, ...]
    guard: Expression | None
    body: Expression


@dataclass(frozen=True, slots=True)
class Match:
    """`match subject { cases }`."""

    span: Span
    subject: Expression
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """`name(arguments)`: a function of the program or of the library; in a test, also `view(id)`."""

    span: Span
    name: str
    name_span: Span
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """`for names in source if condition`."""

    span: Span
    names: tuple[str, ...]
    name_spans: tuple[Span, ...]
    source: Expression
    condition: Expression | None


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of `by key desc, …`."""

    span: Span
    key: Expression
    descending: bool


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`name(body by keys for …)`."""

    span: Span
    name: str
    name_span: Span
    body: Expression
    keys: tuple[SortKey, ...]
    loop: Loop


@dataclass(frozen=True, slots=True)
class Fold:
    """`fold(name = initial for … => body)`."""

    span: Span
    name: str
    name_span: Span
    initial: Expression
    loop: Loop
    body: Expression


@dataclass(frozen=True, slots=True)
class ListFor:
    """`[body by keys for …]`."""

    span: Span
    body: Expression
    keys: tuple[SortKey, ...]
    loop: Loop


@dataclass(frozen=True, slots=True)
class MapFor:
    """`{[key]: value for …}`."""

    span: Span
    key: Expression
    value: Expression
    loop: Loop


@dataclass(frozen=True, slots=True)
class Spread:
    """`...value` in a list or a map."""

    span: Span
    value: Expression


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[items]`."""

    span: Span
    items: tuple[Expression | Spread, ...]


@dataclass(frozen=True, slots=True)
class FieldValue:
    """`name: value` in braces."""

    span: Span
    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class KeyValue:
    """`[key]: value` in braces."""

    span: Span
    key: Expression
    value: Expression


@dataclass(frozen=True, slots=True)
class Braces:
    """`{…}`: a record or a map; its place and its entries decide which."""

    span: Span
    entries: tuple[FieldValue | KeyValue | Spread, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """One change of a `with`: a path of fields and keys, and what happens there.

    `path_spans` are the places of the path up to each of its steps.
    """

    span: Span
    path: tuple[str | Expression, ...]
    path_spans: tuple[Span, ...]
    operator: str  # `:`, `+=`, `-=` or `drop`
    value: Expression | None


@dataclass(frozen=True, slots=True)
class With:
    """`base with { updates }`."""

    span: Span
    base: Expression
    updates: tuple[Update, ...]


@dataclass(frozen=True, slots=True)
class Keep:
    """`keep`."""

    span: Span


@dataclass(frozen=True, slots=True)
class Delete:
    """`delete`."""

    span: Span


Expression: TypeAlias = (
    Literal | Text | Name | Get | At | Present | Chain | Compare | Coalesce | Unary | If | Let | Match | Call
    | Aggregate | Fold | ListFor | MapFor | ListOf | Braces | With
)  # fmt: skip
Result: TypeAlias = Expression | Keep | Delete


# --- declarations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event, a record or the view."""

    span: Span
    name: str
    optional: bool
    type: TypeName
    wires: tuple[str, ...]
    default: Expression | None


@dataclass(frozen=True, slots=True)
class Event:
    """`event Name from "…" of "…" { fields }`."""

    span: Span
    name: str
    name_span: Span
    wires: tuple[str, ...]
    aggregate_type: str | None
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """`type Name { fields }`."""

    span: Span
    name: str
    name_span: Span
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Alias:
    """`type Name = type`."""

    span: Span
    name: str
    name_span: Span
    type: TypeName


@dataclass(frozen=True, slots=True)
class View:
    """`view Name { fields }`."""

    span: Span
    name: str
    name_span: Span
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """`index by path desc, …`; each key is a path of fields, whether it descends, and where it stands."""

    span: Span
    keys: tuple[tuple[tuple[str, ...], bool, Span], ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function."""

    span: Span
    name: str
    type: TypeName


@dataclass(frozen=True, slots=True)
class Function:
    """`fn name(parameters) -> type = body`."""

    span: Span
    name: str
    name_span: Span
    parameters: tuple[Parameter, ...]
    type: TypeName
    body: Expression


@dataclass(frozen=True, slots=True)
class Arm:
    """`when condition => result`; `else` has no condition."""

    span: Span
    condition: Expression | None
    result: Result


@dataclass(frozen=True, slots=True)
class Handler:
    """`on events as name for … target id …`; no events stand for `*`, all types without a handler of their own."""

    span: Span
    events: tuple[tuple[str, Span], ...]
    name: str | None
    name_span: Span | None
    loop: Loop | None
    target: str  # `to`, `creates` or `updates`
    id: Expression
    arms: tuple[Arm, ...]


# --- tests -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JsonValue:
    """A single value of JSON; `none` is null."""

    span: Span
    value: int | Decimal | str | bool | None


@dataclass(frozen=True, slots=True)
class JsonList:
    """An array of JSON."""

    span: Span
    items: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class JsonObject:
    """An object of JSON, by names on the wire."""

    span: Span
    members: tuple[tuple[str, Span, Json], ...]


Json: TypeAlias = JsonValue | JsonList | JsonObject


@dataclass(frozen=True, slots=True)
class Given:
    """`event Name { … } of "type" "id" at "…";`; a quoted name is a type as it stands on the wire."""

    span: Span
    name: str
    name_span: Span
    is_wire: bool
    payload: JsonObject
    aggregate: tuple[str, str] | None  # its type and its id
    at: tuple[str, Span] | None


@dataclass(frozen=True, slots=True)
class Expect:
    """`expect condition;`."""

    span: Span
    condition: Expression


@dataclass(frozen=True, slots=True)
class Test:
    """`test "name" { steps }`."""

    span: Span
    name: str
    name_span: Span
    steps: tuple[Given | Expect, ...]


Declaration: TypeAlias = Event | Record | Alias | View | Index | Function | Handler | Test


@dataclass(frozen=True, slots=True)
class Program:
    """A whole file; `unreadable` are the names of declarations that are there but could not be read."""

    edition: tuple[int, Span] | None
    name: tuple[str, Span] | None
    declarations: tuple[Declaration, ...]
    unreadable: frozenset[str] = frozenset()
