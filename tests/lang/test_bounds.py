"""The static bound: what it says of programs, that it is tight where sizes are declared, and what goes beyond a limit.

That it holds for every run is asserted by every test of the language that runs something (`bounds_support`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import pytest
from bounds_support import fits
from language_support import Expression, Fold, plenty
from yardstick import A_LOT, steps

from projection.bundled import bundled
from projection.lang.check.checker import CheckedProgram, check
from projection.lang.cost import abstract, costs, sizes
from projection.lang.cost.bounds import MAX_PAYLOAD, HandlerBound, bounds_of, problems, view_gas
from projection.lang.cost.sizes import Size, Sizes, either, text, widened
from projection.lang.cost.tally import Range
from projection.lang.failures import Failure
from projection.lang.program import Limits
from projection.lang.run.interpreter import Meter
from projection.lang.source import Source
from projection.lang.values.codec import Codec
from projection.model.envelope import MAX_ENVELOPE_BYTES, MAX_TEXT

HEAD = "proj 1\nprojection p\n"
EXAMPLES = ["fines/fine_summary", "fines/office_totals"] + [
    f"shop_{one}/program" for one in ("customers", "orders", "sales")
]


def program(text: str) -> CheckedProgram:
    return check(Source("p.proj", HEAD + text))


def bound(text: str) -> HandlerBound:
    """Of the program's only handler."""
    (found,) = bounds_of(program(text), Limits())
    return found


def bound_of(text: str, prelude: str = "event In {}") -> tuple[Range, Range]:
    tally = Expression(text, prelude)._bound.tally
    return tally.gas, tally.alloc


def codes(text: str, **limits: int) -> list[tuple[str, str]]:
    return [(one.code, one.severity) for one in problems(program(text), Limits(**limits))]


# --- what it says ----------------------------------------------------------------------------------------------------


def test_what_depends_on_no_size_has_one_bound() -> None:
    assert (Range(2, 2), Range()) == bound_of("1 + 2")


def test_a_branch_makes_the_bound_as_wide_as_its_arms() -> None:
    gas, _alloc = bound_of("if e.flag then e.n + 1 else 0", "event In { flag: bool, n: int }")
    assert Range(1 + 2, 1 + 2 + 4) == gas


def test_a_branch_that_never_yields_counts_for_the_most_only() -> None:
    gas, _alloc = bound_of('if e.flag then fail("A", "b") else e.n + e.n', "event In { flag: bool, n: int }")
    assert Range(3 + 6, 3 + 6) == gas
    gas, _alloc = bound_of('if e.flag then e.n else fail("A", "{e.n}{e.n}")', "event In { flag: bool, n: int }")
    assert gas.least == 3 + 2
    assert gas.most > 3 + 2


@pytest.mark.parametrize("items", [0, 1, 7])
def test_the_ends_of_a_bound_are_reached_by_the_smallest_and_the_largest_event(items: int) -> None:
    run, meter = Expression("[x * x for x in e.xs]", "event In { xs: list<int>(7) }"), plenty()
    run.run(json.dumps({"xs": [1] * items}), meter)
    each = 1 + 3 + 2
    assert Range(6 + 2, 6 + 2 + 7 * each) == run._bound.tally.gas
    assert 6 + 2 + items * each == meter.used


def test_a_condition_may_take_none_or_all() -> None:
    run = Expression("[x for x in e.xs if x > 0]", "event In { xs: list<int>(7) }")
    assert run._bound.size is not None
    assert (0, 7) == (run._bound.size.least, run._bound.size.most)


def test_a_body_behind_a_condition_may_never_run() -> None:
    run = Expression("[x * e.n for x in [1, 2, 3] if x > e.n]", "event In { n: int }")
    for n, found in ((0, [0, 0, 0]), (2, [6]), (9, [])):
        assert found == run.run(json.dumps({"n": n}))  # which holds it against the bound


