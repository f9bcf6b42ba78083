"""What another version of a program means to those around it: to readers of its views, and to producers of its events.

Readers are at a loss where a view can hold what it could not before, or where a query that named something is refused.
Producers are where an event that was taken is no longer, or is not read as before. Each side has its direction: what
may be more is no trouble to producers, and what may be less is none to readers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from projection.lang import types as ty
from projection.lang.digest import described, meaning
from projection.lang.schemas.ordering import records_in
from projection.lang.syntax import nodes as syn
from projection.lang.syntax.parser import parse
from projection.lang.type_differences import Difference, bound_differs, single_differs, written

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from projection.lang.check.checker import CheckedProgram
    from projection.lang.source import Span


class Side(StrEnum):
    """Who has to do with a change."""

    READERS = "readers"  # of the views
    PRODUCERS = "producers"  # of the events


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is otherwise for one side."""

    side: Side
    is_breaking: bool
    path: str  # `view Fine.payments[].amount`, `event Payment.amount`
    what: str  # a sentence without its subject, which is the path
    old: str  # as programs write it; empty where there was, or is, nothing
    new: str
    hint: str  # what to do about it; may be empty
    span: Span  # in the new program


def changes(old: CheckedProgram, new: CheckedProgram) -> list[Change]:
    """What the new program changes for either side, in the order of the new text."""
    names = _name_spans(new)
    found = [*_Readers(names).program(old, new), *_Producers(names).program(old, new)]
    return sorted(found, key=lambda one: (one.span, one.side, one.path, one.what))


def reasons(old: CheckedProgram, new: CheckedProgram) -> list[str]:
    """Which declarations make the new program another fold; empty where both have one digest."""
    if old.digest == new.digest:
        return []
    before, after = _meanings(old), _meanings(new)
    found = [name for name in after if name in before and before[name] != after[name]]
    found += [f"{name} is new" for name in after if name not in before]
    found += [f"{name} is gone" for name in before if name not in after]
    return found or ["the order of the handlers"]


def _meanings(program: CheckedProgram) -> dict[str, str]:
    """What each declaration means that the digest depends on; functions are part of the handlers that need them."""
    records = {str(program.view): described(program.view)}
    records |= {f"event {name}": described(one) for name, one in program.events.items()}
    for name, event in program.event_declarations.items():
        records[f"event {name}"] += f"|{event.wires}|{event.aggregate_type}"
    for one in records_in([program.view, *program.events.values()]):
        records.setdefault(str(one) if one.kind != "type" else f"type {one.name}", described(one))
    count = Counter[str]()
    for handler in program.core.handlers:
        name = f"on {', '.join(handler.events) or '*'}"
        count[name] += 1
        shown = name if count[name] == 1 else f"{name} ({count[name]}.)"
        records[shown] = meaning(handler, program.core.functions)
    return records


def _name_spans(program: CheckedProgram) -> dict[str, Span]:
    """Where each event, type and view has its name."""
    declared = (syn.Event, syn.Record, syn.View)
    return {one.name: one.name_span for one in parse(program.source)[0].declarations if isinstance(one, declared)}


class _Comparison(ABC):
    """Goes through two schemas side by side, for one side; each pair of types is compared where it is met first."""

    side: Side

    def __init__(self, names: Mapping[str, Span]) -> None:
        self._names = names
        self._seen: set[tuple[str, str]] = set()

    def types(self, path: str, span: Span, old: ty.Type, new: ty.Type) -> Iterator[Change]:
        """What is otherwise about the values of a place."""
        match old, new:
            case (ty.Record(), ty.Record()):
                if (old.name, new.name) not in self._seen:
                    self._seen.add((old.name, new.name))
                    yield from self.fields(path, old, new)
            case (ty.List(item, most), ty.List(new_item, new_most)) | (ty.Set(item, most), ty.Set(new_item, new_most)):
                yield from self._differences(path, span, old, new, bound_differs(most, new_most, _MOST, "items"))
                yield from self.types(f"{path}[]", span, item, new_item)
            case (ty.Map(), ty.Map()):
                yield from self._differences(path, span, old, new, bound_differs(old.max, new.max, _MOST, "entries"))
                yield from self.types(f"{path}'s keys", span, old.key, new.key)
                yield from self.types(f"{path}[]", span, old.value, new.value)
            case _:
                yield from self._differences(path, span, old, new, self.singles(old, new))

    def singles(self, old: ty.Type, new: ty.Type) -> Iterator[Difference]:
        """How single values differ."""
        return single_differs(old, new)

    @abstractmethod
    def fields(self, path: str, old: ty.Record, new: ty.Record) -> Iterator[Change]:
        """What is otherwise about the fields of a record."""

    @abstractmethod
    def breaks(self, one: Difference) -> bool:
        """Whether this side is at a loss."""

    def _differences(
        self, path: str, span: Span, old: ty.Type, new: ty.Type, found: Iterable[Difference]
    ) -> Iterator[Change]:
        for one in found:
            is_breaking = self.breaks(one)
            hint = _HINTS[self.side] if is_breaking else ""
            yield Change(self.side, is_breaking, path, one.what, written(old), written(new), hint, span)

    def change(
        self,
        path: str,
        what: str,
        span: Span,
        *,
        breaks: bool,
        old: ty.Type | None = None,
        new: ty.Type | None = None,
        hint: str = "",
    ) -> Change:
        """A change that is not one of types alone."""
        return Change(self.side, breaks, path, what, written(old), written(new), hint, span)


