"""Checking how values are reached: fields, keys, `?.`, `!`, json; and what an event gave."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.places import Typed, form
from projection.lang.check.updates import Updates
from projection.lang.library import OPERATORS
from projection.lang.syntax import nodes as syn

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token of RFC 9110
# What another stream with the same events has otherwise, and what to read instead.
_OF_A_STREAM = {
    "sequence": "count in the view, or use the event's own",
    "stored_at": "use `meta.time`, which is when it happened",
}


def is_header(name: str) -> bool:
    """Whether a message can have a header of this name."""
    return _HEADER.fullmatch(name) is not None


def is_for_the_server(header: str) -> bool:
    """Whether a header, in small letters, says what a server should do or did; an id of the publisher's does not."""
    return header.startswith("nats-") and header != "nats-msg-id"


class Access(Updates):
    """Part of the checker of one function or handler."""

    def accessed(self, expression: syn.Get | syn.At | syn.Present, place: ty.Type | None) -> Typed:
        """A chain of `.field`, `[key]`, `?.field`, `?[key]` and `!`."""
        steps: list[syn.Get | syn.At | syn.Present] = []
        base: syn.Expression = expression
        while isinstance(base, (syn.Get, syn.At, syn.Present)):
            steps.append(base)
            is_in_parentheses = base.base.span.start > base.span.start  # there, a chain ends
            base = base.base
            if is_in_parentheses:
                break
        is_asserted = place is not None and all(isinstance(step, syn.Present) for step in steps)
        return self._steps(self.check(base, ty.optional(place) if place and is_asserted else None), steps[::-1])

    def _steps(self, value: Typed, steps: Sequence[syn.Get | syn.At | syn.Present]) -> Typed:
        """The rest of a chain; `?.` ends the whole of it with none."""
        for position, step in enumerate(steps):
            if isinstance(value.type, ty.Optional) and self.path(step.base) in self.present:
                value = Typed(value.core, value.type.inner)
            if isinstance(step, syn.Get) and not step.optional:
                value = self.reached(value, step.base)
            if value.type is ty.META and isinstance(step, syn.Get) and step.field == "headers":
                return self._steps(self._header(value, step, steps[position + 1 :]), steps[position + 2 :])
            if not isinstance(step, syn.Present) and step.optional and isinstance(value.type, ty.Optional):
                slot = self.new_slot()
                local = core.Local(step.base.span, slot)
                inner = self._step(Typed(local, value.type.inner), step)
                rest = self._steps(inner, steps[position + 1 :])
                test = form("is_none", step.span, local)
                ended = core.If(step.span, test, core.Const(step.span, None), rest.core)
                return Typed(core.Let(step.span, slot, value.core, ended), ty.optional(rest.type))
            if not isinstance(step, syn.Present):
                value = self._step(value, step)
            elif isinstance(value.type, (ty.Never, ty.Nothing)):
                continue
            elif not isinstance(value.type, ty.Optional):
                what = self.schema.source.text[step.base.span.start : step.base.span.end]
                needless = type(step.span)(step.base.span.end, step.span.end)
                return self.report(diag.never_none(step.span, what, str(value.type), needless))
            else:
                path = core.Const(step.span, self.schema.source.text[step.base.span.start : step.base.span.end])
                value = Typed(form("asserted", step.span, value.core, path), value.type.inner)
        return value

    def _step(self, value: Typed, step: syn.Get | syn.At) -> Typed:
        if isinstance(step, syn.Get):
            return self._field(value, step)
        return self.apply(OPERATORS["[]"], "[…]", [value, self._key(value.type, step.key)], step.span)

    def reached(self, value: Typed, _base: syn.Expression) -> Typed:
        """What a field is read of."""
        return value

    def _key(self, container: ty.Type, key: syn.Expression) -> Typed:
        if isinstance(container, ty.Map):
            return Typed(self.fitted(key, container.key, "the key"), container.key)
        return self.check(key)

    def _field(self, base: Typed, get: syn.Get) -> Typed:
        if isinstance(base.type, ty.Never):
            return base
        if isinstance(base.type, ty.Optional) and isinstance(base.type.inner, (ty.Record, ty.Json)):
            what = self.schema.source.text[get.base.span.start : get.base.span.end]
            way_on = f"go on with `?.{get.field}`, "
            return self.report(diag.maybe_none(get.base.span, f"`{what}`", str(base.type), way_on))
        if isinstance(base.type, ty.Json):
            name = Typed(core.Const(get.field_span, get.field), ty.String(len(get.field), get.field))
            return self.apply(OPERATORS["[]"], f".{get.field}", [base, name], get.span)
        if not isinstance(base.type, ty.Record):
            return self.report(diag.not_a_record(get.field_span, str(base.type)))
        if (field := base.type.fields.get(get.field)) is None:
            record = base.type
            return self.report(diag.unknown_field(get.field_span, get.field, str(record), record.fields, record.line))
        self.schema.reads.add((base.type.name, get.field))
        if base.type is not ty.META:
            return Typed(core.Get(get.span, base.core, get.field), field.type)
        if (help_ := _OF_A_STREAM.get(get.field)) is not None:
            self.warnings.append(diag.stream_read(get.span, get.field, help_))
        return Typed(core.Get(get.span, base.core, ty.OF_MESSAGE.get(get.field, get.field)), field.type)

    def _header(self, meta: Typed, get: syn.Get, rest: Sequence[syn.Get | syn.At | syn.Present]) -> Typed:
        """`meta.headers["name"]`: which headers are read is known from the text, so that no others are kept."""
        step = rest[0] if rest else None
        if not isinstance(step, syn.At) or step.optional or not isinstance(step.key, syn.Text):
            why = "headers are read one by one, each by a name that is written out"
            return self.report(diag.bad_header(get.span, why, 'write `meta.headers["name"]`'))
        name = "".join(part for part in step.key.parts if isinstance(part, str))
        if len(step.key.parts) != 1 or not is_header(name):
            help_ = "a name is of letters, digits and `-`, as `event-type`"
            return self.report(diag.bad_header(step.key.span, "this is no name of a header", help_))
        if name != name.lower():
            help_ = f'write `meta.headers["{name.lower()}"]`, which is found however a publisher writes it'
            return self.report(diag.bad_header(step.key.span, "names of headers are written in small letters", help_))
        if is_for_the_server(name):
            why = f"`{name}` is of a server and not of the publisher, and is not there in another stream"
            return self.report(diag.bad_header(step.key.span, why, "of these, only `nats-msg-id` can be read"))
        self.schema.reads.add((ty.META.name, get.field))
        headers = Typed(core.Get(get.span, meta.core, ty.OF_MESSAGE["headers"]), ty.META.fields["headers"].type)
        key = Typed(core.Const(step.key.span, name), ty.String(len(name), name))
        return self.apply(OPERATORS["[]"], "[…]", [headers, key], step.span)

    def path(self, expression: syn.Expression) -> tuple[str, ...]:
        """`a.b.c` as names; empty where the expression is no such path."""
        if isinstance(expression, syn.Name):
            return (expression.name,)
        if isinstance(expression, syn.Get) and (base := self.path(expression.base)):
            return (*base, expression.field)
        return ()

    def narrowed(self, call: syn.Call, place: ty.Type | None) -> Typed:
        """`narrow(x)`: the json as the type of its place, or none where it does not fit."""
        if len(call.arguments) != 1:
            return self.report(diag.wrong_argument_count(call.span, "narrow", "one json", len(call.arguments)))
        value = self.check(call.arguments[0])
        if isinstance(value.type, ty.Never):
            return value
        if value.type not in (ty.JSON, ty.Optional(ty.JSON)):
            return self.report(diag.wrong_operands(call.span, "narrow", [str(value.type)], ["json"]))
        if place is None:
            return self.report(diag.needs_place(call.span, "what `narrow` yields"))
        inner = place.inner if isinstance(place, ty.Optional) else place
        if isinstance(inner, ty.Never):
            return Typed(value.core, inner)
        return Typed(form("narrow", call.span, value.core, core.Const(call.span, inner)), ty.optional(inner))

    def presence(self, call: syn.Call) -> Typed:
        """`has(e.field)`: whether the event gave the field, be it null."""
        (asked,) = call.arguments if len(call.arguments) == 1 else (None,)
        if not isinstance(asked, syn.Get) or asked.optional:
            return self.report(diag.no_such_presence(call.span, "this is no field of an event"))
        base = self.check(asked.base)
        field = self._field(base, asked)
        if isinstance(base.type, ty.Never) or isinstance(field.type, ty.Never):
            return field
        if not isinstance(base.type, ty.Record) or base.type.kind != "event":
            return self.report(diag.no_such_presence(call.span, f"{base.type} is no event"))
        if not isinstance(field.type, ty.Optional):
            return self.report(diag.no_such_presence(call.span, f"`{asked.field}` is always there"))
        if base.type.struct is not None and asked.field not in base.type.asked:
            return self.report(diag.no_such_presence(call.span, f"nobody asks for `{asked.field}` in a handler"))
        base.type.asked.add(asked.field)
        return Typed(form("has", call.span, base.core, core.Const(asked.field_span, asked.field)), ty.BOOL)
