"""Distributions count measures in buckets, and hold traces as exemplars."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.model.distribution import Distribution


@given(st.lists(st.floats(0, 20, allow_nan=False)))
def test_each_measure_is_counted_in_the_first_bucket_that_holds_it(measures):
    found = Distribution()
    for number, one in enumerate(measures):
        found.add(one, f"{number}")
    below = [sum(found.counts[: place + 1]) for place in range(len(found.bounds))]
    assert [sum(one <= bound for one in measures) for bound in found.bounds] == below
    assert (len(measures), pytest.approx(sum(measures))) == (sum(found.counts), found.total)
    for place, exemplar in enumerate(found.exemplars):
        assert (exemplar is None) == (not found.counts[place])
        if exemplar is not None:
            assert measures[int(exemplar.trace_id)] == exemplar.value
