"""Trace contexts: what W3C's grammar takes, and nothing else; and distributions, which hold traces as exemplars."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.model.distribution import Distribution
from projection.model.trace_context import TraceContext

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", TraceContext(TRACE, SPAN, is_sampled=True)),
        (f"00-{TRACE}-{SPAN}-00", TraceContext(TRACE, SPAN, is_sampled=False)),
        (f"00-{TRACE}-{SPAN}-03", TraceContext(TRACE, SPAN, is_sampled=True)),
        (f"cc-{TRACE}-{SPAN}-01-of-a-later-version", TraceContext(TRACE, SPAN, is_sampled=True)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-1", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        ("", None),
    ],
)
def test_a_traceparent_is_read_as_the_recommendation_has_it(text, expected):
    assert expected == TraceContext.parse(text)


@given(st.text())
def test_whatever_text_comes_is_a_trace_or_none(text):
    assert TraceContext.parse(text) is None or len(text) >= 55


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
