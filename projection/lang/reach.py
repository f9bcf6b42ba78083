"""How far a change of a program reaches: the types of events that two programs handle differently.

A view is made by its own events alone. So a view that had no event which the programs handle differently is the same by
both. What is compared is what executors run, with all records that it names: the same text is the same computation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from projection.lang.digest import described, meaning_and_records
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
    takes_less: bool = False  # whether the new program takes no events of some type that the old one takes
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
    pairs = [(before.rest, after.rest), *((before.to(one), after.to(one)) for one in different)]
    return Reach(
        types=different,
        same=frozenset(declared).difference(different),
        others=before.rest != after.rest,
        takes_less=any(was and not now for was, now in pairs),
    )


class _Reactions:
    """What a program does with each type of event: equal texts where it is the same."""

    def __init__(self, program: CheckedProgram) -> None:
        self._program = program
        self._names: Mapping[EventType, str] = {
            (event.aggregate_type, wire): name
            for name, event in program.event_declarations.items()
            if any(name in handler.events for handler in program.core.handlers)
            for wire in event.wires or (name,)
        }
        self.declared = HandledTypes.of([program]).types
        self.rest = self._text([one for one in program.core.handlers if not one.events], None)
        self._known: dict[str, str] = {}

    def to(self, event_type: EventType) -> str:
        """What is done with events of a type; empty where the program takes none."""
        name = self._names.get(event_type) or self._names.get((None, event_type[1]))
        if name is None:
            return self.rest
        if name not in self._known:
            handlers = [one for one in self._program.core.handlers if name in one.events]
            self._known[name] = self._text(handlers, self._program.events[name])
        return self._known[name]

    def _text(self, handlers: Iterable[core.Handler], record: Record | None) -> str:
        texts: list[str] = []
        records: set[Record] = set() if record is None else {record}
        for one in handlers:
            # What else the handler is for makes no difference to these events.
            text, named = meaning_and_records(replace(one, events=()), self._program.core.functions)
            texts.append(text)
            records |= named
        return "\n".join([*texts, _in_full(records)]) if texts else ""


def _in_full(records: Iterable[Record]) -> str:
    """All that records hold, and whether their JSON may come from an event, which is read with more care."""
    return "\n".join(sorted(f"{described(one)} {one.from_outside}" for one in records_in(records)))
