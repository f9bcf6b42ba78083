"""Which `partition_by` a program allows: events that touch one view must meet in one lane."""

from __future__ import annotations

import re

import pytest
from language_support import meta
from yardstick import A_LOT, steps

from projection.bundled import bundled
from projection.lang.check.checker import CheckedProgram, check
from projection.lang.partition import Partitioning, partitioning, problems
from projection.lang.run.interpreter import Interpreter, Meter
from projection.lang.source import Source

HEAD = """proj 1
projection p
event A { id: string(9), n: int, flag: bool, ids: list<string(9)>(5) }
event B { id: string(9) }
view V { n: int = 0 }
fn both(kind: string, rest: string) -> string = key(kind, rest)
fn plain(rest: string) -> string = rest
"""


def program(*routes: str) -> CheckedProgram:
    events = ["A", "B", "A", "B"]
    handlers = "".join(f"on {event} as e {route} => {{ n: 1 }}\n" for event, route in zip(events, routes, strict=False))
    return check(Source("p.proj", HEAD + handlers))


def found(*routes: str) -> Partitioning:
    return partitioning(program(*routes))


def reads(route: str) -> str:
    return found(route).routes[0].reads


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ('to "all"', "tenant"),
        ("to meta.tenant_id", "tenant"),
        ('to "{meta.tenant_id}!"', "tenant"),
        ("to meta.aggregate_id", "subject"),
        ("to meta.aggregate_type", "subject"),
        ("to key(meta.aggregate_type, meta.aggregate_id)", "subject"),
        ("to both(meta.tenant_id, meta.aggregate_id)", "subject"),
        ("to let x = meta.aggregate_id; upper(x)", "subject"),
        ('to if meta.aggregate_type == "a" then meta.tenant_id else "x"', "subject"),
        ('for x in ["a", "b"] to x', "tenant"),
        ("to e.id", "event"),
        ("to key(meta.aggregate_id, e.n)", "event"),
        ('to if e.flag then meta.aggregate_id else "x"', "event"),  # a condition counts
        ("for x in e.ids to meta.aggregate_id", "event"),  # so does how often
        ("for x in [meta.aggregate_id] if e.flag to x", "event"),
        ('to "{meta.date}"', "event"),
        ("to key(meta.type, meta.aggregate_id)", "event"),
        ("to plain(e.id)", "event"),
        ("to let m = meta; m.aggregate_id", "subject"),
        ('to if meta == meta then "a" else "b"', "event"),
    ],
)
def test_a_route_is_a_function_of_the_tenant_of_the_subject_or_of_neither(route: str, expected: str) -> None:
    assert expected == reads(route)


@pytest.mark.parametrize(
    "route",
    [
        "to meta.aggregate_id",
        "to plain(meta.aggregate_id)",
        "to key(meta.aggregate_id, e.n)",  # the id is a part of its own, whatever else is read
        "to key(meta.aggregate_type, meta.aggregate_id)",
        "to both(e.id, meta.aggregate_id)",
        'to "order-{meta.aggregate_id}!"',
        'to "order-" + meta.aggregate_id',
        "to if e.flag then meta.aggregate_id else none",  # none touches nothing
        'to if e.flag then key("a", meta.aggregate_id) else key("b", meta.aggregate_id)',
        'to if e.flag then meta.aggregate_id else fail("NO", "such thing")',
        "for x in e.ids to key(x, meta.aggregate_id)",
    ],
)
def test_events_may_be_split_by_subject_where_the_aggregate_id_can_be_read_off_the_view_id(route: str) -> None:
    assert ("tenant", "subject", "view") == found(route).allowed


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        ("to e.id", "reads `e.id`"),
        ("to plain(e.id)", "reads `e.id`"),
        ('to "all"', "does not name the aggregate"),
        ("to meta.tenant_id", "does not name the aggregate"),
        ("to meta.correlation_id", "reads `meta.correlation_id`"),
        ('to "{meta.aggregate_type}-{meta.aggregate_id}"', "does not show where in it the aggregate id stands"),
        ('to "{meta.aggregate_id}{e.n}"', "does not show where in it the aggregate id stands"),
        ("to upper(meta.aggregate_id)", "does not show where in it the aggregate id stands"),
        ('to if e.flag then meta.aggregate_id else "x"', "does not show where in it the aggregate id stands"),
        ("for x in [meta.aggregate_id] to x", "does not show where in it the aggregate id stands"),
        ('to key("{meta.aggregate_id}{e.n}")', "does not show where in it the aggregate id stands"),
    ],
)
def test_events_may_not_be_split_by_subject_where_one_view_takes_several_aggregates(route: str, reason: str) -> None:
    checked = program(route)
    split = partitioning(checked)
    assert ("tenant", "view") == split.allowed
    assert [reason] == [why for _span, why in split.against]
    assert f"not subject, because `{split.routes[0].text}` at p.proj:8:" in split.sentence(checked)
    assert split.sentence(checked).endswith(reason)


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ("to meta.aggregate_id", "to meta.aggregate_id", True),
        ("to meta.aggregate_id", "to key(meta.aggregate_id)", False),  # of "a:b" one is "a:b", the other "a%3Ab"
        (
            "to meta.aggregate_id",
            'to key("x", meta.aggregate_id)',
            False,
        ),  # of "x:1" the first is what the other is of 1
        ('to "a-{meta.aggregate_id}"', 'to "b-{meta.aggregate_id}"', True),  # they never meet
        ('to "a-{meta.aggregate_id}"', 'to "a-b{meta.aggregate_id}"', False),
        ('to "{meta.aggregate_id}-a"', 'to "{meta.aggregate_id}-b"', True),
        ('to "a-{meta.aggregate_id}"', 'to key("a", meta.aggregate_id)', True),
        ('to "a:{meta.aggregate_id}"', 'to key("a", meta.aggregate_id)', False),
        ('to "a:{meta.aggregate_id}"', 'to key("a:", meta.aggregate_id)', True),  # escaped, it is "a%3A"
        ("to key(meta.aggregate_id, e.id)", "to key(e.id, meta.aggregate_id)", False),
        ("to key(meta.aggregate_id, e.id)", "to key(meta.aggregate_id, meta.aggregate_id)", True),
        ('to key("a", meta.aggregate_id, e.id)', 'to key("b", e.id, meta.aggregate_id)', True),
        ("to key(meta.aggregate_id, e.id)", "to key(meta.aggregate_id, e.id, e.id)", True),
        ("to key(meta.aggregate_id, e.id)", "to key(e.id, meta.aggregate_id, e.id)", True),
    ],
)
def test_all_routes_of_a_program_must_hold_the_id_at_one_place(one: str, other: str, agree: bool) -> None:
    checked = program(one, other)
    split = partitioning(checked)
    assert agree == ("subject" in split.allowed)
    if not agree:
        ((_span, why),) = split.against
        assert why.startswith("can name the same view for another aggregate than `")


