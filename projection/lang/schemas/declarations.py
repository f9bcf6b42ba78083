"""From shapes to `event` and `type` declarations, in the one layout of programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projection.lang import types as ty
from projection.lang.check.expressions import KEYWORDS
from projection.lang.schemas.shapes import JSON, Entries, Fields, Items
from projection.lang.source import Source
from projection.lang.syntax.formatter import formatted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from projection.lang.schemas.shapes import EventShape, FieldShape, Shape

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_UNREADABLE = re.compile(r'["\\\x00-\x1f]')
_WORDS = re.compile(r"[A-Za-z0-9]+", re.ASCII)
_TYPES = frozenset((
    "bool", "int", "date", "timestamp", "duration", "json", "decimal", "string", "bytes", "enum", "list", "set", "map",
))  # fmt: skip
_HEAD = "proj 1\nprojection {}\n"
_ESCAPES = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\t": r"\t", "{": r"\{", "}": r"\}"}
_DEEPEST = ty.MAX_DEPTH - 1


def declarations(events: Sequence[EventShape], notes: Sequence[str] = (), name: str | None = None) -> str:
    """Declarations of these events and of the types in them.

    Args:
        events: what is to be declared.
        notes: what a reader must know of all of it; comments at the top.
        name: of the program whose head stands first; without one there are declarations only.
    """
    writer = _Writer({one.wire for one in events})
    body = "\n".join(writer.event(one) for one in events)
    head = _HEAD.format(name or "imported")
    comments = "".join(f"# {note}\n" for note in notes)
    text = formatted(Source("imported", f"{head}\n{comments}\n{body}\n{writer.types()}"))
    return text if name is not None else text.removeprefix(head).lstrip("\n")


class _Writer:
    def __init__(self, events: Iterable[str]) -> None:
        self._taken = {*_TYPES, *KEYWORDS}
        self._events: dict[str, str] = {}
        for wire in sorted(events, key=lambda one: (_NAME.fullmatch(one) is None, one)):  # who can keep its name does
            is_name = _NAME.fullmatch(wire) is not None and wire not in self._taken
            self._events[wire] = self._free(wire if is_name else _capitalised(wire))
        self._types: dict[tuple[str, str], str] = {}  # names, by doc and body: what says the same is one type

    def types(self) -> str:
        """The declarations of all types that events turned out to need."""
        return "\n".join(f"{doc}type {name} {body}\n" for (doc, body), name in self._types.items())

    def event(self, event: EventShape) -> str:
        """An event's declaration."""
        name = self._events[event.wire]
        wire = "" if name == event.wire else f" from {quoted(event.wire)}"
        note = f"# {event.note}\n" if event.note else ""
        return f"{note}{_doc(event.payload.doc)}event {name}{wire} {self._body(event.payload, name, 1)}\n"

    def _body(self, record: Fields, owner: str, depth: int) -> str:
        names = set[str]()
        lines = [line for field in record.fields for line in self._field(field, names, owner, depth)]
        return "{\n" + "\n".join(lines) + "\n}" if lines else "{}"

    def _field(self, field: FieldShape, names: set[str], owner: str, depth: int) -> Iterator[str]:
        if _UNREADABLE.search(field.wire):
            yield f"# {quoted(field.wire)} is left out: no program can read a field of such a name"
            return
        name = wanted = field.wire if _NAME.fullmatch(field.wire) else _lowered(field.wire)
        number = 2
        while name in names:
            name, number = f"{wanted}_{number}", number + 1
        names.add(name)
        if field.doc:
            yield _doc(field.doc).rstrip("\n")
        wire = "" if name == field.wire else f" from {quoted(field.wire)}"
        default = f" = {field.default}" if field.default else ""
        optional = "?" if field.is_optional and not default else ""
        note = f"  # {field.note}" if field.note else ""
        yield f"{name}{optional}: {self._type(field.shape, owner, depth)}{wire}{default},{note}"

    def _type(self, shape: Shape, owner: str, depth: int) -> str:
        if depth > _DEEPEST:
            return JSON.text
        match shape:
            case Items():
                return f"{shape.kind}<{self._type(shape.item, owner, depth + 1)}>{_most(shape.most)}"
            case Entries():
                return f"map<{shape.key}, {self._type(shape.value, owner, depth + 1)}>{_most(shape.most)}"
            case Fields():
                return self._named(shape, owner, depth + 1)
            case _:
                return shape.text

    def _named(self, record: Fields, owner: str, depth: int) -> str:
        """The name of a record's type, which is declared if there is none that says the same."""
        says = _doc(record.doc), self._body(record, owner, depth)
        if says not in self._types:
            wanted = _capitalised(record.name)
            self._types[says] = self._free(f"{owner}{wanted}" if wanted in self._taken else wanted)
        return self._types[says]

    def _free(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}{number}", number + 1
        self._taken.add(name)
        return name


def _most(most: int | None) -> str:
    return "" if most is None or not 1 <= most < ty.DEFAULT_CONTAINER else f"({most})"


def _doc(text: str) -> str:
    return "".join(f"## {line}".rstrip() + "\n" for line in text.splitlines())


def _capitalised(text: str) -> str:
    """A name of a type: `order.line-item` is `OrderLineItem`."""
    words = [word[0].upper() + word[1:] for word in _WORDS.findall(text)]
    return _begun("".join(words), "E") or "Unnamed"


def _lowered(text: str) -> str:
    """A name of a field: `first-name` is `first_name`."""
    return _begun("_".join(_WORDS.findall(text)), "f_") or "unnamed"


def _begun(name: str, letter: str) -> str:
    return f"{letter}{name}" if name[:1].isdigit() else name


def quoted(text: str) -> str:
    """A text as programs write it."""
    return (
        '"' + "".join(_ESCAPES.get(one) or (one if one.isprintable() else f"\\u{{{ord(one):x}}}") for one in text) + '"'
    )


def member(text: str) -> str:
    """A member of an enum as programs write it."""
    return text if _NAME.fullmatch(text) else quoted(text)
