"""What has been charged in a program, at least and at most, and the places that make up the most of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from projection.lang.cost.sizes import Origin, capped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.lang.source import Span

_MAX_PARTS = 64


class Range(NamedTuple):
    """What something costs, at least and at most."""

    least: int = 0
    most: int = 0

    def __str__(self) -> str:
        return f"{self.least:,}" if self.least == self.most else f"{self.least:,} to {self.most:,}"

    def plus(self, other: Range) -> Range:
        """Both, one after the other."""
        return Range(capped(self.least + other.least), capped(self.most + other.most))

    def times(self, count: Range) -> Range:
        """The same, so many times."""
        return Range(capped(self.least * count.least), capped(self.most * count.most))


ZERO, ONCE = Range(), Range(1, 1)


class Part(NamedTuple):
    """What one place in a program adds to the most, and the declarations that its sizes come from."""

    span: Span
    gas: int
    alloc: int
    origins: tuple[Origin, ...]


@dataclass(slots=True)
class Tally:
    """What has been charged so far, on both ledgers; `parts` are the largest of the places that make up the most."""

    gas: Range = ZERO
    alloc: Range = ZERO
    parts: dict[Span, Part] = field(default_factory=dict)

    def add(self, span: Span, gas: Range, alloc: Range, origins: tuple[Origin, ...] = ()) -> None:
        """One charge."""
        self.gas, self.alloc = self.gas.plus(gas), self.alloc.plus(alloc)
        self._add_part(Part(span, gas.most, alloc.most, origins))

    def add_all(self, other: Tally, count: Range = ONCE, origin: Origin | None = None) -> None:
        """All of another, `count` times, as `origin` declares."""
        self.gas, self.alloc = self.gas.plus(other.gas.times(count)), self.alloc.plus(other.alloc.times(count))
        outer = () if origin is None else (origin,)
        for part in other.parts.values():
            gas, alloc = capped(part.gas * count.most), capped(part.alloc * count.most)
            self._add_part(Part(part.span, gas, alloc, _distinct(outer + part.origins)))
        if len(self.parts) > _MAX_PARTS:
            largest = sorted(self.parts.values(), key=lambda part: (-part.gas, -part.alloc))[: _MAX_PARTS // 2]
            self.parts = {part.span: part for part in largest}

    def _add_part(self, part: Part) -> None:
        if (known := self.parts.get(part.span)) is not None:
            origins = _distinct(known.origins + part.origins)
            part = Part(part.span, capped(known.gas + part.gas), capped(known.alloc + part.alloc), origins)
        self.parts[part.span] = part

    def add_either(self, one: Tally, other: Tally, ending: Sequence[Tally]) -> None:
        """One or the other; a run that comes to its end has taken one of `ending`."""
        least = Range(min(tally.gas.least for tally in ending), min(tally.alloc.least for tally in ending))
        self.gas = self.gas.plus(Range(least[0], max(one.gas.most, other.gas.most)))
        self.alloc = self.alloc.plus(Range(least[1], max(one.alloc.most, other.alloc.most)))
        chosen = one if (one.gas.most, one.alloc.most) >= (other.gas.most, other.alloc.most) else other
        if len(self.parts) < len(chosen.parts):  # the fewer to the more, for branches stand in branches
            self.parts, chosen.parts = chosen.parts, self.parts
        for part in chosen.parts.values():
            self._add_part(part)


def _distinct(origins: tuple[Origin, ...]) -> tuple[Origin, ...]:
    return tuple(dict.fromkeys(origins))
