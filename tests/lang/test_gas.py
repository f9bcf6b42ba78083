"""Gas is part of the meaning: the same run is charged the same, and a limit below that is always hit, and exactly.

The figures themselves stand in cases/gas.cases.
"""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language_generator import PRELUDE, PRODUCTIONS, event, expression
from language_support import CASES, Case, Expression, Fold, plenty, read_cases

from projection.lang import core
from projection.lang.failures import Failure
from projection.lang.program import Limits
from projection.lang.reporting import ProgramInvalidError
from projection.lang.run.interpreter import Meter
from projection.lang.values.codec import encode

EXPRESSIONS = [case for case in read_cases(CASES / "gas.cases") if not case.text.startswith("proj")]


def outcome_of(run: Expression, payload: str, meter: Meter) -> tuple[object, ...]:
    """What a run yields, or how it fails; and what was charged."""
    try:
        result: object = encode(run.run(payload, meter))
    except Failure as failure:
        result = (failure.code, failure.span, failure.message)
    return result, meter.used, meter.alloc_limit - meter.alloc


@pytest.mark.parametrize("case", EXPRESSIONS, ids=str)
def test_with_every_limit_below_what_a_run_uses_it_runs_out_of_gas_and_reports_the_limit(case: Case) -> None:
    run, full = Expression(case.text, case.prelude), plenty()
    expected, used, alloc = outcome_of(run, case.event, full)
    for limit in range(used):
        result, charged, _alloc = outcome_of(run, case.event, Meter(limit, 10**6))
        assert ("O901", limit) == (result[0], charged)  # type: ignore[index]
    assert (expected, used, alloc) == outcome_of(run, case.event, Meter(used, alloc))


@pytest.mark.parametrize("case", EXPRESSIONS, ids=str)
def test_with_every_limit_below_what_a_run_allocates_it_runs_out_of_memory(case: Case) -> None:
    run, full = Expression(case.text, case.prelude), plenty()
    _result, _used, alloc = outcome_of(run, case.event, full)
    for limit in range(alloc):
        result, _gas, allocated = outcome_of(run, case.event, Meter(10**6, limit))
        assert ("O902", limit) == (result[0], allocated)  # type: ignore[index]


def test_a_comprehension_that_is_one_segment_is_charged_for_all_items_before_the_first() -> None:
    run = Expression("[div(1, x) for x in e.xs]", "event In { xs: list<int> }")
    meter = plenty()
    with pytest.raises(Failure, match="division by zero"):
        run.run('{"xs": [0, 1, 1, 1]}', meter)
    assert 6 + 2 + 4 * (1 + 1 + 6) == meter.used


def test_a_comprehension_that_is_not_one_segment_is_charged_item_by_item() -> None:
    run = Expression("[div(1, x) + (if x > 0 then 1 else 0) for x in e.xs]", "event In { xs: list<int> }")
    meter = plenty()
    with pytest.raises(Failure, match="division by zero"):
        run.run('{"xs": [1, 0, 1, 1]}', meter)
    item = 6 + 1 + 2 + 1 + 1 + 1  # div, x, +, if, >, x; the branches are constants
    assert 6 + 2 + 4 * 1 + 2 * item == meter.used


def test_the_core_holds_a_head_for_every_segment_and_none_inside() -> None:
    run = Expression("if e.flag then e.n + 1 else 2", "event In { n: int, flag: bool }")
    assert isinstance(run.core, core.Charge)
    assert isinstance(run.core.body, core.If)
    assert isinstance(run.core.body.yes, core.Charge)
    assert isinstance(run.core.body.no, core.Const)  # costs nothing, so it has no head


PROGRAM = """proj 1
projection p
event E { id: string, n: int }
view V { n: int }
on E as e to e.id => { n: div(100, e.n) }
"""


def test_a_failure_tells_what_was_charged_until_then_and_tells_the_same_again() -> None:
    fold, found = Fold(PROGRAM), []
    for _ in range(2):
        with pytest.raises(Failure) as caught:
            fold.apply("E", '{"id": "a", "n": 0}')
        found.append((caught.value.code, caught.value.gas, caught.value.span))
    assert found[0] == found[1]
    assert ("R703", 3 + 1 + 6 + 2) == found[0][:2]


def test_a_program_that_runs_out_of_gas_reports_its_limit_and_changes_nothing() -> None:
    fold = Fold(PROGRAM)
    used = fold.apply("E", '{"id": "a", "n": 1}').gas["a"]
    short = Fold(PROGRAM, Limits(gas=used - 1))
    with pytest.raises(Failure) as caught:
        short.apply("E", '{"id": "a", "n": 1}')
    assert ("O901", used - 1) == (caught.value.code, caught.value.gas)
    assert {} == short.views


def test_a_route_has_a_budget_of_its_own() -> None:
    short = Fold(PROGRAM, Limits(route_gas=1))
    with pytest.raises(Failure) as caught:
        short.apply("E", '{"id": "a", "n": 1}')
    assert ("O901", 30 + 19 + 1) == (caught.value.code, caught.value.gas)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), share=st.floats(0, 1.2), alloc_share=st.floats(0, 1.2))
def test_whatever_the_limits_the_outcome_is_the_full_one_or_out_of_gas_or_out_of_memory(
    seed: int, share: float, alloc_share: float
) -> None:
    random = Random(seed)
    try:
        run = Expression(expression(random, random.choice(sorted(PRODUCTIONS)), 3), PRELUDE)
    except ProgramInvalidError:
        return
    payload = json.dumps(event(random))
    full = outcome_of(run, payload, plenty())
    assert full == outcome_of(run, payload, plenty())
    gas, alloc = int(full[1] * share), int(full[2] * alloc_share)  # type: ignore[call-overload]
    limited = outcome_of(run, payload, Meter(gas, alloc))
    if gas >= full[1] and alloc >= full[2]:  # type: ignore[operator]
        assert full == limited
    else:
        result, used, allocated = limited
        assert ("O901", gas) == (result[0], used) or ("O902", alloc) == (result[0], allocated)  # type: ignore[index]
