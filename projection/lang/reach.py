"""How far a change of a program reaches: the types of events that two programs handle differently.

A view is made by its own events alone. So a view that had no event which the programs handle differently is the same by
both. What is compared is what executors run, with all records that it names: the same text is the same computation.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from projection.lang.digest import Outline, described
from projection.lang.handled import HandledTypes
from projection.lang.immutable import Immutable
from projection.lang.schemas.ordering import records_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from projection.lang import core
    from projection.lang.check.checker import CheckedProgram
    from projection.lang.types import Record

EventType = tuple[str | None, str]  # an aggregate type, None: any; and an event type as it is published


class Reach(Immutable, frozen=True):
    """The events whose views may differ between two programs."""

    types: tuple[EventType, ...] = ()  # that are declared in one of them, and handled differently
    same: frozenset[EventType] = frozenset()  # that are declared in one of them, and handled alike
    others: bool = False  # whether all other types are handled differently, by `on *`
    everything: str = ""  # why any view may differ, in a few words; empty where it is proven which cannot

    @property
    def is_narrow(self) -> bool:
        """Whether it is proven that views which had no event of certain types are the same by both programs."""
        return not self.everything

    def has(self, aggregate_type: str, event_type: str) -> bool:
        """Whether views that had an event of this type may differ."""
        if self.everything:
            return True
        for one in ((aggregate_type, event_type), (None, event_type)):
            if one in self.same:
                return False
            if one in self.types:
                return True
        return self.others

    @property
    def named(self) -> list[str]:
        """The types as programs write them."""
        found = [wire if of is None else f'{wire} of "{of}"' for of, wire in self.types]
        return [*found, *["all types that have no handler of their own"] * self.others]

    @property
    def in_words(self) -> str:
        """Which views can differ, as a sentence without its end."""
        if not self.is_narrow:
            return f"any view can differ: {self.everything}"
        if not self.named:
            return "no view can differ: all events are handled as before"
        return f"only views that had events of these types can differ: {', '.join(self.named)}"

    def as_json(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return {
            "any_view": not self.is_narrow,
            "why": self.everything,
            "event_types": [{"aggregate_type": of, "event_type": wire} for of, wire in self.types],
            "all_other_types": self.others,
        }


def reach(old: CheckedProgram, new: CheckedProgram) -> Reach:
    """What a change of a program, and of nothing else, reaches.

    It holds for views as long as no tenant is suspended as a whole, and the lane is not halted: these are the only ways
    in which an event of one view has an effect on others.
    """
    if old.edition != new.edition:
        return Reach(everything=f"edition {new.edition} instead of {old.edition}")
    if _in_full([old.view]) != _in_full([new.view]):
        return Reach(everything=f"what {new.view} can hold is different")
    if old.message_parts != new.message_parts:
        return Reach(everything="it reads other headers, or other parts, of messages")
    before, after = _Reactions(old), _Reactions(new)
    declared = sorted({*before.declared, *after.declared}, key=lambda one: (one[1], one[0] or ""))
    different = tuple(one for one in declared if before.to(one) != after.to(one))
    rest = before.rest != after.rest
    return Reach(types=different, same=frozenset(declared).difference(different), others=rest)


class _Reactions:
    """What a program does with each type of event: equal digests where it is the same. Each part is read once."""

    def __init__(self, program: CheckedProgram) -> None:
        self._program = program
        self._digests: dict[str, str] = {}  # of functions, with all that they call
        self._records: dict[Record, str] = {}
        self._handlers: dict[str | None, list[str]] = {}  # digests, by what they handle; None: all other types
        for handler in program.core.handlers:
            # What else the handler is for makes no difference to these events.
            digest = self._computed(replace(handler, events=()))
            for name in handler.events or (None,):
                self._handlers.setdefault(name, []).append(digest)
        self._names: Mapping[EventType, str] = {
            (event.aggregate_type, wire): name
            for name, event in program.event_declarations.items()
            if name in self._handlers
            for wire in event.wires or (name,)
        }
        self.declared = HandledTypes.of([program]).types
        self.rest = _hashed(self._handlers.get(None, ()))

    def to(self, event_type: EventType) -> str:
        """What is done with events of a type."""
        name = self._names.get(event_type) or self._names.get((None, event_type[1]))
        if name is None:
            return self.rest
        return _hashed([*self._handlers[name], self._record(self._program.events[name])])

    def _computed(self, value: core.Handler) -> str:
        """The digest of a handler, with all that it calls and names."""
        outline = Outline.of(value)
        waiting = [(name, False) for name in outline.functions]
        outlines: dict[str, Outline] = {}
        while waiting:  # what is called comes first
            name, is_ready = waiting.pop()
            if name in self._digests:
                continue
            if is_ready:
                self._digests[name] = self._joined(outlines[name])
                continue
            outlines[name] = Outline.of(self._program.core.functions[name].body)
            waiting += [(name, True), *((callee, False) for callee in outlines[name].functions)]
        return self._joined(outline)

    def _joined(self, outline: Outline) -> str:
        called = [self._digests[name] for name in outline.functions]
        return _hashed([outline.text, *called, *map(self._record, outline.records)])

    def _record(self, record: Record) -> str:
        """The digest of a record, with all that it holds."""
        if record not in self._records:
            self._records[record] = _hashed([_in_full([record])])
        return self._records[record]


def _hashed(parts: Iterable[str]) -> str:
    """One short text for equal parts; empty where there are none."""
    found = list(parts)
    return hashlib.sha256("\n".join(found).encode()).hexdigest() if found else ""


def _in_full(records: Iterable[Record]) -> str:
    """All that records hold, and whether their JSON may come from an event, which is read with more care."""
    return "\n".join(sorted(f"{described(one)} {one.from_outside}" for one in records_in(records)))