_MOST = ty.DEFAULT_CONTAINER
_HINTS = {
    Side.READERS: "tell the readers first, or put it into a field of its own",
    Side.PRODUCERS: "take what producers send today as well, or wait until none of them sends it",
}


class _Readers(_Comparison):
    """What changes for those who read views, as JSON and by queries."""

    side = Side.READERS

    def program(self, old: CheckedProgram, new: CheckedProgram) -> Iterator[Change]:
        yield from self.fields(str(new.view), old.view, new.view)
        span = self._names[new.view.name]
        for gone in (one for one in old.indexes if one not in new.indexes):
            what = f"has no index by {_index(gone)} any more: queries look at more views"
            yield self.change(str(new.view), what, span, breaks=False)
        for more in (one for one in new.indexes if one not in old.indexes):
            yield self.change(str(new.view), f"has an index by {_index(more)}", span, breaks=False)

    def breaks(self, one: Difference) -> bool:
        return one.wider or one.asked

    def fields(self, path: str, old: ty.Record, new: ty.Record) -> Iterator[Change]:
        for name, was in old.fields.items():
            if name not in new.fields:
                hint = "keep it until nobody reads it; the new one can stand beside it"
                place = self._names[new.name]
                yield self.change(f"{path}.{name}", "is gone", place, breaks=True, old=was.type, hint=hint)
        for name, now in new.fields.items():
            here = f"{path}.{name}"
            if (before := old.fields.get(name)) is None:
                yield self.change(here, "is new", now.span, breaks=False, new=now.type)
                continue
            if before.wires[0] != now.wires[0]:
                what = f'is called "{now.wires[0]}" in JSON instead of "{before.wires[0]}"'
                yield self.change(here, what, now.span, breaks=True, old=before.type, new=now.type)
            yield from self._presence(here, before, now)
            yield from self.types(here, now.span, _present(before.type), _present(now.type))

    def _presence(self, path: str, old: ty.Field, new: ty.Field) -> Iterator[Change]:
        was, now = (isinstance(one.type, ty.Optional) for one in (old, new))
        if was != now:
            what = "may be none now" if now else "is never none now"
            hint = "give it a default, so that there is always a value" if now else ""
            yield self.change(path, what, new.span, breaks=now, old=old.type, new=new.type, hint=hint)


