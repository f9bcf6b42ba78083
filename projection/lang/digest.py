"""A program's digest: what it means, hashed.

Comments, layout, names of local variables and the order of `event`, `type` and `fn` declarations do not change it, nor
do indexes. Everything that can change a view, a failure or a ledger does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from projection.lang import core
from projection.lang import types as ty
from projection.lang.library import text_of
from projection.lang.operations import Operation
from projection.lang.source import Span


def digest(*parts: object) -> str:
    """The digest of some parts, each canonical by itself."""
    return hashlib.sha256("\n".join(map(canonical, parts)).encode()).hexdigest()


def canonical(value: Any) -> str:
    """One text for everything that means the same."""
    if isinstance(value, ty.Record):
        return f"{value.kind} {value.name}"  # its fields stand in the schema, which is a part of its own
    if isinstance(value, core.Op) and value.operation.name == "asserted":
        return f"asserted({canonical(value.operands[0])})"  # how the path is written stands in the message only
    if isinstance(value, Operation):
        return f"op({value.name};{value.signature})"
    if isinstance(value, core.Verdict):
        return value.name
    if isinstance(value, (list, tuple)) and not isinstance(value, Span):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if is_dataclass(value):
        parts = (getattr(value, field.name) for field in fields(value) if field.name not in ("span", "calls"))
        return f"{type(value).__name__}({','.join(map(canonical, parts))})"
    if value is None or isinstance(value, (bool, str)):
        return repr(value)
    if value is ty.REQUIRED:
        return "required"
    if hasattr(value, "__struct_fields__"):
        return canonical({name: getattr(value, name) for name in value.__struct_fields__})
    return f"{type(value).__name__}:{text_of(value)}"


def described(record: ty.Record) -> str:
    """A record with its content; its fields in name order."""
    inside = ",".join(
        f"{field.name}<{'|'.join(field.wires)}>{canonical(field.type)}={canonical(field.default)}"
        for field in sorted(record.fields.values(), key=lambda field: field.name)
    )
    return f"{record.kind} {record.name}{{{inside}}}"
