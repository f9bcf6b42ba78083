"""What a program declares and nothing uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang import diagnostics as diag
from projection.lang.syntax import nodes as syn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from projection.lang.check.schema import Schema
    from projection.lang.reporting import Diagnostic

HANDLERS, TESTS = "on", "test"  # who calls functions, beside functions


def unused(program: syn.Program, schema: Schema, calls: Mapping[str, frozenset[str]]) -> Iterator[Diagnostic]:
    """Events, fields of events, types and functions without a use; `calls` tells who calls which functions."""
    handled = {name for one in program.declarations if isinstance(one, syn.Handler) for name, _span in one.events}
    reads = {(event, field) for names, field in schema.reads for event in names.split(", ")}
    needed = _needed(calls)
    for one in program.declarations:
        match one:
            case syn.Event() if one.name not in handled:
                yield diag.unused_event(one.name_span, one.name)
            case syn.Event():
                for field in one.fields:
                    if (one.name, field.name) not in reads:
                        yield diag.unread_field(field.span, field.name, one.name)
            case syn.Record() | syn.Alias() if one.name not in schema.used:
                yield diag.unused_type(one.name_span, one.name)
            case syn.Function() if one.name not in needed:
                yield diag.unused_function(one.name_span, one.name)


def _needed(calls: Mapping[str, frozenset[str]]) -> set[str]:
    """The functions that handlers and tests call, themselves or by way of others."""
    found, waiting = set[str](), [*calls.get(HANDLERS, ()), *calls.get(TESTS, ())]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += calls[name]
    return found
