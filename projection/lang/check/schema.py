"""Declared types: from what was written to `types`, with every name resolved and every default checked."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from msgspec.structs import replace

from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.work import Work
from projection.lang.syntax import nodes as syn
from projection.lang.values.structs import build_structs, mark_from_outside

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.lang.reporting import Diagnostic
    from projection.lang.source import Source, Span

_SIMPLE: dict[str, ty.Type] = {
    "bool": ty.BOOL, "int": ty.INT, "date": ty.DATE, "timestamp": ty.TIMESTAMP, "duration": ty.DURATION,
    "json": ty.JSON,
}  # fmt: skip
_NAMES = (*_SIMPLE, "decimal", "string", "bytes", "enum", "list", "set", "map")

MAX_INDEXES = 32
MAX_INDEX_KEYS = 8
MAX_FIELDS = 500  # of one record
MAX_MEMBERS = 500  # of one enum
MAX_WIRES = 16  # of one event or field

PENDING = object()  # the default of a field whose default is not computed yet


class Schema:
    """The events, records and the view of a program.

    `constant` gives the value of a default expression in a place; it comes from the checker, since only that knows
    expressions. Diagnostics are added to `problems`.
    """

    def __init__(self, source: Source, problems: list[Diagnostic]) -> None:
        self.source = source
        self.problems = problems
        self.events: dict[str, ty.Record] = {}
        self.event_declarations: dict[str, syn.Event] = {}
        self.view: ty.Record | None = None
        self.indexes: list[tuple[tuple[str, bool], ...]] = []
        self._records: dict[str, ty.Record] = {}
        self._declared: dict[str, syn.Record | syn.Alias] = {}
        self._aliases: dict[str, ty.Type] = {}
        self._open: list[str] = []  # the types that are being resolved, for cycles
        self.is_sound = False  # whether values of all declared records can be made
        self.reads: set[tuple[str, str]] = set()  # the fields that expressions read: the record's name, and theirs
        self.used: set[str] = set()  # the names of types that something is of
        self._levels: dict[ty.Record, int] = {}
        self.work = Work()
        self.unreadable: frozenset[str] = frozenset()  # declared, but not readable: not to be reported as unknown

    def load(self, program: syn.Program, constant: Callable[[syn.Expression, ty.Type], object]) -> None:
        """Resolve all declarations of types."""
        self.unreadable = program.unreadable
        first: dict[str, Span | None] = dict.fromkeys(_NAMES)
        for one in program.declarations:
            if isinstance(one, (syn.Record, syn.Alias, syn.Event, syn.View)):
                if one.name in first:
                    self._declared_twice(one.name_span, one.name, first[one.name])
                    continue
                first[one.name] = one.name_span
                if isinstance(one, (syn.Record, syn.Alias)):
                    self._declared[one.name] = one
        for name, declared in self._declared.items():
            self._named(name, declared.name_span)
        for one in program.declarations:
            if isinstance(one, syn.Event) and one.name not in self.events:
                self._few(one.name_span, "names of one event on the wire", len(one.wires), MAX_WIRES)
                event = self._fields(self._record(one.name, "event", one.span), one.fields)
                self._shallow(event, one.name_span)
                self.events[one.name] = event
                self.event_declarations[one.name] = one
            elif isinstance(one, syn.View) and self.view is None:
                self.view = self._fields(self._record(one.name, "view", one.span), one.fields)
                self._shallow(self.view, one.name_span)
            elif isinstance(one, syn.View):
                self.problems.append(diag.second_view(one.name_span))
        self._wires_are_distinct()
        self._defaults(program, constant)
        indexes = [one for one in program.declarations if isinstance(one, syn.Index)]
        if len(indexes) > MAX_INDEXES:
            span = indexes[MAX_INDEXES].span
            self.problems.append(diag.too_many_indexes(span, "indexes", len(indexes), MAX_INDEXES))
        for one in indexes[:MAX_INDEXES]:
            self._index(one)

    def _record(self, name: str, kind: str, span: Span) -> ty.Record:
        return ty.Record(name, kind, line=self.source.position(span.start)[0])

    def seen_from(self, source: Source, problems: list[Diagnostic]) -> Schema:
        """The same declarations for an expression of another text, with problems of its own."""
        schema = copy(self)
        schema.source, schema.problems, schema.work = source, problems, Work()
        return schema

    def records(self) -> list[ty.Record]:
        """Every record that has fields of its own: types, events, the view."""
        return [*self._records.values(), *self.events.values(), *([self.view] if self.view else [])]

    def wires(self) -> set[str]:
        """The types of events as they stand on the wire."""
        return {wire for name, event in self.event_declarations.items() for wire in event.wires or (name,)}

    # types

    def resolve(self, written: syn.TypeName) -> ty.Type:
        """The type that was written; `Never` where it is none, which is reported."""
        found = self._resolve(written)
        return ty.optional(found) if written.optional and not isinstance(found, ty.Never) else found

    def place(self, written: syn.TypeName) -> ty.Type:
        """The type of a place in a function or a `let`: views and events can be there, too, and bounds do not hold."""
        record = self.events.get(written.name)
        if self.view is not None and written.name == self.view.name:
            record = self.view
        if record is not None and not written.arguments and not written.sizes:
            return ty.optional(record) if written.optional else record
        return ty.loosened(self.resolve(written))

    def _resolve(self, written: syn.TypeName) -> ty.Type:
        name, arguments, sizes = written.name, written.arguments, written.sizes
        if name not in _NAMES and name not in self._declared:
            if name not in self.unreadable:
                self.problems.append(diag.unknown_type(written.span, name, [*_NAMES, *self._declared]))
            return ty.NEVER
        counts = {"list": 1, "set": 1, "map": 2}
        if len(arguments) != counts.get(name, 0):
            wanted = {1: "one type in <…>", 2: "two types in <…>"}.get(counts.get(name, 0), "no type in <…>")
            return self._bad(written, f"`{name}` takes {wanted}")
        if name == "enum":
            return self._enum(written)
        if written.open or any(isinstance(size, str) for size in sizes):
            return self._bad(written, f"`{name}` takes numbers in (…)")
        size = next((size for size in sizes if isinstance(size, int)), None)
        if name in _SIMPLE or name in self._declared:
            if sizes:
                return self._bad(written, f"`{name}` takes nothing in (…)")
            self.used.add(name)
            return _SIMPLE[name] if name in _SIMPLE else self._named(name, written.span)
        if len(sizes) > 1:
            return self._bad(written, f"`{name}` takes one number in (…)")
        if name == "decimal":
            if size is not None and size > ty.MAX_SCALE:
                return self._bad(written, f"a decimal has at most {ty.MAX_SCALE} digits behind the point")
            return ty.Decimal(size)
        if name == "string":
            return self._sized(written, size, ty.DEFAULT_STRING) or ty.String(size or ty.DEFAULT_STRING)
        if name == "bytes":
            return self._sized(written, size, ty.DEFAULT_BYTES) or ty.Bytes(size or ty.DEFAULT_BYTES)
        if name == "set":
            item = self._item(arguments[0])
            if not ty.is_scalar(item) and not isinstance(item, ty.Never):
                return self._bad(arguments[0], f"a set holds single values, not {item}")
            found_set = ty.Set(item, size or ty.DEFAULT_CONTAINER)
            return self._sized(written, size, ty.DEFAULT_CONTAINER) or self._shallow(found_set, written.span)
        if name == "list":
            item = self._item(arguments[0])
            found: ty.Type = ty.List(item, size or ty.DEFAULT_CONTAINER)
            return self._sized(written, size, ty.DEFAULT_CONTAINER) or self._shallow(found, written.span)
        if name == "map":
            key, value = self.resolve(arguments[0]), self._item(arguments[1])
            if not isinstance(key, (ty.String, ty.Int, ty.Date, ty.Enum, ty.Never)):
                return self._bad(arguments[0], "a map is keyed by string, int, date or enum")
            found = ty.Map(key, value, size or ty.DEFAULT_CONTAINER)
            return self._sized(written, size, ty.DEFAULT_CONTAINER) or self._shallow(found, written.span)
        raise AssertionError(name)

    def _item(self, written: syn.TypeName) -> ty.Type:
        if isinstance(found := self.resolve(written), ty.Optional):
            return self._bad(written, "items of lists and values of maps are never optional")
        return found

    def _sized(self, written: syn.TypeName, size: int | None, most: int) -> ty.Type | None:
        if size is not None and not 1 <= size <= most:
            return self._bad(written, f"the bound lies between 1 and {most}")
        return None

    def _shallow(self, type_: ty.Type, span: Span) -> ty.Type:
        if self._depth(type_) <= ty.MAX_DEPTH:
            return type_
        self.problems.append(diag.types_too_deep(span, ty.MAX_DEPTH))
        return ty.NEVER

    def _depth(self, type_: ty.Type) -> int:
        match type_:
            case ty.Optional():
                return self._depth(type_.inner)
            case ty.List():
                return 1 + self._depth(type_.item)
            case ty.Set():
                return 1
            case ty.Map():
                return 1 + self._depth(type_.value)
            case ty.Record():
                if type_ not in self._levels:
                    self._levels[type_] = 1 + max(
                        (self._depth(field.type) for field in type_.fields.values()), default=0
                    )
                return self._levels[type_]
            case _:
                return 0

    def _bad(self, written: syn.TypeName, why: str) -> ty.Type:
        self.problems.append(diag.bad_type(written.span, why))
        return ty.NEVER

    def _enum(self, written: syn.TypeName) -> ty.Type:
        members = tuple(size for size in written.sizes if isinstance(size, str))
        if not members or len(members) != len(written.sizes):
            return self._bad(written, "an enum lists its values: `enum(open, closed)`")
        if len(members) > MAX_MEMBERS:
            self._few(written.span, "members in one enum", len(members), MAX_MEMBERS)
            return ty.NEVER
        if len(set(members)) != len(members):
            return self._bad(written, "an enum lists each value once")
        return ty.Enum(members, written.open)

    def _named(self, name: str, span: Span) -> ty.Type:
        if name in self._open:
            cycle = [*self._open[self._open.index(name) :], name]
            self.problems.append(diag.recursive_type(span, cycle))
            return ty.NEVER
        declared = self._declared[name]
        if name in self._records:
            return self._records[name]
        if name in self._aliases:
            return self._aliases[name]
        if len(self._open) == ty.MAX_DEPTH:
            self.problems.append(diag.types_too_deep(span, ty.MAX_DEPTH))
            return ty.NEVER
        self._open.append(name)
        found: ty.Type
        if isinstance(declared, syn.Alias):
            found = self._aliases[name] = self.resolve(declared.type)
        else:
            record = self._fields(self._record(name, "type", declared.span), declared.fields)
            self._shallow(record, declared.name_span)
            found = self._records[name] = record
        self._open.pop()
        return found

    def _few(self, span: Span, what: str, found: int, limit: int) -> None:
        if found > limit:
            self.problems.append(diag.too_many_parts(span, what, found, limit))

    def _declared_twice(self, span: Span, name: str, first: Span | None) -> None:
        line = None if first is None else self.source.position(first.start)[0]
        self.problems.append(diag.already_declared(span, name, line, first))

    # fields

    def _fields(self, record: ty.Record, fields: tuple[syn.Field, ...]) -> ty.Record:
        if fields:
            self._few(fields[0].span, "fields in one record", len(fields), MAX_FIELDS)
        for one in fields[:MAX_FIELDS]:
            self._few(one.span, "names of one field on the wire", len(one.wires), MAX_WIRES)
            if one.name in record.fields:
                self._declared_twice(one.span, one.name, record.fields[one.name].span)
                continue
            type_ = self.resolve(one.type)
            if one.default is not None and (one.optional or isinstance(type_, ty.Optional)):
                self.problems.append(diag.optional_with_default(one.span, one.name))
            if one.optional:
                type_ = ty.optional(type_)
            default = ty.REQUIRED if one.default is None else PENDING
            record.fields[one.name] = ty.Field(one.name, type_, one.wires or (one.name,), default, one.span)
        return record

    def _defaults(self, program: syn.Program, constant: Callable[[syn.Expression, ty.Type], object]) -> None:
        """Every default, first those of the records that others hold: a literal of one fills in what it leaves out."""
        kinds = {syn.Record: "type", syn.Event: "event", syn.View: "view"}
        written: dict[tuple[str, str], tuple[syn.Field, ...]] = {}
        for declared in program.declarations:
            if isinstance(declared, (syn.Record, syn.Event, syn.View)):
                fields = declared.fields[:MAX_FIELDS]  # what is too many is reported, as a second declaration is
                written.setdefault((kinds[type(declared)], declared.name), fields)
        self.is_sound = not self.problems
        if self.is_sound:
            mark_from_outside(self.events.values())
            build_structs(self._records.values())
        done = set[ty.Record]()

        def fill(type_: ty.Type) -> None:
            match type_:
                case ty.Optional():
                    fill(type_.inner)
                case ty.List() | ty.Set():
                    fill(type_.item)
                case ty.Map():
                    fill(type_.value)
                case ty.Record() if type_ not in done:
                    done.add(type_)
                    for field in type_.fields.values():
                        fill(field.type)
                    for one in written.get((type_.kind, type_.name), ()):
                        if one.default is not None and (field := type_.fields[one.name]).default is PENDING:
                            type_.fields[one.name] = replace(field, default=constant(one.default, field.type))

        for record in self.records():
            fill(record)

    def _wires_are_distinct(self) -> None:
        taken: dict[tuple[str | None, str], int] = {}
        for name, event in self.event_declarations.items():
            for wire in event.wires or (name,):
                read_as = (event.aggregate_type, wire)
                if read_as in taken:
                    self.problems.append(diag.wire_taken(event.name_span, wire, taken[read_as]))
                taken.setdefault(read_as, self.source.position(event.span.start)[0])
        for record in self.records():
            wires: dict[str, int] = {}
            for field in record.fields.values():
                for wire in field.wires:
                    if any(character in '"\\' or character < " " for character in wire):  # msgspec has no such fields
                        self.problems.append(diag.unreadable_wire(field.span, wire))
                    if wire in wires:
                        self.problems.append(diag.wire_taken(field.span, wire, wires[wire]))
                    wires[wire] = self.source.position(field.span.start)[0]

    def _index(self, index: syn.Index) -> None:
        if (view := self.view) is None:
            return  # which is reported
        if len(index.keys) > MAX_INDEX_KEYS:
            what = "keys in one index"
            self.problems.append(diag.too_many_indexes(index.span, what, len(index.keys), MAX_INDEX_KEYS))
            return
        for path, _descending, span in index.keys:
            self._index_key(view, path, span)
        self.indexes.append(tuple((".".join(path), descending) for path, descending, _span in index.keys))

    def _index_key(self, view: ty.Record, path: tuple[str, ...], span: Span) -> None:
        """A key leads through records, and through each item of lists of them, to single values."""
        here: ty.Type = view
        for name in path:
            if not isinstance(here, ty.Record):
                self.problems.append(diag.not_a_record(span, str(here)))
                return
            if (field := here.fields.get(name)) is None:
                self.problems.append(diag.unknown_field(span, name, str(here), here.fields, here.line))
                return
            here = field.type.inner if isinstance(field.type, ty.Optional) else field.type
            if isinstance(here, (ty.List, ty.Set)):
                here = here.item
        if not ty.is_scalar(here) and not isinstance(here, ty.Never):
            self.problems.append(diag.bad_type(span, f"an index key leads to single values, not to {here}"))
