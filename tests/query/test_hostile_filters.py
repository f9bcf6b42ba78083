"""Hostile filters, deep, wide and long, in both forms: work grows with their size, and never long without a step.

What is counted are lines of Python that run, so the machine does not matter. Whoever runs the language holds it up at a
step only (`projection.lang.steps`): as many lines as run between two steps run while nobody else has a turn.
"""

from __future__ import annotations

import ast
import gc
import json
import sys
import tracemalloc
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from projection.lang.run.compiler import Compiled, Emitter
from projection.lang.run.emission import MAX_NODES
from projection.lang.run.executors import Execution
from projection.lang.steps import told
from projection.model.ids import ViewType
from projection.model.query_limits import QueryLimits
from projection.ops.http.parameters import read_query
from projection.query.errors import FilterFailedError, QueryError, QueryLimitError
from projection.query.filters import VIEW_GAS, compile_filter
from projection.query.form import Query
from projection.query.schema import ViewSchema
from projection.query.serving import _BYTE_WEIGHT, _NODE_WEIGHT, _QUERY_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

PROGRAM = """
proj 1
projection things
type Line { sku: string, qty: int, parts: list<int> = [] }
event Made { id: string, doc: json }
view Thing {
  n: int = 0, o: int?, price: decimal(2) = 0.00, s: string = "", doc: json, lines: list<Line> = [],
  by: map<string, int> = {}, status: enum(open, shut) = "open",
}
fn twice(n: int) -> int = n * 2
on Made as e to e.id => { doc: e.doc }
"""
VIEW = (
    b'{"by":{},"doc":"","lines":[{"parts":[1,2],"qty":1,"sku":"TEA"}],"n":1,"o":null,"price":1.50,"s":"a",'
    b'"status":"open"}'
)
MOST = 2.4  # times as much work for twice the filter; of what grows with the square of it, 4 times
BETWEEN = 10_000  # lines between two steps: about a millisecond
ROOM = QueryLimits(filter_bytes=2**20, filter_nodes=100_000, filter_leaves=10_000)


@cache
def things() -> ViewSchema:
    return ViewSchema.of("things.proj", PROGRAM)


def compared(field: Any, value: Any = 1, op: str = "eq") -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


def nested(levels: int) -> Any:
    found: Any = compared("n")
    for level in range(levels):
        found = {"not": found} if level % 2 else {"or": [found, compared("price", "1.00")]}
    return found


def shared(name: str, levels: int) -> str:
    """A list whose items are one list again and again: of ten to the power of `levels` values, and more."""
    steps = [f"let {name}{n} = [{', '.join([f'{name}{n - 1}'] * 10)}]; " for n in range(1, levels + 1)]
    return f"let {name}0 = [n]; " + "".join(steps)