def test_sizes_pass_through_functions_lets_records_and_updates() -> None:
    prelude = "event In { row: Row }\ntype Row { a: string(40), b: string(9) }\n"
    prelude += "fn with_b(r: Row, b: string) -> Row = r with { b }\nfn a_of(r: Row) -> string = r.a\n"
    run = Expression('let r = with_b(e.row, "xyz"); lower(r.b) + a_of(r)', prelude)
    assert run._bound.size is not None
    assert (3, 43) == (run._bound.size.least, run._bound.size.most)


def test_an_accumulator_that_stays_as_it_is_is_bounded_by_itself() -> None:
    gas, _alloc = bound_of("fold(acc = 0 for x in e.xs => acc + x)", "event In { xs: list<int>(7) }")
    assert gas.most < 100


@pytest.mark.parametrize(("items", "most"), [(7, 14), (256, 512), (257, Limits().alloc)])
def test_an_accumulator_that_grows_is_followed_item_by_item_or_bounded_by_what_alloc_allows(
    items: int, most: int
) -> None:
    run = Expression("fold(acc = e.xs for x in e.xs => [...acc, x])", f"event In {{ xs: list<int>({items}) }}")
    assert run._bound.size is not None
    assert (0, most) == (run._bound.size.least, run._bound.size.most)
    assert run.run('{"xs": [1, 2, 3]}') == [1, 2, 3, 1, 2, 3]


def test_a_fold_that_appends_is_charged_for_what_it_holds_at_each_item() -> None:
    text = "fold(a = [0] for x in e.xs => [...a, x])"
    run, meter = Expression(text, "event In { xs: list<int>(10) }"), plenty()
    run.run(json.dumps({"xs": list(range(10))}), meter)
    assert meter.alloc_limit - meter.alloc == run._bound.tally.alloc.most == 76


@pytest.mark.parametrize(
    "text",
    [
        "sum(e.xs[i]! * i for i in range(length(e.xs)))",
        "length(range(min(length(e.s), 100)))",
        "length(range(clamp(e.n, 0, 50)))",
        "length(range(abs(rem(e.n, 50))))",
        "length(range(index_of(e.xs, e.n) ?? 3))",
        "length(range(count(1 for x in e.xs if x > 3)))",
        "length(range(day_of_year(meta.date)))",
        "length(range(if e.n > 3 then 3 else length(e.xs)))",
        "length(range(sum(1 for x in e.xs) + 2 * length(e.s) - 3))",
        'length(repeat("ab", min(e.n, 9)))',
        "length(take(range(length(e.xs)), clamp(e.n, 0, 3)))",
        "length(fold(a = [0] for x in e.xs => [...a, x]))",
    ],
)
def test_what_is_known_of_ints_bounds_what_is_made_by_them(text: str) -> None:
    """None of these is anywhere near a limit."""
    run = Expression(text, "event In { n: int, s: string(30), xs: list<int>(20) }")
    for n in (-(2**63), 0, 7, 2**63 - 1):  # each is held against the bound
        run.run(json.dumps({"n": n, "s": "x" * 30, "xs": list(range(20))}), plenty())
    assert run._bound.tally.gas.most < 5_000
    assert run._bound.tally.alloc.most < 1_000


def test_ints_are_as_many_as_the_operands_say() -> None:
    size = Expression("clamp(e.n, 3, 5) * -2 + length(e.xs)", "event In { n: int, xs: list<int>(4) }")._bound.size
    assert size is not None
    assert (-10, -2) == size.number


MAPS = """event F { id: string(9), m: map<string(9), int>(900)? }
event E { id: string(9), a: map<string(9), int>(900), b: map<string(9), int>(900), c: map<string(9), int>(900)?,
  d: map<string(9), int>(900)? }
view V { n: int = 0 }
fn sorted(m: map<string, int>?) -> list<string> = sort([k for k, _ in m ?? {}])
on F as e to e.id => { n: length(sorted(e.m)) }
on E as e to e.id => { n: length(BODY) }
"""


