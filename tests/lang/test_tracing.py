"""Tracing changes nothing: every case comes to the same value or failure and to the same gas and alloc."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language_support import meta

from projection.lang.failures import Failure
from projection.lang.program import Limits, Program
from projection.lang.run.executors import Execution
from projection.lang.run.tracing import MAX_STEPS, Tracing

PROGRAM = """\
proj 1
projection p
event E { id: string, xs: list<int>(50), by: int }
view V { n: int = 0, xs: list<int>(50) = [], last?: int }
fn total(xs: list<int>) -> int = sum(x for x in xs if x > 0)
on E as e to e.id
  when e.by == 0 => delete
  when view == none => { n: total(e.xs), xs: e.xs }
  else =>
    let n = fold(n = view.n for x in e.xs => n + div(x, e.by));
    view with { n, xs: [...view.xs, n], last: view.last! }
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("tracing") / "p.proj"
    file.write_text(PROGRAM)
    return file


def outcome(program, event, view):
    """What one event comes to: routes, and for each view its JSON, or a failure's code, place and gas."""
    payload, targets, gas = program.reaction("a", "E").take(event, meta())
    found = []
    for view_id, steps in targets.items():
        held = None if view is None else program.decode_view(view)
        try:
            applied = program.apply(view_id, steps, payload, meta(), held)
        except Failure as failure:
            found.append((view_id, failure.code, failure.message, failure.span, failure.gas))
        else:
            data = None if applied.view is None else program.encode_view(applied.view)
            found.append((view_id, data, applied.gas, applied.alloc))
    return gas, found


EVENTS = st.builds(
    lambda xs, by: b'{"id":"a","xs":%s,"by":%d}' % (str(xs).encode(), by),
    st.lists(st.integers(-9, 9), max_size=20),
    st.integers(-1, 2),
)
VIEWS = st.sampled_from(
    [
        None,
        b'{"last":null,"n":1,"xs":[]}',
        b'{"last":1,"n":9223372036854775807,"xs":[]}',
        b'{"last":2,"n":1,"xs":[3]}',
    ]
)


@settings(max_examples=150)
@given(EVENTS, VIEWS, st.sampled_from([10, 40, 80, 200_000]))
def test_a_traced_program_does_and_costs_the_same(path, event, view, gas):
    plain = Program.load(path, Limits(gas=gas), execution=Execution.INTERPRETED)
    tracing = Tracing(plain.checked.core.functions)
    assert outcome(plain, event, view) == outcome(Program(plain.checked, Limits(gas=gas), tracing), event, view)
    for run in tracing.runs:
        assert run.gas >= sum(step.gas for step in run.steps) >= 0


def test_the_steps_hold_the_value_of_every_node_and_where_it_failed(path):
    checked = Program.load(path).checked
    tracing = Tracing(checked.core.functions)
    program = Program(checked, None, tracing)
    outcome(program, b'{"id":"a","xs":[1,2],"by":1}', b'{"last":null,"n":1,"xs":[]}')
    route, body = tracing.runs
    assert ("a", None) == (route.value, route.failure)
    failing = body
    while inner := [one for one in failing.steps if one.failure is not None]:
        (failing,) = inner
    assert ("R704", "view.last!") == (
        failing.failure.code,
        PROGRAM[failing.node.span.start : failing.node.span.end],
    )


def test_a_very_long_computation_is_computed_to_its_end_and_written_down_as_far_as_it_goes(tmp_path):
    (tmp_path / "p.proj").write_text(
        PROGRAM.replace("sum(x for x in xs if x > 0)", "sum(sum(x + y for y in xs) for x in xs)").replace(
            "(50)", "(500)"
        )
    )
    checked = Program.load(tmp_path / "p.proj").checked
    tracing = Tracing(checked.core.functions)
    limits = Limits(gas=10_000_000, alloc=10_000_000)
    event = b'{"id":"a","xs":%s,"by":1}' % str([1] * 200).encode()
    assert outcome(Program(checked, limits), event, None) == outcome(Program(checked, limits, tracing), event, None)

    def count(step):
        return 1 + sum(map(count, step.steps))

    assert MAX_STEPS == count(tracing.runs[-1]) - 1
