"""Coverage as a table for people, and as lcov for tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang.run.covering import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.testing.coverage import Coverage, ProgramCoverage

_CONDITIONS = (Part.TRUE, Part.FALSE, Part.NONE, Part.PRESENT)


def table(coverage: Coverage) -> Iterator[str]:
    """Lines: each program with its points, those that were missed below it, and the total."""
    programs = coverage.programs()
    width = max([len("program"), *(len(one.source.name) for one in programs)])
    yield f"{'program':<{width}}  points  missed  covered"
    for one in programs:
        yield f"{one.source.name:<{width}}  {len(one.hits):>6}  {len(one.missed):>6}  {_shown(one.percent):>7}"
        for point in one.missed:
            yield f"  {one.described(point)}"
    if len(programs) > 1:
        total, missed = sum(len(one.hits) for one in programs), sum(len(one.missed) for one in programs)
        yield f"{'in all':<{width}}  {total:>6}  {missed:>6}  {_shown(coverage.percent):>7}"


def _shown(percent: float) -> str:
    """Never 100 % while something is missed."""
    return f"{int(percent * 10) / 10:.1f} %"


def as_lcov(coverage: Coverage) -> str:
    """The tracefile of lcov: functions are handlers and functions, branches the outcomes of conditions."""
    return "".join(f"{line}\n" for one in coverage.programs() for line in _record(one))


def shortfall(coverage: Coverage, fail_under: float | None) -> str | None:
    """A sentence where less is covered than should be; None where it is enough."""
    if fail_under is None or coverage.percent >= fail_under:
        return None
    return f"{_shown(coverage.percent)} of the programs is covered, and {fail_under:g} % should be"


def _record(one: ProgramCoverage) -> Iterator[str]:
    yield "TN:"
    yield f"SF:{one.source.name}"
    at = {point: one.source.position(point.span.start)[0] for point in one.hits}
    routines = [point for point in one.hits if point.part in (Part.HANDLER, Part.FUNCTION, Part.OLD_FORM)]
    names = {point: f"{point.part}:{at[point]}" for point in routines}
    yield from (f"FN:{at[point]},{names[point]}" for point in routines)
    yield from (f"FNDA:{one.hits[point]},{names[point]}" for point in routines)
    yield f"FNF:{len(routines)}"
    yield f"FNH:{sum(one.hits[point] > 0 for point in routines)}"
    outcomes = [point for point in one.hits if point.part in _CONDITIONS]
    counts: dict[object, int] = {}
    for point in outcomes:
        counts[point.span] = counts.get(point.span, 0) + one.hits[point]
    for number, point in enumerate(outcomes):
        taken = one.hits[point] if counts[point.span] else "-"  # `-`: the condition was never computed
        yield f"BRDA:{at[point]},{point.span.start},{number},{taken}"
    yield f"BRF:{len(outcomes)}"
    yield f"BRH:{sum(one.hits[point] > 0 for point in outcomes)}"
    lines: dict[int, int] = {}
    for point in one.hits:
        count = counts[point.span] if point in outcomes else one.hits[point]
        lines[at[point]] = max(lines.get(at[point], 0), count)
    yield from (f"DA:{line},{count}" for line, count in sorted(lines.items()))
    yield f"LF:{len(lines)}"
    yield f"LH:{sum(count > 0 for count in lines.values())}"
    yield "end_of_record"