@pytest.mark.parametrize(
    "field", "abcdabcd"
)  # each behind each other: what is remembered of one may not show in another
@pytest.mark.parametrize("body", ["sort([k for k, _ in e.FIELD])", "sorted(e.FIELD)"])
def test_of_two_fields_of_one_type_the_one_that_is_meant_is_named(field: str, body: str) -> None:
    if field in "cd":
        body = body.replace("e.FIELD]", "e.FIELD ?? {}]")
    text = MAPS.replace("BODY", body.replace("FIELD", field))
    (help_,) = [one.help for one in problems(program(text), Limits(gas=5_000)) if one.message.startswith("on E")]
    assert [f"E.{field}"] == re.findall(r"E\.[a-d]", help_.replace("e.", ""))[:1]
    assert not re.findall(f"declare a smaller bound for `(?!E.{field}:)", help_)


def test_a_comment_above_a_handler_accepts_what_it_may_need() -> None:
    text = "event E { id: string, xs: list<int> }\nview V { n: int = 0 }\nLINE\non E as e to e.id => { n: sum(e.xs) }\n"
    assert [("G502", "warning")] == codes(text.replace("LINE", "# a comment"), gas=2_000)
    assert [] == codes(text.replace("LINE", "## Adds.\n# accept G502: seldom so many"), gas=2_000)
    assert [("G502", "warning")] == codes(text.replace("LINE", "# accept G501"), gas=2_000)
    assert [("G502", "warning")] == codes(text.replace("LINE", "# accept G502\n"), gas=2_000)
    assert [("G501", "error")] == codes(text.replace("LINE", "# accept G502"), gas=1)


def test_what_takes_too_many_steps_to_bound_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abstract, "MAX_STEPS", 10)
    text = "event E { id: string, xs: list<int> }\nview V { n: int = 0 }\non E as e to e.id => { n: sum([x + 1 for x in e.xs]) }\n"
    assert [("G503", "error")] == codes(text)
    assert not bound(text).is_known


HANDLER = """event Paid {{ id: string(9), lines: list<Line>({lines}) }}
type Line {{ account: string(9), amount: int }}
view V {{ n: int = 0 }}
on Paid as e for l in e.lines to l.account => {{ n: l.amount }}
"""


def test_a_route_is_bounded_with_all_items_and_a_body_for_one() -> None:
    found = bound(HANDLER.format(lines=30))
    assert Range(0, 30) == found.runs
    assert Range(2, 2 + 30 * 2) == found.route.gas
    assert found.body.gas == Range(3 + 1 + 2, 3 + 1 + 2)
    assert found.apply().gas == Range(6, 30 * 6)  # all lines may name one account


def test_a_body_that_runs_for_each_item_is_a_term_of_them_all() -> None:
    (term,) = bound(HANDLER.format(lines=30)).body_terms
    assert 30 * 6 == term.gas
    assert ["Paid.lines"] == [origin.name for origin in term.origins]


def test_what_would_be_made_of_the_items_of_an_empty_list_costs_nothing() -> None:
    text = """event E { id: string(9), n: int }
type Row { n: int }
view V { rows: list<Row>(20) = [] }
fn merged(rows: list<Row>, n: int) -> list<Row> =
  let least: Row = { n: min(row.n for row in rows) ?? n };
  [row by row.n for row in [...rows, least]]
on E as e to e.id
  when view == none => { rows: merged([], e.n) }
  else => view with { rows: take(merged(view.rows, e.n), 20) }
"""
    assert [] == codes(text)
    assert bound(text).body.gas.most < 1_000


def test_a_view_that_may_be_missing_may_cost_less() -> None:
    handler = "on E as e to e.id when view == view => keep else => { n: e.n }\n"
    fold = Fold(HEAD + "event E { id: string(9), n: int }\nview V { n: int }\n" + handler)
    fold.apply("E", '{"id": "a", "n": 1}')  # which holds it against the bound


