"""How old an answer is, by clocks that may be apart."""

from __future__ import annotations

import pytest

from projection.model.checkpoint import LanePosition
from projection.query import freshness
from projection.query.errors import NotFreshError
from projection.query.freshness import Wanted, age, require

NOW = 1_700_000_000.0
YEAR = 365 * 86_400.0


@pytest.fixture(autouse=True)
def _now(monkeypatch):
    monkeypatch.setattr(freshness, "time", lambda: NOW)


def position(stored, scanned=7):
    return LanePosition(scanned=scanned, scanned_time=None if stored is None else str(int(stored * 1e9)))


@pytest.mark.parametrize(
    ("stored", "looked", "lag_s"),
    [
        (NOW - 5, None, 5.0),
        (NOW - 5, (7, NOW - 2), 2.0),
        (NOW - 5, (8, NOW - 2), 5.0),  # the look was at more than is in the views
        (None, (7, NOW - 2), 2.0),
        (None, None, None),
        (NOW + 0.5, None, 0.0),  # clocks are never quite together
    ],
)
def test_the_later_of_what_is_stored_and_what_was_seen_counts(stored, looked, lag_s):
    assert lag_s == age(position(stored), looked).lag_s


@pytest.mark.parametrize("ahead", [2.0, 3_600.0, YEAR])
@pytest.mark.parametrize(("looked", "lag_s"), [(None, None), ((8, NOW), None), ((7, NOW - 2), 2.0)])
def test_a_moment_that_our_clock_has_not_reached_is_no_age(ahead, looked, lag_s):
    found = age(position(NOW + ahead), looked)
    assert lag_s == found.lag_s
    assert found.as_of is not None  # by the clock of the log
    if lag_s is None:
        with pytest.raises(NotFreshError, match="their age is not known"):
            require(position(NOW + ahead), found.lag_s, Wanted(max_lag_s=10.0))


def test_a_look_of_before_our_clock_was_set_back_is_no_age():
    assert age(position(NOW - 5), (7, NOW + YEAR)).lag_s == 5.0
    assert age(position(NOW + YEAR), (7, NOW + YEAR)).lag_s is None
