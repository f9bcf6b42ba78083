"""What a search has found, in words, and as scenarios that show it again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from projection.testing.fuzz.observing import Kind
from projection.testing.snapshots import scalar, snapshot_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from projection.lang.source import Source, Span
    from projection.testing.folding import Projection
    from projection.testing.fuzz.growth import Growth
    from projection.testing.fuzz.searching import Found

_SHOWN = 4  # events of a finding; more are of the kind of the last
_WIDTH = 160  # characters of one
_LINE_WIDTH = 80  # of a line of the program
_LINES = 8  # lines of a program that are named
_OURS = "this is a bug in projection: please report it with these events"
_TITLES = {
    Kind.BEYOND: "{what}: {message}, which is more than the static bound says",
    Kind.COMMITS: "{message}",
    Kind.NEAR: "{what}: {message}",
    Kind.TWICE: "not idempotent: an event that comes twice changes its view twice",
}
_HINTS = {
    Kind.BEYOND: _OURS,
    Kind.COMMITS: _OURS,
    Kind.NEAR: "`projection gas` says what the most is made of",
    Kind.TWICE: "what is published twice, as after a timeout, is two events to a node",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was found: a fault, or a note on what the author may or may not want."""

    is_fault: bool
    title: str
    place: str  # `file:line:column`; empty where it has none
    line: str  # of the program, there
    hint: str
    events: Sequence[Mapping[str, Any]]  # the fewest that show it, in short form

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        yield f"{'fault' if self.is_fault else 'note'}: {self.title}"
        if self.place:
            yield f"  --> {self.place}: {self.line}"
        for event in self.events[:_SHOWN]:
            yield f"  {_cut(scalar(event), _WIDTH)}"
        if (more := len(self.events) - _SHOWN) > 0:
            yield f"  … and {more:,} more like the last"
        if self.hint:
            yield f"  = hint: {self.hint}"


def finding_of(found: Found, source: Source, disorder: Mapping[str, set[Span]], *, at_ends: bool) -> Finding:
    """What was found, in words.

    Args:
        found: what, and its events.
        source: of the program.
        disorder: by code, the handlers that wanted a view, or none, and found otherwise.
        at_ends: whether only events with values from the far ends of their types show it.
    """
    observed, events = found.observation, list(found.events)
    kind, what = observed.sign.kind, observed.sign.what
    if kind is Kind.DISORDER:
        return _disorder(found, source, sorted(disorder[what]))
    title = _TITLES.get(kind, "{what}: {message}").format(what=what, message=observed.message)
    if at_ends and kind in (Kind.FAILS, Kind.NEAR):
        title = f"only with values at the ends of their types: {title}"
    if kind is Kind.TWICE:
        events.append(events[observed.number - 1])
    is_fault = kind in (Kind.BEYOND, Kind.COMMITS) or (kind is Kind.FAILS and not at_ends)
    return Finding(is_fault, title, *_place(source, observed.span), _HINTS.get(kind, ""), events)


def finding_of_growth(growth: Growth, span: Span, source: Source) -> Finding:
    """A view that grows, in words."""
    hint = "a bound that an event meets parks it: keep less, as `take_last` does, or let the bound be larger"
    grows = f"`{growth.field}: {growth.type}` grows by some {growth.bytes_an_event} bytes with each event"
    if growth.met is None:
        return Finding(False, grows, *_place(source, span), "say how much it may hold, or keep less", growth.events)
    full = f"{growth.met.sign.what} at the event of number {growth.number:,}: {growth.met.message}"
    title = f"{grows}, until {full}" if growth.field else f"the view fills up: {full}"
    return Finding(False, title, *_place(source, span), hint, growth.events)


def _disorder(found: Found, source: Source, spans: Sequence[Span]) -> Finding:
    code = found.observation.sign.what
    lines = [str(source.position(span.start)[0]) for span in spans]
    named = f"line{'s' * (len(lines) > 1)} {', '.join(lines[:_LINES])}{', …' * (len(lines) > _LINES)}"
    what, arm = ("no view", "==") if code == "R705" else ("a view already", "!=")
    title = f"{code}: in another order, events find {what}: the handler{'s' * (len(lines) > 1)} in {named}"
    hint = f"where that is to be expected, write `to` with arms: `when view {arm} none => …`"
    return Finding(False, title, *_place(source, found.observation.span), hint, found.events)


def _place(source: Source, span: Span) -> tuple[str, str]:
    if span.start == span.end == 0:
        return "", ""
    return source.place(span), _cut(source.line(source.position(span.start)[0]).strip(), _LINE_WIDTH)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def scenario_text(finding: Finding, projection: Projection, path: Path, folder: Path) -> str:
    """A scenario with the events of a finding, that expects what comes of them today.

    Args:
        finding: what the scenario is about.
        projection: what folds the events: all of what is at the path.
        path: of the program, or of the manifest.
        folder: where the scenario is to lie.
    """
    folded = projection.given(list(finding.events))
    named = "program" if path.suffix == ".proj" else "manifest"
    head = [f"# {finding.title}", *([f"# at {finding.place}"] if finding.place else [])]
    events = [f"  - {scalar(event)}" for event in finding.events]
    expected = [f"  {line}" for line in snapshot_text(folded).splitlines()]
    relative = os.path.relpath(path, folder)
    return "\n".join([*head, f"{named}: {scalar(relative)}", "events:", *events, "expect:", *expected]) + "\n"
