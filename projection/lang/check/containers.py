"""Checking what holds values: records, lists, sets and maps as literals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.comprehensions import Comprehensions
from projection.lang.check.places import Typed, form
from projection.lang.syntax import nodes as syn

if TYPE_CHECKING:
    from projection.lang.source import Span


class Containers(Comprehensions):
    """Part of the checker of one function or handler."""

    def contained(self, expression: syn.Expression, place: ty.Type | None) -> Typed:
        """Any of them; `place` gives literals their type."""
        if isinstance(place, ty.Optional):
            place = place.inner
        match expression:
            case syn.ListOf() | syn.Braces() if isinstance(place, ty.Never):
                return self._placeless(expression, place)
            case syn.ListOf():
                found = self._list(expression, place)
                return self.as_set(found) if isinstance(place, ty.Set) else found
            case syn.ListFor():
                found = self.loop(expression, place.item if isinstance(place, (ty.List, ty.Set)) else None)
                return self.as_set(found) if isinstance(place, ty.Set) else found
            case syn.MapFor():
                return self.map_for(expression, place)
            case syn.Braces():
                if isinstance(place, ty.Record):
                    return self._record(expression, place)
                return self._map(expression, place)
        raise AssertionError(expression)

    def _placeless(self, literal: syn.ListOf | syn.Braces, place: ty.Never) -> Typed:
        """A literal in a place whose type is wrong already: what stands inside is still looked at."""
        for one in literal.items if isinstance(literal, syn.ListOf) else literal.entries:
            if isinstance(one, syn.KeyValue):
                self.check(one.key, place)
            self.check(one.value if isinstance(one, (syn.FieldValue, syn.KeyValue, syn.Spread)) else one, place)
        return Typed(core.Const(literal.span, None), place)

    # lists and sets

    def as_set(self, items: Typed) -> Typed:
        """A list that stands in the place of a set."""
        if not isinstance(items.type, ty.List):
            return items
        if isinstance(items.core, core.Const):
            return Typed(core.Const(items.core.span, tuple(items.core.value)), ty.Set(items.type.item, 0))
        return Typed(form("set_of", items.core.span, items.core), ty.Set(items.type.item, items.type.max))

    def _list(self, literal: syn.ListOf, place: ty.Type | None) -> Typed:
        wanted = place.item if isinstance(place, (ty.List, ty.Set)) else None
        item: ty.Type = ty.NEVER if wanted is None else wanted
        if not literal.items:
            return Typed(core.Const(literal.span, []), ty.List(item, 0))
        parts: list[Typed] = []
        for one in literal.items:
            if isinstance(one, syn.Spread):
                found = self.check(one.value, place)
                if isinstance(found.type, ty.Set):
                    found = Typed(form("items", one.span, found.core), ty.List(found.type.item, found.type.max))
                elif not isinstance(found.type, (ty.List, ty.Never)):
                    found = self.report(diag.mismatch(one.span, str(found.type), "a list", "what `...` spreads"))
                parts.append(found)
                inner = found.type.item if isinstance(found.type, ty.List) else ty.NEVER
            else:
                # Behind a spread of records, `{…}` is one of them, also where the list itself has no place.
                value = self.check(one, item if isinstance(item, ty.Record) else wanted)
                inner = value.type
                if isinstance(inner, (ty.Optional, ty.Nothing)):
                    value = self.report(diag.maybe_none(one.span, "an item", str(inner)))
                    inner = ty.NEVER
                parts.append(value)
            if wanted is None:
                if (joined := ty.join(item, inner)) is None:
                    return self.report(
                        diag.branches_disagree(one.span, f"one item is {item}", str(inner), "another is")
                    )
                item = joined
        spreads = any(isinstance(one, syn.Spread) for one in literal.items)
        return Typed(self._joined(literal, parts, item), ty.List(item, None if spreads else len(parts)))

    def _joined(self, literal: syn.ListOf, parts: list[Typed], item: ty.Type) -> core.Core:
        """Runs of items as lists of their own, joined with what is spread."""
        lists: list[core.Core] = []
        run: list[core.Core] = []
        for one, value in zip(literal.items, parts, strict=True):
            if isinstance(one, syn.Spread):
                if run:
                    lists.append(form("list_of", literal.span, *run))
                    run = []
                lists.append(self.fit(value, ty.List(item, None)))
            else:
                run.append(self.fit(value, item, "an item"))
        if run:
            lists.append(form("list_of", literal.span, *run))
        is_plain = len(lists) == 1 and not any(isinstance(one, syn.Spread) for one in literal.items)
        return lists[0] if is_plain else form("joined_lists", literal.span, *lists)

    # braces

    def _record(self, literal: syn.Braces, record: ty.Record) -> Typed:
        given: dict[str, core.Core] = {}
        for entry in literal.entries:
            if not isinstance(entry, syn.FieldValue):
                self.report(diag.mismatch(entry.span, "this entry", str(record)))
            elif (field := record.fields.get(entry.name)) is None:
                self.check(entry.value)
                self.report(diag.unknown_field(entry.span, entry.name, str(record), record.fields, record.line))
            elif entry.name in given:
                self.report(diag.given_twice(entry.span, f"`{entry.name}`"))
            else:
                given[entry.name] = self.fitted(entry.value, field.type, f"`{entry.name}`")
        missing = [name for name, field in record.fields.items() if name not in given and field.required]
        if missing:
            self.report(diag.missing_fields(literal.span, str(record), missing))
        for name, field in sorted(record.fields.items()):  # in whatever order they are declared
            if name not in given:
                given[name] = core.Const(literal.span, None if field.default is ty.REQUIRED else field.default)
        return Typed(core.New(literal.span, record, tuple(given), tuple(given.values())), record)

    def _map(self, literal: syn.Braces, place: ty.Type | None) -> Typed:
        wanted = place if isinstance(place, ty.Map) else None
        key: ty.Type = ty.NEVER if wanted is None else wanted.key
        value: ty.Type = ty.NEVER if wanted is None else wanted.value
        if wanted is None and (not literal.entries or any(isinstance(one, syn.FieldValue) for one in literal.entries)):
            return self.report(diag.needs_place(literal.span, "this record" if literal.entries else "`{}`"))
        if not literal.entries:
            return Typed(core.Const(literal.span, {}), ty.Map(key, value, 0))
        entries: list[tuple[Typed, ...]] = []  # a key and a value, or a map that is spread
        for entry in literal.entries:
            match entry:
                case syn.Spread():
                    found = self.check(entry.value, place)
                    if not isinstance(found.type, (ty.Map, ty.Never)):
                        return self.report(diag.mismatch(entry.span, str(found.type), "a map", "what `...` spreads"))
                    types = (found.type.key, found.type.value) if isinstance(found.type, ty.Map) else (key, value)
                    entries.append((found,))
                case syn.KeyValue():
                    one = self.checked_knowing(entry.key, frozenset(), None if wanted is None else key)
                    other = self.checked_knowing(entry.value, frozenset(), None if wanted is None else value)
                    types = (self.as_key(one), self.as_value(other))
                    entries.append((one, other))
                case _:
                    return self.report(diag.mismatch(entry.span, "a field", str(place), "an entry"))
            if wanted is None:
                joined_key, joined_value = ty.join(key, types[0]), ty.join(value, types[1])
                if joined_key is None or joined_value is None:
                    text = f"{types[1]} for {types[0]}"
                    return self.report(
                        diag.branches_disagree(entry.span, f"one entry is {value} for {key}", text, "another is")
                    )
                key, value = joined_key, joined_value
        parts = [
            self._entry(written.span, entry, key, value)
            for written, entry in zip(literal.entries, entries, strict=True)
        ]
        node = parts[0] if len(parts) == 1 else form("joined_maps", literal.span, *parts)
        return Typed(node, ty.Map(key, value))

    def _entry(self, span: Span, entry: tuple[Typed, ...], key: ty.Type, value: ty.Type) -> core.Core:
        if len(entry) == 1:
            return self.fit(entry[0], ty.Map(key, value))
        pair = form("pair", span, self.fit(entry[0], key, "the key"), self.fit(entry[1], value, "the value"))
        return form("map_of", span, form("list_of", span, pair))
