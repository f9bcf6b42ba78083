"""Two states of a view and the places where they differ."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.history.changes import ABSENT, Change, changes, concerns

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "é"]),
    lambda inside: (
        st.lists(inside, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c d"]), inside, max_size=3)
    ),
    max_leaves=12,
)
states = st.none() | st.dictionaries(st.sampled_from(["n", "m", "list"]), json_values, max_size=3)


def found(before: Any, after: Any) -> list[tuple[str, Any, Any]]:
    return [
        tuple(one) for one in changes(*(None if one is None else json.dumps(one).encode() for one in (before, after)))
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"n": 1}, {"n": 2}, [("n", 1, 2)]),
        ({"n": 1}, {"n": None}, [("n", 1, None)]),
        ({"n": 1}, {}, [("n", 1, ABSENT)]),
        (None, {"n": {"m": 1}}, [("n", ABSENT, {"m": 1})]),
        ({"n": {"m": 1, "k": 0}}, {"n": {"m": 2, "k": 0}}, [("n.m", 1, 2)]),
        ({"n": {}}, {"n": {"a b": 1}}, [('n["a b"]', ABSENT, 1)]),
        ({"l": [1, 2]}, {"l": [1, 3]}, [("l[1]", 2, 3)]),
        ({"l": [1, 2]}, {"l": [1, 2, 3]}, [("l[2]", ABSENT, 3)]),
        ({"l": [1, 2]}, {"l": [0, 1, 2]}, [("l[0]", ABSENT, 0)]),
        ({"l": [1, 2, 3]}, {"l": [2, 3]}, [("l[0]", 1, ABSENT)]),
        ({"l": [{"q": 1}]}, {"l": [{"q": 2}]}, [("l[0].q", 1, 2)]),
        ({"n": 1}, {"n": True}, [("n", 1, True)]),
    ],
)
def test_each_place_that_differs_is_named_with_what_stood_and_stands_there(
    before: Any, after: Any, expected: Any
) -> None:
    assert expected == found(before, after)


def test_numbers_are_exact() -> None:
    (change,) = changes(b'{"n":0.10}', b'{"n":12345678901234567890.10}')
    assert Change("n", Decimal("0.10"), Decimal("12345678901234567890.10")) == change


@given(states, states)
def test_states_differ_where_changes_say_so_and_backwards_alike(before: Any, after: Any) -> None:
    there = found(before, after)
    assert (json.dumps(before or {}, sort_keys=True) != json.dumps(after or {}, sort_keys=True)) == bool(there)
    assert [(path, old, new) for path, new, old in found(after, before)] == there


def test_a_change_concerns_the_places_around_it_and_in_it_and_no_namesake() -> None:
    assert concerns("lines[0].n", "lines")
    assert concerns("lines", "lines[0].n")
    assert concerns("n", "n")
    assert not concerns("lines[0]", "lines[1]")
    assert not concerns("amounts", "amount")