class _Producers(_Comparison):
    """What changes for those who publish events; they name fields and types as they stand on the wire."""

    side = Side.PRODUCERS

    def program(self, old: CheckedProgram, new: CheckedProgram) -> Iterator[Change]:
        before, after = _taken(old), _taken(new)
        met = set[str]()
        for event in before:
            met |= yield from self._event(event, old, new, after)
        for event in after:
            if event.name not in met and not {*_wires(event)} & {wire for one in before for wire in _wires(one)}:
                yield self.change(f"event {event.name}", "is new", event.name_span, breaks=False)

    def _event(
        self, event: syn.Event, old: CheckedProgram, new: CheckedProgram, after: list[syn.Event]
    ) -> Generator[Change, None, set[str]]:
        """What becomes of an event that was taken; returns the names of the events that take it now."""
        successors: dict[str, syn.Event] = {}
        for wire in _wires(event):
            candidates = [one for one in after if wire in _wires(one)]
            candidates.sort(
                key=lambda one: (one.aggregate_type != event.aggregate_type, one.aggregate_type is not None)
            )
            if candidates:
                successors.setdefault(candidates[0].name, candidates[0])
                continue
            has_rest = any(not handler.events for handler in new.core.handlers)
            instead = " but by `on *`" if has_rest else ""
            namesake = next((one for one in after if one.name == event.name), None)
            if namesake is None:
                hint = "keep its handler, or tell its producers that nothing here is of it any more"
                span = (
                    new.event_declarations[event.name].name_span
                    if event.name in new.events
                    else self._names[new.view.name]
                )
            else:
                hint, span = f"add it to `from`: {_from((*_wires(namesake), wire))}", namesake.name_span
                successors.setdefault(namesake.name, namesake)
            what = (
                f"is no longer taken as `{wire}`{instead}"
                if wire != event.name or namesake
                else f"is no longer taken{instead}"
            )
            yield self.change(f"event {event.name}", what, span, breaks=True, hint=hint)
        for one in successors.values():
            if one.aggregate_type not in (None, event.aggregate_type):
                what = f"is only taken of aggregates of the type `{one.aggregate_type}`"
                yield self.change(f"event {one.name}", what, one.name_span, breaks=True, hint="leave the `of` away")
            yield from self.fields(f"event {one.name}", old.events[event.name], new.events[one.name])
        return {*successors}

    def breaks(self, one: Difference) -> bool:
        return one.narrower

    def singles(self, old: ty.Type, new: ty.Type) -> Iterator[Difference]:
        for one in single_differs(old, new):
            is_date = isinstance(old, ty.Timestamp) and isinstance(new, ty.Date)  # which is read off a timestamp
            yield Difference(one.what, one.wider, one.narrower and not is_date)

    def fields(self, path: str, old: ty.Record, new: ty.Record) -> Iterator[Change]:
        read = {wire for one in new.fields.values() for wire in one.wires}
        pairs = [(one, _matching(one, old, new)) for one in new.fields.values()]
        matched = {was.name for _, found in pairs for was in found}
        gone = [one for one in old.fields.values() if one.name not in matched]
        for now, found in pairs:
            here = f"{path}.{now.name}"
            if not found:
                yield self._new(here, now, gone)
            for was in found:
                yield from self._matched(here, was, now, read)
        for one in gone:
            place = self._names[new.name]
            yield self.change(f"{path}.{one.name}", "is no longer read", place, breaks=False, old=one.type)

    def _new(self, path: str, now: ty.Field, gone: list[ty.Field]) -> Change:
        """A field that reads nothing of what producers send today; where one is gone, it may be that one."""
        alike = [one for one in gone if type(_present(one.type)) is type(_present(now.type))]
        alias = f"if it was `{alike[0].name}`, write {_from((*now.wires, *alike[0].wires))}" if len(alike) == 1 else ""
        if not now.required:
            is_renamed = bool(alias) and _present(alike[0].type) == _present(now.type)
            what = f"is new, and what came as `{alike[0].wires[0]}` is no longer read" if is_renamed else "is new"
            return self.change(path, what, now.span, breaks=is_renamed, new=now.type, hint=alias if is_renamed else "")
        hint = alias or f"write `{now.name}?: …`, or give it a default: no event of today has it"
        return self.change(path, "is new and must be there", now.span, breaks=True, new=now.type, hint=hint)

    def _matched(self, path: str, was: ty.Field, now: ty.Field, read: set[str]) -> Iterator[Change]:
        if lost := [wire for wire in was.wires if wire not in read]:
            names = ", ".join(f"`{wire}`" for wire in lost)
            hint = f"add it to `from`: {_from((*now.wires, *lost))}"
            what = f"is no longer read from {names}"
            yield self.change(path, what, now.span, breaks=True, old=was.type, new=now.type, hint=hint)
        if was.required != now.required:
            what = "must be there now" if now.required else "may be absent now"
            hint = f"write `{now.name}?: …`, or give it a default" if now.required else ""
            yield self.change(path, what, now.span, breaks=now.required, old=was.type, new=now.type, hint=hint)
        yield from self.types(path, now.span, _present(was.type), _present(now.type))


def _present(type_: ty.Type) -> ty.Type:
    return type_.inner if isinstance(type_, ty.Optional) else type_


def _matching(now: ty.Field, old: ty.Record, new: ty.Record) -> list[ty.Field]:
    """The former fields that a field reads; by name alone where no wire name is left."""
    found = [one for one in old.fields.values() if {*one.wires} & {*now.wires}]
    namesake = old.fields.get(now.name)
    if found or namesake is None:
        return found
    elsewhere = {wire for one in new.fields.values() for wire in one.wires} & {*namesake.wires}
    return [] if elsewhere else [namesake]


def _taken(program: CheckedProgram) -> list[syn.Event]:
    """The events that handlers take by name."""
    names = {name for handler in program.core.handlers for name in handler.events}
    return [one for name, one in program.event_declarations.items() if name in names]


def _wires(event: syn.Event) -> tuple[str, ...]:
    return event.wires or (event.name,)


def _from(wires: Iterable[str]) -> str:
    return "`from " + " | ".join(f'"{wire}"' for wire in dict.fromkeys(wires)) + "`"


def _index(keys: Iterable[tuple[str, bool]]) -> str:
    return ", ".join(f"{path} desc" if descending else path for path, descending in keys)
