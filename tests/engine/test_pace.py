"""How long a catch-up will take: by how much nearer the end came, whatever came to the log meanwhile."""

from __future__ import annotations

import pytest

from projection.engine import pace as pace_module
from projection.engine.pace import Pace


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1_000.0

    monkeypatch.setattr(pace_module, "monotonic", lambda: Clock.now)
    return Clock


def look(pace, clock, to_go, seconds=1.0):
    clock.now += seconds
    pace.saw(to_go)


def test_the_time_left_is_what_is_to_go_by_the_rate_of_late(clock):
    pace = Pace()
    assert (None, None) == (pace.rate, pace.left_s(10))
    for to_go in range(100_000, 50_000, -1_000):
        look(pace, clock, to_go)
    assert (1_000.0, 51.0) == (pace.rate, pace.left_s(51_000))
    for to_go in range(50_000, 40_000, -100):  # it has become ten times slower
        look(pace, clock, to_go)
    assert (100.0, 401.0) == (pace.rate, pace.left_s(40_100))


def test_what_comes_to_the_log_meanwhile_counts(clock):
    pace = Pace()
    for second in range(15):
        look(pace, clock, 10_000 - 1_000 * second + 900 * second)
    assert (100.0, 50.0) == (pace.rate, pace.left_s(5_000))


def test_where_the_log_grows_as_fast_as_it_is_folded_nobody_knows(clock):
    pace = Pace()
    for second in range(15):
        look(pace, clock, 10_000 + 10 * second)
    assert (0.0, None) == (pace.rate, pace.left_s(10_140))


def test_it_begins_anew_once_all_have_caught_up_and_looks_now_and_then_only(clock):
    pace = Pace()
    look(pace, clock, 5_000)
    look(pace, clock, 4_000)
    look(pace, clock, None)
    assert pace.rate is None
    for _ in range(9):
        look(pace, clock, 100, seconds=0.05)
    assert pace.rate is None