def test_terms_are_the_largest_parts_of_the_most_with_the_fields_that_declare_their_sizes() -> None:
    text = """event E { id: string(9), rows: list<Row>(20) }
type Row { tags: list<string(8)>(50) }
view V { n: int }
on E as e to e.id => { n: sum(count([t for t in r.tags if t == "a"]) for r in e.rows) }
"""
    terms = bound(text).body_terms
    assert terms[0].gas == max(term.gas for term in terms)
    assert '[t for t in r.tags if t == "a"]' in {term.text for term in terms[:2]}
    inner = next(term for term in terms if term.text.startswith("[t for t"))
    assert ["E.rows", "Row.tags"] == [origin.name for origin in inner.origins]
    assert "list<string(8)>(50)" == inner.origins[1].type


# --- limits ----------------------------------------------------------------------------------------------------------


def test_a_handler_that_needs_more_than_it_may_is_an_error() -> None:
    text = HANDLER.format(lines=3)
    assert [] == codes(text)
    assert [("G501", "error")] == codes(text, gas=5)
    assert [("G501", "error")] == codes(text, route_gas=1)
    assert ("G501", "error") in codes(text, alloc=0)


def test_a_handler_that_may_need_more_than_it_may_is_a_warning() -> None:
    text = HANDLER.format(lines=30)
    assert [("G502", "warning")] == codes(text, gas=30 * 6 + 17)  # the view is read and written, too
    assert [] == codes(text, gas=30 * 6 + 18)
    assert [("G502", "warning")] == codes(text, route_gas=61)
    assert [] == codes(text, route_gas=62)


def test_handlers_of_one_event_share_its_budgets() -> None:
    text = HANDLER.format(lines=30) + "on Paid as e to e.id => { n: length(e.id) }\n"
    assert [] == codes(text, gas=30 * 6 + 7 + 18)
    assert [("G502", "warning")] == codes(text, gas=30 * 6 + 7 + 17)


def test_what_takes_several_events_is_told_of_once() -> None:
    text = """event A { id: string(9) }
event B { id: string(9) }
view V { n: int = 0 }
on A, B as e to e.id => { n: length(e.id) }
"""
    assert [("G501", "error")] == codes(text, gas=3)


def test_events_of_any_type_are_bounded_as_json_of_any_size() -> None:
    text = "event A { id: string(9) }\nview V { n: int = 0 }\non A as e to e.id => { n: length(e.id) }\n"
    text += 'on * as e to "{meta.type}" when e.a == e.b => { n: 1 }\n'
    assert [("G502", "warning")] == codes(text)


def test_a_warning_names_the_largest_parts_and_the_declarations_that_lower_them() -> None:
    text = """event BasketPaid { id: string(64), items: list<Item> }
type Item { sku: string(64), price: decimal(2) }
view Basket { total: decimal(2) = 0.00, skus: list<string(64)>(10) = [] }
on BasketPaid as e to e.id => {
  total: sum(item.price for item in e.items),
  skus: take([item.sku for item in e.items], 10),
}
"""
    checked = program(text)
    (problem,) = problems(checked, Limits(gas=60_000))
    total, *parts = bound(text).body.gas.most, *bound(text).body_terms[:2]
    assert f"on BasketPaid: up to {total + 2 * view_gas(checked.view, Limits()).most:,} `gas` may be" in problem.message
    assert [
        f"the largest parts: `sum(item.price for item in e.items)` (line 7) up to {parts[0].gas:,}",
        "declare a smaller bound for `BasketPaid.items: list<Item>` (line 3)",
        f"`[item.sku for item in e.items]` (line 8) up to {parts[1].gas:,}",
        "declare a smaller bound for `BasketPaid.items: list<Item>` (line 3)",
        "to accept it, write `# accept G502` above the handler",
    ] == problem.help.split("; ")  # what else it costs is not worth a word
    assert [checked.events["BasketPaid"].fields["items"].span] == [span for span, _text in problem.related]
    assert problem.render(checked.source).startswith("warning[G502]: on BasketPaid: up to ")