# A filter of a size, and the size that is doubled twice. What nests is bounded by a small number already.
FAMILIES: dict[str, tuple[Callable[[int], Any], int]] = {
    "or": (lambda n: {"or": [compared("n", value) for value in range(n)]}, 12),
    "and": (lambda n: {"and": [compared("n", value, "ne") for value in range(n)]}, 12),
    "or of optional fields": (lambda n: {"or": [compared("o", value) for value in range(n)]}, 12),
    "or of entries": (lambda n: {"or": [compared(["by", f"k{value}"]) for value in range(n)]}, 12),
    "paths into json": (lambda n: {"or": [compared(["doc", *["a"] * 31], value) for value in range(n)]}, 2),
    "a long path into json": (lambda n: compared(["doc", *["a"] * n]), 7),
    "items of lists": (lambda n: {"or": [compared("lines.parts", value, "contains") for value in range(n)]}, 7),
    "nested": (nested, 7),
    "in": (lambda n: compared("n", list(range(n)), "in"), 100),
    "in, of texts": (lambda n: compared("s", [f"text {value}" for value in range(n)], "in"), 100),
    "in, of decimals": (lambda n: compared("price", [f"{value}.25" for value in range(n)], "in"), 100),
    "long text": (lambda n: compared("s", "x" * n), 2_000),
    "text: long text": (lambda n: f's == "{"x" * n}"', 2_000),
    "text: escapes": (lambda n: 's == "' + r"\n" * n + '"', 250),
    "text: in": (lambda n: f"n in [{','.join(['1'] * n)}]", 75),
    "text: in, of decimals": (lambda n: f"price in [{','.join(['1.25'] * n)}]", 75),
    "text: in, of names": (lambda n: f"n in [{','.join(['n'] * n)}]", 50),
    "text: interpolations": (lambda n: f'"{"{n}" * n}" == s', 37),
    "text: or": (lambda n: " or ".join(f"n == {value}" for value in range(n)), 10),
    "text: and of in": (lambda n: " and ".join(f"n in [{','.join('123456789')}]" for _ in range(n)), 7),
    "text: any": (lambda n: " or ".join(f"any(line.qty == {value} for line in lines)" for value in range(n)), 6),
    "text: any in any": (
        lambda n: " or ".join(f"any(any(p == {value} for p in line.parts) for line in lines)" for value in range(n)),
        4,
    ),
    "text: calls": (lambda n: " or ".join(f"twice(n) == {value}" for value in range(n)), 6),
    "text: match": (lambda n: f"match n {{{', '.join(f'{value} => true' for value in range(n))}, _ => false}}", 7),
    "text: not": (lambda n: "not (" * n + "n == 1" + ")" * n, 7),
    "text: let": (lambda n: "".join(f"let a{value} = n + {value}; " for value in range(n)) + "a0 == 1", 7),
    "text: huge number": (lambda n: f"price < {'9' * (n // 60)}.5 and s == \"{'9' * n}\"", 250),
    "text: wrong names": (lambda n: f"n in [{','.join(['nn'] * n)}]", 10),
    "text: no end": (lambda n: "n in [" + "1," * n, 75),
    "text: shared lists compared": (lambda n: shared("a", n) + shared("b", n) + f"a{n} == b{n}", 7),
    "text: a shared list in another": (lambda n: shared("a", n) + shared("b", n) + f"a{n} in [b{n}]", 7),
    "text: a shared list compared with a small one": (
        lambda n: shared("a", n) + f"any(a{n} == [] for x in range(4))", 7
    ),
    "select": (lambda n: {"select": [["by", f"k{value}"] for value in range(n)]}, 12),
}  # fmt: skip


@dataclass
class Work:
    """What was counted of a piece of work."""

    lines: int = 0
    between: int = 0  # lines between two steps, at most
    last: int = 0  # the line of the last step


def counted(work: Callable[[], object]) -> Work:
    """Count the lines of Python that a piece of work runs; a refusal ends it as well."""
    found = Work()

    def line(_frame: FrameType, event: str, _argument: object) -> object:
        found.lines += event == "line"
        return line

    def at_step() -> None:
        found.between = max(found.between, found.lines - found.last)
        found.last = found.lines

    before = sys.gettrace()
    sys.settrace(line)
    try:
        with told(at_step):
            work()
    except QueryError:
        pass
    finally:
        sys.settrace(before)
    at_step()
    return found


def phases(written: Any) -> dict[str, Work]:
    """What reading, checking, compiling and asking a filter of one view takes."""
    is_select = isinstance(written, dict) and "select" in written
    form = {"view": "things", **(written if is_select else {"filter": written})}
    done: list[Any] = []
    found = {"read": counted(lambda: done.append(Query.read(form, ROOM)))}
    if not done:
        return found
    query: Query = done.pop()
    found["check"] = counted(lambda: done.append(compile_filter(things(), query.filter, ROOM)))
    if done:
        compiled = done.pop()
        found["compile"] = counted(compiled.compile)
        view = things().decoder(compiled.fields)(VIEW)
        found["match"] = counted(lambda: compiled.matches(10**8, view, "A1"))
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_work_grows_with_a_filter_and_is_never_long_without_a_step(name):
    make, size = FAMILIES[name]
    phases(make(size))  # what is made once for all

    small, middle, large = (phases(make(count)) for count in (size, 2 * size, 4 * size))

    for phase, found in large.items():
        assert found.between <= BETWEEN, phase
        for less, more in ((small, middle), (middle, large)):
            assert more[phase].lines <= MOST * less[phase].lines + 1_000, phase


# --- caps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filter_",
    [
        {"or": [compared(["doc", *["a"] * 31], value) for value in range(40)]},
        f"n in [{','.join(['n'] * 4_000)}]",
        f'"{"{n}" * 4_000}" == s',
    ],
    ids=["paths", "names", "interpolations"],
)
def test_a_filter_that_computes_too_much_is_refused_before_it_is_compiled(filter_):
    query = Query.read({"view": "things", "filter": filter_})

    with pytest.raises(QueryLimitError, match="nodes of computation") as refused:
        compile_filter(things(), query.filter)

    assert ("filter_nodes", 4_000, "/filter") == (refused.value.limit, refused.value.value, refused.value.pointer)


