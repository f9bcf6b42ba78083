"""Small values can share their parts so often that they are huge: neither comparing nor writing one takes its time."""

from __future__ import annotations

import pytest
from language_support import Expression, Fold, plenty
from yardstick import A_LOT, steps

from projection.lang.failures import Failure

SHARED = "let v0 = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]; " + " ".join(
    f"let v{n} = [{', '.join([f'v{n - 1}'] * 10)}];" for n in range(1, 12)
)


@pytest.mark.parametrize("operation", ["v11 == v11", "v11 != v11", "[v10] == v11", "v11 in [v11, v11]"])
def test_comparing_what_shares_its_parts_runs_out_of_gas_instead_of_time(operation: str) -> None:
    run, meter = Expression(f"{SHARED} {operation}"), plenty()

    def run_out_of_gas() -> None:
        with pytest.raises(Failure) as caught:
            run.run("{}", meter)
        assert ("O901", meter.gas_limit) == (caught.value.code, meter.used)

    assert steps(run_out_of_gas) < A_LOT


def test_looking_for_a_long_list_in_a_list_costs_what_it_takes() -> None:
    run = Expression("e.xs in [e.ys for y in e.ys]", "event In { xs: list<int>, ys: list<int> }")
    with pytest.raises(Failure, match="out of gas"):
        run.run(f'{{"xs": {[*range(999), 7]}, "ys": {list(range(1000))}}}')


RECORDS = """proj 1
projection p
event E { id: string, s: string }
type T0 { xs: list<string>(10) }
type T1 { xs: list<T0>(10) }
type T2 { xs: list<T1>(10) }
type T3 { xs: list<T2>(10) }
type T4 { xs: list<T3>(10) }
type T5 { xs: list<T4>(10) }
type T6 { xs: list<T5>(10) }
view V { all: T6 }
fn t0(s: string) -> T0 = { xs: [s, s, s, s, s, s, s, s, s, s] }
fn t1(t: T0) -> T1 = { xs: [t, t, t, t, t, t, t, t, t, t] }
fn t2(t: T1) -> T2 = { xs: [t, t, t, t, t, t, t, t, t, t] }
fn t3(t: T2) -> T3 = { xs: [t, t, t, t, t, t, t, t, t, t] }
fn t4(t: T3) -> T4 = { xs: [t, t, t, t, t, t, t, t, t, t] }
fn t5(t: T4) -> T5 = { xs: [t, t, t, t, t, t, t, t, t, t] }
fn t6(t: T5) -> T6 = { xs: [t, t, t, t, t, t, t, t, t, t] }
on E as e to e.id => { all: t6(t5(t4(t3(t2(t1(t0(e.s))))))) }
"""


@pytest.mark.parametrize("length", [1, 60_000])
def test_a_view_that_would_be_huge_is_refused_before_it_is_written(length: int) -> None:
    fold = Fold(RECORDS)

    def be_refused() -> None:
        with pytest.raises(Failure) as caught:
            fold.apply("E", '{"id": "a", "s": "' + "x" * length + '"}')
        assert ("R712", True) == (caught.value.code, caught.value.gas < 500)

    assert steps(be_refused) < A_LOT
    assert {} == fold.views