def test_a_warning_about_routes_begins_with_the_largest_part() -> None:
    text = "event E { a: string, b: string(40) }\nview V { n: int = 0 }\n"
    text += "on E as e to upper(e.b) => {}\non E as e to key(lower(e.a), e.b) => {}\n"
    (problem,) = problems(program(text), Limits(route_gas=200))
    assert problem.help.startswith("the largest parts: `key(lower(e.a), e.b)` (line 6) up to ")


def test_the_example_of_the_documentation_is_warned_of_until_its_list_has_a_bound() -> None:
    page = (Path(__file__).parents[2] / "docs/errors.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"### G501, G502.*?```proj\n(.*?)```", page, re.DOTALL)
    bounded = example.replace("list<Item>", "list<Item>(100)")
    assert ["G502"] == [one.code for one in problems(check(Source("p.proj", example)), Limits())]
    assert [] == problems(check(Source("p.proj", bounded)), Limits())


@pytest.mark.parametrize("path", EXAMPLES)
def test_no_run_of_an_example_can_leave_its_limits(path: str) -> None:
    file = bundled(f"projections/{path}.proj")
    assert [] == problems(check(Source(path, file.read_text(encoding="utf-8"))), Limits())


@pytest.mark.parametrize("path", EXAMPLES)
def test_the_events_of_an_example_stay_within_its_bounds(path: str) -> None:
    fold = Fold(bundled(f"projections/{path}.proj").read_text(encoding="utf-8"))
    events = bundled(f"projections/{path.partition('/')[0]}/events.jsonl").read_text(encoding="utf-8")
    applied = 0
    for line in events.splitlines():
        event = json.loads(line)
        payload = json.dumps(event["payload"])
        try:
            outcome = fold.apply(event["event_type"], payload, event["timestamp"], event["aggregate_type"])
        except Failure:
            continue  # some events of the examples are wrong on purpose
        applied += len(outcome.gas)
    assert applied > 3


# --- what it takes to find it ----------------------------------------------------------------------------------------


def steps_of(text: str) -> int:
    checked = program(text)
    return steps(lambda: bounds_of(checked, Limits()))


EVENT = 'event E { id: string(9), s: string(9), n: int }\nview V { s: string = "" }\n'


@pytest.mark.parametrize(
    "body",
    [
        "f{0}(s) + f{0}(s)",
        'f{0}(s) + f{0}(s + "a")',
        'if s == "" then f{0}(s + s) else f{0}(s + "abc")',
    ],
)
def test_a_chain_of_functions_that_call_each_other_twice_does_not_explode(body: str) -> None:
    functions = "fn f0(s: string) -> string = s\n"
    functions += "".join(f"fn f{n}(s: string) -> string = {body.format(n - 1)}\n" for n in range(1, 55))
    assert steps_of(EVENT + functions + "on E as e to e.id => { s: f54(e.s) }\n") < A_LOT


def test_a_function_that_is_called_in_many_ways_is_bounded_for_all_of_them() -> None:
    texts = range(18)
    parameters = ", ".join(f"s{n}: string" for n in texts)
    used = " + ".join(f"length(s{n})" for n in texts)
    prelude = f"event In {{ s: string, xs: list<int> }}\nfn f({parameters}, xs: list<int>) -> int = {used} + sum(xs)\n"
    calls = ["f(" + "".join("e.s, " if at == n else '"", ' for at in texts) + "[])" for n in texts]
    run = Expression(" + ".join([*calls, "f(" + '"", ' * len(texts) + "e.xs)"]), prelude)
    run.run(json.dumps({"s": "abc", "xs": [1] * 10_000}))  # which holds it against the bound


def test_records_that_are_reached_in_more_ways_than_there_are_seconds_are_looked_at_once() -> None:
    types = "type T0 { s: string(9) }\n" + "".join(
        f"type T{n} {{ a: T{n - 1}, b: T{n - 1}, c: T{n - 1} }}\n" for n in range(1, 30)
    )
    functions = "fn t0(s: string) -> T0 = { s }\n" + "".join(
        f"fn t{n}(s: string) -> T{n} = let x = t{n - 1}(s); {{ a: x, b: x, c: x }}\n" for n in range(1, 30)
    )
    event = EVENT.replace("s: string(9), n", "s: string(9), t?: T29, n")
    text = (
        event
        + types
        + functions
        + "on E as e to e.id when e.t == t29(e.s) => { s: (e.t ?? t29(e.s)).a.a.a.a.a.b.b.b.b.b.c.c.c.c.c.a.a.a.a.a.a.a.a.a.a.a.a.a.a.s }\n"
    )
    assert steps_of(text) < A_LOT


def test_a_constant_that_shares_its_parts_is_looked_at_once() -> None:
    value: list[object] = [1, 2]
    for _ in range(60):
        value = [value, value]
    assert sizes.of_value(value).nodes == (2**62 - 1, 2**62 - 1)


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_a_size_of_either_holds_for_both() -> None:
    random = Random(11)
    values = [None, "", "abc", "x" * 99]
    lists = [[], ["a"], ["a" * 40, ""]]
    for group in (values, lists, [{}, {"a": 1}, {"b" * 20: 2, "c": 3}], [[{"k": "v"}], [{}]], [3, 3, 4]):
        one, other = random.choice(group), random.choice(group)
        both = either(sizes.of_value(one), sizes.of_value(other))
        assert fits(one, both)
        assert fits(other, both)


def test_a_value_that_is_larger_than_its_size_does_not_fit() -> None:
    of = Sizes().of(
        program('event E { xs: list<string(3)>(2) }\nview V { n: int }\non E to "x" => { n: 1 }\n').events["E"]
    )
    assert fits(["abc", ""], of.get("xs"))
    assert not fits(["abcd"], of.get("xs"))
    assert not fits(["", "", ""], of.get("xs"))


def test_what_shrinks_may_go_on_shrinking() -> None:
    assert text(0, 5) == widened(text(5, 5), text(4, 5), 1000)


def test_what_grows_may_go_on_growing_and_what_does_not_stays() -> None:
    grown = widened(Size(1, 2, text(1, 5)), Size(1, 3, text(1, 5)), 1000)
    assert Size(1, 1000, text(1, 5)) == grown
    assert grown == widened(grown, Size(1, 1001, text(1, 5)), 1000)


def test_sizes_are_equal_wherever_they_come_from() -> None:
    assert text(1, 2) == text(1, 2)
    assert text(1, 2) != Size(1, 2)
    assert text(1, 2) != text(1, 3)
    assert Size(fields=(("a", text(0, 1)),)) != Size(fields=(("b", text(0, 1)),))


def test_further_wire_names_count_as_the_fields_that_they_are() -> None:
    checked = program(
        'event E { id: string(9) from "id" | "key" | "name" }\nview V { n: int }\non E as e to e.id => { n: 1 }\n'
    )
    event = Codec(checked.events["E"]).decode(b'{"name": "x"}')
    size = Sizes().of(checked.events["E"])
    assert size.nodes == (4, 4)
    assert costs.nodes(event, 100) == 4


def test_the_language_counts_on_the_bounds_of_envelopes() -> None:
    assert (MAX_ENVELOPE_BYTES, MAX_TEXT) == (MAX_PAYLOAD, sizes.META_TEXT)


def test_a_run_that_stops_at_a_limit_stays_below_the_bound() -> None:
    run = Expression("[x * x for x in e.xs]", "event In { xs: list<int>(7) }")
    for limit in range(30):
        with pytest.raises(Failure, match="out of gas"):
            run.run('{"xs": [1, 2, 3, 4, 5, 6, 7]}', Meter(limit, 10**6))


def test_every_event_of_a_fold_is_held_against_the_bounds() -> None:
    fold = Fold(HEAD + HANDLER.format(lines=3))
    fold._bounds._bounds = {span: one._replace(body=one.route) for span, one in fold._bounds._bounds.items()}
    with pytest.raises(AssertionError):
        fold.apply("Paid", '{"id": "a", "lines": [{"account": "x", "amount": 1}]}')
