"""Declared types: from what was written to `types`, with every name resolved and every default checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang import diagnostics as diag
from projection.lang import syntax as syn
from projection.lang import types as ty

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.lang.diagnostics import Diagnostic
    from projection.lang.source import Source, Span

_SIMPLE: dict[str, ty.Type] = {"bool": ty.BOOL, "int": ty.INT, "date": ty.DATE, "timestamp": ty.TIMESTAMP}
_NAMES = (*_SIMPLE, "decimal", "string", "enum", "list", "map")


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

    def load(self, program: syn.Program, constant: Callable[[syn.Expression, ty.Type], object]) -> None:
        """Resolve all declarations of types."""
        lines: dict[str, int] = {}
        for one in program.declarations:
            if isinstance(one, (syn.Record, syn.Alias, syn.Event, syn.View)):
                line = self.source.position(one.span.start)[0]
                if one.name in lines:
                    self.problems.append(diag.already_declared(one.name_span, one.name, lines[one.name]))
                    continue
                lines[one.name] = line
                if isinstance(one, (syn.Record, syn.Alias)):
                    self._declared[one.name] = one
        for name, declared in self._declared.items():
            self._named(name, declared.name_span)
        for one in program.declarations:
            if isinstance(one, syn.Event) and one.name not in self.events:
                self.events[one.name] = self._fields(self._record(one.name, "event", one.span), one.fields)
                self.event_declarations[one.name] = one
            elif isinstance(one, syn.View) and self.view is None:
                self.view = self._fields(self._record(one.name, "view", one.span), one.fields)
            elif isinstance(one, syn.View):
                self.problems.append(diag.second_view(one.name_span))
        self._wires_are_distinct()
        self._defaults(program, constant)
        for one in program.declarations:
            if isinstance(one, syn.Index):
                self._index(one)

    def _record(self, name: str, kind: str, span: Span) -> ty.Record:
        return ty.Record(name, kind, line=self.source.position(span.start)[0])

    def records(self) -> list[ty.Record]:
        """Every record that has fields of its own: types, events, the view."""
        return [*self._records.values(), *self.events.values(), *([self.view] if self.view else [])]

    # types

    def resolve(self, written: syn.TypeName) -> ty.Type:
        """The type that was written; `Never` where it is none, which is reported."""
        found = self._resolve(written)
        return ty.optional(found) if written.optional and not isinstance(found, ty.Never) else found

    def _resolve(self, written: syn.TypeName) -> ty.Type:
        name, arguments, sizes = written.name, written.arguments, written.sizes
        counts = {"list": 1, "map": 2}
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
            return _SIMPLE[name] if name in _SIMPLE else self._named(name, written.span)
        if len(sizes) > 1:
            return self._bad(written, f"`{name}` takes one number in (…)")
        if name == "decimal":
            if size is not None and size > ty.MAX_SCALE:
                return self._bad(written, f"a decimal has at most {ty.MAX_SCALE} digits behind the point")
            return ty.Decimal(size)
        if name == "string":
            return self._sized(written, size, ty.DEFAULT_STRING) or ty.String(size or ty.DEFAULT_STRING)
        if name == "list":
            item = self._item(arguments[0])
            return self._sized(written, size, ty.DEFAULT_CONTAINER) or ty.List(item, size or ty.DEFAULT_CONTAINER)
        if name == "map":
            key, value = self.resolve(arguments[0]), self._item(arguments[1])
            if not isinstance(key, (ty.String, ty.Int, ty.Date, ty.Enum, ty.Never)):
                return self._bad(arguments[0], "a map is keyed by string, int, date or enum")
            return self._sized(written, size, ty.DEFAULT_CONTAINER) or ty.Map(key, value, size or ty.DEFAULT_CONTAINER)
        self.problems.append(diag.unknown_type(written.span, name, [*_NAMES, *self._declared]))
        return ty.NEVER

    def _item(self, written: syn.TypeName) -> ty.Type:
        if written.optional:
            return self._bad(written, "items of lists and values of maps are never optional")
        return self.resolve(written)

    def _sized(self, written: syn.TypeName, size: int | None, most: int) -> ty.Type | None:
        if size is not None and not 1 <= size <= most:
            return self._bad(written, f"the bound lies between 1 and {most}")
        return None

    def _bad(self, written: syn.TypeName, why: str) -> ty.Type:
        self.problems.append(diag.bad_type(written.span, why))
        return ty.NEVER

    def _enum(self, written: syn.TypeName) -> ty.Type:
        members = tuple(size for size in written.sizes if isinstance(size, str))
        if not members or len(members) != len(written.sizes):
            return self._bad(written, "an enum lists its values: `enum(open, closed)`")
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
        self._open.append(name)
        found: ty.Type
        if isinstance(declared, syn.Alias):
            found = self._aliases[name] = self.resolve(declared.type)
        else:
            record = self._fields(self._record(name, "type", declared.span), declared.fields)
            found = self._records[name] = record
        self._open.pop()
        return found

    # fields

    def _fields(self, record: ty.Record, fields: tuple[syn.Field, ...]) -> ty.Record:
        for one in fields:
            if one.name in record.fields:
                line = self.source.position(record.fields[one.name].span.start)[0]
                self.problems.append(diag.already_declared(one.span, one.name, line))
                continue
            if one.optional and one.default is not None:
                self.problems.append(diag.optional_with_default(one.span, one.name))
            type_ = self.resolve(one.type)
            if one.optional:
                type_ = ty.optional(type_)
            record.fields[one.name] = ty.Field(one.name, type_, one.wires or (one.name,), ty.REQUIRED, one.span)
        return record

    def _defaults(self, program: syn.Program, constant: Callable[[syn.Expression, ty.Type], object]) -> None:
        owners = {record.name: record for record in self.records()}
        for one in program.declarations:
            if not isinstance(one, (syn.Record, syn.Event, syn.View)) or one.name not in owners:
                continue
            fields = owners[one.name].fields
            for written in one.fields:
                if written.default is not None and (field := fields.get(written.name)) is not None:
                    value = constant(written.default, field.type)
                    fields[field.name] = ty.Field(field.name, field.type, field.wires, value, field.span)

    def _wires_are_distinct(self) -> None:
        taken: dict[tuple[str | None, str], int] = {}
        for name, event in self.event_declarations.items():
            for wire in event.wires or (name,):
                line = self.source.position(event.span.start)[0]
                if (first := taken.setdefault((event.aggregate_type, wire), line)) != line:
                    self.problems.append(diag.wire_taken(event.name_span, wire, first))
        for record in self.records():
            wires: dict[str, int] = {}
            for field in record.fields.values():
                for wire in field.wires:
                    if wire in wires:
                        self.problems.append(diag.wire_taken(field.span, wire, wires[wire]))
                    wires[wire] = self.source.position(field.span.start)[0]

    def _index(self, index: syn.Index) -> None:
        for name, _descending, span in index.keys:
            if self.view is not None and name not in self.view.fields:
                owner = str(self.view)
                self.problems.append(diag.unknown_field(span, name, owner, self.view.fields, self.view.line))
        self.indexes.append(tuple((name, descending) for name, descending, _span in index.keys))
