"""Checking `with`: paths, what happens there, and the core that makes the changed value."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.containers import Containers
from projection.lang.check.paths import Key, Overlaps, Path, known
from projection.lang.check.places import Typed, form
from projection.lang.library import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.lang.operations import Operation
    from projection.lang.source import Span
    from projection.lang.syntax import nodes as syn


class _Change(NamedTuple):
    """One update of a `with`, checked: fields and computed keys, and the new value; None drops what is there."""

    update: syn.Update
    path: tuple[str | Key, ...]
    value: core.Core | None


class Updates(Containers):
    """Part of the checker of one function or handler."""

    def apply(self, overloads: Sequence[Operation], name: str, operands: Sequence[Typed], span: Span) -> Typed:
        """See `Expressions.apply`."""
        raise NotImplementedError

    def updated(self, expression: syn.With) -> Typed:
        """`base with { … }`."""
        base = self.check(expression.base)
        if isinstance(base.type, ty.Never):
            for update in expression.updates:
                if update.value is not None:
                    self.check(update.value, ty.NEVER)
            return base
        if isinstance(base.type, ty.Optional):
            return self.report(diag.maybe_none(expression.base.span, "what `with` changes", str(base.type)))
        if not isinstance(base.type, ty.Record):
            help_ = "a changed map is written `{...m, [key]: value}`" if isinstance(base.type, ty.Map) else ""
            return self.report(diag.not_a_record(expression.base.span, str(base.type), help_))
        slot = self.new_slot()
        local = Typed(core.Local(expression.base.span, slot), base.type)
        steps: list[tuple[int, core.Core]] = []  # what is computed before anything is changed, in source order
        is_flat = all(len(update.path) == 1 for update in expression.updates)  # computed where it is put, in order
        found = [self._change(local, update, steps, is_flat=is_flat) for update in expression.updates]
        changes = [change for change in found if change is not None]
        overlaps = Overlaps([Path(change.update.span, change.path) for change in changes])
        for path in overlaps.certain:
            self.report(diag.given_twice(path.span, "this path"))
        if overlaps.certain or len(changes) < len(found):
            return Typed(base.core, ty.NEVER)
        if not changes:
            return base
        node = self._changed(local, changes, 0)
        for test in overlaps.tests():
            node = core.Let(test.span, self.new_slot(), test, node)
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
        path: list[str | Key] = []
        here = base
        for position, step in enumerate(update.path):
            last = position == len(update.path) - 1
            if position and isinstance(here.type, ty.Optional):
                here = self._entered(here, update, position - 1)
            if isinstance(step, str):
                if not isinstance(here.type, ty.Record) or step not in here.type.fields:
                    self._no_such_path(here, update, position)
                    return None
                path.append(step)
                here = Typed(core.Get(update.span, here.core, step), here.type.fields[step].type)
            elif isinstance(here.type, ty.Map):
                value_type = here.type.value
                computed = self.fitted(step, here.type.key, "the key")
                key = self._keep(computed, steps)
                path.append(Key(key, known(computed)))
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
                here = self._counted(here) or self._entered(here, update, -1)
            operator = update.operator[0]
            found_ = self.apply(OPERATORS[operator], update.operator, [here, self.check(update.value)], update.span)
            value = self.fit(found_, here.type, f"`{update.path[-1]}`" if isinstance(update.path[-1], str) else "")
        return _Change(update, tuple(path), value if is_flat else self._keep(value, steps))

    def _entered(self, value: Typed, update: syn.Update, position: int) -> Typed:
        """What is there for certain behind the step of a path at this position."""
        path = update.path_spans[position]
        inner = value.type.inner if isinstance(value.type, ty.Optional) else value.type
        name = "asserted" if isinstance(update.path[position], str) else "entered"
        text = core.Const(path, self.schema.source.text[path.start : path.end])
        return Typed(form(name, path, value.core, text), inner)

    def _counted(self, entry: Typed) -> Typed | None:
        """An entry to add to, or to take from: where there is none, the zero of its type; None where that has none."""
        inner = entry.type.inner if isinstance(entry.type, ty.Optional) else entry.type
        zero: object
        match inner:
            case ty.Int():
                zero = 0
            case ty.Decimal():
                zero = Decimal((0, (0,), -(inner.scale or 0)))
            case ty.Duration():
                zero = timedelta()
            case _:
                return None
        return Typed(form("counted", entry.core.span, entry.core, core.Const(entry.core.span, zero)), inner)

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
            name = change.path[depth]
            groups.setdefault(name if isinstance(name, str) else id(change), []).append(change)
        if isinstance(base.type, ty.Record):
            names = tuple(str(name) for name in groups)
            values = tuple(
                self._part(
                    Typed(core.Get(group[0].update.span, base.core, field), base.type.fields[field].type), group, depth
                )
                for field, group in zip(names, groups.values(), strict=True)
            )
            return core.Update(changes[0].update.span, base.type, base.core, names, values)
        node = base.core
        value_type = base.type.value if isinstance(base.type, ty.Map) else ty.NEVER
        for (change,) in groups.values():
            step, span = change.path[depth], change.update.span
            if isinstance(step, str):
                raise AssertionError(change)  # noqa: TRY004 - a map's step is a key by construction
            key = step.core
            if depth == len(change.path) - 1 and change.value is None:
                node = form("dropped", span, node, key)
                continue
            # Each change builds on the one before: two paths may go on through entries of equal keys.
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
            part = self._entered(part, change.update, depth)
        slot = self.new_slot()
        inner = self._changed(Typed(core.Local(change.update.span, slot), part.type), group, depth + 1)
        return core.Let(change.update.span, slot, part.core, inner)
