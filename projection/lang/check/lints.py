"""What a program declares and nothing uses, and what in its text misleads a reader."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projection.lang import diagnostics as diag
from projection.lang.source import Span
from projection.lang.syntax import nodes as syn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from projection.lang.check.schema import Schema
    from projection.lang.reporting import Diagnostic
    from projection.lang.source import Source

# Bidirectional controls and what has no width (Unicode TR 36, TR 55): in a review, the text looks like another one.
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]")

HANDLERS, TESTS = "on", "test"  # who calls functions, beside functions


def unused(program: syn.Program, schema: Schema, calls: Mapping[str, frozenset[str]]) -> Iterator[Diagnostic]:
    """Events, fields of events, types and functions without a use; `calls` tells who calls which functions."""
    handled = {name for one in program.declarations if isinstance(one, syn.Handler) for name, _span in one.events}
    handled |= {was.old for one in program.declarations if isinstance(one, syn.Event) for was in one.upcasts}
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


def invisible(source: Source) -> Iterator[Diagnostic]:
    """The first invisible character of each line; it stands in a comment or a string, for nowhere else it may."""
    lines = set[int]()
    for match in _INVISIBLE.finditer(source.text):
        if (line := source.position(match.start())[0]) not in lines:
            lines.add(line)
            yield diag.invisible_character(Span(*match.span()), match[0])


def _needed(calls: Mapping[str, frozenset[str]]) -> set[str]:
    """The functions that handlers and tests call, themselves or by way of others."""
    found, waiting = set[str](), [*calls.get(HANDLERS, ()), *calls.get(TESTS, ())]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += calls[name]
    return found
