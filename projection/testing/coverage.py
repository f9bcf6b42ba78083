"""Coverage of programs by a test run: what its events have come to, and what they have not."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from projection.lang.check.checker import check
from projection.lang.program import Program
from projection.lang.reporting import ProgramInvalidError
from projection.lang.run.covering import Covering, Part, Point, points
from projection.lang.source import Source
from projection.testing.finding import files_below

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from projection.engine.deployment import DeployedView

_SHOWN = 60  # characters of a condition or heading
_HEADING_END = re.compile(r"=>| when ")


@dataclass(frozen=True)
class ProgramCoverage:
    """What a run has come to in one program."""

    source: Source
    hits: dict[Point, int]  # of all points, in the order of the text

    @property
    def missed(self) -> list[Point]:
        """The points that the run has not come to."""
        return [point for point, count in self.hits.items() if not count]

    @property
    def percent(self) -> float:
        """How many of a hundred points the run has come to."""
        return _percent(len(self.hits) - len(self.missed), len(self.hits))

    def described(self, point: Point) -> str:
        """`line:column: what is missing`."""
        line, column = self.source.position(point.span.start)
        text = " ".join(self.source.text[point.span.start : point.span.end].split())
        heading = _HEADING_END.split(text)[0].strip() if point.part is Part.HANDLER else text
        shown = heading if len(heading) <= _SHOWN else f"{heading[: _SHOWN - 1]}…"
        return f"{line}:{column}: {_words(point.part, shown)}"


def _words(part: Part, shown: str) -> str:
    match part:
        case Part.HANDLER:
            return f"`{shown}` never ran"
        case Part.FUNCTION:
            return f"the function that is `{shown}` was never called"
        case Part.OLD_FORM:
            return f"no event was made by `{shown}`"
        case Part.ITEM:
            return f"nothing came into `{shown}`"
        case Part.NONE | Part.PRESENT if "??" in shown:
            return f"`{shown}` {'never' if part is Part.NONE else 'always'} fell back"
        case Part.NONE | Part.PRESENT if "==" not in shown and "!=" not in shown:
            return f"`{shown}` was {'never' if part is Part.NONE else 'always'} none"
        case Part.TRUE | Part.NONE:
            return f"`{shown}` was never true"
        case Part.FALSE | Part.PRESENT:
            return f"`{shown}` was never false"


class Coverage:
    """Collects what the programs of a run come to."""

    def __init__(self) -> None:
        self._programs: dict[tuple[str, str], ProgramCoverage] = {}  # by the name and text of the source
        self._covered: dict[int, tuple[Program, Program]] = {}  # by the id of the first: it, and what runs for it

    def programs(self) -> list[ProgramCoverage]:
        """The programs that were named or run, by their names."""
        return [self._programs[key] for key in sorted(self._programs)]

    @property
    def percent(self) -> float:
        """How many of a hundred points of all programs the run has come to."""
        total = sum(len(one.hits) for one in self._programs.values())
        return _percent(total - sum(len(one.missed) for one in self._programs.values()), total)

    def name(self, program: Program) -> ProgramCoverage:
        """Have a program in the report, whether it runs or not."""
        source = program.checked.source
        key = (source.name, source.text)
        if key not in self._programs:
            self._programs[key] = ProgramCoverage(source, dict.fromkeys(points(program.checked.core), 0))
        return self._programs[key]

    def counts(self) -> list[tuple[str, str, list[int]]]:
        """What another process can `add`: names, texts, and how often each point was come to, in order."""
        return [(one.source.name, one.source.text, list(one.hits.values())) for one in self._programs.values()]

    def add(self, name: str, text: str, counts: Sequence[int]) -> None:
        """Add what another process has counted."""
        hits = self.name(Program(check(Source(name, text)))).hits
        for point, count in zip(hits, counts, strict=True):
            hits[point] += count

    def cover(self, program: Program) -> Program:
        """The same program, that counts here what it comes to."""
        if id(program) not in self._covered:
            hits = self.name(program).hits

            def reached(point: Point) -> None:
                hits[point] += 1

            covering = Covering(program.checked.core, reached)
            self._covered[id(program)] = program, Program(program.checked, program.limits, covering)
        return self._covered[id(program)][1]


_active: list[Coverage] = []


@contextmanager
def measuring(coverage: Coverage | None) -> Iterator[None]:
    """Have all that is folded for tests counted; with None, nothing is."""
    before = _active[:]
    _active[:] = [] if coverage is None else [coverage]
    try:
        yield
    finally:
        _active[:] = before


def programs_below(path: Path) -> Iterator[Program]:
    """The programs that check, of a file, or of a folder and those below it; others fail as tests do."""
    for file in files_below(path) if path.is_dir() else [path]:
        if file.suffix == ".proj":
            with suppress(ProgramInvalidError, OSError):
                yield Program.load(file)


def measured(deployed: Sequence[DeployedView]) -> Sequence[DeployedView]:
    """What is to be folded for a test: as it is, or so that it is counted."""
    for coverage in _active:
        deployed = [replace(one, program=coverage.cover(one.program)) for one in deployed]
    return deployed


def _percent(part: int, whole: int) -> float:
    return 100.0 if not whole else 100 * part / whole