@pytest.mark.parametrize("name", [name for name in FAMILIES if not name.startswith(("text: ", "select"))])
def test_nodes_are_foretold_of_a_structured_filter_and_no_fewer_than_there_are(name):
    make, size = FAMILIES[name]
    filter_ = Query.read({"view": "things", "filter": make(size)}).filter
    told_of = compile_filter(things(), filter_, ROOM).nodes
    kept: list[ast.stmt] = []

    class Counting(Compiled):
        def routine(self, node: Any, given: int, slots: int) -> Any:
            from projection.query.filters import _nodes

            kept.append(_nodes(node))  # type: ignore[arg-type]
            return super().routine(node, given, slots)

    made = compile_filter(things(), filter_, ROOM)
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr("projection.query.filters.Compiled", Counting)
        made.compile()
    assert kept[0] <= 1.5 * told_of + 10  # with charges, which are nodes as well


@pytest.mark.parametrize("size", [10_000, 1_000_000])
def test_the_size_of_a_query_is_looked_at_before_it_is_read(size, monkeypatch):
    limits = QueryLimits()
    whole = b'{"view":"things","filter":{"and":[%b]}}' % b",".join([b'{"field":"n","op":"eq","value":1}'] * size)

    def read(*_: Any) -> Any:
        raise AssertionError("it is read")

    monkeypatch.setattr("projection.query.form._plain", read)
    with pytest.raises(QueryLimitError) as refused:
        Query.read(whole, limits)
    assert ("filter_bytes", limits.filter_bytes, "") == (
        refused.value.limit, refused.value.value, refused.value.pointer,
    )  # fmt: skip


def test_a_structured_filter_that_is_too_long_is_refused_before_its_parts_are_looked_at():
    parts = [compared("n", value) for value in range(1_000)]
    few = counted(lambda: Query.read({"view": "things", "filter": {"and": parts[:500]}}, QueryLimits()))
    many = counted(lambda: Query.read({"view": "things", "filter": {"and": parts}}, QueryLimits()))
    assert many.lines <= few.lines + 10 < 100


def test_conditions_in_an_address_are_counted_before_they_are_looked_at():
    looked_at = []

    def schema_of(_view_type):
        looked_at.append(1)
        return things()

    with pytest.raises(QueryLimitError, match="more conditions than 500") as refused:
        read_query(ViewType("things"), [("n", str(number)) for number in range(2_000)], schema_of, QueryLimits())
    assert ("filter_leaves", 500, 500) == (refused.value.limit, refused.value.value, len(looked_at))
    with pytest.raises(QueryLimitError, match="bytes of JSON"):
        read_query(
            ViewType("things"), [("filter", json.dumps({"and": [compared("n")] * 1_000}))], schema_of, QueryLimits()
        )


# --- what runs -------------------------------------------------------------------------------------------------------


def asked(filter_: Any, execution: Execution = Execution.COMPILED, gas: int = 10**8) -> Any:
    compiled = compile_filter(things(), Query.read({"view": "things", "filter": filter_}).filter, ROOM, execution)
    try:
        return compiled.matches(gas, things().decoder(compiled.fields)(VIEW), "A1")
    except QueryError as error:
        return str(error)


@pytest.mark.parametrize("name", FAMILIES)
def test_large_filters_come_to_the_same_compiled_and_interpreted(name):
    make, size = FAMILIES[name]
    if name == "select" or (isinstance(filter_ := make(4 * size), str) and "wrong" in name) or "no end" in name:
        return
    assert asked(filter_) == asked(filter_, Execution.INTERPRETED)
    assert asked(filter_, gas=100) == asked(filter_, Execution.INTERPRETED, gas=100)


def test_no_function_that_is_compiled_in_one_go_is_large():
    many = {"or": [{"and": [compared("o", value), compared(["by", "k"], value)]} for value in range(150)]}
    kept: list[ast.stmt] = []
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(
            "projection.query.filters.Compiled", lambda functions, library: Compiled(functions, kept, library)
        )
        compile_filter(things(), Query.read({"view": "things", "filter": many}).filter, ROOM).compile()
    assert len(kept) > 3
    assert max(sum(1 for _ in ast.walk(one)) for one in kept) < 15 * MAX_NODES, "of some eight nodes of Python each"


