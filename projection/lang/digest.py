"""A program's digest: what it means, hashed.

Comments, layout, names of local variables and of functions, the order of `event`, `type` and `fn` declarations, tests
and indexes do not change it. Everything that can change a view, a failure or a ledger does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from projection.lang import core
from projection.lang import types as ty
from projection.lang.immutable import Immutable
from projection.lang.library import text_of
from projection.lang.operations import Operation
from projection.lang.source import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.lang.check.schema import Schema

_UNSEEN = ("span", "calls", "slots", "item_gas", "item_alloc", "via")  # places, and what follows from the rest


def digest(
    edition: int, schema: Schema, functions: Mapping[str, core.Function], handlers: Sequence[core.Handler]
) -> str:
    """The digest of a program whose computations are folded, and not yet cut into segments."""
    events = sorted(f"{one.name}|{one.wires}|{one.aggregate_type}" for one in schema.event_declarations.values())
    numbers: dict[str, int] = {}  # functions are called by the order of their first call: their names mean nothing
    parts = [str(edition), *sorted(described(record) for record in schema.records()), *events]
    parts += [_Writer(numbers).text(handler) for handler in handlers]
    parts += _called(numbers, functions)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def meaning(handler: core.Handler, functions: Mapping[str, core.Function]) -> str:
    """One text for every handler that does the same, with the functions that it needs."""
    numbers: dict[str, int] = {}
    return "\n".join([_Writer(numbers).text(handler), *_called(numbers, functions)])


class Outline(NamedTuple):
    """A computation for itself: equal texts do the same, where what they call and name does."""

    text: str
    functions: list[str]  # that it calls, in the order of their first call, by which the text calls them
    records: list[ty.Record]  # that it names, by their names

    @classmethod
    def of(cls, value: Any) -> Outline:
        """That of a handler or of a function's body."""
        numbers: dict[str, int] = {}
        records = set[ty.Record]()
        text = _Writer(numbers, records).text(value)
        return cls(text, list(numbers), sorted(records, key=lambda one: (one.name, described(one))))


def _called(numbers: dict[str, int], functions: Mapping[str, core.Function]) -> Iterator[str]:
    """The bodies of the functions that are called so far, and of those that these call."""
    written = 0
    while written < len(numbers):  # which grow on the way
        name = list(numbers)[written]
        yield _Writer(numbers).text(functions[name].body)
        written += 1


def canonical(value: Any) -> str:
    """One text for everything that means the same; functions are called by their names."""
    return _Writer(None).text(value)


def described(record: ty.Record) -> str:
    """A record with its content; its fields in name order."""
    inside = ",".join(
        f"{field.name}<{'|'.join(field.wires)}>{canonical(field.type)}={canonical(field.default)}"
        for field in sorted(record.fields.values(), key=lambda field: field.name)
    )
    return f"{record.kind} {record.name}{{{inside}}}"


class _Writer:
    """Writes one computation; slots are numbered as they come, and `records` gets the records that are named."""

    def __init__(self, numbers: dict[str, int] | None, records: set[ty.Record] | None = None) -> None:
        self._numbers = numbers
        self._records = set[ty.Record]() if records is None else records
        self._slots: dict[int, int] = {slot: slot for slot in range(core.FIRST_FREE)}

    def text(self, value: Any) -> str:
        """See `canonical`."""
        match value:
            case ty.Record():
                self._records.add(value)
                return f"{value.kind} {value.name}"  # its fields stand in the schema, which is a part of its own
            case core.Local():
                return f"local {self._slot(value.slot)}"
            case core.Let():
                slot = self._slot(value.slot)
                return f"let {slot}={self.text(value.value)} in {self.text(value.body)}"
            case core.Op() if value.operation.name in ("asserted", "entered"):
                return f"asserted({self.text(value.operands[0])})"  # how the path is written stands in the message only
            case core.Call():
                number = value.function if self._numbers is None else self._number(value.function)
                return f"call {number}{self.text(value.arguments)}"
            case core.Loop():
                return f"loop {self._bound(value.slots)}{self._parts(value)}"
            case core.Fold():
                return f"fold {self._bound((value.accumulator, *value.slots))}{self._parts(value)}"
            case Operation():
                return f"op({value.name};{value.signature})"
            case core.Verdict():
                return value.name
            case Mapping():
                entries = (f"{self.text(key)}:{self.text(value[key])}" for key in sorted(value))
                return "{" + ",".join(entries) + "}"
            case list() | tuple() if not isinstance(value, Span):
                return f"[{','.join(map(self.text, value))}]"
        return self._plain(value)

    def _plain(self, value: Any) -> str:
        if isinstance(value, Immutable):
            return f"{type(value).__name__}({self._parts(value)})"
        if value is None or isinstance(value, (bool, str)):
            return repr(value)
        if value is ty.REQUIRED:
            return "required"
        if isinstance(value, bytes):
            return value.hex()
        if hasattr(value, "__struct_fields__"):
            return self.text({name: getattr(value, name) for name in value.__struct_fields__})
        return f"{type(value).__name__}:{text_of(value)}"

    def _parts(self, value: Any) -> str:
        parts = list[str]()  # no generator, which would be one frame more at each level
        for name in value.__struct_fields__:
            if name not in _UNSEEN and name != "accumulator":
                parts.append(f"{name}={self.text(getattr(value, name))}")
        return ",".join(parts)

    def _slot(self, slot: int) -> int:
        return self._slots.setdefault(slot, len(self._slots))

    def _bound(self, slots: Sequence[int]) -> list[int]:
        return [self._slot(slot) for slot in slots]

    def _number(self, function: str) -> int:
        numbers = {} if self._numbers is None else self._numbers
        return numbers.setdefault(function, len(numbers))
