"""Checking what holds values: records, lists and maps as literals, comprehensions, and `with`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import syntax as syn
from projection.lang import types as ty
from projection.lang.branches import Branches
from projection.lang.library import OPERATORS
from projection.lang.places import Typed, form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.lang.operations import Operation
    from projection.lang.source import Span


MAX_LOOPS = 3  # inside one another


class _Change(NamedTuple):
    """One update of a `with`, checked: fields and computed keys, and the new value; None drops what is there."""

    update: syn.Update
    path: tuple[str | core.Core, ...]
    value: core.Core | None


def _overlap(one: tuple[str | core.Core, ...], other: tuple[str | core.Core, ...]) -> bool:
    """Whether one path leads through the other; computed keys differ as far as anyone knows, constants are compared."""
    for a, b in zip(one, other, strict=False):
        if isinstance(a, core.Const) and isinstance(b, core.Const):
            if a.value != b.value:
                return False
        elif isinstance(a, str) and isinstance(b, str):
            if a != b:
                return False
        elif not (isinstance(a, core.Local) and isinstance(b, core.Local) and a.slot == b.slot):
            return False
    return True


class Containers(Branches):
    """Part of the checker of one function or handler."""

    loops: int  # that are open here

    def apply(self, overloads: Sequence[Operation], name: str, operands: Sequence[Typed], span: Span) -> Typed:
        """See `Expressions.apply`."""
        raise NotImplementedError

    def contained(self, expression: syn.Expression, place: ty.Type | None) -> Typed:
        """Any of them; `place` gives literals their type."""
        if isinstance(place, ty.Optional):
            place = place.inner
        match expression:
            case syn.ListOf() | syn.Braces() if isinstance(place, ty.Never):
                return self._placeless(expression, place)
            case syn.ListOf():
                return self._list(expression, place)
            case syn.ListFor():
                return self.loop(expression, place.item if isinstance(place, ty.List) else None)
            case syn.MapFor():
                return self._map_for(expression, place)
            case syn.Braces():
                if isinstance(place, ty.Record):
                    return self._record(expression, place)
                return self._map(expression, place)
            case syn.With():
                return self._with(expression)
        raise AssertionError(expression)

    def _placeless(self, literal: syn.ListOf | syn.Braces, place: ty.Never) -> Typed:
        """A literal in a place whose type is wrong already: what stands inside is still looked at."""
        for one in literal.items if isinstance(literal, syn.ListOf) else literal.entries:
            if isinstance(one, syn.KeyValue):
                self.check(one.key, place)
            self.check(one.value if isinstance(one, (syn.FieldValue, syn.KeyValue, syn.Spread)) else one, place)
        return Typed(core.Const(literal.span, None), place)

    # lists

    def _list(self, literal: syn.ListOf, place: ty.Type | None) -> Typed:
        wanted = place.item if isinstance(place, ty.List) else None
        item: ty.Type = ty.NEVER if wanted is None else wanted
        if not literal.items:
            return Typed(core.Const(literal.span, []), ty.List(item, 0))
        parts: list[Typed] = []
        for one in literal.items:
            if isinstance(one, syn.Spread):
                found = self.check(one.value, place)
                if not isinstance(found.type, (ty.List, ty.Never)):
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

    # comprehensions

    def loop(self, comprehension: syn.ListFor, item: ty.Type | None) -> Typed:
        """`[body for …]`."""
        source, slots, condition, known = self.enter(comprehension.loop)
        body = self.checked_knowing(comprehension.body, known, item)
        self.leave(comprehension.loop)
        if isinstance(body.type, (ty.Optional, ty.Nothing)):
            return self.report(diag.maybe_none(comprehension.body.span, "an item", str(body.type)))
        return Typed(core.Loop(comprehension.span, source, slots, condition, body.core), ty.List(body.type))

    def enter(self, loop: syn.Loop) -> tuple[core.Core, tuple[int, ...], core.Core | None, frozenset[tuple[str, ...]]]:
        """The source of a `for`, the slots of its variables, its condition, and what that proves."""
        source = self.check(loop.source)
        self.loops += 1
        if self.loops == MAX_LOOPS + 1:
            self.report(diag.loops_too_deep(loop.span, MAX_LOOPS))
        node = source.core
        types: tuple[ty.Type, ...]
        match source.type:
            case ty.List(item=item) if len(loop.names) == 1:
                types = (item,)
            case ty.Map(key=key, value=value) if len(loop.names) == 2:
                types = (key, value)
                node = form("entries", loop.source.span, node)
            case ty.Never():
                types = (ty.NEVER,) * len(loop.names)
            case _:
                names = "two variables" if len(loop.names) == 2 else "one variable"
                self.report(diag.not_iterable(loop.source.span, f"{source.type} with {names}"))
                types = (ty.NEVER,) * len(loop.names)
        slots = tuple(self.declare(name, type_, loop.span) for name, type_ in zip(loop.names, types, strict=True))
        if loop.condition is None:
            return node, slots, None, frozenset()
        return node, slots, self.condition(loop.condition), self.proven(loop.condition)[0]

    def leave(self, loop: syn.Loop) -> None:
        """The end of the variables of a `for`."""
        self.loops -= 1
        for name in loop.names:
            self.forget(name)

    def _map_for(self, comprehension: syn.MapFor, place: ty.Type | None) -> Typed:
        source, slots, condition, known = self.enter(comprehension.loop)
        key_place, value_place = (place.key, place.value) if isinstance(place, ty.Map) else (None, None)
        key = self.checked_knowing(comprehension.key, known, key_place)
        value = self.checked_knowing(comprehension.value, known, value_place)
        self.leave(comprehension.loop)
        pair = form("pair", comprehension.span, key.core, value.core)
        pairs = core.Loop(comprehension.span, source, slots, condition, pair)
        key_type = self._as_key(key) if key_place is None else key_place  # a bound of the place's keys holds by now
        return Typed(form("map_of", comprehension.span, pairs), ty.Map(key_type, self._as_value(value)))

    def _as_key(self, key: Typed) -> ty.Type:
        if isinstance(key.type, (ty.String, ty.Int, ty.Date, ty.Enum, ty.Never)):
            return ty.TEXT if isinstance(key.type, ty.String) else key.type
        return self.report(diag.mismatch(key.core.span, str(key.type), "string, int, date or enum", "a key")).type

    def _as_value(self, value: Typed) -> ty.Type:
        if isinstance(value.type, (ty.Optional, ty.Nothing)):
            return self.report(diag.maybe_none(value.core.span, "a value of a map", str(value.type))).type
        return value.type

    # braces

    def _record(self, literal: syn.Braces, record: ty.Record) -> Typed:
        names: list[str] = []
        values: list[core.Core] = []
        for entry in literal.entries:
            if not isinstance(entry, syn.FieldValue):
                self.report(diag.mismatch(entry.span, "this entry", str(record)))
            elif (field := record.fields.get(entry.name)) is None:
                self.check(entry.value)
                self.report(diag.unknown_field(entry.span, entry.name, str(record), record.fields, record.line))
            elif entry.name in names:
                self.report(diag.given_twice(entry.span, f"`{entry.name}`"))
            else:
                names.append(entry.name)
                values.append(self.fitted(entry.value, field.type, f"`{entry.name}`"))
        missing = [name for name, field in record.fields.items() if name not in names and field.required]
        if missing:
            self.report(diag.missing_fields(literal.span, str(record), missing))
        for name, field in sorted(record.fields.items()):  # in whatever order they are declared
            if name not in names:
                names.append(name)
                values.append(core.Const(literal.span, None if field.default is ty.REQUIRED else field.default))
        return Typed(core.New(literal.span, record, tuple(names), tuple(values)), record)

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
                    types = (self._as_key(one), self._as_value(other))
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

    # with

    def _with(self, expression: syn.With) -> Typed:
        base = self.check(expression.base)
        if isinstance(base.type, ty.Never):
            for update in expression.updates:
                if update.value is not None:
                    self.check(update.value, ty.NEVER)
            return base
        if isinstance(base.type, ty.Optional):
            return self.report(diag.maybe_none(expression.base.span, "what `with` changes", str(base.type)))
        if not isinstance(base.type, (ty.Record, ty.Map)):
            return self.report(diag.not_a_record(expression.base.span, str(base.type)))
        slot = self.new_slot()
        local = Typed(core.Local(expression.base.span, slot), base.type)
        steps: list[tuple[int, core.Core]] = []  # what is computed before anything is changed, in source order
        is_flat = all(len(update.path) == 1 for update in expression.updates)  # computed where it is put, in order
        found = [self._change(local, update, steps, is_flat=is_flat) for update in expression.updates]
        changes = [change for change in found if change is not None]
        twice = [
            change.update.span
            for index, change in enumerate(changes)
            if any(_overlap(change.path, earlier.path) for earlier in changes[:index])
        ]
        for span in twice:
            self.report(diag.given_twice(span, "this path"))
        if twice or len(changes) < len(found):
            return Typed(base.core, ty.NEVER)
        if not changes:
            return base
        node = self._changed(local, changes, 0)
        for kept, value in reversed(steps):
            node = core.Let(expression.span, kept, value, node)
        return Typed(core.Let(expression.span, slot, base.core, node), base.type)

    def _keep(self, value: core.Core, steps: list[tuple[int, core.Core]]) -> core.Core:
        if isinstance(value, (core.Const, core.Local)):
            return value
        slot = self.new_slot()
        steps.append((slot, value))
        return core.Local(value.span, slot)

    def _change(
        self, base: Typed, update: syn.Update, steps: list[tuple[int, core.Core]], *, is_flat: bool
    ) -> _Change | None:
        """One update: its path with keys computed, and its new value, which sees what was before."""
        path: list[str | core.Core] = []
        here = base
        for position, step in enumerate(update.path):
            last = position == len(update.path) - 1
            if position and isinstance(here.type, ty.Optional):
                here = self._asserted(here, update.path_spans[position - 1])
            if isinstance(step, str):
                if not isinstance(here.type, ty.Record) or step not in here.type.fields:
                    self._no_such_path(here, update, position)
                    return None
                path.append(step)
                here = Typed(core.Get(update.span, here.core, step), here.type.fields[step].type)
            elif isinstance(here.type, ty.Map):
                value_type = here.type.value
                key = self._keep(self.fitted(step, here.type.key, "the key"), steps)
                path.append(key)
                if not (last and update.operator in (":", "drop")):
                    found = core.Op(update.span, OPERATORS["[]"][1], (here.core, key))
                    here = Typed(found, ty.Optional(value_type))
                else:
                    here = Typed(here.core, value_type)
            else:
                self._no_such_path(here, update, position)
                return None
        if update.operator == "drop":
            if isinstance(update.path[-1], str):
                self.report(diag.mismatch(update.span, "a field", "an entry of a map", "what `drop` takes away"))
                return None
            return _Change(update, tuple(path), None)
        if update.value is None:
            raise AssertionError(update)
        if update.operator == ":":
            value = self.fitted(
                update.value, here.type, f"`{update.path[-1]}`" if isinstance(update.path[-1], str) else ""
            )
        else:
            if isinstance(here.type, ty.Optional) and not isinstance(update.path[-1], str):
                here = self._asserted(here, update.path_spans[-1])
            operator = update.operator[0]
            found_ = self.apply(OPERATORS[operator], update.operator, [here, self.check(update.value)], update.span)
            value = self.fit(found_, here.type, f"`{update.path[-1]}`" if isinstance(update.path[-1], str) else "")
        return _Change(update, tuple(path), value if is_flat else self._keep(value, steps))

    def _asserted(self, value: Typed, path: Span) -> Typed:
        text = self.schema.source.text[path.start : path.end]
        inner = value.type.inner if isinstance(value.type, ty.Optional) else value.type
        return Typed(form("asserted", path, value.core, core.Const(path, text)), inner)

    def _no_such_path(self, here: Typed, update: syn.Update, position: int) -> None:
        step, end = update.path[position], update.path_spans[position].end
        if not isinstance(step, str):
            if not isinstance(here.type, ty.Never):
                self.report(diag.mismatch(step.span, str(here.type), "a map", "what a path goes through"))
        elif isinstance(record := here.type, ty.Record):
            span = type(update.span)(end - len(step), end)
            self.report(diag.unknown_field(span, step, str(record), record.fields, record.line))
        elif not isinstance(here.type, ty.Never):
            self.report(diag.not_a_record(type(update.span)(end - len(step), end), str(here.type)))
        if update.value is not None:
            self.check(update.value, ty.NEVER)

    def _changed(self, base: Typed, changes: Sequence[_Change], depth: int) -> core.Core:
        """The value with all changes that go through it."""
        groups: dict[object, list[_Change]] = {}
        for change in changes:
            step = change.path[depth]
            groups.setdefault(step if isinstance(step, str) else id(change), []).append(change)
        if isinstance(base.type, ty.Record):
            names = tuple(str(name) for name in groups)
            values = tuple(
                self._part(
                    Typed(core.Get(group[0].update.span, base.core, name), base.type.fields[name].type), group, depth
                )
                for name, group in zip(names, groups.values(), strict=True)
            )
            return core.Update(changes[0].update.span, base.type, base.core, names, values)
        node = base.core
        value_type = base.type.value if isinstance(base.type, ty.Map) else ty.NEVER
        for (change,) in groups.values():
            key, span = change.path[depth], change.update.span
            if isinstance(key, str):
                raise AssertionError(change)  # noqa: TRY004 - a map's step is a key by construction
            if depth == len(change.path) - 1 and change.value is None:
                node = form("dropped", span, node, key)
                continue
            # Each change builds on the one before, for two computed keys may turn out to be the same.
            slot = self.new_slot()
            local = core.Local(span, slot)
            through = Typed(core.Op(span, OPERATORS["[]"][1], (local, key)), ty.Optional(value_type))
            node = core.Let(span, slot, node, form("put", span, local, key, self._part(through, [change], depth)))
        if isinstance(base.type, ty.Map) and any(change.value is not None for change in changes):
            return self._bounded(node, "bounded_map", None, base.type.max)  # a path may have put an entry too many
        return node

    def _part(self, part: Typed, group: Sequence[_Change], depth: int) -> core.Core:
        change = group[0]
        if depth == len(change.path) - 1 and change.value is not None:
            return change.value
        if isinstance(part.type, ty.Optional):
            part = self._asserted(part, change.update.path_spans[depth])
        slot = self.new_slot()
        inner = self._changed(Typed(core.Local(change.update.span, slot), part.type), group, depth + 1)
        return core.Let(change.update.span, slot, part.core, inner)