def test_functions_of_the_program_are_compiled_once_for_all_filters(monkeypatch):
    defined = []
    define = Emitter.define

    def counting(self, name, *arguments):
        defined.append(name[0])
        define(self, name, *arguments)

    monkeypatch.setattr(Emitter, "define", counting)
    schema = ViewSchema.of("things.proj", PROGRAM.replace("on Made", "fn more(n: int) -> int = twice(n) + 1\non Made"))
    view = schema.decoder(frozenset(["n"]))(VIEW)
    text = "more(n) == {0} or twice(n) == {0}"
    for number in range(3, 6):
        compiled = compile_filter(schema, text.format(number))
        interpreted = compile_filter(schema, text.format(number), execution=Execution.INTERPRETED)
        assert compiled.matches(10**8, view, "A1") == interpreted.matches(10**8, view, "A1")
    assert sorted(defined) == ["f", "f", "r", "r", "r"]
    failing = compile_filter(schema, "more(n * 9223372036854775807) == 1")
    with pytest.raises(FilterFailedError, match="R701") as refused:
        failing.matches(10**8, view, "A1")
    assert refused.value.span is None, "it fails in a function, which is no part of the text"


EXPENSIVE = [
    'length(repeat("\U0001f600", 15000000)) < 0',
    'length(repeat("\U0001f600", 1600001)) < 0',
    'length(pad_start("", 15000000, "\U0001f600")) < 0',
    'length(pad_end("", 15000000, "\U0001f600")) < 0',
    "let a = repeat(s, 100000); let b = a + a; let c = b + b; let d = c + c; let e = d + d; length(e + e) < 0",
]


@pytest.mark.parametrize("filter_", EXPENSIVE)
def test_a_filter_makes_a_tenth_of_the_memory_that_a_program_may(filter_):
    tracemalloc.start()
    try:
        compiled = compile_filter(things(), Query.read({"view": "things", "filter": filter_}).filter)
        compiled.compile()
        view = things().decoder(compiled.fields)(VIEW)
        tracemalloc.reset_peak()
        with pytest.raises(FilterFailedError, match=r"on view 'A1': it makes more than .* \(O902\)") as refused:
            compiled.matches(10**8, view, "A1")
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    assert "shorter texts" in str(refused.value.hint)


def test_what_a_filter_may_make_for_a_view_it_may_make_for_every_view():
    compiled = compile_filter(things(), 'length(repeat("a", 1500000)) > 0')
    view = things().decoder(compiled.fields)(VIEW)
    left = 10**8
    for _ in range(3):
        is_match, left = compiled.matches(left, view, "A1")
        assert is_match


def test_one_view_has_its_share_of_the_gas_and_all_have_the_rest():
    dear = "count(x for x in range(100000) if x * x == n) < 0"
    with pytest.raises(FilterFailedError, match=f"more than the {VIEW_GAS:,} gas that one view may take .O901") as one:
        compile_filter(things(), dear).matches(10**8, things().decoder(frozenset(["n"]))(VIEW), "A1")
    assert one.value.span is not None
    with pytest.raises(QueryLimitError) as refused:
        compile_filter(things(), dear).matches(VIEW_GAS, things().decoder(frozenset(["n"]))(VIEW), "A1")
    assert refused.value.limit == "gas"


def weighed(form):
    """Bytes that a compiled filter takes, with what everybody made meanwhile and kept."""
    gc.collect()
    tracemalloc.start()
    try:
        compiled = compile_filter(things(), Query.read(form).filter, ROOM)
        compiled.compile()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "name",
    ["or of entries", "paths into json", "in", "in, of decimals", "text: long text", "text: in, of decimals",
     "text: interpolations", "text: any", "text: match"],
)  # fmt: skip
def test_a_filter_weighs_no_more_than_is_thought(name):
    make, size = FAMILIES[name]
    form = {"view": "things", "filter": make(4 * size)}
    compile_filter(things(), Query.read(form).filter, ROOM).compile()
    found = min(weighed(form) for _ in range(3))  # other threads may make something meanwhile
    compiled = compile_filter(things(), Query.read(form).filter, ROOM)
    assert found <= _QUERY_WEIGHT + _BYTE_WEIGHT * len(str(form)) + _NODE_WEIGHT * compiled.nodes
