"""Programs that store whatever they are given beside the event: `id` and each field of `meta`, by every builtin."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from projection.lang import types as ty
from projection.lang.check.sessions import NO_PROGRAM, Session
from projection.lang.failures import Failure
from projection.lang.library import BUILTINS, OPERATORS
from projection.lang.operations import parse_signature
from projection.lang.program import MessageMeta
from projection.lang.reporting import ProgramInvalidError
from projection.lang.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.lang.operations import Operation, Pattern

ID = "A:1"
META = MessageMeta(
    aggregate_id="A", aggregate_type="thing", correlation_id="c", date=date(2024, 2, 29), event_id="e", sequence=1,
    tenant_id="north", time=datetime(2024, 2, 29, tzinfo=UTC), type="Happened", _headers={"x": "y"}, _subject="s",
    _stored_at=datetime(2024, 2, 29, tzinfo=UTC),
)  # fmt: skip
VALUES = ("id", 'meta.headers["x"]', *(f"meta.{name}" for name in ty.META.fields if name != "headers"))
_OF_EACH_TYPE = ("id", "meta.tenant_id", "meta.sequence", "meta.date", "meta.time")
_WHOLE = (
    "{}", "[{}]", "set([{}])", '"{{{}}}"', "if {} == {} then {} else {}", "[one for one in [{}]]",
    "match {} {{ other => other }}", "fold(last = {} for one in [1] => last)", "{{[{}]: {}}}",
)  # fmt: skip
_FILLERS = {
    "int": "1", "decimal": "1.5", "string": '"a"', "bool": "true", "bytes": 'utf8("a")',
    "date": "meta.date", "timestamp": "meta.time", "duration": "1h",
}  # fmt: skip
_TEXTS = {  # where it may not be just any
    "round": '"half_even"', "div": '"half_even"', "format": '","', "uuid5": '"6ba7b810-9dad-11d1-80b4-00c04fd430c8"',
}  # fmt: skip
_FIELDS = 100  # of one view


@cache
def expressions() -> dict[str, ty.Type]:
    """Each with its type: the values whole, in containers, and through each operation at each parameter."""
    session = Session(Source("", NO_PROGRAM))
    session.look_at(ID, None)
    session.stand_at(None, META)
    found = {}
    for text in dict.fromkeys([*_whole(), *_through_operations()]):
        try:
            found[text] = session.evaluate(text).type
        except (ProgramInvalidError, Failure):  # this parameter does not take this type, or this value
            continue
    return found


def programs(refuses: str) -> dict[str, str]:
    """Programs by view type that store all of them; `refuses` is the condition on which they take no event."""
    rest, made = iter(expressions().items()), dict[str, str]()
    while some := dict(islice(rest, _FIELDS)):
        made[f"things_{len(made)}"] = _program(f"things_{len(made)}", some, refuses)
    return made


def reached() -> set[str]:
    """The builtins that some of them call."""
    return {text.partition("(")[0] for text in expressions()} & set(BUILTINS)


def _whole() -> Iterator[str]:
    for value in VALUES:
        for form in _WHOLE:
            yield form.replace("{}", value).replace("{{", "{").replace("}}", "}")


def _through_operations() -> Iterator[str]:
    for value in _OF_EACH_TYPE:
        for name, operations in {**OPERATORS, **BUILTINS}.items():
            for operation in operations:
                for place in range(len(parse_signature(operation.signature)[0])):
                    yield from _calls(name, operation, place, value)


def _calls(name: str, operation: Operation, place: int, value: str) -> Iterator[str]:
    """An operation with the value at one parameter, and whatever suits at the others."""
    patterns = [one for one in parse_signature(operation.signature)[0] if one.name != "..."]
    if place >= len(patterns) or name in ("negative", "not", "[]"):
        return
    parts = [_filler(name, one, value, is_place=at == place) for at, one in enumerate(patterns)]
    yield f"{name}({', '.join(parts)})" if name in BUILTINS else f"{parts[0]} {name} {parts[-1]}"


def _filler(name: str, pattern: Pattern, value: str, *, is_place: bool) -> str:
    match pattern.name:
        case "list":
            return f"[{_filler(name, pattern.arguments[0], value, is_place=is_place)}]"
        case "set":
            return f"set([{_filler(name, pattern.arguments[0], value, is_place=is_place)}])"
        case "map":
            key, held = (_filler(name, one, value, is_place=True) for one in pattern.arguments)
            return f"{{[{key}]: {held}}}"
        case _ if is_place or pattern.name not in _FILLERS:
            return value
        case "string" if name in _TEXTS:
            return _TEXTS[name]
        case _:
            return _FILLERS[pattern.name]


def _program(name: str, texts: dict[str, ty.Type], refuses: str) -> str:
    fields = ",\n".join(f"  f{number}: {_declared(type_)}" for number, type_ in enumerate(texts.values()))
    stored = ",\n".join(f"    f{number}: {text}" for number, text in enumerate(texts))
    return f"""\
proj 1
projection {name}

event Happened {{}}

view Thing {{
{fields}
}}

on Happened to "{{meta.aggregate_id}}:1"
  when {refuses} => fail("REFUSED", "as asked")
  else => {{
{stored}
  }}
"""


def _declared(type_: ty.Type) -> str:
    """A type as one writes it; what only a value knows, as wide as it may be."""
    match type_:
        case ty.Optional():
            return f"{_declared(type_.inner)}?"
        case ty.List():
            return f"list<{_declared(type_.item)}>"
        case ty.Set():
            return f"set<{_declared(type_.item)}>"
        case ty.Map():
            return f"map<{_declared(type_.key)}, {_declared(type_.value)}>"
        case ty.String():
            return "string"
        case _:
            return str(type_)