@pytest.mark.parametrize("ids", [("a:b", "b"), ("x", "x%3A"), ("%", "25"), ("1", "x:1")])
def test_where_routes_agree_one_view_id_has_one_aggregate_id(ids: tuple[str, str]) -> None:
    routes = [
        "meta.aggregate_id", 'key("x", meta.aggregate_id)', "key(meta.aggregate_id)", '"x:{meta.aggregate_id}"',
        '"{meta.aggregate_id}:x"', "key(meta.aggregate_id, meta.aggregate_type)",
    ]  # fmt: skip
    for one in routes:
        for other in routes:
            checked = program(f"to {one}", f"to {other}")
            if "subject" not in partitioning(checked).allowed:
                continue
            seen: dict[str, str] = {}
            for handler in checked.core.handlers:
                for aggregate_id in ids:
                    frame = [None, None, None, meta(aggregate_id=aggregate_id), None, *handler.unset]
                    view_id = Interpreter(checked.core.functions).run(handler.route, frame, Meter(1000, 1000))
                    assert aggregate_id == seen.setdefault(view_id, aggregate_id), (one, other)


def test_every_program_may_be_split_by_tenant_and_by_view() -> None:
    assert [] == problems(program("to e.id"), "tenant")
    assert [] == problems(program("to e.id"), "view")
    assert [] == problems(program("to e.id"), None)


def test_a_manifest_that_asks_for_more_than_the_routes_allow_is_told_of_each() -> None:
    checked = program("to e.id", "to meta.aggregate_id", 'to "all"')
    wrong = problems(checked, "subject")
    assert ["S412", "S412"] == [one.code for one in wrong]
    assert (
        wrong[0]
        .render(checked.source)
        .startswith("error[S412]: no `partition_by: subject`: `e.id` reads `e.id`\n --> p.proj:8:14\n")
    )
    assert [] == problems(program("to meta.aggregate_id"), "subject")


def test_a_function_that_is_called_in_many_ways_is_not_looked_at_without_end() -> None:
    functions = "fn f0(a: string) -> string = a\n" + "".join(
        f'fn f{n}(a: string) -> string = if a == "" then f{n - 1}("{n}" + a) else f{n - 1}(a + "{n}")\n'
        for n in range(1, 40)
    )
    text = HEAD + functions + "on A as e to f39(meta.aggregate_id) => { n: 1 }\n"
    assert ("tenant", "view") == partitioning(check(Source("p.proj", text))).allowed


def test_a_route_with_more_alternatives_than_anyone_lists_is_given_up_on() -> None:
    parts = ", ".join(f'if e.n == {n} then "a" else "b"' for n in range(24))
    assert ("tenant", "view") == found(f"to key(meta.aggregate_id, {parts})").allowed


def test_more_routes_than_anyone_compares_are_given_up_on() -> None:
    handlers = "".join(f'on A as e to key("{n}", meta.aggregate_id) => {{ n: 1 }}\n' for n in range(600))
    checked = check(Source("p.proj", HEAD + handlers))
    assert steps(lambda: partitioning(checked)) < A_LOT
    assert ("tenant", "view") == partitioning(checked).allowed
    split = partitioning(check(Source("p.proj", HEAD + "".join(handlers.splitlines(keepends=True)[:512]))))
    assert "subject" in split.allowed


def test_the_examples_can_be_split_as_their_routes_say() -> None:
    def said(path: str) -> str:
        source = Source(path, bundled(f"projections/{path}.proj").read_text(encoding="utf-8"))
        checked = check(source)
        return partitioning(checked).sentence(checked)

    assert re.fullmatch(
        "partition_by allowed: tenant, view; not subject, because `e.fine_id` at fines/fine_summary:[0-9:]+ "
        r"reads `e.fine_id` \(and 5 more\)",
        said("fines/fine_summary"),
    )
