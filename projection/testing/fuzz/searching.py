"""The search: events until something new is remarkable, then the fewest and plainest for which it is; and so on.

Hypothesis makes the events and makes them few. Each search for one new thing goes on where the seed leads, so that no
event is looked at twice while there is something to find.
"""

from __future__ import annotations

import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import HealthCheck, Phase, Verbosity, find, settings
from hypothesis.errors import HypothesisWarning, NoSuchExample

from projection.testing.fuzz.observing import Kind, Observation, Sign, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hypothesis.strategies import SearchStrategy

    from projection.lang.source import Span

    Events = Sequence[dict[str, Any]]
    Strategy = SearchStrategy[list[dict[str, Any]]]

_SHRINKING = 100  # lists that hypothesis tries to make one smaller; then, events that nothing depends on are left out
_FEW = 50  # events in a search that ends by itself: there are no more different ones
_SETTINGS = settings(
    database=None,
    deadline=None,
    max_examples=150,  # of a search for one thing, the first tenth of which hypothesis keeps small; more begin anew
    phases=(Phase.generate, Phase.target, Phase.shrink),  # what Phase.explain finds out is told to nobody
    print_blob=False,
    suppress_health_check=list(HealthCheck),
    verbosity=Verbosity.quiet,
)


class Found(NamedTuple):
    """Something remarkable, and the fewest events that show it."""

    observation: Observation
    events: Events


@dataclass
class Counts:
    """What a search has looked at, without what it took to make events few."""

    events: int = 0
    sequences: int = 0
    failures: Counter[str] = field(default_factory=Counter)  # by code
    disorder: dict[str, set[Span]] = field(default_factory=dict)  # by code, the handlers that it happens to
    changes: dict[Span, Found] = field(default_factory=dict)  # for each handler, events with which it changes a view


class _EnoughError(BaseException):
    """Ends a search; no `Exception`, for those mean to hypothesis that it has found something."""


class Search:
    """Searches one program, with a budget of events and perhaps of time."""

    def __init__(
        self, subject: Subject, seed: int, seconds: float | None = None, ignored: frozenset[Kind] = frozenset()
    ) -> None:
        self.counts = Counts()
        self.is_late = False
        self._subject = subject
        self._ignored = ignored | {Kind.CHANGES}
        self._random = Random(seed)  # noqa: S311 - no secret
        self._deadline = None if seconds is None else monotonic() + seconds

    def run(self, strategy: Strategy, budget: int, known: set[Sign], *, by_place: bool = True) -> Iterator[Found]:
        """What is new among so many events.

        Args:
            strategy: makes the lists of events.
            budget: so many events are looked at, beside those that it takes to make lists small.
            known: the signs that are no news; takes those that are found.
            by_place: whether a failure at another place is another one; else it is so by its code.
        """
        until = self.counts.events + budget
        while self.counts.events < until and not self.is_late:
            before = self.counts.events
            found = self._next(strategy, until, known, by_place=by_place)
            if found is None and self.counts.events - before < _FEW:
                return
            if found is not None:
                known.add(found.observation.sign)
                yield found

    def _next(self, strategy: Strategy, until: int, known: set[Sign], *, by_place: bool) -> Found | None:
        target: Sign | None = None
        smallest: Events = []
        shrinking = 0

        def news(events: Events) -> list[Observation]:
            observed = self._subject.observe(events, commits=target is None or target.kind is Kind.COMMITS)
            if target is None:
                self._count(events, observed)
            observed = [one for one in observed if one.sign not in known and one.sign.kind not in self._ignored]
            if by_place:
                return observed
            coarse = [one._replace(sign=one.sign.anywhere()) for one in observed]
            return [one for one in coarse if one.sign not in known]

        def is_it(events: list[dict[str, Any]]) -> bool:
            nonlocal target, smallest, shrinking
            self._look_at_the_clock()
            signs = [one.sign for one in news(events)]
            if target is not None:
                shrinking += 1
            elif signs:
                target = signs[0]
            if shrinking > _SHRINKING or (target is None and self.counts.events >= until):
                raise _EnoughError
            if target not in signs:
                return False
            if not smallest or _size(events) <= _size(smallest):
                smallest = events
            return True

        with suppress(NoSuchExample, _EnoughError), warnings.catch_warnings():
            warnings.simplefilter("ignore", HypothesisWarning)  # events may be larger than it likes to write out
            find(strategy, is_it, settings=_SETTINGS, random=Random(self._random.getrandbits(64)))  # noqa: S311
        if target is None:
            return None
        return fewest(smallest, lambda events: next((one for one in news(events) if one.sign == target), None))

    def _count(self, events: Events, observed: Sequence[Observation]) -> None:
        counts = self.counts
        counts.sequences += 1
        counts.events += len(events)
        for one in observed:
            if one.sign.kind in (Kind.FAILS, Kind.DISORDER, Kind.FULL, Kind.ON_PURPOSE):
                counts.failures[one.sign.what] += 1
            if one.sign.kind is Kind.DISORDER:
                counts.disorder.setdefault(one.sign.what, set()).add(one.span)
            if one.sign.kind is Kind.CHANGES and one.span not in counts.changes:
                counts.changes[one.span] = Found(one, events)

    def _look_at_the_clock(self) -> None:
        if self._deadline is not None and monotonic() > self._deadline:
            self.is_late = True
            raise _EnoughError


def fewest(events: Events, shown: Callable[[Events], Observation | None]) -> Found:
    """What the events show, and them without those that can be left out."""
    kept, found = list(events), shown(events)
    for index in reversed(range(len(kept))):
        without = shown(tried := kept[:index] + kept[index + 1 :])
        if without is not None:
            kept, found = tried, without
    if found is None:
        raise AssertionError("these events do not show it")
    return Found(found, kept)


def _size(events: Events) -> tuple[int, int]:
    return len(events), len(str(events))
