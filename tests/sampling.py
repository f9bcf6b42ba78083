"""How much of the large matrices, of the property tests and of the dear tests a run takes; the rest is `make test-all`'s.

Both follow one seed, which is shown at the head of a run and can be given: `SAMPLE_SEED=17 make test`. It is in the
environment so that all workers of a run, and what they start, collect the same tests.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterable

SEED = "SAMPLE_SEED"
ALL = "all"  # in place of a seed
PART = 4  # a short run tries one of so many examples
DEAR_PART = 8  # and of so many tests that are dear
DEAR_S = 0.5  # of processor time, from which on a test is dear
DEAR = Path(__file__).parent / "dear_tests.txt"  # which are: SAMPLE_SEED=all DEAR_TESTS=tests/dear_tests.txt make test
LEAST = 10  # examples, or as many as the test has
TIMES = 2  # so many times its examples in the long form

os.environ.setdefault(SEED, str(SystemRandom().randrange(2**32)))


def header() -> str:
    """What the head of a run says of it."""
    return f"{SEED}={os.environ[SEED]}"


def sampled(cases: Iterable[Any], count: int) -> list[Any]:
    """The cases for `parametrize`, of which all but so many are marked as long: others for each seed."""
    cases, seed = list(cases), os.environ[SEED]
    if seed == ALL or count >= len(cases):
        return cases
    chosen = set(Random(seed).sample(range(len(cases)), count))
    return [
        case if number in chosen else pytest.param(case, marks=pytest.mark.long) for number, case in enumerate(cases)
    ]


def rotate(items: Iterable[pytest.Item]) -> None:
    """Leave most of the dear tests to the long run, others for each seed."""
    dear, seed = set(DEAR.read_text().splitlines()), os.environ[SEED]
    for item in items:
        test, _, _ = item.nodeid.partition("[")
        if seed != ALL and test in dear and Random(f"{seed} {item.nodeid}").randrange(DEAR_PART):
            item.add_marker("long")


def scale_examples(items: Iterable[pytest.Item], *, long: bool) -> None:
    """Give property tests their number of examples, and mark them; those that are long by themselves stay as they are."""
    scaled = set[Any]()  # one test may be several items
    for item in items:
        test = getattr(item, "obj", None)
        test = getattr(test, "__func__", test)
        own = getattr(test, "_hypothesis_internal_use_settings", None)  # a state machine's are its class's
        if own is None or item.get_closest_marker("long") is not None:
            continue
        item.add_marker("property")
        if test not in scaled:
            scaled.add(test)
            most = TIMES * own.max_examples if long else max(min(LEAST, own.max_examples), own.max_examples // PART)
            test._hypothesis_internal_use_settings = settings(own, max_examples=most)
