"""The syntax tree: what was written, node for node, with its place; nothing of what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from projection.lang.immutable import Immutable

if TYPE_CHECKING:
    from datetime import timedelta
    from decimal import Decimal

    from projection.lang.source import Span

# --- types -----------------------------------------------------------------------------------------------------------


class TypeName(Immutable, frozen=True):
    """`name<arguments>(sizes…)?`; `sizes` holds numbers, names and texts as they were written."""

    span: Span
    name: str
    arguments: tuple[TypeName, ...]
    sizes: tuple[int | str, ...]
    open: bool
    optional: bool


# --- expressions -----------------------------------------------------------------------------------------------------


class Literal(Immutable, frozen=True):
    """A number, a duration, `true`, `false` or `none`."""

    span: Span
    value: int | Decimal | bool | timedelta | None


class Text(Immutable, frozen=True):
    """A string: fixed texts and interpolated expressions in turn."""

    span: Span
    parts: tuple[str | Expression, ...]


class Name(Immutable, frozen=True):
    """A variable."""

    span: Span
    name: str


class Get(Immutable, frozen=True):
    """`base.field`, or `base?.field`."""

    span: Span
    base: Expression
    field: str
    field_span: Span
    optional: bool


class At(Immutable, frozen=True):
    """`base[key]`, or `base?[key]`."""

    span: Span
    base: Expression
    key: Expression
    optional: bool


class Present(Immutable, frozen=True):
    """`base!`."""

    span: Span
    base: Expression


class Chain(Immutable, frozen=True):
    """Operands and the operators between them, from left to right: `+ - *`, `and`, `or`."""

    span: Span
    operators: tuple[str, ...]
    operands: tuple[Expression, ...]


class Compare(Immutable, frozen=True):
    """`left operator right`; also `in` and `not in`."""

    span: Span
    operator: str
    left: Expression
    right: Expression


class Coalesce(Immutable, frozen=True):
    """`left ?? right`."""

    span: Span
    left: Expression
    right: Expression


class Unary(Immutable, frozen=True):
    """`-x` or `not x`."""

    span: Span
    operator: str
    operand: Expression


class If(Immutable, frozen=True):
    """`if condition then yes else no`."""

    span: Span
    condition: Expression
    yes: Expression
    no: Expression


class Let(Immutable, frozen=True):
    """`let name: type = value; body`."""

    span: Span
    name: str
    name_span: Span
    type: TypeName | None
    value: Expression
    body: Expression


class Pattern(Immutable, frozen=True):
    """A literal, `_`, or a name that takes what is there."""

    span: Span
    literal: Literal | Text | None
    name: str | None


class Case(Immutable, frozen=True):
    """`pattern | pattern if guard => body`."""

    span: Span
    patterns: tuple[Pattern, ...]
    guard: Expression | None
    body: Expression


class Match(Immutable, frozen=True):
    """`match subject { cases }`."""

    span: Span
    subject: Expression
    cases: tuple[Case, ...]


class Call(Immutable, frozen=True):
    """`name(arguments)`: a function of the program or of the library; in a test, also `view(id)`."""

    span: Span
    name: str
    name_span: Span
    arguments: tuple[Expression, ...]


class Loop(Immutable, frozen=True):
    """`for names in source if condition`."""

    span: Span
    names: tuple[str, ...]
    name_spans: tuple[Span, ...]
    source: Expression
    condition: Expression | None


class SortKey(Immutable, frozen=True):
    """One key of `by key desc, …`."""

    span: Span
    key: Expression
    descending: bool


class Aggregate(Immutable, frozen=True):
    """`name(body by keys for …)`."""

    span: Span
    name: str
    name_span: Span
    body: Expression
    keys: tuple[SortKey, ...]
    loop: Loop


class Fold(Immutable, frozen=True):
    """`fold(name = initial for … => body)`."""

    span: Span
    name: str
    name_span: Span
    initial: Expression
    loop: Loop
    body: Expression


class ListFor(Immutable, frozen=True):
    """`[body by keys for …]`."""

    span: Span
    body: Expression
    keys: tuple[SortKey, ...]
    loop: Loop


class MapFor(Immutable, frozen=True):
    """`{[key]: value for …}`."""

    span: Span
    key: Expression
    value: Expression
    loop: Loop


class Spread(Immutable, frozen=True):
    """`...value` in a list or a map."""

    span: Span
    value: Expression


class ListOf(Immutable, frozen=True):
    """`[items]`."""

    span: Span
    items: tuple[Expression | Spread, ...]


class FieldValue(Immutable, frozen=True):
    """`name: value` in braces."""

    span: Span
    name: str
    value: Expression


class KeyValue(Immutable, frozen=True):
    """`[key]: value` in braces."""

    span: Span
    key: Expression
    value: Expression


class Braces(Immutable, frozen=True):
    """`{…}`: a record or a map; its place and its entries decide which."""

    span: Span
    entries: tuple[FieldValue | KeyValue | Spread, ...]


class Update(Immutable, frozen=True):
    """One change of a `with`: a path of fields and keys, and what happens there.

    `path_spans` are the places of the path up to each of its steps.
    """

    span: Span
    path: tuple[str | Expression, ...]
    path_spans: tuple[Span, ...]
    operator: str  # `:`, `+=`, `-=` or `drop`
    value: Expression | None


class With(Immutable, frozen=True):
    """`base with { updates }`."""

    span: Span
    base: Expression
    updates: tuple[Update, ...]


class Keep(Immutable, frozen=True):
    """`keep`."""

    span: Span


class Delete(Immutable, frozen=True):
    """`delete`."""

    span: Span


Expression: TypeAlias = (
    Literal | Text | Name | Get | At | Present | Chain | Compare | Coalesce | Unary | If | Let | Match | Call
    | Aggregate | Fold | ListFor | MapFor | ListOf | Braces | With
)  # fmt: skip
Result: TypeAlias = Expression | Keep | Delete


# --- declarations ----------------------------------------------------------------------------------------------------


class Field(Immutable, frozen=True):
    """One field of an event, a record or the view."""

    span: Span
    name: str
    optional: bool
    type: TypeName
    wires: tuple[str, ...]
    default: Expression | None


class Made(Immutable, frozen=True):
    """`when condition => result` behind `was`; `=>` alone and `else` have no condition."""

    span: Span
    condition: Expression | None
    result: Expression


class Upcast(Immutable, frozen=True):
    """`was Name as name => result`: an old form of an event, and what the event is made of it."""

    span: Span
    old: str
    old_span: Span
    name: str | None
    name_span: Span | None
    arms: tuple[Made, ...]


class Event(Immutable, frozen=True):
    """`event Name from "…" of "…" { fields } was …`."""

    span: Span
    name: str
    name_span: Span
    wires: tuple[str, ...]
    aggregate_type: str | None
    fields: tuple[Field, ...]
    upcasts: tuple[Upcast, ...] = ()


class Record(Immutable, frozen=True):
    """`type Name { fields }`."""

    span: Span
    name: str
    name_span: Span
    fields: tuple[Field, ...]


class Alias(Immutable, frozen=True):
    """`type Name = type`."""

    span: Span
    name: str
    name_span: Span
    type: TypeName


class View(Immutable, frozen=True):
    """`view Name { fields }`."""

    span: Span
    name: str
    name_span: Span
    fields: tuple[Field, ...]


class Index(Immutable, frozen=True):
    """`index by path desc, …`; each key is a path of fields, whether it descends, and where it stands."""

    span: Span
    keys: tuple[tuple[tuple[str, ...], bool, Span], ...]


class Parameter(Immutable, frozen=True):
    """A parameter of a function."""

    span: Span
    name: str
    type: TypeName


class Function(Immutable, frozen=True):
    """`fn name(parameters) -> type = body`."""

    span: Span
    name: str
    name_span: Span
    parameters: tuple[Parameter, ...]
    type: TypeName
    body: Expression


class Arm(Immutable, frozen=True):
    """`when condition => result`; `else` has no condition."""

    span: Span
    condition: Expression | None
    result: Result


class Handler(Immutable, frozen=True):
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


class JsonValue(Immutable, frozen=True):
    """A single value of JSON; `none` is null."""

    span: Span
    value: int | Decimal | str | bool | None


class JsonList(Immutable, frozen=True):
    """An array of JSON."""

    span: Span
    items: tuple[Json, ...]


class JsonObject(Immutable, frozen=True):
    """An object of JSON, by names on the wire."""

    span: Span
    members: tuple[tuple[str, Span, Json], ...]


Json: TypeAlias = JsonValue | JsonList | JsonObject


class Given(Immutable, frozen=True):
    """`event Name { … } of "type" "id" at "…" …;`; a quoted name is a type as it stands on the wire."""

    span: Span
    name: str
    name_span: Span
    is_wire: bool
    payload: JsonObject
    aggregate: tuple[str, str] | None  # its type and its id
    at: tuple[str, Span] | None
    stored_at: tuple[str, Span] | None = None
    subject: tuple[str, Span] | None = None
    headers: JsonObject | None = None


class Expect(Immutable, frozen=True):
    """`expect condition;`."""

    span: Span
    condition: Expression


class Test(Immutable, frozen=True):
    """`test "name" { steps }`."""

    span: Span
    name: str
    name_span: Span
    steps: tuple[Given | Expect, ...]


Declaration: TypeAlias = Event | Record | Alias | View | Index | Function | Handler | Test


class Program(Immutable, frozen=True):
    """A whole file; `unreadable` are the names of declarations that are there but could not be read."""

    edition: tuple[int, Span] | None
    name: tuple[str, Span] | None
    declarations: tuple[Declaration, ...]
    unreadable: frozenset[str] = frozenset()
