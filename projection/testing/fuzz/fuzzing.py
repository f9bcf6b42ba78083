"""The whole of it: a search with plain values, one with values from the ends of their types, and what grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projection.testing.fuzz.findings import Finding, finding_of, finding_of_growth
from projection.testing.fuzz.growth import growth
from projection.testing.fuzz.observing import Kind, Sign, Subject
from projection.testing.fuzz.searching import Counts, Found, Search, fewest
from projection.testing.strategies import events

if TYPE_CHECKING:
    from projection.engine.deployment import DeployedView
    from projection.lang.source import Span
    from projection.testing.folding import Projection

_AT_ENDS = 2  # every second event may have values from the ends of their types


@dataclass(frozen=True)
class Report:
    """What came of a search; faults come first."""

    findings: list[Finding]
    counts: Counts
    unreached: list[Span]  # the handlers that no event had change a view
    is_late: bool  # whether time was up before all events were looked at


def fuzz(
    projection: Projection,
    deployed: DeployedView,
    *,
    seed: int,
    budget: int,
    seconds: float | None = None,
    on_purpose: bool = False,
) -> Report:
    """Search one program of a projection.

    Args:
        projection: what it is deployed in.
        deployed: the program.
        seed: the same seed finds the same, unless time is up sooner.
        budget: how many events are looked at.
        seconds: how long at most.
        on_purpose: whether what the program refuses by `fail(…)` is to be told as well.
    """
    subject, source = Subject(projection, deployed), deployed.program.checked.source
    ignored = frozenset[Kind]() if on_purpose else frozenset({Kind.ON_PURPOSE})
    search, known, of = Search(subject, seed, seconds, ignored), set[Sign](), str(deployed.entry.view_type)
    at_ends = budget // _AT_ENDS
    plain = list(search.run(events(projection, of=of, extremes=False), budget - at_ends, known))
    extreme = list(search.run(events(projection, of=of), at_ends, known, by_place=False))
    plain.sort(key=_order)
    extreme.sort(key=_order)
    grown = _growing(subject, search.counts.changes, plain)
    disorder = search.counts.disorder
    findings = [finding_of(one, source, disorder, at_ends=False) for one in plain if not _is_told(one, grown)]
    findings += [finding_of(one, source, disorder, at_ends=True) for one in extreme if not _is_told(one, grown)]
    findings += grown.values()
    spans = [handler.span for handler in deployed.program.checked.core.handlers]
    return Report(
        sorted(findings, key=lambda one: not one.is_fault),
        search.counts,
        [span for span in spans if span not in search.counts.changes],
        search.is_late,
    )


def _order(found: Found) -> tuple[int, int]:
    """By what it is, then by the line."""
    return list(Kind).index(found.observation.sign.kind), found.observation.span.start


def _growing(subject: Subject, changes: dict[Span, Found], plain: list[Found]) -> dict[Span, Finding]:
    """The findings on growth, by their handlers; one for each field, and for each view that is full too soon."""
    small = {one.observation.span: one for one in plain if one.observation.sign.kind is Kind.TWICE}
    found: dict[Span, Finding] = {}
    fields: set[str] = set()
    for span in sorted(changes):
        result = growth(subject, small.get(span) or _smaller(subject, changes[span]))
        if result is not None and (not result.field or result.field not in fields):
            fields.add(result.field)
            found[span] = finding_of_growth(result, span, subject.program.checked.source)
    return found


def _smaller(subject: Subject, found: Found) -> Found:
    """Fewer events with which the handler changes a view."""
    sign = found.observation.sign
    return fewest(found.events, lambda tried: next((one for one in subject.observe(tried) if one.sign == sign), None))


def _is_told(found: Found, grown: dict[Span, Finding]) -> bool:
    """Whether it is a view that is full, which the finding on its growth says as well."""
    return found.observation.sign.kind is Kind.FULL and found.observation.span in grown
