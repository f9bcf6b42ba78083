"""Small values can share their parts so often that they are huge: neither comparing nor writing one takes its time."""

from __future__ import annotations

import time

import pytest
from language_support import Expression, Fold, plenty

from projection.lang.failures import Failure

SHARED = "let a = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]; " + " ".join(
    f"let {to} = [{', '.join([of] * 10)}];" for of, to in zip("abcdefghijk", "bcdefghijkl", strict=True)
)


@pytest.mark.parametrize("operation", ["k == k", "k != [k]!", "[k] == [k]", "k in [k, k]"])
def test_comparing_what_shares_its_parts_runs_out_of_gas_instead_of_time(operation: str) -> None:
    run, meter, before = Expression(f"{SHARED} {operation}".replace("[k]!", "k"), "event In {}"), plenty(), time.perf_counter()
    with pytest.raises(Failure) as caught:
        run.run("{}", meter)
    assert ("O901", meter.gas_limit) == (caught.value.code, meter.used)
    assert time.perf_counter() - before < 3


def test_looking_for_a_long_list_in_a_list_costs_what_it_takes() -> None:
    run = Expression("e.xs in [e.ys for y in e.ys]", "event In { xs: list<int>, ys: list<int> }")
    with pytest.raises(Failure, match="out of gas"):
        run.run(f'{{"xs": {[*range(999), 7]}, "ys": {list(range(1000))}}}')


NESTED = """proj 1
projection p
event E { id: string }
view V { all: list<list<list<list<list<list<int>>>>>> }
on E as e to e.id =>
  let a = [n for n in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]];
  let b = [a for n in a]; let c = [b for n in a]; let d = [c for n in a]; let f = [d for n in a]; let g = [f for n in a];
  { all: g }
"""
LONG = """proj 1
projection p
event E { id: string, s: string }
view V { all: list<string> }
on E as e to e.id => { all: [e.s for n in [k + j for k in [0, 10, 20, 30, 40] for j in [1]]] }
"""


def test_a_view_that_would_be_huge_is_refused_before_it_is_written() -> None:
    fold, before = Fold(NESTED), time.perf_counter()
    with pytest.raises(Failure) as caught:
        fold.apply("E", '{"id": "a"}')
    assert "R712" == caught.value.code
    assert time.perf_counter() - before < 5
    assert {} == fold.views


def test_a_view_of_many_long_texts_is_refused_before_it_is_written() -> None:
    program = NESTED.replace("list<int>>>>>>", "list<string>>>>>>").replace("id: string }", "id: string, s: string }")
    fold, before = Fold(program.replace("[n for n in", "[e.s for n in")), time.perf_counter()
    with pytest.raises(Failure) as caught:
        fold.apply("E", '{"id": "a", "s": "' + "x" * 60_000 + '"}')
    assert "R712" == caught.value.code
    assert time.perf_counter() - before < 5
