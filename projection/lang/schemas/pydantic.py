"""Models of pydantic 2 for the JSON of a view, or of an event's payload."""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING

from projection.lang import types as ty
from projection.lang.schemas.ordering import records_in
from projection.lang.values.numbers import DIGITS, MAX_INT, MIN_INT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.lang.schemas.documentation import Documentation

_MODULES = {"datetime": "_datetime", "decimal": "_decimal"}  # called so that no field and no type can hide them
_BUILTINS = frozenset(("bool", "int", "str", "list", "dict", "frozenset", "bytes", "None"))
# What pydantic's models have themselves: a field of such a name would hide it. Written down, since this is no reason to
# import pydantic; a test holds it against the real one.
MODEL_NAMES = frozenset((
    "construct", "copy", "dict", "from_orm", "json", "parse_file", "parse_obj", "parse_raw", "schema", "schema_json",
    "update_forward_refs", "validate",
))  # fmt: skip
_FROM_PYDANTIC = ("AwareDatetime", "Base64Bytes", "BaseModel", "Field")
_FROM_TYPING = ("Annotated", "Any", "Literal")


def pydantic(records: Sequence[ty.Record], documentation: Documentation) -> str:
    """A module with a model for each of these records, a view or events, and for those in them."""
    found = list(records_in(records))
    module = _Module({one.name for one in found}, documentation, is_event=records[0].kind == "event")
    models = "\n\n".join("\n".join(module.model(one)) + "\n" for one in found)
    uses = set(re.findall(r"\w+", models))
    imports = [f"import {name} as {alias}" for name, alias in _MODULES.items() if alias in uses]
    if typing := [name for name in _FROM_TYPING if name in uses]:
        imports.append(f"from typing import {', '.join(typing)}")
    own = [name for name in _FROM_PYDANTIC if name in uses]
    imports += ["", f"from pydantic import {', '.join(own)}"]
    head = '"""Made by `projection export-schema`; do not edit."""\n\n'
    return head + "\n".join(imports).lstrip("\n") + "\n\n\n" + models


class _Module:
    def __init__(self, classes: set[str], documentation: Documentation, *, is_event: bool) -> None:
        self._is_event = is_event
        taken = _BUILTINS | {*_FROM_PYDANTIC, *_FROM_TYPING} | {*keyword.kwlist}
        self._classes = {name: f"{name}_" if name in taken else name for name in sorted(classes)}
        self._reserved = taken | MODEL_NAMES | {*self._classes.values()}
        self._documentation = documentation

    def model(self, record: ty.Record) -> Iterator[str]:
        """A record's class; its fields in name order, as the JSON is."""
        yield f"class {self._classes[record.name]}(BaseModel, frozen=True, populate_by_name=True):"
        lines = []
        if text := self._documentation.of(record):
            lines += [f"    {_quoted_doc(text)}", ""]
        names = set[str]()
        for _name, field in sorted(record.fields.items()):
            lines.append(f"    {self._field(record, field, names)}")
        while lines and not lines[-1]:
            lines.pop()
        yield from lines or ["    pass"]

    def _field(self, record: ty.Record, field: ty.Field, names: set[str]) -> str:
        wire, name = field.wires[0], field.name
        while name in self._reserved or name in names or name.startswith("model_"):
            name = f"field_{name}" if name.startswith("model_") else f"{name}_"
        names.add(name)
        annotation = self._of(field.type)
        may_lack = self._is_event and not field.required
        if may_lack and not isinstance(field.type, ty.Optional):
            annotation += " | None"
        extras = [f"alias={wire!r}"] if name != wire else []
        if text := self._documentation.of(record, field):
            extras.append(f"description={text!r}")
        if extras:
            annotation = f"Annotated[{annotation}, Field({', '.join(extras)})]"
        return f"{name}: {annotation}" + (" = None" if may_lack else "")

    def _of(self, type_: ty.Type) -> str:
        match type_:
            case ty.Bool():
                return "bool"
            case ty.Int():
                return f"Annotated[int, Field(ge={MIN_INT}, le={MAX_INT})]"
            case ty.Decimal():
                places = "" if type_.scale is None else f", decimal_places={type_.scale}"
                return f"Annotated[_decimal.Decimal, Field(max_digits={DIGITS}{places})]"
            case ty.String():
                return f"Annotated[str, Field(max_length={type_.max or ty.DEFAULT_STRING})]"
            case ty.Bytes():
                return "Base64Bytes"
            case ty.Date():
                return "_datetime.date"
            case ty.Timestamp():
                return "AwareDatetime"
            case ty.Duration():
                return "_datetime.timedelta"
            case ty.Enum():
                members = f"Literal[{', '.join(map(repr, type_.members))}]"
                return f"{members} | str" if type_.open else members
            case ty.List():
                return self._sized(f"list[{self._of(type_.item)}]", type_.max)
            case ty.Set():
                return self._sized(f"frozenset[{self._of(type_.item)}]", type_.max)
            case ty.Map():
                return self._sized(f"dict[{self._of(type_.key)}, {self._of(type_.value)}]", type_.max)
            case ty.Optional():
                return f"{self._of(type_.inner)} | None"
            case ty.Record():
                return self._classes[type_.name]
            case _:
                return "Any"  # pydantic's own type for JSON takes no Decimal

    def _sized(self, annotation: str, most: int | None) -> str:
        return f"Annotated[{annotation}, Field(max_length={most or ty.DEFAULT_CONTAINER})]"


def _quoted_doc(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    if text.endswith('"'):
        text = text[:-1] + '\\"'
    return '"""' + text.replace("\n", "\n    ") + '"""'
