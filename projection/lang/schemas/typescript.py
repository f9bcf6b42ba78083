"""TypeScript types of what the JSON of a view, or of an event's payload, looks like.

The types say what `JSON.parse` makes of it, and nothing else: a decimal is a number there, and so it is here. A branded
text would be a claim that no parser keeps. Each type that JavaScript does not hold exactly has a name that says so.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from projection.lang import types as ty
from projection.lang.schemas.ordering import records_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.lang.schemas.documentation import Documentation

_ALIASES = {  # by the names that are used, with what they stand for and why they have a name
    "Int": ("number", "An integer of 64 bits. `JSON.parse` is exact up to 2 ** 53."),
    "Decimal": (
        "number",
        "An exact decimal. `JSON.parse` keeps 15 digits; where there are more, read the text.",
    ),
    "CalendarDate": ("string", "A date, `YYYY-MM-DD`."),
    "Timestamp": ("string", "An instant, RFC 3339, in UTC."),
    "Duration": ("string", "A length of time, ISO 8601, such as `PT5400S`."),
    "Base64": ("string", "Bytes in base64, padded."),
    "Json": (
        "boolean | number | string | readonly (Json | null)[] | { readonly [name: string]: Json | null }",
        "A value of any shape.",
    ),
}
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def typescript(records: Sequence[ty.Record], documentation: Documentation) -> str:
    """A module that exports an interface for each of these records, a view or events, and for those in them."""
    found = list(records_in(records))
    taken = {one.name for one in found}
    aliases = {name: f"{name}_" if name in taken else name for name in _ALIASES}
    module = _Module(aliases, documentation, is_event=records[0].kind == "event")
    interfaces = [line for one in found for line in module.interface(one)]
    head = ["// Made by `projection export-schema`; do not edit.", ""]
    for name, (text, why) in _ALIASES.items():
        if name in module.used:
            own = re.sub(rf"\b{name}\b", aliases[name], text)
            head += [f"/** {why} */", f"export type {aliases[name]} = {own};", ""]
    return "\n".join([*head, *interfaces]).rstrip() + "\n"


class _Module:
    def __init__(self, aliases: dict[str, str], documentation: Documentation, *, is_event: bool) -> None:
        self._aliases = aliases
        self._is_event = is_event
        self._documentation = documentation
        self.used: set[str] = set()

    def interface(self, record: ty.Record) -> Iterator[str]:
        """A record's interface; in name order, as the JSON is."""
        yield from _comment(self._documentation.of(record), "")
        yield f"export interface {record.name} {{"
        for _name, field in sorted(record.fields.items()):
            wire = field.wires[0]
            name = wire if _IDENTIFIER.fullmatch(wire) else json.dumps(wire)
            yield from _comment(self._documentation.of(record, field), "  ")
            may_lack = self._is_event and not field.required
            type_ = self._of(field.type)
            if may_lack and not isinstance(field.type, ty.Optional):
                type_ += " | null"
            yield f"  readonly {name}{'?' if may_lack else ''}: {type_};"
        yield from ("}", "")

    def _of(self, type_: ty.Type) -> str:
        match type_:
            case ty.Bool():
                return "boolean"
            case ty.String():
                return "string"
            case ty.Enum():
                members = " | ".join(json.dumps(one, ensure_ascii=False) for one in type_.members)
                return f"{members} | (string & {{}})" if type_.open else members  # so that editors still offer these
            case ty.List() | ty.Set():
                item = self._of(type_.item)
                return f"readonly ({item})[]" if " " in item else f"readonly {item}[]"
            case ty.Map(key=ty.Enum(open=False) as key):
                return f"{{ readonly [name in {self._of(key)}]?: {self._of(type_.value)} }}"
            case ty.Map():
                return f"{{ readonly [name: string]: {self._of(type_.value)} }}"
            case ty.Optional():
                return f"{self._of(type_.inner)} | null"
            case ty.Record():
                return type_.name
            case _:
                return self._alias(_NAMED[type(type_)])

    def _alias(self, name: str) -> str:
        self.used.add(name)
        return self._aliases[name]


_NAMED = {
    ty.Int: "Int",
    ty.Decimal: "Decimal",
    ty.Date: "CalendarDate",
    ty.Timestamp: "Timestamp",
    ty.Duration: "Duration",
    ty.Bytes: "Base64",
    ty.Json: "Json",
}


def _comment(text: str, indent: str) -> Iterator[str]:
    lines = text.replace("*/", "*\\/").splitlines()
    if len(lines) == 1:
        yield f"{indent}/** {lines[0]} */"
    elif lines:
        yield f"{indent}/**"
        yield from (f"{indent} * {line}".rstrip() for line in lines)
        yield f"{indent} */"
